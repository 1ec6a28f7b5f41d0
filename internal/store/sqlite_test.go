package store_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/store"
)

// deadline ends a wait for something that must come.
const deadline = 20 * time.Second

func openSQLite(t *testing.T, dir string, options ...store.SQLiteOption) *store.Store {
	t.Helper()
	st, err := store.OpenSQLite(t.Context(), dir, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func sizeOf(t *testing.T, dir, name string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestMaintainMovesTheLogIntoTheDatabase: long before the appender would have to do it.
func TestMaintainMovesTheLogIntoTheDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	st := openSQLite(t, dir)
	ctx, stop := context.WithTimeout(t.Context(), deadline)
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { st.Maintain(ctx) })
	err := st.Append(t.Context(), "prod", row.Want{}, func(row.Found) (row.Commit, error) {
		return row.Commit{
			Batch: row.Batch{Ledger: "prod", Count: 1, At: time.Now(), Entries: make([]byte, 2<<20)},
			Head:  row.Head{Ledger: "prod", Size: 1, At: time.Now()},
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for sizeOf(t, dir, "writ.db") < 2<<20 {
		if ctx.Err() != nil {
			t.Fatalf("the database is still of %d bytes, its log of %d", sizeOf(t, dir, "writ.db"), sizeOf(t, dir, "writ.db-wal"))
		}
	}
	stop()
	running.Wait()
}
