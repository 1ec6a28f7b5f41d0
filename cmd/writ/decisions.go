package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

type decisionsCmd struct {
	remote
	APIKey      string        `help:"An agent's key instead of the administrator's token." env:"WRIT_API_KEY"`
	ID          string        `arg:"" optional:"" help:"Show this decision whole: call, reasons, result, proof."`
	Environment string        `short:"e" default:"prod" help:"The environment."`
	Agent       string        `help:"Only of this agent."`
	Principal   string        `help:"Only for this principal (user:ID, service:ID, organization:ID)."`
	Tool        string        `help:"Only of this tool (server/tool)."`
	Policy      string        `help:"Only where this policy fired."`
	Outcome     string        `help:"Only with this outcome." enum:"allow,deny,require_approval," default:""`
	Would       string        `help:"Only where observe mode let pass what would have had this outcome." enum:"deny,require_approval," default:""`
	Session     string        `help:"Only of this session."`
	Since       time.Duration `help:"Only of the last so long (24h)."`
	From        string        `help:"Only from this time on (2026-11-17T00:00:00Z)."`
	To          string        `help:"Only before this time."`
	Limit       int           `default:"20" help:"At most so many, newest first."`
	JSON        bool          `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (decisionsCmd) Help() string {
	return `Examples:
  writ decisions                                     the newest 20 in prod
  writ decisions --outcome deny --since 24h
  writ decisions --principal user:alice --tool stripe/refund --json
  writ decisions dec_0000000000b7k2j9x0a7c5d1f8       one, with its proof`
}

// decisionRow is a decision as lists give it.
type decisionRow struct {
	ID        string `json:"id"`
	At        string `json:"at"`
	Outcome   string `json:"outcome"`
	Would     string `json:"would"`
	Agent     string `json:"agent"`
	Tool      string `json:"tool"`
	Principal struct {
		Type string `json:"type"`
		Ref  string `json:"ref"`
	} `json:"principal"`
	Reasons []struct {
		Code    string `json:"code"`
		Policy  string `json:"policy"`
		Message string `json:"message"`
	} `json:"reasons"`
}

// Run lists decisions, or shows one.
func (c decisionsCmd) Run(ctx context.Context, s std) error {
	token := c.AdminToken
	if token == "" {
		token = c.APIKey
	}
	if c.ID != "" {
		data, err := c.get(ctx, token, "/v1/decisions/"+url.PathEscape(c.ID), nil, nil)
		if err != nil {
			return err
		}
		return printJSON(s.out, data)
	}
	var page struct {
		Decisions       []decisionRow `json:"decisions"`
		NextCursor      string        `json:"next_cursor"`
		CompleteThrough int64         `json:"complete_through"`
		Size            int64         `json:"size"`
	}
	data, err := c.get(ctx, token, "/v1/decisions", c.query(), &page)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, data)
	}
	if err := table(s.out, decisionTable(page.Decisions)); err != nil {
		return err
	}
	more := ""
	if page.NextCursor != "" {
		more = "; there are more, raise --limit"
	}
	_, err = fmt.Fprintf(s.err, "%d shown, complete through entry %d of %d%s\n", len(page.Decisions), page.CompleteThrough, page.Size, more)
	return err
}

func (c decisionsCmd) query() url.Values {
	q := url.Values{"environment": {c.Environment}, "limit": {strconv.Itoa(c.Limit)}}
	for name, value := range map[string]string{
		"agent": c.Agent, "principal": c.Principal, "tool": c.Tool, "policy": c.Policy, "outcome": c.Outcome, "would": c.Would,
		"session": c.Session, "from": c.From, "to": c.To,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if c.Since > 0 {
		q.Set("from", time.Now().Add(-c.Since).UTC().Format(time.RFC3339Nano))
	}
	return q
}

func decisionTable(decisions []decisionRow) [][]string {
	rows := [][]string{{"AT", "OUTCOME", "AGENT", "TOOL", "PRINCIPAL", "WHY", "ID"}}
	for _, d := range decisions {
		outcome := d.Outcome
		if d.Would != "" {
			outcome += " (would " + d.Would + ")"
		}
		var why []string
		for _, r := range d.Reasons {
			if r.Policy != "" {
				why = append(why, r.Policy)
			} else {
				why = append(why, r.Code)
			}
		}
		rows = append(rows, []string{d.At, outcome, d.Agent, d.Tool, d.Principal.Type + ":" + d.Principal.Ref, strings.Join(why, " "), d.ID})
	}
	return rows
}
