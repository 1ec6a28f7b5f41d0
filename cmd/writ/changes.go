package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/writ-dev/writ/internal/bundle"
)

type changesCmd struct {
	List     changesListCmd     `cmd:"" default:"withargs" help:"Changes of the bundle, and which wait for a review."`
	Show     changesShowCmd     `cmd:"" help:"One change: what differs, why, who reviewed it."`
	Backtest changesBacktestCmd `cmd:"" help:"Say what recorded decisions would have been under another bundle."`
	Propose  changesProposeCmd  `cmd:"" help:"Propose a bundle in the place of the active one."`
	Approve  changesApproveCmd  `cmd:"" help:"Approve a change that is not yours."`
	Deny     changesDenyCmd     `cmd:"" help:"Refuse a change."`
	Activate changesActivateCmd `cmd:"" help:"Put an approved change into force."`
	Rollback changesRollbackCmd `cmd:"" help:"Put the bundle before the active one into force again, at once."`
}

// changeRow is a change as the API gives it.
type changeRow struct {
	ID          string `json:"id"`
	Environment string `json:"environment"`
	State       string `json:"state"`
	Bundle      string `json:"bundle"`
	Base        string `json:"base"`
	Description string `json:"description"`
	Author      struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	} `json:"author"`
	Commit    string `json:"commit"`
	Branch    string `json:"branch"`
	Tests     int    `json:"tests"`
	ReviewBy  string `json:"review_by"`
	Overdue   bool   `json:"overdue"`
	Remedy    string `json:"remedy"`
	Emergency *struct {
		By struct {
			ID string `json:"id"`
		} `json:"by"`
		Reason string `json:"reason"`
	} `json:"emergency"`
	Scheduled *struct {
		By struct {
			ID string `json:"id"`
		} `json:"by"`
		At string `json:"at"`
	} `json:"scheduled"`
	Reviews []struct {
		Person string `json:"person"`
		Review string `json:"review"`
		At     string `json:"at"`
	} `json:"reviews"`
	Shown string      `json:"shown"`
	At    string      `json:"at"`
	Diff  bundle.Diff `json:"diff"`
}

func (r changeRow) print(s std) error {
	rows := [][]string{
		{"change", r.ID}, {"state", r.standing()}, {"environment", r.Environment}, {"what", r.Description}, {"author", r.Author.Type + " " + r.Author.ID},
		{"proposed", r.At}, {"from", r.Base}, {"to", r.Bundle}, {"tests", fmt.Sprintf("%d, all pass", r.Tests)},
	}
	if r.Commit != "" {
		rows = append(rows, []string{"commit", strings.TrimSpace(r.Commit + " " + r.Branch)})
	}
	if r.Emergency != nil {
		rows = append(rows, []string{"emergency", r.Emergency.Reason + ", by " + r.Emergency.By.ID})
	}
	if r.Scheduled != nil {
		rows = append(rows, []string{"scheduled", "for " + r.Scheduled.At + ", by " + r.Scheduled.By.ID})
	}
	if r.ReviewBy != "" {
		rows = append(rows, []string{"review owed by", r.ReviewBy})
	}
	if r.Remedy != "" {
		rows = append(rows, []string{"remedy", r.Remedy})
	}
	for _, part := range r.parts() {
		for _, c := range part.changes {
			rows = append(rows, []string{part.name, describe(c)})
			for _, m := range c.Moves {
				rows = append(rows, []string{"", fmt.Sprintf("  %s: %s → %s", m.Field, quoted(m.From), quoted(m.To))})
			}
		}
	}
	for _, v := range r.Reviews {
		rows = append(rows, []string{"review", v.Review + " by " + v.Person + " at " + v.At})
	}
	if err := table(s.out, append(rows, []string{"digest", r.Shown})); err != nil {
		return err
	}
	for _, c := range slices.Concat(r.Diff.Policies, r.Diff.Prompts) {
		printLines(s, c)
	}
	return nil
}

// printLines prints what differs in a text, as diff -u does. Whoever wrote the text does not get to write to the terminal.
func printLines(s std, c bundle.Change) {
	fmt.Fprintf(s.out, "\n%s %s\n", c.Name, c.Kind)
	for _, line := range c.Lines {
		fmt.Fprintln(s.out, printable(line))
	}
	if c.LinesMore > 0 {
		fmt.Fprintf(s.out, "and %d lines more: see --json, or the bundles themselves\n", c.LinesMore)
	}
}

// printable has no character that does something to a terminal.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, line)
}

// quoted shows a value, and that there is none.
func quoted(s string) string {
	if s == "" {
		return "(none)"
	}
	return strconv.Quote(s)
}

// standing is the state with what is urgent about it.
func (r changeRow) standing() string {
	switch {
	case r.Overdue:
		return r.State + " (overdue)"
	case r.Remedy != "":
		return r.State + " (in force)"
	}
	return r.State
}

type diffPart struct {
	name    string
	changes []bundle.Change
}

func (r changeRow) parts() []diffPart {
	d := r.Diff
	return []diffPart{
		{"environment", d.Environments}, {"setting", d.Settings}, {"agent", d.Agents}, {"tool", d.Tools}, {"policy", d.Policies},
		{"limit", d.Limits}, {"price", d.Prices}, {"detector", d.Detectors}, {"rule", d.Rules}, {"prompt", d.Prompts}, {"test", d.Tests},
	}
}

func describe(c bundle.Change) string {
	out := fmt.Sprintf("%s %s", c.Kind, c.Name)
	if len(c.Fields) > 0 {
		out += " (" + strings.Join(c.Fields, ", ") + ")"
	}
	for _, t := range c.ToolsGained {
		out += " +" + string(t)
	}
	for _, t := range c.ToolsLost {
		out += " -" + string(t)
	}
	return out
}

type changesListCmd struct {
	asPerson
	Environment string `help:"Environment." default:"prod" short:"e"`
	State       string `help:"Only those in this state." enum:"proposed,approved,scheduled,rejected,activated,review_owed,any" default:"any"`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (changesListCmd) Help() string {
	return `Examples:
  writ changes
  writ changes list --state review_owed --json`
}

// Run lists changes.
func (c changesListCmd) Run(ctx context.Context, s std) error {
	query := url.Values{"environment": {c.Environment}}
	if c.State != "any" {
		query.Set("state", c.State)
	}
	var page struct {
		Changes []changeRow `json:"changes"`
	}
	data, err := c.get(ctx, c.reader(), "/v1/changes", query, &page)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, data)
	}
	rows := [][]string{{"ID", "STATE", "AUTHOR", "REVIEWS", "WHAT"}}
	for _, r := range page.Changes {
		what, _, _ := strings.Cut(r.Description, "\n")
		rows = append(rows, []string{r.ID, r.standing(), r.Author.Type, fmt.Sprint(len(r.Reviews)), what})
	}
	if len(rows) == 1 {
		fmt.Fprintln(s.out, "None.")
		return nil
	}
	return table(s.out, rows)
}

type changesShowCmd struct {
	asPerson
	ID   string `arg:"" help:"The change."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help gives an example.
func (changesShowCmd) Help() string {
	return "Example:\n  writ changes show chg_000000000jd2d69vktekatahg8"
}

// Run shows a change.
func (c changesShowCmd) Run(ctx context.Context, s std) error {
	var r changeRow
	data, err := c.get(ctx, c.reader(), "/v1/changes/"+url.PathEscape(c.ID), nil, &r)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, data)
	}
	return r.print(s)
}

type changesProposeCmd struct {
	asPerson
	bundleDir
	Environment string `required:"" short:"e" help:"The environment."`
	Message     string `required:"" short:"m" help:"What changes and why."`
}

// Help gives an example.
func (changesProposeCmd) Help() string {
	return `Checks the bundle and runs its tests first. The git commit and branch of the directory travel with the proposal.

Example:
  writ changes propose governance/ -e prod -m "Refunds up to 600 without a person"`
}

// Run proposes.
func (c changesProposeCmd) Run(ctx context.Context, s std) error {
	engine, err := c.compile(s, false)
	if err != nil {
		return err
	}
	query := url.Values{"environment": {c.Environment}, "description": {c.Message}}
	source(ctx, c.Bundle, query)
	var r changeRow
	if _, err := c.ask(ctx, c.reader(), http.MethodPost, "/v1/changes", query, "application/x-tar", engine.Bundle().Tar(), &r); err != nil {
		return err
	}
	return r.print(s)
}

// source says where a bundle's directory comes from.
func source(ctx context.Context, dir string, query url.Values) {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return
	}
	for name, args := range map[string][]string{"commit": {"rev-parse", "HEAD"}, "branch": {"rev-parse", "--abbrev-ref", "HEAD"}} {
		if value := git(ctx, dir, args...); value != "" {
			query.Set(name, value)
		}
	}
}

// changeReview is a review of what was shown.
type changeReview struct {
	asPerson
	ID      string `arg:"" help:"The change."`
	Comment string `help:"Why; kept with the review, erasable."`
	Shown   string `help:"Digest of what you were shown (writ changes show), to review exactly that without being asked."`
}

type changesApproveCmd struct{ changeReview }

// Help gives an example.
func (changesApproveCmd) Help() string {
	return `Shows the change, asks, and reviews exactly what it showed. Needs a sign-in of the last 15 minutes.

Example:
  WRIT_PERSON_TOKEN=… writ changes approve chg_000000000jd2d69vktekatahg8 --comment "read the policy"`
}

// Run approves.
func (c changesApproveCmd) Run(ctx context.Context, s std) error { return c.review(ctx, s, "approve") }

type changesDenyCmd struct{ changeReview }

// Help gives an example.
func (changesDenyCmd) Help() string {
	return "Example:\n  WRIT_PERSON_TOKEN=… writ changes deny chg_000000000jd2d69vktekatahg8"
}

// Run refuses.
func (c changesDenyCmd) Run(ctx context.Context, s std) error { return c.review(ctx, s, "deny") }

func (c changeReview) review(ctx context.Context, s std, review string) error {
	token := c.person()
	if token == "" {
		return errors.New("only a person reviews: run writ login, or set WRIT_PERSON_TOKEN to a token of your identity provider")
	}
	path := "/v1/changes/" + url.PathEscape(c.ID)
	var r changeRow
	if _, err := c.get(ctx, token, path, nil, &r); err != nil {
		return err
	}
	if err := meant(s, r, c.Shown, r.Shown, review+" this change"); err != nil {
		return err
	}
	if _, err := c.send(ctx, token, http.MethodPost, path+"/reviews", map[string]string{"review": review, "shown": r.Shown, "comment": c.Comment}, &r); err != nil {
		return err
	}
	return r.print(s)
}

type changesActivateCmd struct {
	asPerson
	ID        string `arg:"" help:"The change."`
	Emergency bool   `help:"Before it is approved. For people who review changes; say why with -m."`
	Message   string `short:"m" help:"Why, with --emergency."`
	At        string `help:"When, in UTC and within 30 days (2026-11-24T06:00:00Z). Without it, now."`
	Cancel    bool   `help:"Take back that it is to come into force at a time."`
}

// Help gives examples.
func (changesActivateCmd) Help() string {
	return `Examples:
  writ changes activate chg_000000000jd2d69vktekatahg8
  writ changes activate chg_000000000jd2d69vktekatahg8 --at 2026-11-24T06:00:00Z
  writ changes activate chg_000000000jd2d69vktekatahg8 --cancel
  WRIT_PERSON_TOKEN=… writ changes activate chg_000000000jd2d69vktekatahg8 --emergency -m "refunds go to the wrong account"

With --emergency a change of somebody else counts as reviewed by you; your own has to be reviewed by somebody else within two
working days, and is listed as review_owed until then.`
}

// Run activates.
func (c changesActivateCmd) Run(ctx context.Context, s std) error {
	path := "/v1/changes/" + url.PathEscape(c.ID) + "/activate"
	switch {
	case c.Message != "" && !c.Emergency:
		return errors.New("-m goes with --emergency")
	case c.Cancel:
		return c.schedule(ctx, s, http.MethodDelete, path, nil)
	case c.At != "":
		return c.schedule(ctx, s, http.MethodPost, path, map[string]any{"at": c.At, "emergency": c.Emergency})
	case !c.Emergency:
		return c.force(ctx, s, path, nil)
	}
	return c.force(ctx, s, path, map[string]any{"emergency": true, "reason": c.Message})
}

// schedule changes when a change is to come into force, and shows it.
func (p asPerson) schedule(ctx context.Context, s std, method, path string, body any) error {
	var r changeRow
	if _, err := p.send(ctx, p.reader(), method, path, body, &r); err != nil {
		return err
	}
	return r.print(s)
}

type changesRollbackCmd struct {
	asPerson
	Environment string `required:"" short:"e" help:"The environment."`
	Message     string `required:"" short:"m" help:"Why."`
}

// Help gives an example.
func (changesRollbackCmd) Help() string {
	return `Somebody else has to review it within two working days; until then it is listed as review_owed.

Example:
  WRIT_PERSON_TOKEN=… writ changes rollback -e prod -m "refunds are stuck"`
}

// Run rolls back.
func (c changesRollbackCmd) Run(ctx context.Context, s std) error {
	return c.force(ctx, s, "/v1/changes/rollback", map[string]string{"environment": c.Environment, "reason": c.Message})
}

// force puts a bundle into force and says so.
func (p asPerson) force(ctx context.Context, s std, path string, body any) error {
	var done struct {
		ID      string `json:"id"`
		Bundle  string `json:"bundle"`
		Receipt struct {
			Ledger string `json:"ledger"`
			Index  int64  `json:"index"`
		} `json:"receipt"`
		ReviewBy string `json:"review_by"`
	}
	if _, err := p.send(ctx, p.reader(), http.MethodPost, path, body, &done); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s is in force in %s from entry %d on (%s)\n", done.Bundle, done.Receipt.Ledger, done.Receipt.Index, done.ID)
	if done.ReviewBy != "" {
		fmt.Fprintf(s.out, "somebody else has to review it by %s\n", done.ReviewBy)
	}
	return nil
}
