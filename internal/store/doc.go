package store

import (
	"context"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

const (
	docColumns         = `kind, id, version, opened, state, due, data`
	sqlDoc             = `SELECT ` + docColumns + ` FROM doc WHERE ledger = $1 AND kind = $2 AND id = $3`
	sqlDocs            = `SELECT ` + docColumns + ` FROM doc WHERE ledger = $1 AND kind = $2 AND opened < $3 ORDER BY opened DESC LIMIT $4`
	sqlDocsState       = `SELECT ` + docColumns + ` FROM doc WHERE ledger = $1 AND kind = $2 AND state = $3 AND opened < $4 ORDER BY opened DESC LIMIT $5`
	sqlDocsDue         = `SELECT ` + docColumns + ` FROM doc WHERE ledger = $1 AND kind = $2 AND due > 0 AND due <= $3 ORDER BY due LIMIT $4`
	sqlCountDocs       = `SELECT state, count(*) FROM doc WHERE ledger = $1 AND kind = $2 GROUP BY state`
	sqlCountDocsOpened = `SELECT state, count(*) FROM doc WHERE ledger = $1 AND kind = $2 AND opened >= $3 AND opened < $4 GROUP BY state`
	sqlPutDoc          = `INSERT INTO doc (ledger, kind, id, version, opened, state, due, data) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (ledger, kind, id) DO UPDATE SET version = excluded.version, state = excluded.state, due = excluded.due, data = excluded.data`
)

func scanDoc(scan func(...any) error) (row.Doc, error) {
	var d row.Doc
	var due int64
	err := scan(&d.Kind, &d.ID, &d.Version, &d.Opened, &d.State, &due, &d.Data)
	d.Due = dueOf(due)
	return d, err
}

// dueOf reads a time that may be absent, which is kept as 0.
func dueOf(due int64) time.Time {
	if due == 0 {
		return time.Time{}
	}
	return fromMicros(due)
}

func dueMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return micros(t)
}

// Doc reads a document.
func (s *Store) Doc(ctx context.Context, ledger gov.Environment, key row.DocKey) (row.Doc, bool, error) {
	return one(ctx, s.read, "read document", scanDoc, sqlDoc, string(ledger), key.Kind, key.ID)
}

// Docs lists documents of a kind, newest first: those in a state (empty: any) opened below an index.
func (s *Store) Docs(ctx context.Context, ledger gov.Environment, kind, state string, below int64, limit int) ([]row.Doc, error) {
	if state == "" {
		return collect(ctx, s.read, "list documents", scanDoc, sqlDocs, string(ledger), kind, below, limit)
	}
	return collect(ctx, s.read, "list documents", scanDoc, sqlDocsState, string(ledger), kind, state, below, limit)
}

// DocsDue lists documents of a kind that are due at a time, earliest first.
func (s *Store) DocsDue(ctx context.Context, ledger gov.Environment, kind string, at time.Time, limit int) ([]row.Doc, error) {
	return collect(ctx, s.read, "list due documents", scanDoc, sqlDocsDue, string(ledger), kind, micros(at), limit)
}

// CountDocs counts documents of a kind by state.
func (s *Store) CountDocs(ctx context.Context, ledger gov.Environment, kind string) (map[string]int64, error) {
	return s.countDocs(ctx, sqlCountDocs, string(ledger), kind)
}

// CountDocsOpened counts those that were opened by an entry from an index on and below another one.
func (s *Store) CountDocsOpened(ctx context.Context, ledger gov.Environment, kind string, from, below int64) (map[string]int64, error) {
	return s.countDocs(ctx, sqlCountDocsOpened, string(ledger), kind, from, below)
}

func (s *Store) countDocs(ctx context.Context, query string, args ...any) (map[string]int64, error) {
	type count struct {
		state string
		n     int64
	}
	counts, err := collect(ctx, s.read, "count documents", func(scan func(...any) error) (c count, err error) {
		err = scan(&c.state, &c.n)
		return c, err
	}, query, args...)
	out := make(map[string]int64, len(counts))
	for _, c := range counts {
		out[c.state] = c.n
	}
	return out, err
}
