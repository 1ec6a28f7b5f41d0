package app_test

import (
	"fmt"
	"html"
	"net/http"
	"strings"
	"testing"
)

// events are those of a stream of server-sent events, as "name: data".
func (p sheet) events(t *testing.T) []string {
	t.Helper()
	if got := p.header.Get("Content-Type"); p.status != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("%s is %d of type %q: %.600s", p.at, p.status, got, p.text)
	}
	var out []string
	for event := range strings.SplitSeq(strings.TrimSuffix(p.text, "\n\n"), "\n\n") {
		lines := strings.Split(event, "\n")
		name, ok := strings.CutPrefix(lines[0], "event: ")
		if !ok {
			t.Fatalf("%q is no event", event)
		}
		for i, line := range lines[1:] {
			if lines[1+i], ok = strings.CutPrefix(line, "data: "); !ok {
				t.Errorf("%q is in no field", line)
			}
		}
		out = append(out, name+": "+strings.Join(lines[1:], "\n"))
	}
	return out
}

// TestABacktestSaysHowFarItIs: the page tells what the API tells, line by line, and comes to the same end with and without a script.
func TestABacktestSaysHowFarItIs(t *testing.T) {
	t.Parallel()
	o, n := newConsole(t)
	_, key := n.key("support-bot", "runs_as")
	for _, amount := range []int{100, 490} {
		n.ask(key, fmt.Sprintf(refund, amount, ""), "allow")
	}
	tar := acmeWith(t, refundsFile, "context.input.amount > 500", "(context.input.amount > 500 || context.input.amount == 490)", oldReason, strings.ReplaceAll(evil, `"`, `\"`)+`\r\revent: report\rdata: gone`)
	change := wantState(t, n.propose(o.signIn("ana", nil), "Finance sees more", tar), "proposed")["id"].(string)
	maria := n.browser().signIn(o, "maria")
	at := "/console/changes/" + change + "/backtest"
	maria.get("/console/changes/"+change).want(t, http.StatusOK, `hx-get="`+at+`"`, `hx-params="not wait"`, `<input type="hidden" name="wait" value="1">`)
	begun := maria.get(at+"?days=7").want(t, http.StatusOK, "<progress", `sse-connect="`+at+`/events?days=7"`, "Without a script", at+"?days=7&wait=1")
	if strings.Contains(begun.text, "judged again") {
		t.Error("the page that is to show how far it is has the end already")
	}

	lines := n.get("/v1/changes/"+change+"/backtest?days=7", n.admin).lines(t)
	events := maria.get(at + "/events?days=7").events(t)
	if len(events) != len(lines)+2 {
		t.Fatalf("%d events for %d lines: %q", len(events), len(lines), events)
	}
	for i, line := range lines[:len(lines)-1] {
		if want := fmt.Sprintf(`<progress max="%v" value="%v"`, line["of"], line["done"]); !strings.HasPrefix(events[i], "progress: ") || !strings.Contains(events[i], want) {
			t.Errorf("event %d is %q, want %s", i, events[i], want)
		}
	}
	end := events[len(lines)-1]
	told, ok := strings.CutPrefix(end, "report: ")
	if !ok || !strings.Contains(told, "2 decisions of 7 days") || !strings.Contains(told, "<strong>1</strong> allow to require_approval") || strings.Contains(told, "<script") {
		t.Errorf("the end is %q", end)
	}
	if events[len(lines)] != "progress: <span hidden></span>" || events[len(lines)+1] != "over: <span hidden></span>" {
		t.Errorf("behind it comes %q", events[len(lines):])
	}
	waited := maria.get(at+"?days=7&wait=1").want(t, http.StatusOK)
	wantPlain(t, map[string]sheet{"begun": begun, "waited": waited})
	plain := func(text string) string { return strings.Join(strings.Fields(html.UnescapeString(text)), " ") }
	if !strings.Contains(plain(waited.text), plain(told)) {
		t.Errorf("with a script it is\n%s\nwithout one\n%s", told, waited.text)
	}

	maria.get(at+"?days=x").want(t, http.StatusBadRequest)
	if got := maria.get(at + "/events?days=x").events(t); !strings.HasPrefix(got[0], `report: <p class="problem">`) || !strings.HasPrefix(got[len(got)-1], "over: ") {
		t.Errorf("of no number of days it says %q", got)
	}
	nobody := n.browser().signIn(o, "nobody")
	nobody.get(at+"?days=7").want(t, http.StatusNotFound)
	if got := strings.Join(nobody.get(at+"/events?days=7").events(t), "\n"); strings.Contains(got, "decisions") || !strings.Contains(got, "problem") {
		t.Errorf("nobody is told %s", got)
	}
	n.browser().get(at+"/events?days=7").want(t, http.StatusUnauthorized)
}
