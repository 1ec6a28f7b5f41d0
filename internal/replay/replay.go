// Package replay re-performs: it rebuilds control state and sessions from the entries of a ledger alone, judges every
// decision again, and compares; and it accounts for every bundle that came into force: who proposed it, who else reviewed it.
// An auditor samples; this takes the whole population. It promises that a decision it counts as the same was judged afresh from
// what is recorded, and that what cannot be judged again, because its input was erased, is counted as such and never passed over.
package replay

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/state"
)

// Difference is an entry that does not follow from the ones before it: a decision that comes out otherwise, a vote or a review
// that could not be given, a bundle that came into force without the review that its entry claims.
type Difference struct {
	Index int64       `json:"index"`
	ID    gov.EntryID `json:"id"`
	What  string      `json:"what"`
}

// Report says what was re-performed.
type Report struct {
	Ledger      gov.Environment `json:"ledger"`
	From        int64           `json:"from"` // decisions of entries [From, To) were judged again
	To          int64           `json:"to"`
	Entries     int64           `json:"entries"`     // folded, from the first on
	Activations int64           `json:"activations"` // of bundles, each accounted for or among the differences
	Decisions   int64           `json:"decisions"`
	Same        int64           `json:"same"`
	Erased      int64           `json:"not_reperformable_erased"` // under retention or on request
	Different   int64           `json:"different"`
	Differences []Difference    `json:"differences"` // the first of them
}

// differencesMax bounds a report.
const differencesMax = 100

// Range says which entries to judge again.
type Range struct{ From, To int64 }

// Replay judges every decision of a range again. progress is called now and then with the entries done.
func Replay(ctx context.Context, l *ledger.Ledger, compile state.Compile, r Range, progress func(done int64)) (Report, error) {
	report := Report{Ledger: l.Name(), From: r.From, To: r.To, Differences: []Difference{}}
	p := newPlayer(l, compile, r)
	p.took, p.differs = report.took, report.differ
	err := p.play(ctx, l, progress)
	report.Entries, report.Activations = p.entries, p.account.activations
	return report, err
}

// took compares a decision with what it comes out as.
func (r *Report) took(t judged) {
	r.Decisions++
	switch {
	case t.err != nil:
		r.differ(t.index, t.id, t.err.Error())
	case !t.ok:
		r.Erased++
	default:
		if what := compare(t.was, t.now); what != "" {
			r.differ(t.index, t.id, what)
		} else {
			r.Same++
		}
	}
}

func (r *Report) differ(index int64, id gov.EntryID, what string) {
	r.Different++
	if len(r.Differences) < differencesMax {
		r.Differences = append(r.Differences, Difference{index, id, what})
	}
}

const progressEvery = 1 << 10

// judged is a decision as it was recorded and as it comes out now. ok is false when what it was judged on was erased.
type judged struct {
	index    int64
	id       gov.EntryID
	was, now canon.Decision
	ok       bool
	err      error
}

// player goes through a ledger from its first entry, with the state that every entry was made under.
type player struct {
	control   *state.Control
	instead   *policy.Engine // judge under this bundle, not under the recorded ones; nil: as recorded
	compile   state.Compile
	within    Range
	sessions  map[gov.SessionID][]gov.Label
	approvals map[gov.EntryID]state.Approval
	account   *account
	entries   int64
	took      func(judged)
	differs   func(index int64, id gov.EntryID, what string)
}

func newPlayer(l *ledger.Ledger, compile state.Compile, r Range) *player {
	return &player{
		control: state.NewControl(l.Name()), compile: compile, within: r, sessions: map[gov.SessionID][]gov.Label{},
		approvals: map[gov.EntryID]state.Approval{}, account: newAccount(),
	}
}

func (p *player) play(ctx context.Context, l *ledger.Ledger, progress func(done int64)) error {
	err := l.Scan(ctx, 0, p.within.To, true, func(raw ledger.Raw) error {
		if raw.Index%progressEvery == 0 {
			progress(raw.Index)
		}
		return p.entry(raw)
	})
	progress(p.entries)
	return err
}

// under is the control state to judge under.
func (p *player) under() *state.Control {
	if p.instead == nil {
		return p.control
	}
	c := *p.control
	c.Engine = p.instead
	return &c
}

func (p *player) entry(raw ledger.Raw) error {
	p.entries++
	e, err := canon.Decode(raw.Bytes)
	if err != nil {
		return fmt.Errorf("entry at index %d: %w", raw.Index, err)
	}
	switch e.Kind {
	case canon.KindDecision:
		return p.decision(e, raw)
	case canon.KindApprovalVote:
		return p.vote(e, raw.Index)
	default:
	}
	what, err := p.account.take(e, raw, p.approvers())
	if err != nil {
		return fmt.Errorf("entry at index %d: %w", raw.Index, err)
	}
	if what != "" {
		p.differs(raw.Index, e.ID, what)
	}
	if !e.Kind.ChangesControl() {
		return nil
	}
	payload, err := canon.DecodePayload(raw.Payload)
	if err != nil {
		return fmt.Errorf("entry at index %d: %w", raw.Index, err)
	}
	if p.control, err = p.control.Apply(e, payload, p.compile); err != nil {
		return fmt.Errorf("entry at index %d: %w", raw.Index, err)
	}
	return nil
}

// approvers are the groups that review changes of the active bundle.
func (p *player) approvers() []gov.GroupID {
	if p.control.Engine == nil {
		return nil
	}
	return p.control.Engine.Bundle().Approvers
}

// decision judges one decision again, then lets it take its effect on the session.
func (p *player) decision(e canon.Entry, raw ledger.Raw) error {
	d, err := canon.Body[canon.Decision](e)
	if err != nil {
		return fmt.Errorf("entry at index %d: %w", raw.Index, err)
	}
	before := p.sessions[d.Session]
	if d.Session != "" && len(d.LabelsAdded) > 0 {
		labels := slices.Concat(before, d.LabelsAdded)
		slices.Sort(labels)
		p.sessions[d.Session] = slices.Compact(labels)
	}
	consent := p.consult(d, e.ID)
	if raw.Index < p.within.From {
		return nil
	}
	t := judged{index: raw.Index, id: e.ID, was: d}
	t.now, t.ok, t.err = p.judge(d, raw, before, consent)
	p.took(t)
	return nil
}

// judge gives what the decision would be now. ok is false when what it was judged on was erased.
func (p *player) judge(d canon.Decision, raw ledger.Raw, labels []gov.Label, asked *state.Approval) (again canon.Decision, ok bool, err error) {
	payload, err := canon.DecodePayload(raw.Payload)
	if err != nil {
		return again, false, err
	}
	changed, erased := payload.Check(d.Commitments)
	if len(changed) > 0 {
		return again, false, fmt.Errorf("the payload of %v does not agree with the record", changed)
	}
	if len(erased) > 0 {
		return again, false, nil
	}
	input, err := payload.Value(canon.GroupInput)
	if err != nil {
		return again, false, fmt.Errorf("recorded input: %w", err)
	}
	at, err := time.Parse(canon.TimeLayout, d.JudgedAt)
	if err != nil {
		return again, false, fmt.Errorf("judged_at: %w", err)
	}
	principal := gov.Principal{Type: d.Principal.Type, ID: d.Principal.Ref}
	if named, ok := state.PrincipalOf(payload); ok {
		principal = named
	}
	q := state.Question{
		Call: gov.Call{
			Agent: d.Agent, Principal: principal, Assurance: d.Principal.Assurance, Groups: d.Principal.Groups, Tool: d.Tool,
			Input: input, Session: d.Session, CallID: d.CallID, TraceID: d.TraceID,
		},
		Credential: d.Credential, Labels: labels, At: at,
	}
	if asked != nil {
		q.Consent = asked.Consent(at)
	}
	return recorded(d, p.under().Judge(q), p.under(), labels, at), true, nil
}

// recorded is the decision as a verdict would have it recorded.
func recorded(d canon.Decision, v policy.Verdict, c *state.Control, labels []gov.Label, at time.Time) canon.Decision {
	d.Mode, d.Outcome, d.Would, d.Reasons, d.Policies = v.Mode, v.Outcome, v.Would, v.Reasons, v.Policies
	d.LabelsAdded, d.Labels, d.Bundle, d.Epoch = v.LabelsAdded, labels, c.Bundle(), c.Epoch
	d.Approval = nil
	if v.Gate != nil {
		asked := state.AskedOf(*v.Gate, at)
		d.Approval = &asked
	}
	if !v.Consented {
		d.Approved = ""
	}
	return d
}

// consult gives the request that a decision rests on, as it was before, and keeps what the decision does to requests.
func (p *player) consult(d canon.Decision, id gov.EntryID) *state.Approval {
	if d.Approval != nil {
		p.approvals[id] = state.OpenApproval(*d.Approval)
	}
	asked, known := p.approvals[d.Approved]
	if !known {
		return nil
	}
	if d.Outcome == gov.OutcomeAllow {
		used := asked
		used.State = gov.ApprovalConsumed
		p.approvals[d.Approved] = used
	}
	return &asked
}

// vote counts a vote again and compares how far the request came by it.
func (p *player) vote(e canon.Entry, index int64) error {
	v, err := canon.Body[canon.ApprovalVote](e)
	if err != nil {
		return fmt.Errorf("entry at index %d: %w", index, err)
	}
	at, err := e.Time()
	if err != nil {
		return fmt.Errorf("entry at index %d: %w", index, err)
	}
	before, known := p.approvals[v.Decision]
	if _, twice := before.Has(v.Person); !known || twice || before.State != gov.ApprovalPending {
		p.differs(index, e.ID, fmt.Sprintf("a vote on %s, which no vote of this person could change", v.Decision))
		return nil
	}
	if before.Asked.StepUp && v.Vote == gov.VoteApprove && v.Signed == nil {
		p.differs(index, e.ID, fmt.Sprintf("an approval of %s, which its policy wants signed, without a signature", v.Decision))
	}
	after := before.Count(v.Person, v.Vote, at)
	if after.State != v.State || v.ExecuteBy > after.ExecuteBy {
		p.differs(index, e.ID, fmt.Sprintf("the request was recorded as %s until %q after this vote and comes out as %s until %q",
			v.State, v.ExecuteBy, after.State, after.ExecuteBy))
	}
	after.ExecuteBy = v.ExecuteBy // counted from when the vote was taken, a little before its commit
	p.approvals[v.Decision] = after
	return nil
}

func asked(d canon.Decision) string {
	if d.Approval == nil {
		return "none"
	}
	return fmt.Sprint(*d.Approval)
}

// compare names the first field that differs, with both values.
func compare(was, now canon.Decision) string {
	type field struct{ name, was, now string }
	text := func(v any) string { return fmt.Sprint(v) }
	for _, f := range []field{
		{"outcome", text(was.Outcome), text(now.Outcome)},
		{"would", text(was.Would), text(now.Would)},
		{"mode", text(was.Mode), text(now.Mode)},
		{"reasons", text(was.Reasons), text(now.Reasons)},
		{"policies", text(was.Policies), text(now.Policies)},
		{"labels", text(was.Labels), text(now.Labels)},
		{"labels_added", text(was.LabelsAdded), text(now.LabelsAdded)},
		{"approval", asked(was), asked(now)},
		{"approved", text(was.Approved), text(now.Approved)},
		{"bundle", text(was.Bundle), text(now.Bundle)},
		{"epoch", text(was.Epoch), text(now.Epoch)},
	} {
		if f.was != f.now {
			return fmt.Sprintf("%s was recorded as %s and comes out as %s", f.name, f.was, f.now)
		}
	}
	return ""
}
