package writ

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ErrAlreadyExecuted is what errors.Is finds when the result of the call was reported before: it must not run again. The
// earlier result is with the earlier decision.
var ErrAlreadyExecuted = errors.New("the call was executed already")

// Codes of problems that a program may want to tell apart. The server's contract has them all.
const (
	codeAlreadyExecuted = "already_executed"
	codeInvalidField    = "invalid_field"
	codeBodyTooLarge    = "body_too_large"
)

// DeniedError says that a call was denied. Its message is meant for the model too: it is the reasons and nothing else.
type DeniedError struct{ Decision *Decision }

// Error gives the reasons.
func (e *DeniedError) Error() string { return "denied: " + reasons(e.Decision) }

// ApprovalRequiredError says that a person has to consent first. Its message is meant for the model too.
type ApprovalRequiredError struct{ Decision *Decision }

// Error gives the reasons.
func (e *ApprovalRequiredError) Error() string { return "approval required: " + reasons(e.Decision) }

func reasons(d *Decision) string {
	messages := make([]string, 0, len(d.Reasons))
	for _, r := range d.Reasons {
		if r.Message != "" {
			messages = append(messages, r.Message)
		}
	}
	if len(messages) == 0 {
		return "no reason was given"
	}
	return strings.Join(messages, " ")
}

// UnavailableError says that there was no answer that can be relied on, which means no.
type UnavailableError struct {
	Err  error
	what string
}

const (
	noDecision = "no decision, so the call does not run"
	noRecord   = "no record of the result"
)

// Error says why.
func (e *UnavailableError) Error() string {
	if e.what == "" {
		return "no answer to rely on: " + e.Err.Error()
	}
	return e.what + ": " + e.Err.Error()
}

// Unwrap gives the cause: among others a *ProblemError when the server itself said that it cannot answer now.
func (e *UnavailableError) Unwrap() error { return e.Err }

// ProblemError is a refusal of the request itself (RFC 9457): it is wrong as it stands, and nothing was decided. Path is a
// JSON pointer into the request where one applies. Status is 0 when the client refused to send it.
type ProblemError struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Path   string `json:"path,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// Error gives code, place and detail.
func (e *ProblemError) Error() string {
	s := e.Code
	if e.Path != "" {
		s += " at " + e.Path
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Is makes errors.Is find ErrAlreadyExecuted.
func (e *ProblemError) Is(target error) bool {
	return target == ErrAlreadyExecuted && e.Status == http.StatusConflict && e.Code == codeAlreadyExecuted
}

// ReportError says that a function ran and its result could not be recorded. Call gives it next to the function's own value
// and error: do not run the function again because of it; report the result again with Client.Report.
type ReportError struct {
	DecisionID string
	Result     Result
	Err        error
}

// Error says which and why.
func (e *ReportError) Error() string {
	return fmt.Sprintf("report that %s %s: %s", e.DecisionID, e.Result.Status, e.Err)
}

// Unwrap gives the cause.
func (e *ReportError) Unwrap() error { return e.Err }

// garbledError is an answer that cannot be relied on. It is not asked for again: what answers like that is no Writ.
type garbledError struct{ what string }

func (e *garbledError) Error() string { return e.what }

func garbled(format string, args ...any) error { return &garbledError{fmt.Sprintf(format, args...)} }
