package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

type gamedayCmd struct {
	remote
	Scenario    []string      `help:"G1 to G8, or all." default:"all"`
	Environment string        `short:"e" help:"Environment to exercise." default:"prod"`
	Plan        string        `help:"File that says which agents and calls to use, as --print-plan writes it (default: those of examples/acme)." type:"existingfile"`
	PrintPlan   bool          `help:"Print the plan and end."`
	Wait        time.Duration `help:"How long a detector may take." default:"2m"`
	Packet      string        `help:"Directory for the packet: what was done, when, and the evidence; it must not exist." type:"path"`
	JSON        bool          `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (gamedayCmd) Help() string {
	return `Injects what goes wrong through the path that real calls take, waits for the detectors, stops it, measures, and files what came of it.
What the detectors find meanwhile is labelled an exercise. No tool runs: decisions are asked for and results reported. Keys, people and
switches that it makes are revoked, removed and released at the end. It takes the administrator's token.

G1 indirect prompt injection    G5 policy weakened outside the workflow (partly on a throwaway server)
G2 spike of denied calls        G6 the ledger's disk is full (on a throwaway server)
G3 cost runaway                 G7 a byte of a copy of the records is changed
G4 approver account misused     G8 kill switch under load

Examples:
  writ gameday --scenario all --packet gameday-2026-q4
  writ gameday --scenario G1,G8 --json
  writ gameday --print-plan > plan.json && writ gameday --plan plan.json

Exit status: 0 every hypothesis held, 1 one did not (and is named), 2 it could not be carried out.`
}

// scenario is one of the game day's.
type scenario struct {
	id, title  string
	hypothesis string
	injected   string
	agents     func(p gamedayPlan) []string
	of         []string // detectors whose signals about no agent belong to it
	expected   []string // detectors that have to notice here
	run        func(ctx context.Context, d *drill) error
}

// gamedayMinutes ends an exercise whose result is never filed.
const gamedayMinutes = 15

// gameday is one run of the command.
type gameday struct {
	gamedayCmd
	plan gamedayPlan
	s    std
	run  string // tells this run's sessions and people from any other's
}

// Run exercises.
func (c gamedayCmd) Run(ctx context.Context, s std) error {
	plan, err := readPlan(c.Plan)
	if err != nil {
		return err
	}
	if c.PrintPlan {
		data, err := json.Marshal(plan)
		if err != nil {
			return err
		}
		return printJSON(s.out, data)
	}
	chosen, err := chosenScenarios(c.Scenario)
	if err != nil {
		return err
	}
	if c.AdminToken == "" {
		return errors.New("set WRIT_ADMIN_TOKEN: a game day issues keys and revokes them")
	}
	g := &gameday{gamedayCmd: c, plan: plan, s: s, run: strings.ToLower(rand.Text())[:8]}
	var done []*drill
	for _, sc := range chosen {
		d, err := g.exercise(ctx, sc)
		if err != nil {
			return fmt.Errorf("%s: %w", sc.id, err)
		}
		done = append(done, d)
	}
	return g.report(ctx, done)
}

func chosenScenarios(ids []string) ([]scenario, error) {
	all := scenarios()
	if slices.Contains(ids, "all") {
		return all, nil
	}
	var out []scenario
	for _, id := range ids {
		i := slices.IndexFunc(all, func(sc scenario) bool { return strings.EqualFold(sc.id, id) })
		if i < 0 {
			return nil, fmt.Errorf("there is no scenario %q: write G1 to G8, or all", id)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// scenarios are those of a game day, in their order.
func scenarios() []scenario {
	return []scenario{injection(), spike(), runaway(), misusedAccount(), weakened(), fullDisk(), tampered(), underLoad()}
}

// exercise begins an exercise, plays it, cleans up, whatever came of it, and files the result.
func (g *gameday) exercise(ctx context.Context, sc scenario) (*drill, error) {
	d := &drill{gameday: g, scenario: sc, session: "gameday-" + g.run + "-" + strings.ToLower(sc.id)}
	d.Result = drillResult{Hypothesis: sc.hypothesis, Injected: sc.injected, Expected: append([]string{}, sc.expected...), Held: true, Refs: []string{}, Moments: []drillMoment{}}
	fmt.Fprintf(g.s.err, "%s %s\n", sc.id, sc.title)
	ask := map[string]any{"environment": g.Environment, "scenario": sc.id, "agents": sc.agents(g.plan), "detectors": append([]string{}, sc.of...), "minutes": gamedayMinutes}
	if _, err := g.send(ctx, g.AdminToken, http.MethodPost, "/v1/exercises", ask, &d.Exercise); err != nil {
		return nil, err
	}
	if err := sc.run(ctx, d); err != nil {
		d.missed("It could not be carried out: %v", err)
	}
	d.cleanUp(ctx)
	if d.Result.Observed == "" {
		d.Result.Observed = "It held."
	}
	d.Result.Observed = clipped(d.Result.Observed, filedBytesMax)
	slices.Sort(d.Result.Refs)
	d.Result.Refs = slices.Compact(d.Result.Refs)
	d.Result.Refs = d.Result.Refs[:min(len(d.Result.Refs), filedRefsMax)]
	filing, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeMax)
	defer cancel()
	if _, err := g.send(filing, g.AdminToken, http.MethodPost, "/v1/exercises/"+d.Exercise.ID+"/results", d.Result, &d.Exercise); err != nil {
		return nil, fmt.Errorf("file the result: %w", err)
	}
	fmt.Fprintf(g.s.err, "  %s: %s\n", d.verdict(), d.Result.Observed)
	return d, ctx.Err()
}

// Bounds of what is filed.
const (
	filedBytesMax = 1900
	filedRefsMax  = 100
)

func clipped(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// report prints the table or JSON, and writes the packet.
func (g *gameday) report(ctx context.Context, done []*drill) error {
	if g.Packet != "" {
		if err := g.packet(ctx, done); err != nil {
			return fmt.Errorf("packet: %w", err)
		}
	}
	if err := g.print(done); err != nil {
		return err
	}
	if slices.ContainsFunc(done, func(d *drill) bool { return !d.Result.Held }) {
		return exitError(exitWrong)
	}
	return nil
}

func (g *gameday) print(done []*drill) error {
	if g.JSON {
		data, err := json.Marshal(done)
		if err != nil {
			return err
		}
		return printJSON(g.s.out, data)
	}
	if err := table(g.s.out, summary(done)); err != nil {
		return err
	}
	if g.Packet != "" {
		fmt.Fprintf(g.s.out, "\nThe packet is in %s.\n", g.Packet)
	}
	return nil
}

// summary are the rows of the table that a game day ends with.
func summary(done []*drill) [][]string {
	rows := [][]string{{"SCENARIO", "WHAT", "HELD", "DETECTED AFTER", "CONTAINED AFTER", "EXERCISE"}}
	for _, d := range done {
		rows = append(rows, []string{d.scenario.id, d.scenario.title, d.verdict(), spanOf(d.Result.DetectMS), spanOf(d.Result.ContainMS), d.Exercise.ID})
	}
	return rows
}

func spanOf(millis *int64) string {
	if millis == nil {
		return "-"
	}
	return (time.Duration(*millis) * time.Millisecond).String()
}

// exerciseRow is an exercise as the API gives it.
type exerciseRow struct {
	ID          string `json:"id"`
	Environment string `json:"environment"`
	State       string `json:"state"`
	Scenario    string `json:"scenario"`
	Index       int64  `json:"index"`
	At          string `json:"at"`
	Until       string `json:"until"`
}

// environmentQuery is a query about the environment.
func (g *gameday) environmentQuery(more ...string) url.Values {
	q := url.Values{"environment": {g.Environment}}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return q
}
