package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

// Dim is what the query index can be asked by.
type Dim byte

// The dimensions of the query index. All but DimKind, DimAbout and DimDetector speak of decisions.
const (
	DimKind      Dim = 'k'
	DimAgent     Dim = 'a'
	DimPrincipal Dim = 'p' // type:ref
	DimTool      Dim = 't'
	DimPolicy    Dim = 'y'
	DimOutcome   Dim = 'o'
	DimWould     Dim = 'w'
	DimSession   Dim = 's'
	DimAbout     Dim = 'b' // id of an incident, a switch or an entry that another entry is about
	DimDetector  Dim = 'd' // of a signal
)

// term is one thing an entry can be found by.
type term struct {
	dim   Dim
	value string
}

// found is a term in an entry, or in what was made for it.
type found struct {
	dim   Dim
	value []byte
}

// finder finds the terms of entries. What it gives holds until it is asked for the next, and as long as the entry does.
type finder struct {
	all    []found
	joined []byte // a type and a reference with a colon between
}

// terms are what the entry can be found by.
func (f *finder) terms(raw []byte) ([]found, error) {
	kind, err := kindOf(raw)
	if err != nil {
		return nil, err
	}
	f.all = append(f.all[:0], found{DimKind, kind})
	if string(kind) != string(canon.KindDecision) {
		return f.all, f.about(canon.Kind(kind), raw)
	}
	if f.scan(raw) {
		return f.all, nil
	}
	var e struct {
		Body canon.Decision `json:"body"`
	}
	if err := jsonv2.Unmarshal(raw, &e); err != nil {
		return nil, fmt.Errorf("read decision for the index: %w", err)
	}
	f.all = f.all[:1]
	f.decision(e.Body)
	return f.all, nil
}

func (f *finder) add(dim Dim, value string) { f.all = append(f.all, found{dim, []byte(value)}) }

// some adds what may be empty.
func (f *finder) some(dim Dim, value string) {
	if value != "" {
		f.add(dim, value)
	}
}

func (f *finder) decision(d canon.Decision) {
	f.add(DimAgent, string(d.Agent))
	f.add(DimPrincipal, string(d.Principal.Type)+":"+d.Principal.Ref)
	f.add(DimTool, string(d.Tool))
	f.some(DimSession, string(d.Session))
	f.add(DimOutcome, string(d.Outcome))
	f.some(DimWould, string(d.Would))
	for _, p := range d.Policies {
		f.add(DimPolicy, string(p))
	}
}

// scan finds the same terms without decoding: the fields of a decision stand in one order. It gives up where a string has an
// escape, which only decoding reads.
func (f *finder) scan(raw []byte) bool {
	s := scanner{rest: raw, ok: bytes.IndexByte(raw, '\\') < 0}
	s.skip(`"body":{"agent":`)
	f.all = append(f.all, found{DimAgent, s.text()})
	s.skip(`"principal":{"type":`)
	f.joined = append(append(f.joined[:0], s.text()...), ':')
	s.skip(`,"ref":`)
	f.joined = append(f.joined, s.text()...)
	f.all = append(f.all, found{DimPrincipal, f.joined})
	s.skip(`"tool":`)
	f.all = append(f.all, found{DimTool, s.text()})
	if s.next(`,"session":`) {
		f.all = append(f.all, found{DimSession, s.text()})
	}
	s.skip(`"outcome":`)
	f.all = append(f.all, found{DimOutcome, s.text()})
	if s.next(`,"would":`) {
		f.all = append(f.all, found{DimWould, s.text()})
	}
	s.skip(`],"policies":[`)
	for s.ok && bytes.HasPrefix(s.rest, []byte(`"`)) {
		f.all = append(f.all, found{DimPolicy, s.text()})
		s.next(",")
	}
	return s.ok && bytes.HasPrefix(s.rest, []byte("]"))
}

// scanner reads an entry without escapes from the front.
type scanner struct {
	rest []byte
	ok   bool
}

// skip goes behind the next mark.
func (s *scanner) skip(mark string) {
	_, rest, there := bytes.Cut(s.rest, []byte(mark))
	s.ok = s.ok && there
	s.rest = rest
}

// next goes behind mark if it stands right here.
func (s *scanner) next(mark string) bool {
	rest, there := bytes.CutPrefix(s.rest, []byte(mark))
	s.rest = rest
	return there
}

// text reads a string that stands right here.
func (s *scanner) text() []byte {
	rest, opened := bytes.CutPrefix(s.rest, []byte(`"`))
	text, rest, closed := bytes.Cut(rest, []byte(`"`))
	s.ok = s.ok && opened && closed
	s.rest = rest
	return text
}

// kindOf reads the kind without decoding: the field stands third, after the version and the ledger.
func kindOf(raw []byte) ([]byte, error) {
	_, rest, ok := bytes.Cut(raw[:min(len(raw), 256)], []byte(`","kind":"`))
	kind, _, end := bytes.Cut(rest, []byte(`"`))
	if !ok || !end {
		return nil, errors.New("entry without a kind")
	}
	return kind, nil
}

// segment is the open end of the index: the postings of one segment so far.
type segment struct {
	number   int64
	postings map[term]*posting
	changed  []*posting // since the last take
}

// posting is where a term is found.
type posting struct {
	term
	offsets []uint16 // ascending
	changed bool
}

func newSegment(number int64) *segment {
	return &segment{number: number, postings: map[term]*posting{}}
}

func (s *segment) add(f found, offset uint16) {
	p := s.postings[term{f.dim, string(f.value)}]
	if p == nil {
		p = &posting{term: term{f.dim, string(f.value)}}
		s.postings[p.term] = p
	}
	if n := len(p.offsets); n > 0 && p.offsets[n-1] == offset {
		return
	}
	p.offsets = append(p.offsets, offset)
	if !p.changed {
		p.changed = true
		s.changed = append(s.changed, p)
	}
}

// take gives the postings that changed since the last take.
func (s *segment) take() []row.Posting {
	out := make([]row.Posting, len(s.changed))
	for i, p := range s.changed {
		out[i] = row.Posting{Dim: byte(p.dim), Value: p.value, Segment: s.number, Offsets: encodeOffsets(p.offsets)}
		p.changed = false
	}
	s.changed = s.changed[:0]
	slices.SortFunc(out, comparePostings) // the order of the keys on disk
	return out
}

func comparePostings(a, b row.Posting) int {
	if a.Dim != b.Dim {
		return int(a.Dim) - int(b.Dim)
	}
	if c := strings.Compare(a.Value, b.Value); c != 0 {
		return c
	}
	return int(a.Segment - b.Segment)
}

// Indexer keeps the query index of one ledger in step with its entries. One at a time per ledger, in the whole cluster.
type Indexer struct {
	l      *Ledger
	kept   IndexStore
	finder finder
	open   *segment
	closed []row.Posting // of segments that are full, not saved yet
	next   int64         // entries below this are read
	saved  int64         // and below this saved
}

// indexStepMax is how many entries are saved at once at most.
const indexStepMax = 4 * SegmentSize

// NewIndexer makes the indexer of a ledger. The first Read finds out where it stopped.
func NewIndexer(l *Ledger) *Indexer { return &Indexer{l: l, kept: l.store} }

// Read takes in what was appended since the last time, up to a bound. It says how many entries wait to be saved, and how many are not
// read yet.
func (x *Indexer) Read(ctx context.Context) (unsaved, lag int64, err error) {
	if err := x.resume(ctx); err != nil {
		return 0, 0, err
	}
	head, err := x.l.store.Head(ctx, x.l.name)
	if err != nil || head.Size <= x.next {
		return x.next - x.saved, 0, ignoreNotFound(err)
	}
	to := min(head.Size, x.saved+indexStepMax)
	err = x.l.ScanNew(ctx, x.next, to, func(r Raw) error {
		if number := r.Index / SegmentSize; number != x.open.number {
			x.closed = append(x.closed, x.open.take()...)
			x.open = newSegment(number)
		}
		return x.add(r)
	})
	if err != nil {
		x.open = nil // begin again from what is saved
		return 0, 0, err
	}
	x.next = to
	return to - x.saved, head.Size - to, nil
}

// Save makes what was read findable.
func (x *Indexer) Save(ctx context.Context) error {
	if x.open == nil || x.next == x.saved {
		return nil
	}
	step := row.Index{Ledger: x.l.name, Postings: append(x.closed, x.open.take()...), Through: x.next}
	x.closed = nil
	if err := x.kept.SaveIndex(ctx, step); err != nil {
		x.open = nil // begin again from what is saved
		return err
	}
	x.saved = x.next
	return nil
}

func (x *Indexer) add(r Raw) error {
	all, err := x.finder.terms(r.Bytes)
	for _, f := range all {
		x.open.add(f, uint16(r.Index%SegmentSize))
	}
	return err
}

func ignoreNotFound(err error) error {
	if err != nil && gov.CodeOf(err) == gov.CodeNotFound {
		return nil
	}
	return err
}

// resume goes on where the saved index ends: it reads the open segment again. In a cluster another node may have moved it.
func (x *Indexer) resume(ctx context.Context) error {
	through, err := x.kept.Indexed(ctx, x.l.name)
	if err != nil {
		return err
	}
	if x.open != nil && x.saved == through {
		return nil
	}
	x.next, x.saved, x.open, x.closed = through, through, newSegment(through/SegmentSize), nil
	if err := x.l.Scan(ctx, x.open.number*SegmentSize, through, false, x.add); err != nil {
		x.open = nil
		return err
	}
	x.open.take() // is saved
	return nil
}

// Filter asks for entries that have a value in a dimension.
type Filter struct {
	Dim   Dim
	Value string
}

// Query asks for entries that pass every filter, newest first.
type Query struct {
	Filters []Filter  // at least one
	From    time.Time // zero: from the beginning
	To      time.Time // exclusive; zero: to the end
	Before  int64     // only entries below this index; 0: no bound. The last index of a page is the Before of the next
	Limit   int
}

// Page is a part of the answer to a Query.
type Page struct {
	Indexes []int64 // descending
	More    bool
	Through int64 // entries below this index were searched
}

// QueryLimitMax bounds a page.
const QueryLimitMax = 1000

// postingsPerRead is how many segments one step of a query looks at.
const postingsPerRead = 64

// Find answers a query from the index. A page of history read twice is the same page, as long as Before is given.
func (l *Ledger) Find(ctx context.Context, q Query) (Page, error) {
	through, err := l.store.Indexed(ctx, l.name)
	if err != nil {
		return Page{}, err
	}
	from, to, err := l.window(ctx, q, through)
	if err != nil {
		return Page{}, err
	}
	page := Page{Through: through}
	segFrom, below := from/SegmentSize, (to+SegmentSize-1)/SegmentSize
	for below > segFrom {
		sets, next, err := l.intersect(ctx, q.Filters, segFrom, below)
		if err != nil {
			return Page{}, err
		}
		for _, s := range sets {
			page.take(s, from, to, q.Limit)
			if page.More {
				return page, nil
			}
		}
		below = next
	}
	return page, nil
}

// window turns times and bounds into indexes.
func (l *Ledger) window(ctx context.Context, q Query, through int64) (from, to int64, err error) {
	to = through
	if q.Before > 0 {
		to = min(to, q.Before)
	}
	if !q.From.IsZero() {
		if from, err = l.store.IndexAt(ctx, l.name, q.From); err != nil {
			return 0, 0, err
		}
	}
	if !q.To.IsZero() {
		end, err := l.store.IndexAt(ctx, l.name, q.To)
		if err != nil {
			return 0, 0, err
		}
		to = min(to, end)
	}
	return from, to, nil
}

// segmentSet is what passes every filter in one segment.
type segmentSet struct {
	number int64
	set    *offsets
}

// intersect looks at up to postingsPerRead segments that have the first filter's value, newest first, and says below which
// segment to go on.
func (l *Ledger) intersect(ctx context.Context, filters []Filter, from, below int64) ([]segmentSet, int64, error) {
	first, err := l.postings(ctx, filters[0], below, from, postingsPerRead)
	if err != nil || len(first) == 0 {
		return nil, from, err
	}
	lowest := first[len(first)-1].number
	for _, f := range filters[1:] {
		others, err := l.postings(ctx, f, first[0].number+1, lowest, int(first[0].number-lowest)+1)
		if err != nil {
			return nil, 0, err
		}
		first = keep(first, others)
	}
	return first, lowest, nil
}

func keep(sets, others []segmentSet) []segmentSet {
	byNumber := make(map[int64]*offsets, len(others))
	for _, o := range others {
		byNumber[o.number] = o.set
	}
	kept := sets[:0]
	for _, s := range sets {
		if other := byNumber[s.number]; other != nil {
			s.set.and(other)
			kept = append(kept, s)
		}
	}
	return kept
}

func (l *Ledger) postings(ctx context.Context, f Filter, below, from int64, limit int) ([]segmentSet, error) {
	rows, err := l.store.Postings(ctx, l.name, byte(f.Dim), f.Value, below, from, limit)
	if err != nil {
		return nil, err
	}
	sets := make([]segmentSet, len(rows))
	for i, p := range rows {
		set, err := decodeOffsets(p.Offsets)
		if err != nil {
			return nil, fmt.Errorf("segment %d: %w", p.Segment, err)
		}
		sets[i] = segmentSet{p.Segment, set}
	}
	return sets, nil
}

// take adds what is in the window to the page, until the page is full and one more is known to follow.
func (p *Page) take(s segmentSet, from, to int64, limit int) {
	base := s.number * SegmentSize
	s.set.from(from - base)
	s.set.below(to - base)
	s.set.descending(func(offset int) bool {
		if len(p.Indexes) == limit {
			p.More = true
			return false
		}
		p.Indexes = append(p.Indexes, base+int64(offset))
		return true
	})
}
