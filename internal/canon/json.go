package canon

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/writ-dev/writ/internal/gov"
)

// DepthMax is how deep an input may nest; the object itself is level 1.
const DepthMax = 32

// exactDigitsMax is how many digits an integer literal may have so that a double holds it exactly whatever they are.
const exactDigitsMax = 15

// ParseObject reads one JSON object: string, json.Number, bool, nil, []any, map[string]any. It refuses what would not mean
// the same thing to everyone (RFC 7493): duplicate names, invalid UTF-8, unpaired surrogates, numbers that overflow a double,
// anything behind the object, and nesting over DepthMax. Errors are *gov.Error with a JSON pointer.
//
// It is a parser of its own because the decision door parses every input, and this costs a quarter of what tokens do; a fuzz
// test holds it to jsontext.
func ParseObject(data []byte) (map[string]any, error) {
	p := parser{data: data, path: make([]string, 0, pathUsual)}
	p.space()
	if p.peek() != '{' {
		if p.at >= len(data) {
			return nil, p.malformed("the JSON ends too early")
		}
		if _, err := p.value(); err != nil {
			return nil, err
		}
		return nil, &gov.Error{Code: gov.CodeInvalidField, Detail: "expected a JSON object"}
	}
	m, err := p.object()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(data) {
		return nil, p.malformed("something follows the JSON object")
	}
	return m, nil
}

// pathUsual is how many levels of names room is made for.
const pathUsual = 8

// parser reads JSON from the front.
type parser struct {
	data  []byte
	at    int
	depth int
	path  []string // names and numbers that lead here
}

func (p *parser) peek() byte {
	if p.at < len(p.data) {
		return p.data[p.at]
	}
	return 0
}

func (p *parser) space() {
	for p.at < len(p.data) {
		switch p.data[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

func (p *parser) pointer() string {
	var b strings.Builder
	for _, name := range p.path {
		b.WriteByte('/')
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1"))
	}
	return b.String()
}

func (p *parser) malformed(what string) error {
	return &gov.Error{Code: gov.CodeMalformedJSON, Path: p.pointer(), Detail: what + " at byte " + strconv.Itoa(p.at)}
}

// unexpected says what stands where something else should.
func (p *parser) unexpected(want string) error {
	if p.at >= len(p.data) {
		return p.malformed("the JSON ends too early")
	}
	return p.malformed("expected " + want)
}

func (p *parser) value() (any, error) {
	switch c := p.peek(); {
	case c == '{':
		return p.object()
	case c == '[':
		return p.array()
	case c == '"':
		return p.text()
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case c == 't':
		return true, p.literal("true")
	case c == 'f':
		return false, p.literal("false")
	case c == 'n':
		return nil, p.literal("null")
	}
	return nil, p.unexpected("a JSON value")
}

func (p *parser) literal(word string) error {
	if !bytes.HasPrefix(p.data[p.at:], []byte(word)) {
		return p.unexpected(word)
	}
	p.at += len(word)
	return nil
}

func (p *parser) enter() error {
	p.at++
	if p.depth++; p.depth > DepthMax {
		return &gov.Error{Code: gov.CodeInvalidField, Path: p.pointer(), Detail: "nested deeper than " + strconv.Itoa(DepthMax) + " levels"}
	}
	p.space()
	return nil
}

func (p *parser) object() (map[string]any, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	var m members
	for first := true; ; first = false {
		if p.peek() == '}' && first {
			break
		}
		if err := p.member(&m); err != nil {
			return nil, err
		}
		p.space()
		if p.peek() == '}' {
			break
		}
		if p.peek() != ',' {
			return nil, p.unexpected("a comma or the end of the object")
		}
		p.at++
		p.space()
	}
	p.at++
	p.depth--
	return m.object(), nil
}

// members are those of an object that is read: few until it is known how many there are, so that its map is made at its size.
type members struct {
	few  [12]pair
	n    int
	many map[string]any
}

type pair struct {
	name  string
	value any
}

func (m *members) has(name string) bool {
	if m.many != nil {
		_, has := m.many[name]
		return has
	}
	for i := range m.n {
		if m.few[i].name == name {
			return true
		}
	}
	return false
}

func (m *members) add(name string, value any) {
	if m.many == nil && m.n < len(m.few) {
		m.few[m.n] = pair{name, value}
		m.n++
		return
	}
	if m.many == nil {
		m.many = m.object()
	}
	m.many[name] = value
}

func (m *members) object() map[string]any {
	if m.many != nil {
		return m.many
	}
	out := make(map[string]any, m.n)
	for _, one := range m.few[:m.n] {
		out[one.name] = one.value
	}
	return out
}

func (p *parser) member(m *members) error {
	if p.peek() != '"' {
		return p.unexpected("a name in double quotes")
	}
	name, err := p.text()
	if err != nil {
		return err
	}
	p.path = append(p.path, name)
	if m.has(name) {
		return p.malformed("a name that the object has already")
	}
	p.space()
	if p.peek() != ':' {
		return p.unexpected("a colon")
	}
	p.at++
	p.space()
	value, err := p.value()
	if err != nil {
		return err
	}
	m.add(name, value)
	p.path = p.path[:len(p.path)-1]
	return nil
}

func (p *parser) array() ([]any, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	list := []any{}
	for p.peek() != ']' || len(list) > 0 {
		p.path = append(p.path, strconv.Itoa(len(list)))
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		p.path = p.path[:len(p.path)-1]
		list = append(list, v)
		p.space()
		if p.peek() == ']' {
			break
		}
		if p.peek() != ',' {
			return nil, p.unexpected("a comma or the end of the array")
		}
		p.at++
		p.space()
	}
	p.at++
	p.depth--
	return list, nil
}

// number reads the grammar of RFC 8259 and insists that a double can hold it.
func (p *parser) number() (any, error) {
	start := p.at
	if p.peek() == '-' {
		p.at++
	}
	if p.peek() == '0' {
		p.at++
	} else if !p.digits() {
		return nil, p.unexpected("a digit")
	}
	integer := true
	if p.peek() == '.' {
		integer = false
		if p.at++; !p.digits() {
			return nil, p.unexpected("a digit")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		integer = false
		p.at++
		if c := p.peek(); c == '+' || c == '-' {
			p.at++
		}
		if !p.digits() {
			return nil, p.unexpected("a digit")
		}
	}
	literal := string(p.data[start:p.at])
	if integer && len(literal) <= exactDigitsMax {
		return json.Number(literal), nil
	}
	if _, err := strconv.ParseFloat(literal, 64); err != nil {
		return nil, &gov.Error{Code: gov.CodeInvalidField, Path: p.pointer(), Detail: "the number does not fit a double (RFC 7493)"}
	}
	return json.Number(literal), nil
}

func (p *parser) digits() bool {
	start := p.at
	for p.at < len(p.data) && p.data[p.at] >= '0' && p.data[p.at] <= '9' {
		p.at++
	}
	return p.at > start
}

// text reads a string. Most have nothing to unescape and are ASCII; the others are read by jsontext.
func (p *parser) text() (string, error) {
	start := p.at + 1
	for i := start; i < len(p.data); i++ {
		switch c := p.data[i]; {
		case c == '"':
			p.at = i + 1
			return string(p.data[start:i]), nil
		case c < 0x20 || c == '\\' || c >= 0x80:
			return p.rareText(i)
		}
	}
	p.at = len(p.data)
	return "", p.malformed("the JSON ends too early")
}

// rareText finds the end of a string from its first unusual byte, and has it unescaped and checked.
func (p *parser) rareText(i int) (string, error) {
	for ; i < len(p.data) && p.data[i] != '"'; i++ {
		if p.data[i] == '\\' {
			i++
		}
	}
	if i >= len(p.data) {
		p.at = len(p.data)
		return "", p.malformed("the JSON ends too early")
	}
	text, err := jsontext.AppendUnquote(nil, p.data[p.at:i+1])
	if err != nil || !utf8.Valid(text) {
		return "", p.malformed("a string that is not valid: " + errText(err))
	}
	p.at = i + 1
	return string(text), nil
}

func errText(err error) string {
	if err == nil {
		return "invalid UTF-8"
	}
	return err.Error()
}

// AppendValue appends the canonical form (RFC 8785) of v, a value as ParseObject gives them.
func AppendValue(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case string:
		return appendString(dst, v)
	case json.Number:
		return appendNumber(dst, string(v))
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendValue(dst, e)
		}
		return append(dst, ']')
	case map[string]any:
		return appendObject(dst, v)
	}
	panic("canon: a value that is not JSON")
}

func appendObject(dst []byte, m map[string]any) []byte {
	var room [16]string
	names := room[:0]
	for name := range m {
		names = append(names, name)
	}
	slices.SortFunc(names, compareUTF16)
	dst = append(dst, '{')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, name)
		dst = append(dst, ':')
		dst = AppendValue(dst, m[name])
	}
	return append(dst, '}')
}

// appendString quotes s. What has nothing to escape is copied.
func appendString(dst []byte, s string) []byte {
	if plain(s) {
		return append(append(append(dst, '"'), s...), '"')
	}
	dst, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		panic("canon: a string that is not UTF-8")
	}
	return dst
}

// appendNumber writes the double that literal stands for, as ECMAScript does. A short integer is already in that form.
func appendNumber(dst []byte, literal string) []byte {
	digits := strings.TrimPrefix(literal, "-")
	if len(digits) <= exactDigitsMax && strings.Trim(digits, "0123456789") == "" && literal != "-0" {
		return append(dst, literal...)
	}
	number := jsontext.Value(literal)
	if err := number.Canonicalize(); err != nil {
		panic("canon: a number that is not JSON: " + literal)
	}
	return append(dst, number...)
}

// compareUTF16 orders names by their UTF-16 code units, as RFC 8785 asks. It differs from the order of the bytes only where
// one name has a character beyond U+FFFF and the other one from U+E000 to U+FFFF.
func compareUTF16(a, b string) int {
	if isASCII(a) && isASCII(b) {
		return strings.Compare(a, b)
	}
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

// plain says that s is ASCII with nothing to escape.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
