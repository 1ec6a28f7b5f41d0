package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/writ-dev/writ/internal/gov"
)

// Metrics are the counters of a server, in a registry of its own.
type Metrics struct {
	Registry  *prometheus.Registry
	requests  *prometheus.HistogramVec
	decisions *prometheus.CounterVec
	watched   *prometheus.GaugeVec
}

// NewMetrics registers the counters.
func NewMetrics() *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "writ_http_request_seconds", Help: "Time to answer a request, by route and status.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
		}, []string{"route", "status"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "writ_decisions_total", Help: "Recorded decisions, by outcome and by what observe mode let pass.",
		}, []string{"outcome", "would"}),
		watched: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "writ_detect_lag_entries", Help: "Entries that the detectors have not looked at, by ledger; of the node that runs them.",
		}, []string{"ledger"}),
	}
	m.Registry.MustRegister(m.requests, m.decisions, m.watched, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) served(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
}

func (m *Metrics) decided(outcome, would gov.Outcome) {
	m.decisions.WithLabelValues(string(outcome), string(would)).Inc()
}

// Watched says how many entries the detectors have not looked at.
func (m *Metrics) Watched(ledger gov.Environment, lag int64) {
	m.watched.WithLabelValues(string(ledger)).Set(float64(lag))
}

func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{})
}
