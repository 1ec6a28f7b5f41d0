package policy

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// fit is the common part of JSON Schema, compiled to be checked fast: types, properties, required, closed objects, enums of
// strings, bounds of integers, lengths. It only ever says that an input does fit; everything else is asked of the library,
// which is also what finds out why not. A test holds the two together.
type fit struct {
	kind       string // object, array, string, integer, boolean
	properties map[string]*fit
	required   []string
	closed     bool // additionalProperties: false
	items      *fit // nil: any
	min, max   *int64
	minLength  int
	maxLength  int // -1: no bound; of a string in characters, of an array in items
	enum       map[string]bool
}

// fitOf compiles a schema, or gives nil when it uses more than this knows.
func fitOf(raw json.RawMessage) *fit {
	var s map[string]json.RawMessage
	if json.Unmarshal(raw, &s) != nil {
		return nil
	}
	f := &fit{maxLength: -1}
	if json.Unmarshal(s["type"], &f.kind) != nil {
		return nil
	}
	for name, value := range s {
		if !f.keyword(name, value) {
			return nil
		}
	}
	return f
}

// keyword takes in one keyword. It refuses a keyword that does not belong to the type, even where JSON Schema would ignore it.
func (f *fit) keyword(name string, value json.RawMessage) bool {
	switch name {
	case "type":
		return f.kind == "object" || f.kind == "array" || f.kind == "string" || f.kind == "integer" || f.kind == "boolean"
	case "title", "description", "default", "examples", "$comment":
		return true
	case "properties":
		return f.kind == "object" && f.readProperties(value)
	case "required":
		return f.kind == "object" && json.Unmarshal(value, &f.required) == nil
	case "additionalProperties":
		var open bool
		ok := f.kind == "object" && json.Unmarshal(value, &open) == nil
		f.closed = !open
		return ok
	case "items":
		f.items = fitOf(value)
		return f.kind == "array" && f.items != nil
	case "minimum":
		f.min = wholeBound(value)
		return f.kind == "integer" && f.min != nil
	case "maximum":
		f.max = wholeBound(value)
		return f.kind == "integer" && f.max != nil
	case "minLength", "minItems":
		n := wholeBound(value)
		ok := n != nil && (name == "minLength") == (f.kind == "string") && (f.kind == "string" || f.kind == "array")
		if ok {
			f.minLength = int(*n)
		}
		return ok
	case "maxLength", "maxItems":
		n := wholeBound(value)
		ok := n != nil && (name == "maxLength") == (f.kind == "string") && (f.kind == "string" || f.kind == "array")
		if ok {
			f.maxLength = int(*n)
		}
		return ok
	case "enum":
		var words []string
		ok := f.kind == "string" && json.Unmarshal(value, &words) == nil
		f.enum = map[string]bool{}
		for _, w := range words {
			f.enum[w] = true
		}
		return ok
	}
	return false
}

func wholeBound(value json.RawMessage) *int64 {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n > integerMax || n < -integerMax {
		return nil
	}
	return &n
}

func (f *fit) readProperties(value json.RawMessage) bool {
	var list map[string]json.RawMessage
	if json.Unmarshal(value, &list) != nil {
		return false
	}
	f.properties = make(map[string]*fit, len(list))
	for name, sub := range list {
		if f.properties[name] = fitOf(sub); f.properties[name] == nil {
			return false
		}
	}
	return true
}

// fits says that a value fits. False says nothing.
func (f *fit) fits(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return f.kind == "object" && f.fitsObject(v)
	case []any:
		return f.kind == "array" && f.fitsArray(v)
	case string:
		return f.kind == "string" && f.fitsString(v)
	case bool:
		return f.kind == "boolean"
	case json.Number:
		n, err := strconv.ParseInt(string(v), 10, 64)
		return f.kind == "integer" && err == nil && (f.min == nil || n >= *f.min) && (f.max == nil || n <= *f.max)
	}
	return false
}

func (f *fit) fitsObject(m map[string]any) bool {
	for _, name := range f.required {
		if _, ok := m[name]; !ok {
			return false
		}
	}
	for name, v := range m {
		sub, ok := f.properties[name]
		if !ok && f.closed || ok && !sub.fits(v) {
			return false
		}
	}
	return true
}

func (f *fit) fitsArray(list []any) bool {
	if len(list) < f.minLength || f.maxLength >= 0 && len(list) > f.maxLength {
		return false
	}
	for _, v := range list {
		if f.items != nil && !f.items.fits(v) {
			return false
		}
	}
	return true
}

func (f *fit) fitsString(s string) bool {
	if f.enum != nil && !f.enum[s] {
		return false
	}
	if f.minLength == 0 && (f.maxLength < 0 || len(s) <= f.maxLength) {
		return true
	}
	n := utf8.RuneCountInString(s)
	return n >= f.minLength && (f.maxLength < 0 || n <= f.maxLength)
}
