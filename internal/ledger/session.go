package ledger

import (
	"sync"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

// sessionsYoungMax is how many sessions one generation of the cache holds; two are kept.
const sessionsYoungMax = 32 << 10

// sessionCache holds what recent sessions remember. Only the sequencer puts, and only what was committed, so on a store
// without other writers what it holds is exact. Elsewhere it may be old, which Append finds out.
type sessionCache struct {
	mu    sync.Mutex
	young map[gov.SessionID]row.Session
	old   map[gov.SessionID]row.Session
}

func newSessionCache() *sessionCache {
	return &sessionCache{young: map[gov.SessionID]row.Session{}, old: map[gov.SessionID]row.Session{}}
}

func (c *sessionCache) get(id gov.SessionID) (row.Session, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.young[id]; ok {
		return s, true
	}
	s, ok := c.old[id]
	return s, ok
}

func (c *sessionCache) put(s row.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= sessionsYoungMax {
		c.old, c.young = c.young, make(map[gov.SessionID]row.Session, sessionsYoungMax)
	}
	c.young[s.ID] = s
}

func (c *sessionCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.young)
	clear(c.old)
}

// signal wakes whoever waits for the ledger to grow.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

func newSignal() *signal { return &signal{ch: make(chan struct{})} }

func (s *signal) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ch)
	s.ch = make(chan struct{})
}

// wait gives a channel that is closed at the next tell.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ch
}
