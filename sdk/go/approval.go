package writ

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"time"
)

var approvalIDRE = regexp.MustCompile(`^apr_[0-9a-z]{1,64}$`)

const (
	approvalPending = "pending"
	waitOnce        = "4s" // how long one look waits; less than tryMax
	waitPause       = time.Second
)

// Approval is the request that a call with the outcome RequireApproval opened.
type Approval struct {
	ID        string    `json:"id"`
	URL       string    `json:"url"` // below the server's own
	ExpiresAt time.Time `json:"expires_at"`
}

// WithApprovals lets Call wait so long for people to answer, and ask for the same call again when they did. Without it, or
// when nobody answers in time, Call gives the *ApprovalRequiredError.
func WithApprovals(limit time.Duration) Option {
	return func(c *Client) { c.approvals = max(limit, 0) }
}

// answered waits until people answered the request, and asks for the call again. Whatever goes wrong is the decision that
// stands: the call does not run.
func (c *Client) answered(ctx context.Context, call Call, d *Decision) (*Decision, error) {
	if c.approvals == 0 || d.Approval == nil || !approvalIDRE.MatchString(d.Approval.ID) {
		return d, nil
	}
	within, cancel := context.WithTimeout(ctx, c.approvals)
	defer cancel()
	for within.Err() == nil {
		state, err := c.approvalState(within, d.Approval.ID)
		switch {
		case err == nil && state != approvalPending:
			return c.Decide(ctx, call)
		case err != nil && !rest(within, c.now().Add(waitPause), waitPause):
			return d, nil
		}
	}
	return d, nil
}

// approvalState looks how far a request has come, and waits a little for it to come further.
func (c *Client) approvalState(ctx context.Context, id string) (string, error) {
	data, _, err := c.send(ctx, http.MethodGet, "/v1/approvals/"+id, url.Values{"wait": {waitOnce}}, nil)
	if err != nil {
		return "", err
	}
	var a struct {
		ID    string `json:"id"`
		State string `json:"state"`
	}
	if err := json.Unmarshal(data, &a); err != nil || a.ID != id || a.State == "" {
		return "", garbled("the answer is for another request")
	}
	return a.State, nil
}
