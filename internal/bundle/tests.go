package bundle

import (
	"maps"
	"slices"
	"strings"

	"github.com/writ-dev/writ/internal/gov"
)

// reasonCodes are the codes that a test can ask for.
func reasonCodes() []gov.ReasonCode {
	return []gov.ReasonCode{
		gov.ReasonAgentUnknown, gov.ReasonAgentSuspended, gov.ReasonAgentEnvironment, gov.ReasonToolUnknown, gov.ReasonToolNotAllowed,
		gov.ReasonInputSchema, gov.ReasonPolicyError, gov.ReasonPolicyForbid, gov.ReasonNoPermit, gov.ReasonLimit, gov.ReasonApproval,
		gov.ReasonPolicyPermit,
	}
}

// tests reads tests/*.yaml; everything else has been read and indexed.
func (r *reader) tests() {
	names := map[string]bool{}
	for _, file := range slices.Sorted(maps.Keys(r.docs)) {
		if !strings.HasPrefix(file, "tests/") {
			continue
		}
		for _, item := range r.docs[file].fields(file, 1, "tests!")("tests").items("tests") {
			t := r.test(item)
			if t.Name != "" && names[t.Name] {
				item.wrong("give each test a name of its own", "the test %q comes twice", t.Name)
			}
			names[t.Name] = true
			r.b.Tests = append(r.b.Tests, t)
		}
	}
}

func (r *reader) test(v value) Test {
	get := v.fields("a test", v.line(), "name!", "environment!", "agent!", "principal", "assurance", "groups", "tool!", "input!", "labels", "taint", "near_finding", "findings",
		"want!", "policy", "reason")
	t := Test{
		File: v.file, Line: v.line(), Name: get("name").text("name"),
		Environment: oneOf(get("environment"), "environment", environmentNames(r.b)),
		Agent:       gov.AgentID(get("agent").text("agent")), Tool: gov.ToolName(get("tool").text("tool")),
		Assurance: oneOf(get("assurance"), "assurance", []gov.Assurance{gov.AssuranceVerified, gov.AssuranceBound, gov.AssuranceAsserted}),
		Groups:    listOf(get("groups"), "groups", groupIDs(r.b)), Input: get("input").object("input"), Labels: get("labels").labels(),
		Near: get("near_finding").flag("near_finding"), Findings: listOf(get("findings"), "findings", []string{"low", "medium", "high"}),
		Want:       oneOf(get("want"), "want", []gov.Outcome{gov.OutcomeAllow, gov.OutcomeDeny, gov.OutcomeRequireApproval}),
		WantPolicy: gov.PolicyID(get("policy").text("policy")), WantReason: oneOf(get("reason"), "reason", reasonCodes()),
	}
	for _, path := range get("taint").items("taint") {
		if text := path.text("a path of taint"); strings.HasPrefix(text, "/") {
			t.Taint = append(t.Taint, text)
		} else {
			path.wrong("write a JSON pointer into the input: /to/0", "the tainted field is %q", text)
		}
	}
	if t.Assurance == "" {
		t.Assurance = gov.AssuranceBound
	}
	r.testNames(&t, get)
	r.testPrincipal(&t, get("principal"))
	return t
}

// testNames checks that what a test names exists, unless that it does not is what the test is about.
func (r *reader) testNames(t *Test, get func(string) value) {
	if _, ok := r.b.Agent(t.Agent); !ok && t.Agent != "" && t.WantReason != gov.ReasonAgentUnknown {
		get("agent").wrong(suggest(string(t.Agent), words(slices.Collect(maps.Keys(r.b.index.agents)))), "there is no agent %s", t.Agent)
	}
	if _, ok := r.b.Tool(t.Tool); !ok && t.Tool != "" && t.WantReason != gov.ReasonToolUnknown {
		get("tool").wrong(suggest(string(t.Tool), words(slices.Collect(maps.Keys(r.b.index.tools)))), "there is no tool %s", t.Tool)
	}
}

// testPrincipal fills in the principal that the agent runs as, and the groups that list the principal.
func (r *reader) testPrincipal(t *Test, v value) {
	if p, ok := v.principal("principal"); ok {
		t.Principal = p
	}
	if agent, ok := r.b.Agent(t.Agent); ok && !v.given() {
		if agent.RunsAs == callerRuns {
			r.wrong(t.File, t.Line, "add principal: user:ID", "agent %s runs as its caller, and the test %q names none", t.Agent, t.Name)
			return
		}
		t.Principal, _ = gov.ParsePrincipal(agent.RunsAs) // a bad one is a problem of the agent
	}
	t.Groups = append(t.Groups, r.b.GroupsOf(t.Principal)...)
	slices.Sort(t.Groups)
	t.Groups = slices.Compact(t.Groups)
}
