// Package limit counts: calls and money in windows of time. It says which limits a call is of, what it takes of each, and whether
// there is as much left. It promises that no window ever holds more than its limit, that money is whole millionths of a dollar and
// never overflows, and that the same charges in the same order come to the same counts. It is pure: who calls it says what time it
// is, and time must not run backwards between two charges of one counter. That is so for the entries of a ledger.
package limit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// Rule is a limit of a bundle, ready to count.
type Rule struct {
	*bundle.Limit
	Of   string // names what is counted, and in which windows: what has another one is another count
	Name string // of its counters, but for their keys
}

// NewRule makes a limit ready. Of leaves out how much is allowed: a limit that is raised goes on counting.
func NewRule(l *bundle.Limit) *Rule {
	what := []any{l.Agent, l.Tool, l.Category, l.Environment, l.Per, l.Calls > 0, l.Amount, l.WindowSeconds, l.Fixed}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", what))
	of := hex.EncodeToString(sum[:4])
	return &Rule{l, of, l.ID + "@" + of}
}

// At says whether the limit is of calls of a tool in an environment at all.
func (r *Rule) At(env gov.Environment, tool gov.ToolName, categories []gov.Category) bool {
	return (r.Environment == "" || r.Environment == env) && (r.Tool == "" || r.Tool == tool) &&
		(r.Category == "" || slices.Contains(categories, r.Category))
}

// Max is how much may be counted in a window: calls, or micro-USD.
func (r *Rule) Max() int64 { return max(r.Calls, r.MicroUSD) }

// Words say how much that is: 20 calls in 1h, 150 USD in 1d.
func (r *Rule) Words() string {
	much := strconv.FormatInt(r.Calls, 10) + " calls"
	if r.MicroUSD > 0 {
		much = Dollars(r.MicroUSD) + " USD"
	}
	return much + " in " + Span(r.WindowSeconds)
}

// Span is a window as limits.yaml has it: 90s, 10m, 1h, 30d.
func Span(seconds int64) string {
	for _, u := range []struct {
		of   int64
		name string
	}{{86400, "d"}, {3600, "h"}, {60, "m"}} {
		if seconds%u.of == 0 {
			return strconv.FormatInt(seconds/u.of, 10) + u.name
		}
	}
	return strconv.FormatInt(seconds, 10) + "s"
}

// Dollars is an amount as people write it: 150, 12.5, 0.000001.
func Dollars(micro int64) string {
	text := fmt.Sprintf("%d.%06d", micro/microPerUSD, micro%microPerUSD)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// Charge is what one call takes of a limit.
type Charge struct {
	*Rule
	Key   string // of the agent, principal, tool or session that is counted apart
	Micro int64  // micro-USD, of a budget
	Wrong bool   // the input does not say how much: nothing is enough
}

// Charge gives what a call takes. who is the call's principal as records name it, type:ref.
func (r *Rule) Charge(call gov.Call, who string) Charge {
	c := Charge{Rule: r, Micro: r.ReserveMicroUSD}
	switch r.Per {
	case "agent":
		c.Key = string(call.Agent)
	case "principal":
		c.Key = who
	case "tool":
		c.Key = string(call.Tool)
	case "session":
		if c.Key = string(call.Session); c.Key == "" {
			c.Key = noSession + string(call.Agent)
		}
	}
	if r.Amount != "" {
		c.Micro, c.Wrong = amountOf(call.Input[r.Amount])
	}
	return c
}

// noSession begins the key of calls without a session, which count together for each agent. No session begins so.
const noSession = "-"

const (
	microPerUSD = 1_000_000
	microDigits = 6
	usdMax      = 1_000_000_000 // of one call
)

// amountOf reads dollars, however the number is written: from its canonical form, which is the one that is recorded. wrong is for
// what is no amount: not there, not a number, below zero, finer than millionths, or more than a billion.
func amountOf(v any) (micro int64, wrong bool) {
	number, ok := v.(json.Number)
	if !ok {
		return 0, true
	}
	var room [32]byte
	text := string(canon.AppendValue(room[:0], number))
	whole, part, _ := strings.Cut(text, ".")
	if len(part) > microDigits || strings.ContainsAny(text, "eE+-") {
		return 0, true
	}
	units, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || units > usdMax {
		return 0, true
	}
	rest, err := strconv.ParseInt(part+strings.Repeat("0", microDigits-len(part)), 10, 64)
	return units*microPerUSD + rest, err != nil
}

// CounterID is the id of the counter that has the charge.
func (c Charge) CounterID() string { return c.Name + "/" + c.Key }

// Over says that the charge is more than is left where so much is used: calls, or micro-USD.
func (c Charge) Over(used int64) bool {
	switch {
	case c.Wrong:
		return true
	case c.MicroUSD > 0:
		return plus(used, c.Micro) > c.MicroUSD
	}
	return used >= c.Calls
}

// Records are the charges of a call that is allowed as its decision's entry has them.
func Records(charges []Charge) []canon.LimitCharge {
	if len(charges) == 0 {
		return nil
	}
	out := make([]canon.LimitCharge, len(charges))
	for i, c := range charges {
		out[i] = c.Record()
	}
	return out
}

// Record is the charge as a decision's entry has it.
func (c Charge) Record() canon.LimitCharge {
	r := canon.LimitCharge{ID: c.ID, Of: c.Of, Key: c.Key, Calls: 1}
	switch {
	case c.Amount != "":
		r.Amount, r.Calls = c.Micro, 0
	case c.MicroUSD > 0:
		r.Reserved, r.Calls = c.Micro, 0
	}
	return r
}

// CounterID is the id of the counter that has a recorded charge.
func CounterID(r canon.LimitCharge) string { return r.ID + "@" + r.Of + "/" + r.Key }

// Settled is what a recorded charge comes to when its call has a result: micro-USD, and whether that is only what was reserved,
// since nobody knows the cost.
func Settled(r canon.LimitCharge, status gov.ResultStatus, cost *canon.Cost) (micro int64, unpriced bool) {
	switch {
	case r.Amount > 0: // it moved, unless the call surely did nothing
		if status == gov.ResultFailed || status == gov.ResultNotRun {
			return 0, false
		}
		return r.Amount, false
	case cost != nil && cost.MicroUSD != nil:
		return *cost.MicroUSD, false
	case status == gov.ResultNotRun:
		return 0, false
	}
	return r.Reserved, true
}

// Held is how much of a recorded charge is only reserved until its result is there.
func Held(r canon.LimitCharge) int64 { return max(r.Reserved, r.Amount) }

// micros is the time as counters have it.
func micros(at time.Time) int64 { return at.UnixMicro() }
