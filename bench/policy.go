//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
)

// The organization that the load speaks of. One table of policies is written as Cedar for Writ and as Rego for OPA, and
// computed here in Go; a peer is measured only when its answers are those of the table.
const (
	environment    = "prod"
	agentID        = "bench-agent"
	staffGroup     = "staff"
	usersCount     = 1000 // user-000 to user-999, all of them staff, each in one team
	policiesGlobal = 10
	toolsMin       = 7 // one for each category
	policiesATool  = 5
	policiesMax    = 1000
)

// categories in the order in which tools take turns; the last one is denied to every caller of the load.
func categories() []string {
	return []string{
		"read_only", "data_write", "money", "external_communication", "data_deletion", "code_execution", "elevated_privilege",
	}
}

// effect is what a policy does when it applies.
type effect int

const (
	permit effect = iota
	forbid
	gate // a forbid that a person can lift
)

// condition is the when-clause of a policy.
type condition int

const (
	always condition = iota
	amountOver
	currencyOdd
	countryIs
	agentIs
	labelsHold
	assuranceWeak
)

// policy is one policy; an empty scope applies to everything.
type policy struct {
	id                    string
	effect                effect
	group, category, tool string
	when                  condition
	number                int64
	text                  string
}

// toolCount is how many tools the catalogue has that goes with so many policies.
func toolCount(policies int) int { return max(toolsMin, (policies-policiesGlobal)/policiesATool) }

func toolName(i int) string { return fmt.Sprintf("bench/tool-%03d", i) }

func toolCategory(i int) string { return categories()[i%len(categories())] }

func userID(i int) string { return fmt.Sprintf("user-%03d", i) }

func teamID(i int) string { return fmt.Sprintf("team-%02d", i) }

// policies makes n policies: ten for whole categories, the others in turn for single tools and teams.
func policies(n int) ([]policy, error) {
	if n < policiesGlobal || n > policiesMax {
		return nil, fmt.Errorf("%d policies, from %d to %d", n, policiesGlobal, policiesMax)
	}
	all := []policy{
		{id: "no-exfiltration", effect: forbid, category: "external_communication", when: labelsHold},
		{id: "large-payments", effect: gate, category: "money", when: amountOver, number: 500},
		{id: "privilege-verified", effect: forbid, category: "elevated_privilege", when: assuranceWeak},
	}
	for _, category := range categories() {
		all = append(all, policy{id: "staff-" + strings.ReplaceAll(category, "_", "-"), group: staffGroup, category: category})
	}
	tools := toolCount(n)
	for i := range n - len(all) {
		all = append(all, toolPolicy(i/tools%policiesATool, i%tools))
	}
	return all, nil
}

// toolPolicy makes one of the five policies of a tool.
func toolPolicy(kind, tool int) policy {
	p := policy{effect: forbid, tool: toolName(tool)}
	switch kind {
	case 0:
		p.when, p.number = currencyOdd, 0
		p.id = fmt.Sprintf("currency-%03d", tool)
	case 1:
		p.when, p.number = amountOver, 5000+int64(tool)
		p.id = fmt.Sprintf("cap-%03d", tool)
	case 2:
		p.when, p.text = countryIs, "KP"
		p.id = fmt.Sprintf("country-%03d", tool)
	case 3:
		p = policy{id: fmt.Sprintf("team-%03d", tool), effect: permit, group: teamID(tool), category: toolCategory(tool)}
	default:
		p.when, p.text = agentIs, "retired-agent"
		p.id = fmt.Sprintf("retired-%03d", tool)
	}
	return p
}

// call is what a policy may look at.
type call struct {
	user, tool int
	amount     int64
	currency   string
}

// applies says whether p has something to say about c. All calls are of one agent, from Germany, with a principal that the
// agent names, in a session without labels.
func (p policy) applies(c call, teams int) bool {
	if p.tool != "" && p.tool != toolName(c.tool) || p.category != "" && p.category != toolCategory(c.tool) {
		return false
	}
	if p.group != "" && p.group != staffGroup && p.group != teamID(c.user%teams) {
		return false
	}
	switch p.when {
	case always, assuranceWeak:
		return true
	case amountOver:
		return c.amount > p.number
	case currencyOdd:
		return c.currency != "EUR" && c.currency != "USD"
	case countryIs:
		return p.text == "DE"
	case agentIs:
		return p.text == agentID
	case labelsHold:
		return false
	}
	panic(fmt.Sprintf("bench: condition %d", p.when))
}

// judge computes the outcome and the ids of the policies that lead to it, sorted.
func judge(all []policy, c call) (outcome string, fired []string) {
	var by [gate + 1][]string
	for _, p := range all {
		if p.applies(c, toolCount(len(all))) {
			by[p.effect] = append(by[p.effect], p.id)
		}
	}
	switch {
	case len(by[forbid]) > 0:
		outcome, fired = "deny", slices.Concat(by[forbid], by[gate])
	case len(by[permit]) == 0:
		outcome, fired = "deny", nil
	case len(by[gate]) > 0:
		outcome, fired = "require_approval", by[gate]
	default:
		outcome, fired = "allow", by[permit]
	}
	slices.Sort(fired)
	return outcome, fired
}

// cedar writes the policy for Writ.
func (p policy) cedar() string {
	var b strings.Builder
	fmt.Fprintf(&b, "@id(%q)\n", p.id)
	switch p.effect {
	case permit:
		b.WriteString("permit (")
	case gate:
		b.WriteString("@require_approval(\"finance\")\n@reason(\"Larger sums need a finance approver.\")\nforbid (")
	case forbid:
		b.WriteString("@reason(\"The organization does not do this.\")\nforbid (")
	}
	b.WriteString("principal")
	if p.group != "" {
		fmt.Fprintf(&b, " in Group::%q", p.group)
	}
	b.WriteString(", action")
	switch {
	case p.tool != "":
		fmt.Fprintf(&b, " == Action::%q", p.tool)
	case p.category != "":
		fmt.Fprintf(&b, " in Action::%q", p.category)
	}
	b.WriteString(", resource")
	if p.effect == permit {
		fmt.Fprintf(&b, " in Environment::%q", environment)
	}
	b.WriteString(")")
	if when := p.cedarWhen(); when != "" {
		fmt.Fprintf(&b, "\nwhen { %s }", when)
	}
	b.WriteString(";\n")
	return b.String()
}

func (p policy) cedarWhen() string {
	switch p.when {
	case always:
		return ""
	case amountOver:
		return fmt.Sprintf("context.input.amount > %d", p.number)
	case currencyOdd:
		return `!(["EUR", "USD"].contains(context.input.currency))`
	case countryIs:
		return fmt.Sprintf("context.input.customer.country == %q", p.text)
	case agentIs:
		return fmt.Sprintf("context.agent == Agent::%q", p.text)
	case labelsHold:
		return `context.session.labels.containsAll(["untrusted", "private"])`
	case assuranceWeak:
		return `context.assurance != "verified"`
	}
	panic(fmt.Sprintf("bench: condition %d", p.when))
}

// rego writes the policy for OPA, as one rule, in the form whose equalities OPA indexes.
func (p policy) rego() string {
	set := map[effect]string{permit: "permits", forbid: "forbids", gate: "gates"}[p.effect]
	var b strings.Builder
	fmt.Fprintf(&b, "%s contains %q if {\n", set, p.id)
	if p.tool != "" {
		fmt.Fprintf(&b, "\tinput.tool == %q\n", p.tool)
	}
	if p.category != "" {
		fmt.Fprintf(&b, "\tdata.tools[input.tool].category == %q\n", p.category)
	}
	if p.group != "" {
		fmt.Fprintf(&b, "\tdata.groups[input.principal.id][%q]\n", p.group)
	}
	if p.effect == permit {
		fmt.Fprintf(&b, "\tdata.environment == %q\n", environment)
	}
	if when := p.regoWhen(); when != "" {
		fmt.Fprintf(&b, "\t%s\n", when)
	}
	b.WriteString("}\n")
	return b.String()
}

func (p policy) regoWhen() string {
	switch p.when {
	case always:
		return ""
	case amountOver:
		return fmt.Sprintf("input.input.amount > %d", p.number)
	case currencyOdd:
		return `not input.input.currency in {"EUR", "USD"}`
	case countryIs:
		return fmt.Sprintf("input.input.customer.country == %q", p.text)
	case agentIs:
		return fmt.Sprintf("input.agent == %q", p.text)
	case labelsHold:
		return "\"untrusted\" in input.labels\n\t\"private\" in input.labels"
	case assuranceWeak:
		return `input.assurance != "verified"`
	}
	panic(fmt.Sprintf("bench: condition %d", p.when))
}
