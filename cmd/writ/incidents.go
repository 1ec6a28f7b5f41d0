package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

type incidentsCmd struct {
	List     incidentListCmd     `cmd:"" default:"withargs" help:"What is open, or was."`
	Show     incidentShowCmd     `cmd:"" help:"One incident with its timeline."`
	Stats    incidentStatsCmd    `cmd:"" help:"How long it took to find, acknowledge, contain and resolve them."`
	New      incidentNewCmd      `cmd:"" help:"Report one that no detector saw."`
	Ack      incidentAckCmd      `cmd:"" help:"Take it: you own it then."`
	Note     incidentNoteCmd     `cmd:"" help:"Note something."`
	Severity incidentSeverityCmd `cmd:"" help:"Say that it is worse, or less bad."`
	Give     incidentGiveCmd     `cmd:"" help:"Give it to somebody else."`
	Declare  incidentDeclareCmd  `cmd:"" help:"Say that it is one."`
	Contain  incidentContainCmd  `cmd:"" help:"Stop the harm: with a kill switch, or by what you did otherwise."`
	Resolve  incidentResolveCmd  `cmd:"" help:"Say that it is over."`
	Dismiss  incidentDismissCmd  `cmd:"" help:"Say that it is none."`
	Merge    incidentMergeCmd    `cmd:"" help:"Say that it is the same as another one."`
	Reopen   incidentReopenCmd   `cmd:"" help:"Say that it is not over after all."`
	Link     incidentLinkCmd     `cmd:"" help:"Link decisions to it."`
	Tell     incidentTellCmd     `cmd:"" help:"Record that people were told."`
	Assess   incidentAssessCmd   `cmd:"" help:"Assess what it touched, and who has to be told."`
	Report   incidentReportCmd   `cmd:"" help:"Print its report, or save the text of one."`
	Approve  incidentApproveCmd  `cmd:"" help:"Approve its report, which somebody else wrote."`
	Action   incidentActionCmd   `cmd:"" help:"Ask for an action, so that it does not happen again."`
	Done     incidentDoneCmd     `cmd:"" help:"Close an action."`
	Close    incidentCloseCmd    `cmd:"" help:"Close it."`
}

// incidentRow is an incident as the API gives it.
type incidentRow struct {
	ID          string `json:"id"`
	Environment string `json:"environment"`
	State       string `json:"state"`
	Severity    int    `json:"severity"`
	Exercise    bool   `json:"exercise"`
	Title       string `json:"title"`
	Detector    string `json:"detector"`
	Agent       string `json:"agent"`
	Owner       string `json:"owner"`
	Signals     int64  `json:"signals"`
	OpenedAt    string `json:"opened_at"`
	ContainedAt string `json:"contained_at"`
	ResolvedAt  string `json:"resolved_at"`
	Report      *struct {
		ID         string `json:"id"`
		ApprovedBy string `json:"approved_by"`
	} `json:"report"`
	Actions []struct {
		ID       string `json:"id"`
		Due      string `json:"due"`
		ClosedAt string `json:"closed_at"`
	} `json:"actions"`
	ContainedBy []string `json:"contained_by"`
	Timeline    []struct {
		At   string `json:"at"`
		Says string `json:"says"`
		Text string `json:"text"`
	} `json:"timeline"`
	LeftOut int64 `json:"signals_left_out"`
}

func (i incidentRow) severity() string {
	if i.Exercise {
		return fmt.Sprintf("SEV%d exercise", i.Severity)
	}
	return fmt.Sprintf("SEV%d", i.Severity)
}

func (i incidentRow) owner() string {
	if i.Owner == "" {
		return "nobody"
	}
	return i.Owner
}

func (i incidentRow) print(s std) error {
	rows := [][]string{{"incident", i.ID}, {"what", i.Title}, {"severity", i.severity()}, {"state", i.State}, {"owner", i.owner()}, {"opened", i.OpenedAt + " in " + i.Environment}}
	for _, row := range [][]string{{"contained", i.ContainedAt}, {"by", strings.Join(i.ContainedBy, ", ")}, {"resolved", i.ResolvedAt}} {
		if row[1] != "" {
			rows = append(rows, row)
		}
	}
	if i.Report != nil {
		state := "to be approved by somebody else"
		if i.Report.ApprovedBy != "" {
			state = "approved"
		}
		rows = append(rows, []string{"report", i.Report.ID + ", " + state})
	}
	for _, a := range i.Actions {
		if a.ClosedAt == "" {
			rows = append(rows, []string{"action", a.ID + ", due " + a.Due})
		}
	}
	return table(s.out, rows)
}

type incidentListCmd struct {
	asPerson
	Environment string `help:"Environment." default:"prod" short:"e"`
	State       string `help:"Only those in this state." enum:"open,new,triage,active,contained,resolved,closed,dismissed,merged,any" default:"open"`
	Severity    int    `help:"Only those of this severity, 1 to 4."`
	From        string `help:"Opened from then on, 2026-11-01T00:00:00Z."`
	To          string `help:"Opened before."`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (incidentListCmd) Help() string {
	return `Examples:
  writ incidents                                  what is open
  writ incidents list --state any --from 2026-07-01T00:00:00Z --json`
}

// Run lists incidents.
func (c incidentListCmd) Run(ctx context.Context, s std) error {
	query := url.Values{"environment": {c.Environment}}
	for name, value := range map[string]string{"state": c.State, "from": c.From, "to": c.To} {
		if value != "" && value != "any" {
			query.Set(name, value)
		}
	}
	if c.Severity != 0 {
		query.Set("severity", fmt.Sprint(c.Severity))
	}
	var page struct {
		Statement string        `json:"statement"`
		Incidents []incidentRow `json:"incidents"`
		Next      string        `json:"next_cursor"`
	}
	data, err := c.get(ctx, c.reader(), "/v1/incidents", query, &page)
	if err != nil {
		return err
	}
	rows := [][]string{{"ID", "SEVERITY", "STATE", "OWNER", "SIGNALS", "OPENED", "WHAT"}}
	for _, i := range page.Incidents {
		rows = append(rows, []string{i.ID, i.severity(), i.State, i.owner(), fmt.Sprint(i.Signals), i.OpenedAt, i.Title})
	}
	return printPage(s, c.JSON, data, rows, "None. "+page.Statement, page.Next)
}

// anIncident is who asks, and about which incident.
type anIncident struct {
	asPerson
	ID string `arg:"" help:"The incident, inc_…"`
}

func (a anIncident) path() string { return "/v1/incidents/" + url.PathEscape(a.ID) }

// step asks for a step and prints where the incident is. What is empty is left out.
func (a anIncident) step(ctx context.Context, s std, event string, fields map[string]any) error {
	if a.person() == "" {
		return errors.New("people work on incidents: run writ login, or set WRIT_PERSON_TOKEN")
	}
	ask := map[string]any{"event": event}
	for name, value := range fields {
		switch v := value.(type) {
		case string:
			if v == "" {
				continue
			}
		case []string:
			if len(v) == 0 {
				continue
			}
		default:
		}
		ask[name] = value
	}
	var i incidentRow
	if _, err := a.send(ctx, a.person(), http.MethodPost, a.path()+"/events", ask, &i); err != nil {
		return err
	}
	return i.print(s)
}

type incidentShowCmd struct {
	anIncident
	JSON bool `name:"json" help:"Print JSON."`
}

// Run shows an incident.
func (c incidentShowCmd) Run(ctx context.Context, s std) error {
	var i incidentRow
	data, err := c.get(ctx, c.reader(), c.path(), nil, &i)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, data)
	}
	if err := i.print(s); err != nil {
		return err
	}
	fmt.Fprintln(s.out)
	rows := [][]string{}
	for _, l := range i.Timeline {
		rows = append(rows, []string{l.At, l.Says})
	}
	if i.LeftOut > 0 {
		rows = append(rows, []string{"", fmt.Sprintf("%d more signals are left out: see /v1/signals", i.LeftOut)})
	}
	if err := table(s.out, rows); err != nil {
		return err
	}
	return c.runbooks(ctx, s)
}

// runbooks prints what the bundle says is to be done. Whoever wrote it does not get to write to the terminal.
func (c incidentShowCmd) runbooks(ctx context.Context, s std) error {
	var page struct {
		Runbooks []struct {
			File string `json:"file"`
			Text string `json:"text"`
		} `json:"runbooks"`
	}
	if _, err := c.get(ctx, c.reader(), c.path()+"/runbooks", nil, &page); err != nil {
		return err
	}
	for _, book := range page.Runbooks {
		fmt.Fprintf(s.out, "\n%s\n\n", book.File)
		for line := range strings.Lines(book.Text) {
			fmt.Fprintln(s.out, "  "+printable(strings.TrimRight(line, "\r\n")))
		}
	}
	return nil
}

type incidentStatsCmd struct {
	asPerson
	Environment string `help:"Environment." default:"prod" short:"e"`
	Days        int    `help:"Of the last days." default:"30"`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// Run prints the figures.
func (c incidentStatsCmd) Run(ctx context.Context, s std) error {
	now := time.Now().UTC()
	query := url.Values{"environment": {c.Environment}, "from": {now.AddDate(0, 0, -c.Days).Format(time.RFC3339)}, "to": {now.Format(time.RFC3339)}}
	var found struct {
		Opened    int `json:"opened"`
		Exercises int `json:"exercises"`
		Metrics   []struct {
			Name    string  `json:"name"`
			Formula string  `json:"formula"`
			N       int     `json:"n"`
			P50     float64 `json:"p50_seconds"`
			P90     float64 `json:"p90_seconds"`
		} `json:"metrics"`
	}
	data, err := c.get(ctx, c.reader(), "/v1/incidents/stats", query, &found)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, data)
	}
	fmt.Fprintf(s.out, "%d opened in %d days, and %d exercises beside, which are in no figure.\n", found.Opened, c.Days, found.Exercises)
	rows := [][]string{{"FIGURE", "P50", "P90", "OF", "FROM WHAT"}}
	for _, m := range found.Metrics {
		rows = append(rows, []string{m.Name, took(m.P50), took(m.P90), fmt.Sprint(m.N), m.Formula})
	}
	return table(s.out, rows)
}

func took(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

type incidentNewCmd struct {
	asPerson
	Environment string   `help:"Environment." default:"prod" short:"e"`
	Title       string   `help:"What is wrong, in a line." required:""`
	Severity    int      `help:"1, the worst, to 4." default:"3"`
	Text        string   `help:"What you know."`
	Agent       string   `help:"The agent that it is about."`
	Decisions   []string `help:"The decisions that it is about, dec_…"`
	Began       string   `help:"When it began, 2026-11-25T09:00:00Z."`
	Exercise    bool     `help:"It is an exercise."`
}

// Help gives examples.
func (incidentNewCmd) Help() string {
	return `Examples:
  writ incidents new --severity 2 --title "A customer got somebody else's invoice" --agent support-bot`
}

// Run reports an incident.
func (c incidentNewCmd) Run(ctx context.Context, s std) error {
	ask := map[string]any{"environment": c.Environment, "title": c.Title, "severity": c.Severity, "exercise": c.Exercise}
	for name, value := range map[string]string{"text": c.Text, "agent": c.Agent, "effective_at": c.Began} {
		if value != "" {
			ask[name] = value
		}
	}
	if len(c.Decisions) > 0 {
		ask["decisions"] = c.Decisions
	}
	var i incidentRow
	if _, err := c.send(ctx, c.person(), http.MethodPost, "/v1/incidents", ask, &i); err != nil {
		return err
	}
	return i.print(s)
}

type incidentAckCmd struct{ anIncident }

// Run takes it.
func (c incidentAckCmd) Run(ctx context.Context, s std) error { return c.step(ctx, s, "ack", nil) }

type incidentNoteCmd struct {
	anIncident
	Text string `arg:"" help:"What."`
	At   string `help:"When it happened, if before now."`
}

// Run notes something.
func (c incidentNoteCmd) Run(ctx context.Context, s std) error {
	return c.step(ctx, s, "note", map[string]any{"text": c.Text, "effective_at": c.At})
}

type incidentSeverityCmd struct {
	anIncident
	Severity int    `arg:"" help:"1, the worst, to 4."`
	Text     string `help:"Why." required:"" name:"reason"`
}

// Run changes the severity.
func (c incidentSeverityCmd) Run(ctx context.Context, s std) error {
	return c.step(ctx, s, "severity.changed", map[string]any{"severity": c.Severity, "text": c.Text})
}

type incidentGiveCmd struct {
	anIncident
	To   string `arg:"" help:"To whom, user:ID."`
	Text string `help:"Why." name:"reason"`
}

// Run changes the owner.
func (c incidentGiveCmd) Run(ctx context.Context, s std) error {
	return c.step(ctx, s, "owner.changed", map[string]any{"owner": c.To, "text": c.Text})
}

type incidentDeclareCmd struct {
	anIncident
	Text string `help:"Why." name:"reason"`
}

// Run declares it.
func (c incidentDeclareCmd) Run(ctx context.Context, s std) error {
	return c.step(ctx, s, "declared", map[string]any{"text": c.Text})
}

type incidentContainCmd struct {
	anIncident
	Agent      string `help:"Stop this agent." xor:"how" required:""`
	Tool       string `help:"Stop this tool, server/tool." xor:"how" required:""`
	Category   string `help:"Stop tools of this category." xor:"how" required:""`
	Session    string `help:"Stop this session." xor:"how" required:""`
	All        bool   `help:"Stop everything." xor:"how" required:""`
	Switch     string `help:"By this switch, which is engaged already." xor:"how" required:""`
	Rollback   string `help:"By this activation of a bundle, act_…" xor:"how" required:""`
	Credential string `help:"By this credential, which is revoked." xor:"how" required:""`
	Otherwise  bool   `help:"By other means: say which with --reason." xor:"how" required:""`
	Reason     string `help:"Why; with a switch, agents are told." required:""`
	People     int    `help:"How many people it takes to release the switch: 1 or 2." default:"1"`
	At         string `help:"When it was contained, if before now."`
}

// Help gives examples.
func (incidentContainCmd) Help() string {
	return `Examples:
  writ incidents contain inc_000000000jd2d69vktekatahg8 --agent support-bot --reason "Refunds without a ticket."
  writ incidents contain inc_000000000jd2d69vktekatahg8 --otherwise --reason "The vendor's server is off."`
}

// Run contains it.
func (c incidentContainCmd) Run(ctx context.Context, s std) error {
	for event, ref := range map[string]string{"containment.kill_switch": c.Switch, "containment.policy_rollback": c.Rollback, "containment.credential_revoked": c.Credential} {
		if ref != "" {
			return c.step(ctx, s, event, map[string]any{"refs": []string{ref}, "text": c.Reason, "effective_at": c.At})
		}
	}
	if c.Otherwise {
		return c.step(ctx, s, "containment.other", map[string]any{"text": c.Reason, "effective_at": c.At})
	}
	stop := map[string]any{"reason": c.Reason, "people": c.People}
	for name, value := range map[string]string{"agent": c.Agent, "tool": c.Tool, "category": c.Category, "session": c.Session} {
		if value != "" {
			stop[name] = value
		}
	}
	if c.All {
		stop["all"] = true
	}
	return c.step(ctx, s, "containment.kill_switch", map[string]any{"switch": stop})
}

type incidentResolveCmd struct {
	anIncident
	Text string `help:"What ended it." required:"" name:"reason"`
	At   string `help:"When, if before now."`
}

// Run resolves it.
func (c incidentResolveCmd) Run(ctx context.Context, s std) error {
	return c.step(ctx, s, "resolved", map[string]any{"text": c.Text, "effective_at": c.At})
}

type incidentDismissCmd struct {
	anIncident
	As   string `help:"As what." enum:"false_positive,duplicate,benign,test" required:""`
	Text string `help:"Why." required:"" name:"reason"`
}

// Help says who may.
func (incidentDismissCmd) Help() string {
	return `An incident of severity 1 or 2 is dismissed by somebody else than its owner.

Examples:
  writ incidents dismiss inc_000000000jd2d69vktekatahg8 --as benign --reason "The load test of Monday."`
}

// Run dismisses it.
func (c incidentDismissCmd) Run(ctx context.Context, s std) error {
	return c.step(ctx, s, "dismissed", map[string]any{"reason": c.As, "text": c.Text})
}

type incidentMergeCmd struct {
	anIncident
	Into string `help:"The other one, inc_…" required:""`
	Text string `help:"Why." required:"" name:"reason"`
}

// Run merges it.
func (c incidentMergeCmd) Run(ctx context.Context, s std) error {
	return c.step(ctx, s, "merged", map[string]any{"into": c.Into, "text": c.Text})
}

type incidentReopenCmd struct {
	anIncident
	Text string `help:"Why." required:"" name:"reason"`
}

// Run reopens it.
func (c incidentReopenCmd) Run(ctx context.Context, s std) error {
	return c.step(ctx, s, "reopened", map[string]any{"text": c.Text})
}

type incidentLinkCmd struct {
	anIncident
	Decisions []string `arg:"" help:"The decisions, dec_…"`
	Text      string   `help:"Why." name:"reason"`
}

// Run links decisions.
func (c incidentLinkCmd) Run(ctx context.Context, s std) error {
	return c.step(ctx, s, "decision.linked", map[string]any{"refs": c.Decisions, "text": c.Text})
}

type incidentTellCmd struct {
	anIncident
	Text    string `arg:"" help:"Who was told what."`
	Outside bool   `help:"They are customers, authorities or others outside."`
	At      string `help:"When, if before now."`
}

// Run records a communication.
func (c incidentTellCmd) Run(ctx context.Context, s std) error {
	event := "comms.internal"
	if c.Outside {
		event = "comms.external"
	}
	return c.step(ctx, s, event, map[string]any{"text": c.Text, "effective_at": c.At})
}

type incidentAssessCmd struct {
	anIncident
	ControlFailed    string `help:"A control was not suitably designed, or did not operate." enum:"yes,no" required:""`
	CommitmentMissed string `help:"What customers were promised was significantly missed." enum:"yes,no" required:""`
	ConfidentialData string `help:"It touched confidential data." enum:"yes,no" required:""`
	PersonalData     string `help:"It touched personal data." enum:"yes,no" required:""`
	TellOutside      string `help:"Customers, authorities or others outside have to be told." enum:"yes,no" required:""`
	Text             string `help:"Why you think so." required:"" name:"reason"`
}

// Run records an assessment.
func (c incidentAssessCmd) Run(ctx context.Context, s std) error {
	return c.step(ctx, s, "disclosure.assessed", map[string]any{"text": c.Text, "assessment": map[string]bool{
		"control_failed": c.ControlFailed == "yes", "commitment_missed": c.CommitmentMissed == "yes", "confidential_data": c.ConfidentialData == "yes",
		"personal_data": c.PersonalData == "yes", "tell_outside": c.TellOutside == "yes",
	}})
}

type incidentReportCmd struct {
	anIncident
	Save  string `help:"Save the text of this file (- for the standard input) as the report."`
	Fresh bool   `help:"What the ledger says by now, rather than what somebody wrote."`
}

// Help gives examples.
func (incidentReportCmd) Help() string {
	return `Examples:
  writ incidents report inc_000000000jd2d69vktekatahg8 > report.md
  writ incidents report inc_000000000jd2d69vktekatahg8 --save report.md`
}

// Run prints the report or saves one.
func (c incidentReportCmd) Run(ctx context.Context, s std) error {
	if c.Save != "" {
		read := func() ([]byte, error) { return os.ReadFile(c.Save) }
		if c.Save == "-" {
			read = func() ([]byte, error) { return io.ReadAll(io.LimitReader(s.in, 1<<20)) }
		}
		text, err := read()
		if err != nil {
			return err
		}
		return c.step(ctx, s, "report.drafted", map[string]any{"text": string(text)})
	}
	var query url.Values
	if c.Fresh {
		query = url.Values{"fresh": {"true"}}
	}
	var report struct {
		Text string `json:"text"`
	}
	if _, err := c.get(ctx, c.reader(), c.path()+"/report", query, &report); err != nil {
		return err
	}
	fmt.Fprintln(s.out, report.Text)
	return nil
}

type incidentApproveCmd struct {
	anIncident
	Report string `help:"The draft that you read, ent_…, as writ incidents show names it." required:""`
}

// Run approves the report.
func (c incidentApproveCmd) Run(ctx context.Context, s std) error {
	return c.step(ctx, s, "report.approved", map[string]any{"refs": []string{c.Report}})
}

type incidentActionCmd struct {
	anIncident
	Text    string   `arg:"" help:"What is to be done."`
	Owner   string   `help:"Who does it, user:ID." required:""`
	Due     string   `help:"Until when, 2026-12-15T00:00:00Z." required:""`
	Changes []string `help:"The changes that do it, chg_…"`
}

// Run asks for an action.
func (c incidentActionCmd) Run(ctx context.Context, s std) error {
	return c.step(ctx, s, "action.created", map[string]any{"text": c.Text, "owner": c.Owner, "due": c.Due, "refs": c.Changes})
}

type incidentDoneCmd struct {
	anIncident
	Action  string   `arg:"" help:"The action, ent_…"`
	Changes []string `help:"The changes that did it, chg_…"`
}

// Run closes an action.
func (c incidentDoneCmd) Run(ctx context.Context, s std) error {
	return c.step(ctx, s, "action.closed", map[string]any{"refs": append([]string{c.Action}, c.Changes...)})
}

type incidentCloseCmd struct {
	anIncident
	Text string `help:"Anything to add." name:"reason"`
}

// Help says what it takes.
func (incidentCloseCmd) Help() string {
	return `An incident of severity 1 or 2 closes with a report that somebody else approved, one of severity 1 to 3 with an assessment.`
}

// Run closes it.
func (c incidentCloseCmd) Run(ctx context.Context, s std) error {
	return c.step(ctx, s, "closed", map[string]any{"text": c.Text})
}
