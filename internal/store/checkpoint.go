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

const (
	sqlCheckpoints    = `SELECT size, at, note FROM checkpoint WHERE ledger = $1 ORDER BY hour DESC LIMIT $2`
	sqlNewestSize     = `SELECT size FROM checkpoint WHERE ledger = $1 ORDER BY hour DESC LIMIT 1`
	sqlSaveCheckpoint = `INSERT INTO checkpoint (ledger, hour, size, at, note) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (ledger, hour) DO UPDATE SET size = excluded.size, at = excluded.at, note = excluded.note
		WHERE checkpoint.size <= excluded.size`
)

// SaveCheckpoint keeps a checkpoint; it takes the place of an earlier one of the same hour. One of a smaller tree than the
// newest is refused.
func (s *Store) SaveCheckpoint(ctx context.Context, c row.Checkpoint) error {
	err := s.driver.write(ctx, func(tx *sql.Tx) error {
		var size int64
		err := tx.QueryRowContext(ctx, sqlNewestSize, string(c.Ledger)).Scan(&size)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if size > c.Size {
			return smaller(c)
		}
		hour := c.At.UTC().Truncate(time.Hour).Unix()
		saved, err := tx.ExecContext(ctx, sqlSaveCheckpoint, string(c.Ledger), hour, c.Size, micros(c.At), c.Note)
		if err != nil {
			return err
		}
		// Another node may have saved a larger one since the look above.
		if n, err := saved.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, smaller(c))
		}
		return nil
	})
	return unavailable("save checkpoint", err)
}

func smaller(c row.Checkpoint) error {
	return &gov.Error{Code: gov.CodeConflict, Detail: fmt.Sprintf("a checkpoint of more than %d entries is kept", c.Size)}
}

// Checkpoint gives the newest.
func (s *Store) Checkpoint(ctx context.Context, ledger gov.Environment) (row.Checkpoint, bool, error) {
	found, err := s.Checkpoints(ctx, ledger, 1)
	if err != nil || len(found) == 0 {
		return row.Checkpoint{}, false, err
	}
	return found[0], true, nil
}

// Checkpoints gives the newest first, at most limit.
func (s *Store) Checkpoints(ctx context.Context, ledger gov.Environment, limit int) ([]row.Checkpoint, error) {
	return collect(ctx, s.read, "read checkpoints", func(scan func(...any) error) (row.Checkpoint, error) {
		c := row.Checkpoint{Ledger: ledger}
		var at int64
		err := scan(&c.Size, &at, &c.Note)
		c.At = fromMicros(at)
		return c, err
	}, sqlCheckpoints, string(ledger), limit)
}
