package store_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/store"
	"github.com/writ-dev/writ/internal/store/storetest"
)

var databases storetest.Databases

func TestMain(m *testing.M) { os.Exit(storetest.Main(m, &databases)) }

// commit writes one batch of everything, at a time.
func commit(t *testing.T, st *store.Store, at time.Time) {
	t.Helper()
	err := st.Append(t.Context(), "prod", row.Want{}, func(f row.Found) (row.Commit, error) {
		first := f.Head.Size
		return row.Commit{
			Batch:   row.Batch{Ledger: "prod", First: first, Count: 1, At: at, Entries: []byte{0, 1, 'x'}},
			Payload: row.Payload{Ledger: "prod", First: first, Data: []byte{0, 0, 0, 1, 'p'}},
			Nodes:   []row.Node{{Level: 8, Index: first}}, Results: []row.Result{{Decision: first, Index: first}},
			Changes: []row.Change{{Epoch: first + 1, Index: first}},
			Head:    row.Head{Ledger: "prod", Size: first + 1, Edge: make([]row.Hash, 1), Epoch: first + 1, At: at},
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// attempts are changes that the database itself must refuse, and those it must allow.
func attempts(t *testing.T, exec func(string) error) {
	t.Helper()
	for _, text := range []string{
		"UPDATE batch SET entries = 'y'", "UPDATE batch SET at = 0", "DELETE FROM batch WHERE first = 1", "UPDATE node SET idx = 9", "DELETE FROM node",
		"UPDATE result SET idx = 9", "DELETE FROM result", "UPDATE change SET idx = 9", "DELETE FROM change", "DELETE FROM head",
		"UPDATE head SET size = size - 1", "UPDATE head SET epoch = 0", "UPDATE head SET at = 0", "DELETE FROM payload",
	} {
		if err := exec(text); err == nil {
			t.Errorf("%s: not refused", text)
		}
	}
	for _, text := range []string{"UPDATE payload SET data = 'y' WHERE first = 1", "UPDATE head SET size = size + 1"} {
		if err := exec(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestEntriesAreAppendOnlyInSQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	st, err := store.OpenSQLite(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, st, time.Now().Add(-400*24*time.Hour))
	commit(t, st, time.Now())
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(dir, "writ.db"))
	if err != nil {
		t.Fatal(err)
	}
	attempts(t, func(text string) error { _, err := db.Exec(text); return err })
	// Past the floor of 365 days an entry may go, and its payload with it.
	if _, err := db.Exec("DELETE FROM batch WHERE first = 0"); err != nil {
		t.Errorf("past the retention floor: %v", err)
	}
	if _, err := db.Exec("DELETE FROM payload WHERE first = 0"); err != nil {
		t.Errorf("the payload of a removed entry: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func TestEntriesAreAppendOnlyInPostgres(t *testing.T) {
	t.Parallel()
	url := databases.Postgres(t)
	st, err := store.OpenPostgres(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, st, time.Now().Add(-400*24*time.Hour))
	commit(t, st, time.Now())
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	owner, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	exec := func(text string) error { _, err := owner.Exec(context.Background(), text); return err }
	attempts(t, exec)
	for _, text := range []string{"TRUNCATE batch", "TRUNCATE head", "TRUNCATE payload, node"} {
		if err := exec(text); err == nil {
			t.Errorf("%s: not refused", text)
		}
	}
	// By grant: even without the triggers the owner has no right.
	for _, text := range []string{"ALTER TABLE batch DISABLE TRIGGER ALL", "ALTER TABLE batch DISABLE TRIGGER USER"} {
		_ = exec(text) // whichever the server allows an owner
	}
	if err := exec("UPDATE batch SET at = 1"); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("without the triggers: %v", err)
	}
	if err := owner.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestADirectoryHasOneServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	st, err := store.OpenSQLite(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenSQLite(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "another writ serves") {
		t.Errorf("a second server: %v", err)
	}
	commit(t, st, time.Now())
	reader, err := store.OpenSQLiteReadOnly(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if head, err := reader.Head(t.Context(), "prod"); err != nil || head.Size != 1 {
		t.Errorf("a reader beside it: %+v, %v", head, err)
	}
	err = reader.Append(t.Context(), "prod", row.Want{}, func(row.Found) (row.Commit, error) { return row.Commit{}, nil })
	if err == nil {
		t.Error("a reader appends")
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	again, err := store.OpenSQLite(t.Context(), dir)
	if err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestWeakDurabilityIsRefused: a server whose settings can lose a committed entry.
func TestWeakDurabilityIsRefused(t *testing.T) {
	t.Parallel()
	cluster, err := storetest.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	url, err := cluster.Create(t.Context(), "weak")
	if err != nil {
		t.Fatal(err)
	}
	admin, err := pgx.Connect(t.Context(), cluster.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec(t.Context(), "ALTER SYSTEM SET full_page_writes = off"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec(t.Context(), "SELECT pg_reload_conf()"); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		var value string
		if err := admin.QueryRow(t.Context(), "SHOW full_page_writes").Scan(&value); err != nil {
			t.Fatal(err)
		}
		if value == "off" {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if _, err := store.OpenPostgres(t.Context(), url); err == nil || !strings.Contains(err.Error(), "full_page_writes") {
		t.Errorf("full_page_writes off: %v", err)
	}
	if err := admin.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAFailedAppendWritesNothing(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func() (*store.Store, error){
		"sqlite":   func() (*store.Store, error) { return store.OpenSQLite(t.Context(), t.TempDir()) },
		"postgres": func() (*store.Store, error) { return store.OpenPostgres(t.Context(), databases.Postgres(t)) },
	} {
		st, err := open()
		if err != nil {
			t.Fatal(err)
		}
		commit(t, st, time.Now())
		err = st.Append(t.Context(), "prod", row.Want{}, func(f row.Found) (row.Commit, error) {
			return row.Commit{ // the second result of one decision fails, after the batch was written
				Batch:   row.Batch{Ledger: "prod", First: 1, Count: 1, At: f.Head.At, Entries: []byte{0, 1, 'x'}},
				Results: []row.Result{{Decision: 0, Index: 1}},
				Head:    row.Head{Ledger: "prod", Size: 2, Edge: make([]row.Hash, 1), Epoch: f.Head.Epoch, At: f.Head.At},
			}, nil
		})
		if gov.CodeOf(err) != gov.CodeLedgerUnavailable {
			t.Errorf("%s: a second result: %v", name, err)
		}
		head, err := st.Head(t.Context(), "prod")
		batches, err2 := st.Batches(t.Context(), "prod", 0, 10, 10)
		if err != nil || err2 != nil || head.Size != 1 || len(batches) != 1 {
			t.Errorf("%s: head %d, %d batches, %v, %v", name, head.Size, len(batches), err, err2)
		}
		commit(t, st, time.Now().Add(time.Second))
		if err := st.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckpointsOnlyGrow(t *testing.T) {
	t.Parallel()
	st, err := store.OpenSQLite(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 14, 10, 0, 0, time.UTC)
	for i, size := range []int64{3, 5, 5} {
		if err := st.SaveCheckpoint(t.Context(), row.Checkpoint{Ledger: "prod", Size: size, At: at.Add(time.Duration(i) * 40 * time.Minute), Note: []byte{byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.SaveCheckpoint(t.Context(), row.Checkpoint{Ledger: "prod", Size: 4, At: at.Add(3 * time.Hour), Note: []byte{9}}); err == nil {
		t.Error("a smaller tree was saved")
	}
	kept, err := st.Checkpoints(t.Context(), "prod", 10)
	if err != nil || len(kept) != 2 || kept[0].Note[0] != 2 || kept[1].Size != 5 && kept[1].Size != 3 {
		t.Errorf("kept %+v, %v: the newest of each hour", kept, err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}
