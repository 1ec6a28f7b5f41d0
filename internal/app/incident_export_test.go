package app_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// table reads an export: each row by the names of the columns, and the note above them.
func (p sheet) table(t *testing.T) (note []string, rows []map[string]string) {
	t.Helper()
	r := csv.NewReader(strings.NewReader(p.text))
	r.FieldsPerRecord = -1
	all, err := r.ReadAll()
	if err != nil || len(all) < 2 {
		t.Fatalf("%s: %v", p.text, err)
	}
	for _, cells := range all[2:] {
		row := map[string]string{}
		for i, cell := range cells {
			if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
				t.Errorf("a cell is %q", cell)
			}
			row[all[1][i]] = cell
		}
		rows = append(rows, row)
	}
	return all[0], rows
}

// TestEveryIncidentOfATimeIsExported: of more than a page, with what came of each; of none that is said.
func TestEveryIncidentOfATimeIsExported(t *testing.T) {
	t.Parallel()
	o, n := newConsole(t)
	const many = 215 // more than a page of the API
	n.take(signals(0, 0, many, func(s *canon.Signal) { s.Severity = gov.SeverityLow }))
	for i := range many - 1 {
		n.take(signals(int64(i+1), 0, 1, func(s *canon.Signal) { s.Key = fmt.Sprint("key ", i) }))
	}
	omar := o.signIn("omar", nil)
	id := n.report(omar, `"severity":3,"title":"=HYPERLINK(\"http://evil.example\")","exercise":true`)["id"].(string)
	n.step(id, omar, `{"event":"ack"}`, 200)
	n.step(id, omar, `{"event":"declared"}`, 200)
	n.step(id, omar, assessed, 200)
	n.step(id, omar, `{"event":"action.created","text":"A policy.","owner":"user:omar","due":"2030-01-01T00:00:00Z"}`, 200)
	b := n.browser().signIn(o, "vera")
	b.get("/console/incidents?environment=prod&severity=3&state=").want(t, http.StatusOK, "/console/export/incidents.csv?environment=prod&severity=3&state=")

	p := b.get("/console/export/incidents.csv?environment=prod").want(t, http.StatusOK)
	if p.header.Get("Content-Type") != "text/csv; charset=utf-8" || p.header.Get("Content-Disposition") != `attachment; filename="incidents.csv"` {
		t.Errorf("headers %v", p.header)
	}
	note, rows := p.table(t)
	seen := map[string]bool{}
	for _, row := range rows {
		seen[row["id"]] = true
	}
	if len(rows) != many+1 || len(seen) != many+1 || !strings.HasPrefix(note[0], "# query: environment=prod&limit=200") || !strings.Contains(note[1], fmt.Sprint(many+1, " incidents were opened in prod from the beginning")) {
		t.Errorf("%d rows of %d incidents under %q", len(rows), len(seen), note)
	}
	first := rows[0]
	for name, want := range map[string]string{
		"id": id, "title": `'=HYPERLINK("http://evil.example")`, "severity": "3", "state": "active", "exercise": "true", "signals": "0", "control_failed": "true", "commitment_missed": "false",
		"actions": "1", "actions_open": "1", "detector": "", "report_approved_by": "", "resolved_at": "",
	} {
		if first[name] != want {
			t.Errorf("%s is %q, want %q", name, first[name], want)
		}
	}
	if first["owner"] == "" || first["opened_at"] == "" || first["acknowledged_at"] == "" || rows[many]["signals"] != fmt.Sprint(many) {
		t.Errorf("the newest is %v, the oldest %v", first, rows[many])
	}

	var found struct {
		Query, Statement string
		Total, Rows      int
		Incidents        []map[string]any
	}
	p = b.get("/console/export/incidents.json?environment=prod&state=active&exercise=true").want(t, http.StatusOK)
	if err := json.Unmarshal([]byte(p.text), &found); err != nil || found.Rows != 1 || found.Total != many+1 || found.Query != "environment=prod&exercise=true&limit=200&state=active" {
		t.Errorf("%.600s: %v", p.text, err)
	}
	api := n.incidents("&state=active&exercise=true")
	if len(found.Incidents) != 1 || fmt.Sprint(found.Incidents[0]) != fmt.Sprint(api[0]) {
		t.Errorf("the file has %v, the API %v", found.Incidents, api)
	}
	note, rows = b.get("/console/export/incidents.csv?environment=prod&from=2020-01-01&to=2020-03-31").table(t)
	if len(rows) != 0 || !strings.Contains(note[1], "No incident was opened in prod from 2020-01-01T00:00:00Z to 2020-04-01T00:00:00Z") {
		t.Errorf("of a quiet quarter there are %v under %q", rows, note)
	}
	b.get("/console/export/incidents.csv?environment=prod&state="+url.QueryEscape("=x")).want(t, http.StatusBadRequest)
	b.get("/console/export/incidents.xml?environment=prod").want(t, http.StatusNotFound)
}
