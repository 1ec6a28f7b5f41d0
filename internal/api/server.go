package api

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"github.com/writ-dev/writ/internal/approval"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/change"
	"github.com/writ-dev/writ/internal/contain"
	"github.com/writ-dev/writ/internal/decide"
	"github.com/writ-dev/writ/internal/exercise"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/incident"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/people"
	"github.com/writ-dev/writ/internal/replay"
	"github.com/writ-dev/writ/internal/state"
)

// Server is the API. Its fields are set once, before Handler.
type Server struct {
	Environments  *live.Set
	Identity      *identity.Service
	Decide        *decide.Service
	Change        *change.Service
	Approval      *approval.Service
	Contain       *contain.Service
	Incident      *incident.Service
	Hooks         HookReader
	Exercise      *exercise.Service
	People        *people.Service
	Metrics       *Metrics
	Refusals      *Refusals
	Log           *slog.Logger
	LogKey        func(gov.Environment) string        // C2SP verifier key of a ledger
	Verifier      func(gov.Environment) note.Verifier // the same, to check with
	Discover      func(context.Context) error         // looks for ledgers that other nodes opened
	Ready         func(context.Context) error         // says why the server cannot answer, if it cannot
	PrivateLedger bool                                // the ledger's read API asks for a credential
	NetworkRef    func(address string) string         // opaque reference of a network address
	Now           func() time.Time
	Each          replay.Each     // how a backtest shares its work
	Closing       <-chan struct{} // closed when the server stops: a backtest lets go

	buffers     sync.Pool
	backtesting atomic.Bool
}

const (
	bodyBytesMax   = 1 << 20 // of a JSON request
	bundleBytesMax = 8 << 20 // of a bundle's tar
)

// request is one request with who asks. Body is only valid while the handler runs.
type request struct {
	*http.Request
	caller identity.Caller
	body   []byte
	about  gov.Environment // once it is known: a refusal is recorded there
}

// handler answers with a value that becomes JSON, or with a raw body, or with an error.
type handler func(ctx context.Context, r *request) (any, error)

// raw is an answer that is not JSON.
type raw struct {
	contentType string
	cache       string
	data        []byte
}

func (s *Server) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		began := s.Now()
		r := &request{Request: hr}
		buf := s.buffer()
		answer, err := s.answer(rt, r, w, buf)
		status := s.write(w, r, rt, answer, err)
		s.buffers.Put(buf)
		s.Metrics.served(rt.pattern, status, s.Now().Sub(began))
		s.logRequest(rt, r, status, err)
	})
}

func (s *Server) buffer() *bytes.Buffer {
	if b, ok := s.buffers.Get().(*bytes.Buffer); ok {
		b.Reset()
		return b
	}
	return new(bytes.Buffer)
}

func (s *Server) answer(rt route, r *request, w http.ResponseWriter, buf *bytes.Buffer) (any, error) {
	if err := s.authorize(rt, r); err != nil {
		return nil, err
	}
	if r.Method == http.MethodPost || r.Method == http.MethodDelete {
		limit := int64(bodyBytesMax)
		if rt.pattern == "POST /v1/bundles" || rt.pattern == "POST /v1/changes" {
			limit = bundleBytesMax
		}
		if err := readBody(w, r, buf, limit); err != nil {
			return nil, err
		}
	}
	return rt.handle(r.Context(), r)
}

func readBody(w http.ResponseWriter, r *request, buf *bytes.Buffer, limit int64) error {
	_, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &gov.Error{Code: gov.CodeBodyTooLarge, Detail: "the body is over " + strconv.FormatInt(limit, 10) + " bytes"}
	case err != nil:
		return &gov.Error{Code: gov.CodeMalformedJSON, Detail: "the body ended too early", Err: err}
	}
	r.body = buf.Bytes()
	return nil
}

// authorize finds out who asks and whether the route is theirs.
func (s *Server) authorize(rt route, r *request) error {
	if rt.scope == scopeOpen || rt.scope == scopeLedger && !s.PrivateLedger {
		return nil
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return &gov.Error{Code: gov.CodeUnauthenticated, Detail: "send a credential: Authorization: Bearer TOKEN"}
	}
	caller, err := s.authenticate(r.Context(), rt, token)
	if err != nil {
		return err
	}
	r.caller = caller
	return permitted(rt, caller)
}

// permitted says whether a route is a caller's at all. What they see of an environment is said by environment.
func permitted(rt route, caller identity.Caller) error {
	person := caller.Role == state.RolePerson
	switch {
	case caller.Role == state.RoleProposer && rt.pattern != "POST /v1/changes":
		return &gov.Error{Code: gov.CodeForbidden, Detail: "a program of CI proposes changes, at POST /v1/changes, and does nothing else"}
	case rt.scope == scopeAgent && caller.Role != state.RoleAgent:
		return &gov.Error{Code: gov.CodeForbidden, Detail: "this route is for agents; use an agent's key"}
	case rt.scope == scopeAdmin && !administrator(caller):
		return &gov.Error{Code: gov.CodeForbidden, Detail: "this route is for administrators"}
	case rt.scope == scopeReview && caller.Role == state.RoleAgent:
		return &gov.Error{Code: gov.CodeForbidden, Detail: "this route is for people and administrators"}
	case rt.scope == scopePerson && !person:
		return &gov.Error{Code: gov.CodeForbidden, Detail: "this route is for people: sign in (writ login, or the console)"}
	}
	return nil
}

// administrator says whether a caller administers the whole server.
func administrator(c identity.Caller) bool {
	return c.Role == state.RoleAdmin || c.Role == state.RolePerson && slices.Contains(c.Roles, gov.RoleAdmin)
}

// authenticate knows revocations of other nodes: a decision finds them out in its append, every other route asks first. A
// credential that this node does not know may have been issued by another one.
func (s *Server) authenticate(ctx context.Context, rt route, token string) (identity.Caller, error) {
	if rt.pattern != "POST /v1/decisions" {
		if err := s.Environments.RefreshAll(ctx); err != nil {
			return identity.Caller{}, err
		}
	}
	caller, err := s.Identity.Authenticate(ctx, token)
	if err == nil {
		return caller, nil
	}
	if discovered := s.Discover(ctx); discovered != nil {
		return identity.Caller{}, discovered
	}
	return s.Identity.Authenticate(ctx, token)
}

// write writes the answer and gives its status.
func (s *Server) write(w http.ResponseWriter, r *request, rt route, answer any, err error) int {
	if err != nil {
		return s.writeProblem(w, r, rt, err)
	}
	if lines, ok := answer.(stream); ok {
		began, err := lines(w)
		if err != nil && !began {
			return s.writeProblem(w, r, rt, err)
		}
		return wrote(err)
	}
	if b, ok := answer.(raw); ok {
		w.Header().Set("Content-Type", b.contentType)
		w.Header().Set("Cache-Control", b.cache)
		w.Header().Set("Content-Length", strconv.Itoa(len(b.data)))
		_, err := w.Write(b.data)
		return wrote(err)
	}
	data := s.buffer()
	defer s.buffers.Put(data)
	if err := jsonv2.MarshalWrite(data, answer, jsonv2.Deterministic(true)); err != nil {
		return s.writeProblem(w, r, rt, err)
	}
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(data.Len())}
	_, err = w.Write(data.Bytes())
	return wrote(err)
}

// statusHungUp is what the log says of a caller who did not wait for the answer.
const statusHungUp = 499

func wrote(err error) int {
	if err != nil {
		return statusHungUp
	}
	return http.StatusOK
}

// problem is RFC 9457, with a code and, where one applies, the JSON pointer of what is wrong.
type problem struct {
	Type   string   `json:"type"`
	Title  string   `json:"title"`
	Status int      `json:"status"`
	Detail string   `json:"detail,omitempty"`
	Code   gov.Code `json:"code"`
	Path   string   `json:"path,omitempty"`
}

// problemOf says of an error what a caller may know.
func problemOf(err error) problem {
	code := gov.CodeOf(err)
	p := problem{Type: "about:blank", Status: statusOf(code), Code: code}
	p.Title = http.StatusText(p.Status)
	var known *gov.Error
	if errors.As(err, &known) {
		p.Detail, p.Path = known.Detail, known.Path
	}
	return p
}

func (s *Server) writeProblem(w http.ResponseWriter, r *request, rt route, err error) int {
	p := problemOf(err)
	s.Refusals.count(s.refusedCaller(r), s.ledgerOf(r), p.Code, rt.pattern, s.Now())
	data, err := jsonv2.Marshal(p)
	if err != nil {
		panic("api: a problem is not JSON: " + err.Error())
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="writ"`)
	}
	if p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(p.Status)
	if _, err := w.Write(data); err != nil {
		return statusHungUp
	}
	return p.Status
}

// statusOf maps every kind of error to its status.
func statusOf(code gov.Code) int {
	switch code {
	case gov.CodeMalformedJSON, gov.CodeUnknownField, gov.CodeInvalidField:
		return http.StatusBadRequest
	case gov.CodeUnauthenticated:
		return http.StatusUnauthorized
	case gov.CodeForbidden, gov.CodeAgentMismatch, gov.CodeNotEligible, gov.CodeSignInStale, gov.CodeStepUpRequired:
		return http.StatusForbidden
	case gov.CodeNotFound:
		return http.StatusNotFound
	case gov.CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case gov.CodeCallMismatch, gov.CodeAlreadyExecuted, gov.CodeConflict, gov.CodeApprovalMismatch, gov.CodeApprovalUsed, gov.CodeApprovalClosed,
		gov.CodeApprovalFrozen:
		return http.StatusConflict
	case gov.CodeBodyTooLarge:
		return http.StatusRequestEntityTooLarge
	case gov.CodeInputSchema, gov.CodeBundleInvalid:
		return http.StatusUnprocessableEntity
	case gov.CodeOverloaded:
		return http.StatusTooManyRequests
	case gov.CodeLedgerUnavailable:
		return http.StatusServiceUnavailable
	case gov.CodeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// refusedCaller is who was refused: a person by the opaque reference, who else was known by the credential, and others by the network.
func (s *Server) refusedCaller(r *request) string {
	if r.caller.Role == state.RolePerson {
		return identity.PrincipalRef(s.Change.Key, r.caller.Principal)
	}
	if r.caller.Credential != "" {
		return string(r.caller.Credential)
	}
	return s.NetworkRef(r.RemoteAddr)
}

func (s *Server) ledgerOf(r *request) gov.Environment {
	if r.about != "" {
		return r.about
	}
	if r.caller.Environment != "" {
		return r.caller.Environment
	}
	return gov.OrgLedger
}

func (s *Server) logRequest(rt route, r *request, status int, err error) {
	level := slog.LevelDebug
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	if !s.Log.Enabled(r.Context(), level) {
		return
	}
	s.Log.Log(r.Context(), level, "request", "route", rt.pattern, "status", status, "credential", string(r.caller.Credential), "err", err)
}

func (s *Server) noRoute(context.Context, *request) (any, error) {
	return nil, &gov.Error{Code: gov.CodeNotFound, Detail: "there is no such route; see api/openapi.yaml"}
}

func (s *Server) healthy(context.Context, *request) (any, error) {
	return map[string]string{"status": "alive"}, nil
}

func (s *Server) ready(ctx context.Context, _ *request) (any, error) {
	if err := s.Ready(ctx); err != nil {
		return nil, &gov.Error{Code: gov.CodeLedgerUnavailable, Detail: err.Error()}
	}
	return map[string]string{"status": "ready"}, nil
}

// environment gives the one that the caller may read: an agent its own, an administrator the one asked for.
func (s *Server) environment(r *request, asked string) (*live.Environment, error) {
	name := gov.Environment(asked)
	if r.caller.Role == state.RoleAgent {
		if asked != "" && name != r.caller.Environment {
			return nil, &gov.Error{Code: gov.CodeForbidden, Detail: "the credential is of environment " + string(r.caller.Environment)}
		}
		name = r.caller.Environment
	}
	if name == "" {
		return nil, &gov.Error{Code: gov.CodeInvalidField, Path: "/environment", Detail: "say which environment: ?environment=NAME"}
	}
	env, ok := s.Environments.Environment(name)
	if !ok { // another node may have opened it
		if err := s.Discover(r.Context()); err != nil {
			return nil, err
		}
		env, ok = s.Environments.Environment(name)
	}
	if !ok {
		return nil, &gov.Error{Code: gov.CodeNotFound, Detail: "there is no environment " + string(name)}
	}
	if !reads(r.caller, env) {
		return nil, &gov.Error{Code: gov.CodeForbidden, Detail: "you have no role in " + string(name) + "; its bundle gives roles to groups (writ.yaml, roles), and policies ask groups"}
	}
	return env, nil
}

// reads says whether a caller may read an environment's records.
func reads(c identity.Caller, env *live.Environment) bool {
	switch c.Role {
	case state.RoleAdmin:
		return true
	case state.RoleAgent:
		return env.Ledger.Name() == c.Environment
	case state.RoleProposer: // of what it proposed
		return c.Environment == gov.OrgLedger || c.Environment == env.Ledger.Name()
	case state.RolePerson:
		return len(c.RolesIn(env.Control().Engine)) > 0
	}
	return false
}

// readable lists the environments whose records a caller may read.
func (s *Server) readable(c identity.Caller) []gov.Environment {
	return slices.DeleteFunc(s.Environments.Names(), func(name gov.Environment) bool {
		env, ok := s.Environments.Environment(name)
		return !ok || !reads(c, env)
	})
}

// decisionByID finds a decision, which may be in any ledger that the caller may read.
func (s *Server) decisionByID(ctx context.Context, r *request, id gov.EntryID) (*live.Environment, ledger.Item, error) {
	names := s.readable(r.caller)
	env, item, err := s.decisionIn(ctx, names, id)
	if gov.CodeOf(err) != gov.CodeNotFound || r.caller.Role == state.RoleAgent {
		return env, item, err
	}
	// It may be in a ledger that another node opened a moment ago.
	if err := s.Discover(ctx); err != nil {
		return nil, ledger.Item{}, err
	}
	if known := s.readable(r.caller); len(known) > len(names) {
		return s.decisionIn(ctx, known, id)
	}
	return env, item, err
}

func (s *Server) decisionIn(ctx context.Context, names []gov.Environment, id gov.EntryID) (*live.Environment, ledger.Item, error) {
	for _, name := range names {
		env, ok := s.Environments.Environment(name)
		if !ok {
			continue
		}
		item, err := env.Ledger.ByID(ctx, id)
		if gov.CodeOf(err) == gov.CodeNotFound {
			continue
		}
		if err != nil || item.Kind == canon.KindDecision {
			return env, item, err
		}
	}
	return nil, ledger.Item{}, &gov.Error{Code: gov.CodeNotFound, Detail: "there is no decision " + string(id)}
}
