package incident

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/state"
)

// CoolDown is how long after its end an incident still counts the signals of its key as flapping, rather than another one opens.
const CoolDown = time.Hour

// runMax is how many signals are recorded in one go: a commit's worth, so that decisions find their place in the queue.
const runMax = 512

// Emitted is a signal as a detector computed it, with its number among those that were computed at the same index.
type Emitted struct {
	canon.Signal
	Ordinal int
}

// Cursor is how far signals were recorded: at which index they were computed, and which number they had there. No signal was
// recorded at the zero Cursor.
type Cursor struct {
	Through int64 `json:"through"`
	Ordinal int   `json:"ordinal"`

	any bool
}

func (e Emitted) cursor() Cursor { return Cursor{Through: e.Through, Ordinal: e.Ordinal, any: true} }

// Before says whether a signal was not recorded yet.
func (c Cursor) Before(e Emitted) bool { return c.before(e.cursor()) }

func (c Cursor) before(other Cursor) bool {
	return !c.any || c.Through < other.Through || c.Through == other.Through && c.Ordinal < other.Ordinal
}

var cursorKey = row.DocKey{Kind: CursorKind, ID: cursorID}

func cursorOf(doc row.Doc) (Cursor, error) {
	if doc.Version == 0 {
		return Cursor{}, nil
	}
	c := Cursor{any: true}
	if err := json.Unmarshal(doc.Data, &c); err != nil {
		return c, fmt.Errorf("cursor of the signals: %w", err)
	}
	return c, nil
}

// Recorded is how far the signals of an environment were recorded.
func Recorded(ctx context.Context, l *ledger.Ledger) (Cursor, error) {
	doc, _, err := l.Store().Doc(ctx, l.Name(), cursorKey)
	if err != nil {
		return Cursor{}, err
	}
	return cursorOf(doc)
}

// errTaken says that a signal was recorded before.
var errTaken = errors.New("the signal was recorded before")

// forward amends the cursor: the signal before must be recorded, and this one must not.
func forward(from, to Cursor) ledger.Amend {
	data, err := json.Marshal(to)
	if err != nil {
		panic("incident: a cursor is not JSON: " + err.Error())
	}
	return ledger.Amend{Key: cursorKey, Place: func(doc row.Doc, _ gov.Place) (row.Doc, error) {
		at, err := cursorOf(doc)
		switch {
		case err != nil:
			return doc, err
		case !at.before(to):
			return doc, errTaken
		case at != from:
			return doc, ledger.ErrStale // the one before was refused: this one waits for it
		}
		doc.Data = data
		return doc, nil
	}}
}

// Take records signals, which ascend: each once, in their order, whoever else does the same at the same time and wherever a crash
// interrupts it. The first of a key that has no open incident opens one, the others join. An error says that not all are recorded;
// taking the same again goes on where it ended.
func (s *Service) Take(ctx context.Context, env *live.Environment, signals []Emitted) error {
	for n := 1; n < len(signals); n++ {
		if !signals[n-1].cursor().before(signals[n].cursor()) {
			return fmt.Errorf("signals do not ascend: %d.%d stands before %d.%d", signals[n-1].Through, signals[n-1].Ordinal, signals[n].Through, signals[n].Ordinal)
		}
	}
	if err := env.Refresh(ctx); err != nil {
		return err
	}
	for tries := 0; ; {
		at, err := Recorded(ctx, env.Ledger)
		if err != nil {
			return err
		}
		for len(signals) > 0 && !at.before(signals[0].cursor()) {
			signals = signals[1:]
		}
		if len(signals) == 0 {
			return nil
		}
		taken, err := s.run(ctx, env, at, signals)
		if err != nil {
			return err
		}
		if taken > 0 {
			tries = 0
			continue
		}
		if tries++; tries == triesMax {
			return &gov.Error{Code: gov.CodeOverloaded, Detail: "other steps of the same incidents kept coming first; try again"}
		}
	}
}

// run records the first of the signals, up to one that depends on what another of them opens. taken is how many are recorded now,
// by whomever.
func (s *Service) run(ctx context.Context, env *live.Environment, at Cursor, signals []Emitted) (taken int, err error) {
	p := plan{Service: s, env: env, now: s.Now(), at: at, keys: map[row.DocKey]*planned{}, memo: map[gov.IncidentID]kept{}}
	for _, e := range signals[:min(len(signals), runMax)] {
		if more, err := p.add(ctx, e); err != nil {
			return 0, err
		} else if !more {
			break
		}
	}
	// A crash right here, or anywhere below, leaves the first of them recorded and the others not: the cursor says which.
	_, errs := env.Ledger.AppendAll(ctx, p.records)
	for _, err := range errs {
		switch {
		case err == nil || errors.Is(err, errTaken):
			taken++
		case !errors.Is(err, ledger.ErrStale):
			return taken, err
		}
	}
	return taken, nil
}

// plan is what is to be recorded in one go, and what the incidents will be by then.
type plan struct {
	*Service
	env     *live.Environment
	now     time.Time
	at      Cursor
	records []ledger.Record
	keys    map[row.DocKey]*planned

	// memo has the incidents as the records of this go leave them, so that none is read again for each. Only the sequencer uses it.
	memo map[gov.IncidentID]kept
}

// planned is the incident of a key.
type planned struct {
	seen   row.Doc // of the key
	found  bool    // there was an incident of it, which is
	last   state.Incident
	opened bool // by a signal of this go: nobody knows its id yet
}

// kept is an incident with the bytes that say the same.
type kept struct {
	data []byte
	state.Incident
}

// add plans one signal. more is false when it has to wait for the go to be over.
func (p *plan) add(ctx context.Context, e Emitted) (more bool, err error) {
	amends := []ledger.Amend{forward(p.at, e.cursor())}
	e.Incident = ""
	var owed []gov.Event
	if !e.Heartbeat {
		k, err := p.key(ctx, keyOf(e.Key, e.Exercise))
		if err != nil {
			return false, err
		}
		switch {
		case k.opened:
			return false, nil
		case k.found && (k.last.State.Open() || p.coolsDown(k.last)):
			e.Incident = k.last.ID
			amends = append(amends, p.join(k, e.Signal))
			if k.last.State.Open() && e.Severity < k.last.Severity {
				k.last.Severity = e.Severity
				owed = append(owed, gov.EventIncidentEscalated, gov.EventIncidentChanged)
			}
		default:
			opens, err := p.opens(ctx, k, e.Signal)
			if err != nil {
				return false, err
			}
			k.opened = true
			amends = append(amends, opens...)
			owed = append(owed, gov.EventIncidentOpened)
		}
	}
	record, err := p.env.Ledger.Draft(p.Rand, canon.KindSignal, canon.Writ(), e.Signal, nil)
	if err != nil {
		return false, err
	}
	record.Amends, record.Docs = amends, p.owe(p.env, owed...)
	p.records, p.at = append(p.records, record), e.cursor()
	return true, nil
}

func (p *plan) key(ctx context.Context, key row.DocKey) (*planned, error) {
	if k, ok := p.keys[key]; ok {
		return k, nil
	}
	found, seen, ok, err := newest(ctx, p.env.Ledger, key)
	if err != nil {
		return nil, err
	}
	k := &planned{seen: seen, found: ok, last: found.Incident}
	p.keys[key] = k
	return k, nil
}

// coolsDown says whether an incident ended so short a while ago that its signals are flapping.
func (p *plan) coolsDown(i state.Incident) bool {
	ended, err := time.Parse(canon.TimeLayout, i.EndedAt)
	return err == nil && i.State != gov.IncidentMerged && p.now.Sub(ended) < CoolDown
}

// join amends the incident that a signal joins. It must be open, or not, as it was when this was planned, and no less bad.
func (p *plan) join(k *planned, signal canon.Signal) ledger.Amend {
	was, severity := k.last.State.Open(), k.last.Severity
	return ledger.Amend{Key: row.DocKey{Kind: DocKind, ID: string(k.last.ID)}, Place: func(doc row.Doc, at gov.Place) (row.Doc, error) {
		i, err := p.read(doc)
		if err != nil {
			return doc, err
		}
		if i.State.Open() != was || i.Severity != severity {
			return doc, ledger.ErrStale
		}
		if i, err = i.Join(at, signal); err != nil {
			return doc, errors.Join(ledger.ErrStale, err)
		}
		doc = document(doc, i)
		p.memo[i.ID] = kept{doc.Data, i}
		return doc, nil
	}}
}

// read decodes an incident, unless it is as a record of this go left it.
func (p *plan) read(doc row.Doc) (state.Incident, error) {
	if k, ok := p.memo[gov.IncidentID(doc.ID)]; ok && len(doc.Data) == len(k.data) && &doc.Data[0] == &k.data[0] {
		return k.Incident, nil
	}
	i, err := incidentOf(doc)
	return i.Incident, err
}

// opens amends what an incident that a signal opens is kept in: its document, and that of its key.
func (p *plan) opens(ctx context.Context, k *planned, signal canon.Signal) ([]ledger.Amend, error) {
	began, err := occurred(ctx, p.env.Ledger, signal)
	if err != nil {
		return nil, err
	}
	earlier := gov.IncidentID("")
	if k.found {
		earlier = k.last.ID
	}
	open := ledger.Amend{Key: row.DocKey{Kind: DocKind}, Place: func(doc row.Doc, at gov.Place) (row.Doc, error) {
		i := state.OpenIncident(at, signal)
		i.OccurredAt, i.Earlier = began, earlier
		return document(doc, i), nil
	}}
	return []ledger.Amend{open, pointAt(k.seen, func(at gov.Place) gov.IncidentID { return gov.IncidentOf(at.ID) })}, nil
}

// occurred is when the oldest of the entries happened that a signal says it rests on, or the one that it was computed at.
func occurred(ctx context.Context, l *ledger.Ledger, signal canon.Signal) (string, error) {
	first := signal.Through
	for _, id := range signal.Entries {
		if index, _, ok := canon.IndexOf(id); ok {
			first = min(first, index)
		}
	}
	item, err := l.At(ctx, first)
	return item.At, ignoreNotFound(err)
}

func ignoreNotFound(err error) error {
	if err != nil && gov.CodeOf(err) == gov.CodeNotFound {
		return nil
	}
	return err
}
