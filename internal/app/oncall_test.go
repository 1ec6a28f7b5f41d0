package app_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/notify/notifytest"
)

const (
	routingKey    = "0123456789abcdefghijklmnopqrstuv"
	signingSecret = "NCnkQ3kmTe-qRM2yNIdaHa5RfRwyD9tQ"
)

// onCallOf is a configuration with the secrets PAGER, CHAT and ALERTS, and a bundle's channels and on_call that use them.
func (o *office) onCallOf(dir string, pd *notifytest.PagerDuty, am *notifytest.Alertmanager, chat *pager) (app.Config, string) {
	o.t.Helper()
	c := o.config(dir)
	c.Secrets, c.PublicURL = o.t.TempDir(), "https://writ.example.com"
	for name, value := range map[string]string{
		"PAGER": routingKey + "\n" + signingSecret + "\n", "ALERTS": am.URL, "CHAT": chat.URL + "/hook\n" + signingKey + "\n",
	} {
		if err := os.WriteFile(filepath.Join(c.Secrets, name), []byte(value), 0o600); err != nil {
			o.t.Fatal(err)
		}
	}
	return c, `notify:
  pager: {type: pagerduty, secret: PAGER, url: "` + pd.URL + `/v2/enqueue", events: [incident_escalated, incident_changed]}
  elsewhere: {type: pagerduty, secret: PAGER, url: "` + pd.URL + `/v2/enqueue", events: [incident_changed], environments: [staging]}
  alerts: {type: alertmanager, secret: ALERTS, events: [incident_opened, incident_escalated, incident_changed]}
  chat: {type: webhook, secret: CHAT, events: [approval_requested]}
on_call:
  1: [{after: 0s, channels: [pager]}, {after: 15m, channels: [chat, elsewhere]}, {after: 1h, channels: [pager, chat]}]
  2: [{after: 5m, channels: [pager]}]
  4: [{after: 0s, channels: [elsewhere]}]
`
}

// hook sends what PagerDuty would, signed with a secret.
func (n *node) hook(channel, secret string, body []byte) exchange {
	n.t.Helper()
	req, err := http.NewRequest(http.MethodPost, n.URL()+"/v1/hooks/pagerduty/"+channel, bytes.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	req.Header.Set("Content-Type", jsonType)
	req.Header.Set("X-PagerDuty-Signature", "v1="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		n.t.Fatal(err)
	}
	e := exchange{resp.StatusCode, resp.Header.Get("Content-Type"), data}
	if err := checkContract(req, resp, body, e); err != nil {
		n.t.Error(err)
	}
	return e
}

// hookOf is a webhook of PagerDuty, V3.
func hookOf(t *testing.T, event, kind, incident string, at time.Time) []byte {
	t.Helper()
	body, err := json.Marshal(map[string]any{"event": map[string]any{
		"id": event, "event_type": kind, "resource_type": "incident", "occurred_at": at.UTC().Format(time.RFC3339),
		"agent": map[string]any{"id": "PLH1HKV", "type": "user_reference", "summary": "Lena Example", "html_url": "https://acme.pagerduty.com/users/PLH1HKV"},
		"data":  map[string]any{"id": "PGR0VU2", "type": "incident", "incident_key": incident, "title": "A little bump in the road"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// alerts are the steps of on_call that the ledger has: "after_seconds channels".
func alerts(n *node) []string {
	n.t.Helper()
	var out []string
	for _, e := range entries(n, n.admin, "prod", "incident_event") {
		if a, ok := e["body"].(map[string]any)["alert"].(map[string]any); ok {
			out = append(out, fmt.Sprint(a["after_seconds"], " ", a["channels"]))
		}
	}
	return out
}

func (n *node) wantAlerts(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprint("told are ", want), func() bool { return slices.Equal(alerts(n), want) })
}

// fires is the severity that Alertmanager has of an incident a day from now, or nothing.
func fires(am *notifytest.Alertmanager, now time.Time, incident string) string {
	for _, labels := range am.Firing(now.Add(24 * time.Hour)) {
		if labels["incident"] == incident {
			return labels["severity"]
		}
	}
	return ""
}

func critical(s *canon.Signal) { s.Severity = gov.SeverityCritical }

// TestWhatNobodyAcknowledgesIsEscalated step by step, each once, over restarts and with a pager that is down; and not any more once
// somebody has it.
func TestWhatNobodyAcknowledgesIsEscalated(t *testing.T) {
	t.Parallel()
	o, chat := newOffice(t), newPager(t)
	pd, am := notifytest.NewPagerDuty(t, routingKey), notifytest.NewAlertmanager(t, "")
	c, onCall := o.onCallOf(t.TempDir(), pd, am, chat)
	n := start(t, c)
	admin := n.admin
	n.acmeTells(t, onCall)
	pd.Down(true)
	n.take(signals(1, 0, 3, critical))
	id := n.only("")["id"].(string)
	n.wantAlerts(t, "0 [pager]")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	pd.Down(false)
	o.clock.Add(int64(15 * time.Minute))
	n = start(t, c)
	n.admin = admin
	n.wantAlerts(t, "0 [pager]", "900 [chat]") // elsewhere is not for this environment
	chat.wants("incident_paged " + id)
	eventually(t, "it rings", func() bool { return len(pd.Pages()) == 1 })
	if p := pd.Pages()[0]; p.Key != id || p.Status != "triggered" || p.Severity != "critical" || p.Details["detector"] != "blocked_spike" || p.Details["agent"] != "support-bot" {
		t.Errorf("it rings %+v", p)
	}
	eventually(t, "the alert fires", func() bool { return fires(am, o.now(), id) == "critical" })
	n.step(id, o.signIn("omar", nil), `{"event":"ack"}`, 200)
	eventually(t, "it does not ring any more", func() bool { return pd.Pages()[0].Status == "acknowledged" })
	o.clock.Add(int64(2 * time.Hour))
	n.take(signals(2, 0, 1, func(s *canon.Signal) { s.Severity, s.Key = gov.SeverityLow, "another" }))
	n.take(signals(3, 0, 1, func(s *canon.Signal) { s.Severity, s.Key = gov.SeverityHigh, "a third" }))
	o.clock.Add(int64(5 * time.Minute))
	n.wantAlerts(t, "0 [pager]", "900 [chat]", "300 [pager]") // the acknowledged one is not among them, nor what nobody here is on call for
	n.step(id, o.signIn("omar", nil), `{"event":"containment.other","text":"The shop is closed."}`, 200)
	n.step(id, o.signIn("omar", nil), `{"event":"resolved","text":"It was a bug."}`, 200)
	eventually(t, "it is over", func() bool { return pd.Pages()[0].Status == "resolved" && fires(am, o.now(), id) == "" })
	if p := pd.Pages(); p[0].Rang != 1 || len(p) != 2 {
		t.Errorf("it rang %+v", p)
	}
	if strings.Contains(fmt.Sprint(pd.Pages()), "omar") {
		t.Error("a page names who works on it")
	}
}

func TestAnIncidentThatIsWorseFollowsTheOtherSteps(t *testing.T) {
	t.Parallel()
	o, chat := newOffice(t), newPager(t)
	pd, am := notifytest.NewPagerDuty(t, routingKey), notifytest.NewAlertmanager(t, "")
	c, onCall := o.onCallOf(t.TempDir(), pd, am, chat)
	n := start(t, c)
	n.acmeTells(t, onCall)
	n.take(signals(1, 0, 1, func(s *canon.Signal) { s.Severity = gov.SeverityHigh }))
	o.clock.Add(int64(20 * time.Minute))
	n.wantAlerts(t, "300 [pager]")
	n.take(signals(2, 0, 1, critical))
	n.wantAlerts(t, "300 [pager]", "0 [pager]", "900 [chat]")
	eventually(t, "it is critical there", func() bool {
		return len(pd.Pages()) == 1 && pd.Pages()[0].Severity == "critical" && pd.Pages()[0].Rang == 1
	})
	id := n.only("")["id"].(string)
	wantProblem(t, n.step(id, o.signIn("omar", nil), `{"event":"alert.notified"}`, 400), 400, "invalid_field")
}

func TestAnAcknowledgementInPagerDutyCounts(t *testing.T) {
	t.Parallel()
	o, chat := newOffice(t), newPager(t)
	pd, am := notifytest.NewPagerDuty(t, routingKey), notifytest.NewAlertmanager(t, "")
	c, onCall := o.onCallOf(t.TempDir(), pd, am, chat)
	n := start(t, c)
	n.acmeTells(t, onCall)
	n.take(signals(1, 0, 1, critical))
	id := n.only("")["id"].(string)
	body := hookOf(t, "01BZ", "incident.acknowledged", id, o.now())
	for name, e := range map[string]exchange{
		"a stranger's":            n.hook("pager", "another secret of 32 characters.", body),
		"the routing key's":       n.hook("pager", routingKey, body),
		"of another environment":  n.hook("elsewhere", signingSecret, body),
		"of a webhook's channel":  n.hook("chat", signingSecret, body),
		"of a channel not there":  n.hook("pagr", signingSecret, body),
		"of another body's proof": n.hook("pager", signingSecret+" ", body),
	} {
		if m := e.decode(t); e.status != http.StatusUnauthorized || m["code"] != "unauthenticated" {
			t.Errorf("%s: %d %s", name, e.status, e.body)
		}
	}
	wantProblem(t, n.hook("pager", signingSecret, hookOf(t, "01BY", "incident.acknowledged", id, o.now().Add(-72*time.Hour))), 400, "invalid_field")
	answer := func(body []byte) string {
		e := n.hook("pager", signingSecret, body)
		m := e.decode(t)
		return fmt.Sprint(e.status, " ", m["status"], " ", m["code"])
	}
	for _, try := range []struct {
		body []byte
		want string
	}{
		{hookOf(t, "01BX", "incident.triggered", id, o.now()), "200 ignored nothing_to_do"},
		{hookOf(t, "01BW", "incident.acknowledged", "inc_x", o.now()), "200 ignored unknown_incident"},
		{hookOf(t, "01BV", "incident.acknowledged", id, o.now().Add(-time.Hour)), "200 ignored too_early"},
		{body, "200 recorded acknowledged"},
		{body, "200 ignored duplicate"},
		{hookOf(t, "01C0", "incident.resolved", id, o.now()), "200 ignored not_new"},
	} {
		if got := answer(try.body); got != try.want {
			t.Errorf("%s: %s, want %s", try.body, got, try.want)
		}
	}
	shown := n.get("/v1/incidents/"+id, n.admin).decode(t)
	if shown["state"] != "triage" || shown["owner"] != nil || shown["acknowledged_at"] == nil {
		t.Errorf("it is %v", shown)
	}
	var acks []map[string]any
	for _, e := range entries(n, n.admin, "prod", "incident_event") {
		if b := e["body"].(map[string]any); b["event"] == "ack" {
			acks = append(acks, e)
		}
	}
	if len(acks) != 1 || fmt.Sprint(acks[0]["body"].(map[string]any)["via"]) != "map[channel:pager event:01BZ kind:incident.acknowledged user:PLH1HKV]" ||
		acks[0]["actor"].(map[string]any)["type"] != "system" || strings.Contains(fmt.Sprint(acks), "Lena") {
		t.Errorf("the ledger says %v", acks)
	}
	n.take(signals(2, 0, 1, func(s *canon.Signal) { s.Severity, s.Key = gov.SeverityHigh, "another" }))
	other := n.incidents("&state=new")[0]["id"].(string)
	if got := answer(hookOf(t, "01C1", "incident.resolved", other, o.now())); got != "200 recorded acknowledged" {
		t.Errorf("resolved there: %s", got)
	}
}

// TestAStepOfOnCallIsTakenOnceOnThreeNodes that all find it due at the same time, and beside the job that does.
func TestAStepOfOnCallIsTakenOnceOnThreeNodes(t *testing.T) {
	t.Parallel()
	o, chat := newOffice(t), newPager(t)
	pd, am := notifytest.NewPagerDuty(t, routingKey), notifytest.NewAlertmanager(t, "")
	c, onCall := o.onCallOf("", pd, am, chat)
	nodes := cluster(t, 3, c)
	nodes[0].acmeTells(t, onCall)
	all := signals(1, 0, 20, critical)
	for i := range all {
		all[i].Key = fmt.Sprintf("key %d", i)
	}
	nodes[0].take(all)
	o.clock.Add(int64(time.Hour))
	var group sync.WaitGroup
	for _, n := range nodes {
		for range 2 {
			group.Go(func() {
				if err := n.Page(t.Context(), "prod"); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	eventually(t, "every step of every incident is taken", func() bool { return len(alerts(nodes[0])) >= 60 })
	for _, n := range nodes {
		if err := n.Page(t.Context(), "prod"); err != nil {
			t.Error(err)
		}
	}
	taken := map[string]int{}
	for _, a := range alerts(nodes[0]) {
		taken[a]++
	}
	if len(taken) != 3 || taken["0 [pager]"] != 20 || taken["900 [chat]"] != 20 || taken["3600 [pager chat]"] != 20 {
		t.Errorf("taken are %v", taken)
	}
}
