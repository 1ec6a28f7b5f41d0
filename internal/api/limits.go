package api

import (
	"context"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/limit"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/meter"
	"github.com/writ-dev/writ/internal/price"
)

// limitsWire is how much of its limits an environment has used.
type limitsWire struct {
	Environment gov.Environment  `json:"environment"`
	Bundle      gov.BundleDigest `json:"bundle,omitempty"`
	At          string           `json:"at"`
	PriceTable  string           `json:"price_table"` // date of the list prices
	Limits      []limitWire      `json:"limits"`
}

type limitWire struct {
	ID            string          `json:"id"`
	Of            string          `json:"of"`
	Words         string          `json:"words"` // 20 calls in 1h
	Agent         gov.AgentID     `json:"agent,omitempty"`
	Tool          gov.ToolName    `json:"tool,omitempty"`
	Category      gov.Category    `json:"category,omitempty"`
	Environment   gov.Environment `json:"environment,omitempty"` // that it names; empty: every one, each by itself
	Per           string          `json:"per,omitempty"`
	Calls         int64           `json:"calls,omitzero"`
	MicroUSD      int64           `json:"micro_usd,omitzero"`
	WindowSeconds int64           `json:"window_seconds"`
	Fixed         bool            `json:"fixed"`
	WarnAt        int64           `json:"warn_at,omitzero"` // percent
	Reserve       int64           `json:"reserve_micro_usd,omitzero"`
	Amount        string          `json:"amount,omitempty"` // field of the input
	Counters      []counterWire   `json:"counters"`
	More          bool            `json:"more"` // there may be other counters
}

// counterWire is what one counter holds now.
type counterWire struct {
	Key      string `json:"key"`
	Used     int64  `json:"used"` // calls, or micro-USD
	Calls    int64  `json:"calls"`
	Spent    int64  `json:"spent_micro_usd,omitzero"`
	Reserved int64  `json:"reserved_micro_usd,omitzero"`
	Unpriced int64  `json:"unpriced,omitzero"` // results of which nobody knows the cost; what was reserved is counted as spent
	Next     string `json:"next,omitempty"`    // when it holds less, if nothing more is counted
}

const (
	countersFew = 20  // of each limit
	countersMax = 200 // of the one that is asked for
)

// listLimits shows what the limits of the active bundle hold now.
func (s *Server) listLimits(ctx context.Context, r *request) (any, error) {
	params := r.URL.Query()
	for name, values := range params {
		if name != "environment" && name != "agent" && name != "id" {
			return nil, &gov.Error{Code: gov.CodeUnknownField, Path: "/" + name, Detail: "is not a parameter; known are environment, agent, id"}
		}
		if len(values) != 1 {
			return nil, &gov.Error{Code: gov.CodeInvalidField, Path: "/" + name, Detail: "is given more than once"}
		}
	}
	env, err := s.environment(r, params.Get("environment"))
	if err != nil {
		return nil, err
	}
	control, id, agent := env.Control(), params.Get("id"), gov.AgentID(params.Get("agent"))
	out := limitsWire{Environment: env.Ledger.Name(), Bundle: control.Bundle(), At: s.Now().UTC().Format(canon.TimeLayout), PriceTable: price.Date, Limits: []limitWire{}}
	if control.Engine == nil {
		return out, nil
	}
	for _, rule := range control.Engine.Limits() {
		here := rule.Environment == "" || rule.Environment == out.Environment
		if !here || id != "" && rule.ID != id || agent != "" && rule.Agent != "" && rule.Agent != agent {
			continue
		}
		w, err := s.limitOf(ctx, env, rule, agent, id != "")
		if err != nil {
			return nil, err
		}
		out.Limits = append(out.Limits, w)
	}
	return out, nil
}

func (s *Server) limitOf(ctx context.Context, env *live.Environment, r *limit.Rule, agent gov.AgentID, alone bool) (limitWire, error) {
	w := limitWire{
		ID: r.ID, Of: r.Of, Words: r.Words(), Agent: r.Agent, Tool: r.Tool, Category: r.Category, Environment: r.Environment, Per: r.Per, Calls: r.Calls,
		MicroUSD: r.MicroUSD, WindowSeconds: r.WindowSeconds, Fixed: r.Fixed, WarnAt: r.WarnAt, Reserve: r.ReserveMicroUSD, Amount: r.Amount, Counters: []counterWire{},
	}
	most := countersFew
	if alone || r.Per == "agent" && agent != "" {
		most = countersMax
	}
	counters, more, err := meter.List(ctx, env.Ledger, r, s.Now(), most)
	if err != nil {
		return w, err
	}
	w.More = more
	for _, c := range counters {
		if r.Per == "agent" && agent != "" && c.Key != string(agent) {
			continue
		}
		counter := counterWire{Key: c.Key, Used: c.Used, Calls: c.Calls, Spent: c.Spent, Reserved: c.Reserved, Unpriced: c.Unpriced}
		if !c.Next.IsZero() {
			counter.Next = c.Next.Format(canon.TimeLayout)
		}
		w.Counters = append(w.Counters, counter)
	}
	return w, nil
}
