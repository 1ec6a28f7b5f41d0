package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

type approvalsCmd struct {
	List    approvalsListCmd `cmd:"" default:"withargs" help:"What waits for a person, or waited."`
	Show    approvalsShowCmd `cmd:"" help:"One request: what is asked, why, and who answered."`
	Approve approveCmd       `cmd:"" help:"Consent to one call, or to a delegation."`
	Deny    denyCmd          `cmd:"" help:"Refuse one call, or a delegation. A denial is final."`

	Delegations delegationsCmd `cmd:"" help:"What people consented to beforehand, or are asked to."`
	Delegate    delegateCmd    `cmd:"" help:"Ask for consent beforehand to some calls, for some hours."`
	End         endCmd         `cmd:"" help:"End a delegation at once."`
}

// asPerson is a person who signed in: with writ login, or with a token of the organization's identity provider. The
// administrator may look, and not vote.
type asPerson struct {
	remote
	PersonToken string `help:"A token of your identity provider (an ID token for Writ's audience), in the place of writ login." env:"WRIT_PERSON_TOKEN"`
}

func (p asPerson) reader() string {
	if token := p.person(); token != "" {
		return token
	}
	return p.AdminToken
}

// person is the token that a person votes and reviews with.
func (p asPerson) person() string {
	if p.PersonToken != "" {
		return p.PersonToken
	}
	return keptSession(p.URL)
}

// requestRow is a request for approval as the API gives it.
type requestRow struct {
	ID          string `json:"id"`
	Environment string `json:"environment"`
	State       string `json:"state"`
	Agent       string `json:"agent"`
	Tool        string `json:"tool"`
	Principal   struct {
		Type      string `json:"type"`
		Ref       string `json:"ref"`
		Assurance string `json:"assurance"`
	} `json:"principal"`
	Session string `json:"session"`
	Asked   struct {
		Groups    []string `json:"groups"`
		Quorum    int      `json:"quorum"`
		ApproveBy string   `json:"approve_by"`
	} `json:"asked"`
	Votes []struct {
		Person string `json:"person"`
		Vote   string `json:"vote"`
		At     string `json:"at"`
	} `json:"votes"`
	ExecuteBy string      `json:"execute_by"`
	Shown     string      `json:"shown"`
	Why       decisionRow `json:"why"`
	Call      struct {
		Principal struct {
			Type string `json:"type"`
			ID   string `json:"id"`
		} `json:"principal"`
		Input json.RawMessage `json:"input"`
	} `json:"call"`
}

type approvalsListCmd struct {
	asPerson
	Environment string `help:"Environment." default:"prod" short:"e"`
	State       string `help:"Only those in this state." enum:"pending,approved,denied,expired,unused,consumed,any" default:"pending"`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (approvalsListCmd) Help() string {
	return `Examples:
  writ approvals                       what waits for you
  writ approvals list --state any -e staging --json`
}

// Run lists requests.
func (c approvalsListCmd) Run(ctx context.Context, s std) error {
	query := url.Values{"environment": {c.Environment}}
	if c.State != "any" {
		query.Set("state", c.State)
	}
	var page struct {
		Approvals []requestRow `json:"approvals"`
		Next      string       `json:"next_cursor"`
	}
	data, err := c.get(ctx, c.reader(), "/v1/approvals", query, &page)
	if err != nil {
		return err
	}
	rows := [][]string{{"ID", "STATE", "AGENT", "TOOL", "ASKED", "VOTES", "UNTIL"}}
	for _, r := range page.Approvals {
		until := r.Asked.ApproveBy
		if r.ExecuteBy != "" {
			until = r.ExecuteBy
		}
		rows = append(rows, []string{r.ID, r.State, r.Agent, r.Tool, strings.Join(r.Asked.Groups, ","), fmt.Sprintf("%d of %d", len(r.Votes), r.Asked.Quorum), until})
	}
	return printPage(s, c.JSON, data, rows, "Nothing.", page.Next)
}

type approvalsShowCmd struct {
	asPerson
	ID   string `arg:"" help:"The request, apr_…, or the delegation, del_…"`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (approvalsShowCmd) Help() string {
	return `Examples:
  writ approvals show apr_000000000jd2d69vktekatahg8`
}

// Run shows a request.
func (c approvalsShowCmd) Run(ctx context.Context, s std) error {
	var r answerable
	data, err := c.get(ctx, c.reader(), pathOf(c.ID), nil, r.of(c.ID))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, data)
	}
	return r.print(s)
}

func (r requestRow) print(s std) error {
	principal := r.Principal.Type + ":" + r.Principal.Ref
	if r.Call.Principal.ID != "" {
		principal = r.Call.Principal.Type + ":" + r.Call.Principal.ID
	}
	rows := [][]string{
		{"request", r.ID}, {"state", r.State}, {"agent", r.Agent + " in " + r.Environment}, {"for", principal + " (" + r.Principal.Assurance + ")"},
		{"tool", r.Tool}, {"input", string(r.Call.Input)},
		{"asked", fmt.Sprintf("%d of %s, until %s", r.Asked.Quorum, strings.Join(r.Asked.Groups, " or "), r.Asked.ApproveBy)},
	}
	for _, reason := range r.Why.Reasons {
		rows = append(rows, []string{"why", strings.TrimSpace(reason.Policy + ": " + reason.Message)})
	}
	for _, v := range r.Votes {
		rows = append(rows, []string{"vote", v.Vote + " by " + v.Person + " at " + v.At})
	}
	if r.ExecuteBy != "" {
		rows = append(rows, []string{"to be run by", r.ExecuteBy})
	}
	return table(s.out, append(rows, []string{"digest", r.Shown}))
}

// ballot is a vote on what was shown.
type ballot struct {
	asPerson
	ID      string `arg:"" help:"The request, apr_…, or the delegation, del_…"`
	Comment string `help:"Why; kept with the vote, erasable."`
	Shown   string `help:"Digest of what you were shown (writ approvals show), to vote on exactly that."`
}

type approveCmd struct{ ballot }

// Help gives examples.
func (approveCmd) Help() string {
	return `Shows the request, asks, and votes on exactly what it showed. With --shown it does not ask. Needs a sign-in of the last
15 minutes.

Examples:
  WRIT_PERSON_TOKEN=… writ approvals approve apr_000000000jd2d69vktekatahg8 --comment "seen the invoice"
  WRIT_PERSON_TOKEN=… writ approvals approve apr_000000000jd2d69vktekatahg8 --shown DIGEST`
}

// Run approves.
func (c approveCmd) Run(ctx context.Context, s std) error { return c.cast(ctx, s, "approve") }

type denyCmd struct{ ballot }

// Help gives examples.
func (denyCmd) Help() string {
	return `Examples:
  WRIT_PERSON_TOKEN=… writ approvals deny apr_000000000jd2d69vktekatahg8 --comment "wrong supplier"`
}

// Run denies.
func (c denyCmd) Run(ctx context.Context, s std) error { return c.cast(ctx, s, "deny") }

// shown is what a person reads before an answer.
type shown interface{ print(s std) error }

// meant shows what is to be answered and asks whether that is meant, unless the digest of what was shown before is given.
func meant(s std, what shown, given, digest, question string) error {
	if given != "" {
		if given != digest {
			return fmt.Errorf("this is not what you were shown: its digest is %s", digest)
		}
		return nil
	}
	if err := what.print(s); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\n%s? [y/N] ", question)
	var answer string
	_, err := fmt.Fscanln(s.in, &answer) // no further than the line, and no answer is no
	if err != nil || !strings.EqualFold(answer, "y") {
		return errors.New("nothing was recorded")
	}
	return nil
}

// answerable is a request about one call, or one for a standing consent.
type answerable struct {
	requestRow
	delegation *delegationRow
}

func pathOf(id string) string {
	if strings.HasPrefix(id, delegationPrefix) {
		return "/v1/delegations/" + url.PathEscape(id)
	}
	return "/v1/approvals/" + url.PathEscape(id)
}

// of is where the answer about an id is read into.
func (a *answerable) of(id string) any {
	if strings.HasPrefix(id, delegationPrefix) {
		a.delegation = &delegationRow{}
		return a.delegation
	}
	return &a.requestRow
}

func (a answerable) digest() string {
	if a.delegation != nil {
		return a.delegation.Shown
	}
	return a.Shown
}

func (a answerable) print(s std) error {
	if a.delegation != nil {
		return a.delegation.print(s)
	}
	return a.requestRow.print(s)
}

func (c ballot) cast(ctx context.Context, s std, vote string) error {
	token := c.person()
	if token == "" {
		return errors.New("only a person votes: run writ login, or set WRIT_PERSON_TOKEN to a token of your identity provider")
	}
	var r answerable
	if _, err := c.get(ctx, token, pathOf(c.ID), nil, r.of(c.ID)); err != nil {
		return err
	}
	what := " this call"
	if r.delegation != nil {
		what = " this delegation"
	}
	if err := meant(s, r, c.Shown, r.digest(), vote+what); err != nil {
		return err
	}
	if _, err := c.send(ctx, token, http.MethodPost, pathOf(c.ID)+"/votes", map[string]string{"vote": vote, "shown": r.digest(), "comment": c.Comment}, r.of(c.ID)); err != nil {
		return err
	}
	return r.print(s)
}
