package decide

import (
	"encoding/hex"
	"slices"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/content"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/scan"
	"github.com/writ-dev/writ/internal/taint"
)

// What is recorded of one input.
const (
	taintMax   = 16
	sendsMax   = 16
	accountMin = 12 // characters of an account that money is sent to: a shorter one is a number of something else
)

// labelUntrusted is of a tool: what it answers is written by anybody.
const labelUntrusted gov.Label = "untrusted"

// look scans the input where it goes to somebody, and finds its identifiers if the call takes them somewhere or may name somebody. What
// is secret is looked at too: of it only where it stands is recorded.
func (q *question) look() {
	var found content.Content
	q.identified = q.reaches() || q.hides || content.MayName(q.input)
	switch carries := q.carries(); {
	case carries && q.identified:
		found = content.Look(q.s.Scanner, scan.ToolInput, q.req.Input)
	case carries:
		found.Findings = content.Scan(q.s.Scanner, scan.ToolInput, q.req.Input)
	case q.identified:
		found.Identifiers = content.Identify(q.req.Input)
	}
	q.content = found
}

// identify finds the identifiers of the input that its session may know from elsewhere. Most sessions know none, and every call comes
// by here.
func (q *question) identify(marks []byte) {
	if !q.identified && len(marks) > 0 {
		q.identified = true
		q.content.Identifiers = content.Identify(q.req.Input)
	}
}

// mark stands for an identifier in what a session remembers.
func (s *Service) mark(session gov.SessionID, id taint.Identifier) taint.Digest {
	d := s.digest16("mark", string(session), id.Key())
	return taint.Digest(d[:8])
}

// tainted are the identifiers of an input that its session knows from untrusted results alone.
func (s *Service) tainted(session gov.SessionID, marks []byte, c content.Content) []canon.Taint {
	var out []canon.Taint
	if len(marks) == 0 {
		return nil
	}
	for _, id := range c.Identifiers {
		flag, known := taint.Lookup(marks, s.mark(session, id.Identifier))
		if !known || flag == taint.Trusted {
			continue
		}
		t := canon.Taint{Kind: string(id.Kind), Path: id.Path, Near: flag == taint.Near}
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
func (s *Service) named(session gov.SessionID, marks []byte, c content.Content) []taint.Mark {
	var out []taint.Mark
	for _, id := range c.Identifiers {
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
func (s *Service) read(session gov.SessionID, trusted bool, c content.Content) []taint.Mark {
	out := make([]taint.Mark, len(c.Identifiers))
	for i, id := range c.Identifiers {
		out[i] = taint.Mark{Digest: s.mark(session, id.Identifier), Flag: taint.Tainted}
		switch {
		case trusted:
			out[i].Flag = taint.Trusted
		case id.Near:
			out[i].Flag = taint.Near
		}
	}
	return out
}

// sends are opaque references of the hosts and addresses that an input names, sorted.
func (s *Service) sends(c content.Content) []string {
	var out []string
	for _, id := range c.Identifiers {
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
