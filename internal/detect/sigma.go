package detect

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/sigma"
)

// detectorOf is the detector that a rule is.
func detectorOf(r *sigma.Rule) gov.DetectorID { return bundle.SigmaPrefix + gov.DetectorID(r.ID) }

// watched are the rules that are evaluated: without correlations that are off. A detection that is off may feed others.
func (s *settings) watched(rules []sigma.Rule) []sigma.Rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r sigma.Rule) bool { return r.Correlation != nil && s.detectors[detectorOf(&r)].Off })
}

// keep forgets what rules had that the bundle has no more, or switched off.
func (s *State) keep() {
	s.settings.rules.Keep(&s.Sigma)
	for id := range s.Probes {
		if d, ok := s.settings.detectors[id]; !ok || d.Off {
			delete(s.Probes, id)
		}
	}
}

// observe lets the rules look at an event of the entry.
func (t *step) observe(c sigma.Category, look func(field string) []string) {
	if !t.ruled() {
		return
	}
	e := sigma.Event{Category: c, ID: t.entry.ID, Index: t.index, At: t.at.Unix(), Look: look}
	for _, f := range t.rules.Observe(&t.Sigma, e) {
		t.matched(f, e)
	}
}

// matched makes a signal of a rule that fired. What a correlation does not group by may differ among its events, so it is not named.
func (t *step) matched(m sigma.Found, e sigma.Event) {
	n := int64(len(m.Entries))
	f := found{entries: lastOf(m.Entries), count: n, agent: gov.AgentID(e.First("agent"))}
	grouped := func(field string) string {
		if m.Rule.Correlation == nil || slices.Contains(m.Rule.Correlation.GroupBy, field) {
			return e.First(field)
		}
		return ""
	}
	f.tool, f.principal, f.session = gov.ToolName(grouped("tool")), grouped("principal"), gov.SessionID(grouped("session"))
	c := m.Rule.Correlation
	if c == nil {
		f.about = aboutOf(e)
		f.summary = fmt.Sprintf("%s: %s.", m.Rule.Title, f.about)
		t.fire(detectorOf(m.Rule), f)
		return
	}
	about := "all together"
	if f.about = strings.Join(m.Group, "/"); f.about != "" {
		about = f.about
	}
	f.window = c.Timespan
	what := "events"
	switch c.Type {
	case sigma.EventCount, sigma.ValueCount:
		f.observed, f.expected = whole(n), "under "+whole(c.Min)
		if c.Type == sigma.ValueCount {
			what = "values of " + c.Field
		}
	case sigma.Temporal, sigma.TemporalOrdered:
		f.observed, f.expected = whole(n), "not all of them"
	}
	f.summary = fmt.Sprintf("%s: %d %s within %s (%s).", m.Rule.Title, n, what, span(c.Timespan), about)
	t.fire(detectorOf(m.Rule), f)
}

// aboutOf is what one event is about.
func aboutOf(e sigma.Event) string {
	var parts []string
	for _, field := range []string{"agent", "tool", "person", "limit", "key"} {
		if v := e.First(field); v != "" {
			parts = append(parts, v)
		}
	}
	return strings.Join(parts, "/")
}

// ruled is the part of a canon.Decision that rules look at.
type ruled struct {
	decided
	LabelsAdded []gov.Label    `json:"labels_added"`
	Policies    []gov.PolicyID `json:"policies"`
	Approved    gov.EntryID    `json:"approved"`
	Delegations []gov.EntryID  `json:"delegations"`
	Limits      []charged      `json:"limits"`
}

// charged is the part of a canon.LimitCharge that rules look at.
type charged struct {
	ID string `json:"id"`
}

// ruleDecision makes the events of a decision.
func (t *step) ruleDecision(d *ruled) {
	call := func(field string) []string { return t.values(d, field) }
	with := func(field, value string) func(string) []string {
		return func(name string) []string {
			switch name {
			case field:
				return some(value)
			case "state":
				return some(string(gov.ApprovalPending))
			case "asked_groups":
				if d.Approval != nil {
					return texts(d.Approval.Groups)
				}
			}
			return call(name)
		}
	}
	if d.Outcome == gov.OutcomeAllow {
		t.observe(sigma.ToolCall, call)
	}
	t.observe(sigma.PolicyDecision, call)
	if d.Approval != nil {
		t.observe(sigma.Approval, with("event", "asked"))
	}
	if slices.ContainsFunc(d.Reasons, func(r gov.Reason) bool { return r.Code == gov.ReasonLimit }) {
		t.observe(sigma.Budget, with("event", "used_up"))
	}
}

// values are those of a field of a call and its answer.
func (t *step) values(d *ruled, field string) []string {
	switch field {
	case "agent":
		return some(string(d.Agent))
	case "tool":
		return some(string(d.Tool))
	case "categories":
		return texts(t.categories(d.Tool))
	case "principal":
		return some(d.who())
	case "principal_type":
		return some(string(d.Principal.Type))
	case "assurance":
		return some(string(d.Principal.Assurance))
	case "groups":
		return texts(d.Principal.Groups)
	case "session":
		return some(string(d.Session))
	case "mode":
		return some(string(d.Mode))
	case "outcome":
		return some(string(d.Outcome))
	case "would":
		return some(string(cmp.Or(d.Would, d.Outcome)))
	}
	return d.context(field)
}

// context are the values of a field of what an answer rests on.
func (d *ruled) context(field string) (out []string) {
	switch field {
	case "reasons":
		for _, r := range d.Reasons {
			out = append(out, string(r.Code))
		}
	case "policies":
		return texts(d.Policies)
	case "labels":
		return texts(d.Labels)
	case "labels_added":
		return texts(d.LabelsAdded)
	case "findings":
		for _, f := range d.Findings {
			out = append(out, f.Band)
		}
	case "finding_rules":
		for _, f := range d.Findings {
			out = append(out, f.Rules...)
		}
	case "taint":
		for _, k := range d.Taint {
			out = append(out, k.Kind)
		}
	case "taint_near_finding":
		return some(strconv.FormatBool(slices.ContainsFunc(d.Taint, func(k canon.Taint) bool { return k.Near })))
	case "sends":
		return d.Sends
	case "limits":
		for _, l := range d.Limits {
			out = append(out, l.ID)
		}
	case "approved":
		return some(strconv.FormatBool(d.Approved != ""))
	case "delegated":
		return some(strconv.FormatBool(len(d.Delegations) > 0))
	}
	return out
}

// some is a value, or none.
func some(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

// ruleVote makes the event of an answer to a request for approval.
func (t *step) ruleVote(v canon.ApprovalVote) {
	t.observe(sigma.Approval, func(field string) []string {
		switch field {
		case "event":
			return some("answered")
		case "person":
			return some(v.Person)
		case "vote":
			return some(string(v.Vote))
		case "state":
			return some(string(v.State))
		case "groups":
			return texts(v.Groups)
		case "signed":
			return some(strconv.FormatBool(v.Signed != nil))
		}
		return nil
	})
}

// ruleWarning makes the event of a limit that runs short.
func (t *step) ruleWarning(w canon.LimitWarning) {
	t.observe(sigma.Budget, func(field string) []string {
		switch field {
		case "event":
			return some("warned")
		case "limit":
			return some(w.Limit)
		case "key":
			return some(w.Key)
		}
		return nil
	})
}

// syntheticRule gives the events of the first case that a rule must fire for. They are played to a memory of their own.
func (t *step) syntheticRule(id gov.DetectorID) (events func(*script), ok bool) {
	if t.of == nil {
		return nil, false
	}
	for i := range t.of.Rules {
		r := &t.of.Rules[i]
		if detectorOf(r) != id {
			continue
		}
		n := slices.IndexFunc(r.Cases, func(c sigma.Case) bool { return c.Fires })
		return func(s *script) {
			s.state.settings.rules = t.rules
			for _, e := range r.Cases[n].Events {
				s.event(e)
			}
		}, n >= 0
	}
	return nil, false
}

// event lets the rules look at an event of a case.
func (s *script) event(e sigma.Event) {
	id := canon.IDAt(canon.KindDecision, e.Index)
	t := &step{State: s.state, entry: canon.Entry{Kind: canon.KindDecision, ID: id}, index: e.Index, at: s.at, settings: s.state.settings}
	e.ID = id
	for _, f := range t.rules.Observe(&s.state.Sigma, e) {
		t.matched(f, e)
	}
	s.fired = s.fired || slices.ContainsFunc(t.signals, func(g canon.Signal) bool { return g.Detector == s.wants })
}
