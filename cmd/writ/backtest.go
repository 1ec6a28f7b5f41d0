package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/replay"
	"github.com/writ-dev/writ/internal/store"
)

type changesBacktestCmd struct {
	bundleDir
	replayWindow
	Environment string `required:"" short:"e" help:"The environment whose decisions to judge again."`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// Help gives an example.
func (changesBacktestCmd) Help() string {
	return `Judges recorded decisions again as if this bundle had been in force, and says what would have come out otherwise. It reads the
records beside a running server.

Example:
  writ changes backtest governance/ -e prod --data /var/lib/writ --from 2026-10-01T00:00:00Z`
}

// Run backtests a bundle.
func (c changesBacktestCmd) Run(ctx context.Context, s std) error {
	engine, err := c.compile(s, false)
	if err != nil {
		return err
	}
	st, err := openRecords(ctx, c.place)
	if err != nil {
		return err
	}
	report, err := c.backtest(ctx, s, st, engine)
	if err = errors.Join(err, st.Close()); err != nil {
		return err
	}
	if c.JSON {
		out := json.NewEncoder(s.out)
		out.SetIndent("", "  ")
		return out.Encode(report)
	}
	fmt.Fprintf(s.out, "%d decisions of %s judged again under %s: %d come out the same, %d were erased, %d could not be judged\n",
		report.Decisions, report.Ledger, report.Bundle, report.Same, report.Erased, report.Failed)
	if report.Limits > 0 {
		fmt.Fprintf(s.out, "  its %d limits counted what was allowed from the first of them on\n", report.Limits)
	}
	for _, flip := range slices.Sorted(maps.Keys(report.Flipped)) {
		fmt.Fprintf(s.out, "  %s: %d\n", flip, report.Flipped[flip])
	}
	for _, f := range report.Examples {
		fmt.Fprintf(s.out, "  %s %s %s: %s, would be %s: %s\n", f.ID, f.Agent, f.Tool, f.Was, f.Now, f.Reasons[0].Message)
	}
	return nil
}

func (c changesBacktestCmd) backtest(ctx context.Context, s std, st *store.Store, engine *policy.Engine) (replay.Backtested, error) {
	ledgers, err := ledgersOf(ctx, st, []string{c.Environment})
	if err != nil {
		return replay.Backtested{}, err
	}
	l := ledgers[0]
	window, err := c.window(ctx, st, l)
	if err != nil {
		return replay.Backtested{}, err
	}
	engines := live.NewEngines(st)
	compile := func(digest gov.BundleDigest) (*policy.Engine, error) { return engines.Engine(ctx, digest) }
	bar := newProgress(s.err, "backtest "+string(l.Name()), window.To)
	defer bar.end()
	return replay.Backtest(ctx, l, compile, window, engine, app.Parallel(runtime.NumCPU()), bar.at)
}
