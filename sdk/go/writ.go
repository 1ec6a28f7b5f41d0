// Package writ asks a Writ server for decisions on tool calls, and runs only what is allowed. It promises to fail closed: a
// function given to Call runs only after an answer that says allow, names this call's decision and carries the receipt of its
// record. No answer, a late one, a garbled one or one for another call means no.
//
//	client, err := writ.FromEnv()
//	result, err := client.Call(ctx, writ.Call{Agent: "support-bot", Tool: "stripe/refund", Input: input},
//		func(ctx context.Context) (any, error) { return refund(ctx, input) })
//
// It uses the standard library only.
package writ

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Outcome is the answer of a decision. Only Allow lets a call run.
type Outcome string

// The outcomes.
const (
	Allow           Outcome = "allow"
	Deny            Outcome = "deny"
	RequireApproval Outcome = "require_approval"
)

// Status is what became of a call.
type Status string

// The states of a result.
const (
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	NotRun    Status = "not_run"
	Unknown   Status = "unknown"
)

// Principal is who is accountable for a call. Type is user, service or organization.
type Principal struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// Call is one tool call that an agent attempts.
type Call struct {
	Agent           string         `json:"agent"`
	Tool            string         `json:"tool"` // server/tool
	Input           map[string]any `json:"input"`
	Principal       *Principal     `json:"principal,omitempty"` // where the key lets the call name one
	Session         string         `json:"session,omitempty"`
	CallID          string         `json:"call_id,omitempty"` // the framework's id of the call; made up when empty
	TraceID         string         `json:"trace_id,omitempty"`
	OnBehalfOfToken string         `json:"on_behalf_of_token,omitempty"`
}

// Reason is one cause of a decision, in a sentence that a person and a model can act on.
type Reason struct {
	Code    string `json:"code"`
	Policy  string `json:"policy"`
	Message string `json:"message"`
}

// Receipt says where the decision stands in the ledger.
type Receipt struct {
	Ledger   string `json:"ledger"`
	Index    int64  `json:"index"`
	LeafHash string `json:"leaf_hash"`
}

// Decision is a recorded answer.
type Decision struct {
	ID       string   `json:"id"`
	Outcome  Outcome  `json:"outcome"`
	Mode     string   `json:"mode"`
	Would    Outcome  `json:"would"` // what observe mode let pass; empty elsewhere
	Reasons  []Reason `json:"reasons"`
	Policies []string `json:"policies"`
	Bundle   string   `json:"bundle"`
	Receipt  Receipt  `json:"receipt"`
	At       string   `json:"at"`
}

// Usage is what a model consumed for a call.
type Usage struct {
	Model        string  `json:"model"`
	InputTokens  int64   `json:"input_tokens"`
	OutputTokens int64   `json:"output_tokens"`
	CostUSD      float64 `json:"cost_usd,omitempty"`
}

// Result is what became of a call.
type Result struct {
	Status     Status `json:"status"`
	DurationMS int64  `json:"duration_ms"`
	Error      string `json:"error,omitempty"`
	Output     any    `json:"output,omitempty"`
	Usage      *Usage `json:"usage,omitempty"`
}

// Client asks one server with one key. It is safe for concurrent use.
type Client struct {
	base    *url.URL
	key     string
	http    *http.Client
	tries   int
	timeout time.Duration
	sleep   func(ctx context.Context, d time.Duration) error
	now     func() time.Time
}

// Option changes a client.
type Option func(*Client)

// What a client does when nothing else is said.
const (
	TriesDefault   = 4
	TimeoutDefault = 15 * time.Second
	connsMax       = 256
	reportMax      = 10 * time.Second // for the report of a call whose context has ended
)

// WithTries bounds how often one request is sent, the first time included.
func WithTries(n int) Option { return func(c *Client) { c.tries = max(n, 1) } }

// WithTimeout bounds how long one request may take, its repetitions included.
func WithTimeout(d time.Duration) Option { return func(c *Client) { c.timeout = d } }

// WithTransport puts another transport under the client.
func WithTransport(t http.RoundTripper) Option { return func(c *Client) { c.http.Transport = t } }

// New makes a client of the server at baseURL for the agent that the key is of.
func New(baseURL, apiKey string, options ...Option) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("writ: %q is not the URL of a server (https://writ.example.com)", baseURL)
	}
	if apiKey == "" {
		return nil, errors.New("writ: no API key; issue one with: writ key issue AGENT -e ENVIRONMENT")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = connsMax, connsMax
	c := &Client{
		base: u, key: apiKey, tries: TriesDefault, timeout: TimeoutDefault, sleep: sleep, now: time.Now,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for _, o := range options {
		o(c)
	}
	return c, nil
}

// FromEnv makes a client from WRIT_URL and WRIT_API_KEY.
func FromEnv(options ...Option) (*Client, error) {
	return New(os.Getenv("WRIT_URL"), os.Getenv("WRIT_API_KEY"), options...)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// DeniedError says that a call was denied. Its message is for the model too.
type DeniedError struct{ Decision *Decision }

// Error gives the reasons.
func (e *DeniedError) Error() string { return "denied: " + reasons(e.Decision) }

// ApprovalRequiredError says that a person has to consent first.
type ApprovalRequiredError struct{ Decision *Decision }

// Error gives the reasons.
func (e *ApprovalRequiredError) Error() string { return "approval required: " + reasons(e.Decision) }

func reasons(d *Decision) string {
	messages := make([]string, len(d.Reasons))
	for i, r := range d.Reasons {
		messages[i] = r.Message
	}
	return strings.Join(messages, " ")
}

// UnavailableError says that there was no answer that can be relied on, which means no.
type UnavailableError struct{ Err error }

// Error says why.
func (e *UnavailableError) Error() string {
	return "no decision, so the call does not run: " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// ProblemError is a refusal of the request itself (RFC 9457).
type ProblemError struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Path   string `json:"path"`
	Detail string `json:"detail"`
}

// Error gives code, place and detail.
func (e *ProblemError) Error() string {
	where := ""
	if e.Path != "" {
		where = " at " + e.Path
	}
	return fmt.Sprintf("%s%s: %s", e.Code, where, e.Detail)
}

// Decide asks for the decision on a call and gives it whatever it says. Every error means no.
func (c *Client) Decide(ctx context.Context, call Call) (*Decision, error) {
	if call.CallID == "" {
		id, err := newCallID()
		if err != nil {
			return nil, &UnavailableError{err}
		}
		call.CallID = id
	}
	if call.Input == nil {
		call.Input = map[string]any{}
	}
	var d Decision
	if err := c.post(ctx, "/v1/decisions", call, &d); err != nil {
		return nil, err
	}
	if err := d.check(); err != nil {
		return nil, &UnavailableError{err}
	}
	return &d, nil
}

const callIDBytes = 16

func newCallID() (string, error) {
	var b [callIDBytes]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("make a call id: %w", err)
	}
	return "call-" + hex.EncodeToString(b[:]), nil
}

const leafHashBytes = 32

// check insists on an answer that is whole.
func (d *Decision) check() error {
	leaf, err := hex.DecodeString(d.Receipt.LeafHash)
	switch {
	case d.Outcome != Allow && d.Outcome != Deny && d.Outcome != RequireApproval:
		return fmt.Errorf("the answer has the outcome %q", d.Outcome)
	case !strings.HasPrefix(d.ID, "dec_"):
		return errors.New("the answer names no decision")
	case err != nil || len(leaf) != leafHashBytes || d.Receipt.Ledger == "" || d.Receipt.Index < 0:
		return errors.New("the answer has no receipt, so nothing says that it was recorded")
	case len(d.Reasons) == 0:
		return errors.New("the answer gives no reason")
	}
	return nil
}

// Report tells what became of a decided call.
func (c *Client) Report(ctx context.Context, decisionID string, r Result) error {
	var recorded struct {
		ID       string  `json:"id"`
		Decision string  `json:"decision"`
		Receipt  Receipt `json:"receipt"`
	}
	if err := c.post(ctx, "/v1/decisions/"+url.PathEscape(decisionID)+"/result", r, &recorded); err != nil {
		return err
	}
	if recorded.Decision != decisionID || recorded.Receipt.LeafHash == "" {
		return &UnavailableError{errors.New("the answer does not say that the result was recorded")}
	}
	return nil
}

// Call asks for a decision, runs fn if and only if the answer is allow, and reports what became of it. When fn does not run
// the error says why: *DeniedError, *ApprovalRequiredError, *ProblemError or *UnavailableError. When fn ran, its value comes
// back with its error, joined with that of the report if the report failed.
func (c *Client) Call(ctx context.Context, call Call, fn func(ctx context.Context) (any, error)) (any, error) {
	d, err := c.Decide(ctx, call)
	if err != nil {
		return nil, err
	}
	switch d.Outcome {
	case Allow:
	case RequireApproval:
		return nil, &ApprovalRequiredError{d}
	default:
		return nil, &DeniedError{d}
	}
	return c.run(ctx, d, fn)
}

// run runs fn and reports, also when fn panics or ctx has ended meanwhile.
func (c *Client) run(ctx context.Context, d *Decision, fn func(ctx context.Context) (any, error)) (value any, err error) {
	began := c.now()
	finished := false
	defer func() {
		r := Result{Status: Failed, Error: "panic", DurationMS: c.now().Sub(began).Milliseconds()}
		switch {
		case finished && err == nil:
			r.Status, r.Error, r.Output = Succeeded, "", value
		case finished:
			r.Error = clip(err.Error())
		}
		reporting, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportMax)
		defer cancel()
		if failed := c.Report(reporting, d.ID, r); failed != nil {
			err = errors.Join(err, fmt.Errorf("report the result of %s: %w", d.ID, failed))
		}
	}()
	value, err = fn(ctx)
	finished = true
	return value, err
}

const errorBytesMax = 4 << 10

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), errorBytesMax)], "") }
