package api

import (
	"context"
	"math"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/exercise"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/live"
)

// exerciseWire is an exercise with what came of it.
type exerciseWire struct {
	ID          gov.EntryID         `json:"id"`
	Environment gov.Environment     `json:"environment"`
	State       gov.ExerciseState   `json:"state"`
	Scenario    string              `json:"scenario"`
	Agents      []gov.AgentID       `json:"agents"`
	Detectors   []gov.DetectorID    `json:"detectors,omitempty"`
	Index       int64               `json:"index"`
	At          string              `json:"at"`
	Until       string              `json:"until"`
	By          canon.Actor         `json:"by"`
	Result      *exerciseResultWire `json:"result,omitempty"`
}

// exerciseResultWire is what came of an exercise.
type exerciseResultWire struct {
	Hypothesis    string           `json:"hypothesis"`
	Injected      string           `json:"injected"`
	Expected      []gov.DetectorID `json:"expected"`
	Held          bool             `json:"held"`
	Observed      string           `json:"observed"`
	Moments       []canon.Moment   `json:"moments"`
	DetectMillis  *int64           `json:"detect_ms,omitempty"`
	ContainMillis *int64           `json:"contain_ms,omitempty"`
	Refs          []string         `json:"refs"`
	By            canon.Actor      `json:"by"`
	At            string           `json:"at"`
}

func (s *Server) exerciseOf(ctx context.Context, env *live.Environment, e exercise.Exercise) (exerciseWire, error) {
	item, err := env.Ledger.At(ctx, e.Opened())
	out := exerciseWire{
		ID: e.ID(), Environment: env.Ledger.Name(), State: e.StateAt(s.Now()), Scenario: e.Scenario, Agents: e.Agents, Detectors: e.Detectors,
		Index: e.Opened(), At: item.At, Until: e.Until, By: e.By,
	}
	if r := e.Result; r != nil {
		out.Result = &exerciseResultWire{
			Hypothesis: r.Hypothesis, Injected: r.Injected, Expected: r.Expected, Held: r.Held, Observed: r.Observed, Moments: r.Moments,
			DetectMillis: r.DetectMillis, ContainMillis: r.ContainMillis, Refs: r.Refs, By: r.By, At: r.At,
		}
	}
	return out, err
}

type exercisePage struct {
	Exercises  []exerciseWire `json:"exercises"`
	NextCursor string         `json:"next_cursor,omitempty"`
}

func (s *Server) listExercises(ctx context.Context, r *request) (any, error) {
	q := pageQuery{below: math.MaxInt64, limit: limitDefault}
	if err := q.read(r.URL.Query(), func(string) bool { return false }, "absent: exercises are listed whatever their state"); err != nil {
		return nil, err
	}
	env, err := s.environment(r, q.environment)
	if err != nil {
		return nil, err
	}
	found, next, err := exercise.List(ctx, env.Ledger, q.below, q.limit)
	if err != nil {
		return nil, err
	}
	out := exercisePage{Exercises: []exerciseWire{}}
	for _, e := range found {
		w, err := s.exerciseOf(ctx, env, e)
		if err != nil {
			return nil, err
		}
		out.Exercises = append(out.Exercises, w)
	}
	if next > 0 {
		out.NextCursor = cursorOf(next)
	}
	return out, nil
}

func (s *Server) beginExercise(ctx context.Context, r *request) (any, error) {
	f, err := readFields(r.body)
	if err != nil {
		return nil, err
	}
	name := f.required("environment", gov.ValidName, "the name of an environment")
	plan := exercise.Plan{Scenario: f.text("scenario", textBytesMax)}
	for _, id := range f.texts("agents") {
		plan.Agents = append(plan.Agents, gov.AgentID(id))
	}
	for _, id := range f.texts("detectors") {
		plan.Detectors = append(plan.Detectors, gov.DetectorID(id))
	}
	if n := f.integer("minutes"); n != nil {
		plan.Minutes = *n
	}
	if err := f.done(); err != nil {
		return nil, err
	}
	env, err := s.environment(r, name)
	if err != nil {
		return nil, err
	}
	e, err := s.Exercise.Begin(ctx, r.caller, env, plan)
	if err != nil {
		return nil, err
	}
	return s.exerciseOf(ctx, env, e)
}

// exerciseByID finds an exercise in any environment that the caller may read.
func (s *Server) exerciseByID(ctx context.Context, r *request) (*live.Environment, exercise.Exercise, error) {
	if err := s.Discover(ctx); err != nil {
		return nil, exercise.Exercise{}, err
	}
	id := gov.EntryID(r.PathValue("id"))
	for _, name := range s.readable(r.caller) {
		env, ok := s.Environments.Environment(name)
		if !ok {
			continue
		}
		e, err := exercise.Find(ctx, env.Ledger, id)
		if gov.CodeOf(err) == gov.CodeNotFound {
			continue
		}
		return env, e, err
	}
	return nil, exercise.Exercise{}, &gov.Error{Code: gov.CodeNotFound, Detail: "there is no exercise " + string(id)}
}

func (s *Server) showExercise(ctx context.Context, r *request) (any, error) {
	env, e, err := s.exerciseByID(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.exerciseOf(ctx, env, e)
}

func (s *Server) fileExercise(ctx context.Context, r *request) (any, error) {
	result, err := readExerciseResult(r.body)
	if err != nil {
		return nil, err
	}
	env, e, err := s.exerciseByID(ctx, r)
	if err != nil {
		return nil, err
	}
	if e, err = s.Exercise.File(ctx, r.caller, env, e.ID(), result); err != nil {
		return nil, err
	}
	return s.exerciseOf(ctx, env, e)
}

func readExerciseResult(body []byte) (canon.ExerciseResult, error) {
	f, err := readFields(body)
	if err != nil {
		return canon.ExerciseResult{}, err
	}
	out := canon.ExerciseResult{
		Hypothesis: f.text("hypothesis", textBytesMax), Injected: f.text("injected", textBytesMax), Observed: f.text("observed", textBytesMax),
		Held: answer(f, "held"), DetectMillis: f.integer("detect_ms"), ContainMillis: f.integer("contain_ms"), Refs: f.texts("refs"), Moments: []canon.Moment{},
	}
	for _, id := range f.texts("expected") {
		out.Expected = append(out.Expected, gov.DetectorID(id))
	}
	moments, ok := f.take("moments")
	list, isList := moments.([]any)
	if ok && !isList || len(list) > listMax {
		f.fail("moments", "must be a list of at most 100 objects")
		list = nil
	}
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			f.fail("moments", "must be a list of objects")
			break
		}
		moment := &fields{m: m, at: "/moments"}
		what, at := moment.text("what", textBytesMax), moment.time("at")
		if at.IsZero() {
			moment.fail("at", "is missing; it must be a time in UTC")
		}
		f.inner(moment)
		out.Moments = append(out.Moments, canon.Moment{What: what, At: at.UTC().Format(canon.TimeLayout)})
	}
	return out, f.done()
}
