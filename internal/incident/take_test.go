package incident

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/state"
	"github.com/writ-dev/writ/internal/store"
)

// opened gives a service with an environment on a real store, whose ledger has an entry.
func opened(t *testing.T) (*Service, *live.Environment) {
	t.Helper()
	st, err := store.OpenSQLite(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l := ledger.New(st, "prod", ledger.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &Service{Key: []byte("key"), Now: time.Now, Rand: rand.Reader}
	env := live.NewEnvironment(l, live.NewEngines(st))
	record, err := env.Ledger.Draft(s.Rand, canon.KindHeartbeat, canon.Writ(), canon.Heartbeat{Node: "n"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	return s, env
}

func emitted(through int64, keys ...string) []Emitted {
	out := make([]Emitted, len(keys))
	for n, key := range keys {
		out[n] = Emitted{canon.Signal{Detector: "d", Version: 1, Severity: gov.SeverityLow, Key: key, Summary: "x", Through: through, Entries: []gov.EntryID{}}, n}
	}
	return out
}

// TestASignalThatIsRefusedHoldsUpThoseBehindIt: a person ends an incident between the plan and the commit. The signal that was to
// join it is refused, and none behind it is recorded before it, or it would be lost.
func TestASignalThatIsRefusedHoldsUpThoseBehindIt(t *testing.T) {
	t.Parallel()
	s, env := opened(t)
	ctx := t.Context()
	if err := s.Take(ctx, env, emitted(0, "a", "b")); err != nil {
		t.Fatal(err)
	}
	at, err := Recorded(ctx, env.Ledger)
	if err != nil {
		t.Fatal(err)
	}
	more := emitted(1, "b", "a", "b", "b")
	p := plan{Service: s, env: env, now: s.Now(), at: at, keys: map[row.DocKey]*planned{}, memo: map[gov.IncidentID]kept{}}
	for _, e := range more {
		if ok, err := p.add(ctx, e); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	found, err := s.List(ctx, env, Filter{}, 1<<60, 10)
	if err != nil || len(found.Incidents) != 2 {
		t.Fatal(found, err)
	}
	responder := identity.Caller{Role: state.RolePerson, Principal: gov.Principal{Type: gov.PrincipalUser, ID: "omar"}, Roles: []gov.Role{gov.RoleResponder}}
	a := found.Incidents[1]
	if a.Keys[0] != "a" {
		t.Fatalf("%v is not the first", a.Keys)
	}
	if _, err := s.Act(ctx, responder, env, a.ID, Step{Event: gov.StepDismissed, Reason: gov.DismissedTest, Text: "so"}); err != nil {
		t.Fatal(err)
	}
	_, errs := env.Ledger.AppendAll(ctx, p.records)
	for n, err := range errs {
		if n == 0 && err != nil || n > 0 && !errors.Is(err, ledger.ErrStale) {
			t.Errorf("signal %d: %v", n, err)
		}
	}
	if err := s.Take(ctx, env, more); err != nil {
		t.Fatal(err)
	}
	if err := s.Take(ctx, env, more); err != nil {
		t.Fatal(err)
	}
	found, err = s.List(ctx, env, Filter{}, 1<<60, 10)
	if err != nil || len(found.Incidents) != 2 || found.Incidents[0].Count != 4 || found.Incidents[1].Count != 2 || found.Incidents[1].Flapping != 1 {
		t.Errorf("%+v, %v", found.Incidents, err)
	}
	// What was planned before is refused now: it is there.
	_, errs = env.Ledger.AppendAll(ctx, p.records)
	for n, err := range errs {
		if !errors.Is(err, errTaken) {
			t.Errorf("signal %d again: %v", n, err)
		}
	}
	if err := s.Take(ctx, env, []Emitted{more[1], more[0]}); err == nil {
		t.Error("signals that do not ascend are taken")
	}
}

func TestTheRanksOfFigures(t *testing.T) {
	t.Parallel()
	var all []time.Duration
	for n := range 10 {
		all = append(all, time.Duration(n+1)*time.Second)
	}
	for _, c := range []struct {
		of      []time.Duration
		percent int
		want    time.Duration
	}{{nil, 50, 0}, {all[:1], 50, time.Second}, {all[:1], 90, time.Second}, {all, 50, 5 * time.Second}, {all, 90, 9 * time.Second}, {all[:2], 50, time.Second}, {all[:3], 50, 2 * time.Second}} {
		if got := rank(c.of, c.percent); got != c.want {
			t.Errorf("%d of a hundred of %v: %v, want %v", c.percent, c.of, got, c.want)
		}
	}
	if d, ok := between("2026-11-23T14:00:00.000000Z", "2026-11-23T13:00:00.000000Z"); !ok || d != 0 {
		t.Errorf("what happened before took %v", d)
	}
	if _, ok := between("2026-11-23T14:00:00.000000Z", ""); ok {
		t.Error("what has not come took a time")
	}
}
