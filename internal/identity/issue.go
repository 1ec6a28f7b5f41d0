package identity

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/state"
)

const (
	// LifetimeDefault is how long a key is valid when nobody says how long.
	LifetimeDefault = 90 * 24 * time.Hour
	// LifetimeMax is the longest a key can be valid: a key nobody replaces is a key nobody watches.
	LifetimeMax = 366 * 24 * time.Hour

	lifetimeMin  = time.Minute
	noteBytesMax = 256
)

// KeyRequest is what an administrator wants issued.
type KeyRequest struct {
	Role        state.Role
	Environment gov.Environment // of an agent's key; administrators have none
	Agent       gov.AgentID     // of an agent's key
	Rule        state.Rule      // of an agent's key: for whom it may call
	Principal   gov.Principal   // with state.RuleFixed
	Lifetime    time.Duration   // zero: LifetimeDefault
	Note        string          // what the key is for
}

// Issued is a new key before it is recorded. It is valid once the entry with Body is in Ledger.
type Issued struct {
	Token  string // to be shown once and kept nowhere
	Ledger gov.Environment
	Body   canon.CredentialIssued
	User   *gov.Principal // whom the entry names by reference only, to be kept in its payload under canon.GroupPrincipal; nil if none
}

// Issue makes a key. refKey is the key of PrincipalRef. Errors about the request are *gov.Error with CodeInvalidField.
func (r KeyRequest) Issue(random io.Reader, refKey []byte, now time.Time) (Issued, error) {
	if err := r.check(); err != nil {
		return Issued{}, err
	}
	id, token, hash, err := NewSecret(random, r.Role)
	if err != nil {
		return Issued{}, err
	}
	lifetime := r.Lifetime
	if lifetime == 0 {
		lifetime = LifetimeDefault
	}
	issued := Issued{Token: token, Ledger: r.Environment, Body: canon.CredentialIssued{
		Credential: id, Role: string(r.Role), Agent: r.Agent, SecretHash: hex.EncodeToString(hash[:]),
		ExpiresAt: now.UTC().Add(lifetime).Format(canon.TimeLayout), Note: r.Note,
	}}
	if r.Role == state.RoleAdmin {
		issued.Ledger = gov.OrgLedger
		return issued, nil
	}
	issued.Body.Principal.Rule = string(r.Rule)
	if r.Rule == state.RuleFixed {
		issued.Body.Principal.Type, issued.Body.Principal.ID = r.Principal.Type, PrincipalRef(refKey, r.Principal)
		if r.Principal.Type == gov.PrincipalUser {
			issued.User = &r.Principal
		}
	}
	return issued, nil
}

func (r KeyRequest) check() error {
	if r.Lifetime != 0 && (r.Lifetime < lifetimeMin || r.Lifetime > LifetimeMax) {
		return invalid("/expires_in", "a key is valid for a minute to 366 days; leave it out for 90 days")
	}
	if len(r.Note) > noteBytesMax || strings.ContainsFunc(r.Note, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return invalid("/note", fmt.Sprintf("a note is one line of at most %d bytes", noteBytesMax))
	}
	switch r.Role {
	case state.RoleAgent:
		return r.checkAgent()
	case state.RoleAdmin:
		if r.Agent != "" || r.Rule != "" || r.Environment != "" || r.Principal != (gov.Principal{}) {
			return invalid("/role", "an administrator's token is of no agent, environment or principal; leave these out")
		}
		return nil
	default:
		return invalid("/role", "the role of a key is agent or admin")
	}
}

func (r KeyRequest) checkAgent() error {
	if !gov.ValidName(string(r.Agent)) {
		return invalid("/agent", "name the agent as in agents.yaml (lower-case letters, digits, dot, dash, underscore)")
	}
	if !gov.ValidName(string(r.Environment)) || r.Environment == gov.OrgLedger {
		return invalid("/environment", "name the one environment that the key is for, prod say")
	}
	switch r.Rule {
	case state.RuleFixed:
		if !r.Principal.Valid() {
			return invalid("/principal", "name the principal that the key is fixed to, service:billing say")
		}
		return nil
	case state.RuleAsserted, state.RuleVerified, state.RuleRunsAs:
		if r.Principal != (gov.Principal{}) {
			return invalid("/principal", "only a key with the rule fixed has a principal; leave it out, or say fixed")
		}
		return nil
	}
	return invalid("/rule", "say for whom the agent may call: fixed (one principal), runs_as (as agents.yaml says), verified (each call brings "+
		"the principal's token) or asserted (each call names one)")
}

func invalid(path, detail string) error {
	return &gov.Error{Code: gov.CodeInvalidField, Path: path, Detail: detail}
}
