package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	writ "github.com/writ-dev/writ/sdk/go"
)

// drill is one scenario being played.
type drill struct {
	*gameday
	scenario scenario
	session  string
	Exercise exerciseRow
	Result   drillResult

	began time.Time // when the first thing was injected, by the server's clock
	undo  []undoing
}

// undoing is something to be done when the drill is over.
type undoing struct {
	what string
	do   func(context.Context) error
}

// drillResult is what is filed.
type drillResult struct {
	Hypothesis string        `json:"hypothesis"`
	Injected   string        `json:"injected"`
	Expected   []string      `json:"expected"`
	Held       bool          `json:"held"`
	Observed   string        `json:"observed"`
	Moments    []drillMoment `json:"moments"`
	DetectMS   *int64        `json:"detect_ms,omitempty"`
	ContainMS  *int64        `json:"contain_ms,omitempty"`
	Refs       []string      `json:"refs"`
}

type drillMoment struct {
	What string `json:"what"`
	At   string `json:"at"`
}

// drillPoll is how often a drill looks whether something is there yet.
const drillPoll = 200 * time.Millisecond

func (d *drill) verdict() string {
	if d.Result.Held {
		return "held"
	}
	return "DID NOT HOLD"
}

// saw adds to what was observed.
func (d *drill) saw(format string, args ...any) {
	d.Result.Observed = strings.TrimSpace(d.Result.Observed + " " + fmt.Sprintf(format, args...))
}

// missed says that the hypothesis does not hold, and why.
func (d *drill) missed(format string, args ...any) {
	d.Result.Held = false
	d.saw(format, args...)
}

// want says that the hypothesis does not hold unless something is so.
func (d *drill) want(so bool, format string, args ...any) {
	if !so {
		d.missed(format, args...)
	}
}

// moment notes when something happened, and says so.
func (d *drill) moment(at time.Time, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	d.Result.Moments = append(d.Result.Moments, drillMoment{What: what, At: at.UTC().Format(canon.TimeLayout)})
	fmt.Fprintf(d.s.err, "  %s  %s\n", at.UTC().Format("15:04:05.000"), what)
}

// injectedAt begins the time that is measured.
func (d *drill) injectedAt(at time.Time) {
	if d.began.IsZero() {
		d.began = at
	}
}

func (d *drill) since(at time.Time) *int64 {
	return new(max(0, at.Sub(d.began).Milliseconds()))
}

func (d *drill) detected(at time.Time) {
	if n := d.since(at); d.Result.DetectMS == nil || *n < *d.Result.DetectMS {
		d.Result.DetectMS = n
	}
}

func (d *drill) contained(at time.Time) { d.Result.ContainMS = d.since(at) }

func (d *drill) ref(ids ...string) {
	d.Result.Refs = append(d.Result.Refs, slices.DeleteFunc(ids, func(id string) bool { return id == "" })...)
}

// later has something done when the drill is over, the last thing first.
func (d *drill) later(what string, do func(context.Context) error) {
	d.undo = append(d.undo, undoing{what, do})
}

// cleanUp undoes what the drill did, also when the command was interrupted. What cannot be undone is said.
func (d *drill) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeMax)
	defer cancel()
	for _, u := range slices.Backward(d.undo) {
		if err := u.do(ctx); err != nil {
			d.missed("Afterwards it was not possible to %s: %v", u.what, err)
		}
	}
}

// agent gives a client with a key of its own, which is revoked when the drill is over.
func (d *drill) agent(ctx context.Context, agent, principal string) (*writ.Client, error) {
	ask := map[string]any{"agent": agent, "environment": d.Environment, "principal": principal, "expires_in_days": 1, "note": "exercise " + d.Exercise.ID}
	var issued credential
	if _, err := d.send(ctx, d.AdminToken, http.MethodPost, "/v1/credentials", ask, &issued); err != nil {
		return nil, err
	}
	d.later("revoke the key "+issued.ID, func(ctx context.Context) error {
		_, err := d.send(ctx, d.AdminToken, http.MethodDelete, "/v1/credentials/"+url.PathEscape(issued.ID), map[string]string{"reason": "the exercise is over"}, nil)
		return err
	})
	return writ.New(d.URL, issued.Token)
}

// call asks for the decision on a call of the plan, in the drill's session.
func (d *drill) call(ctx context.Context, client *writ.Client, c planCall) (*writ.Decision, error) {
	answer, err := client.Decide(ctx, writ.Call{Agent: c.Agent, Tool: c.Tool, Input: c.Input, Session: d.session})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Tool, err)
	}
	return answer, nil
}

func hasReason(a *writ.Decision, code string) bool {
	return slices.ContainsFunc(a.Reasons, func(r writ.Reason) bool { return r.Code == code })
}

// signalRow is a signal as the API gives it.
type signalRow struct {
	ID       string `json:"id"`
	Index    int64  `json:"index"`
	At       string `json:"at"`
	Incident string `json:"incident"`
	Signal   struct {
		Detector string `json:"detector"`
		Agent    string `json:"agent"`
		Session  string `json:"session"`
		Summary  string `json:"summary"`
		Exercise bool   `json:"exercise"`
	} `json:"signal"`
}

func (w signalRow) time() time.Time { return ledgerTime(w.At) }

// ledgerTime is a time of the ledger.
func ledgerTime(at string) time.Time {
	t, err := time.Parse(canon.TimeLayout, at)
	if err != nil {
		return time.Time{}
	}
	return t
}

// signal gives the first signal of a detector since the exercise began, about an agent and the drill's session where it names them. ok
// is false when there is none.
func (d *drill) signal(ctx context.Context, r remote, since int64, detector string, agents []string) (found signalRow, ok bool, err error) {
	var page struct {
		Signals []signalRow `json:"signals"`
	}
	query := d.environmentQuery("detector", detector, "limit", "200")
	if _, err := r.get(ctx, r.AdminToken, "/v1/signals", query, &page); err != nil {
		return found, false, err
	}
	for _, w := range slices.Backward(page.Signals) {
		g := w.Signal
		if w.Index > since && (g.Agent == "" || slices.Contains(agents, g.Agent)) && (g.Session == "" || g.Session == d.session) {
			return w, true, nil
		}
	}
	return found, false, nil
}

// notice waits for a detector. That it did not notice is no error: the hypothesis does not hold then.
func (d *drill) notice(ctx context.Context, detector string) (signalRow, error) {
	return d.noticeOn(ctx, d.remote, d.Exercise.Index, detector)
}

func (d *drill) noticeOn(ctx context.Context, r remote, since int64, detector string) (found signalRow, err error) {
	ok := false
	err = until(ctx, d.Wait, func() (bool, error) {
		found, ok, err = d.signal(ctx, r, since, detector, d.scenario.agents(d.plan))
		return ok, err
	})
	if errors.Is(err, errTooLong) {
		d.missed("The detector %s noticed nothing in %s.", detector, d.Wait)
		return found, nil
	}
	if err != nil {
		return found, err
	}
	d.moment(found.time(), "%s noticed: %s", detector, found.Signal.Summary)
	d.detected(found.time())
	if r == d.remote { // the ids of a throwaway server say nothing to anybody
		d.ref(found.ID, found.Incident)
	}
	d.want(found.Signal.Exercise, "The signal %s is not labelled an exercise.", found.ID)
	return found, nil
}

// errTooLong says that something did not come to be in its time.
var errTooLong = errors.New("it took too long")

// until waits for something, at most so long.
func until(ctx context.Context, most time.Duration, so func() (bool, error)) error {
	end := time.NewTimer(most)
	defer end.Stop()
	for {
		if ok, err := so(); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return errTooLong
		case <-time.After(drillPoll):
		}
	}
}

// drillSwitch is a switch as a drill needs it.
type drillSwitch struct {
	ID    string `json:"id"`
	State string `json:"state"`
	Scope struct {
		Session string `json:"session"`
	} `json:"scope"`
	AskedAt string  `json:"asked_at"`
	At      string  `json:"at"`
	HaltMS  float64 `json:"halt_ms"`
	Index   int64   `json:"index"`
}

// stop stops the drill's session, unless a detector of the bundle had that done. The switch is released when the drill is over.
func (d *drill) stop(ctx context.Context, incident string) (drillSwitch, error) {
	var page struct {
		Switches []drillSwitch `json:"switches"`
	}
	if _, err := d.get(ctx, d.AdminToken, "/v1/switches", d.environmentQuery("state", "engaged", "limit", "200"), &page); err != nil {
		return drillSwitch{}, err
	}
	by := "the bundle's own rule"
	i := slices.IndexFunc(page.Switches, func(w drillSwitch) bool { return w.Scope.Session == d.session })
	if i < 0 {
		by, i = "hand", 0
		ask := map[string]any{"environment": d.Environment, "session": d.session, "reason": "Exercise " + d.Exercise.ID, "expires_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}
		if incident != "" {
			ask["incident"] = incident
		}
		if _, err := d.send(ctx, d.AdminToken, http.MethodPost, "/v1/switches", ask, &page); err != nil {
			return drillSwitch{}, err
		}
	}
	w := page.Switches[i]
	d.later("release the switch "+w.ID, func(ctx context.Context) error {
		_, err := d.send(ctx, d.AdminToken, http.MethodDelete, "/v1/switches/"+w.ID, map[string]string{"reason": "the exercise is over"}, nil)
		return err
	})
	d.ref(w.ID)
	d.moment(ledgerTime(w.At), "stopped the session by %s, at index %d (%s)", by, w.Index, w.ID)
	d.contained(ledgerTime(w.At))
	return w, nil
}

// stopped proves that a call which was allowed before is denied by the switch.
func (d *drill) stopped(ctx context.Context, client *writ.Client, c planCall) error {
	after, err := d.call(ctx, client, c)
	if err != nil {
		return err
	}
	d.ref(after.ID)
	d.moment(after.At, "%s is asked for and answered with %s", c.Tool, after.Outcome)
	d.want(after.Outcome == writ.Deny && hasReason(after, "switch"), "Behind the switch %s was answered with %s.", c.Tool, after.Outcome)
	return nil
}

// MarshalJSON writes what was filed, with what is not in it.
func (d *drill) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Scenario string      `json:"scenario"`
		Title    string      `json:"title"`
		Exercise exerciseRow `json:"exercise"`
		Result   drillResult `json:"result"`
	}{d.scenario.id, d.scenario.title, d.Exercise, d.Result})
}
