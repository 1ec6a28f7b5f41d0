// Package people is who the people are: invited with a link, enrolled with a passkey, or known by the organization's identity
// provider; signed in, with sessions that are kept here and can be ended; removed. It promises that every one of these is an
// entry of the organization's ledger; that a session's token is kept as a hash, and a session ends when its person is removed,
// when it was idle too long, when its identity provider no longer stands behind it (where that gives refresh tokens), and at a fixed
// time; and that nothing a browser holds can be used twice for a sign-in. Entries name people by opaque references; names are in
// payloads and documents, which can be erased.
//
// It does not say what a person may do: internal/identity and the bundles do.
package people

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/state"
)

// Service knows people and their sessions. Its fields are set once, before use; it is safe for concurrent use.
type Service struct {
	Environments *live.Set
	Identity     *identity.Service
	Key          []byte // of the opaque references of users; what browsers hold is sealed with keys derived from it
	URL          string // under which people reach this server, without a slash at the end
	Now          func() time.Time
	Rand         io.Reader

	web *webauthn.WebAuthn
}

// UseURL says under which address people reach the server. Passkeys are bound to its host.
func (s *Service) UseURL(address string) error {
	host, origin, err := relyingParty(address)
	if err != nil {
		return err
	}
	s.URL = origin
	s.web, err = webauthn.New(&webauthn.Config{
		RPID: host, RPDisplayName: "Writ", RPOrigins: []string{origin},
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired,
		},
		AttestationPreference: protocol.PreferNoAttestation,
	})
	return err
}

func (s *Service) org() *live.Environment { return s.Environments.Open(gov.OrgLedger) }

// record appends an entry about people with the documents that it changes.
func (s *Service) record(ctx context.Context, kind canon.Kind, actor canon.Actor, body any, payload canon.Payload, docs ...row.Doc) error {
	r, err := s.org().Ledger.Draft(s.Rand, kind, actor, body, payload)
	if err != nil {
		return err
	}
	r.Docs = docs
	_, err = s.org().Ledger.Append(ctx, r)
	if errors.Is(err, ledger.ErrStale) {
		return &gov.Error{Code: gov.CodeConflict, Detail: "something else changed at the same moment; try again"}
	}
	return err
}

// sealName commits to a person's name, and the profile that came with it.
func (s *Service) sealName(commitments map[canon.Group]canon.Commitment, p gov.Principal, profile identity.Profile) (canon.Payload, error) {
	value := state.PrincipalValue(p)
	if profile.Name != "" {
		value["name"] = profile.Name
	}
	if profile.Email != "" {
		value["email"] = profile.Email
	}
	payload := canon.Payload{}
	err := payload.Seal(s.Rand, commitments, canon.GroupPrincipal, canon.AppendValue(nil, value))
	return payload, err
}

// subkey derives a key for one use.
func (s *Service) subkey(use string) []byte {
	key, err := hkdf.Key(sha256.New, s.Key, nil, "writ "+use, sha256.Size)
	if err != nil {
		panic("people: a key of 32 bytes cannot be derived: " + err.Error())
	}
	return key
}

func (s *Service) doc(ctx context.Context, kind, id string, into any) (row.Doc, error) {
	key := row.DocKey{Kind: kind, ID: id}
	d, ok, err := s.org().Ledger.Store().Doc(ctx, gov.OrgLedger, key)
	if err != nil || !ok {
		return row.Doc{DocKey: key}, err
	}
	if err := json.Unmarshal(d.Data, into); err != nil {
		return d, fmt.Errorf("%s %s: %w", kind, id, err)
	}
	return d, nil
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("people: a document is not JSON: " + err.Error())
	}
	return data
}
