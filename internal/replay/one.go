package replay

import (
	"context"
	"slices"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/scan"
	"github.com/writ-dev/writ/internal/state"
)

// Again is one decision judged again.
type Again struct {
	ID       gov.EntryID      `json:"id"`
	Index    int64            `json:"index"`
	Same     bool             `json:"same"`
	Erased   bool             `json:"erased"`            // its input is gone: it cannot be judged again
	What     string           `json:"what,omitempty"`    // that differs
	Bundle   gov.BundleDigest `json:"bundle,omitempty"`  // that it was judged under
	Epoch    int64            `json:"epoch"`             // of the control state that entries 0 to Index-1 describe
	Changes  int              `json:"control_changes"`   // entries that the control state was derived from
	Outcome  gov.Outcome      `json:"outcome,omitempty"` // as it comes out now
	Policies []gov.PolicyID   `json:"policies,omitempty"`
	Reasons  []gov.Reason     `json:"reasons,omitempty"`

	// LimitsRecorded says that too much happened in the windows of its limits to count that here: whether they were used up is taken
	// as recorded. Replay counts.
	LimitsRecorded bool `json:"limits_as_recorded,omitempty"`
}

// votesMax bounds how many votes are looked through for those on one request.
const votesMax = 1000

// One judges one decision again, under the control state that the entries before it describe and with the consent that people had
// given by then. The labels of its session are taken as recorded; Replay derives them too.
func One(ctx context.Context, l *ledger.Ledger, compile state.Compile, item ledger.Item) (Again, error) {
	d, err := canon.Body[canon.Decision](item.Entry)
	if err != nil {
		return Again{}, err
	}
	p := newPlayer(l, compile, Range{item.Index, item.Index + 1}, OneByOne)
	if p.scanner, err = scan.New(); err != nil {
		return Again{}, err
	}
	out := Again{ID: item.ID, Index: item.Index}
	if out.Changes, err = p.before(ctx, item.Index); err != nil {
		return out, err
	}
	t := &step{entry: item.Entry, decision: d, control: p.control, labels: d.Labels}
	if d.Approved != "" {
		if err := p.requestBefore(ctx, d.Approved, item.Index); err != nil {
			return out, err
		}
		asked, known := p.approvals[d.Approved]
		if known {
			t.asked = &asked
		}
	}
	if t.spent, err = p.spentBefore(ctx, item.Index); err != nil {
		return out, err
	}
	if t.at, err = item.Time(); err != nil {
		return out, err
	}
	counted, err := p.usedBefore(ctx, t, item.Index)
	if err != nil {
		return out, err
	}
	if out.LimitsRecorded = !counted; !counted {
		t.full = asRecorded(d)
	}
	err = l.Scan(ctx, item.Index, item.Index+1, true, func(raw ledger.Raw) error {
		t.raw = raw
		return nil
	})
	if err != nil {
		return out, err
	}
	now, ok, err := p.judge(t)
	out.Epoch, out.Bundle = p.control.Epoch, p.control.Bundle()
	switch {
	case err != nil:
		out.What = err.Error()
	case !ok:
		out.Erased = true
	default:
		out.What = compare(d, now)
		out.Same = out.What == ""
		out.Outcome, out.Policies, out.Reasons = now.Outcome, now.Policies, now.Reasons
	}
	return out, nil
}

// before derives the control state before an index from the entries that changed it.
func (p *player) before(ctx context.Context, index int64) (changes int, err error) {
	_, items, err := p.ledger.ChangesSince(ctx, 0)
	if err != nil {
		return 0, err
	}
	for _, item := range items {
		if item.Index >= index {
			break
		}
		payload, err := p.ledger.Payload(ctx, item.Index)
		if err != nil {
			return changes, err
		}
		if p.control, err = p.control.Apply(item.Entry, payload, p.compile); err != nil {
			return changes, err
		}
		changes++
	}
	return changes, nil
}

// requestBefore derives how far a request for approval had come before an index.
func (p *player) requestBefore(ctx context.Context, id gov.EntryID, index int64) error {
	opened, err := p.ledger.ByID(ctx, id)
	if err != nil {
		return err
	}
	d, err := canon.Body[canon.Decision](opened.Entry)
	if err != nil {
		return err
	}
	p.consult(d, id)
	from, err := opened.Time()
	if err != nil {
		return err
	}
	page, err := p.ledger.Find(ctx, ledger.Query{
		Filters: []ledger.Filter{{Dim: ledger.DimKind, Value: string(canon.KindApprovalVote)}}, From: from, Before: index, Limit: votesMax,
	})
	if err != nil {
		return err
	}
	slices.Reverse(page.Indexes)
	votes, err := p.ledger.Several(ctx, page.Indexes)
	if err != nil {
		return err
	}
	for _, item := range votes {
		if err := p.voteOn(id, item.Entry); err != nil {
			return err
		}
	}
	// The query index lags a moment behind: the newest entries are looked through.
	return p.ledger.Scan(ctx, max(page.Through, opened.Index), index, false, func(raw ledger.Raw) error {
		e, err := canon.Parse(raw.Bytes)
		if err != nil || e.Kind != canon.KindApprovalVote {
			return err
		}
		return p.voteOn(id, e)
	})
}

// voteOn counts a vote if it is on a request.
func (p *player) voteOn(id gov.EntryID, e canon.Entry) error {
	v, err := canon.Body[canon.ApprovalVote](e)
	if err != nil || v.Decision != id {
		return err
	}
	_, err = p.vote(e)
	return err
}

// usesPagesMax bounds how many pages of decisions are looked through for the uses of one standing consent.
const usesPagesMax = 64

// spentBefore derives which standing consents had been used as often as they allow before an index.
func (p *player) spentBefore(ctx context.Context, index int64) ([]gov.EntryID, error) {
	var out []gov.EntryID
	for _, d := range p.control.Standing() {
		if d.UsesMax == 0 {
			continue
		}
		u := uses{of: d.ID}
		if err := p.usesBefore(ctx, d, index, &u); err != nil {
			return nil, err
		}
		if u.n >= d.UsesMax {
			out = append(out, d.ID)
		}
	}
	return out, nil
}

// uses counts the decisions that name a standing consent.
type uses struct {
	of gov.EntryID
	n  int64
}

func (u *uses) take(e canon.Entry) error {
	if e.Kind != canon.KindDecision {
		return nil
	}
	body, err := canon.Body[canon.Decision](e)
	if slices.Contains(body.Delegations, u.of) {
		u.n++
	}
	return err
}

// usesBefore counts the uses before an index: they are among the decisions that the policy determined.
func (p *player) usesBefore(ctx context.Context, d state.Delegation, index int64, u *uses) error {
	asked, err := p.ledger.ByID(ctx, d.ID)
	if err != nil {
		return err
	}
	from, err := asked.Time()
	if err != nil {
		return err
	}
	q := ledger.Query{From: from, Before: index, Limit: ledger.QueryLimitMax, Filters: []ledger.Filter{
		{Dim: ledger.DimPolicy, Value: string(d.Policy)}, {Dim: ledger.DimAgent, Value: string(d.Agent)}, {Dim: ledger.DimOutcome, Value: string(gov.OutcomeAllow)},
	}}
	through, more := int64(-1), true
	for pages := 0; more; pages++ {
		if pages == usesPagesMax {
			return &gov.Error{Code: gov.CodeOverloaded, Detail: "too many decisions were made beside " + string(d.ID) + " to count its uses here: run writ replay"}
		}
		page, err := p.ledger.Find(ctx, q)
		if err != nil {
			return err
		}
		items, err := p.ledger.Several(ctx, page.Indexes)
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := u.take(item.Entry); err != nil {
				return err
			}
		}
		if more = page.More; more {
			q.Before = page.Indexes[len(page.Indexes)-1]
		}
		if through < 0 {
			through = page.Through // what comes behind it was not searched
		}
	}
	return p.ledger.Scan(ctx, max(through, asked.Index), index, false, func(raw ledger.Raw) error {
		e, err := canon.Parse(raw.Bytes)
		if err != nil {
			return err
		}
		return u.take(e)
	})
}
