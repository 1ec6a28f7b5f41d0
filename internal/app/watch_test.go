package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestABlockedDangerousCallIsAnOpenIncident(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := start(t, newOffice(t).config(dir))
	n.acme()
	_, key := n.key("finance-bot", "user:tom")
	n.reads(key, fmt.Sprintf(mailRead, `,"session":"s"`), injected)
	began := time.Now()
	n.ask(key, fmt.Sprintf(pay, "DE89370400440532013000", `,"session":"s"`), "deny")
	eventually(t, "the incidents", func() bool {
		found := fmt.Sprint(n.incidents(""))
		return strings.Contains(found, "tainted_sink") && strings.Contains(found, "blocked_call") && strings.Contains(found, "injection")
	})
	t.Logf("%s after the call", time.Since(began))
	// The detector of the example asks to stop the session.
	eventually(t, "the session is stopped", func() bool {
		return n.post("/v1/decisions", key, fmt.Sprintf(mailRead, `,"session":"s"`)).decode(t)["outcome"] == "deny"
	})
	n.ask(key, fmt.Sprintf(mailRead, `,"session":"other"`), "allow")
	switches := n.get("/v1/switches?environment=prod", n.admin).decode(t)["switches"].([]any)
	if len(switches) != 1 || !strings.Contains(fmt.Sprint(switches), "system") {
		t.Fatalf("engaged are %v", switches)
	}
	stopped := fmt.Sprint(switches[0].(map[string]any)["id"])
	eventually(t, "the incident shows what a rule stopped for it, and no other incident does", func() bool {
		shown := map[string]bool{}
		for _, i := range n.incidents("") {
			timeline := fmt.Sprint(n.get("/v1/incidents/"+i["id"].(string), n.admin).decode(t)["timeline"])
			shown[fmt.Sprint(i["detector"])] = strings.Contains(timeline, "switch.engaged") && strings.Contains(timeline, stopped)
		}
		return shown["tainted_sink"] && !shown["blocked_call"] && !shown["injection"]
	})
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

func TestDetectorsGoOnWhereTheyWere(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	admin := n.admin
	_, key := n.key("support-bot", "runs_as")
	off := `{"agent":"support-bot","tool":"bank/transfer","input":{}}`
	for range 30 {
		n.ask(key, off, "deny")
	}
	count := func() int64 {
		for _, i := range n.incidents("&detector=off_list") {
			return int64(i["signals"].(float64))
		}
		return 0
	}
	eventually(t, "some of them are counted", func() bool { return count() > 0 })
	if err := n.Stop(); err != nil { // perhaps in the middle
		t.Fatal(err)
	}
	n = start(t, o.config(dir))
	n.admin = admin
	for range 30 {
		n.ask(key, off, "deny")
	}
	eventually(t, "all are counted, once", func() bool { return count() == 60 })
	if found := n.incidents("&detector=off_list"); len(found) != 1 {
		t.Errorf("%d incidents of one thing", len(found))
	}
	if got := len(entries(n, n.admin, "prod", "signal")); got < 60 {
		t.Errorf("%d signals are recorded", got)
	}
}

func TestDetectorsAnswerProbes(t *testing.T) {
	t.Parallel()
	c := newOffice(t).config(t.TempDir())
	c.Probe = 200 * time.Millisecond
	n := start(t, c)
	n.acme()
	eventually(t, "a heartbeat", func() bool {
		for _, e := range entries(n, n.admin, "prod", "signal") {
			if body := e["body"].(map[string]any); body["heartbeat"] == true {
				return len(body["noticed"].([]any)) > 20
			}
		}
		return false
	})
	if found := n.incidents(""); len(found) != 0 {
		t.Errorf("a heartbeat opened %v", found)
	}
}
