//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"

	"github.com/writ-dev/writ/internal/scan"
)

// tally counts texts and those that were flagged, for attacks only where the payload is.
type tally struct{ n, flagged, byModel int }

func (t *tally) add(o tally) {
	t.n, t.flagged, t.byModel = t.n+o.n, t.flagged+o.flagged, t.byModel+o.byModel
}

func (t tally) rate() float64 {
	if t.n == 0 {
		return 0
	}
	return float64(t.flagged) / float64(t.n)
}

func (t tally) String() string {
	if t.n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %% of %d", 100*t.rate(), t.n)
}

// judge scans samples and tallies them by a key.
func judge(s *scan.Scanner, channel scan.Channel, samples []sample, key func(sample) string) map[string]tally {
	out := map[string]tally{}
	for _, x := range samples {
		t := tally{n: 1}
		for _, f := range s.Scan(channel, x.text) {
			if !x.attack() || f.Start < x.end && f.End > x.start {
				t.flagged = 1
				if f.Detector == scan.ByModel {
					t.byModel = 1
				}
			}
		}
		sum := out[key(x)]
		sum.add(t)
		out[key(x)] = sum
	}
	return out
}

func total(m map[string]tally) tally {
	var t tally
	for _, k := range sortedKeys(m) {
		t.add(m[k])
	}
	return t
}

func bySource(s sample) string {
	family, _, _ := templated(s.source)
	return family
}

func byWrapper(s sample) string { return s.family }

// area is the AUC: how often an attack scores above a harmless text.
func area(attacks, harmless []int) float64 {
	if len(attacks) == 0 || len(harmless) == 0 {
		return 0
	}
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

// round leaves out one source of attacks, one harmless family and the wrappers that are kept out, and says what the model that
// is trained on the rest finds in them.
type round struct {
	source, family string
	also           string           // a genre that is left out as well, "" for none
	known          map[string]tally // orders of the source in wrappers that were learnt, by wrapper
	unseen         map[string]tally // and in wrappers that were not
	whole          tally            // complete attacks of the source in carriers
	prompt         tally            // the same as prompts
	harmless       tally            // texts of the family
	made           tally            // documents of the genre
	held           tally            // tool results of agentdyn
	attacked       map[string]tally
	places         map[string]tally // by how far in
	disguised      map[string]tally
	auc            float64 // of known, unseen and whole together against the family and agentdyn
	aucKnown       float64
}

func harmlessFamilies(c *corpus) []string {
	var out []string
	for _, s := range sourcesOf(c.benign) {
		family, _, _ := templated(s)
		if !slices.Contains(out, family) {
			out = append(out, family)
		}
	}
	return out
}

// rounds plays all rounds, two at a time.
func rounds(o options, c *corpus) ([]round, error) {
	m := gather(c, o.seed, timesEach)
	sources, families, genres := sourcesOf(c.orders, c.attacks), harmlessFamilies(c), genres()
	sources = slices.DeleteFunc(sources, func(s string) bool { return s == borrowedSource })
	families = slices.DeleteFunc(families, func(f string) bool { return isGenre(f) })
	out := make([]round, max(len(sources), len(families), len(genres)))
	errs := make([]error, len(out))
	var done sync.WaitGroup
	slots := make(chan bool, 2)
	for i := range out {
		r := round{source: sources[i%len(sources)], family: families[i%len(families)]}
		if i < len(genres) {
			r.also = genres[i].family
		}
		done.Go(func() {
			slots <- true
			defer func() { <-slots }()
			out[i], errs[i] = play(o, c, m, r)
			fmt.Fprintf(os.Stderr, "without %s and %s\n", r.source, r.family)
		})
	}
	done.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func play(o options, c *corpus, m material, r round) (round, error) {
	out := func(source string) bool {
		family, _, _ := templated(source)
		return family != "" && (family == r.family || family == r.also)
	}
	file, err := fit(m, o.seed, func(s sample) bool {
		return s.source != r.source && s.source != r.source+"!" && !s.held && !out(s.source) && !out(s.carrier)
	})
	if err != nil {
		return r, err
	}
	s, err := scan.WithWeights(file)
	if err != nil {
		return r, err
	}
	of := func(family string) []sample {
		return plain(slices.DeleteFunc(slices.Clone(c.benign), func(d doc) bool { return bySource(sample{source: d.source}) != family }))
	}
	harmless := of(r.family)
	fine := slices.Concat(harmless, plain(c.held))
	r.made = total(judge(s, scan.ToolResult, of(r.also), bySource))
	r.harmless, r.held = total(judge(s, scan.ToolResult, harmless, bySource)), total(judge(s, scan.ToolResult, plain(c.held), bySource))
	r.attacked = judge(s, scan.ToolResult, whole(c.attacked), bySource)
	r.attacks(s, o, c, scores(s, scan.ToolResult, fine))
	return r, nil
}

// attacks judges what the round left out.
func (r *round) attacks(s *scan.Scanner, o options, c *corpus, fine []int) {
	comp := newComposer(o.seed+1000, c.benign)
	known, unseen := wrapperSets()
	orders, wholes := pick(c.orders, r.source, 40), pick(c.attacks, r.source, 200)
	var knownSamples, unseenSamples, wholeSamples, prompts []sample
	for _, d := range orders {
		for _, w := range known {
			knownSamples = append(knownSamples, comp.attack(d, &w, false))
		}
		for _, w := range unseen {
			unseenSamples = append(unseenSamples, comp.attack(d, &w, false))
		}
	}
	for _, d := range wholes {
		wholeSamples = append(wholeSamples, comp.attack(d, nil, false))
		prompts = append(prompts, sample{source: r.source, text: d.text, end: len(d.text)})
	}
	r.known, r.unseen = judge(s, scan.ToolResult, knownSamples, byWrapper), judge(s, scan.ToolResult, unseenSamples, byWrapper)
	r.whole, r.prompt = total(judge(s, scan.ToolResult, wholeSamples, byWrapper)), total(judge(s, scan.Prompt, prompts, byWrapper))
	r.auc = area(scores(s, scan.ToolResult, slices.Concat(knownSamples, unseenSamples, wholeSamples)), fine)
	r.aucKnown = area(scores(s, scan.ToolResult, slices.DeleteFunc(slices.Clone(knownSamples), func(x sample) bool { return wrapper{family: x.family}.bare() })), fine)
	r.places, r.disguised = map[string]tally{}, map[string]tally{}
	styled := slices.DeleteFunc(known, wrapper.bare)
	for i, d := range append(orders, wholes[:min(len(wholes), 60)]...) {
		payload := passage(comp.r, d.text, 1500)
		if i < len(orders) {
			payload = wrap(comp.r, styled[i%len(styled)], d.text)
		}
		r.position(s, comp, payload)
		r.disguise(s, comp, payload)
	}
}

// position puts a payload at several depths of a text of about 17 KB.
func (r *round) position(s *scan.Scanner, comp *composer, payload string) {
	var long string
	for len(long) < 17<<10 {
		d := comp.carriers[comp.r.IntN(len(comp.carriers))]
		long += passage(comp.r, d.text, 3000) + "\n\n"
	}
	long = passage(comp.r, long, 17<<10)
	for _, kb := range []int{0, 1, 4, 8, 16} {
		text, start, end := place(long, payload, float64(kb<<10)/float64(len(long)))
		r.count(r.places, fmt.Sprintf("%2d KB", kb), s, sample{text: text, start: start, end: end})
	}
	r.count(r.places, "alone", s, sample{text: payload, end: len(payload)})
}

func (r *round) count(in map[string]tally, key string, s *scan.Scanner, x sample) {
	t := in[key]
	t.add(total(judge(s, scan.ToolResult, []sample{x}, byWrapper)))
	in[key] = t
}

// disguise hides a payload in the same passage in every way there is.
func (r *round) disguise(s *scan.Scanner, comp *composer, payload string) {
	d := comp.carriers[comp.r.IntN(len(comp.carriers))]
	part, where := passage(comp.r, d.text, 1500), comp.r.Float64()
	for _, way := range append([]disguise{{"plain", func(s string) string { return s }}}, disguises()...) {
		text, start, end := place(part, way.do(payload), where)
		r.count(r.disguised, way.name, s, sample{text: text, start: start, end: end})
	}
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
