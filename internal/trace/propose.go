package trace

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/writ-dev/writ/internal/gov"
)

// Usage is what recorded runs show of agents and tools: the inventory that a team needs first.
type Usage struct {
	Agents map[string]*AgentUsage
	Tools  map[string]*ToolUsage
}

// AgentUsage is what an agent did.
type AgentUsage struct {
	Models map[string]int
	Tools  map[string]int // calls by tool
	Runs   int
}

// ToolUsage is how a tool was called.
type ToolUsage struct {
	Category gov.Category
	Calls    int
	fields   map[string]*fieldUsage
}

type fieldUsage struct {
	seen  int
	types map[string]bool // JSON Schema types of its values
}

// Collect takes the inventory of runs.
func Collect(runs []Run) Usage {
	u := Usage{Agents: map[string]*AgentUsage{}, Tools: map[string]*ToolUsage{}}
	for _, r := range runs {
		a := u.Agents[r.Agent]
		if a == nil {
			a = &AgentUsage{Models: map[string]int{}, Tools: map[string]int{}}
			u.Agents[r.Agent] = a
		}
		a.Runs++
		a.Models[r.Model]++
		for _, c := range r.Calls {
			a.Tools[c.Tool]++
			u.tool(c)
		}
	}
	return u
}

func (u Usage) tool(c Call) {
	t := u.Tools[c.Tool]
	if t == nil {
		t = &ToolUsage{Category: guess(c.Tool), fields: map[string]*fieldUsage{}}
		u.Tools[c.Tool] = t
	}
	t.Calls++
	for name, v := range c.Input {
		f := t.fields[name]
		if f == nil {
			f = &fieldUsage{types: map[string]bool{}}
			t.fields[name] = f
		}
		f.seen++
		f.types[typeOf(v)] = true
	}
}

func typeOf(v any) string {
	switch v := v.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	case json.Number:
		if strings.ContainsAny(string(v), ".eE") {
			return "number"
		}
		return "integer"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "null"
}

// guess is a first category by the words of a tool's name, to be looked at by a person. What says nothing is data_write: a
// tool must earn the name read_only.
func guess(tool string) gov.Category {
	_, name, _ := strings.Cut(strings.ToLower(tool), "/")
	for _, start := range []string{"get_", "list_", "search_", "view_", "read_", "find_", "show_"} {
		if strings.HasPrefix(name, start) {
			return gov.CategoryReadOnly
		}
	}
	for _, rule := range []struct {
		category gov.Category
		words    []string
	}{
		{gov.CategoryCodeExecution, []string{"run", "exec", "shell", "bash", "python", "eval"}},
		{gov.CategoryElevatedPrivilege, []string{"grant", "permission", "password", "verification", "role", "login"}},
		{gov.CategoryMoney, []string{"pay", "refund", "transfer", "purchase", "checkout", "buy", "order_product", "certificate", "book", "money"}},
		{gov.CategoryExternalCommunication, []string{"send", "email", "mail", "post", "invite", "message", "browse", "download", "click"}},
		{gov.CategoryDataDeletion, []string{"delete", "remove", "cancel", "clear"}},
		{gov.CategoryReadOnly, []string{"list", "search", "view", "check", "calculate", "think", "_for_"}},
	} {
		for _, word := range rule.words {
			if strings.Contains(name, word) {
				return rule.category
			}
		}
	}
	return gov.CategoryDataWrite
}

// Strictness says how a bundle is to be made of what was seen.
type Strictness int

// Observe lets everything pass and records it. LeastPrivilege allows what was used and nothing else: inputs are closed, and
// money, deletion, privilege and code ask a person.
const (
	Observe Strictness = iota
	LeastPrivilege
)

// Environment is the environment of generated bundles.
const Environment = "prod"

// Bundle writes a bundle of what was seen: files by their path in it.
func (u Usage) Bundle(s Strictness) (map[string][]byte, error) {
	mode := gov.ModeObserve
	if s == LeastPrivilege {
		mode = gov.ModeEnforce
	}
	files := map[string]any{
		"writ.yaml": map[string]any{
			"environments":     map[string]any{Environment: map[string]any{"mode": string(mode)}},
			"retention":        map[string]any{"days": retentionDays},
			"change_approvers": []string{reviewers},
			"groups":           map[string]any{reviewers: map[string]any{"description": "Who approves changes and gated calls: replace by a group of your identity provider.", "members": []string{"user:replace-me", "user:replace-me-too"}}},
		},
		"agents.yaml": map[string]any{"agents": u.agents()},
		"tools.yaml":  map[string]any{"tools": u.tools(s)},
	}
	out := map[string][]byte{"policies/base.cedar": []byte(policies(s))}
	for name, v := range files {
		data, err := yaml.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
		out[name] = data
	}
	return out, nil
}

const (
	retentionDays = 455
	reviewers     = "reviewers"
)

func (u Usage) agents() map[string]any {
	out := map[string]any{}
	for id, a := range u.Agents {
		out[id] = map[string]any{
			"owner": "replace-me", "purpose": "Seen in recorded runs; say what it is for.", "environments": []string{Environment},
			"runs_as": "service:" + id, "model": most(a.Models), "reads": []string{"say what it reads"}, "logs": "say where its logs are",
			"risk_tier": "high", "tools": sortedKeys(a.Tools),
		}
	}
	return out
}

func (u Usage) tools(s Strictness) map[string]any {
	out := map[string]any{}
	for name, t := range u.Tools {
		out[name] = map[string]any{
			"description": fmt.Sprintf("Seen %d times in recorded runs.", t.Calls), "categories": []string{string(t.Category)}, "input_schema": t.schema(s),
		}
	}
	return out
}

// schema is the JSON Schema of the inputs that were seen. To observe, every field may be missing and others may come.
func (t *ToolUsage) schema(s Strictness) map[string]any {
	properties := map[string]any{}
	var required []string
	for name, f := range t.fields {
		types := sortedKeys(f.types)
		if len(types) == 2 && types[0] == "integer" && types[1] == "number" {
			types = types[1:]
		}
		if len(types) == 1 {
			properties[name] = map[string]any{"type": types[0]}
		} else {
			properties[name] = map[string]any{"type": types}
		}
		if f.seen == t.Calls {
			required = append(required, name)
		}
	}
	out := map[string]any{"type": "object", "properties": properties}
	if s == LeastPrivilege {
		slices.Sort(required)
		out["additionalProperties"] = false
		if len(required) > 0 {
			out["required"] = required
		}
	} else {
		out["properties"] = map[string]any{}
	}
	return out
}

func policies(s Strictness) string {
	const everything = `@id("agents-use-their-tools")
@reason("The agent uses a tool that is on its allowlist.")
permit (principal, action, resource);
`
	if s == Observe {
		return "// Everything on an agent's allowlist is permitted; the environment only observes.\n" + everything
	}
	return `// What was used is permitted; what can do harm asks a person first.
` + everything + `
@id("harm-asks-first")
@require_approval("` + reviewers + `")
@approve_within("4h")
@execute_within("10m")
@reason("Money, deletion, privilege and code execution need a person's consent.")
forbid (
  principal,
  action in [Action::"money", Action::"data_deletion", Action::"elevated_privilege", Action::"code_execution"],
  resource
);
`
}

func most(counts map[string]int) string {
	best := "unknown"
	for _, name := range sortedKeys(counts) {
		if counts[name] > counts[best] {
			best = name
		}
	}
	return best
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
