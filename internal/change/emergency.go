package change

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/row"
)

// Emergency says who put a change into force before it was approved, and why.
type Emergency struct {
	By     canon.Actor `json:"by"`
	Reason string      `json:"reason"`
}

// mine says whether a change is somebody's own: proposed by them, or put into force by them before others had reviewed it.
func (p Proposal) mine(who canon.Actor) bool {
	return p.Author.Is(who) || p.Emergency != nil && p.Emergency.By.Is(who)
}

// Rollback puts the bundle before the active one into force again, at once, by one person who reviews changes. Somebody else
// reviews it after: until then it is listed as owed.
func (s *Service) Rollback(ctx context.Context, person identity.Caller, env *live.Environment, reason string) (Activated, error) {
	now := s.Now().UTC()
	reason, signed, err := s.alone(ctx, person, env, reason, now)
	if err != nil {
		return Activated{}, err
	}
	control := env.Control()
	previous, err := s.previous(ctx, env)
	if err != nil {
		return Activated{}, err
	}
	due := gov.ReviewDue(now)
	body := canon.BundleActivated{
		Bundle: previous, Previous: control.Bundle(), How: canon.HowRollback, Reason: reason, State: gov.ChangeReviewOwed,
		ReviewBy: due.Format(canon.TimeLayout), SignIn: &signed,
	}
	p := Proposal{
		Bundle: previous, Base: control.Bundle(), Description: reason, Author: person.Actor(s.Key).Who(), State: gov.ChangeReviewOwed, Reviews: []Review{},
		Rollback: true, doc: row.Doc{Due: due},
	}
	return s.activate(ctx, env, person.Actor(s.Key), body, control, p, gov.EventReviewOwed, gov.EventChangeActivated)
}

// Hurry puts a change that nobody has reviewed yet into force, at once, by one person who reviews changes. When another person
// proposed it, two people stand behind it, and it counts as reviewed by the one who puts it into force. When it is their own, or
// a program's, they are alone: somebody else reviews it after, and until then it is listed as owed.
func (s *Service) Hurry(ctx context.Context, person identity.Caller, env *live.Environment, id gov.EntryID, reason string) (Activated, error) {
	now := s.Now().UTC()
	reason, signed, err := s.alone(ctx, person, env, reason, now)
	if err != nil {
		return Activated{}, err
	}
	p, err := s.Find(ctx, env, id)
	if err != nil {
		return Activated{}, err
	}
	control := env.Control()
	switch {
	case p.State == gov.ChangeApproved || p.State == gov.ChangeScheduled:
		return Activated{}, &gov.Error{Code: gov.CodeConflict, Detail: "the change is approved: activate it without an emergency"}
	case p.State != gov.ChangeProposed:
		return Activated{}, &gov.Error{Code: gov.CodeConflict, Detail: "the change is " + string(p.State) + "; only a proposed one is activated in an emergency"}
	case p.Base != control.Bundle():
		return Activated{}, errOtherBase()
	}
	actor := person.Actor(s.Key)
	body := canon.BundleActivated{Bundle: p.Bundle, Previous: p.Base, How: canon.HowEmergency, Change: p.ID(), Reason: reason, SignIn: &signed}
	events := []gov.Event{gov.EventChangeActivated}
	body.State = gov.Hurried(p.Author.Type == canon.ActorPerson && !p.Author.Is(actor))
	if body.State == gov.ChangeReviewOwed {
		p.doc.Due = gov.ReviewDue(now)
		body.ReviewBy = p.doc.Due.Format(canon.TimeLayout)
		events = []gov.Event{gov.EventReviewOwed, gov.EventChangeActivated}
	} else {
		p.Reviews = append(p.Reviews, Review{Person: actor.ID, Review: gov.VoteApprove, At: now.Format(canon.TimeLayout)})
	}
	p.State, p.Emergency = body.State, &Emergency{By: actor.Who(), Reason: reason}
	return s.activate(ctx, env, actor, body, control, p, events...)
}

// alone checks that a person may put a bundle into force without others: one who reviews changes, signed in a short while ago,
// with a reason. The environment's state is fresh after it.
func (s *Service) alone(ctx context.Context, person identity.Caller, env *live.Environment, reason string, now time.Time) (string, canon.SignIn, error) {
	if reason = strings.TrimSpace(reason); reason == "" || len(reason) > descriptionBytesMax {
		return "", canon.SignIn{}, &gov.Error{Code: gov.CodeInvalidField, Path: "/reason", Detail: fmt.Sprintf("say why, in 1 to %d bytes", descriptionBytesMax)}
	}
	if err := env.Refresh(ctx); err != nil {
		return "", canon.SignIn{}, err
	}
	groups, err := approver(person, env)
	if err != nil {
		return "", canon.SignIn{}, err
	}
	signed := canon.SignIn{
		Groups: groups, Issuer: person.Issuer, AuthTime: person.AuthTime.UTC().Format(canon.TimeLayout), Methods: person.Methods, Level: person.Level,
	}
	return reason, signed, person.Fresh(now)
}

func errOtherBase() error {
	return &gov.Error{Code: gov.CodeConflict, Detail: "another bundle became active since this change was proposed; propose it anew, so that its review is of what it changes"}
}
