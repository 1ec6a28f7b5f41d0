package bundle

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/sigma"
)

// Diff is what differs between two bundles, in terms of what they govern. Each list is sorted by name.
type Diff struct {
	Environments []Change `json:"environments,omitempty"`
	Settings     []Change `json:"settings,omitempty"` // retention, change_approvers, and each group and channel
	Agents       []Change `json:"agents,omitempty"`
	Tools        []Change `json:"tools,omitempty"`
	Policies     []Change `json:"policies,omitempty"` // by file
	Limits       []Change `json:"limits,omitempty"`
	Detectors    []Change `json:"detectors,omitempty"`
	Rules        []Change `json:"rules,omitempty"` // of sigma/, by id
	Prices       []Change `json:"prices,omitempty"`
	Prompts      []Change `json:"prompts,omitempty"`
	Tests        []Change `json:"tests,omitempty"`
	Files        []Change `json:"files,omitempty"` // every file, the ones above included
}

// Empty reports whether the two bundles have the same files.
func (d Diff) Empty() bool { return len(d.Files) == 0 }

// ChangeKind says what happened to a thing of a bundle.
type ChangeKind string

// The kinds of change.
const (
	ChangeAdded   ChangeKind = "added"
	ChangeRemoved ChangeKind = "removed"
	ChangeChanged ChangeKind = "changed"
)

// Change is one thing that differs.
type Change struct {
	Name        string         `json:"name"`
	Kind        ChangeKind     `json:"kind"`
	Fields      []string       `json:"fields,omitempty"`       // of a changed thing: which, sorted
	ToolsGained []gov.ToolName `json:"tools_gained,omitempty"` // of an agent; sorted
	ToolsLost   []gov.ToolName `json:"tools_lost,omitempty"`
	Moves       []Move         `json:"moves,omitempty"`      // of a changed thing: the fields that can be read on one line
	Lines       []string       `json:"lines,omitempty"`      // a unified diff; of a prompt or a policy file it is with these, not with the files
	LinesMore   int            `json:"lines_more,omitempty"` // of the diff, that are left out
}

// Compare gives the diff from one bundle to another; either may be nil, which is the empty bundle.
func Compare(before, after *Bundle) Diff {
	before, after = cmp.Or(before, &Bundle{}), cmp.Or(after, &Bundle{})
	d := Diff{
		Environments: changes(before.Environments, after.Environments, func(e Environment) string { return string(e.Name) }),
		Settings:     settingsChanges(before, after),
		Agents:       changes(before.Agents, after.Agents, func(a Agent) string { return string(a.ID) }),
		Tools:        changes(before.Tools, after.Tools, func(t Tool) string { return string(t.Name) }),
		Policies:     changes(before.Policies, after.Policies, func(p PolicyFile) string { return p.Name }),
		Limits:       changes(before.Limits, after.Limits, func(l Limit) string { return l.ID }),
		Detectors:    changes(before.Detectors, after.Detectors, func(d Detector) string { return string(d.ID) }),
		Rules:        changes(before.Rules, after.Rules, func(r sigma.Rule) string { return r.ID }),
		Prices:       changes(before.Prices, after.Prices, func(p ModelPrice) string { return p.Model }),
		Prompts:      changes(before.Prompts, after.Prompts, func(p Prompt) string { return p.Name }),
		Tests:        changes(before.Tests, after.Tests, func(t Test) string { return t.Name }),
		Files:        fileChanges(before.Files, after.Files),
	}
	for i := range d.Agents {
		c := &d.Agents[i]
		had, has := toolsOf(before, c.Name), toolsOf(after, c.Name)
		c.ToolsGained, c.ToolsLost = without(has, had), without(had, has)
	}
	told := map[string]bool{}
	for _, list := range [][]Change{d.Policies, d.Prompts, d.Files} {
		for i := range list {
			c := &list[i]
			if !told[c.Name] {
				c.Lines, c.LinesMore = lineDiff(before.Files[c.Name], after.Files[c.Name])
			}
			told[c.Name] = true
		}
	}
	return d
}

func toolsOf(b *Bundle, agent string) []gov.ToolName {
	if a, ok := b.Agent(gov.AgentID(agent)); ok {
		return a.Tools
	}
	return nil
}

func without(list, other []gov.ToolName) []gov.ToolName {
	var out []gov.ToolName
	for _, t := range list {
		if !slices.Contains(other, t) {
			out = append(out, t)
		}
	}
	return out
}

func settingsChanges(before, after *Bundle) []Change {
	out := changes(before.Groups, after.Groups, func(g Group) string { return "groups." + string(g.ID) })
	out = append(out, changes(before.Channels, after.Channels, func(c Channel) string { return "notify." + string(c.ID) })...)
	out = append(out, changes(before.OnCall, after.OnCall, func(o OnCall) string { return fmt.Sprintf("on_call.%d", o.Severity) })...)
	if !slices.Equal(before.Approvers, after.Approvers) {
		out = append(out, Change{Name: "change_approvers", Kind: ChangeChanged, Moves: moves(approvers{before.Approvers}, approvers{after.Approvers})})
	}
	if !reflect.DeepEqual(before.Roles, after.Roles) {
		out = append(out, Change{Name: "roles", Kind: ChangeChanged, Moves: roleMoves(before.Roles, after.Roles)})
	}
	if before.Retention != after.Retention {
		out = append(out, Change{Name: "retention", Kind: ChangeChanged, Moves: moves(before.Retention, after.Retention)})
	}
	slices.SortFunc(out, func(a, b Change) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// approvers is change_approvers as a thing with a field.
type approvers struct{ Groups []gov.GroupID }

// roleMoves gives the roles of each group that has others now.
func roleMoves(before, after map[gov.GroupID][]gov.Role) []Move {
	groups := slices.Collect(maps.Keys(before))
	groups = slices.AppendSeq(groups, maps.Keys(after))
	slices.Sort(groups)
	var out []Move
	for _, g := range slices.Compact(groups) {
		if !slices.Equal(before[g], after[g]) {
			from, _ := readable(reflect.ValueOf(before[g]))
			to, _ := readable(reflect.ValueOf(after[g]))
			out = append(out, Move{string(g), from, to})
		}
	}
	return out
}

func fileChanges(before, after map[string][]byte) []Change {
	type file struct {
		name string
		data []byte
	}
	of := func(files map[string][]byte) []file {
		out := make([]file, 0, len(files))
		for _, name := range slices.Sorted(maps.Keys(files)) {
			out = append(out, file{name, files[name]})
		}
		return out
	}
	var out []Change
	for _, c := range pairs(of(before), of(after), func(f file) string { return f.name }) {
		if c.before == nil || c.after == nil || !bytes.Equal(c.before.data, c.after.data) {
			out = append(out, Change{Name: c.name, Kind: c.kind()})
		}
	}
	return out
}

// changes compares two lists of things by name. Where a thing stands in its file is not a difference.
func changes[T any](before, after []T, name func(T) string) []Change {
	var out []Change
	for _, c := range pairs(before, after, name) {
		change := Change{Name: c.name, Kind: c.kind()}
		if change.Kind == ChangeChanged {
			change.Fields = differing(*c.before, *c.after)
			if len(change.Fields) == 0 {
				continue
			}
			change.Moves = moves(*c.before, *c.after)
		}
		out = append(out, change)
	}
	return out
}

// pair is a thing by name on both sides; nil on a side means that it is not there.
type pair[T any] struct {
	name          string
	before, after *T
}

func (p pair[T]) kind() ChangeKind {
	switch {
	case p.before == nil:
		return ChangeAdded
	case p.after == nil:
		return ChangeRemoved
	}
	return ChangeChanged
}

func pairs[T any](before, after []T, name func(T) string) []pair[T] {
	found := map[string]*pair[T]{}
	at := func(key string) *pair[T] {
		if found[key] == nil {
			found[key] = &pair[T]{name: key}
		}
		return found[key]
	}
	for i := range before {
		at(name(before[i])).before = &before[i]
	}
	for i := range after {
		at(name(after[i])).after = &after[i]
	}
	out := make([]pair[T], 0, len(found))
	for _, key := range slices.Sorted(maps.Keys(found)) {
		out = append(out, *found[key])
	}
	return out
}

// differing names the fields in which two structs differ, except for where they stand.
func differing[T any](before, after T) []string {
	a, b := reflect.ValueOf(before), reflect.ValueOf(after)
	var out []string
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		if !where(name) && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			out = append(out, snake(name))
		}
	}
	slices.Sort(out)
	return out
}

// snake writes a field's name as the files do: InputSchema is input_schema, MicroUSD is micro_usd.
func snake(name string) string {
	var out strings.Builder
	for i, c := range name {
		upper := c >= 'A' && c <= 'Z'
		if upper && i > 0 && name[i-1] >= 'a' && name[i-1] <= 'z' {
			out.WriteByte('_')
		}
		out.WriteRune(c)
	}
	return strings.ToLower(out.String())
}
