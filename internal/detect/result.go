package detect

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// open is an allowed call without a result.
type open struct {
	Decision gov.EntryID   `json:"decision"`
	Agent    gov.AgentID   `json:"agent"`
	Tool     gov.ToolName  `json:"tool"`
	Session  gov.SessionID `json:"session,omitempty"`
	At       int64         `json:"at"` // seconds since 1970
}

// missing counts, of one agent, the calls of a day that have no result in time, and those that have.
type missing struct {
	Day      int64         `json:"day"` // since 1970
	Without  int64         `json:"without"`
	Allowed  int64         `json:"allowed"` // ever, but for those that are open
	Reported int64         `json:"reported"`
	Fired    bool          `json:"fired,omitzero"`
	Rests    []gov.EntryID `json:"rests,omitempty"`
}

// opened remembers a call until its result is reported.
func (t *step) opened(d *decided) {
	if len(t.Open) >= openMax {
		t.without(t.Open[0])
		t.Open = t.Open[1:]
	}
	if len(t.Open) == cap(t.Open) && len(t.Open) > openMax/2 { // where none is reported the list moves on: seldom, then
		if t.room == nil {
			t.room = make([]open, 2*openMax)
		}
		t.Open = t.room[:copy(t.room, t.Open)]
	}
	t.Open = append(t.Open, open{Decision: t.entry.ID, Agent: d.Agent, Tool: d.Tool, Session: d.Session, At: t.at.Unix()})
}

// close takes a call off those that are open.
func (t *step) close(id gov.EntryID) (open, bool) {
	at, _, ok := canon.IndexOf(id)
	if !ok {
		return open{}, false
	}
	i, found := slices.BinarySearchFunc(t.Open, at, func(o open, at int64) int {
		index, _, _ := canon.IndexOf(o.Decision)
		return int(index - at)
	})
	if !found {
		return open{}, false
	}
	o := t.Open[i]
	t.Open = slices.Delete(t.Open, i, i+1)
	return o, true
}

// overdue takes calls whose result is late off those that are open.
func (t *step) overdue() {
	for len(t.Open) > 0 && t.Open[0].At+t.each.within < t.at.Unix() {
		t.without(t.Open[0])
		t.Open = t.Open[1:]
	}
}

func (t *step) missingOf(id gov.AgentID) *missing {
	m, ok := t.Missing[id]
	if !ok {
		if len(t.Missing) >= agentsMax {
			return &missing{}
		}
		m = &missing{}
		t.Missing[id] = m
	}
	return m
}

const secondsDay = 86_400

// newest adds an entry to the newest that something rests on.
func newest(ids []gov.EntryID, id gov.EntryID) []gov.EntryID {
	if len(ids) < restsOnMax {
		return append(ids, id)
	}
	copy(ids, ids[1:])
	ids[len(ids)-1] = id
	return ids
}

// without counts a call that has no result. It fires once a day, for an agent that reports otherwise.
func (t *step) without(o open) {
	m := t.missingOf(o.Agent)
	if day := t.at.Unix() / secondsDay; day != m.Day {
		m.Day, m.Without, m.Fired, m.Rests = day, 0, false, nil
	}
	reports := m.Reported > 0 && m.Reported*100 >= (m.Allowed-m.Without)*t.each.usual
	m.Allowed++
	m.Without++
	m.Rests = newest(m.Rests, o.Decision)
	if m.Fired || !reports || m.Without < t.each.missingCalls {
		return
	}
	m.Fired = true
	t.fire("missing_result", found{
		about: string(o.Agent), agent: o.Agent, observed: whole(m.Without), expected: "0", window: secondsDay, entries: slices.Clone(m.Rests), count: m.Without,
		summary: fmt.Sprintf("%d allowed calls of %s have no result today, and it reported %d of %d before.", m.Without, o.Agent, m.Reported, m.Allowed-m.Without),
	})
}

// result looks at what happened when a call ran.
func (t *step) result(r canon.Result) {
	o, known := t.close(r.Decision)
	if !known {
		return // late, or of before the first entry that was looked at
	}
	m := t.missingOf(o.Agent)
	m.Allowed++
	m.Reported++
	f := found{agent: o.Agent, tool: o.Tool, session: o.Session, entries: []gov.EntryID{r.Decision, t.entry.ID}, about: string(o.Agent) + "/" + string(o.Tool)}
	t.findings(r.Findings, &f, "reads")
	if r.Status != gov.ResultSucceeded {
		return
	}
	t.size("unusual_size", r.OutputBytes, "bytes were answered", f)
	if r.DurationMS != nil {
		t.size("unusual_duration", *r.DurationMS, "milliseconds were taken", f)
	}
	if r.Usage != nil && r.Usage.CostMicroUSD != nil {
		t.size("unusual_cost", *r.Usage.CostMicroUSD, "millionths of a dollar were spent", f)
	}
}

// warned looks at a limit that runs short.
func (t *step) warned(w canon.LimitWarning) {
	f := found{about: w.Limit + "/" + w.Key, observed: whole(w.Calls), expected: whole(w.WarnCalls), window: w.WindowSeconds}
	if w.WarnMicroUSD > 0 {
		f.observed, f.expected = whole(w.MicroUSD), whole(w.WarnMicroUSD)
	}
	f.summary = fmt.Sprintf("The limit %s is nearly used up: %s, and it warns at %s.", w.Limit, f.observed, f.expected)
	t.fire("budget_threshold", f)
}

// scanned looks at what was found in a text on its way to a model.
func (t *step) scanned(s canon.Scanned) {
	t.findings(s.Findings, &found{agent: gov.AgentID(t.entry.Actor.ID), session: s.Session, tool: gov.ToolName(s.Channel)}, "is sent")
}

// sizes are the newest of a kind.
type sizes struct {
	Kept []int64 `json:"kept"`
	Seen int64   `json:"seen"`
}

const (
	madScale = 1.4826 // of a normal distribution, standard deviations in a median absolute deviation
	madMin   = 0.15   // in logarithms: sizes that are all the same differ by a little all the same
)

// size fires for one that is far above the median of those before it, in logarithms.
func (t *step) size(id gov.DetectorID, n int64, what string, f found) {
	key := string(id) + "/" + f.about
	s, ok := t.Sizes[key]
	if !ok {
		if len(t.Sizes) >= sizesOfMax {
			return
		}
		s = &sizes{}
		t.Sizes[key] = s
	}
	if s.Seen >= t.param(id, "learn") {
		median, deviation := s.middle()
		off := (math.Log(float64(n)+1) - median) / math.Max(madMin, float64(madScale*deviation))
		if off >= float64(t.param(id, "deviations")) {
			f.observed, f.expected = whole(n), figure(math.Exp(median)-1)
			f.summary = fmt.Sprintf("%d %s by a call of %s by %s; the median of those before is %s.", n, what, f.tool, f.agent, f.expected)
			t.fire(id, f)
		}
	}
	s.Seen++
	s.Kept = append(s.Kept, n)
	if len(s.Kept) > sizesKept {
		s.Kept = s.Kept[1:]
	}
}

// middle gives the median of the logarithms and the median of how far they are from it.
func (s *sizes) middle() (median, deviation float64) {
	logs := make([]float64, len(s.Kept))
	for i, n := range s.Kept {
		logs[i] = math.Log(float64(n) + 1)
	}
	median = medianOf(logs)
	for i := range logs {
		logs[i] = math.Abs(logs[i] - median)
	}
	return median, medianOf(logs)
}

func medianOf(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	if n := len(list); n%2 == 0 {
		return (list[n/2-1] + list[n/2]) / 2
	}
	return list[len(list)/2]
}

// gap looks at a time when nothing was recorded.
func (t *step) gap(g canon.RecorderGap) {
	from, err := time.Parse(canon.TimeLayout, g.From)
	to, wrong := time.Parse(canon.TimeLayout, g.To)
	seconds := int64(to.Sub(from) / time.Second)
	if err != nil || wrong != nil || seconds < t.param("recorder_gap", "min") {
		return
	}
	t.fire("recorder_gap", found{
		about: "recorder", observed: whole(seconds), expected: "0", window: seconds,
		summary: fmt.Sprintf("No recorder was alive for %s, from %s.", span(seconds), g.From),
	})
}

// scrub looks at whether the ledger was found whole.
func (t *step) scrub(s canon.Scrub) {
	if s.Wrong == "" {
		return
	}
	t.fire("verification_failed", found{about: "ledger", summary: "The ledger does not verify: " + s.Wrong})
}

// activated looks at how a bundle came into force.
func (t *step) activated(b canon.BundleActivated) {
	t.activates = b.Bundle
	if b.How == canon.HowReviewed || b.How == canon.HowBootstrap && b.Previous == "" {
		return
	}
	f := found{about: "bundle", summary: fmt.Sprintf("A bundle came into force by %s: %s", b.How, b.Reason)}
	if b.How == canon.HowBootstrap {
		f.summary, f.worse = "A bundle replaced another one without a proposal.", gov.SeverityCritical
	}
	t.fire("change_outside", f)
}
