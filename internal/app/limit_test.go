package app_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/replay"
	"github.com/writ-dev/writ/internal/store"
)

// limited is a bundle of one agent with two tools, and these limits.
func limited(t testing.TB, mode, limits string) []byte {
	t.Helper()
	b, problems := bundle.Read(fstest.MapFS{
		"writ.yaml": {Data: fmt.Appendf(nil, `environments: {prod: {mode: %s}}
change_approvers: [leads]
groups:
  leads: {description: leads, members: ["user:ana", "user:lea"]}
  finance: {description: finance, members: ["user:fay"]}
notify: {hook: {type: webhook, secret: HOOK, events: [limit_warning]}}
`, mode)},
		"agents.yaml": {Data: []byte(`agents:
  bot: {owner: ana, purpose: pays, environments: [prod], runs_as: caller, model: anthropic/claude-sonnet-4-5, reads: [x], logs: l, risk_tier: low, tools: [pay/send, web/read]}
`)},
		"tools.yaml": {Data: []byte(`tools:
  pay/send:
    description: pays
    categories: [money]
    input_schema: {type: object, required: [amount], properties: {amount: {type: number}, to: {type: string}}}
  web/read: {description: reads, categories: [read_only], input_schema: {type: object}}
`)},
		"limits.yaml": {Data: []byte("limits:\n" + limits)},
		"prices.yaml": {Data: []byte("prices:\n  ours: {input: 1, output: 2}\n")},
		"policies/p.cedar": {Data: []byte(`@id("all") permit (principal, action, resource);
@id("asks") @require_approval("finance") forbid (principal, action == Action::"pay/send", resource) when { context.input has to && context.input.to == "stranger" };
`)},
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return b.Tar()
}

// limits puts a bundle with these limits into force and gives a key of its agent, for a service.
func (n *node) limits(mode, limits string) string {
	n.t.Helper()
	if e := n.send(http.MethodPost, "/v1/bundles?environment=prod", n.admin, "application/x-tar", limited(n.t, mode, limits)); e.status != http.StatusOK {
		n.t.Fatalf("activate: %s", e.body)
	}
	_, key := n.key("bot", "service:desk")
	return key
}

const (
	webRead = `{"agent":"bot","tool":"web/read","input":{}%s}`
	paySend = `{"agent":"bot","tool":"pay/send","input":{"amount":%s}%s}`
)

// counter is what a limit's counter of a key holds.
func (n *node) counter(id, key string) map[string]any {
	n.t.Helper()
	for _, l := range n.get("/v1/limits?environment=prod&id="+id, n.admin).decode(n.t)["limits"].([]any) {
		for _, c := range l.(map[string]any)["counters"].([]any) {
			if c := c.(map[string]any); c["key"] == key {
				return c
			}
		}
	}
	n.t.Fatalf("the limit %s has no counter of %q", id, key)
	return nil
}

// wantCounter wants what a counter holds, as used, spent, reserved, unpriced.
func (n *node) wantCounter(id, want string) {
	n.t.Helper()
	c := n.counter(id, "")
	number := func(name string) int64 { f, _ := c[name].(float64); return int64(f) }
	if got := fmt.Sprint(number("used"), number("spent_micro_usd"), number("reserved_micro_usd"), number("unpriced")); got != want {
		n.t.Errorf("%s holds %s, want %s", id, got, want)
	}
}

func (n *node) result(key string, decision map[string]any, body string) exchange {
	n.t.Helper()
	return n.post("/v1/decisions/"+decision["id"].(string)+"/result", key, body)
}

// outcomes asks many times from 64 clients at once, and counts the answers by outcome and first reason.
func outcomes(t *testing.T, nodes []*node, key, body string, calls int) map[string]int64 {
	t.Helper()
	var allowed, limited, other atomic.Int64
	var all sync.WaitGroup
	for client := range 64 {
		all.Go(func() {
			for i := client; i < calls; i += 64 {
				e, err := nodes[i%len(nodes)].try(http.MethodPost, "/v1/decisions", key, jsonType, []byte(body))
				switch text := string(e.body); {
				case err != nil:
					t.Error(err)
				case strings.Contains(text, `"outcome":"allow"`):
					allowed.Add(1)
				case strings.Contains(text, `"outcome":"deny"`) && strings.Contains(text, `"code":"limit"`):
					limited.Add(1)
				default:
					other.Add(1)
					t.Errorf("answered %s", text)
				}
			}
		})
	}
	all.Wait()
	return map[string]int64{"allowed": allowed.Load(), "limited": limited.Load(), "other": other.Load()}
}

// TestALimitIsExactOnThreeNodes: 64 clients, one limit of a thousand.
func TestALimitIsExactOnThreeNodes(t *testing.T) {
	t.Parallel()
	c := newOffice(t).config("")
	c.Database = databases.Postgres(t)
	nodes := clusterOn(t, 3, c)
	key := nodes[0].limits("enforce", `  thousand: {calls: 1000, window: 30d}
  budget: {usd: 1000, reserve: 0.5, window: 30d}
`)
	if got := outcomes(t, nodes, key, fmt.Sprintf(webRead, ""), 1200); got["allowed"] != 1000 || got["limited"] != 200 {
		t.Errorf("of 1200 calls %v, want 1000 allowed", got)
	}
	nodes[1].wantCounter("thousand", "1000 0 0 0")
	nodes[2].wantCounter("budget", "500000000 0 500000000 0") // what was denied reserves nothing
	for _, n := range nodes {
		if err := n.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	st, err := store.OpenPostgres(t.Context(), c.Database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	recomputed(t, st)
}

func TestALimitIsExactOnOneNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := start(t, newOffice(t).config(dir))
	key := n.limits("enforce", "  thousand: {calls: 1000, window: 30d}\n")
	if got := outcomes(t, []*node{n}, key, fmt.Sprintf(webRead, ""), 1100); got["allowed"] != 1000 || got["limited"] != 100 {
		t.Errorf("of 1100 calls %v, want 1000 allowed", got)
	}
	n.wantCounter("thousand", "1000 0 0 0")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	st, err := store.OpenSQLiteReadOnly(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	recomputed(t, st)
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

// TestABudgetIsNeverOverspent: calls reserve, cost and settle all at once, and at no index is more reserved and spent than there is.
func TestABudgetIsNeverOverspent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := start(t, newOffice(t).config(dir))
	key := n.limits("enforce", "  budget: {usd: 10, reserve: 0.25, window: 30d}\n")
	var allowed atomic.Int64
	var all sync.WaitGroup
	for client := range 32 {
		all.Go(func() {
			for range 8 {
				e, err := n.try(http.MethodPost, "/v1/decisions", key, jsonType, fmt.Appendf(nil, webRead, ""))
				if err != nil {
					t.Error(err)
					return
				}
				d := e.decode(t)
				if d["outcome"] != "allow" {
					continue
				}
				allowed.Add(1)
				cost := []string{"0.2", "0.05", "0"}[client%3]
				if e, err := n.try(http.MethodPost, "/v1/decisions/"+d["id"].(string)+"/result", key, jsonType,
					fmt.Appendf(nil, `{"status":"succeeded","usage":{"model":"m","cost_usd":%s}}`, cost)); err != nil || e.status != http.StatusOK {
					t.Errorf("report: %s, %v", e.body, err)
				}
			}
		})
	}
	all.Wait()
	c := n.counter("budget", "")
	if used := c["used"].(float64); used > 10_000_000 || c["reserved_micro_usd"] != nil || int64(c["calls"].(float64)) != allowed.Load() {
		t.Errorf("%d were allowed and the budget has %v", allowed.Load(), c)
	}
	if allowed.Load() <= 40 {
		t.Errorf("only %d calls were allowed: what was reserved did not come back", allowed.Load())
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	st, err := store.OpenSQLiteReadOnly(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	recomputed(t, st)
	held, most := map[gov.EntryID]int64{}, int64(0)
	entriesOf(t, st, func(e canon.Entry) {
		total := int64(0)
		switch e.Kind {
		case canon.KindDecision:
			if d, err := canon.Body[canon.Decision](e); err == nil && len(d.Limits) == 1 {
				held[e.ID] = d.Limits[0].Reserved
			}
		case canon.KindResult:
			if r, err := canon.Body[canon.Result](e); err == nil {
				held[r.Decision] = *r.Cost.MicroUSD
			}
		default:
		}
		for _, h := range held {
			total += h
		}
		most = max(most, total)
	})
	if most > 10_000_000 || most < 9_000_000 {
		t.Errorf("at most %d millionths were reserved and spent at once, of 10000000", most)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

func entriesOf(t *testing.T, st *store.Store, fn func(canon.Entry)) {
	t.Helper()
	l := ledger.New(st, "prod", ledger.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	head, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = l.Scan(t.Context(), 0, head.Size, false, func(raw ledger.Raw) error {
		e, err := canon.Parse(raw.Bytes)
		fn(e)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// clusterOn starts nodes over one database.
func clusterOn(t *testing.T, nodes int, c app.Config) []*node {
	t.Helper()
	c.KeyFile = t.TempDir() + "/writ.key"
	out := make([]*node, nodes)
	for i := range out {
		c.Node = fmt.Sprintf("n%d", i)
		out[i] = start(t, c)
		if i > 0 {
			out[i].admin = out[0].admin
		}
	}
	return out
}

// again starts a stopped node anew.
func (n *node) again(c app.Config) *node {
	n.t.Helper()
	next := start(n.t, c)
	next.admin = n.admin
	return next
}

// TestAReservationIsSettledOnce: a crash between reservation and settlement releases nothing, and nothing is released twice.
func TestAReservationIsSettledOnce(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	key := n.limits("enforce", "  budget: {usd: 10, reserve: 2, window: 30d}\n")
	first := n.ask(key, fmt.Sprintf(webRead, `,"call_id":"c1"`), "allow")
	second := n.ask(key, fmt.Sprintf(webRead, `,"call_id":"c2"`), "allow")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	n = n.again(o.config(dir))
	n.wantCounter("budget", "4000000 0 4000000 0")
	if again := n.ask(key, fmt.Sprintf(webRead, `,"call_id":"c1"`), "allow"); again["id"] != first["id"] {
		t.Errorf("asked again it is another decision: %v", again)
	}
	const paid = `{"status":"succeeded","usage":{"model":"m","cost_usd":0.5}}`
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if e, err := n.try(http.MethodPost, "/v1/decisions/"+first["id"].(string)+"/result", key, jsonType, []byte(paid)); err != nil || e.status != http.StatusOK {
				t.Errorf("report: %s, %v", e.body, err)
			}
		})
	}
	all.Wait()
	n.wantCounter("budget", "2500000 500000 2000000 0")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	n = n.again(o.config(dir))
	if e := n.result(key, first, paid); e.status != http.StatusOK {
		t.Errorf("reported again: %s", e.body)
	}
	wantProblem(t, n.result(key, first, `{"status":"not_run"}`), http.StatusConflict, "conflict")
	n.wantCounter("budget", "2500000 500000 2000000 0")
	n.result(key, second, `{"status":"not_run"}`)
	n.ask(key, fmt.Sprintf(webRead, ""), "allow")
	n.wantCounter("budget", "2500000 500000 2000000 0") // of another call, which nobody settles
	o.clock.Add(int64(29 * 24 * time.Hour))
	n.wantCounter("budget", "2500000 500000 2000000 0")
	o.clock.Add(int64(2 * 24 * time.Hour))
	n.wantCounter("budget", "0 0 0 0") // until its window is over
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

// TestWhatACallCostAndHowThatIsKnown: prices of the bundle before those of the table, and an unknown model is unpriced, never zero.
func TestWhatACallCostAndHowThatIsKnown(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	key := n.limits("enforce", "  budget: {usd: 100, reserve: 2, window: 30d}\n")
	for _, c := range []struct{ result, cost, holds string }{
		{`{"status":"succeeded","usage":{"model":"ours","input_tokens":1000,"output_tokens":500,"cost_usd":0.25}}`, "map[micro_usd:250000 priced:reported]", "250000 250000 0 0"},
		{`{"status":"succeeded","usage":{"model":"ours","input_tokens":1000,"output_tokens":500}}`, "map[micro_usd:2000 priced:bundle]", "252000 252000 0 0"},
		{`{"status":"failed","usage":{"model":"anthropic/claude-sonnet-4-5-20250929","input_tokens":1000,"output_tokens":100}}`, "map[micro_usd:4500 priced:table table:2026-03-21]", "256500 256500 0 0"},
		{`{"status":"succeeded","usage":{"model":"nobody/knows","input_tokens":5}}`, "map[priced:unpriced]", "2256500 2256500 0 1"},
		{`{"status":"succeeded","usage":{"model":"ours"}}`, "map[priced:unpriced]", "4256500 4256500 0 2"}, // no tokens are not none
		{`{"status":"succeeded"}`, "map[priced:unpriced]", "6256500 6256500 0 3"},
		{`{"status":"unknown"}`, "map[priced:unpriced]", "8256500 8256500 0 4"},
		{`{"status":"not_run"}`, "<nil>", "8256500 8256500 0 4"},
		{`{"status":"succeeded","usage":{"model":"m","cost_usd":91}}`, "map[micro_usd:9.1e+07 priced:reported]", "99256500 99256500 0 4"}, // more than was reserved
	} {
		d := n.ask(key, fmt.Sprintf(webRead, ""), "allow")
		e := n.result(key, d, c.result)
		if got := fmt.Sprint(e.decode(t)["cost"]); e.status != http.StatusOK || got != c.cost {
			t.Errorf("%s: %s, want the cost %s", c.result, e.body, c.cost)
		}
		n.wantCounter("budget", c.holds)
	}
	denied := n.ask(key, fmt.Sprintf(webRead, `,"call_id":"c1"`), "deny")
	if got := denied["reasons"].([]any)[0].(map[string]any)["message"]; got != "The limit budget is used up: 100 USD in 30d. Try again later." {
		t.Errorf("denied: %v", got)
	}
	if again := n.ask(key, fmt.Sprintf(webRead, `,"call_id":"c1"`), "deny"); again["id"] != denied["id"] {
		t.Errorf("asked again while nothing changed it is another decision")
	}
	o.clock.Add(int64(31 * 24 * time.Hour))
	if later := n.ask(key, fmt.Sprintf(webRead, `,"call_id":"c1"`), "allow"); n.chain(later)["earlier"] != denied["id"] {
		t.Errorf("asked again when there is something left: %v", later)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

// chain is a decision as it is recorded.
func (n *node) chain(decision map[string]any) map[string]any {
	n.t.Helper()
	return n.get("/v1/decisions/"+decision["id"].(string), n.admin).decode(n.t)["decision"].(map[string]any)
}

// TestAmountsAreCountedAsTheInputSays: what moves is reserved, and comes back when it did not move.
func TestAmountsAreCountedAsTheInputSays(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	o.clock.Add(int64(o.now().Truncate(24 * time.Hour).Add(36 * time.Hour).Sub(o.now()))) // noon: the day does not end meanwhile
	n := start(t, o.config(dir))
	key := n.limits("enforce", `  sent: {tool: pay/send, usd: 100, amount: amount, window: 1d, fixed: true}
  calls: {category: money, per: agent, calls: 4, window: 1h}
`)
	pay := func(amount, more, outcome string) map[string]any {
		t.Helper()
		return n.ask(key, fmt.Sprintf(paySend, amount, more), outcome)
	}
	first := pay("60.5", "", "allow")
	if got := fmt.Sprint(n.chain(first)["limits"]); !strings.Contains(got, "amount_micro_usd:6.05e+07 id:sent") || !strings.Contains(got, "calls:1 id:calls key:bot") {
		t.Errorf("it takes %s", got)
	}
	if got := codes(pay("39.500001", "", "deny")); got != "limit" {
		t.Errorf("denied for %s", got)
	}
	for _, amount := range []string{"1e10", "-1", "0.0000001"} { // no amount that can be counted
		if d := pay(amount, "", "deny"); !strings.Contains(fmt.Sprint(d["reasons"]), "has no such amount") {
			t.Errorf("%s: %v", amount, d["reasons"])
		}
	}
	second := pay("39.5", "", "allow")
	n.wantCounter("sent", "100000000 0 100000000 0")
	n.result(key, first, `{"status":"failed"}`)
	n.result(key, second, `{"status":"succeeded","usage":{"model":"ours","input_tokens":5}}`) // what the model cost is not what moved
	n.wantCounter("sent", "39500000 39500000 0 0")
	pay("6.05e1", "", "allow")
	pay("0", "", "allow")
	if d := pay("5", "", "deny"); strings.Count(fmt.Sprint(d["reasons"]), "code:limit") != 2 { // both are full
		t.Errorf("denied for %v", d["reasons"])
	}
	o.clock.Add(int64(2 * time.Hour)) // the calls are out of their window, and the day goes on
	pay("0.000001", "", "deny")
	o.clock.Add(int64(10 * time.Hour))
	pay("100", "", "allow")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

// TestALimitComesBeforePeopleAreAsked: nobody consents to what could not run, and what people said outlives a limit.
func TestALimitComesBeforePeopleAreAsked(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	key := n.limits("enforce", "  calls: {per: principal, calls: 1, window: 1h}\n")
	const stranger = `{"agent":"bot","tool":"pay/send","input":{"amount":5,"to":"stranger"},"call_id":%q}`
	asked := n.ask(key, fmt.Sprintf(stranger, "c1"), "require_approval") // asking counts nothing
	n.ask(key, fmt.Sprintf(paySend, "1", ""), "allow")
	n.ask(key, fmt.Sprintf(stranger, "c2"), "deny")
	fay := o.signIn("fay", nil)
	n.wantVote(approvalOf(asked), fay, "approve", "approved")
	late := n.ask(key, fmt.Sprintf(stranger, "c1"), "deny")
	if again := n.ask(key, fmt.Sprintf(stranger, "c1"), "deny"); again["id"] != late["id"] {
		t.Errorf("asked again while nothing is left it is another decision")
	}
	if state := n.get("/v1/approvals/"+approvalOf(asked), n.admin).decode(t)["state"]; state != "approved" {
		t.Errorf("after a limit the request is %v", state)
	}
	other := n.key2("service:other")
	n.ask(other, fmt.Sprintf(webRead, ""), "allow") // another principal counts apart
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

// key2 is a key of the bot for another principal.
func (n *node) key2(principal string) string {
	n.t.Helper()
	_, key := n.key("bot", principal)
	return key
}

// TestWhatPeopleSaidOutlivesALimit: denied for a limit in between, an approved call still runs once there is something left.
func TestWhatPeopleSaidOutlivesALimit(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	key := n.limits("enforce", "  calls: {calls: 1, window: 1m}\n")
	const stranger = `{"agent":"bot","tool":"pay/send","input":{"amount":5,"to":"stranger"},"call_id":"c1"}`
	asked := n.ask(key, stranger, "require_approval")
	n.ask(key, fmt.Sprintf(webRead, ""), "allow")
	n.wantVote(approvalOf(asked), o.signIn("fay", nil), "approve", "approved")
	n.ask(key, stranger, "deny")
	o.clock.Add(int64(2 * time.Minute))
	ran := n.ask(key, stranger, "allow")
	if got := n.chain(ran); got["approved"] != asked["id"] || codes(ran) != "approval_granted policy_permit" {
		t.Errorf("it ran by %v", got)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

// TestObserveModeCountsAndLetsPass: what would be denied for a limit is said, and runs, and is counted.
func TestObserveModeCountsAndLetsPass(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	key := n.limits("observe", "  calls: {calls: 2, window: 1h}\n")
	for i := range 4 {
		d := n.ask(key, fmt.Sprintf(webRead, ""), "allow")
		if would := d["would"]; (would == "deny") != (i >= 2) {
			t.Errorf("call %d would be %v", i, would)
		}
	}
	n.wantCounter("calls", "4 0 0 0")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

// TestPeopleAreToldWhenALimitRunsShort: once in a window, by an entry.
func TestPeopleAreToldWhenALimitRunsShort(t *testing.T) {
	t.Parallel()
	o, dir, p := newOffice(t), t.TempDir(), newPager(t)
	n := start(t, o.paged(dir, p))
	key := n.limits("enforce", "  calls: {calls: 4, window: 1h, warn_at: 50}\n  budget: {usd: 1, reserve: 0.1, window: 1h, warn_at: 60}\n")
	n.ask(key, fmt.Sprintf(webRead, ""), "allow")
	d := n.ask(key, fmt.Sprintf(webRead, ""), "allow")
	var warned []map[string]any
	warnings := func(want int) func() bool {
		return func() bool {
			warned = entries(n, n.admin, "prod", "limit_warning")
			return len(warned) == want
		}
	}
	eventually(t, "a warning", warnings(1))
	n.ask(key, fmt.Sprintf(webRead, ""), "allow")
	n.result(key, d, `{"status":"succeeded","usage":{"model":"m","cost_usd":0.5}}`)
	eventually(t, "a warning of the budget", warnings(2))
	text := fmt.Sprint(warned)
	for _, want := range []string{"limit:calls", "warn_calls:2", "limit:budget", "micro_usd:700000", "warn_micro_usd:600000"} {
		if !strings.Contains(text, want) {
			t.Errorf("the warnings are %s, want %s", text, want)
		}
	}
	p.wants("limit_warning calls", "limit_warning budget")
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, got := range p.got {
		if text := fmt.Sprint(got); !strings.Contains(text, "The limit calls in prod has ") && !strings.Contains(text, "The limit budget in prod has 0.7 USD in its 1h") || !strings.Contains(text, "/console/limits?environment=prod&id=") {
			t.Errorf("people are told %s", text)
		}
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

// TestAnotherBundleCountsOn: more of the same goes on counting, another window begins anew.
func TestAnotherBundleCountsOn(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	key := n.limits("enforce", "  calls: {calls: 2, window: 1h}\n  budget: {usd: 10, reserve: 1, window: 1h}\n")
	d := n.ask(key, fmt.Sprintf(webRead, ""), "allow")
	n.ask(key, fmt.Sprintf(webRead, ""), "allow")
	n.ask(key, fmt.Sprintf(webRead, ""), "deny")
	ana, lea := o.signIn("ana", nil), o.signIn("lea", nil)
	change := func(limits string) {
		t.Helper()
		id := wantState(t, n.propose(ana, "other limits", limited(t, "enforce", limits)), "proposed")["id"].(string)
		wantState(t, n.review(id, lea, "approve"), "approved")
		if e := n.post("/v1/changes/"+id+"/activate", ana, ""); e.status != http.StatusOK {
			t.Fatalf("activate: %s", e.body)
		}
	}
	change("  calls: {calls: 3, window: 1h}\n  budget: {usd: 10, reserve: 1, window: 2h}\n")
	n.ask(key, fmt.Sprintf(webRead, ""), "allow")
	n.ask(key, fmt.Sprintf(webRead, ""), "deny")
	n.result(key, d, `{"status":"succeeded","usage":{"model":"m","cost_usd":0.5}}`) // counted where it was reserved, which nobody looks at
	n.wantCounter("budget", "1000000 0 1000000 0")
	change("  calls: {calls: 3, window: 2h}\n")
	n.ask(key, fmt.Sprintf(webRead, ""), "allow")
	n.wantCounter("calls", "1 0 0 0")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

// TestReplayFindsWhatNoLimitAllowed: decisions that were never made, or otherwise, in the ledger of a stopped node.
func TestReplayFindsWhatNoLimitAllowed(t *testing.T) {
	t.Parallel()
	known, none := int64(0), &canon.Cost{}
	none.MicroUSD, none.Priced = &known, gov.PricedReported
	for name, c := range map[string]struct {
		made  int // of two that are allowed
		forge func(d *canon.Decision)
		free  bool // the first one came to nothing
		want  []string
	}{
		"one more than allowed":      {2, func(*canon.Decision) {}, false, []string{"outcome was recorded as allow and comes out as deny"}},
		"the last one":               {1, func(*canon.Decision) {}, false, nil},
		"one that takes nothing":     {1, func(d *canon.Decision) { d.Limits = nil }, false, []string{"limits was recorded as []"}},
		"one that takes less":        {1, func(d *canon.Decision) { d.Limits[0].Reserved = 1 }, false, []string{"limits was recorded as"}},
		"of another limit":           {1, func(d *canon.Decision) { d.Limits[0].ID = "other" }, false, []string{"limits was recorded as"}},
		"a denial with some left":    {1, denied, false, []string{"outcome was recorded as deny and comes out as allow"}},
		"a denial with nothing left": {2, denied, false, nil},
		"after one came to nothing":  {2, func(*canon.Decision) {}, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			n := start(t, newOffice(t).config(dir))
			n.tampered = true
			key := n.limits("enforce", "  budget: {usd: 4, reserve: 2, window: 30d}\n")
			var last map[string]any
			for range c.made {
				last = n.ask(key, fmt.Sprintf(webRead, ""), "allow")
			}
			if err := n.Stop(); err != nil {
				t.Fatal(err)
			}
			f := forge(t, dir)
			item, err := f.ByID(t.Context(), gov.EntryID(last["id"].(string)))
			if err != nil {
				t.Fatal(err)
			}
			payload, err := f.Payload(t.Context(), item.Index)
			if err != nil {
				t.Fatal(err)
			}
			d, err := canon.Body[canon.Decision](item.Entry)
			if err != nil {
				t.Fatal(err)
			}
			if c.free {
				f.append(canon.KindResult, item.Actor, canon.Result{Decision: item.ID, Credential: d.Credential, Status: gov.ResultSucceeded, Cost: none})
			}
			c.forge(&d)
			f.appendWith(canon.KindDecision, item.Actor, d, payload)
			f.wants(c.want...)
		})
	}
}

// denied makes a decision one that was denied for its limit.
func denied(d *canon.Decision) {
	d.Outcome, d.Policies, d.Limits = gov.OutcomeDeny, []gov.PolicyID{}, nil
	d.Reasons = []gov.Reason{{Code: gov.ReasonLimit, Message: "The limit budget is used up: 4 USD in 30d. Try again later."}}
}

// TestThePageOfLimitsSaysWhatIsLeft, and what has no price.
func TestThePageOfLimitsSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	o, n := newConsole(t)
	_, key := n.key("support-bot", "runs_as")
	paid := n.ask(key, fmt.Sprintf(refund, 90, ""), "allow")
	n.result(key, paid, `{"status":"succeeded","usage":{"model":"anthropic/claude-sonnet-4-5","input_tokens":1000,"output_tokens":100}}`)
	unknown := n.ask(key, fmt.Sprintf(refund, 10, ""), "allow")
	n.result(key, unknown, `{"status":"succeeded","usage":{"model":"nobody/knows","input_tokens":1}}`)
	vera := n.browser().signIn(o, "vera")
	vera.get("/console/limits").want(t, http.StatusOK, "refunded-per-day", "<span>100 of 100", "2 of 200", "1 unpriced", "0.20405 of 150 USD", `<meter min="0" max="150000000" high="120000000" value="204050"`, "support-bot")
	vera.get("/console/limits?id=support-budget").want(t, http.StatusOK, "support-budget")
	vera.get("/console/decisions/"+paid["id"].(string)).want(t, http.StatusOK, "reserves 0.20 USD", "cost 0.00405 USD, bundle")
	vera.get("/console/decisions/"+unknown["id"].(string)).want(t, http.StatusOK, "unpriced")
	wantProblem(t, n.get("/v1/limits?environment=prod&tool=x", n.admin), http.StatusBadRequest, "unknown_field")
	for query, want := range map[string]int{"": 7, "&agent=finance-bot": 5, "&id=support-budget": 1, "&id=none": 0} {
		if got := n.get("/v1/limits?environment=prod"+query, n.admin).decode(t)["limits"].([]any); len(got) != want {
			t.Errorf("limits%s: %d, want %d", query, len(got), want)
		}
	}
}

// TestABacktestCountsLimits: those of the proposal, of what was allowed, amounts and costs too.
func TestABacktestCountsLimits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := start(t, newOffice(t).config(dir))
	key := n.limits("enforce", "  calls: {tool: web/read, calls: 5, window: 30d}\n")
	for i := range 7 {
		outcome := "allow"
		if i >= 5 {
			outcome = "deny"
		}
		d := n.ask(key, fmt.Sprintf(webRead, ""), outcome)
		if outcome == "allow" {
			n.result(key, d, `{"status":"succeeded","usage":{"model":"m","cost_usd":0.25}}`)
		}
	}
	for _, amount := range []string{"40", "40", "40", "20"} { // of 100 the third is too much, and does not count: the last one fits
		n.ask(key, fmt.Sprintf(paySend, amount, ""), "allow")
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
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
	for limits, want := range map[string]string{
		"  calls: {tool: web/read, calls: 3, window: 30d}\n":                                  "map[allow to deny:2]",
		"  calls: {tool: web/read, calls: 9, window: 30d}\n":                                  "map[deny to allow:2]",
		"  sent: {tool: pay/send, usd: 100, amount: amount, window: 30d}\n":                   "map[allow to deny:1 deny to allow:2]",
		"  budget: {usd: 0.9, reserve: 0.2, window: 30d}\n":                                   "map[allow to deny:6]", // three cost 0.75, which leaves less than 0.2
		"  early: {tool: web/read, calls: 3, window: 30d}\n  budget: {usd: 9, window: 30d}\n": "map[allow to deny:2]",
	} {
		engine, err := live.Compile(limited(t, "enforce", limits))
		if err != nil {
			t.Fatal(err)
		}
		got, err := replay.Backtest(t.Context(), l, compile, replay.Range{To: size}, engine, app.Parallel(2), func(int64) {})
		if err != nil || fmt.Sprint(got.Flipped) != want || got.Limits == 0 {
			t.Errorf("%s: %v, %v, want %s", limits, got.Flipped, err, want)
		}
	}
}
