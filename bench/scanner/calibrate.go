//go:build linux

package main

import (
	"math"
	"slices"

	"github.com/writ-dev/writ/internal/scan"
)

// measured says whether thresholds are set on a source: real texts, and sentences of trigger words. Documents that are made up of
// nothing else than such sentences are only learnt, because no honest text is as dense; and what colleagues ask of each other
// has the words of attackers.
func measured(source string) bool {
	family, _, made := templated(source)
	return !made || family == "trigger"
}

// budget is how often harmless texts may be flagged.
type budget struct {
	model  float64 // by the model, families weighing the same
	family float64 // by the model, in the worst family
	rule   float64 // by one rule
	worst  float64 // by one rule in the worst family
}

// budgets are wide, because what is judged with a quarter of all families left out is judged too hard: with one family left out, a
// third of it is flagged.
func budgets() budget { return budget{model: 0.015, family: 0.05, rule: 0.003, worst: 0.025} }

// scored is a harmless text with its peaks.
type scored struct {
	source string
	peaks  []scan.Peak
	rules  []string // unguarded
}

func score(r read, w []int8) scored {
	s := scored{source: r.source, peaks: peaks(r, w)}
	for _, h := range r.hits {
		if !h.Guarded && !slices.Contains(s.rules, h.Rule) {
			s.rules = append(s.rules, h.Rule)
		}
	}
	return s
}

// calibrate sets thresholds, bands and the rules that are reported by themselves, from harmless texts that were not learnt.
func calibrate(docs []scored, set int, b budget) scan.Calibration {
	cal := scan.Calibration{Set: set, Rules: map[string]scan.Rate{}}
	for size := range scan.Sizes() {
		cal.Slopes = append(cal.Slopes, slope(docs, size))
	}
	cal.Thresholds = thresholds(docs, cal.Slopes, b)
	for _, band := range []struct {
		name scan.Band
		rate float64
	}{{scan.Low, b.model}, {scan.Medium, b.model * 0.4}, {scan.High, b.model * 0.1}} {
		margin := 0
		if band.name != scan.Low {
			margin = marginAt(docs, cal, band.rate)
		}
		cal.Bands = append(cal.Bands, scan.BandRate{Band: band.name, Margin: margin, Rate: upper(docs, func(d scored) bool { return best(d, cal) >= margin })})
	}
	for _, id := range scan.Alone() {
		fires := func(d scored) bool { return slices.Contains(d.rules, id) }
		rate, worst := balanced(docs, fires)
		if rate > b.rule || worst > b.worst {
			continue
		}
		cal.Rules[id] = scan.Rate{Band: bandOf(docs, fires, b), Rate: upper(docs, fires)}
	}
	cal.Two = twoOf(docs, cal, b)
	return cal
}

// twoOf is how sure it is when two of the rules that are reported by themselves fire in a text.
func twoOf(docs []scored, cal scan.Calibration, b budget) scan.Rate {
	two := func(d scored) bool {
		n := 0
		for _, id := range d.rules {
			if _, alone := cal.Rules[id]; alone {
				n++
			}
		}
		return n > 1
	}
	return scan.Rate{Band: bandOf(docs, two, b), Rate: upper(docs, two)}
}

// bandOf is how sure a rule is, by how often it fires in harmless texts.
func bandOf(docs []scored, fires func(scored) bool, b budget) scan.Band {
	rate, _ := balanced(docs, fires)
	switch {
	case count(docs, fires) == 0:
		return scan.High
	case rate <= b.rule/3:
		return scan.Medium
	}
	return scan.Low
}

// slopeShare is how much of the slope of harmless texts is asked of a text: all of it would flag long texts as rarely as short
// ones, and find in them half of what it finds in short ones.
const slopeShare = 0.35

// slope is how much the best of twice as many windows is above the best of as many, by the tail of the peaks.
func slope(docs []scored, size int) int {
	var sums []int
	for _, d := range docs {
		for _, p := range d.peaks {
			if p.Size == size {
				sums = append(sums, p.Sum)
			}
		}
	}
	if len(sums) < 40 {
		return 0
	}
	top, excess, n := quantile(sums, 0.9), 0, 0
	for _, s := range sums {
		if s > top {
			excess += s - top
			n++
		}
	}
	return int(float64(excess) / float64(max(n, 1)) * math.Ln2 * slopeShare)
}

// thresholds finds the lowest thresholds within the budget.
func thresholds(docs []scored, slopes []int, b budget) []int {
	for q := 0.96; q < 0.9999; q += 0.0005 {
		t := thresholdsAt(docs, slopes, q)
		cal := scan.Calibration{Thresholds: t, Slopes: slopes}
		rate, worst := balanced(docs, func(d scored) bool { return best(d, cal) >= 0 })
		if rate <= b.model && worst <= b.family {
			return t
		}
	}
	return thresholdsAt(docs, slopes, 0.99999)
}

// thresholdsAt are those that for each size the same share of harmless texts is below.
func thresholdsAt(docs []scored, slopes []int, q float64) []int {
	var out []int
	for size := range slopes {
		var sums []int
		for _, d := range docs {
			best := math.MinInt32
			for _, p := range d.peaks {
				if p.Size == size {
					best = max(best, p.Sum-slopes[size]*p.Doublings)
				}
			}
			if best > math.MinInt32 {
				sums = append(sums, best)
			}
		}
		t := quantile(sums, q) + 1
		if len(sums) < 200 && size > 0 {
			t = max(t, out[size-1]+scale*2)
		}
		out = append(out, t)
	}
	return out
}

// best is how far the best window of a text is above its threshold.
func best(d scored, cal scan.Calibration) int {
	margin := math.MinInt32
	for _, p := range d.peaks {
		margin = max(margin, p.Sum-cal.Thresholds[p.Size]-cal.Slopes[p.Size]*p.Doublings)
	}
	return margin
}

// balanced is the share of texts for which something holds, families weighing by their number up to a hundred, and the share
// in the worst family, of which one text may always be wrong.
func balanced(docs []scored, holds func(scored) bool) (mean, worst float64) {
	n, k := map[string]float64{}, map[string]float64{}
	for _, d := range docs {
		family, _, _ := templated(d.source)
		n[family]++
		if holds(d) {
			k[family]++
		}
	}
	total := 0.0
	for _, s := range sortedKeys(n) {
		rate, weight := k[s]/n[s], min(n[s], 100)
		mean += rate * weight
		total += weight
		if k[s] > 1 {
			worst = max(worst, rate)
		}
	}
	return mean / max(total, 1), worst
}

func count(docs []scored, holds func(scored) bool) int {
	n := 0
	for _, d := range docs {
		if holds(d) {
			n++
		}
	}
	return n
}

// upper is the rate with one added, so that what was never seen is not called impossible.
func upper(docs []scored, holds func(scored) bool) float64 {
	return math.Round(1e5*float64(count(docs, holds)+1)/float64(len(docs)+1)) / 1e5
}

// marginAt is the lowest margin that at most a share of the texts reach.
func marginAt(docs []scored, cal scan.Calibration, rate float64) int {
	for margin := 0; margin < 100*scale; margin += scale / 8 {
		if mean, _ := balanced(docs, func(d scored) bool { return best(d, cal) >= margin }); mean <= rate {
			return margin
		}
	}
	return 100 * scale
}
