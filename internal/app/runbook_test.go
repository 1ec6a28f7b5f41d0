package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/writ-dev/writ/internal/canon"
)

// TestARunbookIsWhereTheIncidentIs: as the bundle had it when the incident opened, whatever came into force since.
func TestARunbookIsWhereTheIncidentIs(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	then := acmeWith(t, "runbooks/blocked-spike.md", "# An agent is denied again and again", "# Then\n\n"+evil+"\n\n```\nwrit <b>stop</b>\n```\n")
	if e := n.send(http.MethodPost, "/v1/bundles?environment=prod", n.admin, "application/x-tar", then); e.status != http.StatusOK {
		t.Fatalf("activate: %s", e.body)
	}
	n.take(signals(0, 0, 1, nil))
	id := n.only("")["id"].(string)
	books := func(id string) []any {
		t.Helper()
		e := n.get("/v1/incidents/"+id+"/runbooks", n.admin)
		if e.status != http.StatusOK {
			t.Fatalf("runbooks: %d %s", e.status, e.body)
		}
		return e.decode(t)["runbooks"].([]any)
	}
	first := books(id)[0].(map[string]any)
	if first["file"] != "runbooks/blocked-spike.md" || !strings.HasPrefix(first["text"].(string), "# Then\n\n"+evil) || fmt.Sprint(first["detectors"]) != "[blocked_spike]" {
		t.Errorf("the runbook is %v", first)
	}

	change := wantState(t, n.propose(o.signIn("ana", nil), "Another runbook", acmeWith(t, "")), "proposed")
	if e := n.review(change["id"].(string), o.signIn("maria", nil), "approve"); e.status != http.StatusOK {
		t.Fatalf("review: %d %s", e.status, e.body)
	}
	if e := n.post("/v1/changes/"+change["id"].(string)+"/activate", n.admin, ""); e.status != http.StatusOK {
		t.Fatalf("activate: %d %s", e.status, e.body)
	}
	n.take(signals(1, 0, 1, func(s *canon.Signal) { s.Key, s.Agent = "blocked_spike finance-bot", "finance-bot" }))
	if got := books(id); len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(first) {
		t.Errorf("after another bundle it is %v", got)
	}
	second := n.incidents("")[0]["id"].(string)
	if got := books(second); len(got) != 1 || !strings.HasPrefix(got[0].(map[string]any)["text"].(string), "# An agent is denied") || got[0].(map[string]any)["bundle"] == first["bundle"] {
		t.Errorf("the newer incident has %v", got)
	}
	omar := o.signIn("omar", nil)
	n.step(second, omar, `{"event":"merged","into":"`+id+`","text":"The same."}`, 200)
	if got := books(id); len(got) != 2 {
		t.Errorf("with one merged into it there are %v", got)
	}
	reported := n.report(omar, `"severity":3,"title":"Something is odd"`)["id"].(string)
	if got := books(reported); len(got) != 0 {
		t.Errorf("of what a person reported: %v", got)
	}
	for range 70 { // more changes of control state than are read at once
		n.key("support-bot", "runs_as")
	}
	n.take(signals(2, 0, 1, func(s *canon.Signal) { s.Key, s.Agent = "blocked_spike coding-agent", "coding-agent" }))
	if got := books(n.incidents("")[0]["id"].(string)); len(got) != 1 || got[0].(map[string]any)["bundle"] == first["bundle"] {
		t.Errorf("behind many keys the newest incident has %v", got)
	}
	n.take(signals(3, 0, 1, func(s *canon.Signal) { s.Detector, s.Key = "cost", "cost" }))

	wantProblem(t, n.get("/v1/incidents/inc_x/runbooks", n.admin), 404, "not_found")
	wantProblem(t, n.get("/v1/incidents/"+id+"/runbooks", o.signIn("nobody", nil)), 404, "not_found")
	_, key := n.key("support-bot", "runs_as")
	wantProblem(t, n.get("/v1/incidents/"+id+"/runbooks", key), 403, "forbidden")

	b := n.browser().signIn(o, "omar")
	p := b.get("/console/incidents/"+id).want(t, http.StatusOK, "<h3>Then</h3>", "for blocked_spike", "runbooks/blocked-spike.md", "<code>writ <b>stop</b>\n</code></pre>", "<ol>\n<li>Read the denied calls", "<script>alert(1)")
	wantPlain(t, map[string]sheet{id: p})
	b.get("/console/incidents/"+n.incidents("&detector=cost")[0]["id"].(string)).want(t, http.StatusOK, "had no runbook for cost")
	if p := b.get("/console/incidents/" + reported); strings.Contains(p.text, "unbook") {
		t.Error("what a person reported has a runbook")
	}
}
