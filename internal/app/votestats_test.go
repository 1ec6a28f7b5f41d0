package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
)

// tally finds somebody's line in the statistics.
func tally(t *testing.T, stats map[string]any, list, field, name string) map[string]any {
	t.Helper()
	for _, line := range stats[list].([]any) {
		if m := line.(map[string]any); m[field] == name {
			return m
		}
	}
	t.Fatalf("%s has no %s in %v", list, name, stats[list])
	return nil
}

func TestStatisticsShowRubberStamping(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	_, finance := n.key("finance-bot", "user:tom")
	tokens := map[string]string{}
	votes := 0
	// answer has a person answer a new request after a while.
	answer := func(person, vote string, after time.Duration) {
		t.Helper()
		if votes%10 == 0 {
			clear(tokens) // sign-ins and tokens do not last
		}
		if tokens[person] == "" {
			tokens[person] = o.signIn(person, nil)
		}
		id := approvalOf(n.ask(key, fmt.Sprintf(refund, 900, fmt.Sprintf(`,"call_id":"c%d"`, votes)), "require_approval"))
		o.clock.Add(int64(after))
		if e := n.vote(id, tokens[person], vote); e.status != http.StatusOK {
			t.Fatalf("vote: %s", e.body)
		}
		votes++
	}
	before := o.now()
	for range 50 {
		answer("tom", "approve", time.Second)
	}
	for i := range 50 {
		answer("yuki", map[bool]string{true: "approve", false: "deny"}[i%10 > 0], 20*time.Second)
	}
	answer("maria", "approve", time.Second)
	n.ask(key, fmt.Sprintf(refund, 900, `,"call_id":"c100"`), "allow")
	n.ask(finance, fmt.Sprintf(transfer, ""), "require_approval") // nobody answers

	stats := func(from, to time.Time) map[string]any {
		q := url.Values{"environment": {"prod"}, "from": {from.UTC().Format(time.RFC3339Nano)}, "to": {to.UTC().Format(time.RFC3339Nano)}}
		e := n.get("/v1/approvals/stats?"+q.Encode(), o.signIn("vera", nil)) // the auditor
		if e.status != http.StatusOK {
			t.Fatalf("statistics: %s", e.body)
		}
		return e.decode(t)
	}
	var got map[string]any
	eventually(t, "the votes are indexed", func() bool {
		got = stats(before, o.now())
		return got["complete_through"] == got["size"]
	})
	if got["votes_read"] != 101.0 || got["complete"] != true || got["total"] != 102.0 {
		t.Errorf("read are %v votes, complete %v, of %v requests", got["votes_read"], got["complete"], got["total"])
	}
	ref := func(person string) string {
		return identity.PrincipalRef(n.Keys().Digest, gov.Principal{Type: gov.PrincipalUser, ID: person})
	}
	tom, yuki, maria := tally(t, got, "approvers", "person", ref("tom")), tally(t, got, "approvers", "person", ref("yuki")), tally(t, got, "approvers", "person", ref("maria"))
	if tom["votes"] != 50.0 || tom["approval_rate"] != 1.0 || tom["rubber_stamp"] != true || tom["median_seconds"].(float64) < 1 {
		t.Errorf("tom: %v", tom)
	}
	if yuki["votes"] != 50.0 || yuki["approvals"] != 45.0 || yuki["approval_rate"] != 0.9 || yuki["rubber_stamp"] != nil || yuki["median_seconds"].(float64) < 20 || yuki["p90_seconds"].(float64) < 20 {
		t.Errorf("yuki: %v", yuki)
	}
	if maria["votes"] != 1.0 || maria["rubber_stamp"] != nil {
		t.Errorf("maria: %v", maria)
	}
	if g, p := tally(t, got, "groups", "group", "finance"), tally(t, got, "policies", "policy", "refunds-over-500"); g["votes"] != 101.0 || p["votes"] != 101.0 || len(got["policies"].([]any)) != 1 {
		t.Errorf("groups %v, policies %v", g, p)
	}
	byState := got["requests"].(map[string]any)
	if byState["denied"] != 5.0 || byState["pending"] != 1.0 || byState["consumed"] != 1.0 {
		t.Errorf("requests %v", byState)
	}
	if early := stats(before.Add(-time.Hour), before); early["votes_read"] != 0.0 || early["total"] != 0.0 || len(early["approvers"].([]any)) != 0 {
		t.Errorf("before there was anything: %v", early)
	}
	// Votes on delegations count as those on calls, for it and against it.
	asks, answers := o.signIn("yuki", nil), o.signIn("maria", nil)
	n.grant(asks, o.refunds(nil), answers)
	n.wantDelegation(n.voteDelegation(n.delegate(asks, o.refunds(nil)), answers, "deny"), "denied")
	eventually(t, "votes on delegations count", func() bool { return stats(before, o.now())["votes_read"] == 103.0 })
	got = stats(before, o.now())
	if p := tally(t, got, "policies", "policy", "refunds-over-500"); p["votes"] != 103.0 || got["total"] != 102.0 {
		t.Errorf("with delegations: %v of %v requests", p, got["total"])
	}
	if maria := tally(t, got, "approvers", "person", ref("maria")); maria["votes"] != 3.0 || maria["approvals"] != 2.0 {
		t.Errorf("maria, with delegations: %v", maria)
	}
	for _, path := range []string{"&from=yesterday", "&from=2026-01-01T00:00:00Z&to=2025-01-01T00:00:00Z", "&from=2020-01-01T00:00:00Z", "&buckets=3"} {
		if e := n.get("/v1/approvals/stats?environment=prod"+path, n.admin); e.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", path, e.status, e.body)
		}
	}
	wantProblem(t, n.get("/v1/approvals/stats?environment=prod", key), 403, "forbidden")
	wantProblem(t, n.get("/v1/approvals/stats?environment=prod", o.signIn("nobody", nil)), 403, "forbidden")
}
