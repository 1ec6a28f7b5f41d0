package bundle

import (
	"fmt"
	"reflect"
	"strings"
)

// Move is a value of a changed thing, before and after: 500 and 600, medium and high. What was not there or is not any more is empty.
type Move struct {
	Field string `json:"field"`
	From  string `json:"from"`
	To    string `json:"to"`
}

// moveBytesMax is of one side of a move; the rest is cut.
const moveBytesMax = 300

// moves gives the values of the fields in which two structs differ, of those that can be read on one line. Prompts and policies
// have their lines instead, and an agent's tools are gained or lost.
func moves[T any](before, after T) []Move {
	a, b := reflect.ValueOf(before), reflect.ValueOf(after)
	var out []Move
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		if where(name) || name == "Tools" || reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			continue
		}
		from, ok := readable(a.Field(i))
		to, _ := readable(b.Field(i))
		if ok {
			out = append(out, Move{snake(name), from, to})
		}
	}
	return out
}

// where says whether a field only says where a thing stands.
func where(field string) bool { return field == "File" || field == "Line" }

// readable is a value on one line. ok is false for what has no such form.
func readable(v reflect.Value) (text string, ok bool) {
	switch v.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64:
		if v.IsZero() && v.Kind() != reflect.Bool {
			return "", true
		}
		return cutText(fmt.Sprint(v.Interface())), true
	case reflect.Slice:
		_, prints := reflect.Zero(v.Type().Elem()).Interface().(fmt.Stringer)
		if !prints && v.Type().Elem().Kind() != reflect.String {
			return "", false
		}
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = fmt.Sprint(v.Index(i).Interface())
		}
		return cutText(strings.Join(parts, ", ")), true
	default:
		return "", false
	}
}

func cutText(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= moveBytesMax {
		return s
	}
	return strings.ToValidUTF8(s[:moveBytesMax], "") + "…"
}
