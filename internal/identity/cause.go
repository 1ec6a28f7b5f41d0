package identity

import (
	"errors"

	"github.com/writ-dev/writ/internal/gov"
)

// Cause is why a caller, or a principal, was refused: for the log and for counting, never for the answer.
type Cause string

// The causes. Of a key:
const (
	CauseMissing     Cause = "missing"      // no credential at all
	CauseMalformed   Cause = "malformed"    // neither a key nor a token
	CauseMistyped    Cause = "mistyped"     // a key whose checksum does not fit
	CauseUnknownKey  Cause = "unknown_key"  // no key has this id
	CauseWrongSecret Cause = "wrong_secret" // the id exists, the secret is another one
	CauseRevoked     Cause = "revoked"
	CauseExpired     Cause = "expired" // a key or a token
)

// The causes of a token:
const (
	CauseUnknownIssuer     Cause = "unknown_issuer"     // not configured
	CauseIssuerUnavailable Cause = "issuer_unavailable" // configured, and its keys cannot be had
	CauseAlgorithm         Cause = "algorithm"          // none, symmetric, or not one we take
	CauseBadSignature      Cause = "bad_signature"      // or signed with a key that the issuer does not publish
	CauseAudience          Cause = "audience"           // meant for somebody else
	CauseNotYetValid       Cause = "not_yet_valid"
	CauseClaims            Cause = "claims"    // a claim is missing or of the wrong form
	CauseWrongUse          Cause = "wrong_use" // a principal's token where an agent's belongs, or the reverse
)

// The causes of a principal:
const (
	CauseForeignEnvironment Cause = "foreign_environment" // the token is for another environment
	CausePrincipalMissing   Cause = "principal_missing"   // the rule wants one named, or proved
	CausePrincipalMismatch  Cause = "principal_mismatch"  // another one than the rule, or the token, gives
	CauseRule               Cause = "rule"                // the caller may not call for anybody
)

// Causes lists every cause.
func Causes() []Cause {
	return []Cause{
		CauseMissing, CauseMalformed, CauseMistyped, CauseUnknownKey, CauseWrongSecret, CauseRevoked, CauseExpired,
		CauseUnknownIssuer, CauseIssuerUnavailable, CauseAlgorithm, CauseBadSignature, CauseAudience, CauseNotYetValid,
		CauseClaims, CauseWrongUse, CauseForeignEnvironment, CausePrincipalMissing, CausePrincipalMismatch, CauseRule,
	}
}

// Refusal is the cause inside a *gov.Error of this package.
type Refusal struct {
	Cause      Cause
	Credential gov.CredentialID // only when the caller has proved to hold its secret
	Err        error            // what a library said, if one did
}

// Error gives the cause and what lies below it.
func (r *Refusal) Error() string {
	if r.Err == nil {
		return string(r.Cause)
	}
	return string(r.Cause) + ": " + r.Err.Error()
}

// Unwrap gives what lies below.
func (r *Refusal) Unwrap() error { return r.Err }

// CauseOf is the cause of the first Refusal in err's chain, or empty.
func CauseOf(err error) Cause {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Cause
	}
	return ""
}

func refuse(code gov.Code, cause Cause, detail string) error {
	return &gov.Error{Code: code, Detail: detail, Err: &Refusal{Cause: cause}}
}

func refuseHolder(id gov.CredentialID, cause Cause, detail string) error {
	return &gov.Error{Code: gov.CodeUnauthenticated, Detail: detail, Err: &Refusal{Cause: cause, Credential: id}}
}

// refuseToken is a refusal of an issuer's token.
func refuseToken(cause Cause, detail string, err error) error {
	return &gov.Error{Code: gov.CodeUnauthenticated, Detail: detail, Err: &Refusal{Cause: cause, Err: err}}
}

// refuseAt is a refusal of what stands at a path of the request.
func refuseAt(code gov.Code, path string, cause Cause, detail string) error {
	return &gov.Error{Code: code, Path: path, Detail: detail, Err: &Refusal{Cause: cause}}
}
