package ledger_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/merkle"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/store"
	"github.com/writ-dev/writ/internal/store/storetest"
)

const env = gov.Environment("prod")

// clock is a clock that stands until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 23, 14, 3, 0, 0, time.UTC)} }

var databases storetest.Databases

func TestMain(m *testing.M) { os.Exit(storetest.Main(m, &databases)) }

// both runs a test on both databases.
func both(t *testing.T, test func(t *testing.T, open opener)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, func(t *testing.T, c *clock) (*ledger.Ledger, *store.Store) {
			l, st, _ := openSQLite(t, c)
			return l, st
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, func(t *testing.T, c *clock) (*ledger.Ledger, *store.Store) {
			st, err := store.OpenPostgres(t.Context(), databases.Postgres(t))
			if err != nil {
				t.Fatal(err)
			}
			return run(t, st, c), st
		})
	})
}

// opener opens a ledger over a fresh store and runs its sequencer until the test ends.
type opener func(*testing.T, *clock) (*ledger.Ledger, *store.Store)

func openSQLite(t *testing.T, c *clock) (*ledger.Ledger, *store.Store, string) {
	t.Helper()
	dir := t.TempDir()
	st, err := store.OpenSQLite(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, st, c), st, dir
}

func run(t *testing.T, st *store.Store, c *clock) *ledger.Ledger {
	t.Helper()
	l := ledger.New(st, env, ledger.Options{Now: c.now, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func nonce(t *testing.T) canon.Nonce {
	t.Helper()
	var n canon.Nonce
	if _, err := rand.Read(n[:]); err != nil {
		t.Fatal(err)
	}
	return n
}

func heartbeat(t *testing.T) ledger.Record {
	t.Helper()
	draft, err := canon.NewDraft(env, canon.KindHeartbeat, nonce(t), canon.Writ(), canon.Heartbeat{Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	return ledger.NewRecord(canon.KindHeartbeat, draft, nil)
}

// decision is a decision with a payload, of an agent and a tool.
func decision(t *testing.T, agent, tool, secret string) ledger.Record {
	t.Helper()
	sealed, commitment := canon.Seal(canon.Salt{1}, canon.GroupInput, canon.AppendValue(nil, map[string]any{"q": secret}))
	body := canon.Decision{
		Agent: gov.AgentID(agent), Credential: "k1", Tool: gov.ToolName(tool), Mode: gov.ModeEnforce, Outcome: gov.OutcomeAllow,
		Principal: canon.PrincipalRef{Type: gov.PrincipalService, Ref: agent, Assurance: gov.AssuranceBound},
		Reasons:   []gov.Reason{{Code: gov.ReasonPolicyPermit, Policy: "p", Message: "ok"}}, Policies: []gov.PolicyID{"p"},
		JudgedAt: "2026-11-23T14:03:00.000000Z", Commitments: map[canon.Group]canon.Commitment{canon.GroupInput: commitment},
	}
	draft, err := canon.NewDraft(env, canon.KindDecision, nonce(t), canon.Actor{Type: canon.ActorAgent, ID: agent}, body)
	if err != nil {
		t.Fatal(err)
	}
	return ledger.NewRecord(canon.KindDecision, draft, canon.Payload{canon.GroupInput: sealed}.Encode())
}

func mustAppend(t *testing.T, l *ledger.Ledger, r ledger.Record) ledger.Receipt {
	t.Helper()
	receipt, err := l.Append(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if !receipt.Placed() {
		t.Fatal("a receipt of an append is placed")
	}
	return receipt
}

func testKey(t *testing.T) (note.Signer, note.Verifier) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "example.com/prod")
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

func TestConcurrentAppendsAreGaplessAndVerify(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		l, _ := open(t, newClock())
		const writers, each = 32, 40
		seen := make([]bool, writers*each)
		var mu sync.Mutex
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				for i := range each {
					receipt, err := l.Append(t.Context(), decision(t, fmt.Sprintf("a%d", w%3), "s/t", fmt.Sprint(i)))
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if seen[receipt.Index] {
						t.Errorf("index %d was given twice", receipt.Index)
					}
					seen[receipt.Index] = true
					mu.Unlock()
				}
			})
		}
		group.Wait()
		for i, ok := range seen {
			if !ok {
				t.Fatalf("index %d was never given", i)
			}
		}
		_, verifier := testKey(t)
		report, err := l.VerifyStored(t.Context(), verifier, ledger.Claims{}, func(int64) {})
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Findings) != 0 || report.Entries != writers*each || report.Payloads != writers*each {
			t.Fatalf("verification: %+v", report)
		}
		if commits := l.Stats().Commits.Load(); commits >= writers*each {
			t.Errorf("%d commits for %d entries: nothing was grouped", commits, writers*each)
		}
	})
}

func TestEveryEntryIsProvedAndFoundByItsID(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		l, _ := open(t, newClock())
		const entries = 300
		receipts := make([]ledger.Receipt, entries)
		for i := range receipts {
			receipts[i] = mustAppend(t, l, decision(t, "bot", "s/t", fmt.Sprint(i)))
		}
		for _, r := range receipts {
			item, err := l.ByID(t.Context(), r.ID)
			if err != nil || item.Index != r.Index {
				t.Fatalf("by id %s: index %d, %v", r.ID, item.Index, err)
			}
			proof, err := l.Prove(t.Context(), r.Index)
			if err != nil {
				t.Fatal(err)
			}
			if err := merkle.CheckInclusion(proof.Tree, proof.Index, proof.Leaf, proof.Path); err != nil {
				t.Fatalf("proof of %d: %v", r.Index, err)
			}
			if got := fmt.Sprintf("%x", proof.Leaf); got != r.LeafHash {
				t.Fatalf("leaf of %d: %s, the receipt says %s", r.Index, got, r.LeafHash)
			}
		}
		if _, err := l.ByID(t.Context(), "dec_zzzzzzzzzzzzzzzzzzzzzzzzzz"); gov.CodeOf(err) != gov.CodeNotFound {
			t.Errorf("an id of nothing: %v", err)
		}
	})
}

func TestTimeNeverRunsBackwards(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		c := newClock()
		l, _ := open(t, c)
		first := mustAppend(t, l, heartbeat(t))
		c.move(-time.Hour)
		second := mustAppend(t, l, heartbeat(t))
		if second.At.Before(first.At) {
			t.Errorf("the second entry is of %s, the first of %s", second.At, first.At)
		}
	})
}

func TestRecordsUnderAnOlderEpochAreStale(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		l, _ := open(t, newClock())
		mustAppend(t, l, heartbeat(t))
		draft, err := canon.NewDraft(env, canon.KindCredentialRevoked, nonce(t), canon.Actor{Type: canon.ActorAdmin, ID: "a"}, canon.CredentialRevoked{Credential: "k1", Reason: "lost"})
		if err != nil {
			t.Fatal(err)
		}
		change := mustAppend(t, l, ledger.NewRecord(canon.KindCredentialRevoked, draft, nil))
		if change.Epoch != 1 {
			t.Fatalf("the change began epoch %d", change.Epoch)
		}
		old := decision(t, "bot", "s/t", "x")
		old.Epoch = 0
		if _, err := l.Append(t.Context(), old); !errors.Is(err, ledger.ErrStale) {
			t.Errorf("a decision of epoch 0: %v", err)
		}
		old.Epoch = 1
		mustAppend(t, l, old)
	})
}

func TestACallIsDecidedOnce(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		l, _ := open(t, newClock())
		asked := decision(t, "bot", "s/t", "x")
		asked.Call = &row.Call{Key: row.CallKey{7}, Input: [16]byte{9}}
		first := mustAppend(t, l, asked)
		var taken *ledger.CallTakenError
		if _, err := l.Append(t.Context(), asked); !errors.As(err, &taken) || taken.Call.Index != first.Index {
			t.Fatalf("asked again: %v", err)
		}
		asked.Supersedes = first.Index
		second := mustAppend(t, l, asked)
		if _, err := l.Append(t.Context(), asked); !errors.As(err, &taken) || taken.Call.Index != second.Index {
			t.Fatalf("superseding what is superseded: %v", err)
		}
	})
}

func TestSessionsMoveOnlyFromWhatWasSeen(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		l, _ := open(t, newClock())
		read := decision(t, "bot", "s/read", "x")
		read.Session, read.LabelsAdded = "s1", []gov.Label{"untrusted"}
		receipt := mustAppend(t, l, read)
		if _, err := l.Append(t.Context(), read); !errors.Is(err, ledger.ErrStale) {
			t.Fatalf("judged before the label: %v", err)
		}
		now, err := l.SessionNow(t.Context(), "s1")
		if err != nil {
			t.Fatal(err)
		}
		want := row.Session{ID: "s1", Version: receipt.Index + 1, Labels: []gov.Label{"untrusted"}}
		if diff := cmp.Diff(want, now); diff != "" {
			t.Error(diff)
		}
	})
}

func TestADecisionHasOneResult(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		l, _ := open(t, newClock())
		d := mustAppend(t, l, decision(t, "bot", "s/t", "x"))
		draft, err := canon.NewDraft(env, canon.KindResult, nonce(t), canon.Actor{Type: canon.ActorAgent, ID: "bot"}, canon.Result{Decision: d.ID, Status: gov.ResultSucceeded})
		if err != nil {
			t.Fatal(err)
		}
		r := ledger.NewRecord(canon.KindResult, draft, nil)
		r.ResultOf = d.Index
		mustAppend(t, l, r)
		if _, err := l.Append(t.Context(), r); !errors.Is(err, ledger.ErrResultTaken) {
			t.Errorf("a second result: %v", err)
		}
	})
}

func TestTheIndexFindsWhatThereIs(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		c := newClock()
		l, st := open(t, c)
		agents, tools := []string{"a", "b", "c"}, []string{"s/x", "s/y"}
		var want []int64
		var from, to time.Time
		const entries = ledger.SegmentSize + 200
		for i := range entries {
			if i == 1000 {
				from = c.now()
			}
			if i == 4200 {
				to = c.now()
			}
			agent, tool := agents[i%3], tools[i%2]
			r := mustAppend(t, l, decision(t, agent, tool, "x"))
			if agent == "b" && tool == "s/y" && i >= 1000 && i < 4200 {
				want = append([]int64{r.Index}, want...)
			}
			c.move(time.Second)
			if i == 777 {
				step(t, l)
			}
		}
		step(t, l)
		through, err := st.Indexed(t.Context(), env)
		if err != nil || through != entries {
			t.Fatalf("indexed through %d: %v", through, err)
		}
		q := ledger.Query{Filters: []ledger.Filter{{Dim: ledger.DimAgent, Value: "b"}, {Dim: ledger.DimTool, Value: "s/y"}}, From: from, To: to, Limit: 50}
		var got []int64
		for {
			page, err := l.Find(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page.Indexes...)
			if !page.More {
				break
			}
			q.Before = page.Indexes[len(page.Indexes)-1]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// step brings the index up with a fresh indexer, as after a restart.
func step(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	x := ledger.NewIndexer(l)
	for {
		_, lag, err := x.Read(t.Context())
		if err := errors.Join(err, x.Save(t.Context())); err != nil {
			t.Fatal(err)
		}
		if lag == 0 {
			return
		}
	}
}

// TestFollowersSeeWhatTheStoreHas, from wherever they read on, with what another node committed in between and what is no longer in memory.
func TestFollowersSeeWhatTheStoreHas(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		c := newClock()
		l, st := open(t, c)
		other := ledger.New(st, env, ledger.Options{Now: c.now, Log: slog.New(slog.DiscardHandler)})
		ctx, stop := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { other.Run(ctx) })
		defer running.Wait()
		defer stop()
		large := func() ledger.Record {
			draft, err := canon.NewDraft(env, canon.KindHeartbeat, nonce(t), canon.Actor{Type: canon.ActorSystem, ID: "writ"}, canon.Heartbeat{Node: strings.Repeat("n", 50_000)})
			if err != nil {
				t.Fatal(err)
			}
			return ledger.NewRecord(canon.KindHeartbeat, draft, nil)
		}
		for i := range 200 {
			node := l
			if i%7 == 3 {
				node = other
			}
			mustAppend(t, node, large())
		}
		if _, errs := l.AppendAll(t.Context(), []ledger.Record{heartbeat(t), heartbeat(t), heartbeat(t)}); errors.Join(errs...) != nil {
			t.Fatal(errs)
		}
		for from := int64(0); from < 203; from += 11 {
			for _, to := range []int64{from + 1, from + 30, 202, 203} {
				var want, got []ledger.Raw
				err1 := l.Scan(t.Context(), from, to, false, func(r ledger.Raw) error { want = append(want, r); return nil })
				err2 := l.ScanNew(t.Context(), from, to, func(r ledger.Raw) error { got = append(got, r); return nil })
				same := slices.EqualFunc(want, got, func(a, b ledger.Raw) bool { return a.Index == b.Index && bytes.Equal(a.Bytes, b.Bytes) })
				if err1 != nil || err2 != nil || !same {
					t.Fatalf("entries %d to %d: %d stored, %d of those that are new, %v, %v", from, to, len(want), len(got), err1, err2)
				}
			}
		}
	})
}

func TestErasureLeavesTheTreeAndNoByte(t *testing.T) {
	t.Parallel()
	l, _, dir := openSQLite(t, newClock())
	const secret = "the-number-of-the-card-is-4929"
	d := mustAppend(t, l, decision(t, "bot", "s/t", secret))
	before, err := l.Prove(t.Context(), d.Index)
	if err != nil {
		t.Fatal(err)
	}
	erase := func() bool {
		draft, err := canon.NewDraft(env, canon.KindErasure, nonce(t), canon.Actor{Type: canon.ActorAdmin, ID: "a"}, canon.Erasure{Entry: d.ID, Groups: []canon.Group{canon.GroupInput}, Reason: "asked for"})
		if err != nil {
			t.Fatal(err)
		}
		_, done, err := l.Erase(t.Context(), ledger.NewRecord(canon.KindErasure, draft, nil), d.Index, []canon.Group{canon.GroupInput})
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	if !holds(t, dir, secret) {
		t.Fatal("the secret is nowhere before the erasure: the search does not work")
	}
	if !erase() {
		t.Fatal("nothing was erased")
	}
	if holds(t, dir, secret) {
		t.Error("the erased bytes are still in the data directory")
	}
	if erase() {
		t.Error("erasing twice erased twice")
	}
	after, err := l.Prove(t.Context(), d.Index)
	if err != nil || after.Leaf != before.Leaf {
		t.Fatalf("the proof after the erasure: %v", err)
	}
	_, verifier := testKey(t)
	report, err := l.VerifyStored(t.Context(), verifier, ledger.Claims{}, func(int64) {})
	if err != nil || len(report.Findings) > 0 || report.Erased != 1 || report.Entries != 2 {
		t.Errorf("verification after the erasure: %+v, %v", report, err)
	}
}

// holds says whether a file under dir has the text.
func holds(t *testing.T, dir, text string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		found = found || strings.Contains(string(data), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestCheckpointsContinueEachOther(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		l, _ := open(t, newClock())
		key, log := testKey(t)
		signer := &ledger.Signer{Ledger: l, Origin: "example.com/prod", Key: key, Log: log}
		for i := range 5 {
			for range i*100 + 1 {
				mustAppend(t, l, heartbeat(t))
			}
			if signed, err := signer.Sign(t.Context()); err != nil || !signed {
				t.Fatalf("round %d: %v, %v", i, signed, err)
			}
			if signed, err := signer.Sign(t.Context()); err != nil || signed {
				t.Fatalf("round %d, nothing new: %v, %v", i, signed, err)
			}
		}
		c, err := l.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		opened, err := merkle.OpenCheckpoint(c.Note, log)
		if err != nil || opened.Size != 1005 {
			t.Fatalf("the newest checkpoint: %d entries, %v", opened.Size, err)
		}
		report, err := l.VerifyStored(t.Context(), log, ledger.Claims{Heads: []merkle.Checkpoint{opened}}, func(int64) {})
		if err != nil || len(report.Findings) > 0 || report.Checkpoints != 2 {
			t.Errorf("verification: %+v, %v", report, err)
		}
	})
}
