package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/app"
)

// engage stops what a scope says and gives the switch.
func (n *node) engage(token, scope string) map[string]any {
	n.t.Helper()
	e := n.post("/v1/switches", token, `{"environment":"prod","reason":"It ran wild.",`+scope+`}`)
	if e.status != http.StatusOK {
		n.t.Fatalf("engage %s: %s", scope, e.body)
	}
	return e.decode(n.t)["switches"].([]any)[0].(map[string]any)
}

func (n *node) stage(id any, token, step string) exchange {
	n.t.Helper()
	return n.post(fmt.Sprintf("/v1/switches/%v/stage", id), token, `{"reason":"It is mended.",`+step+`}`)
}

func (n *node) release(id any, token string) exchange {
	n.t.Helper()
	return n.send(http.MethodDelete, fmt.Sprintf("/v1/switches/%v", id), token, jsonType, []byte(`{"reason":"It is mended."}`))
}

func wantStage(t *testing.T, e exchange, state, stage string) map[string]any {
	t.Helper()
	m := e.decode(t)
	if e.status != http.StatusOK || m["state"] != state || m["stage"] != stage {
		t.Fatalf("%d %s, want the switch %s at %s", e.status, e.body, state, stage)
	}
	return m
}

func TestASwitchStopsWhatItSaysAndNothingElse(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	_, research := n.key("research-agent", "runs_as")
	omar := o.signIn("omar", nil)
	read, other := fmt.Sprintf(readTicket, `,"session":"s1"`), fmt.Sprintf(readTicket, `,"session":"s2"`)
	browse := `{"agent":"research-agent","tool":"web/fetch","input":{"host":"en.wikipedia.org","path":"/wiki/Go"}}`
	for _, c := range []struct{ scope, stops, passes string }{
		{`"all":true`, read, ""},
		{`"agent":"support-bot"`, read, browse},
		{`"tool":"zendesk/read_ticket"`, read, browse},
		{`"category":"read_only"`, read, ""},
		{`"session":"s1"`, read, other},
		{`"principal":{"type":"service","id":"support-desk"}`, read, browse},
	} {
		n.ask(key, read, "allow")
		sw := n.engage(omar, c.scope)
		d := n.ask(key, c.stops, "deny")
		if got := codes(d); got != "switch" || !strings.Contains(fmt.Sprint(d["reasons"]), "It ran wild.") {
			t.Errorf("%s: denied for %v", c.scope, d["reasons"])
		}
		if c.passes != "" {
			k := key
			if strings.Contains(c.passes, "research") {
				k = research
			}
			n.ask(k, c.passes, "allow")
		}
		if at := d["receipt"].(map[string]any)["index"].(float64); at <= sw["index"].(float64) {
			t.Errorf("%s: denied at %v, engaged at %v", c.scope, at, sw["index"])
		}
		if again := n.engage(omar, c.scope); again["id"] != sw["id"] {
			t.Errorf("%s engaged twice: %v and %v", c.scope, sw["id"], again["id"])
		}
		wantStage(t, n.release(sw["id"], omar), "released", "released")
		wantProblem(t, n.release(sw["id"], omar), 409, "conflict")
		n.ask(key, c.stops, "allow")
	}
	for _, wrong := range []string{`"agent":"a","tool":"b/c"`, `"people":1`, `"category":"maney"`, `"all":true,"people":3`, `"all":true,"expires_at":"2020-01-01T00:00:00Z"`, `"all":true,"everywhere":true`} {
		wantProblem(t, n.post("/v1/switches", omar, `{"environment":"prod","reason":"x",`+wrong+`}`), 400, "invalid_field")
	}
	wantProblem(t, n.post("/v1/switches", omar, `{"environment":"prod","all":true}`), 400, "invalid_field")
	wantProblem(t, n.post("/v1/switches", o.signIn("ana", nil), `{"environment":"prod","reason":"x","all":true}`), 403, "forbidden")
	wantProblem(t, n.post("/v1/switches", key, `{"environment":"prod","reason":"x","all":true}`), 403, "forbidden")
	impact := n.get("/v1/switches/impact?environment=prod&category=read_only", omar).decode(t)
	if !strings.Contains(fmt.Sprint(impact["tools"]), "zendesk/read_ticket") || !strings.Contains(fmt.Sprint(impact["agents"]), "support-bot") {
		t.Errorf("it would stop %v", impact)
	}
	eventually(t, "the calls are counted", func() bool {
		return n.get("/v1/switches/impact?environment=prod&agent=support-bot", omar).decode(t)["calls"].(float64) >= 18
	})
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

func TestASwitchOutlivesTheProcessAndItsTimeEndsIt(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	admin := n.admin
	_, key := n.key("support-bot", "runs_as")
	until := o.now().Add(10 * time.Minute).UTC().Format(time.RFC3339)
	sw := n.engage(n.admin, `"agent":"support-bot","expires_at":"`+until+`"`)
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	n = start(t, o.config(dir))
	n.admin = admin
	n.ask(key, fmt.Sprintf(readTicket, ""), "deny")
	o.clock.Add(int64(11 * time.Minute))
	n.ask(key, fmt.Sprintf(readTicket, ""), "allow")
	eventually(t, "the end is recorded", func() bool {
		return len(entries(n, n.admin, "prod", "switch_released")) == 1
	})
	wantStage(t, n.get(fmt.Sprintf("/v1/switches/%v", sw["id"]), n.admin), "expired", "released")
	if list := n.get("/v1/switches?environment=prod&state=expired", n.admin).decode(t)["switches"].([]any); len(list) != 1 {
		t.Errorf("expired are %v", list)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

// TestAStopEverywhereGoesOnBehindWhatItMayNotStop: who responds in one environment stops that one, and is told of the other.
func TestAStopEverywhereGoesOnBehindWhatItMayNotStop(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	other := acmeWith(t, "writ.yaml", "  responder: [security]", "  responder: [engineering]")
	if e := n.send(http.MethodPost, "/v1/bundles?environment=staging", n.admin, "application/x-tar", other); e.status != http.StatusOK {
		t.Fatalf("staging: %s", e.body)
	}
	dev := o.signIn("dev", nil) // of engineering: responds in staging, which comes behind prod
	e := n.post("/v1/switches", dev, `{"everywhere":true,"all":true,"reason":"Until we know."}`)
	if m := e.decode(t); e.status != http.StatusForbidden || !strings.Contains(fmt.Sprint(m["detail"]), "stopped in 1 environments (staging)") {
		t.Errorf("everywhere: %d %s", e.status, e.body)
	}
	n.ask(key, fmt.Sprintf(readTicket, ""), "allow")
	if e := n.post("/v1/switches", n.admin, `{"everywhere":true,"all":true,"reason":"Until we know."}`); e.status != http.StatusOK || len(e.decode(t)["switches"].([]any)) != 2 {
		t.Errorf("everywhere: %d %s", e.status, e.body)
	}
	n.ask(key, fmt.Sprintf(readTicket, ""), "deny")
}

func TestRecoveryGoesInStagesAndMayTakeTwoPeople(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	omar, lena := o.signIn("omar", nil), o.signIn("lena", nil)
	call := func(i int) string { return fmt.Sprintf(readTicket, fmt.Sprintf(`,"session":"s%d"`, i)) }

	sw := n.engage(omar, `"agent":"support-bot","people":2`)["id"]
	wantStage(t, n.stage(sw, omar, `"stage":"observe"`), "engaged", "observe") // lets nothing pass: one is enough
	if d := n.ask(key, call(0), "deny"); d["would"] != "allow" {
		t.Errorf("observed: would be %v", d["would"])
	}
	if d := n.ask(key, `{"agent":"support-bot","tool":"social/post","input":{"text":"hi"}}`, "deny"); d["would"] != "deny" {
		t.Errorf("observed, and not on the list: would be %v", d["would"])
	}
	n.engage(omar, `"tool":"slack/send"`) // beside it, another one that stops
	wantStage(t, n.stage(sw, omar, `"stage":"share","share":40`), "engaged", "observe")
	n.ask(key, call(0), "deny")
	m := wantStage(t, n.stage(sw, omar, `"stage":"share","share":40`), "engaged", "observe") // they said so before
	if by := m["proposed"].(map[string]any)["by"].([]any); len(by) != 1 {
		t.Errorf("proposed by %v", by)
	}
	wantProblem(t, n.stage(sw, n.admin, `"stage":"share","share":40`), 403, "forbidden")
	wantStage(t, n.stage(sw, lena, `"stage":"share","share":40`), "engaged", "share")
	passed := map[int]bool{}
	for i := range 60 {
		e := n.post("/v1/decisions", key, call(i)).decode(t)
		passed[i] = e["outcome"] == "allow"
	}
	n1 := 0
	for i, p := range passed {
		if p {
			n1++
		}
		if again := n.post("/v1/decisions", key, call(i)).decode(t)["outcome"] == "allow"; again != p {
			t.Errorf("session %d passed: %t, then %t", i, p, again)
		}
	}
	if n1 < 10 || n1 > 40 {
		t.Errorf("%d of 60 sessions passed at a share of 40 of 100", n1)
	}
	wantStage(t, n.stage(sw, omar, `"stage":"stopped"`), "engaged", "stopped") // back, by one
	n.ask(key, call(0), "deny")
	wantStage(t, n.release(sw, lena), "engaged", "stopped")
	wantStage(t, n.release(sw, omar), "released", "released")
	n.ask(key, call(0), "allow")
	stale := o.signIn("omar", map[string]any{"auth_time": o.now().Add(-time.Hour).Unix()})
	again := n.engage(stale, `"agent":"support-bot"`)["id"] // to stop, nobody signs in anew
	wantProblem(t, n.release(again, stale), 403, "sign_in_stale")
	wantStage(t, n.release(again, n.admin), "released", "released")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

func TestASwitchFreezesWhatWaits(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	tom, yuki, omar := o.signIn("tom", nil), o.signIn("yuki", nil), o.signIn("omar", nil)
	id := approvalOf(n.ask(key, fmt.Sprintf(refund, 900, `,"call_id":"c1"`), "require_approval"))
	ready := approvalOf(n.ask(key, fmt.Sprintf(refund, 800, `,"call_id":"c2"`), "require_approval"))
	denied := approvalOf(n.ask(key, fmt.Sprintf(refund, 700, `,"call_id":"c3"`), "require_approval"))
	n.wantVote(ready, tom, "approve", "approved")
	standing := n.delegate(tom, o.refunds(nil))
	sw := n.engage(omar, `"category":"money"`)
	wantProblem(t, n.vote(id, tom, "approve"), 409, "approval_frozen")
	wantProblem(t, n.voteDelegation(standing, yuki, "approve"), 409, "approval_frozen")
	if got := n.request(id, tom, ""); got["frozen"] != sw["id"] || got["state"] != "pending" {
		t.Errorf("the request is %v, frozen by %v", got["state"], got["frozen"])
	}
	n.wantVote(denied, tom, "deny", "denied") // nobody has to wait to say no
	n.ask(key, fmt.Sprintf(refund, 800, `,"call_id":"c2"`), "deny")
	if got := n.request(ready, tom, "")["state"]; got != "approved" {
		t.Errorf("the request that a stopped call would have consumed is %v", got)
	}
	wantStage(t, n.release(sw["id"], omar), "released", "released")
	n.wantVote(id, tom, "approve", "approved")
	n.ask(key, fmt.Sprintf(refund, 900, `,"call_id":"c1"`), "allow")
	n.ask(key, fmt.Sprintf(refund, 800, `,"call_id":"c2"`), "allow")
	n.wantDelegation(n.voteDelegation(standing, yuki, "approve"), "granted")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

// TestASwitchIsExactOnThreeNodes: behind its index nobody is allowed anything, whichever node is asked, and once its command is
// answered no call that begins is allowed.
func TestASwitchIsExactOnThreeNodes(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3, app.Config{})
	// A fast machine asks for so many calls that the example's limits would stop them before the switch does.
	roomy := acmeWith(t, "limits.yaml", "calls: 6000", "calls: 1000000", "usd: 150,", "usd: 1000000,")
	if e := nodes[0].send(http.MethodPost, "/v1/bundles?environment=prod", nodes[0].admin, "application/x-tar", roomy); e.status != http.StatusOK {
		t.Fatalf("activate: %s", e.body)
	}
	_, key := nodes[0].key("support-bot", "runs_as")
	for round := range 6 {
		var last, allowed, late atomic.Int64
		var stopped, stop atomic.Bool
		var group sync.WaitGroup
		for w := range 12 {
			group.Go(func() {
				for !stop.Load() {
					after := stopped.Load()
					e, err := nodes[w%3].try(http.MethodPost, "/v1/decisions", key, jsonType, fmt.Appendf(nil, readTicket, fmt.Sprintf(`,"session":"w%d"`, w)))
					if err != nil {
						t.Error(err)
						return
					}
					var a struct {
						Outcome string `json:"outcome"`
						Receipt struct {
							Index int64 `json:"index"`
						} `json:"receipt"`
					}
					if err := json.Unmarshal(e.body, &a); err != nil || a.Outcome != "allow" {
						continue
					}
					allowed.Add(1)
					if after {
						late.Add(1)
					}
					for old := last.Load(); a.Receipt.Index > old && !last.CompareAndSwap(old, a.Receipt.Index); old = last.Load() {
					}
				}
			})
		}
		eventually(t, "some load", func() bool { return allowed.Load() > 100 })
		sw := nodes[round%3].engage(nodes[0].admin, `"agent":"support-bot"`)
		stopped.Store(true)
		before := last.Load()
		eventually(t, "a denial", func() bool {
			return nodes[(round+1)%3].post("/v1/decisions", key, fmt.Sprintf(readTicket, "")).decode(t)["outcome"] == "deny"
		})
		stop.Store(true)
		group.Wait()
		if engaged := int64(sw["index"].(float64)); last.Load() > engaged || before > engaged {
			t.Errorf("engaged at index %d, the last allow has %d", engaged, last.Load())
		}
		if late.Load() > 0 {
			t.Errorf("%d calls that began after the command was answered were allowed", late.Load())
		}
		wantStage(t, nodes[(round+2)%3].release(sw["id"], nodes[0].admin), "released", "released")
	}
}
