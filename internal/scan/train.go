package scan

// Layer is a decoded form of a text as the model sees it, for the training program: the features of each token.
type Layer struct {
	Name       string
	ends       []int    // of the features of each token, after a zero
	features   []uint32 // one for each time they occur
	start, end []int    // of each token, in the text
}

// Example is a window: which of Sizes it has, where it lies in the text, and its features.
type Example struct {
	Size       int
	Start, End int // bytes in the text
	Features   []uint32
}

// Peak is the best window of one size of a layer, and the doublings of its number of windows.
type Peak struct{ Size, Doublings, Sum int }

// Hit is a rule that fired, for the training program. Guarded: in a quotation, in code, or where attacks are being described.
type Hit struct {
	Rule    string
	Guarded bool
}

// Read returns the layers of a text and the rules that fired in it. The scanner may be one without weights, of NewReader.
func (s *Scanner) Read(text string) (layers []Layer, hits []Hit) {
	m := s.scratch()
	defer s.release(m, text)
	for _, v := range s.layers(m, text) {
		a := s.analyse(m, v)
		for _, h := range a.hits {
			hits = append(hits, Hit{h.id, h.guarded})
		}
		if len(a.tokens) >= tokensMin {
			layers = append(layers, a.forTraining())
		}
	}
	return layers, hits
}

func (a *analysis) forTraining() Layer {
	l := Layer{Name: a.v.layer, ends: make([]int, 1, len(a.tokens)+1)}
	a.features(func(i int, buckets []uint32) {
		l.features = append(l.features, buckets...)
		l.ends = append(l.ends, len(l.features))
		l.start, l.end = append(l.start, a.origin(int(a.tokens[i].start))), append(l.end, a.originEnd(int(a.tokens[i].end)))
	})
	return l
}

// Windows are windows to learn from: not every one, as a scan looks at, but one for each quarter of a size. The features of tokens
// that begin from hideStart to hideEnd are left out.
func (l Layer) Windows(hideStart, hideEnd int) []Example {
	var out []Example
	n := len(l.start)
	features, ends := l.features, l.ends
	if hideEnd > hideStart {
		features, ends = nil, make([]int, 1, n+1)
		for i := range n {
			if l.start[i] < hideStart || l.start[i] >= hideEnd {
				features = append(features, l.features[l.ends[i]:l.ends[i+1]]...)
			}
			ends = append(ends, len(features))
		}
	}
	for k, size := range sizes() {
		if k > 0 && n <= sizes()[k-1] {
			break
		}
		windows(n, size, func(from, to int) {
			out = append(out, Example{Size: k, Start: l.start[from], End: l.end[to-1], Features: features[ends[from]:ends[to]]})
		})
	}
	return out
}

// Peaks are the best windows of each size, by a set of weights.
func (l Layer) Peaks(set []int8) []Peak {
	n := len(l.start)
	sums := make([]int32, n+1)
	for i := range n {
		sum := sums[i]
		for _, f := range l.features[l.ends[i]:l.ends[i+1]] {
			sum += int32(set[f])
		}
		sums[i+1] = sum
	}
	var out []Peak
	for k, size := range sizes() {
		if k > 0 && n <= sizes()[k-1] {
			break
		}
		p := Peak{k, doublings(n, size), -1 << 30}
		slide(sums, size, func(from, to int) { p.Sum = max(p.Sum, int(sums[to]-sums[from])) })
		out = append(out, p)
	}
	return out
}

// NewReader returns a scanner without weights: it can Read and not Scan.
func NewReader() *Scanner {
	return &Scanner{lexicon: newDictionary(lexicon()), known: cuttable(), rules: rules(), asking: askingOf(rules()), kept: make(chan *scratch, scratchesKept)}
}

// Score is how far the best window of a text is above its threshold; below zero where the model finds nothing.
func (s *Scanner) Score(channel Channel, text string) int {
	cal := s.weights.channels[channel]
	best := -1 << 30
	layers, _ := s.Read(text)
	for _, l := range layers {
		for _, p := range l.Peaks(s.weights.sets[cal.Set]) {
			best = max(best, p.Sum-cal.Thresholds[p.Size]-cal.Slopes[p.Size]*p.Doublings)
		}
	}
	return best
}

// Calibration is what the weights say of a channel.
func (s *Scanner) Calibration(channel Channel) Calibration { return s.weights.channels[channel] }

// Work is how many bytes, tokens, features and hits a scan of a text goes through: what its time is proportional to.
func Work(text string) int {
	s := NewReader()
	steps := 0
	m := s.scratch()
	defer s.release(m, text)
	for _, v := range s.layers(m, text) {
		a := s.analyse(m, v)
		steps += len(v.text) + len(a.v.text) + len(a.tokens) + len(a.hits) + a.looked
		a.features(func(_ int, buckets []uint32) { steps += len(buckets) })
	}
	return steps
}
