package app_test

import (
	"strings"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

const (
	hereURL = "http://localhost"    // whose sign-ins are by passkey
	idpURL  = "https://idp.example" // an identity provider
)

func (f *forger) time() time.Time { return time.Now().Add(time.Duration(f.clock.Load())).UTC() }

func (f *forger) after(d time.Duration) { f.clock.Add(int64(d)) }

func none() map[canon.Group]canon.Commitment { return map[canon.Group]canon.Commitment{} }

func (f *forger) invite(by canon.Actor, who string, roles ...gov.Role) {
	f.t.Helper()
	f.put(f.org, canon.KindPersonInvited, by, canon.PersonInvited{
		Person: who, Roles: append([]gov.Role{}, roles...), ExpiresAt: f.time().Add(72 * time.Hour).Format(canon.TimeLayout), Commitments: none(),
	}, nil)
}

// in is a person in a session.
func in(who, session string) canon.Actor {
	return canon.Actor{Type: canon.ActorPerson, ID: who, Session: session}
}

func (f *forger) enrol(by canon.Actor, who string) {
	f.t.Helper()
	f.put(f.org, canon.KindPasskeyEnrolled, by, canon.PasskeyEnrolled{Person: who, Passkey: "key-of-" + who, PublicKey: "pQEC", RelyingParty: "localhost", Attestation: "none", AAGUID: "00"}, nil)
}

func (f *forger) remove(by canon.Actor, who string) {
	f.t.Helper()
	f.put(f.org, canon.KindPersonRemoved, by, canon.PersonRemoved{Person: who, Reason: "so"}, nil)
}

// session is a sign-in as the door would record it; with changes what is wrong about it.
func (f *forger) session(who, id, how string, with func(*canon.SignedIn)) {
	f.t.Helper()
	body := canon.SignedIn{
		Session: id, Person: who, How: how, Issuer: idpURL, AuthTime: f.time().Format(canon.TimeLayout), Methods: []string{"pwd"}, Groups: []gov.GroupID{"leads"},
		ExpiresAt: f.time().Add(12 * time.Hour).Format(canon.TimeLayout), Commitments: none(),
	}
	if how == gov.SignInPasskey {
		body.Issuer, body.Passkey = hereURL, "key-of-"+who
	}
	if with != nil {
		with(&body)
	}
	f.put(f.org, canon.KindSignedIn, aPerson(who), body, nil)
}

func (f *forger) end(by canon.Actor, who, id, how string, also ...string) {
	f.t.Helper()
	f.put(f.org, canon.KindSessionEnded, by, canon.SessionEnded{Session: id, Person: who, How: how, Ends: also}, nil)
}

// linked has a session that another one allowed.
func (f *forger) linked(who, by, id string) {
	f.t.Helper()
	s := f.find(by)
	f.session(who, id, gov.SignInLink, func(b *canon.SignedIn) {
		b.AllowedBy, b.Issuer, b.AuthTime, b.Methods, b.Roles = by, s.Issuer, s.AuthTime, s.Methods, s.Roles
	})
}

// find reads the entry of a session.
func (f *forger) find(id string) canon.SignedIn {
	f.t.Helper()
	head, err := f.org.Head(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	for i := range head.Size {
		item, err := f.org.At(f.t.Context(), i)
		if err != nil {
			f.t.Fatal(err)
		}
		if item.Kind != canon.KindSignedIn {
			continue
		}
		body, err := canon.Body[canon.SignedIn](item.Entry)
		if err != nil {
			f.t.Fatal(err)
		}
		if body.Session == id {
			return body
		}
	}
	f.t.Fatalf("no session %s", id)
	return canon.SignedIn{}
}

// TestReplayAccountsForEveryPerson: each is what somebody could write to the organization's ledger, with what replay says of it.
func TestReplayAccountsForEveryPerson(t *testing.T) {
	t.Parallel()
	base := left(t)
	system := canon.Writ()
	for name, c := range map[string]struct {
		build func(f *forger)
		want  []string
	}{
		"as it should be": {func(f *forger) {
			f.invite(f.admin, "p_vera", gov.RoleAdmin)
			f.enrol(aPerson("p_vera"), "p_vera")
			f.session("p_vera", "v1", gov.SignInPasskey, func(b *canon.SignedIn) { b.Roles = []gov.Role{gov.RoleAdmin} })
			f.linked("p_vera", "v1", "l1")
			f.session("p_vera", "v2", gov.SignInPasskey, func(b *canon.SignedIn) { b.Roles, b.Replaces = []gov.Role{gov.RoleAdmin}, "v1" })
			f.invite(in("p_vera", "v2"), "p_tom")
			f.enrol(aPerson("p_tom"), "p_tom")
			f.session("p_tom", "t1", gov.SignInPasskey, nil)
			f.enrol(in("p_tom", "t1"), "p_tom")
			f.end(in("p_tom", "t1"), "p_tom", "t1", gov.SessionSignedOut)
			f.remove(in("p_vera", "l1"), "p_tom")
			f.after(time.Hour)
			f.invite(f.admin, "p_tom")
			f.session("p_tom", "t2", gov.SignInToken, nil)
			f.end(system, "p_tom", "t2", gov.SessionSignedOutAtIssuer)
			f.end(f.admin, "p_vera", "v2", gov.SessionRevoked, "l1")
		}, nil},
		"invited by nobody": {func(f *forger) { f.invite(system, "p_vera") }, []string{"which only administrators do"}},
		"invited by who is no administrator": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
			f.invite(in("p_tom", "t1"), "p_vera", gov.RoleAdmin)
		}, []string{"who was no administrator"}},
		"invited in a session of somebody else": {func(f *forger) {
			f.session("p_ana", "a1", gov.SignInOIDC, func(b *canon.SignedIn) { b.Roles = []gov.Role{gov.RoleAdmin} })
			f.invite(in("p_tom", "a1"), "p_vera")
		}, []string{"which is one of p_ana"}},
		"invited with a credential that is none": {func(f *forger) {
			f.invite(canon.Actor{Type: canon.ActorAdmin, ID: "nobody"}, "p_vera")
		}, []string{"which was never issued"}},
		"invited with a credential that was revoked": {func(f *forger) {
			f.put(f.org, canon.KindCredentialRevoked, f.admin, canon.CredentialRevoked{Credential: gov.CredentialID(f.admin.ID), Reason: "so"}, nil)
			f.after(2 * time.Minute)
			f.invite(f.admin, "p_vera")
		}, []string{"which was revoked by then"}},
		"a credential by Writ itself, beside another": {func(f *forger) {
			f.put(f.org, canon.KindCredentialIssued, system, canon.CredentialIssued{Credential: "k2", Role: "admin", SecretHash: strings.Repeat("00", 32)}, nil)
		}, []string{"issued by nobody"}},
		"a credential by who is no administrator": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
			f.put(f.org, canon.KindCredentialIssued, in("p_tom", "t1"), canon.CredentialIssued{Credential: "k2", Role: "admin", SecretHash: strings.Repeat("00", 32)}, nil)
		}, []string{"who was no administrator"}},
		"enrolled without an invitation": {func(f *forger) { f.enrol(aPerson("p_vera"), "p_vera") }, []string{"whom nobody invited"}},
		"enrolled twice by one invitation": {func(f *forger) {
			f.invite(f.admin, "p_vera")
			f.enrol(aPerson("p_vera"), "p_vera")
			f.enrol(aPerson("p_vera"), "p_vera")
		}, []string{"without an open invitation"}},
		"enrolled too late": {func(f *forger) {
			f.invite(f.admin, "p_vera")
			f.after(73 * time.Hour)
			f.enrol(aPerson("p_vera"), "p_vera")
		}, []string{"without an open invitation"}},
		"enrolled by a removed person": {func(f *forger) {
			f.invite(f.admin, "p_vera")
			f.remove(f.admin, "p_vera")
			f.enrol(aPerson("p_vera"), "p_vera")
		}, []string{"who was removed"}},
		"enrolled for another person": {func(f *forger) {
			f.invite(f.admin, "p_vera")
			f.enrol(aPerson("p_tom"), "p_vera")
		}, []string{"by person p_tom"}},
		"enrolled long after the sign-in": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
			f.after(time.Hour)
			f.enrol(in("p_tom", "t1"), "p_tom")
		}, []string{"wants one of the 15m0s before it"}},
		"a removed person signs in": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
			f.remove(f.admin, "p_tom")
			f.session("p_tom", "t2", gov.SignInOIDC, nil)
		}, []string{"and was removed"}},
		"with a passkey that nobody enrolled": {func(f *forger) {
			f.invite(f.admin, "p_vera")
			f.session("p_vera", "v1", gov.SignInPasskey, nil)
		}, []string{"that they had not enrolled"}},
		"with another's passkey": {func(f *forger) {
			for _, who := range []string{"p_vera", "p_tom"} {
				f.invite(f.admin, who)
				f.enrol(aPerson(who), who)
			}
			f.session("p_vera", "v1", gov.SignInPasskey, func(b *canon.SignedIn) { b.Passkey = "key-of-p_tom" })
		}, []string{"that they had not enrolled"}},
		"with a passkey of before the removal": {func(f *forger) {
			f.invite(f.admin, "p_vera")
			f.enrol(aPerson("p_vera"), "p_vera")
			f.remove(f.admin, "p_vera")
			f.invite(f.admin, "p_vera")
			f.session("p_vera", "v1", gov.SignInPasskey, nil)
		}, []string{"that they had not enrolled"}},
		"an administrator whom nobody made one": {func(f *forger) {
			f.invite(f.admin, "p_vera", gov.RoleAuditor)
			f.enrol(aPerson("p_vera"), "p_vera")
			f.session("p_vera", "v1", gov.SignInPasskey, func(b *canon.SignedIn) { b.Roles = []gov.Role{gov.RoleAdmin, gov.RoleAuditor} })
		}, []string{"as [admin], which nobody had made them"}},
		"recorded by another": {func(f *forger) {
			f.put(f.org, canon.KindSignedIn, aPerson("p_ana"), canon.SignedIn{
				Session: "t1", Person: "p_tom", How: gov.SignInOIDC, Issuer: idpURL, AuthTime: f.time().Format(canon.TimeLayout), ExpiresAt: f.time().Format(canon.TimeLayout), Commitments: none(),
			}, nil)
		}, []string{"recorded by person p_ana"}},
		"a session twice": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
		}, []string{"began before"}},
		"a session for a week": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, func(b *canon.SignedIn) { b.ExpiresAt = f.time().Add(7 * 24 * time.Hour).Format(canon.TimeLayout) })
		}, []string{"for longer than 12h"}},
		"in a way nobody knows":                   {func(f *forger) { f.session("p_tom", "t1", "magic", nil) }, []string{"a way that is not known"}},
		"for the command line, allowed by nobody": {func(f *forger) { f.session("p_tom", "t1", gov.SignInLink, nil) }, []string{"allowed by no session"}},
		"for the command line, allowed by such a one": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
			f.linked("p_tom", "t1", "l1")
			f.linked("p_tom", "l1", "l2")
		}, []string{"allowed by no session"}},
		"for the command line, allowed long after the sign-in": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
			f.after(time.Hour)
			f.linked("p_tom", "t1", "l1")
		}, []string{"allowed by no session"}},
		"for the command line, allowed by another person": {func(f *forger) {
			f.session("p_ana", "a1", gov.SignInOIDC, nil)
			f.linked("p_tom", "a1", "l1")
		}, []string{"allowed by no session"}},
		"in the place of none": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, func(b *canon.SignedIn) { b.Replaces = "t0" })
		}, []string{"in the place of t0, which nobody began"}},
		"in the place of one twice": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
			f.session("p_tom", "t2", gov.SignInOIDC, func(b *canon.SignedIn) { b.Replaces = "t1" })
			f.session("p_tom", "t3", gov.SignInOIDC, func(b *canon.SignedIn) { b.Replaces = "t1" })
		}, []string{"in the place of t1, which had ended"}},
		"ended twice": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
			f.end(in("p_tom", "t1"), "p_tom", "t1", gov.SessionSignedOut)
			f.end(f.admin, "p_tom", "t1", gov.SessionRevoked)
		}, []string{"had ended before"}},
		"ended and never begun": {func(f *forger) { f.end(f.admin, "p_tom", "t1", gov.SessionRevoked) }, []string{"which nobody began"}},
		"ended when it was over": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
			f.after(13 * time.Hour)
			f.end(f.admin, "p_tom", "t1", gov.SessionRevoked)
		}, []string{"and was over"}},
		"ended by who may not": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
			f.session("p_ana", "a1", gov.SignInOIDC, nil)
			f.end(in("p_ana", "a1"), "p_tom", "t1", gov.SessionRevoked)
		}, []string{"who may not"}},
		"signed out by another": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
			f.end(f.admin, "p_tom", "t1", gov.SessionSignedOut)
		}, []string{"who may not"}},
		"ended, and what it allowed goes on": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
			f.linked("p_tom", "t1", "l1")
			f.end(in("p_tom", "t1"), "p_tom", "t1", gov.SessionSignedOut)
		}, []string{"l1 goes on"}},
		"ended with what it had not allowed": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
			f.session("p_ana", "a1", gov.SignInOIDC, nil)
			f.end(in("p_tom", "t1"), "p_tom", "t1", gov.SessionSignedOut, "a1")
		}, []string{"which had not allowed it"}},
		"removed and unknown": {func(f *forger) { f.remove(f.admin, "p_tom") }, []string{"whom nobody knew"}},
		"removed twice": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
			f.remove(f.admin, "p_tom")
			f.remove(f.admin, "p_tom")
		}, []string{"had been before"}},
		"removed by nobody": {func(f *forger) {
			f.session("p_tom", "t1", gov.SignInOIDC, nil)
			f.remove(system, "p_tom")
		}, []string{"which only administrators do"}},
		"an act in a session that had ended": {func(f *forger) {
			f.session("p_ana", "a1", gov.SignInOIDC, func(b *canon.SignedIn) { b.Roles = []gov.Role{gov.RoleAdmin} })
			f.end(in("p_ana", "a1"), "p_ana", "a1", gov.SessionSignedOut)
			f.after(2 * time.Minute)
			f.invite(in("p_ana", "a1"), "p_vera")
		}, []string{"which had ended by then"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, _, _ := base.forged(t)
			c.build(f)
			f.wantsOf(f.replayOf(f.org, nil), c.want...)
		})
	}
}

// TestReplayHoldsActsAgainstSignIns: each is what somebody could write, with what replay says of it.
func TestReplayHoldsActsAgainstSignIns(t *testing.T) {
	t.Parallel()
	base := left(t)
	approve := gov.VoteApprove
	// said has a review say of the sign-in what a session's entry says.
	said := func(f *forger, session string) func(*canon.ChangeReviewed) {
		s := f.find(session)
		return func(r *canon.ChangeReviewed) { r.Issuer, r.AuthTime, r.Methods = s.Issuer, s.AuthTime, s.Methods }
	}
	for name, c := range map[string]struct {
		build func(f *forger, change gov.EntryID)
		want  []string
		held  int64 // of three: the first activation and the proposal by an administrator, and the review
	}{
		"as it should be": {func(f *forger, change gov.EntryID) {
			f.session("p_maria", "m1", gov.SignInOIDC, nil)
			f.reviewIn("m1", "p_maria", change, approve, said(f, "m1"))
		}, nil, 3},
		"as one of a group that the bundle has the person in": {func(f *forger, change gov.EntryID) {
			f.session("p_maria", "m1", gov.SignInOIDC, func(b *canon.SignedIn) { b.Groups = nil })
			f.reviewNamed("m1", "p_maria", "maria", change, said(f, "m1"))
		}, nil, 3},
		"as one of a group that nobody has the person in": {func(f *forger, change gov.EntryID) {
			f.session("p_tom", "t1", gov.SignInOIDC, func(b *canon.SignedIn) { b.Groups = []gov.GroupID{"support"} })
			f.reviewNamed("t1", "p_tom", "tom", change, said(f, "t1"))
		}, []string{"as one of [leads], in which neither the session t1 nor the bundle has them"}, 3},
		"as one of a group, and the name was erased": {func(f *forger, change gov.EntryID) {
			f.session("p_maria", "m1", gov.SignInOIDC, func(b *canon.SignedIn) { b.Groups = nil })
			f.reviewIn("m1", "p_maria", change, approve, said(f, "m1"))
		}, nil, 2},
		"before sessions were named": {func(f *forger, change gov.EntryID) {
			f.session("p_maria", "m1", gov.SignInOIDC, nil)
			f.review("p_maria", change, approve, said(f, "m1"))
		}, nil, 3},
		"with a token that was not recorded": {func(f *forger, change gov.EntryID) { f.review("p_maria", change, approve, nil) }, nil, 2},
		"by passkey, and not recorded": {func(f *forger, change gov.EntryID) {
			f.invite(f.admin, "p_vera")
			f.enrol(aPerson("p_vera"), "p_vera")
			f.session("p_vera", "v1", gov.SignInPasskey, nil)
			f.review("p_maria", change, approve, func(r *canon.ChangeReviewed) { r.Issuer = hereURL })
		}, []string{"which nobody recorded"}, 3},
		"in no session": {func(f *forger, change gov.EntryID) { f.reviewIn("m1", "p_maria", change, approve, nil) }, []string{"which nobody began"}, 3},
		"in a session of another": {func(f *forger, change gov.EntryID) {
			f.session("p_omar", "o1", gov.SignInOIDC, nil)
			f.reviewIn("o1", "p_maria", change, approve, said(f, "o1"))
		}, []string{"which is one of p_omar"}, 3},
		"in a session that began after": {func(f *forger, change gov.EntryID) {
			f.reviewIn("m1", "p_maria", change, approve, func(r *canon.ChangeReviewed) { r.Issuer, r.Methods = idpURL, []string{"pwd"} })
			f.after(5 * time.Minute)
			f.session("p_maria", "m1", gov.SignInOIDC, nil)
		}, []string{"which began after it"}, 3},
		"in a session that had ended": {func(f *forger, change gov.EntryID) {
			f.session("p_maria", "m1", gov.SignInOIDC, nil)
			f.end(in("p_maria", "m1"), "p_maria", "m1", gov.SessionSignedOut)
			f.after(2 * time.Minute)
			f.reviewIn("m1", "p_maria", change, approve, said(f, "m1"))
		}, []string{"which had ended by then"}, 3},
		"in a session that was replaced": {func(f *forger, change gov.EntryID) {
			f.session("p_maria", "m1", gov.SignInOIDC, nil)
			f.session("p_maria", "m2", gov.SignInOIDC, func(b *canon.SignedIn) { b.Replaces = "m1" })
			f.after(2 * time.Minute)
			f.reviewIn("m1", "p_maria", change, approve, said(f, "m1"))
		}, []string{"which had ended by then"}, 3},
		"in a session that ended with what had allowed it": {func(f *forger, change gov.EntryID) {
			f.session("p_maria", "m1", gov.SignInOIDC, nil)
			f.linked("p_maria", "m1", "l1")
			f.end(in("p_maria", "m1"), "p_maria", "m1", gov.SessionSignedOut, "l1")
			f.after(2 * time.Minute)
			f.reviewIn("l1", "p_maria", change, approve, said(f, "l1"))
		}, []string{"which had ended by then"}, 3},
		"after the removal": {func(f *forger, change gov.EntryID) {
			f.session("p_maria", "m1", gov.SignInOIDC, nil)
			f.remove(f.admin, "p_maria")
			f.after(2 * time.Minute)
			f.reviewIn("m1", "p_maria", change, approve, said(f, "m1"))
		}, []string{"who had been removed"}, 3},
		"in a session of before the removal": {func(f *forger, change gov.EntryID) {
			f.session("p_maria", "m1", gov.SignInOIDC, nil)
			f.remove(f.admin, "p_maria")
			f.after(2 * time.Minute)
			f.invite(f.admin, "p_maria")
			f.reviewIn("m1", "p_maria", change, approve, said(f, "m1"))
		}, []string{"which had ended by then"}, 3},
		"at another time than the sign-in": {func(f *forger, change gov.EntryID) {
			f.session("p_maria", "m1", gov.SignInOIDC, nil)
			f.reviewIn("m1", "p_maria", change, approve, func(r *canon.ChangeReviewed) { r.Issuer, r.Methods = idpURL, []string{"pwd"} })
		}, []string{"and the session m1 on one at"}, 3},
		"in another way than the sign-in": {func(f *forger, change gov.EntryID) {
			f.session("p_maria", "m1", gov.SignInOIDC, nil)
			like := said(f, "m1")
			f.reviewIn("m1", "p_maria", change, approve, func(r *canon.ChangeReviewed) {
				like(r)
				r.Methods = []string{"pwd", "otp"}
			})
		}, []string{"and the session m1 on one at"}, 3},
		"long after the sign-in": {func(f *forger, change gov.EntryID) {
			f.session("p_maria", "m1", gov.SignInOIDC, nil)
			f.after(20 * time.Minute)
			f.reviewIn("m1", "p_maria", change, approve, said(f, "m1"))
		}, []string{"wants one of the 15m0s before it"}, 3},
		"a credential by who is no administrator": {func(f *forger, _ gov.EntryID) {
			f.session("p_maria", "m1", gov.SignInOIDC, nil)
			f.append(canon.KindCredentialIssued, in("p_maria", "m1"), canon.CredentialIssued{Credential: "k2", Role: "agent", Agent: "bot", SecretHash: strings.Repeat("00", 32)})
		}, []string{"who was no administrator"}, 3},
		"a credential by an agent": {func(f *forger, _ gov.EntryID) {
			f.append(canon.KindCredentialIssued, canon.Actor{Type: canon.ActorAgent, ID: "bot"}, canon.CredentialIssued{Credential: "k2", Role: "agent", Agent: "bot", SecretHash: strings.Repeat("00", 32)})
		}, []string{"which only administrators do"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, acme, other := base.forged(t)
			c.build(f, f.propose(f.admin, acme, other))
			report := f.replay()
			f.wantsOf(report, c.want...)
			if report.Held != c.held || report.Held+report.NotHeld[noSignIn]+report.NotHeld[noName] != report.Acts {
				t.Errorf("%d of %d acts held, want %d; %v", report.Held, report.Acts, c.held, report.NotHeld)
			}
			alone := f.replayOf(f.Ledger, nil)
			if alone.Held != 0 || alone.NotHeld[noOrg] != alone.Acts || alone.Acts != report.Acts {
				t.Errorf("without the organization's ledger: %+v", alone)
			}
		})
	}
}

const (
	noSignIn = "the entry names no session, and no sign-in is recorded that it could be of"
	noName   = "the bundle may have the person in a group that their sign-in does not name, and the person's name was erased"
	noOrg    = "the organization's ledger is not there"
)

// TestReplayHoldsWhatComesIntoForceAtItsTime against who scheduled and who approved it: nobody is there then.
func TestReplayHoldsWhatComesIntoForceAtItsTime(t *testing.T) {
	t.Parallel()
	base := left(t)
	for name, c := range map[string]struct {
		meanwhile func(f *forger)
		want      []string
	}{
		"as it should be":           {func(*forger) {}, nil},
		"its scheduler was removed": {func(f *forger) { f.remove(f.admin, "p_ana") }, []string{"who had scheduled it, was removed"}},
		"its scheduler was removed and is back": {func(f *forger) {
			f.remove(f.admin, "p_ana")
			f.invite(f.admin, "p_ana")
		}, []string{"who had scheduled it, was removed"}},
		"its reviewer was removed": {func(f *forger) { f.remove(f.admin, "p_maria") }, []string{"who had approved it, was removed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, acme, other := base.forged(t)
			f.session("p_ana", "a1", gov.SignInOIDC, nil)
			f.session("p_maria", "m1", gov.SignInOIDC, nil)
			s := f.find("m1")
			id := f.propose(in("p_ana", "a1"), acme, other)
			f.reviewIn("m1", "p_maria", id, gov.VoteApprove, func(r *canon.ChangeReviewed) { r.Issuer, r.AuthTime, r.Methods = s.Issuer, s.AuthTime, s.Methods })
			f.append(canon.KindChangeScheduled, in("p_ana", "a1"), canon.ChangeScheduled{Change: id, State: gov.ChangeScheduled, At: f.time().Add(24 * time.Hour).Format(canon.TimeLayout)})
			f.after(time.Hour)
			c.meanwhile(f)
			f.after(23 * time.Hour)
			f.activate(aPerson("p_ana"), canon.BundleActivated{Bundle: other, Previous: acme, How: "reviewed", Change: id})
			report := f.replay()
			if f.wantsOf(report, c.want...); report.Held != report.Acts {
				t.Errorf("%d of %d acts held: %v", report.Held, report.Acts, report.NotHeld)
			}
		})
	}
}
