package app_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"testing"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/content"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/scan"
)

// TestReplayScansAgain: a finding that is recorded follows from what was answered, or replay says that it does not. Of another scanner
// it is counted as recorded.
func TestReplayScansAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := start(t, newOffice(t).config(dir))
	n.acme()
	_, key := n.key("finance-bot", "user:tom")
	n.reads(key, fmt.Sprintf(mailRead, `,"session":"s"`), injected)
	decision := n.ask(key, fmt.Sprintf(mailRead, `,"session":"t"`), "allow")["id"].(string)
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	scanner, err := scan.New()
	if err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	f := forge(t, copied)
	honest := content.Scan(scanner, scan.ToolResult, map[string]any{"output": injected, "error": ""})
	result := func(answered string, findings []canon.Finding, labels ...gov.Label) {
		t.Helper()
		body := canon.Result{
			Decision: gov.EntryID(decision), Status: gov.ResultSucceeded, Findings: findings, Session: "t", LabelsAdded: labels,
			Commitments: map[canon.Group]canon.Commitment{},
		}
		payload := canon.Payload{}
		if err := payload.Seal(rand.Reader, body.Commitments, canon.GroupOutput, canon.AppendValue(nil, answered)); err != nil {
			t.Fatal(err)
		}
		f.appendWith(canon.KindResult, canon.Actor{Type: canon.ActorAgent, ID: "finance-bot"}, body, payload)
	}
	result(injected, honest, content.Suspect)
	elsewhere := honest[0]
	elsewhere.Start++
	result(injected, []canon.Finding{elsewhere}, content.Suspect)
	result("The invoice is paid.", honest, content.Suspect)
	result(injected, honest, "trusted_by_me")
	other := honest[0]
	other.Version = "1-000000000000"
	result("The invoice is paid.", []canon.Finding{other}, content.Suspect)
	report := f.replay()
	f.wantsOf(report, "findings were recorded as", "findings were recorded as", "labels_added were recorded as [trusted_by_me]")
	if report.Scanned != 5 || report.Unscanned != 1 {
		t.Errorf("%d scanned again and %d as recorded, want 5 and 1", report.Scanned, report.Unscanned)
	}
}
