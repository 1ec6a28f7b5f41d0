package scan

// Example is a window as the model sees it, for the training program: which of Sizes it has, where it lies in the text, and its
// features, one for each time they occur.
type Example struct {
	Size       int
	Start, End int // bytes in the text
	Windows    int // how many of this size the text has, as a length in bits
	Layer      string
	Features   []uint32
}

// Hit is a rule that fired, for the training program. Guarded: in a quotation, in code, or where attacks are being described.
type Hit struct {
	Rule    string
	Guarded bool
}

// Read returns the windows of a text and the rules that fired in it. The scanner may be one without weights, of NewReader.
func (s *Scanner) Read(text string) (examples []Example, hits []Hit) {
	m := s.scratch()
	defer s.release(m, text)
	for _, v := range s.layers(m, text) {
		a := s.analyse(m, v)
		for _, h := range a.hits {
			hits = append(hits, Hit{h.id, h.guarded})
		}
		examples = append(examples, a.examples()...)
	}
	return examples, hits
}

// NewReader returns a scanner without weights: it can Read and not Scan.
func NewReader() *Scanner {
	return &Scanner{lexicon: newDictionary(lexicon()), known: cuttable(), rules: rules(), asking: askingOf(rules())}
}

func (a *analysis) examples() []Example {
	n := len(a.tokens)
	if n < tokensMin {
		return nil
	}
	ends := make([]int, 1, n+1)
	var flat []uint32
	a.features(func(_ int, buckets []uint32) {
		flat = append(flat, buckets...)
		ends = append(ends, len(flat))
	})
	var out []Example
	for k, size := range Sizes() {
		if k > 0 && n <= Sizes()[k-1] {
			break
		}
		count := doublings(n, size)
		windows(n, size, func(from, to int) {
			out = append(out, Example{Size: k, Windows: count, Layer: a.v.layer, Start: a.origin(int(a.tokens[from].start)), End: a.originEnd(int(a.tokens[to-1].end)), Features: flat[ends[from]:ends[to]]})
		})
	}
	return out
}

// Score is how far the best window of a text is above its threshold; below zero where the model finds nothing.
func (s *Scanner) Score(channel Channel, text string) int {
	cal := s.weights.channel(channel)
	set := s.weights.sets[cal.Set]
	best := -1 << 30
	m := s.scratch()
	defer s.release(m, text)
	for _, v := range s.layers(m, text) {
		for _, x := range s.analyse(m, v).examples() {
			sum := 0
			for _, f := range x.Features {
				sum += int(int8(set[f]))
			}
			best = max(best, sum-cal.Thresholds[x.Size]-cal.Slopes[x.Size]*x.Windows)
		}
	}
	return best
}

// Calibration is what the weights say of a channel.
func (s *Scanner) Calibration(channel Channel) Calibration { return s.weights.channel(channel) }

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
