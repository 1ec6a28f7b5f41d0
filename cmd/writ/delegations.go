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

// delegationPrefix begins the id of a standing consent, where others begin that of a request about one call.
const delegationPrefix = "del_"

// delegationRow is a standing consent as the API gives it.
type delegationRow struct {
	ID          string   `json:"id"`
	Environment string   `json:"environment"`
	State       string   `json:"state"`
	Policy      string   `json:"policy"`
	Agent       string   `json:"agent"`
	Tool        string   `json:"tool"`
	Principal   string   `json:"principal"`
	When        string   `json:"when"`
	Until       string   `json:"until"`
	UsesMax     int64    `json:"uses_max"`
	Uses        int64    `json:"uses"`
	Groups      []string `json:"groups"`
	Quorum      int      `json:"quorum"`
	ApproveBy   string   `json:"approve_by"`
	Person      string   `json:"person"`
	Votes       []struct {
		Person string `json:"person"`
		Vote   string `json:"vote"`
		At     string `json:"at"`
	} `json:"votes"`
	Shown  string `json:"shown"`
	Reason string `json:"reason"`
	Text   string `json:"text"`
	For    struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	} `json:"for"`
}

// calls says which calls it is for.
func (d delegationRow) calls() string {
	out := d.Agent + " calling "
	if d.Tool == "" {
		out += "any tool"
	} else {
		out += d.Tool
	}
	if d.For.ID != "" {
		out += " for " + d.For.Type + ":" + d.For.ID
	} else if d.Principal != "" {
		out += " for " + d.Principal
	}
	if d.When != "" {
		out += " when " + d.When
	}
	return out
}

func (d delegationRow) used() string {
	if d.UsesMax == 0 {
		return fmt.Sprint(d.Uses)
	}
	return fmt.Sprintf("%d of %d", d.Uses, d.UsesMax)
}

func (d delegationRow) print(s std) error {
	rows := [][]string{
		{"delegation", d.ID}, {"state", d.State}, {"lifts", d.Policy + " in " + d.Environment}, {"for", d.calls()}, {"until", d.Until}, {"used", d.used()},
		{"asked by", d.Person}, {"because", d.Reason}, {"asked", fmt.Sprintf("%d of %s, until %s", d.Quorum, strings.Join(d.Groups, " or "), d.ApproveBy)},
	}
	for _, v := range d.Votes {
		rows = append(rows, []string{"vote", v.Vote + " by " + v.Person + " at " + v.At})
	}
	if err := table(s.out, append(rows, []string{"digest", d.Shown})); err != nil || d.Text == "" {
		return err
	}
	_, err := fmt.Fprintf(s.out, "\n%s\n", d.Text)
	return err
}

type delegationsCmd struct {
	asPerson
	Environment string `help:"Environment." default:"prod" short:"e"`
	State       string `help:"Only those in this state." enum:"pending,granted,denied,expired,ended,used_up,over,lapsed,any" default:"any"`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (delegationsCmd) Help() string {
	return `Examples:
  writ approvals delegations                  what people consented to beforehand, and how often it was used
  writ approvals delegations --state pending  what waits for votes`
}

// Run lists standing consents.
func (c delegationsCmd) Run(ctx context.Context, s std) error {
	query := url.Values{"environment": {c.Environment}}
	if c.State != "any" {
		query.Set("state", c.State)
	}
	var page struct {
		Delegations []delegationRow `json:"delegations"`
		Next        string          `json:"next_cursor"`
	}
	data, err := c.get(ctx, c.reader(), "/v1/delegations", query, &page)
	if err != nil {
		return err
	}
	rows := [][]string{{"ID", "STATE", "POLICY", "FOR", "USED", "UNTIL"}}
	for _, d := range page.Delegations {
		rows = append(rows, []string{d.ID, d.State, d.Policy, d.calls(), d.used(), d.Until})
	}
	return printPage(s, c.JSON, data, rows, "Nothing.", page.Next)
}

type delegateCmd struct {
	asPerson
	Environment string        `help:"Environment." default:"prod" short:"e"`
	Policy      string        `help:"The @id of the policy that would ask." required:""`
	Agent       string        `help:"Whose calls." required:""`
	Tool        string        `help:"Of this tool only."`
	Principal   string        `help:"Made for this principal only: type:id."`
	When        string        `help:"Only when this Cedar condition over context.input holds. With --tool."`
	For         time.Duration `help:"For how long, up to 24h." required:""`
	Uses        int64         `help:"For so many calls, up to 1000; any number when it is left out."`
	Reason      string        `help:"Why; shown to those who vote." required:""`
}

// Help gives examples.
func (delegateCmd) Help() string {
	return `Asks the people whom the policy would ask to consent beforehand. Others than you vote on it, by the rules of the policy.

Examples:
  writ approvals delegate --policy refunds-over-500 --agent support-bot --tool stripe/refund \
    --when 'context.input.amount < 1000' --for 2h --uses 20 --reason "the outage of Monday"`
}

// Run asks for a standing consent.
func (c delegateCmd) Run(ctx context.Context, s std) error {
	token := c.person()
	if token == "" {
		return errNobody
	}
	ask := map[string]any{
		"environment": c.Environment, "policy": c.Policy, "agent": c.Agent, "until": time.Now().Add(c.For).UTC().Format(time.RFC3339), "reason": c.Reason,
	}
	for name, value := range map[string]string{"tool": c.Tool, "when": c.When} {
		if value != "" {
			ask[name] = value
		}
	}
	if c.Principal != "" {
		kind, id, _ := strings.Cut(c.Principal, ":")
		ask["principal"] = map[string]string{"type": kind, "id": id}
	}
	if c.Uses != 0 {
		ask["uses_max"] = c.Uses
	}
	var d delegationRow
	if _, err := c.send(ctx, token, http.MethodPost, "/v1/delegations", ask, &d); err != nil {
		return err
	}
	return d.print(s)
}

type endCmd struct {
	asPerson
	ID     string `arg:"" help:"The delegation, del_…"`
	Reason string `help:"Why; kept with the entry, erasable."`
}

// Help gives examples.
func (endCmd) Help() string {
	return `Ends a standing consent at once, or withdraws the request for it. Anybody whom the policy asks may.

Examples:
  writ approvals end del_000000000jd2d69vktekatahg8 --reason "the outage is over"`
}

// Run ends a standing consent.
func (c endCmd) Run(ctx context.Context, s std) error {
	token := c.person()
	if token == "" {
		return errNobody
	}
	var d delegationRow
	if _, err := c.send(ctx, token, http.MethodDelete, "/v1/delegations/"+url.PathEscape(c.ID), map[string]string{"reason": c.Reason}, &d); err != nil {
		return err
	}
	return d.print(s)
}

var errNobody = errors.New("only a person does that: run writ login, or set WRIT_PERSON_TOKEN to a token of your identity provider")
