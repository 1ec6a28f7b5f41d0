//go:build linux

package main

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/writ-dev/writ/internal/scan"
	"github.com/writ-dev/writ/internal/taint"
)

// nearBytes is how far from a finding an identifier is near it.
const nearBytes = 400

// followed is what following the data says of one run.
type followed struct {
	tainted bool // a call with effects has an identifier that only a tool's result had
	near    bool // and the scanner fires near it in that result
	finding bool // the scanner fires in any result
}

// follow goes through a run as a caller of taint would: what the user and the system said and what the agent wrote before is
// its own; every tool's result is untrusted. Only calls that do something count, not those that read.
func follow(s *scan.Scanner, r agentdynRun) followed {
	own, foreign := map[string]bool{}, map[string]bool{} // foreign: whether a finding was near
	var out followed
	for _, m := range r.Messages {
		for _, call := range m.ToolCalls {
			args, err := json.Marshal(call.Args)
			if err != nil {
				continue
			}
			ids, err := taint.OfJSON(args)
			if err != nil {
				continue
			}
			for _, id := range ids {
				near, seen := foreign[id.Key()]
				if seen && !own[id.Key()] && hasEffects(call.Function) {
					out.tainted = true
					out.near = out.near || near
				}
			}
			if !hasEffects(call.Function) {
				continue
			}
			for _, id := range ids {
				own[id.Key()] = true
			}
		}
		for _, part := range m.Content {
			if m.Role != "tool" {
				if m.Role != "assistant" {
					for _, id := range taint.Identifiers(part.Content) {
						own[id.Key()] = true
					}
				}
				continue
			}
			found := s.Scan(scan.ToolResult, part.Content)
			out.finding = out.finding || len(found) > 0
			for _, id := range taint.Identifiers(part.Content) {
				near := slices.ContainsFunc(found, func(f scan.Finding) bool { return id.Near(f.Start, f.End, nearBytes) })
				foreign[id.Key()] = foreign[id.Key()] || near
			}
		}
	}
	return out
}

// hasEffects says whether a tool of the runs does more than read.
func hasEffects(tool string) bool {
	for _, p := range []string{"get_", "search_", "view_", "read_", "list_", "check_", "show_", "find_"} {
		if strings.HasPrefix(tool, p) {
			return false
		}
	}
	return true
}

// following tallies runs: attacked ones that the attack took over, attacked ones that it did not, and clean ones.
func following(o options, s *scan.Scanner) (map[string][3]tally, error) {
	runs, err := readAgentdyn(o.data)
	if err != nil {
		return nil, err
	}
	out := map[string][3]tally{}
	for _, r := range runs {
		kind := "clean"
		switch {
		case r.attacked() && r.Security:
			kind = "attacked, taken over"
		case r.attacked():
			kind = "attacked, not taken over"
		case strings.HasPrefix(r.UserTask, "injection"):
			continue
		}
		f := follow(s, r)
		t := out[kind]
		for i, yes := range []bool{f.tainted, f.near, f.finding} {
			one := tally{n: 1}
			if yes {
				one.flagged = 1
			}
			t[i].add(one)
		}
		out[kind] = t
	}
	return out, nil
}
