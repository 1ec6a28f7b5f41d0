package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"
	sqldriver "github.com/ncruces/go-sqlite3/driver"
)

const (
	sqliteFile     = "writ.db"
	sqliteLock     = "writ.lock"
	readersMax     = 8
	cachePages     = -16_000 // KiB for the writer
	readCachePages = -4_000  // KiB for each reader
	pageBytes      = 8 << 10 // of a new database: half the writes of SQLite's 4 KiB for the same entries
	walPagesMax    = 8_000   // beyond which the log is written back at once
	maintainEvery  = 250 * time.Millisecond
	busyMax        = 5 * time.Second
	holderBytesMax = 64                     // of what the lock file says
	scrubTries     = 100                    // to empty the log while readers are in the way
	scrubPause     = 100 * time.Millisecond // between them
	scrubBusyMax   = 20 * time.Millisecond  // for which one try may hold up the appends
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

	mu     sync.Mutex // of everything that writes
	conn   *appendConn
	toWipe bool // the log may hold erased bytes
	jobs   sync.Map
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

// lockDir keeps other processes out. The file names the process that holds it; the lock ends with that process.
func lockDir(dir string) (*os.File, error) {
	name := filepath.Join(dir, sqliteLock)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder := make([]byte, holderBytesMax)
		n, _ := f.ReadAt(holder, 0) // only to say who it is
		return nil, errors.Join(fmt.Errorf("another writ serves %s: stop %s first, or give this one its own --data (lock %s)",
			dir, cmp.Or(strings.TrimSpace(string(holder[:n])), "it"), name), f.Close())
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintf(f, "process %d\n", os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w; put --data on a file system that can lock files", name, err), f.Close())
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
		// Without this SQLite makes the plan of a prepared statement anew for every value.
		_, err := c.Config(sqlite3.DBCONFIG_ENABLE_QPSG, true)
		return errors.Join(err, c.BusyTimeout(busyMax), c.Exec(pragmas))
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
	// A crash may have left erased bytes in the log. If readers are in the way now, maintain does it.
	_, _, wiped := conn.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
	d.toWipe = wiped != nil
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
	return &Store{read: newReader(read, true), driver: d}, read.PingContext(ctx)
}

// OpenSQLiteReadOnly opens the store in a directory for reading, beside a server that may be running.
func OpenSQLiteReadOnly(ctx context.Context, dir string) (*Store, error) {
	if _, err := os.Stat(filepath.Join(dir, sqliteFile)); err != nil {
		return nil, fmt.Errorf("no store in %s: %w", dir, err)
	}
	read, err := sqldriver.Open(sqliteDSN(dir, sqliteConfig{}, "&mode=ro"), setUp(fmt.Sprintf("PRAGMA query_only=ON; PRAGMA cache_size=%d;", readCachePages)))
	if err != nil {
		return nil, fmt.Errorf("open store in %s: %w", dir, err)
	}
	read.SetMaxOpenConns(readersMax)
	version := 0
	err = read.QueryRowContext(ctx, sqlVersion).Scan(&version)
	if err == nil {
		err = checkVersion("sqlite", version)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store in %s: %w", dir, err), read.Close())
	}
	return &Store{read: newReader(read, true), driver: readOnly{}}, nil
}

// connect opens the appender's connection and makes sure of its durability.
func (d *sqliteDriver) connect() (*appendConn, error) {
	raw, err := sqlite3.Open(d.dsn)
	if err != nil {
		return nil, err
	}
	c := &appendConn{Conn: raw}
	pragmas := fmt.Sprintf(`PRAGMA page_size=%d; PRAGMA journal_mode=WAL; PRAGMA synchronous=%s; PRAGMA fullfsync=ON; PRAGMA checkpoint_fullfsync=ON;
		PRAGMA secure_delete=ON; PRAGMA cache_size=%d; PRAGMA wal_autocheckpoint=%d;`, pageBytes, d.config.synchronous, cachePages, walPagesMax)
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
	stmt, _, err := d.conn.Prepare(sqlVersion)
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
			return fmt.Errorf("migration %s: %w", m.name, err) // closing the connection rolls it back
		}
	}
	return d.conn.prepare()
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
	conn, err := d.openForCheckpoints()
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

// openForCheckpoints opens a connection that has read the database once: before that it does not know of the log, and its
// checkpoints do nothing and say nothing.
func (d *sqliteDriver) openForCheckpoints() (*sqlite3.Conn, error) {
	conn, err := sqlite3.Open(d.dsn)
	if err != nil {
		return nil, err
	}
	if err := conn.Exec(sqlVersion); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// walPagesLong is when the log is started anew, which waits for the appender.
const walPagesLong = 2_000

func (d *sqliteDriver) checkpoint(conn *sqlite3.Conn) {
	pages, _, err := conn.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
	d.mu.Lock()
	defer d.mu.Unlock()
	// This connection does not wait: when a reader is in the way it fails, and is tried again soon.
	switch {
	case d.toWipe:
		_, _, err = conn.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
		d.toWipe = err != nil
	case err == nil && pages >= walPagesLong:
		_, _, _ = conn.WALCheckpoint("main", sqlite3.CHECKPOINT_RESTART)
	}
}

// scrubErased empties the log, so that overwritten bytes are in no file: the database itself zeroes what it frees. A crash
// right here, or readers that never end, leave it to the next start or to maintain.
func (d *sqliteDriver) scrubErased(ctx context.Context) error {
	conn, err := d.openForCheckpoints()
	if err != nil {
		return unavailable("erase from the log", err)
	}
	err = conn.BusyTimeout(scrubBusyMax)
	if err == nil {
		err = d.wipeLogSoon(ctx, conn)
	}
	return unavailable("erase from the log", errors.Join(err, conn.Close()))
}

// wipeLogSoon tries until no reader is in the way. Between its tries the appends go on.
func (d *sqliteDriver) wipeLogSoon(ctx context.Context, conn *sqlite3.Conn) error {
	ticker := time.NewTicker(scrubPause)
	defer ticker.Stop()
	err := d.wipeLog(conn)
	for try := 1; errors.Is(err, sqlite3.BUSY) && try < scrubTries; try++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			err = d.wipeLog(conn)
		}
	}
	return err
}

func (d *sqliteDriver) wipeLog(conn *sqlite3.Conn) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _, err := conn.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
	d.toWipe = err != nil
	return err
}

func (d *sqliteDriver) close() error {
	var err error
	if d.other != nil {
		err = d.other.Close()
	}
	if d.conn != nil {
		err = errors.Join(err, d.conn.finish())
		d.conn = nil
	}
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}
