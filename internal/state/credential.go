// Package state is the fold of a ledger: what holds after entries 0 to i-1, and so what entry i was made under. Engaged
// bundle, credentials and epoch come from entries and from nothing else; a node that starts, a node that follows another one
// and a replay all come to the same state. It is pure.
package state

import (
	"time"

	"github.com/writ-dev/writ/internal/gov"
)

// Role is what a credential is for.
type Role string

// The roles. Agents and administrators hold credentials; a person comes with a token of the organization's identity provider.
const (
	RoleAgent  Role = "agent"
	RoleAdmin  Role = "admin"
	RolePerson Role = "person"

	// RoleProposer is a program of CI, which comes with a token of its issuer and proposes changes of the bundle: nothing else.
	RoleProposer Role = "proposer"
)

// Rule says for whom the holder of a credential may call.
type Rule string

// The rules: the credential is fixed to one principal (bound); each call names one (asserted); each call brings the
// principal's own token (verified); whatever the inventory's runs_as says.
const (
	RuleFixed    Rule = "fixed"
	RuleAsserted Rule = "asserted"
	RuleVerified Rule = "verified"
	RuleRunsAs   Rule = "runs_as"
)

// Credential is an API key or an administrator's token, without its secret.
type Credential struct {
	ID          gov.CredentialID
	Role        Role
	Environment gov.Environment // the ledger that its entries are in; gov.OrgLedger for administrators
	Agent       gov.AgentID     // of an agent's credential
	Rule        Rule
	Principal   gov.Principal // with RuleFixed
	SecretHash  [32]byte      // SHA-256 of the secret
	IssuedAt    time.Time
	ExpiresAt   time.Time // zero: does not expire
	Revoked     bool
	Note        string
}

// Valid says whether c may be used at a time.
func (c Credential) Valid(at time.Time) bool {
	return !c.Revoked && (c.ExpiresAt.IsZero() || at.Before(c.ExpiresAt))
}
