package store

import (
	"context"
	"encoding/json"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

// What exactness needs: calls, sessions, results, changes; and the tree's nodes. Each is read here, and by the append path
// under the lock of the head.
const (
	sqlCall    = `SELECT idx, input FROM call WHERE ledger = $1 AND key = $2`
	sqlSession = `SELECT version, labels, marks FROM session WHERE ledger = $1 AND id = $2`
	sqlResult  = `SELECT idx FROM result WHERE ledger = $1 AND decision = $2`
	sqlChanges = `SELECT epoch, idx FROM change WHERE ledger = $1 AND epoch > $2 ORDER BY epoch`
	sqlNodes   = `SELECT idx, hash FROM node WHERE ledger = $1 AND level = $2 AND idx >= $3 AND idx < $4 ORDER BY idx`
	sqlBlob    = `SELECT data FROM blob WHERE digest = $1`
)

func packLabels(labels []gov.Label) string {
	data, err := json.Marshal(labels)
	if err != nil {
		panic("store: labels are not JSON: " + err.Error())
	}
	return string(data)
}

func unpackLabels(text string) (labels []gov.Label, err error) {
	err = json.Unmarshal([]byte(text), &labels)
	return labels, err
}

// Session reads what a session remembers.
func (s *Store) Session(ctx context.Context, ledger gov.Environment, id gov.SessionID) (row.Session, bool, error) {
	return one(ctx, s.read, "read session", func(scan func(...any) error) (row.Session, error) {
		out := row.Session{ID: id}
		var labels string
		err := scan(&out.Version, &labels, &out.Marks)
		if err == nil {
			out.Labels, err = unpackLabels(labels)
		}
		return out, err
	}, sqlSession, string(ledger), string(id))
}

// Result reads which entry reported the result of a decision.
func (s *Store) Result(ctx context.Context, ledger gov.Environment, decision int64) (row.Result, bool, error) {
	return one(ctx, s.read, "read result", func(scan func(...any) error) (row.Result, error) {
		r := row.Result{Decision: decision}
		err := scan(&r.Index)
		return r, err
	}, sqlResult, string(ledger), decision)
}

// Changes lists the entries that began an epoch after the one given, ascending.
func (s *Store) Changes(ctx context.Context, ledger gov.Environment, afterEpoch int64) ([]row.Change, error) {
	return collect(ctx, s.read, "read changes", func(scan func(...any) error) (row.Change, error) {
		var c row.Change
		err := scan(&c.Epoch, &c.Index)
		return c, err
	}, sqlChanges, string(ledger), afterEpoch)
}

// Nodes lists the kept hashes of a level in [from, to), ascending.
func (s *Store) Nodes(ctx context.Context, ledger gov.Environment, level int, from, to int64) ([]row.Node, error) {
	return collect(ctx, s.read, "read tree", func(scan func(...any) error) (row.Node, error) {
		n := row.Node{Level: level}
		var hash []byte
		err := scan(&n.Index, &hash)
		copy(n.Hash[:], hash)
		return n, err
	}, sqlNodes, string(ledger), level, from, to)
}

// Blob reads content by its digest.
func (s *Store) Blob(ctx context.Context, digest string) ([]byte, bool, error) {
	return one(ctx, s.read, "read blob", func(scan func(...any) error) (data []byte, err error) {
		err = scan(&data)
		return data, err
	}, sqlBlob, digest)
}
