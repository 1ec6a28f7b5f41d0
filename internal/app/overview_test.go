package app_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/app"
)

// TestWhatTheOverviewCounts: the statistics, the usage and the ledger's standing agree with what was decided, and with the
// contract.
func TestWhatTheOverviewCounts(t *testing.T) {
	t.Parallel()
	n := start(t, app.Config{Data: t.TempDir()})
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	for i := range 5 {
		n.ask(key, fmt.Sprintf(`{"agent":"support-bot","tool":"zendesk/read_ticket","input":{"ticket":"T-%d"}}`, i), "allow")
	}
	middle := time.Now().UTC()
	n.ask(key, fmt.Sprintf(refund, 900, ""), "require_approval")
	n.ask(key, `{"agent":"support-bot","tool":"bank/transfer","input":{}}`, "deny")
	var stats map[string]any
	eventually(t, "the index", func() bool {
		stats = n.get("/v1/stats?environment=prod&buckets=7", n.admin).decode(t)
		return stats["complete_through"] == stats["size"]
	})
	total := stats["total"].(map[string]any)
	if total["allow"] != 5.0 || total["deny"] != 1.0 || total["require_approval"] != 1.0 || len(stats["buckets"].([]any)) != 7 {
		t.Errorf("stats are %v", stats)
	}
	if waits := stats["approvals"].(map[string]any); waits["pending"] != 1.0 {
		t.Errorf("waiting are %v", waits)
	}
	halves := n.get("/v1/stats?environment=prod&buckets=2&from="+middle.Add(-time.Hour).Format(time.RFC3339Nano)+"&to="+middle.Add(time.Hour).Format(time.RFC3339Nano), n.admin).decode(t)
	first, second := halves["buckets"].([]any)[0].(map[string]any), halves["buckets"].([]any)[1].(map[string]any)
	if first["allow"] != 5.0 || first["deny"] != 0.0 || second["allow"] != 0.0 || second["deny"] != 1.0 || second["require_approval"] != 1.0 {
		t.Errorf("before the refund %v, from it on %v", first, second)
	}
	hour := time.Now().Add(-2 * time.Hour).UTC().Format(time.RFC3339)
	before := n.get("/v1/stats?environment=prod&from="+hour+"&to="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), n.admin).decode(t)
	if total := before["total"].(map[string]any); total["allow"] != 0.0 {
		t.Errorf("an hour ago there were %v", total)
	}
	wantProblem(t, n.get("/v1/stats?environment=prod&buckets=0", n.admin), 400, "invalid_field")
	wantProblem(t, n.get("/v1/stats?environment=prod&from="+hour+"&to="+hour, n.admin), 400, "invalid_field")
	wantProblem(t, n.get("/v1/stats?environment=prod&by=tool", n.admin), 400, "unknown_field")

	calls := map[string]float64{}
	granted := map[string]bool{}
	for _, a := range n.get("/v1/usage?environment=prod", n.admin).decode(t)["agents"].([]any) {
		if a := a.(map[string]any); a["agent"] == "support-bot" {
			for _, u := range a["tools"].([]any) {
				u := u.(map[string]any)
				calls[u["tool"].(string)], granted[u["tool"].(string)] = u["calls"].(float64), u["granted"].(bool)
			}
		}
	}
	if calls["zendesk/read_ticket"] != 5 || calls["stripe/refund"] != 1 || calls["bank/transfer"] != 1 || granted["bank/transfer"] || !granted["zendesk/reply"] || calls["zendesk/reply"] != 0 {
		t.Errorf("used were %v, granted %v", calls, granted)
	}
	wantProblem(t, n.get("/v1/usage?environment=prod", key), 403, "forbidden")

	// A job may record an entry between the two answers, so the ledger is compared with statistics asked on both sides of it.
	eventually(t, "a size that both agree on", func() bool {
		l := n.get("/v1/ledgers/prod", n.admin).decode(t)
		if l["root"] == "" || l["key"] == "" {
			t.Fatalf("the ledger is %v", l)
		}
		size := n.get("/v1/stats?environment=prod", n.admin).decode(t)["size"]
		return l["size"].(float64) >= stats["size"].(float64) && l["size"] == size
	})
	wantProblem(t, n.get("/v1/ledgers/nowhere", n.admin), 404, "not_found")
}

// TestADecisionIsJudgedAgainOverTheAPI: an allowed one comes out the same, for people and administrators.
func TestADecisionIsJudgedAgainOverTheAPI(t *testing.T) {
	t.Parallel()
	n := start(t, app.Config{Data: t.TempDir()})
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	id := n.ask(key, `{"agent":"support-bot","tool":"zendesk/read_ticket","input":{"ticket":"T-1"}}`, "allow")["id"].(string)
	again := n.get("/v1/decisions/"+id+"/replay", n.admin).decode(t)
	if again["same"] != true || again["outcome"] != "allow" || again["control_changes"] != 2.0 {
		t.Errorf("judged again: %v", again)
	}
	wantProblem(t, n.get("/v1/decisions/"+id+"/replay", key), 403, "forbidden")
	wantProblem(t, n.get("/v1/decisions/dec_none/replay", n.admin), 404, "not_found")
}
