package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/writ-dev/writ/internal/gov"
)

// GatePolicy is a policy that asks people, as a standing consent names it.
type GatePolicy struct {
	Gate
	ID       gov.PolicyID
	Reason   string
	Text     string // as it stands in its file, annotations included
	Digest   string // SHA-256 of Text, hexadecimal
	Observed bool   // it only records, and asks nobody
}

func gatePolicy(r *rule) GatePolicy {
	return GatePolicy{Gate: *r.gate, ID: r.id, Reason: r.reason, Text: r.text, Digest: r.digest, Observed: r.observe}
}

// Gates lists the policies that ask people, by id.
func (e *Engine) Gates() []GatePolicy {
	var out []GatePolicy
	for _, r := range e.policies {
		if r.gate != nil {
			out = append(out, gatePolicy(r))
		}
	}
	return out
}

// GatePolicy looks a policy up that asks people.
func (e *Engine) GatePolicy(id gov.PolicyID) (GatePolicy, bool) {
	for _, r := range e.policies {
		if r.id == id && r.gate != nil {
			return gatePolicy(r), true
		}
	}
	return GatePolicy{}, false
}

// textOf is what stands in a file from one policy's annotations to its semicolon, with its digest. It is the text and not what a
// parser makes of it, so that it is the same for every version of the parser.
func textOf(file []byte, list cedar.PolicyList, i int) (text, digest string) {
	end := len(file)
	if i+1 < len(list) {
		end = list[i+1].Position().Offset
	}
	text = string(file[list[i].Position().Offset:end])
	text = text[:strings.LastIndexByte(text, ';')+1]
	sum := sha256.Sum256([]byte(text))
	return text, hex.EncodeToString(sum[:])
}

// Condition is an expression over the input of one tool. It is not changed once made and safe for concurrent use.
type Condition struct {
	rule  *rule
	tool  *tool
	reads reads
}

// conditionBytesMax bounds what a person writes as a condition.
const conditionBytesMax = 1 << 10

// Condition reads a Cedar expression over context.input, such as context.input.amount < 1000, and type-checks it against the
// schema of a tool. The error is for whoever wrote it.
func (e *Engine) Condition(name gov.ToolName, text string) (*Condition, error) {
	t, ok := e.tools[name]
	switch {
	case !ok:
		return nil, fmt.Errorf("there is no tool %s in the catalogue", name)
	case len(text) > conditionBytesMax:
		return nil, fmt.Errorf("is longer than %d bytes", conditionBytesMax)
	}
	source := fmt.Sprintf("permit (principal, action == Action::%s, resource)\nwhen {\n%s\n};", quote(string(name)), text)
	list, err := cedar.NewPolicyListFromBytes("condition", []byte(source))
	if err != nil {
		return nil, fmt.Errorf("is not a Cedar expression: %w", err)
	}
	// What closes the braces and goes on after them is more than an expression.
	if len(list) != 1 || len(internalAST(list[0]).Conditions) != 1 {
		return nil, errors.New("is more than one Cedar expression")
	}
	c := &Condition{rule: &rule{id: "condition", policy: list[0]}, tool: t, reads: newReads()}
	c.reads.look(c.rule)
	if what := c.foreign(); what != "" {
		return nil, fmt.Errorf("speaks of %s; it may speak of context.input only", what)
	}
	if err := e.checker.Policy(string(c.rule.id), internalAST(c.rule.policy)); err != nil {
		return nil, fmt.Errorf("does not fit the input of %s: %w; a field that is not required needs: context.input has FIELD", name, err)
	}
	if what := e.unbounded(c.rule); what != "" {
		return nil, errors.New(what)
	}
	return c, nil
}

// foreign is what a condition speaks of beside context.input, or nothing.
func (c *Condition) foreign() string {
	what := ""
	ast.Inspect(ast.NewNode(internalAST(c.rule.policy).Conditions[0].Body), func(n ast.IsNode) bool {
		if v, ok := n.(ast.NodeTypeVariable); ok && v.Name != "context" {
			what = string(v.Name)
		}
		return what == ""
	})
	if what == "" && c.reads.everything {
		return "the context as a whole"
	}
	for _, name := range slices.Sorted(maps.Keys(c.reads.context)) {
		if what == "" && name != "input" {
			what = "context." + name
		}
	}
	return what
}

// Holds says whether the condition is true of an input. An error is no, and so is a value that it reads and that Cedar cannot
// represent.
func (c *Condition) Holds(input map[string]any) bool {
	var in converter
	record := in.record(c.tool.shape, c.reads.of(input), "")
	if len(in.left) > 0 {
		return false
	}
	decision, _ := cedar.Authorize(candidates{c.rule}, types.EntityMap{}, cedar.Request{
		Principal: uid(typeOrganization, ""), Action: uid(typeAction, string(c.tool.Name)), Resource: uid(typeServer, c.tool.Name.Server()),
		Context: types.NewRecord(types.RecordMap{"input": record}),
	})
	return decision == cedar.Allow
}
