package app

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
)

// ledgerStats shows the counters of every open ledger when they are asked for.
type ledgerStats struct {
	a       *App
	size    *prometheus.Desc
	indexed *prometheus.Desc
	entries *prometheus.Desc
	commits *prometheus.Desc
	stale   *prometheus.Desc
	failed  *prometheus.Desc
}

func (a *App) registerStats() {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"ledger"}, nil)
	}
	a.metrics.Registry.MustRegister(&ledgerStats{
		a:       a,
		size:    desc("writ_ledger_size", "Entries in the ledger."),
		indexed: desc("writ_ledger_indexed", "Entries that the query index covers; the rest is its lag."),
		entries: desc("writ_ledger_appended_total", "Entries that this node appended."),
		commits: desc("writ_ledger_commits_total", "Commits that this node made."),
		stale:   desc("writ_ledger_stale_total", "Records that were judged again because state moved on."),
		failed:  desc("writ_ledger_failed_total", "Commits that failed."),
	})
}

// Describe lists what Collect gives.
func (s *ledgerStats) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.size, s.indexed, s.entries, s.commits, s.stale, s.failed} {
		ch <- d
	}
}

// collectMax bounds how long a scrape waits for the store.
const collectMax = 2 * time.Second

// Collect reads the counters.
func (s *ledgerStats) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectMax)
	defer cancel()
	for _, name := range s.a.environments.Names() {
		env, ok := s.a.environments.Environment(name)
		if !ok {
			continue
		}
		s.collect(ctx, ch, env.Ledger)
	}
}

func (s *ledgerStats) collect(ctx context.Context, ch chan<- prometheus.Metric, l *ledger.Ledger) {
	name := string(l.Name())
	counter := func(d *prometheus.Desc, v int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), name)
	}
	stats := l.Stats()
	counter(s.entries, stats.Entries.Load())
	counter(s.commits, stats.Commits.Load())
	counter(s.stale, stats.Stale.Load())
	counter(s.failed, stats.Failed.Load())
	if head, err := l.Head(ctx); err == nil {
		ch <- prometheus.MustNewConstMetric(s.size, prometheus.GaugeValue, float64(head.Size), name)
	}
	if indexed, err := s.a.store.Indexed(ctx, l.Name()); err == nil {
		ch <- prometheus.MustNewConstMetric(s.indexed, prometheus.GaugeValue, float64(indexed), name)
	}
}

// scrubFailure says which ledger does not verify, if one does not.
func (a *App) scrubFailure() error {
	var err error
	a.scrubs.Range(func(name, what any) bool {
		err = fmt.Errorf("ledger %s does not verify: %s", name.(gov.Environment), what.(string))
		return false
	})
	return err
}
