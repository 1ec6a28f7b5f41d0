package bundle

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-dev/writ/internal/gov"
)

func TestADiffNamesWhatChangedAndNotWhatMoved(t *testing.T) {
	t.Parallel()
	before, files := read(t, base(t)), base(t)
	replace := func(name, old, with string) {
		if !bytes.Contains(files[name], []byte(old)) {
			t.Fatalf("%s has no %q", name, old)
		}
		files[name] = bytes.Replace(files[name], []byte(old), []byte(with), 1)
	}
	replace("writ.yaml", "{mode: observe}", "{mode: enforce}")
	replace("writ.yaml", "change_approvers: [leads]", "retention: {days: 365}\nchange_approvers: [leads, desk]")
	replace("writ.yaml", "Support.", "The desk.")
	replace("writ.yaml", "[approval_requested, review_owed]", "[approval_requested]")
	replace("agents.yaml", "[zendesk/read, stripe/refund]", "[zendesk/read, mail/send]")
	replace("tools.yaml", "maximum: 500", "maximum: 900")
	replace("tools.yaml", "  zendesk/read:", "  mail/send: {description: Send., categories: [external_communication], input_schema: {type: object}}\n  zendesk/read:")
	replace("agents.yaml", "owner: ana", "owner: omar")
	replace("agents.yaml", "risk_tier: high", "risk_tier: low")
	replace("writ.yaml", "roles: {author: [leads, desk], auditor: [leads]}", "roles: {author: [leads], auditor: [leads, desk]}")
	replace("limits.yaml", "usd: 12.5", "usd: 13")
	replace("tests/support.yaml", "a person asks", "somebody asks")
	delete(files, "prompts/support.md")
	replace("agents.yaml", "    prompt: prompts/support.md\n", "")
	files["policies/new.cedar"] = files["policies/all.cedar"]
	want := Diff{
		Environments: []Change{{Name: "staging", Kind: ChangeChanged, Fields: []string{"mode"}, Moves: []Move{{"mode", "observe", "enforce"}}}},
		Settings: []Change{
			{Name: "change_approvers", Kind: ChangeChanged, Moves: []Move{{"groups", "leads", "leads, desk"}}},
			{Name: "groups.desk", Kind: ChangeChanged, Fields: []string{"description"}, Moves: []Move{{"description", "Support.", "The desk."}}},
			{Name: "notify.leads-mail", Kind: ChangeChanged, Fields: []string{"events"}, Moves: []Move{{"events", "approval_requested, review_owed", "approval_requested"}}},
			{Name: "retention", Kind: ChangeChanged, Moves: []Move{{"days", "455", "365"}}},
			{Name: "roles", Kind: ChangeChanged, Moves: []Move{{"desk", "author", "auditor"}}},
		},
		Agents: []Change{{
			Name: "support-bot", Kind: ChangeChanged, Fields: []string{"owner", "prompt", "risk_tier", "tools"}, ToolsGained: []gov.ToolName{"mail/send"},
			ToolsLost: []gov.ToolName{"stripe/refund"}, Moves: []Move{{"owner", "ana", "omar"}, {"prompt", "prompts/support.md", ""}, {"risk_tier", "high", "low"}},
		}},
		Tools: []Change{{Name: "mail/send", Kind: ChangeAdded}, {Name: "stripe/refund", Kind: ChangeChanged, Fields: []string{"input_schema"}}},
		Policies: []Change{{
			Name: "policies/new.cedar", Kind: ChangeAdded, Lines: []string{"@@ -0,0 +1,1 @@", "+permit (principal, action, resource);"},
		}},
		Limits:  []Change{{Name: "budget", Kind: ChangeChanged, Fields: []string{"micro_usd"}, Moves: []Move{{"micro_usd", "12500000", "13000000"}}}},
		Prompts: []Change{{Name: "prompts/support.md", Kind: ChangeRemoved, Lines: []string{"@@ -1,1 +0,0 @@", "-Be kind."}}},
		Tests:   []Change{{Name: "a person asks", Kind: ChangeRemoved}, {Name: "somebody asks", Kind: ChangeAdded}},
		Files: []Change{
			{Name: "agents.yaml", Kind: ChangeChanged}, {Name: "limits.yaml", Kind: ChangeChanged}, {Name: "policies/new.cedar", Kind: ChangeAdded},
			{Name: "prompts/support.md", Kind: ChangeRemoved}, {Name: "tests/support.yaml", Kind: ChangeChanged}, {Name: "tools.yaml", Kind: ChangeChanged},
			{Name: "writ.yaml", Kind: ChangeChanged},
		},
	}
	got := Compare(before, read(t, files))
	for i := range got.Files {
		f := &got.Files[i]
		elsewhere := strings.HasPrefix(f.Name, "policies/") || strings.HasPrefix(f.Name, "prompts/")
		if (len(f.Lines) == 0) != elsewhere {
			t.Errorf("%s has the lines %q among the files", f.Name, f.Lines)
		}
		if f.Name == "limits.yaml" && !slices.Contains(f.Lines, "+  budget: {agent: support-bot, environment: prod, per: principal, usd: 13, window: 30d}") {
			t.Errorf("limits.yaml: %q", f.Lines)
		}
		f.Lines = nil
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("diff (-want +got):\n%s", diff)
	}
}

func TestABundleDoesNotDifferFromItself(t *testing.T) {
	t.Parallel()
	if d := Compare(read(t, base(t)), read(t, base(t))); !d.Empty() || len(d.Agents)+len(d.Settings)+len(d.Tools) > 0 {
		t.Errorf("got %+v", d)
	}
}

func TestTheFirstBundleAddsEverything(t *testing.T) {
	t.Parallel()
	b := read(t, base(t))
	d := Compare(nil, b)
	if len(d.Files) != len(b.Files) || len(d.Tools) != len(b.Tools) || len(d.Agents) != 1 || d.Agents[0].Kind != ChangeAdded {
		t.Fatalf("got %+v", d)
	}
	if diff := cmp.Diff(b.Agents[0].Tools, d.Agents[0].ToolsGained); diff != "" {
		t.Errorf("tools gained (-want +got):\n%s", diff)
	}
}

func TestANearNameIsSuggested(t *testing.T) {
	t.Parallel()
	known := []string{"environments", "retention", "groups"}
	for got, want := range map[string]string{
		"enviroments": `did you mean "environments"?`,
		"gruops":      `did you mean "groups"?`,
		"retention":   `did you mean "retention"?`,
		"else":        "known: environments, groups, retention",
	} {
		if s := suggest(got, known); s != want {
			t.Errorf("%s: %s, want %s", got, s, want)
		}
	}
}
