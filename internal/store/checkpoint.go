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
		ON CONFLICT (ledger, hour) DO UPDATE SET size = excluded.size, at = excluded.at, note = excluded.note`
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
			return &gov.Error{Code: gov.CodeConflict, Detail: fmt.Sprintf("a checkpoint of %d entries is kept; one of %d is older", size, c.Size)}
		}
		hour := c.At.UTC().Truncate(time.Hour).Unix()
		_, err = tx.ExecContext(ctx, sqlSaveCheckpoint, string(c.Ledger), hour, c.Size, micros(c.At), c.Note)
		return err
	})
	return unavailable("save checkpoint", err)
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
