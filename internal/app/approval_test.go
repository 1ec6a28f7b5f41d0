package app_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/identity/identitytest"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/replay"
	"github.com/writ-dev/writ/internal/state"
	"github.com/writ-dev/writ/internal/store"
	writ "github.com/writ-dev/writ/sdk/go"
)

const (
	refund   = `{"agent":"support-bot","tool":"stripe/refund","input":{"charge":"ch_1","amount":%d,"currency":"usd"}%s}`
	transfer = `{"agent":"finance-bot","tool":"bank/transfer","input":{"amount":20000,"supplier":{"id":"S-9","country":"DE"},"iban":"DE00","invoice":"INV-31"}%s}`
)

// office is a company's identity provider and what may run beside it.
type office struct {
	*identitytest.Provider
	t     *testing.T
	clock atomic.Int64 // nanoseconds that the servers' clock is ahead
}

func newOffice(t *testing.T) *office {
	o := &office{Provider: identitytest.New(t), t: t}
	o.Now = o.now
	o.Browser("writ-people", "http://localhost/console/sign-in/callback")
	return o
}

func (o *office) now() time.Time { return time.Now().Add(time.Duration(o.clock.Load())) }

func (o *office) config(dir string) app.Config {
	return app.Config{Data: dir, Now: o.now, Issuers: []identity.Issuer{
		{URL: o.URL, Audience: "writ-people", For: identity.UsePeople},
		{URL: o.URL, Audience: "writ-principals", For: identity.UsePrincipals},
	}}
}

// signIn gives a person's token.
func (o *office) signIn(person string, claims map[string]any) string {
	o.t.Helper()
	all := map[string]any{"auth_time": o.now().Unix(), "amr": []string{"pwd", "otp"}, "acr": "2"}
	for name, v := range claims {
		if all[name] = v; v == nil {
			delete(all, name)
		}
	}
	o.Register("client of "+person, person, "writ-people", all)
	return o.Token(o.t, "client of "+person)
}

// ask asks for a decision and wants an outcome.
func (n *node) ask(key, body, outcome string) map[string]any {
	n.t.Helper()
	e := n.post("/v1/decisions", key, body)
	m := e.decode(n.t)
	if m["outcome"] != outcome {
		n.t.Fatalf("asked %s: %s, want %s", body, e.body, outcome)
	}
	return m
}

func approvalOf(decision map[string]any) string {
	return decision["approval"].(map[string]any)["id"].(string)
}

// request reads a request as somebody sees it.
func (n *node) request(id, token, more string) map[string]any {
	n.t.Helper()
	e := n.get("/v1/approvals/"+id+more, token)
	if e.status != http.StatusOK {
		n.t.Fatalf("request %s: %s", id, e.body)
	}
	return e.decode(n.t)
}

// vote votes on what the person was shown.
func (n *node) vote(id, token, vote string) exchange {
	n.t.Helper()
	shown := n.request(id, n.admin, "")["shown"]
	return n.post("/v1/approvals/"+id+"/votes", token, fmt.Sprintf(`{"vote":%q,"shown":%q,"comment":"seen"}`, vote, shown))
}

func (n *node) wantVote(id, token, vote, state string) {
	n.t.Helper()
	e := n.vote(id, token, vote)
	if e.status != http.StatusOK || e.decode(n.t)["state"] != state {
		n.t.Fatalf("vote: %s, want the request %s", e.body, state)
	}
}

// wantProblem wants a refusal with a code.
func wantProblem(t *testing.T, e exchange, status int, code string) {
	t.Helper()
	if m := e.decode(t); e.status != status || m["code"] != code {
		t.Errorf("got %d %v (%v), want %d %s", e.status, m["code"], m["detail"], status, code)
	}
}

// replayed replays a ledger, in which nothing may differ and every act has to be held against the organization's ledger.
func replayed(t *testing.T, st *store.Store, name gov.Environment) replay.Report {
	t.Helper()
	ctx := context.Background() // a test's own is over when it is cleaned up
	engines, options := live.NewEngines(st), ledger.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	compile := func(d gov.BundleDigest) (*policy.Engine, error) { return engines.Engine(ctx, d) }
	people, err := replay.FoldPeople(ctx, ledger.New(st, gov.OrgLedger, options))
	if err != nil {
		t.Fatal(err)
	}
	l := ledger.New(st, name, options)
	head, err := l.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	report, err := replay.Replay(ctx, l, compile, replay.Range{To: head.Size}, people, app.Parallel(2), func(int64) {})
	if err != nil || report.Different != 0 || report.Held != report.Acts {
		t.Errorf("replay: %+v, %v", report, err)
	}
	return report
}

// replays fails unless everything in a stopped node's directory comes out the same again.
func replays(t *testing.T, dir string) {
	t.Helper()
	st, err := store.OpenSQLiteReadOnly(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	l, compile, size := recomputed(t, st)
	err = l.Scan(t.Context(), 0, size, false, func(raw ledger.Raw) error {
		item, err := l.At(t.Context(), raw.Index)
		if err != nil || item.Kind != canon.KindDecision {
			return err
		}
		again, err := replay.One(t.Context(), l, compile, item)
		if err == nil && !again.Same {
			t.Errorf("judged again by itself, %s comes out differently: %s", item.ID, again.What)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// recomputed fails unless everything in a store comes out the same again.
func recomputed(t *testing.T, st *store.Store) (l *ledger.Ledger, compile state.Compile, size int64) {
	t.Helper()
	engines := live.NewEngines(st)
	compile = func(d gov.BundleDigest) (*policy.Engine, error) { return engines.Engine(t.Context(), d) }
	l = ledger.New(st, "prod", ledger.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	head, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if report := replayed(t, st, "prod"); report.Decisions == 0 || report.Same != report.Decisions {
		t.Errorf("replay: %+v", report)
	}
	return l, compile, head.Size
}

func TestACallWaitsForAPersonAndRunsOnce(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	tom := o.signIn("tom", nil)

	asked := n.ask(key, fmt.Sprintf(refund, 900, `,"call_id":"c1"`), "require_approval")
	id := approvalOf(asked)
	if again := n.ask(key, fmt.Sprintf(refund, 900, `,"call_id":"c1"`), "require_approval"); again["id"] != asked["id"] {
		t.Errorf("asked again: %v, want the same decision %v", again["id"], asked["id"])
	}
	shown := n.request(id, tom, "")
	if shown["state"] != "pending" || shown["shown"] != asked["receipt"].(map[string]any)["leaf_hash"] || shown["call"].(map[string]any)["input"].(map[string]any)["amount"] != 900.0 {
		t.Errorf("a person is shown %v", shown)
	}
	n.wantVote(id, tom, "approve", "approved")
	n.wantVote(id, tom, "approve", "approved") // the same vote again is the same vote
	if e := n.request(id, key, "?wait=20s"); e["state"] != "approved" {
		t.Errorf("the agent waits and gets %v", e["state"])
	}
	wantProblem(t, n.post("/v1/decisions", key, fmt.Sprintf(refund, 901, `,"call_id":"c1"`)), 409, "call_mismatch")
	ran := n.ask(key, fmt.Sprintf(refund, 900, `,"call_id":"c1"`), "allow")
	if again := n.ask(key, fmt.Sprintf(refund, 900, `,"call_id":"c1"`), "allow"); again["id"] != ran["id"] {
		t.Errorf("allowed twice: %v and %v", ran["id"], again["id"])
	}
	chain := n.get("/v1/decisions/"+ran["id"].(string), n.admin).decode(t)["decision"].(map[string]any)
	if chain["approved"] != asked["id"] || chain["earlier"] != asked["id"] {
		t.Errorf("the decision does not name what was approved: %v", chain)
	}
	if got := n.request(id, n.admin, "")["state"]; got != "consumed" {
		t.Errorf("the request is %v, want consumed", got)
	}
	votes := entries(n, n.admin, "prod", "approval_vote")
	if len(votes) != 1 {
		t.Fatalf("%d votes are recorded, want 1", len(votes))
	}
	body := votes[0]["body"].(map[string]any)
	if body["issuer"] != o.URL || fmt.Sprint(body["amr"]) != "[pwd otp]" || body["acr"] != "2" || body["auth_time"] == nil || strings.Contains(fmt.Sprint(votes[0]), "tom") {
		t.Errorf("the vote is recorded as %v", votes[0])
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

func TestTheSDKWaitsForPeopleAndRunsOnce(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	client, err := writ.New(n.URL(), key, writ.WithApprovals(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for _, vote := range []string{"approve", "deny"} {
		ran, done := 0, make(chan error, 1)
		go func() {
			call := writ.Call{Agent: "support-bot", Tool: "stripe/refund", Input: map[string]any{"charge": "ch_" + vote, "amount": 900, "currency": "usd"}}
			_, err := client.Call(t.Context(), call, func(context.Context) (any, error) { ran++; return "re_1", nil })
			done <- err
		}()
		var id string
		eventually(t, "the request is open", func() bool {
			list := n.get("/v1/approvals?environment=prod&state=pending", n.admin).decode(t)["approvals"].([]any)
			if len(list) == 0 {
				return false
			}
			id = list[0].(map[string]any)["id"].(string)
			return true
		})
		if e := n.vote(id, o.signIn("tom", nil), vote); e.status != http.StatusOK {
			t.Fatalf("vote: %s", e.body)
		}
		err := <-done
		var denied *writ.DeniedError
		if vote == "approve" && (err != nil || ran != 1) || vote == "deny" && (!errors.As(err, &denied) || ran != 0) {
			t.Errorf("%s: ran %d times, %v", vote, ran, err)
		}
	}
	impatient, err := writ.New(n.URL(), key, writ.WithApprovals(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	_, err = impatient.Call(t.Context(), writ.Call{Agent: "support-bot", Tool: "stripe/refund", Input: map[string]any{"charge": "ch_3", "amount": 900, "currency": "usd"}},
		func(context.Context) (any, error) { t.Error("it ran without consent"); return nil, nil })
	var asks *writ.ApprovalRequiredError
	if !errors.As(err, &asks) || asks.Decision.Approval == nil {
		t.Errorf("nobody answers: %v", err)
	}
}

func TestAnApprovalIsForOneCallOnce(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	_, other := n.key("finance-bot", "user:tom")
	id := approvalOf(n.ask(key, fmt.Sprintf(refund, 900, ""), "require_approval"))
	with := func(amount int) string { return fmt.Sprintf(refund, amount, `,"approval":"`+id+`"`) }
	n.ask(key, with(900), "require_approval") // nobody has answered: it is asked anew
	n.wantVote(id, o.signIn("tom", nil), "approve", "approved")
	wantProblem(t, n.post("/v1/decisions", key, with(901)), 409, "approval_mismatch")
	wantProblem(t, n.post("/v1/decisions", other, strings.Replace(with(900), "support-bot", "finance-bot", 1)), 409, "approval_mismatch")
	wantProblem(t, n.post("/v1/decisions", key, fmt.Sprintf(refund, 900, `,"approval":"apr_00000000000000000000000000"`)), 404, "not_found")
	n.ask(key, with(900), "allow")
	wantProblem(t, n.post("/v1/decisions", key, with(900)), 409, "approval_used")

	late := approvalOf(n.ask(key, fmt.Sprintf(refund, 700, `,"call_id":"late"`), "require_approval"))
	n.wantVote(late, o.signIn("tom", nil), "approve", "approved")
	o.clock.Add(int64(11 * time.Minute))
	if d := n.ask(key, fmt.Sprintf(refund, 700, `,"call_id":"late"`), "deny"); d["reasons"].([]any)[0].(map[string]any)["code"] != "approval_expired" {
		t.Errorf("a late call is refused with %v", d["reasons"])
	}
	eventually(t, "the approval that came to nothing is closed", func() bool {
		return n.request(late, n.admin, "")["state"] == "unused" && len(entries(n, n.admin, "prod", "approval_expired")) > 0
	})
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

func TestOneDenialIsFinalAndTimeRunsOut(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("finance-bot", "user:tom")
	two := func(call string) string { return fmt.Sprintf(transfer, `,"call_id":"`+call+`"`) }
	yuki, newHire := o.signIn("yuki", nil), o.signIn("new-hire", map[string]any{"groups": []string{"finance"}})

	id := approvalOf(n.ask(key, two("t1"), "require_approval"))
	n.wantVote(id, yuki, "approve", "pending")
	n.wantVote(id, yuki, "approve", "pending") // one person twice is one person
	wantProblem(t, n.vote(id, yuki, "deny"), 409, "conflict")
	n.wantVote(id, newHire, "approve", "approved")
	n.ask(key, two("t1"), "allow")

	id = approvalOf(n.ask(key, two("t2"), "require_approval"))
	n.wantVote(id, yuki, "approve", "pending")
	n.wantVote(id, newHire, "deny", "denied")
	wantProblem(t, n.vote(id, o.signIn("lena", map[string]any{"groups": []string{"finance"}}), "approve"), 409, "approval_closed")
	denied := n.ask(key, two("t2"), "deny")
	if denied["reasons"].([]any)[0].(map[string]any)["code"] != "approval_denied" {
		t.Errorf("refused with %v", denied["reasons"])
	}
	if again := n.ask(key, two("t2"), "deny"); again["id"] != denied["id"] {
		t.Errorf("a denial asked again is another decision")
	}

	id = approvalOf(n.ask(key, two("t3"), "require_approval"))
	o.clock.Add(int64(9 * time.Hour))
	if d := n.ask(key, two("t3"), "deny"); d["reasons"].([]any)[0].(map[string]any)["code"] != "approval_expired" {
		t.Errorf("refused with %v", d["reasons"])
	}
	eventually(t, "the request is closed", func() bool {
		return n.request(id, n.admin, "")["state"] == "expired" && len(entries(n, n.admin, "prod", "approval_expired")) > 0
	})
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

func TestWhoMayNotVote(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("finance-bot", "user:tom")
	id := approvalOf(n.ask(key, fmt.Sprintf(transfer, ""), "require_approval"))
	stranger := newOffice(t)
	o.Register("principal", "yuki", "writ-principals", nil)
	for name, c := range map[string]struct {
		token  string
		status int
		code   string
	}{
		"nobody":                         {"", 401, "unauthenticated"},
		"an agent's key":                 {key, 403, "forbidden"},
		"the administrator":              {n.admin, 403, "forbidden"},
		"the principal of the call":      {o.signIn("tom", nil), 403, "not_eligible"},
		"the owner of the agent":         {o.signIn("maria", nil), 403, "not_eligible"},
		"a member of another group":      {o.signIn("ana", map[string]any{"groups": []string{"leads"}}), 403, "not_eligible"},
		"an old sign-in":                 {o.signIn("yuki", map[string]any{"auth_time": time.Now().Add(-time.Hour).Unix()}), 403, "sign_in_stale"},
		"a sign-in of unknown time":      {o.signIn("yuki", map[string]any{"auth_time": nil}), 403, "sign_in_stale"},
		"another company's provider":     {stranger.signIn("yuki", nil), 401, "unauthenticated"},
		"a token for another use":        {o.Token(t, "principal"), 403, "forbidden"},
		"a token that was tampered with": {tampered(o.signIn("yuki", nil)), 401, "unauthenticated"},
	} {
		if e := n.vote(id, c.token, "approve"); e.status != c.status || e.decode(t)["code"] != c.code {
			t.Errorf("%s: %d %s, want %d %s", name, e.status, e.body, c.status, c.code)
		}
	}
	yuki := o.signIn("yuki", nil)
	for name, body := range map[string]string{
		"what was not shown": `{"vote":"approve","shown":"` + strings.Repeat("0", 64) + `"}`,
		"no digest":          `{"vote":"approve"}`, "no vote": `{"shown":"x"}`, "another vote": `{"vote":"maybe","shown":"x"}`,
		"an unknown field": `{"vote":"approve","shown":"x","as":"tom"}`,
	} {
		if e := n.post("/v1/approvals/"+id+"/votes", yuki, body); e.status != 400 {
			t.Errorf("%s: %d %s", name, e.status, e.body)
		}
	}
	if got := n.request(id, n.admin, ""); got["state"] != "pending" || len(got["votes"].([]any)) != 0 {
		t.Errorf("a vote counted: %v", got)
	}
	for _, path := range []string{"/v1/decisions?environment=prod", "/v1/entries?ledger=prod", "/v1/agents?environment=prod"} {
		if e := n.get(path, yuki); e.status != http.StatusOK {
			t.Errorf("a person who is asked does not read %s: %d", path, e.status)
		}
		if e := n.get(path, o.signIn("nobody", nil)); e.status != http.StatusForbidden {
			t.Errorf("a person without a role reads %s: %d", path, e.status)
		}
	}
	for _, path := range []string{"/v1/credentials", "/v1/people", "/v1/entries?ledger=org"} {
		if e := n.get(path, yuki); e.status != http.StatusForbidden {
			t.Errorf("a person who is no administrator reads %s: %d", path, e.status)
		}
	}
	if list := n.get("/v1/approvals?environment=prod", o.signIn("ana", nil)).decode(t)["approvals"].([]any); len(list) != 0 {
		t.Errorf("a person who is not asked sees %v", list)
	}
	vera := o.signIn("vera", nil) // an auditor reads everything, and votes on nothing
	if list := n.get("/v1/approvals?environment=prod&state=pending", vera).decode(t)["approvals"].([]any); len(list) != 1 {
		t.Errorf("an auditor sees %v", list)
	}
	wantProblem(t, n.vote(id, vera, "approve"), 403, "not_eligible")
	if list := n.get("/v1/approvals?environment=prod&state=pending", yuki).decode(t)["approvals"].([]any); len(list) != 1 {
		t.Errorf("a person who is asked sees %v", list)
	}
}

// tampered changes one character of a token's signature.
func tampered(token string) string {
	at := len(token) - 20
	c := byte('A')
	if token[at] == c {
		c = 'B'
	}
	return token[:at] + string(c) + token[at+1:]
}

func TestAnApprovalIsConsumedOnceOnThreeNodes(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	nodes := cluster(t, 3, o.config(""))
	nodes[0].acme()
	_, key := nodes[0].key("support-bot", "runs_as")
	id := approvalOf(nodes[0].ask(key, fmt.Sprintf(refund, 900, ""), "require_approval"))
	waited := make(chan any, 1)
	go func() {
		e, err := nodes[2].try(http.MethodGet, "/v1/approvals/"+id+"?wait=30s", key, "", nil)
		waited <- fmt.Sprintf("%v %v", strings.Contains(string(e.body), `"state":"approved"`), err)
	}()
	nodes[1].wantVote(id, o.signIn("tom", nil), "approve", "approved")
	voted := time.Now()
	if got := <-waited; got != "true <nil>" {
		t.Errorf("an agent that waits on another node: %v", got)
	}
	t.Logf("an agent that waits on another node resumed %v after the vote", time.Since(voted))

	var allowed, used atomic.Int64
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			e, err := nodes[i%3].try(http.MethodPost, "/v1/decisions", key, jsonType, []byte(fmt.Sprintf(refund, 900, `,"approval":"`+id+`"`)))
			switch {
			case err != nil:
				t.Error(err)
			case strings.Contains(string(e.body), `"outcome":"allow"`):
				allowed.Add(1)
			case strings.Contains(string(e.body), `"code":"approval_used"`):
				used.Add(1)
			default:
				t.Errorf("answered %s", e.body)
			}
		})
	}
	all.Wait()
	if allowed.Load() != 1 || used.Load() != 23 {
		t.Errorf("%d were allowed and %d refused, want 1 and 23", allowed.Load(), used.Load())
	}
}
