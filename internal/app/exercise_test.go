package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	exercised = `{"environment":"prod","scenario":"G1","agents":["support-bot"],"detectors":["self_approval"],"minutes":%d}`
	filed     = `{"hypothesis":"It is noticed.","injected":"A call off its list.","expected":["off_list"],"held":true,"observed":"It was.",` +
		`"moments":[{"what":"injected","at":"2026-11-24T06:00:00.000000Z"}],"detect_ms":12,"refs":["dec_x"]}`
)

// exercise begins one and gives it.
func (n *node) exercise(token string, minutes, status int) map[string]any {
	n.t.Helper()
	e := n.post("/v1/exercises", token, fmt.Sprintf(exercised, minutes))
	if e.status != status {
		n.t.Fatalf("exercise: %d %s, want %d", e.status, e.body, status)
	}
	return e.decode(n.t)
}

func TestAnExerciseIsBegunLabelledAndFiled(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	omar, tom := o.signIn("omar", nil), o.signIn("tom", nil)
	off := `{"agent":"support-bot","tool":"bank/transfer","input":{}}`

	n.exercise(tom, 5, http.StatusForbidden)
	n.exercise(key, 5, http.StatusForbidden)
	n.exercise(omar, 0, http.StatusBadRequest)
	first := n.exercise(omar, 5, http.StatusOK)
	if first["state"] != "running" || first["by"].(map[string]any)["type"] != "person" {
		t.Errorf("it is %v", first)
	}
	if c := n.exercise(n.admin, 5, http.StatusConflict); !strings.Contains(fmt.Sprint(c), fmt.Sprint(first["id"])) {
		t.Errorf("a second one is refused with %v", c)
	}
	n.ask(key, off, "deny")
	eventually(t, "the drill's incident", func() bool { return len(n.incidents("&exercise=true")) == 1 })

	path := fmt.Sprintf("/v1/exercises/%v", first["id"])
	if e := n.post(path+"/results", tom, filed); e.status != http.StatusForbidden {
		t.Errorf("tom files: %d %s", e.status, e.body)
	}
	if e := n.post(path+"/results", omar, strings.Replace(filed, `"hypothesis":"It is noticed.",`, "", 1)); e.status != http.StatusBadRequest {
		t.Errorf("without a hypothesis: %d %s", e.status, e.body)
	}
	if e := n.post(path+"/results", omar, filed); e.status != http.StatusOK || e.decode(t)["state"] != "done" {
		t.Fatalf("file: %d %s", e.status, e.body)
	}
	if e := n.post(path+"/results", omar, filed); e.status != http.StatusConflict {
		t.Errorf("again: %d %s", e.status, e.body)
	}
	n.ask(key, off, "deny")
	eventually(t, "what comes after it is real", func() bool { return len(n.incidents("&exercise=false")) == 1 })

	second := n.exercise(n.admin, 5, http.StatusOK)
	o.clock.Add(int64(6 * time.Minute))
	if e := n.get(fmt.Sprintf("/v1/exercises/%v", second["id"]), n.admin).decode(t); e["state"] != "expired" {
		t.Errorf("its time is over, and it is %v", e)
	}
	n.exercise(n.admin, 5, http.StatusOK)
	all := n.get("/v1/exercises?environment=prod", o.signIn("vera", nil)).decode(t)["exercises"].([]any)
	if len(all) != 3 || all[2].(map[string]any)["result"].(map[string]any)["held"] != true {
		t.Errorf("listed are %v", all)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

// TestARefusedVoteIsNoticedWhereTheRequestIs: those who respond in an environment see who tried to approve there.
func TestARefusedVoteIsNoticedWhereTheRequestIs(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	_, key := n.key("finance-bot", "user:tom")
	asked := n.ask(key, `{"agent":"finance-bot","tool":"bank/transfer","input":{"amount":90000,"supplier":{"id":"S-9","country":"DE"},"iban":"DE89370400440532013000","invoice":"INV-1"}}`, "require_approval")
	id := asked["approval"].(map[string]any)["id"].(string)
	if e := n.vote(id, o.signIn("tom", nil), "approve"); e.status != http.StatusForbidden {
		t.Fatalf("tom approves his own call: %d %s", e.status, e.body)
	}
	o.clock.Add(int64(time.Minute))
	eventually(t, "the refusal is an incident", func() bool { return len(n.incidents("&detector=self_approval")) == 1 })
	found := entries(n, n.admin, "prod", "refusals")
	if len(found) != 1 || !strings.Contains(fmt.Sprint(found[0]["body"]), "caller:p_") {
		t.Errorf("refused are %v", found)
	}
}
