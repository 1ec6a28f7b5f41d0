//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	quick, big, pages, generators, stops bool
	rounds                               int
	duration                             time.Duration
	entries                              int64
	store                                string
	out, results                         string
	beside, detectors                    string
	rates                                bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&o.quick, "quick", false, "under a minute; the last line of the output is JSON")
	flags.BoolVar(&o.big, "big", false, "memory, throughput and queries with many entries")
	flags.BoolVar(&o.pages, "pages", false, "the console's pages with many decisions and many pending approvals; -entries says how many")
	flags.BoolVar(&o.stops, "stops", false, "kill switches thrown under load on three nodes over PostgreSQL")
	flags.StringVar(&o.beside, "beside", "", "compare with another build of writ, at this path")
	flags.BoolVar(&o.rates, "rates", false, "what the detectors of rates notice, and how often they are wrong, on simulated agents")
	flags.StringVar(&o.detectors, "detectors", "bench/DETECTORS.md", "file for what -rates gives")
	flags.BoolVar(&o.generators, "generators", false, "compare the load generator with wrk")
	flags.IntVar(&o.rounds, "rounds", 5, "how often each peer is measured")
	flags.DurationVar(&o.duration, "duration", 3*time.Second, "how long each time")
	flags.Int64Var(&o.entries, "entries", 5_000_000, "how many entries -big writes first")
	flags.StringVar(&o.store, "store", storeSQLite, "where -big writes them: sqlite or postgres")
	flags.StringVar(&o.out, "out", "bench/out", "directory for binaries, data and logs")
	flags.StringVar(&o.results, "results", "bench/RESULTS.md", "file for the results")
	echo := flags.String("serve-echo", "", "be the echo peer at this address")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *echo != "" {
		return serveEcho(ctx, *echo)
	}
	b, err := newBench(o)
	if err != nil {
		return err
	}
	defer b.close()
	switch {
	case o.quick:
		return b.runQuick(ctx)
	case o.big:
		return b.runBig(ctx)
	case o.pages:
		return b.runPages(ctx)
	case o.stops:
		return b.runStops(ctx)
	case o.rates:
		return b.runRates(ctx)
	case o.beside != "":
		return b.runBeside(ctx, o.beside)
	case o.generators:
		return b.runGenerators(ctx)
	}
	return b.runFull(ctx)
}

// newBench makes the directories of a run. The clock of the benchmark is the machine's: it measures.
func newBench(o options) (*bench, error) {
	b := &bench{options: o, now: time.Now, log: os.Stderr}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return nil, fmt.Errorf("directory of the run: %w", err)
	}
	var err error
	if b.data, err = os.MkdirTemp(o.out, "run-"); err != nil {
		return nil, fmt.Errorf("directory of the run: %w", err)
	}
	return b, nil
}

// close stops the peers and the database, and removes their data.
func (b *bench) close() {
	for _, p := range b.peers {
		p.server.stop()
	}
	if b.database != nil {
		b.database.close()
	}
	if err := os.RemoveAll(b.data); err != nil {
		b.progress("leaves %s behind: %v", b.data, err)
	}
}
