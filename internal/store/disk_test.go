package store_test

import (
	"bytes"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// disk is a virtual file system whose power can be cut. What was written and not synced is then kept or lost sector by
// sector; so are the size of a file, and that it was made or deleted until its directory was synced. It keeps what SQLite
// relies on and no more: a write harms no bytes beside its own, what is inside a sector arrives in order, a truncation and
// the writes after it do not arrive in the wrong order. Locks and shared memory are the operating system's.
type disk struct {
	sector int64

	mu       sync.Mutex
	rng      *rand.Rand
	plan     cutPlan
	off      bool
	life     int                // of the machine; files of an earlier one are gone
	names    map[string]*node   // the directory as the machine sees it
	durable  map[string]*node   // and as it is on the disk
	unsynced map[string][]*node // what became of a name since, in order; nil is a deletion
}

// cutPlan says at which write or which sync from now the power goes; 0 is never.
type cutPlan struct{ writes, syncs int }

// node is the content of a file.
type node struct {
	data    []byte // as the machine sees it
	durable []byte
	pending []change // between the two
}

// change is a write inside one sector, or with truncate a new size.
type change struct {
	at       int64
	data     []byte
	truncate bool
}

const tornOneIn = 8 // of the last writes that sectors kept

func newDisk(rng *rand.Rand, sector int64) *disk {
	return &disk{sector: sector, rng: rng, names: map[string]*node{}, durable: map[string]*node{}, unsynced: map[string][]*node{}}
}

// arm plans the next power cut.
func (d *disk) arm(p cutPlan) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.plan = p
}

// cut takes the power away, if it is still there.
func (d *disk) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
}

func (d *disk) isOff() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.off
}

// restart gives the power back, with what the cut left.
func (d *disk) restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(d.unsynced)) {
		if k := d.rng.IntN(len(d.unsynced[name]) + 1); k > 0 {
			d.durable[name] = d.unsynced[name][k-1]
		}
	}
	maps.DeleteFunc(d.durable, func(_ string, n *node) bool { return n == nil })
	for _, name := range slices.Sorted(maps.Keys(d.durable)) {
		n := d.durable[name]
		left := n.left(d.rng, d.sector)
		n.data, n.durable, n.pending = left, slices.Clone(left), nil
	}
	d.names = maps.Clone(d.durable)
	clear(d.unsynced)
	d.off, d.plan = false, cutPlan{}
	d.life++
}

// holds says whether bytes are in any file.
func (d *disk) holds(needle []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.names {
		if bytes.Contains(n.data, needle) {
			return true
		}
	}
	return false
}

// left is what a power cut leaves of a file: one of the sizes it had since the last truncation that arrived, and of each sector
// what it was after any number of the writes to it.
func (n *node) left(rng *rand.Rand, sector int64) []byte {
	arrived := n.untilTruncation(rng)
	kept := map[int64]int{} // writes of a sector
	sizes := []int{len(n.durable)}
	for _, c := range arrived {
		if c.truncate {
			sizes = []int{int(c.at)}
			continue
		}
		kept[c.at/sector]++
		sizes = append(sizes, max(sizes[len(sizes)-1], int(c.at)+len(c.data)))
	}
	for _, s := range slices.Sorted(maps.Keys(kept)) {
		kept[s] = rng.IntN(kept[s] + 1)
	}
	image := slices.Clone(n.durable)
	for _, c := range arrived {
		s := c.at / sector
		if !c.truncate {
			kept[s]--
		}
		switch {
		case kept[s] < 0 && !c.truncate:
			continue
		case kept[s] == 0 && !c.truncate && rng.IntN(tornOneIn) == 0:
			c.data = c.data[:rng.IntN(len(c.data)+1)]
		}
		image = c.apply(image)
	}
	return change{at: int64(sizes[rng.IntN(len(sizes))]), truncate: true}.apply(image)
}

// untilTruncation gives the changes up to some truncation, or all: those after one that did not arrive did not either.
func (n *node) untilTruncation(rng *rand.Rand) []change {
	ends := []int{}
	for i, c := range n.pending {
		if c.truncate {
			ends = append(ends, i)
		}
	}
	ends = append(ends, len(n.pending))
	return n.pending[:ends[rng.IntN(len(ends))]]
}

// apply changes an image of a file.
func (c change) apply(image []byte) []byte {
	size := max(len(image), int(c.at)+len(c.data))
	if c.truncate {
		size = int(c.at)
	}
	if size <= len(image) {
		image = image[:size]
	} else {
		image = append(image, make([]byte, size-len(image))...)
	}
	copy(image[min(int(c.at), size):], c.data)
	return image
}

// write counts a write, which may yet arrive when the power goes at it.
func (d *disk) write() error {
	d.plan.writes--
	d.off = d.off || d.plan.writes == 0
	return d.power(d.life)
}

// power is an error when there is none, or not for what was opened in a life.
func (d *disk) power(life int) error {
	if d.off || life != d.life {
		return sqlite3.IOERR
	}
	return nil
}

// become notes what became of a name; nil is that it was deleted.
func (d *disk) become(name string, n *node) {
	if n == nil {
		delete(d.names, name)
	} else {
		d.names[name] = n
	}
	d.unsynced[name] = append(d.unsynced[name], n)
}

// sync counts a sync, which did nothing when the power goes at it.
func (d *disk) sync() error {
	d.plan.syncs--
	d.off = d.off || d.plan.syncs == 0
	return d.power(d.life)
}

func (d *disk) syncDir() {
	d.durable = maps.Clone(d.names)
	clear(d.unsynced)
}

// Open is not called: there is OpenFilename.
func (d *disk) Open(string, vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return nil, 0, sqlite3.CANTOPEN
}

const (
	logFiles  = vfs.OPEN_MAIN_JOURNAL | vfs.OPEN_SUPER_JOURNAL | vfs.OPEN_WAL
	keptFiles = vfs.OPEN_MAIN_DB | logFiles // the others are temporary
)

func (d *disk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	if flags&keptFiles == 0 {
		return vfsutil.WrapOpenFilename(vfs.Find(""), name, flags)
	}
	f := &diskFile{File: &vfsutil.SliceFile{}, disk: d}
	if err := f.open(name.String(), flags); err != nil {
		return nil, flags, err
	}
	if flags&vfs.OPEN_MAIN_DB == 0 {
		return f, flags, nil
	}
	// An empty file, for its locks.
	locks, flags, err := vfsutil.WrapOpenFilename(vfs.Find(""), name, flags|vfs.OPEN_CREATE)
	f.File = locks
	return f, flags, err
}

func (d *disk) Delete(name string, syncDir bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.power(d.life); err != nil {
		return err
	}
	if d.names[name] == nil {
		return sqlite3.IOERR_DELETE_NOENT
	}
	d.become(name, nil)
	err := d.write()
	if err == nil && syncDir {
		if err = d.sync(); err == nil {
			d.syncDir()
		}
	}
	return err
}

func (d *disk) Access(name string, _ vfs.AccessFlag) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names[name] != nil, d.power(d.life)
}

func (d *disk) FullPathname(name string) (string, error) { return name, nil }

// diskFile is an open file of a disk.
type diskFile struct {
	vfs.File // locks
	disk     *disk
	node     *node
	life     int
	syncDir  bool // with the next sync, as SQLite does for the logs it may have made
}

func (f *diskFile) open(name string, flags vfs.OpenFlag) error {
	d := f.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	f.life = d.life
	if err := d.power(f.life); err != nil {
		return err
	}
	mayMake := flags&vfs.OPEN_CREATE != 0
	if d.names[name] == nil {
		if !mayMake {
			return sqlite3.CANTOPEN
		}
		d.become(name, &node{})
	}
	f.node, f.syncDir = d.names[name], mayMake && flags&logFiles != 0
	return nil
}

func (f *diskFile) ReadAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.power(f.life); err != nil {
		return 0, err
	}
	n := copy(p, f.node.data[min(off, int64(len(f.node.data))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.power(f.life); err != nil {
		return 0, err
	}
	for rest, at := slices.Clone(p), off; len(rest) > 0; {
		n := min(int64(len(rest)), f.disk.sector-at%f.disk.sector)
		f.change(change{at: at, data: rest[:n]})
		rest, at = rest[n:], at+n
	}
	return len(p), f.disk.write()
}

func (f *diskFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.power(f.life); err != nil {
		return err
	}
	f.change(change{at: size, truncate: true})
	return f.disk.write()
}

func (f *diskFile) change(c change) {
	f.node.data = c.apply(f.node.data)
	f.node.pending = append(f.node.pending, c)
}

func (f *diskFile) Sync(vfs.SyncFlag) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.power(f.life); err != nil {
		return err
	}
	if err := f.disk.sync(); err != nil {
		return err
	}
	for _, c := range f.node.pending {
		f.node.durable = c.apply(f.node.durable)
	}
	f.node.pending = nil
	if f.syncDir {
		f.disk.syncDir()
		f.syncDir = false
	}
	return nil
}

func (f *diskFile) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.node.data)), f.disk.power(f.life)
}

// DeviceCharacteristics are those of most file systems.
func (f *diskFile) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return vfs.IOCAP_SUBPAGE_READ | vfs.IOCAP_POWERSAFE_OVERWRITE
}

func (f *diskFile) SharedMemory() vfs.SharedMemory { return vfsutil.WrapSharedMemory(f.File) }
