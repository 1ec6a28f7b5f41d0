//go:build linux

package main

import (
	"hash/fnv"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/writ-dev/writ/internal/scan"
)

// instance is a window to learn from.
type instance struct {
	positive bool
	weight   float32
	size     int
	bag      int // of one attack and one size of window: one of them must be positive
	features []uint32
}

// read is a sample with its windows and the rules that fired.
type read struct {
	sample
	layers  []scan.Layer
	windows []scan.Example
	hits    []scan.Hit
	fold    int // of harmless texts, or of what is around an attack: the model that scores the fold for calibration has not learnt it; -1 for none
}

func readAll(reader *scan.Scanner, samples []sample) []read {
	out := make([]read, len(samples))
	for i, s := range samples {
		out[i] = read{sample: s, fold: foldOf(s)}
		out[i].layers, out[i].hits = reader.Read(s.text)
		for _, l := range out[i].layers {
			out[i].windows = append(out[i].windows, l.Windows(s.hideStart, s.hideEnd)...)
		}
	}
	return out
}

// folds is into how many parts harmless texts are cut. A family of documents or the sentences of one group of templates is in one
// part, so that what is measured is measured on families and templates that were not learnt; prompts are of too few families for that.
const folds = 4

func foldOf(s sample) int {
	source := s.source
	switch {
	case s.attack() && s.carrier == "":
		return -1
	case s.attack():
		source = s.carrier
	}
	if _, n, ok := templated(source); ok {
		return n
	}
	if n := slices.Index(families(), source); n >= 0 {
		return n % folds
	}
	return int(hashOf(s.text) % folds)
}

// families are those of documents, in an order that spreads those that are alike over the folds.
func families() []string {
	return []string{"cursorrules", "owasp-cheatsheets", "swe-agent", "code", "mails", "tables", "agentdojo", "tau-bench", "toolbench", "asb-tools", "own-tools"}
}

// templated splits the name of a source of harmless sentences into its family and its number.
func templated(source string) (family string, number int, ok bool) {
	family, n, found := strings.Cut(source, "-")
	if !found || family != "trigger" && family != "colleagues" && !isGenre(family) {
		return source, 0, false
	}
	return family, int(n[0]-'0') % folds, true
}

func hashOf(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}

// instances are the windows of samples: positive where most of the window or of the payload is in the other, negative where
// nothing is, and otherwise none. Each sample of a source weighs the same, and each source by the root of its samples.
func instances(reads []read, without int) []instance {
	count := map[string]int{}
	for _, r := range reads {
		count[r.source]++
	}
	var out []instance
	bags := 0
	for _, r := range reads {
		if r.fold >= 0 && r.fold == without {
			continue
		}
		share := float32(math.Sqrt(float64(count[r.source]))/float64(count[r.source])) * 20
		positives, negatives := 0, 0
		first := len(out)
		bags += len(scan.Sizes())
		for _, w := range r.windows {
			in := instance{size: w.Size, features: w.Features, bag: bags + w.Size}
			if r.attack() {
				overlap := min(w.End, r.end) - max(w.Start, r.start)
				shorter := min(w.End-w.Start, r.end-r.start)
				switch {
				case overlap <= 0:
				case overlap*10 >= shorter*6:
					in.positive = true
				default:
					continue
				}
			}
			if in.positive {
				positives++
			} else {
				negatives++
			}
			out = append(out, in)
		}
		for k := first; k < len(out); k++ {
			if out[k].positive {
				out[k].weight = share * 6 / float32(6+positives)
			} else {
				out[k].weight = share * 12 / float32(12+negatives)
			}
		}
	}
	return out
}

// groups says of each bucket in which sources it occurs, as bits; a feature of one source only is not learnt.
func groups(reads []read) []uint64 {
	number := map[string]int{}
	out := make([]uint64, scan.Buckets)
	for _, r := range reads {
		key, _, _ := templated(r.source)
		n, ok := number[key]
		if !ok {
			n = len(number) % 64
			number[key] = n
		}
		for _, w := range r.windows {
			if w.Size != 0 || r.attack() && (w.Start >= r.end || w.End <= r.start) {
				continue
			}
			for _, f := range w.Features {
				out[f] |= 1 << n
			}
		}
	}
	return out
}

type hyper struct {
	sources int // in how many families of texts a feature must occur
	epochs  int
	rate    float64
	dropout float64
	l2      float64
	slack   float32 // how far below the best window of an attack another is still taken for one
}

// hypers are those of each set. Data has far more text, most of it alike, and bears to have more left out.
func hypers() [scan.Sets]hyper {
	return [scan.Sets]hyper{
		{sources: 2, epochs: 5, rate: 0.12, dropout: 0.7, l2: 2e-6, slack: 1},
		{sources: 2, epochs: 4, rate: 0.12, dropout: 0.25, l2: 2e-6, slack: 1},
	}
}

// learn fits a logistic model by AdaGrad, leaving features out at random so that no one of them carries the decision.
func learn(data []instance, seen []uint64, h hyper, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 3))
	w, g := make([]float32, scan.Buckets), make([]float32, scan.Buckets)
	for i := range g {
		g[i] = 1
	}
	bias := make([]float64, len(scan.Sizes()))
	for i := range bias {
		bias[i] = -1
	}
	usable := make([]bool, scan.Buckets)
	for i := range usable {
		usable[i] = bits.OnesCount64(seen[i]) >= h.sources
	}
	order := r.Perm(len(data))
	kept, rested := make([]uint32, 0, 4096), make([]bool, len(data))
	for epoch := range h.epochs {
		idle := telling(data, w, usable, epoch > 0, h.slack)
		for _, n := range order {
			in := data[n]
			if idle[n] || rested[n] { // what was easy is left out once
				rested[n] = false
				continue
			}
			kept = kept[:0]
			sum := float32(0)
			mask, left := uint64(0), 0
			for _, f := range in.features {
				if !usable[f] {
					continue
				}
				if left == 0 {
					mask, left = r.Uint64(), 8
				}
				drop := float64(mask&255) < h.dropout*256
				mask >>= 8
				left--
				if drop {
					continue
				}
				kept = append(kept, f)
				sum += w[f]
			}
			z := bias[in.size] + float64(sum)/(1-h.dropout)
			p := 1 / (1 + math.Exp(-z))
			d := p
			if in.positive {
				d = p - 1
			}
			if math.Abs(d) < easy {
				rested[n] = true
				continue
			}
			d *= float64(in.weight)
			bias[in.size] -= 0.002 * d
			step := float32(d)
			for _, f := range kept {
				grad := step + float32(h.l2)*w[f]
				g[f] += grad * grad
				w[f] -= float32(h.rate) * grad / float32(math.Sqrt(float64(g[f])))
			}
		}
	}
	return w
}

const easy = 0.003 // an error that is not worth learning from

// telling says which windows of attacks are not to be learnt: those that score below the best of their bag, because most
// likely they hold the part of the attack that looks like anything else.
func telling(data []instance, w []float32, usable []bool, choose bool, slack float32) []bool {
	idle := make([]bool, len(data))
	if !choose {
		return idle
	}
	best, scores := map[int]float32{}, make([]float32, len(data))
	for n, in := range data {
		if !in.positive {
			continue
		}
		for _, f := range in.features {
			if usable[f] {
				scores[n] += w[f]
			}
		}
		if b, ok := best[in.bag]; !ok || scores[n] > b {
			best[in.bag] = scores[n]
		}
	}
	for n, in := range data {
		idle[n] = in.positive && scores[n] < best[in.bag]-slack
	}
	return idle
}

// scale is how many units of an int8 weight are one of the model's.
const scale = 64

func quantise(w []float32) []int8 {
	out := make([]int8, len(w))
	for i, v := range w {
		out[i] = int8(max(-127, min(127, math.Round(float64(v)*scale))))
	}
	return out
}

// peaks are the best windows of each layer.
func peaks(r read, w []int8) []scan.Peak {
	var out []scan.Peak
	for _, l := range r.layers {
		out = append(out, l.Peaks(w)...)
	}
	return out
}

func quantile(values []int, q float64) int {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}
