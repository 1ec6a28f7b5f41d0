package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
)

type bundleHistoryCmd struct {
	asPerson
	Environment string `help:"Environment." default:"prod" short:"e"`
	At          string `help:"Only what was in force at this time, in UTC: 2026-11-17 14:03, or with seconds, or 2026-11-17T14:03:00Z."`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (bundleHistoryCmd) Help() string {
	return `Examples:
  writ bundle history -e prod
  writ bundle history -e prod --at "2026-11-17 14:03"`
}

// inForceRow is an activation as the API gives it.
type inForceRow struct {
	ID          string    `json:"id"`
	Index       int64     `json:"index"`
	Bundle      string    `json:"bundle"`
	From        string    `json:"from"`
	Until       string    `json:"until"`
	How         string    `json:"how"`
	Change      string    `json:"change"`
	Author      actorName `json:"author"`
	Activator   actorName `json:"activator"`
	Description string    `json:"description"`
	Reason      string    `json:"reason"`
	Commit      string    `json:"commit"`
	Branch      string    `json:"branch"`
	Tests       int       `json:"tests"`
	Reviews     []struct {
		Person string `json:"person"`
		Review string `json:"review"`
		At     string `json:"at"`
	} `json:"reviews"`
}

type actorName struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

func (a actorName) String() string { return a.Type + " " + a.ID }

// Run lists activations, or shows one.
func (c bundleHistoryCmd) Run(ctx context.Context, s std) error {
	query := url.Values{"environment": {c.Environment}}
	if c.At != "" {
		at, err := readTime(c.At)
		if err != nil {
			return err
		}
		query.Set("at", at.Format(time.RFC3339Nano))
	}
	var page struct {
		Bundles []inForceRow `json:"bundles"`
		Next    string       `json:"next_cursor"`
	}
	data, err := c.get(ctx, c.reader(), "/v1/bundles", query, &page)
	if err != nil {
		return err
	}
	if c.At != "" && len(page.Bundles) > 0 && !c.JSON {
		return page.Bundles[0].print(s)
	}
	rows := [][]string{{"FROM", "UNTIL", "ENTRY", "HOW", "CHANGE", "REVIEWS", "COMMIT", "BUNDLE"}}
	for _, r := range page.Bundles {
		rows = append(rows, []string{r.From, r.until(), fmt.Sprint(r.Index), r.How, r.Change, r.reviewed(), r.Commit[:min(len(r.Commit), 12)], r.Bundle})
	}
	return printPage(s, c.JSON, data, rows, "None was in force: nothing was allowed.", page.Next)
}

// readTime reads a time as people write it, in UTC.
func readTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf(`%q is not a time; write it like "2026-11-17 14:03"`, text)
}

func (r inForceRow) until() string {
	if r.Until == "" {
		return "in force"
	}
	return r.Until
}

func (r inForceRow) reviewed() string {
	var out []string
	for _, v := range r.Reviews {
		out = append(out, v.Review+" "+v.Person)
	}
	return strings.Join(out, ", ")
}

func (r inForceRow) print(s std) error {
	rows := [][]string{
		{"bundle", r.Bundle}, {"from", r.From}, {"until", r.until()}, {"entry", fmt.Sprintf("%d, %s", r.Index, r.ID)}, {"how", r.How},
		{"author", r.Author.String()}, {"activated by", r.Activator.String()}, {"tests", fmt.Sprintf("%d, all passed", r.Tests)},
	}
	for _, more := range [][]string{{"change", r.Change}, {"what", r.Description}, {"reason", r.Reason}, {"commit", strings.TrimSpace(r.Commit + " " + r.Branch)}} {
		if more[1] != "" {
			rows = append(rows, more)
		}
	}
	for _, v := range r.Reviews {
		rows = append(rows, []string{"review", v.Review + " by " + v.Person + " at " + v.At})
	}
	return table(s.out, rows)
}
