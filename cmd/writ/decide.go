package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

type decideCmd struct {
	remote
	APIKey    string `required:"" help:"The agent's key." env:"WRIT_API_KEY"`
	Tool      string `arg:"" help:"The tool (server/tool)."`
	Input     string `arg:"" optional:"" help:"The arguments as a JSON object." default:"{}"`
	Agent     string `help:"The agent; default: the one the key is for."`
	Principal string `help:"For whom (user:ID, service:ID, organization:ID), where the key lets the call say so."`
	Session   string `help:"Session of the agent."`
	CallID    string `help:"The same id asked again gets the same decision."`
	JSON      bool   `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (decideCmd) Help() string {
	return `Examples:
  writ decide stripe/refund '{"charge":"ch_1","amount":900}'
  writ decide zendesk/read_ticket '{"ticket":7}' --session s1 --principal user:alice --json

Exit status: 0 allow, 1 deny or approval required, 2 no decision (which means no).`
}

// Run asks for a decision.
func (c decideCmd) Run(ctx context.Context, s std) error {
	body, err := c.body(ctx)
	if err != nil {
		return err
	}
	var d decisionRow
	data, err := c.ask(ctx, c.APIKey, http.MethodPost, "/v1/decisions", nil, "application/json", body, &d)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(s.out, data)
	} else {
		fmt.Fprintf(s.out, "%s  %s\n", d.Outcome, d.ID)
		for _, r := range d.Reasons {
			fmt.Fprintf(s.out, "  %s: %s\n", strings.TrimSpace(r.Code+" "+r.Policy), r.Message)
		}
	}
	if err == nil && d.Outcome != "allow" {
		return exitError(exitWrong)
	}
	return err
}

func (c decideCmd) body(ctx context.Context) ([]byte, error) {
	agent := c.Agent
	if agent == "" {
		var me struct {
			Agent string `json:"agent"`
		}
		if _, err := c.get(ctx, c.APIKey, "/v1/me", nil, &me); err != nil {
			return nil, err
		}
		agent = me.Agent
	}
	call := map[string]any{"agent": agent, "tool": c.Tool, "input": json.RawMessage(c.Input)}
	for name, value := range map[string]string{"session": c.Session, "call_id": c.CallID} {
		if value != "" {
			call[name] = value
		}
	}
	if kind, id, ok := strings.Cut(c.Principal, ":"); ok {
		call["principal"] = map[string]string{"type": kind, "id": id}
	} else if c.Principal != "" {
		return nil, fmt.Errorf("principal %q: write user:ID, service:ID or organization:ID", c.Principal)
	}
	body, err := json.Marshal(call)
	if err != nil {
		return nil, fmt.Errorf("the input is not JSON: %w", err)
	}
	return body, nil
}
