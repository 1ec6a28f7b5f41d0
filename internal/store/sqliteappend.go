package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

// appendConn is the connection of the append path with its statements.
type appendConn struct {
	*sqlite3.Conn
	begin, commit, rollback                                              *sqlite3.Stmt
	head, call, session, result, doc                                     *sqlite3.Stmt
	putHead, newHead, putBatch, putPayload, setPayload, putNode, putCall *sqlite3.Stmt
	putSession, putResult, putChange, putBlob, putMoved, putDoc          *sqlite3.Stmt

	calls recentCalls
}

// prepare makes the statements of the append path.
func (c *appendConn) prepare() error {
	for _, p := range []struct {
		stmt **sqlite3.Stmt
		text string
	}{
		{&c.begin, "BEGIN IMMEDIATE"}, {&c.commit, "COMMIT"}, {&c.rollback, "ROLLBACK"},
		{&c.head, sqlHead}, {&c.call, sqlCall}, {&c.session, sqlSession}, {&c.result, sqlResult}, {&c.doc, sqlDoc},
		{&c.newHead, "INSERT INTO head (ledger, size, root, edge, epoch, at) VALUES ($1, $2, $3, $4, $5, $6)"},
		{&c.putHead, "UPDATE head SET size = $2, root = $3, edge = $4, epoch = $5, at = $6 WHERE ledger = $1"},
		{&c.putBatch, "INSERT INTO batch (ledger, first, count, at, entries, calls) VALUES ($1, $2, $3, $4, $5, $6)"},
		{&c.putPayload, "INSERT INTO payload (ledger, first, data) VALUES ($1, $2, $3)"},
		{&c.setPayload, "UPDATE payload SET data = $3 WHERE ledger = $1 AND first = $2"},
		{&c.putNode, "INSERT INTO node (ledger, level, idx, hash) VALUES ($1, $2, $3, $4)"},
		{&c.putCall, "INSERT INTO call (ledger, key, idx, input) VALUES ($1, $2, $3, $4) ON CONFLICT DO UPDATE SET idx = excluded.idx, input = excluded.input"},
		{&c.putSession, "INSERT INTO session (ledger, id, version, labels, marks) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO UPDATE SET version = excluded.version, labels = excluded.labels, marks = excluded.marks"},
		{&c.putResult, "INSERT INTO result (ledger, decision, idx) VALUES ($1, $2, $3)"},
		{&c.putChange, "INSERT INTO change (ledger, epoch, idx) VALUES ($1, $2, $3)"},
		{&c.putMoved, sqlSaveFollower}, {&c.putDoc, sqlPutDoc},
		{&c.putBlob, "INSERT INTO blob (digest, data) VALUES ($1, $2) ON CONFLICT DO NOTHING"},
	} {
		// $2 is a name to SQLite, numbered where it first appears; ?2 is the second parameter.
		stmt, _, err := c.PrepareFlags(strings.ReplaceAll(p.text, "$", "?"), sqlite3.PREPARE_PERSISTENT)
		if err != nil {
			return fmt.Errorf("prepare %q: %w", p.text, err)
		}
		*p.stmt = stmt
	}
	calls, err := c.recent()
	c.calls = calls
	return err
}

func (d *sqliteDriver) append(ctx context.Context, ledger gov.Environment, want row.Want, erase *row.Payload, fn func(row.Found) (row.Commit, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return unavailable("wait for the ledger", err)
	}
	if err := d.reconnect(); err != nil {
		return unavailable("open store", err)
	}
	if err := d.conn.begin.Exec(); err != nil {
		d.drop()
		return unavailable("begin", err)
	}
	defer d.settle()
	commit, moving, err := d.conn.attempt(ledger, want, erase, fn)
	if err != nil || commit.Batch.Count == 0 {
		return err
	}
	if err := ctx.Err(); err != nil {
		return unavailable("before the commit", err)
	}
	d.toWipe = d.toWipe || erase != nil
	// A crash before this returns leaves all of it or nothing. When it fails nobody knows which: the next append opens the
	// database anew and finds the head that stands.
	if err := d.conn.commit.Exec(); err != nil {
		d.drop()
		return unavailable("commit", err)
	}
	runs := d.conn.calls.at(ledger)
	runs.moved(moving)
	runs.add(commit.Calls, commit.Head.Size)
	return nil
}

// settle ends a transaction that was not committed, for whatever reason, a panic of the caller's included.
func (d *sqliteDriver) settle() {
	if d.conn == nil || d.conn.GetAutocommit() {
		return
	}
	if err := d.conn.rollback.Exec(); err != nil {
		d.drop()
	}
}

// reconnect opens the connection again after one was dropped.
func (d *sqliteDriver) reconnect() error {
	if d.conn != nil {
		return nil
	}
	conn, err := d.connect()
	if err != nil {
		return err
	}
	if err := conn.prepare(); err != nil {
		return errors.Join(err, conn.Close())
	}
	d.conn = conn
	return nil
}

// drop gives up a connection that is in an unknown state. The next append opens another one.
func (d *sqliteDriver) drop() {
	_ = d.conn.finish() // the connection goes whatever it says
	d.conn = nil
}

// finish closes the statements and the connection.
func (c *appendConn) finish() error {
	var err error
	for _, stmt := range slices.Collect(c.Stmts()) {
		err = errors.Join(err, stmt.Close())
	}
	return errors.Join(err, c.Close())
}

// attempt does everything between begin and commit.
func (c *appendConn) attempt(ledger gov.Environment, want row.Want, erase *row.Payload, fn func(row.Found) (row.Commit, error)) (commit row.Commit, moving move, err error) {
	found, exists, err := c.find(ledger, want)
	if err != nil {
		return commit, moving, unavailable("read under lock", err)
	}
	commit, err = fn(found)
	if err == nil && erase != nil && commit.Batch.Count == 0 {
		err = errNoEntry
	}
	if err != nil || commit.Batch.Count == 0 {
		return commit, moving, err
	}
	moving = c.calls.at(ledger).next(len(commit.Calls))
	if err := errors.Join(c.put(commit, exists), c.write(ledger, moving)); err != nil {
		return commit, moving, unavailable("write", err)
	}
	if erase != nil {
		err = c.erase(erase)
	}
	return commit, moving, err
}

func (c *appendConn) erase(p *row.Payload) error {
	if err := c.exec(c.setPayload, string(p.Ledger), p.First, p.Data); err != nil {
		return unavailable("erase", err)
	}
	if c.Changes() == 0 {
		return errNoPayload(p)
	}
	return nil
}

func (c *appendConn) find(ledger gov.Environment, want row.Want) (found row.Found, exists bool, err error) {
	name := string(ledger)
	found.Head.Ledger = ledger
	exists, err = c.row(c.head, func(s *sqlite3.Stmt) (err error) {
		found.Head, err = headOf(ledger, s.ColumnInt64(0), s.ColumnRawBlob(1), s.ColumnRawBlob(2), s.ColumnInt64(3), s.ColumnInt64(4))
		return err
	}, name)
	recent := c.calls.at(ledger)
	for i := 0; err == nil && i < len(want.Calls); i++ {
		if call, ok := recent.find(want.Calls[i]); ok {
			found.Calls = append(found.Calls, call)
			continue
		}
		_, err = c.row(c.call, func(s *sqlite3.Stmt) error {
			call := row.Call{Key: want.Calls[i], Index: s.ColumnInt64(0)}
			copy(call.Input[:], s.ColumnRawBlob(1))
			found.Calls = append(found.Calls, call)
			return nil
		}, name, want.Calls[i][:])
	}
	for i := 0; err == nil && i < len(want.Sessions); i++ {
		_, err = c.row(c.session, func(s *sqlite3.Stmt) error {
			labels, err := unpackLabels(s.ColumnText(1))
			found.Sessions = append(found.Sessions, row.Session{ID: want.Sessions[i], Version: s.ColumnInt64(0), Labels: labels, Marks: s.ColumnBlob(2, nil)})
			return err
		}, name, string(want.Sessions[i]))
	}
	for i := 0; err == nil && i < len(want.Results); i++ {
		_, err = c.row(c.result, func(s *sqlite3.Stmt) error {
			found.Results = append(found.Results, row.Result{Decision: want.Results[i], Index: s.ColumnInt64(0)})
			return nil
		}, name, want.Results[i])
	}
	for i := 0; err == nil && i < len(want.Docs); i++ {
		_, err = c.row(c.doc, func(s *sqlite3.Stmt) error {
			found.Docs = append(found.Docs, row.Doc{
				DocKey: want.Docs[i], Version: s.ColumnInt64(2), Opened: s.ColumnInt64(3), State: s.ColumnText(4), Due: dueOf(s.ColumnInt64(5)),
				Data: s.ColumnBlob(6, nil),
			})
			return nil
		}, name, want.Docs[i].Kind, want.Docs[i].ID)
	}
	return found, exists, err
}

// put writes a commit.
func (c *appendConn) put(m row.Commit, exists bool) error {
	name, b := string(m.Batch.Ledger), m.Batch
	err := c.exec(c.putBatch, name, b.First, int64(b.Count), micros(b.At), b.Entries, packCalls(m.Calls, b.First))
	if err == nil && len(m.Payload.Data) > 0 {
		err = c.exec(c.putPayload, name, m.Payload.First, m.Payload.Data)
	}
	for i := 0; err == nil && i < len(m.Nodes); i++ {
		err = c.exec(c.putNode, name, int64(m.Nodes[i].Level), m.Nodes[i].Index, m.Nodes[i].Hash[:])
	}
	for i := 0; err == nil && i < len(m.Sessions); i++ {
		err = c.exec(c.putSession, name, string(m.Sessions[i].ID), m.Sessions[i].Version, packLabels(m.Sessions[i].Labels), m.Sessions[i].Marks)
	}
	for i := 0; err == nil && i < len(m.Results); i++ {
		err = c.exec(c.putResult, name, m.Results[i].Decision, m.Results[i].Index)
	}
	for i := 0; err == nil && i < len(m.Changes); i++ {
		err = c.exec(c.putChange, name, m.Changes[i].Epoch, m.Changes[i].Index)
	}
	for i := 0; err == nil && i < len(m.Blobs); i++ {
		err = c.exec(c.putBlob, m.Blobs[i].Digest, m.Blobs[i].Data)
	}
	for i := 0; err == nil && i < len(m.Docs); i++ {
		d := m.Docs[i]
		err = c.exec(c.putDoc, name, d.Kind, d.ID, d.Version, d.Opened, d.State, dueMicros(d.Due), d.Data)
	}
	if err != nil {
		return err
	}
	head := c.putHead
	if !exists {
		head = c.newHead
	}
	return c.exec(head, name, m.Head.Size, m.Head.Root[:], packEdge(m.Head.Edge), m.Head.Epoch, micros(m.Head.At))
}

// bind sets the parameters of a statement.
func bind(s *sqlite3.Stmt, args []any) error {
	for i, arg := range args {
		var err error
		switch v := arg.(type) {
		case string:
			err = s.BindText(i+1, v)
		case int64:
			err = s.BindInt64(i+1, v)
		case []byte:
			err = s.BindBlob(i+1, v)
		default:
			err = fmt.Errorf("a parameter of type %T", arg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *appendConn) exec(s *sqlite3.Stmt, args ...any) error {
	if err := bind(s, args); err != nil {
		return err
	}
	return s.Exec()
}

// row runs a statement that gives one row or none.
func (c *appendConn) row(s *sqlite3.Stmt, take func(*sqlite3.Stmt) error, args ...any) (ok bool, err error) {
	if err := bind(s, args); err != nil {
		return false, err
	}
	if s.Step() {
		ok, err = true, take(s)
	}
	return ok, errors.Join(err, s.Reset())
}
