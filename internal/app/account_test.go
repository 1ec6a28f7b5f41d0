package app_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/merkle"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/replay"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/state"
	"github.com/writ-dev/writ/internal/store"
)

// forger appends entries to the ledger of a stopped node, as somebody with its database and its code could.
type forger struct {
	t *testing.T
	*ledger.Ledger
	org     *ledger.Ledger
	admin   canon.Actor   // who started the node
	clock   *atomic.Int64 // how far it is ahead, in nanoseconds
	engines *live.Engines
	tar     map[gov.BundleDigest][]byte
	count   byte
}

func forge(t *testing.T, dir string) *forger {
	t.Helper()
	st, err := store.OpenSQLite(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var clock atomic.Int64
	options := ledger.Options{Now: func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }, Log: slog.New(slog.DiscardHandler)}
	l, org := ledger.New(st, "prod", options), ledger.New(st, gov.OrgLedger, options)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	running.Go(func() { org.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return &forger{t: t, clock: &clock, Ledger: l, org: org, engines: live.NewEngines(st), tar: map[gov.BundleDigest][]byte{}}
}

// bundle is the digest of a bundle, which comes into the store with the first entry that names it.
func (f *forger) bundle(tar []byte) gov.BundleDigest {
	f.t.Helper()
	e, err := live.Compile(tar)
	if err != nil {
		f.t.Fatal(err)
	}
	f.tar[e.Bundle().Digest] = tar
	return e.Bundle().Digest
}

func (f *forger) append(kind canon.Kind, actor canon.Actor, body any) gov.EntryID {
	f.t.Helper()
	return f.put(f.Ledger, kind, actor, body, nil)
}

func (f *forger) appendWith(kind canon.Kind, actor canon.Actor, body any, payload canon.Payload) gov.EntryID {
	f.t.Helper()
	return f.put(f.Ledger, kind, actor, body, payload)
}

func (f *forger) put(l *ledger.Ledger, kind canon.Kind, actor canon.Actor, body any, payload canon.Payload) gov.EntryID {
	f.t.Helper()
	f.count++
	draft, err := canon.NewDraft(l.Name(), kind, canon.Nonce{f.count}, actor, body)
	if err != nil {
		f.t.Fatal(err)
	}
	record := ledger.NewRecord(kind, draft, payload.Encode())
	for digest, tar := range f.tar {
		record.Blobs = append(record.Blobs, row.Blob{Digest: string(digest), Data: tar})
	}
	receipt, err := l.Append(f.t.Context(), record)
	if err != nil {
		f.t.Fatal(err)
	}
	return receipt.ID
}

func aPerson(id string) canon.Actor { return canon.Actor{Type: canon.ActorPerson, ID: id} }

func (f *forger) propose(author canon.Actor, base, next gov.BundleDigest) gov.EntryID {
	f.t.Helper()
	return f.append(canon.KindChangeProposed, author, canon.ChangeProposed{Bundle: next, Base: base, Description: "so", Tests: 1})
}

// review is a review as the door would record it; with changes what is wrong about it.
func (f *forger) review(person string, change gov.EntryID, vote gov.Vote, with func(*canon.ChangeReviewed)) {
	f.t.Helper()
	f.reviewIn("", person, change, vote, with)
}

// reviewIn is a review in a session.
func (f *forger) reviewIn(session, person string, change gov.EntryID, vote gov.Vote, with func(*canon.ChangeReviewed)) {
	f.t.Helper()
	f.append(canon.KindChangeReviewed, in(person, session), f.reviewed(person, change, vote, with))
}

// reviewNamed is an approval in a session, by a user whose name is in the payload.
func (f *forger) reviewNamed(session, person, user string, change gov.EntryID, with func(*canon.ChangeReviewed)) {
	f.t.Helper()
	body, payload := f.reviewed(person, change, gov.VoteApprove, with), canon.Payload{}
	body.Commitments = map[canon.Group]canon.Commitment{}
	name := state.PrincipalValue(gov.Principal{Type: gov.PrincipalUser, ID: user})
	if err := payload.Seal(rand.Reader, body.Commitments, canon.GroupPrincipal, canon.AppendValue(nil, name)); err != nil {
		f.t.Fatal(err)
	}
	f.put(f.Ledger, canon.KindChangeReviewed, in(person, session), body, payload)
}

func (f *forger) reviewed(person string, change gov.EntryID, vote gov.Vote, with func(*canon.ChangeReviewed)) canon.ChangeReviewed {
	f.t.Helper()
	item, err := f.ByID(f.t.Context(), change)
	if err != nil {
		f.t.Fatal(err)
	}
	leaf := merkle.LeafHash(item.Raw)
	after, _ := gov.ChangeProposed.Reviewed(vote)
	body := canon.ChangeReviewed{
		Change: change, Review: vote, Person: person, Groups: []gov.GroupID{"leads"}, Issuer: "https://idp", AuthTime: time.Now().UTC().Format(canon.TimeLayout),
		Shown: hex.EncodeToString(leaf[:]), State: after,
	}
	if with != nil {
		with(&body)
	}
	return body
}

func (f *forger) activate(by canon.Actor, body canon.BundleActivated) gov.EntryID {
	f.t.Helper()
	return f.append(canon.KindBundleActivated, by, body)
}

// early is an activation in an emergency.
func early(acme, other gov.BundleDigest, change gov.EntryID, after gov.ChangeState) canon.BundleActivated {
	return canon.BundleActivated{
		Bundle: other, Previous: acme, How: canon.HowEmergency, Change: change, Reason: "so", State: after,
		SignIn: &canon.SignIn{Groups: []gov.GroupID{"leads"}, AuthTime: time.Now().UTC().Format(canon.TimeLayout)},
	}
}

// people is what the organization's ledger says.
func (f *forger) people() *replay.People {
	f.t.Helper()
	p, err := replay.FoldPeople(f.t.Context(), f.org)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *forger) replay() replay.Report {
	f.t.Helper()
	return f.replayOf(f.Ledger, f.people())
}

func (f *forger) replayOf(l *ledger.Ledger, people *replay.People) replay.Report {
	f.t.Helper()
	head, err := l.Head(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	compile := func(d gov.BundleDigest) (*policy.Engine, error) { return f.engines.Engine(f.t.Context(), d) }
	report, err := replay.Replay(f.t.Context(), l, compile, replay.Range{To: head.Size}, people, app.Parallel(2), func(int64) {})
	if err != nil {
		f.t.Fatal(err)
	}
	return report
}

// wants wants exactly these differences, each a part of what is said.
func (f *forger) wants(parts ...string) {
	f.t.Helper()
	f.wantsOf(f.replay(), parts...)
}

func (f *forger) wantsOf(report replay.Report, parts ...string) {
	f.t.Helper()
	if int(report.Different) != len(parts) {
		f.t.Fatalf("%d differences, want %d: %+v", report.Different, len(parts), report.Differences)
	}
	for i, part := range parts {
		if what := report.Differences[i].What; !strings.Contains(what, part) {
			f.t.Errorf("difference %d is %q, want %q", i, what, part)
		}
	}
}

// records are a directory that a node left, with acme in force.
type records struct {
	dir   string
	admin canon.Actor
}

// left starts a node with acme in force and stops it.
func left(t *testing.T) records {
	t.Helper()
	r := records{dir: t.TempDir()}
	n := start(t, newOffice(t).config(r.dir))
	n.acme()
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	r.admin = canon.Actor{Type: canon.ActorAdmin, ID: strings.Split(n.admin, "_")[2]}
	return r
}

// copied is a copy of a directory.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// forged gives a copy of the ledger, the active bundle and another one.
func (r records) forged(t *testing.T) (f *forger, acme, other gov.BundleDigest) {
	t.Helper()
	f = forge(t, copied(t, r.dir))
	f.admin = r.admin
	return f, f.bundle(acmeWith(t, "writ.yaml")), f.bundle(acmeWith(t, refundsFile, oldReason, newReason))
}

func TestReplayAccountsForEveryActivation(t *testing.T) {
	t.Parallel()
	base := left(t)
	ana, maria := aPerson("p_ana"), "p_maria"
	approve := gov.VoteApprove
	for name, c := range map[string]struct {
		build func(f *forger, acme, other gov.BundleDigest)
		want  []string
	}{
		"reviewed and rolled back": {func(f *forger, acme, other gov.BundleDigest) {
			id := f.propose(ana, acme, other)
			f.review(maria, id, approve, nil)
			f.activate(ana, canon.BundleActivated{Bundle: other, Previous: acme, How: "reviewed", Change: id})
			f.activate(ana, canon.BundleActivated{Bundle: acme, Previous: other, How: "rollback", Reason: "so"})
		}, nil},
		"never reviewed": {func(f *forger, acme, other gov.BundleDigest) {
			id := f.propose(ana, acme, other)
			f.activate(ana, canon.BundleActivated{Bundle: other, Previous: acme, How: "reviewed", Change: id})
		}, []string{"which was proposed and not approved"}},
		"never proposed": {func(f *forger, acme, other gov.BundleDigest) {
			f.activate(ana, canon.BundleActivated{Bundle: other, Previous: acme, How: "reviewed", Change: "chg_000000000jd2d69vktekatahg8"})
		}, []string{"which nobody proposed"}},
		"reviewed by its author": {func(f *forger, acme, other gov.BundleDigest) {
			id := f.propose(ana, acme, other)
			f.review(ana.ID, id, approve, nil)
			f.activate(ana, canon.BundleActivated{Bundle: other, Previous: acme, How: "reviewed", Change: id})
		}, []string{"by its own author", "not approved"}},
		"reviewed by a group that does not": {func(f *forger, acme, other gov.BundleDigest) {
			id := f.propose(ana, acme, other)
			f.review(maria, id, approve, func(r *canon.ChangeReviewed) { r.Groups = []gov.GroupID{"support"} })
			f.activate(ana, canon.BundleActivated{Bundle: other, Previous: acme, How: "reviewed", Change: id})
		}, []string{"as one of [support]", "not approved"}},
		"a review of something else": {func(f *forger, acme, other gov.BundleDigest) {
			id := f.propose(ana, acme, other)
			f.review(maria, id, approve, func(r *canon.ChangeReviewed) { r.Shown = strings.Repeat("0", 64) })
		}, []string{"of something else"}},
		"a review for another person": {func(f *forger, acme, other gov.BundleDigest) {
			id := f.propose(ana, acme, other)
			f.review(maria, id, approve, func(r *canon.ChangeReviewed) { r.Person = "p_omar" })
		}, []string{"recorded by person p_maria"}},
		"denied and recorded as approved": {func(f *forger, acme, other gov.BundleDigest) {
			id := f.propose(ana, acme, other)
			f.review(maria, id, gov.VoteDeny, func(r *canon.ChangeReviewed) { r.State = gov.ChangeApproved })
			f.review("p_omar", id, approve, nil)
			f.activate(ana, canon.BundleActivated{Bundle: other, Previous: acme, How: "reviewed", Change: id})
		}, []string{"comes out as rejected", "when it was rejected already", "was rejected and not approved"}},
		"another bundle than the reviewed one": {func(f *forger, acme, other gov.BundleDigest) {
			third := f.bundle(acmeWith(f.t, "writ.yaml", "days: 455", "days: 500"))
			id := f.propose(ana, acme, other)
			f.review(maria, id, approve, nil)
			f.activate(ana, canon.BundleActivated{Bundle: third, Previous: acme, How: "reviewed", Change: id})
		}, []string{"which was proposed for"}},
		"one review, twice in force": {func(f *forger, acme, other gov.BundleDigest) {
			id := f.propose(ana, acme, other)
			f.review(maria, id, approve, nil)
			f.activate(ana, canon.BundleActivated{Bundle: other, Previous: acme, How: "reviewed", Change: id})
			f.activate(ana, canon.BundleActivated{Bundle: acme, Previous: other, How: "rollback", Reason: "so"})
			f.activate(ana, canon.BundleActivated{Bundle: other, Previous: acme, How: "reviewed", Change: id})
		}, []string{"was activated and not approved"}},
		"a second first one": {func(f *forger, acme, other gov.BundleDigest) {
			f.activate(f.admin, canon.BundleActivated{Bundle: other, Previous: acme, How: "bootstrap"})
		}, []string{"not as the first one"}},
		"a rollback to what was not before": {func(f *forger, acme, other gov.BundleDigest) {
			f.activate(ana, canon.BundleActivated{Bundle: other, Previous: acme, How: "rollback", Reason: "so"})
		}, []string{"as the one before"}},
		"in the place of what was not active": {func(f *forger, _, other gov.BundleDigest) {
			f.activate(ana, canon.BundleActivated{Bundle: other, Previous: other, How: "rollback", Reason: "so"})
		}, []string{"in the place of"}},
		"in an emergency, reviewed after": {func(f *forger, acme, other gov.BundleDigest) {
			id := f.propose(ana, acme, other)
			f.activate(ana, early(acme, other, id, "review_owed"))
			f.review(maria, id, approve, func(r *canon.ChangeReviewed) { r.State = gov.ChangeActivated })
		}, nil},
		"in an emergency, by another person": {func(f *forger, acme, other gov.BundleDigest) {
			f.activate(aPerson(maria), early(acme, other, f.propose(ana, acme, other), "activated"))
		}, nil},
		"in an emergency, alone and not owed": {func(f *forger, acme, other gov.BundleDigest) {
			f.activate(ana, early(acme, other, f.propose(ana, acme, other), "activated"))
		}, []string{"comes out as review_owed"}},
		"in an emergency, a program's and not owed": {func(f *forger, acme, other gov.BundleDigest) {
			f.activate(ana, early(acme, other, f.propose(f.admin, acme, other), "activated"))
		}, []string{"comes out as review_owed"}},
		"in an emergency, reviewed by who did it": {func(f *forger, acme, other gov.BundleDigest) {
			id := f.propose(f.admin, acme, other)
			f.activate(ana, early(acme, other, id, "review_owed"))
			f.review(ana.ID, id, approve, func(r *canon.ChangeReviewed) { r.State = gov.ChangeActivated })
		}, []string{"by who put it into force"}},
		"in an emergency, by nobody who reviews": {func(f *forger, acme, other gov.BundleDigest) {
			body := early(acme, other, f.propose(ana, acme, other), "activated")
			body.SignIn.Groups = []gov.GroupID{"support"}
			f.activate(aPerson(maria), body)
		}, []string{"not known to have reviewed changes"}},
		"in an emergency, after a denial": {func(f *forger, acme, other gov.BundleDigest) {
			id := f.propose(ana, acme, other)
			f.review(maria, id, gov.VoteDeny, nil)
			f.activate(ana, early(acme, other, id, "review_owed"))
		}, []string{"was rejected already"}},
		"at its time": {func(f *forger, acme, other gov.BundleDigest) {
			id := f.propose(ana, acme, other)
			f.review(maria, id, approve, nil)
			f.append(canon.KindChangeScheduled, ana, canon.ChangeScheduled{Change: id, State: gov.ChangeScheduled, At: "2026-11-24T06:00:00.000000Z"})
			f.activate(ana, canon.BundleActivated{Bundle: other, Previous: acme, How: "reviewed", Change: id})
		}, nil},
		"at its time, never approved": {func(f *forger, acme, other gov.BundleDigest) {
			id := f.propose(ana, acme, other)
			f.append(canon.KindChangeScheduled, ana, canon.ChangeScheduled{Change: id, State: gov.ChangeApproved})
			f.activate(ana, canon.BundleActivated{Bundle: other, Previous: acme, How: "reviewed", Change: id})
		}, []string{"was recorded as approved", "not approved"}},
		"in a way that nobody knows": {func(f *forger, acme, other gov.BundleDigest) {
			f.activate(ana, canon.BundleActivated{Bundle: other, Previous: acme, How: "because"})
		}, []string{"a way that is not known"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, acme, other := base.forged(t)
			c.build(f, acme, other)
			f.wants(c.want...)
		})
	}
}
