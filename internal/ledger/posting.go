package ledger

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// SegmentSize is how many consecutive entries one posting of the query index covers.
const SegmentSize = 4096

const (
	setWords     = SegmentSize / 64
	encodedDense = 0 // then the bits as big-endian words
	encodedList  = 1 // then the offsets as big-endian uint16
	listMax      = SegmentSize / 16
)

// offsets is a set of entries of one segment.
type offsets [setWords]uint64

func (o *offsets) add(offset int) { o[offset/64] |= 1 << (offset % 64) }

// and keeps what is in both.
func (o *offsets) and(other *offsets) {
	for i := range o {
		o[i] &= other[i]
	}
}

// below removes what is at or over limit.
func (o *offsets) below(limit int64) {
	for i := range o {
		switch low := int64(i) * 64; {
		case limit <= low:
			o[i] = 0
		case limit < low+64:
			o[i] &= 1<<(limit-low) - 1
		}
	}
}

// from removes what is under limit.
func (o *offsets) from(limit int64) {
	under := *o
	under.below(limit)
	for i := range o {
		o[i] &^= under[i]
	}
}

func (o *offsets) count() int {
	n := 0
	for _, w := range o {
		n += bits.OnesCount64(w)
	}
	return n
}

// descending calls fn from the highest to the lowest until it says stop.
func (o *offsets) descending(fn func(offset int) bool) {
	for i := setWords - 1; i >= 0; i-- {
		for w := o[i]; w != 0; {
			top := 63 - bits.LeadingZeros64(w)
			if !fn(i*64 + top) {
				return
			}
			w &^= 1 << top
		}
	}
}

// encode writes the shorter of a list and the bits.
func (o *offsets) encode() []byte {
	if n := o.count(); n <= listMax {
		out := append(make([]byte, 0, 1+2*n), encodedList)
		for i, w := range o {
			for ; w != 0; w &= w - 1 {
				out = binary.BigEndian.AppendUint16(out, uint16(i*64+bits.TrailingZeros64(w)))
			}
		}
		return out
	}
	out := append(make([]byte, 0, 1+8*setWords), encodedDense)
	for _, w := range o {
		out = binary.BigEndian.AppendUint64(out, w)
	}
	return out
}

func decodeOffsets(data []byte) (*offsets, error) {
	var o offsets
	switch {
	case len(data) == 1+8*setWords && data[0] == encodedDense:
		for i := range o {
			o[i] = binary.BigEndian.Uint64(data[1+8*i:])
		}
		return &o, nil
	case len(data)%2 == 1 && data[0] == encodedList:
		for rest := data[1:]; len(rest) > 0; rest = rest[2:] {
			offset := int(binary.BigEndian.Uint16(rest))
			if offset >= SegmentSize {
				return nil, errors.New("posting names an entry outside its segment")
			}
			o.add(offset)
		}
		return &o, nil
	}
	return nil, errors.New("posting is neither a list nor bits")
}
