package watch

import (
	"context"
	"io"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/incident"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/outbox"
)

// Prober asks the detectors of one ledger to notice the synthetic events made for them, and notices itself when nobody answers at
// all: then it has people told, since no detector can. It belongs to one goroutine, which is not that of the Watcher.
type Prober struct {
	Env  *live.Environment
	Node string
	Now  func() time.Time
	Rand io.Reader

	last       int64  // index of the newest probe; 0: none by this prober
	lastAt     string // TimeLayout
	unanswered int
	since      string // when the first of them was recorded
}

// Probe records a probe, with how many before it nobody answered. People are told of the first of these.
func (p *Prober) Probe(ctx context.Context) error {
	unanswered, since, err := p.look(ctx)
	if err != nil {
		return err
	}
	body := canon.Probe{Node: p.Node, Unanswered: unanswered, Since: since}
	record, err := p.Env.Ledger.Draft(p.Rand, canon.KindProbe, canon.Writ(), body, nil)
	if err != nil {
		return err
	}
	if engine := p.Env.Control().Engine; engine != nil && unanswered == 1 {
		b := engine.Bundle()
		record.Docs = outbox.Owe(b, p.Env.Ledger.Name(), b.Responders(), p.Now(), gov.EventDetectorsSilent)
	}
	receipt, err := p.Env.Ledger.Append(ctx, record)
	if err != nil {
		return err
	}
	p.last, p.lastAt, p.unanswered, p.since = receipt.Index, receipt.At.UTC().Format(canon.TimeLayout), unanswered, since
	return nil
}

// look says how many probes, up to the newest, nobody answered: every answer is a signal, and moves the cursor of the signals.
func (p *Prober) look(ctx context.Context) (unanswered int, since string, err error) {
	if p.last == 0 {
		return 0, "", nil
	}
	at, err := incident.Recorded(ctx, p.Env.Ledger)
	switch {
	case err != nil || at.Through >= p.last:
		return 0, "", err
	case p.unanswered == 0:
		return 1, p.lastAt, nil
	default:
		return p.unanswered + 1, p.since, nil
	}
}
