package sigma_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/sigma"
)

// word is a detection of a tool's name.
func word(id string) sigma.Rule {
	return sigma.Rule{
		ID: id, Category: sigma.ToolCall, Feeds: true, Condition: sigma.Node{Kind: sigma.Leaf, Selection: "s"},
		Selections: []sigma.Selection{{Name: "s", Any: []sigma.Match{{{Field: "tool", Op: sigma.Equals, Values: []string{id}}}}}},
	}
}

// together is a correlation of a and b, by session, within ten seconds.
func together(kind sigma.CorrelationType, least int64, rules ...string) sigma.Rule {
	return sigma.Rule{ID: string(kind), Correlation: &sigma.Correlation{Type: kind, Rules: rules, GroupBy: []string{"session"}, Timespan: 10, Field: map[bool]string{true: "principal"}[kind == sigma.ValueCount], Min: least}}
}

// play reads events as second:session:tool:principal and gives what fired, as the ids of the entries that it rests on.
func play(t *testing.T, set *sigma.Set, m *sigma.Memory, text string) string {
	t.Helper()
	var out []string
	for i, item := range strings.Fields(text) {
		p := strings.Split(item, ":")
		var at int64
		if _, err := fmt.Sscan(p[0], &at); err != nil {
			t.Fatal(err)
		}
		e := sigma.Event{Category: sigma.ToolCall, ID: gov.EntryID(fmt.Sprint("e", i)), Index: int64(i), At: at, Fields: map[string][]string{"tool": {p[2]}}}
		if p[1] != "" {
			e.Fields["session"] = []string{p[1]}
		}
		if len(p) > 3 {
			e.Fields["principal"] = []string{p[3]}
		}
		for _, f := range set.Observe(m, e) {
			ids := make([]string, len(f.Entries))
			for i, id := range f.Entries {
				ids[i] = string(id)
			}
			out = append(out, strings.Join(ids, "+"))
		}
	}
	return strings.Join(out, " ")
}

func TestCorrelations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule         sigma.Rule
		events, want string
	}{
		"three in ten seconds":              {together(sigma.EventCount, 3, "a"), "0:s:a 5:s:a 10:s:a", "e0+e1+e2"},
		"three in eleven seconds":           {together(sigma.EventCount, 3, "a"), "0:s:a 5:s:a 11:s:a", ""},
		"three of the last":                 {together(sigma.EventCount, 3, "a"), "0:s:a 5:s:a 11:s:a 12:s:a", "e1+e2+e3"},
		"what fired counts once":            {together(sigma.EventCount, 2, "a"), "0:s:a 1:s:a 2:s:a 3:s:a 4:s:a", "e0+e1 e2+e3"},
		"each group by itself":              {together(sigma.EventCount, 2, "a"), "0:s:a 1:t:a 2:t:a", "e1+e2"},
		"no group":                          {together(sigma.EventCount, 2, "a"), "0::a 1::a", ""},
		"either rule counts":                {together(sigma.EventCount, 2, "a", "b"), "0:s:a 1:s:b", "e0+e1"},
		"another tool":                      {together(sigma.EventCount, 2, "a"), "0:s:a 1:s:c", ""},
		"two values":                        {together(sigma.ValueCount, 2, "a"), "0:s:a:x 1:s:a:x 2:s:a:y", "e1+e2"},
		"one value":                         {together(sigma.ValueCount, 2, "a"), "0:s:a:x 1:s:a:x 2:s:a", ""},
		"two values in eleven seconds":      {together(sigma.ValueCount, 2, "a"), "0:s:a:x 11:s:a:y", ""},
		"both, in any order":                {together(sigma.Temporal, 0, "a", "b"), "0:s:b 1:s:a", "e0+e1"},
		"one of both":                       {together(sigma.Temporal, 0, "a", "b"), "0:s:b 1:s:b 12:s:a", ""},
		"in order":                          {together(sigma.TemporalOrdered, 0, "a", "b", "c"), "0:s:a 1:s:x 2:s:b 3:s:c", "e0+e2+e3"},
		"in another order":                  {together(sigma.TemporalOrdered, 0, "a", "b"), "0:s:b 1:s:a", ""},
		"the newest beginning":              {together(sigma.TemporalOrdered, 0, "a", "b", "c"), "0:s:a 8:s:a 9:s:b 15:s:c", "e1+e2+e3"},
		"an old middle, a newer beginning":  {together(sigma.TemporalOrdered, 0, "a", "b", "c"), "0:s:a 1:s:b 5:s:a 9:s:c", "e0+e1+e3"},
		"too slow":                          {together(sigma.TemporalOrdered, 0, "a", "b", "c"), "0:s:a 5:s:b 11:s:c", ""},
		"the end of what never began is no": {together(sigma.TemporalOrdered, 0, "a", "b"), "0:s:b 1:s:b", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := sigma.NewSet([]sigma.Rule{word("a"), word("b"), word("c"), c.rule})
			var m sigma.Memory
			if got := play(t, set, &m, c.events); got != c.want {
				t.Errorf("fired on %q, want %q", got, c.want)
			}
		})
	}
}

// TestOneEventIsOneLink: of detections that both match it, it is the first that has to come next.
func TestOneEventIsOneLink(t *testing.T) {
	t.Parallel()
	both := []sigma.Rule{word("a"), word("b"), together(sigma.TemporalOrdered, 0, "a", "b")}
	for i := range 2 {
		both[i].Selections[0].Any[0][0].Values = []string{"x"}
	}
	var m sigma.Memory
	if got := play(t, sigma.NewSet(both), &m, "0:s:x 1:s:x"); got != "e0+e1" {
		t.Errorf("fired on %q", got)
	}
}

// TestWhatNeverBeganIsNotRemembered, nor is what fired.
func TestWhatNeverBeganIsNotRemembered(t *testing.T) {
	t.Parallel()
	var m sigma.Memory
	set := sigma.NewSet([]sigma.Rule{word("a"), word("b"), together(sigma.TemporalOrdered, 0, "a", "b")})
	play(t, set, &m, "0:s:b 1:t:b 2:u:a 3:u:b")
	if data, err := json.Marshal(m); err != nil || strings.Contains(string(data), "touched") || m.Hits != 0 {
		t.Errorf("remembered is %s", data)
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	e := sigma.Event{Category: sigma.ToolCall, Fields: map[string][]string{"tool": {"Mail/Send"}, "labels": {"private", "untrusted"}}}
	for name, c := range map[string]struct {
		test sigma.Test
		want bool
	}{
		"equal, whatever the case":  {sigma.Test{Field: "tool", Op: sigma.Equals, Values: []string{"mail/send"}}, true},
		"one of a list":             {sigma.Test{Field: "labels", Op: sigma.Equals, Values: []string{"x", "untrusted"}}, true},
		"all of a list":             {sigma.Test{Field: "labels", Op: sigma.Equals, All: true, Values: []string{"private", "untrusted"}}, true},
		"not all of a list":         {sigma.Test{Field: "labels", Op: sigma.Equals, All: true, Values: []string{"private", "x"}}, false},
		"contains":                  {sigma.Test{Field: "tool", Op: sigma.Contains, Values: []string{"il/s"}}, true},
		"starts with":               {sigma.Test{Field: "tool", Op: sigma.StartsWith, Values: []string{"mail/"}}, true},
		"does not start with":       {sigma.Test{Field: "tool", Op: sigma.StartsWith, Values: []string{"send"}}, false},
		"ends with":                 {sigma.Test{Field: "tool", Op: sigma.EndsWith, Values: []string{"/send"}}, true},
		"does not end with":         {sigma.Test{Field: "tool", Op: sigma.EndsWith, Values: []string{"mail"}}, false},
		"is there":                  {sigma.Test{Field: "tool", Op: sigma.Exists, Values: []string{"true"}}, true},
		"is not there":              {sigma.Test{Field: "agent", Op: sigma.Exists, Values: []string{"false"}}, true},
		"null":                      {sigma.Test{Field: "agent", Op: sigma.Equals}, true},
		"null, and it is there":     {sigma.Test{Field: "tool", Op: sigma.Equals}, false},
		"a field that is not there": {sigma.Test{Field: "agent", Op: sigma.Contains, Values: []string{""}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leaf := sigma.Node{Kind: sigma.Leaf, Selection: "s"}
			not := sigma.Node{Kind: sigma.Not, Args: []sigma.Node{leaf}}
			for i, condition := range []sigma.Node{leaf, not, {Kind: sigma.And, Args: []sigma.Node{leaf, not}}, {Kind: sigma.Or, Args: []sigma.Node{leaf, not}}} {
				want := []bool{c.want, !c.want, false, true}[i]
				r := sigma.Rule{ID: "r", Category: sigma.ToolCall, Condition: condition, Selections: []sigma.Selection{{Name: "s", Any: []sigma.Match{{c.test}}}}}
				var m sigma.Memory
				if got := len(sigma.NewSet([]sigma.Rule{r}).Observe(&m, e)) == 1; got != want {
					t.Errorf("%s is %t", condition.Kind, got)
				}
				other := e
				other.Category = sigma.Budget
				if len(sigma.NewSet([]sigma.Rule{r}).Observe(&m, other)) > 0 {
					t.Error("a rule fires for an event of another category")
				}
			}
		})
	}
}

// TestMemoryIsBoundedAndTheSameFromASavedOne: a flood of groups forgets the oldest, and a memory that was JSON in between the same.
func TestMemoryIsBoundedAndTheSameFromASavedOne(t *testing.T) {
	t.Parallel()
	const events, most = 90_000, 65_536
	set := sigma.NewSet([]sigma.Rule{word("a"), word("b"), together(sigma.Temporal, 0, "a", "b"), together(sigma.EventCount, 3, "a"), together(sigma.TemporalOrdered, 0, "a", "b")})
	r, whole, saved := rand.New(rand.NewPCG(1, 2)), sigma.Memory{}, sigma.Memory{}
	for i := range int64(events) {
		tool, in := "a", r.IntN(40_000)
		if r.IntN(4) == 0 {
			tool = "b"
		}
		e := sigma.Event{Category: sigma.ToolCall, ID: gov.EntryID(fmt.Sprint(i)), Index: i, At: i / 20_000, Fields: map[string][]string{"tool": {tool}, "session": {fmt.Sprint(in)}}}
		want, got := set.Observe(&whole, e), set.Observe(&saved, e)
		if !slices.EqualFunc(want, got, func(a, b sigma.Found) bool { return a.Rule == b.Rule && slices.Equal(a.Entries, b.Entries) }) {
			t.Fatalf("at %d from a saved memory %v, at once %v", i, got, want)
		}
		if whole.Hits > most {
			t.Fatalf("%d matches are remembered", whole.Hits)
		}
		if i%30_000 == 29_999 {
			data, err := json.Marshal(saved)
			if err != nil {
				t.Fatal(err)
			}
			saved = sigma.Memory{}
			if err := json.Unmarshal(data, &saved); err != nil {
				t.Fatal(err)
			}
			again, _ := json.Marshal(saved)
			if diff := cmp.Diff(string(data), string(again)); diff != "" {
				t.Fatal("a memory is another one when it is read again")
			}
		}
	}
	sigma.NewSet(nil).Keep(&whole)
	if whole.Hits != 0 || len(whole.Rules) != 0 {
		t.Errorf("without rules %d matches of %d rules are remembered", whole.Hits, len(whole.Rules))
	}
}

// TestAnAgentThatFloodsPushesOutItsOwn: what was begun in the session of another one is still finished.
func TestAnAgentThatFloodsPushesOutItsOwn(t *testing.T) {
	t.Parallel()
	set, m := sigma.NewSet([]sigma.Rule{word("a"), word("b"), together(sigma.TemporalOrdered, 0, "a", "b")}), sigma.Memory{}
	index := int64(0)
	observe := func(agent, session, tool string) bool {
		index++
		return len(set.Observe(&m, sigma.Event{
			Category: sigma.ToolCall, ID: gov.EntryID(fmt.Sprint(index)), Index: index, Fields: map[string][]string{"agent": {agent}, "session": {session}, "tool": {tool}},
		})) > 0
	}
	for i := range 100 {
		observe(fmt.Sprint("honest-", i), fmt.Sprint("s-", i), "a")
	}
	for i := range 100_000 {
		observe("flood", fmt.Sprint("f-", i), "a")
	}
	for i := range 100 {
		if !observe(fmt.Sprint("honest-", i), fmt.Sprint("s-", i), "b") {
			t.Fatalf("what session s-%d began is forgotten", i)
		}
	}
	if observe("flood", "f-0", "b") || !observe("flood", "f-99999", "b") {
		t.Error("of the one who floods it is not the oldest that is forgotten")
	}
}

// TestARuleThatSaysSomethingElseBeginsAnew, and one that is as it was goes on.
func TestARuleThatSaysSomethingElseBeginsAnew(t *testing.T) {
	t.Parallel()
	was := []sigma.Rule{word("a"), word("b"), together(sigma.EventCount, 2, "a")}
	for name, c := range map[string]struct {
		now  []sigma.Rule
		want string
	}{
		"as it was":           {[]sigma.Rule{word("a"), word("b"), together(sigma.EventCount, 2, "a")}, "e0+e0"},
		"of another rule":     {[]sigma.Rule{word("a"), word("b"), together(sigma.EventCount, 2, "a", "b")}, ""},
		"another detection":   {[]sigma.Rule{{ID: "a", Category: sigma.ToolCall, Feeds: true, Condition: word("a").Condition, Selections: []sigma.Selection{{Name: "s", Any: []sigma.Match{{{Field: "tool", Op: sigma.Contains, Values: []string{"a"}}}}}}}, together(sigma.EventCount, 2, "a")}, ""},
		"gone for a while":    {nil, ""},
		"another rule beside": {[]sigma.Rule{word("a"), word("b"), word("c"), together(sigma.EventCount, 2, "a")}, "e0+e0"},
	} {
		var m sigma.Memory
		play(t, sigma.NewSet(was), &m, "0:s:a")
		now := sigma.NewSet(c.now)
		now.Keep(&m)
		if len(c.now) == 0 {
			now = sigma.NewSet(was)
			now.Keep(&m)
		}
		if got := play(t, now, &m, "1:s:a"); got != c.want {
			t.Errorf("%s: fired on %q, want %q", name, got, c.want)
		}
	}
}
