package bundle

import (
	"fmt"
	"slices"
	"strings"
)

// nearMax is how many letters a misspelt name may be away from the one that is suggested.
const nearMax = 2

// suggest says what to write instead of got: the nearest known name, or all of them when none is near.
func suggest(got string, known []string) string {
	best, bestAway := "", nearMax+1
	for _, k := range known {
		if away := distance(got, k); away < bestAway {
			best, bestAway = k, away
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("did you mean %q?", best)
	case len(known) == 0:
		return "there is none yet; define it first"
	default:
		return "known: " + list(known)
	}
}

// listMax is how many names a message shows.
const listMax = 24

func list(names []string) string {
	names = slices.Sorted(slices.Values(names))
	if len(names) > listMax {
		return strings.Join(names[:listMax], ", ") + fmt.Sprintf(" and %d more", len(names)-listMax)
	}
	return strings.Join(names, ", ")
}

// distance is the edit distance of two names, with a swap of neighbours as one edit; long names are far from everything.
func distance(a, b string) int {
	const longest = 128
	if len(a) > longest || len(b) > longest || len(a)-len(b) > nearMax || len(b)-len(a) > nearMax {
		return longest
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
