package api

import (
	"context"
	"encoding/hex"
	"math"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/approval"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/state"
)

// approvalRef tells an agent where to wait.
type approvalRef struct {
	ID        gov.ApprovalID `json:"id"`
	URL       string         `json:"url"` // below the server's own
	ExpiresAt string         `json:"expires_at"`
}

func approvalRefOf(d canon.Decision, id gov.EntryID) *approvalRef {
	if d.Approval == nil {
		return nil
	}
	approval := gov.ApprovalOf(id)
	return &approvalRef{ID: approval, URL: "/v1/approvals/" + string(approval), ExpiresAt: d.Approval.ApproveBy}
}

// requestWire is a request for approval as lists show it.
type requestWire struct {
	ID          gov.ApprovalID      `json:"id"`
	Environment gov.Environment     `json:"environment"`
	State       gov.ApprovalState   `json:"state"`
	Agent       gov.AgentID         `json:"agent"`
	Tool        gov.ToolName        `json:"tool"`
	Principal   principalWire       `json:"principal"`
	Session     gov.SessionID       `json:"session,omitempty"`
	Asked       canon.ApprovalAsked `json:"asked"`
	Votes       []state.Ballot      `json:"votes"`
	ExecuteBy   string              `json:"execute_by,omitempty"`
	Decision    gov.EntryID         `json:"decision"`
	Frozen      gov.EntryID         `json:"frozen,omitempty"` // the switch that stops such calls: nobody consents while it does
}

// requestChainWire is what a person is shown before a vote. Shown is the digest of it: the leaf hash of the decision that
// asks, whose entry commits to the input and the principal.
type requestChainWire struct {
	requestWire
	Shown   string         `json:"shown"`
	Why     decisionWire   `json:"why"`
	Call    callWire       `json:"call"`
	History []decisionWire `json:"history"` // of the session before it, newest first
}

func (s *Server) requestOf(env *live.Environment, r approval.Request) requestWire {
	out := requestWire{
		ID: r.ID(), Environment: env.Ledger.Name(), State: r.At(s.Now()), Agent: r.Agent, Tool: r.Tool, Principal: principalWire(r.Principal),
		Session: r.Session, Asked: r.Asked, Votes: r.Voted, ExecuteBy: r.ExecuteBy, Decision: r.Decision(),
	}
	if sw, stopped := env.Control().Stopping(r.Target(), s.Now()); stopped && (out.State == gov.ApprovalPending || out.State == gov.ApprovalApproved) {
		out.Frozen = sw.ID
	}
	return out
}

type requestPage struct {
	Environment gov.Environment `json:"environment"`
	Approvals   []requestWire   `json:"approvals"`
	NextCursor  string          `json:"next_cursor,omitempty"`
}

func (s *Server) listApprovals(ctx context.Context, r *request) (any, error) {
	q := pageQuery{below: math.MaxInt64, limit: limitDefault}
	err := q.read(r.URL.Query(), func(in string) bool { return gov.ApprovalState(in).Valid() }, "pending, approved, denied, expired, unused or consumed")
	if err != nil {
		return nil, err
	}
	env, err := s.environment(r, q.environment)
	if err != nil {
		return nil, err
	}
	found, err := s.Approval.List(ctx, env, gov.ApprovalState(q.in), q.below, q.limit)
	if err != nil {
		return nil, err
	}
	out := requestPage{Environment: env.Ledger.Name(), Approvals: []requestWire{}}
	for _, f := range found {
		if s.concerns(r, env, f) {
			out.Approvals = append(out.Approvals, s.requestOf(env, f))
		}
	}
	if len(found) == q.limit {
		out.NextCursor = cursorOf(found[len(found)-1].Opened())
	}
	return out, nil
}

// concerns says whether a caller may see a request: administrators and auditors all, an agent its own, a person those that it is
// asked.
func (s *Server) concerns(r *request, env *live.Environment, f approval.Request) bool {
	switch r.caller.Role {
	case state.RoleAdmin:
		return true
	case state.RoleAgent:
		return f.Agent == r.caller.Agent
	case state.RoleProposer:
		return false
	case state.RolePerson:
		engine := env.Control().Engine
		if roles := r.caller.RolesIn(engine); slices.Contains(roles, gov.RoleAuditor) || slices.Contains(roles, gov.RoleAdmin) {
			return true
		}
		member := slices.Clone(r.caller.Groups)
		if engine != nil {
			member = append(member, engine.Bundle().GroupsOf(r.caller.Principal)...)
		}
		return slices.ContainsFunc(f.Asked.Groups, func(g gov.GroupID) bool { return slices.Contains(member, g) })
	}
	return false
}

// waitMax is how long a request may be waited for in one go.
const waitMax = time.Minute

func (s *Server) showApproval(ctx context.Context, r *request) (any, error) {
	env, item, err := s.approvalByID(ctx, r)
	if err != nil {
		return nil, err
	}
	found, err := approval.Find(ctx, env.Ledger, item.ID)
	if err != nil {
		return nil, err
	}
	if !s.concerns(r, env, found) {
		return nil, noApproval(r)
	}
	if text := r.URL.Query().Get("wait"); text != "" {
		wait, err := time.ParseDuration(text)
		if err != nil || wait < 0 || wait > waitMax {
			return nil, &gov.Error{Code: gov.CodeInvalidField, Path: "/wait", Detail: "must be a duration up to " + waitMax.String() + ", 25s for instance"}
		}
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		if found, err = s.Approval.Wait(ctx, env, item.ID); err != nil {
			return nil, err
		}
	}
	return s.requestChain(context.WithoutCancel(ctx), env, item, found)
}

func noApproval(r *request) error {
	return &gov.Error{Code: gov.CodeNotFound, Detail: "there is no request for approval " + r.PathValue("id")}
}

// approvalByID finds the decision that opened a request.
func (s *Server) approvalByID(ctx context.Context, r *request) (*live.Environment, ledger.Item, error) {
	decision, ok := gov.ApprovalID(r.PathValue("id")).Decision()
	if !ok {
		return nil, ledger.Item{}, noApproval(r)
	}
	env, item, err := s.decisionByID(ctx, r, decision)
	if gov.CodeOf(err) == gov.CodeNotFound {
		return nil, ledger.Item{}, noApproval(r)
	}
	return env, item, err
}

func (s *Server) requestChain(ctx context.Context, env *live.Environment, item ledger.Item, found approval.Request) (any, error) {
	why, d, err := decisionOf(item)
	if err != nil {
		return nil, err
	}
	payload, err := env.Ledger.Payload(ctx, item.Index)
	if err != nil {
		return nil, err
	}
	_, erased := payload.Check(d.Commitments)
	history, err := historyOf(ctx, env, d.Session, item.Index)
	if err != nil {
		return nil, err
	}
	return requestChainWire{
		History:     history,
		requestWire: s.requestOf(env, found), Shown: item.Receipt().LeafHash, Why: why,
		Call: callWire{Principal: payload[canon.GroupPrincipal].Value, Input: payload[canon.GroupInput].Value, Erased: erased},
	}, nil
}

const historyMax = 20

// historyOf lists what a session did before an index. The query index may lag a moment behind.
func historyOf(ctx context.Context, env *live.Environment, session gov.SessionID, before int64) ([]decisionWire, error) {
	out := []decisionWire{}
	if session == "" || before == 0 {
		return out, nil
	}
	page, err := env.Ledger.Find(ctx, ledger.Query{
		Filters: []ledger.Filter{{Dim: ledger.DimSession, Value: string(session)}}, Before: before, Limit: historyMax,
	})
	if err != nil {
		return nil, err
	}
	items, err := env.Ledger.Several(ctx, page.Indexes)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		w, _, err := decisionOf(item)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// voteChallenge gives what the person's passkey is to sign, where the policy wants the approval signed.
func (s *Server) voteChallenge(ctx context.Context, r *request) (any, error) {
	_, item, err := s.approvalByID(ctx, r)
	if err != nil {
		return nil, err
	}
	digest, err := hex.DecodeString(item.Receipt().LeafHash)
	if err != nil {
		return nil, err
	}
	return s.People.BeginVote(ctx, r.caller, digest)
}

func (s *Server) vote(ctx context.Context, r *request) (any, error) {
	ballot, err := readBallot(r.body, "GET /v1/approvals/{id}")
	if err != nil {
		return nil, err
	}
	env, item, err := s.approvalByID(ctx, r)
	if err != nil {
		return nil, err
	}
	r.about = env.Ledger.Name()
	cast, err := s.Approval.Cast(ctx, r.caller, env, item.ID, ballot)
	if err != nil {
		return nil, err
	}
	return s.requestChain(ctx, env, item, cast)
}

// readBallot reads a vote on what a route shows.
func readBallot(body []byte, route string) (approval.Ballot, error) {
	f, err := readFields(body)
	if err != nil {
		return approval.Ballot{}, err
	}
	ballot := approval.Ballot{
		Vote:    gov.Vote(f.required("vote", func(v string) bool { return gov.Vote(v).Valid() }, "approve or deny")),
		Shown:   f.required("shown", func(v string) bool { return v != "" }, "the digest of what you were shown, as "+route+" gives it"),
		Comment: f.text("comment", textBytesMax),
	}
	if assertion, ok := f.object("assertion"); ok {
		ballot.Signed = canon.AppendValue(nil, assertion.m)
	}
	return ballot, f.done()
}
