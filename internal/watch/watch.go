// Package watch lets the detectors follow a ledger. It promises that every entry is looked at, in order, once for each version of the
// detectors; that what they find is handed on before the next entries are looked at, and again after a crash, for a taker that
// records each signal once; and that what they remember is saved, so that a restart goes on where it was.
package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/contain"
	"github.com/writ-dev/writ/internal/detect"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/incident"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/row"
)

const (
	follower  = "detect"
	stepMax   = 4096        // entries looked at in one step
	saveAfter = 20_000      // entries; fewer are looked at again after a crash
	saveEvery = time.Minute // at most: it is a large write, beside those of decisions
)

// Watcher follows one ledger. It belongs to one goroutine.
type Watcher struct {
	Env       *live.Environment
	Incidents *incident.Service
	Contain   *contain.Service
	Now       func() time.Time

	state   *detect.State
	saved   int64 // through which what is remembered was saved
	savedAt time.Time
	pending []incident.Emitted
	bundle  *bundle.Bundle
}

// saved is what is kept of the detectors, with the version that it is of: another one begins anew.
type saved struct {
	Version int           `json:"version"`
	State   *detect.State `json:"state"`
}

// Step looks at what came since, up to a bound, and hands on what was found. lag is how many entries are left.
func (w *Watcher) Step(ctx context.Context) (lag int64, err error) {
	if w.state == nil {
		if err := w.resume(ctx); err != nil {
			return 0, err
		}
	}
	if err := w.hand(ctx); err != nil {
		return 0, err
	}
	head, err := w.Env.Ledger.Head(ctx)
	if err != nil {
		if gov.CodeOf(err) == gov.CodeNotFound {
			return 0, nil
		}
		return 0, err
	}
	to := min(head.Size, w.state.Through+stepMax)
	err = w.Env.Ledger.ScanNew(ctx, w.state.Through, to, func(r ledger.Raw) error { return w.look(ctx, r) })
	if err != nil {
		w.state, w.pending = nil, nil // begin again from what was saved
		return 0, err
	}
	if err := w.hand(ctx); err != nil {
		return 0, err
	}
	if w.state.Through-w.saved >= saveAfter && w.Now().Sub(w.savedAt) >= saveEvery {
		err = w.Save(ctx)
	}
	return head.Size - to, err
}

func (w *Watcher) look(ctx context.Context, r ledger.Raw) error {
	b, err := w.inForce(ctx)
	if err != nil {
		return err
	}
	signals, err := w.state.Read(r.Index, r.Bytes, b)
	for i, s := range signals {
		w.pending = append(w.pending, incident.Emitted{Signal: s, Ordinal: i})
	}
	return err
}

// inForce is the bundle that is in force at the entry that comes next, or nil.
func (w *Watcher) inForce(ctx context.Context) (*bundle.Bundle, error) {
	if w.state.Bundle == "" || w.bundle != nil && w.bundle.Digest == w.state.Bundle {
		return w.bundle, nil
	}
	engine, err := w.Env.Engine(ctx, w.state.Bundle)
	if err != nil {
		return nil, err
	}
	w.bundle = engine.Bundle()
	return w.bundle, nil
}

// hand hands on what was found. What cannot be handed on now is, before anything else is looked at.
func (w *Watcher) hand(ctx context.Context) error {
	if len(w.pending) == 0 {
		return nil
	}
	if err := w.stop(ctx); err != nil {
		return err
	}
	if err := w.Incidents.Take(ctx, w.Env, w.pending); err != nil {
		return err
	}
	w.pending = nil
	return nil
}

// exerciseFor is how long what a game day stops stays stopped, if nobody releases it.
const exerciseFor = time.Hour

// stop engages the switches that detectors of the bundle ask for, for signals that were not recorded yet: what people released since
// is not stopped again by what is looked at again. It comes before the signals are recorded: a crash in between stops twice what is
// one switch, and not at all never.
func (w *Watcher) stop(ctx context.Context) error {
	if w.bundle == nil || !slices.ContainsFunc(w.bundle.Detectors, func(d bundle.Detector) bool { return d.Contain != "" }) {
		return nil
	}
	at, err := incident.Recorded(ctx, w.Env.Ledger)
	if err != nil {
		return err
	}
	for _, s := range w.pending {
		i := slices.IndexFunc(w.bundle.Detectors, func(d bundle.Detector) bool { return d.ID == s.Detector })
		if i < 0 || s.Heartbeat || !at.Before(s) {
			continue
		}
		scope, ok := scopeOf(w.bundle.Detectors[i].Contain, s.Signal)
		if !ok {
			continue
		}
		stop := contain.Stop{Scope: scope, Reason: fmt.Sprintf("The detector %s asks for it: %s", s.Detector, s.Summary), People: 1, Key: s.Key, AskedAt: w.Now()}
		stop.Reason = strings.ToValidUTF8(stop.Reason[:min(len(stop.Reason), reasonMax)], "")
		if s.Exercise {
			stop.Expires = w.Now().Add(exerciseFor)
		}
		if _, err := w.Contain.Engage(ctx, contain.Rule(), w.Env, stop); err != nil {
			return err
		}
	}
	return nil
}

const reasonMax = 480 // bytes

// scopeOf is what a detector that asks to stop a kind of thing stops of a signal.
func scopeOf(kind string, s canon.Signal) (gov.SwitchScope, bool) {
	scope := gov.SwitchScope{}
	switch kind {
	case "session":
		scope.Session = s.Session
	case "tool":
		scope.Tool = s.Tool
	case "principal":
		scope.Principal = s.Principal
	case "agent":
		scope.Agent = s.Agent
	default:
		return scope, false
	}
	if !scope.Valid() { // it has none of these: the agent is stopped
		scope = gov.SwitchScope{Agent: s.Agent}
	}
	return scope, scope.Valid()
}

// Save keeps what is remembered.
func (w *Watcher) Save(ctx context.Context) error {
	if w.state == nil || w.state.Through == w.saved || len(w.pending) > 0 {
		return nil
	}
	data, err := json.Marshal(saved{Version: detect.Version, State: w.state})
	if err != nil {
		return fmt.Errorf("what the detectors remember is not JSON: %w", err)
	}
	if err := w.Env.Ledger.SaveFollower(ctx, follower, row.Follower{Through: w.state.Through, State: data}); err != nil {
		return err
	}
	w.saved, w.savedAt = w.state.Through, w.Now()
	return nil
}

// resume reads what was saved, or begins anew.
func (w *Watcher) resume(ctx context.Context) error {
	f, err := w.Env.Ledger.Follower(ctx, follower)
	if err != nil {
		return err
	}
	kept := saved{State: detect.New()}
	if len(f.State) > 0 {
		if err := json.Unmarshal(f.State, &kept); err != nil || kept.Version != detect.Version || kept.State == nil {
			kept.State = detect.New()
		}
	}
	w.state, w.saved, w.bundle = kept.State, kept.State.Through, nil
	return nil
}
