// Package bundle reads, checks, digests and diffs a bundle: the directory under version control that says everything a
// person may change about governance (environments, agents, tools, policies, limits, detectors, prompts, tests).
//
// It promises that a bundle which reads without problems is well formed and consistent in itself, that two bundles with the
// same files have the same digest wherever they were made, and that every problem names file, line and remedy. It does not
// know Cedar: internal/policy compiles and type-checks the policies. It is pure over fs.FS: no clock, no network, no os.
package bundle

import (
	"encoding/json"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/sigma"
)

// Bundle is a bundle that was read. Slices keep the order of the files; lookups by name go through the methods.
type Bundle struct {
	Digest       gov.BundleDigest
	Files        map[string][]byte // every file, by its slash-separated path in the bundle
	Environments []Environment
	Retention    Retention
	Approvers    []gov.GroupID // who may review a change of the bundle (change_approvers)
	Groups       []Group
	Roles        map[gov.GroupID][]gov.Role // that the members of a group have in the bundle's environments
	Channels     []Channel                  // through which people are told (notify)
	OnCall       []OnCall                   // who is told of an incident that nobody acknowledges (on_call)
	Agents       []Agent
	Tools        []Tool
	Policies     []PolicyFile
	Limits       []Limit
	Detectors    []Detector   // those that the bundle says something of
	Rules        []sigma.Rule // of sigma/, in the order of the files
	Prices       []ModelPrice // that hold instead of the list prices
	Prompts      []Prompt
	Tests        []Test

	index index
}

// Environment is one environment of writ.yaml.
type Environment struct {
	Name gov.Environment
	Mode gov.Mode
}

// Retention is for how long records are kept; under 365 days cannot be proposed.
type Retention struct {
	Days int
}

// Group is a group of principals: of people who approve, or of users and services that policies speak of. Members that
// an identity provider names in a token need not be listed.
type Group struct {
	ID          gov.GroupID
	Description string
	Members     []gov.Principal
}

// Agent is one line of the inventory.
type Agent struct {
	ID           gov.AgentID
	Owner        string
	Purpose      string
	Environments []gov.Environment
	RunsAs       string   // user:ID, service:ID, organization:ID, or "caller" when each call names its principal
	Model        string   // provider/model
	Prompt       string   // a file of prompts/
	Reads        []string // the data it reads, in words
	Logs         string   // where its own logs are
	RiskTier     string   // low, medium, high
	Suspended    bool
	Tools        []gov.ToolName // the allowlist; sorted
	File         string
	Line         int
}

// Tool is one tool of the catalogue.
type Tool struct {
	Name             gov.ToolName
	Description      string
	Categories       []gov.Category    // at least one; sorted
	Labels           []gov.Label       // what a session remembers after the tool was allowed; sorted
	InputSchema      json.RawMessage   // JSON Schema (2020-12) of the input object, as JSON
	Secret           []string          // JSON pointers of input fields that are replaced by a keyed HMAC before evaluation
	DefinitionDigest string            // pinned digest of the tool's definition at its server, or empty
	Environments     []gov.Environment // where it may be called; empty: everywhere
	File             string
	Line             int
}

// PolicyFile is one file of policies/*.cedar, unparsed.
type PolicyFile struct {
	Name string // policies/refunds.cedar
	Text []byte
}

// Limit is a rate limit (Calls per Window) or a budget (MicroUSD per Window). A budget counts what calls cost: reserved when the call
// is allowed, settled by its result. With Amount it counts what stands in a field of the input instead.
type Limit struct {
	ID              string
	Agent           gov.AgentID
	Tool            gov.ToolName
	Category        gov.Category
	Environment     gov.Environment
	Per             string // what is counted apart: "", agent, principal, tool, session
	Calls           int64
	MicroUSD        int64
	WindowSeconds   int64
	Fixed           bool   // windows that begin together, aligned to UTC; else the window slides
	WarnAt          int64  // percent of it at which people are told, or 0
	ReserveMicroUSD int64  // of a budget without Amount: for each call until its cost is known
	Amount          string // of a budget: the field of the input, at the top, that has the dollars
}

// ModelPrice is what the organization pays for a model.
type ModelPrice struct {
	Model          string
	InputMicroUSD  int64 // for a million tokens
	OutputMicroUSD int64
}

// Prompt is a system prompt under change control.
type Prompt struct {
	Name string // prompts/support.md
	Text []byte
}

// Test is a call and the outcome it must get.
type Test struct {
	Name        string
	Environment gov.Environment
	Agent       gov.AgentID
	Principal   gov.Principal
	Assurance   gov.Assurance
	Groups      []gov.GroupID
	Tool        gov.ToolName
	Input       map[string]any // as canon.ParseObject gives it
	Labels      []gov.Label    // the session's labels before the call
	Taint       []string       // JSON pointers of the input's fields that the session knows from untrusted results alone
	Near        bool           // and a finding was near where they came from
	Findings    []string       // bands of what the scanner finds in the input
	Want        gov.Outcome
	WantPolicy  gov.PolicyID   // one of the policies that must have fired, or empty
	WantReason  gov.ReasonCode // or empty
	File        string
	Line        int
}

// Problem is something wrong with a bundle: where, what, and what to write instead.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"` // from 1; 0 when the file as a whole is meant
	What   string `json:"what"`
	Remedy string `json:"remedy"`
}

// Problems are all that was found; an empty list means that there is nothing wrong.
type Problems []Problem
