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

// encodeOffsets writes ascending offsets in the shorter of two forms, as a list or as bits.
func encodeOffsets(list []uint16) []byte {
	if len(list) <= listMax {
		out := append(make([]byte, 0, 1+2*len(list)), encodedList)
		for _, offset := range list {
			out = binary.BigEndian.AppendUint16(out, offset)
		}
		return out
	}
	var o offsets
	for _, offset := range list {
		o.add(int(offset))
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
