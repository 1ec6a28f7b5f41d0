package incident

import (
	"context"
	"math"
	"slices"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/contain"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
)

// Bounds of what a timeline gathers beside its steps.
const (
	switchesShown = 50
	movesShown    = 100 // of one switch
	noticesOf     = 50  // steps whose notices are looked up
	noticesShown  = 50  // of one step
)

// Line is one entry of a timeline, decoded. One of Signal, Reported, Event, Engaged, Moved and Notice is set.
type Line struct {
	ledger.Item
	Signal   *canon.Signal
	Reported *canon.IncidentReported
	Event    *canon.IncidentEvent
	Engaged  *canon.SwitchEngaged
	Moved    string // what became of a switch: proposed, eased, released or expired
	Notice   *canon.Notification
	Text     string         // what a person said
	Owner    *gov.Principal // whom they gave it to
	Erased   bool           // what was said was erased
}

// Timeline is what the ledger says about an incident, in the order of its entries.
type Timeline struct {
	Lines   []Line
	LeftOut int64 // signals between the first and the newest ones: they are in the ledger
	Through int64 // switches and notices below this index were looked for; steps and signals are all here

	Undelivered []gov.ChannelID // through which the newest attempt to tell of something failed; sorted
}

// Timeline reads the entries about an incident. The decisions that its signals rest on are named by them.
func (s *Service) Timeline(ctx context.Context, env *live.Environment, i Incident) (Timeline, error) {
	indexes := append(slices.Clone(i.Steps), i.Opened)
	for _, id := range i.Signals {
		if index, _, ok := canon.IndexOf(id); ok {
			indexes = append(indexes, index)
		}
	}
	slices.Sort(indexes)
	lines, err := linesAt(ctx, env.Ledger, slices.Compact(indexes))
	if err != nil {
		return Timeline{}, err
	}
	out := Timeline{Lines: lines, LeftOut: i.Count}
	for _, l := range lines {
		if l.Signal != nil {
			out.LeftOut--
		}
	}
	beside, through, err := besides(ctx, env.Ledger, i, lines)
	if err != nil {
		return out, err
	}
	more, err := linesAt(ctx, env.Ledger, beside)
	if err != nil {
		return out, err
	}
	out.Undelivered = undelivered(more)
	out.Lines, out.Through = append(out.Lines, fewer(more)...), through
	slices.SortStableFunc(out.Lines, func(a, b Line) int { return int(a.Index - b.Index) })
	return out, nil
}

// finder collects the indexes of entries that an index of the ledger leads to.
type finder struct {
	ledger  *ledger.Ledger
	indexes []int64
	through int64
}

// find adds the entries of a kind that are about something, the newest.
func (f *finder) find(ctx context.Context, about string, kind canon.Kind, limit int) error {
	page, err := f.ledger.Find(ctx, ledger.Query{Filters: []ledger.Filter{{Dim: ledger.DimAbout, Value: about}, {Dim: ledger.DimKind, Value: string(kind)}}, Limit: limit})
	f.indexes, f.through = append(f.indexes, page.Indexes...), page.Through
	return err
}

// besides finds the entries of switches that contain the incident, and the notices of its steps.
func besides(ctx context.Context, l *ledger.Ledger, i Incident, lines []Line) (indexes []int64, through int64, err error) {
	f := finder{ledger: l}
	switches, err := f.switches(ctx, i, lines)
	if err != nil {
		return nil, 0, err
	}
	for _, id := range switches {
		for _, kind := range []canon.Kind{canon.KindSwitchProposed, canon.KindSwitchEased, canon.KindSwitchReleased} {
			if err := f.find(ctx, id, kind, movesShown); err != nil {
				return nil, 0, err
			}
		}
	}
	for _, line := range tellers(lines) {
		if err := f.find(ctx, string(line.ID), canon.KindNotification, noticesShown); err != nil {
			return nil, 0, err
		}
	}
	slices.Sort(f.indexes)
	return slices.Compact(f.indexes), f.through, nil
}

// switches finds the switches that name the incident, those that a rule engaged for its signals, and those that a step of it names.
func (f *finder) switches(ctx context.Context, i Incident, lines []Line) ([]string, error) {
	for _, key := range i.Keys {
		if err := f.find(ctx, key, canon.KindSwitchEngaged, switchesShown); err != nil {
			return nil, err
		}
	}
	f.indexes = slices.DeleteFunc(f.indexes, func(index int64) bool { return index < began(lines) || index > ended(i) }) // of another incident of the key
	if err := f.find(ctx, string(i.ID), canon.KindSwitchEngaged, switchesShown); err != nil {
		return nil, err
	}
	engaged, err := f.ledger.Several(ctx, f.indexes)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, item := range engaged {
		out = append(out, string(item.ID))
	}
	for _, id := range i.Contained[:min(len(i.Contained), switchesShown)] {
		if _, err := contain.Find(ctx, f.ledger, gov.EntryID(id)); gov.CodeOf(err) == gov.CodeNotFound && err != nil {
			continue // a change, or a credential
		} else if err != nil {
			return nil, err
		}
		index, _, _ := canon.IndexOf(gov.EntryID(id))
		f.indexes, out = append(f.indexes, index), append(out, id)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// began is the index at which the first of the lines was noticed: what a rule stopped for it stands behind that, and before the line.
func began(lines []Line) int64 {
	if len(lines) == 0 {
		return 0
	}
	if first := lines[0]; first.Signal == nil {
		return first.Index
	}
	return lines[0].Signal.Through
}

// ended is the index of the step that ended an incident; of one that is open, the end of every ledger.
func ended(i Incident) int64 {
	if i.State.Open() || len(i.Steps) == 0 {
		return math.MaxInt64
	}
	return i.Steps[len(i.Steps)-1]
}

// tellers are the lines that people may have been told of, the newest: steps, and signals that are worse than any before.
func tellers(lines []Line) []Line {
	var out []Line
	worst := gov.SeverityLow + 1
	for _, line := range lines {
		if line.Signal != nil && line.Signal.Severity >= worst {
			continue
		}
		if line.Signal != nil {
			worst = line.Signal.Severity
		}
		out = append(out, line)
	}
	return out[max(0, len(out)-noticesOf):]
}

func linesAt(ctx context.Context, l *ledger.Ledger, indexes []int64) ([]Line, error) {
	items, err := l.Several(ctx, indexes)
	if err != nil {
		return nil, err
	}
	lines := make([]Line, len(items))
	for n, item := range items {
		if lines[n], err = lineOf(ctx, l, item); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// lineOf decodes an entry and reads what a person said.
func lineOf(ctx context.Context, l *ledger.Ledger, item ledger.Item) (Line, error) {
	line, err := decode(item)
	switch {
	case err != nil:
		return line, err
	case line.Reported != nil:
		err = line.read(ctx, l, line.Reported.Commitments)
	case line.Event != nil:
		err = line.read(ctx, l, line.Event.Commitments)
	}
	return line, err
}

func decode(item ledger.Item) (line Line, err error) {
	line.Item = item
	switch item.Kind {
	case canon.KindSignal:
		line.Signal, err = bodyOf[canon.Signal](item)
	case canon.KindIncidentReported:
		line.Reported, err = bodyOf[canon.IncidentReported](item)
	case canon.KindIncidentEvent:
		line.Event, err = bodyOf[canon.IncidentEvent](item)
	case canon.KindSwitchEngaged:
		line.Engaged, err = bodyOf[canon.SwitchEngaged](item)
	case canon.KindSwitchProposed:
		line.Moved = "proposed"
	case canon.KindSwitchEased:
		line.Moved = "eased"
	case canon.KindSwitchReleased:
		var body *canon.SwitchReleased
		if body, err = bodyOf[canon.SwitchReleased](item); err == nil {
			line.Moved = string(body.State)
		}
	case canon.KindNotification:
		line.Notice, err = bodyOf[canon.Notification](item)
	default:
	}
	return line, err
}

func bodyOf[T any](item ledger.Item) (*T, error) {
	body, err := canon.Body[T](item.Entry)
	return &body, err
}

// read reads what a person said.
func (l *Line) read(ctx context.Context, from *ledger.Ledger, commitments map[canon.Group]canon.Commitment) error {
	if _, said := commitments[canon.GroupText]; !said {
		return nil
	}
	payload, err := from.Payload(ctx, l.Index)
	if err != nil {
		return err
	}
	if _, kept := payload[canon.GroupText]; !kept {
		l.Erased = true
		return nil
	}
	words, err := payload.Value(canon.GroupText)
	if err != nil {
		return err
	}
	l.Text, _ = words["text"].(string)
	if owner, ok := words["owner"].(map[string]any); ok {
		kind, _ := owner["type"].(string)
		id, _ := owner["id"].(string)
		l.Owner = &gov.Principal{Type: gov.PrincipalType(kind), ID: id}
	}
	return nil
}

// Calls gives the decisions that an incident rests on, newest first: of its signals, of its report, and those that people linked.
func (s *Service) Calls(ctx context.Context, env *live.Environment, i Incident, t Timeline, limit int) ([]ledger.Item, error) {
	var indexes []int64
	add := func(id gov.EntryID) {
		if index, prefix, ok := canon.IndexOf(id); ok && prefix == "dec_" {
			indexes = append(indexes, index)
		}
	}
	for _, id := range i.Decisions {
		add(gov.EntryID(id))
	}
	for _, l := range t.Lines {
		if l.Signal == nil {
			continue
		}
		for _, id := range l.Signal.Entries {
			add(id)
		}
	}
	slices.Sort(indexes)
	slices.Reverse(indexes)
	indexes = slices.Compact(indexes)
	items, err := env.Ledger.Several(ctx, indexes[:min(len(indexes), limit)])
	return slices.DeleteFunc(items, func(item ledger.Item) bool { return item.Kind != canon.KindDecision }), err
}

// Of names the incidents that entries are about, each once, at most so many.
func Of(items []ledger.Item, limit int) ([]gov.IncidentID, error) {
	var out []gov.IncidentID
	for _, item := range items {
		line, err := decode(item)
		if err != nil {
			return nil, err
		}
		id := gov.IncidentOf(item.ID)
		switch {
		case line.Signal != nil && line.Signal.Heartbeat:
			continue
		case line.Signal != nil && line.Signal.Incident != "":
			id = line.Signal.Incident
		case line.Event != nil:
			id = line.Event.Incident
		case line.Signal == nil && line.Reported == nil:
			continue
		}
		if !slices.Contains(out, id) && len(out) < limit {
			out = append(out, id)
		}
	}
	return out, nil
}
