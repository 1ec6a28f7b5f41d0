package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"
	sqldriver "github.com/ncruces/go-sqlite3/driver"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

const (
	sqliteFile     = "writ.db"
	sqliteLock     = "writ.lock"
	readersMax     = 8
	cachePages     = -16_000 // KiB for the writer
	readCachePages = -4_000  // KiB for each reader
	walPagesMax    = 16_000  // beyond which the log is written back at once
	maintainEvery  = 250 * time.Millisecond
	busyMax        = 5 * time.Second
)

// SQLiteOption changes how a SQLite store is opened.
type SQLiteOption func(*sqliteConfig)

type sqliteConfig struct {
	vfs         string
	synchronous string
}

// WithVFS puts another virtual file system, registered by its name, under the database.
func WithVFS(name string) SQLiteOption { return func(c *sqliteConfig) { c.vfs = name } }

// sqliteDriver is one process's hold on a database file.
type sqliteDriver struct {
	dsn    string
	config sqliteConfig
	lock   *os.File
	other  *sql.DB // what is written beside the append path; its commits need not be durable at once

	mu   sync.Mutex // of everything that writes
	conn *appendConn
	jobs sync.Map
}

// OpenSQLite opens the embedded store in a directory, which it makes if need be. No other process can write to it until
// Close.
func OpenSQLite(ctx context.Context, dir string, options ...SQLiteOption) (*Store, error) {
	config := sqliteConfig{synchronous: "FULL"}
	for _, o := range options {
		o(&config)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	d := &sqliteDriver{dsn: sqliteDSN(dir, config, ""), config: config, lock: lock}
	s, err := d.open(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store in %s: %w", dir, err), d.close())
	}
	return s, nil
}

// lockDir keeps other processes out.
func lockDir(dir string) (*os.File, error) {
	name := filepath.Join(dir, sqliteLock)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another writ serves %s; stop it first, or give this one its own --data (lock %s)", dir, name), f.Close())
	}
	return f, nil
}

func sqliteDSN(dir string, c sqliteConfig, more string) string {
	query := ""
	if c.vfs != "" {
		query = "&vfs=" + url.QueryEscape(c.vfs)
	}
	return "file:" + (&url.URL{Path: filepath.Join(dir, sqliteFile)}).EscapedPath() + "?_timefmt=auto" + query + more
}

// setUp prepares a connection that is not the appender's.
func setUp(pragmas string) func(*sqlite3.Conn) error {
	return func(c *sqlite3.Conn) error {
		if err := c.BusyTimeout(busyMax); err != nil {
			return err
		}
		return c.Exec(pragmas)
	}
}

func (d *sqliteDriver) open(ctx context.Context) (*Store, error) {
	conn, err := d.connect()
	if err != nil {
		return nil, err
	}
	d.conn = conn
	if err := d.migrate(); err != nil {
		return nil, err
	}
	d.other, err = sqldriver.Open(d.dsn, setUp("PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON; PRAGMA wal_autocheckpoint=0;"))
	if err != nil {
		return nil, err
	}
	d.other.SetMaxOpenConns(1)
	read, err := sqldriver.Open(d.dsn, setUp(fmt.Sprintf("PRAGMA query_only=ON; PRAGMA cache_size=%d;", readCachePages)))
	if err != nil {
		return nil, err
	}
	read.SetMaxOpenConns(readersMax)
	read.SetMaxIdleConns(readersMax)
	return &Store{read: read, driver: d}, read.PingContext(ctx)
}

// OpenSQLiteReadOnly opens the store in a directory for reading, beside a server that may be running.
func OpenSQLiteReadOnly(ctx context.Context, dir string) (*Store, error) {
	if _, err := os.Stat(filepath.Join(dir, sqliteFile)); err != nil {
		return nil, fmt.Errorf("no store in %s: %w", dir, err)
	}
	read, err := sqldriver.Open(sqliteDSN(dir, sqliteConfig{}, ""), setUp("PRAGMA query_only=ON;"))
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	read.SetMaxOpenConns(readersMax)
	if err := read.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), read.Close())
	}
	return &Store{read: read, driver: readOnly{}}, nil
}

// appendConn is the connection of the append path with its statements.
type appendConn struct {
	*sqlite3.Conn
	begin, commit, rollback                                              *sqlite3.Stmt
	head, call, session, result                                          *sqlite3.Stmt
	putHead, newHead, putBatch, putPayload, setPayload, putNode, putCall *sqlite3.Stmt
	putSession, putResult, putChange, putBlob                            *sqlite3.Stmt
}

// connect opens the appender's connection and makes sure of its durability.
func (d *sqliteDriver) connect() (*appendConn, error) {
	raw, err := sqlite3.Open(d.dsn)
	if err != nil {
		return nil, err
	}
	c := &appendConn{Conn: raw}
	pragmas := fmt.Sprintf(`PRAGMA journal_mode=WAL; PRAGMA synchronous=%s; PRAGMA fullfsync=ON; PRAGMA checkpoint_fullfsync=ON;
		PRAGMA secure_delete=ON; PRAGMA cache_size=%d; PRAGMA wal_autocheckpoint=%d;`, d.config.synchronous, cachePages, walPagesMax)
	err = errors.Join(raw.BusyTimeout(busyMax), raw.Exec(pragmas))
	if err == nil && d.config.synchronous == "FULL" {
		err = checkDurable(raw)
	}
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return c, nil
}

// synchronousFull is what SQLite calls FULL.
const synchronousFull = 2

// checkDurable reads the settings back: with less than these an acknowledged entry can be lost in a power cut.
func checkDurable(c *sqlite3.Conn) error {
	mode, err := pragma(c, "journal_mode")
	if err != nil {
		return err
	}
	level, err := pragma(c, "synchronous")
	if err != nil {
		return err
	}
	if mode != "wal" || level < fmt.Sprint(synchronousFull) {
		return fmt.Errorf("the database runs with journal_mode=%s and synchronous=%s, under which an acknowledged entry can be lost; "+
			"put --data on a file system that allows WAL and synchronous=FULL", mode, level)
	}
	return nil
}

func pragma(c *sqlite3.Conn, name string) (string, error) {
	stmt, _, err := c.Prepare("PRAGMA " + name)
	if err != nil {
		return "", err
	}
	value := ""
	if stmt.Step() {
		value = stmt.ColumnText(0)
	}
	return value, stmt.Close()
}

func (d *sqliteDriver) migrate() error {
	if err := d.conn.Exec("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"); err != nil {
		return err
	}
	stmt, _, err := d.conn.Prepare("SELECT COALESCE(max(version), 0) FROM schema_version")
	if err != nil {
		return err
	}
	version := 0
	if stmt.Step() {
		version = stmt.ColumnInt(0)
	}
	if err := stmt.Close(); err != nil {
		return err
	}
	steps, err := pending("sqlite", version)
	if err != nil {
		return err
	}
	for _, m := range steps {
		text := fmt.Sprintf("BEGIN IMMEDIATE; %s; INSERT INTO schema_version VALUES (%d); COMMIT;", m.text, m.version)
		if err := d.conn.Exec(text); err != nil {
			return errors.Join(fmt.Errorf("migration %s: %w", m.name, err), d.conn.Exec("ROLLBACK"))
		}
	}
	return d.conn.prepare()
}

// prepare makes the statements of the append path.
func (c *appendConn) prepare() error {
	for _, p := range []struct {
		stmt **sqlite3.Stmt
		text string
	}{
		{&c.begin, "BEGIN IMMEDIATE"}, {&c.commit, "COMMIT"}, {&c.rollback, "ROLLBACK"},
		{&c.head, sqlHead}, {&c.call, sqlCall}, {&c.session, sqlSession}, {&c.result, sqlResult},
		{&c.newHead, "INSERT INTO head (ledger, size, root, edge, epoch, at) VALUES ($1, $2, $3, $4, $5, $6)"},
		{&c.putHead, "UPDATE head SET size = $2, root = $3, edge = $4, epoch = $5, at = $6 WHERE ledger = $1"},
		{&c.putBatch, "INSERT INTO batch (ledger, first, count, at, entries) VALUES ($1, $2, $3, $4, $5)"},
		{&c.putPayload, "INSERT INTO payload (ledger, first, data) VALUES ($1, $2, $3)"},
		{&c.setPayload, "UPDATE payload SET data = $3 WHERE ledger = $1 AND first = $2"},
		{&c.putNode, "INSERT INTO node (ledger, level, idx, hash) VALUES ($1, $2, $3, $4)"},
		{&c.putCall, "INSERT INTO call (ledger, key, idx, input) VALUES ($1, $2, $3, $4) ON CONFLICT DO UPDATE SET idx = excluded.idx, input = excluded.input"},
		{&c.putSession, "INSERT INTO session (ledger, id, version, labels) VALUES ($1, $2, $3, $4) ON CONFLICT DO UPDATE SET version = excluded.version, labels = excluded.labels"},
		{&c.putResult, "INSERT INTO result (ledger, decision, idx) VALUES ($1, $2, $3)"},
		{&c.putChange, "INSERT INTO change (ledger, epoch, idx) VALUES ($1, $2, $3)"},
		{&c.putBlob, "INSERT INTO blob (digest, data) VALUES ($1, $2) ON CONFLICT DO NOTHING"},
	} {
		// $2 is a name to SQLite, numbered where it first appears; ?2 is the second parameter.
		stmt, _, err := c.PrepareFlags(strings.ReplaceAll(p.text, "$", "?"), sqlite3.PREPARE_PERSISTENT)
		if err != nil {
			return fmt.Errorf("prepare %q: %w", p.text, err)
		}
		*p.stmt = stmt
	}
	return nil
}

func (d *sqliteDriver) append(_ context.Context, ledger gov.Environment, want row.Want, erase *row.Payload, fn func(row.Found) (row.Commit, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.reconnect(); err != nil {
		return unavailable("open store", err)
	}
	if err := d.conn.begin.Exec(); err != nil {
		d.drop()
		return unavailable("begin", err)
	}
	wrote, err := d.conn.attempt(ledger, want, erase, fn)
	if err == nil && wrote {
		// A crash before this returns leaves all of it or nothing.
		if err = d.conn.commit.Exec(); err == nil {
			return nil
		}
		err = unavailable("commit", err)
	}
	if !d.conn.GetAutocommit() {
		if back := d.conn.rollback.Exec(); back != nil {
			d.drop()
		}
	}
	return err
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
func (c *appendConn) attempt(ledger gov.Environment, want row.Want, erase *row.Payload, fn func(row.Found) (row.Commit, error)) (wrote bool, err error) {
	found, exists, err := c.find(ledger, want)
	if err != nil {
		return false, unavailable("read under lock", err)
	}
	commit, err := fn(found)
	if err != nil || commit.Batch.Count == 0 {
		return false, err
	}
	if err := c.put(commit, exists); err != nil {
		return false, unavailable("write", err)
	}
	if erase != nil {
		err = c.exec(c.setPayload, string(ledger), erase.First, erase.Data)
	}
	return true, unavailable("erase", err)
}

func (c *appendConn) find(ledger gov.Environment, want row.Want) (found row.Found, exists bool, err error) {
	name := string(ledger)
	found.Head.Ledger = ledger
	exists, err = c.row(c.head, func(s *sqlite3.Stmt) (err error) {
		found.Head, err = headOf(ledger, s.ColumnInt64(0), s.ColumnRawBlob(1), s.ColumnRawBlob(2), s.ColumnInt64(3), s.ColumnInt64(4))
		return err
	}, name)
	for i := 0; err == nil && i < len(want.Calls); i++ {
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
			found.Sessions = append(found.Sessions, row.Session{ID: want.Sessions[i], Version: s.ColumnInt64(0), Labels: labels})
			return err
		}, name, string(want.Sessions[i]))
	}
	for i := 0; err == nil && i < len(want.Results); i++ {
		_, err = c.row(c.result, func(s *sqlite3.Stmt) error {
			found.Results = append(found.Results, row.Result{Decision: want.Results[i], Index: s.ColumnInt64(0)})
			return nil
		}, name, want.Results[i])
	}
	return found, exists, err
}

// put writes a commit.
func (c *appendConn) put(m row.Commit, exists bool) error {
	name, b := string(m.Batch.Ledger), m.Batch
	err := c.exec(c.putBatch, name, b.First, int64(b.Count), micros(b.At), b.Entries)
	if err == nil && len(m.Payload.Data) > 0 {
		err = c.exec(c.putPayload, name, m.Payload.First, m.Payload.Data)
	}
	for i := 0; err == nil && i < len(m.Nodes); i++ {
		err = c.exec(c.putNode, name, int64(m.Nodes[i].Level), m.Nodes[i].Index, m.Nodes[i].Hash[:])
	}
	for i := 0; err == nil && i < len(m.Calls); i++ {
		err = c.exec(c.putCall, name, m.Calls[i].Key[:], m.Calls[i].Index, m.Calls[i].Input[:])
	}
	for i := 0; err == nil && i < len(m.Sessions); i++ {
		err = c.exec(c.putSession, name, string(m.Sessions[i].ID), m.Sessions[i].Version, packLabels(m.Sessions[i].Labels))
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

func (d *sqliteDriver) write(ctx context.Context, fn func(*sql.Tx) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	tx, err := d.other.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (d *sqliteDriver) tryLock(_ context.Context, name string) (func(), bool, error) {
	if _, taken := d.jobs.LoadOrStore(name, true); taken {
		return nil, false, nil
	}
	return func() { d.jobs.Delete(name) }, true, nil
}

func (d *sqliteDriver) exclusive() bool { return true }

// maintain writes the log back to the database beside the appends, and starts the log anew when it is long.
func (d *sqliteDriver) maintain(ctx context.Context) {
	conn, err := sqlite3.Open(d.dsn)
	if err != nil {
		return // the appender's own checkpoints do it
	}
	ticker := time.NewTicker(maintainEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
			d.checkpoint(conn)
		}
	}
	_ = conn.Close() // it wrote nothing of its own
}

// walPagesLong is when the log is started anew, which waits for the appender.
const walPagesLong = 4_000

func (d *sqliteDriver) checkpoint(conn *sqlite3.Conn) {
	pages, _, err := conn.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
	if err != nil || pages < walPagesLong {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// When a reader is in the way it fails, and is tried again soon.
	_, _, _ = conn.WALCheckpoint("main", sqlite3.CHECKPOINT_RESTART)
}

// scrubErased empties the log, so that overwritten bytes are in no file: the database itself zeroes what it frees.
func (d *sqliteDriver) scrubErased(ctx context.Context) error {
	for {
		d.mu.Lock()
		err := d.reconnect()
		if err == nil {
			_, _, err = d.conn.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
		}
		d.mu.Unlock()
		if err == nil || !errors.Is(err, sqlite3.BUSY) || ctx.Err() != nil {
			return unavailable("erase from the log", err)
		}
	}
}

func (d *sqliteDriver) close() error {
	var err error
	if d.other != nil {
		err = d.other.Close()
	}
	if d.conn != nil {
		err = errors.Join(err, d.conn.finish())
	}
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}

// readOnly is the driver of a store that is only read.
type readOnly struct{}

var errReadOnly = errors.New("the store was opened for reading")

func (readOnly) append(context.Context, gov.Environment, row.Want, *row.Payload, func(row.Found) (row.Commit, error)) error {
	return errReadOnly
}
func (readOnly) write(context.Context, func(*sql.Tx) error) error { return errReadOnly }
func (readOnly) tryLock(context.Context, string) (func(), bool, error) {
	return nil, false, errReadOnly
}
func (readOnly) exclusive() bool                   { return false }
func (readOnly) maintain(context.Context)          {}
func (readOnly) scrubErased(context.Context) error { return errReadOnly }
func (readOnly) close() error                      { return nil }
