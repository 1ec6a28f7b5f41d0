package writ

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	bodyBytesMax   = 1 << 20 // of a request, as the server has it
	answerBytesMax = 1 << 20
	tryMax         = 5 * time.Second // for one sending of a request; a node that hangs leaves time for another one
	waitFirst      = 50 * time.Millisecond
	waitMax        = 2 * time.Second
	retryAfterMax  = 10 * time.Second
)

// post sends a request until there is an answer that read accepts, the tries are used up or the time is. The body is the
// same every time, call id included, so the server decides and records once.
func (c *Client) post(ctx context.Context, path string, body []byte, read func(data []byte) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	wait := waitFirst
	for try := 1; ; try++ {
		data, after, err := c.send(ctx, http.MethodPost, path, nil, body)
		if err == nil {
			return read(data)
		}
		if !again(err) || try >= c.tries {
			return err
		}
		// Full jitter: many agents that were refused together do not come back together.
		pause := min(after, retryAfterMax) + rand.N(wait+1)
		if !rest(ctx, c.now().Add(pause), pause) {
			return err
		}
		wait = min(2*wait, waitMax)
	}
}

// rest waits. It says false, and does not wait, if the context would end first.
func rest(ctx context.Context, until time.Time, pause time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && !until.Before(deadline) {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// again says whether the same request may have another answer soon: after an error of the network, 429 and 503.
func again(err error) bool {
	var p *ProblemError
	if errors.As(err, &p) {
		return p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable
	}
	var g *garbledError
	return !errors.As(err, &g)
}

// unavailable says what an error of post means: a problem that the caller can mend stays as it is, everything else is no
// answer.
func unavailable(err error, what string) error {
	var p *ProblemError
	if err == nil || errors.As(err, &p) && p.Status < http.StatusInternalServerError && p.Status != http.StatusTooManyRequests {
		return err
	}
	return &UnavailableError{Err: err, what: what}
}

// send sends the request once. after is how long the server asks to wait.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, body []byte) (data []byte, after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryMax)
	defer cancel()
	address := c.base.JoinPath(path)
	address.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, 0, garbled("the request cannot be made: %v", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	req.Header.Set("User-Agent", userAgent)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, cause(err)
	}
	data, err = io.ReadAll(io.LimitReader(resp.Body, answerBytesMax+1))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, 0, fmt.Errorf("read the answer: %w", err)
	}
	if len(data) > answerBytesMax {
		return nil, 0, garbled("the answer is over %d bytes", answerBytesMax)
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK {
		return nil, c.retryAfter(resp), refusal(resp.StatusCode, kind, data)
	}
	if kind != "application/json" {
		return nil, 0, garbled("the answer is %q, not JSON", kind)
	}
	return data, 0, nil
}

// cause leaves out the URL, which is the operator's business and not the model's.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// refusal reads a problem document. What refuses without one is no Writ server, or stands before one: busy and unavailable
// may pass, anything else is garbled.
func refusal(status int, kind string, data []byte) error {
	p := &ProblemError{}
	if kind == "application/problem+json" && json.Unmarshal(data, p) == nil && p.Code != "" && status >= http.StatusBadRequest {
		p.Status = status // of the answer, not of the document
		return p
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		return &ProblemError{Status: status, Code: "unknown", Detail: http.StatusText(status)}
	}
	return garbled("the answer has the status %d and is %q, not a problem document", status, kind)
}

// retryAfter reads seconds or a date (RFC 9110).
func (c *Client) retryAfter(resp *http.Response) time.Duration {
	text := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(seconds, 0), int(retryAfterMax/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(c.now()), 0)
	}
	return 0
}
