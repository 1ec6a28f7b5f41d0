package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

var errStop = errors.New("the caller thought better of it")

func neverWritten(t *testing.T, d Database) {
	s := open(t, d)
	for _, fn := range []func(row.Found) (row.Commit, error){
		func(row.Found) (row.Commit, error) { return row.Commit{}, nil },
		func(row.Found) (row.Commit, error) { return row.Commit{}, errStop },
	} {
		err := s.Append(t.Context(), prod, row.Want{}, func(found row.Found) (row.Commit, error) {
			same(t, "found", found, row.Found{Head: row.Head{Ledger: prod}})
			return fn(found)
		})
		if err != nil && !errors.Is(err, errStop) {
			t.Fatalf("append: %v", err)
		}
		if _, err := s.Head(t.Context(), prod); gov.CodeOf(err) != gov.CodeNotFound {
			t.Errorf("head: got %v, want %s", err, gov.CodeNotFound)
		}
		if names := check(s.Ledgers(t.Context()))(t); len(names) != 0 {
			t.Errorf("ledgers: %v, want none", names)
		}
	}
	if _, err := s.IndexAt(t.Context(), prod, start()); gov.CodeOf(err) != gov.CodeNotFound {
		t.Errorf("index at: got %v, want %s", err, gov.CodeNotFound)
	}
}

// full is a commit that writes every kind of row.
func full(c *row.Commit) {
	c.Payload = row.Payload{Ledger: c.Batch.Ledger, First: c.Batch.First, Data: []byte("payload of " + c.Batch.Ledger)}
	c.Calls = []row.Call{{Key: keyOf(1), Index: 3, Input: [16]byte{1, 2, 3}}, {Key: keyOf(2), Index: 4}}
	c.Sessions = []row.Session{{ID: "s1", Version: 5, Labels: []gov.Label{"private", "untrusted"}, Marks: []byte{1, 0, 255}}}
	c.Results = []row.Result{{Decision: 1, Index: 2}}
	c.Changes = []row.Change{{Epoch: 1, Index: 0}, {Epoch: 2, Index: 7}}
	c.Blobs = []row.Blob{{Digest: "sha256:abc", Data: []byte("tar")}}
	c.Head.Epoch = 2
}

func readBack(t *testing.T, d Database) {
	s, err := d.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := commit(t, s, prod, 600, start(), full)
	sameAsCommitted(t, s, c)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, d)
	sameAsCommitted(t, again, c)
	commit(t, again, prod, 1, start().Add(time.Microsecond), nil)
	whole(t, again, prod)
}

func sameAsCommitted(t *testing.T, s Store, c row.Commit) {
	t.Helper()
	ctx := t.Context()
	same(t, "head", whole(t, s, prod), c.Head)
	same(t, "ledgers", check(s.Ledgers(ctx))(t), []gov.Environment{prod})
	same(t, "batches", check(s.Batches(ctx, prod, 0, c.Head.Size, batchesMax))(t), []row.Batch{c.Batch})
	same(t, "payloads", check(s.Payloads(ctx, prod, []int64{0, 99}))(t), []row.Payload{c.Payload})
	same(t, "nodes", check(s.Nodes(ctx, prod, nodeLevel, 1, 2))(t), c.Nodes[1:2])
	same(t, "changes", check(s.Changes(ctx, prod, 0))(t), c.Changes)
	same(t, "later changes", check(s.Changes(ctx, prod, 1))(t), c.Changes[1:])
	same(t, "call", callsOf(t, s, prod, keyOf(1)), c.Calls[:1])
	session, _, err := s.Session(ctx, prod, "s1")
	same(t, "session", check(session, err)(t), c.Sessions[0])
	result, _, err := s.Result(ctx, prod, 1)
	same(t, "result", check(result, err)(t), c.Results[0])
	blob, _, err := s.Blob(ctx, "sha256:abc")
	same(t, "blob", check(blob, err)(t), c.Blobs[0].Data)
}

// absent fails if any row of full is there.
func absent(t *testing.T, s Store) {
	t.Helper()
	ctx := t.Context()
	same(t, "calls", callsOf(t, s, prod, keyOf(1)), nil)
	if _, ok, err := s.Session(ctx, prod, "s1"); ok || err != nil {
		t.Errorf("session: there=%v, %v", ok, err)
	}
	if _, ok, err := s.Result(ctx, prod, 1); ok || err != nil {
		t.Errorf("result: there=%v, %v", ok, err)
	}
	if _, ok, err := s.Blob(ctx, "sha256:abc"); ok || err != nil {
		t.Errorf("blob: there=%v, %v", ok, err)
	}
}

func failedAppend(t *testing.T, d Database) {
	s := open(t, d)
	commit(t, s, prod, 1, start(), nil)
	before := readAll(t, s, prod)
	err := s.Append(t.Context(), prod, row.Want{}, func(found row.Found) (row.Commit, error) {
		c := next(found, 600, start())
		full(&c)
		return c, errStop
	})
	if !errors.Is(err, errStop) {
		t.Errorf("got %v, want the error of fn", err)
	}
	err = s.Append(t.Context(), prod, row.Want{}, func(found row.Found) (row.Commit, error) {
		c := next(found, 600, start())
		full(&c)
		c.Batch.Count = 0
		return c, nil
	})
	if err != nil {
		t.Errorf("an empty commit: %v", err)
	}
	absent(t, s)
	same(t, "ledger", readAll(t, s, prod), before)
}

func refusedCommit(t *testing.T, d Database) {
	s := open(t, d)
	commit(t, s, prod, 3, start(), func(c *row.Commit) {
		c.Results = []row.Result{{Decision: 0, Index: 1}}
		c.Head.Epoch = 7
	})
	before := readAll(t, s, prod)
	for name, spoil := range map[string]func(*row.Commit){
		"a second result": func(c *row.Commit) { c.Results = append(c.Results, row.Result{Decision: 0, Index: 4}) },
		"an entry again":  func(c *row.Commit) { c.Batch.First = 0 },
		"no entries":      func(c *row.Commit) { c.Batch.Count = -1 },
		"a smaller head":  func(c *row.Commit) { c.Head.Size = 1 },
		"an older epoch":  func(c *row.Commit) { c.Head.Epoch = 6 },
		"an earlier time": func(c *row.Commit) { c.Head.At = start().Add(-time.Second) },
	} {
		err := s.Append(t.Context(), prod, row.Want{}, func(found row.Found) (row.Commit, error) {
			c := next(found, 600, start().Add(time.Second))
			full(&c)
			c.Head.Epoch = 9
			spoil(&c)
			return c, nil
		})
		var e *gov.Error
		if !errors.As(err, &e) || !strings.Contains(e.Detail, "contradict") {
			t.Errorf("%s: got %v, want a plain refusal", name, err)
		}
		absent(t, s)
		same(t, "ledger after "+name, readAll(t, s, prod), before)
	}
	commit(t, s, prod, 1, start().Add(time.Second), nil)
	whole(t, s, prod)
}

func canceledAppend(t *testing.T, d Database) {
	s := open(t, d)
	commit(t, s, prod, 1, start(), nil)
	before := readAll(t, s, prod)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Append(ctx, prod, row.Want{}, func(found row.Found) (row.Commit, error) { return next(found, 1, start()), nil })
	unavailable(t, err)
	ctx, cancel = context.WithCancel(t.Context())
	err = s.Append(ctx, prod, row.Want{}, func(found row.Found) (row.Commit, error) {
		cancel() // while the head is locked
		return next(found, 1, start()), nil
	})
	unavailable(t, err)
	same(t, "ledger", readAll(t, s, prod), before)
	commit(t, s, prod, 1, start(), nil)
	whole(t, s, prod)
}

func wanted(t *testing.T, d Database) {
	s := open(t, d)
	c := commit(t, s, prod, 600, start(), full)
	want := row.Want{
		Calls:    []row.CallKey{keyOf(9), keyOf(2), keyOf(1)},
		Sessions: []gov.SessionID{"s0", "s1"},
		Results:  []int64{0, 1},
	}
	check(0, s.Append(t.Context(), prod, want, func(found row.Found) (row.Commit, error) {
		slices.SortFunc(found.Calls, func(a, b row.Call) int { return int(a.Index - b.Index) })
		same(t, "found", found, row.Found{Head: c.Head, Calls: c.Calls, Sessions: c.Sessions, Results: c.Results})
		return row.Commit{}, nil
	}))(t)
}

func movingRows(t *testing.T, d Database) {
	s := open(t, d)
	commit(t, s, prod, 600, start(), full)
	commit(t, s, prod, 1, start(), func(c *row.Commit) {
		c.Calls = []row.Call{{Key: keyOf(1), Index: 600, Input: [16]byte{9}}}
		c.Sessions = []row.Session{{ID: "s1", Version: 601, Labels: []gov.Label{"a"}}}
		c.Results = []row.Result{{Decision: 600, Index: 600}}
		c.Blobs = []row.Blob{{Digest: "sha256:abc", Data: []byte("something else")}}
	})
	commit(t, s, prod, 2, start(), func(c *row.Commit) { // twice in one commit: the later one stands
		c.Calls = []row.Call{{Key: keyOf(3), Index: 601}, {Key: keyOf(3), Index: 602}}
		c.Sessions = []row.Session{{ID: "s2", Version: 602, Labels: []gov.Label{"a"}}, {ID: "s2", Version: 603, Labels: []gov.Label{"a", "b"}}}
	})
	same(t, "call placed twice", callsOf(t, s, prod, keyOf(3)), []row.Call{{Key: keyOf(3), Index: 602}})
	twice, _, err := s.Session(t.Context(), prod, "s2")
	same(t, "session changed twice", check(twice, err)(t), row.Session{ID: "s2", Version: 603, Labels: []gov.Label{"a", "b"}})
	same(t, "call", callsOf(t, s, prod, keyOf(1)), []row.Call{{Key: keyOf(1), Index: 600, Input: [16]byte{9}}})
	session, _, err := s.Session(t.Context(), prod, "s1")
	same(t, "session", check(session, err)(t), row.Session{ID: "s1", Version: 601, Labels: []gov.Label{"a"}})
	result, _, err := s.Result(t.Context(), prod, 1)
	same(t, "result", check(result, err)(t), row.Result{Decision: 1, Index: 2})
	blob, _, err := s.Blob(t.Context(), "sha256:abc")
	same(t, "blob", string(check(blob, err)(t)), "tar")
}
