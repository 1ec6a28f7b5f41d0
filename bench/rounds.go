//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/writ-dev/writ/bench/load"
)

// sample is one peer measured once.
type sample struct {
	perSecond  float64
	p50, p99   time.Duration
	server     float64 // microseconds of CPU for each request, in the server
	database   float64 // in its database, when that is a process of its own
	generator  float64 // in the load generator
	notOK      int64
	wrong      int64
	residentMB float64
}

// bench is one run of the benchmark.
type bench struct {
	options
	data     string // directory of this run, removed at the end
	now      func() time.Time
	log      io.Writer
	runs     uint64
	settle   time.Duration // after each round, until what a peer does behind its answers is done and counted too
	peers    []*peer
	database *postgres // nil until it is needed
}

func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(b.log, "%s "+format+"\n", append([]any{b.now().Format(time.TimeOnly)}, args...)...)
}

// first is the first call number of the next run; runs are far enough apart that no two share a call or a session.
func (b *bench) first() uint64 {
	b.runs++
	return b.runs << 32
}

// measure loads one peer.
func (b *bench) measure(ctx context.Context, p *peer, connections int, duration time.Duration) (sample, error) {
	serverBefore, databaseBefore, err := p.cpu()
	if err != nil {
		return sample{}, err
	}
	ownBefore, err := ownCPU()
	if err != nil {
		return sample{}, err
	}
	r, err := load.Run(ctx, load.Config{
		Address: p.address, Templates: p.templates, Connections: connections, Duration: duration, First: b.first(), Now: b.now,
	})
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w", p.name, err)
	}
	own, err := ownCPU()
	if err != nil {
		return sample{}, err
	}
	time.Sleep(b.settle)
	server, database, err := p.cpu()
	if err != nil {
		return sample{}, err
	}
	resident, err := residentKiB(p.server.pid())
	if err != nil {
		return sample{}, err
	}
	if r.NotOK > 0 || r.Wrong > 0 {
		b.progress("%s: %d answers not 200, %d wrong; the first: %s", p.name, r.NotOK, r.Wrong, r.Sample)
	}
	each := func(d time.Duration) float64 { return d.Seconds() * microsASecond / float64(max(r.Sent, 1)) }
	return sample{
		perSecond: r.PerSecond(), p50: r.Latency.Quantile(0.5), p99: r.Latency.Quantile(0.99),
		server: each(server - serverBefore), database: each(database - databaseBefore), generator: each(own - ownBefore),
		notOK: r.NotOK, wrong: r.Wrong, residentMB: float64(resident) / 1024,
	}, nil
}

// rounds measures all peers in turn, so many times over, so that whatever else the machine does meets them all. The order
// turns with the rounds.
func (b *bench) rounds(ctx context.Context, peers []*peer, count, connections int, duration time.Duration) (map[string][]sample, error) {
	all := map[string][]sample{}
	for round := range count {
		for i := range peers {
			p := peers[(i+round)%len(peers)]
			s, err := b.measure(ctx, p, connections, duration)
			if err != nil {
				return nil, err
			}
			all[p.name] = append(all[p.name], s)
			b.progress("%3d connections, round %d/%d: %-22s %7.0f/s  p50 %s  p99 %s  cpu/request: server %.1f µs, database %.1f µs, generator %.1f µs",
				connections, round+1, count, p.name, s.perSecond, s.p50.Round(time.Microsecond), s.p99.Round(time.Microsecond),
				s.server, s.database, s.generator)
		}
	}
	return all, nil
}

// ready verifies the answers of all peers and warms them up.
func (b *bench) ready(ctx context.Context, peers []*peer, connections int, warm time.Duration) error {
	for _, p := range peers {
		if err := p.verify(ctx, b.first(), b.now); err != nil {
			return fmt.Errorf("the answers of a peer are wrong, nothing is measured: %w", err)
		}
		if _, err := b.measure(ctx, p, connections, warm); err != nil {
			return err
		}
		b.progress("%s: %d answers checked, warm", p.name, len(p.templates))
	}
	return nil
}

// median of one value of all samples; of an even number the mean of the two in the middle.
func median(samples []sample, value func(sample) float64) float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, value(s))
	}
	return middle(values)
}

func middle(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	half := len(values) / 2
	if len(values)%2 == 1 {
		return values[half]
	}
	return (values[half-1] + values[half]) / 2
}

func throughput(s sample) float64 { return s.perSecond }

func residentMB(s sample) float64 { return s.residentMB }

func serverCPU(s sample) float64 { return s.server }

// ratio is the median, over the rounds, of the throughput of a in terms of b's in the same round.
func ratio(a, b []sample) float64 { return ratioOf(a, b, throughput) }

// ratioOf is the median, over the rounds, of a value of a in terms of b's in the same round.
func ratioOf(a, b []sample, value func(sample) float64) float64 {
	var values []float64
	for i := range min(len(a), len(b)) {
		values = append(values, value(a[i])/value(b[i]))
	}
	return middle(values)
}
