package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/writ-dev/writ/internal/app"
	writ "github.com/writ-dev/writ/sdk/go"
)

// record makes a data directory with decisions, one of them by a principal whose name is in a payload. It gives a
// checkpoint that was signed half-way.
func record(t *testing.T) (dir string, checkpoint []byte) {
	t.Helper()
	dir = t.TempDir()
	a, err := app.New(t.Context(), app.Config{Data: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	token, err := a.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := remote{URL: a.URL(), AdminToken: token}
	quiet := std{nil, new(bytes.Buffer), new(bytes.Buffer)}
	if err := activateAcme(t.Context(), quiet, r); err != nil {
		t.Fatal(err)
	}
	client, err := principalClient(t.Context(), r, "finance-bot", "user:tom")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(n int) {
		for i := range n {
			if _, err := client.Decide(t.Context(), writ.Call{Agent: "finance-bot", Tool: "erp/read_invoice", Input: in{"invoice": fmt.Sprint("INV-", i)}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := settled(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	ask(300)
	checkpoint, err = r.ask(t.Context(), token, http.MethodGet, "/ledger/prod/checkpoint", url.Values{}, "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ask(300)
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	return dir, checkpoint
}

// execute runs a command of writ in this process.
func execute(t *testing.T, args ...string) (status int, out string) {
	t.Helper()
	var buf bytes.Buffer
	status = run(context.Background(), args, std{strings.NewReader(""), &buf, &buf})
	return status, buf.String()
}

// change changes the database as somebody with all its rights would: the triggers go first.
func change(t *testing.T, dir string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(dir, "writ.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	rows, err := db.Query("SELECT name FROM sqlite_master WHERE type = 'trigger'")
	if err != nil {
		t.Fatal(err)
	}
	var triggers []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		triggers = append(triggers, "DROP TRIGGER "+name)
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	for _, text := range append(triggers, statements...) {
		result, err := db.Exec(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if n, err := result.RowsAffected(); !strings.HasPrefix(text, "DROP") && (err != nil || n == 0) {
			t.Fatalf("%s changed nothing", text)
		}
	}
}

// copyDir gives every case a directory of its own.
func copyDir(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(to, "writ.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestVerifyNamesWhatWasTamperedWith(t *testing.T) {
	t.Parallel()
	dir, checkpoint := record(t)
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.WriteFile(kept, checkpoint, 0o600); err != nil {
		t.Fatal(err)
	}
	if status, out := execute(t, "verify", "--data", dir, "-l", "prod", "--checkpoint", kept); status != 0 || !strings.Contains(out, "nothing is wrong") {
		t.Fatalf("untouched: %d %s", status, out)
	}
	if status, out := execute(t, "replay", "--data", dir); status != 0 || !strings.Contains(out, "600 decisions judged again: 600 the same, 0 different") {
		t.Fatalf("untouched: %d %s", status, out)
	}
	// Also where only one ledger is replayed, what people did in it is held against the organization's.
	if status, out := execute(t, "replay", "--data", dir, "-l", "prod"); status != 0 || !strings.Contains(out, "; 2 of 2 acts of people and administrators held against sign-ins and credentials") || strings.Contains(out, "ledger org") {
		t.Fatalf("one ledger: %d %s", status, out)
	}
	if status, out := execute(t, "replay", "--data", dir, "--json"); status != 0 || !strings.Contains(out, `"acts_held": 2`) || !strings.Contains(out, `"acts_not_held": {}`) {
		t.Fatalf("as JSON: %d %s", status, out)
	}
	const batch = "(SELECT first FROM batch WHERE ledger = 'prod' AND first > 100 ORDER BY first LIMIT 1)"
	for name, c := range map[string]struct {
		statements []string
		want       string
	}{
		"one byte of one entry": {[]string{
			"UPDATE batch SET entries = unhex(replace(hex(entries), hex('\"outcome\":\"allow\"'), hex('\"outcome\":\"alloW\"'))) WHERE ledger = 'prod' AND first = " + batch,
		}, "at least one was changed"},
		"a byte that keeps an entry well formed": {[]string{
			"UPDATE batch SET entries = unhex(replace(hex(entries), hex('erp/read_invoice'), hex('erp/read_invoicf'))) WHERE ledger = 'prod' AND first = " + batch,
		}, "entries 0 to 255 do not have the hash kept when they were written"},
		"a swapped pair": {[]string{
			"UPDATE batch SET first = -1 WHERE ledger = 'prod' AND first = 200", "UPDATE batch SET first = 200 WHERE ledger = 'prod' AND first = 201", "UPDATE batch SET first = 201 WHERE ledger = 'prod' AND first = -1",
		}, "entries were moved"},
		"a cut tail": {[]string{"DELETE FROM batch WHERE ledger = 'prod' AND first > 500"}, "the tail was cut"},
		"a hole":     {[]string{"DELETE FROM batch WHERE ledger = 'prod' AND first = 300"}, "entries 300 to 300 are missing"},
		"a kept hash": {[]string{
			"UPDATE node SET hash = zeroblob(32) WHERE ledger = 'prod' AND level = 8 AND idx = 1",
		}, "entries 256 to 511"},
		"another root in the head": {[]string{"UPDATE head SET root = zeroblob(32) WHERE ledger = 'prod'"}, "the head's root is not the root of the entries"},
		"an input in a payload": {[]string{
			"UPDATE payload SET data = unhex(replace(hex(data), hex('INV-7\"'), hex('INV-8\"'))) WHERE ledger = 'prod' AND instr(hex(data), hex('INV-7\"')) > 0",
		}, "the payload of group input does not agree"},
		"a checkpoint": {[]string{
			"UPDATE checkpoint SET note = CAST(replace(CAST(note AS TEXT), 'prod', 'prud') AS BLOB) WHERE ledger = 'prod'",
		}, "the kept checkpoint of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := copyDir(t, dir)
			change(t, changed, c.statements...)
			status, out := execute(t, "verify", "--data", changed, "-l", "prod")
			if status != exitWrong || !strings.Contains(out, c.want) {
				t.Errorf("status %d, want %q in:\n%s", status, c.want, out)
			}
		})
	}
}

// TestAReplacedTreeIsFoundByAnOldCheckpoint: with the database and the key a history can be rebuilt that verifies by itself.
func TestAReplacedTreeIsFoundByAnOldCheckpoint(t *testing.T) {
	t.Parallel()
	dir, checkpoint := record(t)
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.WriteFile(kept, checkpoint, 0o600); err != nil {
		t.Fatal(err)
	}
	rebuilt := t.TempDir()
	key, err := os.ReadFile(filepath.Join(dir, "writ.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(rebuilt, "writ.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), app.Config{Data: rebuilt, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	token, err := a.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := remote{URL: a.URL(), AdminToken: token}
	if err := activateAcme(t.Context(), std{nil, new(bytes.Buffer), new(bytes.Buffer)}, r); err != nil {
		t.Fatal(err)
	}
	client, err := principalClient(t.Context(), r, "finance-bot", "user:tom")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 310 {
		if _, err := client.Decide(t.Context(), writ.Call{Agent: "finance-bot", Tool: "erp/read_invoice", Input: in{"invoice": fmt.Sprint("INV-", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := settled(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	if status, out := execute(t, "verify", "--data", rebuilt, "-l", "prod"); status != 0 {
		t.Fatalf("by itself it verifies, or this shows nothing: %d %s", status, out)
	}
	status, out := execute(t, "verify", "--data", rebuilt, "-l", "prod", "--checkpoint", kept)
	if status != exitWrong || !strings.Contains(out, "history was changed") {
		t.Errorf("status %d:\n%s", status, out)
	}
}

func TestAnExportIsVerifiedAnywhere(t *testing.T) {
	t.Parallel()
	dir, _ := record(t)
	file := filepath.Join(t.TempDir(), "prod.writ")
	if status, out := execute(t, "export", "prod", "--data", dir, "-o", file); status != 0 {
		t.Fatalf("export: %d %s", status, out)
	}
	if status, out := execute(t, "verify", file); status != 0 || !strings.Contains(out, "nothing is wrong") {
		t.Errorf("verify: %d %s", status, out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.LastIndex(data, []byte(`"outcome":"allow"`))
	data[i+len(`"outcome":"`)] = 'A'
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if status, out := execute(t, "verify", file); status != exitWrong {
		t.Errorf("one byte of the file: %d %s", status, out)
	}
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	t.Parallel()
	for _, command := range []string{
		"serve", "demo", "bundle check", "bundle test", "bundle schema", "bundle digest", "bundle diff", "bundle activate", "key issue", "key revoke",
		"decide", "decisions", "gameday", "verify", "replay", "export", "import traces",
	} {
		status, out := execute(t, append(strings.Fields(command), "--help")...)
		if status != 0 || !strings.Contains(out, "Example") || !strings.Contains(out, "writ "+command) {
			t.Errorf("writ %s --help: %d %s", command, status, out)
		}
	}
	if status, out := execute(t, "frobnicate"); status != exitUsage || !strings.Contains(out, "--help") {
		t.Errorf("an unknown command: %d %s", status, out)
	}
}
