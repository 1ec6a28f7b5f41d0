package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/writ-dev/writ/internal/limit"
	"github.com/writ-dev/writ/internal/price"
)

// limitRow is a limit as the API gives it.
type limitRow struct {
	ID       string `json:"id"`
	Words    string `json:"words"`
	Per      string `json:"per"`
	Calls    int64  `json:"calls"`
	MicroUSD int64  `json:"micro_usd"`
	More     bool   `json:"more"`
	Counters []struct {
		Key      string `json:"key"`
		Used     int64  `json:"used"`
		Calls    int64  `json:"calls"`
		Reserved int64  `json:"reserved_micro_usd"`
		Unpriced int64  `json:"unpriced"`
		Next     string `json:"next"`
	} `json:"counters"`
}

type limitsCmd struct {
	asPerson
	Environment string `help:"Environment." default:"prod" short:"e"`
	Agent       string `help:"Only limits that can be of this agent's calls."`
	ID          string `arg:"" optional:"" name:"id" help:"Only this limit."`
	Prices      bool   `help:"Print the list prices of models that Writ knows instead; a bundle says others in prices.yaml."`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (limitsCmd) Help() string {
	return `Examples:
  writ limits                        how much of each limit of the active bundle is used now
  writ limits support-budget         one of them, with up to 200 of those that are counted apart
  writ limits --agent support-bot    those that can be of an agent's calls
  writ limits --prices               what models cost where the bundle does not say`
}

// Run lists what limits hold.
func (c limitsCmd) Run(ctx context.Context, s std) error {
	if c.Prices {
		return printPrices(s)
	}
	query := url.Values{"environment": {c.Environment}}
	for name, value := range map[string]string{"agent": c.Agent, "id": c.ID} {
		if value != "" {
			query.Set(name, value)
		}
	}
	var page struct {
		Limits []limitRow `json:"limits"`
	}
	data, err := c.get(ctx, c.reader(), "/v1/limits", query, &page)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, data)
	}
	rows := [][]string{{"LIMIT", "FOR", "USED", "OF", "RESERVED", "UNPRICED", "LESS FROM"}}
	for _, l := range page.Limits {
		rows = append(rows, l.rows()...)
	}
	if len(rows) == 1 {
		_, err := fmt.Fprintln(s.out, "No limit here.")
		return err
	}
	return table(s.out, rows)
}

func (l limitRow) rows() [][]string {
	var out [][]string
	for _, c := range l.Counters {
		used, reserved := strconv.FormatInt(c.Used, 10), "-"
		if l.MicroUSD > 0 {
			used, reserved = limit.Dollars(c.Used), limit.Dollars(c.Reserved)
		}
		out = append(out, []string{l.ID, orDash(c.Key), used, l.Words, reserved, orDash(strings.TrimPrefix(strconv.FormatInt(c.Unpriced, 10), "0")), orDash(c.Next)})
	}
	if len(out) == 0 {
		out = append(out, []string{l.ID, "each " + l.Per, "0", l.Words, "-", "-", "-"})
	}
	if l.More {
		out = append(out, []string{l.ID, "… and perhaps others", "", "", "", "", ""})
	}
	return out
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func printPrices(s std) error {
	rows := [][]string{{"MODEL", "INPUT USD/M", "OUTPUT USD/M", "AS OF", "FROM"}}
	for _, r := range price.Rows() {
		rows = append(rows, []string{r.Model, limit.Dollars(r.Price.Input), limit.Dollars(r.Price.Output), r.As, r.Source})
	}
	return table(s.out, rows)
}
