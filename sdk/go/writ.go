// Package writ asks a Writ server for decisions on tool calls, and runs only what is allowed.
//
//	client, err := writ.FromEnv()
//	result, err := client.Call(ctx, writ.Call{Agent: "support-bot", Tool: "stripe/refund", Input: input},
//		func(ctx context.Context) (any, error) { return refund(ctx, input) })
//
// It promises to fail closed: a function given to Call runs only after an answer that says allow, is whole, carries the
// receipt of its record, and was not given for another call before. No answer, a late one, a garbled one or one from
// something that is no Writ server means no. A request is repeated only when the same request may have another answer soon,
// always with the same call id, so that the server decides and records it once.
//
// It does not judge anything itself, keeps nothing between runs, and does not check the proof behind a receipt: writ verify
// does that for the whole ledger. The vectors in sdk/testdata say what every client of Writ does with which answer.
//
// It uses the standard library only.
package writ

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Client asks one server with one key. It is safe for concurrent use; make one and keep it.
type Client struct {
	base    *url.URL
	key     string
	http    *http.Client
	tries   int
	timeout time.Duration
	now     func() time.Time

	approvals time.Duration // that Call waits for people
	given     answers
}

// Option changes a client that New makes.
type Option func(*Client)

// What a client does when nothing else is said.
const (
	TriesDefault   = 4
	TimeoutDefault = 15 * time.Second
)

const (
	triesMax       = 10
	connsIdleMax   = 256 // kept open, so that as many goroutines can ask without a new handshake
	connIdleMax    = 90 * time.Second
	headerBytesMax = 64 << 10
	userAgent      = "writ-go/1"
)

// WithTries bounds how often one request is sent, the first time included: 1 to 10.
func WithTries(n int) Option { return func(c *Client) { c.tries = min(max(n, 1), triesMax) } }

// WithTimeout bounds how long one request may take, its repetitions and the waits between them included.
func WithTimeout(d time.Duration) Option {
	return func(c *Client) {
		if d > 0 {
			c.timeout = d
		}
	}
}

// WithTransport puts another transport under the client. It must not follow redirects or change answers.
func WithTransport(t http.RoundTripper) Option { return func(c *Client) { c.http.Transport = t } }

// New makes a client of the server at baseURL for the agent that the key is of.
func New(baseURL, apiKey string, options ...Option) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("writ: the URL of the server must look like https://writ.example.com")
	}
	if apiKey == "" {
		return nil, errors.New("writ: no API key; issue one with: writ key issue AGENT -e ENVIRONMENT")
	}
	if strings.ContainsFunc(apiKey, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, errors.New("writ: the API key has a character that no key has, such as a space or a line break")
	}
	c := &Client{
		base: u, key: apiKey, tries: TriesDefault, timeout: TimeoutDefault, now: time.Now,
		http: &http.Client{
			Transport:     transport(),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for _, o := range options {
		o(c)
	}
	return c, nil
}

// The environment variables that FromEnv reads.
const (
	EnvURL    = "WRIT_URL"
	EnvAPIKey = "WRIT_API_KEY"
)

// FromEnv makes a client from WRIT_URL and WRIT_API_KEY.
func FromEnv(options ...Option) (*Client, error) {
	address := os.Getenv(EnvURL)
	if address == "" {
		return nil, fmt.Errorf("writ: %s is not set", EnvURL)
	}
	return New(address, os.Getenv(EnvAPIKey), options...)
}

// Close closes the connections that no request is using.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// transport is our own: the default one is the program's, which may have been changed, and keeps two connections per host.
func transport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           connsIdleMax,
		MaxIdleConnsPerHost:    connsIdleMax,
		IdleConnTimeout:        connIdleMax,
		TLSHandshakeTimeout:    tryMax,
		MaxResponseHeaderBytes: headerBytesMax,
		DisableCompression:     true, // an answer is short, and its bound counts the bytes that came
	}
}
