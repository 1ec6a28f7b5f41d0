package ledger

import (
	"context"
	"io"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

// Clerk writes the entries that a ledger owes nobody but itself: that it was opened, that its recorder is alive, that it was
// not.
type Clerk struct {
	Ledger    *Ledger
	Rand      io.Reader
	Node      string
	Origin    string
	PublicKey string        // C2SP verifier key of the log
	Version   string        // of Writ
	Interval  time.Duration // between heartbeats while nothing is recorded

	seen row.Head // when Beat looked last
}

// gapFactor: a silence of more than so many intervals means that no recorder was alive.
const gapFactor = 3

// Begin opens the ledger if it has no entries, and records the silence before this start if there was one. It needs Run.
func (c *Clerk) Begin(ctx context.Context) error {
	head, err := c.Ledger.Head(ctx)
	if gov.CodeOf(err) == gov.CodeNotFound {
		return c.append(ctx, canon.KindLedgerOpened, canon.LedgerOpened{Origin: c.Origin, PublicKey: c.PublicKey, Version: c.Version}, true)
	}
	if err != nil {
		return err
	}
	return c.gap(ctx, head.At, c.Ledger.now())
}

// gap records a silence that was too long.
func (c *Clerk) gap(ctx context.Context, from, to time.Time) error {
	if to.Sub(from) <= gapFactor*c.Interval {
		return nil
	}
	body := canon.RecorderGap{From: from.UTC().Format(canon.TimeLayout), To: to.UTC().Format(canon.TimeLayout)}
	return c.append(ctx, canon.KindRecorderGap, body, false)
}

// Beat records that the recorder is alive if nothing else was recorded for an interval.
func (c *Clerk) Beat(ctx context.Context) error {
	head, err := c.Ledger.Head(ctx)
	if err != nil {
		return ignoreNotFound(err)
	}
	if err := c.outage(ctx, head); err != nil {
		return err
	}
	c.seen = head
	if c.Ledger.now().Sub(head.At) < c.Interval {
		return nil
	}
	if err := c.gap(ctx, head.At, c.Ledger.now()); err != nil {
		return err
	}
	return c.append(ctx, canon.KindHeartbeat, canon.Heartbeat{Node: c.Node}, false)
}

// outage records a silence after the head that was seen last, which something that was recorded since then ended. A silence
// that goes on is found by the age of the head.
func (c *Clerk) outage(ctx context.Context, head row.Head) error {
	if c.seen.Size == 0 || c.seen.Size >= head.Size {
		return nil
	}
	next, err := c.Ledger.At(ctx, c.seen.Size)
	if err != nil || next.Kind == canon.KindRecorderGap {
		return err
	}
	at, err := next.Time()
	if err != nil {
		return err
	}
	return c.gap(ctx, c.seen.At, at)
}

// Scrubbed records that the whole log was derived again and agreed.
func (c *Clerk) Scrubbed(ctx context.Context, s canon.Scrub) error {
	return c.append(ctx, canon.KindScrub, s, false)
}

// Refused records what was refused in a minute.
func (c *Clerk) Refused(ctx context.Context, r canon.Refusals) error {
	return c.append(ctx, canon.KindRefusals, r, false)
}

func (c *Clerk) append(ctx context.Context, kind canon.Kind, body any, first bool) error {
	record, err := c.Ledger.Draft(c.Rand, kind, canon.Writ(), body, nil)
	if err != nil {
		return err
	}
	record.First = first
	_, err = c.Ledger.Append(ctx, record)
	return err
}
