package api

import (
	"context"
	"math"
	"time"

	"github.com/writ-dev/writ/internal/approval"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/state"
)

// delegationWire is a standing consent as lists show it.
type delegationWire struct {
	ID          gov.EntryID         `json:"id"`
	Environment gov.Environment     `json:"environment"`
	State       gov.DelegationState `json:"state"`
	canon.DelegationScope
	Uses      int64          `json:"uses"` // decisions that it counted for
	Groups    []gov.GroupID  `json:"groups"`
	Quorum    int            `json:"quorum"`
	ApproveBy string         `json:"approve_by"`
	Person    string         `json:"person"` // who asked; opaque reference
	Votes     []state.Ballot `json:"votes"`
}

// delegationChainWire is what a person is shown before a vote. Shown is the digest of it: the leaf hash of the request, which names
// the policy's text by its digest and commits to the reason.
type delegationChainWire struct {
	delegationWire
	Shown  string   `json:"shown"`
	At     string   `json:"at"`
	Reason string   `json:"reason,omitempty"` // empty when it was erased
	For    any      `json:"for,omitempty"`    // the principal's type and id, where there is one
	Text   string   `json:"text,omitempty"`   // of the policy, while that is the one in force
	Erased []string `json:"erased,omitempty"`
}

func (s *Server) delegationOf(env *live.Environment, d approval.Delegation) delegationWire {
	return delegationWire{
		ID: d.ID(), Environment: env.Ledger.Name(), State: d.At(env.Control(), s.Now()), DelegationScope: d.Scope, Uses: d.Uses, Groups: d.Asked.Asked.Groups,
		Quorum: d.Asked.Asked.Quorum, ApproveBy: d.Asked.Asked.ApproveBy, Person: d.Person, Votes: d.Asked.Voted,
	}
}

type delegationPage struct {
	Environment gov.Environment  `json:"environment"`
	Delegations []delegationWire `json:"delegations"`
	NextCursor  string           `json:"next_cursor,omitempty"`
}

func (s *Server) listDelegations(ctx context.Context, r *request) (any, error) {
	q := pageQuery{below: math.MaxInt64, limit: limitDefault}
	err := q.read(r.URL.Query(), func(in string) bool { return gov.DelegationState(in).Valid() }, "pending, granted, denied, expired, ended, used_up, over or lapsed")
	if err != nil {
		return nil, err
	}
	env, err := s.environment(r, q.environment)
	if err != nil {
		return nil, err
	}
	found, next, err := s.Approval.ListDelegations(ctx, env, gov.DelegationState(q.in), q.below, q.limit)
	if err != nil {
		return nil, err
	}
	out := delegationPage{Environment: env.Ledger.Name(), Delegations: []delegationWire{}}
	for _, d := range found {
		out.Delegations = append(out.Delegations, s.delegationOf(env, d))
	}
	if next > 0 {
		out.NextCursor = cursorOf(next)
	}
	return out, nil
}

func (s *Server) askDelegation(ctx context.Context, r *request) (any, error) {
	f, err := readFields(r.body)
	if err != nil {
		return nil, err
	}
	name := f.required("environment", gov.ValidName, "the name of an environment")
	ask := approval.DelegationAsk{
		Policy: gov.PolicyID(f.required("policy", gov.ValidName, "the @id of a policy that asks people")),
		Agent:  gov.AgentID(f.required("agent", gov.ValidName, "the id of a registered agent")),
		Tool:   gov.ToolName(f.checked("tool", gov.ValidTool, "server/tool")),
		When:   f.text("when", textBytesMax), Reason: f.text("reason", textBytesMax),
	}
	until := f.required("until", func(v string) bool { _, err := time.Parse(time.RFC3339Nano, v); return err == nil }, "a time such as 2026-11-23T14:03:00Z")
	if p, ok := f.object("principal"); ok {
		principal := readPrincipal(f, p)
		ask.Principal = &principal
	}
	if n := f.integer("uses_max"); n != nil {
		if ask.UsesMax = *n; *n == 0 {
			f.fail("uses_max", "must be at least 1; leave it out for any number")
		}
	}
	if err := f.done(); err != nil {
		return nil, err
	}
	if ask.Until, err = readTime("until", until); err != nil {
		return nil, err
	}
	env, err := s.environment(r, name)
	if err != nil {
		return nil, err
	}
	d, err := s.Approval.Delegate(ctx, r.caller, env, ask)
	if err != nil {
		return nil, err
	}
	return s.delegationChain(ctx, env, d)
}

// delegationByID finds a standing consent in any environment that the caller may read.
func (s *Server) delegationByID(ctx context.Context, r *request) (*live.Environment, approval.Delegation, error) {
	if err := s.Discover(ctx); err != nil {
		return nil, approval.Delegation{}, err
	}
	id := gov.EntryID(r.PathValue("id"))
	for _, name := range s.readable(r.caller) {
		env, ok := s.Environments.Environment(name)
		if !ok {
			continue
		}
		d, err := approval.FindDelegation(ctx, env.Ledger, id)
		if gov.CodeOf(err) == gov.CodeNotFound {
			continue
		}
		return env, d, err
	}
	return nil, approval.Delegation{}, &gov.Error{Code: gov.CodeNotFound, Detail: "there is no delegation " + string(id)}
}

func (s *Server) showDelegation(ctx context.Context, r *request) (any, error) {
	env, d, err := s.delegationByID(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.delegationChain(ctx, env, d)
}

func (s *Server) delegationChain(ctx context.Context, env *live.Environment, d approval.Delegation) (any, error) {
	item, err := env.Ledger.ByID(ctx, d.ID())
	if err != nil {
		return nil, err
	}
	body, err := canon.Body[canon.DelegationRequested](item.Entry)
	if err != nil {
		return nil, err
	}
	payload, err := env.Ledger.Payload(ctx, item.Index)
	if err != nil {
		return nil, err
	}
	out := delegationChainWire{delegationWire: s.delegationOf(env, d), Shown: item.Receipt().LeafHash, At: item.At}
	_, erased := payload.Check(body.Commitments)
	for _, g := range erased {
		out.Erased = append(out.Erased, string(g))
	}
	if _, kept := payload[canon.GroupText]; kept {
		text, err := payload.Value(canon.GroupText)
		if err != nil {
			return nil, err
		}
		out.Reason, _ = text["reason"].(string)
		out.For = text["principal"]
	}
	if engine := env.Control().Engine; engine != nil {
		if gate, ok := engine.GatePolicy(d.Scope.Policy); ok && gate.Digest == d.Scope.Gate {
			out.Text = gate.Text
		}
	}
	return out, nil
}

func (s *Server) voteDelegation(ctx context.Context, r *request) (any, error) {
	ballot, err := readBallot(r.body, "GET /v1/delegations/{id}")
	if err != nil {
		return nil, err
	}
	env, d, err := s.delegationByID(ctx, r)
	if err != nil {
		return nil, err
	}
	r.about = env.Ledger.Name()
	if d, err = s.Approval.CastDelegation(ctx, r.caller, env, d.ID(), ballot); err != nil {
		return nil, err
	}
	return s.delegationChain(ctx, env, d)
}

func (s *Server) endDelegation(ctx context.Context, r *request) (any, error) {
	reason, err := readReason(r.body, "")
	if err != nil {
		return nil, err
	}
	env, d, err := s.delegationByID(ctx, r)
	if err != nil {
		return nil, err
	}
	if d, err = s.Approval.EndDelegation(ctx, r.caller, env, d.ID(), reason); err != nil {
		return nil, err
	}
	return s.delegationChain(ctx, env, d)
}
