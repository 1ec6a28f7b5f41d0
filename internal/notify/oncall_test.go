package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/notify/notifytest"
)

const (
	routingKey    = "0123456789abcdefghijklmnopqrstuv"
	signingSecret = "NCnkQ3kmTe-qRM2yNIdaHa5RfRwyD9tQ"
)

// incidentNotice is of an incident, as an event of it and its standing say.
func incidentNotice(e gov.Event, s gov.Standing) gov.Notice {
	s.Opened, s.Detector = at, "blocked_spike"
	return gov.Notice{
		ID: "sig_0001", Event: e, Environment: "prod", Source: "https://writ.example.com/ledger/prod", Subject: "inc_0001", At: at,
		Title: "SEV1 in prod: Incident: 41 calls were denied\nin 5 minutes.", Agent: "support-bot", Tool: "stripe/refund", Why: []string{"41 calls"},
		Groups: []gov.GroupID{"security"}, State: "new", Severity: gov.SeverityCritical, URL: "https://writ.example.com/console/incidents/inc_0001", Standing: &s,
	}
}

func TestPagerDutyFollowsAnIncidentUnderOneKey(t *testing.T) {
	t.Parallel()
	p := notifytest.NewPagerDuty(t, routingKey)
	to := bundle.Channel{Type: gov.ChannelPagerDuty, Secret: "S", URL: p.URL + "/v2/enqueue"}
	c := client(routingKey + "\n" + signingSecret + "\n")
	for _, step := range []struct {
		event gov.Event
		at    gov.Standing
		want  string
	}{
		{gov.EventIncidentOpened, gov.Standing{State: gov.IncidentNew, Severity: 2}, "triggered error 1"},
		{gov.EventIncidentPaged, gov.Standing{State: gov.IncidentNew, Severity: 2, Step: gov.StepNotified}, "triggered error 1"},
		{gov.EventIncidentEscalated, gov.Standing{State: gov.IncidentNew, Severity: 1}, "triggered critical 1"},
		{gov.EventIncidentChanged, gov.Standing{State: gov.IncidentTriage, Severity: 1, Step: gov.StepAck}, "acknowledged critical 1"},
		{gov.EventIncidentChanged, gov.Standing{State: gov.IncidentContained, Severity: 1, Step: gov.StepKillSwitch}, "acknowledged critical 1"},
		{gov.EventIncidentChanged, gov.Standing{State: gov.IncidentResolved, Severity: 1, Step: gov.StepResolved}, "resolved critical 1"},
		{gov.EventIncidentOpened, gov.Standing{State: gov.IncidentResolved, Severity: 1}, "resolved critical 1"}, // an old notice comes late
		{gov.EventIncidentChanged, gov.Standing{State: gov.IncidentActive, Severity: 3, Step: gov.StepReopened}, "triggered warning 2"},
		{gov.EventIncidentChanged, gov.Standing{State: gov.IncidentMerged, Severity: 3, Step: gov.StepMerged}, "resolved warning 2"},
	} {
		if sent, err := c.Send(t.Context(), to, incidentNotice(step.event, step.at)); err != nil || sent != (gov.Sent{Code: 202}) {
			t.Fatalf("%+v: %+v, %v", step, sent, err)
		}
		pages := p.Pages()
		if got := fmt.Sprint(pages[0].Status, " ", pages[0].Severity, " ", pages[0].Rang); len(pages) != 1 || got != step.want || pages[0].Key != "inc_0001" {
			t.Errorf("%+v: %+v, want %s", step, pages, step.want)
		}
	}
	details := map[string]any{
		"incident": "inc_0001", "entry": "sig_0001", "environment": "prod", "detector": "blocked_spike", "agent": "support-bot", "tool": "stripe/refund",
		"state": "active", "severity": 3.0, "exercise": false,
	}
	if diff := cmp.Diff(details, p.Pages()[0].Details); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
	if got := p.Pages()[0].Summary; got != "SEV1 in prod: Incident: 41 calls were denied in 5 minutes." {
		t.Errorf("the summary is %q", got)
	}
}

// TestWhatAPagerDoesNotTakeIsNotSent: the fake fails the test at whatever the format does not allow.
func TestWhatAPagerDoesNotTakeIsNotSent(t *testing.T) {
	t.Parallel()
	p := notifytest.NewPagerDuty(t, routingKey)
	to := bundle.Channel{Type: gov.ChannelPagerDuty, Secret: "S", URL: p.URL + "/v2/enqueue"}
	long := incidentNotice(gov.EventIncidentOpened, gov.Standing{State: gov.IncidentNew, Severity: 4})
	long.Title, long.Agent, long.Tool = strings.Repeat("é", 3000), "", ""
	if sent, err := client(routingKey).Send(t.Context(), to, long); err != nil || sent.Code != 202 {
		t.Errorf("a long title: %+v, %v", sent, err)
	}
	for secret, want := range map[string]gov.Sent{
		"":                              {Cause: gov.UnsentSecret},
		"short":                         {Cause: gov.UnsentSecret},
		"https://events.pagerduty.com":  {Cause: gov.UnsentSecret},
		strings.Repeat("a", 32):         {Cause: gov.UnsentRefused, Code: http.StatusBadRequest}, // another integration's
		strings.Repeat("a", 31) + " aa": {Cause: gov.UnsentSecret},
	} {
		sent, err := client(secret).Send(t.Context(), to, incidentNotice(gov.EventIncidentOpened, gov.Standing{State: gov.IncidentNew, Severity: 4}))
		if sent != want || err == nil || secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %+v, %v", secret, sent, err)
		}
	}
	if sent, err := client(routingKey).Send(t.Context(), to, notice()); sent.Cause != gov.UnsentRefused || err == nil {
		t.Errorf("a request for approval: %+v, %v", sent, err)
	}
	if got := p.Log(); !slices.Equal(got, []string{"trigger inc_0001"}) {
		t.Errorf("the pager took %v", got)
	}
}

func TestAlertmanagerHasOneAlertOfAnIncident(t *testing.T) {
	t.Parallel()
	a := notifytest.NewAlertmanager(t, "writ:p@ss")
	secret := strings.Replace(a.URL, "http://", "http://writ:p%40ss@", 1) + "/\n"
	to := bundle.Channel{Type: gov.ChannelAlertmanager, Secret: "S"}
	for _, step := range []struct {
		event gov.Event
		at    gov.Standing
		want  string
	}{
		{gov.EventIncidentOpened, gov.Standing{State: gov.IncidentNew, Severity: 3}, "warning"},
		{gov.EventIncidentEscalated, gov.Standing{State: gov.IncidentNew, Severity: 1}, "critical"},
		{gov.EventIncidentChanged, gov.Standing{State: gov.IncidentTriage, Severity: 1}, "critical"},
		{gov.EventIncidentChanged, gov.Standing{State: gov.IncidentDismissed, Severity: 1, Ended: at.Add(-time.Second)}, ""},
		{gov.EventIncidentOpened, gov.Standing{State: gov.IncidentDismissed, Severity: 1, Ended: at}, ""},
		{gov.EventIncidentChanged, gov.Standing{State: gov.IncidentActive, Severity: 2}, "error"},
	} {
		if sent, err := client(secret).Send(t.Context(), to, incidentNotice(step.event, step.at)); err != nil || sent != (gov.Sent{Code: 200}) {
			t.Fatalf("%+v: %+v, %v", step, sent, err)
		}
		var want []map[string]string
		if step.want != "" {
			want = []map[string]string{{
				"alertname": "WritIncident", "incident": "inc_0001", "environment": "prod", "detector": "blocked_spike", "agent": "support-bot", "severity": step.want,
			}}
		}
		if diff := cmp.Diff(want, a.Firing(at.Add(24*time.Hour))); diff != "" {
			t.Errorf("%+v: a day later (-want +got):\n%s", step, diff)
		}
	}
	open := bundle.Channel{Type: gov.ChannelAlertmanager, URL: notifytest.NewAlertmanager(t, "").URL + "/api/v2/alerts"}
	n := incidentNotice(gov.EventIncidentOpened, gov.Standing{State: gov.IncidentNew, Severity: 4})
	n.Agent = ""
	if sent, err := client("").Send(t.Context(), open, n); err != nil || sent.Code != 200 {
		t.Errorf("without a secret: %+v, %v", sent, err)
	}
	if sent, err := client(a.URL).Send(t.Context(), to, n); sent != (gov.Sent{Cause: gov.UnsentRefused, Code: 401}) || err == nil {
		t.Errorf("without a password: %+v, %v", sent, err)
	}
	if sent, err := client("http://alerts.example.com").Send(t.Context(), to, n); sent.Cause != gov.UnsentSecret || err == nil {
		t.Errorf("in the clear: %+v, %v", sent, err)
	}
}

func hookSigned(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

// hookBody is a webhook of PagerDuty, V3, as its documentation shows one.
func hookBody(t *testing.T, kind string, when time.Time, agent any) []byte {
	t.Helper()
	body, err := json.Marshal(map[string]any{"event": map[string]any{
		"id": "5ac64822-4adc-4fda-ade0-410becf0de4f", "event_type": kind, "resource_type": "incident", "occurred_at": when.Format("2006-01-02T15:04:05.000Z"),
		"agent": agent, "client": map[string]any{"name": "PagerDuty"},
		"data": map[string]any{"id": "PGR0VU2", "type": "incident", "number": 2, "status": "acknowledged", "incident_key": "inc_0001", "title": "A little bump", "assignees": []any{}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestWhatComesBackIsBelievedWhenItIsSigned(t *testing.T) {
	t.Parallel()
	lena := map[string]any{"id": "PLH1HKV", "type": "user_reference", "summary": "Lena Example", "html_url": "https://acme.pagerduty.com/users/PLH1HKV"}
	from := bundle.Channel{ID: "pager", Type: gov.ChannelPagerDuty, Secret: "S"}
	c := client(routingKey + "\n" + signingSecret + "\n" + strings.Repeat("n", 32))
	body := hookBody(t, "incident.acknowledged", at, lena)
	good := hookSigned(signingSecret, body)
	for name, signature := range map[string]string{"the secret": good, "the new one": hookSigned(strings.Repeat("n", 32), body), "one of two": "v1=00, " + good} {
		h, err := c.PagerDutyHook(from, signature, body)
		want := Hook{Event: "5ac64822-4adc-4fda-ade0-410becf0de4f", Kind: "incident.acknowledged", At: at.Truncate(time.Millisecond), Incident: "inc_0001", User: "PLH1HKV"}
		if err != nil || h != want || !h.Acknowledges() {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
	other := slices.Clone(body)
	other[len(other)-2] = ' '
	for name, try := range map[string]struct {
		channel   bundle.Channel
		client    *Client
		signature string
		body      []byte
	}{
		"no signature":          {from, c, "", body},
		"another body":          {from, c, good, append(slices.Clone(body), ' ')},
		"a changed body":        {from, c, good, other},
		"a stranger's":          {from, c, hookSigned("another secret of 32 characters.", body), body},
		"the routing key's":     {from, c, hookSigned(routingKey, body), body},
		"another version":       {from, c, strings.Replace(good, "v1", "v0", 1), body},
		"too many":              {from, c, strings.Repeat(good+",", 5), body},
		"a channel of Slack":    {bundle.Channel{Type: gov.ChannelSlack, Secret: "S"}, c, good, body},
		"no signing secret":     {from, client(routingKey), hookSigned("", body), body},
		"a short secret":        {from, client(routingKey + "\nshort"), hookSigned("short", body), body},
		"a secret not there":    {bundle.Channel{Type: gov.ChannelPagerDuty, Secret: "T"}, c, good, body},
		"a secret of nonsense":  {from, client(routingKey + "\n" + strings.Repeat("a b ", 9)), hookSigned("a", body), body},
		"half of the signature": {from, c, good[:len(good)-2], body},
	} {
		if h, err := try.client.PagerDutyHook(try.channel, try.signature, try.body); gov.CodeOf(err) != gov.CodeUnauthenticated || h != (Hook{}) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
	for name, body := range map[string][]byte{
		"three days old": hookBody(t, "incident.acknowledged", at.Add(-72*time.Hour), lena), "from tomorrow": hookBody(t, "incident.acknowledged", at.Add(24*time.Hour), lena),
		"no event": []byte(`{}`), "no JSON": []byte(`event`),
	} {
		if _, err := c.PagerDutyHook(from, hookSigned(signingSecret, body), body); err == nil || gov.CodeOf(err) == gov.CodeUnauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, body := range map[string][]byte{
		"our own":        hookBody(t, "incident.acknowledged", at, map[string]any{"id": "PABC", "type": "inbound_integration_reference"}),
		"a clock's":      hookBody(t, "incident.resolved", at, nil),
		"that it rings":  hookBody(t, "incident.triggered", at, lena),
		"a strange user": hookBody(t, "incident.acknowledged", at, map[string]any{"id": "Lena Example", "type": "user_reference"}),
	} {
		if h, err := c.PagerDutyHook(from, hookSigned(signingSecret, body), body); err != nil || h.Acknowledges() {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}
