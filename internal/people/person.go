package people

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/row"
)

const (
	kindPerson  = "person"
	listMax     = 500 // people in a list
	reasonMax   = 1 << 10
	nameMax     = 256
	passkeysMax = 10 // of one person
)

// Person is one person as the entries about them add up to.
type Person struct {
	Principal gov.Principal         `json:"principal"`
	Profile   identity.Profile      `json:"profile"`
	State     gov.PersonState       `json:"state"`
	Roles     []gov.Role            `json:"roles,omitempty"`  // everywhere, as the invitation says
	Groups    []gov.GroupID         `json:"groups,omitempty"` // as the identity provider said at the newest sign-in
	Invite    string                `json:"invite,omitempty"` // SHA-256 of the invitation's secret, hexadecimal
	InvitedTo string                `json:"invited_until,omitempty"`
	Passkeys  []webauthn.Credential `json:"passkeys,omitempty"`
	SeenAt    string                `json:"signed_in_at,omitempty"` // TimeLayout; newest sign-in
	Removals  int                   `json:"removals,omitempty"`     // how often the person was removed: sessions of before stay over
	RemovedAt string                `json:"removed_at,omitempty"`   // TimeLayout; when last

	doc row.Doc
}

// Ref is how entries name the person.
func (p Person) Ref() string { return p.doc.ID }

// Opened orders lists.
func (p Person) Opened() int64 { return p.doc.Opened }

func (p Person) document() row.Doc {
	d := p.doc
	d.State, d.Data = string(p.State), encode(p)
	return d
}

// WebAuthnID is the user handle: the opaque reference.
func (p Person) WebAuthnID() []byte { return []byte(p.doc.ID) }

// WebAuthnName is what the authenticator shows.
func (p Person) WebAuthnName() string { return p.Principal.ID }

// WebAuthnDisplayName is what the authenticator shows.
func (p Person) WebAuthnDisplayName() string {
	if p.Profile.Name != "" {
		return p.Profile.Name
	}
	return p.Principal.ID
}

// WebAuthnCredentials are the person's passkeys.
func (p Person) WebAuthnCredentials() []webauthn.Credential { return p.Passkeys }

// Find reads a person by reference. Errors are *gov.Error.
func (s *Service) Find(ctx context.Context, ref string) (Person, error) {
	p, err := s.person(ctx, ref)
	if err == nil && p.doc.Version == 0 {
		err = &gov.Error{Code: gov.CodeNotFound, Detail: "there is no person " + ref}
	}
	return p, err
}

// person reads a person, who may not be known yet.
func (s *Service) person(ctx context.Context, ref string) (Person, error) {
	var p Person
	d, err := s.doc(ctx, kindPerson, ref, &p)
	p.doc = d
	return p, err
}

// List gives people, newest first: those in a state (empty: any) known since below an index.
func (s *Service) List(ctx context.Context, in gov.PersonState, below int64, limit int) ([]Person, error) {
	docs, err := s.org().Ledger.Store().Docs(ctx, gov.OrgLedger, kindPerson, string(in), below, min(limit, listMax))
	if err != nil {
		return nil, err
	}
	return all(docs, func(p *Person, d row.Doc) { p.doc = d })
}

// Invitation is how somebody enrols: Link is shown once.
type Invitation struct {
	Person    Person
	Link      string
	ExpiresAt time.Time
}

// Invite makes a link with which a person enrols a first, or a further, passkey. Who is invited again has the roles of the new
// invitation from their next sign-in on; sessions go on as they are.
func (s *Service) Invite(ctx context.Context, actor canon.Actor, principal gov.Principal, profile identity.Profile, roles []gov.Role) (Invitation, error) {
	if err := checkInvite(principal, profile, roles); err != nil {
		return Invitation{}, err
	}
	p, err := s.person(ctx, identity.PrincipalRef(s.Key, principal))
	if err != nil {
		return Invitation{}, err
	}
	var secret [32]byte
	if _, err := io.ReadFull(s.Rand, secret[:]); err != nil {
		return Invitation{}, fmt.Errorf("read randomness: %w", err)
	}
	hash, until := sha256.Sum256(secret[:]), s.Now().UTC().Add(gov.InvitationFor)
	p.Principal, p.Profile, p.Roles = principal, profile, slices.Compact(slices.Sorted(slices.Values(roles)))
	p.Invite, p.InvitedTo = hex.EncodeToString(hash[:]), until.Format(canon.TimeLayout)
	if p.State != gov.PersonActive {
		p.State = gov.PersonInvited
	}
	body := canon.PersonInvited{Person: p.Ref(), Roles: p.Roles, ExpiresAt: p.InvitedTo, Commitments: map[canon.Group]canon.Commitment{}}
	if body.Roles == nil {
		body.Roles = []gov.Role{}
	}
	payload, err := s.sealName(body.Commitments, principal, profile)
	if err != nil {
		return Invitation{}, err
	}
	if err := s.record(ctx, canon.KindPersonInvited, actor, body, payload, p.document()); err != nil {
		return Invitation{}, err
	}
	token := p.Ref() + "." + base64.RawURLEncoding.EncodeToString(secret[:])
	return Invitation{Person: p, Link: s.URL + "/console/enrol?invitation=" + token, ExpiresAt: until}, nil
}

func checkInvite(principal gov.Principal, profile identity.Profile, roles []gov.Role) error {
	switch {
	case !principal.Valid() || principal.Type != gov.PrincipalUser:
		return &gov.Error{Code: gov.CodeInvalidField, Path: "/person", Detail: "must be the id of a user, as bundles name them: user:tom"}
	case len(profile.Name) > nameMax || len(profile.Email) > nameMax || strings.ContainsFunc(profile.Name+profile.Email, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return &gov.Error{Code: gov.CodeInvalidField, Path: "/name", Detail: fmt.Sprintf("is one line of at most %d bytes", nameMax)}
	}
	for _, r := range roles {
		if !r.Valid() {
			return &gov.Error{Code: gov.CodeInvalidField, Path: "/roles", Detail: "are of admin, author, approver, responder and auditor"}
		}
	}
	return nil
}

// Invited finds who a link is for. A link counts once, until its time, and only the newest one.
func (s *Service) Invited(ctx context.Context, token string) (Person, error) {
	bad := &gov.Error{Code: gov.CodeUnauthenticated, Detail: "the invitation is used, too old or replaced by another; ask for a new one (writ people invite)"}
	ref, encoded, _ := strings.Cut(token, ".")
	secret, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(ref) > nameMax {
		return Person{}, bad
	}
	p, err := s.person(ctx, ref)
	if err != nil {
		return Person{}, err
	}
	hash := sha256.Sum256(secret)
	same := subtle.ConstantTimeCompare([]byte(hex.EncodeToString(hash[:])), []byte(p.Invite)) == 1
	if !same || p.InvitedTo <= s.Now().UTC().Format(canon.TimeLayout) {
		return Person{}, bad
	}
	return p, nil
}

// Remove ends what a person may do here: they sign in no more, and their sessions are over with the entry. Removing whom is
// removed already changes nothing.
func (s *Service) Remove(ctx context.Context, actor canon.Actor, ref, reason string) (Person, error) {
	if reason = strings.TrimSpace(reason); reason == "" || len(reason) > reasonMax {
		return Person{}, &gov.Error{Code: gov.CodeInvalidField, Path: "/reason", Detail: fmt.Sprintf("say why, in 1 to %d bytes", reasonMax)}
	}
	p, err := s.Find(ctx, ref)
	if err != nil || p.State == gov.PersonRemoved {
		return p, err
	}
	p.State, p.Invite, p.InvitedTo, p.Passkeys, p.Roles = gov.PersonRemoved, "", "", nil, nil
	p.Removals, p.RemovedAt = p.Removals+1, s.Now().UTC().Format(canon.TimeLayout)
	body := canon.PersonRemoved{Person: ref, Reason: reason}
	return p, s.record(ctx, canon.KindPersonRemoved, actor, body, nil, p.document())
}

// RemovedSince says whether a person was removed after a time, also if they were invited again. It is what change.Service asks of
// whoever is not there when what they wanted comes about.
func (s *Service) RemovedSince(ctx context.Context, ref string, since time.Time) (bool, error) {
	p, err := s.person(ctx, ref)
	return p.State == gov.PersonRemoved || p.RemovedAt > since.UTC().Format(canon.TimeLayout), err
}
