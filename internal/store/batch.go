package store

import (
	"context"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

const (
	sqlBatches = `SELECT first, count, at, entries FROM batch WHERE ledger = $1
		AND first >= COALESCE((SELECT max(first) FROM batch WHERE ledger = $1 AND first <= $2), 0)
		AND first < $3 AND first + count > $2 ORDER BY first LIMIT $4`
	sqlIndexAt = `SELECT first FROM batch WHERE ledger = $1 AND at >= $2 ORDER BY at, first LIMIT 1`
	sqlPayload = `SELECT data FROM payload WHERE ledger = $1 AND first = $2`
)

// Batches gives the batches that hold entries of [from, to), ascending, at most countMax of them.
func (s *Store) Batches(ctx context.Context, ledger gov.Environment, from, to int64, countMax int) ([]row.Batch, error) {
	if from >= to {
		return nil, nil
	}
	return collect(ctx, s.read, "read entries", func(scan func(...any) error) (row.Batch, error) {
		b := row.Batch{Ledger: ledger}
		var at int64
		err := scan(&b.First, &b.Count, &at, &b.Entries)
		b.At = fromMicros(at)
		return b, err
	}, sqlBatches, string(ledger), from, to, countMax)
}

// IndexAt is the index of the first entry whose time is at or after at, or the size of the ledger. A ledger that does not
// exist is gov.CodeNotFound.
func (s *Store) IndexAt(ctx context.Context, ledger gov.Environment, at time.Time) (int64, error) {
	scan := func(scan func(...any) error) (int64, error) {
		var first int64
		err := scan(&first)
		return first, err
	}
	first, ok, err := one(ctx, s.read, "find entries by time", scan, sqlIndexAt, string(ledger), micros(at))
	if err != nil || ok {
		return first, err
	}
	head, err := s.Head(ctx, ledger)
	return head.Size, err
}

// Payloads gives the payloads of the batches that begin at firsts, in that order; those without one are left out.
func (s *Store) Payloads(ctx context.Context, ledger gov.Environment, firsts []int64) ([]row.Payload, error) {
	out := make([]row.Payload, 0, len(firsts))
	for _, first := range firsts {
		p, ok, err := one(ctx, s.read, "read payload", func(scan func(...any) error) (row.Payload, error) {
			p := row.Payload{Ledger: ledger, First: first}
			err := scan(&p.Data)
			return p, err
		}, sqlPayload, string(ledger), first)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, p)
		}
	}
	return out, nil
}
