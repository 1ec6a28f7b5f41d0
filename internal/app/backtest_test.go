package app_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/replay"
	"github.com/writ-dev/writ/internal/store"
)

func TestABacktestCountsWhatWouldFlip(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	for _, amount := range []int{100, 400, 600, 900} {
		outcome := "allow"
		if amount > 500 {
			outcome = "require_approval"
		}
		n.ask(key, fmt.Sprintf(refund, amount, ""), outcome)
	}
	for range 2 { // the second one is judged with the label that the first one left
		n.ask(key, `{"agent":"support-bot","tool":"zendesk/read_ticket","input":{"ticket":"T-1"},"session":"s1"}`, "allow")
	}
	const lifted = `,"call_id":"c1","session":"s1"`
	n.wantVote(approvalOf(n.ask(key, fmt.Sprintf(refund, 950, lifted), "require_approval")), o.signIn("tom", nil), "approve", "approved")
	last := int64(n.ask(key, fmt.Sprintf(refund, 950, lifted), "allow")["receipt"].(map[string]any)["index"].(float64))
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	engine, err := live.Compile(acmeWith(t, refundsFile, "context.input.amount > 500", "context.input.amount > 300"))
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.OpenSQLiteReadOnly(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	engines := live.NewEngines(st)
	l := ledger.New(st, "prod", ledger.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	head, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	compile := func(d gov.BundleDigest) (*policy.Engine, error) { return engines.Engine(t.Context(), d) }
	got, err := replay.Backtest(t.Context(), l, compile, replay.Range{To: head.Size}, engine, app.Parallel(2), func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	if got.Decisions != 8 || got.Same != 7 || got.Flipped["allow to require_approval"] != 1 || len(got.Flipped) != 1 || len(got.Examples) != 1 || got.Examples[0].Tool != "stripe/refund" {
		t.Errorf("backtest: %+v", got)
	}
	acme, err := live.Compile(acmeWith(t, "writ.yaml", "days: 455", "days: 456"))
	if err != nil {
		t.Fatal(err)
	}
	if same, err := replay.Backtest(t.Context(), l, compile, replay.Range{To: head.Size}, acme, replay.OneByOne, func(int64) {}); err != nil || same.Same != 8 {
		t.Errorf("under the bundle that was in force: %+v, %v", same, err)
	}
	// What stands before a range is not judged, and its consents count.
	within := replay.Range{From: last, To: head.Size}
	if same, err := replay.Backtest(t.Context(), l, compile, within, acme, app.Parallel(2), func(int64) {}); err != nil || same.Same != 1 || same.Decisions != 1 {
		t.Errorf("only what was approved: %+v, %v", same, err)
	}
	if again, err := replay.Replay(t.Context(), l, compile, within, nil, app.Parallel(2), func(int64) {}); err != nil || again.Same != 1 || again.Decisions != 1 || again.Entries != head.Size {
		t.Errorf("replay of what was approved: %+v, %v", again, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := replay.Backtest(ctx, l, compile, within, acme, app.Parallel(2), func(int64) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits for it any more: %v", err)
	}
}

// lines are those of a stream.
func (e exchange) lines(t *testing.T) []map[string]any {
	t.Helper()
	if e.status != http.StatusOK || e.kind != linesType {
		t.Fatalf("no lines: %d %s", e.status, e.body)
	}
	var out []map[string]any
	for line := range strings.Lines(string(e.body)) {
		out = append(out, exchange{body: []byte(line)}.decode(t))
	}
	return out
}

func TestAChangeIsBacktestedOverTheAPI(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	for _, amount := range []int{100, 490} {
		n.ask(key, fmt.Sprintf(refund, amount, ""), "allow")
	}
	changed := wantState(t, n.propose(o.signIn("ana", nil), "Finance sees more", acmeWith(t, refundsFile, "context.input.amount > 500", "(context.input.amount > 500 || context.input.amount == 490)")), "proposed")
	path := "/v1/changes/" + changed["id"].(string) + "/backtest"
	lines := n.get(path, o.signIn("maria", nil)).lines(t)
	first, last := lines[0], lines[len(lines)-1]["report"].(map[string]any)
	if first["done"] == nil || first["of"] == nil || last["decisions"] != 2.0 || last["flipped"].(map[string]any)["allow to require_approval"] != 1.0 || len(last["examples"].([]any)) != 1 || last["bundle"] != changed["bundle"] {
		t.Errorf("backtest: %v", lines)
	}
	wantProblem(t, n.get(path, key), 403, "forbidden")
	wantProblem(t, n.get(path, o.signIn("nobody", nil)), 404, "not_found")
	wantProblem(t, n.get("/v1/changes/chg_x/backtest", n.admin), 404, "not_found")
	for _, bad := range []string{"?days=0", "?days=401", "?days=x", "?days=1&days=2", "?from=1"} {
		if e := n.get(path+bad, n.admin); e.status != 400 {
			t.Errorf("%s: %d %s", bad, e.status, e.body)
		}
	}
	var asked sync.WaitGroup
	var done atomic.Int64
	for range 8 {
		asked.Go(func() {
			e, err := n.try(http.MethodGet, path, n.admin, "", nil)
			if err != nil || e.status != http.StatusOK && e.status != http.StatusTooManyRequests {
				t.Errorf("beside others: %d %s, %v", e.status, e.body, err)
			}
			if e.status == http.StatusOK {
				done.Add(1)
			}
		})
	}
	asked.Wait()
	if done.Load() == 0 {
		t.Error("none of them was run")
	}
	o.clock.Store(int64(10 * 24 * time.Hour))
	lines = n.get(path+"?days=9", n.admin).lines(t)
	if last := lines[len(lines)-1]["report"].(map[string]any); last["decisions"] != 0.0 {
		t.Errorf("of the last nine days: %v", last)
	}
}
