package detect

import (
	"fmt"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// decided is the part of a canon.Decision that detectors look at: every call is read.
type decided struct {
	Agent     gov.AgentID        `json:"agent"`
	Principal canon.PrincipalRef `json:"principal"`
	Tool      gov.ToolName       `json:"tool"`
	Session   gov.SessionID      `json:"session"`
	Mode      gov.Mode           `json:"mode"`
	Outcome   gov.Outcome        `json:"outcome"`
	Would     gov.Outcome        `json:"would"`
	Reasons   []gov.Reason       `json:"reasons"`
	Labels    []gov.Label        `json:"labels"`
	Approval  *asked             `json:"approval"`
	Findings  []canon.Finding    `json:"findings"`
	Taint     []canon.Taint      `json:"taint"`
	Sends     []string           `json:"sends"`

	principal string // who() of Principal, when it was read with it
}

// who is the principal in one text.
func (d *decided) who() string {
	if d.principal != "" {
		return d.principal
	}
	return string(d.Principal.Type) + ":" + d.Principal.Ref
}

// asked is the part of a canon.ApprovalAsked that detectors look at.
type asked struct {
	Groups []gov.GroupID `json:"groups"`
}

// read looks at a decision, read at length if it was not yet, and so is what only rules look at when there are any.
func (t *step) read(d *ruled) error {
	if d == nil {
		d = &ruled{}
		into := any(&d.decided)
		if t.ruled() {
			into = d
		}
		if err := jsonv2.Unmarshal(t.entry.Body, into); err != nil {
			return err
		}
	}
	t.decision(&d.decided)
	if t.ruled() {
		t.ruleDecision(d)
	}
	return nil
}

// decision looks at the answer to a call.
func (t *step) decision(d *decided) {
	f := &found{agent: d.Agent, tool: d.Tool, principal: d.who(), session: d.Session}
	if d.Approval != nil {
		t.remember()
	}
	t.Week.add(t.at)
	a := t.agentOf(d.Agent)
	if a == nil {
		return
	}
	a.Calls++
	t.rates(a, d)
	t.reasons(d, f)
	t.novel(a, d, f)
	t.content(d, f)
	if d.Outcome == gov.OutcomeAllow {
		t.opened(d)
	}
}

// agentOf is what is remembered of an agent, or nil when there are too many.
func (t *step) agentOf(id gov.AgentID) *agent {
	a, ok := t.Agents[id]
	if !ok && len(t.Agents) < agentsMax {
		a = &agent{}
		t.Agents[id] = a
	}
	return a
}

// remember keeps when people were asked, until they answer.
func (t *step) remember() {
	if len(t.Asked) >= openMax {
		oldest := gov.EntryID("")
		for id := range t.Asked {
			if oldest == "" || inOrder(id, oldest) {
				oldest = id
			}
		}
		delete(t.Asked, oldest)
	}
	t.Asked[t.entry.ID] = t.entry.At
}

// inOrder says whether an id stands before another in the ledger.
func inOrder(a, b gov.EntryID) bool {
	i, _, _ := canon.IndexOf(a)
	j, _, _ := canon.IndexOf(b)
	return i < j
}

// rates counts calls and denials.
func (t *step) rates(a *agent, d *decided) {
	usual := t.usually()
	a.Rate.add(t.at, t.each.rate.window, &t.Week, usual.Rate, t.entry.ID)
	if a.Rate.Windows >= float64(t.each.rate.learn) {
		t.spike("unusual_rate", &t.each.rate, &a.Rate, d.Agent, "%d calls of %s in %s")
	}
	if d.Outcome == gov.OutcomeDeny {
		a.Denied.add(t.at, t.each.denied.window, &t.Week, usual.Denied, t.entry.ID)
		t.spike("blocked_spike", &t.each.denied, &a.Denied, d.Agent, "%d calls of %s were denied in %s")
	}
}

// spike fires when there are too many events for chance.
func (t *step) spike(id gov.DetectorID, at *spikes, s *series, agent gov.AgentID, summary string) {
	k, unlikely := s.unlikely(at.min, at.oneIn)
	if !unlikely {
		return
	}
	s.found(k)
	window := k.windows * s.Window
	t.fire(id, found{
		about: string(agent), agent: agent, observed: whole(k.count), expected: figure(k.expected), probability: figure(k.p), window: window,
		entries: slices.Clone(s.Rests), count: k.count,
		summary: fmt.Sprintf(summary, k.count, agent, span(window)) + fmt.Sprintf("; %s were to be expected.", figure(k.expected)),
	})
}

// usual is how many calls, and how many denials, an agent has in a window, over all agents: what one without a history is compared
// with. It is worked out anew in each of its intervals.
type usual struct {
	Interval int64   `json:"interval"`
	Rate     float64 `json:"rate"`
	Denied   float64 `json:"denied"`
}

const usualSeconds = 600

func (t *step) usually() usual {
	now := t.at.Unix() / usualSeconds
	if now == t.Usual.Interval {
		return t.Usual
	}
	// Whole numbers and halves of them add up to the same in any order.
	var calls, callWindows, denied, deniedWindows float64
	for _, a := range t.Agents {
		calls, callWindows = calls+a.Rate.Done, callWindows+a.Rate.Windows
		denied, deniedWindows = denied+a.Denied.Done, deniedWindows+a.Denied.Windows
	}
	t.Usual = usual{Interval: now}
	if callWindows > 0 {
		t.Usual.Rate = calls / callWindows
	}
	if deniedWindows > 0 {
		t.Usual.Denied = denied / deniedWindows
	}
	return t.Usual
}

// risky are categories whose calls have effects that cannot be taken back.
func risky(c gov.Category) bool {
	switch c {
	case gov.CategoryMoney, gov.CategoryExternalCommunication, gov.CategoryDataDeletion, gov.CategoryElevatedPrivilege, gov.CategoryCodeExecution:
		return true
	case gov.CategoryDataWrite, gov.CategoryReadOnly:
	}
	return false
}

// reasons looks at why a call was denied.
func (t *step) reasons(d *decided, of *found) {
	outcome := d.Outcome
	if d.Would != "" && d.Mode == gov.ModeObserve {
		outcome = d.Would
	}
	if outcome != gov.OutcomeDeny {
		return
	}
	for _, r := range d.Reasons {
		f := *of
		f.summary = r.Message
		switch r.Code {
		case gov.ReasonToolUnknown, gov.ReasonToolNotAllowed:
			f.about = string(d.Agent) + "/" + string(d.Tool)
			f.summary = fmt.Sprintf("%s tried %s, which is not on its list.", d.Agent, d.Tool)
			t.fire("off_list", f)
		case gov.ReasonAgentUnknown, gov.ReasonAgentEnvironment:
			f.about = string(d.Agent)
			t.fire("unregistered_agent", f)
		case gov.ReasonPolicyForbid:
			if slices.ContainsFunc(t.categories(d.Tool), risky) {
				f.about = string(d.Agent) + "/" + string(r.Policy)
				f.summary = fmt.Sprintf("The policy %s forbade %s to call %s: %s", r.Policy, d.Agent, d.Tool, r.Message)
				t.fire("blocked_call", f)
			}
		case gov.ReasonLimit:
			f.about = string(d.Agent) + "/limit"
			t.fire("budget_breach", f)
		default:
		}
	}
}

// novel looks for what the agent never did. An agent without a history does everything for the first time.
func (t *step) novel(a *agent, d *decided, f *found) {
	if d.Outcome == gov.OutcomeDeny {
		return
	}
	if tool := string(d.Tool); a.Tools.add(tool, valuesMax) && a.Calls > t.each.tool {
		t.first("new_tool", a, f, "calls "+tool)
	}
	if a.Principals.add(f.principal, valuesMax) && a.Calls > t.each.principal {
		t.first("new_principal", a, f, "acts for "+f.principal)
	}
	for _, to := range d.Sends {
		if a.Destinations.add(to, valuesMax) && a.Calls > t.each.send {
			t.first("new_destination", a, f, fmt.Sprintf("sends to %s with %s", to, d.Tool))
		}
	}
}

// first fires for what an agent did for the first time. Each is a signal of its own; together they are one incident of the agent, while
// that is open.
func (t *step) first(id gov.DetectorID, a *agent, of *found, does string) {
	f := *of
	f.about, f.observed, f.expected = string(f.agent), "1", "0"
	f.summary = fmt.Sprintf("For the first time in %d calls %s %s.", a.Calls, f.agent, does)
	t.fire(id, f)
}

// content looks at what the scanner found in the input, at where it came from, and at where it goes.
func (t *step) content(d *decided, f *found) {
	t.findings(d.Findings, f, "sends")
	if len(d.Taint) > 0 && slices.ContainsFunc(t.categories(d.Tool), func(c gov.Category) bool { return c != gov.CategoryReadOnly }) {
		g := *f
		kinds, near := []string{}, false
		for _, taint := range d.Taint {
			kinds, near = append(kinds, taint.Kind+" at "+taint.Path), near || taint.Near
		}
		g.about, g.observed = string(d.Agent)+"/"+string(d.Session), whole(int64(len(d.Taint)))
		g.summary = fmt.Sprintf("The input of %s has what came from an untrusted source alone: %s.", d.Tool, strings.Join(kinds[:min(len(kinds), 5)], ", "))
		if near && d.Outcome == gov.OutcomeAllow {
			g.worse = gov.SeverityCritical
		}
		t.fire("tainted_sink", g)
	}
	if slices.Contains(d.Labels, "private") && slices.Contains(d.Labels, "untrusted") && d.Outcome == gov.OutcomeAllow && d.Session != "" && slices.Contains(t.categories(d.Tool), gov.CategoryExternalCommunication) &&
		t.Out.add(string(d.Agent)+"/"+string(d.Session), sessionsMax) {
		g := *f
		g.about = string(d.Agent) + "/" + string(d.Tool)
		g.summary = fmt.Sprintf("The session read what is private and what is untrusted, and %s sent out with %s.", d.Agent, d.Tool)
		t.fire("private_then_out", g)
	}
}

// findings fires for what the scanner is fairly sure of.
func (t *step) findings(all []canon.Finding, f *found, does string) {
	for _, finding := range all {
		if finding.Band == "low" {
			continue
		}
		g := *f
		g.about, g.observed = string(f.agent)+"/"+string(f.tool), finding.Band
		g.summary = fmt.Sprintf("Text that %s %s with %s looks like an injection (%s; %s).", f.agent, does, f.tool, finding.Band, strings.Join(finding.Rules, ", "))
		if finding.Band == "high" {
			g.worse = gov.SeverityHigh
		}
		t.fire("injection", g)
		return // one is enough to look
	}
}
