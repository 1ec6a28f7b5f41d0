package policy

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go/types"

	"github.com/writ-dev/writ/internal/canon"
)

// kind is what a value of an input becomes in Cedar.
type kind int

const (
	kindNone    kind = iota // Cedar has no type for it: left out
	kindLong                // JSON Schema integer
	kindDecimal             // JSON Schema number
	kindString
	kindBool
	kindSet
	kindRecord
)

// shape is the Cedar type of a part of a tool's input, derived from its JSON Schema. It drives both the schema that policies
// are checked against and the conversion of inputs, so the two cannot disagree.
type shape struct {
	kind     kind
	elem     *shape           // of a set
	fields   map[string]field // of a record
	min, max *int64           // of a long
}

type field struct {
	shape    shape
	required bool
}

// jsonSchema is as much of JSON Schema as shapes are derived from; the rest still validates.
type jsonSchema struct {
	Type       json.RawMessage            `json:"type"`
	Properties map[string]json.RawMessage `json:"properties"`
	Required   []string                   `json:"required"`
	Items      json.RawMessage            `json:"items"`
	Minimum    *json.Number               `json:"minimum"`
	Maximum    *json.Number               `json:"maximum"`
}

// shapeOf derives a shape. What is not understood is kindNone: a policy cannot speak of it.
func shapeOf(raw json.RawMessage) shape {
	var s jsonSchema
	var name string
	if json.Unmarshal(raw, &s) != nil || json.Unmarshal(s.Type, &name) != nil {
		return shape{}
	}
	switch name {
	case "integer":
		return shape{kind: kindLong, min: bound(s.Minimum), max: bound(s.Maximum)}
	case "number":
		return shape{kind: kindDecimal}
	case "string":
		return shape{kind: kindString}
	case "boolean":
		return shape{kind: kindBool}
	case "array":
		elem := shapeOf(s.Items)
		if elem.kind == kindNone {
			return shape{}
		}
		return shape{kind: kindSet, elem: &elem}
	case "object":
		return recordOf(s)
	}
	return shape{}
}

func bound(n *json.Number) *int64 {
	if n == nil {
		return nil
	}
	v, err := strconv.ParseInt(string(*n), 10, 64)
	if err != nil {
		return nil
	}
	return &v
}

func recordOf(s jsonSchema) shape {
	out := shape{kind: kindRecord, fields: map[string]field{}}
	for name, raw := range s.Properties {
		if sub := shapeOf(raw); sub.kind != kindNone {
			out.fields[name] = field{sub, slices.Contains(s.Required, name)}
		}
	}
	return out
}

// cedar writes the shape as a type of the Cedar schema language.
func (s shape) cedar(b *strings.Builder) {
	switch s.kind {
	case kindLong:
		b.WriteString("Long")
	case kindDecimal:
		b.WriteString("decimal")
	case kindString:
		b.WriteString("String")
	case kindBool:
		b.WriteString("Bool")
	case kindSet:
		b.WriteString("Set<")
		s.elem.cedar(b)
		b.WriteString(">")
	case kindRecord:
		s.cedarRecord(b)
	case kindNone:
		panic("policy: a value without a type has no place in the schema")
	}
}

func (s shape) cedarRecord(b *strings.Builder) {
	b.WriteString("{")
	for i, name := range s.names() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(name))
		if !s.fields[name].required {
			b.WriteString("?")
		}
		b.WriteString(": ")
		s.fields[name].shape.cedar(b)
	}
	b.WriteString("}")
}

func (s shape) names() []string {
	names := make([]string, 0, len(s.fields))
	for name := range s.fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func quote(s string) string { return string(types.String(s).MarshalCedar()) }

// converter turns an input into a Cedar record and remembers what it had to leave out.
type converter struct{ left []string }

// integerMax is the largest integer that every JSON reader holds exactly (RFC 7493); beyond it the record could not show
// what the policy saw.
const integerMax = 1<<53 - 1

// record converts the fields that the shape has. What it does not have, or cannot represent, is left out by name.
func (c *converter) record(s shape, m map[string]any, at string) types.Record {
	out := make(types.RecordMap, len(m))
	for name, v := range m {
		where := at + "/" + name
		f, ok := s.fields[name]
		if !ok {
			c.left = append(c.left, where)
			continue
		}
		if value := c.value(f.shape, v, where); value != nil {
			out[types.String(name)] = value
		}
	}
	return types.NewRecord(out)
}

// value converts one value, or gives nil and remembers.
func (c *converter) value(s shape, v any, at string) types.Value {
	switch v := v.(type) {
	case string:
		if s.kind == kindString {
			return types.String(v)
		}
	case bool:
		if s.kind == kindBool {
			return types.Boolean(v)
		}
	case json.Number:
		if value := number(s.kind, string(v)); value != nil {
			return value
		}
	case map[string]any:
		if s.kind == kindRecord {
			return c.record(s, v, at)
		}
	case []any:
		if s.kind == kindSet {
			return c.set(s, v, at)
		}
	}
	c.left = append(c.left, at)
	return nil
}

// set converts an array whole: a set that lacks an element would answer contains falsely.
func (c *converter) set(s shape, list []any, at string) types.Value {
	values := make([]types.Value, len(list))
	before := len(c.left)
	for i, e := range list {
		values[i] = c.value(*s.elem, e, at)
		if len(c.left) > before {
			c.left = append(c.left[:before], at)
			return nil
		}
	}
	return types.NewSet(values...)
}

// number converts a JSON number as the record will show it, in its canonical form, or gives nil.
func number(k kind, literal string) types.Value {
	text := string(canon.AppendValue(nil, json.Number(literal)))
	switch k {
	case kindLong:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n > integerMax || n < -integerMax {
			return nil
		}
		return types.Long(n)
	case kindDecimal:
		if !strings.ContainsAny(text, ".eE") {
			text += ".0"
		}
		d, err := types.ParseDecimal(text)
		if err != nil {
			return nil
		}
		return d
	default:
		return nil
	}
}
