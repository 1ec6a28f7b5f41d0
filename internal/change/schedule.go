package change

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/outbox"
	"github.com/writ-dev/writ/internal/row"
)

// Schedule says when an approved change is to come into force, and who wants that.
type Schedule struct {
	By   canon.Actor `json:"by"`
	At   string      `json:"at"`             // TimeLayout
	Made string      `json:"made,omitempty"` // TimeLayout; when that was said
}

// scheduleMax is how far ahead a change is scheduled.
const scheduleMax = 30 * 24 * time.Hour

// Schedule has an approved change come into force at a time within 30 days, for whoever may activate it. A second call moves it.
// When the time comes the checks of Activate are made again.
func (s *Service) Schedule(ctx context.Context, caller identity.Caller, env *live.Environment, id gov.EntryID, at time.Time) (Proposal, error) {
	p, err := s.findToActivate(ctx, caller, env, id)
	if err != nil {
		return Proposal{}, err
	}
	if err := p.activatable(env.Control().Bundle()); err != nil {
		return Proposal{}, err
	}
	now := s.Now()
	if !at.After(now) || at.Sub(now) > scheduleMax {
		return Proposal{}, &gov.Error{Code: gov.CodeInvalidField, Path: "/at", Detail: "must be in the future, and within 30 days"}
	}
	p.Schedule = &Schedule{By: caller.Actor(s.Key).Who(), At: at.UTC().Format(canon.TimeLayout), Made: now.UTC().Format(canon.TimeLayout)}
	p.State, p.doc.Due = gov.ChangeScheduled, at.UTC().Truncate(time.Microsecond)
	return s.scheduled(ctx, env, caller.Actor(s.Key), p, canon.ChangeScheduled{Change: id, State: p.State, At: p.Schedule.At})
}

// Unschedule has a scheduled change wait again for somebody to activate it.
func (s *Service) Unschedule(ctx context.Context, caller identity.Caller, env *live.Environment, id gov.EntryID) (Proposal, error) {
	p, err := s.findToActivate(ctx, caller, env, id)
	if err != nil {
		return Proposal{}, err
	}
	if p.State != gov.ChangeScheduled {
		return Proposal{}, &gov.Error{Code: gov.CodeConflict, Detail: "the change is " + string(p.State) + ", and not scheduled"}
	}
	p.State, p.Schedule = gov.ChangeApproved, nil
	return s.scheduled(ctx, env, caller.Actor(s.Key), p, canon.ChangeScheduled{Change: id, State: p.State})
}

func (s *Service) findToActivate(ctx context.Context, caller identity.Caller, env *live.Environment, id gov.EntryID) (Proposal, error) {
	if err := env.Refresh(ctx); err != nil {
		return Proposal{}, err
	}
	p, err := s.Find(ctx, env, id)
	if err != nil {
		return Proposal{}, err
	}
	return p, s.mayActivate(caller, env, p)
}

func (s *Service) scheduled(ctx context.Context, env *live.Environment, actor canon.Actor, p Proposal, body canon.ChangeScheduled, owed ...row.Doc) (Proposal, error) {
	_, err := s.place(ctx, env, canon.KindChangeScheduled, actor, body, nil, func(r *ledger.Record) { r.Docs = append(owed, p.document()) })
	if errors.Is(err, ledger.ErrStale) {
		return Proposal{}, errStale()
	}
	if err != nil {
		return Proposal{}, err
	}
	return s.Find(ctx, env, p.ID())
}

func errStale() error {
	return &gov.Error{Code: gov.CodeConflict, Detail: "something else changed at the same moment; look again"}
}

// duePage is how many scheduled changes are looked at in one read.
const duePage = 100

// ActivateDue puts into force what was scheduled for a time that has come. What cannot come into force any more is approved
// again, and the ledger says why. It gives how many changes it was about.
func (s *Service) ActivateDue(ctx context.Context, env *live.Environment) (done int, err error) {
	for below := int64(math.MaxInt64); ; {
		page, err := s.List(ctx, env, gov.ChangeScheduled, below, duePage)
		if err != nil {
			return done, err
		}
		for _, p := range page {
			if s.Now().Before(p.doc.Due) {
				continue
			}
			if err := s.activateDue(ctx, env, p); err != nil {
				return done, err
			}
			done++
		}
		if len(page) < duePage {
			return done, nil
		}
		below = page[len(page)-1].Opened()
	}
}

func (s *Service) activateDue(ctx context.Context, env *live.Environment, p Proposal) error {
	if err := env.Refresh(ctx); err != nil {
		return err
	}
	control := env.Control()
	why, err := s.hindrance(ctx, p)
	if err != nil {
		return err
	}
	if refused := p.activatable(control.Bundle()); refused != nil {
		why = refused.Error()
	}
	if why == "" {
		_, err = s.activateApproved(ctx, env, p.Schedule.By, p)
		return unlessMoved(err)
	}
	p.State, p.Schedule = gov.ChangeApproved, nil
	body := canon.ChangeScheduled{Change: p.ID(), State: p.State, Reason: why}
	b := control.Engine.Bundle() // a change is scheduled in the place of one
	owed := outbox.Owe(b, env.Ledger.Name(), b.Approvers, s.Now(), gov.EventChangeNotActivated)
	_, err = s.scheduled(ctx, env, canon.Writ(), p, body, owed...)
	return unlessMoved(err)
}

// hindrance says why a scheduled change does not come into force when its time has come, or nothing: nobody is there then, so whoever
// wanted it, or approved it, has to be one who still could.
func (s *Service) hindrance(ctx context.Context, p Proposal) (string, error) {
	by := p.Schedule.By
	if c, ok := s.Environments.Credential(gov.CredentialID(by.ID)); by.Type == canon.ActorAdmin && (!ok || !c.Valid(s.Now())) {
		return "the credential that scheduled it is no longer valid", nil
	}
	if by.Type == canon.ActorPerson {
		if gone, err := s.removedSince(ctx, by.ID, p.Schedule.Made); err != nil || gone {
			return "the person who scheduled it was removed since", err
		}
	}
	for _, r := range p.Reviews {
		if gone, err := s.removedSince(ctx, r.Person, r.At); err != nil || gone {
			return "a person who approved it was removed since", err
		}
	}
	return "", nil
}

// removedSince takes a time that cannot be read for one long past.
func (s *Service) removedSince(ctx context.Context, person, since string) (bool, error) {
	at, err := time.Parse(canon.TimeLayout, since)
	if err != nil {
		at = time.Time{}
	}
	return s.People.RemovedSince(ctx, person, at)
}

// unlessMoved passes over that something changed at the same moment: the next step sees how it stands.
func unlessMoved(err error) error {
	if gov.CodeOf(err) == gov.CodeConflict {
		return nil
	}
	return err
}
