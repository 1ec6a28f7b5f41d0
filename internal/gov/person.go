package gov

import (
	"slices"
	"time"
)

// Role is what a person may do beyond voting on what they are asked: everywhere, when the organization gave it, or in one
// environment, when its bundle gives it to a group that the person is in.
type Role string

// The roles. Who is asked to approve is said by groups, not by a role: RoleApprover is what their members are shown as.
const (
	RoleAdmin     Role = "admin"     // people and credentials
	RoleAuthor    Role = "author"    // proposes changes
	RoleApprover  Role = "approver"  // is asked: votes on calls or reviews changes
	RoleResponder Role = "responder" // stops what misbehaves
	RoleAuditor   Role = "auditor"   // reads everything and changes nothing
)

// Responds says whether somebody with these roles responds to incidents: stops what misbehaves and works on what was noticed.
func Responds(roles []Role) bool {
	return slices.Contains(roles, RoleResponder) || slices.Contains(roles, RoleAdmin)
}

// Roles lists every role.
func Roles() []Role { return []Role{RoleAdmin, RoleAuthor, RoleApprover, RoleResponder, RoleAuditor} }

// Valid says whether r is one of the roles.
func (r Role) Valid() bool {
	switch r {
	case RoleAdmin, RoleAuthor, RoleApprover, RoleResponder, RoleAuditor:
		return true
	}
	return false
}

// PersonState is how far a person has come.
type PersonState string

// The states. Only an active person signs in.
const (
	PersonInvited PersonState = "invited" // and has not enrolled a passkey yet
	PersonActive  PersonState = "active"
	PersonRemoved PersonState = "removed"
)

// What holds for everybody who signs in.
const (
	SignInFreshMax = 15 * time.Minute // how long ago a person may have signed in to vote or to review
	SessionFor     = 12 * time.Hour   // how long a session is good for, whatever its person does
	InvitationFor  = 72 * time.Hour   // how long a link enrols a passkey
)

// The ways to sign in.
const (
	SignInOIDC    = "oidc"
	SignInPasskey = "passkey"
	SignInLink    = "link"  // a session of the same person allowed one for the command line
	SignInToken   = "token" // of the identity provider, presented with each request
)

// How a session ends before its time.
const (
	SessionSignedOut         = "signed_out"
	SessionSignedOutAtIssuer = "signed_out_at_issuer"
	SessionRevoked           = "revoked"
	SessionReplaced          = "replaced" // by a sign-in, whose entry says so
)
