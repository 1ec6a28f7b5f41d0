package detect

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// voter is how a person answered what they were asked, the newest answers.
type voter struct {
	Seconds  []int64 `json:"seconds"` // from the request to the vote
	Approved []bool  `json:"approved"`
	Since    int64   `json:"since"` // votes since it fired
}

// vote looks at how fast and how a person answers.
func (t *step) vote(v canon.ApprovalVote) {
	asked, known := t.Asked[v.Decision]
	if v.State != gov.ApprovalPending {
		delete(t.Asked, v.Decision)
	}
	at, err := time.Parse(canon.TimeLayout, asked)
	if !known || err != nil {
		return
	}
	p, ok := t.Voters[v.Person]
	if !ok {
		if len(t.Voters) >= peopleMax {
			return
		}
		p = &voter{}
		t.Voters[v.Person] = p
	}
	p.Seconds, p.Approved = append(p.Seconds, int64(t.at.Sub(at)/time.Second)), append(p.Approved, v.Vote == gov.VoteApprove)
	if len(p.Seconds) > votesKept {
		p.Seconds, p.Approved = p.Seconds[1:], p.Approved[1:]
	}
	t.stamped(v.Person, p)
}

// stamped fires when a person's newest answers look as if nobody read. It fires again after as many more.
func (t *step) stamped(person string, p *voter) {
	const id = gov.DetectorID("rubber_stamp")
	n := int(min(t.param(id, "votes"), votesKept))
	if p.Since++; len(p.Seconds) < n || p.Since < int64(n) {
		return
	}
	seconds, approved := slices.Clone(p.Seconds[len(p.Seconds)-n:]), int64(0)
	for _, yes := range p.Approved[len(p.Approved)-n:] {
		if yes {
			approved++
		}
	}
	slices.Sort(seconds)
	median := seconds[n/2]
	fast, always := median < t.param(id, "median"), approved*100 >= t.param(id, "approved")*int64(n)
	if !fast && !always {
		return
	}
	p.Since = 0
	t.fire(id, found{
		about: person, principal: string(gov.PrincipalUser) + ":" + person, observed: fmt.Sprintf("%d of %d, median %d s", approved, n, median),
		expected: fmt.Sprintf("under %d%%, %d s or more", t.param(id, "approved"), t.param(id, "median")), count: int64(n),
		summary: fmt.Sprintf("Of the last %d requests %s approved %d, in a median of %d seconds.", n, person, approved, median),
	})
}

// caller counts the refusals of one caller.
type caller struct {
	Window int64         `json:"window"` // number of the window
	Count  int64         `json:"count"`
	Fired  bool          `json:"fired,omitzero"`
	Rests  []gov.EntryID `json:"rests,omitempty"`
}

// refusals looks at what was refused at the door.
func (t *step) refusals(r canon.Refusals) {
	for _, c := range r.Counts {
		votes := strings.HasSuffix(c.Route, "/votes") || strings.HasSuffix(c.Route, "/reviews")
		switch c.Code {
		case gov.CodeNotEligible, gov.CodeForbidden:
			if votes {
				t.fire("self_approval", found{
					about: c.Caller, count: c.Count, observed: whole(c.Count), expected: "0",
					summary: fmt.Sprintf("%s tried %s to answer what they are not asked (%s).", c.Caller, times(c.Count), c.Route),
				})
				continue
			}
			t.misuse(c)
		case gov.CodeUnauthenticated, gov.CodeAgentMismatch:
			t.misuse(c)
		default:
		}
	}
}

// times says how often.
func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// misuse counts refusals of a caller in a window.
func (t *step) misuse(c canon.Refusal) {
	const id = gov.DetectorID("credential_misuse")
	window := t.param(id, "window")
	m, ok := t.Callers[c.Caller]
	if !ok {
		if len(t.Callers) >= callersMax {
			t.forget()
		}
		m = &caller{}
		t.Callers[c.Caller] = m
	}
	if now := t.at.Unix() / window; now != m.Window {
		*m = caller{Window: now}
	}
	m.Count += c.Count
	m.Rests = append(m.Rests, t.entry.ID)
	if m.Fired || m.Count < t.param(id, "min") {
		return
	}
	m.Fired = true
	t.fire(id, found{
		about: c.Caller, observed: whole(m.Count), expected: "0", window: window, entries: lastOf(m.Rests), count: m.Count,
		summary: fmt.Sprintf("%s was refused %s in %s (%s).", c.Caller, times(m.Count), span(window), c.Code),
	})
}

func lastOf(ids []gov.EntryID) []gov.EntryID {
	return slices.Clone(ids[max(0, len(ids)-restsOnMax):])
}

// forget drops the callers of the oldest window.
func (t *step) forget() {
	oldest := int64(0)
	for _, m := range t.Callers {
		if oldest == 0 || m.Window < oldest {
			oldest = m.Window
		}
	}
	for name, m := range t.Callers {
		if m.Window == oldest {
			delete(t.Callers, name)
		}
	}
}
