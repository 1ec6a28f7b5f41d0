package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

const (
	secretThenOut = "sigma:e2a4a4b6-1b6e-4c39-9c0e-7d4f5a1f9b10"
	deniedForMany = "sigma:41e7b0f4-9a77-4a2f-bf0e-2f4b6e5f8d35"
)

// detectors gives them as the API does.
func (n *node) detectors() (page map[string]any, byID map[string]map[string]any) {
	n.t.Helper()
	e := n.get("/v1/detectors?environment=prod", n.admin)
	if e.status != http.StatusOK {
		n.t.Fatalf("detectors: %s", e.body)
	}
	page, byID = e.decode(n.t), map[string]map[string]any{}
	for _, d := range page["detectors"].([]any) {
		d := d.(map[string]any)
		byID[d["id"].(string)] = d
	}
	return page, byID
}

func TestARuleOfTheBundleOpensAnIncident(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := start(t, newOffice(t).config(dir))
	n.acme()
	off := `{"agent":"finance-bot","tool":"iam/grant_role","input":{}}`
	for i, person := range []string{"tom", "maria", "yuki", "tom", "ana"} {
		if found := n.incidents("&detector=" + deniedForMany); i < 4 && len(found) > 0 {
			t.Errorf("after %d people: %v", i, found)
		}
		_, key := n.key("finance-bot", "user:"+person)
		n.ask(key, off, "deny")
	}
	eventually(t, "the incident", func() bool { return len(n.incidents("&detector="+deniedForMany)) == 1 })
	i := n.incidents("&detector=" + deniedForMany)[0]
	if i["severity"] != 3.0 || i["agent"] != "finance-bot" || !strings.Contains(fmt.Sprint(i["title"]), "denied for many people") {
		t.Errorf("the incident is %v", i)
	}
	eventually(t, "the index has the signal", func() bool { _, d := n.detectors(); return d[deniedForMany]["signals"] == 1.0 })
	_, d := n.detectors()
	last, _ := d[deniedForMany]["last_signal"].(map[string]any)
	if last["incident"] != i["id"] || d[deniedForMany]["kind"] != "rule" || d[deniedForMany]["owner"] != "group:security" || d[deniedForMany]["file"] != "sigma/denied-for-many.yml" {
		t.Errorf("the detector is %v", d[deniedForMany])
	}
	if d["sigma:9b7d5c7e-1f60-4c8b-8a53-6b2d0a9d3c44"] != nil {
		t.Error("what only feeds a correlation is a detector")
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

func TestDetectorsSayHowTheyAre(t *testing.T) {
	t.Parallel()
	c := newOffice(t).config(t.TempDir())
	c.Probe = 2 * time.Second // under the race detector a probe takes most of a second
	n := start(t, c)
	n.acme()
	eventually(t, "every detector answers", func() bool {
		_, d := n.detectors()
		for id, one := range d {
			if one["status"] != "answers" && id != "detector_silent" {
				return false
			}
		}
		return len(d) == 26
	})
	page, d := n.detectors()
	spike := d["blocked_spike"]
	if spike["owner"] != "group:security" || spike["runbook"] != "runbooks/blocked-spike.md" || spike["severity"] != 2.0 || spike["missed"] != 0.0 || spike["last_heartbeat"] == nil || page["last_probe"] == nil {
		t.Errorf("blocked_spike is %v", spike)
	}
	if got := fmt.Sprint(spike["thresholds"]); !strings.Contains(got, "name:window unit:seconds value:600") {
		t.Errorf("its thresholds are %s", got)
	}
	if got := fmt.Sprint(d[deniedForMany]["thresholds"]); !strings.Contains(got, "value:3600") || !strings.Contains(got, "value:4") {
		t.Errorf("the thresholds of a rule are %s", got)
	}
	if d["detector_silent"]["status"] != "unprobed" || d[secretThenOut]["severity"] != 2.0 {
		t.Errorf("detector_silent is %v, the rule %v", d["detector_silent"], d[secretThenOut])
	}
	_, key := n.key("support-bot", "runs_as")
	for path, want := range map[string]int{"prod&agent=x": http.StatusBadRequest, "prod&environment=prod": http.StatusBadRequest, "nowhere": http.StatusNotFound} {
		if e := n.get("/v1/detectors?environment="+path, n.admin); e.status != want {
			t.Errorf("%s is answered with %d: %s", path, e.status, e.body)
		}
	}
	if e := n.get("/v1/detectors?environment=prod", key); e.status != http.StatusForbidden {
		t.Errorf("an agent is answered with %d", e.status)
	}
}

func TestADetectorThatIsOffOrSilentSaysSo(t *testing.T) {
	t.Parallel()
	o, n := newConsole(t)
	n.take(signals(0, 0, 2, func(g *canon.Signal) { g.Detector, g.Key, g.Heartbeat = "heartbeat", "heartbeat", true }))
	eventually(t, "an answer", func() bool { page, _ := n.detectors(); return page["last_answer"] != nil })
	_, d := n.detectors()
	if d["off_list"]["status"] != "waiting" || d["off_list"]["last_heartbeat"] != nil {
		t.Errorf("before any probe it is %v", d["off_list"])
	}
	omar := n.browser().signIn(o, "omar")
	omar.get("/console/detectors").want(t, http.StatusOK, "no probe yet", "blocked_spike", "group:security", "runbooks/blocked-spike.md", "One agent was denied for many people", "sigma/denied-for-many.yml")
	omar.get("/console/signals").want(t, http.StatusOK, "heartbeat")
	omar.get("/console/incidents").want(t, http.StatusOK, "/console/detectors?environment=prod", "/console/signals?environment=prod")
	_, key := n.key("support-bot", "runs_as")
	n.ask(key, `{"agent":"support-bot","tool":"bank/transfer","input":{}}`, "deny")
	eventually(t, "a signal", func() bool {
		return strings.Contains(omar.get("/console/signals?detector=off_list").text, "bank/transfer")
	})
	omar.get("/console/detectors").want(t, http.StatusOK, "/console/signals?detector=off_list")
	omar.get("/console/signals?detector=new_tool").want(t, http.StatusOK, "No signal here.")
	// Answers to probes that leave a detector out; what was before the bundle does not count.
	n.take(signals(1000, 0, 3, func(g *canon.Signal) {
		g.Detector, g.Key, g.Heartbeat, g.Noticed = "heartbeat", "heartbeat", true, []gov.DetectorID{"blocked_call"}
	}))
	eventually(t, "the index has them", func() bool { _, d := n.detectors(); return d["off_list"]["missed"] == 3.0 })
	_, d = n.detectors()
	if d["off_list"]["status"] != "silent" || d["blocked_call"]["status"] != "answers" || d["blocked_call"]["missed"] != 0.0 {
		t.Errorf("off_list is %v, blocked_call %v", d["off_list"], d["blocked_call"])
	}
	omar.get("/console/detectors").want(t, http.StatusOK, "silent", "3 missed")
}

func TestADetectorThatIsOffSaysSo(t *testing.T) {
	t.Parallel()
	c := newOffice(t).config(t.TempDir())
	c.Probe = 2 * time.Second // under the race detector a probe takes most of a second
	n := start(t, c)
	off := acmeWith(t, "detectors.yaml", "budget_breach: {", "off_list: {off: true}\n  budget_breach: {")
	if e := n.send(http.MethodPost, "/v1/bundles?environment=prod", n.admin, "application/x-tar", off); e.status != http.StatusOK {
		t.Fatalf("the bundle: %s", e.body)
	}
	eventually(t, "the others answer", func() bool { _, d := n.detectors(); return d["blocked_call"]["status"] == "answers" })
	if _, d := n.detectors(); d["off_list"]["status"] != "off" || d["off_list"]["off"] != true || d["off_list"]["missed"] != 0.0 {
		t.Errorf("off_list is %v", d["off_list"])
	}
}
