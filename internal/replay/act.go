package replay

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/state"
)

// Why an act is not held against the organization's ledger.
const (
	unheldNoOrg    = "the organization's ledger is not there"
	unheldNoSignIn = "the entry names no session, and no sign-in is recorded that it could be of"
	unheldNoName   = "the bundle may have the person in a group that their sign-in does not name, and the person's name was erased"
)

// facts are what the entry of an act says of the sign-in, where the rule asks for a fresh one.
type facts struct {
	issuer   string
	authTime string
	methods  []string
	level    string
	groups   []gov.GroupID // for which the person acted
}

// factsOf gives what an entry says of the sign-in; ok is false where it says nothing.
func factsOf(e canon.Entry) (f facts, ok bool, err error) {
	switch e.Kind {
	case canon.KindApprovalVote:
		b, err := canon.Body[canon.ApprovalVote](e)
		return facts{b.Issuer, b.AuthTime, b.Methods, b.Level, b.Groups}, true, err
	case canon.KindDelegationVote:
		b, err := canon.Body[canon.DelegationVote](e)
		return facts{b.Issuer, b.AuthTime, b.Methods, b.Level, b.Groups}, true, err
	case canon.KindDelegationGranted:
		b, err := canon.Body[canon.DelegationGranted](e)
		return facts{b.Issuer, b.AuthTime, b.Methods, b.Level, b.Groups}, true, err
	case canon.KindChangeReviewed:
		b, err := canon.Body[canon.ChangeReviewed](e)
		return facts{b.Issuer, b.AuthTime, b.Methods, b.Level, b.Groups}, true, err
	case canon.KindBundleActivated:
		b, err := canon.Body[canon.BundleActivated](e)
		if err != nil || b.SignIn == nil {
			return facts{}, false, err
		}
		return facts{b.SignIn.Issuer, b.SignIn.AuthTime, b.SignIn.Methods, b.SignIn.Level, b.SignIn.Groups}, true, nil
	case canon.KindIncidentEvent:
		b, err := canon.Body[canon.IncidentEvent](e)
		if err != nil || b.SignIn == nil {
			return facts{}, false, err
		}
		return facts{b.SignIn.Issuer, b.SignIn.AuthTime, b.SignIn.Methods, b.SignIn.Level, b.SignIn.Groups}, true, nil
	default:
		return facts{}, false, nil
	}
}

// is says whether a session is of that sign-in.
func (f facts) is(s *session) bool {
	return f.issuer == s.Issuer && f.authTime == s.AuthTime && slices.Equal(f.methods, s.Methods) && f.level == s.Level
}

// stale says why a sign-in at a time was no fresh one, or nothing.
func stale(authTime string, at time.Time) string {
	since := at.Sub(readTime(authTime))
	if since > gov.SignInFreshMax+actSlack || since < -actSlack {
		return fmt.Sprintf("it rests on a sign-in of %s, and wants one of the %s before it", authTime, gov.SignInFreshMax)
	}
	return ""
}

// acts counts what people and administrators did, and whether it was held against the organization's ledger.
type acts struct {
	all, held int64
	unheld    map[string]int64 // by why
}

func (a *acts) count(unheld string) {
	a.all++
	if unheld == "" {
		a.held++
		return
	}
	a.unheld[unheld]++
}

// hold holds an entry against the organization's ledger: whoever it names had to be able to act then. It says what is wrong.
func (p *player) hold(ctx context.Context, e canon.Entry, raw ledger.Raw) (string, error) {
	by := e.Actor.Type
	if by != canon.ActorPerson && by != canon.ActorAdmin {
		return unlawful(e), nil
	}
	at, err := e.Time()
	if err != nil {
		return "", err
	}
	said, says, err := factsOf(e)
	if err != nil {
		return "", err
	}
	var wrong faults
	if says && by == canon.ActorPerson {
		wrong.add("%s", stale(said.authTime, at))
	}
	if p.people == nil {
		p.acts.count(unheldNoOrg)
		return wrong.String(), nil
	}
	if due, ok := p.account.due(e, at); ok {
		p.acts.count("")
		return p.people.unattended(due, e, at), nil
	}
	unheld, what := p.people.hold(e, at, said, says)
	if unheld == "" && what == "" {
		if unheld, what, err = p.claims(ctx, e, raw, said.groups); err != nil {
			return "", err
		}
	}
	p.acts.count(unheld)
	wrong.add("%s", what)
	return wrong.String(), nil
}

// claims says for which groups a person acted that neither the session that the entry names nor the bundle in force has them in. A
// bundle lists people by name, which stands in the payloads of the act and of their sign-ins; once it is erased, the act is not held.
func (p *player) claims(ctx context.Context, e canon.Entry, raw ledger.Raw, groups []gov.GroupID) (unheld, what string, err error) {
	s, known := p.people.sessions[e.Actor.Session]
	if !known {
		return "", "", nil // of before sessions were named
	}
	claimed := without(groups, s.Groups)
	if len(claimed) == 0 {
		return "", "", nil
	}
	payload, err := p.payload(ctx, raw)
	if err != nil {
		return "", "", err
	}
	named, ok := state.PrincipalOf(payload)
	if !ok {
		named = p.people.person(e.Actor.ID).named
	}
	if named == (gov.Principal{}) {
		return unheldNoName, "", nil
	}
	if p.control.Engine != nil {
		claimed = without(claimed, p.control.Engine.Bundle().GroupsOf(named))
	}
	if len(claimed) > 0 {
		what = fmt.Sprintf("by %s as one of %v, in which neither the session %s nor the bundle has them", e.Actor.ID, claimed, s.Session)
	}
	return "", what, nil
}

// unlawful says what neither a person nor an administrator did, and only they do.
func unlawful(e canon.Entry) string {
	bootstrap := e.Actor.Type == canon.ActorSystem && e.Kind == canon.KindCredentialIssued && e.Ledger == gov.OrgLedger
	if administrators(e.Kind) && !bootstrap {
		return fmt.Sprintf("a %s by %s %s, which only administrators do", e.Kind, e.Actor.Type, e.Actor.ID)
	}
	return ""
}

// administrators says whether only they do such a thing.
func administrators(k canon.Kind) bool {
	switch k {
	case canon.KindPersonInvited, canon.KindPersonRemoved, canon.KindCredentialIssued, canon.KindCredentialRevoked:
		return true
	default:
		return false
	}
}

// hold gives why an act is not held, or what is wrong with it, or neither.
func (p *People) hold(e canon.Entry, at time.Time, said facts, says bool) (unheld, what string) {
	if e.Actor.Type == canon.ActorAdmin {
		return "", p.byCredential(e, at)
	}
	if e.Kind == canon.KindSignedIn || e.Kind == canon.KindPasskeyEnrolled && e.Actor.Session == "" {
		return "", "" // it is what others are held against
	}
	who, known := p.persons[e.Actor.ID]
	if known && who.out(at) {
		return "", fmt.Sprintf("by %s, who had been removed", e.Actor.ID)
	}
	if e.Actor.Session == "" {
		return p.byNoSession(e, at, said, says)
	}
	s, known := p.sessions[e.Actor.Session]
	switch {
	case !known:
		return "", fmt.Sprintf("by %s in the session %s, which nobody began", e.Actor.ID, e.Actor.Session)
	case s.Person != e.Actor.ID:
		return "", fmt.Sprintf("by %s in the session %s, which is one of %s", e.Actor.ID, s.Session, s.Person)
	case s.holds(at) != "":
		return "", fmt.Sprintf("by %s in the session %s, which %s", e.Actor.ID, s.Session, s.holds(at))
	case says && !said.is(s):
		return "", fmt.Sprintf("it rests on a sign-in at %s of %s, and the session %s on one at %s of %s", said.issuer, said.authTime, s.Session, s.Issuer, s.AuthTime)
	case administrators(e.Kind) && !slices.Contains(s.Roles, gov.RoleAdmin):
		return "", fmt.Sprintf("a %s by %s, who was no administrator in the session %s", e.Kind, e.Actor.ID, s.Session)
	}
	return "", ""
}

func (p *People) byCredential(e canon.Entry, at time.Time) string {
	id := gov.CredentialID(e.Actor.ID)
	c, known := p.credentials[id]
	switch {
	case !known:
		return fmt.Sprintf("by an administrator with %s, which was never issued", id)
	case c.holds(at) != "":
		return fmt.Sprintf("by an administrator with %s, which %s", id, c.holds(at))
	}
	return ""
}

// byNoSession holds an entry of before sessions were named: some session of the person has to fit.
func (p *People) byNoSession(e canon.Entry, at time.Time, said facts, says bool) (unheld, what string) {
	fits := func(s *session) bool {
		return s.holds(at) == "" && (!says || said.is(s)) && (!administrators(e.Kind) || slices.Contains(s.Roles, gov.RoleAdmin))
	}
	if who, known := p.persons[e.Actor.ID]; known && slices.ContainsFunc(who.sessions, fits) {
		return "", ""
	}
	if says && p.keepsEvery(said.issuer) {
		return "", fmt.Sprintf("it rests on a sign-in at %s of %s, which nobody recorded", said.issuer, said.authTime)
	}
	return unheldNoSignIn, ""
}

// keepsEvery says whether every sign-in with an issuer was always recorded: those by passkey, whose issuer is this server.
func (p *People) keepsEvery(issuer string) bool {
	for _, s := range p.sessions {
		if s.How == gov.SignInPasskey && s.Issuer == issuer {
			return true
		}
	}
	return false
}

// administers says whether who did something administered the server then.
func (p *People) administers(e canon.Entry, at time.Time) bool {
	if e.Actor.Type == canon.ActorAdmin {
		return p.byCredential(e, at) == ""
	}
	who, known := p.persons[e.Actor.ID]
	return known && slices.ContainsFunc(who.sessions, func(s *session) bool {
		return (e.Actor.Session == "" || e.Actor.Session == s.Session) && s.holds(at) == "" && slices.Contains(s.Roles, gov.RoleAdmin)
	})
}

// unattended says why a change should not have come into force at its time: who scheduled it, and who approved it, were not removed
// meanwhile.
func (p *People) unattended(c changed, e canon.Entry, at time.Time) string {
	var wrong faults
	if e.Actor.Type == canon.ActorAdmin {
		wrong.add("%s", p.byCredential(e, at))
	} else if p.removedSince(e.Actor.ID, c.scheduled, at) {
		wrong.add("it came into force at its time, and %s, who had scheduled it, was removed before", e.Actor.ID)
	}
	for ref, reviewed := range c.approved {
		if p.removedSince(ref, reviewed, at) {
			wrong.add("it came into force at its time, and %s, who had approved it, was removed before", ref)
		}
	}
	return wrong.String()
}
