// Package content is what the texts of a JSON value hold: what the scanner finds in them, and the identifiers that they name. It is pure:
// the same value gives the same everywhere, so that what was recorded of one can be found again.
package content

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/scan"
	"github.com/writ-dev/writ/internal/taint"
)

// What is looked at, and kept, of one value.
const (
	stringsMax  = 4096
	idsMax      = 256
	idsUsual    = 8 // what room is made for
	findingsMax = 8
	nearBytes   = 400 // between an identifier and a finding
	scanBytes   = 32  // a shorter text tells nobody to do anything
	pathBytes   = 200
)

// Suspect is the label of a session that has read what looks like an injection.
const Suspect gov.Label = "injection_suspected"

// Content is what a text, or the texts of a JSON value, are found to hold.
type Content struct {
	Findings    []canon.Finding // the surest first
	Identifiers []Placed
}

// Placed is an identifier with its place in a value.
type Placed struct {
	taint.Identifier
	Path string // JSON pointer
	Near bool   // a finding is near it
}

// Look scans every text of a value as what comes over a channel, and finds its identifiers.
func Look(s *scan.Scanner, channel scan.Channel, value any) Content {
	return (&looker{channel: channel, scanner: s, identifies: true}).look(value)
}

// Scan scans every text of a value and looks for no identifiers.
func Scan(s *scan.Scanner, channel scan.Channel, value any) []canon.Finding {
	return (&looker{channel: channel, scanner: s}).look(value).Findings
}

// Identify finds the identifiers of a value and scans nothing.
func Identify(value any) []Placed {
	return (&looker{identifies: true}).look(value).Identifiers
}

func (l *looker) look(value any) Content {
	l.value(value)
	slices.SortStableFunc(l.Findings, func(a, b canon.Finding) int { return rankOf(b) - rankOf(a) })
	l.Findings = l.Findings[:min(len(l.Findings), findingsMax)]
	return l.Content
}

// looker goes over the texts and numbers of a value, in an order that does not change.
type looker struct {
	Content
	channel scan.Channel
	scanner *scan.Scanner // nil: nothing is scanned

	identifies bool // identifiers are looked for
	texts      int
	room       []taint.Identifier // of the text that is looked at
	path       []byte             // JSON pointer of what is looked at: every call comes by here, so one is written for what is found alone
}

func (l *looker) value(value any) {
	at := len(l.path)
	if at > pathBytes {
		return
	}
	switch v := value.(type) {
	case string:
		l.text(v)
	case json.Number:
		l.text(v.String())
	case []any:
		for i, item := range v {
			l.path = strconv.AppendInt(append(l.path[:at], '/'), int64(i), 10)
			l.value(item)
		}
	case map[string]any:
		var room [16]string
		names := room[:0]
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			l.path = appendStep(l.path[:at], name)
			l.value(v[name])
		}
	}
	l.path = l.path[:at]
}

// appendStep appends a name to a JSON pointer.
func appendStep(path []byte, name string) []byte {
	path = append(path, '/')
	for i := range len(name) {
		switch c := name[i]; c {
		case '~':
			path = append(path, "~0"...)
		case '/':
			path = append(path, "~1"...)
		default:
			path = append(path, c)
		}
	}
	return path
}

// text looks at one.
func (l *looker) text(text string) {
	if l.texts++; l.texts > stringsMax {
		return
	}
	var found []scan.Finding
	if l.scanner != nil && len(text) >= scanBytes {
		found = l.scanner.Scan(l.channel, text)
	}
	if l.identifies {
		l.room = taint.Append(l.room, text)
	}
	if len(found)+len(l.room) == 0 {
		return
	}
	path := string(l.path)
	for _, f := range found {
		l.Findings = append(l.Findings, findingOf(f, path))
	}
	for _, id := range l.room {
		if len(l.Identifiers) >= idsMax {
			break
		}
		near := slices.ContainsFunc(found, func(f scan.Finding) bool { return f.Band.AtLeast(scan.Medium) && id.Near(f.Start, f.End, nearBytes) })
		if l.Identifiers == nil {
			l.Identifiers = make([]Placed, 0, idsUsual)
		}
		l.Identifiers = append(l.Identifiers, Placed{id, path, near})
	}
}

// MayName says whether an input in canonical form may name a host or an address: each has one of these signs.
func MayName(input []byte) bool {
	for i, c := range input {
		switch {
		case c == '@', c == ':' && bytes.HasPrefix(input[i:], []byte("://")):
			return true
		case c == '.' && i+1 < len(input) && (input[i+1]|0x20 >= 'a' && input[i+1]|0x20 <= 'z'):
			return true
		}
	}
	return false
}

func rankOf(f canon.Finding) int { return slices.Index([]string{"low", "medium", "high"}, f.Band) }

func findingOf(f scan.Finding, path string) canon.Finding {
	return canon.Finding{
		Version: f.Version, Channel: string(f.Channel), Path: path, Band: string(f.Band), Rules: f.Rules, Layer: f.Layer, Start: f.Start, End: f.End,
	}
}

// Suspected are the labels that a session gains by findings.
func Suspected(findings []canon.Finding) []gov.Label {
	if slices.ContainsFunc(findings, func(f canon.Finding) bool { return rankOf(f) >= 1 }) {
		return []gov.Label{Suspect}
	}
	return nil
}
