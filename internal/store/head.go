package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

const sqlHead = `SELECT size, root, edge, epoch, at FROM head WHERE ledger = $1`

func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }

func packEdge(edge []row.Hash) []byte {
	out := make([]byte, 0, len(edge)*len(row.Hash{}))
	for _, h := range edge {
		out = append(out, h[:]...)
	}
	return out
}

// headOf makes a head of its columns.
func headOf(ledger gov.Environment, size int64, root, edge []byte, epoch, at int64) (row.Head, error) {
	h := row.Head{Ledger: ledger, Size: size, Epoch: epoch, At: fromMicros(at)}
	if len(root) != len(h.Root) || len(edge)%len(h.Root) != 0 {
		return row.Head{}, fmt.Errorf("the head of ledger %s is damaged", ledger)
	}
	copy(h.Root[:], root)
	for rest := edge; len(rest) > 0; rest = rest[len(h.Root):] {
		h.Edge = append(h.Edge, row.Hash(rest[:len(h.Root)]))
	}
	return h, nil
}

// Head reads the newest state of a ledger.
func (s *Store) Head(ctx context.Context, ledger gov.Environment) (row.Head, error) {
	var size, epoch, at int64
	var root, edge []byte
	err := s.read.QueryRowContext(ctx, sqlHead, string(ledger)).Scan(&size, &root, &edge, &epoch, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return row.Head{}, &gov.Error{Code: gov.CodeNotFound, Detail: "there is no ledger " + string(ledger)}
	}
	if err != nil {
		return row.Head{}, unavailable("read head", err)
	}
	return headOf(ledger, size, root, edge, epoch, at)
}

// Ledgers lists the ledgers that have entries, sorted.
func (s *Store) Ledgers(ctx context.Context) ([]gov.Environment, error) {
	return collect(ctx, s.read, "list ledgers", func(scan func(...any) error) (gov.Environment, error) {
		var name string
		err := scan(&name)
		return gov.Environment(name), err
	}, `SELECT ledger FROM head WHERE size > 0 ORDER BY ledger`)
}

// collect runs a query and makes a value of every row.
func collect[T any](ctx context.Context, db *reader, doing string, scan func(func(...any) error) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, unavailable(doing, err)
	}
	var out []T
	for rows.Next() {
		v, err := scan(rows.Scan)
		if err != nil {
			return nil, errors.Join(unavailable(doing, err), rows.Close())
		}
		out = append(out, v)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, unavailable(doing, err)
	}
	return out, nil
}

// one runs a query that gives one row or none.
func one[T any](ctx context.Context, db *reader, doing string, scan func(func(...any) error) (T, error), query string, args ...any) (v T, ok bool, err error) {
	v, err = scan(db.QueryRowContext(ctx, query, args...).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return v, false, nil
	}
	if err != nil {
		return v, false, unavailable(doing, err)
	}
	return v, true, nil
}
