package gov

import "strings"

// ApprovalID names a request for consent. The request is opened by the decision that asks for it, and has its id but for the
// prefix.
type ApprovalID string

const (
	approvalPrefix = "apr_"
	decisionPrefix = "dec_"
)

// ApprovalOf is the request that a decision opened.
func ApprovalOf(decision EntryID) ApprovalID {
	return ApprovalID(approvalPrefix + strings.TrimPrefix(string(decision), decisionPrefix))
}

// Decision is the decision that opened the request. ok is false for what is no id of a request.
func (id ApprovalID) Decision() (decision EntryID, ok bool) {
	rest, ok := strings.CutPrefix(string(id), approvalPrefix)
	return EntryID(decisionPrefix + rest), ok
}

// ApprovalState is how far a request for consent has come.
type ApprovalState string

// The states. Only approved lifts a gate, and only until it is consumed.
const (
	ApprovalPending  ApprovalState = "pending"
	ApprovalApproved ApprovalState = "approved"
	ApprovalDenied   ApprovalState = "denied"
	ApprovalExpired  ApprovalState = "expired"  // nobody decided in time
	ApprovalUnused   ApprovalState = "unused"   // approved, and the call did not come in time
	ApprovalConsumed ApprovalState = "consumed" // the call was allowed by it
)

// Valid says whether s is one of the states.
func (s ApprovalState) Valid() bool {
	switch s {
	case ApprovalPending, ApprovalApproved, ApprovalDenied, ApprovalExpired, ApprovalUnused, ApprovalConsumed:
		return true
	}
	return false
}

// Vote is what one person says to a request.
type Vote string

// The votes. One denial is final.
const (
	VoteApprove Vote = "approve"
	VoteDeny    Vote = "deny"
)

// Valid says whether v is one of the votes.
func (v Vote) Valid() bool { return v == VoteApprove || v == VoteDeny }
