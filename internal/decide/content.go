package decide

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/scan"
	"github.com/writ-dev/writ/internal/taint"
)

// What is looked at, and recorded, of one input or output.
const (
	stringsMax  = 4096
	idsMax      = 256
	idsUsual    = 8 // what room is made for
	findingsMax = 8
	taintMax    = 16
	sendsMax    = 16
	nearBytes   = 400 // between an identifier and a finding
	scanBytes   = 32  // a shorter text tells nobody to do anything
	accountMin  = 12  // characters of an account that money is sent to: a shorter one is a number of something else
	pathBytes   = 200
)

// Labels that sessions gain by what is in a text.
const (
	labelUntrusted gov.Label = "untrusted"           // of a tool: what it answers is written by anybody
	labelInjection gov.Label = "injection_suspected" // the session has read what looks like an injection
)

// content is what a text, or the texts of a JSON value, are found to hold.
type content struct {
	findings []canon.Finding // the surest first
	ids      []placed
}

// placed is an identifier with its place in a value.
type placed struct {
	taint.Identifier
	path string
	near bool // a finding is near it
}

// look finds the identifiers of every text of a value, and scans it.
func (s *Service) look(channel scan.Channel, value any) content {
	return (&looker{channel: channel, scanner: s.Scanner, identifies: true}).look(value)
}

func (l *looker) look(value any) content {
	l.value(value)
	slices.SortStableFunc(l.findings, func(a, b canon.Finding) int { return rankOf(b) - rankOf(a) })
	l.findings = l.findings[:min(len(l.findings), findingsMax)]
	return l.content
}

// looker goes over the texts and numbers of a value, in an order that does not change.
type looker struct {
	content
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
		l.findings = append(l.findings, findingOf(f, path))
	}
	for _, id := range l.room {
		if len(l.ids) >= idsMax {
			break
		}
		near := slices.ContainsFunc(found, func(f scan.Finding) bool { return f.Band.AtLeast(scan.Medium) && id.Near(f.Start, f.End, nearBytes) })
		if l.ids == nil {
			l.ids = make([]placed, 0, idsUsual)
		}
		l.ids = append(l.ids, placed{id, path, near})
	}
}

// look scans the input where it goes to somebody, and finds its identifiers if the call takes them somewhere or may name somebody. What
// is secret is looked at too: of it only where it stands is recorded.
func (q *question) look() {
	l := looker{channel: scan.ToolInput, identifies: q.reaches() || q.hides || mayName(q.input)}
	if q.carries() {
		l.scanner = q.s.Scanner
	}
	q.content, q.identified = content{}, l.identifies
	if l.identifies || l.scanner != nil {
		q.content = l.look(q.req.Input)
	}
}

// identify finds the identifiers of the input that its session may know from elsewhere. Most sessions know none, and every call comes
// by here.
func (q *question) identify(marks []byte) {
	if !q.identified && len(marks) > 0 {
		q.identified = true
		q.content.ids = (&looker{identifies: true}).look(q.req.Input).ids
	}
}

// mayName says whether an input in canonical form may name a host or an address: each has one of these signs.
func mayName(input []byte) bool {
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

// mark stands for an identifier in what a session remembers.
func (s *Service) mark(session gov.SessionID, id taint.Identifier) taint.Digest {
	d := s.digest16("mark", string(session), id.Key())
	return taint.Digest(d[:8])
}

// tainted are the identifiers of an input that its session knows from untrusted results alone.
func (s *Service) tainted(session gov.SessionID, marks []byte, c content) []canon.Taint {
	var out []canon.Taint
	if len(marks) == 0 {
		return nil
	}
	for _, id := range c.ids {
		flag, known := taint.Lookup(marks, s.mark(session, id.Identifier))
		if !known || flag == taint.Trusted {
			continue
		}
		t := canon.Taint{Kind: string(id.Kind), Path: id.path, Near: flag == taint.Near}
		if i := slices.IndexFunc(out, func(o canon.Taint) bool { return o.Kind == t.Kind && o.Path == t.Path }); i >= 0 {
			out[i].Near = out[i].Near || t.Near
		} else if len(out) < taintMax {
			out = append(out, t)
		}
	}
	return out
}

// named are the marks that an input of an allowed call leaves: whom the agent names by itself is not a stranger's. Other things than
// addresses are not remembered: every call names some.
func (s *Service) named(session gov.SessionID, marks []byte, c content) []taint.Mark {
	var out []taint.Mark
	for _, id := range c.ids {
		if id.Kind != taint.Mail && id.Kind != taint.Host && id.Kind != taint.URL {
			continue
		}
		d := s.mark(session, id.Identifier)
		if _, known := taint.Lookup(marks, d); !known {
			out = append(out, taint.Mark{Digest: d, Flag: taint.Trusted})
		}
	}
	return out
}

// read are the marks that a result leaves.
func (s *Service) read(session gov.SessionID, trusted bool, c content) []taint.Mark {
	out := make([]taint.Mark, len(c.ids))
	for i, id := range c.ids {
		out[i] = taint.Mark{Digest: s.mark(session, id.Identifier), Flag: taint.Tainted}
		switch {
		case trusted:
			out[i].Flag = taint.Trusted
		case id.near:
			out[i].Flag = taint.Near
		}
	}
	return out
}

// sends are opaque references of the hosts and addresses that an input names, sorted.
func (s *Service) sends(c content) []string {
	var out []string
	for _, id := range c.ids {
		if id.Kind != taint.Host && id.Kind != taint.Mail && (id.Kind != taint.Account || len(id.Value) < accountMin) {
			continue
		}
		d := s.digest16("sends", id.Key())
		if ref := "d_" + hex.EncodeToString(d[:8]); !slices.Contains(out, ref) && len(out) < sendsMax {
			out = append(out, ref)
		}
	}
	slices.Sort(out)
	return out
}

// suspected are the labels that a session gains by findings.
func suspected(findings []canon.Finding) []gov.Label {
	if slices.ContainsFunc(findings, func(f canon.Finding) bool { return rankOf(f) >= 1 }) {
		return []gov.Label{labelInjection}
	}
	return nil
}
