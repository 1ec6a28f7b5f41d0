package detect_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/detect"
	"github.com/writ-dev/writ/internal/gov"
)

// detection is a rule with one selection, and a case of it.
func detection(id, category, selection string) string {
	return fmt.Sprintf(`{title: A rule, id: %s, level: high, tags: [atlas.t0053], logsource: {product: ai_agent, category: %s}, detection: {s: {%s}, condition: s},
writ: {must_fire: [{name: yes, events: [{%s}]}], must_not_fire: [{name: no, events: [{agent: nobody}]}]}}`, id, category, selection, selection)
}

// correlated is a correlation with the events of its case.
func correlated(id, body, events string) string {
	return fmt.Sprintf(`{title: A correlation, id: %s, level: critical, tags: [atlas.t0053], correlation: {%s}, writ: {must_fire: [{name: yes, events: [%s]}], must_not_fire: [{name: no, events: [{agent: nobody}]}]}}`, id, body, events)
}

// everyCorrelation has a rule of each type.
func everyCorrelation() map[string]string {
	return map[string]string{
		"denied":  detection("denied", "policy_decision", "outcome: deny"),
		"allowed": detection("allowed", "tool_call", "outcome: allow"),
		"1":       correlated("event_count", "type: event_count, rules: [denied], group-by: [agent], timespan: 10m, condition: {gte: 5}", "{agent: a, outcome: deny, times: 5}"),
		"2":       correlated("value_count", "type: value_count, rules: [allowed], group-by: [agent], timespan: 1h, condition: {field: tool, gt: 3}", "{agent: a, tool: t/1, outcome: allow}, {agent: a, tool: t/2, outcome: allow}, {agent: a, tool: t/3, outcome: allow}, {agent: a, tool: t/4, outcome: allow}"),
		"3":       correlated("temporal", "type: temporal, rules: [allowed, denied], group-by: [agent, tool], timespan: 10m", "{agent: a, tool: t/1, outcome: allow}, {agent: a, tool: t/1, logsource: policy_decision, outcome: deny}"),
		"4":       correlated("temporal_ordered", "type: temporal_ordered, rules: [allowed, denied], group-by: [tool], timespan: 1h", "{tool: t/1, outcome: allow}, {tool: t/1, logsource: policy_decision, outcome: deny}"),
	}
}

func TestRulesSeeWhatEntriesSay(t *testing.T) {
	t.Parallel()
	full := func(d *canon.Decision) {
		d.Session, d.Labels, d.LabelsAdded, d.Sends = "s1", []gov.Label{"private"}, []gov.Label{"untrusted"}, []string{"d_x"}
		d.Findings = []canon.Finding{{Band: "medium", Rules: []string{"override"}}}
		d.Taint = []canon.Taint{{Kind: "email", Near: true}}
		d.Principal.Groups, d.Principal.Assurance = []gov.GroupID{"desk"}, gov.AssuranceBound
		d.Policies, d.Limits, d.Approved = []gov.PolicyID{"p1"}, []canon.LimitCharge{{ID: "budget"}}, "dec_x"
	}
	whole := `agent: support-bot, tool: zendesk/read_ticket, categories: read_only, principal: "service:desk", principal_type: service, assurance: bound, groups: desk, session: s1,
mode: enforce, outcome: allow, would: allow, reasons: policy_permit, policies: p1, labels: private, labels_added: untrusted, findings: medium, finding_rules: override,
taint: email, taint_near_finding: true, sends: d_x, limits: budget, approved: true, delegated: false`
	for name, c := range map[string]struct {
		category, selection string
		build               func(*stream)
		fires               bool
	}{
		"every field of a call":     {"tool_call", whole, func(s *stream) { s.allow(full) }, true},
		"every field of an answer":  {"policy_decision", whole, func(s *stream) { s.allow(full) }, true},
		"a denied call is no call":  {"tool_call", "agent: support-bot", func(s *stream) { s.call(gov.OutcomeDeny, gov.ReasonNoPermit) }, false},
		"a denied call is answered": {"policy_decision", "reasons: no_permit", func(s *stream) { s.call(gov.OutcomeDeny, gov.ReasonNoPermit) }, true},
		"what was only observed": {"policy_decision", "would: deny, outcome: allow, mode: observe", func(s *stream) {
			s.call(gov.OutcomeAllow, gov.ReasonNoPermit, func(d *canon.Decision) { d.Mode, d.Would = gov.ModeObserve, gov.OutcomeDeny })
		}, true},
		"people are asked": {"approval", "event: asked, asked_groups: finance, agent: support-bot, state: pending", func(s *stream) {
			s.call(gov.OutcomeRequireApproval, gov.ReasonApproval, func(d *canon.Decision) { d.Approval = &canon.ApprovalAsked{Groups: []gov.GroupID{"finance"}} })
		}, true},
		"a person answers": {"approval", "event: answered, person: p_x, vote: approve, groups: finance, state: approved, signed: false", func(s *stream) {
			s.add(canon.KindApprovalVote, canon.ApprovalVote{Vote: gov.VoteApprove, Person: "p_x", Groups: []gov.GroupID{"finance"}, State: gov.ApprovalApproved})
		}, true},
		"a limit is used up": {"budget", "event: used_up, agent: support-bot", func(s *stream) { s.call(gov.OutcomeDeny, gov.ReasonLimit) }, true},
		"a limit runs short": {"budget", "event: warned, limit: refunds, key: k", func(s *stream) { s.add(canon.KindLimitWarning, canon.LimitWarning{Limit: "refunds", Key: "k"}) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStream(t)
			c.build(s)
			b := ruled(t, "", map[string]string{"r": detection("r1", c.category, c.selection)})
			got := slices.DeleteFunc(s.play(b), func(g canon.Signal) bool { return g.Detector != "sigma:r1" })
			if (len(got) == 1) != c.fires || len(got) > 1 {
				t.Fatalf("the rule made %+v", got)
			}
			if c.fires && (got[0].Severity != gov.SeverityHigh || got[0].Tags[0] != "AML.T0053" || !strings.HasPrefix(got[0].Summary, "A rule: ") || len(got[0].Entries) != 1) {
				t.Errorf("the signal is %+v", got[0])
			}
			off := ruled(t, `detectors: {"sigma:r1": {off: true}}`, map[string]string{"r": detection("r1", c.category, c.selection)})
			if strings.Contains(names(s.play(off)), "sigma:") {
				t.Error("a rule that is off fires")
			}
		})
	}
}

func TestACorrelationSaysWhatItRestsOn(t *testing.T) {
	t.Parallel()
	rules := everyCorrelation()
	b, s := ruled(t, `detectors: {"sigma:event_count": {severity: 2, owner: "group:leads", contain: agent}}`, map[string]string{"denied": rules["denied"], "1": rules["1"]}), newStream(t)
	var want []gov.EntryID
	for range 5 {
		s.at = s.at.Add(2 * time.Minute)
		want = append(want, s.call(gov.OutcomeDeny, gov.ReasonNoPermit, session("s1")))
	}
	got := s.play(b)
	if len(got) != 1 { // and none of the detection, which only feeds it
		t.Fatalf("noticed %q", names(got))
	}
	g := got[0]
	if g.Detector != "sigma:event_count" || g.Severity != gov.SeverityHigh || !slices.Equal(g.Entries, want) || g.Count != 5 || g.Observed != "5" || g.Expected != "under 5" ||
		g.Window != 600 || g.Agent != "support-bot" || g.Session != "" || g.Tool != "" || g.Key != "sigma:event_count/support-bot" {
		t.Errorf("the signal is %+v", g)
	}
}

func TestRulesAnswerProbes(t *testing.T) {
	t.Parallel()
	b := ruled(t, `detectors: {"sigma:temporal": {off: true}}`, everyCorrelation())
	s := newStream(t)
	s.add(canon.KindProbe, canon.Probe{})
	got := s.play(b)
	if len(got) != 1 || !got[0].Heartbeat {
		t.Fatalf("a probe gives %q", names(got))
	}
	for id, want := range map[gov.DetectorID]bool{"sigma:event_count": true, "sigma:value_count": true, "sigma:temporal_ordered": true, "sigma:temporal": false, "sigma:denied": false} {
		if slices.Contains(got[0].Noticed, id) != want {
			t.Errorf("%s noticed what it has to: %t", id, !want)
		}
	}
	// A rule that does not do what it did is silent.
	for i := range b.Rules {
		if b.Rules[i].ID == "event_count" {
			b.Rules[i].Correlation.Min = 1000
		}
	}
	got = s.play(b)
	if len(got) != 2 || got[0].Detector != "detector_silent" || !strings.Contains(got[0].Summary, "sigma:event_count") {
		t.Errorf("of a rule that is silent a probe gives %+v", got)
	}
}

// TestWhatARuleHadGoesWithIt: not a byte of it is left when the bundle has it no more, and it begins anew when it comes back.
func TestWhatARuleHadGoesWithIt(t *testing.T) {
	t.Parallel()
	with, without := ruled(t, "", everyCorrelation()), acme(t, "")
	s := newStream(t)
	s.add(canon.KindProbe, canon.Probe{})
	for range 4 {
		s.call(gov.OutcomeDeny, gov.ReasonNoPermit)
	}
	s.add(canon.KindHeartbeat, canon.Heartbeat{})
	s.call(gov.OutcomeDeny, gov.ReasonNoPermit)
	for name, between := range map[string]*bundle.Bundle{
		"gone":        without,
		"off":         ruled(t, `detectors: {"sigma:event_count": {off: true}, "sigma:value_count": {off: true}, "sigma:temporal": {off: true}, "sigma:temporal_ordered": {off: true}}`, everyCorrelation()),
		"still there": with,
	} {
		state, fired := detect.New(), 0
		for i, e := range s.entries {
			b := with
			if i == 5 {
				b = between
			}
			signals, err := state.Step(int64(i), e, b)
			if err != nil {
				t.Fatal(err)
			}
			fired += strings.Count(names(signals), "sigma:event_count")
			if data, _ := json.Marshal(state); i == 5 && strings.Contains(string(data), "event_count") != (between == with) {
				t.Errorf("%s: what is remembered is %s", name, data)
			}
		}
		if want := map[bool]int{true: 1}[between == with]; fired != want {
			t.Errorf("%s: it fired %d times, want %d", name, fired, want)
		}
	}
}
