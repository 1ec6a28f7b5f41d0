// Package row has the rows that the services and the store exchange: plain structs, no behaviour. It exists so that neither
// imports the other. What a row means is said here, once; internal/store says how each database keeps it.
package row

import (
	"time"

	"github.com/writ-dev/writ/internal/gov"
)

// Hash is a SHA-256 hash of the tree (RFC 6962).
type Hash [32]byte

// Head is the newest state of one ledger. Its row is the lock of the ledger: whoever holds it decides what comes next.
type Head struct {
	Ledger gov.Environment
	Size   int64     // entries in the ledger; the next entry gets this index
	Root   Hash      // RFC 6962 root over the first Size entries
	Edge   []Hash    // the compact range: the roots of the perfect subtrees of Size, largest first
	Epoch  int64     // grows with every entry that changes control state
	At     time.Time // of the newest entry, UTC, whole microseconds; never runs backwards
}

// Batch is what one commit wrote: consecutive entries of one ledger, all of one time. A batch is never changed.
type Batch struct {
	Ledger  gov.Environment
	First   int64     // index of its first entry
	Count   int       // entries in it, at least 1
	At      time.Time // the time of every entry in it
	Entries []byte    // the exact bytes that are hashed: Count times (big-endian uint16 length, entry), as in a C2SP entry bundle
}

// Payload holds what may be erased from the entries of one batch: Count times (big-endian uint32 length, payload).
// A payload of no bytes was never there or was erased.
type Payload struct {
	Ledger gov.Environment
	First  int64 // of the batch
	Data   []byte
}

// Node is the hash of a perfect subtree. Only levels divisible by 8, from 8 up, are kept: the rest is derived.
type Node struct {
	Level int   // 8, 16, 24…: the subtree has 1<<Level leaves
	Index int64 // the subtree covers entries Index<<Level up to (Index+1)<<Level
	Hash  Hash
}

// CallKey identifies a call that may be asked twice: a keyed digest over agent, session and call id, whose first half
// depends on the agent and session alone, so that the calls of a session are neighbours on disk.
type CallKey [16]byte

// Call remembers which entry last decided a call. Input is a keyed digest of the input it was asked with.
type Call struct {
	Key   CallKey
	Index int64
	Input [16]byte
}

// Session is what a session remembers. Version is the index of the entry that changed it last, plus one; 0: never changed.
type Session struct {
	ID      gov.SessionID
	Version int64
	Labels  []gov.Label // sorted
	Marks   []byte      // of the things that it has seen, in the form of internal/taint; nil: none
}

// Result says which entry reported the result of a decision.
type Result struct {
	Decision int64 // index of the decision
	Index    int64 // index of the result
}

// Change says which entry started an epoch.
type Change struct {
	Epoch int64
	Index int64
}

// Blob is content named by its digest: the tar of a bundle.
type Blob struct {
	Digest string
	Data   []byte
}

// DocKey names a document within a ledger.
type DocKey struct {
	Kind string // approval, change, person…
	ID   string
}

// Doc is the present state of one noun that people work on: what the entries about it add up to. It changes only in the
// commit of an entry about it.
type Doc struct {
	DocKey
	Version int64     // the index of the entry that wrote it last, plus one; 0: there is none yet
	Opened  int64     // the index of the entry that wrote it first; lists are in this order
	State   string    // pending, approved…: lists ask for it
	Due     time.Time // when something becomes due, or zero
	Data    []byte    // JSON, of the service whose kind it is
}

// Want is what an append has to know before it can go on: read together with the lock of the head.
type Want struct {
	Calls    []CallKey
	Sessions []gov.SessionID
	Results  []int64 // indexes of decisions
	Docs     []DocKey
}

// Found is the answer to Want, and the locked head. What is absent was not there.
type Found struct {
	Head     Head
	Calls    []Call
	Sessions []Session
	Results  []Result
	Docs     []Doc
}

// Commit is everything that one append writes, all of it or nothing. A Commit with a Batch of Count 0 writes nothing.
type Commit struct {
	Batch    Batch
	Payload  Payload // not written when its Data is empty
	Nodes    []Node
	Calls    []Call    // inserted, or moved to the newer index
	Sessions []Session // inserted or replaced
	Results  []Result  // inserted; a second result for one decision fails the commit
	Changes  []Change
	Blobs    []Blob // inserted if not there
	Docs     []Doc  // inserted or replaced
	Head     Head   // the new head
}

// Posting is a part of the query index: which entries of a segment have a value in a dimension. A segment is SegmentSize
// consecutive entries. Offsets are encoded by internal/ledger; the store does not look inside.
type Posting struct {
	Dim     byte
	Value   string
	Segment int64
	Offsets []byte
}

// Index is one step of the query index: Postings replace what was there for the same Dim, Value and Segment, and Through
// becomes the index below which every entry is found through it.
type Index struct {
	Ledger   gov.Environment
	Postings []Posting
	Through  int64
}

// Follower is how far something that goes through a ledger has come. It is derived from the entries, and may lag behind them.
type Follower struct {
	Through int64  // the index of the next entry it wants
	State   []byte // what it remembers of those before; nil: nothing
}

// Checkpoint is a signed tree head: a C2SP checkpoint note with the cosignatures collected so far.
type Checkpoint struct {
	Ledger gov.Environment
	Size   int64
	At     time.Time
	Note   []byte
}
