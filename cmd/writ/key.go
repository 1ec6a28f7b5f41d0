package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

type keyCmd struct {
	Issue  keyIssueCmd  `cmd:"" help:"Issue a key for an agent; it is shown once."`
	List   keyListCmd   `cmd:"" help:"List the credentials, without their secrets."`
	Revoke keyRevokeCmd `cmd:"" help:"Revoke a credential, at once on every node."`
}

// credential is a credential as the API gives it.
type credential struct {
	ID          string `json:"id"`
	Role        string `json:"role"`
	Environment string `json:"environment"`
	Agent       string `json:"agent"`
	Principal   string `json:"principal"`
	ExpiresAt   string `json:"expires_at"`
	Revoked     bool   `json:"revoked"`
	Note        string `json:"note"`
	Token       string `json:"token"`
}

type keyIssueCmd struct {
	remote
	Agent       string `arg:"" help:"The agent, as agents.yaml names it."`
	Environment string `required:"" short:"e" help:"The environment the key is for."`
	Principal   string `default:"runs_as" help:"For whom the agent may call: runs_as (as the inventory says), asserted (each call names one), verified (each call brings the principal's token), or one principal as type:id."`
	Days        int    `default:"90" help:"Days until the key expires, 366 at most."`
	Note        string `help:"What the key is for."`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (keyIssueCmd) Help() string {
	return `Examples:
  writ key issue support-bot -e prod
  writ key issue support-bot -e prod --principal asserted --days 30 --note "canary"
  writ key issue finance-bot -e prod --principal service:billing --json`
}

// Run issues a key.
func (c keyIssueCmd) Run(ctx context.Context, s std) error {
	var issued credential
	data, err := c.send(ctx, c.AdminToken, http.MethodPost, "/v1/credentials", map[string]any{
		"agent": c.Agent, "environment": c.Environment, "principal": c.Principal, "expires_in_days": c.Days, "note": c.Note,
	}, &issued)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, data)
	}
	fmt.Fprintf(s.err, "Key %s of %s in %s, for principal %s, until %s. It is shown this once:\n", issued.ID, issued.Agent, issued.Environment, issued.Principal, issued.ExpiresAt)
	_, err = fmt.Fprintln(s.out, issued.Token)
	return err
}

type keyListCmd struct {
	remote
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists the credentials.
func (c keyListCmd) Run(ctx context.Context, s std) error {
	var list struct {
		Credentials []credential `json:"credentials"`
	}
	data, err := c.get(ctx, c.AdminToken, "/v1/credentials", nil, &list)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, data)
	}
	rows := [][]string{{"ID", "ROLE", "ENVIRONMENT", "AGENT", "PRINCIPAL", "EXPIRES", "STATE", "NOTE"}}
	for _, k := range list.Credentials {
		state := "valid"
		if k.Revoked {
			state = "revoked"
		}
		rows = append(rows, []string{k.ID, k.Role, k.Environment, k.Agent, k.Principal, k.ExpiresAt, state, k.Note})
	}
	return table(s.out, rows)
}

type keyRevokeCmd struct {
	remote
	ID     string `arg:"" help:"The credential's id, as writ key list shows it."`
	Reason string `required:"" help:"Why; it is recorded."`
}

// Help gives an example.
func (keyRevokeCmd) Help() string {
	return "Example:\n  writ key revoke 3k2j9x0a7c5d1f8g --reason \"laptop lost\""
}

// Run revokes a credential.
func (c keyRevokeCmd) Run(ctx context.Context, s std) error {
	if _, err := c.send(ctx, c.AdminToken, http.MethodDelete, "/v1/credentials/"+url.PathEscape(c.ID), map[string]string{"reason": c.Reason}, nil); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, "%s is revoked; no decision after this is made for it\n", c.ID)
	return err
}
