package ledger

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/merkle"
	"github.com/writ-dev/writ/internal/row"
)

// Stats counts what the sequencer did since it started.
type Stats struct {
	Entries atomic.Int64
	Commits atomic.Int64
	Stale   atomic.Int64
	Failed  atomic.Int64
}

// Stats are the ledger's counters.
func (l *Ledger) Stats() *Stats { return &l.stats }

// pending is a record that waits for its commit.
type pending struct {
	Record
	done    chan struct{} // told once
	amended []row.Doc
	receipt Receipt
	err     error
}

// Append commits a record and gives its receipt: when it returns without error the entry is durable. It never waits for
// more records to come; whatever waits while a commit is under way shares the next one. If ctx ends first the record may
// still be committed: the caller does not know, and must not act as if it were.
func (l *Ledger) Append(ctx context.Context, r Record) (Receipt, error) {
	p := l.newPending(r)
	queue := l.queue
	if r.Kind == canon.KindSwitchEngaged {
		queue = l.urgent // what stops calls does not stand in line behind them, nor is it sent away when there are too many
	}
	select {
	case queue <- p:
	default:
		return Receipt{}, &gov.Error{Code: gov.CodeOverloaded, Detail: "too many records wait to be written; try again"}
	}
	select {
	case <-p.done:
		receipt, err := p.receipt, p.err
		l.used.Put(p)
		return receipt, err
	case <-ctx.Done():
		return Receipt{}, &gov.Error{Code: gov.CodeLedgerUnavailable, Detail: "the record was not confirmed in time", Err: ctx.Err()}
	}
}

// newPending makes one, of one that was used if there is any: whose answer was taken.
func (l *Ledger) newPending(r Record) *pending {
	if p, ok := l.used.Get().(*pending); ok {
		*p = pending{Record: r, done: p.done}
		return p
	}
	return &pending{Record: r, done: make(chan struct{}, 1)}
}

// AppendAll commits records in their order, in as few commits as they fit, and gives for each its receipt or its error. None waits
// for the answer to the one before it: what depends on that is an Amend.
func (l *Ledger) AppendAll(ctx context.Context, records []Record) ([]Receipt, []error) {
	receipts, errs := make([]Receipt, len(records)), make([]error, len(records))
	waiting := make([]*pending, len(records))
	for i, r := range records {
		p := &pending{Record: r, done: make(chan struct{}, 1)}
		select {
		case l.queue <- p:
			waiting[i] = p
		case <-ctx.Done():
			errs[i] = &gov.Error{Code: gov.CodeLedgerUnavailable, Detail: "the record was not taken in time", Err: ctx.Err()}
		}
	}
	for i, p := range waiting {
		if p == nil {
			continue
		}
		select {
		case <-p.done:
			receipts[i], errs[i] = p.receipt, p.err
		case <-ctx.Done():
			errs[i] = &gov.Error{Code: gov.CodeLedgerUnavailable, Detail: "the record was not confirmed in time", Err: ctx.Err()}
		}
	}
	return receipts, errs
}

// Run is the sequencer: it commits what waits until ctx ends. One goroutine per ledger and node, started by app.
func (l *Ledger) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			l.refuseWaiting()
			return
		case first := <-l.urgent:
			l.commit(ctx, l.gather(first))
		case first := <-l.queue:
			l.commit(ctx, l.gather(first))
		}
	}
}

func (l *Ledger) refuseWaiting() {
	for {
		select {
		case p := <-l.urgent:
			p.refuseStopping()
		case p := <-l.queue:
			p.refuseStopping()
		default:
			return
		}
	}
}

func (p *pending) refuseStopping() {
	p.err = &gov.Error{Code: gov.CodeLedgerUnavailable, Detail: "the server is stopping"}
	p.done <- struct{}{}
}

// gather takes what waits. It lets whoever is about to ask finish asking, as long as that brings more, but it never waits:
// on an idle server the first record is committed at once.
func (l *Ledger) gather(first *pending) []*pending {
	batch := append(make([]*pending, 0, batchUsual), first)
	bytes := first.Draft.Size()
	for before := 0; len(batch) > before; {
		before = len(batch)
		batch, bytes = drain(l.urgent, batch, bytes)
		batch, bytes = drain(l.queue, batch, bytes)
		if len(batch) >= batchEntriesMax || bytes >= batchBytesMax {
			break
		}
		runtime.Gosched()
	}
	return batch
}

// batchUsual is how many records a batch is made for.
const batchUsual = 64

func drain(queue <-chan *pending, batch []*pending, bytes int) ([]*pending, int) {
	for len(batch) < batchEntriesMax && bytes < batchBytesMax {
		select {
		case p := <-queue:
			batch = append(batch, p)
			bytes += p.Draft.Size()
		default:
			return batch, bytes
		}
	}
	return batch, bytes
}

func (l *Ledger) commit(ctx context.Context, batch []*pending) {
	var b *builder
	want := l.want(batch)
	err := l.store.Append(ctx, l.name, want, func(found row.Found) (row.Commit, error) {
		b = newBuilder(l, want, found)
		return b.build(batch)
	})
	// A crash right here leaves the entries committed and the callers without an answer: they ask again with the same call
	// id and get the decision that stands.
	if err == nil {
		l.committed(b)
	} else {
		l.sessions.clear() // whether the commit went through may be unknown
		l.stats.Failed.Add(1)
		l.log.Error("append", "entries", len(batch), "err", err)
	}
	for _, p := range batch {
		if err != nil && p.err == nil {
			p.receipt, p.err = Receipt{}, err
		}
		p.done <- struct{}{}
	}
}

func (l *Ledger) committed(b *builder) {
	for _, s := range b.sessions {
		l.sessions.put(s)
	}
	if b.count == 0 {
		return
	}
	l.recent.add(b.commit.Batch)
	l.stats.Commits.Add(1)
	l.stats.Entries.Add(int64(b.count))
	l.grown.tell()
}

// want collects what the batch has to know. A store that nobody else writes to has the sessions in the cache, which only
// this sequencer changes.
func (l *Ledger) want(batch []*pending) row.Want {
	var w row.Want
	for _, p := range batch {
		if p.Call != nil {
			w.Calls = append(w.Calls, p.Call.Key)
		}
		if p.Session != "" && !l.knownSession(p.Session) && !slices.Contains(w.Sessions, p.Session) {
			w.Sessions = append(w.Sessions, p.Session)
		}
		if p.ResultOf >= 0 {
			w.Results = append(w.Results, p.ResultOf)
		}
		for _, d := range p.Docs {
			if d.ID != "" {
				w.Docs = append(w.Docs, d.DocKey)
			}
		}
	}
	return l.wantAmended(w, batch)
}

// wantAmended adds the documents that records amend, each once.
func (l *Ledger) wantAmended(w row.Want, batch []*pending) row.Want {
	var seen map[row.DocKey]bool
	for _, p := range batch {
		for _, a := range p.Amends {
			if seen == nil {
				seen = make(map[row.DocKey]bool, len(p.Amends))
				for _, key := range w.Docs {
					seen[key] = true
				}
			}
			if a.Key.ID != "" && !seen[a.Key] {
				seen[a.Key] = true
				w.Docs = append(w.Docs, a.Key)
			}
		}
	}
	return w
}

func (l *Ledger) knownSession(id gov.SessionID) bool {
	if !l.store.Exclusive() {
		return false
	}
	_, ok := l.sessions.get(id)
	return ok
}

// builder turns a batch of records into one commit, under the lock of the head.
type builder struct {
	l        *Ledger
	head     row.Head
	at       time.Time
	tree     *merkle.Range
	calls    map[row.CallKey]row.Call
	sessions map[gov.SessionID]row.Session
	results  map[int64]bool
	docs     map[row.DocKey]row.Doc
	placed   map[row.DocKey]int // which of commit.Docs has what records amend
	commit   row.Commit
	payloads bool
	count    int
	placer   *canon.Placer
	leaf     []byte
}

func newBuilder(l *Ledger, want row.Want, found row.Found) *builder {
	b := &builder{
		l: l, head: found.Head, placer: canon.NewPlacer(), calls: make(map[row.CallKey]row.Call, len(found.Calls)),
		sessions: make(map[gov.SessionID]row.Session, len(found.Sessions)), results: make(map[int64]bool, len(found.Results)),
		docs: make(map[row.DocKey]row.Doc, len(found.Docs)),
	}
	b.head.Ledger = l.name
	b.at = l.now().UTC().Truncate(time.Microsecond)
	if b.at.Before(found.Head.At) {
		b.at = found.Head.At // time never runs backwards in a ledger
	}
	for _, c := range found.Calls {
		b.calls[c.Key] = c
	}
	for _, id := range want.Sessions {
		b.sessions[id] = row.Session{ID: id}
	}
	for _, s := range found.Sessions {
		b.sessions[s.ID] = s
	}
	for _, r := range found.Results {
		b.results[r.Decision] = true
	}
	for _, d := range found.Docs {
		b.docs[d.DocKey] = d
	}
	return b
}

func (b *builder) build(batch []*pending) (row.Commit, error) {
	tree, err := merkle.NewRange(b.head.Size, b.head.Edge)
	if err != nil {
		panic("ledger: the head's edge does not fit its size: " + err.Error())
	}
	b.tree = tree
	b.commit.Batch = row.Batch{Ledger: b.l.name, First: b.head.Size, At: b.at}
	b.commit.Payload = row.Payload{Ledger: b.l.name, First: b.head.Size}
	b.reserve(batch)
	for _, p := range batch {
		if p.err = b.check(p); p.err != nil {
			b.l.stats.Stale.Add(1)
			continue
		}
		b.place(p)
	}
	b.commit.Batch.Count = b.count
	if !b.payloads {
		b.commit.Payload.Data = nil
	}
	b.head.Size, b.head.Edge, b.head.Root, b.head.At = tree.Size(), tree.Edge(), tree.Root(), b.at
	b.commit.Head = b.head
	return b.commit, nil
}

// reserve makes room for the whole batch at once.
func (b *builder) reserve(batch []*pending) {
	entries, payloads, calls := len(batch)*len(canon.AppendFramed(nil, nil)), len(batch)*len(canon.AppendFramedPayload(nil, nil)), 0
	for _, p := range batch {
		entries += p.Draft.Size()
		payloads += len(p.Payload)
		if p.Call != nil {
			calls++
		}
	}
	b.commit.Batch.Entries = make([]byte, 0, entries)
	b.commit.Payload.Data = make([]byte, 0, payloads)
	b.commit.Calls = make([]row.Call, 0, calls)
}

// check refuses a record whose conditions no longer hold. It sees what earlier records of the same batch changed.
func (b *builder) check(p *pending) error {
	if p.Epoch != AnyEpoch && p.Epoch != b.head.Epoch {
		return ErrStale
	}
	if p.First && b.tree.Size() > 0 {
		return ErrStale
	}
	if p.Call != nil {
		if earlier, ok := b.calls[p.Call.Key]; ok && earlier.Index != p.Supersedes {
			return &CallTakenError{Call: earlier}
		}
	}
	if p.Session != "" && p.SessionSeen != AnySession && b.session(p.Session).Version != p.SessionSeen {
		return ErrStale
	}
	if p.ResultOf >= 0 && b.results[p.ResultOf] {
		return ErrResultTaken
	}
	for _, d := range p.Docs {
		if d.ID != "" && b.docs[d.DocKey].Version != d.Version {
			return ErrStale
		}
	}
	return b.amend(p)
}

// amend works out what the record makes of documents as they are. Every refusal is told, not only the first.
func (b *builder) amend(p *pending) error {
	p.amended = p.amended[:0]
	var refused []error
	for _, a := range p.Amends {
		before, ok := b.docs[a.Key]
		if !ok {
			before = row.Doc{DocKey: a.Key}
		}
		after, err := b.with(p, a, before)
		if err != nil {
			refused = append(refused, err)
			continue
		}
		if after.State == before.State && after.Due.Equal(before.Due) && bytes.Equal(after.Data, before.Data) {
			continue
		}
		after.Version = before.Version
		p.amended = append(p.amended, after)
	}
	return errors.Join(refused...)
}

// with is what one amend of a record makes of a document.
func (b *builder) with(p *pending, a Amend, before row.Doc) (after row.Doc, err error) {
	if a.Place == nil {
		after, err = a.With(before, b.at)
	} else {
		index := b.tree.Size()
		after, err = a.Place(before, gov.Place{ID: b.placer.ID(p.Draft, index), Index: index, At: b.at})
	}
	if a.Key.ID != "" {
		after.DocKey = a.Key
	}
	return after, err
}

// session is what the session remembers at this point of the batch.
func (b *builder) session(id gov.SessionID) row.Session {
	if s, ok := b.sessions[id]; ok {
		return s
	}
	if b.l.store.Exclusive() {
		if s, ok := b.l.sessions.get(id); ok {
			return s
		}
	}
	return row.Session{ID: id}
}

func (b *builder) place(p *pending) {
	index := b.tree.Size()
	b.leaf = b.placer.Append(b.leaf[:0], p.Draft, index, b.at)
	hash := b.tree.LeafHash(b.leaf)
	b.commit.Nodes = b.tree.Append(hash, b.commit.Nodes)
	b.commit.Batch.Entries = canon.AppendFramed(b.commit.Batch.Entries, b.leaf)
	b.commit.Payload.Data = canon.AppendFramedPayload(b.commit.Payload.Data, p.Payload)
	b.payloads = b.payloads || len(p.Payload) > 0
	b.count++
	b.placeRows(p, index)
	b.placeDocs(p, index)
	if p.Kind.ChangesControl() {
		b.head.Epoch++
		b.commit.Changes = append(b.commit.Changes, row.Change{Epoch: b.head.Epoch, Index: index})
	}
	p.receipt = Receipt{
		Receipt: gov.Receipt{Ledger: b.l.name, Index: index, LeafHash: hex.EncodeToString(hash[:])},
		ID:      b.placer.ID(p.Draft, index), At: b.at, Epoch: b.head.Epoch, placed: true,
	}
}

func (b *builder) placeRows(p *pending, index int64) {
	if p.Call != nil {
		call := *p.Call
		call.Index = index
		b.calls[call.Key] = call
		b.commit.Calls = append(b.commit.Calls, call)
	}
	if p.Session != "" {
		b.placeSession(p, index)
	}
	if p.ResultOf >= 0 {
		b.results[p.ResultOf] = true
		b.commit.Results = append(b.commit.Results, row.Result{Decision: p.ResultOf, Index: index})
	}
	b.commit.Blobs = append(b.commit.Blobs, p.Blobs...)
}

// placeSession writes what the session of a record remembers with it, if that is more than before.
func (b *builder) placeSession(p *pending, index int64) {
	s := b.session(p.Session)
	labels, marks := union(s.Labels, p.LabelsAdded), s.Marks
	if p.Marks != nil {
		marks = p.Marks(s.Marks)
	}
	if len(labels) == len(s.Labels) && bytes.Equal(marks, s.Marks) {
		return
	}
	s.Labels, s.Marks, s.Version = labels, marks, index+1
	b.sessions[s.ID] = s
	b.commit.Sessions = append(b.commit.Sessions, s)
}

// placeDocs writes the documents that the entry at index changes.
func (b *builder) placeDocs(p *pending, index int64) {
	for _, d := range p.Docs {
		b.commit.Docs = append(b.commit.Docs, b.placeDoc(p, d, index))
	}
	for _, d := range p.amended {
		d = b.placeDoc(p, d, index)
		// What several entries of one commit amend is written once.
		if i, ok := b.placed[d.DocKey]; ok {
			b.commit.Docs[i] = d
			continue
		}
		if b.placed == nil {
			b.placed = map[row.DocKey]int{}
		}
		b.placed[d.DocKey] = len(b.commit.Docs)
		b.commit.Docs = append(b.commit.Docs, d)
	}
}

func (b *builder) placeDoc(p *pending, d row.Doc, index int64) row.Doc {
	if d.ID == "" {
		d.ID = string(b.placer.ID(p.Draft, index))
	}
	if d.Version == 0 {
		d.Opened = index
	} else {
		d.Opened = b.docs[d.DocKey].Opened
	}
	d.Version = index + 1
	b.docs[d.DocKey] = d
	return d
}

func union(a, more []gov.Label) []gov.Label {
	out := slices.Concat(a, more)
	slices.Sort(out)
	return slices.Compact(out)
}

// Erase removes groups of the payload of one entry and records that it was done, in one transaction. Erasing what is
// already gone changes nothing and records nothing; done says whether anything was erased.
func (l *Ledger) Erase(ctx context.Context, r Record, index int64, groups []canon.Group) (receipt Receipt, done bool, err error) {
	batch, entryAt, err := l.batchOf(ctx, index)
	if err != nil {
		return Receipt{}, false, err
	}
	payload, done, err := l.blank(ctx, batch, entryAt, groups)
	if err != nil || !done {
		return Receipt{}, false, err
	}
	p := &pending{Record: r}
	var b *builder
	err = l.store.ErasePayload(ctx, l.name, payload, func(found row.Found) (row.Commit, error) {
		b = newBuilder(l, row.Want{}, found)
		c, err := b.build([]*pending{p})
		return c, errors.Join(err, p.err)
	})
	if err != nil {
		return Receipt{}, false, err
	}
	l.committed(b)
	return p.receipt, true, nil
}
