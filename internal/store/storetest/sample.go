package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

const (
	prod    = gov.Environment("prod")
	staging = gov.Environment("staging")

	nodeLevel  = 8
	nodeLeaves = 1 << nodeLevel
	batchesMax = 10_000 // more than any test here writes
)

// start is when the ledgers of these tests begin: lately, so that the retention floor keeps all of it.
func start() time.Time { return time.Now().UTC().Truncate(time.Hour).Add(-2 * time.Hour) }

// open opens a database for a test and closes it with the test.
func open(t *testing.T, d Database) Store {
	t.Helper()
	s, err := d.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// next makes a commit of count entries after a head. To the store, roots and edges are bytes like any others.
func next(found row.Found, count int, at time.Time) row.Commit {
	h := found.Head
	c := row.Commit{Batch: row.Batch{Ledger: h.Ledger, First: h.Size, Count: count, At: at}}
	for i := range count {
		entry := fmt.Appendf(nil, `{"ledger":%q,"index":%d}`, h.Ledger, h.Size+int64(i))
		c.Batch.Entries = binary.BigEndian.AppendUint16(c.Batch.Entries, uint16(len(entry)))
		c.Batch.Entries = append(c.Batch.Entries, entry...)
		if n := h.Size + int64(i) + 1; n%nodeLeaves == 0 {
			c.Nodes = append(c.Nodes, row.Node{Level: nodeLevel, Index: n/nodeLeaves - 1, Hash: hashOf(n)})
		}
	}
	h.Size += int64(count)
	h.Root = hashOf(h.Size)
	h.Edge = []row.Hash{hashOf(-h.Size), hashOf(-h.Size - 1)}
	h.At = at
	c.Head = h
	return c
}

func hashOf(n int64) row.Hash { return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n))) }

func keyOf(n int) (k row.CallKey) {
	h := hashOf(int64(n) + 1<<40)
	copy(k[:], h[:])
	return k
}

// callsOf is what an append finds of calls.
func callsOf(t *testing.T, s Store, ledger gov.Environment, keys ...row.CallKey) (calls []row.Call) {
	t.Helper()
	err := s.Append(t.Context(), ledger, row.Want{Calls: keys}, func(found row.Found) (row.Commit, error) {
		calls = slices.Clone(found.Calls)
		return row.Commit{}, nil
	})
	return check(calls, err)(t)
}

// commit appends what next makes, changed by with.
func commit(t *testing.T, s Store, ledger gov.Environment, count int, at time.Time, with func(*row.Commit)) row.Commit {
	t.Helper()
	var c row.Commit
	err := s.Append(t.Context(), ledger, row.Want{}, func(found row.Found) (row.Commit, error) {
		c = next(found, count, at)
		if with != nil {
			with(&c)
		}
		return c, nil
	})
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return c
}

// noise is bytes that occur nowhere else.
func noise(n int) []byte {
	out := make([]byte, 0, n+8)
	for len(out) < n {
		out = binary.BigEndian.AppendUint64(out, rand.Uint64())
	}
	return out[:n]
}

// whole fails unless a ledger is in one piece: batches that follow one another without a gap up to the head's size, in the
// order of time, with a node for every full tile.
func whole(t *testing.T, s Store, ledger gov.Environment) row.Head {
	t.Helper()
	head := check(s.Head(t.Context(), ledger))(t)
	// The head was read first: later reads may see more, never less.
	batches := check(s.Batches(t.Context(), ledger, 0, head.Size, batchesMax))(t)
	size, at := int64(0), time.Time{}
	for _, b := range batches {
		if b.First != size || b.Count < 1 || b.At.Before(at) {
			t.Fatalf("ledger %s: the batch at %d holds %d entries of %v, after %d of %v", ledger, b.First, b.Count, b.At, size, at)
		}
		size, at = size+int64(b.Count), b.At
	}
	if size != head.Size || !at.Equal(head.At) {
		t.Fatalf("ledger %s: the batches end at %d of %v, the head is at %d of %v", ledger, size, at, head.Size, head.At)
	}
	nodes := check(s.Nodes(t.Context(), ledger, nodeLevel, 0, head.Size/nodeLeaves))(t)
	for i, n := range nodes {
		if want := (row.Node{Level: nodeLevel, Index: int64(i), Hash: hashOf(int64(i+1) * nodeLeaves)}); n != want {
			t.Fatalf("ledger %s: node %d is %v", ledger, i, n)
		}
	}
	if int64(len(nodes)) != head.Size/nodeLeaves {
		t.Fatalf("ledger %s: %d nodes for %d entries", ledger, len(nodes), head.Size)
	}
	return head
}

// check passes a value on and fails the test of an error.
func check[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// unavailable fails unless err says that the ledger cannot be written, in words for the caller.
func unavailable(t *testing.T, err error) {
	t.Helper()
	var e *gov.Error
	if !errors.As(err, &e) || e.Code != gov.CodeLedgerUnavailable || e.Detail == "" {
		t.Fatalf("got %v, want %s with a reason", err, gov.CodeLedgerUnavailable)
	}
}

// everything is all that a store holds of a ledger, for comparing before and after.
type everything struct {
	Head        row.Head
	Batches     []row.Batch
	Payloads    []row.Payload
	Nodes       []row.Node
	Changes     []row.Change
	Checkpoints []row.Checkpoint
}

func readAll(t *testing.T, s Store, ledger gov.Environment) everything {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	all := everything{Head: check(s.Head(ctx, ledger))(t)}
	all.Batches = check(s.Batches(ctx, ledger, 0, all.Head.Size, batchesMax))(t)
	firsts := make([]int64, 0, len(all.Batches))
	for _, b := range all.Batches {
		firsts = append(firsts, b.First)
	}
	all.Payloads = check(s.Payloads(ctx, ledger, firsts))(t)
	all.Nodes = check(s.Nodes(ctx, ledger, nodeLevel, 0, all.Head.Size))(t)
	all.Changes = check(s.Changes(ctx, ledger, 0))(t)
	all.Checkpoints = check(s.Checkpoints(ctx, ledger, batchesMax))(t)
	return all
}
