package app_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/bundle"
)

// untold is the writ.yaml of examples/acme without its channels, whose secrets nobody has here: what is told of would be tried in vain.
func untold(t testing.TB, settings []byte) []byte {
	t.Helper()
	settings, channels, ok := bytes.Cut(settings, []byte("\nnotify:"))
	if !ok || !bytes.Contains(channels, []byte("\non_call:")) {
		t.Fatal("examples/acme does not end with its channels and who is on call")
	}
	return append(settings, '\n')
}

// acmeWith is the tar of examples/acme with texts replaced, old and new by turns.
func acmeWith(t testing.TB, file string, replace ...string) []byte {
	t.Helper()
	files := fstest.MapFS{}
	err := fs.WalkDir(os.DirFS("../../examples/acme"), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile("../../examples/acme/" + path)
		if path == "writ.yaml" {
			data = untold(t, data)
		}
		if path == file && len(replace) > 0 {
			changed := strings.NewReplacer(replace...).Replace(string(data))
			if changed == string(data) {
				t.Fatalf("%s has nothing to replace", file)
			}
			data = []byte(changed)
		}
		files[path] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b, problems := bundle.Read(files)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return b.Tar()
}

func (n *node) propose(token, description string, tar []byte) exchange {
	n.t.Helper()
	query := url.Values{"environment": {"prod"}, "description": {description}, "commit": {"c0ffee"}}
	return n.send(http.MethodPost, "/v1/changes?"+query.Encode(), token, "application/x-tar", tar)
}

func (n *node) review(id, token, review string) exchange {
	n.t.Helper()
	shown := n.get("/v1/changes/"+id, n.admin).decode(n.t)["shown"]
	return n.post("/v1/changes/"+id+"/reviews", token, fmt.Sprintf(`{"review":%q,"shown":%q,"comment":"read"}`, review, shown))
}

// wantState wants an answer with a state.
func wantState(t *testing.T, e exchange, state string) map[string]any {
	t.Helper()
	m := e.decode(t)
	if e.status != http.StatusOK || m["state"] != state {
		t.Fatalf("got %d %s, want the state %s", e.status, e.body, state)
	}
	return m
}

const (
	refundsFile = "policies/support.cedar"
	oldReason   = "Refunds over 500 USD need a finance approver."
	newReason   = "Refunds over 500 USD wait for finance."
)

func TestABundleIsReplacedByReviewAndRolledBack(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	ana, maria, omar, tom := o.signIn("ana", nil), o.signIn("maria", nil), o.signIn("omar", nil), o.signIn("tom", nil)
	says := func(want string) {
		t.Helper()
		if d := n.ask(key, fmt.Sprintf(refund, 900, ""), "require_approval"); d["reasons"].([]any)[0].(map[string]any)["message"] != want {
			t.Fatalf("the policy says %v, want %q", d["reasons"], want)
		}
	}
	says(oldReason)
	changed := wantState(t, n.propose(ana, "Plainer words", acmeWith(t, refundsFile, oldReason, newReason)), "proposed")
	id := changed["id"].(string)
	if diff := changed["diff"].(map[string]any); !strings.Contains(fmt.Sprint(diff["policies"]), "+@reason(\""+newReason) || diff["agents"] != nil {
		t.Errorf("the diff is %v", diff)
	}
	activate := func(token string) exchange { return n.post("/v1/changes/"+id+"/activate", token, "") }
	wantProblem(t, activate(n.admin), 409, "conflict")
	for name, c := range map[string]struct {
		token, code string
		status      int
	}{
		"the author": {ana, "not_eligible", 403}, "somebody of finance": {tom, "not_eligible", 403}, "the administrator": {n.admin, "forbidden", 403},
		"an agent": {key, "forbidden", 403}, "an old sign-in": {o.signIn("maria", map[string]any{"auth_time": time.Now().Add(-time.Hour).Unix()}), "sign_in_stale", 403},
	} {
		if e := n.review(id, c.token, "approve"); e.status != c.status || e.decode(t)["code"] != c.code {
			t.Errorf("%s reviews: %d %s, want %d %s", name, e.status, e.body, c.status, c.code)
		}
	}
	if e := n.post("/v1/changes/"+id+"/reviews", maria, `{"review":"approve","shown":"`+strings.Repeat("0", 64)+`"}`); e.status != 400 {
		t.Errorf("a review of something else: %d %s", e.status, e.body)
	}
	wantState(t, n.review(id, maria, "approve"), "approved")
	wantProblem(t, activate(tom), 403, "not_eligible")
	says(oldReason)
	if e := activate(ana).decode(t); e["how"] != "reviewed" || e["change"] != id {
		t.Fatalf("activated: %v", e)
	}
	says(newReason)
	wantProblem(t, activate(ana), 409, "conflict")

	wantProblem(t, n.post("/v1/changes/rollback", tom, `{"environment":"prod","reason":"I like the old one"}`), 403, "not_eligible")
	back := n.post("/v1/changes/rollback", omar, `{"environment":"prod","reason":"customers are confused"}`).decode(t)
	if back["how"] != "rollback" {
		t.Fatalf("rolled back: %v", back)
	}
	says(oldReason)
	owed := back["id"].(string)
	wantProblem(t, n.review(owed, omar, "approve"), 403, "not_eligible")
	list := n.get("/v1/changes?environment=prod&state=review_owed", n.admin).decode(t)["changes"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["review_by"] == nil {
		t.Errorf("owed are %v", list)
	}
	wantState(t, n.review(owed, maria, "approve"), "activated")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

func TestAChangeIsReviewedUnderTheRuleThatHolds(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	ana, maria, ben := o.signIn("ana", nil), o.signIn("maria", nil), o.signIn("ben", nil)
	weaker := wantState(t, n.propose(ben, "Support reviews itself", acmeWith(t, "writ.yaml", "change_approvers: [leads, security]", "change_approvers: [support]")), "proposed")["id"].(string)
	wantProblem(t, n.review(weaker, o.signIn("chloe", nil), "approve"), 403, "not_eligible")
	wantState(t, n.review(weaker, maria, "deny"), "rejected")
	wantProblem(t, n.post("/v1/changes/"+weaker+"/activate", n.admin, ""), 409, "conflict")

	first := wantState(t, n.propose(ana, "Plainer words", acmeWith(t, refundsFile, oldReason, newReason)), "proposed")["id"].(string)
	second := wantState(t, n.propose(n.admin, "Longer memory", acmeWith(t, "writ.yaml", "days: 455", "days: 500")), "proposed")["id"].(string)
	wantState(t, n.review(first, maria, "approve"), "approved")
	wantState(t, n.review(second, maria, "approve"), "approved")
	if e := n.post("/v1/changes/"+second+"/activate", n.admin, ""); e.status != 200 {
		t.Fatalf("activate: %s", e.body)
	}
	wantProblem(t, n.post("/v1/changes/"+first+"/activate", ana, ""), 409, "conflict") // its review was of another base

	failing := acmeWith(t, refundsFile, "context.input.amount > 500", "context.input.amount > 5000")
	wantProblem(t, n.propose(ana, "More for everybody", failing), 422, "bundle_invalid")
	wantProblem(t, n.propose(ana, "Nothing", acmeWith(t, "writ.yaml", "days: 455", "days: 500")), 409, "conflict")
	wantProblem(t, n.propose(ana, " ", acmeWith(t, refundsFile, oldReason, newReason)), 400, "invalid_field")
	if e := n.send(http.MethodPost, "/v1/bundles?environment=prod", n.admin, "application/x-tar", acmeWith(t, refundsFile, oldReason, newReason)); e.status != 409 {
		t.Errorf("the administrator replaces a bundle without review: %d %s", e.status, e.body)
	}
}

// TestABundleThatNobodyCouldReviewIsRefused, where no identity provider could know who is in the groups.
func TestABundleThatNobodyCouldReviewIsRefused(t *testing.T) {
	t.Parallel()
	const listed, nobody = "members: [user:ana, user:maria]", "members: []"
	alone := start(t, app.Config{Data: t.TempDir()})
	bundleOf := func() []byte {
		return acmeWith(t, "writ.yaml", "change_approvers: [leads, security]", "change_approvers: [leads]", listed, nobody)
	}
	e := alone.send("POST", "/v1/bundles?environment=prod", alone.admin, "application/x-tar", bundleOf())
	wantProblem(t, e, 422, "bundle_invalid")
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	if e := n.send("POST", "/v1/bundles?environment=prod", n.admin, "application/x-tar", bundleOf()); e.status != 200 {
		t.Errorf("with a provider: %d %s", e.status, e.body)
	}
}
