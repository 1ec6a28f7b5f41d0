//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/writ-dev/writ/bench/load"
)

var (
	wrkCountRE = regexp.MustCompile(`(\d+) requests in`)
	wrkRateRE  = regexp.MustCompile(`Requests/sec:\s*([\d.]+)`)
)

// runGenerators compares the load generator with wrk on the echo peer: the cheaper one is the better one on few cores.
func (b *bench) runGenerators(ctx context.Context) error {
	echo, err := b.addEcho(ctx)
	if err != nil {
		return err
	}
	if err := b.ready(ctx, b.peers, quickConnections, warmDuration); err != nil {
		return err
	}
	all := map[string][]sample{}
	for range b.options.rounds {
		own, err := b.measure(ctx, echo, quickConnections, b.duration)
		if err != nil {
			return err
		}
		other, err := b.measureWrk(ctx, echo)
		if err != nil {
			return err
		}
		all["own"], all["wrk"] = append(all["own"], own), append(all["wrk"], other)
	}
	var t strings.Builder
	fmt.Fprintf(&t, "Against the echo with %d connections. wrk sends one request over and over; the own generator changes each.\n\n", quickConnections)
	t.WriteString("| generator | answers/s | generator CPU µs | server CPU µs |\n|---|---|---|---|\n")
	for _, name := range []string{"own", "wrk"} {
		fmt.Fprintf(&t, "| %s | %.0f | %.1f | %.1f |\n", name, median(all[name], throughput),
			median(all[name], func(s sample) float64 { return s.generator }), median(all[name], serverCPU))
	}
	b.progress("\n%s", t.String())
	return writeSection(b.results, "load generators", b.machine(ctx)+"\n"+t.String())
}

// measureWrk has wrk load the peer with a call of the load.
func (b *bench) measureWrk(ctx context.Context, p *peer) (sample, error) {
	marks := strings.NewReplacer(load.CallMark, strings.Repeat("0", len(load.CallMark)),
		load.SessionMark, strings.Repeat("0", len(load.SessionMark)), load.UserMark, "000")
	script := filepath.Join(b.data, "wrk.lua")
	text := fmt.Sprintf("wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/json\"\nwrk.body = [==[%s]==]\n",
		marks.Replace(p.work.variants[0].body()))
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		return sample{}, fmt.Errorf("wrk: %w", err)
	}
	before, _, err := p.cpu()
	if err != nil {
		return sample{}, err
	}
	cmd := exec.CommandContext(ctx, "wrk", "-t1", "-c", strconv.Itoa(quickConnections),
		"-d", strconv.Itoa(int(b.duration.Seconds()))+"s", "-s", script, "http://"+p.address+"/v1/decisions")
	said, err := cmd.Output()
	if err != nil {
		return sample{}, fmt.Errorf("wrk: %w", err)
	}
	after, _, err := p.cpu()
	if err != nil {
		return sample{}, err
	}
	count, rate := wrkCountRE.FindSubmatch(said), wrkRateRE.FindSubmatch(said)
	if count == nil || rate == nil {
		return sample{}, fmt.Errorf("wrk: cannot read %q", said)
	}
	n, err1 := strconv.ParseFloat(string(count[1]), 64)
	perSecond, err2 := strconv.ParseFloat(string(rate[1]), 64)
	if err1 != nil || err2 != nil || n == 0 {
		return sample{}, fmt.Errorf("wrk: cannot read %q", said)
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return sample{
		perSecond: perSecond, generator: used.Seconds() * microsASecond / n, server: (after - before).Seconds() * microsASecond / n,
	}, nil
}
