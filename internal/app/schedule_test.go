package app_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// entries are those of a kind in prod, in order.
func (n *node) entries(kind canon.Kind, token string) []map[string]any {
	n.t.Helper()
	var out []map[string]any
	for _, item := range n.get("/v1/entries?ledger=prod&limit=1000", token).decode(n.t)["entries"].([]any) {
		if e := item.(map[string]any); e["kind"] == string(kind) {
			out = append(out, e)
		}
	}
	return out
}

func TestAChangeComesIntoForceAtItsTime(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	n.ask(key, fmt.Sprintf(refund, 100, ""), "allow")
	ana, maria, omar, tom := o.signIn("ana", nil), o.signIn("maria", nil), o.signIn("omar", nil), o.signIn("tom", nil)
	approved := func(days string) (id, bundle string) {
		t.Helper()
		p := wantState(t, n.propose(ana, "Longer memory", acmeWith(t, "writ.yaml", "days: 455", "days: "+days)), "proposed")
		wantState(t, n.review(p["id"].(string), omar, "approve"), "approved")
		return p["id"].(string), p["bundle"].(string)
	}
	path := func(id string) string { return "/v1/changes/" + id + "/activate" }
	schedule := func(id, token string, in time.Duration) exchange {
		t.Helper()
		return n.post(path(id), token, fmt.Sprintf(`{"at":%q}`, o.now().Add(in).UTC().Format(time.RFC3339Nano)))
	}
	cancel := func(id, token string) exchange { return n.send(http.MethodDelete, path(id), token, "", nil) }

	first, bundle := approved("500")
	proposed := wantState(t, n.propose(ana, "Another", acmeWith(t, "writ.yaml", "days: 455", "days: 509")), "proposed")["id"].(string)
	wantProblem(t, schedule(proposed, ana, time.Minute), 409, "conflict")
	wantProblem(t, schedule(first, tom, time.Minute), 403, "not_eligible")
	wantProblem(t, schedule(first, maria, -time.Second), 400, "invalid_field")
	wantProblem(t, schedule(first, maria, 31*24*time.Hour), 400, "invalid_field")
	for _, body := range []string{`{"at":"tomorrow"}`, `{"at":""}`, `{"at":7}`, `{"at":"2026-11-24T06:00:00+01:00"}`, `{"at":"2099-11-24T06:00:00Z","emergency":true,"reason":"so"}`} {
		if e := n.post(path(first), maria, body); e.status != 400 {
			t.Errorf("%s: %d %s", body, e.status, e.body)
		}
	}
	wantProblem(t, cancel(first, ana), 409, "conflict")
	wantState(t, schedule(first, ana, time.Hour), "scheduled")
	wantProblem(t, cancel(first, tom), 403, "not_eligible")
	wantState(t, cancel(first, maria), "approved")
	wantState(t, schedule(first, ana, 30*24*time.Hour-time.Minute), "scheduled")
	moved := wantState(t, schedule(first, maria, 2*time.Minute), "scheduled")
	if s := moved["scheduled"].(map[string]any); s["at"] == nil || s["by"].(map[string]any)["type"] != "person" {
		t.Errorf("scheduled: %v", s)
	}
	later, _ := approved("510")
	wantState(t, schedule(later, ana, time.Hour), "scheduled")
	if list := n.get("/v1/changes?environment=prod&state=scheduled", n.admin).decode(t)["changes"].([]any); len(list) != 2 || n.active() == bundle {
		t.Errorf("before its time: %v", list)
	}
	mariasRef := moved["scheduled"].(map[string]any)["by"].(map[string]any)["id"]
	o.clock.Store(int64(2*time.Minute + time.Second))
	eventually(t, "the change is in force", func() bool { return n.active() == bundle })
	done := wantState(t, n.get("/v1/changes/"+first, n.admin), "activated")
	wantState(t, n.get("/v1/changes/"+later, n.admin), "scheduled")
	activations := n.entries(canon.KindBundleActivated, n.admin)
	last := activations[len(activations)-1]
	if actor, body := last["actor"].(map[string]any), last["body"].(map[string]any); actor["id"] != mariasRef || body["how"] != "reviewed" || body["change"] != first || done["scheduled"] != nil {
		t.Errorf("activated: %v, shown %v", last, done)
	}

	if due := moved["scheduled"].(map[string]any)["at"].(string); last["at"].(string) < due {
		t.Errorf("in force at %v, before %s", last["at"], due)
	}

	// What cannot come into force any more when its time has come is approved again.
	late, _ := approved("501")
	other, _ := approved("502")
	wantState(t, schedule(late, ana, time.Minute), "scheduled")
	if e := n.post(path(other), ana, ""); e.status != 200 {
		t.Fatalf("activate: %s", e.body)
	}
	o.clock.Add(int64(time.Minute))
	eventually(t, "the change is approved again", func() bool { return n.get("/v1/changes/"+late, n.admin).decode(t)["state"] == "approved" })
	failed := n.entries(canon.KindChangeScheduled, n.admin)
	if e := failed[len(failed)-1]; e["actor"].(map[string]any)["type"] != "system" || e["body"].(map[string]any)["reason"] == nil {
		t.Errorf("the failure is recorded as %v", e)
	}

	// Nor does what a credential scheduled that was revoked since.
	revoked, bundle := approved("503")
	wantState(t, schedule(revoked, n.admin, time.Minute), "scheduled")
	me := n.get("/v1/me", n.admin).decode(t)["credential"].(string)
	if e := n.send(http.MethodDelete, "/v1/credentials/"+me, n.admin, "", nil); e.status != 200 {
		t.Fatalf("revoke: %s", e.body)
	}
	o.clock.Add(int64(time.Minute))
	eventually(t, "the change of the revoked credential is approved again", func() bool {
		return n.get("/v1/changes/"+revoked, maria).decode(t)["state"] == string(gov.ChangeApproved)
	})
	if active := n.get("/v1/agents?environment=prod", maria).decode(t)["bundle"]; active == bundle {
		t.Error("a revoked credential's change is in force")
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

// TestAChangeOfWhoWasRemovedDoesNotComeIntoForce: neither what they scheduled nor what they approved, also when they are back; the
// ledger says why, and those who review are told.
func TestAChangeOfWhoWasRemovedDoesNotComeIntoForce(t *testing.T) {
	t.Parallel()
	o, p := newOffice(t), newPager(t)
	n := start(t, o.paged(t.TempDir(), p))
	n.acmeTells(t, everything)
	ana, maria, omar := o.signIn("ana", nil), o.signIn("maria", nil), o.signIn("omar", nil)
	refOf := func(token string) string { return n.get("/v1/me", token).decode(t)["person"].(string) }
	anas, omars := refOf(ana), refOf(omar)
	scheduled := func(days, by string) string {
		t.Helper()
		id := wantState(t, n.propose(maria, "Longer memory", acmeWith(t, "writ.yaml", "retention:", everything+"retention:", "days: 455", "days: "+days)), "proposed")["id"].(string)
		wantState(t, n.review(id, omar, "approve"), "approved")
		wantState(t, n.post("/v1/changes/"+id+"/activate", by, fmt.Sprintf(`{"at":%q}`, o.now().Add(time.Minute).UTC().Format(time.RFC3339Nano))), "scheduled")
		return id
	}
	remove := func(ref string) {
		t.Helper()
		if e := n.send(http.MethodDelete, "/v1/people/"+ref, n.admin, "application/json", []byte(`{"reason":"left"}`)); e.status != http.StatusOK {
			t.Fatalf("remove: %s", e.body)
		}
	}
	want := []string{}
	refused := func(id, why string) {
		t.Helper()
		before := n.active()
		o.clock.Add(int64(time.Minute))
		eventually(t, why, func() bool { return n.get("/v1/changes/"+id, n.admin).decode(t)["state"] == "approved" })
		list := n.entries(canon.KindChangeScheduled, n.admin)
		last := list[len(list)-1]
		if body := last["body"].(map[string]any); last["actor"].(map[string]any)["type"] != "system" || body["reason"] != why || body["change"] != id || n.active() != before {
			t.Errorf("%s: recorded is %v", why, last)
		}
		want = append(want, "change_proposed "+id, "change_not_activated "+id)
		p.wants(want...)
	}

	first := scheduled("500", ana)
	remove(anas)
	if e := n.post("/v1/people", n.admin, `{"person":"user:ana"}`); e.status != http.StatusOK { // who is back did not want it since
		t.Fatalf("invite: %s", e.body)
	}
	refused(first, "the person who scheduled it was removed since")
	second := scheduled("501", maria)
	remove(omars)
	refused(second, "a person who approved it was removed since")
}
