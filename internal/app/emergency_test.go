package app_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

func (n *node) hurry(id, token string) exchange {
	n.t.Helper()
	return n.post("/v1/changes/"+id+"/activate", token, `{"emergency":true,"reason":"refunds go to the wrong account"}`)
}

// owed lists the changes that wait for a review after.
func (n *node) owed() []any {
	n.t.Helper()
	return n.get("/v1/changes?environment=prod&state=review_owed", n.admin).decode(n.t)["changes"].([]any)
}

func (n *node) active() string {
	n.t.Helper()
	return n.get("/v1/agents?environment=prod", n.admin).decode(n.t)["bundle"].(string)
}

func TestAnEmergencyTakesTwoPeopleOrIsOwedAReview(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	n.ask(key, fmt.Sprintf(refund, 100, ""), "allow")
	ana, omar, tom := o.signIn("ana", nil), o.signIn("omar", nil), o.signIn("tom", nil)
	plainer := acmeWith(t, refundsFile, oldReason, newReason)
	propose := func(token string, tar []byte) string {
		t.Helper()
		return wantState(t, n.propose(token, "Plainer words", tar), "proposed")["id"].(string)
	}

	one := propose(ana, plainer)
	old := o.signIn("maria", map[string]any{"auth_time": time.Now().Add(-time.Hour).Unix()})
	wantProblem(t, n.hurry(one, old), 403, "sign_in_stale")
	maria := o.signIn("maria", nil)
	wantProblem(t, n.hurry(one, tom), 403, "not_eligible")
	wantProblem(t, n.hurry(one, n.admin), 403, "forbidden")
	wantProblem(t, n.hurry(one, key), 403, "forbidden")
	activate := "/v1/changes/" + one + "/activate"
	wantProblem(t, n.post(activate, maria, `{"emergency":true}`), 400, "invalid_field")
	wantProblem(t, n.post(activate, maria, `{"emergency":"yes","reason":"so"}`), 400, "invalid_field")
	wantProblem(t, n.post(activate, maria, `{"reason":"so"}`), 400, "invalid_field")
	wantProblem(t, n.post(activate, maria, ""), 409, "conflict")
	// Two people: the author, and the one who activates.
	if done := wantState(t, n.hurry(one, maria), "activated"); done["how"] != "emergency" || done["review_by"] != nil || done["bundle"] != n.active() {
		t.Errorf("by two people: %v", done)
	}
	shown := n.get("/v1/changes/"+one, n.admin).decode(t)
	if reviews := shown["reviews"].([]any); len(reviews) != 1 || shown["emergency"].(map[string]any)["reason"] != "refunds go to the wrong account" {
		t.Errorf("by two people, shown: %v", shown)
	}
	wantProblem(t, n.hurry(one, maria), 409, "conflict")
	wantProblem(t, n.review(one, omar, "approve"), 409, "approval_closed")

	// One person, whose own change it is.
	two := propose(maria, acmeWith(t, "writ.yaml", "days: 455", "days: 500"))
	late := propose(ana, acmeWith(t, "writ.yaml", "days: 455", "days: 501"))
	approved := propose(ana, acmeWith(t, "writ.yaml", "days: 455", "days: 502"))
	wantState(t, n.review(approved, omar, "approve"), "approved")
	wantProblem(t, n.hurry(approved, maria), 409, "conflict")
	before := time.Now()
	done := wantState(t, n.hurry(two, maria), "review_owed")
	due, err := time.Parse(canon.TimeLayout, done["review_by"].(string))
	if err != nil || due.Before(gov.ReviewDue(before.Add(-time.Second))) || due.After(gov.ReviewDue(time.Now())) {
		t.Errorf("due %v, %v", done["review_by"], err)
	}
	wantProblem(t, n.hurry(late, omar), 409, "conflict") // another base
	wantProblem(t, n.review(two, maria, "approve"), 403, "not_eligible")
	if owed := n.owed(); len(owed) != 1 || owed[0].(map[string]any)["overdue"] != nil {
		t.Errorf("owed: %v", owed)
	}
	o.clock.Store(int64(time.Until(due) + time.Second))
	if owed := n.owed(); len(owed) != 1 || owed[0].(map[string]any)["overdue"] != true {
		t.Errorf("owed past its time: %v", owed)
	}
	omar, maria = o.signIn("omar", nil), o.signIn("maria", nil) // clocks go forward
	denied := wantState(t, n.review(two, omar, "deny"), "rejected")
	if denied["remedy"] == nil || denied["bundle"] != n.active() {
		t.Errorf("denied after: %v", denied)
	}
	if e := n.post("/v1/changes/rollback", omar, `{"environment":"prod","reason":"denied"}`); e.status != 200 || e.decode(t)["state"] != "review_owed" {
		t.Errorf("rolled back: %s", e.body)
	}
	if rolled := n.get("/v1/changes/"+two, n.admin).decode(t); rolled["remedy"] != nil || rolled["state"] != "rejected" {
		t.Errorf("rolled back, and still to be: %v", rolled)
	}

	// A program's change, and one person: alone too.
	three := propose(n.admin, acmeWith(t, "writ.yaml", "days: 455", "days: 503"))
	wantState(t, n.hurry(three, omar), "review_owed")
	wantProblem(t, n.review(three, omar, "approve"), 403, "not_eligible")
	wantState(t, n.review(three, maria, "approve"), "activated")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}
