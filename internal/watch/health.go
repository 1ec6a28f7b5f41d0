package watch

import (
	"context"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/detect"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
)

// HealthDays is the time in which signals are counted.
const HealthDays = 30

// probesSeen is how many probes, and answers to probes, are looked at, the newest: a day's worth at the usual pace.
const probesSeen = 96

// Status is how a detector is, from the probes since the bundle came into force.
type Status string

// The statuses.
const (
	StatusAnswers  Status = "answers"  // it noticed the newest synthetic event made for it
	StatusSilent   Status = "silent"   // it did not
	StatusWaiting  Status = "waiting"  // no probe was answered under this bundle yet
	StatusOff      Status = "off"      // the bundle switched it off
	StatusUnprobed Status = "unprobed" // nothing is made for it: it speaks when others do not
)

// Health is how the detectors of an environment are, under the bundle in force.
type Health struct {
	Detectors  []DetectorHealth
	LastProbe  string // TimeLayout; empty: there was none
	LastAnswer string // TimeLayout; when the newest answer to a probe was recorded
	Unanswered int    // probes that others followed, without an answer to either
	Through    int64  // entries below this index were looked at
}

// DetectorHealth is one of them.
type DetectorHealth struct {
	Spec    bundle.DetectorSpec
	Config  bundle.Detector
	Status  Status
	Signals int64 // in HealthDays
	Last    *LastSignal
	Noticed string // TimeLayout; when it last answered a probe, of those looked at
	Missed  int    // probes since then that it did not answer
}

// LastSignal is the newest signal of a detector.
type LastSignal struct {
	ID       gov.EntryID
	At       string // TimeLayout
	Incident gov.IncidentID
}

// HealthOf looks up how the detectors of an environment are. What the index does not have yet is not in it.
func HealthOf(ctx context.Context, env *live.Environment, now time.Time) (Health, error) {
	b := &bundle.Bundle{}
	if engine := env.Control().Engine; engine != nil {
		b = engine.Bundle()
	}
	p, err := probed(ctx, env.Ledger)
	if err != nil {
		return Health{}, err
	}
	out := Health{LastProbe: p.last, LastAnswer: p.answered, Unanswered: p.unanswered}
	specs := b.Specs()
	ids := make([]string, len(specs))
	for i, spec := range specs {
		ids[i] = string(spec.ID)
	}
	counts, err := env.Ledger.Count(ctx, ledger.DimDetector, ids, []time.Time{now.Add(-HealthDays * 24 * time.Hour), now})
	if err != nil {
		return out, err
	}
	out.Through = counts.Through
	last, err := newestOf(ctx, env.Ledger, ids)
	if err != nil {
		return out, err
	}
	for _, spec := range specs {
		d := DetectorHealth{Spec: spec, Config: b.Detector(spec), Signals: counts.Values[string(spec.ID)][0], Last: last[spec.ID]}
		d.judge(p)
		out.Detectors = append(out.Detectors, d)
	}
	return out, nil
}

// newestOf finds the newest signal of each detector that has one.
func newestOf(ctx context.Context, l *ledger.Ledger, ids []string) (map[gov.DetectorID]*LastSignal, error) {
	var indexes []int64
	for _, id := range ids {
		page, err := l.Find(ctx, ledger.Query{Filters: []ledger.Filter{{Dim: ledger.DimDetector, Value: id}}, Limit: 1})
		if err != nil {
			return nil, err
		}
		indexes = append(indexes, page.Indexes...)
	}
	items, err := l.Several(ctx, indexes)
	if err != nil {
		return nil, err
	}
	out := map[gov.DetectorID]*LastSignal{}
	for _, item := range items {
		s, err := canon.Body[canon.Signal](item.Entry)
		if err != nil {
			return nil, err
		}
		of := s.Incident
		if of == "" {
			of = gov.IncidentOf(item.ID)
		}
		out[s.Detector] = &LastSignal{ID: item.ID, At: item.At, Incident: of}
	}
	return out, nil
}

// probes are the newest, with the answers to them, newest first.
type probes struct {
	last, answered string
	unanswered     int
	answers        []answer
	since          int64 // index of the activation of the bundle in force
}

type answer struct {
	canon.Signal
	at string
}

func probed(ctx context.Context, l *ledger.Ledger) (probes, error) {
	p := probes{since: -1}
	asked, err := newestBy(ctx, l, ledger.Filter{Dim: ledger.DimKind, Value: string(canon.KindProbe)}, probesSeen)
	if err != nil {
		return p, err
	}
	active, err := newestBy(ctx, l, ledger.Filter{Dim: ledger.DimKind, Value: string(canon.KindBundleActivated)}, 1)
	if err != nil {
		return p, err
	}
	beats, err := newestBy(ctx, l, ledger.Filter{Dim: ledger.DimDetector, Value: string(detect.Heartbeat)}, probesSeen)
	if err != nil {
		return p, err
	}
	for _, item := range active {
		p.since = item.Index
	}
	through := int64(-1)
	for _, item := range beats {
		s, err := canon.Body[canon.Signal](item.Entry)
		if err != nil {
			return p, err
		}
		p.answers, through = append(p.answers, answer{s, item.At}), max(through, s.Through)
	}
	for i, item := range asked {
		if i > 0 && item.Index > through && item.Index > p.since { // the newest may still be answered
			p.unanswered++
		}
	}
	if len(asked) > 0 {
		p.last = asked[0].At
	}
	if len(beats) > 0 {
		p.answered = beats[0].At
	}
	return p, nil
}

func newestBy(ctx context.Context, l *ledger.Ledger, f ledger.Filter, most int) ([]ledger.Item, error) {
	page, err := l.Find(ctx, ledger.Query{Filters: []ledger.Filter{f}, Limit: most})
	if err != nil {
		return nil, err
	}
	return l.Several(ctx, page.Indexes)
}

// judge says how a detector is. What it did under another bundle does not count against it.
func (d *DetectorHealth) judge(p probes) {
	under := 0
	d.Missed = p.unanswered
	for _, a := range p.answers {
		if slices.Contains(a.Noticed, d.Spec.ID) {
			d.Noticed = a.at
			if a.Through > p.since {
				under++
			}
			break
		}
		if a.Through > p.since {
			under, d.Missed = under+1, d.Missed+1
		}
	}
	switch {
	case d.Config.Off:
		d.Status, d.Missed = StatusOff, 0
	case !detect.Probed(d.Spec.ID):
		d.Status, d.Missed = StatusUnprobed, 0
	case d.Missed > 0:
		d.Status = StatusSilent
	case under == 0:
		d.Status = StatusWaiting
	default:
		d.Status = StatusAnswers
	}
}
