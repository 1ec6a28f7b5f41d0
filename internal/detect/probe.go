package detect

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// Heartbeat is the detector of the answer to a probe.
const Heartbeat gov.DetectorID = "heartbeat"

// Probed says whether synthetic events are made for a detector. detector_silent has none: it speaks when others do not.
func Probed(id gov.DetectorID) bool {
	_, ok := synthetic(id)
	return ok || strings.HasPrefix(string(id), bundle.SigmaPrefix)
}

// probe lets every detector look at the synthetic events made for it, under the thresholds in force, and says which noticed.
func (t *step) probe(p canon.Probe) {
	if p.Unanswered > 0 {
		t.fire("detector_silent", found{
			about: "all", observed: "0", expected: fmt.Sprint(p.Unanswered), window: t.since(p.Since),
			summary: fmt.Sprintf("No detector answered from %s on: nobody looked until now.", p.Since),
		})
	}
	var noticed []gov.DetectorID
	for _, id := range slices.Sorted(maps.Keys(t.detectors)) {
		make, ok := synthetic(id)
		if !ok {
			make, ok = t.syntheticRule(id)
		}
		if !ok || t.detectors[id].Off {
			continue
		}
		if t.notices(id, make) {
			noticed = append(noticed, id)
			t.Probes[id] = t.entry.At
			continue
		}
		t.fire("detector_silent", found{
			about: string(id), observed: "0", expected: "1", summary: fmt.Sprintf("The detector %s did not notice the synthetic event that it has to.", id),
		})
	}
	t.signals = append(t.signals, canon.Signal{
		Detector: Heartbeat, Version: Version, Severity: gov.SeverityLow, Key: string(Heartbeat), Heartbeat: true, Noticed: noticed,
		Summary: fmt.Sprintf("%d detectors noticed the synthetic events that they have to.", len(noticed)), Through: t.index,
		Entries: []gov.EntryID{t.entry.ID}, Count: 1,
	})
}

// since is how many seconds ago a time was, or 0.
func (t *step) since(text string) int64 {
	at, err := time.Parse(canon.TimeLayout, text)
	if err != nil {
		return 0
	}
	return int64(t.at.Sub(at) / time.Second)
}

// notices says whether a detector fires on events that were made for it.
func (t *step) notices(id gov.DetectorID, events func(*script)) bool {
	s := &script{state: New(), step: t, at: t.at, wants: id}
	s.state.settings = &settings{specs: t.specs, detectors: t.detectors, each: t.each, categories: func(gov.ToolName) []gov.Category {
		return []gov.Category{gov.CategoryExternalCommunication}
	}}
	events(s)
	return s.fired && s.err == nil
}

// script plays synthetic entries to a state of its own.
type script struct {
	state *State
	step  *step
	at    time.Time
	wants gov.DetectorID
	fired bool
	err   error
}

func (s *script) param(name string) int64 { return s.step.param(s.wants, name) }

// add plays an entry, some time after the one before it.
func (s *script) add(after time.Duration, kind canon.Kind, body any) gov.EntryID {
	s.at = s.at.Add(after)
	data, err := json.Marshal(body)
	id := canon.IDAt(kind, s.state.Through)
	e := canon.Entry{Kind: kind, ID: id, At: s.at.UTC().Format(canon.TimeLayout), Body: data}
	if err == nil {
		var signals []canon.Signal
		signals, err = s.state.Step(s.state.Through, e, nil)
		s.fired = s.fired || slices.ContainsFunc(signals, func(g canon.Signal) bool { return g.Detector == s.wants })
	}
	if err != nil && s.err == nil {
		s.err = err
	}
	return id
}

// call is a synthetic decision.
func call(outcome gov.Outcome, code gov.ReasonCode, with func(*canon.Decision)) canon.Decision {
	d := canon.Decision{
		Agent: "probe", Principal: canon.PrincipalRef{Type: gov.PrincipalService, Ref: "probe"}, Tool: "probe/tool", Outcome: outcome,
		Reasons: []gov.Reason{{Code: code, Policy: "probe", Message: "A synthetic event."}},
	}
	if with != nil {
		with(&d)
	}
	return d
}

// synthetic gives the events that a detector has to notice.
func synthetic(id gov.DetectorID) (events func(*script), ok bool) {
	allow := call(gov.OutcomeAllow, gov.ReasonPolicyPermit, nil)
	denied := func(code gov.ReasonCode) func(*script) {
		return func(s *script) { s.add(0, canon.KindDecision, call(gov.OutcomeDeny, code, nil)) }
	}
	finding := []canon.Finding{{Version: "probe", Channel: "tool_result", Band: "high"}}
	switch id {
	case "blocked_spike":
		return func(s *script) {
			for range max(s.param("min"), 1) + burst {
				s.add(0, canon.KindDecision, call(gov.OutcomeDeny, gov.ReasonNoPermit, nil))
			}
		}, true
	case "unusual_rate":
		return func(s *script) {
			s.add(0, canon.KindDecision, allow)
			s.at = s.at.Add(time.Duration(s.param("learn")*s.param("window")) * time.Second)
			for range max(s.param("min"), 1) + burst {
				s.add(0, canon.KindDecision, allow)
			}
		}, true
	case "blocked_call":
		return denied(gov.ReasonPolicyForbid), true
	case "off_list":
		return denied(gov.ReasonToolNotAllowed), true
	case "unregistered_agent":
		return denied(gov.ReasonAgentUnknown), true
	case "budget_breach":
		return denied(gov.ReasonLimit), true
	case "unusual_size", "unusual_duration", "unusual_cost":
		return outlier, true
	case "new_tool":
		return firstAfter(func(d *canon.Decision) { d.Tool = "probe/other" }), true
	case "new_principal":
		return firstAfter(func(d *canon.Decision) { d.Principal.Ref = "other" }), true
	case "new_destination":
		return firstAfter(func(d *canon.Decision) { d.Sends = []string{"other"} }), true
	case "injection":
		return func(s *script) {
			ran := s.add(0, canon.KindDecision, allow)
			s.add(time.Second, canon.KindResult, canon.Result{Decision: ran, Status: gov.ResultSucceeded, Findings: finding})
		}, true
	case "tainted_sink":
		return func(s *script) {
			s.add(0, canon.KindDecision, call(gov.OutcomeDeny, gov.ReasonPolicyForbid, func(d *canon.Decision) { d.Taint = []canon.Taint{{Kind: "email", Path: "/to"}} }))
		}, true
	case "private_then_out":
		return func(s *script) {
			s.add(0, canon.KindDecision, call(gov.OutcomeAllow, gov.ReasonPolicyPermit, func(d *canon.Decision) {
				d.Session, d.Labels = "probe", []gov.Label{"private", "untrusted"}
			}))
		}, true
	default:
		return syntheticDoor(id)
	}
}

// syntheticDoor gives the events of what is no call.
func syntheticDoor(id gov.DetectorID) (events func(*script), ok bool) {
	allow := call(gov.OutcomeAllow, gov.ReasonPolicyPermit, nil)
	refused := func(code gov.Code, route string, n func(*script) int64) func(*script) {
		return func(s *script) {
			s.add(0, canon.KindRefusals, canon.Refusals{Counts: []canon.Refusal{{Caller: "probe", Code: code, Route: route, Count: n(s)}}})
		}
	}
	switch id {
	case "rubber_stamp":
		return func(s *script) {
			for range min(s.param("votes"), votesKept) {
				asked := s.add(time.Second, canon.KindDecision, call(gov.OutcomeRequireApproval, gov.ReasonApproval, func(d *canon.Decision) { d.Approval = &canon.ApprovalAsked{} }))
				s.add(0, canon.KindApprovalVote, canon.ApprovalVote{Decision: asked, Vote: gov.VoteApprove, Person: "probe", State: gov.ApprovalApproved})
			}
		}, true
	case "self_approval":
		return refused(gov.CodeNotEligible, "POST /v1/approvals/{id}/votes", func(*script) int64 { return 1 }), true
	case "credential_misuse":
		return refused(gov.CodeUnauthenticated, "POST /v1/decisions", func(s *script) int64 { return s.param("min") }), true
	case "change_outside":
		return func(s *script) {
			s.add(0, canon.KindBundleActivated, canon.BundleActivated{How: canon.HowEmergency, Previous: "probe"})
		}, true
	case "recorder_gap":
		return func(s *script) {
			from := s.at.Add(-time.Duration(s.param("min")) * time.Second)
			s.add(0, canon.KindRecorderGap, canon.RecorderGap{From: from.UTC().Format(canon.TimeLayout), To: s.at.UTC().Format(canon.TimeLayout)})
		}, true
	case "budget_threshold":
		return func(s *script) {
			s.add(0, canon.KindLimitWarning, canon.LimitWarning{Limit: "probe", WarnCalls: 80, Calls: 81})
		}, true
	case "verification_failed":
		return func(s *script) { s.add(0, canon.KindScrub, canon.Scrub{Wrong: "a synthetic event"}) }, true
	case "missing_result":
		return func(s *script) {
			ran := s.add(0, canon.KindDecision, allow) // it reports, and then it does not
			s.add(0, canon.KindResult, canon.Result{Decision: ran, Status: gov.ResultSucceeded})
			for range s.param("min") {
				s.add(0, canon.KindDecision, allow)
			}
			s.add(time.Duration(s.param("within")+1)*time.Second, canon.KindHeartbeat, canon.Heartbeat{})
		}, true
	}
	return nil, false
}

// burst is how many events at one moment no model takes for usual.
const burst = 200

// firstAfter plays as many calls as an agent needs to have a history, and then one that is new.
func firstAfter(change func(*canon.Decision)) func(*script) {
	return func(s *script) {
		for range s.param("learn") {
			s.add(time.Minute, canon.KindDecision, call(gov.OutcomeAllow, gov.ReasonPolicyPermit, nil))
		}
		s.add(time.Minute, canon.KindDecision, call(gov.OutcomeAllow, gov.ReasonPolicyPermit, change))
	}
}

// outlier plays results that are all alike, and then one that is not.
func outlier(s *script) {
	usual, odd := int64(1000), int64(1_000_000_000_000_000)
	result := func(n int64) {
		ran := s.add(time.Second, canon.KindDecision, call(gov.OutcomeAllow, gov.ReasonPolicyPermit, nil))
		s.add(0, canon.KindResult, canon.Result{
			Decision: ran, Status: gov.ResultSucceeded, OutputBytes: n, DurationMS: &n, Usage: &canon.Usage{CostMicroUSD: &n},
		})
	}
	for range s.param("learn") {
		result(usual)
	}
	result(odd)
}

// exercise labels what is found of some agents, and by some detectors of nobody, from now on.
func (t *step) exercise(e canon.Exercise) {
	for _, agent := range e.Agents {
		t.Exercise[agent] = e.Until
	}
	if t.ExerciseOf == nil { // as it was saved before there were any
		t.ExerciseOf = map[gov.DetectorID]string{}
	}
	for _, id := range e.Detectors {
		t.ExerciseOf[id] = e.Until
	}
}

// exercised ends it.
func (t *step) exercised(e canon.ExerciseResult) {
	for _, agent := range e.Agents {
		delete(t.Exercise, agent)
	}
	for _, id := range e.Detectors {
		delete(t.ExerciseOf, id)
	}
}
