//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

const (
	besideConnections = 128
	besideSettle      = 1500 * time.Millisecond // the index and the detectors are behind the answers, by a second at most
)

// runBeside measures Writ as it is here beside another build of it, in the same rounds, on SQLite with 20 policies. How many answers
// there are a second depends on whatever else the machine does; CPU for each request much less, and it has what follows the answers.
func (b *bench) runBeside(ctx context.Context, other string) error {
	echo, err := b.addEcho(ctx)
	if err != nil {
		return err
	}
	other, err = filepath.Abs(other)
	if err != nil {
		return fmt.Errorf("the other writ: %w", err)
	}
	before, err := b.add(startWrit(ctx, other, b.data, echo.work, writOptions{name: "the other"}))
	if err != nil {
		return err
	}
	now, err := b.addWrit(ctx, policiesFew, storeSQLite)
	if err != nil {
		return err
	}
	if err := b.ready(ctx, b.peers, besideConnections, warmDuration); err != nil {
		return err
	}
	b.settle = besideSettle
	samples, err := b.rounds(ctx, b.peers, b.options.rounds, besideConnections, b.duration)
	if err != nil {
		return err
	}
	var t strings.Builder
	fmt.Fprintf(&t, "\n%d connections, 20 policies. Ratios are medians over the rounds of the ratio within a round.\n\n", besideConnections)
	t.WriteString("| peer | answers/s | × echo | p99 ms | server CPU µs | RSS MB |\n|---|---|---|---|---|---|\n")
	for _, p := range b.peers {
		s := samples[p.name]
		fmt.Fprintf(&t, "| %s | %.0f | %.3f | %.2f | %.1f | %.0f |\n", p.name, median(s, throughput), ratio(s, samples[echo.name]),
			median(s, millis99), median(s, serverCPU), median(s, residentMB))
	}
	fmt.Fprintf(&t, "\n%s / %s: answers %.3f, server CPU for each request %.3f.\n", now.name, before.name,
		ratio(samples[now.name], samples[before.name]), ratioOf(samples[now.name], samples[before.name], serverCPU))
	b.progress("\n%s", t.String())
	return writeSection(b.results, "beside another build", b.machine(ctx)+t.String())
}
