package store_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/store"
)

// BenchmarkAppend commits batches of entries of 600 bytes, each with a payload of 500 bytes and a call of its own, as decisions
// do; entries/s is of durable entries.
func BenchmarkAppend(b *testing.B) {
	for name, open := range map[string]func(*testing.B) (*store.Store, error){
		"sqlite": func(b *testing.B) (*store.Store, error) { return store.OpenSQLite(b.Context(), b.TempDir()) },
		"postgres": func(b *testing.B) (*store.Store, error) {
			return store.OpenPostgres(b.Context(), databases.Postgres(b))
		},
	} {
		for _, size := range []int{1, 16, 64, 256} {
			b.Run(fmt.Sprintf("%s/batch=%d", name, size), func(b *testing.B) {
				st, err := open(b)
				if err != nil {
					b.Fatal(err)
				}
				ctx, stop := context.WithCancel(b.Context())
				var keeping sync.WaitGroup
				keeping.Go(func() { st.Maintain(ctx) })
				b.ReportAllocs()
				benchmarkAppend(b, st, size)
				stop()
				keeping.Wait()
				if err := st.Close(); err != nil {
					b.Error(err)
				}
			})
		}
	}
}

func benchmarkAppend(b *testing.B, st *store.Store, size int) {
	entries, payload := make([]byte, size*600), make([]byte, size*500)
	session := make([]byte, 8) // the calls of a session are neighbours
	entry, before := int64(0), cpuTime(b)
	for b.Loop() {
		want := row.Want{Calls: make([]row.CallKey, size)}
		for i := range want.Calls {
			if entry%10 == 0 {
				_, _ = rand.Read(session) // it never fails
			}
			copy(want.Calls[i][:], session)
			binary.BigEndian.PutUint64(want.Calls[i][8:], uint64(entry)*0x9e3779b97f4a7c15)
			entry++
		}
		err := st.Append(b.Context(), "prod", want, func(found row.Found) (row.Commit, error) {
			return benchmarkCommit(found, want, entries, payload), nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(entry)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())*float64(size)/float64(entry), "cpu-µs/commit")
}

// cpuTime is what this process has used of the processor; PostgreSQL's own is not in it.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchmarkCommit(found row.Found, want row.Want, entries, payload []byte) row.Commit {
	first, size, ledger := found.Head.Size, len(want.Calls), gov.Environment("prod")
	c := row.Commit{
		Batch:   row.Batch{Ledger: ledger, First: first, Count: size, At: time.Now(), Entries: entries},
		Payload: row.Payload{Ledger: ledger, First: first, Data: payload},
		Head:    row.Head{Ledger: ledger, Size: first + int64(size), Edge: make([]row.Hash, 10), At: time.Now()},
	}
	for i, key := range want.Calls {
		c.Calls = append(c.Calls, row.Call{Key: key, Index: first + int64(i)})
	}
	for tile := first / 256; tile < c.Head.Size/256; tile++ {
		c.Nodes = append(c.Nodes, row.Node{Level: 8, Index: tile})
	}
	return c
}
