// Package taint finds the identifiers in a text: what says to whom something goes or what it is about. Mail addresses, URLs and
// their hosts, domains, account numbers, other long numbers and paths of files. It is pure and linear in the text.
//
// What it is for: a caller keeps, for each session, digests of the identifiers that it has seen only in results that are not
// trusted. When one of them turns up in the input of a call that has effects, the data steers the call; when a finding of the
// scanner lies near it in the result, most likely an attacker does. What an identifier is written as is normalized, so that
// "HTTPS://Example.com/a/" and "https://example.com/a" are one. An agent that rewrites an identifier, spells it out or encodes
// it is not followed: this is exact matching.
package taint

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

const (
	IdentifiersMax = 1024    // of one text; the first are kept
	ValueBytesMax  = 256     // a longer identifier is cut, always at the same place
	TextBytesMax   = 4 << 20 // what is behind is not looked at
	depthMax       = 64      // of a JSON value
	digitsMin      = 6       // a shorter number says nothing
)

// Kind is what an identifier identifies.
type Kind string

// Every kind.
const (
	Mail    Kind = "mail"    // a mail address, lower case
	URL     Kind = "url"     // without scheme, user and trailing slash; host in lower case
	Host    Kind = "host"    // of a URL or a mail address, or by itself; lower case, without "www."
	Account Kind = "account" // an IBAN or a code of letters and digits, capitals without blanks
	Number  Kind = "number"  // digits without blanks or dashes
	Path    Kind = "path"    // of a file
)

// Identifier is one identifier and where it stands.
type Identifier struct {
	Kind       Kind
	Value      string // normalized; at most ValueBytesMax
	Start, End int    // bytes in the text
}

// Key is the identifier without its place, for a set or a digest.
func (i Identifier) Key() string { return string(i.Kind) + ":" + i.Value }

// Near says whether a span of the text, such as a finding's, is within so many bytes of the identifier.
func (i Identifier) Near(start, end, within int) bool {
	return start <= i.End+within && end >= i.Start-within
}

// Identifiers returns the identifiers of a text in their order, at most IdentifiersMax. Escapes of JSON inside the text end a
// word, so a JSON document may be given as it is.
func Identifiers(text string) []Identifier { return Append(nil, text) }

// Append is Identifiers in room that there is: nothing is kept of what was in it.
func Append(room []Identifier, text string) []Identifier {
	r := reader{text: text[:min(len(text), TextBytesMax)], out: room[:0]}
	if !mayHave(r.text) {
		return r.out
	}
	for r.at < len(r.text) && len(r.out) < IdentifiersMax {
		r.next()
	}
	if len(r.out) < 2 {
		return r.out
	}
	slices.SortStableFunc(r.out, func(a, b Identifier) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End)) })
	return r.out[:min(len(r.out), IdentifiersMax)]
}

// mayHave is false for a text without a sign that every identifier has one of: most texts are words.
func mayHave(text string) bool {
	digits := 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '@' || c == '/' || c == '\\' || c == '.' && i > 0 && i+1 < len(text) && text[i+1] > ' ':
			return true
		case c >= '0' && c <= '9':
			if digits++; digits == 2 {
				return true
			}
		}
	}
	return false
}

// OfJSON returns the identifiers of all strings and numbers of a JSON value, each once, sorted by key; places are those within
// their string. An error means that the value is not JSON.
func OfJSON(value []byte) ([]Identifier, error) {
	var v any
	d := json.NewDecoder(strings.NewReader(string(value)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	var out []Identifier
	collect(v, 0, &out)
	slices.SortStableFunc(out, func(a, b Identifier) int { return strings.Compare(a.Key(), b.Key()) })
	return slices.CompactFunc(out, func(a, b Identifier) bool { return a.Key() == b.Key() }), nil
}

func collect(v any, depth int, out *[]Identifier) {
	if depth > depthMax || len(*out) >= IdentifiersMax {
		return
	}
	switch v := v.(type) {
	case string:
		*out = append(*out, Identifiers(v)...)
	case json.Number:
		*out = append(*out, Identifiers(v.String())...)
	case []any:
		for _, e := range v {
			collect(e, depth+1, out)
		}
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			*out = append(*out, Identifiers(k)...)
			collect(v[k], depth+1, out)
		}
	}
	*out = (*out)[:min(len(*out), IdentifiersMax)]
}
