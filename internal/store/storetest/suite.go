package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

// Store is what the suite asks of a store: all that the services and the app use.
type Store interface {
	Append(ctx context.Context, ledger gov.Environment, want row.Want, fn func(row.Found) (row.Commit, error)) error
	ErasePayload(ctx context.Context, ledger gov.Environment, payload row.Payload, fn func(row.Found) (row.Commit, error)) error
	Exclusive() bool
	TryLock(ctx context.Context, name string) (release func(), ok bool, err error)
	Maintain(ctx context.Context)

	Head(ctx context.Context, ledger gov.Environment) (row.Head, error)
	Ledgers(ctx context.Context) ([]gov.Environment, error)
	Batches(ctx context.Context, ledger gov.Environment, from, to int64, countMax int) ([]row.Batch, error)
	Payloads(ctx context.Context, ledger gov.Environment, firsts []int64) ([]row.Payload, error)
	IndexAt(ctx context.Context, ledger gov.Environment, at time.Time) (int64, error)
	Nodes(ctx context.Context, ledger gov.Environment, level int, from, to int64) ([]row.Node, error)
	Session(ctx context.Context, ledger gov.Environment, id gov.SessionID) (row.Session, bool, error)
	Result(ctx context.Context, ledger gov.Environment, decision int64) (row.Result, bool, error)
	Changes(ctx context.Context, ledger gov.Environment, afterEpoch int64) ([]row.Change, error)
	Blob(ctx context.Context, digest string) ([]byte, bool, error)
	Doc(ctx context.Context, ledger gov.Environment, key row.DocKey) (row.Doc, bool, error)
	Docs(ctx context.Context, ledger gov.Environment, kind, state string, below int64, limit int) ([]row.Doc, error)
	DocsDue(ctx context.Context, ledger gov.Environment, kind string, at time.Time, limit int) ([]row.Doc, error)
	CountDocs(ctx context.Context, ledger gov.Environment, kind string) (map[string]int64, error)
	CountDocsOpened(ctx context.Context, ledger gov.Environment, kind string, from, below int64) (map[string]int64, error)

	SaveCheckpoint(ctx context.Context, c row.Checkpoint) error
	Checkpoint(ctx context.Context, ledger gov.Environment) (row.Checkpoint, bool, error)
	Checkpoints(ctx context.Context, ledger gov.Environment, limit int) ([]row.Checkpoint, error)
	SaveIndex(ctx context.Context, step row.Index) error
	Indexed(ctx context.Context, ledger gov.Environment) (int64, error)
	Follower(ctx context.Context, ledger gov.Environment, name string) (row.Follower, error)
	SaveFollower(ctx context.Context, ledger gov.Environment, name string, f row.Follower) error
	Postings(ctx context.Context, ledger gov.Environment, dim byte, value string, below, from int64, limit int) ([]row.Posting, error)
	Close() error
}

// Database is one fresh, empty database.
type Database interface {
	// Open opens it as a server does. The caller closes the store.
	Open(ctx context.Context) (Store, error)
	// OpenReadOnly opens it as a command does beside a server.
	OpenReadOnly(ctx context.Context) (Store, error)
	// Shared says that more than one store may have it open to write.
	Shared() bool
	// Exec runs SQL behind the store's back, as the role that Writ signs in as.
	Exec(t *testing.T, text string) error
	// ExecStrong runs SQL as the strongest role there is: what only triggers stand against.
	ExecStrong(t *testing.T, text string) error
	// Finds says where bytes are: in which files, where the store can answer for its files, else in which tables.
	Finds(t *testing.T, needle []byte) []string
}

// Run runs the suite: what every store must do, whatever database is under it. fresh gives a new database.
func Run(t *testing.T, fresh func(*testing.T) Database) {
	for _, claim := range []struct {
		name string
		test func(*testing.T, Database)
	}{
		{"a ledger that was never written has the zero head", neverWritten},
		{"what was committed is read back, after a restart too", readBack},
		{"an append that fails leaves nothing", failedAppend},
		{"a commit that contradicts the database leaves nothing", refusedCommit},
		{"an append whose caller is gone leaves nothing", canceledAppend},
		{"what is wanted is found under the lock", wanted},
		{"calls and sessions move on, results and blobs stay", movingRows},
		{"ledgers know nothing of each other", apart},
		{"names that look like something else stay names", oddNames},
		{"batches are those that hold a range", batchWindows},
		{"an index is found by its time", indexByTime},
		{"checkpoints: the newest of each hour, never smaller", checkpoints},
		{"the query index is replaced, and read newest first", postings},
		{"writers follow one another without a gap", manyWriters},
		{"housekeeping disturbs nobody", housekeeping},
		{"one holder at a time has a job", jobs},
		{"calls are remembered however many follow", manyCalls},
		{"documents are listed by state, by age and when they are due", docs},
		{"a document changes only with a new entry", docMoves},
		{"erased bytes are nowhere, their entries are where they were", erased},
		{"erasing in any order leaves nothing of what was erased", erasedAtRandom},
		{"an erasure that fails leaves everything", failedErasure},
		{"history cannot be changed behind the store's back", appendOnly},
		{"history is kept for 365 days", retentionFloor},
		{"opening again changes nothing, a newer database is refused", migrations},
		{"a store opened for reading reads and does not write", readOnly},
	} {
		t.Run(claim.name, func(t *testing.T) {
			t.Parallel()
			claim.test(t, fresh(t))
		})
	}
}
