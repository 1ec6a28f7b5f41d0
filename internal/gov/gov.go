// Package gov has the words of Writ as types. Read from top to bottom it explains the product: an agent, acting for a
// principal, attempts a call of a tool; the call gets a decision under a bundle; the decision is an entry of a ledger, and
// a receipt proves that it is there.
//
// The package holds no behaviour beyond what a word needs to be well formed, does no I/O and imports the standard library
// only. Every identifier has its own type, so that one cannot be passed where another is meant.
package gov

import (
	"fmt"
	"strings"
	"time"
)

// Environment is the unit of scoping and isolation (prod, staging): each has its own ledger and its own active bundle.
type Environment string

// OrgLedger is the ledger of what belongs to no environment: people, administrators' credentials, settings.
const OrgLedger Environment = "org"

// AgentID names a registered program with a model inside. An agent is never a principal.
type AgentID string

// ToolName names a tool as server/tool (stripe/refund).
type ToolName string

// Server is the part of a tool's name before the slash.
func (t ToolName) Server() string {
	server, _, _ := strings.Cut(string(t), "/")
	return server
}

// Category is the risk class of a tool.
type Category string

// The categories that a catalogue may use. A tool has at least one.
const (
	CategoryMoney                 Category = "money"
	CategoryExternalCommunication Category = "external_communication"
	CategoryDataDeletion          Category = "data_deletion"
	CategoryDataWrite             Category = "data_write"
	CategoryElevatedPrivilege     Category = "elevated_privilege"
	CategoryCodeExecution         Category = "code_execution"
	CategoryReadOnly              Category = "read_only"
)

// Categories lists every category, in the order in which they are shown.
func Categories() []Category {
	return []Category{
		CategoryMoney, CategoryExternalCommunication, CategoryDataDeletion, CategoryDataWrite,
		CategoryElevatedPrivilege, CategoryCodeExecution, CategoryReadOnly,
	}
}

// Label is what a session remembers of the tools it has used ("untrusted", "private").
type Label string

// PolicyID is the @id of a Cedar policy, unique in its bundle.
type PolicyID string

// GroupID names a group of principals.
type GroupID string

// SessionID names one run of an agent, as the agent names it.
type SessionID string

// CallID is the agent framework's own id of a tool call; the same call asked again carries the same one.
type CallID string

// TraceID is a W3C trace id, or whatever the caller correlates by.
type TraceID string

// CredentialID names a credential (never its secret).
type CredentialID string

// EntryID is the id in an entry: a prefix that names its kind of noun, and 26 characters.
type EntryID string

// Place is where an entry stands in its ledger.
type Place struct {
	ID    EntryID
	Index int64
	At    time.Time // UTC
}

// BundleDigest is the version of a bundle: "sha256:" and 64 hexadecimal digits over its canonical form.
type BundleDigest string

// PrincipalType says what kind of party is accountable for a call.
type PrincipalType string

// The kinds of principal.
const (
	PrincipalUser         PrincipalType = "user"
	PrincipalService      PrincipalType = "service"
	PrincipalOrganization PrincipalType = "organization"
)

// Principal is who is accountable for a call; never the model.
type Principal struct {
	Type PrincipalType `json:"type"`
	ID   string        `json:"id"`
}

// String is the form type:id, as in filters and on the command line.
func (p Principal) String() string { return string(p.Type) + ":" + p.ID }

// ParsePrincipal reads the form type:id.
func ParsePrincipal(s string) (Principal, error) {
	kind, id, ok := strings.Cut(s, ":")
	p := Principal{Type: PrincipalType(kind), ID: id}
	if !ok || !p.Valid() {
		return Principal{}, fmt.Errorf("principal %q: write user:ID, service:ID or organization:ID", s)
	}
	return p, nil
}

// Valid reports whether p has a known type and an id of 1 to 256 printable bytes.
func (p Principal) Valid() bool {
	switch p.Type {
	case PrincipalUser, PrincipalService, PrincipalOrganization:
		return len(p.ID) > 0 && len(p.ID) <= principalIDBytesMax && printable(p.ID)
	}
	return false
}

// Assurance is how the principal is known.
type Assurance string

// From the strongest to the weakest: the principal's own token was checked; the credential is fixed to the principal; the
// agent says so.
const (
	AssuranceVerified Assurance = "verified"
	AssuranceBound    Assurance = "bound"
	AssuranceAsserted Assurance = "asserted"
)

// Mode says whether an environment or a policy blocks or only records.
type Mode string

// The modes. In observe mode a decision records what it would have been and lets the call pass.
const (
	ModeEnforce Mode = "enforce"
	ModeObserve Mode = "observe"
)

// Outcome is the answer of a decision.
type Outcome string

// The outcomes. Only OutcomeAllow lets a call run; anything else, a missing answer included, means no.
const (
	OutcomeAllow           Outcome = "allow"
	OutcomeDeny            Outcome = "deny"
	OutcomeRequireApproval Outcome = "require_approval"
)

// Valid reports whether o is one of the three outcomes.
func (o Outcome) Valid() bool {
	return o == OutcomeAllow || o == OutcomeDeny || o == OutcomeRequireApproval
}

// ResultStatus is what happened when a tool ran.
type ResultStatus string

// The states of a result.
const (
	ResultSucceeded ResultStatus = "succeeded"
	ResultFailed    ResultStatus = "failed"
	ResultNotRun    ResultStatus = "not_run"
	ResultUnknown   ResultStatus = "unknown"
)

// Valid reports whether s is one of the four states.
func (s ResultStatus) Valid() bool {
	switch s {
	case ResultSucceeded, ResultFailed, ResultNotRun, ResultUnknown:
		return true
	}
	return false
}

// ReasonCode is the stable, machine-readable half of a reason.
type ReasonCode string

// The reason codes of a decision, in the order of judgement.
const (
	ReasonNoBundle         ReasonCode = "no_bundle"          // the environment has no active bundle
	ReasonAgentUnknown     ReasonCode = "agent_unknown"      // not in the inventory
	ReasonAgentSuspended   ReasonCode = "agent_suspended"    // in the inventory, and stopped
	ReasonAgentEnvironment ReasonCode = "agent_environment"  // registered for other environments
	ReasonCredential       ReasonCode = "credential_invalid" // revoked or expired between the question and its record
	ReasonSwitch           ReasonCode = "switch"             // a kill switch is engaged
	ReasonToolUnknown      ReasonCode = "tool_unknown"       // not in the catalogue
	ReasonToolNotAllowed   ReasonCode = "tool_not_allowed"   // not on the agent's allowlist
	ReasonInputSchema      ReasonCode = "input_schema"       // the input does not fit the tool's schema
	ReasonPolicyError      ReasonCode = "policy_error"       // a policy could not be evaluated, so nothing is allowed
	ReasonPolicyForbid     ReasonCode = "policy_forbid"      // a policy forbids the call
	ReasonNoPermit         ReasonCode = "no_permit"          // no policy permits the call
	ReasonLimit            ReasonCode = "limit"              // a rate limit or a budget is used up
	ReasonApproval         ReasonCode = "approval_required"  // a policy wants a person's consent first
	ReasonApproved         ReasonCode = "approval_granted"   // people consented to this very call
	ReasonDelegated        ReasonCode = "approval_delegated" // people consented beforehand to calls like this one
	ReasonApprovalDenied   ReasonCode = "approval_denied"    // a person who was asked said no
	ReasonApprovalExpired  ReasonCode = "approval_expired"   // nobody consented in time, or the call came too late
	ReasonPolicyPermit     ReasonCode = "policy_permit"      // a policy permits the call
)

// Reason is one cause of a decision. Message is a sentence that a person, and a model, can act on.
type Reason struct {
	Code    ReasonCode `json:"code"`
	Policy  PolicyID   `json:"policy,omitempty"`
	Message string     `json:"message"`
}

// Call is one attempted tool call, with its principal resolved. Input is the object as canon.ParseObject reads it: string,
// json.Number, bool, nil, []any, map[string]any; secret fields already replaced.
type Call struct {
	Agent     AgentID
	Principal Principal
	Assurance Assurance
	Groups    []GroupID // sorted
	Tool      ToolName
	Input     map[string]any
	Session   SessionID
	CallID    CallID
	TraceID   TraceID
}

// Receipt says where an entry stands in its ledger. With the ledger's tiles it proves that the entry is there.
type Receipt struct {
	Ledger   Environment `json:"ledger"`
	Index    int64       `json:"index"`
	LeafHash string      `json:"leaf_hash"` // RFC 6962 leaf hash, 64 hexadecimal digits
}

const (
	nameBytesMax        = 128
	serverBytesMax      = 64
	principalIDBytesMax = 256
)

// ValidName reports whether s can name an agent, an environment or a group: 1 to 128 of lower case, digits, dot, dash and
// underscore, the first a letter or a digit.
func ValidName(s string) bool {
	return len(s) > 0 && len(s) <= nameBytesMax && (lower(s[0]) || digit(s[0])) &&
		all(s, func(c byte) bool { return lower(c) || digit(c) || c == '.' || c == '_' || c == '-' })
}

// ValidTool reports whether s is of the form server/tool: up to 64 and up to 128 of letters, digits and . _ -, and in the
// tool also colons, the first of each a letter or a digit.
func ValidTool(s string) bool {
	server, tool, ok := strings.Cut(s, "/")
	plain := func(c byte) bool { return lower(c) || upper(c) || digit(c) || c == '.' || c == '_' || c == '-' }
	begins := func(s string) bool { return len(s) > 0 && (lower(s[0]) || upper(s[0]) || digit(s[0])) }
	return ok && len(server) <= serverBytesMax && len(tool) <= nameBytesMax && begins(server) && begins(tool) &&
		all(server, plain) && all(tool, func(c byte) bool { return plain(c) || c == ':' })
}

// ValidOpaque reports whether s can be a session, call or trace id that somebody else made: 1 to 128 bytes of letters,
// digits and . _ : / + = @ | -, the first a letter or a digit.
func ValidOpaque(s string) bool {
	return len(s) > 0 && len(s) <= nameBytesMax && (lower(s[0]) || upper(s[0]) || digit(s[0])) && all(s, func(c byte) bool {
		return lower(c) || upper(c) || digit(c) || strings.IndexByte("._:/+=@|-", c) >= 0
	})
}

func lower(c byte) bool { return c >= 'a' && c <= 'z' }
func upper(c byte) bool { return c >= 'A' && c <= 'Z' }
func digit(c byte) bool { return c >= '0' && c <= '9' }

func all(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}

func printable(s string) bool {
	for _, r := range s {
		if r < 0x20 || r == 0x7f || r == '�' {
			return false
		}
	}
	return true
}
