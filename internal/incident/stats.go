package incident

import (
	"context"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/state"
)

// statsMax is how many incidents one question counts.
const statsMax = 20_000

// ownedWithin is how soon an incident is to have an owner.
const ownedWithin = 15 * time.Minute

// Metric is how long something took, over all incidents of a time that came so far.
type Metric struct {
	Name    string
	Formula string
	N       int
	P50     time.Duration
	P90     time.Duration
}

// Stats is what became of the incidents of a time. Exercises are counted, and in no metric.
type Stats struct {
	Opened      int                       // all of them, exercises aside
	Exercises   int                       // opened in the time
	States      map[gov.IncidentState]int // exercises aside
	Severities  map[gov.Severity]int      // exercises aside
	Metrics     []Metric
	OwnedInTime int // of those opened: acknowledged within 15 minutes
	Unowned     int // open, and nobody has acknowledged them yet
	ActionsOpen int
	ActionsLate int
	Complete    bool // none was left out
}

// span is one metric: the time from a moment of an incident to another one.
type span struct {
	name, formula string
	from, to      func(state.Incident) string
}

var spans = []span{
	{"mttd", "opened_at − occurred_at: from the oldest entry that the first signal rests on, or from when a person says that it began",
		func(i state.Incident) string { return i.OccurredAt }, func(i state.Incident) string { return i.OpenedAt }},
	{"mtta", "acknowledged_at − opened_at", func(i state.Incident) string { return i.OpenedAt }, func(i state.Incident) string { return i.AcknowledgedAt }},
	{"mttc", "contained_at − opened_at", func(i state.Incident) string { return i.OpenedAt }, func(i state.Incident) string { return i.ContainedAt }},
	{"mttr", "resolved_at − opened_at", func(i state.Incident) string { return i.OpenedAt }, func(i state.Incident) string { return i.ResolvedAt }},
}

// Stats counts the incidents that were opened in a time.
func (s *Service) Stats(ctx context.Context, env *live.Environment, from, to time.Time) (Stats, error) {
	out := Stats{States: map[gov.IncidentState]int{}, Severities: map[gov.Severity]int{}, Complete: true}
	first, below, err := Filter{From: from, To: to}.window(ctx, env.Ledger)
	if err != nil {
		return out, err
	}
	took := make([][]time.Duration, len(spans))
	now := s.Now()
	err = each(ctx, env.Ledger, "", first, below, func(i Incident) bool {
		if out.Opened+out.Exercises == statsMax {
			out.Complete = false
			return false
		}
		out.count(i.Incident, now)
		if i.Exercise {
			return true
		}
		for n, sp := range spans {
			if d, ok := between(sp.from(i.Incident), sp.to(i.Incident)); ok {
				took[n] = append(took[n], d)
			}
		}
		return true
	})
	for n, sp := range spans {
		slices.Sort(took[n])
		out.Metrics = append(out.Metrics, Metric{sp.name, sp.formula, len(took[n]), rank(took[n], 50), rank(took[n], 90)})
	}
	return out, err
}

func (out *Stats) count(i state.Incident, now time.Time) {
	if i.Exercise {
		out.Exercises++
		return
	}
	out.Opened++
	out.States[i.State]++
	out.Severities[i.Severity]++
	if d, ok := between(i.OpenedAt, i.AcknowledgedAt); ok && d <= ownedWithin {
		out.OwnedInTime++
	}
	if i.State == gov.IncidentNew {
		out.Unowned++
	}
	for _, a := range i.Actions {
		if a.ClosedAt != "" {
			continue
		}
		out.ActionsOpen++
		if a.Due < now.UTC().Format(canon.TimeLayout) {
			out.ActionsLate++
		}
	}
}

// between is the time between two moments, if both came. What happened before an incident was opened took no time.
func between(from, to string) (time.Duration, bool) {
	a, errA := time.Parse(canon.TimeLayout, from)
	b, errB := time.Parse(canon.TimeLayout, to)
	return max(0, b.Sub(a)), errA == nil && errB == nil
}

// rank is the smallest of sorted values that so many of a hundred are not above (the nearest rank); 0 of none.
func rank(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}
