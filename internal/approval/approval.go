// Package approval asks people and counts their votes. It promises that a request is opened by the decision that needs it, in
// the same commit; that a vote is an entry with an authenticated person behind it, who was asked, who did not ask, and who
// voted once; that one denial is final and that what is not decided in time is not approved; and that a request lifts its gate
// once, for the very call that it was opened for. It does not judge calls: internal/policy says what a consent lifts.
package approval

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/outbox"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/state"
)

// DocKind is the kind of document that a request is kept in.
const DocKind = "approval"

// Request is a request for consent with the call that it is for.
type Request struct {
	state.Approval
	Agent     gov.AgentID        `json:"agent"`
	Tool      gov.ToolName       `json:"tool"`
	Principal canon.PrincipalRef `json:"principal"`
	Session   gov.SessionID      `json:"session,omitempty"`
	Call      string             `json:"call"` // keyed digest of tool, principal and input, hexadecimal

	doc row.Doc
}

// Open is the request for a call whose verdict is to ask. It has no id yet: it gets that of its decision.
func Open(d canon.Decision, gate policy.Gate, call [16]byte, at time.Time) Request {
	return Request{
		Approval: state.OpenApproval(state.AskedOf(gate, at)), Agent: d.Agent, Tool: d.Tool, Principal: d.Principal, Session: d.Session,
		Call: hex.EncodeToString(call[:]), doc: row.Doc{DocKey: row.DocKey{Kind: DocKind}},
	}
}

// ID is the request's id.
func (r Request) ID() gov.ApprovalID { return gov.ApprovalOf(r.Decision()) }

// Decision is the decision that opened the request.
func (r Request) Decision() gov.EntryID { return gov.EntryID(r.doc.ID) }

// Opened is the index of that decision.
func (r Request) Opened() int64 { return r.doc.Opened }

// Changed is the index of the entry that changed the request last.
func (r Request) Changed() int64 { return r.doc.Version - 1 }

// Target is what a switch stops to freeze the request.
func (r Request) Target() state.Target {
	return state.Target{Agent: r.Agent, Tool: r.Tool, Principal: string(r.Principal.Type) + ":" + r.Principal.Ref, Session: r.Session}
}

// Doc is the document to write with an entry about the request; the append refuses it if the request moved on.
func (r Request) Doc() row.Doc {
	data, err := json.Marshal(r)
	if err != nil {
		panic("approval: a request is not JSON: " + err.Error())
	}
	d := r.doc
	d.State, d.Due, d.Data = string(r.State), r.Due(), data
	return d
}

// Consumed is the request after its call was allowed.
func (r Request) Consumed() Request {
	r.State = gov.ApprovalConsumed
	return r
}

func requestOf(d row.Doc) (Request, error) {
	r := Request{doc: d}
	if err := json.Unmarshal(d.Data, &r); err != nil {
		return r, fmt.Errorf("request %s: %w", d.ID, err)
	}
	return r, nil
}

// Find reads the request that a decision opened.
func Find(ctx context.Context, l *ledger.Ledger, decision gov.EntryID) (Request, error) {
	return ledger.FindDoc(ctx, l, row.DocKey{Kind: DocKind, ID: string(decision)}, "request for approval "+string(gov.ApprovalOf(decision)), requestOf)
}

// Service takes votes and closes what is over. Its fields are set once, before use.
type Service struct {
	Environments *live.Set
	Key          []byte // of the opaque references of users
	Passkeys     Passkeys
	Now          func() time.Time
	Rand         io.Reader
}

// Passkeys checks the signature of a person's own device over a digest. internal/people implements it.
type Passkeys interface {
	CheckVote(ctx context.Context, person identity.Caller, digest, assertion []byte) (canon.PasskeySignature, error)
}

// List gives requests, newest first: those in a state (empty: any) opened below an index.
func (s *Service) List(ctx context.Context, env *live.Environment, in gov.ApprovalState, below int64, limit int) ([]Request, error) {
	out, _, err := ledger.ListDocs(ctx, env.Ledger, DocKind, string(in), below, limit, requestOf)
	return out, err
}

// pollEvery is how often a wait looks: a vote on another node is seen this late at most.
const pollEvery = 200 * time.Millisecond

// Wait gives the request once it is no longer pending, or as it is when ctx ends.
func (s *Service) Wait(ctx context.Context, env *live.Environment, decision gov.EntryID) (Request, error) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		r, err := Find(context.WithoutCancel(ctx), env.Ledger, decision)
		if err != nil || r.At(s.Now()) != gov.ApprovalPending {
			return r, err
		}
		select {
		case <-ctx.Done():
			return r, nil
		case <-ticker.C:
		}
	}
}

// closeMax is how many requests one step closes.
const closeMax = 256

// Close records that the time of requests is over, those for standing consents too. They were over before: this is so that the
// ledger says it, and that people are told.
func (s *Service) Close(ctx context.Context, env *live.Environment) (closed int, err error) {
	now := s.Now()
	closed, err = s.closeDelegations(ctx, env, now)
	if err != nil {
		return closed, err
	}
	more, err := s.closeRequests(ctx, env, now)
	return closed + more, err
}

func (s *Service) closeRequests(ctx context.Context, env *live.Environment, now time.Time) (closed int, err error) {
	docs, err := env.Ledger.Store().DocsDue(ctx, env.Ledger.Name(), DocKind, now, closeMax)
	if err != nil || len(docs) == 0 {
		return 0, err
	}
	if err := env.Refresh(ctx); err != nil {
		return 0, err
	}
	for _, d := range docs {
		r, err := requestOf(d)
		if err != nil {
			return closed, err
		}
		r.State = r.At(now)
		body := canon.ApprovalExpired{Decision: r.Decision(), State: r.State}
		actor := canon.Writ()
		_, err = s.append(ctx, env, canon.KindApprovalExpired, actor, body, nil, func(record *ledger.Record) {
			record.Docs = append(decided(env, r, now), r.Doc())
		})
		if err != nil {
			return closed, err
		}
		closed++
	}
	return closed, nil
}

// decided is the notice that is owed when people decided a request, or did not in time.
func decided(env *live.Environment, r Request, at time.Time) []row.Doc {
	engine := env.Control().Engine
	over := r.State == gov.ApprovalApproved || r.State == gov.ApprovalDenied || r.State == gov.ApprovalExpired
	if engine == nil || !over {
		return nil
	}
	return outbox.Owe(engine.Bundle(), env.Ledger.Name(), r.Asked.Groups, at, gov.EventApprovalDecided)
}

// append appends an entry whose record says what changes with it, and under which conditions.
func (s *Service) append(ctx context.Context, env *live.Environment, kind canon.Kind, actor canon.Actor, body any, payload canon.Payload, with func(*ledger.Record)) (ledger.Receipt, error) {
	record, err := env.Ledger.Draft(s.Rand, kind, actor, body, payload)
	if err != nil {
		return ledger.Receipt{}, err
	}
	with(&record)
	return env.Ledger.Append(ctx, record)
}

// said is the payload of what a person says: who it is, and a text or nothing.
func (s *Service) said(commitments map[canon.Group]canon.Commitment, person gov.Principal, text any) (canon.Payload, error) {
	payload := canon.Payload{}
	if err := payload.Seal(s.Rand, commitments, canon.GroupPrincipal, canon.AppendValue(nil, state.PrincipalValue(person))); err != nil {
		return nil, err
	}
	if text != nil && text != "" {
		if err := payload.Seal(s.Rand, commitments, canon.GroupText, canon.AppendValue(nil, text)); err != nil {
			return nil, err
		}
	}
	return payload, nil
}
