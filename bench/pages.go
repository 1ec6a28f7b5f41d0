//go:build linux

package main

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/writ-dev/writ/bench/load"
	"github.com/writ-dev/writ/internal/puppet"
)

const (
	pagePending = 10_000
	pagesEach   = 100
	gatedTool   = 2 // of category money: over 500 a person of finance is asked
	gatedAmount = 600
)

var invitationRE = regexp.MustCompile(`http://localhost:\d+/console/enrol\?\S+`)

// runPages measures the console's pages, on the server, with many decisions and many requests for approval that wait.
func (b *bench) runPages(ctx context.Context) error {
	writ, err := b.addWrit(ctx, policiesFew, b.store)
	if err != nil {
		return err
	}
	rate, err := b.fill(ctx, writ)
	if err != nil {
		return err
	}
	gate, err := writ.gated()
	if err != nil {
		return err
	}
	waits, err := load.Run(ctx, load.Config{
		Address: writ.address, Templates: []load.Template{gate}, Connections: fillConnections, Duration: fillChunkMax, Requests: pagePending, First: b.first(), Now: b.now,
	})
	if err != nil {
		return err
	}
	if waits.NotOK+waits.Wrong > 0 {
		return fmt.Errorf("fill: %d of the gated calls did not wait: %s", waits.NotOK+waits.Wrong, waits.Sample)
	}
	if _, err := b.awaitIndexed(ctx, writ); err != nil {
		return err
	}
	visitor, err := b.visitor(ctx, writ)
	if err != nil {
		return err
	}
	table, err := b.pages(ctx, visitor)
	if err != nil {
		return err
	}
	text := b.machine(ctx) + fmt.Sprintf("- %d decisions at %.0f/s, then %d calls that wait for approval at %.0f/s\n", b.entries, rate, pagePending, waits.PerSecond()) + table
	b.progress("\n%s", text)
	return writeSection(b.results, fmt.Sprintf("Pages of the console, %d decisions, %d pending approvals, %s", b.entries, pagePending, b.store), text)
}

// gated is a call that a policy asks a person about.
func (p *peer) gated() (load.Template, error) {
	v := variant{call: call{tool: gatedTool, amount: gatedAmount, currency: "EUR"}}
	return load.NewTemplate("/v1/decisions", map[string]string{"Authorization": "Bearer " + p.key}, []byte(v.body()), `"outcome":"require_approval"`)
}

// visitor is an administrator who is also asked to approve.
func (b *bench) visitor(ctx context.Context, p *peer) (*puppet.Person, error) {
	said, err := p.writ(ctx, p.binary, "people", "invite", "user:"+userID(0), "--role", "admin")
	if err != nil {
		return nil, err
	}
	return puppet.Enrol(ctx, invitationRE.FindString(said))
}

var (
	requestRE  = regexp.MustCompile(`/console/approvals/(apr_[0-9a-z]+)`)
	decisionRE = regexp.MustCompile(`/console/decisions/(dec_[0-9a-z]+)`)
	incidentRE = regexp.MustCompile(`/console/incidents/(inc_[0-9a-z]+)`)
)

// pages reads every page many times, one after another.
func (b *bench) pages(ctx context.Context, visitor *puppet.Person) (string, error) {
	paths := map[string]string{
		"overview": "/console/", "decisions": "/console/decisions", "decisions: denied": "/console/decisions?outcome=deny",
		"decisions: a tool": "/console/decisions?tool=" + url.QueryEscape(toolName(1)), "decisions: a principal": "/console/decisions?principal=user%3A" + userID(7),
		"approvals": "/console/approvals", "changes": "/console/changes", "versions": "/console/versions", "agents": "/console/agents", "tools": "/console/tools",
		"approvals: statistics": "/console/approvals/stats", "delegations": "/console/delegations", "limits": "/console/limits",
		"incidents": "/console/incidents", "signals": "/console/signals", "detectors": "/console/detectors", "exercises": "/console/exercises",
		"containment": "/console/containment", "containment: stop": "/console/containment/stop",
		"ledger": "/console/ledger", "people": "/console/people", "credentials": "/console/credentials", "me": "/console/me",
	}
	for name, re := range map[string]*regexp.Regexp{"approvals": requestRE, "decisions": decisionRE, "incidents": incidentRE} {
		page, err := visitor.Get(ctx, paths[name])
		if err != nil {
			return "", err
		}
		one := re.FindString(string(page))
		if one == "" {
			return "", fmt.Errorf("the page of %s shows none", name)
		}
		paths["one of the "+name] = one
	}
	names := make([]string, 0, len(paths))
	for name := range paths {
		names = append(names, name)
	}
	slices.Sort(names)
	var t strings.Builder
	fmt.Fprintf(&t, "\nEach page %d times, one after another, over one connection:\n\n| page | p50 ms | p95 ms | p99 ms |\n|---|---|---|---|\n", pagesEach)
	for _, name := range names {
		h := &load.Histogram{}
		for range pagesEach {
			began := b.now()
			if _, err := visitor.Get(ctx, paths[name]); err != nil {
				return "", err
			}
			h.Add(b.now().Sub(began))
		}
		ms := func(q float64) float64 { return h.Quantile(q).Seconds() * 1e3 }
		fmt.Fprintf(&t, "| %s | %.1f | %.1f | %.1f |\n", name, ms(0.5), ms(0.95), ms(0.99))
	}
	return t.String(), nil
}
