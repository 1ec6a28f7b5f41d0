package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// reader reads, each statement prepared once: parsing it costs SQLite more than a lookup. (pgx keeps statements by itself.)
// The statements are the constants of this package.
type reader struct {
	db    *sql.DB
	keeps bool

	mu    sync.Mutex
	stmts map[string]*sql.Stmt
}

func newReader(db *sql.DB, keeps bool) *reader {
	return &reader{db: db, keeps: keeps, stmts: map[string]*sql.Stmt{}}
}

// prepared is the statement of a text, or nil where it is not to be kept or could not be made: then the query says why.
func (r *reader) prepared(ctx context.Context, query string) *sql.Stmt {
	if !r.keeps {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.stmts[query]; ok {
		return s
	}
	s, err := r.db.PrepareContext(context.WithoutCancel(ctx), query)
	if err != nil {
		return nil
	}
	r.stmts[query] = s
	return s
}

// QueryContext is that of sql.DB.
func (r *reader) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if s := r.prepared(ctx, query); s != nil {
		return s.QueryContext(ctx, args...)
	}
	return r.db.QueryContext(ctx, query, args...)
}

// QueryRowContext is that of sql.DB.
func (r *reader) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if s := r.prepared(ctx, query); s != nil {
		return s.QueryRowContext(ctx, args...)
	}
	return r.db.QueryRowContext(ctx, query, args...)
}

// Close closes the statements and the connections.
func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	for _, s := range r.stmts {
		err = errors.Join(err, s.Close())
	}
	return errors.Join(err, r.db.Close())
}
