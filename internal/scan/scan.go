// Package scan looks for prompt injection in text: instructions to a model in what should be data. It is pure: the same text and
// weights give the same findings everywhere.
//
// A text goes through bounded decoding (JSON escapes, HTML entities, URL escapes, base64, hex, Unicode tags and selectors; two
// deep), folding (compatibility forms, homoglyphs, invisible characters, HTML tags but not comments), structural checks,
// rules over classes of tokens, and a small linear model over windows of the whole text. Time is linear in the text and memory
// a fixed multiple of it; a text longer than ContentBytesMax is refused with a finding, never passed over in silence.
//
// What it finds are known patterns. An attacker who adapts to it gets by: adaptive attacks broke twelve published defences, most
// of them more than nine times in ten (arXiv 2510.09023). So a finding is a signal for policy, together with where the data
// came from and where it goes; it is never the only wall. MODEL.md says what the weights were trained on.
//
// A finding says where and what, never the text itself.
package scan

import (
	"cmp"
	"slices"
	"sync"
)

const (
	ContentBytesMax = 4 << 20 // longer texts give the one finding RuleTooLong
	FindingsMax     = 32      // a scan keeps the strongest
	depthMax        = 2       // decodings inside decodings
)

// Version names the code of the scanner; a Finding adds the digest of the weights to it.
const Version = "1"

// Channel is where a text comes from. Each has thresholds of its own: an order is normal in a prompt and not in a search result.
type Channel string

// Every channel.
const (
	ToolResult      Channel = "tool_result"      // what a tool answered
	ToolInput       Channel = "tool_input"       // the arguments that an agent gives a tool
	ToolDescription Channel = "tool_description" // what a tool says of itself
	Prompt          Channel = "prompt"           // what a person or a program asks of an agent
)

// Channels lists every channel.
func Channels() []Channel { return []Channel{ToolResult, ToolInput, ToolDescription, Prompt} }

// Band is how sure a finding is, by how rarely harmless texts get so far.
type Band string

// Every band, weakest first. The rate that was measured for each is Finding.Rate.
const (
	Low    Band = "low"
	Medium Band = "medium"
	High   Band = "high"
)

func (b Band) rank() int { return slices.Index([]Band{Low, Medium, High}, b) }

// AtLeast says whether a band is as sure as another.
func (b Band) AtLeast(other Band) bool { return b.rank() >= other.rank() }

// Detector is which part of the scanner found something.
type Detector string

// Every detector.
const (
	ByModel     Detector = "model"
	ByRule      Detector = "rule"
	ByStructure Detector = "structure"
)

// Finding is a place in a text that looks like an instruction to a model. It holds nothing of the text.
type Finding struct {
	Detector Detector
	Version  string // of the code and the weights
	Channel  Channel
	Band     Band
	Rate     float64  // at most this share of harmless texts of the channel got so far when it was calibrated
	Rules    []string // ids of the rules that fired in the span, sorted; may be empty for the model
	Start    int      // byte offsets in the text that was scanned
	End      int
	Layer    string // how the place was decoded, as "base64" or "base64>url"; empty for plain text
	Margin   int    // how far above the threshold, in the model's units; 0 for others
}

// Scanner scans texts. It does not change but for the memory it keeps, and many goroutines may use one.
type Scanner struct {
	weights *weights
	lexicon *dictionary
	known   map[string]bool // words that letters are cut into
	rules   []rule
	asking  asking
	version string
	kept    chan *scratch // that no scan uses now, at most scratchesKept
	pool    sync.Pool     // of more of them
}

// New returns the scanner with the weights that were shipped. An error means that they are damaged.
func New() (*Scanner, error) { return WithWeights(shipped) }

// WithWeights returns a scanner with the weights of a file that the training program wrote.
func WithWeights(file []byte) (*Scanner, error) {
	w, err := readWeights(file)
	if err != nil {
		return nil, err
	}
	s := NewReader()
	s.weights, s.version = w, Version+"-"+w.digest
	return s, nil
}

// Version is what findings of this scanner name as theirs.
func (s *Scanner) Version() string { return s.version }

// Scan returns what it finds in a text that came over a channel, strongest first and then by place; at most FindingsMax. Text
// that is not UTF-8 is scanned too: wrong bytes count as separators. A channel that is not known is scanned as a tool's result.
func (s *Scanner) Scan(channel Channel, text string) []Finding {
	if channel != ToolInput && channel != ToolDescription && channel != Prompt {
		channel = ToolResult
	}
	if len(text) > ContentBytesMax {
		return []Finding{{Detector: ByStructure, Version: s.version, Channel: channel, Band: High, Rate: 1, Rules: []string{RuleTooLong}, End: len(text)}}
	}
	m := s.scratch()
	defer s.release(m, text)
	var found []Finding
	for _, v := range s.layers(m, text) {
		found = append(found, s.scanLayer(m, channel, v)...)
	}
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Band.rank(), a.Band.rank()), cmp.Compare(a.Start, b.Start), cmp.Compare(a.End, b.End), cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Detector, b.Detector))
	})
	return found[:min(len(found), FindingsMax)]
}

// scanLayer scans one decoded form of the text.
func (s *Scanner) scanLayer(m *scratch, channel Channel, v *view) []Finding {
	a := s.analyse(m, v)
	cal := s.weights.channels[channel]
	found := s.byModel(m, channel, &cal, a)
	covered := len(found)
	for _, h := range a.hits {
		if h.guarded {
			continue
		}
		c, ok := cal.Rules[h.id]
		if !ok || inModel(found[:covered], a, h) {
			continue
		}
		detector := ByRule
		if h.structural {
			detector = ByStructure
		}
		found = s.merge(found, covered, Finding{Detector: detector, Channel: channel, Band: c.Band, Rate: c.Rate, Rules: []string{h.id},
			Start: a.origin(h.from), End: a.originEnd(h.to), Layer: a.layer(h.from, h.to)})
	}
	for i := range found {
		found[i].Version = s.version
		if cal.Two.Band.rank() > found[i].Band.rank() && rulesWithin(&cal, a, found[i]) > 1 {
			found[i].Band, found[i].Rate = cal.Two.Band, cal.Two.Rate
		}
	}
	return found
}

// rulesWithin is how many of the rules that are reported by themselves fire in a finding.
func rulesWithin(cal *Calibration, a *analysis, f Finding) int {
	var seen []string
	for _, h := range a.hits {
		if _, alone := cal.Rules[h.id]; !alone || h.guarded || slices.Contains(seen, h.id) {
			continue
		}
		if a.origin(h.from) < f.End && a.originEnd(h.to) > f.Start {
			seen = append(seen, h.id)
		}
	}
	return len(seen)
}

// inModel says whether the model already reports the place of a hit.
func inModel(found []Finding, a *analysis, h hit) bool {
	from, to := a.origin(h.from), a.originEnd(h.to)
	for _, f := range found {
		if from < f.End && to > f.Start {
			return true
		}
	}
	return false
}

// merge adds a rule's finding, or joins it to the last one of the same rules that it touches.
func (s *Scanner) merge(found []Finding, covered int, f Finding) []Finding {
	if n := len(found); n > covered {
		last := &found[n-1]
		if last.Layer == f.Layer && f.Start <= last.End+mergeBytesMax && f.Start >= last.Start {
			last.End = max(last.End, f.End)
			if f.Band.rank() > last.Band.rank() {
				last.Band, last.Rate = f.Band, f.Rate
			}
			if !slices.Contains(last.Rules, f.Rules[0]) {
				last.Rules = append(last.Rules, f.Rules[0])
				slices.Sort(last.Rules)
			}
			return found
		}
	}
	if len(found) >= 4*FindingsMax {
		return found
	}
	return append(found, f)
}

const mergeBytesMax = 256 // findings of rules closer than this are one
