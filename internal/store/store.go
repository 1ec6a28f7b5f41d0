// Package store keeps rows in SQLite (one process, in a directory) or in PostgreSQL (any number of nodes). It promises that
// what an Append returned is durable, that an Append is all or nothing, that only one Append of a ledger runs at a time in
// the whole cluster, and that the database itself refuses to change an entry. It knows nothing of what the rows mean.
//
// SQL is one text for both databases wherever it can be, one file per noun. Only the append path differs by driver.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

//go:embed migrations
var migrations embed.FS

// Store is an open database.
type Store struct {
	read   *reader // everything but the append path
	driver driver
}

// driver is what differs between the databases.
type driver interface {
	append(ctx context.Context, ledger gov.Environment, want row.Want, erase *row.Payload, fn func(row.Found) (row.Commit, error)) error
	// write runs what is not on the append path in one transaction.
	write(ctx context.Context, fn func(tx *sql.Tx) error) error
	tryLock(ctx context.Context, name string) (release func(), ok bool, err error)
	exclusive() bool
	maintain(ctx context.Context)
	// scrubErased leaves nothing of what was erased in the database's files, where that is in its power.
	scrubErased(ctx context.Context) error
	close() error
}

// Append locks the head of a ledger against every other writer of it, gives fn what was wanted, and commits what fn returns,
// durably, before it returns. If fn errs nothing is written and its error comes back as it is.
func (s *Store) Append(ctx context.Context, ledger gov.Environment, want row.Want, fn func(row.Found) (row.Commit, error)) error {
	return s.driver.append(ctx, ledger, want, nil, fn)
}

// ErasePayload commits the entry that fn makes and puts payload, which is not longer, in the place of the batch's payload,
// together. A batch without a payload is gov.CodeNotFound. When it returns, SQLite's files hold nothing of the old bytes;
// PostgreSQL's hold them until the table is vacuumed, and its archived log for as long as that is kept.
func (s *Store) ErasePayload(ctx context.Context, ledger gov.Environment, payload row.Payload, fn func(row.Found) (row.Commit, error)) error {
	if payload.Data == nil {
		payload.Data = []byte{} // nil would be NULL
	}
	if err := s.driver.append(ctx, ledger, row.Want{}, &payload, fn); err != nil {
		return err
	}
	return s.driver.scrubErased(ctx)
}

// Exclusive says that no other process can write while this store is open.
func (s *Store) Exclusive() bool { return s.driver.exclusive() }

// TryLock lets one node of a cluster at a time do a named job. ok is false while another one does it.
func (s *Store) TryLock(ctx context.Context, name string) (release func(), ok bool, err error) {
	return s.driver.tryLock(ctx, name)
}

// Maintain does the database's housekeeping until ctx ends.
func (s *Store) Maintain(ctx context.Context) { s.driver.maintain(ctx) }

// Close closes the database. No call may be under way.
func (s *Store) Close() error { return errors.Join(s.read.Close(), s.driver.close()) }

// errNoEntry is a mistake in the program: nothing is erased without an entry that says so.
var errNoEntry = errors.New("an erasure without an entry that records it")

func errNoPayload(p *row.Payload) error {
	return &gov.Error{Code: gov.CodeNotFound, Detail: fmt.Sprintf("the entries at %d have no payload", p.First)}
}

// lastOf keeps the last of rows with the same key: within one commit the later one stands.
func lastOf[T any, K comparable](rows []T, key func(T) K) []T {
	at := make(map[K]int, len(rows))
	for i := range rows {
		at[key(rows[i])] = i
	}
	if len(at) == len(rows) {
		return rows
	}
	out := make([]T, 0, len(at))
	for i := range rows {
		if at[key(rows[i])] == i {
			out = append(out, rows[i])
		}
	}
	return out
}

// migration is one step of the schema.
type migration struct {
	version int
	name    string
	text    string
}

// migrationsFor reads the steps for a database, in order.
func migrationsFor(database string) ([]migration, error) {
	dir := path.Join("migrations", database)
	files, err := fs.ReadDir(migrations, dir)
	if err != nil {
		return nil, err
	}
	var out []migration
	for _, f := range files {
		number, _, _ := strings.Cut(f.Name(), "_")
		version, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("migration %s has no number", f.Name())
		}
		text, err := fs.ReadFile(migrations, path.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		out = append(out, migration{version, f.Name(), string(text)})
	}
	slices.SortFunc(out, func(a, b migration) int { return a.version - b.version })
	return out, nil
}

const sqlVersion = `SELECT COALESCE(max(version), 0) FROM schema_version`

// checkVersion refuses a database that this program does not know how to read.
func checkVersion(database string, version int) error {
	left, err := pending(database, version)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("the database has schema version %d, this writ reads %d: start writ serve on it once", version, left[len(left)-1].version)
	}
	return err
}

// pending gives the steps that a database at a version still needs. A newer database is refused.
func pending(database string, version int) ([]migration, error) {
	all, err := migrationsFor(database)
	if err != nil {
		return nil, err
	}
	newest := all[len(all)-1].version
	if version > newest {
		return nil, fmt.Errorf("the database has schema version %d, this writ knows up to %d: use a newer writ", version, newest)
	}
	return slices.DeleteFunc(all, func(m migration) bool { return m.version <= version }), nil
}
