package identity

import (
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/state"
)

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

// RolesIn gives the roles of a person in an environment, sorted: those everywhere, those that its bundle gives to a group they
// are in, and approver for whoever its policies or its changes may ask. engine is nil where no bundle is active.
func (c Caller) RolesIn(engine *policy.Engine) []gov.Role {
	roles := slices.Clone(c.Roles)
	if engine != nil {
		b := engine.Bundle()
		member := append(b.GroupsOf(c.Principal), c.Groups...)
		for _, g := range member {
			roles = append(roles, b.Roles[g]...)
			if slices.Contains(b.Approvers, g) || slices.Contains(engine.ApprovalGroups(), g) {
				roles = append(roles, gov.RoleApprover)
			}
		}
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}

// Actor is how entries name the caller as who did something, with the session of a person. key is that of PrincipalRef.
func (c Caller) Actor(key []byte) canon.Actor {
	switch c.Role {
	case state.RolePerson:
		return canon.Actor{Type: canon.ActorPerson, ID: PrincipalRef(key, c.Principal), Session: c.Session}
	case state.RoleAgent:
		return canon.Actor{Type: canon.ActorAgent, ID: string(c.Agent)}
	case state.RoleProposer:
		return canon.Actor{Type: canon.ActorWorkload, ID: c.Issuer + "#" + c.Subject}
	default:
		return canon.Actor{Type: canon.ActorAdmin, ID: string(c.Credential)}
	}
}

// Fresh refuses a person who signed in too long ago, or nobody knows when: a time to come is none.
func (c Caller) Fresh(now time.Time) error {
	since := now.Sub(c.AuthTime)
	if c.AuthTime.IsZero() || since > gov.SignInFreshMax || since < -clockSkewMax {
		return &gov.Error{Code: gov.CodeSignInStale, Detail: "this needs a sign-in of the last " + gov.SignInFreshMax.String() + ": sign in again"}
	}
	return nil
}
