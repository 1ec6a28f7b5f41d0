package bundle

import (
	"regexp"
	"slices"
	"strings"

	"github.com/writ-dev/writ/internal/sigma"
)

// Bounds of conditions.
const (
	conditionWordsMax = 200
	conditionDepthMax = 20
)

var (
	selectionRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)
	wordRE      = regexp.MustCompile(`[()]|[^\s()]+`)
)

// condition reads how selections are put together: or binds less than and, and that less than not.
func (r *reader) condition(selections []sigma.Selection, v value) sigma.Node {
	text := v.text("condition")
	if text == "" {
		return sigma.Node{}
	}
	p := parser{words: wordRE.FindAllString(text, -1), selections: selections}
	if len(p.words) > conditionWordsMax {
		v.wrong("split the rule", "the condition has more than %d words", conditionWordsMax)
		return sigma.Node{}
	}
	node := p.or()
	if p.what == "" && p.at < len(p.words) {
		p.fail("put and, or, or nothing before "+p.words[p.at], "the condition ends before "+p.words[p.at])
	}
	if p.what != "" {
		v.wrong(p.remedy, "%s", p.what)
		return sigma.Node{}
	}
	return node
}

// parser reads a condition, until something is wrong.
type parser struct {
	words        []string
	selections   []sigma.Selection
	at, depth    int
	what, remedy string
}

func (p *parser) fail(remedy, what string) sigma.Node {
	if p.what == "" {
		p.what, p.remedy = what, remedy
	}
	p.at = len(p.words)
	return sigma.Node{}
}

// take goes on if the next word is the one that is wanted.
func (p *parser) take(word string) bool {
	if p.at < len(p.words) && strings.EqualFold(p.words[p.at], word) {
		p.at++
		return true
	}
	return false
}

func (p *parser) or() sigma.Node {
	list := []sigma.Node{p.and()}
	for p.take("or") {
		list = append(list, p.and())
	}
	return joined(sigma.Or, list)
}

func (p *parser) and() sigma.Node {
	list := []sigma.Node{p.not()}
	for p.take("and") {
		list = append(list, p.not())
	}
	return joined(sigma.And, list)
}

func joined(kind sigma.NodeKind, list []sigma.Node) sigma.Node {
	if len(list) == 1 {
		return list[0]
	}
	return sigma.Node{Kind: kind, Args: list}
}

func (p *parser) not() sigma.Node {
	if p.depth++; p.depth > conditionDepthMax {
		return p.fail("write it flatter", "the condition is nested too deep")
	}
	defer func() { p.depth-- }()
	switch {
	case p.take("not"):
		return sigma.Node{Kind: sigma.Not, Args: []sigma.Node{p.not()}}
	case p.take("("):
		inside := p.or()
		if p.what == "" && !p.take(")") {
			return p.fail("close it", "a parenthesis of the condition is not closed")
		}
		return inside
	case p.take("1"):
		return p.of(sigma.Or)
	case p.take("all"):
		return p.of(sigma.And)
	case p.at >= len(p.words):
		return p.fail("name a selection there", "the condition ends where a selection has to follow")
	}
	word := p.words[p.at]
	p.at++
	if !slices.ContainsFunc(p.selections, func(s sigma.Selection) bool { return s.Name == word }) {
		return p.fail(suggest(word, p.names()), "the condition names "+word+", which is no selection")
	}
	return sigma.Node{Kind: sigma.Leaf, Selection: word}
}

// of reads what follows 1 or all: of them, or of a pattern of names.
func (p *parser) of(kind sigma.NodeKind) sigma.Node {
	if !p.take("of") || p.at >= len(p.words) {
		return p.fail("write 1 of them, all of them, 1 of name_* or all of name_*", "the condition does not say of what")
	}
	pattern := p.words[p.at]
	p.at++
	var list []sigma.Node
	for _, name := range p.names() {
		begins, starred := strings.CutSuffix(pattern, "*")
		if name == pattern || starred && strings.HasPrefix(name, begins) || pattern == "them" && !strings.HasPrefix(name, "_") {
			list = append(list, sigma.Node{Kind: sigma.Leaf, Selection: name})
		}
	}
	if len(list) == 0 {
		return p.fail(suggest(pattern, p.names()), "no selection is called "+pattern)
	}
	return joined(kind, list)
}

func (p *parser) names() []string {
	out := make([]string, len(p.selections))
	for i, s := range p.selections {
		out[i] = s.Name
	}
	return out
}
