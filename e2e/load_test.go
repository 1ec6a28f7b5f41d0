//go:build linux

package e2e

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/merkle"
	"github.com/writ-dev/writ/internal/store"
)

// decided is what an answer to a call says.
type decided struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
	Receipt struct {
		Index    int64  `json:"index"`
		LeafHash string `json:"leaf_hash"`
	} `json:"receipt"`
}

// problem is an answer that is no decision.
type problem struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// calls are what the agent asks in turn: allowed by itself, allowed with a session that remembers, and gated.
const (
	callsCount      = 3
	callsPerSession = 10
)

// call is the nth request of the agent.
func call(n int64) []byte {
	session := fmt.Sprintf("s%d", n/callsPerSession)
	tool, input := "docs/search", fmt.Sprintf(`{"query":"how to return order %d"}`, n)
	switch n % callsCount {
	case 1:
		tool, input = "zendesk/read_ticket", fmt.Sprintf(`{"ticket":"T-%d"}`, n)
	case 2:
		tool, input = "stripe/refund", fmt.Sprintf(`{"charge":"ch_%d","amount":%d,"currency":"usd"}`, n, 1+n%1000)
	}
	return fmt.Appendf(nil, `{"agent":%q,"tool":%q,"session":%q,"call_id":"c%d","input":%s}`, agent, tool, session, n, input)
}

// decide asks for a decision. err is set when there was no answer; what is no decision comes back as a problem.
func (s *server) decide(ctx context.Context, n int64) (d decided, p *problem, err error) {
	r, err := s.ask(ctx, http.MethodPost, "/v1/decisions", s.key, call(n))
	if err != nil {
		return d, nil, err
	}
	if r.status != http.StatusOK {
		p = &problem{}
		if err := json.Unmarshal(r.body, p); err != nil {
			return d, nil, fmt.Errorf("status %d: %q: %w", r.status, r.body, err)
		}
		if (p.Code == string(gov.CodeLedgerUnavailable)) != (r.status == http.StatusServiceUnavailable) {
			return d, nil, fmt.Errorf("status %d with code %q", r.status, p.Code)
		}
		return d, p, nil
	}
	return d, nil, json.Unmarshal(r.body, &d)
}

// mustDecide asks for a decision and fails the test if there is none.
func (s *server) mustDecide(n int64) decided {
	s.t.Helper()
	d, p, err := s.decide(s.t.Context(), n)
	if err != nil || p != nil {
		s.t.Fatalf("call %d: problem %+v, error %v\n%s", n, p, err, s.output())
	}
	return d
}

// answers are the decisions that came back, from any number of callers.
type answers struct {
	mu       sync.Mutex
	all      []decided
	problems []problem
	next     atomic.Int64 // number of the next call
}

func (a *answers) add(d decided) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, d)
}

func (a *answers) addProblem(p problem) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.problems = append(a.problems, p)
}

const callers = 16

// load keeps the server busy until ctx ends or it no longer answers, and returns when every caller has ended.
func (s *server) load(ctx context.Context, a *answers) {
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for ctx.Err() == nil {
				d, p, err := s.decide(ctx, a.next.Add(1))
				switch {
				case err != nil:
					return // killed in the middle: this caller knows nothing, and must not act
				case p != nil:
					a.addProblem(*p)
				default:
					a.add(d)
				}
			}
		})
	}
	running.Wait()
}

// leaves derives the leaf hash of every entry from what is stored, from an index on.
func (p place) leaves(t *testing.T, from int64) map[int64]string {
	t.Helper()
	st, err := store.OpenSQLiteReadOnly(t.Context(), p.data)
	if p.database != "" {
		st, err = store.OpenPostgresReadOnly(t.Context(), p.database)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[int64]string{}
	l := ledger.New(st, gov.Environment(environment), ledger.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	err = l.Scan(t.Context(), from, math.MaxInt64, false, func(r ledger.Raw) error {
		hash := merkle.LeafHash(r.Bytes)
		out[r.Index] = hex.EncodeToString(hash[:])
		return nil
	})
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	return out
}

// kept fails the test unless every answered decision is an entry, in its place and unchanged, from an index on. No two
// answers may name one entry.
func (a *answers) kept(t *testing.T, p place, from int64) {
	t.Helper()
	stored, seen := p.leaves(t, from), map[int64]string{}
	for _, d := range a.all {
		index := d.Receipt.Index
		if index < from {
			continue
		}
		if stored[index] != d.Receipt.LeafHash {
			t.Fatalf("%s was answered at index %d with leaf %s; stored is %q, of %d entries", d.ID, index, d.Receipt.LeafHash, stored[index], len(stored))
		}
		if other, twice := seen[index]; twice {
			t.Fatalf("%s and %s were both answered at index %d", other, d.ID, index)
		}
		seen[index] = d.ID
	}
}

// shown fails the test unless the server itself shows a sample of the answered decisions as they were answered.
func (a *answers) shown(s *server, sample int) {
	s.t.Helper()
	for i := max(0, len(a.all)-sample); i < len(a.all); i++ {
		want := a.all[i]
		r, err := s.ask(s.t.Context(), http.MethodGet, "/v1/decisions/"+want.ID, s.admin, nil)
		if err != nil || r.status != http.StatusOK {
			s.t.Fatalf("show %s: status %d, error %v: %s", want.ID, r.status, err, r.body)
		}
		var got struct {
			Decision decided `json:"decision"`
		}
		if err := json.Unmarshal(r.body, &got); err != nil {
			s.t.Fatal(err)
		}
		if got.Decision != want {
			s.t.Fatalf("answered %+v, shown %+v", want, got.Decision)
		}
	}
}
