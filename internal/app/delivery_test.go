package app_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAnIncidentSaysWhomItDidNotReach: an alert that was not delivered is in the timeline beside those that were, wherever that is read.
func TestAnIncidentSaysWhomItDidNotReach(t *testing.T) {
	t.Parallel()
	o, p := newOffice(t), newPager(t)
	p.down.Store(1)
	c := o.config(t.TempDir())
	c.Secrets = t.TempDir()
	if err := os.WriteFile(filepath.Join(c.Secrets, "HOOK"), []byte(p.URL+"/hook\n"+signingKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := start(t, c)
	n.acmeTells(t, "notify:\n  hook: {type: webhook, secret: HOOK, groups: [security], events: [incident_opened, incident_changed]}\n")
	n.take(signals(1, 0, 1, nil))
	id := n.only("")["id"].(string)
	for i, wait := range []int{0, 5, 10, 20} {
		o.clock.Add(int64(time.Duration(wait) * time.Second))
		eventually(t, fmt.Sprint("attempt ", i+1), func() bool { return len(attempts(n)) == i+1 })
	}
	told := func() []string {
		t.Helper()
		var out []string
		for _, l := range n.get("/v1/incidents/"+id, n.admin).decode(t)["timeline"].([]any) {
			line := l.(map[string]any)
			if d, ok := line["delivery"].(map[string]any); ok {
				out = append(out, fmt.Sprint(line["event"], " ", d["event"], " ", d["status"], " ", d["attempt"], " ", d["code"], " ", d["cause"]))
			}
		}
		return out
	}
	wants := func(want ...string) {
		t.Helper()
		eventually(t, fmt.Sprint("the timeline has ", want, " and not ", told()), func() bool { return slices.Equal(told(), want) })
	}
	failed := []string{"alert.delivery_failed incident_opened failed 1 503 refused", "alert.delivery_failed incident_opened failed 4 503 refused"} // two more between them
	wants(failed...)
	undelivered := func() any { return n.get("/v1/incidents/"+id, n.admin).decode(t)["undelivered"] }
	if got := fmt.Sprint(undelivered()); got != "[hook]" {
		t.Errorf("undelivered through %s", got)
	}
	omar := n.browser().signIn(o, "omar")
	omar.get("/console/incidents/"+id).want(t, http.StatusOK, "not told", "has not reached hook.", "incident_opened could not be delivered through hook (webhook), attempt 4: it was refused with 503; it is tried again")
	p.down.Store(0)
	o.clock.Add(int64(40 * time.Second))
	reached := append(failed, "alert.delivered incident_opened delivered 5 200 <nil>")
	wants(reached...)
	if got := undelivered(); got != nil {
		t.Errorf("it was delivered, and is not through %v", got)
	}
	p.down.Store(2)
	n.step(id, o.signIn("omar", nil), `{"event":"ack"}`, 200)
	wants(append(reached, "alert.delivery_failed incident_changed failed 1 <nil> unreachable")...)
	report := n.get("/v1/incidents/"+id+"/report?fresh=true", n.admin).decode(t)["text"].(string)
	for _, line := range []string{"attempt 1: it was refused with 503; it is tried again", "incident_opened was told through hook (webhook)", "incident_changed could not be delivered through hook (webhook), attempt 1: nobody answered in time"} {
		if !strings.Contains(report, line) {
			t.Errorf("the report does not say %q: %s", line, report)
		}
	}
	o.clock.Add(int64(25 * time.Hour))
	wants(append(reached, "alert.delivery_failed incident_changed failed 1 <nil> unreachable", "alert.delivery_failed incident_changed given_up 2 <nil> unreachable")...)
	n.browser().signIn(o, "omar").get("/console/incidents/"+id).want(t, http.StatusOK, "told", "attempt 2: nobody answered in time; it was given up")
}
