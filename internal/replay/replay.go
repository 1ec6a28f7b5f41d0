// Package replay re-performs: it rebuilds control state and sessions from the entries of a ledger alone, judges every
// decision again, and compares; it accounts for every bundle that came into force: who proposed it, who else reviewed it; and it holds
// what people and administrators did against who they were, by the organization's ledger: invited, enrolled, signed in, removed.
// An auditor samples; this takes the whole population. It promises that a decision it counts as the same was judged afresh from
// what is recorded, and that what cannot be judged again, because its input was erased, or not held against a sign-in,
// because none is recorded, is counted as such and never passed over.
package replay

import (
	"context"
	"fmt"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/limit"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/scan"
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
	Ledger      gov.Environment  `json:"ledger"`
	From        int64            `json:"from"` // decisions of entries [From, To) were judged again
	To          int64            `json:"to"`
	Entries     int64            `json:"entries"`       // folded, from the first on
	Activations int64            `json:"activations"`   // of bundles, each accounted for or among the differences
	Acts        int64            `json:"acts"`          // of people and administrators
	Held        int64            `json:"acts_held"`     // of these against their sign-ins and credentials, or among the differences
	NotHeld     map[string]int64 `json:"acts_not_held"` // the others, by why
	Decisions   int64            `json:"decisions"`
	Same        int64            `json:"same"`
	Erased      int64            `json:"not_reperformable_erased"` // under retention or on request
	Different   int64            `json:"different"`
	Scanned     int64            `json:"findings_scanned_again"` // entries with findings that came out the same, or are among the differences
	Unscanned   int64            `json:"findings_as_recorded"`   // of another scanner, of inputs with secrets, or of what was erased
	Differences []Difference     `json:"differences"`            // the first of them
}

// differencesMax bounds a report.
const differencesMax = 100

// Range says which entries to judge again.
type Range struct{ From, To int64 }

// Replay judges every decision of a range again, and holds what people did against people, which FoldPeople gives; nil where the
// organization's ledger is not there. progress is called now and then with the entries done.
func Replay(ctx context.Context, l *ledger.Ledger, compile state.Compile, r Range, people *People, each Each, progress func(done int64)) (report Report, err error) {
	report = Report{Ledger: l.Name(), From: r.From, To: r.To, Differences: []Difference{}}
	p := newPlayer(l, compile, r, each)
	if p.people = people; l.Name() == gov.OrgLedger {
		p.people = NewPeople() // as far as it is read
	}
	if p.scanner, err = scan.New(); err != nil {
		return Report{}, err
	}
	p.took, p.differs, p.rescanned = report.took, report.differ, report.rescanned
	err = p.play(ctx, progress)
	report.Entries, report.Activations = p.entries, p.account.activations
	report.Acts, report.Held, report.NotHeld = p.acts.all, p.acts.held, p.acts.unheld
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

func (r *Report) rescanned(how scanned) {
	switch how {
	case scannedNothing:
	case scannedAgain:
		r.Scanned++
	case scannedRecorded:
		r.Unscanned++
	}
}

func (r *Report) differ(index int64, id gov.EntryID, what string) {
	r.Different++
	if len(r.Differences) < differencesMax {
		r.Differences = append(r.Differences, Difference{index, id, what})
	}
}

// judged is a decision as it was recorded and as it comes out now. ok is false when what it was judged on was erased.
type judged struct {
	index    int64
	id       gov.EntryID
	was, now canon.Decision
	ok       bool
	err      error
}

// judge gives what the decision would be now. ok is false when what it was judged on was erased.
func (p *player) judge(t *step) (again canon.Decision, ok bool, err error) {
	d := t.decision
	payload, err := canon.DecodePayload(t.raw.Payload)
	if err != nil {
		return again, false, err
	}
	changed, erased := payload.Check(d.Commitments)
	if len(changed) > 0 {
		return again, false, fmt.Errorf("the payload of %v does not agree with the record", changed)
	}
	if len(erased) > 0 {
		if len(d.Findings) > 0 {
			t.scanned = scannedRecorded
		}
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
	findings, how := p.rescanInput(t, input)
	t.scanned = how
	q := state.Question{
		Call: gov.Call{
			Agent: d.Agent, Principal: principal, Assurance: d.Principal.Assurance, Groups: d.Principal.Groups, Tool: d.Tool,
			Input: input, Session: d.Session, CallID: d.CallID, TraceID: d.TraceID,
		},
		Credential: d.Credential, Labels: t.labels, Taint: d.Taint, Findings: findings, At: at, Principal: gov.Principal{Type: d.Principal.Type, ID: d.Principal.Ref}, Spent: t.spent,
	}
	if t.asked != nil {
		q.Consent = t.asked.Consent(at)
	}
	if q.Full = t.full; q.Full == nil {
		q.Full = full(t.used)
	}
	again = recorded(d, t.control.Judge(q), t.control, t.labels, at)
	again.Findings = findings
	return again, true, nil
}

// recorded is the decision as a verdict would have it recorded.
func recorded(d canon.Decision, v policy.Verdict, c *state.Control, labels []gov.Label, at time.Time) canon.Decision {
	d.Mode, d.Outcome, d.Would, d.Reasons, d.Policies = v.Mode, v.Outcome, v.Would, v.Reasons, v.Policies
	d.LabelsAdded, d.Labels, d.Bundle, d.Epoch = v.LabelsAdded, labels, c.Bundle(), c.Epoch
	d.Approval, d.Delegations, d.Limits = nil, v.Delegations, nil
	if v.Outcome == gov.OutcomeAllow {
		d.Limits = limit.Records(v.Charges)
	}
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

// vote counts a vote again and says whether the request came as far by it as was recorded.
func (p *player) vote(e canon.Entry) (what string, err error) {
	if e.Kind != canon.KindApprovalVote {
		return "", nil
	}
	v, err := canon.Body[canon.ApprovalVote](e)
	if err != nil {
		return "", err
	}
	at, err := e.Time()
	if err != nil {
		return "", err
	}
	if !e.Actor.Is(canon.Actor{Type: canon.ActorPerson, ID: v.Person}) {
		return fmt.Sprintf("a vote by %s, recorded by %s %s", v.Person, e.Actor.Type, e.Actor.ID), nil
	}
	before, known := p.approvals[v.Decision]
	if _, twice := before.Has(v.Person); !known || twice || before.State != gov.ApprovalPending {
		return fmt.Sprintf("a vote on %s, which no vote of this person could change", v.Decision), nil
	}
	if before.Asked.StepUp && v.Vote == gov.VoteApprove && v.Signed == nil {
		what = fmt.Sprintf("an approval of %s, which its policy wants signed, without a signature", v.Decision)
	}
	after := before.Count(v.Person, v.Vote, at)
	if after.State != v.State || v.ExecuteBy > after.ExecuteBy {
		if what != "" {
			what += "; "
		}
		what += fmt.Sprintf("the request was recorded as %s until %q after this vote and comes out as %s until %q",
			v.State, v.ExecuteBy, after.State, after.ExecuteBy)
	}
	after.ExecuteBy = v.ExecuteBy // counted from when the vote was taken, a little before its commit
	p.approvals[v.Decision] = after
	return what, nil
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
		{"delegations", text(was.Delegations), text(now.Delegations)},
		{"limits", text(was.Limits), text(now.Limits)},
		{"findings", text(was.Findings), text(now.Findings)},
		{"bundle", text(was.Bundle), text(now.Bundle)},
		{"epoch", text(was.Epoch), text(now.Epoch)},
	} {
		if f.was != f.now {
			return fmt.Sprintf("%s was recorded as %s and comes out as %s", f.name, f.was, f.now)
		}
	}
	return ""
}
