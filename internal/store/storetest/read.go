package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

func apart(t *testing.T, d Database) {
	s := open(t, d)
	commit(t, s, staging, 300, start(), nil)
	other := readAll(t, s, staging)
	commit(t, s, prod, 600, start().Add(time.Hour), full)
	same(t, "the other ledger", readAll(t, s, staging), other)
	same(t, "calls in the other ledger", callsOf(t, s, staging, keyOf(1)), nil)
	if n := check(s.IndexAt(t.Context(), staging, start().Add(time.Minute)))(t); n != 300 {
		t.Errorf("index at in the other ledger: %d, want 300", n)
	}
	// Sorted by byte, whatever the server's idea of an alphabet.
	for _, name := range []gov.Environment{"a-b", "a.b", "a_b", "ab"} {
		commit(t, s, name, 1, start(), nil)
	}
	same(t, "ledgers", check(s.Ledgers(t.Context()))(t), []gov.Environment{"a-b", "a.b", "a_b", "ab", prod, staging})
}

func oddNames(t *testing.T, d Database) {
	s := open(t, d)
	for i, name := range []gov.Environment{"2026-11-23", "20261123", "1e5", "null", "org"} {
		id := gov.SessionID([]string{"2026-11-23T14:03:00Z", "0x1F", "1e5", "a|b@c=d", "s"}[i])
		labels := []gov.Label{`quote"d`, "2026-11-23", "ünï"}
		commit(t, s, name, 1, start(), func(c *row.Commit) {
			c.Sessions = []row.Session{{ID: id, Version: 1, Labels: labels}}
		})
		same(t, "head of "+string(name), check(s.Head(t.Context(), name))(t).Ledger, name)
		err := s.Append(t.Context(), name, row.Want{Sessions: []gov.SessionID{id}}, func(found row.Found) (row.Commit, error) {
			same(t, "session", found.Sessions, []row.Session{{ID: id, Version: 1, Labels: labels}})
			return row.Commit{}, nil
		})
		check(0, err)(t)
	}
	same(t, "ledgers", check(s.Ledgers(t.Context()))(t), []gov.Environment{"1e5", "2026-11-23", "20261123", "null", "org"})
}

func batchWindows(t *testing.T, d Database) {
	s := open(t, d)
	for _, count := range []int{1, 4, 5, 1} { // at 0, 1, 5, 10; the size is 11
		commit(t, s, prod, count, start(), nil)
	}
	for _, w := range []struct {
		from, to int64
		max      int
		firsts   []int64
	}{
		{0, 11, 9, []int64{0, 1, 5, 10}},
		{0, 1, 9, []int64{0}},
		{1, 2, 9, []int64{1}},
		{4, 5, 9, []int64{1}},
		{4, 6, 9, []int64{1, 5}},
		{7, 100, 9, []int64{5, 10}},
		{10, 11, 9, []int64{10}},
		{0, 11, 2, []int64{0, 1}},
		{11, 20, 9, nil},
		{3, 3, 9, nil},
	} {
		var firsts []int64
		for _, b := range check(s.Batches(t.Context(), prod, w.from, w.to, w.max))(t) {
			firsts = append(firsts, b.First)
		}
		same(t, fmt.Sprintf("batches of [%d, %d), at most %d", w.from, w.to, w.max), firsts, w.firsts)
	}
}

func indexByTime(t *testing.T, d Database) {
	s := open(t, d)
	at := start()
	for i, count := range []int{2, 3, 4} { // the second and third at one time
		commit(t, s, prod, count, at.Add(time.Duration(min(i, 1))*time.Second), nil)
	}
	for after, want := range map[time.Duration]int64{
		-time.Hour: 0, 0: 0, time.Microsecond: 2, time.Second: 2, time.Second + time.Microsecond: 9,
	} {
		if n := check(s.IndexAt(t.Context(), prod, at.Add(after)))(t); n != want {
			t.Errorf("index at start%+v: %d, want %d", after, n, want)
		}
	}
}

func checkpoints(t *testing.T, d Database) {
	s := open(t, d)
	at := start()
	if _, ok, err := s.Checkpoint(t.Context(), prod); ok || err != nil {
		t.Fatalf("at first: there=%v, %v", ok, err)
	}
	first := row.Checkpoint{Ledger: prod, Size: 10, At: at, Note: []byte("note 10")}
	later := row.Checkpoint{Ledger: prod, Size: 20, At: at.Add(time.Minute), Note: []byte("note 20")}
	cosigned := row.Checkpoint{Ledger: prod, Size: 20, At: at.Add(time.Minute), Note: []byte("note 20, cosigned")}
	hour := row.Checkpoint{Ledger: prod, Size: 30, At: at.Add(time.Hour), Note: []byte("note 30")}
	for _, c := range []row.Checkpoint{first, later, cosigned, hour} {
		check(0, s.SaveCheckpoint(t.Context(), c))(t)
		newest, _, err := s.Checkpoint(t.Context(), prod)
		same(t, "newest", check(newest, err)(t), c)
	}
	for _, at := range []time.Time{hour.At, hour.At.Add(2 * time.Hour), at} {
		older := row.Checkpoint{Ledger: prod, Size: 29, At: at, Note: []byte("note 29")}
		if err := s.SaveCheckpoint(t.Context(), older); gov.CodeOf(err) != gov.CodeConflict {
			t.Errorf("a smaller one of %v: got %v, want %s", at, err, gov.CodeConflict)
		}
	}
	same(t, "all", check(s.Checkpoints(t.Context(), prod, 9))(t), []row.Checkpoint{hour, cosigned})
	same(t, "one", check(s.Checkpoints(t.Context(), prod, 1))(t), []row.Checkpoint{hour})
}

func postings(t *testing.T, d Database) {
	s := open(t, d)
	ctx := t.Context()
	posting := func(value string, segment int64, offsets string) row.Posting {
		return row.Posting{Dim: 7, Value: value, Segment: segment, Offsets: []byte(offsets)}
	}
	check(0, s.SaveIndex(ctx, row.Index{Ledger: prod, Through: 5, Postings: []row.Posting{
		posting("a", 0, "x"), posting("a", 1, "old"), posting("a", 2, "z"), posting("b", 1, "y"),
	}}))(t)
	check(0, s.SaveIndex(ctx, row.Index{Ledger: prod, Through: 9, Postings: []row.Posting{posting("a", 1, "new"), posting("2026-11-23", 1, "t")}}))(t)
	same(t, "through", check(s.Indexed(ctx, prod))(t), 9)
	same(t, "another ledger's", check(s.Indexed(ctx, staging))(t), 0)
	same(t, "all", check(s.Postings(ctx, prod, 7, "a", 9, 0, 9))(t), []row.Posting{posting("a", 2, "z"), posting("a", 1, "new"), posting("a", 0, "x")})
	same(t, "a window", check(s.Postings(ctx, prod, 7, "a", 2, 1, 9))(t), []row.Posting{posting("a", 1, "new")})
	same(t, "the newest", check(s.Postings(ctx, prod, 7, "a", 9, 0, 1))(t), []row.Posting{posting("a", 2, "z")})
	same(t, "another dimension", len(check(s.Postings(ctx, prod, 8, "a", 9, 0, 9))(t)), 0)

	check(0, s.SaveFollower(ctx, prod, "notify", row.Follower{Through: 3}))(t)
	check(0, s.SaveFollower(ctx, prod, "notify", row.Follower{Through: 4, State: []byte("state")}))(t)
	same(t, "follower", check(s.Follower(ctx, prod, "notify"))(t), row.Follower{Through: 4, State: []byte("state")})
	same(t, "the index all the same", check(s.Indexed(ctx, prod))(t), 9)
}
