// Package incident works incidents to their end: signals are grouped into them, people own them, contain them, find out what
// happened and write that down. It promises that a signal is recorded once, in the order in which it was computed, whatever crashes
// in between; that signals of one key are one incident while it is open; that everything about an incident is an entry, by somebody
// who is named; that one person does not end a bad one alone; and that nothing is deleted. It does not find anything itself: the
// detectors do. What may follow what is state.Incident, with which replay checks it.
package incident

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/writ-dev/writ/internal/contain"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/outbox"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/state"
)

// The kinds of document.
const (
	DocKind    = "incident"     // by its id
	KeyKind    = "incident_key" // the newest incident of a key, by keyOf
	CursorKind = "detect"       // how far signals were recorded
	cursorID   = "cursor"
)

// Bounds of incidents.
const (
	titleBytesMax  = 200
	textBytesMax   = 16 << 10
	reportBytesMax = 256 << 10
	refsMax        = 50
	triesMax       = 16 // when other steps come first
	pageDocs       = 200
	listScanMax    = 4000 // incidents looked at for one page
)

// Service records signals and takes steps. Its fields are set once, before use.
type Service struct {
	Environments *live.Set
	Contain      *contain.Service
	Key          []byte // of the opaque references of users
	Now          func() time.Time
	Rand         io.Reader
}

// Incident is an incident with the document that it is kept in.
type Incident struct {
	state.Incident

	doc row.Doc
}

// Changed is the index of the entry that changed it last.
func (i Incident) Changed() int64 { return i.doc.Version - 1 }

func incidentOf(doc row.Doc) (Incident, error) {
	i := Incident{doc: doc}
	if err := json.Unmarshal(doc.Data, &i.Incident); err != nil {
		return i, fmt.Errorf("incident %s: %w", doc.ID, err)
	}
	return i, nil
}

// document is doc with what the incident is now.
func document(doc row.Doc, i state.Incident) row.Doc {
	data, err := json.Marshal(i)
	if err != nil {
		panic("incident: an incident is not JSON: " + err.Error())
	}
	doc.Kind, doc.ID, doc.State, doc.Data = DocKind, string(i.ID), string(i.State), data
	return doc
}

// Find reads an incident. Errors are *gov.Error.
func Find(ctx context.Context, l *ledger.Ledger, id gov.IncidentID) (Incident, error) {
	return ledger.FindDoc(ctx, l, row.DocKey{Kind: DocKind, ID: string(id)}, "incident "+string(id), incidentOf)
}

// Filter says which incidents are asked for. What is zero is any.
type Filter struct {
	State    gov.IncidentState
	Open     bool // in any state in which it is open
	Severity gov.Severity
	Detector gov.DetectorID
	Exercise *bool
	From, To time.Time // opened in it; To is exclusive
}

func (f Filter) has(i Incident) bool {
	return (f.State == "" || i.State == f.State) && (!f.Open || i.State.Open()) && (f.Severity == 0 || i.Severity == f.Severity) &&
		(f.Detector == "" || i.Detector == f.Detector) && (f.Exercise == nil || i.Exercise == *f.Exercise)
}

// window gives the indexes that incidents of the filter's time were opened at.
func (f Filter) window(ctx context.Context, l *ledger.Ledger) (from, below int64, err error) {
	head, err := l.Head(ctx)
	if err != nil {
		return 0, 0, err
	}
	below = head.Size
	if !f.From.IsZero() {
		if from, err = l.Store().IndexAt(ctx, l.Name(), f.From); err != nil {
			return 0, 0, err
		}
	}
	if !f.To.IsZero() {
		if below, err = l.Store().IndexAt(ctx, l.Name(), f.To); err != nil {
			return 0, 0, err
		}
	}
	return from, below, nil
}

// List is a page of incidents with how many there are.
type List struct {
	Incidents []Incident
	Next      int64                       // the index to go on below, or 0
	Counts    map[gov.IncidentState]int64 // of all that were opened in the time, whatever else is asked
}

// List gives incidents, newest first, opened below an index. A page may hold fewer than limit and go on all the same.
func (s *Service) List(ctx context.Context, env *live.Environment, f Filter, below int64, limit int) (List, error) {
	out := List{Counts: map[gov.IncidentState]int64{}}
	from, end, err := f.window(ctx, env.Ledger)
	if err != nil {
		return out, err
	}
	counts, err := env.Ledger.Store().CountDocsOpened(ctx, env.Ledger.Name(), DocKind, from, end)
	if err != nil {
		return out, err
	}
	for name, n := range counts {
		out.Counts[gov.IncidentState(name)] = n
	}
	scanned := 0
	err = each(ctx, env.Ledger, string(f.State), from, min(end, below), func(i Incident) bool {
		if f.has(i) {
			out.Incidents = append(out.Incidents, i)
		}
		scanned++
		if len(out.Incidents) == limit || scanned == listScanMax {
			out.Next = i.Opened
			return false
		}
		return true
	})
	return out, err
}

// each calls fn for the incidents opened in [from, below), newest first, until it says stop.
func each(ctx context.Context, l *ledger.Ledger, in string, from, below int64, fn func(Incident) bool) error {
	for {
		docs, err := l.Store().Docs(ctx, l.Name(), DocKind, in, below, pageDocs)
		if err != nil {
			return err
		}
		for _, doc := range docs {
			i, err := incidentOf(doc)
			if err != nil || i.Opened < from || !fn(i) {
				return err
			}
		}
		if len(docs) < pageDocs {
			return nil
		}
		below = docs[len(docs)-1].Opened
	}
}

// keyOf is where the newest incident of a key is found. Exercises have keys of their own: nothing real joins one.
func keyOf(key string, exercise bool) row.DocKey {
	if exercise {
		key = "exercise\x00" + key
	}
	sum := sha256.Sum256([]byte(key))
	return row.DocKey{Kind: KeyKind, ID: hex.EncodeToString(sum[:])}
}

// pointer is the document of a key.
type pointer struct {
	Incident gov.IncidentID `json:"incident"`
}

func pointTo(doc row.Doc, id gov.IncidentID) row.Doc {
	data, err := json.Marshal(pointer{id})
	if err != nil {
		panic("incident: a key is not JSON: " + err.Error())
	}
	doc.Data = data
	return doc
}

// pointAt amends the document of a key, which must still be as it was seen.
func pointAt(seen row.Doc, id func(gov.Place) gov.IncidentID) ledger.Amend {
	return ledger.Amend{Key: seen.DocKey, Place: func(doc row.Doc, at gov.Place) (row.Doc, error) {
		if doc.Version != seen.Version {
			return doc, ledger.ErrStale
		}
		return pointTo(doc, id(at)), nil
	}}
}

// newest finds the newest incident of a key, with the document that names it. ok is false when there was none.
func newest(ctx context.Context, l *ledger.Ledger, key row.DocKey) (found Incident, doc row.Doc, ok bool, err error) {
	doc, ok, err = l.Store().Doc(ctx, l.Name(), key)
	if err != nil || !ok {
		return Incident{}, row.Doc{DocKey: key}, false, err
	}
	var p pointer
	if err := json.Unmarshal(doc.Data, &p); err != nil {
		return Incident{}, doc, false, fmt.Errorf("key %s: %w", key.ID, err)
	}
	found, err = Find(ctx, l, p.Incident)
	return found, doc, err == nil, err
}

// owe is the notice of an entry about an incident, for those who respond.
func (s *Service) owe(env *live.Environment, events ...gov.Event) []row.Doc {
	engine := env.Control().Engine
	if engine == nil || len(events) == 0 {
		return nil
	}
	return outbox.Owe(engine.Bundle(), env.Ledger.Name(), engine.Bundle().Responders(), s.Now(), events...)
}

// responder refuses whoever does not respond to incidents in an environment: it takes a person with a role.
func responder(c identity.Caller, env *live.Environment) error {
	switch {
	case c.Role != state.RolePerson:
		return &gov.Error{Code: gov.CodeForbidden, Detail: "people work on incidents: sign in (writ login, or the console)"}
	case !gov.Responds(c.RolesIn(env.Control().Engine)):
		return &gov.Error{Code: gov.CodeForbidden, Detail: "only people with the role responder or admin in the environment " + string(env.Ledger.Name()) + " work on its incidents"}
	}
	return nil
}
