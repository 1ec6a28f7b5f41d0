package sigma

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/writ-dev/writ/internal/gov"
)

// Bounds of what is remembered, over all rules.
const (
	hitsMax  = 65536 // when there are more, the groups that nothing came to for longest are forgotten, of the agents that have most
	hitsKept = hitsMax * 3 / 4
	MinMax   = 1000 // events or values that a correlation may wait for
)

// Memory is what correlations remember. The zero Memory remembers nothing. It becomes JSON and back without a difference.
type Memory struct {
	Rules map[string]*kept `json:"rules,omitempty"` // by the id of the correlation
	Hits  int              `json:"hits,omitzero"`   // in all groups
}

// kept is what one correlation remembers.
type kept struct {
	Of     string            `json:"of"` // digest of the correlation and its detections
	Groups map[string]*group `json:"groups"`
}

// group is the matches with the same values of the fields of group-by. It has at least one.
type group struct {
	Agent   string  `json:"agent,omitempty"`  // whose event began it
	Touched int64   `json:"touched"`          // index of its newest match
	Hits    []hit   `json:"hits,omitempty"`   // oldest first
	Chains  [][]hit `json:"chains,omitempty"` // of temporal_ordered: the newest beginning, as far as each of the rules
}

func (g *group) size() int {
	n := len(g.Hits)
	for _, c := range g.Chains {
		n += len(c)
	}
	return n
}

// hit is a match.
type hit struct {
	At    int64       `json:"at"`
	ID    gov.EntryID `json:"id"`
	Rule  int         `json:"rule,omitzero"`   // which of the correlation's
	Value string      `json:"value,omitempty"` // of value_count
}

// Found is a rule that fired.
type Found struct {
	Rule    *Rule
	Group   []string      // values of the fields of group-by
	Entries []gov.EntryID // that it rests on, oldest first
}

// Set is rules that are evaluated together. It does not change.
type Set struct {
	rules   []*Rule
	byID    map[string]*Rule
	digests map[string]string
}

// NewSet takes rules that are consistent: correlations refer to detections among them.
func NewSet(rules []Rule) *Set {
	s := &Set{byID: map[string]*Rule{}, digests: map[string]string{}}
	for i := range rules {
		s.rules, s.byID[rules[i].ID] = append(s.rules, &rules[i]), &rules[i]
	}
	for _, r := range s.rules {
		if r.Correlation != nil {
			s.digests[r.ID] = s.digest(r)
		}
	}
	return s
}

// Empty says whether there is nothing to evaluate.
func (s *Set) Empty() bool { return len(s.rules) == 0 }

// digest is of all that a correlation's memory depends on.
func (s *Set) digest(r *Rule) string {
	parts := []any{r.Correlation}
	for _, id := range r.Correlation.Rules {
		of := s.byID[id]
		parts = append(parts, of.Category, of.Selections, of.Condition)
	}
	data, err := json.Marshal(parts)
	if err != nil {
		panic("sigma: a rule is not JSON: " + err.Error())
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// Keep forgets what the memory has of rules that are not in the set any more, or say something else now.
func (s *Set) Keep(m *Memory) {
	for id, k := range m.Rules {
		if of, ok := s.digests[id]; ok && of == k.Of {
			continue
		}
		for _, g := range k.Groups {
			m.Hits -= g.size()
		}
		delete(m.Rules, id)
	}
}

// Observe gives the rules that fire for an event, in the order of the set. Events come in the order of the ledger.
func (s *Set) Observe(m *Memory, e Event) []Found {
	var out []Found
	matched := map[string]bool{}
	for _, r := range s.rules {
		if matched[r.ID] = r.matches(e); matched[r.ID] && !r.Feeds {
			out = append(out, Found{Rule: r, Entries: []gov.EntryID{e.ID}})
		}
	}
	for _, r := range s.rules {
		if r.Correlation == nil {
			continue
		}
		var feed []int
		for i, id := range r.Correlation.Rules {
			if matched[id] {
				feed = append(feed, i)
			}
		}
		if found, ok := s.correlate(m, r, e, feed); ok {
			out = append(out, found)
		}
	}
	return out
}

// correlate counts an event that some of a correlation's detections matched.
func (s *Set) correlate(m *Memory, r *Rule, e Event, feed []int) (Found, bool) {
	values, ok := groupOf(r.Correlation, e)
	if len(feed) == 0 || !ok {
		return Found{}, false
	}
	g := s.group(m, r, strings.Join(values, "\x00"), e)
	before := g.size()
	g.Touched = e.Index
	g.expire(e.At - r.Correlation.Timespan)
	hits := g.add(r.Correlation, e, feed)
	m.Hits += g.size() - before
	if g.size() == 0 || hits != nil { // what fired is not counted again
		m.Hits -= g.size()
		delete(m.Rules[r.ID].Groups, strings.Join(values, "\x00"))
	}
	if hits == nil {
		m.bound()
		return Found{}, false
	}
	found := Found{Rule: r, Group: values}
	for _, h := range hits {
		found.Entries = append(found.Entries, h.ID)
	}
	return found, true
}

// groupOf gives the values that an event is grouped by. An event that lacks one belongs to no group.
func groupOf(c *Correlation, e Event) (values []string, ok bool) {
	for _, field := range c.GroupBy {
		v := e.First(field)
		if v == "" {
			return nil, false
		}
		values = append(values, v)
	}
	return values, c.Field == "" || e.First(c.Field) != ""
}

func (s *Set) group(m *Memory, r *Rule, key string, e Event) *group {
	if m.Rules == nil {
		m.Rules = map[string]*kept{}
	}
	k, ok := m.Rules[r.ID]
	if !ok {
		k = &kept{Of: s.digests[r.ID], Groups: map[string]*group{}}
		m.Rules[r.ID] = k
	}
	g, ok := k.Groups[key]
	if !ok {
		g = &group{Agent: e.First("agent")}
		k.Groups[key] = g
	}
	return g
}

// expire forgets what happened before a time.
func (g *group) expire(before int64) {
	g.Hits = slices.DeleteFunc(g.Hits, func(h hit) bool { return h.At < before })
	for i, c := range g.Chains {
		if len(c) > 0 && c[0].At < before {
			g.Chains[i] = nil
		}
	}
}

// add counts an event, and gives what the rule fires on, or nil.
func (g *group) add(c *Correlation, e Event, feed []int) []hit {
	h := hit{At: e.At, ID: e.ID}
	switch c.Type {
	case EventCount:
		g.Hits = append(g.Hits, h)
		return g.enough(int(c.Min))
	case ValueCount:
		for _, v := range e.Values(c.Field) {
			h.Value = v
			g.newest(h, func(old hit) bool { return old.Value == v })
			if hits := g.enough(int(c.Min)); hits != nil {
				return hits
			}
		}
		return nil
	case Temporal:
		for _, i := range feed {
			h.Rule = i
			g.newest(h, func(old hit) bool { return old.Rule == i })
		}
		return g.enough(len(c.Rules))
	case TemporalOrdered:
	}
	return g.chain(h, feed, len(c.Rules))
}

// newest replaces a hit by a newer one.
func (g *group) newest(h hit, same func(hit) bool) {
	g.Hits = append(slices.DeleteFunc(g.Hits, same), h)
}

func (g *group) enough(n int) []hit {
	if len(g.Hits) < n {
		return nil
	}
	return g.Hits
}

// chain goes on with the newest beginning of each length. One event is one link: the longest chains come first.
func (g *group) chain(h hit, feed []int, n int) []hit {
	if len(g.Chains) < n {
		g.Chains = append(g.Chains, make([][]hit, n-len(g.Chains))...)
	}
	for _, i := range slices.Backward(feed) {
		h.Rule = i
		switch {
		case i == 0:
			g.Chains[0] = []hit{h}
		case len(g.Chains[i-1]) > 0:
			g.Chains[i] = append(slices.Clone(g.Chains[i-1]), h)
		}
	}
	if len(g.Chains[n-1]) == 0 {
		return nil
	}
	return g.Chains[n-1]
}

// bound forgets the groups that nothing came to for longest, of the agents that have more than a fair share of the memory: an agent that
// makes up sessions pushes out its own.
func (m *Memory) bound() {
	if m.Hits <= hitsMax {
		return
	}
	type place struct {
		rule, key string
		*group
	}
	var all []place
	held := map[string]int{}
	for id, k := range m.Rules {
		for key, g := range k.Groups {
			all = append(all, place{id, key, g})
			held[g.Agent] += g.size()
		}
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.Touched, b.Touched), strings.Compare(a.rule, b.rule), strings.Compare(a.key, b.key))
	})
	share := fair(slices.Sorted(maps.Values(held)), hitsKept)
	for _, p := range all {
		if held[p.Agent] > share {
			n := p.size()
			held[p.Agent] -= n
			m.Hits -= n
			delete(m.Rules[p.rule].Groups, p.key)
		}
	}
}

// fair is how much each may have so that all together have no more than room: who has less leaves the rest to the others. sizes ascend.
func fair(sizes []int, room int) int {
	for i, n := range sizes {
		share := room / (len(sizes) - i)
		if n > share {
			return share
		}
		room -= n
	}
	return hitsMax // there is enough for all
}

// Holds says whether a rule does what a case wants of it. The rule is evaluated as it is, also where it only feeds correlations.
func (s *Set) Holds(r *Rule, c Case) bool {
	alone := &Set{byID: s.byID, digests: s.digests}
	if r.Correlation != nil {
		for _, id := range r.Correlation.Rules {
			alone.rules = append(alone.rules, s.byID[id])
		}
	}
	alone.rules = append(alone.rules, r)
	var m Memory
	for _, e := range c.Events {
		if r.matches(e) || slices.ContainsFunc(alone.Observe(&m, e), func(f Found) bool { return f.Rule == r }) {
			return c.Fires
		}
	}
	return !c.Fires
}
