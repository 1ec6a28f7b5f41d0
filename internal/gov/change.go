package gov

import "time"

// ChangeState is how far a change of the bundle has come.
type ChangeState string

// The states.
const (
	ChangeProposed   ChangeState = "proposed"
	ChangeApproved   ChangeState = "approved"  // by somebody else than its author
	ChangeScheduled  ChangeState = "scheduled" // approved, and to come into force at a time
	ChangeRejected   ChangeState = "rejected"
	ChangeActivated  ChangeState = "activated"
	ChangeReviewOwed ChangeState = "review_owed" // in force, and to be reviewed after
)

// Valid says whether s is one of the states.
func (s ChangeState) Valid() bool {
	switch s {
	case ChangeProposed, ChangeApproved, ChangeScheduled, ChangeRejected, ChangeActivated, ChangeReviewOwed:
		return true
	}
	return false
}

// Hurried is the state of a change that was put into force before it was approved: by another person than its author, who counts
// as the one who reviewed it, or by one alone.
func Hurried(byAnother bool) ChangeState {
	if byAnother {
		return ChangeActivated
	}
	return ChangeReviewOwed
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

// workingDaysOwed is within how many working days somebody else reviews what one person put into force.
const workingDaysOwed = 2

// ReviewDue is when a review is due of what one person put into force at a time: two working days later, Monday to Friday, UTC.
// What is done on a weekend counts from the Monday after it.
func ReviewDue(at time.Time) time.Time {
	due := at.UTC()
	if weekend(due) {
		due = due.Truncate(day)
		for weekend(due) {
			due = due.Add(day)
		}
	}
	for range workingDaysOwed {
		due = due.Add(day)
		for weekend(due) {
			due = due.Add(day)
		}
	}
	return due
}

const day = 24 * time.Hour

func weekend(at time.Time) bool {
	d := at.Weekday()
	return d == time.Saturday || d == time.Sunday
}
