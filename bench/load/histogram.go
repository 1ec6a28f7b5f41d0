//go:build linux

package load

import (
	"math/bits"
	"time"
)

const (
	subBits     = 6 // 64 buckets for each power of two: a bucket is at most 1/64 wide
	bucketCount = (64 - subBits) << subBits
)

// Histogram counts durations in buckets whose width is at most 1.6 % of what they hold. The zero value is empty.
type Histogram struct {
	counts [bucketCount]uint64
	total  uint64
}

// Add counts one duration; a negative one counts as nothing.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)))]++
	h.total++
}

// Count is how many durations were added.
func (h *Histogram) Count() uint64 { return h.total }

// Quantile is the upper edge of the bucket in which the q-th part (0 to 1) of the durations ends; zero when it is empty.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := min(uint64(q*float64(h.total)), h.total-1)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen > rank {
			return time.Duration(edge(i))
		}
	}
	panic("load: a histogram's total is larger than the sum of its buckets")
}

// bucket numbers the buckets: values under 64 have one each, then 64 for each power of two.
func bucket(v uint64) int {
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - subBits
	return shift<<subBits + int(v>>shift)
}

// edge is the largest value in bucket i.
func edge(i int) uint64 {
	if i < 1<<(subBits+1) {
		return uint64(i)
	}
	shift := i>>subBits - 1
	return (uint64(i-shift<<subBits)+1)<<shift - 1
}
