package bundle

import (
	"slices"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/price"
)

// index makes the lookups by name cheap; Read builds it once, and it does not change after.
type index struct {
	agents       map[gov.AgentID]*Agent
	tools        map[gov.ToolName]*Tool
	environments map[gov.Environment]Environment
	groups       map[gov.Principal][]gov.GroupID
	prices       map[string]price.Price
}

func (b *Bundle) buildIndex() {
	x := index{
		agents:       make(map[gov.AgentID]*Agent, len(b.Agents)),
		tools:        make(map[gov.ToolName]*Tool, len(b.Tools)),
		environments: make(map[gov.Environment]Environment, len(b.Environments)),
		groups:       map[gov.Principal][]gov.GroupID{},
		prices:       make(map[string]price.Price, len(b.Prices)),
	}
	for _, p := range b.Prices {
		x.prices[p.Model] = price.Price{Input: p.InputMicroUSD, Output: p.OutputMicroUSD}
	}
	for i := range b.Agents {
		x.agents[b.Agents[i].ID] = &b.Agents[i]
	}
	for i := range b.Tools {
		x.tools[b.Tools[i].Name] = &b.Tools[i]
	}
	for _, e := range b.Environments {
		x.environments[e.Name] = e
	}
	for _, g := range b.Groups {
		for _, p := range g.Members {
			x.groups[p] = append(x.groups[p], g.ID)
		}
	}
	for p, ids := range x.groups {
		slices.Sort(ids)
		x.groups[p] = slices.Compact(ids)
	}
	b.index = x
}

// Agent looks up an agent of the inventory. What it points to is shared; do not change it.
func (b *Bundle) Agent(id gov.AgentID) (*Agent, bool) {
	a, ok := b.index.agents[id]
	return a, ok
}

// Tool looks up a tool of the catalogue. What it points to is shared; do not change it.
func (b *Bundle) Tool(name gov.ToolName) (*Tool, bool) {
	t, ok := b.index.tools[name]
	return t, ok
}

// Environment looks up an environment.
func (b *Bundle) Environment(name gov.Environment) (Environment, bool) {
	e, ok := b.index.environments[name]
	return e, ok
}

// GroupsOf gives the groups that list p as a member, sorted; the slice is the caller's.
func (b *Bundle) GroupsOf(p gov.Principal) []gov.GroupID { return slices.Clone(b.index.groups[p]) }

// Responders gives the groups whose members respond to incidents, sorted.
func (b *Bundle) Responders() []gov.GroupID {
	var out []gov.GroupID
	for g, roles := range b.Roles {
		if gov.Responds(roles) {
			out = append(out, g)
		}
	}
	slices.Sort(out)
	return out
}

// Price gives what the organization pays for a model, where the bundle says so.
func (b *Bundle) Price(model string) (price.Price, bool) { return price.Find(b.index.prices, model) }
