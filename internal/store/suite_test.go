package store_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/ncruces/go-sqlite3"

	"github.com/writ-dev/writ/internal/store"
	"github.com/writ-dev/writ/internal/store/storetest"
)

func TestSQLiteIsAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Database { return sqliteDir(t.TempDir()) })
}

func TestPostgresIsAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Database {
		owner, super := databases.PostgresWithSuper(t)
		return postgresURL{owner, super}
	})
}

// sqliteDir is a data directory.
type sqliteDir string

func (d sqliteDir) Open(ctx context.Context) (storetest.Store, error) {
	return store.OpenSQLite(ctx, string(d))
}

func (d sqliteDir) OpenReadOnly(ctx context.Context) (storetest.Store, error) {
	return store.OpenSQLiteReadOnly(ctx, string(d))
}

func (d sqliteDir) Shared() bool { return false }

func (d sqliteDir) Exec(t *testing.T, text string) error {
	t.Helper()
	c, err := sqlite3.Open("file:" + filepath.Join(string(d), "writ.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	return c.Exec(text)
}

func (d sqliteDir) ExecStrong(t *testing.T, text string) error { return d.Exec(t, text) }

// Finds looks into every file of the directory.
func (d sqliteDir) Finds(t *testing.T, needle []byte) (places []string) {
	t.Helper()
	err := filepath.WalkDir(string(d), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if at := bytes.Index(data, needle); at >= 0 {
			places = append(places, fmt.Sprintf("%s at %d", filepath.Base(path), at))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return places
}

// postgresURL is a database as its owner, who is no superuser, and as a superuser.
type postgresURL struct{ owner, super string }

func (d postgresURL) Open(ctx context.Context) (storetest.Store, error) {
	return store.OpenPostgres(ctx, d.owner)
}

func (d postgresURL) OpenReadOnly(ctx context.Context) (storetest.Store, error) {
	return store.OpenPostgresReadOnly(ctx, d.owner)
}

func (d postgresURL) Shared() bool { return true }

func (d postgresURL) Exec(t *testing.T, text string) error {
	t.Helper()
	_, err := connect(t, d.owner).Exec(t.Context(), text)
	return err
}

func (d postgresURL) ExecStrong(t *testing.T, text string) error {
	t.Helper()
	_, err := connect(t, d.super).Exec(t.Context(), text)
	return err
}

// connect opens a connection of its own for the rest of a test.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// Finds looks into the tables. The server's files keep old row versions until they are vacuumed, and its log for longer.
func (d postgresURL) Finds(t *testing.T, needle []byte) (places []string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.owner)
	if err != nil {
		t.Fatal(err)
	}
	const query = `SELECT 'payload' FROM payload WHERE position($1 IN data) > 0 UNION ALL
		SELECT 'batch' FROM batch WHERE position($1 IN entries) > 0`
	rows, err := conn.Query(t.Context(), query, needle)
	if err != nil {
		t.Fatal(err)
	}
	if places, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
	return places
}
