package notify

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
)

// pagerDutyURL takes events of the Events API v2. Accounts in Europe have another, which the channel names.
const pagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// What PagerDuty takes, in characters.
const (
	pagerSummaryMax = 1024
	pagerKeyMax     = 255
)

// routingKeyRE is the key of an integration.
var routingKeyRE = regexp.MustCompile(`^[A-Za-z0-9]{32}$`)

// The actions of an event.
const (
	pagerTrigger     = "trigger"
	pagerAcknowledge = "acknowledge"
	pagerResolve     = "resolve"
)

// pagerEvent is an event of the Events API v2. All events of one incident have one dedup_key, its id.
type pagerEvent struct {
	RoutingKey  string        `json:"routing_key"`
	EventAction string        `json:"event_action"`
	DedupKey    string        `json:"dedup_key"`
	Client      string        `json:"client,omitempty"`
	ClientURL   string        `json:"client_url,omitempty"`
	Links       []pagerLink   `json:"links,omitempty"`
	Payload     *pagerPayload `json:"payload,omitempty"` // of a trigger
}

type pagerLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

type pagerPayload struct {
	Summary   string       `json:"summary"`
	Source    string       `json:"source"`
	Severity  string       `json:"severity"`
	Timestamp string       `json:"timestamp"`
	Component string       `json:"component,omitempty"`
	Group     string       `json:"group,omitempty"`
	Class     string       `json:"class,omitempty"`
	Details   pagerDetails `json:"custom_details"`
}

// pagerDetails are ids and words of a closed set: no input of a call and nobody's name.
type pagerDetails struct {
	Incident    string            `json:"incident"`
	Entry       gov.EntryID       `json:"entry"`
	Environment gov.Environment   `json:"environment"`
	Detector    gov.DetectorID    `json:"detector,omitempty"`
	Agent       gov.AgentID       `json:"agent,omitempty"`
	Tool        gov.ToolName      `json:"tool,omitempty"`
	State       gov.IncidentState `json:"state"`
	Severity    gov.Severity      `json:"severity"`
	Exercise    bool              `json:"exercise"`
}

// severityWord is a severity in the words that PagerDuty has, from the worst.
func severityWord(s gov.Severity) string {
	words := [...]string{"critical", "error", "warning", "info"}
	return words[min(max(s, gov.SeverityCritical), gov.SeverityLow)-gov.SeverityCritical]
}

// pagerAction is what a pager is to do about an incident as it stands. An open alert rings once however often it is triggered;
// what is acknowledged or resolved here is so there, and never rings because an older notice comes late.
func pagerAction(n gov.Notice) string {
	i := n.Standing
	switch {
	case !i.State.Open():
		return pagerResolve
	case i.State == gov.IncidentNew, n.Event == gov.EventIncidentEscalated, i.Step == gov.StepReopened:
		return pagerTrigger
	}
	return pagerAcknowledge
}

func pagerEventOf(key string, n gov.Notice) pagerEvent {
	e := pagerEvent{RoutingKey: key, EventAction: pagerAction(n), DedupKey: clip(n.Subject, pagerKeyMax)}
	if e.EventAction != pagerTrigger {
		return e
	}
	i := n.Standing
	e.Client, e.ClientURL, e.Links = "Writ", n.URL, []pagerLink{{n.URL, "Open in Writ"}}
	e.Payload = &pagerPayload{
		Summary: clip(oneLine(n.Title), pagerSummaryMax), Source: n.Source, Severity: severityWord(i.Severity), Timestamp: i.Opened.UTC().Format(time.RFC3339Nano),
		Component: string(n.Agent), Group: string(n.Environment), Class: string(i.Detector),
		Details: pagerDetails{n.Subject, n.ID, n.Environment, i.Detector, n.Agent, n.Tool, i.State, i.Severity, n.Exercise},
	}
	return e
}

// errNoIncident is about a notice that a pager has no word for.
var errNoIncident = errors.New("such a channel tells of incidents only")

// pagerDuty sends an event. The secret is the routing key of the integration and, each on a line of its own, one or two signing
// secrets of what PagerDuty sends back, which Hook reads.
func (c *Client) pagerDuty(ctx context.Context, secret string, to bundle.Channel, n gov.Notice) (gov.Sent, error) {
	lines := strings.Fields(secret)
	if len(lines) == 0 || !routingKeyRE.MatchString(lines[0]) {
		return badSecret(errors.New("the secret does not begin with the routing key of an integration, 32 letters and digits"))
	}
	if n.Standing == nil {
		return gov.Sent{Cause: gov.UnsentRefused}, errNoIncident
	}
	at := pagerDutyURL
	if to.URL != "" {
		at = to.URL
	}
	at, err := endpoint(at)
	if err != nil {
		return badSecret(err)
	}
	body, err := json.Marshal(pagerEventOf(lines[0], n))
	if err != nil {
		panic("notify: an event is not JSON: " + err.Error())
	}
	sent, _, err := post(ctx, at, http.Header{"Content-Type": {"application/json"}}, body)
	return sent, err
}
