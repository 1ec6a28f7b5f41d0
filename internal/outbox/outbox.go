// Package outbox owes people notices of what waits for them, and delivers them. It promises that a notice is owed in the very
// commit of the entry that it tells of, so that no crash loses one; that it is delivered at least once, or given up after a day
// of trying ever less often; and that every attempt is an entry. What is owed names entries and channels, nobody and no secret.
//
// A notice may come twice: a crash between telling and recording tells again. It has the same id then.
package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/row"
)

// DocKind is the kind of document that says what is owed of one entry.
const DocKind = "outbox"

// The states of that document.
const (
	stateOwed = "owed"
	stateDone = "done"
)

const (
	backOffMin   = 5 * time.Second // before the second attempt; doubled for each one after
	backOffMax   = 15 * time.Minute
	giveUpAfter  = 24 * time.Hour // since the entry
	dueMax       = 2048           // entries looked at in one step: more than a channel that is down leaves behind on a bad day
	recordWithin = 10 * time.Second
)

// box is what is owed of one entry. Its document has the id of the entry.
type box struct {
	Bundle gov.BundleDigest `json:"bundle"` // that the channels are of
	Owed   []owed           `json:"owed"`
}

// owed is a notice that a channel has not told yet.
type owed struct {
	Channel  gov.ChannelID `json:"channel"`
	Event    gov.Event     `json:"event"`
	Attempts int           `json:"attempts,omitzero"`
	Next     string        `json:"next"` // TimeLayout
}

// Owe gives the document to write with an entry that people are to be told of, or none if no channel of the bundle wants it.
// The entry is of an environment and is asked of groups. Of the events that it is, each channel is told the first that it wants.
func Owe(b *bundle.Bundle, env gov.Environment, asked []gov.GroupID, at time.Time, events ...gov.Event) []row.Doc {
	o := box{Bundle: b.Digest}
	for _, c := range b.Channels {
		for _, e := range events {
			if c.Wants(e, env, asked) {
				o.Owed = append(o.Owed, owed{Channel: c.ID, Event: e, Next: at.UTC().Format(canon.TimeLayout)})
				break
			}
		}
	}
	if len(o.Owed) == 0 {
		return nil
	}
	return []row.Doc{o.document(row.Doc{DocKey: row.DocKey{Kind: DocKind}})}
}

// Page gives the document to write with an entry that certain channels are to be told of, whatever events they want.
func Page(b *bundle.Bundle, channels []gov.ChannelID, at time.Time) []row.Doc {
	o := box{Bundle: b.Digest}
	for _, id := range channels {
		o.Owed = append(o.Owed, owed{Channel: id, Event: gov.EventIncidentPaged, Next: at.UTC().Format(canon.TimeLayout)})
	}
	return []row.Doc{o.document(row.Doc{DocKey: row.DocKey{Kind: DocKind}})}
}

// document is d with what is owed now.
func (o box) document(d row.Doc) row.Doc {
	data, err := json.Marshal(o)
	if err != nil {
		panic("outbox: what is owed is not JSON: " + err.Error())
	}
	d.State, d.Due, d.Data = stateDone, time.Time{}, data
	for _, w := range o.Owed {
		if next := w.next(); d.Due.IsZero() || next.Before(d.Due) {
			d.State, d.Due = stateOwed, next
		}
	}
	return d
}

// next is when to try; what cannot be read is tried at once.
func (w owed) next() time.Time {
	at, err := time.Parse(canon.TimeLayout, w.Next)
	if err != nil {
		return time.Unix(0, 0)
	}
	return at
}

// backOff is how long to wait after so many attempts.
func backOff(attempts int) time.Duration {
	wait := backOffMin
	for ; attempts > 1 && wait < backOffMax; attempts-- {
		wait *= 2
	}
	return min(wait, backOffMax)
}

// Sender tells one channel. The error says what went wrong to those who run the server, and gives no secret away.
type Sender interface {
	Send(ctx context.Context, to bundle.Channel, n gov.Notice) (gov.Sent, error)
}

// Service delivers. Its fields are set once, before use.
type Service struct {
	Sender Sender
	URL    func() string // under which people reach the server, without a slash at its end
	Pages  string        // below URL, the path of the pages that people answer on, without a slash at its end
	Now    func() time.Time
	Rand   io.Reader
}

// Deliver tries what is due in an environment. The error lists what failed; it is tried again later all the same. A channel
// that nobody answers for is left alone for the rest of the step, so that it does not hold up the others.
func (s *Service) Deliver(ctx context.Context, env *live.Environment) error {
	docs, err := env.Ledger.Store().DocsDue(ctx, env.Ledger.Name(), DocKind, s.Now(), dueMax)
	if err != nil || len(docs) == 0 {
		return err
	}
	if err := env.Refresh(ctx); err != nil {
		return err
	}
	silent := map[gov.ChannelID]bool{}
	var failed []error
	for _, d := range docs {
		if ctx.Err() != nil {
			break
		}
		if err := s.empty(ctx, env, d, silent); err != nil {
			failed = append(failed, fmt.Errorf("notices of %s: %w", d.ID, err))
		}
	}
	return errors.Join(failed...)
}

// empty tries what one document owes.
func (s *Service) empty(ctx context.Context, env *live.Environment, d row.Doc, silent map[gov.ChannelID]bool) error {
	var o box
	if err := json.Unmarshal(d.Data, &o); err != nil {
		return err
	}
	engine, err := env.Engine(ctx, o.Bundle)
	if err != nil {
		return err
	}
	var failed []error
	for _, w := range o.Owed {
		if silent[w.Channel] || w.next().After(s.Now()) {
			continue
		}
		to, ok := channel(env, engine.Bundle(), w.Channel)
		if !ok {
			return fmt.Errorf("bundle %s has no channel %s", o.Bundle, w.Channel)
		}
		n, err := s.notice(ctx, env, engine.Bundle(), gov.EntryID(d.ID), w.Event)
		if err != nil {
			return err
		}
		sent, err := s.Sender.Send(ctx, to, n)
		if err != nil {
			failed = append(failed, fmt.Errorf("channel %s: %w", w.Channel, err))
		}
		if sent.Cause != "" && ctx.Err() != nil {
			return ctx.Err() // the server stops: that says nothing about the channel
		}
		silent[w.Channel] = sent.Cause == gov.UnsentUnreachable
		// A crash right here tells again.
		if o, d, err = s.record(ctx, env, o, d, w, to, n, sent); err != nil {
			return errors.Join(append(failed, err)...)
		}
	}
	return errors.Join(failed...)
}

// channel is the channel as the active bundle has it, so that a mended one is used at once, or else as it was when the notice
// became owed: a change that removes a channel is told through it.
func channel(env *live.Environment, then *bundle.Bundle, id gov.ChannelID) (bundle.Channel, bool) {
	if engine := env.Control().Engine; engine != nil {
		if c, ok := engine.Bundle().Channel(id); ok {
			return c, true
		}
	}
	return then.Channel(id)
}

// record writes an attempt, and what is owed after it.
func (s *Service) record(ctx context.Context, env *live.Environment, o box, d row.Doc, w owed, to bundle.Channel, n gov.Notice, sent gov.Sent) (box, row.Doc, error) {
	now := s.Now().UTC()
	w.Attempts++
	body := canon.Notification{
		Entry: n.ID, Event: n.Event, Channel: to.ID, Type: to.Type, Status: gov.DeliveryDelivered, Attempt: w.Attempts,
		Code: sent.Code, Refused: sent.Refused, Cause: sent.Cause,
	}
	switch {
	case sent.Cause == "":
	case now.Sub(n.At) >= giveUpAfter:
		body.Status = gov.DeliveryGivenUp
	default:
		body.Status = gov.DeliveryFailed
		w.Next = now.Add(backOff(w.Attempts)).Format(canon.TimeLayout)
	}
	after := box{Bundle: o.Bundle, Owed: []owed{}}
	for _, other := range o.Owed {
		switch {
		case other.Channel != w.Channel:
			after.Owed = append(after.Owed, other)
		case body.Status == gov.DeliveryFailed:
			after.Owed = append(after.Owed, w)
		}
	}
	d = after.document(d)
	receipt, err := s.append(ctx, env, body, d)
	d.Version = receipt.Index + 1
	return after, d, err
}

// append records even when the server stops: what was told is not told again.
func (s *Service) append(ctx context.Context, env *live.Environment, body canon.Notification, d row.Doc) (ledger.Receipt, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	record, err := env.Ledger.Draft(s.Rand, canon.KindNotification, canon.Writ(), body, nil)
	if err != nil {
		return ledger.Receipt{}, err
	}
	record.Docs = []row.Doc{d}
	return env.Ledger.Append(ctx, record)
}
