// Package detect notices what is wrong: (state, entry) → (state, signals). It promises that the same entries under the same bundles
// give the same signals, byte for byte, whoever computes them and wherever they began from a saved state; that each signal carries
// what was observed, what was expected and the entries that it rests on; and that its memory is bounded.
//
// It sees entries alone, never what people or agents wrote. What it remembers of an agent is counted, not learned: tails of a
// negative binomial distribution for rates, medians for sizes, sets for what is new. It knows what it was told to look for; an attack
// that stays within what an agent always does is not among that.
package detect

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/sigma"
)

// Version is that of the detectors: another one may see other things in the same entries.
const Version = 3

// Bounds of what is remembered.
const (
	agentsMax    = 1024
	valuesMax    = 4096  // of one kind, of one agent
	sessionsMax  = 16384 // that were signalled once
	peopleMax    = 4096
	callersMax   = 4096
	openMax      = 8192 // calls without a result
	restsOnMax   = 20   // entries named by a signal
	sizesKept    = 200  // of results of one agent and tool
	sizesOfMax   = 4096
	votesKept    = 200
	signalsAtMax = 64 // at one entry
)

// State is what the detectors of one ledger remember. It is changed by Step, and becomes JSON and back without a difference.
type State struct {
	Through  int64                     `json:"through"`          // entries below this index were seen
	Bundle   gov.BundleDigest          `json:"bundle,omitempty"` // in force behind them
	Agents   map[gov.AgentID]*agent    `json:"agents"`
	Week     profile                   `json:"week"`
	Sizes    map[string]*sizes         `json:"sizes"` // by detector, agent and tool
	Out      firsts                    `json:"out"`   // sessions that sent out what they read
	Voters   map[string]*voter         `json:"voters"`
	Callers  map[string]*caller        `json:"callers"`
	Open     []open                    `json:"open"` // allowed calls without a result, oldest first
	Missing  map[gov.AgentID]*missing  `json:"missing"`
	Asked    map[gov.EntryID]string    `json:"asked"`    // when requests for approval were opened, by decision: TimeLayout
	Probes   map[gov.DetectorID]string `json:"probes"`   // when each last noticed a synthetic event: TimeLayout
	Exercise map[gov.AgentID]string    `json:"exercise"` // until when agents are exercised: TimeLayout
	Usual    usual                     `json:"usual"`
	Sigma    sigma.Memory              `json:"sigma"` // of the rules of the bundle

	ExerciseOf map[gov.DetectorID]string `json:"exercise_of,omitempty"` // until when detectors are exercised in what is about no agent: TimeLayout

	settings *settings
	plain    plain
	step     step   // the newest, used again
	room     []open // for Open to move along in
}

// New is the state before the first entry.
func New() *State {
	return &State{
		Agents: map[gov.AgentID]*agent{}, Sizes: map[string]*sizes{}, Voters: map[string]*voter{}, Callers: map[string]*caller{},
		Missing: map[gov.AgentID]*missing{}, Asked: map[gov.EntryID]string{}, Probes: map[gov.DetectorID]string{},
		Exercise: map[gov.AgentID]string{},
	}
}

// agent is what is remembered of one agent.
type agent struct {
	Calls        int64  `json:"calls"`
	Denied       series `json:"denied"`
	Rate         series `json:"rate"`
	Tools        firsts `json:"tools"`
	Principals   firsts `json:"principals"`
	Destinations firsts `json:"destinations"`
}

// firsts is a set of what was seen, in the order in which it was.
type firsts struct {
	Seen []string `json:"seen,omitempty"`

	index map[string]bool
}

// add says whether a value is new. A set that is full knows nothing new any more.
func (f *firsts) add(value string, most int) bool {
	if f.index == nil {
		f.index = make(map[string]bool, len(f.Seen))
		for _, v := range f.Seen {
			f.index[v] = true
		}
	}
	if f.index[value] || len(f.Seen) >= most {
		return false
	}
	f.index[value] = true
	f.Seen = append(f.Seen, value)
	return true
}

// step is one entry being looked at.
type step struct {
	*State
	entry   canon.Entry
	index   int64
	at      time.Time
	signals []canon.Signal
	*settings

	activates gov.BundleDigest // the bundle that is in force behind the entry, if it changes
}

// settings are what the bundle in force says, looked up once.
type settings struct {
	of         *bundle.Bundle
	specs      map[gov.DetectorID]bundle.DetectorSpec
	detectors  map[gov.DetectorID]bundle.Detector
	categories func(gov.ToolName) []gov.Category
	rules      *sigma.Set // those that are not off, and those that feed others
	each       each
}

// each are the thresholds that every call is held against.
type each struct {
	rate, denied                spikes
	tool, principal, send       int64 // calls before what is new counts
	within, usual, missingCalls int64 // missing_result
}

// spikes are the thresholds of a count in windows.
type spikes struct{ window, learn, min, oneIn int64 }

func eachOf(detectors map[gov.DetectorID]bundle.Detector) each {
	of := func(id gov.DetectorID) spikes {
		p := detectors[id].Params
		return spikes{p["window"], p["learn"], p["min"], p["one_in"]}
	}
	missing := detectors["missing_result"].Params
	return each{
		rate: of("unusual_rate"), denied: of("blocked_spike"),
		tool: of("new_tool").learn, principal: of("new_principal").learn, send: of("new_destination").learn,
		within: missing["within"], usual: missing["usual"], missingCalls: missing["min"],
	}
}

func settingsOf(b *bundle.Bundle) *settings {
	s := &settings{of: b, specs: map[gov.DetectorID]bundle.DetectorSpec{}, detectors: map[gov.DetectorID]bundle.Detector{}}
	says := b
	if says == nil {
		says = &bundle.Bundle{}
	}
	for _, spec := range says.Specs() {
		s.specs[spec.ID], s.detectors[spec.ID] = spec, says.Detector(spec)
	}
	s.each = eachOf(s.detectors)
	s.rules = sigma.NewSet(s.watched(says.Rules))
	s.categories = func(name gov.ToolName) []gov.Category {
		if tool, ok := says.Tool(name); ok {
			return tool.Categories
		}
		return nil
	}
	return s
}

// ruled says whether there are rules to evaluate.
func (s *settings) ruled() bool { return s.rules != nil && !s.rules.Empty() }

// Read is Step for an entry as the ledger has it.
func (s *State) Read(index int64, raw []byte, b *bundle.Bundle) ([]canon.Signal, error) {
	s.under(b)
	if e, d, ok := s.plain.decision(raw, s.settings.ruled()); ok {
		return s.look(index, e, d)
	}
	e, err := canon.Parse(raw)
	if err != nil {
		return nil, err
	}
	return s.look(index, e, nil)
}

// Step looks at the entry at an index, which has to be the next one. bundle is the one in force before the entry, or nil.
func (s *State) Step(index int64, e canon.Entry, b *bundle.Bundle) ([]canon.Signal, error) {
	s.under(b)
	return s.look(index, e, nil)
}

// under makes a bundle the one in force.
func (s *State) under(b *bundle.Bundle) {
	if s.settings == nil || s.settings.of != b {
		s.settings = settingsOf(b)
		s.keep()
	}
}

// look looks at an entry. d is what it decided, if that was read already.
func (s *State) look(index int64, e canon.Entry, d *ruled) ([]canon.Signal, error) {
	if index != s.Through {
		return nil, fmt.Errorf("detect: the entry at index %d comes after those below %d", index, s.Through)
	}
	at, err := e.Time()
	if err != nil {
		return nil, err
	}
	t := &s.step
	*t = step{State: s, entry: e, index: index, at: at, settings: s.settings}
	if err := t.by(d); err != nil {
		return nil, fmt.Errorf("detect: entry %s: %w", e.ID, err)
	}
	if t.activates != "" {
		s.Bundle = t.activates
	}
	s.Through++
	return t.signals, nil
}

// by goes by what the entry is.
func (t *step) by(d *ruled) error {
	t.overdue()
	switch t.entry.Kind {
	case canon.KindDecision:
		return t.read(d)
	case canon.KindResult:
		return with(t, t.result)
	case canon.KindScanned:
		return with(t, t.scanned)
	case canon.KindRefusals:
		return with(t, t.refusals)
	case canon.KindApprovalVote:
		return errors.Join(with(t, t.vote), with(t, t.ruleVote))
	case canon.KindBundleActivated:
		return with(t, t.activated)
	case canon.KindRecorderGap:
		return with(t, t.gap)
	case canon.KindScrub:
		return with(t, t.scrub)
	case canon.KindLimitWarning:
		return errors.Join(with(t, t.warned), with(t, t.ruleWarning))
	case canon.KindProbe:
		return with(t, t.probe)
	case canon.KindExercise:
		return with(t, t.exercise)
	case canon.KindExerciseResult:
		return with(t, t.exercised)
	default:
		return nil
	}
}

func with[T any](t *step, look func(T)) error {
	body, err := canon.Body[T](t.entry)
	if err == nil {
		look(body)
	}
	return err
}

// found is what a detector says; fire adds the rest.
type found struct {
	about       string // what the incident is about: signals of one detector about one thing are one incident
	agent       gov.AgentID
	tool        gov.ToolName
	principal   string
	session     gov.SessionID
	summary     string
	observed    string
	expected    string
	probability string
	window      int64
	entries     []gov.EntryID
	count       int64
	worse       gov.Severity // than the detector's own; 0: not
}

// fire makes a signal of what a detector found.
func (t *step) fire(id gov.DetectorID, f found) {
	d, ok := t.detectors[id]
	if !ok || d.Off || len(t.signals) >= signalsAtMax {
		return
	}
	s := canon.Signal{
		Detector: id, Version: Version, Severity: d.Severity, Key: string(id) + "/" + f.about, Agent: f.agent, Tool: f.tool, Principal: f.principal,
		Session: f.session, Summary: f.summary, Observed: f.observed, Expected: f.expected, Probability: f.probability, Window: f.window,
		Through: t.index, Entries: f.entries, Count: max(f.count, int64(len(f.entries))), Tags: t.specs[id].Tags,
	}
	if f.worse.Valid() && f.worse < s.Severity {
		s.Severity = f.worse
	}
	if len(s.Entries) == 0 {
		s.Entries, s.Count = []gov.EntryID{t.entry.ID}, max(f.count, 1)
	}
	if t.exercises(id, f.agent) {
		s.Exercise, s.Key = true, "exercise/"+s.Key
	}
	t.signals = append(t.signals, s)
}

// exercises says whether what a detector finds of an agent now, or of none, is of a game day.
func (t *step) exercises(id gov.DetectorID, agent gov.AgentID) bool {
	until, ok := t.Exercise[agent]
	if agent == "" {
		until, ok = t.ExerciseOf[id]
	}
	return ok && t.entry.At <= until
}

// param is a threshold.
func (t *step) param(id gov.DetectorID, name string) int64 { return t.detectors[id].Params[name] }

// figure writes a number with four significant digits at most: what two machines may differ in is behind them.
func figure(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

func whole(n int64) string { return strconv.FormatInt(n, 10) }

// span is a time as a person writes it.
func span(seconds int64) string { return (time.Duration(seconds) * time.Second).String() }
