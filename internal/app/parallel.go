package app

import (
	"sync"
	"sync/atomic"

	"github.com/writ-dev/writ/internal/replay"
)

// shareMax is how many pieces a worker takes at a time.
const shareMax = 64

// Parallel does pieces of work on several goroutines, which have all ended when it returns.
func Parallel(workers int) replay.Each {
	return func(n int, do func(i int)) {
		var next atomic.Int64
		var running sync.WaitGroup
		for range min(workers, (n+shareMax-1)/shareMax) {
			running.Go(func() {
				for {
					end := int(next.Add(shareMax))
					for i := end - shareMax; i < min(end, n); i++ {
						do(i)
					}
					if end >= n {
						return
					}
				}
			})
		}
		running.Wait()
	}
}
