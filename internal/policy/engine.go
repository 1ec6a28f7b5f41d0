// Package policy judges calls: (state, call) → verdict. Policies are Cedar; what Cedar leaves open is closed here. It promises
// that the same state and call give the same verdict, byte for byte; that what cannot be evaluated is denied; and that the
// order of judgement is the one of the reasons' codes. It is pure: no clock, no I/O, nothing remembered.
//
// Cedar alone would not do: a forbid that errs is skipped, reasons come in random order, and it has no way to ask a person.
package policy

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/limit"
)

// Engine is a compiled bundle. It is not changed once made and safe for concurrent use.
type Engine struct {
	bundle   *bundle.Bundle
	schema   string
	policies []*rule // by id
	tools    map[gov.ToolName]*tool
	members  map[gov.Principal]*membership // of those that the bundle lists
	limits   []*limit.Rule                 // in the order of the bundle
	checker  *validate.Validator
}

// ApprovalGroups are the groups that policies ask for consent, sorted.
func (e *Engine) ApprovalGroups() []gov.GroupID {
	var out []gov.GroupID
	for _, r := range e.policies {
		if r.gate != nil {
			out = append(out, r.gate.Groups...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// rule is one policy.
type rule struct {
	id      gov.PolicyID
	policy  *cedar.Policy
	forbid  bool
	observe bool   // its effect is only recorded
	reason  string // @reason
	gate    *Gate  // a forbid that a person can lift
	text    string // of a gate: what stands in the file
	digest  string // of text
	file    string
	line    int
}

// tool is a tool ready to be judged.
type tool struct {
	*bundle.Tool
	shape  shape
	input  *jsonschema.Schema
	fit    *fit // nil: the schema needs the library
	places map[gov.Environment]*place
	agents map[gov.AgentID]bool // that have it on their allowlist
	action types.Entity
}

// place is a tool in an environment: the entities of a request, and the rules that can match it.
type place struct {
	server      types.Entity
	environment types.Entity
	rules       index
	reads       reads         // of all these rules
	limits      []*limit.Rule // that can be of a call
}

// index has the rules that can match, by the principal that their scope names.
type index struct {
	any   []*rule
	named map[types.EntityUID][]*rule // principal == or in
}

// membership is the groups that a principal is in, and the parents that they are of its entity.
type membership struct {
	groups  []gov.GroupID // sorted, each once
	parents types.EntityUIDSet
}

func membershipOf(groups []gov.GroupID) *membership {
	slices.Sort(groups)
	groups = slices.Compact(groups)
	parents := make([]types.EntityUID, len(groups))
	for i, g := range groups {
		parents[i] = uid(typeGroup, string(g))
	}
	return &membership{groups, types.NewEntityUIDSet(parents...)}
}

// membersOf are those whom a bundle lists in groups. Who are in the same groups share what that means.
func membersOf(b *bundle.Bundle) map[gov.Principal]*membership {
	groups := map[gov.Principal][]gov.GroupID{}
	for _, g := range b.Groups {
		for _, m := range g.Members {
			groups[m] = append(groups[m], g.ID)
		}
	}
	out, same := make(map[gov.Principal]*membership, len(groups)), map[string]*membership{}
	for who, in := range groups {
		key := fmt.Sprint(in)
		if same[key] == nil {
			same[key] = membershipOf(in)
		}
		out[who] = same[key]
	}
	return out
}

// Compile makes the engine of a bundle. A bundle with problems has none.
func Compile(b *bundle.Bundle) (*Engine, bundle.Problems) {
	e := &Engine{bundle: b, tools: map[gov.ToolName]*tool{}, members: membersOf(b)}
	problems := e.readTools()
	problems = append(problems, e.readPolicies()...)
	if len(problems) > 0 {
		return nil, problems
	}
	if problems := e.check(); len(problems) > 0 {
		return nil, problems
	}
	for i := range b.Limits {
		e.limits = append(e.limits, limit.NewRule(&b.Limits[i]))
	}
	e.buildIndex()
	return e, nil
}

// Bundle is what the engine was compiled from.
func (e *Engine) Bundle() *bundle.Bundle { return e.bundle }

// Limits are those of the bundle, in its order.
func (e *Engine) Limits() []*limit.Rule { return e.limits }

// Charges is what a call takes of the limits that it is of, in the order of the bundle. who is its principal as records name it,
// type:ref.
func (e *Engine) Charges(env gov.Environment, call gov.Call, who string) []limit.Charge {
	rules, t := e.limits, e.tools[call.Tool]
	var categories []gov.Category
	if t != nil {
		categories = t.Categories
		if place := t.places[env]; place != nil {
			rules = place.limits
		}
	}
	var out []limit.Charge
	for _, r := range rules {
		if (r.Agent == "" || r.Agent == call.Agent) && r.At(env, call.Tool, categories) {
			out = append(out, r.Charge(call, who))
		}
	}
	return out
}

// Schema is the generated Cedar schema in Cedar's own syntax.
func (e *Engine) Schema() string { return e.schema }

func (e *Engine) readTools() (problems bundle.Problems) {
	shapes := map[gov.ToolName]shape{}
	for i := range e.bundle.Tools {
		t := &tool{Tool: &e.bundle.Tools[i], places: map[gov.Environment]*place{}, agents: map[gov.AgentID]bool{}}
		t.shape = shapeOf(t.InputSchema)
		if t.shape.kind != kindRecord {
			t.shape = shape{kind: kindRecord}
		}
		schema, err := compileSchema(t.InputSchema)
		if err != nil {
			problems = append(problems, bundle.Problem{File: t.File, Line: t.Line, What: fmt.Sprintf("input_schema of %s: %v", t.Name, err), Remedy: "write a JSON Schema (2020-12)"})
		}
		t.input, t.fit = schema, fitOf(t.InputSchema)
		e.tools[t.Name], shapes[t.Name] = t, t.shape
	}
	for i := range e.bundle.Agents {
		for _, name := range e.bundle.Agents[i].Tools {
			if t := e.tools[name]; t != nil {
				t.agents[e.bundle.Agents[i].ID] = true
			}
		}
	}
	e.schema = schemaText(e.bundle, shapes)
	return problems
}

// schemaLocation names a tool's schema inside the library; nothing is fetched from it.
const schemaLocation = "writ:input"

func compileSchema(raw []byte) (*jsonschema.Schema, error) {
	if len(raw) == 0 {
		raw = []byte(`{"type":"object"}`)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	if err := c.AddResource(schemaLocation, doc); err != nil {
		return nil, err
	}
	return c.Compile(schemaLocation)
}

func (e *Engine) readPolicies() (problems bundle.Problems) {
	seen := map[gov.PolicyID]*rule{}
	for _, file := range e.bundle.Policies {
		list, err := cedar.NewPolicyListFromBytes(file.Name, file.Text)
		if err != nil {
			problems = append(problems, bundle.Problem{File: file.Name, Line: lineOf(err), What: err.Error(), Remedy: "mend the Cedar syntax there"})
			continue
		}
		for i, p := range list {
			r, wrong := readRule(e.bundle, file.Name, p)
			if r.gate != nil {
				r.text, r.digest = textOf(file.Text, list, i)
			}
			problems = append(problems, wrong...)
			if other := seen[r.id]; other != nil && r.id != "" {
				problems = append(problems, bundle.Problem{File: r.file, Line: r.line, What: fmt.Sprintf("the id %q is taken by %s:%d", r.id, other.file, other.line), Remedy: "give each policy an @id of its own"})
			}
			seen[r.id] = r
			e.policies = append(e.policies, r)
		}
	}
	slices.SortFunc(e.policies, func(a, b *rule) int { return strings.Compare(string(a.id), string(b.id)) })
	return problems
}

// lineOf finds the line in a message of Cedar's parser.
func lineOf(err error) int {
	var line int
	text := err.Error()
	for _, mark := range []string{"line ", "<input>:", ":"} {
		if i := strings.Index(text, mark); i >= 0 {
			if _, scanned := fmt.Sscanf(text[i+len(mark):], "%d", &line); scanned == nil {
				return line
			}
		}
	}
	return 1
}

// check validates every policy strictly against the schema and refuses arithmetic that an agent could overflow.
func (e *Engine) check() (problems bundle.Problems) {
	v, err := validatorOf(e.schema)
	if err != nil {
		return bundle.Problems{{File: "tools.yaml", What: err.Error(), Remedy: "look at writ bundle schema"}}
	}
	e.checker = v
	for _, r := range e.policies {
		if err := v.Policy(string(r.id), internalAST(r.policy)); err != nil {
			problems = append(problems, bundle.Problem{File: r.file, Line: r.line, What: fmt.Sprintf("policy %s: %v", r.id, err), Remedy: "compare with writ bundle schema; a field that is not required needs: context.input has FIELD"})
			continue
		}
		if what := e.unbounded(r); what != "" {
			problems = append(problems, bundle.Problem{File: r.file, Line: r.line, What: fmt.Sprintf("policy %s: %s", r.id, what), Remedy: "give the field a minimum and a maximum in its input_schema, or compare without arithmetic"})
		}
	}
	return problems
}
