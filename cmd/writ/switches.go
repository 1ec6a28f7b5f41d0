package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

type switchCmd struct {
	List    switchListCmd    `cmd:"" default:"withargs" help:"What is stopped, by whom, since when."`
	Stop    switchStopCmd    `cmd:"" help:"Stop calls at once."`
	Impact  switchImpactCmd  `cmd:"" help:"What a stop would stop."`
	Stage   switchStageCmd   `cmd:"" help:"Recover in stages: observe, then a share of the sessions."`
	Release switchReleaseCmd `cmd:"" help:"Let calls pass again."`
}

// switchRow is a kill switch as the API gives it.
type switchRow struct {
	ID          string         `json:"id"`
	Environment string         `json:"environment"`
	State       string         `json:"state"`
	Scope       map[string]any `json:"scope"`
	Stage       string         `json:"stage"`
	Share       int            `json:"share"`
	Reason      string         `json:"reason"`
	By          struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	} `json:"by"`
	At         string  `json:"at"`
	HaltMillis float64 `json:"halt_ms"`
	Index      int64   `json:"index"`
	ExpiresAt  string  `json:"expires_at"`
	People     int     `json:"people"`
	Proposed   *struct {
		Stage string   `json:"stage"`
		By    []string `json:"by"`
	} `json:"proposed"`
	EndedAt   string `json:"ended_at"`
	EndReason string `json:"end_reason"`
}

func (w switchRow) what() string {
	for name, value := range w.Scope {
		if name != "all" {
			return fmt.Sprintf("%s %v", name, value)
		}
	}
	return "everything"
}

func (w switchRow) stage() string {
	switch {
	case w.Stage == "share":
		return fmt.Sprintf("%d of 100 sessions pass", w.Share)
	case w.Proposed != nil:
		return w.Stage + ", " + w.Proposed.Stage + " is proposed"
	}
	return w.Stage
}

func (w switchRow) print(s std) error {
	rows := [][]string{
		{"switch", w.ID}, {"state", w.State}, {"stops", w.what() + " in " + w.Environment}, {"stage", w.stage()}, {"because", w.Reason},
		{"by", w.By.Type + " " + w.By.ID}, {"since", fmt.Sprintf("%s, %.1f ms after it was asked for; nothing was allowed behind index %d", w.At, w.HaltMillis, w.Index)},
	}
	if w.ExpiresAt != "" {
		rows = append(rows, []string{"until", w.ExpiresAt})
	}
	if w.State == "engaged" && w.People > 1 {
		rows = append(rows, []string{"release", fmt.Sprintf("takes %d people", w.People)})
	}
	if w.EndedAt != "" {
		rows = append(rows, []string{"ended", strings.TrimSpace(w.EndedAt + " " + w.EndReason)})
	}
	return table(s.out, rows)
}

// scopeFlags say what is to be stopped.
type scopeFlags struct {
	Environment string `help:"Environment." default:"prod" short:"e"`
	All         bool   `help:"Everything." xor:"scope" required:""`
	Agent       string `help:"This agent." xor:"scope" required:""`
	Tool        string `help:"This tool, server/tool." xor:"scope" required:""`
	Category    string `help:"Tools of this category, money for instance." xor:"scope" required:""`
	Principal   string `help:"Calls for this principal, type:id." xor:"scope" required:""`
	Session     string `help:"This session." xor:"scope" required:""`
}

type switchListCmd struct {
	asPerson
	Environment string `help:"Environment." default:"prod" short:"e"`
	State       string `help:"Only those in this state." enum:"engaged,released,expired,any" default:"engaged"`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (switchListCmd) Help() string {
	return `Examples:
  writ switch                    what is stopped now
  writ switch list --state any   what was stopped before, too`
}

// Run lists switches.
func (c switchListCmd) Run(ctx context.Context, s std) error {
	query := url.Values{"environment": {c.Environment}}
	if c.State != "any" {
		query.Set("state", c.State)
	}
	var page struct {
		Switches []switchRow `json:"switches"`
		Next     string      `json:"next_cursor"`
	}
	data, err := c.get(ctx, c.reader(), "/v1/switches", query, &page)
	if err != nil {
		return err
	}
	rows := [][]string{{"ID", "STATE", "STOPS", "STAGE", "SINCE", "BECAUSE"}}
	for _, w := range page.Switches {
		rows = append(rows, []string{w.ID, w.State, w.what(), w.stage(), w.At, w.Reason})
	}
	return printPage(s, c.JSON, data, rows, "Nothing is stopped.", page.Next)
}

type switchStopCmd struct {
	asPerson
	scopeFlags
	Everywhere bool          `help:"In every environment."`
	Reason     string        `help:"Why; agents and people are told." required:""`
	For        time.Duration `help:"Release it by itself after this time."`
	People     int           `help:"How many people it takes to release it: 1 or 2." default:"1"`
	JSON       bool          `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (switchStopCmd) Help() string {
	return `When this returns, no node allows such a call any more. What waits for approval is frozen.

Examples:
  writ switch stop --agent support-bot --reason "Refunds without a ticket."
  writ switch stop --category money --people 2 --reason "Suspected fraud."
  writ switch stop --all --everywhere --reason "Until we know what happened."`
}

// Run engages a switch.
func (c switchStopCmd) Run(ctx context.Context, s std) error {
	ask := map[string]any{"reason": c.Reason, "people": c.People}
	for name, value := range map[string]string{"agent": c.Agent, "tool": c.Tool, "category": c.Category, "session": c.Session} {
		if value != "" {
			ask[name] = value
		}
	}
	if c.All {
		ask["all"] = true
	}
	if c.Everywhere {
		ask["everywhere"] = true
	} else {
		ask["environment"] = c.Environment
	}
	if c.Principal != "" {
		kind, id, _ := strings.Cut(c.Principal, ":")
		ask["principal"] = map[string]string{"type": kind, "id": id}
	}
	if c.For != 0 {
		ask["expires_at"] = time.Now().Add(c.For).UTC().Format(time.RFC3339)
	}
	var page struct {
		Switches []switchRow `json:"switches"`
	}
	data, err := c.send(ctx, c.reader(), http.MethodPost, "/v1/switches", ask, &page)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, data)
	}
	for _, w := range page.Switches {
		if err := w.print(s); err != nil {
			return err
		}
	}
	return nil
}

type switchImpactCmd struct {
	asPerson
	scopeFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (switchImpactCmd) Help() string {
	return `Examples:
  writ switch impact --category money`
}

// Run says what a switch would stop.
func (c switchImpactCmd) Run(ctx context.Context, s std) error {
	query := url.Values{"environment": {c.Environment}}
	for name, value := range map[string]string{"agent": c.Agent, "tool": c.Tool, "category": c.Category, "session": c.Session, "principal": c.Principal} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if c.All {
		query.Set("all", "true")
	}
	var found struct {
		Agents  []string `json:"agents"`
		Tools   []string `json:"tools"`
		Pending int      `json:"pending_approvals"`
		Calls   int64    `json:"calls"`
		Since   string   `json:"since"`
	}
	data, err := c.get(ctx, c.reader(), "/v1/switches/impact", query, &found)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, data)
	}
	return table(s.out, [][]string{
		{"agents", orNone(found.Agents)}, {"tools", orNone(found.Tools)}, {"requests frozen", fmt.Sprint(found.Pending)},
		{"calls stopped", fmt.Sprintf("%d since %s would have been", found.Calls, found.Since)},
	})
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

type switchStageCmd struct {
	asPerson
	ID     string `arg:"" help:"The switch, swi_…"`
	Stage  string `arg:"" help:"stopped, observe or share." enum:"stopped,observe,share"`
	Share  int    `help:"With share: how many of a hundred sessions pass."`
	Reason string `help:"Why." required:""`
}

// Help gives examples.
func (switchStageCmd) Help() string {
	return `observe denies every call and records what it would have been. share lets some sessions pass.

Examples:
  writ switch stage swi_000000000jd2d69vktekatahg8 observe --reason "The prompt is fixed."
  writ switch stage swi_000000000jd2d69vktekatahg8 share --share 10 --reason "Nothing odd in an hour."`
}

// Run takes a switch to a stage.
func (c switchStageCmd) Run(ctx context.Context, s std) error {
	step := map[string]any{"stage": c.Stage, "reason": c.Reason}
	if c.Share != 0 {
		step["share"] = c.Share
	}
	return c.moved(ctx, s, http.MethodPost, "/v1/switches/"+url.PathEscape(c.ID)+"/stage", step)
}

// moved asks for a step and prints where the switch is.
func (p asPerson) moved(ctx context.Context, s std, method, path string, step map[string]any) error {
	token := p.reader()
	if token == "" {
		return errors.New("run writ login, or set WRIT_PERSON_TOKEN or WRIT_ADMIN_TOKEN")
	}
	var w switchRow
	if _, err := p.send(ctx, token, method, path, step, &w); err != nil {
		return err
	}
	return w.print(s)
}

type switchReleaseCmd struct {
	asPerson
	ID     string `arg:"" help:"The switch, swi_…"`
	Reason string `help:"Why." required:""`
}

// Help gives examples.
func (switchReleaseCmd) Help() string {
	return `Where a switch takes two people, the first one's command is recorded and lets nothing pass.

Examples:
  writ switch release swi_000000000jd2d69vktekatahg8 --reason "The prompt is fixed and reviewed."`
}

// Run releases a switch.
func (c switchReleaseCmd) Run(ctx context.Context, s std) error {
	return c.moved(ctx, s, http.MethodDelete, "/v1/switches/"+url.PathEscape(c.ID), map[string]any{"reason": c.Reason})
}
