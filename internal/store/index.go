package store

import (
	"context"
	"database/sql"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

const (
	sqlPostings = `SELECT segment, offsets FROM posting WHERE ledger = $1 AND dim = $2 AND value = $3
		AND segment >= $4 AND segment < $5 ORDER BY segment DESC LIMIT $6`
	sqlSavePosting = `INSERT INTO posting (ledger, dim, value, segment, offsets) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (ledger, dim, value, segment) DO UPDATE SET offsets = excluded.offsets`
	sqlFollower     = `SELECT through, state FROM follower WHERE ledger = $1 AND name = $2`
	sqlSaveFollower = `INSERT INTO follower (ledger, name, through) VALUES ($1, $2, $3)
		ON CONFLICT (ledger, name) DO UPDATE SET through = excluded.through`
	sqlSaveFollowerState = `INSERT INTO follower (ledger, name, through, state) VALUES ($1, $2, $3, $4)
		ON CONFLICT (ledger, name) DO UPDATE SET through = excluded.through, state = excluded.state`
)

// indexFollower is the name under which the query index keeps how far it has come.
const indexFollower = "index"

// SaveIndex keeps one step of the query index, all or nothing.
func (s *Store) SaveIndex(ctx context.Context, step row.Index) error {
	err := s.driver.write(ctx, func(tx *sql.Tx) error {
		save, err := tx.PrepareContext(ctx, sqlSavePosting)
		if err != nil {
			return err
		}
		for _, p := range step.Postings {
			if _, err := save.ExecContext(ctx, string(step.Ledger), int64(p.Dim), p.Value, p.Segment, p.Offsets); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, sqlSaveFollower, string(step.Ledger), indexFollower, step.Through)
		return err
	})
	return unavailable("save index", err)
}

// Indexed says below which entry the query index is complete.
func (s *Store) Indexed(ctx context.Context, ledger gov.Environment) (int64, error) {
	f, err := s.Follower(ctx, ledger, indexFollower)
	return f.Through, err
}

// Follower is how far a named follower of a ledger has come, and what it remembers.
func (s *Store) Follower(ctx context.Context, ledger gov.Environment, name string) (row.Follower, error) {
	f, _, err := one(ctx, s.read, "read follower", func(scan func(...any) error) (f row.Follower, err error) {
		err = scan(&f.Through, &f.State)
		return f, err
	}, sqlFollower, string(ledger), name)
	return f, err
}

// SaveFollower keeps how far a follower has come, and what it remembers.
func (s *Store) SaveFollower(ctx context.Context, ledger gov.Environment, name string, f row.Follower) error {
	err := s.driver.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, sqlSaveFollowerState, string(ledger), name, f.Through, f.State)
		return err
	})
	return unavailable("save follower", err)
}

// Postings gives those of a value whose segments are in [from, below), newest first, at most limit.
func (s *Store) Postings(ctx context.Context, ledger gov.Environment, dim byte, value string, below, from int64, limit int) ([]row.Posting, error) {
	return collect(ctx, s.read, "read index", func(scan func(...any) error) (row.Posting, error) {
		p := row.Posting{Dim: dim, Value: value}
		err := scan(&p.Segment, &p.Offsets)
		return p, err
	}, sqlPostings, string(ledger), int64(dim), value, from, below, limit)
}
