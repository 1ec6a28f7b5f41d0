package gov

import "time"

// ReviewOwedWithin is how soon after a rollback somebody else reviews it.
const ReviewOwedWithin = 48 * time.Hour

// ChangeState is how far a change of the bundle has come.
type ChangeState string

// The states.
const (
	ChangeProposed   ChangeState = "proposed"
	ChangeApproved   ChangeState = "approved" // by somebody else than its author
	ChangeRejected   ChangeState = "rejected"
	ChangeActivated  ChangeState = "activated"
	ChangeReviewOwed ChangeState = "review_owed" // in force, and to be reviewed after
)

// Valid says whether s is one of the states.
func (s ChangeState) Valid() bool {
	switch s {
	case ChangeProposed, ChangeApproved, ChangeRejected, ChangeActivated, ChangeReviewOwed:
		return true
	}
	return false
}

// Reviewed is the state after one review. ok is false when a change in this state is not reviewed.
func (s ChangeState) Reviewed(review Vote) (after ChangeState, ok bool) {
	switch {
	case s != ChangeProposed && s != ChangeReviewOwed:
		return s, false
	case review != VoteApprove:
		return ChangeRejected, true
	case s == ChangeReviewOwed:
		return ChangeActivated, true
	}
	return ChangeApproved, true
}
