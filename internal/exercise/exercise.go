// Package exercise begins and ends game days: misbehaviour injected on purpose, through the path that real calls take, to see that it is
// noticed and stopped. It promises that an exercise and what came of it are entries, by somebody who is named; that one runs at a time in
// an environment, so that it is known what belongs to it; and that it ends by itself. It injects nothing and labels nothing: the
// command writ gameday does the first, internal/detect the second.
package exercise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/state"
)

// The kinds of document.
const (
	DocKind = "exercise"     // by its id
	nowKind = "exercise_now" // the newest one of the environment
	nowID   = "now"
)

// Bounds of exercises.
const (
	scenarioBytesMax = 64
	textBytesMax     = 2000
	agentsMax        = 20
	detectorsMax     = 20
	momentsMax       = 50
	refsMax          = 100
	minutesMax       = 240
	millisMax        = int64(minutesMax * 60 * 1000)
)

// Exercise is an exercise as the entries about it add up.
type Exercise struct {
	canon.Exercise
	State  gov.ExerciseState `json:"state"`
	By     canon.Actor       `json:"by"`
	Result *Filed            `json:"result,omitempty"`

	doc row.Doc
}

// Filed is what came of an exercise, with where that is recorded.
type Filed struct {
	canon.ExerciseResult
	By canon.Actor `json:"by"`
	At string      `json:"at"` // TimeLayout
}

// ID is the entry that began the exercise.
func (e Exercise) ID() gov.EntryID { return gov.EntryID(e.doc.ID) }

// Opened is the index of that entry.
func (e Exercise) Opened() int64 { return e.doc.Opened }

// StateAt is how far it has come at a time: nobody has to record that its time is over.
func (e Exercise) StateAt(at time.Time) gov.ExerciseState {
	if e.State == gov.ExerciseRunning && over(e.Until, at) {
		return gov.ExerciseExpired
	}
	return e.State
}

func over(until string, at time.Time) bool {
	t, err := time.Parse(canon.TimeLayout, until)
	return err != nil || at.After(t)
}

func (e Exercise) document() row.Doc {
	doc := e.doc
	doc.Kind, doc.State, doc.Data = DocKind, string(e.State), encode(e)
	return doc
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("exercise: a document is not JSON: " + err.Error())
	}
	return data
}

func exerciseOf(doc row.Doc) (Exercise, error) {
	e := Exercise{doc: doc}
	if err := json.Unmarshal(doc.Data, &e); err != nil {
		return e, fmt.Errorf("exercise %s: %w", doc.ID, err)
	}
	return e, nil
}

// Find reads an exercise. Errors are *gov.Error.
func Find(ctx context.Context, l *ledger.Ledger, id gov.EntryID) (Exercise, error) {
	return ledger.FindDoc(ctx, l, row.DocKey{Kind: DocKind, ID: string(id)}, "exercise "+string(id), exerciseOf)
}

// List gives exercises, newest first, begun below an index. next is the index to go on below, or 0.
func List(ctx context.Context, l *ledger.Ledger, below int64, limit int) (out []Exercise, next int64, err error) {
	return ledger.ListDocs(ctx, l, DocKind, "", below, limit, exerciseOf)
}

// Service begins and ends exercises. Its fields are set once, before use.
type Service struct {
	Key  []byte // of the opaque references of users
	Now  func() time.Time
	Rand io.Reader
}

// Plan is what is to be exercised.
type Plan struct {
	Scenario  string
	Agents    []gov.AgentID
	Detectors []gov.DetectorID // whose signals about no agent belong to it
	Minutes   int64
}

// Begin begins an exercise. Another one that runs in the environment is a conflict. Errors are *gov.Error.
func (s *Service) Begin(ctx context.Context, caller identity.Caller, env *live.Environment, plan Plan) (Exercise, error) {
	if err := env.Refresh(ctx); err != nil {
		return Exercise{}, err
	}
	if err := responder(caller, env); err != nil {
		return Exercise{}, err
	}
	if err := plan.check(); err != nil {
		return Exercise{}, err
	}
	body := canon.Exercise{
		Scenario: plan.Scenario, Agents: sorted(plan.Agents), Detectors: sorted(plan.Detectors),
		Until: s.Now().UTC().Add(time.Duration(plan.Minutes) * time.Minute).Format(canon.TimeLayout),
	}
	payload, err := s.said(caller, &body.Person, &body.Commitments)
	if err != nil {
		return Exercise{}, err
	}
	record, err := env.Ledger.Draft(s.Rand, canon.KindExercise, caller.Actor(s.Key), body, payload)
	if err != nil {
		return Exercise{}, err
	}
	record.Docs = []row.Doc{Exercise{Exercise: body, State: gov.ExerciseRunning, By: caller.Actor(s.Key).Who()}.document()}
	record.Amends = []ledger.Amend{begins(body.Until)}
	receipt, err := env.Ledger.Append(ctx, record)
	if err != nil {
		return Exercise{}, err
	}
	return Find(ctx, env.Ledger, receipt.ID)
}

// sorted is a sorted copy without repetitions; of nothing it is nil.
func sorted[T ~string](list []T) []T {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

func (p Plan) check() error {
	known := func(id gov.DetectorID) bool {
		return slices.ContainsFunc(bundle.DetectorSpecs(), func(s bundle.DetectorSpec) bool { return s.ID == id })
	}
	switch {
	case !gov.ValidName(strings.ToLower(p.Scenario)) || len(p.Scenario) > scenarioBytesMax:
		return wrong("/scenario", "must be a name of letters, digits, dots and dashes, G1 for instance")
	case len(p.Agents) == 0 || len(p.Agents) > agentsMax:
		return wrong("/agents", "name 1 to %d agents", agentsMax)
	case slices.ContainsFunc(p.Agents, func(id gov.AgentID) bool { return !gov.ValidName(string(id)) }):
		return wrong("/agents", "must be ids of agents")
	case len(p.Detectors) > detectorsMax || slices.ContainsFunc(p.Detectors, func(id gov.DetectorID) bool { return !known(id) }):
		return wrong("/detectors", "must be at most %d ids of detectors", detectorsMax)
	case p.Minutes < 1 || p.Minutes > minutesMax:
		return wrong("/minutes", "must be from 1 to %d", minutesMax)
	}
	return nil
}

func wrong(path, format string, args ...any) error {
	return &gov.Error{Code: gov.CodeInvalidField, Path: path, Detail: fmt.Sprintf(format, args...)}
}

// running is the document that lets one exercise run at a time.
type running struct {
	Exercise gov.EntryID `json:"exercise"`
	Until    string      `json:"until"` // TimeLayout; empty: nothing runs
}

// begins takes the place of the one exercise that runs, at the time of the entry.
func begins(until string) ledger.Amend {
	return ledger.Amend{Key: row.DocKey{Kind: nowKind, ID: nowID}, Place: func(doc row.Doc, at gov.Place) (row.Doc, error) {
		var now running
		if doc.Version != 0 {
			if err := json.Unmarshal(doc.Data, &now); err != nil {
				return doc, fmt.Errorf("the exercise that runs: %w", err)
			}
		}
		if now.Until != "" && !over(now.Until, at.At) {
			return doc, &gov.Error{Code: gov.CodeConflict, Detail: fmt.Sprintf("the exercise %s runs until %s: file what came of it first", now.Exercise, now.Until)}
		}
		doc.Data = encode(running{Exercise: at.ID, Until: until})
		return doc, nil
	}}
}

// ends gives that place back, if the exercise still has it.
func ends(id gov.EntryID) ledger.Amend {
	return ledger.Amend{Key: row.DocKey{Kind: nowKind, ID: nowID}, Place: func(doc row.Doc, _ gov.Place) (row.Doc, error) {
		var now running
		if err := json.Unmarshal(doc.Data, &now); err != nil {
			return doc, fmt.Errorf("the exercise that runs: %w", err)
		}
		if now.Exercise == id {
			doc.Data = encode(running{})
		}
		return doc, nil
	}}
}

// File records what came of an exercise, once, and ends it. Of result, what the exercise says itself is not read. Errors are
// *gov.Error.
func (s *Service) File(ctx context.Context, caller identity.Caller, env *live.Environment, id gov.EntryID, result canon.ExerciseResult) (Exercise, error) {
	if err := env.Refresh(ctx); err != nil {
		return Exercise{}, err
	}
	if err := responder(caller, env); err != nil {
		return Exercise{}, err
	}
	e, err := Find(ctx, env.Ledger, id)
	if err != nil {
		return Exercise{}, err
	}
	if e.State == gov.ExerciseDone {
		return Exercise{}, &gov.Error{Code: gov.CodeConflict, Detail: "what came of this exercise is filed already"}
	}
	if err := check(result); err != nil {
		return Exercise{}, err
	}
	result.Exercise, result.Agents, result.Detectors = id, e.Agents, e.Detectors
	result.Expected, result.Refs = atLeast(sorted(result.Expected)), atLeast(sorted(result.Refs))
	payload, err := s.said(caller, &result.Person, &result.Commitments)
	if err != nil {
		return Exercise{}, err
	}
	record, err := env.Ledger.Draft(s.Rand, canon.KindExerciseResult, caller.Actor(s.Key), result, payload)
	if err != nil {
		return Exercise{}, err
	}
	e.State = gov.ExerciseDone
	e.Result = &Filed{ExerciseResult: result, By: caller.Actor(s.Key).Who(), At: s.Now().UTC().Format(canon.TimeLayout)}
	record.Docs, record.Amends = []row.Doc{e.document()}, []ledger.Amend{ends(id)}
	if _, err := env.Ledger.Append(ctx, record); err != nil {
		if errors.Is(err, ledger.ErrStale) {
			return Exercise{}, &gov.Error{Code: gov.CodeConflict, Detail: "somebody filed what came of this exercise just now"}
		}
		return Exercise{}, err
	}
	return Find(ctx, env.Ledger, id)
}

// atLeast is a list that is there, for a field that every entry has.
func atLeast[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func check(r canon.ExerciseResult) error {
	for path, text := range map[string]string{"/hypothesis": r.Hypothesis, "/injected": r.Injected, "/observed": r.Observed} {
		if strings.TrimSpace(text) == "" || len(text) > textBytesMax {
			return wrong(path, "must be a text of 1 to %d bytes", textBytesMax)
		}
	}
	if len(r.Expected) > detectorsMax {
		return wrong("/expected", "names more than %d detectors", detectorsMax)
	}
	if len(r.Refs) > refsMax || slices.ContainsFunc(r.Refs, func(id string) bool { return !gov.ValidOpaque(id) }) {
		return wrong("/refs", "must be at most %d ids", refsMax)
	}
	if len(r.Moments) > momentsMax {
		return wrong("/moments", "has more than %d", momentsMax)
	}
	for i, m := range r.Moments {
		if m.What == "" || len(m.What) > textBytesMax {
			return wrong(fmt.Sprintf("/moments/%d/what", i), "must be a text of 1 to %d bytes", textBytesMax)
		}
	}
	for path, n := range map[string]*int64{"/detect_ms": r.DetectMillis, "/contain_ms": r.ContainMillis} {
		if n != nil && (*n < 0 || *n > millisMax) {
			return wrong(path, "must be from 0 to %d", millisMax)
		}
	}
	return nil
}

// responder refuses whoever neither responds to incidents in an environment nor administers it, nor the server.
func responder(c identity.Caller, env *live.Environment) error {
	if c.Role == state.RoleAdmin {
		return nil
	}
	roles := c.RolesIn(env.Control().Engine)
	if c.Role != state.RolePerson || !slices.Contains(roles, gov.RoleResponder) && !slices.Contains(roles, gov.RoleAdmin) {
		return &gov.Error{Code: gov.CodeForbidden, Detail: "only people with the role responder or admin in the environment " + string(env.Ledger.Name()) + " exercise there"}
	}
	return nil
}

// said is the payload of what a person does: who it is. An administrator's key has none.
func (s *Service) said(c identity.Caller, person *string, commitments *map[canon.Group]canon.Commitment) (canon.Payload, error) {
	if c.Role != state.RolePerson {
		return nil, nil
	}
	*person = identity.PrincipalRef(s.Key, c.Principal)
	payload := canon.Payload{}
	*commitments = map[canon.Group]canon.Commitment{}
	err := payload.Seal(s.Rand, *commitments, canon.GroupPrincipal, canon.AppendValue(nil, state.PrincipalValue(c.Principal)))
	return payload, err
}
