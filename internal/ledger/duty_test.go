package ledger_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/ledger"
)

func clerkOf(l *ledger.Ledger) *ledger.Clerk {
	return &ledger.Clerk{
		Ledger: l, Rand: rand.Reader, Node: "n1", Origin: "example.com/prod", PublicKey: "example.com/prod+1+AA", Version: "v1",
		Interval: time.Minute,
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// story tells the entries of a ledger: their kinds, and of a gap from when to when.
func story(t *testing.T, l *ledger.Ledger) []string {
	t.Helper()
	head, err := l.Head(t.Context())
	must(t, err)
	var told []string
	must(t, l.Scan(t.Context(), 0, head.Size, false, func(r ledger.Raw) error {
		e, err := canon.Decode(r.Bytes)
		if err != nil {
			return err
		}
		line := string(e.Kind)
		if e.Kind == canon.KindRecorderGap {
			gap, err := canon.Body[canon.RecorderGap](e)
			if err != nil {
				return err
			}
			line += " " + gap.From[11:19] + " to " + gap.To[11:19]
		}
		told = append(told, line)
		return nil
	}))
	return told
}

func expectStory(t *testing.T, l *ledger.Ledger, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, story(t, l)); diff != "" {
		t.Error(diff)
	}
}

func TestALedgerIsOpenedOnce(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		c := newClock()
		l, _ := open(t, c)
		clerk := clerkOf(l)
		must(t, clerk.Beat(t.Context())) // nothing to be alive for yet
		must(t, clerk.Begin(t.Context()))
		c.move(2 * time.Minute)
		must(t, clerk.Begin(t.Context())) // a restart within three intervals is no gap
		expectStory(t, l, "ledger_opened")
	})
}

func TestSilenceHasAHeartbeatEachInterval(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		c := newClock()
		l, _ := open(t, c)
		clerk := clerkOf(l)
		must(t, clerk.Begin(t.Context()))
		for range 6 { // the job looks twice an interval
			c.move(30 * time.Second)
			must(t, clerk.Beat(t.Context()))
		}
		expectStory(t, l, "ledger_opened", "heartbeat", "heartbeat", "heartbeat")
		for range 10 { // a busy ledger needs none
			c.move(30 * time.Second)
			mustAppend(t, l, decision(t, "bot", "s/t", "x"))
			must(t, clerk.Beat(t.Context()))
		}
		if told := story(t, l); len(told) != 14 || told[13] != "decision" {
			t.Errorf("while decisions come: %q", told)
		}
	})
}

func TestAStopIsAGapWhenItStartsAgain(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		c := newClock()
		l, _ := open(t, c)
		must(t, clerkOf(l).Begin(t.Context()))
		c.move(3 * time.Minute)
		must(t, clerkOf(l).Begin(t.Context())) // three intervals are not more than three
		c.move(time.Second)
		must(t, clerkOf(l).Begin(t.Context()))
		must(t, clerkOf(l).Begin(t.Context())) // a second node: it was recorded
		expectStory(t, l, "ledger_opened", "recorder_gap 14:03:00 to 14:06:01")
	})
}

func TestAGapIsRecordedBeforeTheHeartbeatAfterIt(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		c := newClock()
		l, _ := open(t, c)
		clerk := clerkOf(l)
		must(t, clerk.Begin(t.Context()))
		c.move(time.Hour) // the process was there, its store was not
		must(t, clerk.Beat(t.Context()))
		must(t, clerk.Beat(t.Context()))
		expectStory(t, l, "ledger_opened", "recorder_gap 14:03:00 to 15:03:00", "heartbeat")
		c.move(time.Minute)
		must(t, clerk.Beat(t.Context()))
		expectStory(t, l, "ledger_opened", "recorder_gap 14:03:00 to 15:03:00", "heartbeat", "heartbeat")
	})
}

// TestADecisionAfterAnOutageDoesNotHideIt: the store comes back and a decision is recorded before the clerk looks again.
func TestADecisionAfterAnOutageDoesNotHideIt(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		c := newClock()
		l, _ := open(t, c)
		clerk := clerkOf(l)
		must(t, clerk.Begin(t.Context()))
		c.move(30 * time.Second)
		must(t, clerk.Beat(t.Context()))
		c.move(time.Hour)
		mustAppend(t, l, decision(t, "bot", "s/t", "x"))
		mustAppend(t, l, decision(t, "bot", "s/t", "y"))
		c.move(time.Second)
		must(t, clerk.Beat(t.Context()))
		must(t, clerk.Beat(t.Context()))
		expectStory(t, l, "ledger_opened", "decision", "decision", "recorder_gap 14:03:00 to 15:03:30")
	})
}
