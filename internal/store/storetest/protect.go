package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

// withPayload puts a payload into a commit.
func withPayload(data []byte) func(*row.Commit) {
	return func(c *row.Commit) {
		c.Payload = row.Payload{Ledger: c.Batch.Ledger, First: c.Batch.First, Data: data}
	}
}

// erase replaces the payload of the batch at first, and appends the entry that says so.
func erase(t *testing.T, s Store, first int64, data []byte) {
	t.Helper()
	err := s.ErasePayload(t.Context(), prod, row.Payload{Ledger: prod, First: first, Data: data}, func(found row.Found) (row.Commit, error) {
		return next(found, 1, start()), nil
	})
	check(0, err)(t)
}

func erased(t *testing.T, d Database) {
	s := open(t, d)
	var payloads [][]byte
	for _, size := range []int{40, 3_000, 200_000} {
		payloads = append(payloads, noise(size))
		commit(t, s, prod, 1, start(), withPayload(payloads[len(payloads)-1]))
	}
	if len(d.Finds(t, payloads[1][:40])) == 0 {
		t.Fatal("what is there is not found: the search does not work")
	}
	before := readAll(t, s, prod)
	erase(t, s, 1, []byte("gone"))
	after := readAll(t, s, prod)
	same(t, "entries", after.Batches[:3], before.Batches)
	same(t, "payloads", after.Payloads, []row.Payload{before.Payloads[0], {Ledger: prod, First: 1, Data: []byte("gone")}, before.Payloads[2]})
	if after.Head.Size != before.Head.Size+1 {
		t.Errorf("the head went from %d to %d", before.Head.Size, after.Head.Size)
	}
	nowhere(t, d, payloads[1])
	erase(t, s, 2, nil)
	erase(t, s, 0, nil)
	for _, p := range payloads {
		nowhere(t, d, p)
	}
	same(t, "no payload is left", totalPayload(t, s), len("gone"))
}

func totalPayload(t *testing.T, s Store) (n int) {
	t.Helper()
	for _, p := range readAll(t, s, prod).Payloads {
		n += len(p.Data)
	}
	return n
}

// nowhere fails if any stretch of data can be found.
func nowhere(t *testing.T, d Database, data []byte) {
	t.Helper()
	const stretch = 24
	for from := 0; from+stretch <= len(data); from += max(stretch, len(data)/8) {
		if places := d.Finds(t, data[from:from+stretch]); len(places) != 0 {
			t.Errorf("erased bytes %d of %d are still in %v", from, len(data), places)
		}
	}
}

// erasedAtRandom looks for what a database leaves behind when it moves rows from page to page.
func erasedAtRandom(t *testing.T, d Database) {
	s := open(t, d)
	payloads := map[int64][]byte{}
	for i := range 150 {
		data := noise(24 + rand.IntN(3_000))
		payloads[int64(i)] = data
		commit(t, s, prod, 1, start(), withPayload(data))
	}
	order := make([]int64, 0, len(payloads))
	for first := range payloads {
		order = append(order, first)
	}
	slices.Sort(order)
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for _, first := range order[:100] {
		erase(t, s, first, payloads[first][:rand.IntN(2)*10])
	}
	for _, first := range order[:100] {
		nowhere(t, d, payloads[first][10:])
	}
	for _, first := range order[100:] {
		got := check(s.Payloads(t.Context(), prod, []int64{first}))(t)
		same(t, "a payload that stays", got, []row.Payload{{Ledger: prod, First: first, Data: payloads[first]}})
	}
}

func failedErasure(t *testing.T, d Database) {
	s := open(t, d)
	commit(t, s, prod, 1, start(), withPayload([]byte("personal")))
	before := readAll(t, s, prod)
	err := s.ErasePayload(t.Context(), prod, row.Payload{Ledger: prod}, func(row.Found) (row.Commit, error) { return row.Commit{}, errStop })
	if !errors.Is(err, errStop) {
		t.Errorf("got %v, want the error of fn", err)
	}
	err = s.ErasePayload(t.Context(), prod, row.Payload{Ledger: prod}, func(row.Found) (row.Commit, error) { return row.Commit{}, nil })
	if err == nil {
		t.Error("an erasure without an entry that records it went through")
	}
	err = s.ErasePayload(t.Context(), prod, row.Payload{Ledger: prod, First: 77}, func(found row.Found) (row.Commit, error) {
		return next(found, 1, start()), nil
	})
	if gov.CodeOf(err) != gov.CodeNotFound {
		t.Errorf("an erasure of what is not there: got %v, want %s", err, gov.CodeNotFound)
	}
	same(t, "ledger", readAll(t, s, prod), before)
}

// attempts are ways to change history with a SQL prompt.
func attempts() []string {
	out := []string{
		"UPDATE batch SET entries = 'x'", "UPDATE batch SET at = at - 1", "UPDATE batch SET first = first + 1000",
		"UPDATE node SET hash = 'x'", "UPDATE result SET idx = idx + 1", "UPDATE change SET idx = idx + 1",
		"UPDATE blob SET data = 'x'", "UPDATE checkpoint SET size = size - 1", "UPDATE checkpoint SET hour = hour - 3600",
		"UPDATE head SET size = size - 1", "UPDATE head SET epoch = epoch - 1", "UPDATE head SET at = at - 1", "UPDATE head SET ledger = 'other'",
		"UPDATE payload SET first = first + 1", "UPDATE payload SET ledger = 'other'", "UPDATE payload SET data = 'something much longer than what was there before'",
	}
	for _, table := range []string{"head", "batch", "payload", "node", "result", "change", "blob", "checkpoint"} {
		out = append(out, "DELETE FROM "+table)
	}
	return out
}

func appendOnly(t *testing.T, d Database) {
	s := open(t, d)
	commit(t, s, prod, 600, start(), full)
	check(0, s.SaveCheckpoint(t.Context(), row.Checkpoint{Ledger: prod, Size: 600, At: start(), Note: []byte("note")}))(t)
	before := readAll(t, s, prod)
	tries := attempts()
	if d.Shared() { // PostgreSQL knows this statement
		for _, table := range []string{"head", "batch", "payload", "node", "result", "change", "blob", "checkpoint"} {
			tries = append(tries, "TRUNCATE "+table)
		}
	} else { // and SQLite this one, which deletes without asking
		for _, table := range []string{"head", "batch", "payload", "node", "result", "change"} {
			tries = append(tries, fmt.Sprintf("REPLACE INTO %[1]s SELECT * FROM %[1]s", table))
		}
		tries = append(tries, "REPLACE INTO checkpoint SELECT ledger, hour, size - 1, at, note FROM checkpoint",
			"REPLACE INTO batch SELECT id, ledger, first + 1000, count, at, entries FROM batch",
			"REPLACE INTO payload SELECT id, ledger, first + 1000, data FROM payload")
		check(0, d.Exec(t, "REPLACE INTO blob SELECT digest, 'x' FROM blob; REPLACE INTO blob (rowid, digest, data) SELECT rowid, 'x', 'x' FROM blob"))(t) // to no effect
	}
	for _, text := range tries {
		if err := d.Exec(t, text); err == nil {
			t.Errorf("%s: went through", text)
		}
		if err := d.ExecStrong(t, text); err == nil {
			t.Errorf("%s: went through for the strongest role", text)
		}
	}
	same(t, "ledger", readAll(t, s, prod), before)
	sameAsCommitted(t, s, row.Commit{Batch: before.Batches[0], Payload: before.Payloads[0], Nodes: before.Nodes, Head: before.Head, Changes: before.Changes,
		Calls: wantFull().Calls, Sessions: wantFull().Sessions, Results: wantFull().Results, Blobs: wantFull().Blobs})
}

func wantFull() (c row.Commit) {
	full(&c)
	return c
}

func retentionFloor(t *testing.T, d Database) {
	s := open(t, d)
	const day = 24 * time.Hour
	now := time.Now().UTC().Truncate(time.Microsecond)
	old := commit(t, s, prod, 3, now.Add(-366*day), withPayload([]byte("old")))
	young := commit(t, s, prod, 2, now.Add(-364*day), withPayload([]byte("young")))
	remove := func(table string, first int64) error {
		return d.ExecStrong(t, fmt.Sprintf("DELETE FROM %s WHERE ledger = 'prod' AND first = %d", table, first))
	}
	if err := remove("batch", young.Batch.First); err == nil || !strings.Contains(err.Error(), "365 days") {
		t.Errorf("entries of 364 days: got %v, want a refusal that names the floor", err)
	}
	if err := remove("payload", old.Batch.First); err == nil {
		t.Error("a payload went before its entries")
	}
	check(0, remove("batch", old.Batch.First))(t)
	check(0, remove("payload", old.Batch.First))(t)
	same(t, "what is left", check(s.Batches(t.Context(), prod, 0, 9, 9))(t), []row.Batch{young.Batch})
}

func migrations(t *testing.T, d Database) {
	s, err := d.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, prod, 600, start(), full)
	before := readAll(t, s, prod)
	check(0, s.Close())(t)
	for range 2 {
		again, err := d.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		same(t, "ledger", readAll(t, again, prod), before)
		check(0, again.Close())(t)
	}
	check(0, d.Exec(t, "INSERT INTO schema_version (version) VALUES (9999)"))(t)
	for name, open := range map[string]func() (Store, error){
		"open":           func() (Store, error) { return d.Open(t.Context()) },
		"open read-only": func() (Store, error) { return d.OpenReadOnly(t.Context()) },
	} {
		if s, err := open(); err == nil || !strings.Contains(err.Error(), "newer writ") {
			t.Errorf("%s: got %v, want a refusal that says to use a newer writ", name, err)
			if err == nil {
				check(0, s.Close())(t)
			}
		}
	}
}

func readOnly(t *testing.T, d Database) {
	s := open(t, d)
	commit(t, s, prod, 600, start(), full)
	reader, err := d.OpenReadOnly(t.Context()) // beside the server
	if err != nil {
		t.Fatal(err)
	}
	same(t, "ledger", readAll(t, reader, prod), readAll(t, s, prod))
	commit(t, s, prod, 1, start(), nil)
	same(t, "what came since", readAll(t, reader, prod), readAll(t, s, prod))
	unavailable(t, reader.Append(t.Context(), prod, row.Want{}, func(found row.Found) (row.Commit, error) { return next(found, 1, start()), nil }))
	unavailable(t, reader.SaveFollower(t.Context(), prod, "notify", row.Follower{Through: 1}))
	if reader.Exclusive() {
		t.Error("a reader takes itself for the only writer")
	}
	check(0, reader.Close())(t)
	same(t, "through", check(s.Follower(t.Context(), prod, "notify"))(t).Through, 0)
	whole(t, s, prod)
}
