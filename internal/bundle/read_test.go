package bundle

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/sigma"
)

// base gives the files of the base bundle.
func base(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	_, parts := textArchive(t, "testdata/base.txtar")
	for _, p := range parts {
		files[p.name] = p.data
	}
	return files
}

func system(files map[string][]byte) fs.FS {
	m := fstest.MapFS{}
	for name, data := range files {
		m[name] = &fstest.MapFile{Data: data, Mode: 0o644}
	}
	return m
}

// read reads files that have no problems.
func read(t testing.TB, files map[string][]byte) *Bundle {
	t.Helper()
	b, problems := Read(system(files))
	for _, p := range problems {
		t.Error(p)
	}
	if b == nil {
		t.FailNow()
	}
	return b
}

// Each file of testdata/bad replaces files of the base bundle; its part "want" has the problems, one a line. Run with
// UPDATE=1 to write them, and read what changed.
func TestABadBundleNamesFileLineAndRemedyOfEveryProblem(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no bad bundles: %v", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			comment, parts := textArchive(t, name)
			files, want, last := base(t), "", len(parts)
			for i, p := range parts {
				if p.name == "want" {
					want, last = string(p.data), i
					continue
				}
				files[p.name] = p.data
			}
			b, problems := Read(system(files))
			if b != nil || len(problems) == 0 {
				t.Error("a bad bundle was read as a good one")
			}
			got := told(t, problems)
			if os.Getenv("UPDATE") != "" {
				parts = append(parts[:last], part{"want", []byte(got)})
				if err := os.WriteFile(name, formatArchive(comment, parts), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func told(t *testing.T, problems Problems) string {
	t.Helper()
	var out strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&out, "%s:%d: %s | %s\n", p.File, p.Line, p.What, p.Remedy)
		if p.What == "" || p.Remedy == "" {
			t.Errorf("%+v does not say what and remedy", p)
		}
	}
	return out.String()
}

func TestAGoodBundleIsReadWhole(t *testing.T) {
	t.Parallel()
	b := read(t, base(t))
	ana, desk := gov.Principal{Type: gov.PrincipalUser, ID: "ana"}, gov.Principal{Type: gov.PrincipalService, ID: "desk"}
	want := &Bundle{
		Environments: []Environment{{"prod", gov.ModeEnforce}, {"staging", gov.ModeObserve}},
		Retention:    Retention{Days: 455},
		Approvers:    []gov.GroupID{"leads"},
		Roles:        map[gov.GroupID][]gov.Role{"leads": {gov.RoleAuthor, gov.RoleAuditor}, "desk": {gov.RoleAuthor}},
		Groups:       []Group{{"leads", "Review changes.", []gov.Principal{ana, {Type: gov.PrincipalUser, ID: "lea"}}}, {"desk", "Support.", []gov.Principal{desk, ana}}},
		Channels: []Channel{{
			ID: "leads-mail", Type: gov.ChannelEmail, Secret: "MAIL", From: "writ@example.com", To: []string{"leads@example.com"},
			Events: []gov.Event{gov.EventApprovalRequested, gov.EventReviewOwed}, Groups: []gov.GroupID{"leads"}, Environments: []gov.Environment{"prod"},
		}},
		Agents: []Agent{{
			ID: "support-bot", Owner: "ana", Purpose: "answers", Environments: []gov.Environment{"prod"}, RunsAs: "service:desk",
			Model: "anthropic/claude", Prompt: "prompts/support.md", Reads: []string{"tickets"}, Logs: "https://logs.example", RiskTier: "high",
			Tools: []gov.ToolName{"stripe/refund", "zendesk/read"}, File: "agents.yaml", Line: 2,
		}},
		Tools: []Tool{{
			Name: "stripe/refund", Description: "Refund.", Categories: []gov.Category{"data_write", "money"},
			InputSchema: json.RawMessage(`{"properties":{"amount":{"maximum":500,"minimum":1,"type":"integer"},"at":{"properties":{"a/b":{"type":"string"}},"type":"object"},"card":{"type":"string"}},"required":["amount"],"type":"object"}`),
			Secret:      []string{"/at/a~1b", "/card"}, DefinitionDigest: "sha256:" + strings.Repeat("0123456789abcdef", 4),
			Environments: []gov.Environment{"prod"}, File: "tools.yaml", Line: 2,
		}, {
			Name: "zendesk/read", Description: "Read.", Categories: []gov.Category{"read_only"}, Labels: []gov.Label{"private", "untrusted"},
			InputSchema: json.RawMessage(`{"type":"object"}`), File: "tools.yaml", Line: 15,
		}},
		Policies: []PolicyFile{{"policies/all.cedar", []byte("permit (principal, action, resource);\n")}},
		Limits: []Limit{
			{ID: "refunds", Tool: "stripe/refund", Calls: 5, WindowSeconds: 3600},
			{ID: "refunded", Tool: "stripe/refund", MicroUSD: 900_000_000, WindowSeconds: 86400, Fixed: true, WarnAt: 80, Amount: "amount"},
			{ID: "budget", Agent: "support-bot", Environment: "prod", Per: "principal", MicroUSD: 12_500_000, WindowSeconds: 30 * 86400, ReserveMicroUSD: 100_000},
		},
		Detectors: []Detector{
			{ID: "blocked_spike", Owner: "group:leads", Severity: 1, Contain: "agent", Runbook: "runbooks/spike.md", Params: map[string]int64{"window": 3600, "one_in": 200, "min": 5}},
			{ID: "new_tool", Off: true, Owner: "user:ana", Severity: 4, Params: map[string]int64{"learn": 100}},
		},
		Rules: []sigma.Rule{{
			ID: "night-refunds", Title: "Refunds by night", Severity: gov.SeverityHigh, Tags: []string{"AML.T0053", "ASI02", "T1657", "attack.impact"}, Category: sigma.ToolCall,
			Selections: []sigma.Selection{
				{Name: "refund", Any: []sigma.Match{{
					{Field: "tool", Op: sigma.Equals, Values: []string{"stripe/refund"}}, {Field: "labels", Op: sigma.Contains, All: true, Values: []string{"pri", "vate"}},
				}}},
				{Name: "other", Any: []sigma.Match{{{Field: "agent", Op: sigma.StartsWith, Values: []string{"night"}}}, {{Field: "session", Op: sigma.Equals}}}},
			},
			Condition: sigma.Node{Kind: sigma.And, Args: []sigma.Node{
				{Kind: sigma.Leaf, Selection: "refund"},
				{Kind: sigma.Not, Args: []sigma.Node{{Kind: sigma.Or, Args: []sigma.Node{{Kind: sigma.Leaf, Selection: "other"}, {Kind: sigma.Leaf, Selection: "other"}}}}},
			}},
			Cases: []sigma.Case{
				{Name: "a refund", Fires: true, Line: 12, Events: []sigma.Event{{Category: sigma.ToolCall, Fields: map[string][]string{
					"tool": {"stripe/refund"}, "labels": {"private"}, "session": {"s"}, "categories": {"data_write", "money"},
				}}}},
				{Name: "no session", Line: 14, Events: []sigma.Event{{Category: sigma.ToolCall, Fields: map[string][]string{
					"tool": {"stripe/refund"}, "labels": {"private"}, "categories": {"data_write", "money"},
				}}}},
			},
			File: "sigma/rule.yml", Line: 1,
		}},
		Prices:  []ModelPrice{{"anthropic/claude", 2_500_000, 10_000_000}, {"our-own", 0, 0}},
		Prompts: []Prompt{{"prompts/support.md", []byte("Be kind.\n")}},
		Tests: []Test{{
			Name: "a refund", Environment: "prod", Agent: "support-bot", Principal: desk, Assurance: gov.AssuranceBound, Groups: []gov.GroupID{"desk"},
			Tool: "stripe/refund", Labels: []gov.Label{"private"}, Want: gov.OutcomeAllow, WantPolicy: "all", WantReason: gov.ReasonPolicyPermit,
			Input: map[string]any{
				"amount": json.Number("5"), "ratio": json.Number("0.5"), "ok": true, "none": nil, "list": []any{json.Number("1"), "a"}, "day": "2026-01-14",
			},
			File: "tests/support.yaml", Line: 2,
		}, {
			Name: "a person asks", Environment: "prod", Agent: "support-bot", Principal: ana, Assurance: gov.AssuranceVerified,
			Groups: []gov.GroupID{"desk", "leads"}, Tool: "zendesk/read", Input: map[string]any{}, Want: gov.OutcomeDeny,
			File: "tests/support.yaml", Line: 11,
		}},
	}
	if diff := cmp.Diff(want, b, cmpopts.IgnoreUnexported(Bundle{}), cmpopts.IgnoreFields(Bundle{}, "Digest", "Files")); diff != "" {
		t.Errorf("bundle (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(base(t), b.Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestLookupsFindWhatTheFilesName(t *testing.T) {
	t.Parallel()
	b := read(t, base(t))
	if a, ok := b.Agent("support-bot"); !ok || a != &b.Agents[0] {
		t.Errorf("agent: %v %v", a, ok)
	}
	if tool, ok := b.Tool("zendesk/read"); !ok || tool != &b.Tools[1] {
		t.Errorf("tool: %v %v", tool, ok)
	}
	if e, ok := b.Environment("staging"); !ok || e.Mode != gov.ModeObserve {
		t.Errorf("environment: %v %v", e, ok)
	}
	_, agent := b.Agent("support")
	_, tool := b.Tool("zendesk")
	_, environment := b.Environment("org")
	if agent || tool || environment {
		t.Errorf("found what is not there: agent %v, tool %v, environment %v", agent, tool, environment)
	}
	groups := b.GroupsOf(gov.Principal{Type: gov.PrincipalUser, ID: "ana"})
	if diff := cmp.Diff([]gov.GroupID{"desk", "leads"}, groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	groups[0] = "changed"
	if again := b.GroupsOf(gov.Principal{Type: gov.PrincipalUser, ID: "ana"}); again[0] != "desk" {
		t.Error("a caller can change the groups of others")
	}
	if none := b.GroupsOf(gov.Principal{Type: gov.PrincipalService, ID: "ana"}); len(none) != 0 {
		t.Errorf("a service has the groups of a user: %v", none)
	}
}

// The digest is the version that records name for years, so a change of its algorithm has to be seen.
func TestTheDigestIsThatOfPathsLengthsAndContents(t *testing.T) {
	t.Parallel()
	const want = "sha256:c29ceb2bae87e8e60215cf078b051f981c665f88aa75ca510eaa99dbc0b3d00f"
	files := map[string][]byte{"a": []byte("bc"), "ab": []byte("c")}
	if got := digest(files); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	moved := map[string][]byte{"a": []byte("bca"), "b": []byte("c")}
	if digest(files) == digest(moved) {
		t.Error("content that moved between files has the same digest")
	}
}

func TestAnyChangeOfAnyFileChangesTheDigest(t *testing.T) {
	t.Parallel()
	before := read(t, base(t)).Digest
	for _, name := range []string{"README.md", "detectors.yaml", "policies/all.cedar", "sigma/rule.yml", "prompts/support.md"} {
		files := base(t)
		files[name] = append(files[name], '\n')
		if read(t, files).Digest == before {
			t.Errorf("a change of %s keeps the digest", name)
		}
	}
	files := base(t)
	files["prompts/other.md"] = nil
	if read(t, files).Digest == before {
		t.Error("a new empty file keeps the digest")
	}
}

func TestVersionControlIsNotPartOfABundle(t *testing.T) {
	t.Parallel()
	files := base(t)
	files[".git/config"] = []byte("[core]")
	if got, want := read(t, files).Digest, read(t, base(t)).Digest; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestALinkIsRefused(t *testing.T) {
	t.Parallel()
	m := fstest.MapFS{"writ.yaml": {Data: []byte("../../etc/passwd"), Mode: fs.ModeSymlink | 0o777}}
	b, problems := Read(m)
	if b != nil || len(problems) == 0 || problems[0].File != "writ.yaml" || !strings.Contains(problems[0].What, "not a regular file") {
		t.Errorf("got %v", problems)
	}
}

func TestSizesAreBounded(t *testing.T) {
	t.Parallel()
	large := base(t)
	large["prompts/large.md"] = make([]byte, fileBytesMax+1)
	heavy := base(t)
	for i := range totalBytesMax/fileBytesMax + 1 {
		heavy[fmt.Sprintf("prompts/%d.md", i)] = make([]byte, fileBytesMax)
	}
	many := base(t)
	for i := range filesMax {
		many[fmt.Sprintf("prompts/%d.md", i)] = nil
	}
	for name, files := range map[string]map[string][]byte{"large": large, "heavy": heavy, "many": many} {
		if b, problems := Read(system(files)); b != nil || len(problems) == 0 {
			t.Errorf("%s: was read", name)
		}
	}
	just := base(t)
	just["prompts/just.md"] = make([]byte, fileBytesMax)
	read(t, just)
}

func TestProblemsAreBoundedAndSorted(t *testing.T) {
	t.Parallel()
	files := base(t)
	var b strings.Builder
	b.WriteString("limits:\n")
	for i := range 3 * problemsMax {
		fmt.Fprintf(&b, "  l%d: {calls: x, window: 1h}\n", i)
	}
	files["limits.yaml"] = []byte(b.String())
	files["agents.yaml"] = []byte("agents: []\n")
	_, problems := Read(system(files))
	if len(problems) != problemsMax+1 || problems[0].File != "agents.yaml" || !strings.HasPrefix(problems[problemsMax].What, "and 4") {
		t.Fatalf("%d problems, first %v, last %v", len(problems), problems[0], problems[len(problems)-1])
	}
	for i := 2; i < problemsMax; i++ {
		if problems[i-1].File == problems[i].File && problems[i-1].Line > problems[i].Line {
			t.Fatalf("line %d before line %d", problems[i-1].Line, problems[i].Line)
		}
	}
}

func TestABundleWithoutSettingsIsRefused(t *testing.T) {
	t.Parallel()
	b, problems := Read(fstest.MapFS{})
	if b != nil || len(problems) != 1 || problems[0].File != "writ.yaml" {
		t.Errorf("got %v", problems)
	}
}

func TestDeepYAMLIsRefused(t *testing.T) {
	t.Parallel()
	files := base(t)
	files["tests/deep.yaml"] = []byte("tests: " + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "\n")
	_, problems := Read(system(files))
	if len(problems) == 0 || !strings.Contains(problems[0].What, "deeper than") {
		t.Errorf("got %v", problems)
	}
}

func FuzzReadNeverPanicsAndWhatItAcceptsSurvivesItsTar(f *testing.F) {
	for name, data := range base(f) {
		f.Add(name, data)
	}
	for _, text := range []string{"", "a: &a [*a]", "tools: {a/b: {input_schema: {type: object, $ref: '#'}}}", "tests: [{input: {a: 1e400}}]", "? {a: b}\n: c", "%YAML 1.1\n---\n!!map {}"} {
		f.Add("tools.yaml", []byte(text))
		f.Add("tests/x.yaml", []byte(text))
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		files := base(t)
		if !fs.ValidPath(name) || strings.Contains(name, "..") {
			return
		}
		files[name] = data
		b, problems := Read(system(files))
		if (b == nil) != (len(problems) > 0) {
			t.Fatalf("a bundle and problems at once, or neither: %v", problems)
		}
		for _, p := range problems {
			if p.What == "" || p.Line < 0 {
				t.Fatalf("problem %+v", p)
			}
		}
		if b != nil {
			roundTrip(t, b)
		}
	})
}

func TestAChannelTellsOfWhatItWants(t *testing.T) {
	t.Parallel()
	c, ok := read(t, base(t)).Channel("leads-mail")
	if _, other := read(t, base(t)).Channel("leads"); !ok || other {
		t.Fatalf("the lookup finds %v %v", ok, other)
	}
	all := Channel{Events: c.Events}
	for _, test := range []struct {
		c      Channel
		event  gov.Event
		env    gov.Environment
		groups []gov.GroupID
		want   bool
	}{
		{c, gov.EventReviewOwed, "prod", []gov.GroupID{"desk", "leads"}, true},
		{c, gov.EventChangeProposed, "prod", []gov.GroupID{"leads"}, false},
		{c, gov.EventReviewOwed, "staging", []gov.GroupID{"leads"}, false},
		{c, gov.EventReviewOwed, "prod", []gov.GroupID{"desk"}, false},
		{c, gov.EventReviewOwed, "prod", nil, false},
		{all, gov.EventReviewOwed, "staging", []gov.GroupID{"desk"}, true},
		{all, gov.EventApprovalDecided, "prod", nil, false},
	} {
		if got := test.c.Wants(test.event, test.env, test.groups); got != test.want {
			t.Errorf("%s %s %v: %v, want %v", test.event, test.env, test.groups, got, test.want)
		}
	}
}
