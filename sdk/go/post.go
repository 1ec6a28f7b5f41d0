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
	"strconv"
	"time"
)

const (
	answerBytesMax = 4 << 20
	waitFirst      = 50 * time.Millisecond
	waitMax        = 2 * time.Second
)

// post sends a request until there is an answer, the tries are used up or the time is. The body is the same every time, call
// id included, so the server decides and records once.
func (c *Client) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("writ: the request is not JSON: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	wait := waitFirst
	for try := 1; ; try++ {
		after, err := c.once(ctx, path, body, out)
		if err == nil || !again(err) || try >= c.tries || ctx.Err() != nil {
			return err
		}
		// Full jitter: many agents that were refused together do not come back together.
		pause := max(time.Duration(rand.Int64N(int64(wait)+1)), min(after, waitMax))
		if c.sleep(ctx, pause) != nil {
			return err
		}
		wait = min(2*wait, waitMax)
	}
}

// again says whether the same request may have another answer soon.
func again(err error) bool {
	var p *ProblemError
	if errors.As(err, &p) {
		return p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable
	}
	var u *UnavailableError
	var garbled *garbledError
	return errors.As(err, &u) && !errors.As(err, &garbled)
}

// garbledError is an answer that cannot be understood. It is not asked for again: what answers like that is no Writ.
type garbledError struct{ what string }

func (e *garbledError) Error() string { return e.what }

func garbled(format string, args ...any) error {
	return &UnavailableError{&garbledError{fmt.Sprintf(format, args...)}}
}

// once sends the request once. after is how long the server asks to wait.
func (c *Client) once(ctx context.Context, path string, body []byte, out any) (after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return 0, &UnavailableError{err}
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "writ-go")
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, &UnavailableError{err}
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax+1))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return 0, &UnavailableError{fmt.Errorf("read the answer: %w", err)}
	}
	if len(data) > answerBytesMax {
		return 0, garbled("the answer is over %d bytes", answerBytesMax)
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK {
		return retryAfter(resp), problem(resp.StatusCode, kind, data)
	}
	if kind != "application/json" {
		return 0, garbled("the answer is %q, not JSON", kind)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return 0, garbled("the answer is not what it should be: %v", err)
	}
	return 0, nil
}

// problem reads a problem document. What answers without one is still a refusal.
func problem(status int, kind string, data []byte) error {
	p := &ProblemError{Status: status, Code: "unknown", Detail: http.StatusText(status)}
	if kind == "application/problem+json" {
		if err := json.Unmarshal(data, p); err != nil {
			return garbled("the refusal with status %d is garbled", status)
		}
		p.Status = status
	}
	return p
}

func retryAfter(resp *http.Response) time.Duration {
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
