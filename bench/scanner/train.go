package main

import (
	"hash/fnv"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/writ-dev/writ/internal/scan"
)

// instance is a window to learn from.
type instance struct {
	positive bool
	weight   float32
	size     int
	features []uint32
}

// read is a sample with its windows and the rules that fired.
type read struct {
	sample
	windows []scan.Example
	hits    []scan.Hit
	test    bool // kept for calibration: a quarter of the harmless texts
}

func readAll(reader *scan.Scanner, samples []sample) []read {
	out := make([]read, len(samples))
	for i, s := range samples {
		windows, hits := reader.Read(s.text)
		out[i] = read{sample: s, windows: windows, hits: hits, test: !s.attack() && hashOf(s.text)%4 == 0}
	}
	return out
}

func hashOf(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}

// instances are the windows of samples: positive where most of the window or of the payload is in the other, negative where
// nothing is, and otherwise none. Each sample of a source weighs the same, and each source by the root of its samples.
func instances(reads []read) []instance {
	count := map[string]int{}
	for _, r := range reads {
		count[r.source]++
	}
	var out []instance
	for _, r := range reads {
		if r.test {
			continue
		}
		share := float32(math.Sqrt(float64(count[r.source]))/float64(count[r.source])) * 20
		positives, negatives := 0, 0
		first := len(out)
		for _, w := range r.windows {
			in := instance{size: w.Size, features: w.Features}
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
		key := r.source
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
	epochs  int
	rate    float64
	dropout float64
	l2      float64
}

func defaults() hyper { return hyper{epochs: 4, rate: 0.12, dropout: 0.25, l2: 2e-6} }

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
		usable[i] = bits.OnesCount64(seen[i]) >= 2
	}
	order := r.Perm(len(data))
	kept := make([]uint32, 0, 4096)
	for range h.epochs {
		for _, n := range order {
			in := data[n]
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
			if math.Abs(d) < 0.003 {
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

// scale is how many units of an int8 weight are one of the model's.
const scale = 64

func quantise(w []float32) []int8 {
	out := make([]int8, len(w))
	for i, v := range w {
		out[i] = int8(max(-127, min(127, math.Round(float64(v)*scale))))
	}
	return out
}

// peak is the best window of one size of one layer.
type peak struct{ size, bits, sum int }

func peaks(r read, w []int8) []peak {
	type key struct {
		layer string
		size  int
	}
	at := map[key]int{}
	var out []peak
	for _, x := range r.windows {
		sum := 0
		for _, f := range x.Features {
			sum += int(w[f])
		}
		k := key{x.Layer, x.Size}
		n, ok := at[k]
		if !ok {
			n = len(out)
			at[k] = n
			out = append(out, peak{x.Size, x.Windows, sum})
		}
		out[n].sum = max(out[n].sum, sum)
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
