package app_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
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
	_, support := n.key("support-bot", "runs_as")
	var replies []string
	for range 2 {
		e := n.post("/v1/decisions", support, fmt.Sprintf(`{"agent":"support-bot","tool":"zendesk/reply","input":{"ticket":"T-1","text":%q}}`, injected))
		if e.status != http.StatusOK {
			t.Fatalf("a reply: %s", e.body)
		}
		replies = append(replies, e.decode(t)["id"].(string))
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	scanner, err := scan.New()
	if err != nil {
		t.Fatal(err)
	}
	f := forge(t, copied(t, dir))
	f.admin = canon.Actor{Type: canon.ActorAdmin, ID: strings.Split(n.admin, "_")[2]}
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
	f.eraseInput(gov.EntryID(replies[1]))
	report := f.replay()
	f.wantsOf(report, "findings were recorded as", "findings were recorded as", "labels_added were recorded as [trusted_by_me]")
	if report.Scanned != 6 || report.Unscanned != 2 || report.Erased != 1 {
		t.Errorf("%d scanned again, %d as recorded and %d erased, want 6, 2 and 1", report.Scanned, report.Unscanned, report.Erased)
	}
}

// eraseInput erases the input of a call.
func (f *forger) eraseInput(id gov.EntryID) {
	f.t.Helper()
	index, _, ok := canon.IndexOf(id)
	groups := []canon.Group{canon.GroupInput}
	record, err := f.Draft(rand.Reader, canon.KindErasure, f.admin, canon.Erasure{Entry: id, Groups: groups, Reason: "asked for"}, nil)
	if err != nil || !ok {
		f.t.Fatal(id, err)
	}
	if _, done, err := f.Erase(f.t.Context(), record, index, groups); err != nil || !done {
		f.t.Fatalf("%s: erased %v, %v", id, done, err)
	}
}
