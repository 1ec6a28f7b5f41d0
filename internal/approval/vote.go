package approval

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/state"
)

const (
	voteTriesMax    = 16 // when other votes come first
	commentBytesMax = 4 << 10
)

// Ballot is a vote as a person casts it.
type Ballot struct {
	Vote    gov.Vote
	Shown   string // leaf hash of the decision that the person was shown, hexadecimal
	Comment string
	Signed  []byte // where the request wants step-up: the assertion of a passkey over Shown, as browsers give it
}

// Cast records a person's vote. The same vote cast again changes nothing. Errors are *gov.Error.
func (s *Service) Cast(ctx context.Context, person identity.Caller, env *live.Environment, decision gov.EntryID, b Ballot) (Request, error) {
	if err := b.check(); err != nil {
		return Request{}, err
	}
	for range voteTriesMax {
		r, err := Find(ctx, env.Ledger, decision)
		if err != nil {
			return Request{}, err
		}
		if err := env.Refresh(ctx); err != nil {
			return Request{}, err
		}
		after, err := s.cast(ctx, person, env, r, b)
		if !errors.Is(err, ledger.ErrStale) {
			return after, err
		}
	}
	return Request{}, &gov.Error{Code: gov.CodeOverloaded, Detail: "other votes kept coming first; try again"}
}

func (b Ballot) check() error {
	switch {
	case !b.Vote.Valid():
		return &gov.Error{Code: gov.CodeInvalidField, Path: "/vote", Detail: "must be approve or deny"}
	case len(b.Comment) > commentBytesMax:
		return &gov.Error{Code: gov.CodeInvalidField, Path: "/comment", Detail: fmt.Sprintf("is longer than %d bytes", commentBytesMax)}
	}
	return nil
}

// cast counts one vote on the request as it was read.
func (s *Service) cast(ctx context.Context, person identity.Caller, env *live.Environment, r Request, b Ballot) (Request, error) {
	now, ref, control := s.Now().UTC(), identity.PrincipalRef(s.Key, person.Principal), env.Control()
	asked, err := env.Ledger.ByID(ctx, r.Decision())
	if err != nil {
		return r, err
	}
	groups, err := s.eligible(person, control, r.Asked.Groups, r.Target(), ref, now)
	if err != nil {
		return r, err
	}
	if err := frozen(control, r.Target(), b.Vote, now); err != nil {
		return r, err
	}
	if leaf := asked.Receipt().LeafHash; b.Shown != leaf {
		return r, &gov.Error{Code: gov.CodeInvalidField, Path: "/shown", Detail: "is not the leaf hash of the decision that asks; read the request again and vote on what it shows"}
	}
	if earlier, voted := r.Has(ref); voted {
		if earlier.Vote == b.Vote {
			return r, nil
		}
		return r, &gov.Error{Code: gov.CodeConflict, Path: "/vote", Detail: "you voted before: " + string(earlier.Vote)}
	}
	if at := r.At(now); at != gov.ApprovalPending {
		return r, &gov.Error{Code: gov.CodeApprovalClosed, Detail: "the request is " + string(at) + " already"}
	}
	signed, err := s.stepUp(ctx, person, r, b)
	if err != nil {
		return r, err
	}
	r.Approval = r.Count(ref, b.Vote, now)
	return s.record(ctx, person, env, control.Epoch, r, b, groups, signed)
}

// stepUp checks the signature of an approval that its policy wants signed.
func (s *Service) stepUp(ctx context.Context, person identity.Caller, r Request, b Ballot) (*canon.PasskeySignature, error) {
	if !r.Asked.StepUp || b.Vote != gov.VoteApprove {
		return nil, nil
	}
	if len(b.Signed) == 0 {
		return nil, &gov.Error{Code: gov.CodeStepUpRequired, Path: "/assertion", Detail: "the policy wants this approval signed by a passkey of yours: approve it in the console"}
	}
	digest, err := hex.DecodeString(b.Shown)
	if err != nil {
		return nil, err
	}
	signed, err := s.Passkeys.CheckVote(ctx, person, digest, b.Signed)
	return &signed, err
}

// frozen refuses consent to what a switch stops: it is for when the switch is released. A denial is always taken.
func frozen(control *state.Control, t state.Target, vote gov.Vote, at time.Time) error {
	sw, stopped := control.Stopping(t, at)
	if !stopped || vote == gov.VoteDeny {
		return nil
	}
	return &gov.Error{Code: gov.CodeApprovalFrozen, Detail: fmt.Sprintf("%s is stopped by the switch %s, which freezes what waits for consent: %s", sw.SwitchScope, sw.ID, sw.Reason)}
}

// eligible gives the groups that make a person an approver of the matter, or says why not.
func (s *Service) eligible(person identity.Caller, control *state.Control, asked []gov.GroupID, t state.Target, ref string, now time.Time) ([]gov.GroupID, error) {
	refuse := func(code gov.Code, detail string) ([]gov.GroupID, error) {
		return nil, &gov.Error{Code: code, Detail: detail}
	}
	if person.Role != state.RolePerson || person.Principal.Type != gov.PrincipalUser {
		return refuse(gov.CodeForbidden, "only a person votes: sign in with the organization's identity provider")
	}
	if control.Engine == nil {
		return refuse(gov.CodeNotEligible, "the environment has no active bundle, so nobody is an approver")
	}
	b := control.Engine.Bundle()
	groups := person.MemberOf(asked, b.GroupsOf(person.Principal))
	if len(groups) == 0 {
		return refuse(gov.CodeNotEligible, fmt.Sprintf("this request is for members of %v", asked))
	}
	if t.Principal == string(gov.PrincipalUser)+":"+ref {
		return refuse(gov.CodeNotEligible, "the call is made for you, and nobody approves their own request")
	}
	if agent, ok := b.Agent(t.Agent); ok && owns(agent.Owner, person.Principal) {
		return refuse(gov.CodeNotEligible, "you own the agent that asks, and nobody approves their own request")
	}
	return groups, person.Fresh(now)
}

// owns says whether the owner that an inventory names (user:ID, an id, or an address of mail) may be a person: when in doubt
// it is, and somebody else has to vote.
func owns(owner string, p gov.Principal) bool {
	owner = strings.TrimPrefix(owner, string(gov.PrincipalUser)+":")
	ownerName, _, ownerMails := strings.Cut(owner, "@")
	name, _, mails := strings.Cut(p.ID, "@")
	return strings.EqualFold(owner, p.ID) || ownerMails != mails && strings.EqualFold(ownerName, name)
}

func (s *Service) record(ctx context.Context, person identity.Caller, env *live.Environment, epoch int64, r Request, b Ballot, groups []gov.GroupID, signed *canon.PasskeySignature) (Request, error) {
	ref := identity.PrincipalRef(s.Key, person.Principal)
	body := canon.ApprovalVote{
		Decision: r.Decision(), Vote: b.Vote, Person: ref, Groups: groups, Issuer: person.Issuer,
		AuthTime: person.AuthTime.UTC().Format(canon.TimeLayout), Methods: person.Methods, Level: person.Level, Shown: b.Shown,
		State: r.State, ExecuteBy: r.ExecuteBy, Signed: signed, Commitments: map[canon.Group]canon.Commitment{},
	}
	payload, err := s.said(body.Commitments, person.Principal, b.Comment)
	if err != nil {
		return r, err
	}
	receipt, err := s.append(ctx, env, canon.KindApprovalVote, person.Actor(s.Key), body, payload, func(record *ledger.Record) {
		record.Docs, record.Epoch = append(decided(env, r, s.Now()), r.Doc()), epoch // no switch was engaged since that freezes it
	})
	if err != nil {
		return r, err
	}
	r.doc.Version = receipt.Index + 1
	return r, nil
}
