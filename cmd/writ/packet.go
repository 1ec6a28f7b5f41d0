package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// packet writes what an auditor is given of a game day: a summary, and of each scenario a page and its evidence.
func (g *gameday) packet(ctx context.Context, done []*drill) error {
	if err := os.Mkdir(g.Packet, 0o700); err != nil {
		return err
	}
	checkpoint, err := g.get(ctx, g.AdminToken, "/ledger/"+url.PathEscape(g.Environment)+"/checkpoint", nil, nil)
	if err != nil {
		return err
	}
	for _, d := range done {
		page, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			return err
		}
		evidence, err := json.MarshalIndent(d.evidence(ctx), "", "  ")
		if err != nil {
			return err
		}
		for name, data := range map[string][]byte{".json": page, "-evidence.json": evidence, ".md": []byte(d.page())} {
			if err := g.write(d.scenario.id+name, data); err != nil {
				return err
			}
		}
	}
	all, err := json.MarshalIndent(done, "", "  ")
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"summary.json": all, "summary.md": []byte(g.summaryPage(done)), "checkpoint.txt": checkpoint} {
		if err := g.write(name, data); err != nil {
			return err
		}
	}
	return nil
}

func (g *gameday) write(name string, data []byte) error {
	return os.WriteFile(filepath.Join(g.Packet, name), data, 0o600)
}

// evidence is what the server says of everything that the result names: a decision with its inclusion proof, an incident with its
// timeline, a switch. What it does not give is named with why.
func (d *drill) evidence(ctx context.Context) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for _, id := range append([]string{d.Exercise.ID}, d.Result.Refs...) {
		kind, _, _ := strings.Cut(id, "_")
		path, ok := map[string]string{"dec": "/v1/decisions/", "inc": "/v1/incidents/", "swi": "/v1/switches/", "exe": "/v1/exercises/"}[kind]
		if !ok {
			continue // a signal: it is in the timeline of its incident
		}
		data, err := d.get(ctx, d.AdminToken, path+url.PathEscape(id), nil, nil)
		if err != nil || !json.Valid(data) {
			data, _ = json.Marshal(map[string]string{"missing": fmt.Sprint(err)}) // a map of strings is JSON
		}
		out[id] = data
	}
	return out
}

// page is the scenario for people.
func (d *drill) page() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# %s: %s\n", d.scenario.id, d.scenario.title)
	line("**This was an exercise** (`%s`, from entry %d of the ledger `%s`).\n", d.Exercise.ID, d.Exercise.Index, d.Environment)
	line("| | |\n|---|---|")
	line("| Hypothesis | %s |", d.Result.Hypothesis)
	line("| Injected | %s |", d.Result.Injected)
	line("| Expected to notice | %s |", orNone(d.Result.Expected))
	line("| It | **%s** |", d.verdict())
	line("| Observed | %s |", strings.ReplaceAll(d.Result.Observed, "|", `\|`))
	line("| Detected after | %s |", spanOf(d.Result.DetectMS))
	line("| Contained after | %s |", spanOf(d.Result.ContainMS))
	line("\n## What happened\n\n| time (UTC) | what |\n|---|---|")
	for _, m := range d.Result.Moments {
		line("| %s | %s |", m.At, strings.ReplaceAll(m.What, "|", `\|`))
	}
	line("\n## Evidence\n")
	for _, id := range d.Result.Refs {
		line("- `%s`", id)
	}
	line("\nThe decisions with their inclusion proofs, the incidents with their timelines and the switches are in `%s-evidence.json`.", d.scenario.id)
	line("\n## For people to fill in\n\n- Participants:\n- Decisions, and who took them:\n- Who was told:\n- Gaps, and actions with owner and date:")
	return b.String()
}

// summaryPage is the whole game day on a page.
func (g *gameday) summaryPage(done []*drill) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Game day\n\nEnvironment `%s` at %s, run `%s`, %s UTC. Written by Writ %s. Every time below was measured in this run.\n\n", g.Environment, g.URL, g.run, time.Now().UTC().Format("2006-01-02 15:04"), version())
	for i, row := range summary(done) {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	b.WriteString("\nThe ledger's signed head at the end is in `checkpoint.txt`. Each scenario has a page, a record and its evidence beside this one.\n")
	return b.String()
}
