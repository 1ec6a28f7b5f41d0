package state

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/policy"
)

// Control is what holds in one ledger at a point of its sequence. It is not changed once made: Apply gives the next one.
type Control struct {
	Ledger      gov.Environment
	Epoch       int64
	Engine      *policy.Engine // nil before a bundle is activated
	credentials map[gov.CredentialID]Credential
	delegations []Delegation // granted, by id
	switches    []gov.Switch // engaged, by id
}

// Compile gives the engine of a bundle that the ledger's activation names.
type Compile func(gov.BundleDigest) (*policy.Engine, error)

// NewControl is what holds in an empty ledger: nothing is allowed.
func NewControl(ledger gov.Environment) *Control {
	return &Control{Ledger: ledger, credentials: map[gov.CredentialID]Credential{}}
}

// Bundle is the digest of the active bundle, or empty.
func (c *Control) Bundle() gov.BundleDigest {
	if c.Engine == nil {
		return ""
	}
	return c.Engine.Bundle().Digest
}

// Credential looks up a credential of this ledger, revoked and expired ones included.
func (c *Control) Credential(id gov.CredentialID) (Credential, bool) {
	cred, ok := c.credentials[id]
	return cred, ok
}

// Credentials lists every credential of this ledger by id.
func (c *Control) Credentials() []Credential {
	return slices.SortedFunc(maps.Values(c.credentials), func(a, b Credential) int { return strings.Compare(string(a.ID), string(b.ID)) })
}

// Apply is what holds after an entry. Entries that change nothing give c itself. payload may lack what was erased.
func (c *Control) Apply(e canon.Entry, payload canon.Payload, compile Compile) (*Control, error) {
	if !e.Kind.ChangesControl() {
		return c, nil
	}
	at, err := e.Time()
	if err != nil {
		return nil, err
	}
	next := &Control{
		Ledger: c.Ledger, Epoch: c.Epoch + 1, Engine: c.Engine, credentials: maps.Clone(c.credentials), delegations: still(c.delegations, at),
		switches: c.switches,
	}
	switch e.Kind {
	case canon.KindBundleActivated:
		err = next.activate(e, compile)
	case canon.KindCredentialIssued:
		err = next.issue(e, payload)
	case canon.KindCredentialRevoked:
		err = next.revoke(e)
	case canon.KindDelegationGranted:
		err = next.grant(e)
	case canon.KindDelegationEnded:
		err = next.end(e)
	case canon.KindSwitchEngaged:
		err = next.engage(e)
	case canon.KindSwitchEased:
		err = next.ease(e)
	case canon.KindSwitchReleased:
		err = next.release(e)
	default:
		err = fmt.Errorf("entry %s: a %s changes control state in a way this version does not know", e.ID, e.Kind)
	}
	return next, err
}

func (c *Control) activate(e canon.Entry, compile Compile) error {
	body, err := canon.Body[canon.BundleActivated](e)
	if err != nil {
		return err
	}
	if c.Engine, err = compile(body.Bundle); err != nil {
		return err
	}
	c.delegations = fitting(c.delegations, c.Engine) // for good: a rollback does not bring back what people consented to before
	return nil
}

func (c *Control) issue(e canon.Entry, payload canon.Payload) error {
	body, err := canon.Body[canon.CredentialIssued](e)
	if err != nil {
		return err
	}
	cred := Credential{
		ID: body.Credential, Role: Role(body.Role), Environment: c.Ledger, Agent: body.Agent, Rule: Rule(body.Principal.Rule),
		Principal: gov.Principal{Type: body.Principal.Type, ID: body.Principal.ID}, Note: body.Note,
	}
	if n, err := hex.Decode(cred.SecretHash[:], []byte(body.SecretHash)); err != nil || n != len(cred.SecretHash) {
		return fmt.Errorf("entry %s: the hash of the secret is not 64 hexadecimal digits", e.ID)
	}
	if cred.IssuedAt, err = e.Time(); err != nil {
		return err
	}
	if body.ExpiresAt != "" {
		if cred.ExpiresAt, err = time.Parse(canon.TimeLayout, body.ExpiresAt); err != nil {
			return fmt.Errorf("entry %s: expires_at: %w", e.ID, err)
		}
	}
	if p, ok := PrincipalOf(payload); ok {
		cred.Principal = p
	}
	c.credentials[cred.ID] = cred
	return nil
}

func (c *Control) revoke(e canon.Entry) error {
	body, err := canon.Body[canon.CredentialRevoked](e)
	if err != nil {
		return err
	}
	cred, ok := c.credentials[body.Credential]
	if !ok {
		return fmt.Errorf("entry %s revokes %s, which was never issued", e.ID, body.Credential)
	}
	cred.Revoked = true
	c.credentials[cred.ID] = cred
	return nil
}

// PrincipalOf is the principal that a payload names, unless it was erased or never there.
func PrincipalOf(payload canon.Payload) (gov.Principal, bool) {
	if _, ok := payload[canon.GroupPrincipal]; !ok {
		return gov.Principal{}, false
	}
	m, err := payload.Value(canon.GroupPrincipal)
	if err != nil {
		return gov.Principal{}, false
	}
	kind, _ := m["type"].(string)
	id, _ := m["id"].(string)
	return gov.Principal{Type: gov.PrincipalType(kind), ID: id}, true
}

// PrincipalValue is the form in which a payload names a principal.
func PrincipalValue(p gov.Principal) map[string]any {
	return map[string]any{"type": string(p.Type), "id": p.ID}
}

// WorkloadPrefix begins the credential id of callers that present a token of a trusted issuer instead of a key.
const WorkloadPrefix = "jwt:"

// Question is a call with what it is judged by.
type Question struct {
	Call       gov.Call
	Credential gov.CredentialID
	Labels     []gov.Label     // of the session, sorted
	At         time.Time       // of the judgement, UTC
	Consent    *policy.Consent // that people gave to this very call, if they were asked
	Principal  gov.Principal   // of Call as records name it: a user by the opaque reference
	Taint      []canon.Taint   // what of the input the session knows from untrusted results alone
	Findings   []canon.Finding // of the scanner, in the input
	Spent      []gov.EntryID   // standing consents that were used as often as they allow
	Full       policy.Full     // whether limits are used up; nil: none is
}

// Judge answers a question under c. It is the one way to a verdict: the decision door and the replay both come through here.
func (c *Control) Judge(q Question) policy.Verdict {
	s := policy.State{
		Environment: c.Ledger, Engine: c.Engine, Switches: c.switches, Labels: q.Labels, Taint: q.Taint, Findings: q.Findings, Time: q.At, Consent: q.Consent, Standing: c.standing(q),
		Full: q.Full,
	}
	if q.Principal.ID != "" {
		s.PrincipalRef = q.Principal.String()
	}
	if strings.HasPrefix(string(q.Credential), WorkloadPrefix) {
		// The token was checked at the door, and is not kept.
		s.CredentialValid, s.CredentialAgent = true, q.Call.Agent
	} else if cred, ok := c.credentials[q.Credential]; ok {
		s.CredentialValid, s.CredentialAgent = cred.Valid(q.At) && cred.Role == RoleAgent, cred.Agent
	}
	return policy.Evaluate(s, q.Call)
}
