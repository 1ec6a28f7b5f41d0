package writ

import (
	"fmt"
	"math"
	"strconv"
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

func (o Outcome) known() bool { return o == Allow || o == Deny || o == RequireApproval }

// Mode says whether an environment enforces its policy or only records what it would have said.
type Mode string

// The modes.
const (
	Enforce Mode = "enforce"
	Observe Mode = "observe"
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
	Tool            string         `json:"tool"`                // server/tool
	Input           map[string]any `json:"input"`               // the tool's arguments; nil is sent as {}
	Principal       *Principal     `json:"principal,omitempty"` // where the key lets the call name one
	Session         string         `json:"session,omitempty"`   // the conversation or run, which policies may remember
	CallID          string         `json:"call_id,omitempty"`   // the framework's id of the call; made up when empty
	TraceID         string         `json:"trace_id,omitempty"`
	OnBehalfOfToken string         `json:"on_behalf_of_token,omitempty"` // the principal's own token, which verifies it
}

// Reason is one cause of a decision, in a sentence that a person and a model can act on.
type Reason struct {
	Code    string `json:"code"`
	Policy  string `json:"policy,omitempty"`
	Message string `json:"message"`
}

// Receipt says where a record stands in the ledger. LeafHash is its RFC 6962 leaf hash in hexadecimal.
type Receipt struct {
	Ledger   string `json:"ledger"`
	Index    int64  `json:"index"`
	LeafHash string `json:"leaf_hash"`
}

// Decision is a recorded answer.
type Decision struct {
	ID       string    `json:"id"`
	Outcome  Outcome   `json:"outcome"`
	Mode     Mode      `json:"mode"`
	Would    Outcome   `json:"would,omitempty"` // what was only observed and let pass; mostly empty
	Reasons  []Reason  `json:"reasons"`
	Policies []string  `json:"policies"`
	Bundle   string    `json:"bundle,omitempty"`   // digest of the policy bundle; empty where none is active
	Approval *Approval `json:"approval,omitempty"` // with RequireApproval
	Receipt  Receipt   `json:"receipt"`
	At       time.Time `json:"at"`
}

// Result is what became of a call.
type Result struct {
	Status     Status `json:"status"`
	DurationMS *int64 `json:"duration_ms,omitempty"` // nil when nobody measured
	Error      string `json:"error,omitempty"`
	Output     any    `json:"output,omitempty"` // anything that encoding/json can write
	Usage      *Usage `json:"usage,omitempty"`
}

// Usage is what a model consumed for a call.
type Usage struct {
	Model        string `json:"model"`
	InputTokens  int64  `json:"input_tokens"`
	OutputTokens int64  `json:"output_tokens"`
	CostUSD      USD    `json:"cost_usd,omitempty"`
}

// USD is an amount of US dollars, sent with six decimals at most and never with an exponent. Zero is not sent: the cost is
// not known.
type USD float64

const (
	usdDecimals = 6
	usdMax      = 1_000_000
)

// MarshalJSON writes the amount rounded to millionths.
func (a USD) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(a)) || a < 0 || a > usdMax {
		return nil, fmt.Errorf("%v is not an amount of US dollars from 0 to %d", float64(a), usdMax)
	}
	text := strconv.FormatFloat(float64(a), 'f', usdDecimals, 64)
	return []byte(strings.TrimSuffix(strings.TrimRight(text, "0"), ".")), nil
}
