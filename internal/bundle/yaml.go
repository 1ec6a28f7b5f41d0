package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// The bounds of YAML.
const (
	yamlDepthMax = 64
	yamlNodesMax = 500_000
)

var (
	yamlLineRE = regexp.MustCompile(`line (\d+): `)
	// yamlParserRE knows the errors of the library's parser, whose lines count from 0; those of its scanner count from 1.
	yamlParserRE = regexp.MustCompile("did not find expected (<|node content|'-' indicator|key|',' or)")
	numberRE     = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
)

// parse reads a YAML file as one document of plain nodes: no anchors, aliases or tags of its own.
func (r *reader) parse(file string) {
	dec := yaml.NewDecoder(bytes.NewReader(r.b.Files[file]))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		r.malformed(file, err)
		return
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		r.wrong(file, more.Line, "keep one document in a file", "a second document, or something unreadable, follows the first")
		return
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		r.wrong(file, doc.Line, "write its content, or remove the file", "the file has no content")
		return
	}
	if r.plainNode(file, doc.Content[0], 1) {
		r.docs[file] = value{r, file, doc.Content[0]}
	}
}

func (r *reader) malformed(file string, err error) {
	if errors.Is(err, io.EOF) {
		r.wrong(file, 0, "write its content, or remove the file", "the file is empty")
		return
	}
	line, text := 0, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLineRE.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = strings.Replace(text, m[0], "", 1)
	}
	if yamlParserRE.MatchString(text) {
		line++
	}
	r.wrong(file, line, "mend the YAML there: indentation with blanks, one value per key", "not YAML: %s", strings.Join(strings.Fields(text), " "))
}

// plainNode walks the nodes once, so that all other code may rely on plain ones with unique keys.
func (r *reader) plainNode(file string, n *yaml.Node, depth int) bool {
	r.nodes++
	switch {
	case depth > yamlDepthMax:
		r.wrong(file, n.Line, "nest less deep", "deeper than %d levels", yamlDepthMax)
		return false
	case r.nodes > yamlNodesMax:
		r.wrong(file, n.Line, "split the bundle", "the bundle has more than %d values", yamlNodesMax)
		return false
	case n.Anchor != "" || n.Kind == yaml.AliasNode:
		r.wrong(file, n.Line, "write the value out", "YAML anchors and aliases are not read")
		return false
	case !slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq", "!!timestamp"}, n.ShortTag()):
		r.wrong(file, n.Line, "write a plain value", "the YAML tag %s is not read", n.ShortTag())
		return false
	}
	ok := true
	for _, child := range n.Content {
		ok = r.plainNode(file, child, depth+1) && ok
	}
	return r.uniqueKeys(file, n) && ok
}

func (r *reader) uniqueKeys(file string, n *yaml.Node) bool {
	if n.Kind != yaml.MappingNode {
		return true
	}
	ok, seen := true, map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			r.wrong(file, key.Line, "write a name before the colon", "a key is not a plain name")
			ok = false
			continue
		}
		if first, twice := seen[key.Value]; twice {
			r.wrong(file, key.Line, "keep one of the two", "the key %s comes twice; first at line %d", key.Value, first)
			ok = false
		}
		seen[key.Value] = key.Line
	}
	return ok
}

// value is a node of a file. Its methods give what is written there; what does not fit is a problem, and gives zero.
type value struct {
	r    *reader
	file string
	node *yaml.Node // nil: the key is not there
}

// member is one line of a mapping.
type member struct {
	key  string
	line int
	value
}

func (v value) given() bool { return v.node != nil }

func (v value) line() int {
	if v.node == nil {
		return 0
	}
	return v.node.Line
}

func (v value) wrong(remedy, format string, args ...any) {
	v.r.wrong(v.file, v.line(), remedy, format, args...)
}

// members gives the lines of a mapping in the order of the file.
func (v value) members(what string) []member {
	if v.node == nil {
		return nil
	}
	if v.node.Kind != yaml.MappingNode {
		v.wrong("write name: value lines, indented below it", "%s is not a mapping", what)
		return nil
	}
	var out []member
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := v.node.Content[i]
		out = append(out, member{key.Value, key.Line, value{v.r, v.file, v.node.Content[i+1]}})
	}
	return out
}

// fields gives the members of a mapping whose keys are known. A key that ends in "!" has to be there.
func (v value) fields(what string, line int, known ...string) func(key string) value {
	names, found := make([]string, len(known)), map[string]value{}
	for i, k := range known {
		names[i] = strings.TrimSuffix(k, "!")
	}
	for _, m := range v.members(what) {
		if !slices.Contains(names, m.key) {
			v.r.wrong(v.file, m.line, suggest(m.key, names), "%s has no key %s", what, m.key)
			continue
		}
		found[m.key] = m.value
	}
	for i, k := range known {
		if _, ok := found[names[i]]; !ok && v.isMapping() && names[i] != k {
			v.r.wrong(v.file, line, fmt.Sprintf("add %s: …", names[i]), "%s has no %s", what, names[i])
		}
	}
	return func(key string) value {
		if got, ok := found[key]; ok {
			return got
		}
		return value{r: v.r, file: v.file}
	}
}

func (v value) isMapping() bool { return v.node != nil && v.node.Kind == yaml.MappingNode }

func (v value) isList() bool { return v.node != nil && v.node.Kind == yaml.SequenceNode }

// items gives the elements of a list.
func (v value) items(what string) []value {
	if v.node == nil {
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		v.wrong("write it in brackets: [one, two]", "%s is not a list", what)
		return nil
	}
	out := make([]value, len(v.node.Content))
	for i, n := range v.node.Content {
		out[i] = value{v.r, v.file, n}
	}
	return out
}

// text gives a string that is not empty.
func (v value) text(what string) string {
	switch {
	case v.node == nil:
		return ""
	case v.node.Kind != yaml.ScalarNode || v.node.ShortTag() != "!!str":
		v.wrong("write text, in quotes where YAML would take it for something else", "%s is not text", what)
		return ""
	case strings.TrimSpace(v.node.Value) == "":
		v.wrong("write something there, or remove the key", "%s is empty", what)
		return ""
	}
	return v.node.Value
}

func (v value) flag(what string) bool {
	if v.node == nil {
		return false
	}
	if v.node.Kind != yaml.ScalarNode || v.node.ShortTag() != "!!bool" {
		v.wrong("write true or false", "%s is not true or false", what)
		return false
	}
	return strings.EqualFold(v.node.Value, "true")
}

// count gives a whole number from 1.
func (v value) count(what string) int64 {
	if v.node == nil {
		return 0
	}
	n, err := strconv.ParseInt(v.node.Value, 10, 64)
	if v.node.Kind != yaml.ScalarNode || v.node.ShortTag() != "!!int" || err != nil || n < 1 {
		v.wrong("write a whole number from 1", "%s is not a number of at least 1", what)
		return 0
	}
	return n
}

// oneOf gives one of a closed set, or zero.
func oneOf[T ~string](v value, what string, known []T) T {
	got := v.text(what)
	if got == "" || slices.Contains(known, T(got)) {
		return T(got)
	}
	v.unknown(what, got, words(known))
	return ""
}

// unknown says that a name is none of those that are known.
func (v value) unknown(what, got string, known []string) {
	remedy := ""
	if len(v.r.problems) < problemsMax { // nobody reads more, and comparing names takes time
		remedy = suggest(got, known)
	}
	v.wrong(remedy, "%s: %q is not known", what, got)
}

// listOf gives a list of a closed set without repetitions, in the order of the file.
func listOf[T ~string](v value, what string, known []T) []T {
	var out []T
	seen := make(map[T]bool, len(known)) // whether a known name was taken
	for _, k := range known {
		seen[k] = false
	}
	for _, item := range v.items(what) {
		got := T(item.text(what))
		taken, ok := seen[got]
		switch {
		case got == "": // told by text
		case !ok:
			item.unknown(what, string(got), words(known))
		case taken:
			item.wrong("name it once", "%s names %s twice", what, got)
		default:
			seen[got] = true
			out = append(out, got)
		}
	}
	return out
}

func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}

// object gives a mapping as canon.ParseObject would give it: one definition of what an input may be.
func (v value) object(what string) map[string]any {
	if v.node == nil {
		return nil
	}
	if v.node.Kind != yaml.MappingNode {
		v.wrong("write field: value lines below it, or {}", "%s is not an object", what)
		return nil
	}
	before := len(v.r.problems)
	data, err := json.Marshal(v.json())
	if len(v.r.problems) > before {
		return nil
	}
	if err != nil {
		v.wrong("write values that JSON has", "%s: %v", what, err)
		return nil
	}
	out, err := canon.ParseObject(data)
	if err != nil {
		var at *gov.Error
		if errors.As(err, &at) {
			v.wrong("write values that JSON has", "%s at %s: %s", what, at.Path, at.Detail)
			return nil
		}
		v.wrong("write values that JSON has", "%s: %v", what, err)
		return nil
	}
	return out
}

// json gives the value of a node; plainNode has bounded its depth.
func (v value) json() any {
	n := v.node
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for _, m := range v.members("an object") {
			out[m.key] = m.json()
		}
		return out
	case yaml.SequenceNode:
		out := []any{}
		for _, item := range v.items("a list") {
			out = append(out, item.json())
		}
		return out
	default:
		return v.scalar()
	}
}

// scalar gives the value of a node that holds no others.
func (v value) scalar() any {
	n := v.node
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		if !numberRE.MatchString(n.Value) {
			v.wrong("write it as JSON does, or in quotes if it is text", "%s is not a number of JSON", n.Value)
			return nil
		}
		return json.Number(n.Value)
	}
	// The library takes a number that no double holds for text.
	if n.Style == 0 && numberRE.MatchString(n.Value) {
		v.wrong("write a smaller one, or put it in quotes if it is text", "the number %s does not fit a double", n.Value)
	}
	return n.Value
}
