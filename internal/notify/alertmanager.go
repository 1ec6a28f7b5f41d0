package notify

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
)

const (
	alertmanagerPath = "/api/v2/alerts"
	alertName        = "WritIncident"

	// alertHolds is how long an alert fires that nobody tells of again. Without an end Alertmanager takes it for resolved after
	// some minutes, since Prometheus would repeat it.
	alertHolds = 30 * 24 * time.Hour
)

// postableAlert is an alert of the API v2 of Alertmanager. Labels that are the same are the same alert.
type postableAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     string            `json:"startsAt"`
	EndsAt       string            `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
}

// alertsOf is an incident as alerts. Its severity is a label, by which alerts are routed, so that each severity is an alert of its
// own: one at most fires, and the others end with it. Alertmanager tells nobody of the end of what never fired.
func alertsOf(n gov.Notice, now time.Time) []postableAlert {
	i := n.Standing
	var out []postableAlert
	for s := gov.SeverityCritical; s <= gov.SeverityLow; s++ {
		a := postableAlert{
			Labels: map[string]string{
				"alertname": alertName, "incident": n.Subject, "environment": string(n.Environment), "detector": string(i.Detector),
				"agent": string(n.Agent), "severity": severityWord(s),
			},
			Annotations:  map[string]string{"summary": oneLine(n.Title), "state": string(i.State)},
			StartsAt:     i.Opened.UTC().Format(time.RFC3339Nano),
			GeneratorURL: n.URL,
		}
		ends := i.Ended
		switch {
		case i.State.Open() && s == i.Severity:
			ends = now.Add(alertHolds)
		case ends.IsZero():
			ends = now
		}
		if ends.Before(i.Opened) {
			ends = i.Opened
		}
		a.EndsAt = ends.UTC().Format(time.RFC3339Nano)
		for name, value := range a.Labels {
			if value == "" {
				delete(a.Labels, name)
			}
		}
		out = append(out, a)
	}
	return out
}

// alertmanager sends an incident to an Alertmanager, whose URL is the channel's or else the secret: with user:password@ in it where
// one is asked for.
func (c *Client) alertmanager(ctx context.Context, secret string, to bundle.Channel, n gov.Notice) (gov.Sent, error) {
	if n.Standing == nil {
		return gov.Sent{Cause: gov.UnsentRefused}, errNoIncident
	}
	at := to.URL
	if at == "" {
		at = strings.TrimSpace(secret)
	}
	at, err := endpoint(at)
	if err != nil {
		return badSecret(err)
	}
	u, err := url.Parse(at)
	if err != nil {
		return badSecret(err)
	}
	if !strings.HasSuffix(u.Path, alertmanagerPath) {
		u = u.JoinPath(alertmanagerPath)
	}
	body, err := json.Marshal(alertsOf(n, c.Now()))
	if err != nil {
		panic("notify: an alert is not JSON: " + err.Error())
	}
	sent, _, err := post(ctx, u.String(), http.Header{"Content-Type": {"application/json"}}, body)
	return sent, err
}
