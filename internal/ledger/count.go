package ledger

import (
	"context"
	"time"
)

// Counts says how many decisions had each value of a dimension in each of a row of intervals.
type Counts struct {
	Values  map[string][]int64 // by value: one number for each interval
	Through int64              // entries below this index were counted
}

// countSegmentsMax bounds how much of the index one count reads.
const countSegmentsMax = 4096

// Count counts decisions by the values of a dimension, in the intervals between bounds, which ascend. It reads the index only:
// a segment of 4,096 entries costs one row for each value.
func (l *Ledger) Count(ctx context.Context, dim Dim, values []string, bounds []time.Time) (Counts, error) {
	through, err := l.store.Indexed(ctx, l.name)
	if err != nil {
		return Counts{}, err
	}
	at := make([]int64, len(bounds))
	for i, b := range bounds {
		if at[i], err = l.store.IndexAt(ctx, l.name, b); err != nil {
			return Counts{}, err
		}
		at[i] = min(at[i], through)
	}
	out := Counts{Values: make(map[string][]int64, len(values)), Through: through}
	for _, v := range values {
		if out.Values[v], err = l.count(ctx, Filter{dim, v}, at); err != nil {
			return Counts{}, err
		}
	}
	return out, nil
}

// count counts what passes a filter between indexes, which ascend.
func (l *Ledger) count(ctx context.Context, f Filter, at []int64) ([]int64, error) {
	counts := make([]int64, len(at)-1)
	last := at[len(at)-1]
	if last == at[0] {
		return counts, nil
	}
	sets, err := l.postings(ctx, f, (last-1)/SegmentSize+1, at[0]/SegmentSize, countSegmentsMax)
	if err != nil {
		return nil, err
	}
	for _, s := range sets {
		base := s.number * SegmentSize
		for i := range counts {
			if at[i] >= base+SegmentSize || at[i+1] <= base {
				continue
			}
			part := *s.set
			part.from(at[i] - base)
			part.below(at[i+1] - base)
			counts[i] += int64(part.count())
		}
	}
	return counts, nil
}
