//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/bench/load"
)

const (
	fillConnections  = 256
	fillChunk        = 100_000
	fillChunkMax     = 5 * time.Minute
	queriesEach      = 300
	queryLimit       = 50
	queryAnswerMax   = 4 << 20
	queryMax         = 30 * time.Second
	indexedPoll      = 500 * time.Millisecond
	indexedMax       = 10 * time.Minute
	querySeed        = 20261123
	windowFractionOf = 12 // a window is one part in twelve of the time that the ledger covers, as a month is of a year
)

// page is an answer of GET /v1/decisions.
type page struct {
	Decisions       []json.RawMessage `json:"decisions"`
	CompleteThrough int64             `json:"complete_through"`
}

// runBig measures Writ at the start and with many entries: throughput, memory, and the queries people make.
func (b *bench) runBig(ctx context.Context) error {
	if _, err := b.addEcho(ctx); err != nil {
		return err
	}
	writ, err := b.addWrit(ctx, policiesFew, b.store)
	if err != nil {
		return err
	}
	if err := b.ready(ctx, b.peers, quickConnections, warmDuration); err != nil {
		return err
	}
	begin := b.now()
	before, err := b.rounds(ctx, b.peers, b.options.rounds, quickConnections, b.duration)
	if err != nil {
		return err
	}
	rate, err := b.fill(ctx, writ)
	if err != nil {
		return err
	}
	lag, err := b.awaitIndexed(ctx, writ)
	if err != nil {
		return err
	}
	after, err := b.rounds(ctx, b.peers, b.options.rounds, quickConnections, b.duration)
	if err != nil {
		return err
	}
	if _, err := b.awaitIndexed(ctx, writ); err != nil {
		return err
	}
	queries, err := b.queries(ctx, writ, begin, b.now())
	if err != nil {
		return err
	}
	text := b.machine(ctx) + b.bigTable(writ, before, after, rate, lag) + queries
	b.progress("\n%s", text)
	return writeSection(b.results, fmt.Sprintf("%d entries, %s", b.entries, b.store), text)
}

// fill makes decisions through the HTTP API until there are enough. It returns how many a second.
func (b *bench) fill(ctx context.Context, p *peer) (perSecond float64, err error) {
	begin := b.now()
	for done := int64(0); done < b.entries; {
		r, err := load.Run(ctx, load.Config{
			Address: p.address, Templates: p.templates, Connections: fillConnections, Duration: fillChunkMax,
			Requests: min(fillChunk, b.entries-done), First: b.first(), Now: b.now,
		})
		if err != nil {
			return 0, fmt.Errorf("fill: %w", err)
		}
		if r.NotOK > 0 || r.Wrong > 0 {
			return 0, fmt.Errorf("fill: %d answers not 200, %d wrong: %s", r.NotOK, r.Wrong, r.Sample)
		}
		done += r.Requests
		resident, err := residentKiB(p.server.pid())
		if err != nil {
			return 0, err
		}
		b.progress("filled %d of %d (%.0f %%), %.0f/s, RSS %d MB", done, b.entries, 100*float64(done)/float64(b.entries),
			r.PerSecond(), resident/1024)
	}
	return float64(b.entries) / b.now().Sub(begin).Seconds(), nil
}

// awaitIndexed waits until a list is complete through the last entry that has been answered, and returns for how long.
func (b *bench) awaitIndexed(ctx context.Context, p *peer) (time.Duration, error) {
	_, body, err := load.Exchange(ctx, p.address, p.templates[0], b.first(), b.now)
	if err != nil {
		return 0, err
	}
	var last writAnswer
	if err := json.Unmarshal(body, &last); err != nil {
		return 0, fmt.Errorf("decision: %w", err)
	}
	begin := b.now()
	tick := time.NewTicker(indexedPoll)
	defer tick.Stop()
	for {
		got, _, err := b.query(ctx, p, url.Values{"limit": {"1"}})
		if err != nil {
			return 0, err
		}
		waited := b.now().Sub(begin)
		if got.CompleteThrough >= last.Receipt.Index {
			return waited, nil
		}
		if waited > indexedMax {
			return 0, fmt.Errorf("lists are complete through %d, want %d, after %s", got.CompleteThrough, last.Receipt.Index, waited)
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-tick.C:
		}
	}
}

func (b *bench) bigTable(writ *peer, before, after map[string][]sample, rate float64, lag time.Duration) string {
	var t strings.Builder
	fmt.Fprintf(&t, "- filled through the HTTP API with %d connections at %.0f decisions/s; lists were complete %s after the last answer\n",
		fillConnections, rate, lag.Round(time.Millisecond))
	w, e := before[writ.name], before["echo"]
	w2, e2 := after[writ.name], after["echo"]
	fmt.Fprintf(&t, "\n| | at the start | with %d entries |\n|---|---|---|\n", b.entries)
	fmt.Fprintf(&t, "| answers/s | %.0f | %.0f |\n| × echo | %.3f | %.3f |\n| p99 ms | %.2f | %.2f |\n| RSS MB | %.0f | %.0f |\n",
		median(w, throughput), median(w2, throughput), ratio(w, e), ratio(w2, e2), median(w, millis99), median(w2, millis99),
		median(w, residentMB), median(w2, residentMB))
	fmt.Fprintf(&t, "\nThroughput relative to the echo fell by a factor of %.2f.\n", ratio(w, e)/ratio(w2, e2))
	return t.String()
}

// filters are the questions that people ask, each with a value that changes from query to query.
func filters(random *rand.Rand) map[string]url.Values {
	tool := random.IntN(toolCount(policiesFew))
	return map[string]url.Values{
		"principal":       {"principal": {"user:" + userID(random.IntN(usersCount))}},
		"tool":            {"tool": {toolName(tool)}},
		"outcome=deny":    {"outcome": {"deny"}},
		"outcome=allow":   {"outcome": {"allow"}},
		"policy":          {"policy": {"staff-read-only"}},
		"policy (deny)":   {"policy": {"currency-000"}},
		"principal, tool": {"principal": {"user:" + userID(random.IntN(usersCount))}, "tool": {toolName(tool)}},
		"none":            {},
	}
}

// queries asks for the last 50 decisions in a window, many times for each filter.
func (b *bench) queries(ctx context.Context, p *peer, from, to time.Time) (string, error) {
	random := rand.New(rand.NewPCG(querySeed, 0))
	window := to.Sub(from) / windowFractionOf
	latency, found := map[string]*load.Histogram{}, map[string]int{}
	var names []string
	for range queriesEach {
		start := from.Add(time.Duration(random.Int64N(int64(to.Sub(from) - window))))
		for name, q := range filters(random) {
			q.Set("from", start.UTC().Format(time.RFC3339Nano))
			q.Set("to", start.Add(window).UTC().Format(time.RFC3339Nano))
			q.Set("limit", fmt.Sprint(queryLimit))
			got, took, err := b.query(ctx, p, q)
			if err != nil {
				return "", err
			}
			if latency[name] == nil {
				latency[name] = &load.Histogram{}
				names = append(names, name)
			}
			latency[name].Add(took)
			found[name] += len(got.Decisions)
		}
	}
	var t strings.Builder
	fmt.Fprintf(&t, "\nLast %d decisions in a window of %s, %d times each, one after another:\n\n| filter | p50 ms | p99 ms | rows |\n|---|---|---|---|\n",
		queryLimit, window.Round(time.Second), queriesEach)
	slices.Sort(names)
	for _, name := range names {
		h := latency[name]
		fmt.Fprintf(&t, "| %s | %.2f | %.2f | %.1f |\n", name, h.Quantile(0.5).Seconds()*1e3, h.Quantile(0.99).Seconds()*1e3,
			float64(found[name])/queriesEach)
	}
	return t.String(), nil
}

// query asks once, as the administrator.
func (b *bench) query(ctx context.Context, p *peer, q url.Values) (page, time.Duration, error) {
	q.Set("environment", environment)
	ctx, cancel := context.WithTimeout(ctx, queryMax)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/v1/decisions?"+q.Encode(), nil)
	if err != nil {
		return page{}, 0, fmt.Errorf("query: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+p.admin)
	begin := b.now()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return page{}, 0, fmt.Errorf("query: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, queryAnswerMax))
	took := b.now().Sub(begin)
	if err != nil {
		return page{}, 0, fmt.Errorf("query: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return page{}, 0, fmt.Errorf("query %s: status %d: %.300s", q.Encode(), response.StatusCode, body)
	}
	var got page
	if err := json.Unmarshal(body, &got); err != nil {
		return page{}, 0, fmt.Errorf("query: %w", err)
	}
	return got, took, nil
}
