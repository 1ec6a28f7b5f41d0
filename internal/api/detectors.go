package api

import (
	"context"
	"slices"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/sigma"
	"github.com/writ-dev/writ/internal/watch"
)

// detectorsWire is how the detectors of an environment are.
type detectorsWire struct {
	Environment     gov.Environment  `json:"environment"`
	Bundle          gov.BundleDigest `json:"bundle,omitempty"`
	At              string           `json:"at"`
	Days            int              `json:"days"` // in which signals are counted
	LastProbe       string           `json:"last_probe,omitempty"`
	LastAnswer      string           `json:"last_answer,omitempty"`
	Unanswered      int              `json:"unanswered"`
	CompleteThrough int64            `json:"complete_through"`
	Detectors       []detectorWire   `json:"detectors"`
}

type detectorWire struct {
	ID            gov.DetectorID  `json:"id"`
	Title         string          `json:"title"`
	Kind          string          `json:"kind"` // built_in or rule
	File          string          `json:"file,omitempty"`
	Owner         string          `json:"owner,omitempty"`
	Severity      gov.Severity    `json:"severity"`
	Off           bool            `json:"off"`
	Contain       string          `json:"contain,omitempty"`
	Runbook       string          `json:"runbook,omitempty"`
	Tags          []string        `json:"tags"`
	Thresholds    []thresholdWire `json:"thresholds"`
	Status        watch.Status    `json:"status"`
	Signals       int64           `json:"signals"`
	LastSignal    *lastSignalWire `json:"last_signal,omitempty"`
	LastHeartbeat string          `json:"last_heartbeat,omitempty"`
	Missed        int             `json:"missed"`
}

type thresholdWire struct {
	Name    string           `json:"name"`
	Unit    bundle.ParamUnit `json:"unit"`
	Value   int64            `json:"value"`
	Default int64            `json:"default"`
	Meaning string           `json:"meaning"`
}

type lastSignalWire struct {
	ID       gov.EntryID    `json:"id"`
	At       string         `json:"at"`
	Incident gov.IncidentID `json:"incident"`
}

// listDetectors says what detectors there are under the bundle in force, and whether they answer.
func (s *Server) listDetectors(ctx context.Context, r *request) (any, error) {
	params := r.URL.Query()
	for name, values := range params {
		if name != "environment" {
			return nil, &gov.Error{Code: gov.CodeUnknownField, Path: "/" + name, Detail: "is not a parameter; known is environment"}
		}
		if len(values) != 1 {
			return nil, &gov.Error{Code: gov.CodeInvalidField, Path: "/" + name, Detail: "is given more than once"}
		}
	}
	env, err := s.environment(r, params.Get("environment"))
	if err != nil {
		return nil, err
	}
	now, control := s.Now(), env.Control()
	health, err := watch.HealthOf(ctx, env, now)
	if err != nil {
		return nil, err
	}
	out := detectorsWire{
		Environment: env.Ledger.Name(), Bundle: control.Bundle(), At: now.UTC().Format(canon.TimeLayout), Days: watch.HealthDays, LastProbe: health.LastProbe,
		LastAnswer: health.LastAnswer, Unanswered: health.Unanswered, CompleteThrough: health.Through, Detectors: []detectorWire{},
	}
	var rules []sigma.Rule
	if control.Engine != nil {
		rules = control.Engine.Bundle().Rules
	}
	for _, d := range health.Detectors {
		out.Detectors = append(out.Detectors, detectorOf(d, rules))
	}
	return out, nil
}

func detectorOf(d watch.DetectorHealth, rules []sigma.Rule) detectorWire {
	w := detectorWire{
		ID: d.Spec.ID, Title: d.Spec.Title, Kind: "built_in", Owner: d.Config.Owner, Severity: d.Config.Severity, Off: d.Config.Off, Contain: d.Config.Contain,
		Runbook: d.Config.Runbook, Tags: append([]string{}, d.Spec.Tags...), Thresholds: []thresholdWire{}, Status: d.Status, Signals: d.Signals,
		LastHeartbeat: d.Noticed, Missed: d.Missed,
	}
	if d.Last != nil {
		w.LastSignal = &lastSignalWire{ID: d.Last.ID, At: d.Last.At, Incident: d.Last.Incident}
	}
	for _, p := range d.Spec.Params {
		w.Thresholds = append(w.Thresholds, thresholdWire{p.Name, p.Unit, d.Config.Params[p.Name], p.Default, p.Meaning})
	}
	i := slices.IndexFunc(rules, func(r sigma.Rule) bool { return bundle.SigmaPrefix+gov.DetectorID(r.ID) == d.Spec.ID })
	if i < 0 {
		return w
	}
	w.Kind, w.File = "rule", rules[i].File
	if c := rules[i].Correlation; c != nil {
		w.Thresholds = append(w.Thresholds, thresholdWire{"timespan", bundle.UnitSeconds, c.Timespan, c.Timespan, "the time in which its events have to come"})
		if c.Min > 0 {
			what := "how many events there have to be"
			if c.Field != "" {
				what = "how many different values " + c.Field + " has to have"
			}
			w.Thresholds = append(w.Thresholds, thresholdWire{"min", bundle.UnitCount, c.Min, c.Min, what})
		}
	}
	return w
}
