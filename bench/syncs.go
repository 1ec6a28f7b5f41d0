//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/writ-dev/writ/bench/load"
)

const (
	syncEvents = "syscalls:sys_enter_fsync,syscalls:sys_enter_fdatasync"
	syncMargin = time.Second // the load runs so much longer than what is counted, half before and half after
)

// durability is what a peer did for it in a short round of its own.
type durability struct {
	syncs, requests float64 // a second
}

// countSyncs loads the peer and counts the calls of the fsync family by it and by its database. perf's tracepoints cost
// the process next to nothing; they need root.
func (b *bench) countSyncs(ctx context.Context, p *peer, connections int, duration time.Duration) (durability, error) {
	pids := []string{strconv.Itoa(p.server.pid())}
	if p.database != nil {
		family, err := children(p.database.pid())
		if err != nil {
			return durability{}, err
		}
		for _, pid := range append(family, p.database.pid()) {
			pids = append(pids, strconv.Itoa(pid))
		}
	}
	type counted struct {
		n   float64
		err error
	}
	done := make(chan counted, 1)
	begin := time.AfterFunc(syncMargin/2, func() {
		n, err := perfSyncs(ctx, pids, duration)
		done <- counted{n, err}
	})
	defer begin.Stop()
	r, err := load.Run(ctx, load.Config{
		Address: p.address, Templates: p.templates, Connections: connections, Duration: duration + syncMargin, First: b.first(), Now: b.now,
	})
	if err != nil {
		return durability{}, fmt.Errorf("%s: %w", p.name, err)
	}
	c := <-done
	return durability{syncs: c.n / duration.Seconds(), requests: r.PerSecond()}, c.err
}

// perfSyncs counts for so long.
func perfSyncs(ctx context.Context, pids []string, duration time.Duration) (float64, error) {
	cmd := exec.CommandContext(ctx, "perf", "stat", "-x", ",", "-e", syncEvents, "-p", strings.Join(pids, ","),
		"--", "sleep", strconv.FormatFloat(duration.Seconds(), 'f', 3, 64))
	output, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("count syncs by perf: %w: %s", err, bytes.TrimSpace(output))
	}
	reader := csv.NewReader(bytes.NewReader(output))
	reader.FieldsPerRecord, reader.Comment = -1, '#'
	records, err := reader.ReadAll()
	if err != nil {
		return 0, fmt.Errorf("count syncs: %w", err)
	}
	var total float64
	found := 0
	for _, record := range records {
		if len(record) < 3 || !strings.HasPrefix(record[2], "syscalls:") {
			continue
		}
		n, err := strconv.ParseFloat(record[0], 64)
		if err != nil {
			return 0, fmt.Errorf("count syncs: %w", err)
		}
		total += n
		found++
	}
	if found == 0 {
		return 0, errors.New("count syncs: perf counted nothing")
	}
	return total, nil
}
