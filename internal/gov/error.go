package gov

import "errors"

// Code is the stable, machine-readable name of an error that a caller is meant to see.
type Code string

// The kinds of error. Each has one HTTP status, which internal/api maps.
const (
	CodeMalformedJSON     Code = "malformed_json"
	CodeUnknownField      Code = "unknown_field"
	CodeInvalidField      Code = "invalid_field"
	CodeBodyTooLarge      Code = "body_too_large"
	CodeInputSchema       Code = "input_schema"
	CodeUnauthenticated   Code = "unauthenticated"
	CodeForbidden         Code = "forbidden"
	CodeAgentMismatch     Code = "agent_mismatch"
	CodeNotFound          Code = "not_found"
	CodeMethodNotAllowed  Code = "method_not_allowed"
	CodeCallMismatch      Code = "call_mismatch"
	CodeAlreadyExecuted   Code = "already_executed"
	CodeConflict          Code = "conflict"
	CodeApprovalMismatch  Code = "approval_mismatch" // the approval is of another call
	CodeApprovalUsed      Code = "approval_used"     // the approval was consumed by a call before
	CodeApprovalClosed    Code = "approval_closed"   // the request is decided, or its time is over
	CodeApprovalFrozen    Code = "approval_frozen"   // a switch stops what consent is asked for
	CodeNotEligible       Code = "not_eligible"      // this person may not vote on this request
	CodeSignInStale       Code = "sign_in_stale"     // the vote needs a fresh sign-in
	CodeStepUpRequired    Code = "step_up_required"  // the vote needs a signature of the person's own device
	CodeBundleInvalid     Code = "bundle_invalid"
	CodeOverloaded        Code = "overloaded"
	CodeLedgerUnavailable Code = "ledger_unavailable"
	CodeInternal          Code = "internal"
)

// Codes lists every kind of error.
func Codes() []Code {
	return []Code{
		CodeMalformedJSON, CodeUnknownField, CodeInvalidField, CodeBodyTooLarge, CodeInputSchema, CodeUnauthenticated,
		CodeForbidden, CodeAgentMismatch, CodeNotFound, CodeMethodNotAllowed, CodeCallMismatch, CodeAlreadyExecuted,
		CodeConflict, CodeBundleInvalid, CodeOverloaded, CodeLedgerUnavailable, CodeInternal,
	}
}

// Error is an error meant for the caller: what is wrong, where, and what to do. Err, if any, is for the log only.
type Error struct {
	Code   Code
	Path   string // JSON pointer into the request, or empty
	Detail string
	Err    error
}

// Error gives the code and the detail, and the cause for the log.
func (e *Error) Error() string {
	s := string(e.Code)
	if e.Path != "" {
		s += " at " + e.Path
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf is the code of the first Error in err's chain, or CodeInternal: an unknown error says nothing.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
