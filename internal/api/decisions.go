package api

import (
	"context"
	"encoding/hex"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/writ-dev/writ/internal/approval"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/decide"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/replay"
	"github.com/writ-dev/writ/internal/state"
)

// answerWire is the answer to a call.
type answerWire struct {
	ID       gov.EntryID      `json:"id"`
	Outcome  gov.Outcome      `json:"outcome"`
	Mode     gov.Mode         `json:"mode"`
	Would    gov.Outcome      `json:"would,omitempty"`
	Reasons  []gov.Reason     `json:"reasons"`
	Policies []gov.PolicyID   `json:"policies"`
	Bundle   gov.BundleDigest `json:"bundle,omitempty"`
	Approval *approvalRef     `json:"approval,omitempty"`
	Receipt  gov.Receipt      `json:"receipt"`
	At       string           `json:"at"`
}

func answerOf(d canon.Decision, r ledger.Receipt) answerWire {
	return answerWire{
		ID: r.ID, Outcome: d.Outcome, Mode: d.Mode, Would: d.Would, Reasons: d.Reasons, Policies: d.Policies, Bundle: d.Bundle,
		Approval: approvalRefOf(d, r.ID), Receipt: r.Receipt, At: r.At.Format(canon.TimeLayout),
	}
}

func (s *Server) decide(ctx context.Context, r *request) (any, error) {
	req, err := readCall(r.body)
	if err != nil {
		return nil, err
	}
	answer, err := s.Decide.Decide(ctx, r.caller, req)
	if err != nil {
		return nil, err
	}
	if !answer.Placed() {
		panic("api: an answer without a record")
	}
	s.Metrics.decided(answer.Outcome, answer.Would)
	return answerOf(answer.Decision, answer.Receipt), nil
}

const opaqueWant = "1 to 128 letters, digits or . _ : / + = @ | -"

func readCall(body []byte) (decide.Request, error) {
	f, err := readFields(body)
	if err != nil {
		return decide.Request{}, err
	}
	req := decide.Request{
		Agent:           gov.AgentID(f.required("agent", gov.ValidName, "the id of a registered agent")),
		Tool:            gov.ToolName(f.required("tool", gov.ValidTool, "server/tool")),
		Session:         gov.SessionID(f.checked("session", gov.ValidOpaque, opaqueWant)),
		CallID:          gov.CallID(f.checked("call_id", gov.ValidOpaque, opaqueWant)),
		TraceID:         gov.TraceID(f.checked("trace_id", gov.ValidOpaque, opaqueWant)),
		OnBehalfOfToken: f.text("on_behalf_of_token", textBytesMax),
		Approval:        gov.ApprovalID(f.checked("approval", gov.ValidOpaque, "the id of a request for approval, apr_…")),
	}
	input, ok := f.object("input")
	if !ok {
		f.fail("input", "is missing; it must be an object, {} for a tool without arguments")
	} else {
		req.Input = input.m
	}
	if p, ok := f.object("principal"); ok {
		principal := readPrincipal(f, p)
		req.Principal = &principal
	}
	return req, f.done()
}

func readPrincipal(f, p *fields) gov.Principal {
	principal := gov.Principal{Type: gov.PrincipalType(p.text("type", textBytesMax)), ID: p.text("id", textBytesMax)}
	if !principal.Valid() {
		p.fail("", "must have a type (user, service or organization) and an id of 1 to 256 printable bytes")
	}
	if err := p.done(); err != nil && f.err == nil {
		f.err = err
	}
	return principal
}

// resultWire is the answer to a report.
type resultWire struct {
	ID       gov.EntryID      `json:"id"`
	Decision gov.EntryID      `json:"decision"`
	Status   gov.ResultStatus `json:"status"`
	Cost     *canon.Cost      `json:"cost,omitempty"`
	Receipt  gov.Receipt      `json:"receipt"`
	At       string           `json:"at"`
}

func (s *Server) report(ctx context.Context, r *request) (any, error) {
	report, err := readReport(r.body)
	if err != nil {
		return nil, err
	}
	res, err := s.Decide.Report(ctx, r.caller, gov.EntryID(r.PathValue("id")), report)
	if err != nil {
		return nil, err
	}
	return resultWire{ID: res.ID, Decision: res.Decision, Status: res.Status, Cost: res.Cost, Receipt: res.Receipt.Receipt, At: res.At.Format(canon.TimeLayout)}, nil
}

func readReport(body []byte) (decide.Report, error) {
	f, err := readFields(body)
	if err != nil {
		return decide.Report{}, err
	}
	valid := func(s string) bool { return gov.ResultStatus(s).Valid() }
	report := decide.Report{
		Status:     gov.ResultStatus(f.required("status", valid, "succeeded, failed, not_run or unknown")),
		DurationMS: f.integer("duration_ms"),
		Error:      f.text("error", textBytesMax),
	}
	report.Output, report.HasOutput = f.take("output")
	if u, ok := f.object("usage"); ok {
		report.Usage = readUsage(u)
		if err := u.done(); err != nil && f.err == nil {
			f.err = err
		}
	}
	return report, f.done()
}

func readUsage(u *fields) *canon.Usage {
	usage := canon.Usage{Model: u.required("model", gov.ValidOpaque, opaqueWant), CostMicroUSD: u.microUSD("cost_usd")}
	if n := u.integer("input_tokens"); n != nil {
		usage.InputTokens = *n
	}
	if n := u.integer("output_tokens"); n != nil {
		usage.OutputTokens = *n
	}
	return &usage
}

// decisionWire is a recorded decision as lists show it.
type decisionWire struct {
	answerWire
	Agent      gov.AgentID      `json:"agent"`
	Tool       gov.ToolName     `json:"tool"`
	Principal  principalWire    `json:"principal"`
	Session    gov.SessionID    `json:"session,omitempty"`
	CallID     gov.CallID       `json:"call_id,omitempty"`
	TraceID    gov.TraceID      `json:"trace_id,omitempty"`
	Earlier    gov.EntryID      `json:"earlier,omitempty"`
	Approved   gov.EntryID      `json:"approved,omitempty"` // the decision whose request people answered
	Labels     []gov.Label      `json:"labels,omitempty"`
	Epoch      int64            `json:"epoch"`
	Credential gov.CredentialID `json:"credential"`

	Delegations []gov.EntryID       `json:"delegations,omitempty"` // the standing consents that counted
	Findings    []canon.Finding     `json:"findings,omitempty"`    // of the scanner in the input
	Taint       []canon.Taint       `json:"taint,omitempty"`       // what of the input the session knows from untrusted results alone
	Limits      []canon.LimitCharge `json:"limits,omitempty"`      // what it takes of each limit
}

// principalWire is a principal as the record has it: a user by reference; the name is with the payload.
type principalWire struct {
	Type      gov.PrincipalType `json:"type"`
	Ref       string            `json:"ref"`
	Assurance gov.Assurance     `json:"assurance"`
	Groups    []gov.GroupID     `json:"groups,omitempty"`
}

func decisionOf(item ledger.Item) (decisionWire, canon.Decision, error) {
	d, err := canon.Body[canon.Decision](item.Entry)
	if err != nil {
		return decisionWire{}, d, err
	}
	return decisionWire{
		answerWire: answerOf(d, item.Receipt()), Agent: d.Agent, Tool: d.Tool, Session: d.Session, CallID: d.CallID,
		Principal: principalWire(d.Principal), TraceID: d.TraceID, Earlier: d.Earlier, Approved: d.Approved, Labels: d.Labels, Epoch: d.Epoch,
		Credential: d.Credential, Delegations: d.Delegations, Limits: d.Limits, Findings: d.Findings, Taint: d.Taint,
	}, d, nil
}

type decisionPage struct {
	Environment     gov.Environment `json:"environment"`
	Decisions       []decisionWire  `json:"decisions"`
	NextCursor      string          `json:"next_cursor,omitempty"`
	CompleteThrough int64           `json:"complete_through"` // entries below this index were searched
	Size            int64           `json:"size"`             // entries in the ledger
}

func (s *Server) listDecisions(ctx context.Context, r *request) (any, error) {
	params := r.URL.Query()
	env, err := s.environment(r, params.Get("environment"))
	if err != nil {
		return nil, err
	}
	q, err := s.readQuery(r, params)
	if err != nil {
		return nil, err
	}
	page, err := env.Ledger.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	head, err := env.Ledger.Head(ctx)
	if err != nil {
		return nil, err
	}
	items, err := env.Ledger.Several(ctx, page.Indexes)
	if err != nil {
		return nil, err
	}
	out := decisionPage{Environment: env.Ledger.Name(), Decisions: make([]decisionWire, len(items)), CompleteThrough: page.Through, Size: head.Size}
	for i, item := range items {
		if out.Decisions[i], _, err = decisionOf(item); err != nil {
			return nil, err
		}
	}
	if page.More {
		out.NextCursor = cursorOf(page.Indexes[len(page.Indexes)-1])
	}
	return out, nil
}

const limitDefault = 50

// readQuery reads the filters. An unknown parameter is refused: a misspelt filter would answer another question.
func (s *Server) readQuery(r *request, params url.Values) (ledger.Query, error) {
	q := ledger.Query{Filters: []ledger.Filter{}, Limit: limitDefault}
	for name, values := range params {
		if len(values) != 1 {
			return q, &gov.Error{Code: gov.CodeInvalidField, Path: "/" + name, Detail: "is given more than once"}
		}
		if err := s.readParam(&q, name, values[0]); err != nil {
			return q, err
		}
	}
	if r.caller.Role == state.RoleAgent {
		q.Filters = append(q.Filters, ledger.Filter{Dim: ledger.DimAgent, Value: string(r.caller.Agent)})
	}
	if len(q.Filters) == 0 {
		q.Filters = append(q.Filters, ledger.Filter{Dim: ledger.DimKind, Value: string(canon.KindDecision)})
	}
	return q, nil
}

func (s *Server) readParam(q *ledger.Query, name, value string) (err error) {
	filter := func(dim ledger.Dim, v string) { q.Filters = append(q.Filters, ledger.Filter{Dim: dim, Value: v}) }
	switch name {
	case "environment":
	case "agent":
		filter(ledger.DimAgent, value)
	case "tool":
		filter(ledger.DimTool, value)
	case "policy":
		filter(ledger.DimPolicy, value)
	case "session":
		filter(ledger.DimSession, value)
	case "would":
		filter(ledger.DimWould, value)
	case "outcome":
		if !gov.Outcome(value).Valid() {
			return &gov.Error{Code: gov.CodeInvalidField, Path: "/outcome", Detail: "must be allow, deny or require_approval"}
		}
		filter(ledger.DimOutcome, value)
	case "principal":
		p, err := gov.ParsePrincipal(value)
		if err != nil {
			return &gov.Error{Code: gov.CodeInvalidField, Path: "/principal", Detail: err.Error()}
		}
		filter(ledger.DimPrincipal, string(p.Type)+":"+identity.PrincipalRef(s.Decide.Key, p))
	case "principal_ref":
		filter(ledger.DimPrincipal, value)
	case "from":
		q.From, err = readTime(name, value)
	case "to":
		q.To, err = readTime(name, value)
	case "limit":
		q.Limit, err = readLimit(value, ledger.QueryLimitMax)
	case "cursor":
		q.Before, err = readCursor(value)
	default:
		return &gov.Error{Code: gov.CodeUnknownField, Path: "/" + name,
			Detail: "is not a filter; known are environment, agent, principal, principal_ref, tool, policy, outcome, would, session, from, to, limit, cursor"}
	}
	return err
}

func readTime(name, value string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, value)
	if err != nil {
		return t, &gov.Error{Code: gov.CodeInvalidField, Path: "/" + name, Detail: "must be a time such as 2026-11-23T14:03:00Z"}
	}
	return t.UTC(), nil
}

func readLimit(value string, limitMax int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > limitMax {
		return 0, &gov.Error{Code: gov.CodeInvalidField, Path: "/limit", Detail: "must be a number from 1 to " + strconv.Itoa(limitMax)}
	}
	return n, nil
}

// A cursor is the index below which the next page begins.
const cursorPrefix = "b"

func cursorOf(index int64) string { return cursorPrefix + strconv.FormatInt(index, 36) }

func readCursor(value string) (int64, error) {
	if len(value) > 1 && value[:1] == cursorPrefix {
		if n, err := strconv.ParseInt(value[1:], 36, 64); err == nil && n >= 0 {
			return max(n, 0), nil
		}
	}
	return 0, &gov.Error{Code: gov.CodeInvalidField, Path: "/cursor", Detail: "is not a cursor that this server gave"}
}

// chainWire is everything about one decision.
type chainWire struct {
	Environment gov.Environment  `json:"environment"`
	Decision    decisionWire     `json:"decision"`
	Call        callWire         `json:"call"`
	Result      *resultChainWire `json:"result,omitempty"`
	Request     *requestWire     `json:"request,omitempty"`   // for approval: that it opened, or that was answered
	Incidents   []gov.IncidentID `json:"incidents,omitempty"` // that it is part of
	Proof       proofWire        `json:"proof"`
	Entry       jsontext.Value   `json:"entry"` // as it is hashed
}

// callWire is what may be erased of a call.
type callWire struct {
	Principal jsontext.Value `json:"principal,omitzero"`
	Input     jsontext.Value `json:"input,omitzero"`
	Erased    []canon.Group  `json:"erased,omitempty"`
}

type resultChainWire struct {
	canon.Result
	ID      gov.EntryID    `json:"id"`
	At      string         `json:"at"`
	Receipt gov.Receipt    `json:"receipt"`
	Output  jsontext.Value `json:"output,omitzero"`
	Error   jsontext.Value `json:"error,omitzero"`
}

// proofWire is an RFC 6962 inclusion proof.
type proofWire struct {
	Index    int64    `json:"index"`
	LeafHash string   `json:"leaf_hash"`
	TreeSize int64    `json:"tree_size"`
	Root     string   `json:"root"`
	Path     []string `json:"path"`
}

func (s *Server) showDecision(ctx context.Context, r *request) (any, error) {
	env, item, err := s.decisionByID(ctx, r, gov.EntryID(r.PathValue("id")))
	if err != nil {
		return nil, err
	}
	wire, d, err := decisionOf(item)
	if err != nil {
		return nil, err
	}
	if r.caller.Role == state.RoleAgent && d.Agent != r.caller.Agent {
		return nil, &gov.Error{Code: gov.CodeNotFound, Detail: "there is no decision " + string(item.ID)}
	}
	out := chainWire{Environment: env.Ledger.Name(), Decision: wire, Entry: item.Raw}
	payload, err := env.Ledger.Payload(ctx, item.Index)
	if err != nil {
		return nil, err
	}
	_, erased := payload.Check(d.Commitments)
	out.Call = callWire{Principal: payload[canon.GroupPrincipal].Value, Input: payload[canon.GroupInput].Value, Erased: erased}
	if out.Result, err = resultOf(ctx, env, item.Index); err != nil {
		return nil, err
	}
	if out.Request, err = s.requestBehind(ctx, env, item.ID, d); err != nil {
		return nil, err
	}
	if r.caller.Role != state.RoleAgent { // which is not to know that it is watched
		if out.Incidents, err = incidentsOf(ctx, env.Ledger, item.ID); err != nil {
			return nil, err
		}
	}
	out.Proof, err = proofOf(ctx, env, item.Index)
	return out, err
}

// requestBehind is the request for approval that a decision opened, or rests on.
func (s *Server) requestBehind(ctx context.Context, env *live.Environment, id gov.EntryID, d canon.Decision) (*requestWire, error) {
	if d.Approval == nil {
		id = d.Approved
	}
	if id == "" {
		return nil, nil
	}
	found, err := approval.Find(ctx, env.Ledger, id)
	if err != nil {
		return nil, err
	}
	w := s.requestOf(env, found)
	return &w, nil
}

// judgeAgain judges one recorded decision again.
func (s *Server) judgeAgain(ctx context.Context, r *request) (any, error) {
	env, item, err := s.decisionByID(ctx, r, gov.EntryID(r.PathValue("id")))
	if err != nil {
		return nil, err
	}
	compile := func(digest gov.BundleDigest) (*policy.Engine, error) { return env.Engine(ctx, digest) }
	return replay.One(ctx, env.Ledger, compile, item)
}

func resultOf(ctx context.Context, env *live.Environment, decision int64) (*resultChainWire, error) {
	found, ok, err := env.Ledger.Store().Result(ctx, env.Ledger.Name(), decision)
	if err != nil || !ok {
		return nil, err
	}
	item, err := env.Ledger.At(ctx, found.Index)
	if err != nil {
		return nil, err
	}
	body, err := canon.Body[canon.Result](item.Entry)
	if err != nil {
		return nil, err
	}
	payload, err := env.Ledger.Payload(ctx, found.Index)
	if err != nil {
		return nil, err
	}
	return &resultChainWire{
		Result: body, ID: item.ID, At: item.At, Receipt: item.Receipt().Receipt,
		Output: payload[canon.GroupOutput].Value, Error: payload[canon.GroupText].Value,
	}, nil
}

func proofOf(ctx context.Context, env *live.Environment, index int64) (proofWire, error) {
	p, err := env.Ledger.Prove(ctx, index)
	if err != nil {
		return proofWire{}, err
	}
	out := proofWire{Index: p.Index, LeafHash: hex.EncodeToString(p.Leaf[:]), TreeSize: p.Tree.Size, Root: hex.EncodeToString(p.Tree.Root[:]), Path: []string{}}
	for _, h := range p.Path {
		out.Path = append(out.Path, hex.EncodeToString(h[:]))
	}
	return out, nil
}
