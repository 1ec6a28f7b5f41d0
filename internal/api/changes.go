package api

import (
	"context"
	"math"
	"net/url"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/change"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/live"
)

// changeWire is a change of the bundle as lists show it.
type changeWire struct {
	ID          gov.EntryID      `json:"id"`
	Environment gov.Environment  `json:"environment"`
	State       gov.ChangeState  `json:"state"`
	Bundle      gov.BundleDigest `json:"bundle"`
	Base        gov.BundleDigest `json:"base"`
	Description string           `json:"description"`
	Author      canon.Actor      `json:"author"`
	Commit      string           `json:"commit,omitempty"`
	Branch      string           `json:"branch,omitempty"`
	Issuer      string           `json:"issuer,omitempty"` // of the token that a program of CI proposed with
	Tests       int              `json:"tests"`            // of the bundle's own, which pass
	Rollback    bool             `json:"rollback"`
	Emergency   *emergencyWire   `json:"emergency,omitempty"`
	Scheduled   *change.Schedule `json:"scheduled,omitempty"` // with scheduled
	ReviewBy    string           `json:"review_by,omitempty"` // with review_owed
	Overdue     bool             `json:"overdue,omitzero"`    // with review_owed: review_by is over
	Remedy      string           `json:"remedy,omitempty"`    // of what is in force and should not be
	Reviews     []change.Review  `json:"reviews"`
}

// emergencyWire says who put a change into force before it was approved, and why.
type emergencyWire struct {
	By     canon.Actor `json:"by"`
	Reason string      `json:"reason"`
}

// changeChainWire is what a person reads before a review.
type changeChainWire struct {
	changeWire
	Shown string      `json:"shown"` // leaf hash of the proposal, which names both bundles
	At    string      `json:"at"`
	Diff  bundle.Diff `json:"diff"`
}

// remedyRejected is shown with a change that is in force though the review it owed was a denial.
const remedyRejected = "the bundle is in force and its review was denied: roll back (writ changes rollback)"

func (s *Server) changeOf(env *live.Environment, p change.Proposal) changeWire {
	w := changeWire{
		ID: p.ID(), Environment: env.Ledger.Name(), State: p.State, Bundle: p.Bundle, Base: p.Base, Description: p.Description, Author: p.Author, Commit: p.Commit, Branch: p.Branch, Issuer: p.Issuer,
		Tests: p.Tests, Rollback: p.Rollback, Scheduled: p.Schedule, Reviews: p.Reviews,
	}
	if e := p.Emergency; e != nil {
		w.Emergency = &emergencyWire{e.By, e.Reason}
	}
	if due := p.ReviewBy(); !due.IsZero() {
		w.ReviewBy, w.Overdue = due.UTC().Format(canon.TimeLayout), !s.Now().Before(due)
	}
	if p.Denied() && env.Control().Bundle() == p.Bundle {
		w.Remedy = remedyRejected
	}
	return w
}

type changePage struct {
	Environment gov.Environment `json:"environment"`
	Changes     []changeWire    `json:"changes"`
	NextCursor  string          `json:"next_cursor,omitempty"`
}

func (s *Server) listChanges(ctx context.Context, r *request) (any, error) {
	params := r.URL.Query()
	q := pageQuery{below: math.MaxInt64, limit: limitDefault}
	if err := q.read(params, func(in string) bool { return gov.ChangeState(in).Valid() }, "proposed, approved, scheduled, rejected, activated or review_owed"); err != nil {
		return nil, err
	}
	env, err := s.environment(r, q.environment)
	if err != nil {
		return nil, err
	}
	found, err := s.Change.List(ctx, env, gov.ChangeState(q.in), q.below, q.limit)
	if err != nil {
		return nil, err
	}
	out := changePage{Environment: env.Ledger.Name(), Changes: []changeWire{}}
	for _, p := range found {
		out.Changes = append(out.Changes, s.changeOf(env, p))
	}
	if len(found) == q.limit {
		out.NextCursor = cursorOf(found[len(found)-1].Opened())
	}
	return out, nil
}

// pageQuery is what lists of documents are asked by.
type pageQuery struct {
	environment string
	in          string
	below       int64
	limit       int
}

func (q *pageQuery) read(params url.Values, valid func(string) bool, states string) (err error) {
	for name, values := range params {
		if len(values) != 1 {
			return &gov.Error{Code: gov.CodeInvalidField, Path: "/" + name, Detail: "is given more than once"}
		}
		switch value := values[0]; name {
		case "environment":
			q.environment = value
		case "state":
			if q.in = value; !valid(value) {
				err = &gov.Error{Code: gov.CodeInvalidField, Path: "/state", Detail: "must be " + states}
			}
		case "limit":
			q.limit, err = readLimit(value, docsMax)
		case "cursor":
			q.below, err = readCursor(value)
		default:
			err = &gov.Error{Code: gov.CodeUnknownField, Path: "/" + name, Detail: "is not a filter; known are environment, state, limit, cursor"}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const docsMax = 200 // on a page

// changeByID finds a change in any environment.
func (s *Server) changeByID(ctx context.Context, r *request) (*live.Environment, change.Proposal, error) {
	if err := s.Discover(ctx); err != nil {
		return nil, change.Proposal{}, err
	}
	id := gov.EntryID(r.PathValue("id"))
	for _, name := range s.readable(r.caller) {
		env, ok := s.Environments.Environment(name)
		if !ok {
			continue
		}
		p, err := s.Change.Find(ctx, env, id)
		if gov.CodeOf(err) == gov.CodeNotFound {
			continue
		}
		return env, p, err
	}
	return nil, change.Proposal{}, &gov.Error{Code: gov.CodeNotFound, Detail: "there is no change " + string(id)}
}

func (s *Server) showChange(ctx context.Context, r *request) (any, error) {
	env, p, err := s.changeByID(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.changeChain(ctx, env, p)
}

func (s *Server) changeChain(ctx context.Context, env *live.Environment, p change.Proposal) (any, error) {
	item, err := env.Ledger.ByID(ctx, p.ID())
	if err != nil {
		return nil, err
	}
	before, err := env.Engine(ctx, p.Base)
	if err != nil {
		return nil, err
	}
	after, err := env.Engine(ctx, p.Bundle)
	if err != nil {
		return nil, err
	}
	return changeChainWire{
		changeWire: s.changeOf(env, p), Shown: item.Receipt().LeafHash, At: item.At, Diff: bundle.Compare(before.Bundle(), after.Bundle()),
	}, nil
}

func (s *Server) propose(ctx context.Context, r *request) (any, error) {
	params := r.URL.Query()
	env, err := s.environment(r, params.Get("environment"))
	if err != nil {
		return nil, err
	}
	engine, err := readBundle(r.body)
	if err != nil {
		return nil, err
	}
	from := change.Source{Commit: clip(params.Get("commit")), Branch: clip(params.Get("branch"))}
	p, err := s.Change.Propose(ctx, r.caller, env, engine, params.Get("description"), from)
	if err != nil {
		return nil, err
	}
	return s.changeChain(ctx, env, p)
}

func (s *Server) review(ctx context.Context, r *request) (any, error) {
	f, err := readFields(r.body)
	if err != nil {
		return nil, err
	}
	said := change.Said{
		Review:  gov.Vote(f.required("review", func(v string) bool { return gov.Vote(v).Valid() }, "approve or deny")),
		Shown:   f.required("shown", func(v string) bool { return v != "" }, "the digest of what you were shown, as GET /v1/changes/{id} gives it"),
		Comment: f.text("comment", textBytesMax),
	}
	if err := f.done(); err != nil {
		return nil, err
	}
	env, p, err := s.changeByID(ctx, r)
	if err != nil {
		return nil, err
	}
	r.about = env.Ledger.Name()
	if p, err = s.Change.Review(ctx, r.caller, env, p.ID(), said); err != nil {
		return nil, err
	}
	return s.changeChain(ctx, env, p)
}

func (s *Server) activateChange(ctx context.Context, r *request) (any, error) {
	asked, err := readActivate(r.body)
	if err != nil {
		return nil, err
	}
	env, p, err := s.changeByID(ctx, r)
	if err != nil {
		return nil, err
	}
	if !asked.at.IsZero() {
		return s.changed(ctx, env)(s.Change.Schedule(ctx, r.caller, env, p.ID(), asked.at))
	}
	var done change.Activated
	if asked.emergency {
		done, err = s.Change.Hurry(ctx, r.caller, env, p.ID(), asked.reason)
	} else {
		done, err = s.Change.Activate(ctx, r.caller, env, p.ID())
	}
	if err != nil {
		return nil, err
	}
	return activationOf(env.Ledger.Name(), done), nil
}

// changed answers with a change that somebody changed.
func (s *Server) changed(ctx context.Context, env *live.Environment) func(change.Proposal, error) (any, error) {
	return func(p change.Proposal, err error) (any, error) {
		if err != nil {
			return nil, err
		}
		return s.changeChain(ctx, env, p)
	}
}

func (s *Server) unschedule(ctx context.Context, r *request) (any, error) {
	env, p, err := s.changeByID(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.changed(ctx, env)(s.Change.Unschedule(ctx, r.caller, env, p.ID()))
}

// activateAsked is how a change is to be put into force. No body: at once, as approved.
type activateAsked struct {
	emergency bool
	reason    string
	at        time.Time // zero: at once
}

func readActivate(body []byte) (activateAsked, error) {
	var a activateAsked
	if len(body) == 0 {
		return a, nil
	}
	f, err := readFields(body)
	if err != nil {
		return a, err
	}
	a.emergency, a.reason = f.flag("emergency"), f.text("reason", textBytesMax)
	a.at = f.time("at")
	if a.reason != "" && !a.emergency {
		f.fail("reason", "is given with emergency")
	}
	if a.emergency && !a.at.IsZero() {
		f.fail("at", "is not given with emergency, which is at once")
	}
	return a, f.done()
}

func (s *Server) rollback(ctx context.Context, r *request) (any, error) {
	f, err := readFields(r.body)
	if err != nil {
		return nil, err
	}
	name := f.required("environment", gov.ValidName, "the name of an environment")
	reason := f.text("reason", textBytesMax)
	if err := f.done(); err != nil {
		return nil, err
	}
	env, err := s.environment(r, name)
	if err != nil {
		return nil, err
	}
	done, err := s.Change.Rollback(ctx, r.caller, env, reason)
	if err != nil {
		return nil, err
	}
	return activationOf(env.Ledger.Name(), done), nil
}
