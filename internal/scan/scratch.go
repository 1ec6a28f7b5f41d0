package scan

import "slices"

// scratch is the memory that one scan works in. The scanner keeps it for the next: a scan that allocates ten times its text makes
// the garbage collector take as long as the scan itself, and not when it is convenient. Nothing in a Finding points into it.
type scratch struct {
	views    []*view
	used     int      // of views
	identity []uint32 // the src of a text that nothing was done to
	layers   []*view
	analysis analysis
	folder   folder
	states   []state
	sums     []int32
	spans    []span
}

// scratchesKept is how many scratches are kept for good; of more, which scans at one moment may need, the garbage collector takes what
// lies about. If it took them all, the first scan of a long text after each of its rounds would begin by clearing fresh memory.
const scratchesKept = 4

// scratchTextMax is how long a text may be for its scratch to be kept; what a longer one needed is given back.
const scratchTextMax = 256 << 10

// view returns an empty view with room for n bytes, which is good until release.
func (m *scratch) view(n int) *view {
	if m.used == len(m.views) {
		m.views = append(m.views, &view{})
	}
	v := m.views[m.used]
	m.used++
	v.text, v.src, v.layer = slices.Grow(v.text[:0], n), slices.Grow(v.src[:0], n), ""
	return v
}

// root is the view of a text as it is.
func (m *scratch) root(text string) *view {
	for i := len(m.identity); i < len(text); i++ {
		m.identity = append(m.identity, uint32(i))
	}
	v := m.view(len(text))
	v.text, v.src = append(v.text, text...), append(v.src, m.identity[:len(text)]...)
	return v
}

// drop gives back the last view, which turned out empty.
func (m *scratch) drop() { m.used-- }

func (s *Scanner) scratch() *scratch {
	var m *scratch
	select {
	case m = <-s.kept:
	default:
		m, _ = s.pool.Get().(*scratch)
	}
	if m == nil {
		return &scratch{}
	}
	m.used = 0
	return m
}

func (s *Scanner) release(m *scratch, text string) {
	if len(text) > scratchTextMax {
		return
	}
	select {
	case s.kept <- m:
	default:
		s.pool.Put(m)
	}
}
