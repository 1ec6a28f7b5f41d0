package app_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/canon"
)

// history is what was in force, as the API lists it.
func (n *node) history(more, token string) []any {
	n.t.Helper()
	e := n.get("/v1/bundles?environment=prod"+more, token)
	if e.status != 200 {
		n.t.Fatalf("history: %s", e.body)
	}
	return e.decode(n.t)["bundles"].([]any)
}

func TestWhatWasInForceWhenAndWhoStandsBehindIt(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	first := n.active()
	_, key := n.key("support-bot", "runs_as")
	ana, maria, omar := o.signIn("ana", nil), o.signIn("maria", nil), o.signIn("omar", nil)
	wantProblem(t, n.get("/v1/bundles?environment=prod", key), 403, "forbidden")

	p := wantState(t, n.propose(ana, "Plainer words", acmeWith(t, refundsFile, oldReason, newReason)), "proposed")
	reviewed, second := p["id"].(string), p["bundle"].(string)
	wantState(t, n.review(reviewed, maria, "approve"), "approved")
	if e := n.post("/v1/changes/"+reviewed+"/activate", n.admin, ""); e.status != 200 {
		t.Fatalf("activate: %s", e.body)
	}
	early := wantState(t, n.propose(maria, "Longer memory", acmeWith(t, "writ.yaml", "days: 455", "days: 500")), "proposed")["id"].(string)
	wantState(t, n.hurry(early, maria), "review_owed")
	wantState(t, n.review(early, omar, "deny"), "rejected")
	back := n.post("/v1/changes/rollback", omar, `{"environment":"prod","reason":"denied"}`).decode(t)

	rows := n.history("", ana)
	if len(rows) != 4 {
		t.Fatalf("%d rows: %v", len(rows), rows)
	}
	type want struct {
		bundle, how, change, author, activator, reason, commit string
		reviews                                                int
	}
	me := func(token string) string { return fmt.Sprint(n.get("/v1/me", token).decode(t)["person"]) }
	admin := fmt.Sprint(n.get("/v1/me", n.admin).decode(t)["credential"])
	for i, w := range []want{
		{second, "rollback", back["id"].(string), me(omar), me(omar), "denied", "c0ffee", 0},
		{"", "emergency", early, me(maria), me(maria), "refunds go to the wrong account", "c0ffee", 1},
		{second, "reviewed", reviewed, me(ana), admin, "", "c0ffee", 1},
		{first, "bootstrap", "", admin, admin, "", "", 0},
	} {
		r := rows[i].(map[string]any)
		text := func(name string) string {
			s, _ := r[name].(string)
			return s
		}
		got := want{
			text("bundle"), text("how"), text("change"), r["author"].(map[string]any)["id"].(string), r["activator"].(map[string]any)["id"].(string),
			text("reason"), text("commit"), len(r["reviews"].([]any)),
		}
		if w.bundle == "" {
			w.bundle = got.bundle
		}
		if got != w {
			t.Errorf("row %d is\n%+v, want\n%+v", i, got, w)
		}
		if i == 0 && r["until"] != nil || i > 0 && r["until"] != rows[i-1].(map[string]any)["from"] || r["tests"].(float64) == 0 {
			t.Errorf("row %d: until %v, tests %v", i, r["until"], r["tests"])
		}
		// The beginning belongs to the row, the end to the next.
		if at := n.history("&at="+url.QueryEscape(text("from")), n.admin); len(at) != 1 || at[0].(map[string]any)["id"] != r["id"] {
			t.Errorf("at %s: %v, want %v", text("from"), at, r["id"])
		}
		from, err := time.Parse(canon.TimeLayout, text("from"))
		if err != nil {
			t.Fatal(err)
		}
		before := n.history("&at="+url.QueryEscape(from.Add(-time.Microsecond).Format(time.RFC3339Nano)), n.admin)
		if i < 3 && (len(before) != 1 || before[0].(map[string]any)["id"] != rows[i+1].(map[string]any)["id"]) || i == 3 && len(before) != 0 {
			t.Errorf("just before row %d: %v", i, before)
		}
	}
	next, seen := "", 0
	for range rows {
		e := n.get("/v1/bundles?environment=prod&limit=1"+next, n.admin).decode(t)
		page := e["bundles"].([]any)
		if len(page) != 1 || page[0].(map[string]any)["id"] != rows[seen].(map[string]any)["id"] || (e["next_cursor"] != nil) != (seen < 3) {
			t.Fatalf("page %d: %v", seen, e)
		}
		next, seen = fmt.Sprintf("&cursor=%v", e["next_cursor"]), seen+1
	}
	for _, more := range []string{"&at=yesterday", "&at=2999-01-01T00:00:00Z", "&limit=0", "&with=1", "&at=2026-11-17T14:03:00Z&at=2026-11-17T14:03:00Z"} {
		if e := n.get("/v1/bundles?environment=prod"+more, n.admin); e.status != 400 {
			t.Errorf("%s: %d %s", more, e.status, e.body)
		}
	}
}
