package state

import (
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/policy"
)

// Approval is a request for consent as the entries about it add up to: the decision that asked, and the votes.
type Approval struct {
	Asked     canon.ApprovalAsked `json:"asked"`
	Voted     []Ballot            `json:"votes"`
	State     gov.ApprovalState   `json:"state"`
	ExecuteBy string              `json:"execute_by,omitempty"` // TimeLayout; with approved
}

// Ballot is one vote that was cast.
type Ballot struct {
	Person string   `json:"person"` // opaque reference
	Vote   gov.Vote `json:"vote"`
	At     string   `json:"at"` // TimeLayout; when it was judged to be in time
}

// OpenApproval is a request that nobody has answered.
func OpenApproval(asked canon.ApprovalAsked) Approval {
	return Approval{Asked: asked, Voted: []Ballot{}, State: gov.ApprovalPending}
}

// AskedOf is what a gate asks people for, from a time on.
func AskedOf(g policy.Gate, at time.Time) canon.ApprovalAsked {
	return canon.ApprovalAsked{
		Policies: g.Policies, Groups: g.Groups, Quorum: g.Quorum, StepUp: g.StepUp,
		ApproveBy: at.Add(g.ApproveWithin).UTC().Format(canon.TimeLayout), ExecuteSeconds: int64(g.ExecuteWithin / time.Second),
	}
}

// Has gives the vote that a person cast.
func (a Approval) Has(person string) (Ballot, bool) {
	for _, b := range a.Voted {
		if b.Person == person {
			return b, true
		}
	}
	return Ballot{}, false
}

// Voters are those who voted, sorted.
func (a Approval) Voters() []string {
	out := make([]string, len(a.Voted))
	for i, b := range a.Voted {
		out[i] = b.Person
	}
	slices.Sort(out)
	return out
}

// Count is the request after one more vote at a time. One denial is final; a quorum of different people approves.
func (a Approval) Count(person string, vote gov.Vote, at time.Time) Approval {
	a.Voted = append(slices.Clone(a.Voted), Ballot{Person: person, Vote: vote, At: at.UTC().Format(canon.TimeLayout)})
	switch {
	case vote == gov.VoteDeny:
		a.State = gov.ApprovalDenied
	case len(a.Voted) >= a.Asked.Quorum: // all of them approve, and each is another person's
		a.State = gov.ApprovalApproved
		a.ExecuteBy = at.Add(time.Duration(a.Asked.ExecuteSeconds) * time.Second).UTC().Format(canon.TimeLayout)
	}
	return a
}

// At is the state at a time: nobody has to record that a time is over for it to be over.
func (a Approval) At(at time.Time) gov.ApprovalState {
	switch {
	case a.State == gov.ApprovalPending && over(a.Asked.ApproveBy, at):
		return gov.ApprovalExpired
	case a.State == gov.ApprovalApproved && over(a.ExecuteBy, at):
		return gov.ApprovalUnused
	}
	return a.State
}

// over is true for a time that cannot be read too: it lifts nothing.
func over(deadline string, at time.Time) bool {
	t, err := time.Parse(canon.TimeLayout, deadline)
	return err != nil || !at.Before(t)
}

// Due is when At changes by itself, or zero.
func (a Approval) Due() time.Time {
	deadline := ""
	switch a.State {
	case gov.ApprovalPending:
		deadline = a.Asked.ApproveBy
	case gov.ApprovalApproved:
		deadline = a.ExecuteBy
	default:
	}
	t, err := time.Parse(canon.TimeLayout, deadline)
	if err != nil {
		return time.Time{}
	}
	return t
}

// Consent is what the request says to the call at a time.
func (a Approval) Consent(at time.Time) *policy.Consent {
	return &policy.Consent{
		Gate:  policy.Gate{Policies: a.Asked.Policies, Groups: a.Asked.Groups, Quorum: a.Asked.Quorum, StepUp: a.Asked.StepUp},
		State: a.At(at),
	}
}
