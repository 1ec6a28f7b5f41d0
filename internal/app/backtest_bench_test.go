package app_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
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

const (
	benchDecisions = 100_000
	benchClients   = 128
)

// BenchmarkBacktest judges 100,000 recorded decisions again under another bundle.
func BenchmarkBacktest(b *testing.B) {
	dir := b.TempDir()
	n := start(b, app.Config{Data: dir})
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = benchClients
	var clients sync.WaitGroup
	for c := range benchClients {
		clients.Go(func() {
			for i := range benchDecisions / benchClients {
				body := fmt.Sprintf(refund, 1+(c*7+i)%900, fmt.Sprintf(`,"session":"s-%d"`, c))
				if _, err := n.try(http.MethodPost, "/v1/decisions", key, jsonType, []byte(body)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	clients.Wait()
	if err := n.Stop(); err != nil {
		b.Fatal(err)
	}
	st, err := store.OpenSQLiteReadOnly(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := st.Close(); err != nil {
			b.Error(err)
		}
	})
	engines := live.NewEngines(st)
	compile := func(d gov.BundleDigest) (*policy.Engine, error) { return engines.Engine(b.Context(), d) }
	l := ledger.New(st, "prod", ledger.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	head, err := l.Head(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	engine, err := live.Compile(acmeWith(b, refundsFile, "context.input.amount > 500", "context.input.amount > 300"))
	if err != nil {
		b.Fatal(err)
	}
	decisions := int64(0)
	for b.Loop() {
		got, err := replay.Backtest(b.Context(), l, compile, replay.Range{To: head.Size}, engine, app.Parallel(runtime.NumCPU()), func(int64) {})
		if err != nil || got.Failed > 0 {
			b.Fatalf("%+v, %v", got, err)
		}
		decisions += got.Decisions
	}
	b.ReportMetric(float64(decisions)/b.Elapsed().Seconds(), "decisions/s")
}
