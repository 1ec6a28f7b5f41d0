package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"github.com/writ-dev/writ/internal/scan"
)

// tally counts flagged texts.
type tally struct{ n, flagged, byModel, near int }

func (t tally) rate() float64 {
	if t.n == 0 {
		return 0
	}
	return float64(t.flagged) / float64(t.n)
}

func (t tally) String() string { return fmt.Sprintf("%.1f %% of %d", 100*t.rate(), t.n) }

// judge scans samples and tallies them by a key.
func judge(s *scan.Scanner, channel scan.Channel, samples []sample, key func(sample) string) map[string]tally {
	out := map[string]tally{}
	for _, x := range samples {
		t := out[key(x)]
		t.n++
		found := s.Scan(channel, x.text)
		if len(found) > 0 {
			t.flagged++
			if slices.ContainsFunc(found, func(f scan.Finding) bool { return f.Detector == scan.ByModel }) {
				t.byModel++
			}
			if slices.ContainsFunc(found, func(f scan.Finding) bool { return f.Start < x.end && f.End > x.start }) {
				t.near++
			}
		}
		out[key(x)] = t
	}
	return out
}

func bySource(s sample) string { return s.source }

// area is the AUC: how often an attack scores above a harmless text.
func area(attacks, harmless []int) float64 {
	slices.Sort(harmless)
	sum := 0.0
	for _, a := range attacks {
		below, _ := slices.BinarySearch(harmless, a)
		upTo, _ := slices.BinarySearch(harmless, a+1)
		sum += float64(below) + float64(upTo-below)/2
	}
	return sum / float64(len(attacks)) / float64(len(harmless))
}

func scores(s *scan.Scanner, channel scan.Channel, samples []sample) []int {
	var out []int
	for _, x := range samples {
		out = append(out, s.Score(channel, x.text))
	}
	return out
}

// left is what was measured with a source left out.
type left struct {
	source  string
	data    tally // in tools' results
	prompt  tally // as prompts
	attacks []int // scores in tools' results
}

func evaluate(o options, c *corpus) error {
	m := gather(c, o.seed, 3)
	lefts, err := leaveAttacksOut(o, c, m)
	if err != nil {
		return err
	}
	for _, l := range lefts {
		fmt.Fprintf(os.Stderr, "%-26s data %-18s (model %d) prompt %s\n", l.source, l.data, l.data.byModel, l.prompt)
	}
	harm, err := leaveHarmlessOut(o, c, m)
	if err != nil {
		return err
	}
	for _, k := range sortedKeys(harm) {
		fmt.Fprintf(os.Stderr, "%-26s left out: %s (model %d)\n", k, harm[k], harm[k].byModel)
	}
	return nil
}

func sourcesOf(docs ...[]doc) []string {
	var out []string
	for _, list := range docs {
		for _, d := range list {
			if !slices.Contains(out, d.source) {
				out = append(out, d.source)
			}
		}
	}
	slices.Sort(out)
	return out
}

// pick takes at most n documents of a source, spread over all of them.
func pick(docs []doc, source string, n int) []doc {
	var all []doc
	for _, d := range docs {
		if d.source == source {
			all = append(all, d)
		}
	}
	r := rand.New(rand.NewPCG(5, uint64(len(all))))
	r.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	return all[:min(n, len(all))]
}

// wrapperSets are the wrappers that are learnt and those that are kept out.
func wrapperSets() (known, unseen []wrapper) {
	for _, w := range wrappers() {
		if w.held {
			unseen = append(unseen, w)
		} else {
			known = append(known, w)
		}
	}
	return known, unseen
}

// leaveAttacksOut trains without each source of attacks in turn and without the wrappers that are kept out, and judges that
// source, its orders in those wrappers.
func leaveAttacksOut(o options, c *corpus, m material) ([]left, error) {
	_, unseen := wrapperSets()
	var out []left
	for _, source := range sourcesOf(c.orders, c.attacks) {
		file, err := fit(m, o.seed, func(s sample) bool { return s.source != source && s.source != source+"!" && !s.held })
		if err != nil {
			return nil, err
		}
		s, err := scan.WithWeights(file)
		if err != nil {
			return nil, err
		}
		l := left{source: source}
		comp := newComposer(o.seed+1000, c.benign)
		samples := comp.attacks(pick(c.orders, source, 150), pick(c.attacks, source, 150), unseen, 2)
		l.data = judge(s, scan.ToolResult, samples, bySource)[source]
		l.attacks = scores(s, scan.ToolResult, samples)
		var prompts []sample
		for _, d := range pick(c.attacks, source, 200) {
			prompts = append(prompts, sample{source: source, text: d.text, end: len(d.text)})
		}
		l.prompt = judge(s, scan.Prompt, prompts, bySource)[source]
		out = append(out, l)
		if len(out) == 1 {
			for k, t := range judge(s, scan.ToolResult, plain(c.held), bySource) {
				fmt.Fprintf(os.Stderr, "held %s %v\n", k, t)
			}
			for k, t := range judge(s, scan.ToolResult, whole(c.attacked), bySource) {
				fmt.Fprintf(os.Stderr, "held %s %v\n", k, t)
			}
			samples = nil
			for _, d := range pick(c.orders, source, 100) {
				for _, w := range wrappers() {
					samples = append(samples, comp.attack(d, &w, false))
				}
			}
			by := judge(s, scan.ToolResult, samples, func(s sample) string { return fmt.Sprint(s.held, " ", s.family) })
			for _, k := range sortedKeys(by) {
				fmt.Fprintf(os.Stderr, "  %s %v (model %d)\n", k, by[k], by[k].byModel)
			}
		}
	}
	return out, nil
}

func plain(docs []doc) []sample {
	var out []sample
	for _, d := range docs {
		out = append(out, sample{source: d.source, text: d.text})
	}
	return out
}

func whole(docs []doc) []sample {
	var out []sample
	for _, d := range docs {
		out = append(out, sample{source: d.source, text: d.text, end: len(d.text)})
	}
	return out
}

// leaveHarmlessOut trains without each harmless source in turn and says how much of it is flagged.
func leaveHarmlessOut(o options, c *corpus, m material) (map[string]tally, error) {
	out := map[string]tally{}
	for _, source := range sourcesOf(c.benign) {
		file, err := fit(m, o.seed, func(s sample) bool { return s.source != source && s.carrier != source })
		if err != nil {
			return nil, err
		}
		s, err := scan.WithWeights(file)
		if err != nil {
			return nil, err
		}
		var docs []doc
		for _, d := range c.benign {
			if d.source == source {
				docs = append(docs, d)
			}
		}
		out[source] = judge(s, scan.ToolResult, plain(docs), bySource)[source]
		if strings.Contains(os.Getenv("SHOW"), source) {
			show(s, docs)
		}
	}
	return out, nil
}

func show(s *scan.Scanner, docs []doc) {
	n := 0
	for _, d := range docs {
		for _, f := range s.Scan(scan.ToolResult, d.text) {
			if n++; n > 45 {
				return
			}
			fmt.Fprintf(os.Stderr, "    %s %v %d %q\n", f.Detector, f.Rules, f.Margin, d.text[f.Start:min(f.End, f.Start+300)])
		}
	}
}
