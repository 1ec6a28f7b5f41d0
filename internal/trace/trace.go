// Package trace reads recorded runs of agents: AgentDojo-style logs (single runs, and compact JSON lines), tau-bench's OpenAI
// chats, SWE-agent's trajectories and ToolBench's answer trees. It promises to give every tool call of a run, in order, with
// its arguments as they were, or to say which run it does not understand. It is pure over readers.
package trace

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/writ-dev/writ/internal/canon"
)

// Run is one recorded run.
type Run struct {
	Agent string // a valid agent id
	Model string
	Name  string // unique in its file
	Calls []Call
}

// Call is one tool call of a run.
type Call struct {
	Tool   string         // server/tool
	Input  map[string]any // as canon.ParseObject gives it
	Output string         // what the tool answered, where it was recorded
	Failed bool
}

const (
	fileBytesMax = 64 << 20
	lineBytesMax = 16 << 20
)

// Read reads every run of a file. The name tells only whether it is compressed; the format is found out from the content.
func Read(name string, r io.Reader) ([]Run, error) {
	if strings.HasSuffix(name, ".gz") {
		plain, err := gzip.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		r = plain
	}
	data, err := io.ReadAll(io.LimitReader(r, fileBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > fileBytesMax {
		return nil, fmt.Errorf("%s: over %d bytes", name, fileBytesMax)
	}
	runs, err := read(path.Base(name), data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return runs, nil
}

func read(name string, data []byte) ([]Run, error) {
	if strings.Contains(name, ".jsonl") {
		return readLines(data)
	}
	var probe struct {
		SuiteName  *string         `json:"suite_name"`
		Trajectory json.RawMessage `json:"trajectory"`
		History    json.RawMessage `json:"history"`
		Tree       json.RawMessage `json:"tree"`
	}
	switch trimmed := bytes.TrimSpace(data); {
	case len(trimmed) > 0 && trimmed[0] == '[':
		return readChats(data)
	case json.Unmarshal(data, &probe) != nil:
		return nil, errors.New("is not JSON")
	case probe.SuiteName != nil:
		return readDojo(data)
	case probe.Trajectory != nil || probe.History != nil:
		return readTrajectory(name, data)
	case probe.Tree != nil:
		return readTree(name, data)
	}
	return nil, errors.New("is not a recorded run that is known: AgentDojo, tau-bench, SWE-agent or ToolBench")
}

// agentID makes a valid agent id of a name.
func agentID(name string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, name)
	clean = strings.Trim(clean, "-.")
	return clean[:min(len(clean), nameMax)]
}

// toolName makes server/tool of two names.
func toolName(server, tool string) string {
	clean := func(s string) string {
		s = strings.Map(func(r rune) rune {
			if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)) {
				return r
			}
			return '_'
		}, s)
		return strings.TrimLeft(s[:min(len(s), nameMax)], "._-")
	}
	return clean(server) + "/" + clean(tool)
}

const nameMax = 60

// compact is a line of AgentDyn's compact form.
type compact struct {
	Model         string  `json:"model"`
	Defense       string  `json:"defense"`
	Suite         string  `json:"suite"`
	UserTask      string  `json:"user_task"`
	Attack        *string `json:"attack"`
	InjectionTask *string `json:"injection_task"`
	Calls         []struct {
		Tool string          `json:"tool"`
		Args json.RawMessage `json:"args"`
		Err  *string         `json:"err"`
	} `json:"calls"`
}

func readLines(data []byte) ([]Run, error) {
	var runs []Run
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(make([]byte, 0, 1<<16), lineBytesMax)
	for n := 1; lines.Scan(); n++ {
		var c compact
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		run := Run{Agent: agentID(c.Suite + "-agent"), Model: c.Model, Name: fmt.Sprintf("line-%d", n)}
		for i, call := range c.Calls {
			input, err := object(call.Args)
			if err != nil {
				return nil, fmt.Errorf("line %d, call %d: %w", n, i+1, err)
			}
			run.Calls = append(run.Calls, Call{Tool: toolName(c.Suite, call.Tool), Input: input, Failed: call.Err != nil})
		}
		runs = append(runs, run)
	}
	return runs, lines.Err()
}

// object reads arguments: an object, or nothing at all.
func object(raw []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(raw)) == 0 || string(bytes.TrimSpace(raw)) == "null" {
		return map[string]any{}, nil
	}
	m, err := canon.ParseObject(raw)
	if err != nil {
		return nil, fmt.Errorf("arguments: %w", err)
	}
	return m, nil
}

// message is a message of a chat, in AgentDojo's or OpenAI's form.
type message struct {
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	Error     *string         `json:"error"`
	CallID    string          `json:"tool_call_id"`
	ToolCalls []struct {
		ID       string          `json:"id"`
		Function json.RawMessage `json:"function"` // a name, or an object
		Args     json.RawMessage `json:"args"`
	} `json:"tool_calls"`
}

// text reads a content: a string, or a list of parts.
func (m message) text() string {
	var s string
	if json.Unmarshal(m.Content, &s) == nil {
		return s
	}
	var parts []struct {
		Content string `json:"content"`
		Text    string `json:"text"`
	}
	if json.Unmarshal(m.Content, &parts) != nil {
		return ""
	}
	for _, p := range parts {
		s += p.Content + p.Text
	}
	return s
}

// calls reads the tool calls of a chat. Answers find their call by id.
func calls(server string, chat []message) ([]Call, error) {
	var out []Call
	at := map[string]int{}
	for _, m := range chat {
		for _, tc := range m.ToolCalls {
			name, args, err := function(tc.Function, tc.Args)
			if err != nil {
				return nil, err
			}
			input, err := object(args)
			if err != nil {
				return nil, fmt.Errorf("call of %s: %w", name, err)
			}
			at[tc.ID] = len(out)
			out = append(out, Call{Tool: toolName(server, name), Input: input})
		}
		if i, ok := at[m.CallID]; ok && m.Role == "tool" {
			out[i].Output = m.text()
			out[i].Failed = m.Error != nil
		}
	}
	return out, nil
}

// function reads which tool is called: AgentDojo writes a name with args beside it, OpenAI an object with arguments as text.
func function(raw, args json.RawMessage) (string, []byte, error) {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		return name, args, nil
	}
	var f struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	}
	if err := json.Unmarshal(raw, &f); err != nil || f.Name == "" {
		return "", nil, errors.New("a tool call without a function")
	}
	return f.Name, []byte(f.Arguments), nil
}

func readDojo(data []byte) ([]Run, error) {
	var d struct {
		Suite    string    `json:"suite_name"`
		Pipeline string    `json:"pipeline_name"`
		User     string    `json:"user_task_id"`
		Inject   *string   `json:"injection_task_id"`
		Messages []message `json:"messages"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	found, err := calls(d.Suite, d.Messages)
	name := d.User
	if d.Inject != nil {
		name += "-" + *d.Inject
	}
	return []Run{{Agent: agentID(d.Suite + "-agent"), Model: d.Pipeline, Name: name, Calls: found}}, err
}

func readChats(data []byte) ([]Run, error) {
	var list []struct {
		Task  int       `json:"task_id"`
		Trial int       `json:"trial"`
		Traj  []message `json:"traj"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	runs := make([]Run, len(list))
	for i, r := range list {
		found, err := calls("airline", r.Traj)
		if err != nil {
			return nil, fmt.Errorf("run %d: %w", i, err)
		}
		runs[i] = Run{Agent: "airline-agent", Model: "gpt-4o", Name: fmt.Sprintf("task-%d-trial-%d", r.Task, r.Trial), Calls: found}
	}
	return runs, nil
}

// shellTool is what SWE-agent's actions are: commands of a shell.
const shellTool = "shell/run"

func readTrajectory(name string, data []byte) ([]Run, error) {
	var d struct {
		Trajectory []step `json:"trajectory"`
		History    []step `json:"history"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	steps := d.Trajectory
	if len(steps) == 0 {
		steps = d.History // replays keep only the history, which names the actions of the assistant
	}
	run := Run{Agent: "swe-agent", Model: "unknown", Name: name}
	for _, s := range steps {
		command := strings.TrimSpace(s.Action)
		if command != "" {
			run.Calls = append(run.Calls, Call{Tool: shellTool, Input: map[string]any{"command": command}, Output: s.Observation})
		}
	}
	return []Run{run}, nil
}

type step struct {
	Action      string `json:"action"`
	Observation string `json:"observation"`
}

// node is a node of ToolBench's tree: an Action names a tool, its child Action Input has the arguments and the answer.
type node struct {
	Type        string `json:"node_type"`
	Description string `json:"description"`
	Observation string `json:"observation"`
	Children    []node `json:"children"`
}

func readTree(name string, data []byte) ([]Run, error) {
	var d struct {
		Tree struct {
			Tree node `json:"tree"`
		} `json:"tree"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	run := Run{Agent: "toolbench-agent", Model: "chatgpt", Name: name}
	return []Run{run.walk(d.Tree.Tree, "", 0)}, nil
}

// depthMax bounds a tree.
const depthMax = 1000

func (r Run) walk(n node, tool string, depth int) Run {
	switch n.Type {
	case "Action":
		tool = n.Description
	case "Action Input":
		if tool != "" {
			input, err := object([]byte(n.Description))
			if err != nil {
				// The model wrote arguments that are no JSON; the call was attempted all the same.
				input = map[string]any{"text": n.Description}
			}
			r.Calls = append(r.Calls, Call{Tool: toolName("api", tool), Input: input, Output: n.Observation, Failed: strings.Contains(n.Observation, `"error": "`) && !strings.Contains(n.Observation, `"error": ""`)})
			tool = ""
		}
	}
	if depth < depthMax {
		for _, c := range n.Children {
			r = r.walk(c, tool, depth+1)
		}
	}
	return r
}
