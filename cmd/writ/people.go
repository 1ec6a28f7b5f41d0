package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

type peopleCmd struct {
	List   peopleListCmd   `cmd:"" default:"withargs" help:"Who was invited or signed in."`
	Invite peopleInviteCmd `cmd:"" help:"Make a link with which a person enrols a passkey; it is shown once."`
	Remove peopleRemoveCmd `cmd:"" help:"Remove a person: they sign in no more, and their sessions are over."`
}

// personRow is a person as the API gives it.
type personRow struct {
	Ref        string   `json:"ref"`
	Principal  string   `json:"principal"`
	Name       string   `json:"name"`
	State      string   `json:"state"`
	Roles      []string `json:"roles"`
	Groups     []string `json:"groups"`
	Passkeys   int      `json:"passkeys"`
	SignedInAt string   `json:"signed_in_at"`
}

type peopleListCmd struct {
	remote
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists people.
func (c peopleListCmd) Run(ctx context.Context, s std) error {
	var page struct {
		People []personRow `json:"people"`
	}
	data, err := c.get(ctx, c.AdminToken, "/v1/people", url.Values{"limit": {"200"}}, &page)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, data)
	}
	rows := [][]string{{"PERSON", "NAME", "STATE", "ROLES", "GROUPS", "PASSKEYS", "SIGNED IN", "REF"}}
	for _, p := range page.People {
		rows = append(rows, []string{p.Principal, p.Name, p.State, strings.Join(p.Roles, ","), strings.Join(p.Groups, ","), fmt.Sprint(p.Passkeys), p.SignedInAt, p.Ref})
	}
	return table(s.out, rows)
}

type peopleInviteCmd struct {
	remote
	Person string   `arg:"" help:"The user, as bundles name them: user:tom."`
	Name   string   `help:"Name, for people to read."`
	Email  string   `help:"Address of e-mail, for people to read."`
	Role   []string `help:"A role everywhere: admin, author, responder or auditor. May be repeated; bundles give roles in their environments."`
	JSON   bool     `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (peopleInviteCmd) Help() string {
	return `Examples:
  writ people invite user:maria --name "Maria Rossi"
  writ people invite user:omar --role admin`
}

// Run makes a link.
func (c peopleInviteCmd) Run(ctx context.Context, s std) error {
	person := c.Person
	if !strings.Contains(person, ":") {
		person = "user:" + person
	}
	ask := map[string]any{"person": person, "name": c.Name, "email": c.Email}
	if len(c.Role) > 0 {
		ask["roles"] = c.Role
	}
	var made struct {
		Link      string `json:"link"`
		ExpiresAt string `json:"expires_at"`
	}
	data, err := c.send(ctx, c.AdminToken, http.MethodPost, "/v1/people", ask, &made)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, data)
	}
	_, err = fmt.Fprintf(s.out, "%s enrols a passkey with this link, once, until %s:\n\n  %s\n", person, made.ExpiresAt, made.Link)
	return err
}

type peopleRemoveCmd struct {
	remote
	Ref    string `arg:"" help:"The person's reference, as writ people list shows it."`
	Reason string `required:"" help:"Why; it is recorded."`
}

// Help gives examples.
func (peopleRemoveCmd) Help() string {
	return `Examples:
  writ people remove p_1cypafv3a0b51rbd34f1s7kw4b --reason "left the company"`
}

// Run removes a person.
func (c peopleRemoveCmd) Run(ctx context.Context, s std) error {
	var p personRow
	if _, err := c.send(ctx, c.AdminToken, http.MethodDelete, "/v1/people/"+url.PathEscape(c.Ref), map[string]string{"reason": c.Reason}, &p); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, "%s is removed.\n", p.Principal)
	return err
}
