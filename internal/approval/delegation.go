package approval

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// DelegationKind is the kind of document that a standing consent is kept in.
const DelegationKind = "delegation"

// Delegation is a standing consent as the entries about it add up to, with how often it counted.
type Delegation struct {
	Scope  canon.DelegationScope `json:"scope"`
	Asked  state.Approval        `json:"asked"` // who was asked, and what they said
	Person string                `json:"person"`
	State  gov.DelegationState   `json:"state"`
	Uses   int64                 `json:"uses"` // decisions that it counted for

	doc row.Doc
}

// ID is the entry that asked for it.
func (d Delegation) ID() gov.EntryID { return gov.EntryID(d.doc.ID) }

// Opened is the index of that entry.
func (d Delegation) Opened() int64 { return d.doc.Opened }

// At is how far it has come at a time, under the control state of its environment.
func (d Delegation) At(c *state.Control, at time.Time) gov.DelegationState {
	switch d.State {
	case gov.DelegationPending:
		switch {
		case d.Asked.At(at) == gov.ApprovalExpired:
			return gov.DelegationExpired
		case !sameGate(c, d.Scope):
			return gov.DelegationLapsed
		}
	case gov.DelegationGranted:
		if until, err := time.Parse(canon.TimeLayout, d.Scope.Until); err != nil || !at.Before(until) {
			return gov.DelegationOver
		}
		if _, holds := c.Delegation(d.ID()); !holds {
			return gov.DelegationLapsed
		}
	default:
	}
	return d.State
}

func sameGate(c *state.Control, scope canon.DelegationScope) bool {
	if c.Engine == nil {
		return false
	}
	gate, ok := c.Engine.GatePolicy(scope.Policy)
	return ok && gate.Digest == scope.Gate
}

func (d Delegation) document() row.Doc {
	data, err := json.Marshal(d)
	if err != nil {
		panic("approval: a delegation is not JSON: " + err.Error())
	}
	doc := d.doc
	doc.Kind, doc.State, doc.Data, doc.Due = DelegationKind, string(d.State), data, time.Time{}
	if d.State == gov.DelegationPending {
		doc.Due = d.Asked.Due()
	}
	return doc
}

func delegationOf(doc row.Doc) (Delegation, error) {
	d := Delegation{doc: doc}
	if err := json.Unmarshal(doc.Data, &d); err != nil {
		return d, fmt.Errorf("delegation %s: %w", doc.ID, err)
	}
	return d, nil
}

// FindDelegation reads the standing consent that an entry asked for.
func FindDelegation(ctx context.Context, l *ledger.Ledger, id gov.EntryID) (Delegation, error) {
	return ledger.FindDoc(ctx, l, row.DocKey{Kind: DelegationKind, ID: string(id)}, "delegation "+string(id), delegationOf)
}

// recordedAs is the state in which a document waits until it is found to be in another one.
func recordedAs(in gov.DelegationState) gov.DelegationState {
	switch in {
	case gov.DelegationOver:
		return gov.DelegationGranted
	case gov.DelegationExpired, gov.DelegationLapsed: // pending and expired, pending and granted
		return ""
	default:
		return in
	}
}

// ListDelegations gives standing consents, newest first: those in a state (empty: any) opened below an index. next is the index to
// go on below, or 0: a page may hold fewer than limit, since time moves some on from what is recorded.
func (s *Service) ListDelegations(ctx context.Context, env *live.Environment, in gov.DelegationState, below int64, limit int) (out []Delegation, next int64, err error) {
	now := s.Now()
	out, next, err = ledger.ListDocs(ctx, env.Ledger, DelegationKind, string(recordedAs(in)), below, limit, delegationOf)
	return slices.DeleteFunc(out, func(d Delegation) bool { return in != "" && d.At(env.Control(), now) != in }), next, err
}

// DelegationAsk is a standing consent as a person asks for it.
type DelegationAsk struct {
	Policy    gov.PolicyID
	Agent     gov.AgentID
	Tool      gov.ToolName   // empty: any
	Principal *gov.Principal // nil: any
	When      string
	Until     time.Time
	UsesMax   int64 // 0: any number
	Reason    string
}

// Delegate asks the members of a gate's groups for a standing consent. Errors are *gov.Error.
func (s *Service) Delegate(ctx context.Context, person identity.Caller, env *live.Environment, ask DelegationAsk) (Delegation, error) {
	now := s.Now().UTC()
	if err := env.Refresh(ctx); err != nil {
		return Delegation{}, err
	}
	gate, member, err := mayDelegate(person, env, ask.Policy)
	if err != nil {
		return Delegation{}, err
	}
	ask.Reason, ask.When = strings.TrimSpace(ask.Reason), strings.TrimSpace(ask.When)
	if err := ask.check(env, now); err != nil {
		return Delegation{}, err
	}
	by := now.Add(gate.ApproveWithin)
	if ask.Until.Before(by) {
		by = ask.Until
	}
	body := canon.DelegationRequested{
		Scope: s.scope(ask, gate), Groups: gate.Groups, Quorum: gate.Quorum, ApproveBy: by.UTC().Format(canon.TimeLayout),
		Person: identity.PrincipalRef(s.Key, person.Principal), Member: member, Commitments: map[canon.Group]canon.Commitment{},
	}
	text := map[string]any{"reason": ask.Reason}
	if ask.Principal != nil {
		text["principal"] = state.PrincipalValue(*ask.Principal)
	}
	payload, err := s.said(body.Commitments, person.Principal, text)
	if err != nil {
		return Delegation{}, err
	}
	d := Delegation{Scope: body.Scope, Asked: state.OpenDelegation(body), Person: body.Person, State: gov.DelegationPending}
	receipt, err := s.append(ctx, env, canon.KindDelegationRequested, person.Actor(s.Key), body, payload, func(r *ledger.Record) {
		r.Docs = append(outbox.Owe(env.Control().Engine.Bundle(), env.Ledger.Name(), body.Groups, now, gov.EventApprovalRequested), d.document())
	})
	if err != nil {
		return Delegation{}, err
	}
	return FindDelegation(ctx, env.Ledger, receipt.ID)
}

// mayDelegate gives the gate that a person wants lifted, and the groups that make them one of those who are asked there.
func mayDelegate(person identity.Caller, env *live.Environment, id gov.PolicyID) (policy.GatePolicy, []gov.GroupID, error) {
	refuse := func(code gov.Code, path, detail string) (policy.GatePolicy, []gov.GroupID, error) {
		return policy.GatePolicy{}, nil, &gov.Error{Code: code, Path: path, Detail: detail}
	}
	if person.Principal.Type != gov.PrincipalUser {
		return refuse(gov.CodeForbidden, "", "only a person asks for a delegation: sign in with the organization's identity provider")
	}
	engine := env.Control().Engine
	if engine == nil {
		return refuse(gov.CodeConflict, "", "the environment has no active bundle")
	}
	gate, ok := engine.GatePolicy(id)
	switch {
	case !ok:
		return refuse(gov.CodeInvalidField, "/policy", "is not the @id of a policy of the active bundle that asks people (@require_approval)")
	case gate.Observed:
		return refuse(gov.CodeInvalidField, "/policy", "is only observed: it asks nobody")
	case gate.StepUp:
		return refuse(gov.CodeInvalidField, "/policy", "wants each approval signed by a passkey (@step_up), so nobody consents to it beforehand")
	}
	member := person.MemberOf(gate.Groups, engine.Bundle().GroupsOf(person.Principal))
	if len(member) == 0 {
		return refuse(gov.CodeNotEligible, "", fmt.Sprintf("the policy asks members of %v, and only they ask for a delegation of it", gate.Groups))
	}
	return gate, member, nil
}

const reasonBytesMax = 2 << 10

func (ask DelegationAsk) check(env *live.Environment, now time.Time) error {
	wrong := func(path, detail string) error {
		return &gov.Error{Code: gov.CodeInvalidField, Path: path, Detail: detail}
	}
	control := env.Control()
	b := control.Engine.Bundle()
	agent, ok := b.Agent(ask.Agent)
	switch {
	case !ok:
		return wrong("/agent", "is not in the inventory (agents.yaml)")
	case ask.Tool != "" && !slices.Contains(agent.Tools, ask.Tool):
		return wrong("/tool", "is not on the allowlist of the agent (agents.yaml)")
	case ask.When != "" && ask.Tool == "":
		return wrong("/when", "needs a tool: a condition speaks of the input of one")
	case !now.Before(ask.Until) || ask.Until.After(now.Add(state.DelegationFor)):
		return wrong("/until", "must be within the next "+state.DelegationFor.String())
	case ask.UsesMax < 0 || ask.UsesMax > state.DelegationUses:
		return wrong("/uses_max", fmt.Sprintf("must be a number from 1 to %d", state.DelegationUses))
	case ask.Reason == "" || len(ask.Reason) > reasonBytesMax:
		return wrong("/reason", fmt.Sprintf("say why, in 1 to %d bytes", reasonBytesMax))
	}
	if ask.When != "" {
		if _, err := control.Engine.Condition(ask.Tool, ask.When); err != nil {
			return wrong("/when", err.Error())
		}
	}
	return room(control, now)
}

// room refuses more standing consents than one environment holds.
func room(control *state.Control, now time.Time) error {
	if control.Delegations(now) >= state.DelegationsMax {
		return &gov.Error{Code: gov.CodeConflict, Detail: fmt.Sprintf("%d delegations are in force, which is all that one environment has: end some, or change the policy", state.DelegationsMax)}
	}
	return nil
}

func (s *Service) scope(ask DelegationAsk, gate policy.GatePolicy) canon.DelegationScope {
	scope := canon.DelegationScope{
		Policy: ask.Policy, Gate: gate.Digest, Agent: ask.Agent, Tool: ask.Tool, When: ask.When,
		Until: ask.Until.UTC().Format(canon.TimeLayout), UsesMax: ask.UsesMax,
	}
	if p := ask.Principal; p != nil {
		scope.Principal = string(p.Type) + ":" + identity.PrincipalRef(s.Key, *p)
	}
	return scope
}

// CastDelegation records a person's vote on a standing consent. The same vote cast again changes nothing. Errors are *gov.Error.
func (s *Service) CastDelegation(ctx context.Context, person identity.Caller, env *live.Environment, id gov.EntryID, b Ballot) (Delegation, error) {
	if err := b.check(); err != nil {
		return Delegation{}, err
	}
	for range voteTriesMax {
		if err := env.Refresh(ctx); err != nil {
			return Delegation{}, err
		}
		d, err := FindDelegation(ctx, env.Ledger, id)
		if err != nil {
			return Delegation{}, err
		}
		err = s.castDelegation(ctx, person, env, d, b)
		if errors.Is(err, ledger.ErrStale) {
			continue
		}
		if err != nil {
			return Delegation{}, err
		}
		if err := env.Refresh(ctx); err != nil {
			return Delegation{}, err
		}
		return FindDelegation(ctx, env.Ledger, id)
	}
	return Delegation{}, &gov.Error{Code: gov.CodeOverloaded, Detail: "other votes kept coming first; try again"}
}

// castDelegation counts one vote on the request as it was read.
func (s *Service) castDelegation(ctx context.Context, person identity.Caller, env *live.Environment, d Delegation, b Ballot) error {
	now, ref, control := s.Now().UTC(), identity.PrincipalRef(s.Key, person.Principal), env.Control()
	target := state.Target{Agent: d.Scope.Agent, Tool: d.Scope.Tool, Principal: d.Scope.Principal}
	groups, err := s.eligible(person, control, d.Asked.Asked.Groups, target, ref, now)
	if err != nil {
		return err
	}
	if err := frozen(control, target, b.Vote, now); err != nil {
		return err
	}
	if d.Person == ref {
		return &gov.Error{Code: gov.CodeNotEligible, Detail: "you asked for it, and nobody approves their own request"}
	}
	item, err := env.Ledger.ByID(ctx, d.ID())
	if err != nil {
		return err
	}
	if b.Shown != item.Receipt().LeafHash {
		return &gov.Error{Code: gov.CodeInvalidField, Path: "/shown", Detail: "is not the leaf hash of the request; read it again and vote on what it shows"}
	}
	if earlier, voted := d.Asked.Has(ref); voted {
		if earlier.Vote == b.Vote {
			return nil
		}
		return &gov.Error{Code: gov.CodeConflict, Path: "/vote", Detail: "you voted before: " + string(earlier.Vote)}
	}
	if at := d.At(control, now); at != gov.DelegationPending {
		return &gov.Error{Code: gov.CodeApprovalClosed, Detail: "the delegation is " + string(at) + " already"}
	}
	d.Asked = d.Asked.Count(ref, b.Vote, now)
	d.State = state.DelegationAfter(d.Asked)
	if d.State == gov.DelegationGranted {
		if err := room(control, now); err != nil {
			return err
		}
	}
	return s.recordDelegation(ctx, person, env, control, d, b, groups)
}

func (s *Service) recordDelegation(ctx context.Context, person identity.Caller, env *live.Environment, control *state.Control, d Delegation, b Ballot, groups []gov.GroupID) error {
	vote := canon.DelegationVote{
		Delegation: d.ID(), Vote: b.Vote, Person: identity.PrincipalRef(s.Key, person.Principal), Groups: groups, Issuer: person.Issuer,
		AuthTime: person.AuthTime.UTC().Format(canon.TimeLayout), Methods: person.Methods, Level: person.Level, Shown: b.Shown, State: d.State,
		Commitments: map[canon.Group]canon.Commitment{},
	}
	payload, err := s.said(vote.Commitments, person.Principal, b.Comment)
	if err != nil {
		return err
	}
	kind, body, owed := canon.KindDelegationVote, any(vote), []row.Doc(nil)
	if d.State == gov.DelegationGranted {
		kind, body = canon.KindDelegationGranted, canon.DelegationGranted{DelegationVote: vote, Scope: d.Scope, By: d.Asked.Voters()}
	}
	if d.State != gov.DelegationPending {
		owed = outbox.Owe(control.Engine.Bundle(), env.Ledger.Name(), d.Asked.Asked.Groups, s.Now(), gov.EventApprovalDecided)
	}
	_, err = s.append(ctx, env, kind, person.Actor(s.Key), body, payload, func(r *ledger.Record) {
		r.Docs, r.Epoch = append(owed, d.document()), control.Epoch // the gate that is lifted is still the one that was asked for
	})
	return err
}

// EndDelegation ends a standing consent at once, or withdraws the request for it. One person of the groups that were asked is
// enough, or one who responds to incidents: it takes away nobody's say. Errors are *gov.Error.
func (s *Service) EndDelegation(ctx context.Context, person identity.Caller, env *live.Environment, id gov.EntryID, reason string) (Delegation, error) {
	if len(reason) > reasonBytesMax {
		return Delegation{}, &gov.Error{Code: gov.CodeInvalidField, Path: "/reason", Detail: fmt.Sprintf("is longer than %d bytes", reasonBytesMax)}
	}
	if err := env.Refresh(ctx); err != nil {
		return Delegation{}, err
	}
	d, err := FindDelegation(ctx, env.Ledger, id)
	if err != nil {
		return Delegation{}, err
	}
	groups, err := mayEnd(person, env, d)
	if err != nil {
		return Delegation{}, err
	}
	body := canon.DelegationEnded{
		Delegation: id, Person: identity.PrincipalRef(s.Key, person.Principal), Groups: groups, Commitments: map[canon.Group]canon.Commitment{},
	}
	payload, err := s.said(body.Commitments, person.Principal, strings.TrimSpace(reason))
	if err != nil {
		return Delegation{}, err
	}
	_, err = s.append(ctx, env, canon.KindDelegationEnded, person.Actor(s.Key), body, payload, func(r *ledger.Record) {
		r.Amends = []ledger.Amend{{Key: d.doc.DocKey, With: ended}} // calls that use it at this moment do not hold it up
	})
	if err != nil {
		return Delegation{}, err
	}
	if err := env.Refresh(ctx); err != nil {
		return Delegation{}, err
	}
	return FindDelegation(ctx, env.Ledger, id)
}

func mayEnd(person identity.Caller, env *live.Environment, d Delegation) ([]gov.GroupID, error) {
	if person.Principal.Type != gov.PrincipalUser {
		return nil, &gov.Error{Code: gov.CodeForbidden, Detail: "only a person ends a delegation: sign in with the organization's identity provider"}
	}
	engine, listed := env.Control().Engine, []gov.GroupID(nil)
	if engine != nil {
		listed = engine.Bundle().GroupsOf(person.Principal)
	}
	groups := person.MemberOf(d.Asked.Asked.Groups, listed)
	roles := person.RolesIn(engine)
	if len(groups) == 0 && !slices.Contains(roles, gov.RoleResponder) && !slices.Contains(roles, gov.RoleAdmin) {
		return nil, &gov.Error{Code: gov.CodeNotEligible, Detail: fmt.Sprintf("a delegation is ended by members of %v, and by responders", d.Asked.Asked.Groups)}
	}
	return groups, nil
}

// closeDelegations records that nobody decided requests for standing consents in time.
func (s *Service) closeDelegations(ctx context.Context, env *live.Environment, now time.Time) (closed int, err error) {
	docs, err := env.Ledger.Store().DocsDue(ctx, env.Ledger.Name(), DelegationKind, now, closeMax)
	if err != nil || len(docs) == 0 {
		return 0, err
	}
	if err := env.Refresh(ctx); err != nil {
		return 0, err
	}
	for _, doc := range docs {
		d, err := delegationOf(doc)
		if err != nil {
			return closed, err
		}
		d.State = gov.DelegationExpired
		actor := canon.Writ()
		_, err = s.append(ctx, env, canon.KindDelegationExpired, actor, canon.DelegationExpired{Delegation: d.ID()}, nil, func(r *ledger.Record) {
			b := env.Control().Engine.Bundle() // there is one: the request was for a gate of it, or of one before
			r.Docs = append(outbox.Owe(b, env.Ledger.Name(), d.Asked.Asked.Groups, now, gov.EventApprovalDecided), d.document())
		})
		if err != nil {
			return closed, err
		}
		closed++
	}
	return closed, nil
}

// ended is the document of a standing consent after it was ended.
func ended(doc row.Doc, _ time.Time) (row.Doc, error) {
	d, err := delegationOf(doc)
	if err != nil {
		return doc, err
	}
	if d.State != gov.DelegationPending && d.State != gov.DelegationGranted {
		return doc, &gov.Error{Code: gov.CodeApprovalClosed, Detail: "the delegation is " + string(d.State) + " already"}
	}
	d.State = gov.DelegationEnded
	return d.document(), nil
}

// Use counts a decision on a standing consent, in the commit of the decision: it counts exactly, however many are made at once.
// When others used it up the decision is to be judged again.
func Use(id gov.EntryID) ledger.Amend {
	return ledger.Amend{Key: row.DocKey{Kind: DelegationKind, ID: string(id)}, With: func(doc row.Doc, _ time.Time) (row.Doc, error) {
		d, err := delegationOf(doc)
		if err != nil {
			return doc, err
		}
		if d.State != gov.DelegationGranted {
			return doc, ledger.ErrStale
		}
		d.Uses++
		if d.Uses == d.Scope.UsesMax {
			d.State = gov.DelegationUsedUp
		}
		return d.document(), nil
	}}
}

// Spent gives those standing consents that were used as often as they allow.
func Spent(ctx context.Context, l *ledger.Ledger, control *state.Control, ids []gov.EntryID) ([]gov.EntryID, error) {
	var out []gov.EntryID
	for _, id := range ids {
		if granted, ok := control.Delegation(id); ok && granted.UsesMax == 0 {
			continue
		}
		d, err := FindDelegation(ctx, l, id)
		if err != nil {
			return nil, err
		}
		if d.State == gov.DelegationUsedUp {
			out = append(out, id)
		}
	}
	return out, nil
}
