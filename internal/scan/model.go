package scan

import (
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
)

// shipped are the weights that bench/scanner wrote.
//
//go:embed weights.bin
var shipped []byte

const (
	bucketBits = 19
	// Buckets is how many weights a set has; features are hashed into them.
	Buckets = 1 << bucketBits
	// Sets is how many sets of weights there are: for data and for prompts.
	Sets  = 2
	magic = "writscan1\n"
)

// Sizes are the lengths of the windows that the model looks at, in tokens.
func Sizes() []int {
	all := sizes()
	return all[:]
}

func sizes() [3]int { return [3]int{8, 20, 56} }

// Calibration is what was measured when the weights were trained, for one channel.
type Calibration struct {
	Set        int             `json:"set"`        // which weights
	Thresholds []int           `json:"thresholds"` // for each size of window: what a text of one window must exceed
	Slopes     []int           `json:"slopes"`     // for each size: how much more for each doubling of the number of windows
	Bands      []BandRate      `json:"bands"`      // weakest first
	Rules      map[string]Rate `json:"rules"`      // the rules that are reported by themselves
	Two        Rate            `json:"two"`        // of a place where two of them fire
}

// BandRate is how far above the threshold a band begins, and how often harmless texts got there.
type BandRate struct {
	Band   Band    `json:"band"`
	Margin int     `json:"margin"`
	Rate   float64 `json:"rate"`
}

// Rate is the band of a rule, and how often it fires in harmless texts; an upper bound where it never did.
type Rate struct {
	Band Band    `json:"band"`
	Rate float64 `json:"rate"`
}

type weights struct {
	digest   string
	channels map[Channel]Calibration
	sets     [Sets][]int8 // one for each bucket
}

// WriteWeights makes the file that WithWeights reads: the calibration as JSON with its length in front, and the sets.
func WriteWeights(channels map[Channel]Calibration, sets [Sets][]int8) ([]byte, error) {
	head, err := json.Marshal(channels)
	if err != nil {
		return nil, fmt.Errorf("write calibration: %w", err)
	}
	out := binary.BigEndian.AppendUint32([]byte(magic), uint32(len(head)))
	out = append(out, head...)
	for _, set := range sets {
		for _, v := range set {
			out = append(out, byte(v))
		}
	}
	return out, nil
}

func readWeights(file []byte) (*weights, error) {
	at := len(magic) + 4
	if len(file) < at || string(file[:len(magic)]) != magic {
		return nil, fmt.Errorf("read weights: not a file of weights")
	}
	head := int(binary.BigEndian.Uint32(file[len(magic):]))
	if head > len(file) || len(file) != at+head+Sets*Buckets {
		return nil, fmt.Errorf("read weights: %d bytes, of which %d calibration", len(file), head)
	}
	w := &weights{}
	if err := json.Unmarshal(file[at:at+head], &w.channels); err != nil {
		return nil, fmt.Errorf("read calibration: %w", err)
	}
	for _, c := range Channels() {
		cal, ok := w.channels[c]
		if !ok || cal.Set < 0 || cal.Set >= Sets || len(cal.Thresholds) != len(Sizes()) || len(cal.Slopes) != len(Sizes()) || len(cal.Bands) == 0 {
			return nil, fmt.Errorf("read calibration: channel %s is not complete", c)
		}
	}
	for i := range w.sets {
		w.sets[i] = make([]int8, Buckets)
		for k, b := range file[at+head+i*Buckets : at+head+(i+1)*Buckets] {
			w.sets[i][k] = int8(b)
		}
	}
	sum := sha256.Sum256(file)
	w.digest = hex.EncodeToString(sum[:6])
	return w, nil
}

// analysis is a layer read: its tokens and where the rules fired.
type analysis struct {
	v       *view // folded
	tokens  []token
	hits    []hit
	byToken []hit // those that end at a token, in its order
	looked  int   // bytes that were looked at ahead, for the test of linear work
}

// analyse reads a layer. What it returns is good until the next one is read with the same scratch.
func (s *Scanner) analyse(m *scratch, v *view) *analysis {
	f := fold(m, v)
	a := &m.analysis
	a.v = f.out
	a.tokens, a.looked = s.tokens(a.tokens[:0], f.out)
	a.looked += f.looked
	a.hits = structure(s.match(m, a.hits[:0], a.tokens), f, a.tokens)
	a.byToken = ordered(a.byToken[:0], a.hits)
	return a
}

// origin is the offset in the original text of a byte of the folded one.
func (a *analysis) origin(at int) int {
	if len(a.v.src) == 0 {
		return 0
	}
	return int(a.v.src[min(at, len(a.v.src)-1)] & offsetMask)
}

// originEnd is the offset after the byte that stands before at.
func (a *analysis) originEnd(at int) int { return a.origin(max(at-1, 0)) + 1 }

// layer names how the text of a span was decoded.
func (a *analysis) layer(from, to int) string {
	var marks uint32
	for _, s := range a.v.src[min(from, len(a.v.src)):min(to, len(a.v.src))] {
		marks |= s
	}
	name := a.v.layer
	for _, m := range []struct {
		mark uint32
		name string
	}{{markJSON, "escapes"}, {markEntity, "entities"}, {markURL, "url"}, {markInvisble, "zero-width"}, {markLookalik, "lookalikes"}, {markComment, "comment"}, {markHidden, "hidden"}} {
		if marks&m.mark != 0 {
			if name != "" {
				name += ">"
			}
			name += m.name
		}
	}
	return name
}

const (
	featuresMax = 24 // of one token
	classesMax  = 4  // of one token, as features of their own
)

// Kinds of features, so that equal numbers of different kinds differ.
const (
	featStem = iota + 1
	featPair
	featSkip
	featClasses
	featClasses3
	featStart
	featFlag
	featRule
	featGuarded
	featStructure
	featClass
	featClassSkip
	featClassStem
)

func bucket(kind int, a, b, c uint32) uint32 {
	h := uint32(kind)*0x9E3779B1 ^ a*0x85EBCA6B
	h = bits.RotateLeft32(h, 13)*0xC2B2AE35 + b
	h = bits.RotateLeft32(h^h>>15, 11)*0x27D4EB2F + c
	h ^= h >> 16
	h *= 0x7FEB352D
	return h >> (32 - bucketBits)
}

// features calls yield with the buckets of each token in turn; the slice is good until yield returns.
func (a *analysis) features(yield func(token int, buckets []uint32)) {
	var buf [featuresMax]uint32
	byToken := a.byToken
	next := 0
	var recent [2]uint32 // classes of the last two tokens that have one
	var recentAt [2]int
	var stem1, stem2 uint32
	for i, k := range a.tokens {
		quoted := uint32(k.flags & inQuote) // what is quoted says other things than what is not
		out := append(buf[:0], bucket(featStem, k.stem, 0, quoted), bucket(featPair, stem1, k.stem, quoted), bucket(featSkip, stem2, k.stem, quoted))
		if k.flags&atStart != 0 {
			out = append(out, bucket(featStart, k.stem, 0, quoted))
		}
		if i-recentAt[0] <= 4 && recent[0] != 0 {
			out = append(out, bucket(featClassStem, recent[0], k.stem, quoted))
		}
		if k.prime != 0 {
			p := uint32(k.prime)
			near, far := i-recentAt[0] <= 8, i-recentAt[1] <= 14
			if near {
				out = append(out, bucket(featClasses, recent[0], p, quoted))
			}
			if near && far {
				out = append(out, bucket(featClasses3, recent[1], recent[0], p|quoted<<8))
			}
			if far {
				out = append(out, bucket(featClassSkip, recent[1], p, quoted))
			}
			n := 0
			for left := k.classes; left != 0 && n < classesMax; left &= left - 1 {
				out = append(out, bucket(featClass, uint32(bits.TrailingZeros64(uint64(left))), 0, quoted))
				n++
			}
			if k.flags != 0 {
				out = append(out, bucket(featFlag, p, uint32(k.flags&(atStart|isUpper|atColon)), uint32(k.flags&(inQuote|inCode|inExample|inHidden|inDecoded))))
			}
			recent[1], recentAt[1] = recent[0], recentAt[0]
			recent[0], recentAt[0] = p, i
		}
		for n := 0; next < len(byToken) && byToken[next].token == i; next++ {
			if n < 4 {
				out = append(out, hitBucket(byToken[next]))
				n++
			}
		}
		stem2, stem1 = stem1, k.stem
		yield(i, out)
	}
}

func hitBucket(h hit) uint32 {
	kind := featRule
	if h.structural {
		kind = featStructure
	}
	guarded := uint32(0)
	if h.guarded {
		guarded = 1
	}
	return bucket(kind, uint32(h.number), guarded, 0)
}

// ordered are the hits that end at a token, in its order.
func ordered(out, hits []hit) []hit {
	for _, h := range hits {
		if h.token >= 0 {
			out = append(out, h)
		}
	}
	slices.SortStableFunc(out, func(x, y hit) int { return x.token - y.token })
	return out
}

// windows calls yield with each window of a size, the last one ending with the text. A text shorter than the size before has
// none of this size: it is that one's.
func windows(tokens, size int, yield func(from, to int)) int {
	stride, count := size/4, 0
	for from := 0; ; from += stride {
		to := min(from+size, tokens)
		if to == tokens && from > 0 {
			from = max(0, to-size)
		}
		yield(from, to)
		count++
		if to == tokens {
			return count
		}
	}
}

// slide calls yield with every window of a size over the tokens that sums are of.
func slide(sums []int32, size int, yield func(from, to int)) {
	n := len(sums) - 1
	for from := 0; from == 0 || from+size <= n; from++ {
		yield(from, min(from+size, n))
	}
}

// doublings is how many times the number of windows doubles to become that of a text; a short text counts as one of thirty-two,
// because a single sentence is judged without what stands around it.
func doublings(tokens, size int) int { return max(doublingsMin, bits.Len(uint(tokens/(size/4)))) }

const doublingsMin = 5

// span is a stretch of tokens with how far it is above the threshold.
type span struct{ from, to, margin int }

// byModel scores every window of the text and reports stretches of windows that are above their threshold.
func (s *Scanner) byModel(m *scratch, channel Channel, cal *Calibration, a *analysis) []Finding {
	n := len(a.tokens)
	if n < tokensMin {
		return nil
	}
	set := s.weights.sets[cal.Set]
	m.sums = slices.Grow(m.sums[:0], n+1)[:n+1]
	sums := m.sums
	sums[0] = 0
	a.features(func(i int, buckets []uint32) {
		sum := sums[i]
		for _, b := range buckets {
			sum += int32(set[b])
		}
		sums[i+1] = sum
	})
	spans := m.spans[:0]
	for k, size := range sizes() {
		if k > 0 && n <= sizes()[k-1] {
			break
		}
		threshold, first := cal.Thresholds[k]+cal.Slopes[k]*doublings(n, size), len(spans)
		slide(sums, size, func(from, to int) {
			margin := int(sums[to]-sums[from]) - threshold
			last := len(spans) - 1
			switch {
			case margin < cal.Bands[0].Margin:
			case last < first || from > spans[last].to:
				spans = append(spans, span{from, to, margin})
			case margin > spans[last].margin: // of neighbours the best, so that a finding says where
				spans[last] = span{from, to, margin}
			}
		})
	}
	m.spans = spans
	if len(spans) == 0 {
		return nil
	}
	return s.report(channel, cal, a, join(spans))
}

const tokensMin = 3 // fewer say nothing

// join merges spans that overlap, keeping the best margin and, of spans of one stretch, the extent of the best and its neighbours.
func join(spans []span) []span {
	slices.SortFunc(spans, func(x, y span) int {
		if x.from != y.from {
			return x.from - y.from
		}
		return x.to - y.to
	})
	out := spans[:0]
	for _, sp := range spans {
		if k := len(out) - 1; k >= 0 && sp.from <= out[k].to {
			out[k].to, out[k].margin = max(out[k].to, sp.to), max(out[k].margin, sp.margin)
			continue
		}
		out = append(out, sp)
	}
	return out
}

// report makes findings of spans, the strongest only when there are too many.
func (s *Scanner) report(channel Channel, cal *Calibration, a *analysis, spans []span) []Finding {
	if len(spans) > FindingsMax {
		slices.SortStableFunc(spans, func(x, y span) int { return y.margin - x.margin })
		spans = spans[:FindingsMax]
	}
	var out []Finding
	for _, sp := range spans {
		from, to := int(a.tokens[sp.from].start), int(a.tokens[sp.to-1].end)
		f := Finding{Detector: ByModel, Channel: channel, Start: a.origin(from), End: a.originEnd(to), Layer: a.layer(from, to), Margin: sp.margin}
		for _, b := range cal.Bands {
			if sp.margin >= b.Margin {
				f.Band, f.Rate = b.Band, b.Rate
			}
		}
		for _, h := range a.hits {
			if h.from < to && h.to > from && !slices.Contains(f.Rules, h.id) {
				f.Rules = append(f.Rules, h.id)
			}
		}
		slices.Sort(f.Rules)
		out = append(out, f)
	}
	return out
}
