package api

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// Refusals counts requests that were refused before they could be decided, per caller and minute, until they are recorded.
// So every refusal is in a ledger, and no caller can flood it.
type Refusals struct {
	mu      sync.Mutex
	minutes map[refusalKey]int64
}

type refusalKey struct {
	ledger gov.Environment
	minute time.Time
	caller string
	code   gov.Code
	route  string
}

const (
	refusalKeysMax  = 4096 // counted apart; beyond it callers share a line
	refusalLinesMax = 200  // in one entry
	othersCaller    = "others"
)

// NewRefusals counts from nothing.
func NewRefusals() *Refusals { return &Refusals{minutes: map[refusalKey]int64{}} }

func (f *Refusals) count(caller string, ledger gov.Environment, code gov.Code, route string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := refusalKey{ledger, now.UTC().Truncate(time.Minute), caller, code, route}
	if _, ok := f.minutes[k]; !ok && len(f.minutes) >= refusalKeysMax {
		k.caller = othersCaller
	}
	f.minutes[k]++
}

// Take gives what was counted in minutes that ended before now (all of it when everything is set), as bodies by ledger.
func (f *Refusals) Take(now time.Time, everything bool) map[gov.Environment][]canon.Refusals {
	f.mu.Lock()
	defer f.mu.Unlock()
	current := now.UTC().Truncate(time.Minute)
	type group struct {
		ledger gov.Environment
		minute time.Time
	}
	lines := map[group][]canon.Refusal{}
	for k, n := range f.minutes {
		if !everything && !k.minute.Before(current) {
			continue
		}
		g := group{k.ledger, k.minute}
		lines[g] = append(lines[g], canon.Refusal{Caller: k.caller, Code: k.code, Route: k.route, Count: n})
		delete(f.minutes, k)
	}
	out := map[gov.Environment][]canon.Refusals{}
	for g, counts := range lines {
		slices.SortFunc(counts, compareRefusals)
		for part := range slices.Chunk(counts, refusalLinesMax) {
			out[g.ledger] = append(out[g.ledger], canon.Refusals{From: g.minute.Format(canon.TimeLayout), Counts: part})
		}
	}
	return out
}

func compareRefusals(a, b canon.Refusal) int {
	return cmp.Or(cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Route, b.Route))
}
