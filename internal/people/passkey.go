package people

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/state"
)

// ceremony is a WebAuthn ceremony under way.
type ceremony struct {
	Session    webauthn.SessionData `json:"session"`
	Person     string               `json:"person,omitempty"`     // reference, of an enrolment
	Invitation string               `json:"invitation,omitempty"` // of an enrolment by link
	ID         string               `json:"id"`                   // of the session that a sign-in opens: so it opens one only
	Expires    time.Time            `json:"expires"`
}

const ceremonyFor = 5 * time.Minute

// The uses of sealed ceremonies: one cannot stand for the other.
const (
	useEnrol  = "passkey enrolment"
	useSignIn = "passkey sign-in"
)

// Challenge is what a browser gives to navigator.credentials, and the sealed state that it sends back with the answer.
type Challenge struct {
	Options any    `json:"options"`
	Sealed  string `json:"sealed"`
}

func refuseKey(detail string, err error) error {
	return &gov.Error{Code: gov.CodeUnauthenticated, Detail: detail, Err: err}
}

// BeginEnrol starts the enrolment of a passkey: of who has an invitation, or of who is signed in already.
func (s *Service) BeginEnrol(ctx context.Context, invitation string, caller identity.Caller) (Challenge, error) {
	p, err := s.enrolling(ctx, invitation, caller)
	if err != nil {
		return Challenge{}, err
	}
	if len(p.Passkeys) >= passkeysMax {
		return Challenge{}, &gov.Error{Code: gov.CodeConflict, Detail: "there are ten passkeys already; ask an administrator to remove and invite the person again"}
	}
	exclude := make([]protocol.CredentialDescriptor, len(p.Passkeys))
	for i, k := range p.Passkeys {
		exclude[i] = k.Descriptor()
	}
	options, session, err := s.web.BeginRegistration(p, webauthn.WithExclusions(exclude))
	if err != nil {
		return Challenge{}, err
	}
	sealed, err := s.seal(useEnrol, ceremony{Session: *session, Person: p.Ref(), Invitation: invitation, Expires: s.Now().Add(ceremonyFor)})
	return Challenge{Options: options, Sealed: sealed}, err
}

func (s *Service) enrolling(ctx context.Context, invitation string, caller identity.Caller) (Person, error) {
	if invitation != "" {
		return s.Invited(ctx, invitation)
	}
	if caller.Session == "" {
		return Person{}, refuseKey("a passkey is enrolled with an invitation, or by who is signed in", nil)
	}
	if err := caller.Fresh(s.Now()); err != nil {
		return Person{}, err
	}
	return s.Find(ctx, identity.PrincipalRef(s.Key, caller.Principal))
}

// FinishEnrol takes the new passkey, and signs in who came by invitation, instead of whoever was signed in in that browser: the
// session is the zero SignedIn for others.
func (s *Service) FinishEnrol(ctx context.Context, sealed string, answer []byte, caller identity.Caller, network string) (SignedIn, error) {
	c, err := s.ceremony(useEnrol, sealed)
	if err != nil {
		return SignedIn{}, err
	}
	p, err := s.enrolling(ctx, c.Invitation, caller)
	if err != nil {
		return SignedIn{}, err
	}
	if p.Ref() != c.Person {
		return SignedIn{}, refuseKey("somebody else signed in meanwhile; begin again", nil)
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return SignedIn{}, refuseKey("the browser's answer is not a new passkey; try again", errors.Join(err, details(err)))
	}
	key, err := s.web.CreateCredential(p, c.Session, parsed)
	if err != nil {
		return SignedIn{}, refuseKey("the new passkey does not check out; try again, on the address "+s.URL, errors.Join(err, details(err)))
	}
	actor := caller.Actor(s.Key)
	if c.Invitation != "" {
		actor = canon.Actor{Type: canon.ActorPerson, ID: p.Ref()}
	}
	if err := s.enrol(ctx, actor, p, *key); err != nil || c.Invitation == "" {
		return SignedIn{}, err
	}
	return s.open(ctx, opening{caller: s.caller(p), how: gov.SignInPasskey, network: network, replaces: caller.Session, passkey: encodeKeyID(*key)})
}

// encodeKeyID is how entries name a passkey.
func encodeKeyID(key webauthn.Credential) string { return base64.RawURLEncoding.EncodeToString(key.ID) }

func (s *Service) enrol(ctx context.Context, actor canon.Actor, p Person, key webauthn.Credential) error {
	p.Passkeys, p.State, p.Invite, p.InvitedTo = append(p.Passkeys, key), gov.PersonActive, "", ""
	body := canon.PasskeyEnrolled{
		Person: p.Ref(), Passkey: encodeKeyID(key), PublicKey: base64.RawURLEncoding.EncodeToString(key.PublicKey),
		RelyingParty: s.web.Config.RPID, Attestation: key.AttestationFormat, AAGUID: hex.EncodeToString(key.Authenticator.AAGUID),
	}
	return s.record(ctx, canon.KindPasskeyEnrolled, actor, body, nil, p.document())
}

// levelPhishingResistant is the acr of a passkey (OpenID Connect EAP ACR Values 1.0).
const levelPhishingResistant = "phr"

// caller is a person who has just proved to hold one of their passkeys, verified by it (amr values of RFC 8176).
func (s *Service) caller(p Person) identity.Caller {
	return identity.Caller{
		Credential: gov.CredentialID(identity.PersonPrefix + s.URL), Role: state.RolePerson, Environment: gov.OrgLedger, Principal: p.Principal,
		Assurance: gov.AssuranceVerified, Issuer: s.URL, AuthTime: s.Now(), Methods: []string{"pop", "user"}, Level: levelPhishingResistant,
	}
}

// BeginPasskey starts a sign-in by passkey: the browser offers those that it has for this server.
func (s *Service) BeginPasskey() (Challenge, error) {
	options, session, err := s.web.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return Challenge{}, err
	}
	id, _, _, err := identity.NewSecret(s.Rand, state.RolePerson)
	if err != nil {
		return Challenge{}, err
	}
	sealed, err := s.seal(useSignIn, ceremony{Session: *session, ID: string(id), Expires: s.Now().Add(ceremonyFor)})
	return Challenge{Options: options, Sealed: sealed}, err
}

// FinishPasskey opens the session of a person who signed the challenge. The same answer counts once.
func (s *Service) FinishPasskey(ctx context.Context, sealed string, answer []byte, network, replaces string) (SignedIn, error) {
	c, err := s.ceremony(useSignIn, sealed)
	if err != nil {
		return SignedIn{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return SignedIn{}, refuseKey("the browser's answer is not a passkey's; try again", errors.Join(err, details(err)))
	}
	find := func(_, handle []byte) (webauthn.User, error) { return s.Find(ctx, string(handle)) }
	user, key, err := s.web.ValidatePasskeyLogin(find, c.Session, parsed)
	if err != nil {
		return SignedIn{}, refuseKey("the passkey is not one that was enrolled here", errors.Join(err, details(err)))
	}
	p, ok := user.(Person)
	if !ok || key.Authenticator.CloneWarning {
		return SignedIn{}, refuseKey("the passkey's counter ran backwards: it may have been copied; ask an administrator to remove it", nil)
	}
	_, token, hash, err := identity.NewSecretFor(s.Rand, state.RolePerson, gov.CredentialID(c.ID))
	if err != nil {
		return SignedIn{}, err
	}
	counted := func(p *Person) {
		for i := range p.Passkeys {
			if string(p.Passkeys[i].ID) == string(key.ID) {
				p.Passkeys[i] = *key
			}
		}
	}
	session, err := s.signIn(ctx, opening{
		caller: s.caller(p), how: gov.SignInPasskey, key: identity.Key{ID: gov.CredentialID(c.ID), Role: state.RolePerson, Hash: hash}, network: network,
		replaces: replaces, passkey: encodeKeyID(*key), change: counted,
	})
	return SignedIn{Session: session, Token: token}, err
}

func (s *Service) ceremony(use, sealed string) (ceremony, error) {
	var c ceremony
	if err := s.unseal(use, sealed, &c); err != nil {
		return c, err
	}
	if !s.Now().Before(c.Expires) {
		return c, refuseKey("that took too long; begin again", nil)
	}
	return c, nil
}

// details is what the library says besides, for the log.
func details(err error) error {
	var p *protocol.Error
	if errors.As(err, &p) {
		return errors.New(p.DevInfo)
	}
	return nil
}
