//go:build linux

package e2e

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

const (
	kills         = 20
	killLeast     = 100 * time.Millisecond // of load before a kill
	killSpread    = 500 * time.Millisecond // at random on top
	soundEvery    = 7                      // rounds between whole verifications
	databaseEvery = 5                      // rounds between kills of the database
	shownPerRound = 20
)

func TestKillInTheMiddleOfLoadLosesNothingAnswered(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s, a := newServer(t, p), &answers{}
		random := rand.New(rand.NewPCG(1, 2))
		for round := range kills {
			from := a.last() + 1
			s.loadAndKill(a, killLeast+time.Duration(random.Int64N(int64(killSpread))), round%databaseEvery == databaseEvery-1)
			if a.last() < from {
				t.Fatalf("round %d: nothing was answered, so nothing was tried\n%s", round, s.output())
			}
			s.start()
			a.kept(t, p, from)
			a.shown(s, shownPerRound)
			if round%soundEvery == soundEvery-1 {
				s.sound()
			}
		}
		a.kept(t, p, 0)
		s.sound()
		t.Logf("%d kills, %d decisions answered, none lost", kills, len(a.all))
	})
}

// loadAndKill kills the server after so long under load, and on the way its database as well, if it has one.
func (s *server) loadAndKill(a *answers, after time.Duration, database bool) {
	s.t.Helper()
	database = database && s.cluster != nil
	ctx, cancel := context.WithTimeout(s.t.Context(), answerMax)
	defer cancel()
	var gone error
	crash := time.AfterFunc(after, func() {
		defer cancel()
		if database {
			gone = s.cluster.Kill()
		}
		s.kill()
	})
	s.load(ctx, a)
	if crash.Stop() {
		s.t.Fatalf("the server ended by itself:\n%s", s.output())
	}
	<-ctx.Done()
	if gone != nil {
		s.t.Fatal(gone)
	}
	if database {
		if err := s.cluster.Run(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	} else if len(a.problems) > 0 {
		s.t.Fatalf("no decision: %+v", a.problems[0])
	}
	a.problems = nil
}

// last is the greatest index answered.
func (a *answers) last() int64 {
	last := int64(-1)
	for _, d := range a.all {
		last = max(last, d.Receipt.Index)
	}
	return last
}
