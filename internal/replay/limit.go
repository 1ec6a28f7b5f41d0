package replay

import (
	"context"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/limit"
	"github.com/writ-dev/writ/internal/policy"
)

// meters are the counters of limits, as the entries add up.
type meters struct {
	counters map[string]*limit.Counter
	owed     map[gov.EntryID]owing // decisions that reserved money and have no result yet
}

// owing is what a decision reserved.
type owing struct {
	at      time.Time
	charges []canon.LimitCharge
}

func newMeters() meters {
	return meters{counters: map[string]*limit.Counter{}, owed: map[gov.EntryID]owing{}}
}

// used is how much of each limit of a call is used at a time, by counter.
func (m *meters) used(charges []limit.Charge, at time.Time) map[string]int64 {
	if len(charges) == 0 {
		return nil
	}
	out := make(map[string]int64, len(charges))
	for _, c := range charges {
		id := c.CounterID()
		if counter := m.counters[id]; counter != nil {
			out[id] = counter.Used(at)
		}
	}
	return out
}

// full judges by how much is used.
func full(used map[string]int64) policy.Full {
	return func(c limit.Charge) bool { return c.Over(used[c.CounterID()]) }
}

// count counts what a decision takes, as it is recorded. What is not of these limits nobody counts: judging says so.
func (m *meters) count(id gov.EntryID, at time.Time, charges []limit.Charge, recorded []canon.LimitCharge) {
	var owes []canon.LimitCharge
	for _, r := range recorded {
		of := limit.CounterID(r)
		i := slices.IndexFunc(charges, func(c limit.Charge) bool { return c.CounterID() == of })
		if i < 0 {
			continue
		}
		counter := m.counters[of]
		if counter == nil {
			empty := limit.NewCounter(charges[i].Rule)
			counter = &empty
			m.counters[of] = counter
		}
		c := charges[i]
		c.Micro = limit.Held(r)
		counter.Add(at, c)
		if c.Micro > 0 {
			owes = append(owes, r)
		}
	}
	if len(owes) > 0 {
		m.owed[id] = owing{at, owes}
	}
}

// settle puts what a call came to in the place of what was reserved for it, the first time.
func (m *meters) settle(r canon.Result, at time.Time) {
	owed, ok := m.owed[r.Decision]
	if !ok {
		return
	}
	delete(m.owed, r.Decision)
	for _, c := range owed.charges {
		micro, unpriced := limit.Settled(c, r.Status, r.Cost)
		m.counters[limit.CounterID(c)].Settle(owed.at, at, limit.Held(c), micro, unpriced)
	}
}

// limits says how much is used of the limits of a decision before it, and counts it. A backtest counts what ran under the limits of
// the other bundle, from where its range begins.
func (p *player) limits(t *step) {
	engine := t.control.Engine
	if engine == nil || len(engine.Limits()) == 0 {
		return
	}
	d := t.decision
	call := gov.Call{Agent: d.Agent, Tool: d.Tool, Session: d.Session, Input: t.input}
	charges := engine.Charges(t.control.Ledger, call, whoOf(d))
	t.used = p.meters.used(charges, t.at)
	switch {
	case p.instead == nil:
		p.meters.count(t.entry.ID, t.at, charges, d.Limits)
	case d.Outcome == gov.OutcomeAllow && !slices.ContainsFunc(charges, full(t.used)):
		p.meters.count(t.entry.ID, t.at, charges, limit.Records(charges))
	}
}

// whoOf is the principal of a decision as records name it.
func whoOf(d canon.Decision) string {
	return gov.Principal{Type: d.Principal.Type, ID: d.Principal.Ref}.String()
}

// amounts says that a backtest has to know the inputs, to count what they say.
func (p *player) amounts() bool {
	return p.instead != nil && slices.ContainsFunc(p.instead.Limits(), func(r *limit.Rule) bool { return r.Amount != "" })
}

// limitEntriesMax is how many entries are looked through for what one decision's limits had counted.
const limitEntriesMax = 100_000

// usedBefore derives how much of the limits of one decision was used before it. ok is false when too much happened in their windows
// to count that here.
func (p *player) usedBefore(ctx context.Context, t *step, index int64) (ok bool, err error) {
	if p.control.Engine == nil {
		return true, nil
	}
	d := t.decision
	call := gov.Call{Agent: d.Agent, Tool: d.Tool, Session: d.Session}
	charges := p.control.Engine.Charges(p.control.Ledger, call, whoOf(d))
	if len(charges) == 0 {
		return true, nil
	}
	longest := slices.MaxFunc(charges, func(a, b limit.Charge) int { return int(a.WindowSeconds - b.WindowSeconds) }).WindowSeconds
	since := t.at.Add(-2 * time.Duration(longest) * time.Second) // a bucket is never longer than its window
	from, err := p.ledger.Store().IndexAt(ctx, p.ledger.Name(), since)
	if err != nil || index-from > limitEntriesMax {
		return false, err
	}
	err = p.ledger.Scan(ctx, from, index, false, func(raw ledger.Raw) error {
		s := step{raw: raw}
		if p.read(&s); s.err != nil {
			return s.err
		}
		switch s.entry.Kind {
		case canon.KindDecision:
			p.meters.count(s.entry.ID, s.at, charges, s.decision.Limits)
		case canon.KindResult:
			p.meters.settle(s.result, s.at)
		default:
		}
		return nil
	})
	t.used = p.meters.used(charges, t.at)
	return true, err
}

// asRecorded judges by the limits that a decision names as used up.
func asRecorded(d canon.Decision) policy.Full {
	return func(c limit.Charge) bool { return slices.Contains(d.Reasons, policy.UsedUp(c)) }
}
