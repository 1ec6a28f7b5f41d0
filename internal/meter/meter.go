// Package meter counts what limits allow in the ledger: a counter is a document that changes in the commit of a decision, which
// counts, and in that of its result, which settles what the decision reserved. It promises that every decision that was allowed had
// something left of each of its limits at its index, that every one that was denied for a limit had not, and that a reservation
// is settled once or stays. Nobody reads a counter to decide: a call is judged as if all limits had enough left, and the commit
// refuses it where that is not so.
package meter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/limit"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/row"
)

// DocKind is the kind of document that a counter is kept in. Its id is the counter's, its state the counter's name without the
// key, so that those of one limit can be listed; it is due while people are to be told of it.
const DocKind = "limit"

// FullError says that a limit has less left than a call takes. Judge again, knowing that.
type FullError struct{ Counter string }

// Error names the counter.
func (e *FullError) Error() string { return "the limit has too little left: " + e.Counter }

// FullOf gives the counters that an append was refused for.
func FullOf(err error) []string {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var out []string
		for _, one := range joined.Unwrap() {
			out = append(out, FullOf(one)...)
		}
		return out
	}
	var full *FullError
	if errors.As(err, &full) {
		return []string{full.Counter}
	}
	return nil
}

// Full judges under the counters that are known to have too little left.
func Full(counters []string) policy.Full {
	if len(counters) == 0 {
		return nil
	}
	return func(c limit.Charge) bool { return slices.Contains(counters, c.CounterID()) }
}

// Take is what a decision does to its counters: where it looked at limits, it holds only while those have too little left that it
// was judged by, and what is allowed is counted.
func Take(v policy.Verdict, full []string) []ledger.Amend {
	if len(v.Charges) == 0 {
		return nil
	}
	out := make([]ledger.Amend, len(v.Charges))
	for i, c := range v.Charges {
		known := c.Wrong || slices.Contains(full, c.CounterID())
		out[i] = ledger.Amend{Key: keyOf(c.CounterID()), With: func(doc row.Doc, at time.Time) (row.Doc, error) {
			return take(doc, at, c, v.Limited, known, v.Outcome == gov.OutcomeAllow)
		}}
	}
	return out
}

func keyOf(counter string) row.DocKey { return row.DocKey{Kind: DocKind, ID: counter} }

func take(doc row.Doc, at time.Time, c limit.Charge, looked, known, counts bool) (row.Doc, error) {
	counter, err := counterOf(doc, c.Rule)
	if err != nil {
		return doc, err
	}
	if full := looked && counter.Full(at, c); full && !known {
		return doc, &FullError{c.CounterID()}
	} else if looked && known && !full {
		return doc, ledger.ErrStale
	}
	if !counts {
		return doc, nil
	}
	warn := counter.Add(at, c)
	doc.State = c.Name
	return with(doc, counter, warn, at), nil
}

// counterOf is a document's counter; of one that is not there yet, an empty one.
func counterOf(doc row.Doc, r *limit.Rule) (limit.Counter, error) {
	if doc.Version == 0 && len(doc.Data) == 0 {
		return limit.NewCounter(r), nil
	}
	c, err := limit.Parse(doc.Data)
	if err != nil {
		return c, fmt.Errorf("counter %s: %w", doc.ID, err)
	}
	return c, nil
}

func with(doc row.Doc, c limit.Counter, warn bool, at time.Time) row.Doc {
	doc.Data = c.Append(make([]byte, 0, len(doc.Data)+counterRoom))
	if warn {
		doc.Due = at
	}
	return doc
}

// counterRoom is by how many bytes one charge makes a counter longer, about.
const counterRoom = 64

// Records are the charges of a verdict as the decision's entry has them.
func Records(v policy.Verdict) []canon.LimitCharge {
	if v.Outcome != gov.OutcomeAllow {
		return nil
	}
	return limit.Records(v.Charges)
}

// Settle is what the result of a decision does to its counters: what the call came to takes the place of what was reserved for it.
// decided is the time of the decision's entry. A result is recorded once, so nothing is settled twice.
func Settle(d canon.Decision, decided time.Time, status gov.ResultStatus, cost *canon.Cost) []ledger.Amend {
	var out []ledger.Amend
	for _, r := range d.Limits {
		held := limit.Held(r)
		if held == 0 {
			continue
		}
		micro, unpriced := limit.Settled(r, status, cost)
		out = append(out, ledger.Amend{Key: keyOf(limit.CounterID(r)), With: func(doc row.Doc, at time.Time) (row.Doc, error) {
			if doc.Version == 0 && len(doc.Data) == 0 {
				return doc, nil // the decision did not count here: it is not of this ledger's making
			}
			counter, err := limit.Parse(doc.Data)
			if err != nil {
				return doc, fmt.Errorf("counter %s: %w", doc.ID, err)
			}
			warn := counter.Settle(decided, at, held, micro, unpriced)
			return with(doc, counter, warn, at), nil
		}})
	}
	return out
}

// AnyFull says whether one of the limits of a call has too little left at a time, as far as is committed.
func AnyFull(ctx context.Context, l *ledger.Ledger, charges []limit.Charge, at time.Time) (bool, error) {
	for _, c := range charges {
		if c.Wrong {
			return true, nil
		}
		doc, _, err := l.Store().Doc(ctx, l.Name(), keyOf(c.CounterID()))
		if err != nil {
			return false, err
		}
		counter, err := counterOf(doc, c.Rule)
		if err != nil {
			return false, err
		}
		if counter.Full(at, c) {
			return true, nil
		}
	}
	return false, nil
}
