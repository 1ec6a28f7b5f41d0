//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/detect"
	"github.com/writ-dev/writ/internal/gov"
)

// What is simulated. Each agent calls, and is denied, by two processes of their own: a Poisson process whose rate is the agent's own,
// times that of the hour of the week, times a factor that is drawn anew for each hour.
const (
	rateOrgs      = 5 // each has a profile of the week, and detectors that see all of its agents
	rateAgents    = 20
	rateLearn     = 4 // weeks of history before anything is measured
	rateWeeks     = 8 // weeks that are measured
	rateCalls     = 2.0
	rateDenied    = 0.2 // an hour, on average over the week and the agents, as the calls above
	rateSpread    = 0.5 // standard deviation of the logarithm of the agents' own rates
	rateShape     = 3.0 // of the gamma distribution of the hours' factors: calls of an hour vary by mean²/3 beyond chance
	rateEvery     = 2   // weeks from one spike of an agent to the next
	hoursOfWeek   = 168
	windowSeconds = 600
	hourSeconds   = 3600
	rateSeed      = 20261128
)

// spikeKind is a kind of spike: so many times the usual rate for so long.
type spikeKind struct {
	times float64
	hours int
}

// moment is an event of an agent; seconds are since the beginning.
type moment struct {
	at     int64
	agent  int
	denied bool
}

// spell is a spike of an agent.
type spell struct {
	agent    int
	from, to int64
}

// simulation is what happened in one organization.
type simulation struct {
	moments []moment
	spells  []spell
}

// simulate makes the events of an organization. Spikes are of calls or of denials; they begin when a usual event might, so by day more
// often than by night.
func simulate(org uint64, kind spikeKind, ofDenied bool) simulation {
	r := rand.New(rand.NewPCG(rateSeed, org))
	var out simulation
	week := weekOf(r)
	for agent := range rateAgents {
		own := math.Exp(rateSpread*r.NormFloat64() - rateSpread*rateSpread/2)
		follows := 0.6 + 0.4*r.Float64() // how far the agent keeps the organization's hours
		spells := spellsOf(rand.New(rand.NewPCG(rateSeed+1, org*rateAgents+uint64(agent))), week, agent, kind)
		for hour := range (rateLearn + rateWeeks) * hoursOfWeek {
			season := own * (follows*week[hour%hoursOfWeek] + 1 - follows)
			for _, denied := range []bool{false, true} {
				mean := rateCalls - rateDenied
				if denied {
					mean = rateDenied
				}
				mean *= season * gamma(r, rateShape) / rateShape
				out.hour(r, moment{int64(hour) * hourSeconds, agent, denied}, mean)
				if kind.times > 1 && denied == ofDenied {
					out.extra(r, spells, moment{int64(hour) * hourSeconds, agent, denied}, mean*(kind.times-1))
				}
			}
		}
		if kind.times > 1 {
			out.spells = append(out.spells, spells...)
		}
	}
	slices.SortStableFunc(out.moments, func(a, b moment) int { return int(a.at - b.at) })
	return out
}

// weekOf is how busy each hour of an organization's week is: 1 on average.
func weekOf(r *rand.Rand) [hoursOfWeek]float64 {
	var week [hoursOfWeek]float64
	opens, sum := 7+r.IntN(3), 0.0
	for h := range week {
		day, hour := h/24, h%24
		week[h] = 0.15
		if day < 5 && hour >= opens && hour < opens+9 {
			week[h] = 1 - 0.3*float64(r.IntN(2))
		}
		sum += week[h]
	}
	for h := range week {
		week[h] *= hoursOfWeek / sum
	}
	return week
}

// spellsOf are the spikes of an agent: one in each rateEvery weeks of those that are measured.
func spellsOf(r *rand.Rand, week [hoursOfWeek]float64, agent int, kind spikeKind) []spell {
	var out []spell
	busiest := slices.Max(week[:])
	for at := rateLearn; at < rateLearn+rateWeeks; at += rateEvery {
		for {
			hour := at*hoursOfWeek + r.IntN(rateEvery*hoursOfWeek-kind.hours-1)
			if r.Float64()*busiest > week[hour%hoursOfWeek] {
				continue
			}
			from := int64(hour)*hourSeconds + r.Int64N(hourSeconds)
			out = append(out, spell{agent, from, from + int64(kind.hours)*hourSeconds})
			break
		}
	}
	return out
}

// hour adds the events of an hour.
func (s *simulation) hour(r *rand.Rand, m moment, mean float64) {
	for range poisson(r, mean) {
		e := m
		e.at += r.Int64N(hourSeconds)
		s.moments = append(s.moments, e)
	}
}

// extra adds those events of a busier hour that are in a spike.
func (s *simulation) extra(r *rand.Rand, spells []spell, m moment, mean float64) {
	for _, p := range spells {
		if p.to <= m.at || p.from >= m.at+hourSeconds {
			continue
		}
		for range poisson(r, mean) {
			e := m
			if e.at += r.Int64N(hourSeconds); e.at >= p.from && e.at < p.to {
				s.moments = append(s.moments, e)
			}
		}
	}
}

func poisson(r *rand.Rand, mean float64) int {
	n := 0
	for at := r.ExpFloat64(); at < mean; at += r.ExpFloat64() {
		n++
	}
	return n
}

// gamma draws from a gamma distribution of a whole shape and scale 1.
func gamma(r *rand.Rand, shape float64) float64 {
	sum := 0.0
	for range int(shape) {
		sum += r.ExpFloat64()
	}
	return sum
}

// alert is that something was said of an agent.
type alert struct {
	at    int64
	agent int
}

// shipped lets the detectors as they are look at the entries of the events.
func shipped(s simulation) (calls, denied []alert, err error) {
	begin := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) // a Monday
	state, placer := detect.New(), canon.NewPlacer()
	var room []byte
	for i, m := range s.moments {
		d := canon.Decision{
			Agent: gov.AgentID(fmt.Sprintf("agent-%02d", m.agent)), Principal: canon.PrincipalRef{Type: gov.PrincipalService, Ref: "bench", Assurance: gov.AssuranceBound},
			Tool: "bench/tool", Mode: gov.ModeEnforce, Outcome: gov.OutcomeAllow,
		}
		if m.denied {
			d.Outcome = gov.OutcomeDeny
		}
		draft, err := canon.NewDraft(environment, canon.KindDecision, canon.Nonce{}, canon.Actor{Type: canon.ActorAgent, ID: string(d.Agent)}, d)
		if err != nil {
			return nil, nil, err
		}
		room = placer.Append(room[:0], draft, int64(i), begin.Add(time.Duration(m.at)*time.Second))
		signals, err := state.Read(int64(i), room, nil)
		if err != nil {
			return nil, nil, err
		}
		for _, g := range signals {
			switch g.Detector {
			case "unusual_rate":
				calls = append(calls, alert{m.at, m.agent})
			case "blocked_spike":
				denied = append(denied, alert{m.at, m.agent})
			}
		}
	}
	return calls, denied, nil
}

// noticed is how many spikes have an alert before they are over, or so many seconds later.
func (s simulation) noticed(alerts []alert, late int64) int {
	n := 0
	for _, p := range s.spells {
		if slices.ContainsFunc(alerts, func(a alert) bool { return a.agent == p.agent && a.at >= p.from && a.at < p.to+late }) {
			n++
		}
	}
	return n
}

// spikeKinds are those that are tried.
func spikeKinds() []spikeKind {
	return []spikeKind{{5, 1}, {10, 1}, {5, 6}, {10, 6}, {5, 24}, {10, 24}}
}

// contest is the detectors that are shipped beside others, on the same events.
type contest struct {
	denied     bool // it is denials that are counted, not calls
	quiet      []simulation
	early      int              // alerts of the detectors in the weeks of history
	wrong      int              // and in those that are measured, when nothing was wrong
	thresholds []float64        // of the scorers, for as many
	found      map[string][]int // of each kind of spike, by name
	spikes     []int
}

const shippedName = "**Writ**"

func newContest(quiet []simulation, denied bool) (*contest, error) {
	c := &contest{denied: denied, quiet: quiet, found: map[string][]int{}}
	for _, s := range quiet {
		alerts, err := c.shipped(s)
		if err != nil {
			return nil, err
		}
		for _, a := range alerts {
			if a.at < rateLearn*hoursOfWeek*hourSeconds {
				c.early++
			} else {
				c.wrong++
			}
		}
	}
	for _, other := range scorers() {
		var all [][][]float64
		for _, s := range quiet {
			all = append(all, other.scores(s, denied))
		}
		c.thresholds = append(c.thresholds, other.threshold(all, c.wrong))
	}
	return c, nil
}

// shipped are the alerts of the detectors as they are.
func (c *contest) shipped(s simulation) ([]alert, error) {
	calls, denied, err := shipped(s)
	if c.denied {
		return denied, err
	}
	return calls, err
}

// try counts who notices spikes of a kind.
func (c *contest) try(kind spikeKind) error {
	spikes := 0
	found := map[string]int{}
	for org := range uint64(rateOrgs) {
		s := simulate(org, kind, c.denied)
		alerts, err := c.shipped(s)
		if err != nil {
			return err
		}
		spikes += len(s.spells)
		found[shippedName] += s.noticed(alerts, 0)
		for i, other := range scorers() {
			found[other.name] += s.noticed(other.alerts(other.scores(s, c.denied), c.thresholds[i]), hourSeconds)
		}
	}
	for name, n := range found {
		c.found[name] = append(c.found[name], n)
	}
	c.spikes = append(c.spikes, spikes)
	return nil
}

// runRates writes what the detectors of rates are worth.
func (b *bench) runRates(ctx context.Context) error {
	var quiet []simulation
	for org := range uint64(rateOrgs) {
		quiet = append(quiet, simulate(org, spikeKind{}, false))
	}
	var t strings.Builder
	t.WriteString(ratesHead())
	for _, denied := range []bool{false, true} {
		c, err := newContest(quiet, denied)
		for _, kind := range spikeKinds() {
			if err = errors.Join(err, ctx.Err()); err == nil {
				err = c.try(kind)
			}
		}
		if err != nil {
			return err
		}
		t.WriteString(c.table())
		b.progress("%s", c.table())
	}
	if err := os.WriteFile(b.detectors, []byte(t.String()), 0o644); err != nil {
		return fmt.Errorf("detectors: %w", err)
	}
	return nil
}

func (c *contest) table() string {
	var t strings.Builder
	name, rate := "Calls, `unusual_rate`", rateCalls
	if c.denied {
		name, rate = "Denials, `blocked_spike`", rateDenied
	}
	weeks := float64(rateOrgs * rateAgents)
	fmt.Fprintf(&t, "\n## %s: %g an hour\n\nFalse alerts: %.3f for each agent and week with a history; %.3f in its first %d weeks, of the organization too.\n\n| |", name, rate,
		float64(c.wrong)/(weeks*rateWeeks), float64(c.early)/(weeks*rateLearn), rateLearn)
	for _, kind := range spikeKinds() {
		fmt.Fprintf(&t, " ×%g, %d h |", kind.times, kind.hours)
	}
	t.WriteString("\n|---|" + strings.Repeat("---|", len(spikeKinds())) + "\n")
	names := []string{shippedName}
	for _, other := range scorers() {
		names = append(names, other.name)
	}
	for _, name := range names {
		fmt.Fprintf(&t, "| %s |", name)
		for i, n := range c.found[name] {
			fmt.Fprintf(&t, " %.2f |", float64(n)/float64(c.spikes[i]))
		}
		t.WriteString("\n")
	}
	return t.String()
}

func ratesHead() string {
	return fmt.Sprintf(`# Detectors of rates

Written by `+"`go run ./bench -rates`"+`, which gives the same numbers each time. They are of simulated agents: what yours do is for `+"`writ detectors`"+` to say.

%d organizations of %d agents, %d weeks of history and %d that are measured. An agent calls %g times an hour on average, and is denied %g times an hour; its own rate is
log-normal around that (standard deviation of the logarithm %g). Organizations work nine hours on five days, with an hour here and there less busy, and at 15 %% of that otherwise; agents keep these
hours to between 60 and 100 %%. Each hour's rate is multiplied by a factor of a gamma distribution of shape %g, drawn apart for calls and denials.

Spikes are five or ten times the agent's rate of that time, for an hour, six or a day, one in %d weeks of each agent; they begin when a call might, so more often by day. One is noticed when there is
an alert for that agent before it is over. The entries of these events go through the detectors as they are, with the thresholds that are shipped (%s). The others count hours, or the
24 hours before each; they compare with the four weeks before the day, and have the thresholds at which they are wrong exactly as often as the detectors. Their alerts come when an hour is over, so they have an hour more.
`, rateOrgs, rateAgents, rateLearn, rateWeeks, rateCalls, rateDenied, rateSpread, rateShape, rateEvery, shippedParams())
}

// shippedParams are the thresholds of the two detectors.
func shippedParams() string {
	var parts []string
	for _, spec := range bundle.DetectorSpecs() {
		if spec.ID != "unusual_rate" && spec.ID != "blocked_spike" {
			continue
		}
		var params []string
		for _, p := range spec.Params {
			params = append(params, fmt.Sprintf("%s %d", p.Name, p.Default))
		}
		parts = append(parts, fmt.Sprintf("%s: %s", spec.ID, strings.Join(params, ", ")))
	}
	return strings.Join(parts, "; ")
}
