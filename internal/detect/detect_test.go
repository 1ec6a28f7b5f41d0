package detect_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/detect"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/sigma"
)

// stream is entries of a ledger that nobody keeps.
type stream struct {
	t       *testing.T
	at      time.Time
	entries []canon.Entry
}

func newStream(t *testing.T) *stream {
	return &stream{t: t, at: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)}
}

func (s *stream) add(kind canon.Kind, body any) gov.EntryID {
	s.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	id := canon.IDAt(kind, int64(len(s.entries)))
	s.entries = append(s.entries, canon.Entry{Kind: kind, ID: id, At: s.at.Format(canon.TimeLayout), Body: data})
	return id
}

// call adds a decision.
func (s *stream) call(outcome gov.Outcome, code gov.ReasonCode, with ...func(*canon.Decision)) gov.EntryID {
	d := canon.Decision{
		Agent: "support-bot", Principal: canon.PrincipalRef{Type: gov.PrincipalService, Ref: "desk"}, Tool: "zendesk/read_ticket", Mode: gov.ModeEnforce,
		Outcome: outcome, Reasons: []gov.Reason{{Code: code, Message: "m"}}, Policies: []gov.PolicyID{},
	}
	for _, f := range with {
		f(&d)
	}
	return s.add(canon.KindDecision, d)
}

func (s *stream) allow(with ...func(*canon.Decision)) gov.EntryID {
	return s.call(gov.OutcomeAllow, gov.ReasonPolicyPermit, with...)
}

func tool(name gov.ToolName) func(*canon.Decision) { return func(d *canon.Decision) { d.Tool = name } }

func session(id gov.SessionID) func(*canon.Decision) {
	return func(d *canon.Decision) { d.Session = id }
}

// acme is a bundle with the tools of these tests.
func acme(t *testing.T, detectors string) *bundle.Bundle {
	t.Helper()
	return ruled(t, detectors, nil)
}

// ruled is the same with rules, by file.
func ruled(t *testing.T, detectors string, rules map[string]string) *bundle.Bundle {
	t.Helper()
	files := map[string][]byte{
		"writ.yaml": []byte("environments: {prod: {mode: enforce}}\nchange_approvers: [leads]\ngroups: {leads: {description: x, members: [user:a, user:b]}}\n"),
		"tools.yaml": []byte(`tools:
  zendesk/read_ticket: {description: x, categories: [read_only], labels: [private, untrusted], input_schema: {type: object}}
  mail/send: {description: x, categories: [external_communication], input_schema: {type: object}}
  stripe/refund: {description: x, categories: [money], input_schema: {type: object}}
  notes/write: {description: x, categories: [data_write], input_schema: {type: object}}
`),
		"agents.yaml": []byte("agents:\n  support-bot: {owner: a, purpose: x, environments: [prod], runs_as: 'service:desk', model: m/m, risk_tier: low, reads: [x], logs: x, tools: [zendesk/read_ticket]}\n"),
	}
	for name, text := range rules {
		files["sigma/"+name+".yml"] = []byte(text)
	}
	if detectors != "" {
		files["detectors.yaml"] = []byte(detectors)
	}
	b, problems := bundle.ReadFiles(files)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return b
}

// play gives the signals of a stream, without heartbeats.
func (s *stream) play(b *bundle.Bundle) []canon.Signal {
	s.t.Helper()
	state, out := detect.New(), []canon.Signal{}
	for i, e := range s.entries {
		signals, err := state.Step(int64(i), e, b)
		if err != nil {
			s.t.Fatal(err)
		}
		out = append(out, signals...)
	}
	return out
}

func names(signals []canon.Signal) string {
	var out []string
	for _, g := range signals {
		out = append(out, string(g.Detector))
	}
	return strings.Join(out, " ")
}

// TestWhatIsNewToAnAgentIsOneIncident of it: a thousand people whom it never acted for are a thousand signals under one key.
func TestWhatIsNewToAnAgentIsOneIncident(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	for range 120 {
		s.at = s.at.Add(10 * time.Minute)
		s.allow()
	}
	for _, who := range []string{"one", "two", "one", "three"} {
		s.allow(func(d *canon.Decision) { d.Principal.Ref = who })
	}
	keys := map[string]int{}
	for _, g := range s.play(acme(t, "")) {
		keys[g.Key]++
	}
	if diff := cmp.Diff(map[string]int{"new_principal/support-bot": 3}, keys); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsWrongIsNoticedAndWhatIsNotIsNot(t *testing.T) {
	t.Parallel()
	learned := func(s *stream) {
		for range 120 {
			s.at = s.at.Add(10 * time.Minute)
			s.allow()
		}
	}
	finding := func(band string) []canon.Finding {
		return []canon.Finding{{Version: "1", Channel: "tool_result", Band: band}}
	}
	result := func(s *stream, r canon.Result) {
		r.Decision, r.Status = s.allow(session("s1")), gov.ResultSucceeded
		s.at = s.at.Add(time.Second)
		s.add(canon.KindResult, r)
	}
	for name, c := range map[string]struct {
		build func(*stream)
		want  string
	}{
		"a call off the list": {func(s *stream) { s.call(gov.OutcomeDeny, gov.ReasonToolNotAllowed) }, "off_list"},
		"an unknown tool":     {func(s *stream) { s.call(gov.OutcomeDeny, gov.ReasonToolUnknown, tool("no/tool")) }, "off_list"},
		"only observed": {func(s *stream) {
			s.call(gov.OutcomeAllow, gov.ReasonToolNotAllowed, func(d *canon.Decision) { d.Mode, d.Would = gov.ModeObserve, gov.OutcomeDeny })
		}, "off_list"},
		"an unknown agent":         {func(s *stream) { s.call(gov.OutcomeDeny, gov.ReasonAgentUnknown) }, "unregistered_agent"},
		"a forbidden refund":       {func(s *stream) { s.call(gov.OutcomeDeny, gov.ReasonPolicyForbid, tool("stripe/refund")) }, "blocked_call"},
		"a forbidden look":         {func(s *stream) { s.call(gov.OutcomeDeny, gov.ReasonPolicyForbid) }, ""},
		"nothing permits it":       {func(s *stream) { s.call(gov.OutcomeDeny, gov.ReasonNoPermit) }, ""},
		"a budget that is used up": {func(s *stream) { s.call(gov.OutcomeDeny, gov.ReasonLimit) }, "budget_breach"},
		"a limit that runs short": {func(s *stream) {
			s.add(canon.KindLimitWarning, canon.LimitWarning{Limit: "budget", WarnMicroUSD: 80, MicroUSD: 81})
		}, "budget_threshold"},
		"allowed calls": {func(s *stream) { s.allow(); s.allow() }, ""},

		"a new tool after a while":  {func(s *stream) { learned(s); s.allow(tool("notes/write")) }, "new_tool"},
		"a new tool, twice":         {func(s *stream) { learned(s); s.allow(tool("notes/write")); s.allow(tool("notes/write")) }, "new_tool"},
		"a new tool that is denied": {func(s *stream) { learned(s); s.call(gov.OutcomeDeny, gov.ReasonNoPermit, tool("notes/write")) }, ""},
		"a new agent's tools":       {func(s *stream) { s.allow(tool("notes/write")); s.allow(tool("stripe/refund")) }, ""},
		"a new principal":           {func(s *stream) { learned(s); s.allow(func(d *canon.Decision) { d.Principal.Ref = "other" }) }, "new_principal"},
		"a new destination":         {func(s *stream) { learned(s); s.allow(func(d *canon.Decision) { d.Sends = []string{"d_x"} }) }, "new_destination"},
		"a known destination": {func(s *stream) {
			s.allow(func(d *canon.Decision) { d.Sends = []string{"d_x"} })
			learned(s)
			s.allow(func(d *canon.Decision) { d.Sends = []string{"d_x"} })
		}, ""},
		"an injected result": {func(s *stream) { result(s, canon.Result{Findings: finding("medium")}) }, "injection"},
		"a weak finding":     {func(s *stream) { result(s, canon.Result{Findings: finding("low")}) }, ""},
		"an injected input":  {func(s *stream) { s.allow(func(d *canon.Decision) { d.Findings = finding("high") }) }, "injection"},
		"what is tainted is sent": {func(s *stream) {
			s.allow(tool("mail/send"), func(d *canon.Decision) { d.Taint = []canon.Taint{{Kind: "email", Path: "/to"}} })
		}, "tainted_sink"},
		"what is tainted is looked up": {func(s *stream) {
			s.allow(func(d *canon.Decision) { d.Taint = []canon.Taint{{Kind: "url", Path: "/q"}} })
		}, ""},
		"private, untrusted, out": {func(s *stream) {
			for range 2 {
				s.allow(tool("mail/send"), session("s1"), func(d *canon.Decision) { d.Labels = []gov.Label{"private", "untrusted"} })
			}
		}, "private_then_out"},
		"private, and out": {func(s *stream) {
			s.allow(tool("mail/send"), session("s1"), func(d *canon.Decision) { d.Labels = []gov.Label{"private"} })
		}, ""},
		"a short gap": {func(s *stream) {
			s.add(canon.KindRecorderGap, canon.RecorderGap{From: "2026-11-02T08:59:00.000000Z", To: "2026-11-02T09:00:00.000000Z"})
		}, ""},
		"a long gap": {func(s *stream) {
			s.add(canon.KindRecorderGap, canon.RecorderGap{From: "2026-11-02T08:00:00.000000Z", To: "2026-11-02T09:00:00.000000Z"})
		}, "recorder_gap"},
		"a scrub":                      {func(s *stream) { s.add(canon.KindScrub, canon.Scrub{Size: 3}) }, ""},
		"a scrub that found something": {func(s *stream) { s.add(canon.KindScrub, canon.Scrub{Wrong: "entry 3"}) }, "verification_failed"},
		"a first bundle": {func(s *stream) {
			s.add(canon.KindBundleActivated, canon.BundleActivated{How: canon.HowBootstrap, Bundle: "b"})
		}, ""},
		"a reviewed bundle": {func(s *stream) {
			s.add(canon.KindBundleActivated, canon.BundleActivated{How: canon.HowReviewed, Bundle: "b", Previous: "a"})
		}, ""},
		"an emergency": {func(s *stream) {
			s.add(canon.KindBundleActivated, canon.BundleActivated{How: canon.HowEmergency, Bundle: "b", Previous: "a"})
		}, "change_outside"},
		"a bundle out of nowhere": {func(s *stream) {
			s.add(canon.KindBundleActivated, canon.BundleActivated{How: canon.HowBootstrap, Bundle: "b", Previous: "a"})
		}, "change_outside"},
		"a vote by who is not asked": {func(s *stream) {
			s.add(canon.KindRefusals, canon.Refusals{Counts: []canon.Refusal{{Caller: "k1", Code: gov.CodeNotEligible, Route: "POST /v1/approvals/{id}/votes", Count: 1}}})
		}, "self_approval"},
		"some wrong keys": {func(s *stream) {
			s.add(canon.KindRefusals, canon.Refusals{Counts: []canon.Refusal{{Caller: "net_x", Code: gov.CodeUnauthenticated, Route: "POST /v1/decisions", Count: 19}}})
		}, ""},
		"many wrong keys": {func(s *stream) {
			for range 4 {
				s.add(canon.KindRefusals, canon.Refusals{Counts: []canon.Refusal{{Caller: "net_x", Code: gov.CodeUnauthenticated, Route: "POST /v1/decisions", Count: 9}}})
			}
		}, "credential_misuse"},
		"a result of another size": {func(s *stream) {
			for i := range 60 {
				result(s, canon.Result{OutputBytes: 1000 + int64(i)})
			}
			result(s, canon.Result{OutputBytes: 90_000})
		}, "unusual_size"},
		"a result of half as much again": {func(s *stream) {
			for i := range 60 {
				result(s, canon.Result{OutputBytes: 1000 + int64(i)})
			}
			result(s, canon.Result{OutputBytes: 1500})
		}, ""},
		"results that stop": {func(s *stream) {
			for range 60 {
				result(s, canon.Result{})
			}
			for range 25 {
				s.allow()
			}
			s.at = s.at.Add(2 * time.Hour)
			s.add(canon.KindHeartbeat, canon.Heartbeat{})
		}, "missing_result"},
		"results that never were": {func(s *stream) {
			for range 30 {
				s.at = s.at.Add(15 * time.Minute)
				s.allow()
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStream(t)
			c.build(s)
			signals := s.play(acme(t, ""))
			if got := names(signals); got != c.want {
				t.Errorf("noticed %q, want %q: %+v", got, c.want, signals)
			}
			for _, g := range signals {
				if len(g.Tags) == 0 || g.Summary == "" || !g.Severity.Valid() || len(g.Entries) == 0 || g.Count < int64(len(g.Entries)) || g.Version != detect.Version {
					t.Errorf("a signal says too little: %+v", g)
				}
			}
			if c.want == "" {
				return
			}
			if off := s.play(acme(t, "detectors: {"+c.want+": {off: true}}")); len(off) != 0 {
				t.Errorf("switched off, %q is noticed", names(off))
			}
		})
	}
}

func TestRubberStampsAreNoticed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		seconds  int
		denyOf10 int
		want     string
	}{
		"fast":           {2, 3, "rubber_stamp"},
		"always":         {60, 0, "rubber_stamp"},
		"as people read": {60, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStream(t)
			for i := range 50 {
				s.at = s.at.Add(time.Hour)
				asked := s.call(gov.OutcomeRequireApproval, gov.ReasonApproval, func(d *canon.Decision) { d.Approval = &canon.ApprovalAsked{} })
				s.at = s.at.Add(time.Duration(c.seconds) * time.Second)
				vote := gov.VoteApprove
				if i%10 < c.denyOf10 {
					vote = gov.VoteDeny
				}
				s.add(canon.KindApprovalVote, canon.ApprovalVote{Decision: asked, Vote: vote, Person: "p_x", State: gov.ApprovalApproved})
			}
			if got := names(s.play(acme(t, ""))); got != c.want {
				t.Errorf("noticed %q, want %q", got, c.want)
			}
		})
	}
}

// busy is a working week of an agent: more by day than by night, in bursts, with a spike somewhere.
func (s *stream) busy(r *rand.Rand, days int, perHour float64, spike int) {
	for h := range days * 24 {
		at := s.at.Add(time.Duration(h) * time.Hour)
		mean := perHour * 0.3
		if at.Hour() >= 9 && at.Hour() < 17 {
			mean = perHour * 2
		}
		mean *= r.ExpFloat64()*0.5 + 0.5
		n := poisson(r, mean)
		if h == days*24-3 {
			n += spike
		}
		begin := s.at
		for range n {
			s.at = at.Add(time.Duration(r.IntN(3600)) * time.Second)
			if h == days*24-3 {
				s.at = at.Add(time.Duration(r.IntN(500)) * time.Second)
			}
			outcome, code := gov.OutcomeAllow, gov.ReasonPolicyPermit
			if r.IntN(10) == 0 {
				outcome, code = gov.OutcomeDeny, gov.ReasonNoPermit
			}
			s.call(outcome, code)
		}
		s.at = begin
	}
	slices.SortStableFunc(s.entries, func(a, b canon.Entry) int { return strings.Compare(a.At, b.At) })
	for i := range s.entries {
		s.entries[i].ID = canon.IDAt(s.entries[i].Kind, int64(i))
	}
}

func poisson(r *rand.Rand, mean float64) int {
	n, p, limit := 0, 1.0, math.Exp(-mean)
	for {
		if p *= r.Float64(); p <= limit {
			return n
		}
		n++
	}
}

func TestASpikeIsNoticedAndABusyDayIsNot(t *testing.T) {
	t.Parallel()
	b, quiet, spiked := acme(t, ""), 0, 0
	const runs = 12
	for seed := range uint64(runs) {
		s := newStream(t)
		s.busy(rand.New(rand.NewPCG(seed, 1)), 14, 6, 0)
		quiet += len(s.play(b))
		s = newStream(t)
		s.busy(rand.New(rand.NewPCG(seed, 2)), 14, 6, 80)
		if got := s.play(b); slices.ContainsFunc(got, func(g canon.Signal) bool {
			return g.Detector == "unusual_rate" && g.Observed != "" && g.Probability != ""
		}) {
			spiked++
		}
	}
	if quiet*5 > runs*2 || spiked < runs { // 0.2 an agent and week
		t.Errorf("%d signals in %d quiet fortnights; a spike was noticed in %d of %d", quiet, runs, spiked, runs)
	}
}

// TestTheSameEntriesGiveTheSameSignals: from the beginning, and from a state that was saved and read again anywhere.
func TestTheSameEntriesGiveTheSameSignals(t *testing.T) {
	t.Parallel()
	settings := "detectors: {blocked_spike: {min: 3, one_in: 100}, unusual_rate: {min: 5, one_in: 50, learn: 10}, new_tool: {learn: 5}, unusual_size: {learn: 5, deviations: 2}}"
	r, b, s := rand.New(rand.NewPCG(7, 7)), ruled(t, settings, everyCorrelation()), newStream(t)
	for i := range 3000 {
		s.at = s.at.Add(time.Duration(r.IntN(400)) * time.Second)
		agent := gov.AgentID(fmt.Sprintf("a%d", r.IntN(5)))
		d := func(d *canon.Decision) {
			d.Agent, d.Tool = agent, gov.ToolName(fmt.Sprintf("t/%d", min(r.IntN(40), i/50)))
		}
		switch r.IntN(6) {
		case 0:
			for range r.IntN(12) {
				s.call(gov.OutcomeDeny, gov.ReasonNoPermit, d)
			}
		case 1:
			if i%300 == 0 {
				s.add(canon.KindProbe, canon.Probe{})
			}
		case 2:
			s.add(canon.KindRefusals, canon.Refusals{Counts: []canon.Refusal{{Caller: fmt.Sprint(r.IntN(3)), Code: gov.CodeUnauthenticated, Count: int64(r.IntN(15))}}})
		default:
			id := s.allow(d)
			if r.IntN(3) > 0 {
				s.add(canon.KindResult, canon.Result{Decision: id, Status: gov.ResultSucceeded, OutputBytes: int64(r.IntN(1 << r.IntN(20)))})
			}
		}
	}
	want := s.play(b)
	if len(want) < 100 {
		t.Fatalf("only %d signals", len(want))
	}
	for _, kind := range sigma.CorrelationTypes() {
		if !strings.Contains(names(want), "sigma:"+string(kind)) {
			t.Errorf("no signal of a rule of type %s", kind)
		}
	}
	state, got := detect.New(), []canon.Signal{}
	for i, e := range s.entries {
		if r.IntN(200) == 0 {
			data, err := json.Marshal(state)
			if err != nil {
				t.Fatal(err)
			}
			state = new(detect.State)
			if err := json.Unmarshal(data, state); err != nil {
				t.Fatal(err)
			}
		}
		signals, err := state.Step(int64(i), e, b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, signals...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("from saved states (-at once +from saved):\n%s", diff)
	}
}

func TestEveryDetectorHasAHeartbeat(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]*bundle.Bundle{
		"as they are": acme(t, ""),
		"strict":      acme(t, "detectors: {blocked_spike: {min: 900, one_in: 1000000000}, rubber_stamp: {votes: 10}, new_tool: {learn: 1}, missing_result: {min: 1, usual: 100}}"),
		"none yet":    nil,
	} {
		s := newStream(t)
		s.add(canon.KindProbe, canon.Probe{Node: "n1"})
		signals := s.play(b)
		if len(signals) != 1 || !signals[0].Heartbeat {
			t.Fatalf("%s: a probe gives %+v", name, signals)
		}
		for _, spec := range bundle.DetectorSpecs() {
			if spec.ID != "detector_silent" && !slices.Contains(signals[0].Noticed, spec.ID) {
				t.Errorf("%s: %s did not notice its synthetic event", name, spec.ID)
			}
		}
	}
}

func TestAnExerciseIsLabelled(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	s.add(canon.KindExercise, canon.Exercise{Scenario: "G1", Agents: []gov.AgentID{"support-bot"}, Until: s.at.Add(time.Minute).Format(canon.TimeLayout)})
	s.call(gov.OutcomeDeny, gov.ReasonToolNotAllowed)
	s.at = s.at.Add(2 * time.Minute)
	s.call(gov.OutcomeDeny, gov.ReasonToolNotAllowed)
	got := s.play(acme(t, ""))
	if len(got) != 2 || !got[0].Exercise || got[1].Exercise || got[0].Key == got[1].Key {
		t.Errorf("noticed %+v", got)
	}
}

func TestAnExerciseEndsWithItsResult(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	refused := canon.Refusals{Counts: []canon.Refusal{{Caller: "p_x", Code: gov.CodeNotEligible, Route: "POST /v1/approvals/{id}/votes", Count: 1}}}
	exercise := canon.Exercise{
		Scenario: "G4", Agents: []gov.AgentID{"support-bot"}, Detectors: []gov.DetectorID{"self_approval"}, Until: s.at.Add(time.Hour).Format(canon.TimeLayout),
	}
	s.add(canon.KindExercise, exercise)
	s.add(canon.KindRefusals, refused)
	s.call(gov.OutcomeDeny, gov.ReasonToolNotAllowed)
	s.add(canon.KindExerciseResult, canon.ExerciseResult{Agents: exercise.Agents, Detectors: exercise.Detectors})
	s.add(canon.KindRefusals, refused)
	s.call(gov.OutcomeDeny, gov.ReasonToolNotAllowed)
	got := s.play(acme(t, ""))
	if len(got) != 4 || !got[0].Exercise || !got[1].Exercise || got[2].Exercise || got[3].Exercise {
		t.Errorf("noticed %+v", got)
	}
}
