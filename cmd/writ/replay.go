package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/replay"
	"github.com/writ-dev/writ/internal/store"
)

// replayWindow says where the records are and which of them to judge again.
type replayWindow struct {
	place
	From string `help:"Judge again from this time on (2026-11-01T00:00:00Z)."`
	To   string `help:"Judge again what is before this time."`
}

type replayCmd struct {
	replayWindow
	ledgerFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (replayCmd) Help() string {
	return `Examples:
  writ replay                                     every decision in ./writ-data
  writ replay -l prod --from 2026-10-01T00:00:00Z --to 2026-11-01T00:00:00Z
  writ replay --database postgres://writ@db/writ --json

Control state and sessions are rebuilt from the entries alone; then every decision of the range is judged afresh, and every bundle
that came into force is held against the proposal and the reviews before it. What people and administrators did is held against the
organization's ledger: who was invited, enrolled, signed in and removed, and which sessions and credentials were good when.
Exit status: 0 all came out the same, 1 at least one did not, 2 it could not be done.`
}

// Run replays and says what differs.
func (c replayCmd) Run(ctx context.Context, s std) error {
	st, err := openRecords(ctx, c.place)
	if err != nil {
		return err
	}
	reports, err := c.replay(ctx, s, st)
	if err = errors.Join(err, st.Close()); err != nil {
		return err
	}
	different := false
	for _, r := range reports {
		different = different || r.Different > 0
	}
	if c.JSON {
		out := json.NewEncoder(s.out)
		out.SetIndent("", "  ")
		err = out.Encode(reports)
	} else {
		printReplays(s, reports)
	}
	if err == nil && different {
		return exitError(exitWrong)
	}
	return err
}

func (c replayCmd) replay(ctx context.Context, s std, st *store.Store) ([]replay.Report, error) {
	ledgers, err := ledgersOf(ctx, st, c.Ledger)
	if err != nil {
		return nil, err
	}
	engines := live.NewEngines(st)
	compile := func(digest gov.BundleDigest) (*policy.Engine, error) { return engines.Engine(ctx, digest) }
	people, err := peopleOf(ctx, st)
	if err != nil {
		return nil, err
	}
	var out []replay.Report
	for _, l := range ledgers {
		r, err := c.window(ctx, st, l)
		if err != nil {
			return nil, err
		}
		bar := newProgress(s.err, "replay "+string(l.Name()), r.To)
		report, err := replay.Replay(ctx, l, compile, r, people, app.Parallel(runtime.NumCPU()), bar.at)
		bar.end()
		if err != nil {
			return nil, fmt.Errorf("ledger %s: %w", l.Name(), err)
		}
		out = append(out, report)
	}
	return out, nil
}

// peopleOf reads the organization's ledger, also where only others are replayed: what people did is held against it. It is nil where
// the records have none.
func peopleOf(ctx context.Context, st *store.Store) (*replay.People, error) {
	names, err := st.Ledgers(ctx)
	if err != nil || !slices.Contains(names, gov.OrgLedger) {
		return nil, err
	}
	return replay.FoldPeople(ctx, ledgerOf(st, gov.OrgLedger))
}

// window turns the times into indexes.
func (c replayWindow) window(ctx context.Context, st *store.Store, l *ledger.Ledger) (replay.Range, error) {
	head, err := l.Head(ctx)
	if err != nil {
		return replay.Range{}, err
	}
	from, err := indexAt(ctx, st, l, c.From, 0)
	if err != nil {
		return replay.Range{}, err
	}
	to, err := indexAt(ctx, st, l, c.To, math.MaxInt64)
	return replay.Range{From: from, To: min(to, head.Size)}, err
}

func indexAt(ctx context.Context, st *store.Store, l *ledger.Ledger, text string, otherwise int64) (int64, error) {
	if text == "" {
		return otherwise, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a time; write it like 2026-11-23T14:03:00Z", text)
	}
	return st.IndexAt(ctx, l.Name(), at)
}

func printReplays(s std, reports []replay.Report) {
	for _, r := range reports {
		fmt.Fprintf(s.out, "ledger %s: %d entries, %d decisions judged again: %d the same, %d different, %d not re-performable (erased under retention); %d activations held against their reviews; %d of %d acts of people and administrators held against sign-ins and credentials\n",
			r.Ledger, r.Entries, r.Decisions, r.Same, r.Different, r.Erased, r.Activations, r.Held, r.Acts)
		for _, why := range slices.Sorted(maps.Keys(r.NotHeld)) {
			fmt.Fprintf(s.out, "  %d acts not held against sign-ins: %s\n", r.NotHeld[why], why)
		}
		if r.Scanned > 0 {
			fmt.Fprintf(s.out, "  %d entries with findings of the scanner scanned again\n", r.Scanned)
		}
		if r.Unscanned > 0 {
			fmt.Fprintf(s.out, "  %d entries with findings taken as recorded: of another scanner, of inputs with secrets, or erased\n", r.Unscanned)
		}
		for _, d := range r.Differences {
			fmt.Fprintf(s.out, "  %s (entry %d): %s\n", d.ID, d.Index, d.What)
		}
		if more := r.Different - int64(len(r.Differences)); more > 0 {
			fmt.Fprintf(s.out, "  and %d more\n", more)
		}
	}
}
