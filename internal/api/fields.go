package api

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// fields reads a request's object field by field and remembers the first thing that is wrong. What is not read by the end
// is an unknown field.
type fields struct {
	m    map[string]any
	at   string // JSON pointer of the object
	read []string
	err  error
}

func readFields(body []byte) (*fields, error) {
	m, err := canon.ParseObject(body)
	if err != nil {
		return nil, err
	}
	return &fields{m: m, read: make([]string, 0, 16)}, nil
}

func (f *fields) fail(name, detail string) {
	if f.err == nil {
		f.err = &gov.Error{Code: gov.CodeInvalidField, Path: f.at + "/" + escapePointer(name), Detail: detail}
	}
}

func escapePointer(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

func (f *fields) take(name string) (any, bool) {
	f.read = append(f.read, name)
	v, ok := f.m[name]
	return v, ok
}

// text reads a string that may be absent.
func (f *fields) text(name string, bytesMax int) string {
	v, ok := f.take(name)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	switch {
	case !ok:
		f.fail(name, "must be a string")
	case len(s) > bytesMax:
		f.fail(name, "is longer than "+strconv.Itoa(bytesMax)+" bytes")
	}
	return s
}

// texts reads a list of strings that may be absent.
func (f *fields) texts(name string) []string {
	v, ok := f.take(name)
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok || len(list) > listMax {
		f.fail(name, "must be a list of at most "+strconv.Itoa(listMax)+" strings")
		return nil
	}
	var out []string
	for _, item := range list {
		s, ok := item.(string)
		if !ok {
			f.fail(name, "must be a list of strings")
		}
		out = append(out, s)
	}
	return out
}

const listMax = 100

// checked reads a string that may be absent and must pass valid when it is there.
func (f *fields) checked(name string, valid func(string) bool, want string) string {
	s := f.text(name, textBytesMax)
	if _, ok := f.m[name]; ok && f.err == nil && !valid(s) {
		f.fail(name, "must be "+want)
	}
	return s
}

// required reads a string that must be there and pass valid.
func (f *fields) required(name string, valid func(string) bool, want string) string {
	if _, ok := f.m[name]; !ok {
		f.fail(name, "is missing; it must be "+want)
	}
	return f.checked(name, valid, want)
}

const textBytesMax = 16 << 10

// object reads an object that may be absent.
func (f *fields) object(name string) (*fields, bool) {
	v, ok := f.take(name)
	if !ok {
		return nil, false
	}
	m, ok := v.(map[string]any)
	if !ok {
		f.fail(name, "must be an object")
		return nil, false
	}
	return &fields{m: m, at: f.at + "/" + escapePointer(name)}, true
}

// flag reads a truth value that may be absent, which is false.
func (f *fields) flag(name string) bool {
	v, ok := f.take(name)
	if !ok {
		return false
	}
	b, ok := v.(bool)
	if !ok {
		f.fail(name, "must be true or false")
	}
	return b
}

// time reads a time in UTC that may be absent, which is zero.
func (f *fields) time(name string) time.Time {
	s := f.text(name, textBytesMax)
	if _, ok := f.m[name]; !ok || f.err != nil {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if _, offset := at.Zone(); err != nil || offset != 0 || at.IsZero() {
		f.fail(name, "must be a time in UTC such as 2026-11-24T06:00:00Z")
	}
	return at
}

// integer reads a whole number from 0 that may be absent.
func (f *fields) integer(name string) *int64 {
	v, ok := f.take(name)
	if !ok {
		return nil
	}
	number, ok := v.(json.Number)
	if !ok {
		f.fail(name, "must be a number")
		return nil
	}
	n, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil || n < 0 {
		f.fail(name, "must be a whole number from 0 to 9223372036854775807")
		return nil
	}
	return &n
}

// microUSD reads an amount of US dollars as millionths. It may be absent.
func (f *fields) microUSD(name string) *int64 {
	v, ok := f.take(name)
	if !ok {
		return nil
	}
	number, ok := v.(json.Number)
	micro, err := parseMicro(string(number))
	if !ok || err != nil {
		f.fail(name, "must be an amount of US dollars from 0 to 1000000 with at most six decimals")
		return nil
	}
	return &micro
}

const (
	microDigits  = 6
	dollarsMax   = 1_000_000
	microPerUnit = 1_000_000
)

func parseMicro(s string) (int64, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	if len(fraction) > microDigits || strings.ContainsAny(s, "eE-+") {
		return 0, strconv.ErrSyntax
	}
	units, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || units > dollarsMax {
		return 0, strconv.ErrRange
	}
	fraction += strings.Repeat("0", microDigits-len(fraction))
	micro, err := strconv.ParseInt(fraction, 10, 64)
	return units*microPerUnit + micro, err
}

// done gives the first thing that is wrong, an unknown field included.
func (f *fields) done() error {
	if f.err != nil {
		return f.err
	}
	if len(f.m) == 0 {
		return nil
	}
	unknown := make([]string, 0)
	for name := range f.m {
		if !slices.Contains(f.read, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return &gov.Error{
		Code: gov.CodeUnknownField, Path: f.at + "/" + escapePointer(unknown[0]),
		Detail: "is not a field here; known are " + strings.Join(f.read, ", "),
	}
}
