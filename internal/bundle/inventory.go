package bundle

import (
	"slices"

	"github.com/writ-dev/writ/internal/gov"
)

// callerRuns is what runs_as says when each call names its own principal.
const callerRuns = "caller"

// agents reads agents.yaml; the tools have been read.
func (r *reader) agents() {
	v, ok := r.docs[fileAgents]
	if !ok {
		return
	}
	tools := make([]gov.ToolName, len(r.b.Tools))
	for i := range r.b.Tools {
		tools[i] = r.b.Tools[i].Name
	}
	for _, m := range v.fields(fileAgents, 1, "agents!")("agents").members("agents") {
		if !gov.ValidName(m.key) {
			r.wrong(m.file, m.line, nameRemedy, "%q cannot name an agent", m.key)
			continue
		}
		r.b.Agents = append(r.b.Agents, r.agent(m, tools))
	}
}

func (r *reader) agent(m member, tools []gov.ToolName) Agent {
	get := m.fields("agent "+m.key, m.line, "owner!", "purpose!", "environments!", "runs_as!", "model!", "prompt", "reads!", "logs!",
		"risk_tier!", "suspended", "tools!")
	a := Agent{
		ID: gov.AgentID(m.key), File: m.file, Line: m.line,
		Owner: get("owner").text("owner"), Purpose: get("purpose").text("purpose"),
		Environments: listOf(get("environments"), "environments", environmentNames(r.b)),
		RunsAs:       get("runs_as").runsAs(), Model: get("model").text("model"), Prompt: r.prompt(get("prompt")),
		Logs: get("logs").text("logs"), RiskTier: oneOf(get("risk_tier"), "risk_tier", []string{"low", "medium", "high"}),
		Suspended: get("suspended").flag("suspended"), Tools: listOf(get("tools"), "tools", tools),
	}
	for _, item := range get("reads").items("reads") {
		a.Reads = append(a.Reads, item.text("reads"))
	}
	if v := get("environments"); v.given() && len(v.node.Content) == 0 {
		v.wrong("name at least one, or set suspended: true", "agent %s is in no environment", m.key)
	}
	slices.Sort(a.Tools)
	return a
}

func (v value) runsAs() string {
	text := v.text("runs_as")
	if text == "" || text == callerRuns {
		return text
	}
	if _, err := gov.ParsePrincipal(text); err != nil {
		v.wrong("write caller, user:ID, service:ID or organization:ID", "runs_as is %q", text)
	}
	return text
}

func (r *reader) prompt(v value) string {
	names := make([]string, len(r.b.Prompts))
	for i, p := range r.b.Prompts {
		names[i] = p.Name
	}
	return oneOf(v, "prompt", names)
}
