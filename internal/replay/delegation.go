package replay

import (
	"fmt"
	"slices"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
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

// take takes in an entry about a standing consent, and says what it does not follow from, or nothing.
func (s *standing) take(e canon.Entry) (what string, err error) {
	switch e.Kind {
	case canon.KindDelegationRequested:
		body, err := canon.Body[canon.DelegationRequested](e)
		s.asked[e.ID] = standingAsked{scope: body.Scope, votes: state.OpenDelegation(body), by: body.Person}
		return "", err
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

// vote counts a vote again and says whether the request came as far by it as was recorded.
func (s *standing) vote(e canon.Entry, v canon.DelegationVote) (what string, err error) {
	at, err := e.Time()
	if err != nil {
		return "", err
	}
	asked, known := s.asked[v.Delegation]
	_, twice := asked.votes.Has(v.Person)
	switch {
	case e.Actor != canon.Actor{Type: canon.ActorPerson, ID: v.Person}:
		return fmt.Sprintf("a vote by %s, recorded by %s %s", v.Person, e.Actor.Type, e.Actor.ID), nil
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
