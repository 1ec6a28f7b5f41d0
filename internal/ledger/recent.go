package ledger

import (
	"sort"
	"sync"

	"github.com/writ-dev/writ/internal/row"
)

// recentBytesMax bounds the entries that are kept in memory: under full load those of about a quarter of a second. Who follows looks
// more often.
const recentBytesMax = 2 << 20

// recent are the newest commits of this node, so that who follows the ledger closely does not read from the disk what was just
// written to it. They are there once they are durable. In a cluster there are holes: what other nodes committed.
type recent struct {
	mu      sync.Mutex
	batches []row.Batch // ascending
	bytes   int
}

// add keeps a commit. One that comes late, because an erasure committed beside the sequencer, is not kept: they stay in order.
func (r *recent) add(b row.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.batches); n > 0 && b.First < r.batches[n-1].First {
		return
	}
	r.batches = append(r.batches, b)
	r.bytes += len(b.Entries)
	for r.bytes > recentBytesMax {
		r.bytes -= len(r.batches[0].Entries)
		r.batches[0] = row.Batch{} // its entries are kept by nobody
		r.batches = r.batches[1:]
	}
}

// from gives commits in a row from the one with the entry at index on, or none when that one is not here.
func (r *recent) from(index int64) []row.Batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := sort.Search(len(r.batches), func(i int) bool { return r.batches[i].First+int64(r.batches[i].Count) > index })
	if at == len(r.batches) || r.batches[at].First > index {
		return nil
	}
	end := at + 1
	for end < len(r.batches) && r.batches[end].First == r.batches[end-1].First+int64(r.batches[end-1].Count) {
		end++
	}
	return append([]row.Batch(nil), r.batches[at:end]...)
}
