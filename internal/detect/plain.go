package detect

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unicode/utf8"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// plain reads decisions as canon.AppendDecision writes them: every call is read, and this takes a tenth of what the library does. It
// knows one form. Whatever else there is (an escape, findings, taint, a request for approval) is left to the library, and where both can read an
// entry they read the same, as a test holds.
type plain struct {
	names names
	d     ruled // the one that was read last; its lists are used again
}

// reader reads an entry from the front.
type reader struct {
	rest  []byte
	ok    bool
	names names
}

// decision reads an entry. rules says whether what only rules look at is wanted too. What it gives holds until the next call.
func (p *plain) decision(raw []byte, rules bool) (e canon.Entry, d *ruled, ok bool) {
	if !unescaped(raw) {
		return e, nil, false
	}
	if p.names == nil {
		p.names = names{}
	}
	r := &reader{rest: raw, ok: true, names: p.names}
	r.must(`{"v":1,"ledger":`)
	r.text()
	r.must(`,"kind":"decision","id":`)
	if !r.ok {
		return e, nil, false
	}
	e.Kind, e.ID = canon.KindDecision, gov.EntryID(r.text())
	r.must(`,"at":`)
	e.At = string(r.text())
	r.must(`,"actor":{"type":`)
	r.text()
	r.must(`,"id":`)
	r.text()
	r.must(`},"body":`)
	p.d.empty()
	r.decision(&p.d, rules)
	r.must("}")
	return e, &p.d, r.ok && len(r.rest) == 0
}

// empty makes room for the next decision.
func (d *ruled) empty() {
	*d = ruled{decided: decided{
		Principal: canon.PrincipalRef{Groups: d.Principal.Groups[:0]},
		Reasons:   d.Reasons[:0], Labels: d.Labels[:0],
	}}
}

func (r *reader) decision(d *ruled, rules bool) {
	r.must(`{"agent":`)
	d.Agent = gov.AgentID(r.name())
	r.must(`,"credential":`)
	r.text()
	r.principal(d)
	r.must(`,"tool":`)
	d.Tool = gov.ToolName(r.name())
	if r.is(`,"session":`) {
		d.Session = gov.SessionID(r.text())
	}
	r.pass(`,"call_id":`)
	r.pass(`,"trace_id":`)
	r.must(`,"mode":`)
	d.Mode = gov.Mode(r.name())
	r.must(`,"outcome":`)
	d.Outcome = gov.Outcome(r.name())
	if r.is(`,"would":`) {
		d.Would = gov.Outcome(r.name())
	}
	r.reasons(d)
	r.must(`,"policies":`)
	d.Policies = list[gov.PolicyID](r, nil, rules)
	r.pass(`,"bundle":`)
	r.must(`,"epoch":`)
	r.number()
	r.must(`,"judged_at":`)
	r.text()
	if r.is(`,"labels":`) {
		d.Labels = list(r, d.Labels, true)
	}
	if r.is(`,"labels_added":`) {
		d.LabelsAdded = list[gov.Label](r, nil, rules)
	}
	r.pass(`,"earlier":`)
	r.rests(d, rules)
	r.commitments()
	r.must("}")
}

// rests reads what an answer rests on, and where the call goes.
func (r *reader) rests(d *ruled, rules bool) {
	if r.is(`,"approved":`) {
		d.Approved = gov.EntryID(r.text())
	}
	if r.is(`,"delegations":`) {
		d.Delegations = list[gov.EntryID](r, nil, rules)
	}
	if r.is(`,"sends":`) {
		d.Sends = list[string](r, nil, true)
	}
	if !r.is(`,"limits":[`) {
		return
	}
	for r.ok {
		r.must(`{"id":`)
		d.Limits = append(d.Limits, charged{ID: r.name()})
		r.must(`,"of":`)
		r.text()
		r.pass(`,"key":`)
		for _, name := range [...]string{`,"calls":`, `,"reserved_micro_usd":`, `,"amount_micro_usd":`} {
			if r.is(name) {
				r.number()
			}
		}
		r.must("}")
		if r.is("]") {
			return
		}
		r.must(",")
	}
}

func (r *reader) principal(d *ruled) {
	p := &d.Principal
	r.must(`,"principal":{"type":`)
	p.Type = gov.PrincipalType(r.name())
	r.must(`,"ref":`)
	p.Ref = r.name()
	d.principal = r.names.joined(string(p.Type), p.Ref)
	r.must(`,"assurance":`)
	p.Assurance = gov.Assurance(r.name())
	if r.is(`,"groups":`) {
		p.Groups = list(r, p.Groups, true)
	}
	r.must("}")
}

func (r *reader) reasons(d *ruled) {
	r.must(`,"reasons":[`)
	for r.ok && !r.is("]") {
		if len(d.Reasons) > 0 {
			r.must(",")
		}
		var reason gov.Reason
		r.must(`{"code":`)
		reason.Code = gov.ReasonCode(r.name())
		if r.is(`,"policy":`) {
			reason.Policy = gov.PolicyID(r.name())
		}
		r.must(`,"message":`)
		reason.Message = r.name()
		r.must("}")
		d.Reasons = append(d.Reasons, reason)
	}
}

func (r *reader) commitments() {
	r.must(`,"commitments":{`)
	for first := true; r.ok && !r.is("}"); first = false {
		if !first {
			r.must(",")
		}
		r.text()
		r.must(":")
		r.text()
	}
}

// list reads a list of texts behind those that there are. What nobody wants is only gone over.
func list[T ~string](r *reader, out []T, wanted bool) []T {
	r.must("[")
	for first := true; r.ok && !r.is("]"); first = false {
		if !first {
			r.must(",")
		}
		if wanted {
			out = append(out, T(r.name()))
		} else {
			r.text()
		}
	}
	return out
}

// is goes behind a mark if it stands right here.
func (r *reader) is(mark string) bool {
	if len(r.rest) < len(mark) || string(r.rest[:len(mark)]) != mark {
		return false
	}
	r.rest = r.rest[len(mark):]
	return true
}

// must goes behind a mark, or gives up.
func (r *reader) must(mark string) { r.ok = r.is(mark) && r.ok }

// pass goes over a member whose value is a text, if it stands right here.
func (r *reader) pass(mark string) {
	if r.is(mark) {
		r.text()
	}
}

// text reads a text that stands right here. The entry has no escapes.
func (r *reader) text() []byte {
	if len(r.rest) > 1 && r.rest[0] == '"' {
		if end := bytes.IndexByte(r.rest[1:], '"'); end >= 0 {
			text := r.rest[1 : 1+end]
			r.rest = r.rest[2+end:]
			return text
		}
	}
	r.ok = false
	return nil
}

// name reads a text that many entries have.
func (r *reader) name() string { return r.names.of(r.text()) }

// number goes over a whole number.
func (r *reader) number() {
	n := 0
	for n < len(r.rest) && r.rest[n] >= '0' && r.rest[n] <= '9' {
		n++
	}
	r.rest, r.ok = r.rest[n:], r.ok && n > 0 && (n == 1 || r.rest[0] != '0')
}

// unescaped says whether no text of an entry has anything to unescape.
func unescaped(raw []byte) bool {
	if bytes.IndexByte(raw, '\\') >= 0 || !utf8.Valid(raw) {
		return false
	}
	for ; len(raw) >= 8; raw = raw[8:] {
		word := binary.LittleEndian.Uint64(raw)
		if (word-eight*' ')&^word&(eight*0x80) != 0 { // some byte is below the blank
			return false
		}
	}
	return !slices.ContainsFunc(raw, func(c byte) bool { return c < ' ' })
}

// eight is one in each byte of a word.
const eight = 0x0101010101010101

// names keeps one copy of each text that many entries have.
type names map[string]string

// joined is the copy of two texts with a colon between.
func (n names) joined(a, b string) string {
	var room [nameBytesMax]byte
	return n.of(append(append(append(room[:0], a...), ':'), b...))
}

const (
	namesMax     = 4096
	nameBytesMax = 256
)

// of gives the copy of a text. When there are too many, all are forgotten: copies that are in use stay as they are.
func (n names) of(text []byte) string {
	if name, ok := n[string(text)]; ok {
		return name
	}
	name := string(text)
	if len(name) > nameBytesMax {
		return name
	}
	if len(n) >= namesMax {
		clear(n)
	}
	n[name] = name
	return name
}
