package bundle

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/sigma"
)

// correlation reads a correlation. What it refers to is looked up when all rules are read.
func (r *reader) correlation(v value) *sigma.Correlation {
	get := v.fields("correlation", v.line(), "type!", "rules!", "group-by", "timespan!", "condition", "generate")
	c := &sigma.Correlation{Type: oneOf(get("type"), "type", sigma.CorrelationTypes()), Timespan: get("timespan").duration("timespan")}
	get("generate").flag("generate")
	c.Rules, c.GroupBy = get("rules").names("rules"), get("group-by").names("group-by")
	if len(c.Rules) == 0 && get("rules").given() {
		get("rules").wrong("name the detections", "the correlation names no rules")
	}
	condition := get("condition")
	switch c.Type {
	case sigma.Temporal, sigma.TemporalOrdered:
		if condition.given() {
			condition.wrong("remove it: each of the rules has to match", "a correlation of type %s has no condition", c.Type)
		}
		if len(c.Rules) == 1 {
			get("rules").wrong("name two rules or more, or use event_count", "a correlation of type %s has one rule", c.Type)
		}
	case sigma.EventCount, sigma.ValueCount:
		if !condition.given() {
			v.wrong("add condition: {gte: 10}", "a correlation of type %s has no condition", c.Type)
			break
		}
		condition.atLeast(c)
	}
	return c
}

// atLeast reads how many events, or values of a field, there have to be.
func (v value) atLeast(c *sigma.Correlation) {
	known := []string{"gte", "gt"}
	if c.Type == sigma.ValueCount {
		known = append(known, "field!")
	}
	get := v.fields("condition", v.line(), known...)
	gte, gt := get("gte"), get("gt")
	c.Min = gte.count("gte")
	if gt.given() {
		c.Min = gt.count("gt") + 1
	}
	if v.isMapping() && gte.given() == gt.given() {
		v.wrong("add gte: 10, or gt: 9", "the condition says none of gte and gt, or both")
	}
	if c.Min > sigma.MinMax {
		v.wrong("wait for fewer, in a shorter time", "the condition waits for more than %d", sigma.MinMax)
	}
	c.Field = get("field").text("field")
}

// names reads a list of names, or one.
func (v value) names(what string) []string {
	if !v.given() {
		return nil
	}
	list := []value{v}
	if v.node.Kind == yaml.SequenceNode {
		list = v.items(what)
	}
	var out []string
	for _, item := range list {
		text := item.text(what)
		if slices.Contains(out, text) {
			item.wrong("name it once", "%s names %s twice", what, text)
		}
		out = append(out, text)
	}
	if len(out) > refersMax {
		v.wrong("name fewer", "%s names more than %d", what, refersMax)
	}
	return out
}

// refer looks up the detections of a correlation, by id or name, and its fields.
func (r *reader) refer(rule *sigma.Rule) {
	c := rule.Correlation
	if c == nil {
		return
	}
	get := func(key string) value { return r.docs[rule.File].at("correlation", key) }
	var categories []sigma.Category
	for i, name := range c.Rules {
		n := slices.IndexFunc(r.b.Rules, func(o sigma.Rule) bool { return name != "" && (o.ID == name || o.Name == name) })
		if n < 0 || r.b.Rules[n].Correlation != nil {
			get("rules").wrong(suggest(name, r.detections()), "there is no detection %q", name)
			continue
		}
		of := r.b.Rules[n]
		if slices.Contains(c.Rules[:i], of.ID) {
			get("rules").wrong("name it once", "the correlation names the detection %s twice", of.ID)
		}
		c.Rules[i], categories = of.ID, append(categories, of.Category)
	}
	for _, category := range categories {
		for _, name := range c.GroupBy {
			if f := r.ruleField(get("group-by"), get("group-by").line(), category, name); f.List {
				get("group-by").wrong("group by a field with one value", "%s is a list", name)
			}
		}
		if c.Field != "" {
			r.ruleField(get("condition"), get("condition").line(), category, c.Field)
		}
	}
}

// feed finds the detections that only feed correlations: none of these wants them to be told by themselves (generate).
func (r *reader) feed() {
	for _, tells := range []bool{false, true} {
		for _, rule := range r.b.Rules {
			generate := r.docs[rule.File].at("correlation", "generate")
			if rule.Correlation == nil || tells != (generate.given() && strings.EqualFold(generate.node.Value, "true")) {
				continue
			}
			for i := range r.b.Rules {
				if slices.Contains(rule.Correlation.Rules, r.b.Rules[i].ID) {
					r.b.Rules[i].Feeds = !tells
				}
			}
		}
	}
}

// detections are the names that a correlation may refer to.
func (r *reader) detections() []string {
	var out []string
	for _, o := range r.b.Rules {
		for _, name := range []string{o.ID, o.Name} {
			if o.Correlation == nil && name != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// at gives the value at a path of keys, without looking for what is wrong.
func (v value) at(keys ...string) value {
	for _, key := range keys {
		next := value{r: v.r, file: v.file}
		if v.isMapping() {
			for i := 0; i+1 < len(v.node.Content); i += 2 {
				if v.node.Content[i].Value == key {
					next.node = v.node.Content[i+1]
				}
			}
		}
		v = next
	}
	return v
}

// ruleCases reads what rules must and must not fire for, and tries it.
func (r *reader) ruleCases() {
	if slices.ContainsFunc(r.problems, func(p Problem) bool { return strings.HasPrefix(p.File, sigmaDir) }) {
		return // what is no rule has no cases
	}
	told, events := len(r.problems), 0
	for i := range r.b.Rules {
		rule := &r.b.Rules[i]
		doc := r.docs[rule.File]
		v := doc.at("writ")
		get := v.fields("writ", v.line(), "must_fire!", "must_not_fire!")
		for _, key := range []string{"must_fire", "must_not_fire"} {
			list := get(key).items(key)
			if len(list) == 0 && get(key).given() {
				get(key).wrong("write a case: {name: …, events: [{…}]}", "%s has no case", key)
			}
			for _, item := range list {
				c := r.ruleCase(rule, item)
				c.Fires = key == "must_fire"
				rule.Cases, events = append(rule.Cases, c), events+len(c.Events)
			}
		}
	}
	if events > caseEventsAllMax {
		r.wrong(sigmaDir, 0, "make cases shorter", "the cases of all rules have more than %d events", caseEventsAllMax)
	}
	if len(r.problems) == told {
		r.tryCases()
	}
}

// tryCases holds each rule against its cases.
func (r *reader) tryCases() {
	set := sigma.NewSet(r.b.Rules)
	for i := range r.b.Rules {
		rule := &r.b.Rules[i]
		for _, c := range rule.Cases {
			switch {
			case set.Holds(rule, c):
			case c.Fires:
				r.wrong(rule.File, c.Line, "mend the rule, or the case", "the rule does not fire for %q, and it must", c.Name)
			default:
				r.wrong(rule.File, c.Line, "mend the rule, or the case", "the rule fires for %q, and it must not", c.Name)
			}
		}
	}
}

func (r *reader) ruleCase(rule *sigma.Rule, v value) sigma.Case {
	get := v.fields("a case", v.line(), "name!", "events!")
	c := sigma.Case{Line: v.line(), Name: get("name").text("name")}
	at := int64(0)
	for _, item := range get("events").items("events") {
		e, times := r.caseEvent(rule, item, &at)
		for range times {
			if len(c.Events) >= caseEventsMax {
				item.wrong("make it shorter", "the case has more than %d events", caseEventsMax)
				return c
			}
			e.Index = int64(len(c.Events))
			c.Events = append(c.Events, e)
		}
	}
	if len(c.Events) == 0 && get("events").given() {
		get("events").wrong("write an event: {agent: support-bot}", "the case has no event")
	}
	return c
}

// caseEvent reads an event: its fields, what it is (of what the rule looks at, if it does not say), how long after the one before it
// came and how often. The categories are those of the tool, unless it says others.
func (r *reader) caseEvent(rule *sigma.Rule, v value, at *int64) (e sigma.Event, times int64) {
	get := v.at
	e = sigma.Event{Category: rule.Category, Fields: map[string][]string{}}
	if e.Category == "" {
		first := slices.IndexFunc(r.b.Rules, func(o sigma.Rule) bool { return o.ID == rule.Correlation.Rules[0] })
		e.Category = r.b.Rules[first].Category
	}
	if is := get("logsource"); is.given() {
		e.Category = oneOf(is, "logsource", sigma.Categories())
	}
	if after := get("after"); after.given() {
		*at += after.duration("after")
	}
	e.At, times = *at, max(get("times").count("times"), 1)
	for _, m := range v.members("an event") {
		if !slices.Contains([]string{"logsource", "after", "times"}, m.key) {
			e.Fields[m.key] = r.caseValues(m, r.ruleField(m.value, m.line, e.Category, m.key))
		}
	}
	if tool, ok := r.b.Tool(gov.ToolName(e.First("tool"))); ok && e.Fields["categories"] == nil {
		for _, c := range tool.Categories {
			e.Fields["categories"] = append(e.Fields["categories"], string(c))
		}
	}
	return e, min(times, caseEventsMax+1)
}

// caseValues reads the values of a field of an event.
func (r *reader) caseValues(m member, f sigma.Field) []string {
	list := []value{m.value}
	if f.List && m.node.Kind == yaml.SequenceNode {
		list = m.items(m.key)
	}
	var out []string
	for _, item := range list {
		if item.node.Kind != yaml.ScalarNode || item.node.Value == "" || item.node.ShortTag() == "!!null" {
			item.wrong("write a value, or leave the field out", "%s has no value", m.key)
			continue
		}
		oneOfValues(item, m.key, item.node.Value, f.Known)
		out = append(out, item.node.Value)
	}
	return out
}
