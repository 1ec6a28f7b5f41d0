package app_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/replay"
	"github.com/writ-dev/writ/internal/store"
)

func TestABacktestCountsWhatWouldFlip(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := start(t, newOffice(t).config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	for _, amount := range []int{100, 400, 600, 900} {
		outcome := "allow"
		if amount > 500 {
			outcome = "require_approval"
		}
		n.ask(key, fmt.Sprintf(refund, amount, ""), outcome)
	}
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
	got, err := replay.Backtest(t.Context(), l, compile, replay.Range{To: head.Size}, engine, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	if got.Decisions != 4 || got.Same != 3 || got.Flipped["allow to require_approval"] != 1 || len(got.Flipped) != 1 || len(got.Examples) != 1 || got.Examples[0].Tool != "stripe/refund" {
		t.Errorf("backtest: %+v", got)
	}
	acme, err := live.Compile(acmeWith(t, "writ.yaml", "days: 455", "days: 456"))
	if err != nil {
		t.Fatal(err)
	}
	if same, err := replay.Backtest(t.Context(), l, compile, replay.Range{To: head.Size}, acme, func(int64) {}); err != nil || same.Same != 4 {
		t.Errorf("under the bundle that was in force: %+v, %v", same, err)
	}
}
