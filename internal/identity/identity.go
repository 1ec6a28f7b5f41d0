// Package identity says who is calling and for whom: it authenticates agents and the bootstrap administrator by API key,
// agents and people by the token of a trusted issuer, takes people through a sign-in at one (OpenID Connect), and finds the
// principal that a call is made for.
//
// It promises that a caller it returns holds the secret, or the token, that it is known by, and that this was valid at the
// time; that keys are compared in constant time; that only asymmetric signatures count; and that a refusal tells the caller
// what to do without telling whether a key exists. Revocation holds at once where it matters, in the append of a decision:
// what this package sees is the control state of its node.
//
// It does not decide what a caller may do, keeps no secret and writes no entry.
package identity

import (
	"context"
	"crypto/subtle"
	"errors"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/state"
)

// Credentials looks up a credential by id, revoked and expired ones included. It must be safe for concurrent use and do no
// I/O: every request asks it. The control state implements it.
type Credentials interface {
	Credential(id gov.CredentialID) (state.Credential, bool)
}

// Caller is who makes a request. Only Service.Authenticate makes one.
type Caller struct {
	Credential  gov.CredentialID // of a key; for a token, state.WorkloadPrefix and the URL of its issuer
	Role        state.Role
	Environment gov.Environment // that the caller is confined to; gov.OrgLedger for administrators
	Agent       gov.AgentID     // with state.RoleAgent
	Rule        state.Rule      // for whom the agent may call
	Principal   gov.Principal   // with state.RuleFixed
	Assurance   gov.Assurance   // of Principal
	Groups      []gov.GroupID   // of Principal
	ExpiresAt   time.Time       // of the key or the token; zero: does not expire
	Subject     string          // of a token, as its issuer names the workload
	Issuer      string          // of a person's token
	AuthTime    time.Time       // when the person signed in; zero: the token does not say
	Methods     []string        // how (amr, RFC 8176)
	Level       string          // how well (acr, OpenID Connect Core 1.0)
	Roles       []gov.Role      // of a person, everywhere
	Session     string          // of a person who signed in here
}

// Sessions looks up who a session's token belongs to, and keeps the session of an identity provider's token, unless it is over or
// the person was removed. internal/people implements it. Errors are *gov.Error.
type Sessions interface {
	Session(ctx context.Context, key Key) (Caller, error)
	Token(ctx context.Context, person Caller, key Key) (Caller, error)
}

// Service authenticates and resolves. Its fields are set once, before use; it is safe for concurrent use.
type Service struct {
	Credentials Credentials
	Issuers     *Issuers // nil: keys only
	Sessions    Sessions // nil: nobody signs in here
	Now         func() time.Time
}

// Authenticate finds the caller that a bearer token belongs to. An API key costs one hash and no I/O. A token of an issuer
// costs a signature check, and a fetch when the issuer or its key is seen for the first time. Errors are *gov.Error with
// CodeUnauthenticated or CodeForbidden, caused by a *Refusal.
func (s *Service) Authenticate(ctx context.Context, token string) (Caller, error) {
	switch {
	case token == "":
		return Caller{}, refuse(gov.CodeUnauthenticated, CauseMissing, detailMissing)
	case strings.HasPrefix(token, tokenPrefix):
		return s.byKey(ctx, token)
	case strings.Count(token, ".") == 2:
		return s.byToken(ctx, token)
	}
	return Caller{}, refuse(gov.CodeUnauthenticated, CauseMalformed, detailMalformed)
}

const (
	detailMissing   = "send the header Authorization: Bearer followed by an API key (writ_key_…) or a token of a trusted issuer"
	detailMalformed = "the credential is neither an API key (writ_key_…) nor a signed token with three parts; send one of these"
	detailMistyped  = "the key is mistyped or cut off: copy it again, whole"
	detailNotValid  = "the key is not valid here; check that it is the one issued for this server, or ask an administrator for a new one (writ key issue)"
	detailRevoked   = "the key was revoked; ask an administrator for a new one (writ key issue)"
	detailExpired   = "the key has expired; ask an administrator for a new one (writ key issue)"
)

// byKey looks a key up. The secret is compared before anything is said about the key's state, and for an unknown id too, so
// that neither the words nor the time of a refusal tell an outsider which ids exist.
func (s *Service) byKey(ctx context.Context, token string) (Caller, error) {
	key, err := ParseToken(token)
	if errors.Is(err, errMistyped) {
		return Caller{}, refuse(gov.CodeUnauthenticated, CauseMistyped, detailMistyped)
	}
	if err != nil {
		return Caller{}, refuse(gov.CodeUnauthenticated, CauseMalformed, detailMistyped)
	}
	if key.Role == state.RolePerson && s.Sessions != nil {
		return s.Sessions.Session(ctx, key)
	}
	cred, known := s.Credentials.Credential(key.ID)
	same := subtle.ConstantTimeCompare(key.Hash[:], cred.SecretHash[:]) == 1
	switch {
	case !known:
		return Caller{}, refuse(gov.CodeUnauthenticated, CauseUnknownKey, detailNotValid)
	case !same, cred.Role != key.Role:
		return Caller{}, refuse(gov.CodeUnauthenticated, CauseWrongSecret, detailNotValid)
	case cred.Revoked:
		return Caller{}, refuseHolder(cred.ID, CauseRevoked, detailRevoked)
	case !cred.Valid(s.Now()):
		return Caller{}, refuseHolder(cred.ID, CauseExpired, detailExpired)
	}
	caller := Caller{
		Credential: cred.ID, Role: cred.Role, Environment: cred.Environment, Agent: cred.Agent, Rule: cred.Rule,
		ExpiresAt: cred.ExpiresAt,
	}
	if cred.Rule == state.RuleFixed {
		caller.Principal, caller.Assurance = cred.Principal, gov.AssuranceBound
	}
	return caller, nil
}
