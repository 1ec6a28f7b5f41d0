package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/canon"
)

// FuzzDecisionDoor sends anything as a call: there is an answer, it is of the contract, it is never the server's fault, and an
// allow has its record with the input that was sent.
func FuzzDecisionDoor(f *testing.F) {
	for _, body := range []string{
		fmt.Sprintf(readTicket, ""), fmt.Sprintf(readTicket, `,"call_id":"c","session":"s","trace_id":"t"`), fmt.Sprintf(refund, 900, `,"call_id":"r"`),
		fmt.Sprintf(refund, 20, `,"principal":{"type":"user","id":"alice"}`), `{"agent":"support-bot","tool":"zendesk/read_ticket","input":{"ticket":1e400}}`,
		`{"agent":"support-bot","tool":"zendesk/read_ticket","input":{"ticket":"\ud800"}}`, `{"agent":"support-bot","tool":"a/b","input":{"a":[[[[{}]]]]}}`,
		`{"agent":"support-bot","tool":"zendesk/read_ticket","input":{"ticket":"T-1"},"approval":"apr_00000000000000000000000000"}`,
		`{"agent":"support-bot","tool":"zendesk/read_ticket","input":{"ticket":"T-1"},"on_behalf_of_token":"a.b.c"}`,
		"{}", "[]", "null", "", "\xff", `{"agent":"support-bot"`, `{"a":1,"a":2}`, strings.Repeat(`{"a":`, 100),
	} {
		f.Add([]byte(body))
	}
	n := start(f, app.Config{Data: f.TempDir()})
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := n.try(http.MethodPost, "/v1/decisions", key, jsonType, body)
		if err != nil {
			t.Fatal(err)
		}
		if e.status >= http.StatusInternalServerError {
			t.Fatalf("the door fails on %q: %d %s", body, e.status, e.body)
		}
		if e.status != http.StatusOK {
			return
		}
		var answer struct{ ID, Outcome string }
		if err := json.Unmarshal(e.body, &answer); err != nil {
			t.Fatal(err)
		}
		sent, err := canon.ParseObject(body)
		if err != nil {
			t.Fatalf("%q is no call, and was decided: %s", body, e.body)
		}
		chain, err := n.try(http.MethodGet, "/v1/decisions/"+answer.ID, n.admin, "", nil)
		if err != nil || chain.status != http.StatusOK {
			t.Fatalf("%s is not recorded: %d %s, %v", answer.ID, chain.status, chain.body, err)
		}
		var recorded struct {
			Decision struct{ Outcome string }
			Call     struct{ Input json.RawMessage }
		}
		if err := json.Unmarshal(chain.body, &recorded); err != nil {
			t.Fatal(err)
		}
		if want := string(canon.AppendValue(nil, sent["input"])); recorded.Decision.Outcome != answer.Outcome || string(recorded.Call.Input) != want {
			t.Errorf("sent %s and heard %s; recorded are %s and %s", want, answer.Outcome, recorded.Call.Input, recorded.Decision.Outcome)
		}
	})
}
