package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/gov"
)

// The bounds of a key, of Standard Webhooks.
const (
	keyPrefix   = "whsec_"
	keyBytesMin = 24
	keyBytesMax = 64
	keysMax     = 2 // the new one and the old one
)

// event is a CloudEvent 1.0 in structured mode.
type event struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject"`
	Time            string    `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            eventData `json:"data"`
}

// eventData is what a program may want to do something about.
type eventData struct {
	Environment gov.Environment `json:"environment"`
	Entry       gov.EntryID     `json:"entry"`
	Title       string          `json:"title"`
	State       string          `json:"state"`
	Agent       gov.AgentID     `json:"agent,omitempty"`
	Tool        gov.ToolName    `json:"tool,omitempty"`
	Why         []string        `json:"why"`
	Groups      []gov.GroupID   `json:"groups"`
	Votes       int             `json:"votes,omitzero"`
	Deadline    string          `json:"deadline,omitempty"`
	URL         string          `json:"url"`
}

const typePrefix = "dev.writ."

func eventOf(n gov.Notice) event {
	d := eventData{
		Environment: n.Environment, Entry: n.ID, Title: n.Title, State: n.State, Agent: n.Agent, Tool: n.Tool,
		Why: append([]string{}, n.Why...), Groups: append([]gov.GroupID{}, n.Groups...), Votes: n.Votes, URL: n.URL,
	}
	if !n.Deadline.IsZero() {
		d.Deadline = n.Deadline.UTC().Format(time.RFC3339)
	}
	return event{
		SpecVersion: "1.0", ID: string(n.ID), Source: n.Source, Type: typePrefix + string(n.Event), Subject: n.Subject,
		Time: n.At.UTC().Format(time.RFC3339Nano), DataContentType: "application/json", Data: d,
	}
}

// webhook sends a CloudEvent that is signed as Standard Webhooks says. The secret is the receiver's URL and, each on a line of its
// own, one or two keys.
func (c *Client) webhook(ctx context.Context, secret string, n gov.Notice) (gov.Sent, error) {
	lines := strings.Fields(secret)
	if len(lines) < 2 || len(lines) > 1+keysMax {
		return badSecret(errors.New("the secret is not a URL and, below it, one or two keys"))
	}
	to, err := endpoint(lines[0])
	if err != nil {
		return badSecret(err)
	}
	body, err := json.Marshal(eventOf(n))
	if err != nil {
		panic("notify: an event is not JSON: " + err.Error())
	}
	at := strconv.FormatInt(c.Now().Unix(), 10)
	signatures := make([]string, 0, keysMax)
	for _, line := range lines[1:] {
		key, err := readKey(line)
		if err != nil {
			return badSecret(err)
		}
		signatures = append(signatures, sign(key, string(n.ID), at, body))
	}
	header := http.Header{"Content-Type": {"application/cloudevents+json; charset=utf-8"}}
	header.Set("Webhook-Id", string(n.ID))
	header.Set("Webhook-Timestamp", at)
	header.Set("Webhook-Signature", strings.Join(signatures, " "))
	sent, _, err := post(ctx, to, header, body)
	return sent, err
}

func readKey(text string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text, keyPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) < keyBytesMin || len(key) > keyBytesMax {
		return nil, errors.New("a key of the secret is not whsec_ and the base64 of 24 to 64 bytes")
	}
	return key, nil
}

// sign gives the signature of an attempt at a time (seconds since 1970).
func sign(key []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
