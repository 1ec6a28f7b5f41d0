package policy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/limit"
	"github.com/writ-dev/writ/internal/policy"
)

const writYAML = `environments: {prod: {mode: %s}}
change_approvers: [leads]
groups:
  leads: {description: leads, members: ["user:ana", "user:lea"]}
  finance: {description: finance, members: ["user:fay"]}
`

const agentsYAML = `agents:
  bot: {owner: a, purpose: p, environments: [prod], runs_as: "service:bot", model: m/m, reads: [x], logs: l, risk_tier: low, tools: [pay/send, web/read, mail/send]}
  idle: {owner: a, purpose: p, environments: [prod], runs_as: "service:bot", model: m/m, reads: [x], logs: l, risk_tier: low, suspended: true, tools: [web/read]}
`

const toolsYAML = `tools:
  pay/send:
    description: pays
    categories: [money]
    input_schema:
      type: object
      additionalProperties: false
      required: [amount]
      properties:
        amount: {type: integer, minimum: 0, maximum: 1000000}
        big: {type: integer}
        rate: {type: number}
        to: {type: string}
        tags: {type: array, items: {type: string}}
        who: {type: object, properties: {country: {type: string}}, required: [country]}
        any: {}
  web/read:
    description: reads
    categories: [read_only]
    labels: [untrusted]
    input_schema: {type: object, properties: {url: {type: string}}}
  mail/send:
    description: sends
    categories: [external_communication]
    input_schema: {type: object, properties: {to: {type: string}}}
  other/tool:
    description: not on any allowlist
    categories: [read_only]
    input_schema: {type: object}
`

const limitsYAML = `
limits:
  rate: {category: money, per: principal, calls: 5, window: 1h}
  sent: {tool: pay/send, usd: 900, amount: amount, window: 1d, fixed: true}
  another: {agent: idle, calls: 5, window: 1h}
`

// files is a bundle of these policies.
func files(mode, policies string) map[string][]byte {
	return map[string][]byte{
		"writ.yaml": fmt.Appendf(nil, writYAML, mode), "agents.yaml": []byte(agentsYAML), "tools.yaml": []byte(toolsYAML),
		"policies/p.cedar": []byte(policies), "limits.yaml": []byte(limitsYAML),
	}
}

func compile(t testing.TB, mode, policies string) *policy.Engine {
	t.Helper()
	e, problems := try(mode, policies)
	if len(problems) > 0 {
		t.Fatalf("problems: %+v", problems)
	}
	return e
}

func try(mode, policies string) (*policy.Engine, bundle.Problems) {
	b, problems := bundle.ReadFiles(files(mode, policies))
	if len(problems) > 0 {
		return nil, problems
	}
	return policy.Compile(b)
}

const permitAll = `@id("all") permit (principal, action, resource);` + "\n"

func state(e *policy.Engine) policy.State {
	return policy.State{Environment: "prod", Engine: e, CredentialValid: true, CredentialAgent: "bot", Time: time.Date(2026, 11, 23, 14, 3, 0, 0, time.UTC)}
}

func call(t testing.TB, tool, input string) gov.Call {
	t.Helper()
	m, err := canon.ParseObject([]byte(input))
	if err != nil {
		t.Fatal(err)
	}
	return gov.Call{Agent: "bot", Principal: gov.Principal{Type: gov.PrincipalService, ID: "bot"}, Assurance: gov.AssuranceBound, Tool: gov.ToolName(tool), Input: m}
}

// short is a verdict in one line: outcome, would, codes, policies.
func short(v policy.Verdict) string {
	var codes []string
	for _, r := range v.Reasons {
		codes = append(codes, string(r.Code))
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s [%s] %v", v.Outcome, v.Would, strings.Join(codes, " "), v.Policies))
}

func TestTheOrderOfJudgement(t *testing.T) {
	t.Parallel()
	const policies = permitAll + `
@id("hard") forbid (principal, action == Action::"pay/send", resource) when { context.input.amount > 900 };
@id("gate") @require_approval("finance") @quorum("2") forbid (principal, action == Action::"pay/send", resource) when { context.input.amount > 500 };
@id("errs") forbid (principal, action == Action::"pay/send", resource) when { context.input has who && context.input.who.country == "XX" && context.input.amount * 9 > 3 };
`
	e := compile(t, "enforce", policies)
	none := compile(t, "enforce", `@id("only-mail") permit (principal, action == Action::"mail/send", resource);`)
	for name, c := range map[string]struct {
		change func(*policy.State, *gov.Call)
		input  string
		want   string
	}{
		"no bundle":            {func(s *policy.State, _ *gov.Call) { s.Engine = nil }, `{"amount":1}`, "deny  [no_bundle] []"},
		"credential":           {func(s *policy.State, _ *gov.Call) { s.CredentialValid = false }, `{"amount":1}`, "deny  [credential_invalid] []"},
		"another's credential": {func(s *policy.State, _ *gov.Call) { s.CredentialAgent = "idle" }, `{"amount":1}`, "deny  [credential_invalid] []"},
		"agent unknown":        {func(s *policy.State, c *gov.Call) { c.Agent, s.CredentialAgent = "new", "new" }, `{"amount":1}`, "deny  [agent_unknown] []"},
		"agent suspended":      {func(s *policy.State, c *gov.Call) { c.Agent, s.CredentialAgent = "idle", "idle" }, `{"amount":1}`, "deny  [agent_suspended] []"},
		"another environment":  {func(s *policy.State, _ *gov.Call) { s.Environment = "staging" }, `{"amount":1}`, "deny  [agent_environment] []"},
		"switch before tool": {func(s *policy.State, c *gov.Call) {
			s.Switches, c.Tool = []gov.Switch{{ID: "s", SwitchScope: gov.SwitchScope{Agent: "bot"}}}, "no/tool"
		}, `{}`, "deny  [switch] []"},
		"tool unknown":          {func(_ *policy.State, c *gov.Call) { c.Tool = "no/tool" }, `{}`, "deny  [tool_unknown] []"},
		"tool not allowed":      {func(_ *policy.State, c *gov.Call) { c.Tool = "other/tool" }, `{}`, "deny  [tool_not_allowed] []"},
		"schema before policy":  {nil, `{"amount":-5}`, "deny  [input_schema] []"},
		"hard before gate":      {nil, `{"amount":901}`, "deny  [policy_forbid] [gate hard]"},
		"no permit before gate": {func(s *policy.State, _ *gov.Call) { s.Engine = none }, `{"amount":600}`, "deny  [no_permit] []"},
		"limit before gate":     {func(s *policy.State, _ *gov.Call) { s.Full = func(limit.Charge) bool { return true } }, `{"amount":600}`, "deny  [limit limit] []"},
		"gate":                  {nil, `{"amount":600}`, "require_approval  [approval_required] [gate]"},
		"allow":                 {nil, `{"amount":5}`, "allow  [policy_permit] [all]"},
	} {
		s, k := state(e), call(t, "pay/send", c.input)
		if c.change != nil {
			c.change(&s, &k)
		}
		if got := short(policy.Evaluate(s, k)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	v := policy.Evaluate(state(e), call(t, "pay/send", `{"amount":600}`))
	want := &policy.Gate{Groups: []gov.GroupID{"finance"}, Quorum: 2, ApproveWithin: 4 * time.Hour, ExecuteWithin: 10 * time.Minute, Policies: []gov.PolicyID{"gate"}}
	if diff := cmp.Diff(want, v.Gate); diff != "" {
		t.Error(diff)
	}
}

func TestWhatCannotBeRepresentedErrsOnlyWhereItIsRead(t *testing.T) {
	t.Parallel()
	reading := compile(t, "enforce", permitAll+`@id("reads-who") forbid (principal, action == Action::"pay/send", resource) when { context.input has to && context.input.amount > 999999999 };
@id("reads-rate") forbid (principal, action == Action::"pay/send", resource) when { context.input has rate && context.input.rate.greaterThan(decimal("2.0")) };
@id("names-it") forbid (principal, action == Action::"pay/send", resource) when { context.unrepresentable.contains("/rate") };`)
	blind := compile(t, "enforce", permitAll)
	for input, want := range map[string]string{
		`{"amount":1,"rate":1.5}`:                 "allow  [policy_permit] [all]",
		`{"amount":1,"rate":2.5}`:                 "deny  [policy_forbid] [reads-rate]",
		`{"amount":1,"rate":3}`:                   "deny  [policy_forbid] [reads-rate]",
		`{"amount":1,"rate":52.520008}`:           "deny  [policy_forbid] [names-it]",
		`{"amount":1,"big":18446744073709551616}`: "allow  [policy_permit] [all]",
	} {
		if got := short(policy.Evaluate(state(reading), call(t, "pay/send", input))); got != want {
			t.Errorf("%s: %s, want %s", input, got, want)
		}
		if got := policy.Evaluate(state(blind), call(t, "pay/send", input)); got.Outcome != gov.OutcomeAllow {
			t.Errorf("%s: a policy that does not read it: %s", input, short(got))
		}
	}
}

// A forbid that errs is skipped by Cedar: it would fail open.
func TestAnyErrorOfEvaluationDenies(t *testing.T) {
	t.Parallel()
	// big has no maximum in its schema, so 2^60 fits the schema and is no Long that the record could show: the policy errs.
	b := files("enforce", permitAll+`@id("errs") forbid (principal, action == Action::"pay/send", resource) when { context.input.big > 5 };`)
	b["tools.yaml"] = []byte(strings.Replace(toolsYAML, "required: [amount]", "required: [amount, big]", 1))
	read, problems := bundle.ReadFiles(b)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	e, problems := policy.Compile(read)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for input, want := range map[string]string{
		`{"amount":1,"big":1}`:                   "allow  [policy_permit] [all]",
		`{"amount":1,"big":6}`:                   "deny  [policy_forbid] [errs]",
		`{"amount":1,"big":1152921504606846976}`: "deny  [policy_error] [errs]",
	} {
		if got := short(policy.Evaluate(state(e), call(t, "pay/send", input))); got != want {
			t.Errorf("%s: %s, want %s", input, got, want)
		}
	}
}

func TestObserveModeLetsPassAndSaysWhatItWouldHaveBeen(t *testing.T) {
	t.Parallel()
	e := compile(t, "observe", permitAll+`@id("hard") forbid (principal, action == Action::"pay/send", resource);`)
	v := policy.Evaluate(state(e), call(t, "pay/send", `{"amount":1}`))
	if got := short(v); got != "allow deny [policy_forbid] [hard]" || v.Mode != gov.ModeObserve {
		t.Errorf("%s in mode %s", got, v.Mode)
	}
	for name, change := range map[string]func(*policy.State, *gov.Call){
		"switch": func(s *policy.State, _ *gov.Call) {
			s.Switches = []gov.Switch{{ID: "s", SwitchScope: gov.SwitchScope{All: true}}}
		},
		"suspended":  func(s *policy.State, c *gov.Call) { c.Agent, s.CredentialAgent = "idle", "idle" },
		"credential": func(s *policy.State, _ *gov.Call) { s.CredentialValid = false },
	} {
		s, c := state(e), call(t, "pay/send", `{"amount":1}`)
		change(&s, &c)
		if v := policy.Evaluate(s, c); v.Outcome != gov.OutcomeDeny {
			t.Errorf("%s in observe mode: %s", name, short(v))
		}
	}
	for name, tool := range map[string]string{"unknown tool": "no/tool", "not allowed": "other/tool"} {
		if v := policy.Evaluate(state(e), call(t, tool, `{}`)); v.Outcome != gov.OutcomeAllow || v.Would != gov.OutcomeDeny {
			t.Errorf("%s in observe mode: %s", name, short(v))
		}
	}
}

func TestAPolicyInObserveModeOnlyRecords(t *testing.T) {
	t.Parallel()
	e := compile(t, "enforce", permitAll+`@id("trial") @mode("observe") forbid (principal, action == Action::"pay/send", resource);`)
	if got := short(policy.Evaluate(state(e), call(t, "pay/send", `{"amount":1}`))); got != "allow deny [policy_forbid policy_permit] [all trial]" {
		t.Error(got)
	}
}

func TestSessionsRememberLabels(t *testing.T) {
	t.Parallel()
	e := compile(t, "enforce", permitAll+`@id("no-exfiltration") forbid (principal, action in Action::"external_communication", resource) when { context.session.labels.contains("untrusted") };`)
	v := policy.Evaluate(state(e), call(t, "web/read", `{}`))
	if !slices.Equal(v.LabelsAdded, []gov.Label{"untrusted"}) {
		t.Errorf("reading adds %v", v.LabelsAdded)
	}
	s := state(e)
	if got := policy.Evaluate(s, call(t, "mail/send", `{}`)); got.Outcome != gov.OutcomeAllow {
		t.Errorf("a clean session: %s", short(got))
	}
	s.Labels = []gov.Label{"untrusted"}
	if got := short(policy.Evaluate(s, call(t, "mail/send", `{}`))); got != "deny  [policy_forbid] [no-exfiltration]" {
		t.Errorf("after reading: %s", got)
	}
	if v := policy.Evaluate(s, call(t, "web/read", `{}`)); len(v.LabelsAdded) != 0 {
		t.Errorf("a label is added twice: %v", v.LabelsAdded)
	}
}

func TestWhatIsWrongInPoliciesIsFoundAtTheCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"no id":                {`permit (principal, action, resource);`, "id"},
		"id twice":             {permitAll + permitAll, "taken"},
		"typo in a field":      {`@id("x") forbid (principal, action == Action::"pay/send", resource) when { context.input.amuont > 5 };`, "amuont"},
		"typo in an action":    {`@id("x") forbid (principal, action == Action::"pay/sned", resource);`, "pay/sned"},
		"optional without has": {`@id("x") forbid (principal, action == Action::"pay/send", resource) when { context.input.to == "x" };`, "to"},
		"wrong type":           {`@id("x") forbid (principal, action == Action::"pay/send", resource) when { context.input.amount == "x" };`, ""},
		"unknown annotation":   {`@id("x") @require_aproval("finance") forbid (principal, action, resource);`, "require_aproval"},
		"unknown group":        {`@id("x") @require_approval("fin") forbid (principal, action, resource);`, `"fin"`},
		"gate on a permit":     {`@id("x") @require_approval("finance") permit (principal, action, resource);`, "permit"},
		"bad quorum":           {`@id("x") @require_approval("finance") @quorum("0") forbid (principal, action, resource);`, "quorum"},
		"syntax":               {"@id(\"x\")\npermit (principal, action resource);", ""},
		"unbounded arithmetic": {`@id("x") forbid (principal, action == Action::"pay/send", resource) when { context.input has big && context.input.big * 2 > 5 };`, "overflow"},
		"bounded but too far":  {`@id("x") forbid (principal, action == Action::"pay/send", resource) when { context.input.amount * 9000000000000000 > 5 };`, "overflow"},
	} {
		_, problems := try("enforce", c.text)
		if len(problems) == 0 {
			t.Errorf("%s: no problem found", name)
			continue
		}
		p := problems[0]
		if p.File != "policies/p.cedar" || p.Line == 0 || !strings.Contains(p.What, c.want) || p.Remedy == "" {
			t.Errorf("%s: %+v, want it to say %q", name, p, c.want)
		}
	}
	compile(t, "enforce", `@id("x") forbid (principal, action == Action::"pay/send", resource) when { context.input.amount * 3 + 7 > 5 };`)
}

// TestVerdictsAreReproducible: Cedar gives reasons in random order.
func TestVerdictsAreReproducible(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 40 {
		fmt.Fprintf(&text, "@id(\"f%02d\") forbid (principal, action, resource);\n", i)
	}
	c := call(t, "pay/send", `{"amount":1}`)
	first := policy.Evaluate(state(compile(t, "enforce", text.String())), c)
	for range 20 {
		if diff := cmp.Diff(first, policy.Evaluate(state(compile(t, "enforce", text.String())), c)); diff != "" {
			t.Fatal(diff)
		}
	}
	if !slices.IsSortedFunc(first.Reasons, func(a, b gov.Reason) int { return strings.Compare(string(a.Policy), string(b.Policy)) }) {
		t.Error("reasons are not sorted")
	}
}

func TestThePrincipalScopeIsIndexed(t *testing.T) {
	t.Parallel()
	e := compile(t, "enforce", `
@id("fay") permit (principal == User::"fay", action, resource);
@id("finance") permit (principal in Group::"finance", action, resource);
@id("claimed") permit (principal in Group::"leads", action, resource);
@id("services") permit (principal is Service, action == Action::"web/read", resource);
@id("here") permit (principal is User in Group::"finance", action, resource in Environment::"prod");
`)
	for _, c := range []struct {
		principal gov.Principal
		groups    []gov.GroupID
		tool      string
		want      string
	}{
		{gov.Principal{Type: gov.PrincipalUser, ID: "fay"}, nil, "pay/send", "allow  [policy_permit policy_permit policy_permit] [fay finance here]"},
		{gov.Principal{Type: gov.PrincipalUser, ID: "new"}, []gov.GroupID{"leads"}, "pay/send", "allow  [policy_permit] [claimed]"},
		{gov.Principal{Type: gov.PrincipalService, ID: "fay"}, nil, "pay/send", "deny  [no_permit] []"},
		{gov.Principal{Type: gov.PrincipalService, ID: "bot"}, nil, "web/read", "allow  [policy_permit] [services]"},
	} {
		k := call(t, c.tool, `{"amount":1}`)
		k.Principal, k.Groups = c.principal, c.groups
		if got := short(policy.Evaluate(state(e), k)); got != c.want {
			t.Errorf("%s in %v: %s, want %s", c.principal, c.groups, got, c.want)
		}
	}
}

func TestAcmePassesItsOwnTests(t *testing.T) {
	t.Parallel()
	b, problems := bundle.Read(os.DirFS("../../examples/acme"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	e, problems := policy.Compile(b)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	outcomes := map[gov.Outcome]int{}
	for _, r := range e.RunTests() {
		outcomes[r.Got]++
		if !r.Passed {
			t.Errorf("%s:%d %s: %s", r.File, r.Line, r.Name, r.What)
		}
	}
	if len(b.Tools) < 20 || len(b.Agents) < 4 || len(outcomes) != 3 {
		t.Errorf("%d tools, %d agents, outcomes %v", len(b.Tools), len(b.Agents), outcomes)
	}
	categories := map[gov.Category]bool{}
	for _, tool := range b.Tools {
		for _, c := range tool.Categories {
			categories[c] = true
		}
	}
	if len(categories) != len(gov.Categories()) {
		t.Errorf("acme's tools are of %v, not of every category", categories)
	}
}

// TestTheFastSchemaCheckAgreesWithTheLibrary: it must never take what the library refuses.
func TestTheFastSchemaCheckAgreesWithTheLibrary(t *testing.T) {
	t.Parallel()
	const text = `{"type":"object","additionalProperties":false,"required":["amount"],"properties":{"amount":{"type":"integer","minimum":0,"maximum":1000000},"to":{"type":"string","minLength":1,"maxLength":5},"kind":{"type":"string","enum":["a","b"]},"tags":{"type":"array","items":{"type":"string"},"maxItems":2},"who":{"type":"object","properties":{"country":{"type":"string"}},"required":["country"]},"ok":{"type":"boolean"}}}`
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("x:y", doc); err != nil {
		t.Fatal(err)
	}
	library, err := compiler.Compile("x:y")
	if err != nil {
		t.Fatal(err)
	}
	took := 0
	fitting := map[string]any{
		"amount": json.Number("5"), "to": "bcdef", "kind": "a", "tags": []any{"x", "y"}, "who": map[string]any{"country": "DE"}, "ok": true,
	}
	rapid.Check(t, func(r *rapid.T) {
		value := map[string]any{}
		for _, name := range []string{"amount", "to", "kind", "tags", "who", "ok", "more"} {
			if name != "amount" && rapid.IntRange(0, 3).Draw(r, "absent") > 0 {
				continue
			}
			if good, ok := fitting[name]; ok && rapid.Bool().Draw(r, "fitting") {
				value[name] = good
				continue
			}
			value[name] = rapid.OneOf(
				rapid.Map(rapid.SampledFrom([]string{"0", "5", "-1", "1000001", "5.0", "1e2", "1.5"}), func(s string) any { return json.Number(s) }),
				rapid.Map(rapid.SampledFrom([]string{"a", "", "bcdef", "toolong", "ééééé"}), func(s string) any { return s }),
				rapid.Just[any](true), rapid.Just[any](nil),
				rapid.SampledFrom([]any{[]any{"x"}, []any{"x", "y", "z"}, []any{true}}),
				rapid.SampledFrom([]any{map[string]any{"country": "DE"}, map[string]any{}, map[string]any{"country": true}}),
			).Draw(r, name)
		}
		fast := policy.Fits([]byte(text), value)
		if err := library.Validate(value); fast && err != nil {
			r.Fatalf("%v was taken; the library: %v", value, err)
		}
		if fast {
			took++
		}
	})
	if took == 0 {
		t.Error("nothing was taken: the fast check does nothing")
	}
}

func BenchmarkEvaluate(b *testing.B) {
	for _, n := range []int{20, 500} {
		var text strings.Builder
		text.WriteString(permitAll)
		for i := range n {
			fmt.Fprintf(&text, "@id(\"p%d\") forbid (principal in Group::\"team-%d\", action == Action::\"pay/send\", resource) when { context.input.amount > %d };\n", i, i, i)
		}
		e := compile(b, "enforce", text.String())
		c := call(b, "pay/send", `{"amount":120,"to":"somebody","tags":["a","b"],"who":{"country":"DE"}}`)
		s := state(e)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v := policy.Evaluate(s, c); v.Outcome != gov.OutcomeAllow {
					b.Fatal(short(v))
				}
			}
		})
	}
}

// TestTheIndexChangesNothing: whatever the scopes, the verdict is that of Cedar over all policies.
func TestTheIndexChangesNothing(t *testing.T) {
	t.Parallel()
	principals := []string{"principal", `principal == User::"fay"`, `principal == Service::"bot"`, `principal in Group::"finance"`, `principal in Group::"leads"`, "principal is Service", `principal is User in Group::"finance"`}
	actions := []string{"action", `action == Action::"pay/send"`, `action == Action::"web/read"`, `action in Action::"money"`, `action in [Action::"read_only", Action::"mail/send"]`}
	resources := []string{"resource", `resource == Server::"pay"`, `resource in Environment::"prod"`, "resource is Server", `resource in Environment::"elsewhere"`}
	outcomes := map[gov.Outcome]int{}
	rapid.Check(t, func(r *rapid.T) {
		var text strings.Builder
		for i := range rapid.IntRange(1, 12).Draw(r, "policies") {
			effect := rapid.SampledFrom([]string{"permit", "permit", "forbid", `@require_approval("finance") forbid`}).Draw(r, "effect")
			fmt.Fprintf(&text, "@id(\"p%02d\") %s (%s, %s, %s);\n", i, effect, rapid.SampledFrom(principals).Draw(r, "principal"),
				rapid.SampledFrom(actions).Draw(r, "action"), rapid.SampledFrom(resources).Draw(r, "resource"))
		}
		indexed, problems := try("enforce", text.String())
		if len(problems) > 0 {
			r.Skip() // a scope that can never match is refused by the check
		}
		all, problems := try("enforce", text.String())
		if len(problems) > 0 {
			r.Fatal(problems)
		}
		all = policy.WithoutIndex(all)
		c := call(t, rapid.SampledFrom([]string{"pay/send", "web/read", "mail/send"}).Draw(r, "tool"), `{"amount":1}`)
		if c.Tool != "pay/send" {
			c.Input = map[string]any{}
		}
		c.Principal = rapid.SampledFrom([]gov.Principal{{Type: gov.PrincipalUser, ID: "fay"}, {Type: gov.PrincipalUser, ID: "new"}, {Type: gov.PrincipalService, ID: "bot"}}).Draw(r, "who")
		c.Groups = rapid.SampledFrom([][]gov.GroupID{nil, {"leads"}, {"finance", "leads"}}).Draw(r, "groups")
		with, without := policy.Evaluate(state(indexed), c), policy.Evaluate(state(all), c)
		if diff := cmp.Diff(without, with); diff != "" {
			r.Fatalf("with the index (+) and without (-):\n%s\n%s", diff, text.String())
		}
		outcomes[with.Outcome]++
	})
	if len(outcomes) < 3 {
		t.Errorf("only %v came up", outcomes)
	}
}

func TestAStandingConsentLiftsEachGateThatAsks(t *testing.T) {
	t.Parallel()
	e := compile(t, "enforce", permitAll+`
@id("two") @require_approval("finance") forbid (principal, action == Action::"pay/send", resource) when { context.input.amount > 5 };
@id("one") @require_approval("leads") forbid (principal, action == Action::"pay/send", resource) when { context.input.amount > 1 };
@id("watched") @mode("observe") @require_approval("leads") forbid (principal, action == Action::"pay/send", resource) when { context.input.amount > 7 };
@id("never") forbid (principal, action == Action::"pay/send", resource) when { context.input.amount > 100 };`)
	one, two := policy.Standing{ID: "del_1", Policy: "one"}, policy.Standing{ID: "del_2", Policy: "two"}
	approved := func(s gov.ApprovalState) *policy.Consent {
		return &policy.Consent{Gate: policy.Gate{Policies: []gov.PolicyID{"one"}, Groups: []gov.GroupID{"leads"}, Quorum: 1}, State: s}
	}
	for name, c := range map[string]struct {
		amount   int
		standing []policy.Standing
		consent  *policy.Consent
		want     string
		counted  string
	}{
		"nobody is asked":                   {1, []policy.Standing{one}, nil, "allow  policy_permit:all", "[]"},
		"one gate":                          {2, []policy.Standing{one}, nil, "allow  approval_delegated:one policy_permit:all", "[del_1]"},
		"another gate's consent":            {2, []policy.Standing{two}, nil, "require_approval  approval_required:one", "[]"},
		"two gates, one of them":            {6, []policy.Standing{one}, nil, "require_approval  approval_required:one approval_required:two", "[]"},
		"two gates, both":                   {6, []policy.Standing{two, one}, nil, "allow  approval_delegated:one approval_delegated:two policy_permit:all", "[del_1 del_2]"},
		"the first of a policy":             {2, []policy.Standing{one, {ID: "del_9", Policy: "one"}}, nil, "allow  approval_delegated:one policy_permit:all", "[del_1]"},
		"a gate that is only observed":      {8, []policy.Standing{one, two}, nil, "allow require_approval approval_delegated:one approval_delegated:two approval_required:one approval_required:two approval_required:watched policy_permit:all", "[del_1 del_2]"},
		"what is forbidden":                 {101, []policy.Standing{one, two}, nil, "deny  policy_forbid:never", "[]"},
		"an approval of the very call":      {2, []policy.Standing{one}, approved(gov.ApprovalApproved), "allow  approval_granted:one policy_permit:all", "[]"},
		"a denial of the very call":         {2, []policy.Standing{one}, approved(gov.ApprovalDenied), "deny  approval_denied:one", "[]"},
		"the very call waits for an answer": {2, []policy.Standing{one}, approved(gov.ApprovalPending), "allow  approval_delegated:one policy_permit:all", "[del_1]"},
	} {
		s := state(e)
		s.Standing, s.Consent = c.standing, c.consent
		v := policy.Evaluate(s, call(t, "pay/send", fmt.Sprintf(`{"amount":%d}`, c.amount)))
		var codes []string
		for _, r := range v.Reasons {
			codes = append(codes, fmt.Sprintf("%s:%s", r.Code, r.Policy))
		}
		if got := fmt.Sprintf("%s %s %s", v.Outcome, v.Would, strings.Join(codes, " ")); got != c.want || fmt.Sprint(v.Delegations) != c.counted {
			t.Errorf("%s: %s by %v, want %s by %s", name, got, v.Delegations, c.want, c.counted)
		}
	}
}

func TestAConditionIsAboutTheInputOfItsTool(t *testing.T) {
	t.Parallel()
	e := compile(t, "enforce", permitAll)
	for text, wants := range map[string]map[string]bool{
		`context.input.amount < 1000`: {`{"amount":999}`: true, `{"amount":1000}`: false, `{"amount":"1"}`: false, `{}`: false},
		`context.input has to && context.input.to like "*@acme.example" // inside`: {`{"amount":1,"to":"a@acme.example"}`: true, `{"amount":1}`: false, `{"amount":1,"to":"a@b.example"}`: false},
		`if context.input has big then context.input.big < 5 else true`:            {`{"amount":1}`: true, `{"amount":1,"big":4}`: true, `{"amount":1,"big":9007199254740993}`: false}, // what cannot be read is not left out in silence
		`9223372036854775807 + 1 > context.input.amount`:                           {`{"amount":1}`: false},
		`context.input.amount * 3 < 30`:                                            {`{"amount":9}`: true, `{"amount":10}`: false},
		`context.input has any || context.input.amount < 5`:                        nil,
		`context.input has who && context.input.who.country == "DE"`:               {`{"amount":1,"who":{"country":"DE"}}`: true, `{"amount":1,"who":{"country":"FR"}}`: false},
	} {
		c, err := e.Condition("pay/send", text)
		if err != nil {
			if wants != nil {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		for input, want := range wants {
			if got := c.Holds(call(t, "pay/send", input).Input); got != want {
				t.Errorf("%s of %s: %t", text, input, got)
			}
		}
	}
	for name, text := range map[string]string{
		"nothing": ``, "no boolean": `context.input.amount`, "another type": `context.input.amount < "5"`, "an unknown field": `context.input.total < 5`,
		"a field that may be missing": `context.input.to == "x"`, "the principal": `principal == User::"tom"`, "the time": `context.time < datetime("2030-01-01")`,
		"the session": `context.session.labels.contains("x")`, "the context": `context == context`, "what can overflow": `context.input has big && context.input.big + 1 > 0`,
		"two conditions": `true } when { true`, "an unless": `true } unless { false`, "another policy": `true }; permit (principal, action, resource) when { true`,
		"no Cedar": `amount < 5`, "an open brace": `true } when {`, "too much of it": `true` + strings.Repeat(" && true", 200),
	} {
		if _, err := e.Condition("pay/send", text); err == nil {
			t.Errorf("%s: %s is taken", name, text)
		}
	}
	if _, err := e.Condition("pay/nothing", "true"); err == nil {
		t.Error("a condition on a tool that is not there")
	}
}

func TestAGateIsItsText(t *testing.T) {
	t.Parallel()
	const gate = "@id(\"one\")\n@require_approval(\"leads\")\nforbid (principal, action == Action::\"pay/send\", resource)\nwhen { context.input.amount > 1 };"
	text := func(policies string) policy.GatePolicy {
		g, ok := compile(t, "enforce", policies).GatePolicy("one")
		if !ok {
			t.Fatalf("%s has no such gate", policies)
		}
		return g
	}
	was := text(permitAll + gate)
	if was.Text != gate || len(was.Digest) != 64 {
		t.Errorf("the text is %q", was.Text)
	}
	for name, policies := range map[string]string{
		"alone": gate, "in another place": "// about money\n" + gate + "\n\n// the rest\n" + permitAll, "at the end": permitAll + "\n\n" + gate + "\n// that is all\n",
	} {
		if got := text(policies); got.Digest != was.Digest {
			t.Errorf("%s it is another one: %q", name, got.Text)
		}
	}
	for name, changed := range map[string]string{
		"other people": strings.Replace(gate, "leads", "finance", 1), "more of them": strings.Replace(gate, "@require", "@quorum(\"2\")\n@require", 1),
		"another condition": strings.Replace(gate, "> 1", "> 2", 1), "a signature": strings.Replace(gate, "@require", "@step_up\n@require", 1),
	} {
		if got := text(permitAll + changed); got.Digest == was.Digest {
			t.Errorf("with %s it is the same", name)
		}
	}
	e := compile(t, "enforce", permitAll+gate+`@id("hard") forbid (principal, action, resource) when { context.assurance == "none" };`)
	if _, ok := e.GatePolicy("hard"); ok || len(e.Gates()) != 1 {
		t.Errorf("gates are %v", e.Gates())
	}
}

func TestACallTakesOfTheLimitsThatItIsOf(t *testing.T) {
	t.Parallel()
	judge := func(mode, tool, input string, change func(*policy.State)) string {
		s := state(compile(t, mode, permitAll+`@id("gate") @require_approval("finance") forbid (principal, action == Action::"pay/send", resource) when { context.input.amount > 500 };
@id("never") forbid (principal, action == Action::"pay/send", resource) when { context.input.amount > 900 };`))
		s.PrincipalRef = "user:p_x"
		if change != nil {
			change(&s)
		}
		v := policy.Evaluate(s, call(t, tool, input))
		out := fmt.Sprintf("%s %s %t:", v.Outcome, v.Would, v.Limited)
		for _, c := range v.Charges {
			out += fmt.Sprintf(" %s/%s %d", c.ID, c.Key, c.Micro)
		}
		return out
	}
	only := func(id string) func(*policy.State) {
		return func(s *policy.State) { s.Full = func(c limit.Charge) bool { return c.ID == id } }
	}
	const both = " rate/user:p_x 0 sent/ %d000000"
	for name, c := range map[string]struct {
		mode, tool, input string
		change            func(*policy.State)
		want              string
	}{
		"allowed":                  {"enforce", "pay/send", `{"amount":5}`, nil, "allow  true:" + fmt.Sprintf(both, 5)},
		"of none":                  {"enforce", "web/read", `{}`, nil, "allow  true:"},
		"asks":                     {"enforce", "pay/send", `{"amount":600}`, nil, "require_approval  true:" + fmt.Sprintf(both, 600)},
		"used up before it asks":   {"enforce", "pay/send", `{"amount":600}`, only("sent"), "deny  true:" + fmt.Sprintf(both, 600)},
		"forbidden":                {"enforce", "pay/send", `{"amount":901}`, only("sent"), "deny  false:"},
		"observed and used up":     {"observe", "pay/send", `{"amount":5}`, only("rate"), "allow deny true:" + fmt.Sprintf(both, 5)},
		"observed and forbidden":   {"observe", "pay/send", `{"amount":901}`, only("rate"), "allow deny false:" + fmt.Sprintf(both, 901)},
		"observed without a tool":  {"observe", "no/tool", `{}`, only("rate"), "allow deny false:"},
		"of another limit used up": {"enforce", "pay/send", `{"amount":5}`, only("another"), "allow  true:" + fmt.Sprintf(both, 5)},
	} {
		if got := judge(c.mode, c.tool, c.input, c.change); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	s := state(compile(t, "enforce", permitAll))
	s.Full = func(limit.Charge) bool { return true }
	v := policy.Evaluate(s, call(t, "pay/send", `{"amount":5}`))
	want := []string{"The limit rate is used up: 5 calls in 1h. Try again later.", "The limit sent has less left than this call takes: 900 USD in 1d. Take less, or try again later."}
	if len(v.Reasons) != 2 || v.Reasons[0].Message != want[0] || v.Reasons[1].Message != want[1] {
		t.Errorf("reasons: %+v", v.Reasons)
	}
}
