package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

// recentCalls are the calls of the newest commits, which the call table does not have yet. The keys of calls lie all over
// that table, so writing each with its commit would write a page for each; a run of many, written in the order of their keys,
// shares pages. A run goes into the table piece by piece with the commits that follow, so that none of them is slow.
//
// Nothing is in memory alone: the calls of a commit are in its batch row too, and a new connection finds them there from
// where the last complete run ended. Calls that were moved before a crash are then moved again, to the same effect.
type recentCalls map[gov.Environment]*callRuns

// callRuns are the recent calls of one ledger, the newer ones in fresh.
type callRuns struct {
	fresh   map[row.CallKey]row.Call
	run     map[row.CallKey]row.Call
	order   []row.CallKey // of run, ascending, that are not in the table yet
	through int64         // run has the calls of all entries below this
}

// move is a piece of a run that a commit puts into the table. through is set with the last one.
type move struct {
	calls   []row.Call
	through int64
}

const (
	callRunMin     = 16_384 // calls that make a run
	movePerCall    = 2      // calls moved for each new one, so that a run is gone before the next is made
	movePerCommit  = 16     // and for each commit
	followerMoved  = "call" // the follower of a ledger that says where the last complete run ended
	callPackedSize = 16 + 16 + 4
)

func (r recentCalls) at(ledger gov.Environment) *callRuns {
	runs, ok := r[ledger]
	if !ok {
		runs = &callRuns{fresh: map[row.CallKey]row.Call{}}
		r[ledger] = runs
	}
	return runs
}

func (r *callRuns) find(key row.CallKey) (row.Call, bool) {
	if c, ok := r.fresh[key]; ok {
		return c, true
	}
	c, ok := r.run[key]
	return c, ok
}

// add remembers what a commit brought; size is that of the ledger after it.
func (r *callRuns) add(calls []row.Call, size int64) {
	for _, c := range calls {
		r.fresh[c.Key] = c
	}
	if len(r.order) > 0 || len(r.fresh) < callRunMin {
		return
	}
	r.run, r.fresh, r.through = r.fresh, make(map[row.CallKey]row.Call, callRunMin), size
	r.order = make([]row.CallKey, 0, len(r.run))
	for key := range r.run {
		r.order = append(r.order, key)
	}
	slices.SortFunc(r.order, func(a, b row.CallKey) int { return bytes.Compare(a[:], b[:]) })
}

// next is what a commit of so many calls moves.
func (r *callRuns) next(calls int) move {
	n := min(len(r.order), calls*movePerCall+movePerCommit)
	if n == 0 {
		return move{}
	}
	m := move{calls: make([]row.Call, n)}
	for i, key := range r.order[:n] {
		m.calls[i] = r.run[key]
	}
	if n == len(r.order) {
		m.through = r.through
	}
	return m
}

// moved is told once m is durable.
func (r *callRuns) moved(m move) {
	r.order = r.order[len(m.calls):]
	if m.through > 0 {
		r.run = nil
	}
}

// packCalls writes the calls of a batch for its row: key, input, and the place in the batch.
func packCalls(calls []row.Call, first int64) []byte {
	data := make([]byte, 0, len(calls)*callPackedSize)
	for _, c := range calls {
		data = append(append(data, c.Key[:]...), c.Input[:]...)
		data = binary.BigEndian.AppendUint32(data, uint32(c.Index-first))
	}
	return data
}

func unpackCalls(data []byte, first int64) ([]row.Call, error) {
	if len(data)%callPackedSize != 0 {
		return nil, errors.New("the calls of a batch are cut off")
	}
	calls := make([]row.Call, 0, len(data)/callPackedSize)
	for ; len(data) > 0; data = data[callPackedSize:] {
		c := row.Call{Index: first + int64(binary.BigEndian.Uint32(data[32:]))}
		copy(c.Key[:], data)
		copy(c.Input[:], data[16:])
		calls = append(calls, c)
	}
	return calls, nil
}

const sqlRecentCalls = `SELECT b.ledger, b.first, b.count, b.calls FROM head h
	JOIN batch b ON b.ledger = h.ledger AND b.first >= COALESCE((SELECT through FROM follower WHERE ledger = h.ledger AND name = ?1), 0)
	ORDER BY b.ledger, b.first`

// recent reads the calls that are not in the table.
func (c *appendConn) recent() (recentCalls, error) {
	stmt, _, err := c.Prepare(sqlRecentCalls)
	if err != nil {
		return nil, err
	}
	found := recentCalls{}
	err = stmt.BindText(1, followerMoved)
	for err == nil && stmt.Step() {
		err = found.read(stmt)
	}
	return found, errors.Join(err, stmt.Err(), stmt.Close())
}

func (r recentCalls) read(stmt *sqlite3.Stmt) error {
	first := stmt.ColumnInt64(1)
	calls, err := unpackCalls(stmt.ColumnRawBlob(3), first)
	if err == nil {
		r.at(gov.Environment(stmt.ColumnText(0))).add(calls, first+stmt.ColumnInt64(2))
	}
	return err
}

// write puts a piece of a run into the table.
func (c *appendConn) write(ledger gov.Environment, m move) error {
	for i := range m.calls {
		if err := c.exec(c.putCall, string(ledger), m.calls[i].Key[:], m.calls[i].Index, m.calls[i].Input[:]); err != nil {
			return err
		}
	}
	if m.through == 0 {
		return nil
	}
	return c.exec(c.putMoved, string(ledger), followerMoved, m.through)
}
