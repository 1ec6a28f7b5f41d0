package writ

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	reportMax      = 10 * time.Second // for the report of a call, whose context may have ended
	errorBytesMax  = 4 << 10
	outputBytesMax = 256 << 10
)

// Decide asks for the decision on a call and gives it whatever it says. Every error means no.
func (c *Client) Decide(ctx context.Context, call Call) (*Decision, error) {
	if call.CallID == "" {
		call.CallID = newCallID()
	}
	if call.Input == nil {
		call.Input = map[string]any{}
	}
	body, err := encode(call, "/input")
	if err != nil {
		return nil, err
	}
	var d *Decision
	err = c.post(ctx, "/v1/decisions", body, func(data []byte) (err error) {
		d, err = readDecision(data, call)
		return err
	})
	if err != nil {
		return nil, unavailable(err, noDecision)
	}
	if c.given.taken(d.ID, strings.Join([]string{call.Agent, call.Session, call.CallID}, "\x00")) {
		return nil, unavailable(garbled("the answer is the decision %s of another call", d.ID), noDecision)
	}
	return d, nil
}

func newCallID() string {
	return "call-" + strings.ToLower(rand.Text()) // 130 bits
}

// Report tells what became of a decided call. The same status can be reported again; another one is refused. An output that
// is not JSON, is over 256 KiB or that the server will not take is replaced by a note of that, so that the result is not
// lost with it.
func (c *Client) Report(ctx context.Context, decisionID string, r Result) error {
	if !decisionIDRE.MatchString(decisionID) {
		return &ProblemError{Code: codeInvalidField, Path: "/id", Detail: fmt.Sprintf("%q is not the id of a decision", decisionID)}
	}
	r.Output = outputOf(r.Output)
	err := c.report(ctx, decisionID, r)
	if r.Output != nil && aboutOutput(err) {
		r.Output = omitted{Omitted: "refused"}
		err = c.report(ctx, decisionID, r)
	}
	return err
}

func (c *Client) report(ctx context.Context, decisionID string, r Result) error {
	body, err := encode(r, "")
	if err != nil {
		return err
	}
	err = c.post(ctx, "/v1/decisions/"+decisionID+"/result", body, func(data []byte) error {
		return readRecorded(data, decisionID, r.Status)
	})
	return unavailable(err, noRecord)
}

// aboutOutput says whether the server would take the result with another output.
func aboutOutput(err error) bool {
	var p *ProblemError
	return errors.As(err, &p) && (p.Code == codeBodyTooLarge || p.Path == "/output" || strings.HasPrefix(p.Path, "/output/"))
}

// Call asks for a decision, runs fn if and only if the answer is allow, and reports what became of it. When fn does not run
// the error says why: *DeniedError, *ApprovalRequiredError, *ProblemError (the request is wrong, or its call was executed
// already: ErrAlreadyExecuted), *UnavailableError, or the context's error if it ended before fn began. When fn ran, its value
// and error come back; if its result could not be recorded, the error is joined with a *ReportError.
//
// If fn panics, that is reported as a failure and goes on. If ctx ends while fn runs, the report is still sent.
func (c *Client) Call(ctx context.Context, call Call, fn func(ctx context.Context) (any, error)) (any, error) {
	if call.CallID == "" {
		call.CallID = newCallID() // the same when it is asked again
	}
	d, err := c.Decide(ctx, call)
	if err == nil && d.Outcome == RequireApproval {
		d, err = c.answered(ctx, call, d)
	}
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
	if err := ctx.Err(); err != nil {
		// Not reported: a call with a result cannot be asked for again, and this one may be resumed.
		return nil, fmt.Errorf("the call was allowed and not run: %w", err)
	}
	return c.run(ctx, d, fn)
}

// run runs fn and reports, also when fn panics or ctx has ended meanwhile. It does not recover: a panic keeps its stack.
func (c *Client) run(ctx context.Context, d *Decision, fn func(ctx context.Context) (any, error)) (value any, err error) {
	began := c.now()
	returned := false
	defer func() {
		r := Result{Status: Succeeded, DurationMS: new(c.now().Sub(began).Milliseconds()), Output: value}
		switch {
		case !returned:
			r.Status, r.Error = Failed, "the function panicked"
		case err != nil:
			r.Status, r.Error = Failed, clip(err.Error())
		}
		reporting, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportMax)
		defer cancel()
		if failed := c.Report(reporting, d.ID, r); failed != nil {
			err = errors.Join(err, &ReportError{d.ID, r, failed})
		}
	}()
	value, err = fn(ctx)
	returned = true
	return value, err
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), errorBytesMax)], "") }

// omitted stands for an output that is not sent.
type omitted struct {
	Omitted string `json:"omitted"` // not_json, too_large or refused
	Bytes   int    `json:"bytes,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
}

// outputOf gives what is sent of an output. The digest lets one recognise an output that was too large.
func outputOf(output any) any {
	if output == nil {
		return nil
	}
	text, err := marshal(output)
	switch {
	case err != nil:
		return omitted{Omitted: "not_json"}
	case len(text) > outputBytesMax:
		sum := sha256.Sum256(text)
		return omitted{"too_large", len(text), hex.EncodeToString(sum[:])}
	}
	return json.RawMessage(text)
}

// marshal writes JSON. A type's own MarshalJSON may panic; that must not keep a result from being reported.
func marshal(v any) (text []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panics: %v", p)
		}
	}()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // the server writes it again in its own form
	err = enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// encode writes a request. What cannot be written or is too large is refused here, as the server would.
func encode(v any, path string) ([]byte, error) {
	body, err := marshal(v)
	if err != nil {
		return nil, &ProblemError{Code: codeInvalidField, Path: path, Detail: "is not JSON: " + err.Error()}
	}
	if len(body) > bodyBytesMax {
		return nil, &ProblemError{Code: codeBodyTooLarge, Detail: fmt.Sprintf("the request is over %d bytes", bodyBytesMax)}
	}
	return body, nil
}
