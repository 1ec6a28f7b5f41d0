package store_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/store"
)

const (
	fullDisks   = 20
	normalDisks = 4
	cutsPerDisk = 10

	stepsMax        = 12 // of work before a cut
	cutWritesMax    = 200
	cutSyncsMax     = 8
	batchMax        = 12
	entryBytesMax   = 1_500
	payloadBytesMax = 6_000
	payloadMark     = 24 // bytes of a payload that are looked for once it is erased
	erasedByte      = 0xee

	smallSector, largeSector = 512, 4096
)

// TestNoPowerCutLosesAnAcknowledgedEntry cuts the power at any write and any sync, and between them, with and without
// checkpoints. WRIT_POWERLOSS_SEED repeats one disk of those that fail, whose names have their seeds.
func TestNoPowerCutLosesAnAcknowledgedEntry(t *testing.T) {
	t.Parallel()
	seeds := make([]uint64, fullDisks)
	for i := range seeds {
		seeds[i] = rand.Uint64()
	}
	if text := os.Getenv("WRIT_POWERLOSS_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = []uint64{seed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			if cuts := cutPower(t, seed, "FULL"); cuts > 0 {
				t.Errorf("%d of %d power cuts lost what was acknowledged", cuts, cutsPerDisk)
			}
		})
	}
}

// TestPowerCutsAreSeen: with synchronous=NORMAL SQLite promises a whole database, and not that the newest commits are in it.
// If no cut lost one, the test above would show nothing.
func TestPowerCutsAreSeen(t *testing.T) {
	t.Parallel()
	var losses atomic.Int64
	t.Run("disks", func(t *testing.T) {
		for range normalDisks {
			seed := rand.Uint64()
			t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
				t.Parallel()
				losses.Add(int64(cutPower(t, seed, "NORMAL")))
			})
		}
	})
	t.Logf("%d of %d power cuts lost what was acknowledged", losses.Load(), normalDisks*cutsPerDisk)
	if losses.Load() < normalDisks {
		t.Errorf("%d of %d power cuts lost what synchronous=NORMAL acknowledged: the disk keeps too much", losses.Load(), normalDisks*cutsPerDisk)
	}
}

// machine is one whose power goes again and again, and what its store must hold.
type machine struct {
	rng     *rand.Rand
	disk    *disk
	dir     string
	vfs     string
	options []store.SQLiteOption
	written []written // the last one may not be acknowledged
	acked   int       // of written
}

// written is one commit.
type written struct {
	batch   row.Batch
	payload row.Payload
	call    row.Call
	head    row.Head
	erased  int // the commit whose payload this one erased, or -1
}

// cutPower gives how many of the cuts lost an acknowledged commit.
func cutPower(t *testing.T, seed uint64, synchronous string) (losses int) {
	rng := rand.New(rand.NewPCG(seed, 0))
	sector := int64(smallSector)
	if rng.IntN(2) == 0 {
		sector = largeSector
	}
	m := &machine{rng: rng, disk: newDisk(rng, sector), dir: t.TempDir(), vfs: fmt.Sprintf("disk-%s-%d", synchronous, seed)}
	vfs.Register(m.vfs, m.disk)
	t.Cleanup(func() { vfs.Unregister(m.vfs) })
	m.options = []store.SQLiteOption{store.WithVFS(m.vfs), store.WithSynchronous(synchronous)}
	for cut := range cutsPerDisk {
		m.disk.arm(m.plan())
		if m.live(t, cut) {
			losses++
		}
		if t.Failed() {
			t.Fatalf("after %d cuts", cut)
		}
		m.disk.restart()
	}
	if m.live(t, cutsPerDisk) {
		losses++
	}
	return losses
}

// plan says when the power goes: at a write, at a sync, or when there is no more work.
func (m *machine) plan() cutPlan {
	switch m.rng.IntN(4) {
	case 0, 1:
		return cutPlan{writes: 1 + m.rng.IntN(cutWritesMax)}
	case 2:
		return cutPlan{syncs: 1 + m.rng.IntN(cutSyncsMax)}
	default:
		return cutPlan{}
	}
}

// live starts the store, looks what the last cut left, and works until the power goes.
func (m *machine) live(t *testing.T, cut int) (lost bool) {
	st, err := store.OpenSQLite(t.Context(), m.dir, m.options...)
	if err != nil {
		if !m.disk.isOff() {
			t.Errorf("open after %d cuts: %v", cut, err)
		}
		return false // the power went again
	}
	lost, err = m.look(t, st)
	if err == nil {
		err = m.work(t, st)
	}
	if err != nil && !m.disk.isOff() {
		t.Errorf("after %d cuts: %v", cut, err)
	}
	m.disk.cut()
	_ = st.Close() // it cannot write any more
	return lost
}

// look compares the store with what was written. What stands then is what must stand from now on.
func (m *machine) look(t *testing.T, st *store.Store) (lost bool, err error) {
	ctx := t.Context()
	head, err := st.Head(ctx, "prod")
	if err != nil && gov.CodeOf(err) != gov.CodeNotFound {
		return false, err
	}
	batches, err := st.Batches(ctx, "prod", 0, head.Size, len(m.written)+1)
	if err != nil {
		return false, err
	}
	if len(batches) > len(m.written) {
		return false, fmt.Errorf("%d commits stand, %d were made", len(batches), len(m.written))
	}
	lost = len(batches) < m.acked
	m.written, m.acked = m.written[:len(batches)], len(batches)
	if len(batches) == 0 {
		return lost, nil
	}
	wholeBytes := cmp.Comparer(bytes.Equal) // much faster than one by one
	want := make([]row.Batch, len(m.written))
	for i, w := range m.written {
		want[i] = w.batch
	}
	if diff := cmp.Diff(want, batches, wholeBytes); diff != "" {
		return lost, fmt.Errorf("batches (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(m.written[len(m.written)-1].head, head); diff != "" {
		return lost, fmt.Errorf("head (-want +got):\n%s", diff)
	}
	return lost, errors.Join(m.lookAtPayloads(t, st), m.lookAtCalls(t, st), m.lookWhole())
}

func (m *machine) lookAtPayloads(t *testing.T, st *store.Store) error {
	firsts, want := make([]int64, len(m.written)), make([]row.Payload, len(m.written))
	for i, w := range m.written {
		firsts[i], want[i] = w.batch.First, w.payload
		if w.erased < 0 {
			continue
		}
		old := m.written[w.erased].payload
		want[w.erased] = erasedOf(old)
		if m.disk.holds(old.Data[:payloadMark]) {
			return fmt.Errorf("the payload erased at %d is still on the disk", w.batch.First)
		}
	}
	got, err := st.Payloads(t.Context(), "prod", firsts)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
		return fmt.Errorf("payloads (-want +got):\n%s", diff)
	}
	return nil
}

func (m *machine) lookAtCalls(t *testing.T, st *store.Store) error {
	var want []row.Call
	var keys []row.CallKey
	for _, w := range m.written {
		want, keys = append(want, w.call), append(keys, w.call.Key)
	}
	return st.Append(t.Context(), "prod", row.Want{Calls: keys}, func(f row.Found) (row.Commit, error) {
		if diff := cmp.Diff(want, f.Calls); diff != "" {
			return row.Commit{}, fmt.Errorf("calls (-want +got):\n%s", diff)
		}
		return row.Commit{}, nil
	})
}

// lookWhole asks SQLite itself.
func (m *machine) lookWhole() error {
	c, err := sqlite3.Open("file:" + filepath.Join(m.dir, "writ.db") + "?vfs=" + m.vfs)
	if err != nil {
		return err
	}
	stmt, _, err := c.Prepare("PRAGMA integrity_check")
	if err != nil {
		return errors.Join(err, c.Close())
	}
	if stmt.Step() && stmt.ColumnText(0) != "ok" {
		err = errors.New(stmt.ColumnText(0))
	}
	return errors.Join(err, stmt.Err(), stmt.Close(), c.Close())
}

// work makes commits alone, with checkpoints between them, or with checkpoints beside them.
func (m *machine) work(t *testing.T, st *store.Store) error {
	checkpoint, end, err := st.Checkpointer()
	if err != nil {
		return err
	}
	const alone, between, beside = 0, 1, 2
	mode := m.rng.IntN(beside + 1)
	var stop atomic.Bool
	var running sync.WaitGroup
	if mode == beside {
		running.Go(func() {
			for !stop.Load() {
				checkpoint()
			}
		})
	}
	for step := 1 + m.rng.IntN(stepsMax); err == nil && step > 0; step-- {
		err = m.step(t, st, mode != beside)
		if mode == between && m.rng.IntN(2) == 0 {
			checkpoint()
		}
	}
	stop.Store(true)
	running.Wait()
	return errors.Join(err, end())
}

// step commits one batch, which sometimes erases the payload of another where the log can be emptied at once.
func (m *machine) step(t *testing.T, st *store.Store, mayErase bool) error {
	erase := -1
	if mayErase && len(m.written) > 0 && m.rng.IntN(5) == 0 {
		erase = m.rng.IntN(len(m.written))
	}
	for _, w := range m.written {
		if w.erased == erase {
			erase = -1
		}
	}
	fn := func(f row.Found) (row.Commit, error) {
		w := m.next(f.Head)
		w.erased = erase
		m.written = append(m.written, w)
		return row.Commit{Batch: w.batch, Payload: w.payload, Calls: []row.Call{w.call}, Head: w.head}, nil
	}
	var err error
	if erase < 0 {
		err = st.Append(t.Context(), "prod", row.Want{}, fn)
	} else {
		err = st.ErasePayload(t.Context(), "prod", erasedOf(m.written[erase].payload), fn)
	}
	if err == nil {
		m.acked = len(m.written)
	}
	return err
}

func erasedOf(p row.Payload) row.Payload {
	p.Data = bytes.Repeat([]byte{erasedByte}, len(p.Data))
	return p
}

// next makes a commit after a head, whose root is over all that was written.
func (m *machine) next(h row.Head) written {
	count, first := 1+m.rng.IntN(batchMax), h.Size
	b := row.Batch{Ledger: "prod", First: first, Count: count, At: time.Unix(1_900_000_000+first, 0).UTC()}
	for range count {
		entry := m.noise(1 + m.rng.IntN(entryBytesMax))
		b.Entries = append(binary.BigEndian.AppendUint16(b.Entries, uint16(len(entry))), entry...)
	}
	call := row.Call{Index: first, Input: [16]byte(m.noise(16)), Key: row.CallKey(m.noise(16))}
	return written{
		batch: b, call: call, erased: -1,
		payload: row.Payload{Ledger: "prod", First: first, Data: m.noise(payloadMark + m.rng.IntN(payloadBytesMax))},
		head: row.Head{
			Ledger: "prod", Size: first + int64(count), Root: sha256.Sum256(append(h.Root[:], b.Entries...)),
			Edge: []row.Hash{sha256.Sum256(b.Entries)}, At: b.At,
		},
	}
}

func (m *machine) noise(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(m.rng.Uint32())
	}
	return out
}
