//go:build linux

package e2e

import (
	"context"
	"testing"
	"time"
)

const (
	asksWhileGone = 20
	goneAnswerMax = 5 * time.Second // for each answer without a database
	backMax       = 10 * time.Second
	backPoll      = 50 * time.Millisecond
	asksBefore    = 50
)

func TestADatabaseThatGoesAwayAllowsNothing(t *testing.T) {
	s, a := newServer(t, ownDatabase(t)), &answers{}
	for range asksBefore {
		a.add(s.mustDecide(a.next.Add(1)))
	}
	if err := s.cluster.Kill(); err != nil {
		t.Fatal(err)
	}
	slowest := time.Duration(0)
	for range asksWhileGone {
		slowest = max(slowest, s.refusedWithin(goneAnswerMax, a.next.Add(1)))
	}
	if err := s.cluster.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := s.untilDecided(a)
	for range asksBefore {
		a.add(s.mustDecide(a.next.Add(1)))
	}
	a.kept(t, s.place, 0)
	a.shown(s, 2*asksBefore)
	s.sound()
	t.Logf("without its database it refused in %v at most; with it again it decided after %v", slowest, back)
}

// refusedWithin asks for a decision, fails the test unless the ledger is named as unavailable in time, and says how long
// that took.
func (s *server) refusedWithin(most time.Duration, n int64) time.Duration {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), most)
	defer cancel()
	begin := time.Now()
	d, p, err := s.decide(ctx, n)
	if err != nil {
		s.t.Fatalf("without its database: %v\n%s", err, s.output())
	}
	if p == nil || p.Code != "ledger_unavailable" || p.Detail == "" {
		s.t.Fatalf("without its database: decision %+v, problem %+v", d, p)
	}
	return time.Since(begin)
}

// untilDecided asks until there is a decision, and says how long that took.
func (s *server) untilDecided(a *answers) time.Duration {
	s.t.Helper()
	begin := time.Now()
	for time.Since(begin) < backMax {
		d, p, err := s.decide(s.t.Context(), a.next.Add(1))
		if err != nil {
			s.t.Fatal(err)
		}
		if p == nil {
			a.add(d)
			return time.Since(begin)
		}
		time.Sleep(backPoll)
	}
	s.t.Fatalf("no decision %v after the database is back\n%s", backMax, s.output())
	return 0
}
