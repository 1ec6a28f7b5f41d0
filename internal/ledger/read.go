package ledger

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/merkle"
	"github.com/writ-dev/writ/internal/row"
)

// Item is an entry as it was read: its bytes, its decoded form and its place.
type Item struct {
	canon.Entry
	Index int64
	Raw   []byte
}

// Receipt is the receipt of an entry that was read.
func (i Item) Receipt() Receipt {
	leaf := merkle.LeafHash(i.Raw)
	at, err := i.Time()
	return Receipt{
		Receipt: gov.Receipt{Ledger: i.Ledger, Index: i.Index, LeafHash: hex.EncodeToString(leaf[:])},
		ID:      i.ID, At: at, placed: err == nil,
	}
}

// batchesPerRead bounds one read of a scan.
const batchesPerRead = 64

func notFound(what string) error {
	return &gov.Error{Code: gov.CodeNotFound, Detail: "there is no " + what}
}

// batchOf is the batch that holds the entry at index, and the entry's number in it.
func (l *Ledger) batchOf(ctx context.Context, index int64) (row.Batch, int, error) {
	if index < 0 {
		return row.Batch{}, 0, notFound(fmt.Sprintf("entry at index %d", index))
	}
	batches, err := l.store.Batches(ctx, l.name, index, index+1, 1)
	if err != nil {
		return row.Batch{}, 0, err
	}
	if len(batches) == 0 {
		return row.Batch{}, 0, notFound(fmt.Sprintf("entry at index %d", index))
	}
	return batches[0], int(index - batches[0].First), nil
}

// At reads the entry at index.
func (l *Ledger) At(ctx context.Context, index int64) (Item, error) {
	batch, n, err := l.batchOf(ctx, index)
	if err != nil {
		return Item{}, err
	}
	raw, err := nth(batch, n)
	if err != nil {
		return Item{}, err
	}
	return itemOf(raw, index)
}

func nth(batch row.Batch, n int) ([]byte, error) {
	rest := batch.Entries
	for i := 0; ; i++ {
		raw, after, err := canon.SplitFramed(rest)
		if err != nil {
			return nil, fmt.Errorf("batch at index %d: %w", batch.First, err)
		}
		if i == n {
			return raw, nil
		}
		rest = after
	}
}

func itemOf(raw []byte, index int64) (Item, error) {
	e, err := canon.Decode(raw)
	if err != nil {
		return Item{}, fmt.Errorf("entry at index %d: %w", index, err)
	}
	return Item{Entry: e, Index: index, Raw: raw}, nil
}

// ByID reads the entry with an id. The id says where it must stand.
func (l *Ledger) ByID(ctx context.Context, id gov.EntryID) (Item, error) {
	index, _, ok := canon.IndexOf(id)
	if !ok {
		return Item{}, notFound("entry " + string(id))
	}
	item, err := l.At(ctx, index)
	if gov.CodeOf(err) == gov.CodeNotFound || err == nil && item.ID != id {
		return Item{}, notFound("entry " + string(id))
	}
	return item, err
}

// Several reads the entries at the indexes given, in that order. Neighbours share a read.
func (l *Ledger) Several(ctx context.Context, indexes []int64) ([]Item, error) {
	items := make([]Item, 0, len(indexes))
	var batch row.Batch
	for _, index := range indexes {
		if index < batch.First || index >= batch.First+int64(batch.Count) {
			var err error
			if batch, _, err = l.batchOf(ctx, index); err != nil {
				return nil, err
			}
		}
		raw, err := nth(batch, int(index-batch.First))
		if err != nil {
			return nil, err
		}
		e, err := canon.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("entry at index %d: %w", index, err)
		}
		items = append(items, Item{Entry: e, Index: index, Raw: raw})
	}
	return items, nil
}

// Payload reads what may be erased of the entry at index. What was erased is not there.
func (l *Ledger) Payload(ctx context.Context, index int64) (canon.Payload, error) {
	batch, n, err := l.batchOf(ctx, index)
	if err != nil {
		return nil, err
	}
	parts, err := l.payloadsOf(ctx, batch)
	if err != nil {
		return nil, err
	}
	return canon.DecodePayload(parts[n])
}

func (l *Ledger) payloadsOf(ctx context.Context, batch row.Batch) ([][]byte, error) {
	rows, err := l.store.Payloads(ctx, l.name, []int64{batch.First})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return make([][]byte, batch.Count), nil
	}
	return splitPayloads(rows[0], batch.Count)
}

func splitPayloads(p row.Payload, count int) ([][]byte, error) {
	parts := make([][]byte, 0, count)
	rest := p.Data
	for len(parts) < count {
		part, after, err := canon.SplitFramedPayload(rest)
		if err != nil {
			return nil, fmt.Errorf("payload of the batch at index %d: %w", p.First, err)
		}
		parts, rest = append(parts, part), after
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("payload of the batch at index %d goes on after its last entry", p.First)
	}
	return parts, nil
}

// blank gives the batch's payload without the groups of one entry. done is false when none of them was there.
func (l *Ledger) blank(ctx context.Context, batch row.Batch, n int, groups []canon.Group) (row.Payload, bool, error) {
	parts, err := l.payloadsOf(ctx, batch)
	if err != nil {
		return row.Payload{}, false, err
	}
	p, err := canon.DecodePayload(parts[n])
	if err != nil {
		return row.Payload{}, false, err
	}
	before := len(p)
	for _, g := range groups {
		delete(p, g)
	}
	if len(p) == before {
		return row.Payload{}, false, nil
	}
	parts[n] = p.Encode()
	out := row.Payload{Ledger: l.name, First: batch.First}
	for _, part := range parts {
		out.Data = canon.AppendFramedPayload(out.Data, part)
	}
	return out, true, nil
}

// Raw is one entry of a scan, not decoded.
type Raw struct {
	Index   int64
	Bytes   []byte
	Payload []byte // only when the scan asked for payloads
}

// Scan calls fn for the entries of [from, to) in order. It reads in steps, so that a long ledger needs little memory; with
// payloads it also gives what may be erased. It stops at the first error of fn, and ends early where the ledger ends.
func (l *Ledger) Scan(ctx context.Context, from, to int64, payloads bool, fn func(Raw) error) error {
	return l.scan(ctx, from, to, payloads, l.stored, fn)
}

// ScanNew is Scan without payloads for who follows the ledger: what this node committed not long ago comes from memory. What a
// check of the ledger is to see comes from Scan.
func (l *Ledger) ScanNew(ctx context.Context, from, to int64, fn func(Raw) error) error {
	return l.scan(ctx, from, to, false, func(ctx context.Context, from, to int64) ([]row.Batch, error) {
		if batches := l.recent.from(from); len(batches) > 0 {
			return batches, nil
		}
		return l.stored(ctx, from, to)
	}, fn)
}

// stored reads the next batches of [from, to).
func (l *Ledger) stored(ctx context.Context, from, to int64) ([]row.Batch, error) {
	return l.store.Batches(ctx, l.name, from, to, batchesPerRead)
}

func (l *Ledger) scan(ctx context.Context, from, to int64, payloads bool, read func(ctx context.Context, from, to int64) ([]row.Batch, error), fn func(Raw) error) error {
	for from < to {
		batches, err := read(ctx, from, to)
		if err != nil {
			return err
		}
		if len(batches) == 0 {
			return nil
		}
		for _, batch := range batches {
			if batch.First > from {
				return fmt.Errorf("ledger %s: entries %d to %d are missing", l.name, from, batch.First-1)
			}
			if err := l.scanBatch(ctx, batch, from, to, payloads, fn); err != nil {
				return err
			}
			from = batch.First + int64(batch.Count)
		}
	}
	return nil
}

func (l *Ledger) scanBatch(ctx context.Context, batch row.Batch, from, to int64, payloads bool, fn func(Raw) error) error {
	var parts [][]byte
	if payloads {
		var err error
		if parts, err = l.payloadsOf(ctx, batch); err != nil {
			return err
		}
	}
	rest := batch.Entries
	for n := range batch.Count {
		raw, after, err := canon.SplitFramed(rest)
		if err != nil {
			return fmt.Errorf("batch at index %d: %w", batch.First, err)
		}
		rest = after
		index := batch.First + int64(n)
		if index < from || index >= to {
			continue
		}
		r := Raw{Index: index, Bytes: raw}
		if payloads {
			r.Payload = parts[n]
		}
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

// Follow calls fn for every entry from an index on, waiting for more, until ctx ends. poll is how often to look for what
// other nodes wrote.
func (l *Ledger) Follow(ctx context.Context, from int64, poll time.Duration, fn func(Raw) error) error {
	for {
		grown := l.grown.wait()
		head, err := l.store.Head(ctx, l.name)
		if err != nil && gov.CodeOf(err) != gov.CodeNotFound {
			return err
		}
		if err := l.Scan(ctx, from, head.Size, false, fn); err != nil {
			return err
		}
		from = max(from, head.Size)
		if err := l.pause(ctx, grown, poll); err != nil {
			return err
		}
	}
}

func (l *Ledger) pause(ctx context.Context, grown <-chan struct{}, poll time.Duration) error {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-grown:
		return nil
	case <-timer.C:
		return nil
	}
}

// Grown gives a channel that is closed when this node appends.
func (l *Ledger) Grown() <-chan struct{} { return l.grown.wait() }

// ChangesSince reads the entries that changed control state after an epoch, in order.
func (l *Ledger) ChangesSince(ctx context.Context, epoch int64) ([]row.Change, []Item, error) {
	changes, err := l.store.Changes(ctx, l.name, epoch)
	if err != nil {
		return nil, nil, err
	}
	indexes := make([]int64, len(changes))
	for i, c := range changes {
		indexes[i] = c.Index
	}
	if !slices.IsSorted(indexes) {
		return nil, nil, fmt.Errorf("ledger %s: epochs are not in the order of the entries", l.name)
	}
	items, err := l.Several(ctx, indexes)
	return changes, items, err
}
