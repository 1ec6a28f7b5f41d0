//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const syncDuration = 3 * time.Second

// series is what the rounds gave at one number of connections.
type series struct {
	connections int
	samples     map[string][]sample
}

// connectionCounts are those of the full run.
func connectionCounts() []int { return []int{1, 32, 128} }

// runFull measures every peer at 1, 32 and 128 connections and writes the results.
func (b *bench) runFull(ctx context.Context) error {
	missing := b.addAll(ctx)
	if len(b.peers) == 0 {
		return missing
	}
	if err := b.ready(ctx, b.peers, quickConnections, warmDuration); err != nil {
		return err
	}
	var all []series
	for _, connections := range connectionCounts() {
		samples, err := b.rounds(ctx, b.peers, b.options.rounds, connections, b.duration)
		if err != nil {
			return err
		}
		all = append(all, series{connections, samples})
	}
	text := b.machine(ctx) + b.tables(all) + b.syncTable(ctx) + b.ratios(all)
	if missing != nil {
		text += fmt.Sprintf("\nNot measured: %v\n", firstLine(missing.Error()))
	}
	if err := writeSection(b.results, "full run", text); err != nil {
		return err
	}
	return missing
}

// addAll starts all peers. Writ may be missing; nothing else may.
func (b *bench) addAll(ctx context.Context) error {
	if _, err := b.addEcho(ctx); err != nil {
		return err
	}
	for _, policies := range []int{policiesFew, policiesMany} {
		for _, o := range []opaOptions{{name: "opa"}, {name: "opa token", auth: true}, {name: "opa token log", auth: true, logs: true}} {
			o.name += fmt.Sprintf(" %d", policies)
			if _, err := b.addOPA(ctx, policies, o); err != nil {
				return err
			}
		}
	}
	for _, store := range []string{storeSQLite, storePostgres} {
		for _, policies := range []int{policiesFew, policiesMany} {
			if _, err := b.addWrit(ctx, policies, store); err != nil {
				return err
			}
		}
	}
	return nil
}

// tables has one table for each number of connections.
func (b *bench) tables(all []series) string {
	var t strings.Builder
	for _, s := range all {
		fmt.Fprintf(&t, "\n### %d connections\n\n", s.connections)
		t.WriteString("| peer | answers/s | × echo | p50 ms | p99 ms | server CPU µs | database CPU µs | generator CPU µs | RSS MB | not 200 | wrong |\n")
		t.WriteString("|---|---|---|---|---|---|---|---|---|---|---|\n")
		for _, p := range b.peers {
			t.WriteString(tableRow(p.name, s.samples[p.name], s.samples["echo"]))
		}
	}
	return t.String()
}

func tableRow(name string, samples, echo []sample) string {
	value := func(get func(sample) float64) float64 { return median(samples, get) }
	var notOK, wrong int64
	for _, s := range samples {
		notOK += s.notOK
		wrong += s.wrong
	}
	return fmt.Sprintf("| %s | %.0f | %.3f | %.2f | %.2f | %.1f | %.1f | %.1f | %.0f | %d | %d |\n",
		name, value(throughput), ratio(samples, echo), value(millis50), value(millis99),
		value(serverCPU), value(func(s sample) float64 { return s.database }),
		value(func(s sample) float64 { return s.generator }), value(residentMB), notOK, wrong)
}

// syncTable counts the syncs of the peers that record decisions, in short rounds of their own.
func (b *bench) syncTable(ctx context.Context) string {
	var t strings.Builder
	t.WriteString("\n### Syncs to disk\n\nfsync and fdatasync calls of the server and its database, counted by perf in rounds of their own.\n\n" +
		"| peer | connections | answers/s | syncs/s | answers for each sync |\n|---|---|---|---|---|\n")
	for _, p := range b.peers {
		if !p.records {
			continue
		}
		for _, connections := range connectionCounts() {
			d, err := b.countSyncs(ctx, p, connections, syncDuration)
			if err != nil {
				b.progress("%v", err)
				fmt.Fprintf(&t, "| %s | %d | not counted: %s | | |\n", p.name, connections, firstLine(err.Error()))
				continue
			}
			each := "–"
			if d.syncs > 0 {
				each = fmt.Sprintf("%.1f", d.requests/d.syncs)
			}
			fmt.Fprintf(&t, "| %s | %d | %.0f | %.0f | %s |\n", p.name, connections, d.requests, d.syncs, each)
			b.progress("%s, %d connections: %.0f answers/s, %.0f syncs/s", p.name, connections, d.requests, d.syncs)
		}
	}
	return t.String()
}

// ratios are the comparisons that the project holds itself to.
func (b *bench) ratios(all []series) string {
	var t strings.Builder
	t.WriteString("\n### Ratios\n\nMedians over the rounds of the ratio within a round.\n\n| what | connections | ratio |\n|---|---|---|\n")
	pairs := [][2]string{
		{"writ sqlite 20", "echo"}, {"writ postgres 20", "echo"},
		{"writ sqlite 20", "opa 20"}, {"writ sqlite 20", "opa token 20"}, {"writ sqlite 20", "opa token log 20"},
		{"writ sqlite 500", "opa 500"}, {"writ postgres 20", "opa 20"},
		{"writ sqlite 500", "writ sqlite 20"}, {"writ postgres 500", "writ postgres 20"}, {"opa 500", "opa 20"},
	}
	for _, pair := range pairs {
		for _, s := range all {
			if x, y := s.samples[pair[0]], s.samples[pair[1]]; len(x) > 0 && len(y) > 0 {
				fmt.Fprintf(&t, "| %s / %s | %d | %.2f |\n", pair[0], pair[1], s.connections, ratio(x, y))
			}
		}
	}
	return t.String()
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
