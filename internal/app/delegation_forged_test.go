package app_test

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/merkle"
)

// request is a request for a standing consent as the door would record it; with changes what is wrong about it.
func (f *forger) request(person string, bundle gov.BundleDigest, with func(*canon.DelegationRequested)) (gov.EntryID, canon.DelegationScope) {
	f.t.Helper()
	engine, err := f.engines.Engine(f.t.Context(), bundle)
	if err != nil {
		f.t.Fatal(err)
	}
	gate, _ := engine.GatePolicy("refunds-over-500")
	until := time.Now().Add(time.Hour).UTC().Format(canon.TimeLayout)
	body := canon.DelegationRequested{
		Scope: canon.DelegationScope{Policy: gate.ID, Gate: gate.Digest, Agent: "support-bot", Until: until}, Groups: gate.Groups, Quorum: 1, ApproveBy: until,
		Person: person, Member: []gov.GroupID{"finance"}, Commitments: map[canon.Group]canon.Commitment{},
	}
	if with != nil {
		with(&body)
	}
	return f.append(canon.KindDelegationRequested, aPerson(person), body), body.Scope
}

func (f *forger) voteOn(person string, id gov.EntryID, with func(*canon.DelegationVote)) canon.DelegationVote {
	f.t.Helper()
	item, err := f.ByID(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	leaf := merkle.LeafHash(item.Raw)
	body := canon.DelegationVote{
		Delegation: id, Vote: gov.VoteApprove, Person: person, Groups: []gov.GroupID{"finance"}, Issuer: "https://idp",
		AuthTime: time.Now().UTC().Format(canon.TimeLayout), Shown: hex.EncodeToString(leaf[:]), State: gov.DelegationGranted, Commitments: map[canon.Group]canon.Commitment{},
	}
	if with != nil {
		with(&body)
	}
	return body
}

func TestReplayAccountsForEveryDelegation(t *testing.T) {
	t.Parallel()
	base := left(t)
	grant := func(f *forger, by string, scope canon.DelegationScope, vote canon.DelegationVote) {
		f.append(canon.KindDelegationGranted, aPerson(by), canon.DelegationGranted{DelegationVote: vote, Scope: scope, By: []string{vote.Person}})
	}
	granted := func(asks, votes string, request func(*canon.DelegationRequested), vote func(*canon.DelegationVote)) func(*forger, gov.BundleDigest) {
		return func(f *forger, acme gov.BundleDigest) {
			id, scope := f.request(asks, acme, request)
			grant(f, votes, scope, f.voteOn(votes, id, vote))
		}
	}
	for name, c := range map[string]struct {
		build func(f *forger, acme gov.BundleDigest)
		want  []string
	}{
		"asked for and granted":  {granted("p_tom", "p_yuki", nil, nil), nil},
		"granted by who asked":   {granted("p_tom", "p_tom", nil, nil), []string{"which no vote of this person could change"}},
		"by a group not asked":   {granted("p_tom", "p_yuki", nil, func(v *canon.DelegationVote) { v.Groups = []gov.GroupID{"support"} }), []string{"voted on as one of [support]"}},
		"in somebody's name":     {granted("p_tom", "p_yuki", nil, func(v *canon.DelegationVote) { v.Person = "p_maria" }), []string{"recorded by person p_yuki"}},
		"on something else":      {granted("p_tom", "p_yuki", nil, func(v *canon.DelegationVote) { v.Shown = strings.Repeat("0", 64) }), []string{"is of something else"}},
		"with a denial":          {granted("p_tom", "p_yuki", nil, func(v *canon.DelegationVote) { v.Vote = gov.VoteDeny }), []string{"comes out as denied"}},
		"with one vote of two":   {granted("p_tom", "p_yuki", func(r *canon.DelegationRequested) { r.Quorum = 2 }, nil), []string{"2 of [finance] were asked", "comes out as pending"}},
		"asked of others":        {granted("p_tom", "p_yuki", func(r *canon.DelegationRequested) { r.Groups = []gov.GroupID{"finance", "leads"} }, nil), []string{"the gate asks 1 of [finance]"}},
		"asked by others":        {granted("p_tom", "p_yuki", func(r *canon.DelegationRequested) { r.Member = []gov.GroupID{"leads"} }, nil), []string{"asked for as one of [leads]"}},
		"for another policy":     {granted("p_tom", "p_yuki", func(r *canon.DelegationRequested) { r.Scope.Policy = "support-refunds" }, nil), []string{"not such a gate"}},
		"for another text of it": {granted("p_tom", "p_yuki", func(r *canon.DelegationRequested) { r.Scope.Gate = strings.Repeat("0", 64) }, nil), []string{"not such a gate"}},
		"for two days": {granted("p_tom", "p_yuki", func(r *canon.DelegationRequested) {
			r.Scope.Until = time.Now().Add(48 * time.Hour).UTC().Format(canon.TimeLayout)
		}, nil), []string{"longer, or for more"}},
		"of another scope": {func(f *forger, acme gov.BundleDigest) {
			id, scope := f.request("p_tom", acme, func(r *canon.DelegationRequested) { r.Scope.UsesMax = 1 })
			scope.UsesMax = 0
			grant(f, "p_yuki", scope, f.voteOn("p_yuki", id, nil))
		}, []string{"otherwise than it was asked for"}},
		"twice": {func(f *forger, acme gov.BundleDigest) {
			id, scope := f.request("p_tom", acme, nil)
			grant(f, "p_yuki", scope, f.voteOn("p_yuki", id, nil))
			grant(f, "p_maria", scope, f.voteOn("p_maria", id, nil))
		}, []string{"which no vote of this person could change"}},
		"expired before its time": {func(f *forger, acme gov.BundleDigest) {
			id, _ := f.request("p_tom", acme, nil)
			f.append(canon.KindDelegationExpired, canon.Writ(), canon.DelegationExpired{Delegation: id})
		}, []string{"was not undecided by then"}},
		"expired, and granted after": {func(f *forger, acme gov.BundleDigest) {
			id, scope := f.request("p_tom", acme, nil)
			f.after(25 * time.Hour)
			f.append(canon.KindDelegationExpired, canon.Writ(), canon.DelegationExpired{Delegation: id})
			grant(f, "p_yuki", scope, f.voteOn("p_yuki", id, nil))
		}, []string{"which no vote of this person could change"}},
		"expired by somebody": {func(f *forger, acme gov.BundleDigest) {
			id, _ := f.request("p_tom", acme, nil)
			f.after(25 * time.Hour)
			f.append(canon.KindDelegationExpired, aPerson("p_tom"), canon.DelegationExpired{Delegation: id})
		}, []string{"expired by person p_tom"}},
		"after it was withdrawn": {func(f *forger, acme gov.BundleDigest) {
			id, scope := f.request("p_tom", acme, nil)
			f.append(canon.KindDelegationEnded, aPerson("p_tom"), canon.DelegationEnded{Delegation: id, Person: "p_tom", Commitments: map[canon.Group]canon.Commitment{}})
			grant(f, "p_yuki", scope, f.voteOn("p_yuki", id, nil))
		}, []string{"which no vote of this person could change"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, acme, _ := base.forged(t)
			c.build(f, acme)
			f.wants(c.want...)
		})
	}
}

// whole is everything that a forger left.
type whole struct{ f *forger }

func (w whole) Scan(ctx context.Context, fn func(ledger.Raw) error) error {
	return w.f.Ledger.Scan(ctx, 0, w.Size(), true, fn)
}
func (whole) Size() int64    { return 1 << 20 }
func (whole) Payloads() bool { return true }

// TestVerifyChecksWhatVotesOnDelegationsAreOn needs no replay, and no bundle.
func TestVerifyChecksWhatVotesOnDelegationsAreOn(t *testing.T) {
	t.Parallel()
	base := left(t)
	for name, kind := range map[string]canon.Kind{"a denial": canon.KindDelegationVote, "the deciding vote": canon.KindDelegationGranted} {
		for shown, wants := range map[string]int{"": 0, strings.Repeat("0", 64): 1} {
			f, acme, _ := base.forged(t)
			id, scope := f.request("p_tom", acme, nil)
			vote := f.voteOn("p_yuki", id, func(v *canon.DelegationVote) {
				if shown != "" {
					v.Shown = shown
				}
			})
			body := any(vote)
			if kind == canon.KindDelegationGranted {
				body = canon.DelegationGranted{DelegationVote: vote, Scope: scope, By: []string{"p_yuki"}}
			}
			f.append(kind, aPerson("p_yuki"), body)
			report, err := ledger.Verify(t.Context(), "prod", whole{f}, ledger.Claims{}, func(int64) {})
			if err != nil || len(report.Findings) != wants {
				t.Errorf("%s on %q: %+v, %v", name, shown, report.Findings, err)
			}
		}
	}
}
