package decide

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/content"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/meter"
	"github.com/writ-dev/writ/internal/price"
	"github.com/writ-dev/writ/internal/scan"
	"github.com/writ-dev/writ/internal/taint"
)

// Report is what an agent says of a call that was decided.
type Report struct {
	Status     gov.ResultStatus
	DurationMS *int64
	Error      string
	Output     any // as canon parses JSON; HasOutput tells null from absent
	HasOutput  bool
	Usage      *canon.Usage
}

// Reported is a recorded result.
type Reported struct {
	canon.Result
	ledger.Receipt
}

// Report records the result of a decision: once. The same status reported again gives the first record.
func (s *Service) Report(ctx context.Context, caller identity.Caller, id gov.EntryID, r Report) (Reported, error) {
	env, ok := s.Environments.Environment(caller.Environment)
	if !ok {
		return Reported{}, &gov.Error{Code: gov.CodeForbidden, Detail: "the credential is of an environment that has no ledger"}
	}
	item, err := env.Ledger.ByID(ctx, id)
	if err != nil {
		return Reported{}, err
	}
	if item.Kind != canon.KindDecision {
		return Reported{}, &gov.Error{Code: gov.CodeNotFound, Detail: "there is no decision " + string(id)}
	}
	decision, err := canon.Body[canon.Decision](item.Entry)
	if err != nil {
		return Reported{}, err
	}
	if decision.Agent != caller.Agent {
		return Reported{}, &gov.Error{Code: gov.CodeAgentMismatch, Detail: "the decision is of another agent"}
	}
	decided, err := item.Time()
	if err != nil {
		return Reported{}, err
	}
	cost, err := costOf(ctx, env, decision, r)
	if err != nil {
		return Reported{}, err
	}
	trusted, err := trustedTool(ctx, env, decision)
	if err != nil {
		return Reported{}, err
	}
	found := content.Look(s.Scanner, scan.ToolResult, map[string]any{"output": r.Output, "error": r.Error})
	result, record, err := s.resultRecord(env.Ledger.Name(), caller, item, r, cost, decision.Session, found)
	if err != nil {
		return Reported{}, err
	}
	if marks := s.read(decision.Session, trusted, found); decision.Session != "" {
		record.Session, record.SessionSeen, record.LabelsAdded = decision.Session, ledger.AnySession, result.LabelsAdded
		record.Marks = func(had []byte) []byte { return taint.Learn(had, marks) }
	}
	record.Amends = meter.Settle(decision, decided, r.Status, cost)
	receipt, err := env.Ledger.Append(ctx, record)
	if errors.Is(err, ledger.ErrResultTaken) {
		return first(ctx, env.Ledger, item.Index, r)
	}
	if err != nil {
		return Reported{}, err
	}
	return Reported{Result: result, Receipt: receipt}, nil
}

// trustedTool says whether what the tool of a call answers is not written by anybody: the bundle that it was decided under says so.
func trustedTool(ctx context.Context, env *live.Environment, d canon.Decision) (bool, error) {
	if d.Bundle == "" {
		return false, nil
	}
	engine := env.Control().Engine
	if engine == nil || engine.Bundle().Digest != d.Bundle {
		var err error
		if engine, err = env.Engine(ctx, d.Bundle); err != nil {
			return false, err
		}
	}
	tool, ok := engine.Bundle().Tool(d.Tool)
	return ok && !slices.Contains(tool.Labels, labelUntrusted), nil
}

// costOf says what a call cost, and how that is known: under the bundle that it was decided under. nil: nobody asks.
func costOf(ctx context.Context, env *live.Environment, d canon.Decision, r Report) (*canon.Cost, error) {
	reserved := slices.ContainsFunc(d.Limits, func(c canon.LimitCharge) bool { return c.Reserved > 0 })
	switch {
	case r.Usage == nil && (!reserved || r.Status == gov.ResultNotRun):
		return nil, nil
	case r.Usage == nil || r.Usage.CostMicroUSD == nil && r.Usage.InputTokens == 0 && r.Usage.OutputTokens == 0:
		return &canon.Cost{Priced: gov.PricedUnpriced}, nil
	case r.Usage.CostMicroUSD != nil:
		return &canon.Cost{MicroUSD: r.Usage.CostMicroUSD, Priced: gov.PricedReported}, nil
	}
	priced := canon.Cost{Priced: gov.PricedBundle}
	p, ok, err := bundlePrice(ctx, env, d.Bundle, r.Usage.Model)
	if err != nil {
		return nil, err
	}
	if !ok {
		priced.Priced, priced.Table = gov.PricedTable, price.Date
		p, ok = price.Of(r.Usage.Model)
	}
	if !ok {
		return &canon.Cost{Priced: gov.PricedUnpriced}, nil
	}
	micro := p.Cost(r.Usage.InputTokens, r.Usage.OutputTokens)
	priced.MicroUSD = &micro
	return &priced, nil
}

func bundlePrice(ctx context.Context, env *live.Environment, digest gov.BundleDigest, model string) (price.Price, bool, error) {
	if digest == "" {
		return price.Price{}, false, nil
	}
	engine := env.Control().Engine
	if engine == nil || engine.Bundle().Digest != digest {
		var err error
		if engine, err = env.Engine(ctx, digest); err != nil {
			return price.Price{}, false, err
		}
	}
	p, ok := engine.Bundle().Price(model)
	return p, ok, nil
}

func (s *Service) resultRecord(name gov.Environment, caller identity.Caller, decision ledger.Item, r Report, cost *canon.Cost, session gov.SessionID, found content.Content) (canon.Result, ledger.Record, error) {
	var random [canon.NonceSize + 2*canon.SaltSize]byte
	if _, err := io.ReadFull(s.Rand, random[:]); err != nil {
		return canon.Result{}, ledger.Record{}, fmt.Errorf("read randomness: %w", err)
	}
	salts := random[canon.NonceSize:]
	payload, commitments := canon.Payload{}, map[canon.Group]canon.Commitment{}
	result := canon.Result{
		Decision: decision.ID, Credential: caller.Credential, Status: r.Status, DurationMS: r.DurationMS, Usage: r.Usage, Cost: cost, Commitments: commitments,
		Findings: found.Findings,
	}
	if result.LabelsAdded = content.Suspected(found.Findings); session != "" && len(result.LabelsAdded) > 0 {
		result.Session = session
	} else {
		result.LabelsAdded = nil
	}
	if r.HasOutput {
		output := canon.AppendValue(nil, r.Output)
		result.OutputBytes = int64(len(output))
		payload[canon.GroupOutput], commitments[canon.GroupOutput] = canon.Seal(canon.Salt(salts[:canon.SaltSize]), canon.GroupOutput, output)
	}
	if r.Error != "" {
		text := canon.AppendValue(nil, r.Error)
		payload[canon.GroupText], commitments[canon.GroupText] = canon.Seal(canon.Salt(salts[canon.SaltSize:]), canon.GroupText, text)
	}
	draft, err := canon.NewDraft(name, canon.KindResult, canon.Nonce(random[:canon.NonceSize]), canon.Actor{Type: canon.ActorAgent, ID: string(caller.Agent)}, result)
	if err != nil {
		return canon.Result{}, ledger.Record{}, err
	}
	record := ledger.NewRecord(canon.KindResult, draft, payload.Encode())
	record.ResultOf = decision.Index
	return result, record, nil
}

// first gives the result that stands, if it says the same.
func first(ctx context.Context, l *ledger.Ledger, decision int64, r Report) (Reported, error) {
	found, ok, err := l.Store().Result(ctx, l.Name(), decision)
	if err != nil {
		return Reported{}, err
	}
	if !ok {
		return Reported{}, &gov.Error{Code: gov.CodeLedgerUnavailable, Detail: "the result that stands could not be read; try again"}
	}
	item, err := l.At(ctx, found.Index)
	if err != nil {
		return Reported{}, err
	}
	result, err := canon.Body[canon.Result](item.Entry)
	if err != nil {
		return Reported{}, err
	}
	if result.Status != r.Status {
		return Reported{}, &gov.Error{Code: gov.CodeConflict, Path: "/status", Detail: fmt.Sprintf("the result of this decision was reported as %s", result.Status)}
	}
	return Reported{Result: result, Receipt: item.Receipt()}, nil
}
