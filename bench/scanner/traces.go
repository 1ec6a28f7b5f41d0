//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func (c *corpus) tau(root string) error {
	var runs []struct {
		Traj []struct {
			Role      string
			Content   string
			ToolCalls []struct {
				Function struct{ Arguments string }
			} `json:"tool_calls"`
		}
	}
	if err := readJSON(filepath.Join(root, "traces/tau-bench/gpt-4o-airline.json"), &runs); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, r := range runs {
		for _, m := range r.Traj {
			for _, call := range m.ToolCalls {
				c.inputs = addOnce(c.inputs, seen, "tau-bench", call.Function.Arguments)
			}
			switch m.Role {
			case "tool":
				c.benign = addOnce(c.benign, seen, "tau-bench", m.Content)
			case "user", "system":
				c.prompts = addOnce(c.prompts, seen, "tau-bench", m.Content)
			}
		}
	}
	return nil
}

func addOnce(docs []doc, seen map[string]bool, source, text string) []doc {
	if len(text) < 12 || seen[text] {
		return docs
	}
	seen[text] = true
	return append(docs, doc{source, text})
}

func (c *corpus) swe(root string) error {
	paths, err := filepath.Glob(filepath.Join(root, "traces/swe-agent/*.traj"))
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, path := range paths {
		var run struct {
			Trajectory []struct{ Action, Observation string }
		}
		if err := readJSON(path, &run); err != nil {
			return err
		}
		for _, s := range run.Trajectory {
			c.inputs = addOnce(c.inputs, seen, "swe-agent", s.Action)
			c.benign = addOnce(c.benign, seen, "swe-agent", s.Observation)
		}
	}
	return nil
}

// toolbench reads the answer trees: an Action Input node has the arguments and the observation.
func (c *corpus) toolbench(root string) error {
	paths, err := filepath.Glob(filepath.Join(root, "traces/toolbench/*.json"))
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			return err
		}
		walk(v, func(m map[string]any) {
			if m["node_type"] == "Action Input" {
				c.inputs = addOnce(c.inputs, seen, "toolbench", flatten(m["description"]))
				c.benign = addOnce(c.benign, seen, "toolbench", flatten(m["observation"]))
			}
			if name, ok := m["name"].(string); ok && name != "" && m["parameters"] != nil {
				c.tools = addOnce(c.tools, seen, "toolbench", flatten(m["description"]))
			}
		})
	}
	return nil
}

func walk(v any, yield func(map[string]any)) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			walk(e, yield)
		}
	case map[string]any:
		yield(v)
		for _, k := range sortedKeys(v) {
			walk(v[k], yield)
		}
	}
}

// agentdynRun is one recorded run.
type agentdynRun struct {
	path       string
	UserTask   string            `json:"user_task_id"`
	Attack     string            `json:"attack_type"`
	Injections map[string]string `json:"injections"`
	Security   bool
	Messages   []struct {
		Role      string
		Content   []struct{ Content string }
		ToolCalls []struct {
			Function string
			Args     any
		} `json:"tool_calls"`
		ToolCall struct{ Function string } `json:"tool_call"`
	}
}

func (r agentdynRun) attacked() bool { return r.Attack != "" && r.Attack != "none" }

func readAgentdyn(root string) ([]agentdynRun, error) {
	var runs []agentdynRun
	err := filepath.WalkDir(filepath.Join(root, "traces/agentdyn/runs"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".json") {
			return err
		}
		r := agentdynRun{path: path}
		if err := readJSON(path, &r); err != nil {
			return err
		}
		runs = append(runs, r)
		return nil
	})
	return runs, err
}

func (c *corpus) agentdyn(root string) error {
	runs, err := readAgentdyn(root)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, r := range runs {
		clean := !r.attacked() && !strings.HasPrefix(r.UserTask, "injection")
		for _, m := range r.Messages {
			if m.Role != "tool" {
				continue
			}
			for _, part := range m.Content {
				switch {
				case clean:
					c.held = addOnce(c.held, seen, "agentdyn", part.Content)
				case r.attacked() && injected(r, part.Content):
					c.attacked = addOnce(c.attacked, seen, "agentdyn-"+r.Attack, part.Content)
				}
			}
		}
	}
	return nil
}

// injected says whether a result contains an injection of the run, however it is wrapped into lines.
func injected(r agentdynRun, text string) bool {
	flat := squeeze(text)
	for _, k := range sortedKeys(r.Injections) {
		if s := squeeze(r.Injections[k]); len(s) >= 12 && strings.Contains(flat, s[:min(len(s), 60)]) {
			return true
		}
	}
	return false
}

// squeeze keeps letters and digits only, of escapes nothing.
func squeeze(s string) string {
	s = strings.NewReplacer(`\n`, "", `\\`, "").Replace(s)
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}

// toolDescriptions are harmless descriptions of tools, written for this.
func toolDescriptions() []string {
	verbs := []string{"Search", "List", "Create", "Update", "Delete", "Send", "Read", "Fetch", "Run", "Export"}
	things := []string{"files in the workspace", "messages in a channel", "calendar events", "customer records", "orders by number", "rows of a table", "tickets", "issues of a repository", "an e-mail", "a SQL query", "shell commands in a sandbox", "pages of the web", "invoices", "secrets by name", "users and their roles"}
	tails := []string{"", " Returns JSON.", " You must call login first.", " Use this tool when the user asks for them; do not guess identifiers.", " Before using this tool, read the schema with describe_table.", " Required: id. Optional: limit (default 20).", " Never pass passwords in plain text.", " IMPORTANT: dates must be ISO 8601.", " Always confirm with the user before sending.", " Args: path (str): absolute path. Raises an error if the file does not exist.", " If the result is too long, call again with the next cursor.", " Do not use this for binary files; use download instead."}
	var out []string
	for i, v := range verbs {
		for k, t := range things {
			out = append(out, v+" "+t+"."+tails[(i*7+k*5)%len(tails)]+tails[(i+k*3)%len(tails)])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
