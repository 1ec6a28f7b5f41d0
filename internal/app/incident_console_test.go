package app_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

func TestAnIncidentIsWorkedInTheConsole(t *testing.T) {
	t.Parallel()
	o, n := newConsole(t)
	_, key := n.key("support-bot", "runs_as")
	d := n.ask(key, strings.Replace(readTicket, "%s", "", 1), "allow")["id"].(string)
	n.take(signals(3, 0, 5, func(s *canon.Signal) { s.Severity, s.Entries = gov.SeverityHigh, []gov.EntryID{gov.EntryID(d)} }))
	id := n.only("")["id"].(string)
	at := "/console/incidents/" + id
	omar, vera := n.browser().signIn(o, "omar"), n.browser().signIn(o, "vera")
	omar.get("/console/").want(t, http.StatusOK, "Open incidents", at, "nobody has taken it")
	omar.get("/console/incidents").want(t, http.StatusOK, at, "1 incident was opened", "acknowledged_at − opened_at")
	omar.get("/console/incidents?from=2020-01-01&to=2020-01-31&state=").want(t, http.StatusOK, "No incident was opened in prod from 2020-01-01T00:00:00Z to 2020-02-01T00:00:00Z")
	vera.submit(at+"/step", url.Values{"event": {"ack"}}).want(t, http.StatusForbidden, "responder or admin")
	omar.get(at).want(t, http.StatusOK, "I take it", "Stop it now", "41 calls were denied", "/console/decisions/"+d)
	omar.submit(at+"/step", url.Values{"event": {"ack"}}).want(t, http.StatusOK, "Recorded.", "triage")
	omar.submit(at+"/step", url.Values{"event": {"containment.kill_switch"}, "kind": {"agent"}, "value": {"support-bot"}, "stop_reason": {"Looking into it."}}).want(t, http.StatusOK, "contained", "/console/containment/swi_")
	n.ask(key, strings.Replace(readTicket, "%s", "", 1), "deny")
	omar.submit("/console/containment/stop", url.Values{"environment": {"prod"}, "kind": {"tool"}, "value": {"stripe/refund"}, "reason": {"And this."}, "incident": {id}}).want(t, http.StatusOK, "Stopped, on every node.", "And this.")
	if by := n.get("/v1/incidents/"+id, n.admin).decode(t)["contained_by"].([]any); len(by) != 2 {
		t.Errorf("contained by %v", by)
	}
	omar.submit(at+"/step", url.Values{"event": {"resolved"}, "text": {"The prompt is fixed."}}).want(t, http.StatusOK, "resolved")
	omar.submit(at+"/step", url.Values{"event": {"disclosure.assessed"}, "text": {"So."}, "control_failed": {"yes"}}).want(t, http.StatusBadRequest, "answer true or false")
	omar.submit(at+"/step", url.Values{
		"event": {"disclosure.assessed"}, "text": {"So."}, "control_failed": {"yes"}, "commitment_missed": {"no"}, "confidential_data": {"no"}, "personal_data": {"no"}, "tell_outside": {"no"},
	}).want(t, http.StatusOK, "Assessed: a control failed: true")
	omar.get(at+"/report").want(t, http.StatusOK, "This is what the ledger says", "calls of that scope were allowed")
	omar.submit(at+"/step", url.Values{"event": {"report.drafted"}, "text": {"# What happened\r\n\r\nA prompt."}}).want(t, http.StatusOK, "to be approved by somebody")
	draft := n.get("/v1/incidents/"+id, n.admin).decode(t)["report"].(map[string]any)["id"].(string)
	omar.submit(at+"/step", url.Values{"event": {"report.approved"}, "refs": {draft}}).want(t, http.StatusForbidden, "nobody approves their own")
	root := n.browser().signIn(o, "root")
	root.submit(at+"/step", url.Values{"event": {"report.approved"}, "refs": {draft}}).want(t, http.StatusOK, "approved by")
	root.submit(at+"/step", url.Values{"event": {"closed"}}).want(t, http.StatusOK, "closed")
	if text := n.get("/v1/incidents/"+id+"/report", n.admin).decode(t)["text"]; text != "# What happened\n\nA prompt." {
		t.Errorf("the report says %q", text)
	}
	eventually(t, "the decision leads to the incident", func() bool {
		return strings.Contains(omar.get("/console/decisions/"+d).text, at)
	})
}
