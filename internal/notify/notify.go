// Package notify tells people through the channels of a bundle: Slack, mail, webhooks, PagerDuty, Alertmanager; and reads what
// comes back from PagerDuty, of which it believes nothing that is not signed. It promises that it gives up within
// sendMax, follows no redirect, speaks plainly only to the machine it runs on, and that neither its errors nor what it sends hold
// a secret. A notice has the same id on every attempt. Whether one is owed, and when to try again, internal/outbox says.
package notify

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
)

const (
	sendMax        = 10 * time.Second
	answerBytesMax = 64 << 10
)

// Client tells. Its fields are set once, before use.
type Client struct {
	Secret func(name string) (string, error) // the value of a secret by its name
	Now    func() time.Time
	Roots  *x509.CertPool // of mail servers; nil: the system's
}

// Send tells one channel of a notice, once.
func (c *Client) Send(ctx context.Context, to bundle.Channel, n gov.Notice) (gov.Sent, error) {
	secret := ""
	if to.Secret != "" {
		var err error
		if secret, err = c.Secret(to.Secret); err != nil {
			return badSecret(err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, sendMax)
	defer cancel()
	switch to.Type {
	case gov.ChannelSlack:
		return c.slack(ctx, secret, n)
	case gov.ChannelWebhook:
		return c.webhook(ctx, secret, n)
	case gov.ChannelEmail:
		return c.email(ctx, secret, to, n)
	case gov.ChannelPagerDuty:
		return c.pagerDuty(ctx, secret, to, n)
	case gov.ChannelAlertmanager:
		return c.alertmanager(ctx, secret, to, n)
	}
	return badSecret(fmt.Errorf("a channel of type %q is not known", to.Type))
}

func badSecret(err error) (gov.Sent, error) { return gov.Sent{Cause: gov.UnsentSecret}, err }

func unreachable(err error) (gov.Sent, error) {
	return gov.Sent{Cause: gov.UnsentUnreachable}, fmt.Errorf("nobody answers: %w", err)
}

func refused(code int, what string) (gov.Sent, error) {
	return gov.Sent{Cause: gov.UnsentRefused, Code: code}, errors.New(what)
}

// endpoint reads the URL of a receiver. The error does not show it: it may be all that keeps strangers from writing there.
func endpoint(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return "", errors.New("the secret, or the channel, does not begin with the URL of a receiver, https://…")
	}
	return text, nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// post sends a body and wants a status of 2xx. A redirect is none: it would take the notice where nobody wanted it.
func post(ctx context.Context, to string, header http.Header, body []byte) (gov.Sent, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		sent, err := badSecret(errors.New("the secret does not begin with the URL of a receiver"))
		return sent, "", err
	}
	req.Header = header
	req.Header.Set("User-Agent", "writ")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		var at *url.Error
		if errors.As(err, &at) {
			err = at.Err // without the URL
		}
		sent, err := unreachable(err)
		return sent, "", err
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		sent, err := unreachable(err)
		return sent, "", err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		sent, err := refused(resp.StatusCode, fmt.Sprintf("the receiver answers with status %d", resp.StatusCode))
		return sent, string(answer), err
	}
	return gov.Sent{Code: resp.StatusCode}, string(answer), nil
}

// factWhy names what may be a longer text.
const factWhy = "Why"

// fact is one line of a notice for people.
type fact struct{ name, value string }

const deadlineLayout = "2006-01-02 15:04 UTC"

// facts are the lines of a notice below its title.
func facts(n gov.Notice) []fact {
	var out []fact
	add := func(name, value string) {
		if value != "" {
			out = append(out, fact{name, oneLine(value)})
		}
	}
	add("Environment", string(n.Environment))
	add("Agent", string(n.Agent))
	add("Tool", string(n.Tool))
	for _, why := range n.Why {
		add(factWhy, why)
	}
	groups := make([]string, len(n.Groups))
	for i, g := range n.Groups {
		groups[i] = string(g)
	}
	add("Asked", strings.Join(groups, ", "))
	if n.Votes > 1 {
		add("Votes needed", strconv.Itoa(n.Votes))
	}
	if !n.Deadline.IsZero() {
		add("Until", n.Deadline.UTC().Format(deadlineLayout))
	}
	add("State", n.State)
	return out
}

// oneLine takes out what would let a text pose as more than one line, or hide something.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.In(r, unicode.Cc, unicode.Cf):
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// clip keeps the beginning of a text.
func clip(s string, runesMax int) string {
	runes := []rune(s)
	if len(runes) <= runesMax {
		return s
	}
	return string(runes[:runesMax-1]) + "…"
}
