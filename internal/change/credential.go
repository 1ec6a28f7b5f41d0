package change

import (
	"context"
	"errors"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/state"
)

// Issued is a credential that was recorded, with its token, which is nowhere else and is shown once.
type Issued struct {
	state.Credential
	Token   string
	Receipt ledger.Receipt
}

// Issue makes a credential and records it: it is valid from that entry on, on every node.
func (s *Service) Issue(ctx context.Context, actor canon.Actor, req identity.KeyRequest) (Issued, error) {
	made, err := req.Issue(s.Rand, s.Key, s.Now())
	if err != nil {
		return Issued{}, err
	}
	var payload canon.Payload
	if made.User != nil {
		payload, made.Body.Commitments = canon.Payload{}, map[canon.Group]canon.Commitment{}
		if err := payload.Seal(s.Rand, made.Body.Commitments, canon.GroupPrincipal, canon.AppendValue(nil, state.PrincipalValue(*made.User))); err != nil {
			return Issued{}, err
		}
	}
	env := s.Environments.Open(made.Ledger)
	receipt, err := s.append(ctx, env, actor, canon.KindCredentialIssued, made.Body, payload)
	if err != nil {
		return Issued{}, err
	}
	credential, _ := env.Control().Credential(made.Body.Credential)
	return Issued{Credential: credential, Token: made.Token, Receipt: receipt}, nil
}

// Revoke ends a credential: no decision after the entry's index is made for it, on any node. Revoking what is revoked
// already changes nothing.
func (s *Service) Revoke(ctx context.Context, actor canon.Actor, id gov.CredentialID, reason string) (state.Credential, error) {
	credential, ok := s.Environments.Credential(id)
	if !ok {
		return state.Credential{}, &gov.Error{Code: gov.CodeNotFound, Detail: "there is no credential " + string(id)}
	}
	if credential.Revoked {
		return credential, nil
	}
	env := s.Environments.Open(credential.Environment)
	body := canon.CredentialRevoked{Credential: id, Reason: reason}
	if _, err := s.append(ctx, env, actor, canon.KindCredentialRevoked, body, nil); err != nil {
		return state.Credential{}, err
	}
	credential, _ = env.Control().Credential(id)
	return credential, nil
}

// changeTriesMax is how often a change is tried again because another one came first.
const changeTriesMax = 16

// append records a change of control state and brings this node's state up to it.
func (s *Service) append(ctx context.Context, env *live.Environment, actor canon.Actor, kind canon.Kind, body any, payload canon.Payload) (ledger.Receipt, error) {
	record, err := env.Ledger.Draft(s.Rand, kind, actor, body, payload)
	if err != nil {
		return ledger.Receipt{}, err
	}
	for range changeTriesMax {
		if err := env.Refresh(ctx); err != nil {
			return ledger.Receipt{}, err
		}
		record.Epoch = env.Control().Epoch
		receipt, err := env.Ledger.Append(ctx, record)
		if errors.Is(err, ledger.ErrStale) {
			continue
		}
		if err != nil {
			return ledger.Receipt{}, err
		}
		return receipt, env.Refresh(ctx)
	}
	return ledger.Receipt{}, &gov.Error{Code: gov.CodeOverloaded, Detail: "other changes kept coming first; try again"}
}
