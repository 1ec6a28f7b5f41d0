package storetest

import (
	"maps"
	"slices"
	"testing"

	"github.com/writ-dev/writ/internal/row"
)

const (
	callBatches  = 60
	callsOfBatch = 1_000
	againEvery   = 1_700 // calls that are decided again later
	reopenEvery  = 17    // batches
	lookEvery    = 5
)

// manyCalls has more calls than a store keeps at hand, some of them decided again, over several starts.
func manyCalls(t *testing.T, d Database) {
	s := check(d.Open(t.Context()))(t)
	want := map[row.CallKey]row.Call{}
	put := func(c *row.Commit, n int) {
		call := row.Call{Key: keyOf(n), Index: c.Batch.First + int64(len(c.Calls)), Input: [16]byte{byte(n), byte(n >> 8)}}
		c.Calls = append(c.Calls, call)
		want[call.Key] = call
	}
	for b := range callBatches {
		commit(t, s, prod, callsOfBatch, start(), func(c *row.Commit) {
			for n := b * callsOfBatch; n < (b+1)*callsOfBatch; n++ {
				if again := n - n%againEvery; b%3 == 2 && n%100 == 0 {
					put(c, again/2)
				} else {
					put(c, n)
				}
			}
		})
		if b%reopenEvery == reopenEvery-1 {
			check(0, s.Close())(t)
			s = check(d.Open(t.Context()))(t)
		}
		if b%lookEvery == 0 || b == callBatches-1 {
			remembered(t, s, want)
		}
	}
	check(0, s.Close())(t)
}

// remembered fails unless a store finds the calls.
func remembered(t *testing.T, s Store, want map[row.CallKey]row.Call) {
	t.Helper()
	found := callsOf(t, s, prod, slices.Collect(maps.Keys(want))...)
	if len(found) != len(want) {
		t.Fatalf("%d calls are found, want %d", len(found), len(want))
	}
	for _, call := range found {
		if call != want[call.Key] {
			t.Fatalf("call %x: found %+v, want %+v", call.Key, call, want[call.Key])
		}
	}
}
