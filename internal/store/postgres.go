package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

const (
	writersMax     = 8                // connections of the append path: one per ledger that is busy
	appendMax      = 15 * time.Second // of one append, its wait for the head included
	connectMax     = 5 * time.Second
	rollbackMax    = 2 * time.Second
	migrationsLock = 0x77726974 // "writ": the advisory lock of migrations
)

// writerSettings are those of every connection that writes. A node that hangs or is cut off while it holds a head would stop
// the whole cluster: the server takes the head from it.
func writerSettings() map[string]string {
	return map[string]string{
		"synchronous_commit":                  "on",
		"lock_timeout":                        "10s",
		"idle_in_transaction_session_timeout": "10s",
		"tcp_keepalives_idle":                 "10",
		"tcp_keepalives_interval":             "5",
		"tcp_keepalives_count":                "3",
	}
}

// readerSettings are those of every connection that reads. Generic plans are bad for a window of time: measured, 28 ms
// against 1.
func readerSettings() map[string]string {
	return map[string]string{"plan_cache_mode": "force_custom_plan", "default_transaction_read_only": "on"}
}

// postgresDriver is one node's hold on a cluster's database.
type postgresDriver struct {
	writers *pgxpool.Pool
	readers *pgxpool.Pool
	other   *sql.DB
}

// OpenPostgres opens a database as one node of a cluster. It refuses a server whose settings can lose what was committed.
func OpenPostgres(ctx context.Context, url string) (*Store, error) {
	writers, err := pool(ctx, url, writersMax, writerSettings(), checkServer)
	if err != nil {
		return nil, err
	}
	d := &postgresDriver{writers: writers, other: stdlib.OpenDBFromPool(writers)}
	err = migratePostgres(ctx, writers)
	if err == nil {
		d.readers, err = pool(ctx, url, readersMax, readerSettings(), nil)
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return &Store{read: newReader(stdlib.OpenDBFromPool(d.readers), false), driver: d}, nil
}

// OpenPostgresReadOnly opens a database for reading.
func OpenPostgresReadOnly(ctx context.Context, url string) (*Store, error) {
	readers, err := pool(ctx, url, readersMax, readerSettings(), nil)
	if err != nil {
		return nil, err
	}
	version := 0
	err = readers.QueryRow(ctx, sqlVersion).Scan(&version)
	if err == nil {
		err = checkVersion("postgres", version)
	}
	if err != nil {
		readers.Close()
		return nil, fmt.Errorf("open the ledger's database: %w", err)
	}
	return &Store{read: newReader(stdlib.OpenDBFromPool(readers), false), driver: readOnlyPool{readers: readers}}, nil
}

// readOnlyPool closes its pool with the store.
type readOnlyPool struct {
	readOnly
	readers *pgxpool.Pool
}

func (p readOnlyPool) close() error {
	p.readers.Close()
	return nil
}

// pool opens a pool each of whose connections has the settings and passed the check, after a failover to another server too.
func pool(ctx context.Context, url string, connsMax int32, settings map[string]string, checkConn func(context.Context, *pgx.Conn) error) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the database's address is not like postgres://user@host/name") // it may hold a password
	}
	config.MaxConns = connsMax
	config.ConnConfig.ConnectTimeout = connectMax
	config.AfterConnect = checkConn
	for name, value := range settings {
		config.ConnConfig.RuntimeParams[name] = value
	}
	p, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if err := p.Ping(ctx); err != nil {
		p.Close()
		return nil, fmt.Errorf("open the ledger's database: %w", err)
	}
	return p, nil
}

// checkServer refuses settings under which a committed entry can be lost.
func checkServer(ctx context.Context, conn *pgx.Conn) error {
	for _, want := range []struct{ name, value, remedy string }{
		{"fsync", "on", "set fsync = on in postgresql.conf and reload"},
		{"full_page_writes", "on", "set full_page_writes = on in postgresql.conf and reload"},
		{"synchronous_commit", "on", "connect without a proxy that drops the settings of a session"},
	} {
		var value string
		if err := conn.QueryRow(ctx, "SELECT current_setting($1)", want.name).Scan(&value); err != nil {
			return fmt.Errorf("read the setting %s: %w", want.name, err)
		}
		if value != want.value {
			return fmt.Errorf("the database runs with %s = %s, under which a committed entry can be lost; %s", want.name, value, want.remedy)
		}
	}
	return nil
}

func migratePostgres(ctx context.Context, p *pgxpool.Pool) error {
	return pgx.BeginFunc(ctx, p, func(tx pgx.Tx) error {
		// Nodes that start together wait for the first one.
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationsLock)); err != nil {
			return fmt.Errorf("migrations: %w", err)
		}
		version, err := versionPostgres(ctx, tx)
		if err != nil {
			return fmt.Errorf("migrations: %w", err)
		}
		steps, err := pending("postgres", version)
		if err != nil {
			return err
		}
		for _, m := range steps {
			if _, err := tx.Exec(ctx, m.text); err != nil {
				return fmt.Errorf("migration %s: %w", m.name, err)
			}
			if _, err := tx.Exec(ctx, "INSERT INTO schema_version VALUES ($1)", m.version); err != nil {
				return fmt.Errorf("migration %s: %w", m.name, err)
			}
		}
		return nil
	})
}

// versionPostgres is the schema's. A role that may not create tables can use a schema that is there.
func versionPostgres(ctx context.Context, tx pgx.Tx) (version int, err error) {
	there := false
	if err := tx.QueryRow(ctx, "SELECT to_regclass('schema_version') IS NOT NULL").Scan(&there); err != nil {
		return 0, err
	}
	if !there {
		_, err := tx.Exec(ctx, "CREATE TABLE schema_version (version bigint NOT NULL)")
		return 0, err
	}
	err = tx.QueryRow(ctx, sqlVersion).Scan(&version)
	return version, err
}

func (d *postgresDriver) append(ctx context.Context, ledger gov.Environment, want row.Want, erase *row.Payload, fn func(row.Found) (row.Commit, error)) error {
	ctx, done := context.WithTimeout(ctx, appendMax) // a server that is cut off says nothing
	defer done()
	conn, err := d.writers.Acquire(ctx)
	if err != nil {
		return unavailable("connect", err)
	}
	defer conn.Release()
	wrote, err := attemptPostgres(ctx, conn.Conn(), ledger, want, erase, fn)
	if err == nil && wrote {
		return nil
	}
	// Nothing stands, unless the connection broke while it committed. Then nobody knows: the caller gets an error, and
	// whoever asks again with the same call id gets what stands.
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackMax)
	defer cancel()
	if _, failed := conn.Exec(back, "ROLLBACK"); failed != nil {
		_ = conn.Conn().Close(back) // the pool drops it
	}
	return err
}

// attemptPostgres does an append in two round trips: begin, lock and look; write and commit.
func attemptPostgres(ctx context.Context, conn *pgx.Conn, ledger gov.Environment, want row.Want, erase *row.Payload, fn func(row.Found) (row.Commit, error)) (wrote bool, err error) {
	found, err := lockAndFind(ctx, conn, ledger, want)
	if err != nil {
		return false, unavailable("read under lock", err)
	}
	commit, err := fn(found)
	if err == nil && erase != nil && commit.Batch.Count == 0 {
		err = errNoEntry
	}
	if err != nil || commit.Batch.Count == 0 {
		return false, err
	}
	if erase != nil {
		if err := erasePostgres(ctx, conn, erase); err != nil {
			return false, err
		}
	}
	var b pgx.Batch
	queueCommit(&b, commit)
	b.Queue("COMMIT")
	return true, unavailable("write", conn.SendBatch(ctx, &b).Close())
}

func erasePostgres(ctx context.Context, conn *pgx.Conn, p *row.Payload) error {
	done, err := conn.Exec(ctx, "UPDATE payload SET data = $3 WHERE ledger = $1 AND first = $2", string(p.Ledger), p.First, p.Data)
	if err == nil && done.RowsAffected() == 0 {
		err = errNoPayload(p)
	}
	return unavailable("erase", err)
}

const (
	pgLockHead = sqlHead + " FOR UPDATE"
	pgCalls    = "SELECT key, idx, input FROM call WHERE ledger = $1 AND key = ANY($2::bytea[])"
	pgSessions = "SELECT id, version, labels, marks FROM session WHERE ledger = $1 AND id = ANY($2::text[])"
	pgResults  = "SELECT decision, idx FROM result WHERE ledger = $1 AND decision = ANY($2::bigint[])"
	// A ledger without a head gets one of no entries, which the first commit fills: so that there is something to lock.
	pgNewHead = "INSERT INTO head (ledger, size, root, edge, epoch, at) VALUES ($1, 0, decode(repeat('00', 32), 'hex'), '', 0, 0) ON CONFLICT DO NOTHING"
)

// lockAndFind begins a transaction, locks the head and reads what is wanted. Under READ COMMITTED each statement sees what
// was committed before the lock was had, whatever the server's default.
func lockAndFind(ctx context.Context, conn *pgx.Conn, ledger gov.Environment, want row.Want) (found row.Found, err error) {
	var begin, again pgx.Batch
	begin.Queue("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
	exists := false
	queueFind(&begin, ledger, want, &found, &exists)
	if err := conn.SendBatch(ctx, &begin).Close(); err != nil || exists {
		return found, err
	}
	if _, err := conn.Exec(ctx, pgNewHead, string(ledger)); err != nil {
		return found, err
	}
	found = row.Found{}
	queueFind(&again, ledger, want, &found, &exists)
	return found, conn.SendBatch(ctx, &again).Close()
}

func scanHead(r pgx.Row, ledger gov.Environment, into *row.Head) (exists bool, err error) {
	var size, epoch, at int64
	var root, edge []byte
	err = r.Scan(&size, &root, &edge, &epoch, &at)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if size == 0 { // made a moment ago, to be locked
		*into = row.Head{Ledger: ledger}
		return true, nil
	}
	*into, err = headOf(ledger, size, root, edge, epoch, at)
	return true, err
}

func queueFind(b *pgx.Batch, ledger gov.Environment, want row.Want, found *row.Found, exists *bool) {
	b.Queue(pgLockHead, string(ledger)).QueryRow(func(r pgx.Row) (err error) {
		*exists, err = scanHead(r, ledger, &found.Head)
		return err
	})
	queueCallsWanted(b, ledger, want.Calls, found)
	queueSessionsWanted(b, ledger, want.Sessions, found)
	queueResultsWanted(b, ledger, want.Results, found)
	for _, key := range want.Docs {
		b.Queue(sqlDoc, string(ledger), key.Kind, key.ID).Query(func(rows pgx.Rows) error {
			docs, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (row.Doc, error) { return scanDoc(r.Scan) })
			found.Docs = append(found.Docs, docs...)
			return err
		})
	}
}

func queueCallsWanted(b *pgx.Batch, ledger gov.Environment, want []row.CallKey, found *row.Found) {
	if len(want) == 0 {
		return
	}
	keys := make([][]byte, len(want))
	for i := range want {
		keys[i] = want[i][:]
	}
	b.Queue(pgCalls, string(ledger), keys).Query(func(rows pgx.Rows) error {
		var key, input []byte
		var c row.Call
		_, err := pgx.ForEachRow(rows, []any{&key, &c.Index, &input}, func() error {
			c.Key, c.Input = row.CallKey(key), [16]byte(input)
			found.Calls = append(found.Calls, c)
			return nil
		})
		return err
	})
}

func queueSessionsWanted(b *pgx.Batch, ledger gov.Environment, want []gov.SessionID, found *row.Found) {
	if len(want) == 0 {
		return
	}
	ids := make([]string, len(want))
	for i := range want {
		ids[i] = string(want[i])
	}
	b.Queue(pgSessions, string(ledger), ids).Query(func(rows pgx.Rows) error {
		var id, labels string
		var version int64
		var marks []byte
		_, err := pgx.ForEachRow(rows, []any{&id, &version, &labels, &marks}, func() error {
			unpacked, err := unpackLabels(labels)
			found.Sessions = append(found.Sessions, row.Session{ID: gov.SessionID(id), Version: version, Labels: unpacked, Marks: bytes.Clone(marks)})
			return err
		})
		return err
	})
}

func queueResultsWanted(b *pgx.Batch, ledger gov.Environment, want []int64, found *row.Found) {
	if len(want) == 0 {
		return
	}
	b.Queue(pgResults, string(ledger), want).Query(func(rows pgx.Rows) error {
		var r row.Result
		_, err := pgx.ForEachRow(rows, []any{&r.Decision, &r.Index}, func() error {
			found.Results = append(found.Results, r)
			return nil
		})
		return err
	})
}

// queueCommit queues the writes of a commit, each noun in one statement.
func queueCommit(b *pgx.Batch, m row.Commit) {
	name := string(m.Batch.Ledger)
	b.Queue("INSERT INTO batch (ledger, first, count, at, entries) VALUES ($1, $2, $3, $4, $5)",
		name, m.Batch.First, m.Batch.Count, micros(m.Batch.At), m.Batch.Entries)
	if len(m.Payload.Data) > 0 {
		b.Queue("INSERT INTO payload (ledger, first, data) VALUES ($1, $2, $3)", name, m.Payload.First, m.Payload.Data)
	}
	queueNodes(b, name, m.Nodes)
	queueCalls(b, name, m.Calls)
	queueSessions(b, name, m.Sessions)
	for _, c := range m.Changes {
		b.Queue("INSERT INTO change (ledger, epoch, idx) VALUES ($1, $2, $3)", name, c.Epoch, c.Index)
	}
	for _, blob := range m.Blobs {
		b.Queue("INSERT INTO blob (digest, data) VALUES ($1, $2) ON CONFLICT DO NOTHING", blob.Digest, blob.Data)
	}
	queueResults(b, name, m.Results)
	for _, d := range m.Docs {
		b.Queue(sqlPutDoc, name, d.Kind, d.ID, d.Version, d.Opened, d.State, dueMicros(d.Due), d.Data)
	}
	b.Queue("UPDATE head SET size = $2, root = $3, edge = $4, epoch = $5, at = $6 WHERE ledger = $1",
		name, m.Head.Size, m.Head.Root[:], packEdge(m.Head.Edge), m.Head.Epoch, micros(m.Head.At))
}

func queueNodes(b *pgx.Batch, name string, nodes []row.Node) {
	for _, n := range nodes { // one for 256 entries
		b.Queue("INSERT INTO node (ledger, level, idx, hash) VALUES ($1, $2, $3, $4)", name, n.Level, n.Index, n.Hash[:])
	}
}

func queueSessions(b *pgx.Batch, name string, sessions []row.Session) {
	if len(sessions) == 0 {
		return
	}
	sessions = lastOf(sessions, func(s row.Session) gov.SessionID { return s.ID })
	ids, versions, labels, marks := make([]string, len(sessions)), make([]int64, len(sessions)), make([]string, len(sessions)), make([][]byte, len(sessions))
	for i, s := range sessions {
		ids[i], versions[i], labels[i], marks[i] = string(s.ID), s.Version, packLabels(s.Labels), s.Marks
	}
	b.Queue("INSERT INTO session (ledger, id, version, labels, marks) SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::text[], $5::bytea[]) "+
		"ON CONFLICT (ledger, id) DO UPDATE SET version = excluded.version, labels = excluded.labels, marks = excluded.marks", name, ids, versions, labels, marks)
}

func queueCalls(b *pgx.Batch, name string, calls []row.Call) {
	if len(calls) == 0 {
		return
	}
	calls = lastOf(calls, func(c row.Call) row.CallKey { return c.Key })
	keys, inputs, indexes := make([][]byte, len(calls)), make([][]byte, len(calls)), make([]int64, len(calls))
	for i := range calls {
		keys[i], inputs[i], indexes[i] = calls[i].Key[:], calls[i].Input[:], calls[i].Index
	}
	b.Queue("INSERT INTO call (ledger, key, idx, input) SELECT $1, * FROM unnest($2::bytea[], $3::bigint[], $4::bytea[]) "+
		"ON CONFLICT (ledger, key) DO UPDATE SET idx = excluded.idx, input = excluded.input", name, keys, indexes, inputs)
}

func queueResults(b *pgx.Batch, name string, results []row.Result) {
	if len(results) == 0 {
		return
	}
	decisions, indexes := make([]int64, len(results)), make([]int64, len(results))
	for i := range results {
		decisions[i], indexes[i] = results[i].Decision, results[i].Index
	}
	b.Queue("INSERT INTO result (ledger, decision, idx) SELECT $1, * FROM unnest($2::bigint[], $3::bigint[])", name, decisions, indexes)
}

func (d *postgresDriver) write(ctx context.Context, fn func(*sql.Tx) error) error {
	ctx, done := context.WithTimeout(ctx, appendMax)
	defer done()
	tx, err := d.other.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// tryLock takes a session's advisory lock on a connection of its own, so that it ends with the node that holds it.
func (d *postgresDriver) tryLock(ctx context.Context, name string) (func(), bool, error) {
	conn, err := pgx.ConnectConfig(ctx, d.writers.Config().ConnConfig)
	if err != nil {
		return nil, false, unavailable("lock", err)
	}
	closing := func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackMax)
		defer cancel()
		// The server lets go of the lock in any case once it sees the connection closed; asked, it has done so at once.
		_, _ = conn.Exec(end, "SELECT pg_advisory_unlock_all()")
		_ = conn.Close(end)
	}
	var ok bool
	err = conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtextextended('writ ' || current_database() || ' ' || $1, 0))", name).Scan(&ok)
	if err != nil || !ok {
		closing()
		return nil, false, unavailable("lock", err)
	}
	return closing, true, nil
}

func (d *postgresDriver) exclusive() bool { return false }

// maintain has nothing to do: the server vacuums itself.
func (d *postgresDriver) maintain(ctx context.Context) { <-ctx.Done() }

// scrubErased leaves old row versions to the server's vacuum.
func (d *postgresDriver) scrubErased(context.Context) error { return nil }

func (d *postgresDriver) close() error {
	var err error
	if d.other != nil {
		err = d.other.Close()
	}
	if d.readers != nil {
		d.readers.Close()
	}
	d.writers.Close()
	return err
}
