// Package ledger is the one record of everything that was decided or changed: append, prove, find, follow, verify.
//
// It promises that an entry for which it gave a receipt is durable, that entries are in one order which every node agrees on,
// that the state an entry was judged under is the state of the entries before it, and that the tree over the entries only
// grows. It does not interpret what it records; internal/state folds the entries into control state.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

// Errors of Append that ask the caller to look again.
var (
	// ErrStale: control state or the session moved on since the record was judged. Judge again.
	ErrStale = errors.New("judged under an older state")
	// ErrResultTaken: the decision has a result already.
	ErrResultTaken = errors.New("the decision has a result already")
)

// CallTakenError says that the same call was decided before, at Call.Index.
type CallTakenError struct{ Call row.Call }

// Error names the earlier entry.
func (e *CallTakenError) Error() string {
	return fmt.Sprintf("the call was decided before, at index %d", e.Call.Index)
}

// AnySession is for records that hold whatever their session remembers.
const AnySession = -1

// AnyEpoch is for records that hold whatever the control state is.
const AnyEpoch = -1

const (
	batchEntriesMax = 512     // in one commit
	batchBytesMax   = 4 << 20 // of entries in one commit
	urgentMax       = 64      // switches that may wait
	queueMax        = 4096    // records that may wait; beyond it Append answers at once that it is overloaded
)

// Record is something to append.
type Record struct {
	Draft   canon.Draft
	Kind    canon.Kind
	Payload []byte // canon.Payload.Encode, may be empty
	Epoch   int64  // that it was judged under, or AnyEpoch

	Call        *row.Call // set when the call has an id: decided once. Index is filled in by the append
	Supersedes  int64     // with Call: the index of the earlier decision that this one follows, or -1
	Session     gov.SessionID
	SessionSeen int64                   // version of the session that it was judged under
	LabelsAdded []gov.Label             // that the session gains
	Marks       func(had []byte) []byte // gives the marks of the session from those that it has, under the lock; nil: as they are
	ResultOf    int64                   // the index of the decision this is the result of, or -1
	First       bool                    // only as the first entry of the ledger
	Blobs       []row.Blob
	Docs        []row.Doc // to be written; Version is the one that was seen. No ID: that of the entry
	Amends      []Amend
}

// Amend changes a document from whatever it is when the record is committed: many may count on one document at once and none is
// sent back for it. With is pure and quick, it runs under the lock of the ledger and is told the time that the entry will have; its
// error refuses the record, joined with those of the record's other amends. A document that does not exist has Version 0. One that
// comes back with the same state, data and time when it is due is not written.
//
// Place is With for what names the entry. With Place, a Key without an ID is a new document, and Place gives it one.
type Amend struct {
	Key   row.DocKey
	With  func(d row.Doc, at time.Time) (row.Doc, error)
	Place func(d row.Doc, at gov.Place) (row.Doc, error)
}

// NewRecord is a record with no conditions.
func NewRecord(kind canon.Kind, draft canon.Draft, payload []byte) Record {
	return Record{Draft: draft, Kind: kind, Payload: payload, Epoch: AnyEpoch, Supersedes: -1, ResultOf: -1}
}

// Draft is a record with no conditions of an entry by an actor. The nonce of its id is read from random.
func (l *Ledger) Draft(random io.Reader, kind canon.Kind, actor canon.Actor, body any, payload canon.Payload) (Record, error) {
	var nonce canon.Nonce
	if _, err := io.ReadFull(random, nonce[:]); err != nil {
		return Record{}, fmt.Errorf("read randomness: %w", err)
	}
	draft, err := canon.NewDraft(l.name, kind, nonce, actor, body)
	if err != nil {
		return Record{}, err
	}
	return NewRecord(kind, draft, payload.Encode()), nil
}

// Receipt proves that an entry is in the ledger. Only Append makes one that has been appended: there is no other way to
// set its placed field, so what embeds a Receipt and checks Placed cannot exist without its record.
type Receipt struct {
	gov.Receipt
	ID     gov.EntryID
	At     time.Time
	Epoch  int64
	placed bool
}

// Placed says whether r comes from an append or from a read of the ledger.
func (r Receipt) Placed() bool { return r.placed }

// Ledger is one ledger on one node.
type Ledger struct {
	name     gov.Environment
	store    Store
	now      func() time.Time
	log      *slog.Logger
	queue    chan *pending
	urgent   chan *pending // is committed first
	sessions *sessionCache
	recent   recent
	used     sync.Pool // of *pending
	grown    *signal   // told after each commit
	stats    Stats
}

// Options are what a ledger needs beside its store.
type Options struct {
	Now func() time.Time
	Log *slog.Logger
}

// New makes the ledger of a name. Nothing is read or written before Run and Append.
func New(store Store, name gov.Environment, o Options) *Ledger {
	return &Ledger{
		name: name, store: store, now: o.Now, log: o.Log.With("ledger", string(name)),
		queue: make(chan *pending, queueMax), urgent: make(chan *pending, urgentMax), sessions: newSessionCache(), grown: newSignal(),
	}
}

// Name is the environment whose ledger this is.
func (l *Ledger) Name() gov.Environment { return l.name }

// Store gives read access to the rows beneath.
func (l *Ledger) Store() Reader { return l.store }

// Follower is how far a named follower of the ledger has come, and what it remembers.
func (l *Ledger) Follower(ctx context.Context, name string) (row.Follower, error) {
	return l.store.Follower(ctx, l.name, name)
}

// SaveFollower keeps how far a follower has come, and what it remembers.
func (l *Ledger) SaveFollower(ctx context.Context, name string, f row.Follower) error {
	return l.store.SaveFollower(ctx, l.name, name, f)
}

// Head is the newest state.
func (l *Ledger) Head(ctx context.Context) (row.Head, error) { return l.store.Head(ctx, l.name) }

// Exists says whether the ledger has entries.
func (l *Ledger) Exists(ctx context.Context) (bool, error) {
	_, err := l.store.Head(ctx, l.name)
	if gov.CodeOf(err) == gov.CodeNotFound {
		return false, nil
	}
	return err == nil, err
}

// SessionNow is what the session remembers, as far as this node knows; Append checks that it is still so.
func (l *Ledger) SessionNow(ctx context.Context, id gov.SessionID) (row.Session, error) {
	if id == "" {
		return row.Session{}, nil
	}
	if s, ok := l.sessions.get(id); ok {
		return s, nil
	}
	s, _, err := l.store.Session(ctx, l.name, id)
	if err != nil {
		return row.Session{}, err
	}
	s.ID = id
	return s, nil
}
