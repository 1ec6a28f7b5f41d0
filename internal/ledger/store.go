package ledger

import (
	"context"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

// Store is where a ledger keeps its rows. Errors that are meant for a caller are *gov.Error; a store that cannot be written
// answers with gov.CodeLedgerUnavailable.
type Store interface {
	Appender
	Reader
	IndexStore

	// Exclusive says that no other process can write while this store is open.
	Exclusive() bool
	// SaveCheckpoint keeps the newest checkpoint of each hour. It refuses one of a smaller tree than the newest saved.
	SaveCheckpoint(ctx context.Context, c row.Checkpoint) error
	// ErasePayload commits the entry that fn makes and replaces the payload of a batch, whose old bytes are then nowhere.
	ErasePayload(ctx context.Context, ledger gov.Environment, payload row.Payload, fn func(row.Found) (row.Commit, error)) error
}

// Appender writes one commit.
type Appender interface {
	// Append locks the head of the ledger against every other writer, gives fn what was wanted, and commits what fn returns,
	// durably, before it returns. If fn errs nothing is written and its error comes back. A ledger that does not exist yet
	// has the zero Head.
	Append(ctx context.Context, ledger gov.Environment, want row.Want, fn func(row.Found) (row.Commit, error)) error
}

// Reader reads what was committed. Lists are in ascending order unless said otherwise.
type Reader interface {
	Head(ctx context.Context, ledger gov.Environment) (row.Head, error)
	Ledgers(ctx context.Context) ([]gov.Environment, error)
	// Batches gives the batches that hold entries of [from, to), at most countMax of them.
	Batches(ctx context.Context, ledger gov.Environment, from, to int64, countMax int) ([]row.Batch, error)
	Payloads(ctx context.Context, ledger gov.Environment, firsts []int64) ([]row.Payload, error)
	// IndexAt is the index of the first entry whose time is at or after at, or the size of the ledger.
	IndexAt(ctx context.Context, ledger gov.Environment, at time.Time) (int64, error)
	Nodes(ctx context.Context, ledger gov.Environment, level int, from, to int64) ([]row.Node, error)
	Session(ctx context.Context, ledger gov.Environment, id gov.SessionID) (row.Session, bool, error)
	Result(ctx context.Context, ledger gov.Environment, decision int64) (row.Result, bool, error)
	Changes(ctx context.Context, ledger gov.Environment, afterEpoch int64) ([]row.Change, error)
	Blob(ctx context.Context, digest string) ([]byte, bool, error)
	Doc(ctx context.Context, ledger gov.Environment, key row.DocKey) (row.Doc, bool, error)
	// Docs gives those of a kind, newest first: those in a state (empty: any) opened below an index.
	Docs(ctx context.Context, ledger gov.Environment, kind, state string, below int64, limit int) ([]row.Doc, error)
	// DocsDue gives those of a kind that are due at a time, earliest first.
	DocsDue(ctx context.Context, ledger gov.Environment, kind string, at time.Time, limit int) ([]row.Doc, error)
	// CountDocs counts those of a kind by state.
	CountDocs(ctx context.Context, ledger gov.Environment, kind string) (map[string]int64, error)
	// CountDocsOpened counts those that were opened by an entry of [from, below).
	CountDocsOpened(ctx context.Context, ledger gov.Environment, kind string, from, below int64) (map[string]int64, error)
	Checkpoint(ctx context.Context, ledger gov.Environment) (row.Checkpoint, bool, error)
	// Checkpoints gives the newest first.
	Checkpoints(ctx context.Context, ledger gov.Environment, limit int) ([]row.Checkpoint, error)
}

// IndexStore keeps the query index. It may lag behind the entries and can be made again from them.
type IndexStore interface {
	SaveIndex(ctx context.Context, step row.Index) error
	Indexed(ctx context.Context, ledger gov.Environment) (int64, error)
	// Postings gives those of segments in [from, below), newest first, at most limit.
	Postings(ctx context.Context, ledger gov.Environment, dim byte, value string, below, from int64, limit int) ([]row.Posting, error)

	// Follower is how far a named follower of the ledger has come, and what it remembers.
	Follower(ctx context.Context, ledger gov.Environment, name string) (row.Follower, error)
	SaveFollower(ctx context.Context, ledger gov.Environment, name string, f row.Follower) error
}
