package ledger

import (
	"context"
	"math"
	"time"
)

// Pairs counts decisions by two values at once, and by each alone.
type Pairs struct {
	Counts  map[string]map[string]int64 // by the first value, then by the second
	From    int64                       // entries from this index on were counted
	Through int64                       // entries below this index were counted
}

// CountPairs counts the decisions since a time that have each pair of values in two dimensions. It reads the newest
// countSegmentsMax segments of the index at most: From says where it began.
func (l *Ledger) CountPairs(ctx context.Context, first Dim, firsts []string, second Dim, seconds []string, since time.Time) (Pairs, error) {
	through, err := l.store.Indexed(ctx, l.name)
	if err != nil {
		return Pairs{}, err
	}
	from, err := l.store.IndexAt(ctx, l.name, since)
	if err != nil {
		return Pairs{}, err
	}
	from = max(min(from, through), through-countSegmentsMax*SegmentSize, 0)
	out := Pairs{Counts: map[string]map[string]int64{}, From: from, Through: through}
	sets := make(map[string]map[int64]*offsets, len(seconds))
	for _, v := range seconds {
		if sets[v], err = l.setsOf(ctx, Filter{second, v}, from); err != nil {
			return Pairs{}, err
		}
	}
	for _, v := range firsts {
		mine, err := l.setsOf(ctx, Filter{first, v}, from)
		if err != nil {
			return Pairs{}, err
		}
		counts := map[string]int64{}
		for _, w := range seconds {
			if n := common(mine, sets[w]); n > 0 {
				counts[w] = n
			}
		}
		out.Counts[v] = counts
	}
	return out, nil
}

// setsOf reads the postings of a value from an index on, by segment.
func (l *Ledger) setsOf(ctx context.Context, f Filter, from int64) (map[int64]*offsets, error) {
	found, err := l.postings(ctx, f, math.MaxInt64/SegmentSize, from/SegmentSize, countSegmentsMax+1)
	if err != nil {
		return nil, err
	}
	out := make(map[int64]*offsets, len(found))
	for _, s := range found {
		s.set.from(from - s.number*SegmentSize)
		out[s.number] = s.set
	}
	return out, nil
}

// common counts what is in both.
func common(a, b map[int64]*offsets) int64 {
	n := 0
	for number, set := range a {
		if other := b[number]; other != nil {
			both := *set
			both.and(other)
			n += both.count()
		}
	}
	return int64(n)
}
