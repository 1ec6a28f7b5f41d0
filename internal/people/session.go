package people

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/state"
)

const (
	kindSession = "session"

	// SessionFor is how long a session is good for, whatever its person does.
	SessionFor = 12 * time.Hour
	// IdleFor is how long a browser's session is good for without a request.
	IdleFor = time.Hour
	// renewAfter is how old a browser's cookie gets before it is written anew.
	renewAfter = time.Minute
	// skewMax is how far the clocks of two nodes may be apart.
	skewMax = time.Minute
)

// sessionsPage is how many sessions one read takes.
const sessionsPage = 100

// The states of a session's document.
const (
	sessionLive  = "live"
	sessionEnded = "ended"
)

// The ways to sign in.
const (
	howOIDC    = "oidc"
	howPasskey = "passkey"
	howLink    = "link"
)

// Session is a sign-in that is, or was, good for a while.
type Session struct {
	Person    string        `json:"person"` // reference
	Principal gov.Principal `json:"principal"`
	Hash      string        `json:"hash"` // SHA-256 of the token, hexadecimal
	How       string        `json:"how"`
	Issuer    string        `json:"issuer"`
	AuthTime  time.Time     `json:"auth_time"`
	Methods   []string      `json:"amr,omitempty"`
	Level     string        `json:"acr,omitempty"`
	Groups    []gov.GroupID `json:"groups,omitempty"`
	Roles     []gov.Role    `json:"roles,omitempty"`
	StartedAt time.Time     `json:"started_at"`
	ExpiresAt time.Time     `json:"expires_at"`
	Removals  int           `json:"removals,omitempty"` // of the person, by then
	Ended     string        `json:"ended,omitempty"`    // how

	doc row.Doc
}

// ID names the session in entries. It is not its token.
func (s Session) ID() string { return s.doc.ID }

// Live says whether the session is good at a time, but for its person's removal.
func (s Session) Live(at time.Time) bool { return s.Ended == "" && at.Before(s.ExpiresAt) }

func (s Session) document() row.Doc {
	d := s.doc
	d.State, d.Data = sessionLive, encode(s)
	if s.Ended != "" {
		d.State = sessionEnded
	}
	return d
}

// signIn opens a session for a person who was just authenticated, in one commit with what is known of them now. id and hash are
// those of the session's token; replaces, if not empty, ends with it.
func (s *Service) signIn(ctx context.Context, caller identity.Caller, profile identity.Profile, how string, key identity.Key, network, replaces string, change func(*Person)) (Session, error) {
	ref := identity.PrincipalRef(s.Key, caller.Principal)
	p, err := s.person(ctx, ref)
	if err != nil {
		return Session{}, err
	}
	if p.State == gov.PersonRemoved {
		return Session{}, refuseRemoved()
	}
	now := s.Now().UTC()
	p.Principal, p.State, p.SeenAt = caller.Principal, gov.PersonActive, now.Format(canon.TimeLayout)
	if how == howOIDC {
		p.Profile, p.Groups = profile, caller.Groups
	}
	if change != nil {
		change(&p)
	}
	roles := slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(caller.Roles), p.Roles...))))
	session := Session{
		Person: ref, Principal: caller.Principal, Hash: hex.EncodeToString(key.Hash[:]), How: how, Issuer: caller.Issuer, AuthTime: caller.AuthTime.UTC(),
		Methods: caller.Methods, Level: caller.Level, Groups: caller.Groups, Roles: roles, StartedAt: now, ExpiresAt: now.Add(SessionFor), Removals: p.Removals,
		doc: row.Doc{DocKey: row.DocKey{Kind: kindSession, ID: string(key.ID)}},
	}
	body := canon.SignedIn{
		Session: session.ID(), Person: ref, How: how, Issuer: session.Issuer, AuthTime: session.AuthTime.Format(canon.TimeLayout), Methods: session.Methods,
		Level: session.Level, Groups: session.Groups, Roles: roles, ExpiresAt: session.ExpiresAt.Format(canon.TimeLayout), Network: network,
		Commitments: map[canon.Group]canon.Commitment{},
	}
	payload, err := s.sealName(body.Commitments, caller.Principal, p.Profile)
	if err != nil {
		return Session{}, err
	}
	actor := canon.Actor{Type: canon.ActorPerson, ID: ref}
	if err := s.record(ctx, canon.KindSignedIn, actor, body, payload, session.document(), p.document()); err != nil {
		return Session{}, err
	}
	if replaces != "" {
		err = s.end(ctx, actor, replaces, "replaced")
	}
	return session, err
}

// Session finds the caller behind a session's token. It is what identity.Service asks.
func (s *Service) Session(ctx context.Context, key identity.Key) (identity.Caller, error) {
	session, err := s.session(ctx, string(key.ID))
	if err != nil {
		return identity.Caller{}, err
	}
	over := &gov.Error{Code: gov.CodeUnauthenticated, Detail: "the session is over; sign in again (writ login, or the console)"}
	same := subtle.ConstantTimeCompare([]byte(hex.EncodeToString(key.Hash[:])), []byte(session.Hash)) == 1
	if session.doc.Version == 0 || !same || !session.Live(s.Now()) {
		return identity.Caller{}, over
	}
	p, err := s.person(ctx, session.Person)
	if err != nil {
		return identity.Caller{}, err
	}
	if !p.holds(session) {
		return identity.Caller{}, over
	}
	return identity.Caller{
		Credential: gov.CredentialID(identity.PersonPrefix + session.Issuer), Role: state.RolePerson, Environment: gov.OrgLedger,
		Principal: session.Principal, Assurance: gov.AssuranceVerified, Groups: session.Groups, ExpiresAt: session.ExpiresAt,
		Issuer: session.Issuer, AuthTime: session.AuthTime, Methods: session.Methods, Level: session.Level, Roles: session.Roles, Session: session.ID(),
	}, nil
}

// Admit refuses whom an administrator removed, whatever an identity provider says of them. It is what identity.Service asks.
func (s *Service) Admit(ctx context.Context, person gov.Principal) error {
	p, err := s.person(ctx, identity.PrincipalRef(s.Key, person))
	if err == nil && p.State == gov.PersonRemoved {
		err = refuseRemoved()
	}
	return err
}

func refuseRemoved() error {
	return &gov.Error{Code: gov.CodeForbidden, Detail: "this person was removed here; an administrator can invite them again"}
}

func (s *Service) session(ctx context.Context, id string) (Session, error) {
	var session Session
	d, err := s.doc(ctx, kindSession, id, &session)
	session.doc = d
	return session, err
}

// Sessions lists every session that is good, newest first, of one person or (empty) of all.
func (s *Service) Sessions(ctx context.Context, person string) ([]Session, error) {
	var out []Session
	persons := map[string]Person{}
	for below := int64(math.MaxInt64); ; {
		docs, err := s.org().Ledger.Store().Docs(ctx, gov.OrgLedger, kindSession, sessionLive, below, sessionsPage)
		if err != nil {
			return nil, err
		}
		page, err := all(docs, func(x *Session, d row.Doc) { x.doc = d })
		if err != nil {
			return nil, err
		}
		for _, x := range page {
			if s.Now().Sub(x.StartedAt) > SessionFor { // so have all that began before it
				return out, nil
			}
			if !x.Live(s.Now()) || person != "" && x.Person != person {
				continue
			}
			p, ok := persons[x.Person]
			if !ok {
				if p, err = s.person(ctx, x.Person); err != nil {
					return nil, err
				}
				persons[x.Person] = p
			}
			if p.holds(x) {
				out = append(out, x)
			}
		}
		if len(page) < sessionsPage {
			return out, nil
		}
		below = page[len(page)-1].doc.Opened
	}
}

// holds says whether a session of the person was not ended by their removal.
func (p Person) holds(x Session) bool { return p.State == gov.PersonActive && p.Removals == x.Removals }

// SignOut ends the caller's own session.
func (s *Service) SignOut(ctx context.Context, caller identity.Caller) error {
	actor := canon.Actor{Type: canon.ActorPerson, ID: identity.PrincipalRef(s.Key, caller.Principal)}
	return s.end(ctx, actor, caller.Session, "signed_out")
}

// Revoke ends a session for somebody else.
func (s *Service) Revoke(ctx context.Context, actor canon.Actor, id string) error {
	return s.end(ctx, actor, id, "revoked")
}

// SignedOutAt ends every session that a person began with an identity provider, and those that were allowed from them, because the
// provider says so.
func (s *Service) SignedOutAt(ctx context.Context, logoutToken string) error {
	p, issuer, err := s.Identity.SignedOut(ctx, logoutToken)
	if err != nil {
		return err
	}
	found, err := s.Sessions(ctx, identity.PrincipalRef(s.Key, p))
	if err != nil {
		return err
	}
	for _, x := range found {
		if x.Issuer != issuer {
			continue
		}
		if err := s.end(ctx, canon.Actor{Type: canon.ActorSystem, ID: "writ"}, x.ID(), "signed_out_at_issuer"); err != nil {
			return err
		}
	}
	return nil
}

// end ends a session. One that is over stays as it is.
func (s *Service) end(ctx context.Context, actor canon.Actor, id, how string) error {
	session, err := s.session(ctx, id)
	if err != nil {
		return err
	}
	if session.doc.Version == 0 {
		return &gov.Error{Code: gov.CodeNotFound, Detail: "there is no session " + id}
	}
	if !session.Live(s.Now()) {
		return nil
	}
	session.Ended = how
	body := canon.SessionEnded{Session: id, Person: session.Person, How: how}
	return s.record(ctx, canon.KindSessionEnded, actor, body, nil, session.document())
}

// Link is a session for the command line that a person who is signed in in a browser is asked to allow. It holds no secret: the
// program that made it keeps the token.
type Link struct {
	ID   string
	Hash string // SHA-256 of the token, hexadecimal
}

// MayAllow refuses who cannot allow a session for the command line: only a person who signed in in a browser, and just now, can.
// A session that was itself allowed cannot allow another one, or one consent would last for ever.
func (s *Service) MayAllow(ctx context.Context, caller identity.Caller) error {
	own, err := s.session(ctx, caller.Session)
	if err != nil {
		return err
	}
	if own.doc.Version == 0 || own.How == howLink {
		return &gov.Error{Code: gov.CodeForbidden, Detail: "only who is signed in in a browser allows a session for the command line"}
	}
	return caller.Fresh(s.Now())
}

// Allow opens the session that a link asks for, with the standing of the caller's own.
func (s *Service) Allow(ctx context.Context, caller identity.Caller, link Link, network string) (Session, error) {
	key := identity.Key{ID: gov.CredentialID(link.ID), Role: state.RolePerson}
	hash, err := hex.DecodeString(link.Hash)
	if copy(key.Hash[:], hash); err != nil || len(hash) != len(key.Hash) || !identity.ValidKeyID(link.ID) {
		return Session{}, &gov.Error{Code: gov.CodeInvalidField, Detail: "the link is cut off; copy it again, whole"}
	}
	if err := s.MayAllow(ctx, caller); err != nil {
		return Session{}, err
	}
	return s.signIn(ctx, caller, identity.Profile{}, howLink, key, network, "", nil)
}

// Cookie is what a browser keeps of a session: its token, and when it was last seen, so that it can be too long ago.
func (s *Service) Cookie(token string) string {
	at := strconv.FormatInt(s.Now().Unix(), 36)
	return token + "." + at + "." + s.cookieMAC(token, at)
}

func (s *Service) cookieMAC(token, at string) string {
	mac := hmac.New(sha256.New, s.subkey("session cookie"))
	mac.Write([]byte(token + "." + at))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// FromCookie gives the token in a cookie, unless it is forged or was idle too long. renew says that it is to be written anew.
func (s *Service) FromCookie(value string) (token string, renew, ok bool) {
	parts := strings.Split(value, ".")
	if len(parts) != 3 {
		return "", false, false
	}
	seen, err := strconv.ParseInt(parts[1], 36, 64)
	if err != nil || !hmac.Equal([]byte(parts[2]), []byte(s.cookieMAC(parts[0], parts[1]))) {
		return "", false, false
	}
	idle := s.Now().Sub(time.Unix(seen, 0))
	return parts[0], idle >= renewAfter, idle > -skewMax && idle < IdleFor
}

// all decodes documents.
func all[T any](docs []row.Doc, with func(*T, row.Doc)) ([]T, error) {
	out := make([]T, len(docs))
	for i, d := range docs {
		if err := json.Unmarshal(d.Data, &out[i]); err != nil {
			return nil, fmt.Errorf("%s %s: %w", d.Kind, d.ID, err)
		}
		with(&out[i], d)
	}
	return out, nil
}
