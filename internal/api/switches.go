package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/contain"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/state"
)

// switchWire is a kill switch.
type switchWire struct {
	ID          gov.EntryID       `json:"id"`
	Environment gov.Environment   `json:"environment"`
	State       gov.SwitchState   `json:"state"`
	Scope       gov.SwitchScope   `json:"scope"`
	Stage       gov.SwitchStage   `json:"stage"`
	Share       int               `json:"share,omitzero"`
	Reason      string            `json:"reason"`
	By          canon.Actor       `json:"by"`
	AskedAt     string            `json:"asked_at"` // when the server was asked to stop
	At          string            `json:"at"`       // when it stopped: nothing of its scope was allowed behind Index
	HaltMillis  float64           `json:"halt_ms"`  // between the two
	Index       int64             `json:"index"`
	ExpiresAt   string            `json:"expires_at,omitempty"`
	People      int               `json:"people"`
	Proposed    *contain.Proposal `json:"proposed,omitempty"`
	Incident    gov.IncidentID    `json:"incident,omitempty"`
	EndedAt     string            `json:"ended_at,omitempty"`
	EndedBy     []string          `json:"ended_by,omitempty"`
	EndReason   string            `json:"end_reason,omitempty"`
}

func (s *Server) switchOf(ctx context.Context, env *live.Environment, sw contain.Switch) (switchWire, error) {
	out := switchWire{
		ID: sw.ID(), Environment: env.Ledger.Name(), State: sw.StateAt(s.Now()), Scope: sw.Scope, Stage: sw.At.Stage, Share: sw.At.Share, Reason: sw.Reason,
		By: sw.By, AskedAt: sw.AskedAt, Index: sw.Opened(), ExpiresAt: sw.ExpiresAt, People: sw.People, Proposed: sw.Proposed, Incident: sw.Incident,
		EndedAt: sw.EndedAt, EndedBy: sw.EndedBy, EndReason: sw.EndReason,
	}
	item, err := env.Ledger.At(ctx, sw.Opened())
	if err != nil {
		return out, err
	}
	out.At = item.At
	at, err := item.Time()
	if err != nil {
		return out, err
	}
	if asked, err := time.Parse(canon.TimeLayout, sw.AskedAt); err == nil {
		out.HaltMillis = math.Max(0, float64(at.Sub(asked).Microseconds())/1000)
	}
	return out, nil
}

type switchPage struct {
	Switches   []switchWire `json:"switches"`
	NextCursor string       `json:"next_cursor,omitempty"`
}

func (s *Server) listSwitches(ctx context.Context, r *request) (any, error) {
	q := pageQuery{below: math.MaxInt64, limit: limitDefault}
	err := q.read(r.URL.Query(), func(in string) bool { return gov.SwitchState(in).Valid() }, "engaged, released or expired")
	if err != nil {
		return nil, err
	}
	env, err := s.environment(r, q.environment)
	if err != nil {
		return nil, err
	}
	found, next, err := s.Contain.List(ctx, env, gov.SwitchState(q.in), q.below, q.limit)
	if err != nil {
		return nil, err
	}
	out := switchPage{Switches: []switchWire{}}
	for _, sw := range found {
		w, err := s.switchOf(ctx, env, sw)
		if err != nil {
			return nil, err
		}
		out.Switches = append(out.Switches, w)
	}
	if next > 0 {
		out.NextCursor = cursorOf(next)
	}
	return out, nil
}

// engage stops calls in one environment or, where it says everywhere, in each: where one cannot be stopped, the others are, and the
// error says which.
func (s *Server) engage(ctx context.Context, r *request) (any, error) {
	asked := s.Now()
	f, err := readFields(r.body)
	if err != nil {
		return nil, err
	}
	name, everywhere := f.checked("environment", gov.ValidName, "the name of an environment"), f.flag("everywhere")
	stop := contain.Stop{Reason: f.text("reason", textBytesMax), Expires: f.time("expires_at"), People: 1, AskedAt: asked}
	stop.Scope = s.readScope(f)
	if n := f.integer("people"); n != nil {
		stop.People = int(min(*n, 3))
	}
	if id := f.checked("incident", gov.ValidOpaque, "the id of an incident"); id != "" {
		stop.Incident = gov.IncidentID(id)
	}
	if err := f.done(); err != nil {
		return nil, err
	}
	if everywhere == (name != "") {
		return nil, &gov.Error{Code: gov.CodeInvalidField, Path: "/environment", Detail: "name an environment, or write everywhere: true, and not both"}
	}
	names := []gov.Environment{gov.Environment(name)}
	if everywhere {
		if err := s.Discover(ctx); err != nil {
			return nil, err
		}
		names = slices.DeleteFunc(s.Environments.Names(), func(n gov.Environment) bool { return n == gov.OrgLedger })
	}
	out := switchPage{Switches: []switchWire{}}
	var failed error
	for _, n := range names {
		w, err := s.engageIn(ctx, r, string(n), stop)
		if err != nil && !everywhere {
			return nil, err
		}
		if err != nil {
			failed = errors.Join(failed, &gov.Error{Code: gov.CodeOf(err), Detail: string(n) + " is not stopped", Err: err})
			continue // the others are stopped all the same
		}
		out.Switches = append(out.Switches, w)
	}
	if failed != nil {
		return nil, &gov.Error{Code: gov.CodeOf(failed), Detail: notEverywhere(out.Switches), Err: failed}
	}
	return out, nil
}

// notEverywhere says where calls are stopped and where they are not.
func notEverywhere(stopped []switchWire) string {
	names := make([]string, len(stopped))
	for i, w := range stopped {
		names[i] = string(w.Environment)
	}
	return fmt.Sprintf("stopped in %d environments (%s), and not in the others; try again there", len(names), strings.Join(names, ", "))
}

func (s *Server) engageIn(ctx context.Context, r *request, name string, stop contain.Stop) (switchWire, error) {
	env, err := s.environment(r, name)
	if err != nil {
		return switchWire{}, err
	}
	by, err := s.Contain.Caller(r.caller, env)
	if err != nil {
		return switchWire{}, err
	}
	sw, err := s.Contain.Engage(ctx, by, env, stop)
	if err != nil {
		return switchWire{}, err
	}
	return s.switchOf(ctx, env, sw)
}

// readScope reads what is to be stopped. A user is named by id, and recorded by the opaque reference.
func (s *Server) readScope(f *fields) gov.SwitchScope {
	scope := gov.SwitchScope{
		All: f.flag("all"), Agent: gov.AgentID(f.checked("agent", gov.ValidName, "the id of an agent")),
		Tool:     gov.ToolName(f.checked("tool", gov.ValidTool, "server/tool")),
		Category: gov.Category(f.text("category", textBytesMax)), Session: gov.SessionID(f.checked("session", gov.ValidOpaque, "a session's id")),
	}
	if p, ok := f.object("principal"); ok {
		principal := readPrincipal(f, p)
		scope.Principal = string(principal.Type) + ":" + identity.PrincipalRef(s.Contain.Key, principal)
	}
	return scope
}

// switchByID finds a switch in any environment that the caller may read.
func (s *Server) switchByID(ctx context.Context, r *request) (*live.Environment, contain.Switch, error) {
	if err := s.Discover(ctx); err != nil {
		return nil, contain.Switch{}, err
	}
	id := gov.EntryID(r.PathValue("id"))
	for _, name := range s.readable(r.caller) {
		env, ok := s.Environments.Environment(name)
		if !ok {
			continue
		}
		sw, err := contain.Find(ctx, env.Ledger, id)
		if gov.CodeOf(err) == gov.CodeNotFound {
			continue
		}
		return env, sw, err
	}
	return nil, contain.Switch{}, &gov.Error{Code: gov.CodeNotFound, Detail: "there is no switch " + string(id)}
}

func (s *Server) showSwitch(ctx context.Context, r *request) (any, error) {
	env, sw, err := s.switchByID(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.switchOf(ctx, env, sw)
}

func (s *Server) moveSwitch(ctx context.Context, r *request) (any, error) {
	f, err := readFields(r.body)
	if err != nil {
		return nil, err
	}
	to := gov.Step{Stage: gov.SwitchStage(f.required("stage", func(v string) bool { return v != "" }, "stopped, observe, share or released"))}
	if n := f.integer("share"); n != nil {
		to.Share = int(min(*n, 100))
	}
	reason := f.text("reason", textBytesMax)
	if err := f.done(); err != nil {
		return nil, err
	}
	return s.move(ctx, r, to, reason)
}

func (s *Server) releaseSwitch(ctx context.Context, r *request) (any, error) {
	reason, err := readReason(r.body, "")
	if err != nil {
		return nil, err
	}
	return s.move(ctx, r, gov.Step{Stage: gov.SwitchReleased}, reason)
}

func (s *Server) move(ctx context.Context, r *request, to gov.Step, reason string) (any, error) {
	env, sw, err := s.switchByID(ctx, r)
	if err != nil {
		return nil, err
	}
	if sw, err = s.Contain.Move(ctx, r.caller, env, sw.ID(), to, reason); err != nil {
		return nil, err
	}
	return s.switchOf(ctx, env, sw)
}

// impactWire says what a switch would stop, of what is known beforehand.
type impactWire struct {
	Environment gov.Environment `json:"environment"`
	Scope       gov.SwitchScope `json:"scope"`
	Agents      []gov.AgentID   `json:"agents"`            // of the inventory, whose calls it would stop, some or all
	Tools       []gov.ToolName  `json:"tools"`             // of the catalogue
	Pending     int             `json:"pending_approvals"` // requests that it would freeze, of the newest
	Since       string          `json:"since"`
	Calls       int64           `json:"calls"` // attempted since then that it would have stopped; of a category, of all its tools
}

const (
	impactFor     = 24 * time.Hour
	impactPending = 200
)

// impact says what a switch would stop, before somebody engages it.
func (s *Server) impact(ctx context.Context, r *request) (any, error) {
	name, scope, err := s.scopeOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	env, err := s.environment(r, name)
	if err != nil {
		return nil, err
	}
	now := s.Now().UTC()
	out := impactWire{
		Environment: env.Ledger.Name(), Scope: scope, Agents: []gov.AgentID{}, Tools: []gov.ToolName{}, Since: now.Add(-impactFor).Format(canon.TimeLayout),
	}
	if engine := env.Control().Engine; engine != nil {
		out.reach(env.Control(), engine.Bundle())
	}
	waiting, err := s.Approval.List(ctx, env, gov.ApprovalPending, math.MaxInt64, impactPending)
	if err != nil {
		return nil, err
	}
	for _, w := range waiting {
		if w.At(now) == gov.ApprovalPending && env.Control().Covers(scope, w.Target()) {
			out.Pending++
		}
	}
	out.Calls, err = countCalls(ctx, env.Ledger, scope, out.Tools, []time.Time{now.Add(-impactFor), now})
	return out, err
}

// reach names the agents and the tools of the environment that a switch would stop, some of their calls or all.
func (w *impactWire) reach(c *state.Control, b *bundle.Bundle) {
	for _, agent := range b.Agents {
		if !slices.Contains(agent.Environments, w.Environment) || w.Scope.Agent != "" && w.Scope.Agent != agent.ID {
			continue
		}
		stopped := w.Scope.Principal != "" || w.Scope.Session != ""
		for _, tool := range agent.Tools {
			if w.Scope.Principal != "" || w.Scope.Session != "" || !c.Covers(w.Scope, state.Target{Agent: agent.ID, Tool: tool}) {
				continue
			}
			stopped = true
			if !slices.Contains(w.Tools, tool) {
				w.Tools = append(w.Tools, tool)
			}
		}
		if stopped {
			w.Agents = append(w.Agents, agent.ID)
		}
	}
	slices.Sort(w.Tools)
}

func countCalls(ctx context.Context, l *ledger.Ledger, scope gov.SwitchScope, tools []gov.ToolName, bounds []time.Time) (int64, error) {
	dim, values := ledger.DimKind, []string{string(canon.KindDecision)}
	switch {
	case scope.Agent != "":
		dim, values = ledger.DimAgent, []string{string(scope.Agent)}
	case scope.Tool != "":
		dim, values = ledger.DimTool, []string{string(scope.Tool)}
	case scope.Category != "":
		dim, values = ledger.DimTool, nil
		for _, t := range tools {
			values = append(values, string(t))
		}
	case scope.Principal != "":
		dim, values = ledger.DimPrincipal, []string{scope.Principal}
	case scope.Session != "":
		dim, values = ledger.DimSession, []string{string(scope.Session)}
	}
	counts, err := l.Count(ctx, dim, values, bounds)
	if err != nil {
		return 0, err
	}
	n := int64(0)
	for _, v := range values {
		n += counts.Values[v][0]
	}
	return n, nil
}

// scopeOf reads a scope from the parameters of a query.
func (s *Server) scopeOf(params url.Values) (environment string, scope gov.SwitchScope, err error) {
	for name := range params {
		switch value := params.Get(name); name {
		case "environment":
			environment = value
		case "all":
			scope.All = value == "true"
		case "agent":
			scope.Agent = gov.AgentID(value)
		case "tool":
			scope.Tool = gov.ToolName(value)
		case "category":
			scope.Category = gov.Category(value)
		case "session":
			scope.Session = gov.SessionID(value)
		case "principal":
			p, err := gov.ParsePrincipal(value)
			if err != nil {
				return "", scope, &gov.Error{Code: gov.CodeInvalidField, Path: "/principal", Detail: err.Error()}
			}
			scope.Principal = string(p.Type) + ":" + identity.PrincipalRef(s.Contain.Key, p)
		default:
			return "", scope, &gov.Error{Code: gov.CodeUnknownField, Path: "/" + name, Detail: "is not a parameter; known are environment, all, agent, tool, category, principal, session"}
		}
	}
	if !scope.Valid() {
		return "", scope, &gov.Error{Code: gov.CodeInvalidField, Path: "/scope", Detail: "name exactly one: all=true, agent, tool, category, principal or session"}
	}
	return environment, scope, nil
}
