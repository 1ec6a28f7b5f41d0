package app

import (
	"sync"
	"time"
)

// clock never goes back: what was over for anybody stays over when somebody sets the machine's clock back. While the machine's
// clock is behind, this one goes on from where it was, by the time that passes.
type clock struct {
	read func() time.Time

	mu   sync.Mutex
	last time.Time // as read
	said time.Time
}

// steady gives a clock that follows another one, forward only. It is safe for concurrent use.
func steady(read func() time.Time) func() time.Time {
	c := &clock{read: read}
	return c.now
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.read()
	passed := max(t.Sub(c.last), 0) // of a clock of the machine, whatever its hands show: time.Time knows how much passed
	if c.said.IsZero() {
		passed = 0
	}
	c.last, c.said = t, c.said.Add(passed)
	if t.Round(0).After(c.said.Round(0)) {
		c.said = t
	}
	return c.said
}
