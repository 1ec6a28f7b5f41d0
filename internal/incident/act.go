package incident

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/contain"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/state"
)

// Report is an incident that a person reports.
type Report struct {
	Severity    gov.Severity
	Title       string
	Text        string
	Agent       gov.AgentID
	Entries     []gov.EntryID // decisions that it is about
	EffectiveAt time.Time     // when it began; zero: nobody knows
	Exercise    bool
}

// Report opens an incident that no detector saw. Errors are *gov.Error.
func (s *Service) Report(ctx context.Context, person identity.Caller, env *live.Environment, r Report) (Incident, error) {
	if err := env.Refresh(ctx); err != nil {
		return Incident{}, err
	}
	if err := responder(person, env); err != nil {
		return Incident{}, err
	}
	r.Title = strings.TrimSpace(r.Title)
	switch now := s.Now(); {
	case !r.Severity.Valid():
		return Incident{}, wrong("/severity", "must be from 1, the worst, to 4")
	case r.Title == "" || len(r.Title) > titleBytesMax || strings.ContainsAny(r.Title, "\r\n"):
		return Incident{}, wrong("/title", "must be a line of at most %d bytes", titleBytesMax)
	case len(r.Text) > textBytesMax:
		return Incident{}, wrong("/text", "is longer than %d bytes", textBytesMax)
	case r.EffectiveAt.After(now):
		return Incident{}, wrong("/effective_at", "is to come")
	}
	refs := make([]string, len(r.Entries))
	for n, id := range r.Entries {
		refs[n] = string(id)
	}
	refs, err := s.refs(ctx, env, gov.StepDecision, refs)
	if err != nil {
		return Incident{}, err
	}
	body := canon.IncidentReported{
		Severity: r.Severity, Title: r.Title, Agent: r.Agent, Entries: []gov.EntryID{}, Exercise: r.Exercise,
		Person: identity.PrincipalRef(s.Key, person.Principal), EffectiveAt: timeOf(r.EffectiveAt), Commitments: map[canon.Group]canon.Commitment{},
	}
	for _, ref := range refs {
		body.Entries = append(body.Entries, gov.EntryID(ref))
	}
	payload, err := s.said(body.Commitments, person.Principal, r.Text, nil)
	if err != nil {
		return Incident{}, err
	}
	record, err := env.Ledger.Draft(s.Rand, canon.KindIncidentReported, person.Actor(s.Key), body, payload)
	if err != nil {
		return Incident{}, err
	}
	record.Docs = s.owe(env, gov.EventIncidentOpened)
	record.Amends = []ledger.Amend{{Key: row.DocKey{Kind: DocKind}, Place: func(doc row.Doc, at gov.Place) (row.Doc, error) {
		return document(doc, state.ReportIncident(at, body)), nil
	}}}
	receipt, err := env.Ledger.Append(ctx, record)
	if err != nil {
		return Incident{}, err
	}
	return Find(ctx, env.Ledger, gov.IncidentOf(receipt.ID))
}

// Step is what a person does about an incident.
type Step struct {
	Event       gov.IncidentStep
	Text        string
	EffectiveAt time.Time         // when it happened; zero: now
	Severity    gov.Severity      // with severity.changed
	Owner       *gov.Principal    // with owner.changed and action.created
	Reason      gov.Dismissal     // with dismissed
	Into        gov.IncidentID    // with merged
	Refs        []string          // ids of what it is about
	Due         time.Time         // with action.created
	Assessment  *canon.Assessment // with disclosure.assessed
	Stop        *contain.Stop     // with containment.kill_switch: a switch to engage
}

// Act takes a step of an incident. What stops calls is engaged first, so that nothing waits for the record of it. Errors are
// *gov.Error.
func (s *Service) Act(ctx context.Context, person identity.Caller, env *live.Environment, id gov.IncidentID, step Step) (Incident, error) {
	for range triesMax {
		after, err := s.act(ctx, person, env, id, &step)
		if !errors.Is(err, ledger.ErrStale) {
			return after, err
		}
	}
	return Incident{}, &gov.Error{Code: gov.CodeOverloaded, Detail: "other steps of the same incident kept coming first; try again"}
}

func (s *Service) act(ctx context.Context, person identity.Caller, env *live.Environment, id gov.IncidentID, step *Step) (Incident, error) {
	if err := env.Refresh(ctx); err != nil {
		return Incident{}, err
	}
	if err := responder(person, env); err != nil {
		return Incident{}, err
	}
	i, err := Find(ctx, env.Ledger, id)
	if err != nil {
		return i, err
	}
	now := s.Now().UTC()
	if step.Event == gov.StepApproved {
		if err := person.Fresh(now); err != nil {
			return i, err
		}
	}
	if step.Stop != nil {
		if err := s.stop(ctx, person, env, i, step); err != nil {
			return i, err
		}
	}
	body, payload, err := s.body(ctx, person, env, i, *step)
	if err != nil {
		return i, err
	}
	if err := i.Check(now, body); err != nil {
		return i, err
	}
	record, err := env.Ledger.Draft(s.Rand, canon.KindIncidentEvent, person.Actor(s.Key), body, payload)
	if err != nil {
		return i, err
	}
	if record.Amends, err = s.amends(ctx, env, i, body); err != nil {
		return i, err
	}
	record.Docs = s.owe(env, told(i, body)...)
	if _, err := env.Ledger.Append(ctx, record); err != nil {
		return i, err
	}
	return Find(ctx, env.Ledger, id)
}

// stop engages the switch that a step is to contain the incident with. The same one asked for again is that one.
func (s *Service) stop(ctx context.Context, person identity.Caller, env *live.Environment, i Incident, step *Step) error {
	if step.Event != gov.StepKillSwitch {
		return wrong("/switch", "is for %s", gov.StepKillSwitch)
	}
	if _, err := i.After(step.Event); err != nil {
		return err
	}
	by, err := s.Contain.Caller(person, env)
	if err != nil {
		return err
	}
	step.Stop.Incident = i.ID
	sw, err := s.Contain.Engage(ctx, by, env, *step.Stop)
	if err != nil {
		return err
	}
	// A crash right here leaves the switch engaged, and its entry names the incident.
	step.Refs, step.Stop = []string{string(sw.ID())}, nil
	return nil
}

// body is the entry of a step, as the incident stands.
func (s *Service) body(ctx context.Context, person identity.Caller, env *live.Environment, i Incident, step Step) (canon.IncidentEvent, canon.Payload, error) {
	textMax := textBytesMax
	if step.Event == gov.StepDrafted {
		textMax = reportBytesMax
	}
	if len(step.Text) > textMax {
		return canon.IncidentEvent{}, nil, wrong("/text", "is longer than %d bytes", textMax)
	}
	to, err := i.After(step.Event)
	if err != nil {
		return canon.IncidentEvent{}, nil, err
	}
	refs, err := s.refs(ctx, env, step.Event, step.Refs)
	if err != nil {
		return canon.IncidentEvent{}, nil, err
	}
	body := canon.IncidentEvent{
		Incident: i.ID, Event: step.Event, State: to, Severity: i.Severity, EffectiveAt: timeOf(step.EffectiveAt), Reason: step.Reason, Into: step.Into,
		Refs: refs, Due: timeOf(step.Due), Assessment: step.Assessment, Person: identity.PrincipalRef(s.Key, person.Principal),
		Commitments: map[canon.Group]canon.Commitment{},
	}
	if step.Event == gov.StepApproved {
		body.SignIn = &canon.SignIn{Groups: []gov.GroupID{}, Issuer: person.Issuer, AuthTime: timeOf(person.AuthTime), Methods: person.Methods, Level: person.Level}
	}
	if step.Event == gov.StepSeverity {
		body.Severity = step.Severity
	}
	if step.Event == gov.StepAction && strings.TrimSpace(step.Text) == "" {
		return body, nil, wrong("/text", "say what is to be done")
	}
	if step.Owner != nil {
		if step.Owner.Type != gov.PrincipalUser {
			return body, nil, wrong("/owner", "must be a user, user:ID")
		}
		body.Owner = identity.PrincipalRef(s.Key, *step.Owner)
	}
	payload, err := s.said(body.Commitments, person.Principal, step.Text, step.Owner)
	return body, payload, err
}

// amends are what a step changes: the incident, the one that it is merged into, and what its keys lead to.
func (s *Service) amends(ctx context.Context, env *live.Environment, i Incident, body canon.IncidentEvent) ([]ledger.Amend, error) {
	out := []ledger.Amend{{Key: i.doc.DocKey, Place: func(doc row.Doc, at gov.Place) (row.Doc, error) {
		now, err := incidentOf(doc)
		if err != nil {
			return doc, err
		}
		after, err := now.Take(at, body)
		if err != nil {
			return doc, errors.Join(ledger.ErrStale, err) // it moved on: what is wrong is said to who asks again
		}
		return document(doc, after), nil
	}}}
	switch body.Event {
	case gov.StepMerged:
		return s.merge(ctx, env, i, body, out)
	case gov.StepReopened:
		return s.reopen(ctx, env, i, out)
	default:
		return out, nil
	}
}

func (s *Service) merge(ctx context.Context, env *live.Environment, i Incident, body canon.IncidentEvent, out []ledger.Amend) ([]ledger.Amend, error) {
	into, err := Find(ctx, env.Ledger, body.Into)
	if err != nil {
		return nil, err
	}
	if _, err := into.Absorb(gov.Place{}, i.Incident); err != nil {
		return nil, err
	}
	out = append(out, ledger.Amend{Key: into.doc.DocKey, Place: func(doc row.Doc, at gov.Place) (row.Doc, error) {
		now, err := incidentOf(doc)
		if err != nil {
			return doc, err
		}
		after, err := now.Absorb(at, i.Incident)
		if err != nil {
			return doc, errors.Join(ledger.ErrStale, err)
		}
		return document(doc, after), nil
	}})
	return s.point(ctx, env, i, out, func(Incident) error { return nil }, into.ID)
}

// reopen refuses while another incident of one of its keys is open: signals join that one.
func (s *Service) reopen(ctx context.Context, env *live.Environment, i Incident, out []ledger.Amend) ([]ledger.Amend, error) {
	return s.point(ctx, env, i, out, func(newest Incident) error {
		if newest.ID != i.ID && newest.State.Open() {
			return &gov.Error{Code: gov.CodeConflict, Detail: fmt.Sprintf("%s is about the same and open: work on that one", newest.ID)}
		}
		return nil
	}, i.ID)
}

// point leads the keys of an incident to another one.
func (s *Service) point(ctx context.Context, env *live.Environment, i Incident, out []ledger.Amend, may func(newest Incident) error, to gov.IncidentID) ([]ledger.Amend, error) {
	for _, key := range i.Keys {
		last, seen, ok, err := newest(ctx, env.Ledger, keyOf(key, i.Exercise))
		if err != nil {
			return nil, err
		}
		if ok {
			if err := may(last); err != nil {
				return nil, err
			}
		}
		out = append(out, pointAt(seen, func(gov.Place) gov.IncidentID { return to }))
	}
	return out, nil
}

// told are the events that people are told of a step.
func told(i Incident, body canon.IncidentEvent) []gov.Event {
	switch {
	case body.Severity < i.Severity:
		return []gov.Event{gov.EventIncidentEscalated, gov.EventIncidentChanged}
	case body.State != i.State || body.Event == gov.StepOwner || body.Event == gov.StepSeverity:
		return []gov.Event{gov.EventIncidentChanged}
	}
	return nil
}

// said is the payload of what a person does: who it is, and their words, which may name somebody.
func (s *Service) said(commitments map[canon.Group]canon.Commitment, person gov.Principal, text string, owner *gov.Principal) (canon.Payload, error) {
	payload := canon.Payload{}
	if err := payload.Seal(s.Rand, commitments, canon.GroupPrincipal, canon.AppendValue(nil, state.PrincipalValue(person))); err != nil {
		return nil, err
	}
	words := map[string]any{}
	if text = strings.TrimSpace(text); text != "" {
		words["text"] = text
	}
	if owner != nil {
		words["owner"] = state.PrincipalValue(*owner)
	}
	if len(words) == 0 {
		return payload, nil
	}
	err := payload.Seal(s.Rand, commitments, canon.GroupText, canon.AppendValue(nil, words))
	return payload, err
}

// refs checks what a step names, and sorts it.
func (s *Service) refs(ctx context.Context, env *live.Environment, step gov.IncidentStep, refs []string) ([]string, error) {
	if len(refs) > refsMax {
		return nil, wrong("/refs", "are more than %d", refsMax)
	}
	for _, ref := range refs {
		if err := s.ref(ctx, env, step, ref); err != nil {
			return nil, err
		}
	}
	refs = slices.Clone(refs)
	slices.Sort(refs)
	return slices.Compact(refs), nil
}

// ref wants an id of something that there is, of the kind that the step is about.
func (s *Service) ref(ctx context.Context, env *live.Environment, step gov.IncidentStep, ref string) error {
	if step == gov.StepRevoked {
		c, known := s.Environments.Credential(gov.CredentialID(ref))
		switch {
		case !known || c.Environment != env.Ledger.Name():
			return wrong("/refs", "there is no credential %s", ref)
		case !c.Revoked:
			return wrong("/refs", "the credential %s is not revoked: revoke it first", ref)
		}
		return nil
	}
	item, err := env.Ledger.ByID(ctx, gov.EntryID(ref))
	if err != nil {
		if gov.CodeOf(err) == gov.CodeNotFound {
			return wrong("/refs", "there is no entry %s in %s", ref, env.Ledger.Name())
		}
		return err
	}
	want := map[gov.IncidentStep]canon.Kind{
		gov.StepDecision: canon.KindDecision, gov.StepKillSwitch: canon.KindSwitchEngaged, gov.StepRollback: canon.KindBundleActivated, gov.StepApproved: canon.KindIncidentEvent,
	}[step]
	if want != "" && item.Kind != want {
		return wrong("/refs", "%s is a %s, and %s is about a %s", ref, item.Kind, step, want)
	}
	return nil
}

func timeOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(canon.TimeLayout)
}

func wrong(path, format string, args ...any) error {
	return &gov.Error{Code: gov.CodeInvalidField, Path: path, Detail: fmt.Sprintf(format, args...)}
}
