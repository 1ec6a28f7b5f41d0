package incident

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/outbox"
	"github.com/writ-dev/writ/internal/row"
)

// HookKind is the kind of document that says that an event of another side was taken.
const HookKind = "hook"

// Page tells those who are on call of the incidents of an environment that nobody acknowledged: each step of on_call once, when its
// time has come. The notices of a step are owed in the commit of its entry, so no crash loses one or repeats it. The error lists
// what failed; it is tried again at the next call.
func (s *Service) Page(ctx context.Context, env *live.Environment) error {
	if err := env.Refresh(ctx); err != nil {
		return err
	}
	engine := env.Control().Engine
	if engine == nil || len(engine.Bundle().OnCall) == 0 {
		return nil
	}
	var due []Incident
	err := each(ctx, env.Ledger, string(gov.IncidentNew), 0, math.MaxInt64, func(i Incident) bool {
		if _, ok := s.nextStep(env, engine.Bundle(), i); ok {
			due = append(due, i)
		}
		return len(due) < pageDocs // the others are seen at the next call
	})
	if err != nil {
		return err
	}
	var failed []error
	for _, i := range due {
		if err := s.page(ctx, env, engine.Bundle(), i); err != nil && !errors.Is(err, ledger.ErrStale) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// nextStep is the first step of on_call that is due and was not taken.
func (s *Service) nextStep(env *live.Environment, b *bundle.Bundle, i Incident) (bundle.OnCallStep, bool) {
	opened, err := time.Parse(canon.TimeLayout, i.OpenedAt)
	if err != nil {
		return bundle.OnCallStep{}, false
	}
	for _, step := range b.Pages(env.Ledger.Name(), i.Severity) {
		if !s.Now().Before(opened.Add(time.Duration(step.AfterSeconds)*time.Second)) && !i.Alerted(i.Severity, step.AfterSeconds) {
			_, err := i.After(gov.StepNotified)
			return step, err == nil // an incident that has all the steps that one can have is past being told of
		}
	}
	return bundle.OnCallStep{}, false
}

// page takes every step that is due. An error of ErrStale says that the incident moved on meanwhile.
func (s *Service) page(ctx context.Context, env *live.Environment, b *bundle.Bundle, i Incident) error {
	for {
		step, ok := s.nextStep(env, b, i)
		if !ok {
			return nil
		}
		body := canon.IncidentEvent{
			Incident: i.ID, Event: gov.StepNotified, State: i.State, Severity: i.Severity,
			Alert: &canon.Alert{Bundle: b.Digest, AfterSeconds: step.AfterSeconds, Channels: step.Channels},
		}
		if err := s.record(ctx, env, i, body, nil, outbox.Page(b, step.Channels, s.Now())); err != nil {
			return err
		}
		var err error
		// A crash right here has this step told, and the next one taken after the start.
		if i, err = Find(ctx, env.Ledger, i.ID); err != nil {
			return err
		}
	}
}

// record writes a step that Writ itself takes.
func (s *Service) record(ctx context.Context, env *live.Environment, i Incident, body canon.IncidentEvent, more []ledger.Amend, owed []row.Doc) error {
	if err := i.Check(s.Now().UTC(), body); err != nil {
		return err
	}
	record, err := env.Ledger.Draft(s.Rand, canon.KindIncidentEvent, canon.Writ(), body, nil)
	if err != nil {
		return err
	}
	amends, err := s.amends(ctx, env, i, body)
	if err != nil {
		return err
	}
	record.Amends, record.Docs = append(amends, more...), owed
	_, err = env.Ledger.Append(ctx, record)
	return err
}

// What became of an acknowledgement from outside.
type Answer string

// The answers.
const (
	AnswerAcknowledged Answer = "acknowledged" // it is recorded
	AnswerDuplicate    Answer = "duplicate"    // it was, before
	AnswerNotNew       Answer = "not_new"      // somebody has taken the incident further already
	AnswerUnknown      Answer = "unknown_incident"
	AnswerTooEarly     Answer = "too_early" // it happened before the incident did: it is about something else
)

// Acknowledge records that somebody whom another side knows looks at an incident, which only a new one needs: through a channel,
// by an event of the other side at a time. The same event counts once. Nobody owns the incident by it, since nobody signed in.
func (s *Service) Acknowledge(ctx context.Context, env *live.Environment, id gov.IncidentID, via canon.Via, at time.Time) (Answer, error) {
	for range triesMax {
		answer, err := s.acknowledge(ctx, env, id, via, at)
		if !errors.Is(err, ledger.ErrStale) {
			return answer, err
		}
	}
	return "", &gov.Error{Code: gov.CodeOverloaded, Detail: "other steps of the same incident kept coming first; try again"}
}

func (s *Service) acknowledge(ctx context.Context, env *live.Environment, id gov.IncidentID, via canon.Via, at time.Time) (Answer, error) {
	if err := env.Refresh(ctx); err != nil {
		return "", err
	}
	i, ok, err := known(ctx, env.Ledger, id)
	if err != nil || !ok {
		return AnswerUnknown, err
	}
	seen, before, err := env.Ledger.Store().Doc(ctx, env.Ledger.Name(), hookKey(via))
	if err != nil {
		return "", err
	}
	opened, err := time.Parse(canon.TimeLayout, i.OpenedAt)
	switch {
	case err != nil:
		return "", err
	case before && seen.Version > 0:
		return AnswerDuplicate, nil
	case at.Before(opened.Add(-clockSlack)):
		return AnswerTooEarly, nil
	case i.State != gov.IncidentNew:
		return AnswerNotNew, nil
	}
	body := canon.IncidentEvent{Incident: i.ID, Event: gov.StepAck, State: gov.IncidentTriage, Severity: i.Severity, Via: &via}
	if err := s.record(ctx, env, i, body, []ledger.Amend{once(hookKey(via), i.ID)}, s.owe(env, told(i, body)...)); err != nil {
		return "", err
	}
	return AnswerAcknowledged, nil
}

// known is an incident that there may be: what another side names may be anything.
func known(ctx context.Context, l *ledger.Ledger, id gov.IncidentID) (Incident, bool, error) {
	doc, ok, err := l.Store().Doc(ctx, l.Name(), row.DocKey{Kind: DocKind, ID: string(id)})
	if err != nil || !ok {
		return Incident{}, false, err
	}
	i, err := incidentOf(doc)
	return i, err == nil, err
}

// clockSlack is how far the clock of another side may be behind.
const clockSlack = time.Minute

// hookKey is where an event of another side is remembered.
func hookKey(via canon.Via) row.DocKey {
	sum := sha256.Sum256([]byte(string(via.Channel) + "\x00" + via.Event))
	return row.DocKey{Kind: HookKind, ID: hex.EncodeToString(sum[:])}
}

// once makes a document that must not be there.
func once(key row.DocKey, id gov.IncidentID) ledger.Amend {
	return ledger.Amend{Key: key, Place: func(doc row.Doc, _ gov.Place) (row.Doc, error) {
		if doc.Version != 0 {
			return doc, ledger.ErrStale
		}
		data, err := json.Marshal(pointer{id})
		doc.Data = data
		return doc, err
	}}
}
