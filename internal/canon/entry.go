package canon

import (
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/writ-dev/writ/internal/gov"
)

// EntryBytesMax is the size of the largest entry: 60 KiB, so that a C2SP entry bundle can hold it.
const EntryBytesMax = 60 << 10

// TimeLayout is how times are written: RFC 3339, UTC, microseconds, always 27 bytes.
const TimeLayout = "2006-01-02T15:04:05.000000Z"

// version of the encoding.
const version = 1

// Actor is who caused an entry: an agent by its id, an administrator by credential, a person by reference, a program of CI by issuer and subject, or Writ itself.
type Actor struct {
	_       [0]func() // not to be compared with ==: one person in two sessions is one person; see Is
	Type    string    `json:"type"` // agent, admin, person, workload, system
	ID      string    `json:"id"`
	Session string    `json:"session,omitempty"` // of a person: which sign-in they acted under (signed_in in the organization's ledger)
}

// Is says whether two actors are the same, whichever sessions they acted in.
func (a Actor) Is(b Actor) bool { return a.Type == b.Type && a.ID == b.ID }

// Who is the actor without the session.
func (a Actor) Who() Actor { return Actor{Type: a.Type, ID: a.ID} }

// Writ is the actor of what nobody asked for: a job, or a rule of the bundle.
func Writ() Actor { return Actor{Type: ActorSystem, ID: "writ"} }

// The types of actor.
const (
	ActorAgent  = "agent"
	ActorAdmin  = "admin"
	ActorSystem = "system"
	ActorPerson = "person" // by the opaque reference of a user

	ActorWorkload = "workload" // a program of CI, by the issuer of its token, # and the token's sub claim
)

// Entry is one record of a ledger.
type Entry struct {
	V      int             `json:"v"`
	Ledger gov.Environment `json:"ledger"`
	Kind   Kind            `json:"kind"`
	ID     gov.EntryID     `json:"id"`
	At     string          `json:"at"` // TimeLayout
	Actor  Actor           `json:"actor"`
	Body   jsontext.Value  `json:"body"`
}

// Draft is an entry that has everything but its place: the id (which holds the index) and the time come with the append.
type Draft struct {
	kind  Kind
	nonce Nonce
	head  []byte // up to the id
	tail  []byte // from behind the time
}

// NewDraft encodes an entry but for its place. body is the struct that belongs to kind.
func NewDraft(ledger gov.Environment, kind Kind, nonce Nonce, actor Actor, body any) (Draft, error) {
	head := make([]byte, 0, headUsual)
	head = append(head, `{"v":1,"ledger":`...)
	head = appendString(head, string(ledger))
	head = append(head, `,"kind":`...)
	head = appendString(head, string(kind))
	head = append(head, `,"id":"`...)
	tail := make([]byte, 0, tailUsual)
	tail = append(tail, `","actor":{"type":`...)
	tail = appendString(tail, actor.Type)
	tail = append(tail, `,"id":`...)
	tail = appendString(tail, actor.ID)
	if actor.Session != "" {
		tail = append(tail, `,"session":`...)
		tail = appendString(tail, actor.Session)
	}
	tail, err := appendBody(append(tail, `},"body":`...), kind, body)
	if err != nil {
		return Draft{}, err
	}
	d := Draft{kind: kind, nonce: nonce, head: head, tail: append(tail, '}')}
	if size := d.Size(); size > EntryBytesMax {
		return Draft{}, fmt.Errorf("%s entry of %d bytes: over %d", kind, size, EntryBytesMax)
	}
	return d, nil
}

// headUsual and tailUsual are how many bytes the two parts of a draft are made for: those of a decision.
const (
	headUsual = 96
	tailUsual = 896
)

func appendBody(dst []byte, kind Kind, body any) ([]byte, error) {
	if d, ok := body.(Decision); ok && kind == KindDecision {
		return AppendDecision(dst, d), nil
	}
	if err := kind.fits(body); err != nil {
		return nil, err
	}
	encoded, err := jsonv2.Marshal(body, jsonv2.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode body of %s: %w", kind, err)
	}
	return append(dst, encoded...), nil
}

// Size is how many bytes the entry has once it is placed.
func (d Draft) Size() int {
	return len(d.head) + idSize + len(`","at":"`) + len(TimeLayout) + len(d.tail)
}

// Placer gives drafts their place. It holds scratch space and is not safe for concurrent use.
type Placer struct{ enc *base32.Encoding }

// NewPlacer makes a Placer.
func NewPlacer() *Placer { return &Placer{enc: idEncoding()} }

// Append appends the bytes of d placed at index and at. at must be UTC.
func (p *Placer) Append(dst []byte, d Draft, index int64, at time.Time) []byte {
	dst = append(dst, d.head...)
	dst = appendID(dst, p.enc, d.kind, index, d.nonce)
	dst = append(dst, `","at":"`...)
	dst = at.AppendFormat(dst, TimeLayout)
	return append(dst, d.tail...)
}

// ID is the id that d has at index.
func (p *Placer) ID(d Draft, index int64) gov.EntryID {
	var room [idSize]byte
	return gov.EntryID(appendID(room[:0], p.enc, d.kind, index, d.nonce))
}

// Decode reads an entry and insists on its one form: fixed order of fields, no white space, a known kind, a body of that
// kind, and an id of that kind. Anything else is not an entry.
func Decode(data []byte) (Entry, error) {
	var e Entry
	if err := jsonv2.Unmarshal(data, &e, jsonv2.RejectUnknownMembers(true)); err != nil {
		return Entry{}, fmt.Errorf("decode entry: %w", err)
	}
	if e.V != version {
		return Entry{}, fmt.Errorf("decode entry: version %d is not known", e.V)
	}
	body, err := e.Kind.newBody()
	if err != nil {
		return Entry{}, fmt.Errorf("decode entry: %w", err)
	}
	if err := jsonv2.Unmarshal(e.Body, body, jsonv2.RejectUnknownMembers(true)); err != nil {
		return Entry{}, fmt.Errorf("decode body of %s: %w", e.Kind, err)
	}
	if _, prefix, ok := IndexOf(e.ID); !ok || prefix != e.Kind.idPrefix() {
		return Entry{}, fmt.Errorf("decode entry: id %q is not one of a %s", e.ID, e.Kind)
	}
	if _, err := e.Time(); err != nil {
		return Entry{}, err
	}
	return e, checkForm(e, body, data)
}

// Parse reads an entry whose form was checked when it was written, for showing it: half the work of Decode. It does not look
// into the body, which [Body] does.
func Parse(data []byte) (Entry, error) {
	var e Entry
	if err := jsonv2.Unmarshal(data, &e, jsonv2.RejectUnknownMembers(true)); err != nil {
		return Entry{}, fmt.Errorf("parse entry: %w", err)
	}
	if e.V != version {
		return Entry{}, fmt.Errorf("parse entry: version %d is not known", e.V)
	}
	return e, nil
}

// checkForm encodes again and compares: two encodings of one entry would be two leaves.
func checkForm(e Entry, body any, data []byte) error {
	encoded, err := jsonv2.Marshal(body, jsonv2.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encode body of %s: %w", e.Kind, err)
	}
	e.Body = encoded
	again, err := jsonv2.Marshal(e, jsonv2.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encode entry: %w", err)
	}
	if string(again) != string(data) {
		return errors.New("decode entry: the bytes are not in the canonical form")
	}
	return nil
}

// Time is when the entry was appended.
func (e Entry) Time() (time.Time, error) {
	if at, ok := parseTime(e.At); ok {
		return at, nil
	}
	at, err := time.Parse(TimeLayout, e.At)
	if err != nil || len(e.At) != len(TimeLayout) {
		return time.Time{}, fmt.Errorf("decode entry: time %q is not RFC 3339 in UTC with microseconds", e.At)
	}
	return at, nil
}

// parseTime reads a time in TimeLayout, at a tenth of what the library takes for it. ok is false for anything unusual, which the
// library judges.
func parseTime(text string) (at time.Time, ok bool) {
	if len(text) != len(TimeLayout) {
		return at, false
	}
	for _, mark := range [...]struct {
		at   int
		char byte
	}{{4, '-'}, {7, '-'}, {10, 'T'}, {13, ':'}, {16, ':'}, {19, '.'}, {26, 'Z'}} {
		if text[mark.at] != mark.char {
			return at, false
		}
	}
	year, month, day := digits(text[:4]), digits(text[5:7]), digits(text[8:10])
	hour, minute, second, micro := digits(text[11:13]), digits(text[14:16]), digits(text[17:19]), digits(text[20:26])
	if min(year, month, day, hour, minute, second, micro) < 0 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 {
		return at, false
	}
	at = time.Date(year, time.Month(month), day, hour, minute, second, micro*int(time.Microsecond), time.UTC)
	return at, at.Day() == day // the day is one of the month
}

// digits is the number that a text of digits is, or -1.
func digits(text string) int {
	n := 0
	for i := range len(text) {
		c := text[i]
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// Body decodes the body of an entry into the struct of its kind.
func Body[T any](e Entry) (T, error) {
	var body T
	if err := jsonv2.Unmarshal(e.Body, &body, jsonv2.RejectUnknownMembers(true)); err != nil {
		return body, fmt.Errorf("decode body of %s: %w", e.Kind, err)
	}
	return body, nil
}

// AppendFramed appends data behind its length as a big-endian uint16: the form of a C2SP entry bundle.
func AppendFramed(dst, data []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(data)))
	return append(dst, data...)
}

// SplitFramed takes the first entry off the framed form.
func SplitFramed(data []byte) (entry, rest []byte, err error) {
	if len(data) < 2 {
		return nil, nil, errors.New("framed entries end inside a length")
	}
	size := int(binary.BigEndian.Uint16(data))
	if len(data) < 2+size {
		return nil, nil, errors.New("framed entries end inside an entry")
	}
	return data[2 : 2+size], data[2+size:], nil
}

// AppendFramedPayload appends a payload behind its length as a big-endian uint32.
func AppendFramedPayload(dst, data []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(data)))
	return append(dst, data...)
}

// SplitFramedPayload takes the first payload off.
func SplitFramedPayload(data []byte) (payload, rest []byte, err error) {
	if len(data) < 4 {
		return nil, nil, errors.New("framed payloads end inside a length")
	}
	size := int(binary.BigEndian.Uint32(data))
	if len(data)-4 < size {
		return nil, nil, errors.New("framed payloads end inside a payload")
	}
	return data[4 : 4+size], data[4+size:], nil
}
