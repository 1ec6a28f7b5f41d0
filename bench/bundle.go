//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// inputSchema is the JSON Schema of every tool's input, as YAML under the key of a tool.
const inputSchema = `
      type: object
      additionalProperties: false
      required: [amount, currency, customer, reference, reason, items, channel, notify, attempt]
      properties:
        amount: {type: integer, minimum: 0}
        currency: {type: string, minLength: 3, maxLength: 3}
        customer:
          type: object
          additionalProperties: false
          required: [id, country, tier]
          properties:
            id: {type: string}
            country: {type: string}
            tier: {type: string, enum: [standard, gold]}
        reference: {type: string}
        reason: {type: string, maxLength: 1000}
        items: {type: array, items: {type: string}, maxItems: 100}
        channel: {type: string}
        notify: {type: boolean}
        attempt: {type: integer}
`

// writeBundle writes the work's organization as a governance directory.
func writeBundle(dir string, w work) error {
	tools := toolCount(len(w.policies))
	var cedar strings.Builder
	for _, p := range w.policies {
		cedar.WriteString(p.cedar() + "\n")
	}
	files := map[string]string{
		"writ.yaml":            writYAML(tools),
		"agents.yaml":          agentsYAML(tools),
		"tools.yaml":           toolsYAML(tools),
		"policies/bench.cedar": cedar.String(),
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
	}
	return nil
}

func writYAML(teams int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "environments:\n  %s: {mode: enforce}\nretention: {days: 400}\nchange_approvers: [%s]\ngroups:\n", environment, staffGroup)
	members := make([][]string, teams)
	var all []string
	for i := range usersCount {
		all = append(all, "user:"+userID(i))
		members[i%teams] = append(members[i%teams], "user:"+userID(i))
	}
	group := func(id string, members []string) {
		fmt.Fprintf(&b, "  %s:\n    description: generated\n    members: [%s]\n", id, strings.Join(members, ", "))
	}
	group(staffGroup, all)
	group("finance", all[:1])
	for team, members := range members {
		group(teamID(team), members)
	}
	return b.String()
}

func agentsYAML(tools int) string {
	var names []string
	for i := range tools {
		names = append(names, toolName(i))
	}
	var b strings.Builder
	b.WriteString("agents:\n")
	for _, id := range []string{agentID, "retired-agent"} {
		fmt.Fprintf(&b, `  %s:
    owner: bench@example.com
    purpose: Generates the load of the benchmark.
    environments: [%s]
    runs_as: caller
    model: example/model-1
    reads: [nothing]
    logs: none
    risk_tier: low
    tools: [%s]
`, id, environment, strings.Join(names, ", "))
	}
	return b.String()
}

func toolsYAML(tools int) string {
	var b strings.Builder
	b.WriteString("tools:\n")
	for i := range tools {
		fmt.Fprintf(&b, "  %s:\n    description: Tool %d of the benchmark.\n    categories: [%s]\n    input_schema:%s",
			toolName(i), i, toolCategory(i), inputSchema)
	}
	return b.String()
}
