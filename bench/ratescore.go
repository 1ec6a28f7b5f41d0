//go:build linux

package main

import (
	"math"
	"slices"
)

// Others look at counts of hours or of days, for each agent apart, against those of the four weeks before the day. What they take for unusual is
// set so that they are as often wrong as the detectors that are shipped.
const (
	deviationMin = 0.5 // a few events more are not many deviations
	ewmaWeight   = 0.3
	madScale     = 1.4826 // of a normal distribution, standard deviations in a median absolute deviation
)

// scorer says how unusual each hour of an agent is: how many deviations from the center of those before.
type scorer struct {
	name   string
	hours  int     // that it counts together
	weight float64 // of the newest in a moving average; 1: there is none
	usual  func(before []float64) (center, deviation float64)
}

func scorers() []scorer {
	var all []scorer
	for _, length := range []struct {
		name  string
		hours int
	}{{"hours", 1}, {"days", 24}} {
		all = append(all,
			scorer{"z-score, " + length.name, length.hours, 1, meanOf},
			scorer{"robust z, " + length.name, length.hours, 1, medianOf},
			scorer{"EWMA, " + length.name, length.hours, ewmaWeight, meanOf})
	}
	return all
}

func meanOf(values []float64) (center, deviation float64) {
	var sum, squares float64
	for _, v := range values {
		sum, squares = sum+v, squares+v*v
	}
	n := math.Max(1, float64(len(values)))
	center = sum / n
	return center, math.Sqrt(math.Max(0, squares/n-center*center))
}

func medianOf(values []float64) (center, deviation float64) {
	values = slices.Clone(values)
	center = middle(values)
	for i, v := range values {
		values[i] = math.Abs(v - center)
	}
	return center, madScale * middle(values)
}

// scoresOf are those of the measured hours of an agent. What is usual is worked out once a day.
func (c scorer) scoresOf(hours []float64) []float64 {
	counts, smooth, out := slices.Clone(hours), slices.Clone(hours), []float64{}
	for h := range counts {
		for back := 1; back < c.hours && back <= h; back++ {
			counts[h] += hours[h-back]
		}
		smooth[h] = c.weight*counts[h] + (1-c.weight)*smooth[max(0, h-1)]
	}
	var center, wide float64
	for h := rateLearn * hoursOfWeek; h < len(counts); h++ {
		if h%24 == 0 {
			center, wide = c.usual(counts[h-rateLearn*hoursOfWeek : h])
		}
		out = append(out, (smooth[h]-center)/math.Max(deviationMin, wide))
	}
	return out
}

// scores are those of every measured hour, by agent.
func (c scorer) scores(s simulation, denied bool) [][]float64 {
	counts := make([][]float64, rateAgents)
	for i := range counts {
		counts[i] = make([]float64, (rateLearn+rateWeeks)*hoursOfWeek)
	}
	for _, m := range s.moments {
		if m.denied || !denied {
			counts[m.agent][m.at/hourSeconds]++
		}
	}
	out := make([][]float64, rateAgents)
	for agent, hours := range counts {
		out[agent] = c.scoresOf(hours)
	}
	return out
}

// alerts are the hours with a score above a threshold, told of when they are over; not again for as long as is counted together.
func (c scorer) alerts(scores [][]float64, threshold float64) []alert {
	var out []alert
	for agent, hours := range scores {
		quiet := 0
		for h, score := range hours {
			if score > threshold && h >= quiet {
				out = append(out, alert{int64(rateLearn*hoursOfWeek+h+1) * hourSeconds, agent})
				quiet = h + c.hours
			}
		}
	}
	return out
}

// threshold is the lowest with at most so many alerts in quiet organizations.
func (c scorer) threshold(quiet [][][]float64, most int) float64 {
	count := func(t float64) int {
		n := 0
		for _, scores := range quiet {
			n += len(c.alerts(scores, t))
		}
		return n
	}
	low, high := 0.0, 1e4
	for range 60 { // as exact as a float64 is
		if t := (low + high) / 2; count(t) > most {
			low = t
		} else {
			high = t
		}
	}
	return high
}
