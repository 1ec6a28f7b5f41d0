package decide

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
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
	result, record, err := s.resultRecord(env.Ledger.Name(), caller, item, r)
	if err != nil {
		return Reported{}, err
	}
	receipt, err := env.Ledger.Append(ctx, record)
	if errors.Is(err, ledger.ErrResultTaken) {
		return first(ctx, env.Ledger, item.Index, r)
	}
	if err != nil {
		return Reported{}, err
	}
	return Reported{Result: result, Receipt: receipt}, nil
}

func (s *Service) resultRecord(name gov.Environment, caller identity.Caller, decision ledger.Item, r Report) (canon.Result, ledger.Record, error) {
	var random [canon.NonceSize + 2*canon.SaltSize]byte
	if _, err := io.ReadFull(s.Rand, random[:]); err != nil {
		return canon.Result{}, ledger.Record{}, fmt.Errorf("read randomness: %w", err)
	}
	salts := random[canon.NonceSize:]
	payload, commitments := canon.Payload{}, map[canon.Group]canon.Commitment{}
	result := canon.Result{
		Decision: decision.ID, Credential: caller.Credential, Status: r.Status, DurationMS: r.DurationMS, Usage: r.Usage, Commitments: commitments,
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
