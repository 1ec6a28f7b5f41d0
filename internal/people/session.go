package people

import (
	"cmp"
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

// linksMax is how many sessions for the command line one browser's may have allowed at a time.
const linksMax = 20

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
	Removals  int           `json:"removals,omitempty"`   // of the person, by then
	AllowedBy string        `json:"allowed_by,omitempty"` // with link: the session that allowed it
	Line      string        `json:"line,omitempty"`       // first of the sessions of one browser that followed each other; empty: this one
	Ended     string        `json:"ended,omitempty"`      // how
	Refresh   string        `json:"refresh,omitempty"`    // the provider's first refresh token, sealed; see Renew

	doc row.Doc
}

// ID names the session in entries. It is not its token.
func (s Session) ID() string { return s.doc.ID }

// Live says whether the session is good at a time, but for its person's removal.
func (s Session) Live(at time.Time) bool { return s.Ended == "" && at.Before(s.ExpiresAt) }

// line is the first of the sessions that followed each other in one browser. What one of them allowed belongs to all.
func (s Session) line() string {
	if s.Line == "" {
		return s.ID()
	}
	return s.Line
}

func (s Session) document() row.Doc {
	d := s.doc
	d.State = sessionLive
	if s.Ended != "" {
		d.State, s.Refresh = sessionEnded, ""
	}
	d.Data = encode(s)
	return d
}

// opening is a session that is to begin.
type opening struct {
	caller   identity.Caller
	profile  identity.Profile // with gov.SignInOIDC
	how      string
	key      identity.Key // of its token
	network  string
	replaces string        // the session that the browser had: it is over in the same commit
	passkey  string        // with gov.SignInPasskey: its credential id, base64url
	by       Session       // with gov.SignInLink: the session that allowed it
	refresh  string        // with gov.SignInOIDC: the provider's refresh token, sealed, if it gave one
	change   func(*Person) // besides
}

// signIn opens a session for a person who was just authenticated, in one commit with what is known of them now, and with the end of
// the session before.
func (s *Service) signIn(ctx context.Context, o opening) (Session, error) {
	p, err := s.person(ctx, identity.PrincipalRef(s.Key, o.caller.Principal))
	if err != nil {
		return Session{}, err
	}
	if p.State == gov.PersonRemoved {
		return Session{}, refuseRemoved()
	}
	now := s.Now().UTC()
	p = o.known(p, now)
	session := o.session(p, now)
	body := o.entry(session)
	docs, err := s.replace(ctx, o.replaces, &session, &body)
	if err != nil {
		return Session{}, err
	}
	payload, err := s.sealName(body.Commitments, o.caller.Principal, p.Profile)
	if err != nil {
		return Session{}, err
	}
	if o.how == gov.SignInLink {
		docs = append(docs, o.by.document()) // which nobody ended meanwhile
	}
	actor := canon.Actor{Type: canon.ActorPerson, ID: p.Ref()}
	return session, s.record(ctx, canon.KindSignedIn, actor, body, payload, append(docs, session.document(), p.document())...)
}

// known is the person as known after a sign-in.
func (o opening) known(p Person, now time.Time) Person {
	p.Principal, p.State, p.SeenAt = o.caller.Principal, gov.PersonActive, now.Format(canon.TimeLayout)
	if o.how == gov.SignInOIDC {
		p.Profile = o.profile
	}
	if o.how == gov.SignInOIDC || o.how == gov.SignInToken {
		p.Groups = o.caller.Groups
	}
	if o.change != nil {
		o.change(&p)
	}
	return p
}

// session is the document of the session.
func (o opening) session(p Person, now time.Time) Session {
	roles := o.caller.Roles
	if o.how != gov.SignInToken { // whose standing is what its issuer says
		roles = slices.Compact(slices.Sorted(slices.Values(slices.Concat(roles, p.Roles))))
	}
	out := Session{
		Person: p.Ref(), Principal: o.caller.Principal, Hash: hex.EncodeToString(o.key.Hash[:]), How: o.how, Issuer: o.caller.Issuer,
		AuthTime: o.caller.AuthTime.UTC(), Methods: o.caller.Methods, Level: o.caller.Level, Groups: o.caller.Groups, Roles: roles,
		StartedAt: now, ExpiresAt: now.Add(gov.SessionFor), Removals: p.Removals, Refresh: o.refresh, doc: row.Doc{DocKey: row.DocKey{Kind: kindSession, ID: string(o.key.ID)}},
	}
	most := o.caller.ExpiresAt // of a token
	if o.how == gov.SignInLink {
		out.AllowedBy, out.Line, most = o.by.ID(), o.by.line(), o.by.ExpiresAt
	}
	if (o.how == gov.SignInLink || o.how == gov.SignInToken) && most.Before(out.ExpiresAt) {
		out.ExpiresAt = most.UTC()
	}
	return out
}

// entry is what the ledger says of the session.
func (o opening) entry(x Session) canon.SignedIn {
	return canon.SignedIn{
		Session: x.ID(), Person: x.Person, How: x.How, Issuer: x.Issuer, AuthTime: x.AuthTime.Format(canon.TimeLayout), Methods: x.Methods,
		Level: x.Level, Groups: x.Groups, Roles: x.Roles, ExpiresAt: x.ExpiresAt.Format(canon.TimeLayout), Network: o.network,
		Passkey: o.passkey, AllowedBy: x.AllowedBy, Commitments: map[canon.Group]canon.Commitment{},
	}
}

// replace has a session begin in the place of another one, which is over then. Those that the other one had allowed go on with the new
// one of the same person, and are over where somebody else signs in. It gives the documents that change.
func (s *Service) replace(ctx context.Context, id string, session *Session, body *canon.SignedIn) ([]row.Doc, error) {
	if id == "" {
		return nil, nil
	}
	before, err := s.session(ctx, id)
	if err != nil || before.doc.Version == 0 || !before.Live(s.Now()) {
		return nil, err
	}
	body.Replaces = id
	if before.Person == session.Person {
		session.Line = before.line()
		before.Ended = gov.SessionReplaced
		return []row.Doc{before.document()}, nil
	}
	ended, ids, err := s.over(ctx, before, gov.SessionReplaced)
	body.Ends = ids
	return ended, err
}

// over gives the documents of a session that ends, and of those that it had allowed, with their ids.
func (s *Service) over(ctx context.Context, x Session, how string) ([]row.Doc, []string, error) {
	x.Ended = how
	docs := []row.Doc{x.document()}
	linked, err := s.linked(ctx, x)
	if err != nil {
		return nil, nil, err
	}
	var ids []string
	for _, l := range linked {
		l.Ended = how
		docs, ids = append(docs, l.document()), append(ids, l.ID())
	}
	slices.Sort(ids)
	return docs, ids, nil
}

// linked lists the good sessions that a browser's had allowed, it or those that it followed.
func (s *Service) linked(ctx context.Context, x Session) ([]Session, error) {
	if x.How == gov.SignInLink {
		return nil, nil
	}
	found, err := s.Sessions(ctx, x.Person)
	return slices.DeleteFunc(found, func(l Session) bool { return l.How != gov.SignInLink || l.line() != x.line() }), err
}

// Session finds the caller behind a session's token that came as a bearer's. It is what identity.Service asks. A browser's session
// counts in its cookie only, which says when it was last seen.
func (s *Service) Session(ctx context.Context, key identity.Key) (identity.Caller, error) {
	session, err := s.good(ctx, key)
	if err != nil {
		return identity.Caller{}, err
	}
	if session.How != gov.SignInLink {
		return identity.Caller{}, &gov.Error{Code: gov.CodeUnauthenticated, Detail: "this is the token of a browser's session, which counts in its cookie only; for the command line: writ login"}
	}
	return session.caller(), nil
}

// Visitor finds the caller behind the token of a cookie, which FromCookie gave.
func (s *Service) Visitor(ctx context.Context, token string) (identity.Caller, error) {
	key, err := identity.ParseToken(token)
	if err != nil || key.Role != state.RolePerson {
		return identity.Caller{}, over()
	}
	session, err := s.good(ctx, key)
	if err != nil {
		return identity.Caller{}, err
	}
	return session.caller(), nil
}

func over() error {
	return &gov.Error{Code: gov.CodeUnauthenticated, Detail: "the session is over; sign in again (writ login, or the console)"}
}

// good finds the session of a token, unless it is over.
func (s *Service) good(ctx context.Context, key identity.Key) (Session, error) {
	session, err := s.session(ctx, string(key.ID))
	if err != nil {
		return session, err
	}
	same := subtle.ConstantTimeCompare([]byte(hex.EncodeToString(key.Hash[:])), []byte(session.Hash)) == 1
	if session.doc.Version == 0 || !same || !session.Live(s.Now()) {
		return session, over()
	}
	p, err := s.person(ctx, session.Person)
	if err == nil && !p.holds(session) {
		err = over()
	}
	return session, err
}

func (s Session) caller() identity.Caller {
	return identity.Caller{
		Credential: gov.CredentialID(identity.PersonPrefix + s.Issuer), Role: state.RolePerson, Environment: gov.OrgLedger,
		Principal: s.Principal, Assurance: gov.AssuranceVerified, Groups: s.Groups, ExpiresAt: s.ExpiresAt,
		Issuer: s.Issuer, AuthTime: s.AuthTime, Methods: s.Methods, Level: s.Level, Roles: s.Roles, Session: s.ID(),
	}
}

// tokenTriesMax is how often the first request with a token is tried again because others came with the same one.
const tokenTriesMax = 16

// Token is the caller with the session of their identity provider's token, which begins when the token is first seen and can be
// ended like any other. It refuses whom an administrator removed, whatever the provider says of them. It is what identity.Service asks.
func (s *Service) Token(ctx context.Context, caller identity.Caller, key identity.Key) (identity.Caller, error) {
	for range tokenTriesMax {
		session, err := s.session(ctx, string(key.ID))
		if err != nil {
			return caller, err
		}
		if session.doc.Version == 0 {
			_, err := s.signIn(ctx, opening{caller: caller, how: gov.SignInToken, key: key})
			if err != nil && gov.CodeOf(err) != gov.CodeConflict {
				return caller, err
			}
			continue
		}
		if p, err := s.person(ctx, session.Person); err != nil {
			return caller, err
		} else if p.State == gov.PersonRemoved {
			return caller, refuseRemoved()
		}
		_, err = s.good(ctx, key)
		caller.Session = session.ID()
		return caller, err
	}
	return caller, &gov.Error{Code: gov.CodeOverloaded, Detail: "other requests with this token kept coming first; try again"}
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
			if s.Now().Sub(x.StartedAt) > gov.SessionFor { // so have all that began before it
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
	return s.end(ctx, caller.Actor(s.Key), caller.Session, gov.SessionSignedOut)
}

// Revoke ends a session for somebody else.
func (s *Service) Revoke(ctx context.Context, actor canon.Actor, id string) error {
	return s.end(ctx, actor, id, gov.SessionRevoked)
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
	found = slices.DeleteFunc(found, func(x Session) bool { return x.Issuer != issuer })
	slices.SortStableFunc(found, func(a, b Session) int { return cmp.Compare(a.AllowedBy, b.AllowedBy) }) // what was allowed ends with what allowed it
	for _, x := range found {
		if err := s.end(ctx, canon.Writ(), x.ID(), gov.SessionSignedOutAtIssuer); err != nil {
			return err
		}
	}
	return nil
}

// end ends a session, and those that it had allowed, in one commit. One that is over stays as it is.
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
	docs, ids, err := s.over(ctx, session, how)
	if err != nil {
		return err
	}
	return s.record(ctx, canon.KindSessionEnded, actor, canon.SessionEnded{Session: id, Person: session.Person, How: how, Ends: ids}, nil, docs...)
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
	_, err := s.allowing(ctx, caller)
	return err
}

func (s *Service) allowing(ctx context.Context, caller identity.Caller) (Session, error) {
	own, err := s.session(ctx, caller.Session)
	if err != nil {
		return own, err
	}
	if own.doc.Version == 0 || own.How != gov.SignInOIDC && own.How != gov.SignInPasskey {
		return own, &gov.Error{Code: gov.CodeForbidden, Detail: "only who is signed in in a browser allows a session for the command line"}
	}
	return own, caller.Fresh(s.Now())
}

// Allow opens the session that a link asks for, with the standing of the caller's own, for as long as that is good: it ends with it.
func (s *Service) Allow(ctx context.Context, caller identity.Caller, link Link, network string) (Session, error) {
	key := identity.Key{ID: gov.CredentialID(link.ID), Role: state.RolePerson}
	hash, err := hex.DecodeString(link.Hash)
	if copy(key.Hash[:], hash); err != nil || len(hash) != len(key.Hash) || !identity.ValidKeyID(link.ID) {
		return Session{}, &gov.Error{Code: gov.CodeInvalidField, Detail: "the link is cut off; copy it again, whole"}
	}
	own, err := s.allowing(ctx, caller)
	if err != nil {
		return Session{}, err
	}
	linked, err := s.linked(ctx, own)
	if err != nil {
		return Session{}, err
	}
	if len(linked) >= linksMax {
		return Session{}, &gov.Error{Code: gov.CodeConflict, Detail: fmt.Sprintf("%d sessions for the command line are allowed from here already: end some, under your name", linksMax)}
	}
	return s.signIn(ctx, opening{caller: caller, how: gov.SignInLink, key: key, network: network, by: own})
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
