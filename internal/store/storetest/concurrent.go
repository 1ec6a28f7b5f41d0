package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

const (
	writersEach = 4
	appendsEach = 25
)

// nodes opens a database as often as a cluster would.
func nodes(t *testing.T, d Database) []Store {
	t.Helper()
	out := []Store{open(t, d)}
	if d.Shared() {
		out = append(out, open(t, d))
	}
	return out
}

func manyWriters(t *testing.T, d Database) {
	stores := nodes(t, d)
	var writers, readers sync.WaitGroup
	reading, stop := context.WithCancel(t.Context())
	failures := make(chan error, 2*len(stores)*writersEach)
	for _, ledger := range []gov.Environment{prod, staging} {
		inside := new(atomic.Int32)
		for i := range stores {
			for range writersEach {
				writers.Go(func() { failures <- writeMany(t.Context(), stores[i], ledger, inside) })
			}
		}
	}
	for _, s := range stores {
		readers.Go(func() { readWhile(reading, t, s) })
	}
	writers.Wait()
	stop()
	readers.Wait()
	for range cap(failures) {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	for _, ledger := range []gov.Environment{prod, staging} {
		if size := whole(t, stores[0], ledger).Size; size != int64(len(stores)*writersEach*appendsEach*3) {
			t.Errorf("ledger %s has %d entries", ledger, size)
		}
	}
}

// writeMany appends three entries at a time, each append on what the one before it left.
func writeMany(ctx context.Context, s Store, ledger gov.Environment, inside *atomic.Int32) error {
	for range appendsEach {
		err := s.Append(ctx, ledger, row.Want{Sessions: []gov.SessionID{"counter"}}, func(found row.Found) (row.Commit, error) {
			if inside.Add(1) != 1 {
				return row.Commit{}, errors.New("two writers hold one ledger")
			}
			defer inside.Add(-1)
			if len(found.Sessions) > 0 && found.Sessions[0].Version != found.Head.Size || len(found.Sessions) == 0 && found.Head.Size > 0 {
				return row.Commit{}, fmt.Errorf("found %v beside a head of size %d", found.Sessions, found.Head.Size)
			}
			c := next(found, 3, start().Add(time.Duration(found.Head.Size)*time.Microsecond))
			c.Sessions = []row.Session{{ID: "counter", Version: c.Head.Size, Labels: []gov.Label{}}}
			return c, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readWhile checks that readers see whole commits only.
func readWhile(ctx context.Context, t *testing.T, s Store) {
	for ctx.Err() == nil {
		if _, err := s.Head(t.Context(), prod); err == nil {
			whole(t, s, prod)
		}
	}
}

func housekeeping(t *testing.T, d Database) {
	s := open(t, d)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Maintain(ctx) })
	for i := range 200 {
		c := commit(t, s, prod, 10, start(), func(c *row.Commit) {
			c.Payload = row.Payload{Ledger: prod, First: c.Batch.First, Data: noise(100_000)}
		})
		if i%20 == 0 {
			check(0, s.SaveIndex(t.Context(), row.Index{Ledger: prod, Through: c.Head.Size, Postings: []row.Posting{{Dim: 1, Value: "v", Segment: int64(i), Offsets: noise(500)}}}))(t)
		}
	}
	stop()
	running.Wait()
	whole(t, s, prod)
}

func jobs(t *testing.T, d Database) {
	stores := nodes(t, d)
	ctx := t.Context()
	take := func(s Store, name string, want bool) func() {
		t.Helper()
		release, ok, err := s.TryLock(ctx, name)
		if err != nil || ok != want {
			t.Fatalf("lock %s: taken=%v, %v; want %v", name, ok, err, want)
		}
		return release
	}
	first, last := stores[0], stores[len(stores)-1]
	release := take(first, "index", true)
	take(first, "index", false)
	take(last, "index", false)
	take(last, "scrub", true)()
	release()
	take(last, "index", true)()
	take(first, "index", true)()
}
