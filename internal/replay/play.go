package replay

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/scan"
	"github.com/writ-dev/writ/internal/state"
)

// Each does something for 0 to n-1, in any order and perhaps several at once, and returns when all of it is done.
type Each func(n int, do func(i int))

// OneByOne is the plainest Each.
func OneByOne(n int, do func(i int)) {
	for i := range n {
		do(i)
	}
}

// stepsMax is how many entries are read and judged together. What they change they change in their order.
const stepsMax = 2048

// step is one entry on its way: read, folded into what holds, judged, counted. Reading and judging are pure.
type step struct {
	raw      ledger.Raw
	entry    canon.Entry
	decision canon.Decision // of an entry that is one
	result   canon.Result   // of an entry that is one
	at       time.Time      // of either
	input    map[string]any // of a decision, where a backtest counts what it says
	passed   bool           // it changes nothing that the range could depend on
	err      error
	what     string // that the entry does not follow from

	again   bool           // judge it again, under
	control *state.Control // the state that it was made under,
	labels  []gov.Label    // of its session, and
	asked   *state.Approval
	spent   []gov.EntryID
	used    map[string]int64 // of its limits, by counter
	full    policy.Full      // in the place of used
	judged  judged

	scanned scanned // of a decision or a result
}

// player goes through a ledger from its first entry, with the state that every entry was made under.
type player struct {
	ledger    *ledger.Ledger
	control   *state.Control
	instead   *policy.Engine // judge under this bundle, not under the recorded ones; nil: as recorded
	compile   state.Compile
	within    Range
	each      Each
	steps     []step
	sessions  map[gov.SessionID][]gov.Label
	approvals map[gov.EntryID]state.Approval
	standing  standing
	switches  switches
	meters    meters
	incidents *incidents
	other     instead
	account   *account
	scanner   *scan.Scanner // nil: findings are taken as recorded
	people    *People       // nil: what people did is not held against their sign-ins
	acts      acts
	entries   int64
	took      func(judged)
	rescanned func(scanned)
	differs   func(index int64, id gov.EntryID, what string)
}

func newPlayer(l *ledger.Ledger, compile state.Compile, r Range, each Each) *player {
	return &player{
		ledger: l, control: state.NewControl(l.Name()), compile: compile, within: r, each: each, sessions: map[gov.SessionID][]gov.Label{},
		approvals: map[gov.EntryID]state.Approval{}, standing: newStanding(), switches: switches{}, meters: newMeters(), incidents: newIncidents(), account: newAccount(),
		acts: acts{unheld: map[string]int64{}}, rescanned: func(scanned) {},
	}
}

// play takes what stands before the range without payloads: of it only the order matters.
func (p *player) play(ctx context.Context, progress func(done int64)) error {
	take := func(raw ledger.Raw) error {
		p.steps = append(p.steps, step{raw: raw})
		if len(p.steps) < stepsMax {
			return nil
		}
		return p.flush(ctx, progress)
	}
	if err := p.ledger.Scan(ctx, 0, min(p.within.From, p.within.To), false, take); err != nil {
		return err
	}
	if err := p.ledger.Scan(ctx, p.within.From, p.within.To, true, take); err != nil {
		return err
	}
	return p.flush(ctx, progress)
}

func (p *player) flush(ctx context.Context, progress func(done int64)) error {
	steps := p.steps
	p.each(len(steps), func(i int) { p.read(&steps[i]) })
	for i := range steps {
		if err := p.fold(ctx, &steps[i]); err != nil {
			return fmt.Errorf("entry at index %d: %w", steps[i].raw.Index, err)
		}
	}
	p.each(len(steps), func(i int) {
		switch t := &steps[i]; {
		case t.again:
			t.judged = judged{index: t.raw.Index, id: t.entry.ID, was: t.decision}
			t.judged.now, t.judged.ok, t.judged.err = p.judge(t)
		case t.entry.Kind == canon.KindResult:
			t.what, t.scanned = p.rescanResult(t)
		}
	})
	for i := range steps {
		t := &steps[i]
		if t.what != "" {
			p.differs(t.raw.Index, t.entry.ID, t.what)
		}
		if t.again {
			p.took(t.judged)
		}
		p.rescanned(t.scanned)
	}
	p.entries += int64(len(steps))
	clear(steps)
	p.steps = steps[:0]
	progress(p.entries)
	return ctx.Err()
}

// read decodes an entry. A backtest does not check the form again, which writ verify and writ replay do, and passes over what
// stands before its range and changes nothing that it needs.
func (p *player) read(t *step) {
	if p.instead == nil {
		t.entry, t.err = canon.Decode(t.raw.Bytes)
	} else if t.passed = t.raw.Index < p.within.From && plain(t.raw.Bytes); !t.passed {
		t.entry, t.err = canon.Parse(t.raw.Bytes)
	}
	if t.err != nil {
		return
	}
	switch t.entry.Kind {
	case canon.KindDecision:
		t.decision, t.err = canon.Body[canon.Decision](t.entry)
	case canon.KindResult:
		t.result, t.err = canon.Body[canon.Result](t.entry)
	default:
		return
	}
	if t.err == nil {
		t.at, t.err = t.entry.Time()
	}
	if t.err == nil && p.amounts() {
		t.input = inputOf(t.raw)
	}
}

// inputOf is the input of a call, unless it was erased.
func inputOf(raw ledger.Raw) map[string]any {
	payload, err := canon.DecodePayload(raw.Payload)
	if err != nil {
		return nil
	}
	input, err := payload.Value(canon.GroupInput)
	if err != nil {
		return nil
	}
	return input
}

// plain says whether an entry is the result of a call, or a decision that neither a request for approval nor a standing consent is about. A quotation mark
// within a string has a backslash before it, so what is looked for is the entry's own fields.
func plain(raw []byte) bool {
	if bytes.Contains(raw, []byte(`"kind":"result"`)) {
		return true
	}
	if !bytes.Contains(raw, []byte(`"kind":"decision"`)) {
		return false
	}
	for _, about := range []string{`"approval":{`, `"approved":"`, `"delegations":[`} {
		if bytes.Contains(raw, []byte(about)) {
			return false
		}
	}
	return true
}

// instead is a control state, and what it is under another bundle.
type instead struct{ was, is *state.Control }

// under is the control state to judge under, where p.control holds.
func (p *player) under() *state.Control {
	if p.instead == nil {
		return p.control
	}
	if p.other.was != p.control {
		p.other = instead{p.control, p.control.Under(p.instead)}
	}
	return p.other.is
}

// fold takes an entry into what holds behind it.
func (p *player) fold(ctx context.Context, t *step) (err error) {
	if t.err != nil || t.passed {
		return t.err
	}
	if t.entry.Kind == canon.KindDecision {
		p.decision(t)
		return nil
	}
	if t.entry.Kind == canon.KindResult {
		p.meters.settle(t.result, t.at)
		p.label(t.result.Session, t.result.LabelsAdded)
		return nil
	}
	if t.entry.Kind == canon.KindScanned {
		body, err := canon.Body[canon.Scanned](t.entry)
		p.label(body.Session, body.LabelsAdded)
		return err
	}
	if err := p.follow(ctx, t); err != nil {
		return err
	}
	if !t.entry.Kind.ChangesControl() {
		return nil
	}
	payload, err := p.payload(ctx, t.raw)
	if err != nil {
		return err
	}
	if p.control, err = p.control.Apply(t.entry, payload, p.compile); err == nil {
		p.standing.forget(p.control)
	}
	return err
}

// follow says what an entry other than a decision does not follow from.
func (p *player) follow(ctx context.Context, t *step) error {
	var wrong faults
	takes := []func() (string, error){
		func() (string, error) { return p.account.take(t.entry, t.raw, p.approvers()) },
		func() (string, error) { return p.standing.take(t.entry, t.raw, p.control) },
		func() (string, error) { return p.switches.take(t.entry, p.control) },
		func() (string, error) { return p.vote(t.entry) },
	}
	if p.instead == nil { // before the others: what a change is becomes of it with this entry
		takes = slices.Insert(takes, 0, func() (string, error) { return p.hold(ctx, t.entry, t.raw) })
		takes = append(takes, func() (string, error) { return p.incidents.take(t.entry, t.raw.Index) })
	}
	if p.instead == nil && p.ledger.Name() == gov.OrgLedger {
		takes = append(takes, func() (string, error) { return p.people.take(t.entry) })
	}
	for _, take := range takes {
		what, err := take()
		if err != nil {
			return err
		}
		wrong.add("%s", what)
	}
	t.what = wrong.String()
	return nil
}

func (p *player) payload(ctx context.Context, raw ledger.Raw) (canon.Payload, error) {
	if raw.Index < p.within.From {
		return p.ledger.Payload(ctx, raw.Index)
	}
	return canon.DecodePayload(raw.Payload)
}

// approvers are the groups that review changes of the active bundle.
func (p *player) approvers() []gov.GroupID {
	if p.control.Engine == nil {
		return nil
	}
	return p.control.Engine.Bundle().Approvers
}

// label adds what a session gained.
func (p *player) label(session gov.SessionID, added []gov.Label) {
	if session == "" || len(added) == 0 {
		return
	}
	labels := slices.Concat(p.sessions[session], added)
	slices.Sort(labels)
	p.sessions[session] = slices.Compact(labels)
}

// decision says what a decision is to be judged again by, and lets it take its effect on the session and on requests.
func (p *player) decision(t *step) {
	d := t.decision
	t.again, t.control, t.labels = t.raw.Index >= p.within.From, p.under(), d.Labels
	if p.instead == nil {
		t.labels = p.sessions[d.Session]
		p.label(d.Session, d.LabelsAdded)
	}
	t.asked, t.spent = p.consult(d, t.entry.ID), p.standing.spent
	p.standing.count(d.Delegations)
	p.limits(t)
}
