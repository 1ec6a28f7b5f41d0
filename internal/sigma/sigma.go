// Package sigma evaluates rules in a subset of Sigma (sigmahq.io, specification 2.1) over what the ledger says happened. It promises
// that the same events give the same matches wherever a saved memory was taken up again, that what it remembers is bounded, and that
// a rule's own cases are judged by the very code that watches. It does not read files: internal/bundle does, strictly.
package sigma

import (
	"slices"
	"strings"

	"github.com/writ-dev/writ/internal/gov"
)

// Category is what kind of thing an event is (logsource category of the product ai_agent).
type Category string

// The categories.
const (
	ToolCall       Category = "tool_call"       // a call that was allowed
	PolicyDecision Category = "policy_decision" // the answer to a call, whatever it was
	Approval       Category = "approval"        // people were asked, or answered
	Budget         Category = "budget"          // a limit runs short, or a call was denied for one
)

// Categories lists them.
func Categories() []Category { return []Category{ToolCall, PolicyDecision, Approval, Budget} }

// Field is one that rules may name. What agents and people wrote is in none.
type Field struct {
	Name  string
	List  bool     // an event may have several values
	Known []string // the values that there are; empty: any
}

// Fields gives those of a category, in the order in which they are documented.
func Fields(c Category) []Field {
	outcomes := []string{string(gov.OutcomeAllow), string(gov.OutcomeDeny), string(gov.OutcomeRequireApproval)}
	categories := make([]string, 0, len(gov.Categories()))
	for _, c := range gov.Categories() {
		categories = append(categories, string(c))
	}
	call := []Field{
		{Name: "agent"}, {Name: "tool"}, {Name: "categories", List: true, Known: categories}, {Name: "principal"},
		{Name: "principal_type", Known: []string{string(gov.PrincipalUser), string(gov.PrincipalService), string(gov.PrincipalOrganization)}},
		{Name: "assurance", Known: []string{string(gov.AssuranceVerified), string(gov.AssuranceBound), string(gov.AssuranceAsserted)}},
		{Name: "groups", List: true}, {Name: "session"}, {Name: "mode", Known: []string{string(gov.ModeEnforce), string(gov.ModeObserve)}},
		{Name: "outcome", Known: outcomes}, {Name: "would", Known: outcomes}, {Name: "reasons", List: true}, {Name: "policies", List: true},
		{Name: "labels", List: true}, {Name: "labels_added", List: true}, {Name: "findings", List: true, Known: []string{"low", "medium", "high"}},
		{Name: "finding_rules", List: true}, {Name: "taint", List: true}, {Name: "taint_near_finding", Known: []string{"true", "false"}},
		{Name: "sends", List: true}, {Name: "limits", List: true}, {Name: "approved", Known: []string{"true", "false"}}, {Name: "delegated", Known: []string{"true", "false"}},
	}
	switch c {
	case ToolCall, PolicyDecision:
		return call
	case Approval:
		return append([]Field{
			{Name: "event", Known: []string{"asked", "answered"}}, {Name: "person"},
			{Name: "vote", Known: []string{string(gov.VoteApprove), string(gov.VoteDeny)}}, {Name: "state"}, {Name: "asked_groups", List: true},
			{Name: "signed", Known: []string{"true", "false"}},
		}, call...)
	case Budget:
		return append([]Field{{Name: "event", Known: []string{"warned", "used_up"}}, {Name: "limit"}, {Name: "key"}}, call...)
	}
	return nil
}

// Event is something that happened. Look gives the values of a field, or else Fields has them; a field without any is absent.
type Event struct {
	Category Category
	ID       gov.EntryID
	Index    int64 // of the entry
	At       int64 // seconds since 1970
	Fields   map[string][]string
	Look     func(field string) []string
}

// Values are those of a field.
func (e Event) Values(field string) []string {
	if e.Look != nil {
		return e.Look(field)
	}
	return e.Fields[field]
}

// First is the first value of a field, or nothing.
func (e Event) First(field string) string {
	if values := e.Values(field); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Rule is a rule: a detection, or a correlation of detections.
type Rule struct {
	ID          string
	Name        string // by which correlations may refer to it
	Title       string
	Severity    gov.Severity
	Tags        []string // MITRE ATT&CK and ATLAS techniques, OWASP ids; sorted
	Category    Category // of a detection
	Selections  []Selection
	Condition   Node
	Correlation *Correlation
	Feeds       bool // correlations that do not want it to be told by itself
	Cases       []Case
	File        string
	Line        int
}

// Selection is a named part of a detection: any of its matches.
type Selection struct {
	Name string
	Any  []Match
}

// Match is tests that all have to hold.
type Match []Test

// Test compares one field. Text is compared without regard to case.
type Test struct {
	Field  string
	Op     Op
	All    bool     // every value has to be found; else any
	Values []string // in lower case; nothing: the field has to be absent
}

// Op is how a value is compared.
type Op string

// The ways to compare.
const (
	Equals     Op = "equals"
	Contains   Op = "contains"
	StartsWith Op = "startswith"
	EndsWith   Op = "endswith"
	Exists     Op = "exists" // Values is true or false
)

// Node is a part of a condition.
type Node struct {
	Kind      NodeKind
	Selection string // of a leaf
	Args      []Node
}

// NodeKind is what a part of a condition is.
type NodeKind string

// The kinds of part.
const (
	Leaf NodeKind = "selection"
	And  NodeKind = "and"
	Or   NodeKind = "or"
	Not  NodeKind = "not"
)

// Correlation looks at what detections match together.
type Correlation struct {
	Type     CorrelationType
	Rules    []string // ids of detections; ordered for temporal_ordered
	GroupBy  []string // fields that must be the same
	Timespan int64    // seconds
	Field    string   // of value_count
	Min      int64    // events, or values
}

// CorrelationType is how matches are looked at together.
type CorrelationType string

// The types.
const (
	EventCount      CorrelationType = "event_count"
	ValueCount      CorrelationType = "value_count"
	Temporal        CorrelationType = "temporal"
	TemporalOrdered CorrelationType = "temporal_ordered"
)

// CorrelationTypes lists them.
func CorrelationTypes() []CorrelationType {
	return []CorrelationType{EventCount, ValueCount, Temporal, TemporalOrdered}
}

// Case is events, and whether a rule must fire for them.
type Case struct {
	Name   string
	Fires  bool
	Events []Event
	Line   int
}

// matches says whether a detection holds of an event.
func (r *Rule) matches(e Event) bool {
	return r.Correlation == nil && r.Category == e.Category && r.holds(r.Condition, e)
}

// holds evaluates a part of the condition; internal/bundle bounds its depth.
func (r *Rule) holds(n Node, e Event) bool {
	switch n.Kind {
	case And:
		return !slices.ContainsFunc(n.Args, func(a Node) bool { return !r.holds(a, e) })
	case Or:
		return slices.ContainsFunc(n.Args, func(a Node) bool { return r.holds(a, e) })
	case Not:
		return !r.holds(n.Args[0], e)
	case Leaf:
	}
	i := slices.IndexFunc(r.Selections, func(s Selection) bool { return s.Name == n.Selection })
	return i >= 0 && slices.ContainsFunc(r.Selections[i].Any, func(m Match) bool { return m.holds(e) })
}

func (m Match) holds(e Event) bool {
	return !slices.ContainsFunc(m, func(t Test) bool { return !t.holds(e.Values(t.Field)) })
}

func (t Test) holds(have []string) bool {
	found := func(want string) bool {
		return slices.ContainsFunc(have, func(got string) bool { return t.compare(strings.ToLower(got), want) })
	}
	switch {
	case t.Op == Exists:
		return (len(have) > 0) == (t.Values[0] == "true")
	case len(t.Values) == 0:
		return len(have) == 0
	case t.All:
		return !slices.ContainsFunc(t.Values, func(want string) bool { return !found(want) })
	}
	return slices.ContainsFunc(t.Values, found)
}

func (t Test) compare(got, want string) bool {
	switch t.Op {
	case Contains:
		return strings.Contains(got, want)
	case StartsWith:
		return strings.HasPrefix(got, want)
	case EndsWith:
		return strings.HasSuffix(got, want)
	case Equals:
		return got == want
	case Exists:
	}
	return false
}
