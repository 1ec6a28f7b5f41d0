package decide

import (
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/scan"
	"github.com/writ-dev/writ/internal/taint"
)

// What is looked at, and recorded, of one input or output.
const (
	stringsMax  = 4096
	idsMax      = 256
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
func (s *Service) look(channel scan.Channel, value any, scans bool) content {
	var c content
	n := 0
	walk(value, "", func(path, text string) {
		if n++; n > stringsMax {
			return
		}
		var found []scan.Finding
		if scans && len(text) >= scanBytes {
			found = s.Scanner.Scan(channel, text)
		}
		for _, f := range found {
			c.findings = append(c.findings, findingOf(f, path))
		}
		for _, id := range taint.Identifiers(text) {
			if len(c.ids) >= idsMax {
				break
			}
			near := slices.ContainsFunc(found, func(f scan.Finding) bool { return f.Band.AtLeast(scan.Medium) && id.Near(f.Start, f.End, nearBytes) })
			c.ids = append(c.ids, placed{id, path, near})
		}
	})
	slices.SortStableFunc(c.findings, func(a, b canon.Finding) int { return rankOf(b) - rankOf(a) })
	c.findings = c.findings[:min(len(c.findings), findingsMax)]
	return c
}

func rankOf(f canon.Finding) int { return slices.Index([]string{"low", "medium", "high"}, f.Band) }

func findingOf(f scan.Finding, path string) canon.Finding {
	return canon.Finding{
		Version: f.Version, Channel: string(f.Channel), Path: path, Band: string(f.Band), Rules: f.Rules, Layer: f.Layer, Start: f.Start, End: f.End,
	}
}

// walk calls fn for every text and number of a value, with its JSON pointer, in an order that does not change.
func walk(value any, path string, fn func(path, text string)) {
	if len(path) > pathBytes {
		return
	}
	switch v := value.(type) {
	case string:
		fn(path, v)
	case json.Number:
		fn(path, v.String())
	case []any:
		for i, item := range v {
			walk(item, path+"/"+strconv.Itoa(i), fn)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			walk(v[name], path+"/"+strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1"), fn)
		}
	}
}

// mark stands for an identifier in what a session remembers.
func (s *Service) mark(session gov.SessionID, id taint.Identifier) taint.Digest {
	d := s.digest16([]byte("mark"), []byte(session), []byte(id.Key()))
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
		d := s.digest16([]byte("sends"), []byte(id.Key()))
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
