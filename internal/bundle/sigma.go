package bundle

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/sigma"
)

const sigmaDir = "sigma/"

// Bounds of rules.
const (
	rulesMax         = 100
	selectionsMax    = 50  // of a rule
	valuesMax        = 100 // of a test
	refersMax        = 10  // detections of a correlation, and fields of group-by
	titleBytesMax    = 200
	caseEventsMax    = 2000   // of a case
	caseEventsAllMax = 20_000 // of all cases
)

// tagRE is what tags are read; its groups are the ids.
var tagRE = regexp.MustCompile(`^(?:attack\.(t\d{4}(?:\.\d{3})?|[a-z][a-z-]*)|atlas\.(?:aml\.)?(ta?\d{4}(?:\.\d{3})?)|owasp\.((?:asi|llm)\d{2}))$`)

// rules reads sigma/*.yml. Their cases are read when tools can be looked up.
func (r *reader) rules() {
	var found []sigma.Rule
	for _, file := range slices.Sorted(maps.Keys(r.docs)) {
		if strings.HasPrefix(file, sigmaDir) {
			found = append(found, r.rule(r.docs[file]))
		}
	}
	if len(found) > rulesMax {
		r.wrong(found[rulesMax].File, 0, "keep to the rules that somebody answers", "there are more than %d rules", rulesMax)
		return
	}
	seen := map[string]string{}
	for _, rule := range found {
		for _, name := range slices.Compact([]string{rule.ID, rule.Name}) {
			if other, twice := seen[name]; twice && name != "" {
				r.wrong(rule.File, rule.Line, "give each rule an id and a name of its own", "%s is called %s too", other, name)
			}
			seen[name] = rule.File
		}
	}
	r.b.Rules = found
	for i := range r.b.Rules {
		r.refer(&r.b.Rules[i])
	}
	r.feed()
}

// ruleKeys are what a rule may have; those that only people read are not looked at.
var ruleKeys = []string{
	"title!", "id!", "level!", "tags!", "writ!", "name", "status", "description", "references", "author", "date", "modified", "license", "falsepositives",
	"logsource", "detection", "correlation",
}

func (r *reader) rule(v value) sigma.Rule {
	get := v.fields(v.file, 1, ruleKeys...)
	rule := sigma.Rule{File: v.file, Line: v.line(), ID: get("id").name("id"), Name: get("name").name("name"), Title: get("title").text("title")}
	if len(rule.Title) > titleBytesMax {
		get("title").wrong("say the rest in description", "the title is longer than %d bytes", titleBytesMax)
	}
	switch oneOf(get("level"), "level", []string{"critical", "high", "medium", "low", "informational"}) {
	case "critical":
		rule.Severity = gov.SeverityCritical
	case "high":
		rule.Severity = gov.SeverityHigh
	case "medium":
		rule.Severity = gov.SeverityMedium
	default:
		rule.Severity = gov.SeverityLow
	}
	rule.Tags = get("tags").tags()
	source, detection, correlation := get("logsource"), get("detection"), get("correlation")
	switch {
	case correlation.given() && (detection.given() || source.given()):
		correlation.wrong("keep each in a file of its own, and name the detection under rules", "a rule is a detection with its logsource, or a correlation")
	case correlation.given():
		rule.Correlation = r.correlation(correlation)
	case !detection.given() || !source.given():
		r.wrong(v.file, 1, "add logsource: {product: ai_agent, category: …} and detection: …, or correlation: …", "the rule does not say what it looks for")
	default:
		rule.Category = r.logsource(source)
		r.detection(&rule, detection)
	}
	return rule
}

// name reads what rules are called by.
func (v value) name(what string) string {
	text := v.text(what)
	if text != "" && !gov.ValidName(text) {
		v.wrong(nameRemedy, "%s is %q", what, text)
		return ""
	}
	return text
}

func (v value) tags() []string {
	var out []string
	for _, item := range v.items("tags") {
		text := item.text("a tag")
		m := tagRE.FindStringSubmatch(text)
		switch {
		case text == "":
		case m == nil:
			item.wrong("write attack.t1552, atlas.t0053, owasp.asi02 or owasp.llm06", "the tag is %q", text)
		case m[2] != "":
			out = append(out, "AML."+strings.ToUpper(m[2]))
		case m[3] != "":
			out = append(out, strings.ToUpper(m[3]))
		case len(m[1]) > 1 && m[1][1] >= '0' && m[1][1] <= '9':
			out = append(out, strings.ToUpper(m[1]))
		default:
			out = append(out, text)
		}
	}
	if v.given() && v.node.Kind == yaml.SequenceNode && len(v.node.Content) == 0 {
		v.wrong("name the technique that the rule is about: [atlas.t0053]", "tags is an empty list")
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (r *reader) logsource(v value) sigma.Category {
	get := v.fields("logsource", v.line(), "product!", "category!")
	oneOf(get("product"), "product", []string{"ai_agent"})
	return oneOf(get("category"), "category", sigma.Categories())
}

// detection reads selections and their condition.
func (r *reader) detection(rule *sigma.Rule, v value) {
	var condition value
	for _, m := range v.members("detection") {
		switch {
		case m.key == "condition":
			condition = m.value
		case !selectionRE.MatchString(m.key):
			r.wrong(m.file, m.line, "use letters, digits and underscore", "%q cannot name a selection", m.key)
		default:
			rule.Selections = append(rule.Selections, sigma.Selection{Name: m.key, Any: r.selection(m, rule.Category)})
		}
	}
	switch {
	case len(rule.Selections) > selectionsMax:
		v.wrong("split the rule", "there are more than %d selections", selectionsMax)
	case v.isMapping() && !condition.given():
		v.wrong("add condition: selection", "detection has no condition")
	default:
		rule.Condition = r.condition(rule.Selections, condition)
	}
}

// selection reads a mapping of tests that all have to hold, or a list of which one has to.
func (r *reader) selection(m member, c sigma.Category) []sigma.Match {
	list := []value{m.value}
	if m.node.Kind == yaml.SequenceNode {
		list = m.items(m.key)
	}
	var out []sigma.Match
	for _, item := range list {
		var match sigma.Match
		for _, test := range item.members("the selection " + m.key) {
			match = append(match, r.ruleTest(test, c))
		}
		if item.isMapping() && len(match) == 0 {
			item.wrong("name a field and its value", "the selection %s is empty", m.key)
		}
		out = append(out, match)
	}
	if len(out) == 0 {
		m.wrong("name a field and its value", "the selection %s is empty", m.key)
	}
	return out
}

// ruleTest reads one line of a selection: field|modifier: value or list of values.
func (r *reader) ruleTest(m member, c sigma.Category) sigma.Test {
	parts := strings.Split(m.key, "|")
	test := sigma.Test{Field: parts[0], Op: sigma.Equals}
	field := r.ruleField(m.value, m.line, c, parts[0])
	for _, modifier := range parts[1:] {
		switch op := sigma.Op(modifier); {
		case modifier == "all" && !test.All:
			test.All = true
		case slices.Contains([]sigma.Op{sigma.Contains, sigma.StartsWith, sigma.EndsWith, sigma.Exists}, op) && test.Op == sigma.Equals:
			test.Op = op
		default:
			r.wrong(m.file, m.line, "known: one of contains, startswith, endswith and exists, and all", "the modifier %s is not read here", modifier)
		}
	}
	if m.node.Kind == yaml.ScalarNode && m.node.ShortTag() == "!!null" && test.Op == sigma.Equals {
		return test
	}
	list := []value{m.value}
	if m.node.Kind == yaml.SequenceNode {
		list = m.items(m.key)
	}
	if len(list) == 0 || len(list) > valuesMax || test.Op == sigma.Exists && len(list) != 1 || test.All && len(list) < 2 {
		m.wrong("write a value, or a list of them in brackets", "%s has %d values", m.key, len(list))
	}
	for _, item := range list {
		text := item.ruleValue(m.key)
		switch test.Op {
		case sigma.Exists:
			oneOfValues(item, m.key, text, []string{"true", "false"})
		case sigma.Equals:
			oneOfValues(item, m.key, text, field.Known)
		default:
		}
		test.Values = append(test.Values, text)
	}
	if test.Op == sigma.Exists && len(test.Values) == 0 {
		test.Values = []string{"true"}
	}
	return test
}

// ruleField finds a field of events.
func (r *reader) ruleField(v value, line int, c sigma.Category, name string) sigma.Field {
	fields := sigma.Fields(c)
	i := slices.IndexFunc(fields, func(f sigma.Field) bool { return f.Name == name })
	if i >= 0 {
		return fields[i]
	}
	if c != "" { // a category that is not known is told by itself
		names := make([]string, len(fields))
		for i, f := range fields {
			names[i] = f.Name
		}
		r.wrong(v.file, line, suggest(name, names), "events of %s have no field %q", c, name)
	}
	return sigma.Field{Name: name}
}

// ruleValue gives a scalar as text in lower case.
func (v value) ruleValue(what string) string {
	if v.node.Kind != yaml.ScalarNode || v.node.ShortTag() == "!!null" || v.node.Value == "" {
		v.wrong("write text, a number, true or false", "%s has a value that is none", what)
		return ""
	}
	if strings.ContainsAny(v.node.Value, `*?\`) {
		v.wrong("say |contains, |startswith or |endswith", "wildcards are not read: %s is %q", what, v.node.Value)
	}
	return strings.ToLower(v.node.Value)
}

// oneOfValues says when a value is none that the field can have.
func oneOfValues(v value, what, text string, known []string) {
	if text != "" && len(known) > 0 && !slices.Contains(known, text) {
		v.unknown(what, text, known)
	}
}
