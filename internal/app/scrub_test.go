package app_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/writ-dev/writ/internal/app"
)

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) holds(s string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.text.String(), s)
}

// insider has all rights on the database, uses none of Writ's code, and replaces one byte of each entry of prod that holds it.
type insider struct {
	driver, url string
	setup       []string
	replace     string // with two texts in hexadecimal
}

func (i insider) change(t *testing.T, from, to string) {
	t.Helper()
	db, err := sql.Open(i.driver, i.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	db.SetMaxOpenConns(1) // what setup sets is of the connection
	for _, text := range i.setup {
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	result, err := db.Exec(fmt.Sprintf(i.replace, fmt.Sprintf("%x", from), fmt.Sprintf("%x", to)))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%d rows were changed: %v", n, err)
	}
}

// TestTheScrubberFindsAChangedByte, says so where an operator looks, and is content again when the byte is back.
func TestTheScrubberFindsAChangedByte(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		scrubbed(t, app.Config{Data: dir}, insider{
			"sqlite3", "file:" + filepath.Join(dir, "writ.db") + "?_pragma=busy_timeout(10000)",
			[]string{"DROP TRIGGER IF EXISTS batch_fixed"},
			"UPDATE batch SET entries = unhex(replace(hex(entries), upper('%[1]s'), upper('%[2]s'))) WHERE ledger = 'prod' AND instr(hex(entries), upper('%[1]s')) > 0",
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		url, super := databases.PostgresWithSuper(t)
		scrubbed(t, app.Config{Database: url, KeyFile: filepath.Join(t.TempDir(), "writ.key")}, insider{
			"pgx", super,
			[]string{"SET session_replication_role = replica"},
			"UPDATE batch SET entries = decode(replace(encode(entries, 'hex'), '%[1]s', '%[2]s'), 'hex') WHERE ledger = 'prod' AND strpos(encode(entries, 'hex'), '%[1]s') > 0",
		})
	})
}

func scrubbed(t *testing.T, c app.Config, i insider) {
	var log journal
	c.Scrub, c.Log = 50*time.Millisecond, slog.New(slog.NewTextHandler(&log, nil))
	n := start(t, c)
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	d := n.post("/v1/decisions", key, fmt.Sprintf(readTicket, "")).decode(t)
	index := int64(d["receipt"].(map[string]any)["index"].(float64))
	covered := func() bool {
		for _, e := range entries(n, n.admin, "prod", "scrub") {
			if int64(e["body"].(map[string]any)["size"].(float64)) > index {
				return true
			}
		}
		return false
	}
	eventually(t, "a scrub of the decision", covered)
	if e := n.get("/readyz", ""); e.status != http.StatusOK || log.holds("does not verify") {
		t.Fatalf("untouched: %d %s", e.status, e.body)
	}
	i.change(t, "zendesk/read_ticket", "zendesk/read_tickeT")
	var e exchange
	eventually(t, "not ready", func() bool { e = n.get("/readyz", ""); return e.status != http.StatusOK })
	if e.status != http.StatusServiceUnavailable || !strings.Contains(fmt.Sprint(e.decode(t)["detail"]), "ledger prod does not verify: ") {
		t.Errorf("readyz: %d %s", e.status, e.body)
	}
	if !log.holds("the ledger does not verify") {
		t.Error("the log does not say so")
	}
	if e := n.get("/healthz", ""); e.status != http.StatusOK {
		t.Errorf("healthz: %d; to start it again would help nobody", e.status)
	}
	// The other ledger goes on being recorded as scrubbed, this one does not: its scrubs come one after the other.
	count := func(ledger string) (agreed int) {
		for _, e := range entries(n, n.admin, ledger, "scrub") {
			if e["body"].(map[string]any)["wrong"] == nil {
				agreed++
			}
		}
		return agreed
	}
	eventually(t, "an incident", func() bool { return len(n.incidents("&detector=verification_failed")) == 1 })
	changed, other := count("prod"), count("org")
	eventually(t, "more scrubs of the other ledger", func() bool { return count("org") > other+3 })
	if now := count("prod"); now != changed {
		t.Errorf("a changed ledger was recorded as scrubbed %d times", now-changed)
	}
	i.change(t, "zendesk/read_tickeT", "zendesk/read_ticket")
	eventually(t, "ready again", func() bool { return n.get("/readyz", "").status == http.StatusOK })
}

// TestARestartRecordsHowLongNobodyRecorded, in every ledger, before it answers.
func TestARestartRecordsHowLongNobodyRecorded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := start(t, app.Config{Data: dir})
	n.acme()
	admin := n.admin
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	const away = time.Hour
	late := func() time.Time { return time.Now().Add(away) }
	again := start(t, app.Config{Data: dir, Now: late, Heartbeat: 200 * time.Millisecond})
	for _, ledger := range []string{"prod", "org"} {
		gaps := entries(again, admin, ledger, "recorder_gap")
		if len(gaps) != 1 {
			t.Fatalf("%s has %d gaps", ledger, len(gaps))
		}
		body := gaps[0]["body"].(map[string]any)
		from, err := time.Parse(time.RFC3339Nano, body["from"].(string))
		if err != nil {
			t.Fatal(err)
		}
		to, err := time.Parse(time.RFC3339Nano, body["to"].(string))
		if err != nil || to.Sub(from) < away || to.Sub(from) > away+time.Minute {
			t.Errorf("%s: a gap from %s to %s, %v", ledger, from, to, err)
		}
		eventually(t, "a heartbeat of "+ledger, func() bool { return len(entries(again, admin, ledger, "heartbeat")) > 0 })
	}
	if e := again.get("/v1/me", admin); e.status != http.StatusOK {
		t.Errorf("the administrator's token after the restart: %d", e.status)
	}
}
