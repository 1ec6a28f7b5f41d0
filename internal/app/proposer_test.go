package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/identity"
)

func TestAPipelineProposesAndDoesNothingElse(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	config := o.config(dir)
	config.Issuers = append(config.Issuers,
		identity.Issuer{URL: o.URL, Audience: "writ-ci", For: identity.UseChanges, SubjectPrefix: "repo:acme/governance:"},
		identity.Issuer{URL: o.URL, Audience: "writ-ci-staging", For: identity.UseChanges, SubjectPrefix: "repo:acme/governance:", Environment: "staging"})
	n := start(t, config)
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	n.ask(key, fmt.Sprintf(refund, 100, ""), "allow")
	const subject = "repo:acme/governance:ref:refs/heads/main"
	pipelines := 0
	token := func(subject, audience string) string {
		t.Helper()
		pipelines++
		client := fmt.Sprint("pipeline-", pipelines)
		o.Register(client, subject, audience, nil)
		return o.Token(t, client)
	}
	ci := token(subject, "writ-ci")
	tar := acmeWith(t, refundsFile, oldReason, newReason)
	query := url.Values{"environment": {"prod"}, "description": {"Plainer words"}, "commit": {"c0ffee"}, "branch": {"main"}}
	propose := func(token string) exchange {
		t.Helper()
		return n.send(http.MethodPost, "/v1/changes?"+query.Encode(), token, "application/x-tar", tar)
	}
	for name, c := range map[string]struct {
		token, code string
		status      int
	}{
		"somebody else's pipeline":            {token("repo:mallory/governance:ref:refs/heads/main", "writ-ci"), "unauthenticated", 401},
		"one whose name only begins the same": {token("repo:acme/governance-fork:ref:refs/heads/main", "writ-ci"), "unauthenticated", 401},
		"a token for another service":         {token(subject, "another-service"), "unauthenticated", 401},
		"a forged token":                      {tampered(ci), "unauthenticated", 401},
		"one of another environment":          {token(subject, "writ-ci-staging"), "forbidden", 403},
	} {
		if e := propose(c.token); e.status != c.status || e.decode(t)["code"] != c.code {
			t.Errorf("%s: %d %s, want %d %s", name, e.status, e.body, c.status, c.code)
		}
	}
	changed := wantState(t, propose(ci), "proposed")
	author := changed["author"].(map[string]any)
	if author["type"] != "workload" || author["id"] != o.URL+"#"+subject || changed["issuer"] != o.URL || changed["commit"] != "c0ffee" || changed["branch"] != "main" {
		t.Errorf("proposed: %v", changed)
	}
	recorded := n.entries(canon.KindChangeProposed, n.admin)[0]
	if actor, body := recorded["actor"].(map[string]any), recorded["body"].(map[string]any); actor["id"] != author["id"] || body["issuer"] != o.URL || body["commit"] != "c0ffee" {
		t.Errorf("recorded: %v", recorded)
	}
	id := changed["id"].(string)
	wantProblem(t, n.review(id, ci, "approve"), 403, "forbidden")
	wantProblem(t, n.hurry(id, ci), 403, "forbidden")
	maria := o.signIn("maria", nil)
	wantState(t, n.review(id, maria, "approve"), "approved")
	for _, request := range []struct{ method, path, body string }{
		{"POST", "/v1/changes/" + id + "/activate", ""},
		{"POST", "/v1/changes/" + id + "/activate", `{"at":"2099-01-01T00:00:00Z"}`},
		{"DELETE", "/v1/changes/" + id + "/activate", ""},
		{"POST", "/v1/changes/rollback", `{"environment":"prod","reason":"so"}`},
		{"POST", "/v1/decisions", fmt.Sprintf(refund, 100, "")},
		{"POST", "/v1/credentials", `{"environment":"prod","agent":"support-bot","principal":"runs_as"}`},
		{"GET", "/v1/changes?environment=prod", ""}, {"GET", "/v1/changes/" + id, ""}, {"GET", "/v1/changes/" + id + "/backtest", ""},
		{"GET", "/v1/bundles?environment=prod", ""}, {"GET", "/v1/decisions?environment=prod", ""}, {"GET", "/v1/entries?ledger=prod", ""},
		{"GET", "/v1/approvals?environment=prod", ""}, {"GET", "/v1/agents?environment=prod", ""}, {"GET", "/v1/environments", ""},
		{"GET", "/v1/people", ""}, {"GET", "/v1/me", ""}, {"GET", "/v1/stats?environment=prod", ""},
	} {
		if e := n.send(request.method, request.path, ci, jsonType, []byte(request.body)); e.status != 403 {
			t.Errorf("a pipeline: %s %s: %d %s", request.method, request.path, e.status, e.body)
		}
	}
	if e := n.post("/v1/changes/"+id+"/activate", maria, ""); e.status != 200 {
		t.Fatalf("activate: %s", e.body)
	}
	if row := n.history("&limit=1", maria)[0].(map[string]any); row["author"].(map[string]any)["id"] != author["id"] || row["branch"] != "main" {
		t.Errorf("in force: %v", row)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}
