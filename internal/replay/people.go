package replay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/state"
)

// People is what the organization's ledger says of people and of administrators' credentials: who was invited, enrolled, signed in
// and removed when. Acts are held against it.
type People struct {
	persons     map[string]*person
	sessions    map[string]*session
	credentials map[gov.CredentialID]credential
}

// person is one person as the entries about them add up to.
type person struct {
	roles    []gov.Role // by the newest invitation
	invited  time.Time  // until when the open invitation counts, or zero
	passkeys []string   // that sign in
	removed  []removal
	sessions []*session
	named    gov.Principal // as the newest sign-in that was not erased names them
}

// removal is a time in which a person was out: until they were invited again, or until zero.
type removal struct{ from, until time.Time }

// session is one session as the entries about it add up to.
type session struct {
	canon.SignedIn
	line    string // first of the sessions of one browser that followed each other
	began   time.Time
	expires time.Time
	over    time.Time // when it was ended, or its person removed; zero: not before it expired
	ended   bool      // an entry says so
}

// credential is an administrator's.
type credential struct{ from, until, revoked time.Time }

const (
	// actSlack is how much later than what it rests on an act may be recorded: the clocks of two nodes may be a minute apart, and an
	// act is recorded a moment after its session was looked up.
	actSlack = time.Minute
)

// NewPeople knows nobody.
func NewPeople() *People {
	return &People{persons: map[string]*person{}, sessions: map[string]*session{}, credentials: map[gov.CredentialID]credential{}}
}

// FoldPeople reads all of the organization's ledger. What in it should not be, Replay of that ledger says.
func FoldPeople(ctx context.Context, org *ledger.Ledger) (*People, error) {
	head, err := org.Head(ctx)
	if err != nil {
		return nil, err
	}
	p := NewPeople()
	err = org.Scan(ctx, 0, head.Size, true, func(raw ledger.Raw) error {
		e, err := canon.Decode(raw.Bytes)
		if err == nil {
			_, err = p.take(e)
		}
		if err == nil && e.Kind == canon.KindSignedIn {
			err = p.named(e.Actor.ID, raw.Payload)
		}
		if err != nil {
			return fmt.Errorf("ledger %s, entry at index %d: %w", org.Name(), raw.Index, err)
		}
		return nil
	})
	return p, err
}

func (p *People) person(ref string) *person {
	found, ok := p.persons[ref]
	if !ok {
		found = &person{}
		p.persons[ref] = found
	}
	return found
}

// named takes in who a person is, from the payload of a sign-in.
func (p *People) named(ref string, payload []byte) error {
	said, err := canon.DecodePayload(payload)
	if who, ok := state.PrincipalOf(said); ok {
		p.person(ref).named = who
	}
	return err
}

// out says whether the person was removed, and not invited again, for longer than it takes to record what was under way.
func (p *person) out(at time.Time) bool {
	return slices.ContainsFunc(p.removed, func(r removal) bool {
		return at.After(r.from.Add(actSlack)) && (r.until.IsZero() || at.Before(r.until))
	})
}

// isOut says whether the person is removed as the entries stand.
func (p *person) isOut() bool {
	return len(p.removed) > 0 && p.removed[len(p.removed)-1].until.IsZero()
}

// removedSince says whether a person was removed after a time and before another one.
func (p *People) removedSince(ref string, since, at time.Time) bool {
	found, ok := p.persons[ref]
	return ok && slices.ContainsFunc(found.removed, func(r removal) bool { return r.from.After(since) && at.After(r.from.Add(actSlack)) })
}

// holds says why nobody acted in the session at a time, or nothing.
func (s *session) holds(at time.Time) string {
	switch {
	case at.Add(actSlack).Before(s.began):
		return "began after it"
	case at.After(s.expires.Add(actSlack)):
		return "was over by then"
	case !s.over.IsZero() && at.After(s.over.Add(actSlack)):
		return "had ended by then"
	}
	return ""
}

func (c credential) holds(at time.Time) string {
	switch {
	case at.Add(actSlack).Before(c.from):
		return "was issued after it"
	case !c.until.IsZero() && at.After(c.until.Add(actSlack)):
		return "had expired by then"
	case !c.revoked.IsZero() && at.After(c.revoked.Add(actSlack)):
		return "was revoked by then"
	}
	return ""
}

// take takes in an entry of the organization's ledger and says what it does not follow from, or nothing. That its actor may act at
// all is said by hold.
func (p *People) take(e canon.Entry) (string, error) {
	at, err := e.Time()
	if err != nil {
		return "", err
	}
	switch e.Kind {
	case canon.KindCredentialIssued:
		return take(e, at, p.issued)
	case canon.KindCredentialRevoked:
		return take(e, at, p.revoked)
	case canon.KindPersonInvited:
		return take(e, at, p.invited)
	case canon.KindPersonRemoved:
		return take(e, at, p.removed)
	case canon.KindPasskeyEnrolled:
		return take(e, at, p.enrolled)
	case canon.KindSignedIn:
		return take(e, at, p.signedIn)
	case canon.KindSessionEnded:
		return take(e, at, p.ended)
	default:
		return "", nil
	}
}

func take[T any](e canon.Entry, at time.Time, into func(e canon.Entry, body T, at time.Time) string) (string, error) {
	body, err := canon.Body[T](e)
	if err != nil {
		return "", err
	}
	return into(e, body, at), nil
}

// readTime reads a time of an entry; what cannot be read is long past.
func readTime(text string) time.Time {
	at, err := time.Parse(canon.TimeLayout, text)
	if err != nil {
		return time.Time{}
	}
	return at
}

// issued takes in a credential. Writ itself issues one when no administrator has one: at the first start, or when all are over.
func (p *People) issued(e canon.Entry, b canon.CredentialIssued, at time.Time) string {
	what := ""
	for id, c := range p.credentials {
		if e.Actor.Type == canon.ActorSystem && c.holds(at) == "" && (c.until.IsZero() || at.Before(c.until)) && c.revoked.IsZero() {
			what = fmt.Sprintf("%s was issued by nobody, and an administrator had %s", b.Credential, id)
		}
	}
	p.credentials[b.Credential] = credential{from: at, until: readTime(b.ExpiresAt)}
	return what
}

func (p *People) revoked(_ canon.Entry, b canon.CredentialRevoked, at time.Time) string {
	c, known := p.credentials[b.Credential]
	if !known {
		return fmt.Sprintf("%s was revoked, and never issued", b.Credential)
	}
	if c.revoked.IsZero() {
		c.revoked = at
	}
	p.credentials[b.Credential] = c
	return ""
}

func (p *People) invited(_ canon.Entry, b canon.PersonInvited, at time.Time) string {
	who := p.person(b.Person)
	who.roles, who.invited = b.Roles, readTime(b.ExpiresAt)
	if who.isOut() {
		who.removed[len(who.removed)-1].until = at
	}
	if who.invited.After(at.Add(gov.InvitationFor + actSlack)) {
		return fmt.Sprintf("%s was invited for longer than %s", b.Person, gov.InvitationFor)
	}
	return ""
}

func (p *People) removed(_ canon.Entry, b canon.PersonRemoved, at time.Time) string {
	who, known := p.persons[b.Person]
	switch {
	case !known:
		return fmt.Sprintf("%s was removed, whom nobody knew", b.Person)
	case who.isOut():
		return fmt.Sprintf("%s was removed, and had been before", b.Person)
	}
	for _, s := range who.sessions {
		if s.over.IsZero() {
			s.over = at
		}
	}
	who.removed = append(who.removed, removal{from: at})
	who.roles, who.invited, who.passkeys = nil, time.Time{}, nil
	return ""
}

// enrolled takes in a passkey: by an invitation that was open, or by a person who had just signed in.
func (p *People) enrolled(e canon.Entry, b canon.PasskeyEnrolled, at time.Time) string {
	who, known := p.persons[b.Person]
	by := fmt.Sprintf("the passkey %s of %s was enrolled", short(b.Passkey), b.Person)
	what := ""
	switch {
	case !e.Actor.Is(canon.Actor{Type: canon.ActorPerson, ID: b.Person}):
		what = fmt.Sprintf("%s by %s %s", by, e.Actor.Type, e.Actor.ID)
	case !known:
		return by + ", whom nobody invited and who never signed in"
	case who.isOut():
		return by + ", who was removed"
	case e.Actor.Session != "":
		what = p.freshly(e, at)
	case !at.After(who.invited.Add(actSlack)): // by the invitation
	case p.justSignedIn(who, at): // an entry of before sessions were named
	default:
		what = by + " without an open invitation"
	}
	if known {
		who.passkeys, who.invited = append(who.passkeys, b.Passkey), time.Time{}
	}
	return what
}

func (p *People) justSignedIn(who *person, at time.Time) bool {
	return slices.ContainsFunc(who.sessions, func(s *session) bool { return s.holds(at) == "" && stale(s.AuthTime, at) == "" })
}

// freshly says why the session that an entry names was no fresh sign-in.
func (p *People) freshly(e canon.Entry, at time.Time) string {
	if s, ok := p.sessions[e.Actor.Session]; ok {
		return stale(s.AuthTime, at)
	}
	return "" // said by hold
}

// signedIn takes in a session.
func (p *People) signedIn(e canon.Entry, b canon.SignedIn, at time.Time) string {
	who := p.person(b.Person)
	s := &session{SignedIn: b, line: b.Session, began: at, expires: readTime(b.ExpiresAt)}
	var wrong faults
	switch _, twice := p.sessions[b.Session]; {
	case twice:
		return fmt.Sprintf("the session %s began before", b.Session)
	case !e.Actor.Is(canon.Actor{Type: canon.ActorPerson, ID: b.Person}):
		wrong.add("%s signed in, recorded by %s %s", b.Person, e.Actor.Type, e.Actor.ID)
	case who.isOut():
		wrong.add("%s signed in, and was removed", b.Person)
	}
	if s.expires.After(at.Add(gov.SessionFor + actSlack)) {
		wrong.add("the session %s is good for longer than %s", b.Session, gov.SessionFor)
	}
	wrong.add("%s", p.how(who, s, at))
	wrong.add("%s", p.replaced(s, at))
	p.sessions[b.Session] = s
	who.sessions = append(who.sessions, s)
	if who.isOut() {
		s.over = at
	}
	return wrong.String()
}

// how says why a sign-in is not one that could have been, by how it says that it was.
func (p *People) how(who *person, s *session, at time.Time) string {
	more := without(s.Roles, who.roles)
	switch s.How {
	case gov.SignInOIDC, gov.SignInToken:
		more = without(more, []gov.Role{gov.RoleAdmin}) // of the group of administrators
	case gov.SignInPasskey:
		if len(who.passkeys) == 0 || s.Passkey != "" && !slices.Contains(who.passkeys, s.Passkey) {
			return fmt.Sprintf("%s signed in with a passkey that they had not enrolled", s.Person)
		}
	case gov.SignInLink:
		return p.linked(s, more, at)
	default:
		return fmt.Sprintf("%s signed in in a way that is not known: %q", s.Person, s.How)
	}
	if len(more) > 0 {
		return fmt.Sprintf("%s signed in as %v, which nobody had made them", s.Person, more)
	}
	return ""
}

// linked says why no browser's session allowed this one. Entries of before do not say which one did.
func (p *People) linked(s *session, more []gov.Role, at time.Time) string {
	allows := func(by *session) bool {
		return by.Person == s.Person && by.How != gov.SignInLink && by.How != gov.SignInToken && by.holds(at) == "" && by.Issuer == s.Issuer && by.AuthTime == s.AuthTime &&
			stale(by.AuthTime, at) == "" && len(without(more, by.Roles)) == 0
	}
	by, known := p.sessions[s.AllowedBy]
	if s.AllowedBy == "" {
		of := p.person(s.Person).sessions
		if i := slices.IndexFunc(of, allows); i >= 0 {
			by, known = of[i], true
		}
	}
	if !known || !allows(by) {
		return fmt.Sprintf("the session %s for the command line was allowed by no session that could", s.Session)
	}
	if s.AllowedBy != "" {
		s.line = by.line
	}
	return ""
}

// replaced takes in which session is over by this one.
func (p *People) replaced(s *session, at time.Time) string {
	if s.Replaces == "" {
		return ""
	}
	before, known := p.sessions[s.Replaces]
	switch {
	case !known:
		return fmt.Sprintf("the session %s is in the place of %s, which nobody began", s.Session, s.Replaces)
	case before.ended:
		return fmt.Sprintf("the session %s is in the place of %s, which had ended", s.Session, s.Replaces)
	}
	before.end(at)
	if before.Person == s.Person {
		s.line = before.line
		return ""
	}
	return p.alsoEnded(before, s.Ends, at)
}

func (s *session) end(at time.Time) {
	if s.ended = true; s.over.IsZero() {
		s.over = at
	}
}

// ended takes in the end of a session.
func (p *People) ended(e canon.Entry, b canon.SessionEnded, at time.Time) string {
	s, known := p.sessions[b.Session]
	var wrong faults
	switch {
	case !known:
		return fmt.Sprintf("the session %s ended, which nobody began", b.Session)
	case s.Person != b.Person:
		wrong.add("the session %s of %s ended as one of %s", b.Session, s.Person, b.Person)
	case s.ended:
		wrong.add("the session %s ended, and had ended before", b.Session)
	case at.After(s.expires.Add(actSlack)):
		wrong.add("the session %s ended, and was over", b.Session)
	}
	if !p.mayEnd(e, b, at) {
		wrong.add("the session %s of %s ended as %s by %s %s, who may not", b.Session, b.Person, b.How, e.Actor.Type, e.Actor.ID)
	}
	s.end(at)
	wrong.add("%s", p.alsoEnded(s, b.Ends, at))
	return wrong.String()
}

func (p *People) mayEnd(e canon.Entry, b canon.SessionEnded, at time.Time) bool {
	own := e.Actor.Is(canon.Actor{Type: canon.ActorPerson, ID: b.Person})
	switch b.How {
	case gov.SessionSignedOut:
		return own
	case gov.SessionSignedOutAtIssuer:
		return e.Actor.Type == canon.ActorSystem
	case gov.SessionReplaced:
		return e.Actor.Type == canon.ActorPerson
	case gov.SessionRevoked:
		return own || p.administers(e, at)
	}
	return false
}

// alsoEnded takes in which sessions for the command line ended with a browser's, which are those that it had allowed.
func (p *People) alsoEnded(s *session, ids []string, at time.Time) string {
	var wrong faults
	for _, id := range ids {
		l, known := p.sessions[id]
		if !known || !s.allowed(l) || l.ended {
			wrong.add("%s ended with %s, which had not allowed it", id, s.Session)
			continue
		}
		l.end(at)
	}
	for _, l := range p.persons[s.Person].sessions {
		if s.allowed(l) && l.over.IsZero() && at.Add(actSlack).Before(l.expires) {
			wrong.add("%s goes on, and %s, which had allowed it, ended", l.Session, s.Session)
		}
	}
	return wrong.String()
}

// allowed says whether a session for the command line was allowed by this one, or by one that it followed.
func (s *session) allowed(l *session) bool {
	return s.How != gov.SignInLink && l.How == gov.SignInLink && l.AllowedBy != "" && l.Person == s.Person && l.line == s.line
}

// faults are what is wrong with one entry.
type faults []string

func (f *faults) add(format string, args ...any) {
	if what := fmt.Sprintf(format, args...); what != "" {
		*f = append(*f, what)
	}
}

// String joins them.
func (f faults) String() string { return strings.Join(f, "; ") }

func without[T comparable](list, these []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return slices.Contains(these, v) })
}

// short is the front of an id that is long.
func short(id string) string { return id[:min(len(id), 16)] }
