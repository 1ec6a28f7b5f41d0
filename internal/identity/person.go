package identity

import (
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/gov"
)

// SignInFreshMax is how long ago a person may have signed in to vote or to review.
const SignInFreshMax = 15 * time.Minute

// MemberOf gives those of the groups that are asked that a person is in: by the token, or as listed says. In the order asked.
func (c Caller) MemberOf(asked, listed []gov.GroupID) []gov.GroupID {
	var in []gov.GroupID
	for _, g := range asked {
		if slices.Contains(c.Groups, g) || slices.Contains(listed, g) {
			in = append(in, g)
		}
	}
	return in
}

// Fresh refuses a person who signed in too long ago, or nobody knows when.
func (c Caller) Fresh(now time.Time) error {
	if c.AuthTime.IsZero() || now.Sub(c.AuthTime) > SignInFreshMax {
		return &gov.Error{Code: gov.CodeSignInStale, Detail: "this needs a sign-in of the last " + SignInFreshMax.String() + ": sign in again"}
	}
	return nil
}
