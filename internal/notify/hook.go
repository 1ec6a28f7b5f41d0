package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
)

// Bounds of what comes back.
const (
	signaturePrefix = "v1="
	signaturesMax   = 4 // of a header; while PagerDuty changes its secret there are two
	signingBytesMin = 16
	hookAgeMax      = 48 * time.Hour   // PagerDuty tries again for a day and more
	hookAheadMax    = 10 * time.Minute // how far its clock may be ahead
)

// hookIDRE is an id of the other side's: of an event, a user.
var hookIDRE = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// errUnsigned says nothing more: whoever asks may be a stranger.
var errUnsigned = &gov.Error{Code: gov.CodeUnauthenticated, Detail: "no signature is by a secret of this channel"}

// Hook is what came back through a channel about an incident: that somebody looks at it.
type Hook struct {
	Event    string // id of the other side's event
	Kind     string // incident.acknowledged, incident.resolved, or what nothing is done about
	At       time.Time
	Incident gov.IncidentID
	User     string // the other side's reference of a person; empty: a program, or a clock
}

// Acknowledges says whether a person said that they look at the incident, or that it is over.
func (h Hook) Acknowledges() bool {
	return h.User != "" && h.Incident != "" && (h.Kind == "incident.acknowledged" || h.Kind == "incident.resolved")
}

// hookWire is a webhook of PagerDuty, V3, as far as it is read.
type hookWire struct {
	Event struct {
		ID         string `json:"id"`
		Type       string `json:"event_type"`
		OccurredAt string `json:"occurred_at"`
		Agent      *struct {
			ID   string `json:"id"`
			Type string `json:"type"`
		} `json:"agent"`
		Data struct {
			IncidentKey string `json:"incident_key"`
		} `json:"data"`
	} `json:"event"`
}

// PagerDutyHook reads a webhook V3 of PagerDuty that came for a channel, with its X-PagerDuty-Signature: the HMAC-SHA256 of the
// body under a signing secret of the channel's secret. Errors are *gov.Error; of who is not known nothing is said.
func (c *Client) PagerDutyHook(from bundle.Channel, signature string, body []byte) (Hook, error) {
	secret, err := c.Secret(from.Secret)
	if err != nil || from.Type != gov.ChannelPagerDuty {
		return Hook{}, errUnsigned
	}
	lines := strings.Fields(secret)
	if len(lines) < 2 || len(lines) > 1+keysMax || !signedBy(lines[1:], signature, body) {
		return Hook{}, errUnsigned
	}
	var wire hookWire
	if err := json.Unmarshal(body, &wire); err != nil {
		return Hook{}, &gov.Error{Code: gov.CodeMalformedJSON, Detail: "the body is no webhook of PagerDuty, V3"}
	}
	e := wire.Event
	h := Hook{Event: e.ID, Kind: e.Type, Incident: gov.IncidentID(e.Data.IncidentKey)}
	if h.At, err = time.Parse(time.RFC3339, e.OccurredAt); err != nil || !hookIDRE.MatchString(e.ID) {
		return Hook{}, &gov.Error{Code: gov.CodeInvalidField, Path: "/event", Detail: "has no id and no time"}
	}
	if age := c.Now().Sub(h.At); age > hookAgeMax || age < -hookAheadMax {
		return Hook{}, &gov.Error{Code: gov.CodeInvalidField, Path: "/event/occurred_at", Detail: fmt.Sprintf("is not within the last %d hours", int(hookAgeMax.Hours()))}
	}
	if e.Agent != nil && e.Agent.Type == "user_reference" && hookIDRE.MatchString(e.Agent.ID) {
		h.User = e.Agent.ID
	}
	return h, nil
}

// signedBy says whether a signature of the header is by one of the secrets.
func signedBy(secrets []string, header string, body []byte) bool {
	given := strings.Split(header, ",")
	if len(given) > signaturesMax {
		return false
	}
	ok := false
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		want := mac.Sum(nil)
		for _, one := range given {
			got, err := readSignature(strings.TrimSpace(one))
			if err == nil && len(secret) >= signingBytesMin && hmac.Equal(got, want) {
				ok = true
			}
		}
	}
	return ok
}

func readSignature(text string) ([]byte, error) {
	digits, ok := strings.CutPrefix(text, signaturePrefix)
	if !ok {
		return nil, errors.New("not a signature of v1")
	}
	return hex.DecodeString(digits)
}
