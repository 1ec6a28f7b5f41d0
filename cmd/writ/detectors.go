package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/writ-dev/writ/internal/limit"
)

// detectorRow is a detector as the API gives it.
type detectorRow struct {
	ID         string   `json:"id"`
	Title      string   `json:"title"`
	File       string   `json:"file"`
	Owner      string   `json:"owner"`
	Severity   int      `json:"severity"`
	Contain    string   `json:"contain"`
	Runbook    string   `json:"runbook"`
	Tags       []string `json:"tags"`
	Thresholds []struct {
		Name    string `json:"name"`
		Unit    string `json:"unit"`
		Value   int64  `json:"value"`
		Default int64  `json:"default"`
		Meaning string `json:"meaning"`
	} `json:"thresholds"`
	Status     string `json:"status"`
	Signals    int64  `json:"signals"`
	LastSignal *struct {
		At       string `json:"at"`
		Incident string `json:"incident"`
	} `json:"last_signal"`
	LastHeartbeat string `json:"last_heartbeat"`
	Missed        int    `json:"missed"`
}

type detectorsCmd struct {
	asPerson
	Environment string `help:"Environment." default:"prod" short:"e"`
	ID          string `arg:"" optional:"" name:"id" help:"Only this detector, with its thresholds."`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (detectorsCmd) Help() string {
	return `Examples:
  writ detectors                  what looks for what, when each last answered a probe, and what it found in 30 days
  writ detectors blocked_spike    one of them: thresholds, what they mean, and what holds where the bundle says nothing

Thresholds, owners and runbooks stand in detectors.yaml of the bundle; rules of your own in sigma/*.yml.`
}

// Run lists detectors.
func (c detectorsCmd) Run(ctx context.Context, s std) error {
	var page struct {
		Detectors []json.RawMessage `json:"detectors"`
	}
	data, err := c.get(ctx, c.reader(), "/v1/detectors", url.Values{"environment": {c.Environment}}, &page)
	if err != nil {
		return err
	}
	if c.JSON && c.ID == "" {
		return printJSON(s.out, data)
	}
	rows := [][]string{{"DETECTOR", "SEVERITY", "STATUS", "LAST ANSWER", "MISSED", "SIGNALS", "LAST SIGNAL", "OWNER", "NOTICES"}}
	for _, raw := range page.Detectors {
		var d detectorRow
		if err := json.Unmarshal(raw, &d); err != nil {
			return fmt.Errorf("read a detector: %w", err)
		}
		switch {
		case d.ID == c.ID && c.JSON:
			return printJSON(s.out, raw)
		case d.ID == c.ID:
			return d.print(s)
		}
		rows = append(rows, d.row())
	}
	if c.ID != "" {
		return fmt.Errorf("there is no detector %s in %s", c.ID, c.Environment)
	}
	return table(s.out, rows)
}

func (d detectorRow) row() []string {
	last := "-"
	if d.LastSignal != nil {
		last = d.LastSignal.At
	}
	return []string{
		d.ID, strconv.Itoa(d.Severity), d.Status, orDash(d.LastHeartbeat), strconv.Itoa(d.Missed), strconv.FormatInt(d.Signals, 10), last, orDash(d.Owner), d.Title,
	}
}

func (d detectorRow) print(s std) error {
	rows := [][]string{
		{"notices", d.Title}, {"rule", orDash(d.File)}, {"severity", strconv.Itoa(d.Severity)}, {"status", d.Status}, {"last answer", orDash(d.LastHeartbeat)},
		{"missed", strconv.Itoa(d.Missed)}, {"signals in 30 days", strconv.FormatInt(d.Signals, 10)}, {"owner", orDash(d.Owner)}, {"stops at once", orDash(d.Contain)},
		{"runbook", orDash(d.Runbook)}, {"tags", strings.Join(d.Tags, " ")},
	}
	if d.LastSignal != nil {
		rows = append(rows, []string{"last signal", d.LastSignal.At + " " + d.LastSignal.Incident})
	}
	for _, t := range d.Thresholds {
		rows = append(rows, []string{t.Name, fmt.Sprintf("%s (default %s): %s", measure(t.Value, t.Unit), measure(t.Default, t.Unit), t.Meaning)})
	}
	return table(s.out, rows)
}

// measure writes a threshold as detectors.yaml has it.
func measure(n int64, unit string) string {
	switch unit {
	case "seconds":
		return limit.Span(n)
	case "percent":
		return strconv.FormatInt(n, 10) + " %"
	}
	return strconv.FormatInt(n, 10)
}
