//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	opaModule  = "bench/peers/opa"
	opaPackage = "github.com/open-policy-agent/opa"
	opaToken   = "bench_token_00000000_00000000000000000000000000000000"
)

// opaOptions are the ways in which OPA is measured.
type opaOptions struct {
	name string
	logs bool // decisions to the console, and the console to a file
	auth bool // a bearer token is checked by a system.authz policy
}

// regoHead is the part of the policy that does not depend on the table: what Writ's order of judgement does.
const regoHead = `package writ

default outcome := "deny"

known if data.agents[input.agent].tools[input.tool]

outcome := "allow" if {
	known
	count(forbids) == 0
	count(gates) == 0
	count(permits) > 0
}

outcome := "require_approval" if {
	known
	count(forbids) == 0
	count(gates) > 0
	count(permits) > 0
}

fired := permits if outcome == "allow"

fired := gates if outcome == "require_approval"

fired := forbids | gates if outcome == "deny"

decision := {
	"outcome": outcome,
	"policies": fired,
	"reasons": [{"code": data.codes[outcome], "policy": id} | some id in fired],
}

`

// regoAuthz lets a request pass whose token is known.
const regoAuthz = `package system.authz

default allow := false

allow if data.tokens[input.identity]
`

// writeRego writes the policies, the data that they look at and the check of tokens.
func writeRego(dir string, w work) error {
	var rules strings.Builder
	rules.WriteString(regoHead)
	for _, p := range w.policies {
		rules.WriteString(p.rego() + "\n")
	}
	tools, allowed, groups := map[string]any{}, map[string]bool{}, map[string]any{}
	teams := toolCount(len(w.policies))
	for i := range teams {
		tools[toolName(i)] = map[string]string{"category": toolCategory(i)}
		allowed[toolName(i)] = true
	}
	for i := range usersCount {
		groups[userID(i)] = map[string]bool{staffGroup: true, teamID(i % teams): true}
	}
	data, err := json.Marshal(map[string]any{
		"environment": environment, "tools": tools, "groups": groups,
		"agents": map[string]any{agentID: map[string]any{"tools": allowed}},
		"tokens": map[string]bool{opaToken: true},
		"codes": map[string]string{
			"allow": "policy_permit", "deny": "policy_forbid", "require_approval": "approval_required",
		},
	})
	if err != nil {
		return fmt.Errorf("data of opa: %w", err)
	}
	return errors.Join(
		os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "policy.rego"), []byte(rules.String()), 0o644),
		os.WriteFile(filepath.Join(dir, "authz.rego"), []byte(regoAuthz), 0o644),
		os.WriteFile(filepath.Join(dir, "data.json"), data, 0o644),
	)
}

// startOPA starts OPA as a server, with the options that its documentation gives for speed.
func startOPA(ctx context.Context, binary, out string, w work, o opaOptions) (*peer, error) {
	dir, err := filepath.Abs(filepath.Join(out, o.name))
	if err != nil {
		return nil, fmt.Errorf("opa: %w", err)
	}
	if err := writeRego(dir, w); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	args := []string{
		"run", "--server", "--addr", address, "--log-level", "error", "--skip-version-check", "--optimize-store-for-read-speed",
	}
	token := ""
	if o.auth {
		args = append(args, "--authentication=token", "--authorization=basic")
		token = opaToken
	}
	if o.logs {
		args = append(args, "--set", "decision_logs.console=true")
	}
	log := filepath.Join(out, o.name+".log")
	server, err := startProcess(ctx, exec.Command(binary, append(args, dir)...), log, address)
	if err != nil {
		return nil, err
	}
	p := &peer{name: o.name, address: address, server: server, work: w, check: checkOPA, records: o.logs}
	if o.logs {
		p.check = func(body []byte, v variant) error { return errors.Join(checkOPA(body, v), notEmpty(log)) }
	}
	p.templates, err = w.templates("/v1/data/writ/decision", token, opaBody,
		func(v variant) string { return fmt.Sprintf(`"outcome":%q`, v.outcome) })
	return p, err
}

// opaBody gives OPA the call, and what Writ knows of itself: the labels of the session and how the principal is known.
func opaBody(body string) string {
	return `{"input":` + strings.TrimSuffix(body, "}") + `,"labels":[],"assurance":"asserted"}}`
}

func checkOPA(body []byte, v variant) error {
	var answer struct {
		Result struct {
			Outcome  string
			Policies []string
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	slices.Sort(answer.Result.Policies)
	return compare(v, answer.Result.Outcome, answer.Result.Policies)
}

// compare says how an answer differs from what the table of policies gives.
func compare(v variant, outcome string, fired []string) error {
	if outcome != v.outcome {
		return fmt.Errorf("outcome %q, want %q", outcome, v.outcome)
	}
	if !slices.Equal(fired, v.fired) {
		return fmt.Errorf("policies %q, want %q", fired, v.fired)
	}
	return nil
}

// notEmpty proves that decisions are logged.
func notEmpty(log string) error {
	info, err := os.Stat(log)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if info.Size() == 0 {
		return errors.New("no decision was logged")
	}
	return nil
}
