package replay

import (
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/state"
)

// standing is what people consent to beforehand, as the entries add up: the requests, and how often each was used.
type standing struct {
	asked map[gov.EntryID]standingAsked
	used  map[gov.EntryID]int64
	spent []gov.EntryID // of those that may be in force, the ones that were used as often as they allow
}

type standingAsked struct {
	scope canon.DelegationScope
	votes state.Approval
	by    string // who asked
	leaf  string // hash of the request that a vote names, hexadecimal
	over  bool   // ended or withdrawn
}

func newStanding() standing {
	return standing{asked: map[gov.EntryID]standingAsked{}, used: map[gov.EntryID]int64{}}
}

// count counts the uses by a decision.
func (s *standing) count(ids []gov.EntryID) {
	for _, id := range ids {
		s.used[id]++
		if most := s.asked[id].scope.UsesMax; most > 0 && s.used[id] == most {
			s.spent = append(s.spent, id)
		}
	}
}

// forget drops what is not in force any more.
func (s *standing) forget(c *state.Control) {
	s.spent = slices.DeleteFunc(slices.Clone(s.spent), func(id gov.EntryID) bool {
		_, holds := c.Delegation(id)
		return !holds
	})
}

// take takes in an entry about a standing consent under the control state at its index, and says what it does not follow from, or
// nothing.
func (s *standing) take(e canon.Entry, raw ledger.Raw, c *state.Control) (what string, err error) {
	switch e.Kind {
	case canon.KindDelegationRequested:
		body, err := canon.Body[canon.DelegationRequested](e)
		if err != nil {
			return "", err
		}
		s.asked[e.ID] = standingAsked{scope: body.Scope, votes: state.OpenDelegation(body), by: body.Person, leaf: leafOf(raw)}
		return requested(e, body, c), nil
	case canon.KindDelegationVote:
		body, err := canon.Body[canon.DelegationVote](e)
		if err != nil {
			return "", err
		}
		return s.vote(e, body)
	case canon.KindDelegationGranted:
		body, err := canon.Body[canon.DelegationGranted](e)
		if err != nil {
			return "", err
		}
		what, err = s.vote(e, body.DelegationVote)
		asked := s.asked[body.Delegation]
		if what == "" && (asked.scope != body.Scope || !slices.Equal(asked.votes.Voters(), body.By)) {
			what = fmt.Sprintf("%s is granted otherwise than it was asked for and voted on", body.Delegation)
		}
		return what, err
	case canon.KindDelegationExpired:
		body, err := canon.Body[canon.DelegationExpired](e)
		if err != nil {
			return "", err
		}
		return s.expired(e, body.Delegation)
	case canon.KindDelegationEnded:
		body, err := canon.Body[canon.DelegationEnded](e)
		asked := s.asked[body.Delegation]
		asked.over = true
		s.asked[body.Delegation] = asked
		return "", err
	default:
		return "", nil
	}
}

// requested says why a request is not one that the gate in force could have been asked for.
func requested(e canon.Entry, body canon.DelegationRequested, c *state.Control) string {
	if !e.Actor.Is(canon.Actor{Type: canon.ActorPerson, ID: body.Person}) {
		return fmt.Sprintf("a request by %s, recorded by %s %s", body.Person, e.Actor.Type, e.Actor.ID)
	}
	gate, ok := policy.GatePolicy{}, false
	if c.Engine != nil {
		gate, ok = c.Engine.GatePolicy(body.Scope.Policy)
	}
	at, err := e.Time()
	until, wrong := time.Parse(canon.TimeLayout, body.Scope.Until)
	switch {
	case !ok || gate.Digest != body.Scope.Gate || gate.StepUp || gate.Observed:
		return fmt.Sprintf("a delegation was asked for that lifts %s, which was not such a gate", body.Scope.Policy)
	case !slices.Equal(body.Groups, gate.Groups) || body.Quorum != gate.Quorum:
		return fmt.Sprintf("%d of %v were asked for a delegation, and the gate asks %d of %v", body.Quorum, body.Groups, gate.Quorum, gate.Groups)
	case !allOf(body.Member, gate.Groups):
		return fmt.Sprintf("a delegation was asked for as one of %v, and the gate asks %v", body.Member, gate.Groups)
	case err != nil || wrong != nil || until.Sub(at) > state.DelegationFor || body.Scope.UsesMax > state.DelegationUses:
		return "a delegation was asked for that is longer, or for more, than one may be"
	}
	return ""
}

// expired follows that nobody decided a request in time.
func (s *standing) expired(e canon.Entry, id gov.EntryID) (what string, err error) {
	at, err := e.Time()
	if err != nil {
		return "", err
	}
	asked, known := s.asked[id]
	switch {
	case e.Actor.Type != canon.ActorSystem:
		what = fmt.Sprintf("%s expired by %s %s", id, e.Actor.Type, e.Actor.ID)
	case !known || asked.over || asked.votes.At(at.Add(actSlack)) != gov.ApprovalExpired:
		what = fmt.Sprintf("%s expired, and was not undecided by then", id)
	}
	asked.over = true
	s.asked[id] = asked
	return what, nil
}

// vote counts a vote again and says whether the request came as far by it as was recorded.
func (s *standing) vote(e canon.Entry, v canon.DelegationVote) (what string, err error) {
	at, err := e.Time()
	if err != nil {
		return "", err
	}
	asked, known := s.asked[v.Delegation]
	_, twice := asked.votes.Has(v.Person)
	switch {
	case !e.Actor.Is(canon.Actor{Type: canon.ActorPerson, ID: v.Person}):
		return fmt.Sprintf("a vote by %s, recorded by %s %s", v.Person, e.Actor.Type, e.Actor.ID), nil
	case known && !allOf(v.Groups, asked.votes.Asked.Groups):
		return fmt.Sprintf("%s was voted on as one of %v, and %v were asked", v.Delegation, v.Groups, asked.votes.Asked.Groups), nil
	case known && v.Shown != asked.leaf:
		return fmt.Sprintf("the vote on %s is of something else: it names the leaf hash %s", v.Delegation, v.Shown), nil
	case !known || twice || asked.over || asked.by == v.Person || asked.votes.State != gov.ApprovalPending:
		return fmt.Sprintf("a vote on %s, which no vote of this person could change", v.Delegation), nil
	}
	asked.votes = asked.votes.Count(v.Person, v.Vote, at)
	s.asked[v.Delegation] = asked
	after := state.DelegationAfter(asked.votes)
	if after != v.State || (after == gov.DelegationGranted) != (e.Kind == canon.KindDelegationGranted) {
		what = fmt.Sprintf("the delegation was recorded as %s after this vote and comes out as %s", v.State, after)
	}
	return what, nil
}
