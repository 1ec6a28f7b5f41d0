package ledger

import (
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

// terms are what the entry can be found by.
func terms(raw []byte, out []term) ([]term, error) {
	kind, err := kindOf(raw)
	if err != nil {
		return nil, err
	}
	out = append(out, term{DimKind, string(kind)})
	if kind != canon.KindDecision {
		return aboutTerms(kind, raw, out)
	}
	if found, ok := scanTerms(raw, out); ok {
		return found, nil
	}
	var e struct {
		Body canon.Decision `json:"body"`
	}
	if err := jsonv2.Unmarshal(raw, &e); err != nil {
		return nil, fmt.Errorf("read decision for the index: %w", err)
	}
	return decisionTerms(e.Body, out), nil
}

func decisionTerms(d canon.Decision, out []term) []term {
	out = append(out,
		term{DimAgent, string(d.Agent)}, term{DimPrincipal, string(d.Principal.Type) + ":" + d.Principal.Ref},
		term{DimTool, string(d.Tool)})
	if d.Session != "" {
		out = append(out, term{DimSession, string(d.Session)})
	}
	out = append(out, term{DimOutcome, string(d.Outcome)})
	if d.Would != "" {
		out = append(out, term{DimWould, string(d.Would)})
	}
	for _, p := range d.Policies {
		out = append(out, term{DimPolicy, string(p)})
	}
	return out
}

// scanTerms finds the same terms without decoding: the fields of a decision stand in one order. ok is false where a string
// has an escape, which only decoding reads.
func scanTerms(raw []byte, out []term) (found []term, ok bool) {
	s := scanner{rest: string(raw), ok: true}
	s.skip(`"body":{"agent":`)
	out = append(out, term{DimAgent, s.text()})
	s.skip(`"principal":{"type":`)
	kind := s.text()
	s.skip(`,"ref":`)
	out = append(out, term{DimPrincipal, kind + ":" + s.text()})
	s.skip(`"tool":`)
	out = append(out, term{DimTool, s.text()})
	if s.next(`,"session":`) {
		out = append(out, term{DimSession, s.text()})
	}
	s.skip(`"outcome":`)
	out = append(out, term{DimOutcome, s.text()})
	if s.next(`,"would":`) {
		out = append(out, term{DimWould, s.text()})
	}
	s.skip(`],"policies":[`)
	for s.ok && strings.HasPrefix(s.rest, `"`) {
		out = append(out, term{DimPolicy, s.text()})
		s.next(",")
	}
	return out, s.ok && strings.HasPrefix(s.rest, "]")
}

// scanner reads an entry from the front.
type scanner struct {
	rest string
	ok   bool
}

// skip goes behind the next mark. Everything between is taken to be without escapes, or the scan is given up.
func (s *scanner) skip(mark string) {
	between, rest, found := strings.Cut(s.rest, mark)
	s.ok = s.ok && found && !strings.Contains(between, `\`)
	s.rest = rest
}

// next goes behind mark if it stands right here.
func (s *scanner) next(mark string) bool {
	rest, found := strings.CutPrefix(s.rest, mark)
	s.rest = rest
	return found
}

// text reads a string that stands right here.
func (s *scanner) text() string {
	rest, opened := strings.CutPrefix(s.rest, `"`)
	text, rest, closed := strings.Cut(rest, `"`)
	s.ok = s.ok && opened && closed && !strings.Contains(text, `\`)
	s.rest = rest
	return text
}

// kindOf reads the kind without decoding: the field stands third, after the version and the ledger.
func kindOf(raw []byte) (canon.Kind, error) {
	const mark = `","kind":"`
	head := string(raw[:min(len(raw), 256)])
	_, rest, ok := strings.Cut(head, mark)
	kind, _, end := strings.Cut(rest, `"`)
	if !ok || !end {
		return "", errors.New("entry without a kind")
	}
	return canon.Kind(kind), nil
}

// segment is the open end of the index: the postings of one segment so far.
type segment struct {
	number int64
	sets   map[term]*offsets
	dirty  map[term]bool
}

func newSegment(number int64) *segment {
	return &segment{number: number, sets: map[term]*offsets{}, dirty: map[term]bool{}}
}

func (s *segment) add(t term, offset int) {
	set := s.sets[t]
	if set == nil {
		set = &offsets{}
		s.sets[t] = set
	}
	set.add(offset)
	s.dirty[t] = true
}

// take gives the postings that changed since the last take.
func (s *segment) take() []row.Posting {
	out := make([]row.Posting, 0, len(s.dirty))
	for t := range s.dirty {
		out = append(out, row.Posting{Dim: byte(t.dim), Value: t.value, Segment: s.number, Offsets: s.sets[t].encode()})
	}
	clear(s.dirty)
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
	l    *Ledger
	kept IndexStore
	open *segment
	next int64
}

// indexStepMax is how many entries one step of the indexer takes at most.
const indexStepMax = 4 * SegmentSize

// NewIndexer makes the indexer of a ledger. The first Step finds out where it stopped.
func NewIndexer(l *Ledger) *Indexer { return &Indexer{l: l, kept: l.store} }

// Step takes in what was appended since the last one. It says how many entries it took and how many remain.
func (x *Indexer) Step(ctx context.Context) (taken, lag int64, err error) {
	if err := x.resume(ctx); err != nil {
		return 0, 0, err
	}
	head, err := x.l.store.Head(ctx, x.l.name)
	if err != nil || head.Size <= x.next {
		return 0, 0, ignoreNotFound(err)
	}
	to := min(head.Size, x.next+indexStepMax)
	step := row.Index{Ledger: x.l.name, Through: to}
	var room [16]term
	err = x.l.ScanNew(ctx, x.next, to, func(r Raw) error {
		if number := r.Index / SegmentSize; number != x.open.number {
			step.Postings = append(step.Postings, x.open.take()...)
			x.open = newSegment(number)
		}
		found, err := terms(r.Bytes, room[:0])
		for _, t := range found {
			x.open.add(t, int(r.Index%SegmentSize))
		}
		return err
	})
	if err == nil {
		step.Postings = append(step.Postings, x.open.take()...)
		err = x.kept.SaveIndex(ctx, step)
	}
	if err != nil {
		x.open = nil // begin again from what is saved
		return 0, 0, err
	}
	taken, x.next = to-x.next, to
	return taken, head.Size - to, nil
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
	if x.open != nil && x.next == through {
		return nil
	}
	x.next, x.open = through, newSegment(through/SegmentSize)
	var room [16]term
	return x.l.Scan(ctx, x.open.number*SegmentSize, through, false, func(r Raw) error {
		found, err := terms(r.Bytes, room[:0])
		for _, t := range found {
			x.open.add(t, int(r.Index%SegmentSize))
		}
		return err
	})
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
