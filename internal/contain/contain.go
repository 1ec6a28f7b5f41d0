// Package contain stops what misbehaves: kill switches, engaged at once and released with care. It promises that a switch is an
// entry which begins an epoch, so that behind its index no node records an allow that ignores it; that whoever engaged or released
// one is named; that calls pass again only when as many people want it as the switch says; and that a switch outlives the process
// that engaged it. It does not judge calls: internal/policy says what a switch stops.
package contain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/state"
)

// DocKind is the kind of document that a switch is kept in.
const DocKind = "switch"

// Bounds of switches.
const (
	reasonBytesMax = 500
	engagedMax     = 200 // in one environment; one that stops everything is engaged all the same
	expiresMax     = 366 * 24 * time.Hour
	triesMax       = 16 // when other changes come first
)

// Switch is a kill switch as the entries about it add up to.
type Switch struct {
	Scope     gov.SwitchScope `json:"scope"`
	Reason    string          `json:"reason"`
	State     gov.SwitchState `json:"state"`
	At        gov.Step        `json:"at"`
	AskedAt   string          `json:"asked_at"`             // TimeLayout; when the server was asked to stop
	ExpiresAt string          `json:"expires_at,omitempty"` // TimeLayout
	People    int             `json:"people"`               // how many it takes to let calls pass again
	Incident  gov.IncidentID  `json:"incident,omitempty"`
	By        canon.Actor     `json:"by"`                 // who engaged it
	Proposed  *Proposal       `json:"proposed,omitempty"` // what the first of two people wants
	EndedAt   string          `json:"ended_at,omitempty"` // TimeLayout; when it was released or its time was over
	EndedBy   []string        `json:"ended_by,omitempty"` // the people who released it
	EndReason string          `json:"end_reason,omitempty"`

	doc row.Doc
}

// Proposal is where some of the people that it takes want a switch to go.
type Proposal struct {
	gov.Step
	By     []string `json:"by"` // opaque references, sorted
	Reason string   `json:"reason"`
}

// ID is the entry that engaged the switch.
func (s Switch) ID() gov.EntryID { return gov.EntryID(s.doc.ID) }

// Opened is the index of that entry: behind it nothing was allowed that the switch stops.
func (s Switch) Opened() int64 { return s.doc.Opened }

// StateAt is how far it has come at a time: nobody has to record that its time is over for it to be over.
func (s Switch) StateAt(at time.Time) gov.SwitchState {
	if until := s.until(); s.State == gov.SwitchIsEngaged && !until.IsZero() && !at.Before(until) {
		return gov.SwitchIsExpired
	}
	return s.State
}

func (s Switch) until() time.Time {
	t, err := time.Parse(canon.TimeLayout, s.ExpiresAt)
	if err != nil {
		return time.Time{}
	}
	return t
}

func (s Switch) document() row.Doc {
	data, err := json.Marshal(s)
	if err != nil {
		panic("contain: a switch is not JSON: " + err.Error())
	}
	doc := s.doc
	doc.Kind, doc.State, doc.Data, doc.Due = DocKind, string(s.State), data, time.Time{}
	if s.State == gov.SwitchIsEngaged {
		doc.Due = s.until()
	}
	return doc
}

func switchOf(doc row.Doc) (Switch, error) {
	s := Switch{doc: doc}
	if err := json.Unmarshal(doc.Data, &s); err != nil {
		return s, fmt.Errorf("switch %s: %w", doc.ID, err)
	}
	return s, nil
}

// Find reads a switch.
func Find(ctx context.Context, l *ledger.Ledger, id gov.EntryID) (Switch, error) {
	return ledger.FindDoc(ctx, l, row.DocKey{Kind: DocKind, ID: string(id)}, "switch "+string(id), switchOf)
}

// List gives switches, newest first: those in a state (empty: any) engaged below an index. next is the index to go on below, or 0:
// a page may hold fewer than limit, since time moves some on from what is recorded.
func (s *Service) List(ctx context.Context, env *live.Environment, in gov.SwitchState, below int64, limit int) (out []Switch, next int64, err error) {
	recorded := in
	if in == gov.SwitchIsExpired {
		recorded = "" // those whose time is over and that nobody recorded as such yet, too
	}
	now := s.Now()
	out, next, err = ledger.ListDocs(ctx, env.Ledger, DocKind, string(recorded), below, limit, switchOf)
	return slices.DeleteFunc(out, func(w Switch) bool { return in != "" && w.StateAt(now) != in }), next, err
}

// Service engages and releases. Its fields are set once, before use.
type Service struct {
	Environments *live.Set
	Key          []byte // of the opaque references of users
	Now          func() time.Time
	Rand         io.Reader
}

// By is who acts: a caller, or Writ itself by a rule of the bundle.
type By struct {
	actor  canon.Actor
	person *gov.Principal // of a person who signed in
	ref    string
}

// Caller is who asks, if they may contain: a person who responds to incidents or administers there, or an administrator's key.
func (s *Service) Caller(c identity.Caller, env *live.Environment) (By, error) {
	by := By{actor: c.Actor(s.Key)}
	if c.Role == state.RoleAdmin {
		return by, nil
	}
	if c.Role != state.RolePerson || !gov.Responds(c.RolesIn(env.Control().Engine)) {
		return By{}, &gov.Error{Code: gov.CodeForbidden, Detail: "only people with the role responder or admin in the environment " + string(env.Ledger.Name()) + " use its switches"}
	}
	by.person, by.ref = &c.Principal, identity.PrincipalRef(s.Key, c.Principal)
	return by, nil
}

// Rule is Writ itself, acting by a rule of the bundle.
func Rule() By { return By{actor: canon.Writ()} }

// Stop is what is to be stopped.
type Stop struct {
	Scope    gov.SwitchScope
	Reason   string
	Expires  time.Time      // zero: until somebody releases it
	People   int            // 1 or 2: how many it takes to let calls pass again
	Incident gov.IncidentID // that it contains
	Key      string         // of the signals that ask for it, of a rule
	AskedAt  time.Time      // when the server was asked
}

// Engage stops calls. The same scope stopped before, for as long and held by as many, is that switch. Errors are *gov.Error.
func (s *Service) Engage(ctx context.Context, by By, env *live.Environment, stop Stop) (Switch, error) {
	stop.Reason = strings.TrimSpace(stop.Reason)
	if err := stop.check(s.Now()); err != nil {
		return Switch{}, err
	}
	if err := env.Refresh(ctx); err != nil {
		return Switch{}, err
	}
	engaged := env.Control().Switches()
	for _, e := range engaged {
		if stop.has(e) {
			return Find(ctx, env.Ledger, e.ID)
		}
	}
	if len(engaged) >= engagedMax && !stop.Scope.All {
		return Switch{}, &gov.Error{Code: gov.CodeConflict, Detail: fmt.Sprintf("%d switches are engaged, which is all that one environment has: stop everything, or release some", engagedMax)}
	}
	body := canon.SwitchEngaged{
		Scope: stop.Scope, Reason: stop.Reason, AskedAt: stop.AskedAt.UTC().Format(canon.TimeLayout), People: stop.People, Incident: stop.Incident,
		Key: stop.Key, Person: by.ref,
	}
	if !stop.Expires.IsZero() {
		body.ExpiresAt = stop.Expires.UTC().Format(canon.TimeLayout)
	}
	doc := Switch{
		Scope: body.Scope, Reason: body.Reason, State: gov.SwitchIsEngaged, At: gov.Step{Stage: gov.SwitchStopped}, AskedAt: body.AskedAt,
		ExpiresAt: body.ExpiresAt, People: body.People, Incident: body.Incident, By: by.actor.Who(),
	}
	payload, err := s.said(by, &body.Commitments)
	if err != nil {
		return Switch{}, err
	}
	receipt, err := s.append(ctx, env, canon.KindSwitchEngaged, by, body, payload, func(r *ledger.Record) { r.Docs = append(r.Docs, doc.document()) })
	if err != nil {
		return Switch{}, err
	}
	if err := env.Refresh(ctx); err != nil {
		return Switch{}, err
	}
	return Find(ctx, env.Ledger, receipt.ID)
}

func (stop Stop) check(now time.Time) error {
	wrong := func(path, detail string) error {
		return &gov.Error{Code: gov.CodeInvalidField, Path: path, Detail: detail}
	}
	switch {
	case !stop.Scope.Valid():
		return wrong("/scope", "name exactly one: all, agent, tool, category, principal or session")
	case stop.Reason == "" || len(stop.Reason) > reasonBytesMax:
		return wrong("/reason", fmt.Sprintf("say why, in 1 to %d bytes: agents and people are told", reasonBytesMax))
	case stop.People != 1 && stop.People != 2:
		return wrong("/people", "must be 1 or 2")
	case !stop.Expires.IsZero() && (!now.Before(stop.Expires) || stop.Expires.After(now.Add(expiresMax))):
		return wrong("/expires_at", "must be to come, and within a year")
	}
	return nil
}

// has says whether an engaged switch stops as much, for as long, and is held by as many.
func (stop Stop) has(e gov.Switch) bool {
	longer := e.Until.IsZero() || !stop.Expires.IsZero() && !e.Until.Before(stop.Expires)
	return e.SwitchScope == stop.Scope && e.Stage == gov.SwitchStopped && longer && e.People >= stop.People
}

// Move takes a switch to another stage, or, where it takes two people to let calls pass and the caller is the first of them,
// records that they want it. Errors are *gov.Error.
func (s *Service) Move(ctx context.Context, caller identity.Caller, env *live.Environment, id gov.EntryID, to gov.Step, reason string) (Switch, error) {
	reason = strings.TrimSpace(reason)
	switch {
	case !to.Valid():
		return Switch{}, &gov.Error{Code: gov.CodeInvalidField, Path: "/stage", Detail: "must be stopped, observe, share with a share from 1 to 99, or released"}
	case reason == "" || len(reason) > reasonBytesMax:
		return Switch{}, &gov.Error{Code: gov.CodeInvalidField, Path: "/reason", Detail: fmt.Sprintf("say why, in 1 to %d bytes", reasonBytesMax)}
	}
	for range triesMax {
		if err := env.Refresh(ctx); err != nil {
			return Switch{}, err
		}
		by, err := s.Caller(caller, env)
		if err != nil {
			return Switch{}, err
		}
		found, err := Find(ctx, env.Ledger, id)
		if err != nil {
			return Switch{}, err
		}
		err = s.move(ctx, caller, by, env, found, to, reason)
		if errors.Is(err, ledger.ErrStale) {
			continue
		}
		if err != nil {
			return Switch{}, err
		}
		if err := env.Refresh(ctx); err != nil {
			return Switch{}, err
		}
		return Find(ctx, env.Ledger, id)
	}
	return Switch{}, &gov.Error{Code: gov.CodeOverloaded, Detail: "other changes kept coming first; try again"}
}

func (s *Service) move(ctx context.Context, caller identity.Caller, by By, env *live.Environment, sw Switch, to gov.Step, reason string) error {
	now := s.Now()
	if at := sw.StateAt(now); at != gov.SwitchIsEngaged {
		return &gov.Error{Code: gov.CodeConflict, Detail: "the switch is " + string(at) + " already"}
	}
	if sw.At == to {
		return nil
	}
	held := gov.Switch{Step: sw.At, People: sw.People}
	agreed := by.agree(sw.Proposed, to)
	if to.Looser(sw.At) && by.person != nil {
		if err := caller.Fresh(now); err != nil {
			return err
		}
	}
	switch {
	case state.Agreed(held, to, agreed):
		return s.ease(ctx, by, env, sw, to, reason, agreed)
	case by.person == nil:
		return &gov.Error{Code: gov.CodeForbidden, Detail: fmt.Sprintf("it takes %d people to let calls pass again: sign in (writ login, or the console)", sw.People)}
	case sw.Proposed != nil && sw.Proposed.Step == to && slices.Contains(sw.Proposed.By, by.ref):
		return nil // they said so before
	}
	body := canon.SwitchProposed{Switch: sw.ID(), Step: to, Reason: reason, Person: by.ref}
	payload, err := s.said(by, &body.Commitments)
	if err != nil {
		return err
	}
	sw.Proposed = &Proposal{Step: to, By: agreed, Reason: reason}
	_, err = s.append(ctx, env, canon.KindSwitchProposed, by, body, payload, func(r *ledger.Record) { r.Docs = append(r.Docs, sw.document()) })
	return err
}

// agree are those who want a step, with who acts.
func (by By) agree(p *Proposal, to gov.Step) []string {
	if by.person == nil {
		return nil
	}
	out := []string{by.ref}
	if p != nil && p.Step == to {
		out = append(out, p.By...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ease records a step that enough people want.
func (s *Service) ease(ctx context.Context, by By, env *live.Environment, sw Switch, to gov.Step, reason string, agreed []string) error {
	sw.At, sw.Proposed = to, nil
	if to.Stage != gov.SwitchReleased {
		body := canon.SwitchEased{Switch: sw.ID(), Step: to, Reason: reason, Person: by.ref, By: agreed}
		payload, err := s.said(by, &body.Commitments)
		if err != nil {
			return err
		}
		_, err = s.append(ctx, env, canon.KindSwitchEased, by, body, payload, func(r *ledger.Record) { r.Docs = append(r.Docs, sw.document()) })
		return err
	}
	body := canon.SwitchReleased{Switch: sw.ID(), State: gov.SwitchIsReleased, Reason: reason, Person: by.ref, By: agreed}
	payload, err := s.said(by, &body.Commitments)
	if err != nil {
		return err
	}
	sw.State, sw.EndedAt, sw.EndedBy, sw.EndReason = gov.SwitchIsReleased, s.Now().UTC().Format(canon.TimeLayout), agreed, reason
	_, err = s.append(ctx, env, canon.KindSwitchReleased, by, body, payload, func(r *ledger.Record) { r.Docs = append(r.Docs, sw.document()) })
	return err
}

// closeMax is how many switches one step closes.
const closeMax = 256

// Close records that the time of switches is over. They stopped nothing any more: this is so that the ledger says it.
func (s *Service) Close(ctx context.Context, env *live.Environment) (closed int, err error) {
	now := s.Now()
	docs, err := env.Ledger.Store().DocsDue(ctx, env.Ledger.Name(), DocKind, now, closeMax)
	if err != nil {
		return 0, err
	}
	for _, doc := range docs {
		sw, err := switchOf(doc)
		if err != nil {
			return closed, err
		}
		body := canon.SwitchReleased{Switch: sw.ID(), State: gov.SwitchIsExpired}
		sw.State, sw.At, sw.EndedAt = gov.SwitchIsExpired, gov.Step{Stage: gov.SwitchReleased}, now.UTC().Format(canon.TimeLayout)
		if _, err := s.append(ctx, env, canon.KindSwitchReleased, Rule(), body, nil, func(r *ledger.Record) { r.Docs = append(r.Docs, sw.document()) }); err != nil {
			return closed, err
		}
		closed++
	}
	return closed, nil
}

func (s *Service) append(ctx context.Context, env *live.Environment, kind canon.Kind, by By, body any, payload canon.Payload, with func(*ledger.Record)) (ledger.Receipt, error) {
	record, err := env.Ledger.Draft(s.Rand, kind, by.actor, body, payload)
	if err != nil {
		return ledger.Receipt{}, err
	}
	with(&record)
	return env.Ledger.Append(ctx, record)
}

// said is the payload of what a person does: who it is. Who is no person has none.
func (s *Service) said(by By, commitments *map[canon.Group]canon.Commitment) (canon.Payload, error) {
	if by.person == nil {
		return nil, nil
	}
	payload := canon.Payload{}
	*commitments = map[canon.Group]canon.Commitment{}
	err := payload.Seal(s.Rand, *commitments, canon.GroupPrincipal, canon.AppendValue(nil, state.PrincipalValue(*by.person)))
	return payload, err
}
