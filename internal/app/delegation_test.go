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
)

// refunds is a request for a standing consent to refunds, with fields replaced or added, and removed by nil.
func (o *office) refunds(with map[string]any) string {
	return o.delegation(map[string]any{"policy": "refunds-over-500", "agent": "support-bot", "tool": "stripe/refund", "when": "context.input.amount < 1000"}, with)
}

func (o *office) delegation(fields ...map[string]any) string {
	all := map[string]any{"environment": "prod", "until": o.now().Add(20 * time.Minute).UTC().Format(time.RFC3339), "reason": "the outage of Monday"}
	for _, with := range fields {
		for name, v := range with {
			if all[name] = v; v == nil {
				delete(all, name)
			}
		}
	}
	body, err := json.Marshal(all)
	if err != nil {
		o.t.Fatal(err)
	}
	return string(body)
}

// delegate asks for a standing consent and gives its id.
func (n *node) delegate(token, body string) string {
	n.t.Helper()
	e := n.post("/v1/delegations", token, body)
	if e.status != http.StatusOK || e.decode(n.t)["state"] != "pending" {
		n.t.Fatalf("delegate %s: %d %s", body, e.status, e.body)
	}
	return e.decode(n.t)["id"].(string)
}

func (n *node) delegation(id string) map[string]any {
	n.t.Helper()
	e := n.get("/v1/delegations/"+id, n.admin)
	if e.status != http.StatusOK {
		n.t.Fatalf("delegation %s: %s", id, e.body)
	}
	return e.decode(n.t)
}

func (n *node) voteDelegation(id, token, vote string) exchange {
	n.t.Helper()
	return n.post("/v1/delegations/"+id+"/votes", token, fmt.Sprintf(`{"vote":%q,"shown":%q,"comment":"for the outage"}`, vote, n.delegation(id)["shown"]))
}

func (n *node) wantDelegation(e exchange, state string) {
	n.t.Helper()
	if e.status != http.StatusOK || e.decode(n.t)["state"] != state {
		n.t.Fatalf("%d %s, want the delegation %s", e.status, e.body, state)
	}
}

// grant asks for a standing consent, has it granted, and gives its id.
func (n *node) grant(asks, body string, voters ...string) string {
	n.t.Helper()
	id := n.delegate(asks, body)
	for i, voter := range voters {
		state := "pending"
		if i == len(voters)-1 {
			state = "granted"
		}
		n.wantDelegation(n.voteDelegation(id, voter, "approve"), state)
	}
	return id
}

func (n *node) end(id, token, reason string) exchange {
	n.t.Helper()
	return n.send(http.MethodDelete, "/v1/delegations/"+id, token, jsonType, fmt.Appendf(nil, `{"reason":%q}`, reason))
}

func codes(decision map[string]any) string {
	var out []string
	for _, r := range decision["reasons"].([]any) {
		out = append(out, r.(map[string]any)["code"].(string))
	}
	return strings.Join(out, " ")
}

func TestAStandingConsentLiftsItsGateAndNothingElse(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	_, finance := n.key("finance-bot", "user:tom")
	_, coding := n.key("coding-agent", "user:dev")
	tom, yuki, omar, lena := o.signIn("tom", nil), o.signIn("yuki", nil), o.signIn("omar", nil), o.signIn("lena", nil)

	id := n.delegate(tom, o.refunds(map[string]any{"uses_max": 3}))
	n.ask(key, fmt.Sprintf(refund, 900, ""), "require_approval")
	n.wantDelegation(n.voteDelegation(id, yuki, "approve"), "granted")
	n.wantDelegation(n.voteDelegation(id, yuki, "approve"), "granted") // the same vote again is the same vote
	first := n.ask(key, fmt.Sprintf(refund, 900, `,"call_id":"c1"`), "allow")
	if got := codes(first); got != "approval_delegated policy_permit" {
		t.Errorf("allowed for %s", got)
	}
	if again := n.ask(key, fmt.Sprintf(refund, 900, `,"call_id":"c1"`), "allow"); again["id"] != first["id"] {
		t.Errorf("asked again: %v, want the same decision %v", again["id"], first["id"])
	}
	chain := n.get("/v1/decisions/"+first["id"].(string), n.admin).decode(t)["decision"].(map[string]any)
	if fmt.Sprint(chain["delegations"]) != "["+id+"]" || chain["approved"] != nil {
		t.Errorf("the decision names %v", chain["delegations"])
	}
	n.ask(key, fmt.Sprintf(refund, 1000, ""), "require_approval") // more than people consented to
	n.ask(key, fmt.Sprintf(refund, 100, ""), "allow")             // nobody is asked: it is not used
	n.ask(finance, strings.Replace(fmt.Sprintf(refund, 900, ""), "support-bot", "finance-bot", 1), "require_approval")
	if d := n.delegation(id); d["uses"] != 1.0 || d["state"] != "granted" || d["reason"] != "the outage of Monday" || !strings.Contains(d["text"].(string), `@id("refunds-over-500")`) {
		t.Errorf("the delegation is %v", d)
	}
	n.ask(key, fmt.Sprintf(refund, 999, ""), "allow")
	n.ask(key, fmt.Sprintf(refund, 501, ""), "allow")
	n.ask(key, fmt.Sprintf(refund, 501, ""), "require_approval") // used up
	if d := n.delegation(id); d["uses"] != 3.0 || d["state"] != "used_up" {
		t.Errorf("the delegation is %v", d)
	}
	wantProblem(t, n.end(id, tom, ""), 409, "approval_closed")
	if list := n.get("/v1/delegations?environment=prod&state=used_up", yuki).decode(t)["delegations"].([]any); len(list) != 1 {
		t.Errorf("used up are %v", list)
	}

	secret, role := `{"agent":"coding-agent","tool":"vault/read_secret","input":{"path":"ci/token"}}`, `{"agent":"coding-agent","tool":"iam/grant_role","input":{"user":"dev","role":"viewer","hours":1}}`
	n.grant(omar, o.delegation(map[string]any{"policy": "access-is-granted-by-security", "agent": "coding-agent", "tool": "vault/read_secret"}), lena)
	n.ask(coding, secret, "allow")
	n.ask(coding, role, "require_approval") // another tool of the same gate
	n.ask(coding, strings.Replace(secret, "ci/token", "root/token", 1), "deny")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

func TestWhatEndsAStandingConsent(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	tom, yuki, maria, omar, ana := o.signIn("tom", nil), o.signIn("yuki", nil), o.signIn("maria", nil), o.signIn("omar", nil), o.signIn("ana", nil)
	lifted := func(outcome string) { t.Helper(); n.ask(key, fmt.Sprintf(refund, 900, ""), outcome) }

	ended := n.grant(tom, o.refunds(nil), yuki)
	lifted("allow")
	wantProblem(t, n.end(ended, ana, ""), 403, "not_eligible")
	wantProblem(t, n.end(ended, n.admin, ""), 403, "forbidden")
	n.wantDelegation(n.end(ended, maria, "it is over"), "ended") // anybody of finance
	lifted("require_approval")
	wantProblem(t, n.end(ended, maria, ""), 409, "approval_closed")
	wantProblem(t, n.voteDelegation(ended, maria, "approve"), 409, "approval_closed")

	withdrawn := n.delegate(tom, o.refunds(nil))
	n.wantDelegation(n.end(withdrawn, omar, "not during an incident"), "ended") // a responder
	wantProblem(t, n.voteDelegation(withdrawn, yuki, "approve"), 409, "approval_closed")
	denied := n.delegate(tom, o.refunds(nil))
	n.wantDelegation(n.voteDelegation(denied, yuki, "deny"), "denied")
	wantProblem(t, n.voteDelegation(denied, maria, "approve"), 409, "approval_closed")
	lifted("require_approval")

	lapsed, waits := n.grant(tom, o.refunds(nil), yuki), n.delegate(tom, o.refunds(nil))
	lifted("allow")
	change := wantState(t, n.propose(ana, "Plainer words", acmeWith(t, refundsFile, oldReason, newReason)), "proposed")["id"].(string)
	wantState(t, n.review(change, maria, "approve"), "approved")
	n.post("/v1/changes/"+change+"/activate", ana, "")
	lifted("require_approval")
	wantProblem(t, n.voteDelegation(waits, yuki, "approve"), 409, "approval_closed")
	if e := n.post("/v1/changes/rollback", omar, `{"environment":"prod","reason":"confusing"}`); e.status != http.StatusOK {
		t.Fatalf("roll back: %s", e.body)
	}
	lifted("require_approval") // people did not consent to what came back
	if got := n.delegation(lapsed)["state"]; got != "lapsed" {
		t.Errorf("after another policy the delegation is %v", got)
	}
	if list := n.get("/v1/delegations?environment=prod&state=lapsed", n.admin).decode(t)["delegations"].([]any); len(list) != 1 {
		t.Errorf("lapsed are %v", list)
	}

	soon := map[string]any{"until": o.now().Add(3 * time.Minute).UTC().Format(time.RFC3339)}
	over := n.grant(tom, o.refunds(soon), yuki)
	lifted("allow")
	expires := n.delegate(tom, o.refunds(soon))
	o.clock.Add(int64(2 * time.Minute))
	lifted("allow")
	o.clock.Add(int64(time.Minute))
	lifted("require_approval")
	if a, b := n.delegation(over)["state"], n.delegation(expires)["state"]; a != "over" || b != "expired" {
		t.Errorf("after their time they are %v and %v", a, b)
	}
	n.grant(tom, o.refunds(nil), yuki) // what is over is forgotten with this one
	lifted("allow")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

func TestWhoMayNotDelegate(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	_, forTom := n.key("finance-bot", "user:tom")
	_, forYuki := n.key("finance-bot", "user:yuki")
	_, forOther := n.key("finance-bot", "user:other")
	tom, yuki, maria := o.signIn("tom", nil), o.signIn("yuki", nil), o.signIn("maria", nil)
	for name, c := range map[string]struct {
		token, body, code, path string
		status                  int
	}{
		"an agent":                    {key, o.refunds(nil), "forbidden", "", 403},
		"an administrator's token":    {n.admin, o.refunds(nil), "forbidden", "", 403},
		"a person who is not asked":   {o.signIn("ana", nil), o.refunds(nil), "not_eligible", "", 403},
		"a policy that does not ask":  {tom, o.refunds(map[string]any{"policy": "support-refunds"}), "invalid_field", "/policy", 400},
		"a policy that is not there":  {tom, o.refunds(map[string]any{"policy": "nothing"}), "invalid_field", "/policy", 400},
		"a gate that wants passkeys":  {o.signIn("lena", nil), o.refunds(map[string]any{"policy": "deletion-is-for-two"}), "invalid_field", "/policy", 400},
		"an agent that is not there":  {tom, o.refunds(map[string]any{"agent": "nobody"}), "invalid_field", "/agent", 400},
		"a tool that it does not get": {tom, o.refunds(map[string]any{"tool": "bank/transfer"}), "invalid_field", "/tool", 400},
		"a condition without a tool":  {tom, o.refunds(map[string]any{"tool": nil}), "invalid_field", "/when", 400},
		"a condition of another type": {tom, o.refunds(map[string]any{"when": `context.input.amount < "1000"`}), "invalid_field", "/when", 400},
		"a field that is not there":   {tom, o.refunds(map[string]any{"when": `context.input.total < 1000`}), "invalid_field", "/when", 400},
		"more than a condition":       {tom, o.refunds(map[string]any{"when": `true }; permit (principal, action, resource) when { true`}), "invalid_field", "/when", 400},
		"a day and a bit":             {tom, o.refunds(map[string]any{"until": o.now().Add(24*time.Hour + time.Minute).UTC().Format(time.RFC3339)}), "invalid_field", "/until", 400},
		"the past":                    {tom, o.refunds(map[string]any{"until": o.now().Add(-time.Minute).UTC().Format(time.RFC3339)}), "invalid_field", "/until", 400},
		"no use":                      {tom, o.refunds(map[string]any{"uses_max": 0}), "invalid_field", "/uses_max", 400},
		"more uses than counted":      {tom, o.refunds(map[string]any{"uses_max": 1001}), "invalid_field", "/uses_max", 400},
		"no reason":                   {tom, o.refunds(map[string]any{"reason": " "}), "invalid_field", "/reason", 400},
		"an unknown field":            {tom, o.refunds(map[string]any{"for": "tom"}), "unknown_field", "/for", 400},
	} {
		if e := n.post("/v1/delegations", c.token, c.body); e.status != c.status || e.decode(t)["code"] != c.code || c.path != "" && e.decode(t)["path"] != c.path {
			t.Errorf("%s: %d %s, want %d %s %s", name, e.status, e.body, c.status, c.code, c.path)
		}
	}

	transfers := map[string]any{"policy": "transfers-over-10000", "agent": "finance-bot", "tool": "bank/transfer"}
	id := n.delegate(tom, o.delegation(transfers))
	for name, c := range map[string]struct{ token, code string }{
		"who asked": {tom, "not_eligible"}, "the owner of the agent": {maria, "not_eligible"}, "somebody of another group": {o.signIn("ana", nil), "not_eligible"},
		"the administrator": {n.admin, "forbidden"}, "an old sign-in": {o.signIn("yuki", map[string]any{"auth_time": time.Now().Add(-time.Hour).Unix()}), "sign_in_stale"},
	} {
		if e := n.voteDelegation(id, c.token, "approve"); e.status != 403 || e.decode(t)["code"] != c.code {
			t.Errorf("%s votes: %d %s, want %s", name, e.status, e.body, c.code)
		}
	}
	if e := n.post("/v1/delegations/"+id+"/votes", yuki, `{"vote":"approve","shown":"`+strings.Repeat("0", 64)+`"}`); e.status != 400 {
		t.Errorf("a vote on something else: %d %s", e.status, e.body)
	}
	hire := o.signIn("new-hire", map[string]any{"groups": []string{"finance"}})
	n.wantDelegation(n.voteDelegation(id, yuki, "approve"), "pending") // the gate wants two
	n.ask(forTom, fmt.Sprintf(transfer, ""), "require_approval")
	n.wantDelegation(n.voteDelegation(id, hire, "approve"), "granted")
	n.ask(forTom, fmt.Sprintf(transfer, ""), "allow")
	n.ask(forYuki, fmt.Sprintf(transfer, ""), "require_approval") // nobody consents to what is done for themselves
	n.ask(forOther, fmt.Sprintf(transfer, ""), "deny")            // what nobody permits is not lifted

	// It is not for one principal only, and what errs is no consent.
	own := o.delegation(transfers, map[string]any{"principal": map[string]string{"type": "user", "id": "yuki"}})
	only := n.delegate(tom, own)
	wantProblem(t, n.voteDelegation(only, yuki, "approve"), 403, "not_eligible")
	if got := n.delegation(only); got["for"].(map[string]any)["id"] != "yuki" || strings.Contains(got["principal"].(string), "yuki") {
		t.Errorf("it is for %v, recorded as %v", got["for"], got["principal"])
	}
	errs := n.grant(tom, o.refunds(map[string]any{"when": "9223372036854775807 + 1 > context.input.amount"}), yuki)
	n.ask(key, fmt.Sprintf(refund, 900, ""), "require_approval")
	if got := n.delegation(errs); got["uses"] != 0.0 || got["state"] != "granted" {
		t.Errorf("a condition that errs: %v", got)
	}
	for _, e := range entries(n, n.admin, "prod", "delegation_granted") {
		if text := fmt.Sprint(e); strings.Contains(text, "yuki") || strings.Contains(text, "outage") {
			t.Errorf("the entry names what can be erased only in the payload: %s", text)
		}
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

func TestAStandingConsentIsForOnePrincipal(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, forTom := n.key("finance-bot", "user:tom")
	_, forMaria := n.key("finance-bot", "user:maria")
	n.grant(o.signIn("tom", nil), o.delegation(map[string]any{
		"policy": "transfers-over-10000", "agent": "finance-bot", "principal": map[string]string{"type": "user", "id": "tom"},
	}), o.signIn("yuki", nil), o.signIn("new-hire", map[string]any{"groups": []string{"finance"}}))
	n.ask(forTom, fmt.Sprintf(transfer, ""), "allow")
	n.ask(forMaria, fmt.Sprintf(transfer, ""), "require_approval")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

func TestUsesAreCountedExactlyOnThreeNodes(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	nodes := cluster(t, 3, o.config(""))
	nodes[0].acme()
	_, key := nodes[0].key("support-bot", "runs_as")
	tom, yuki := o.signIn("tom", nil), o.signIn("yuki", nil)
	id := nodes[1].grant(tom, o.refunds(map[string]any{"uses_max": 20}), yuki)
	outcomes := func(calls int) (allowed, asked int64) {
		var allow, ask atomic.Int64
		var all sync.WaitGroup
		for i := range calls {
			all.Go(func() {
				e, err := nodes[i%3].try(http.MethodPost, "/v1/decisions", key, jsonType, fmt.Appendf(nil, refund, 900, ""))
				switch {
				case err != nil:
					t.Error(err)
				case strings.Contains(string(e.body), `"outcome":"allow"`):
					allow.Add(1)
				case strings.Contains(string(e.body), `"outcome":"require_approval"`):
					ask.Add(1)
				default:
					t.Errorf("answered %s", e.body)
				}
			})
		}
		all.Wait()
		return allow.Load(), ask.Load()
	}
	if allowed, asked := outcomes(48); allowed != 20 || asked != 28 {
		t.Errorf("%d were allowed and %d asked for, want 20 and 28", allowed, asked)
	}
	if d := nodes[2].delegation(id); d["uses"] != 20.0 || d["state"] != "used_up" {
		t.Errorf("the delegation is %v", d)
	}
	endless := nodes[0].grant(tom, o.refunds(nil), yuki)
	if allowed, _ := outcomes(48); allowed != 48 {
		t.Errorf("%d of 48 were allowed", allowed)
	}
	nodes[1].wantDelegation(nodes[1].end(endless, yuki, "enough"), "ended")
	if allowed, asked := outcomes(12); allowed != 0 || asked != 12 {
		t.Errorf("after its end %d were allowed", allowed)
	}
	if d := nodes[2].delegation(endless); d["uses"] != 48.0 {
		t.Errorf("it was used %v times, want 48", d["uses"])
	}
}

func TestPeopleAreToldOfDelegations(t *testing.T) {
	t.Parallel()
	o, p := newOffice(t), newPager(t)
	n := start(t, o.paged(t.TempDir(), p))
	n.acmeTells(t, everything)
	tom, yuki := o.signIn("tom", nil), o.signIn("yuki", nil)
	granted := n.grant(tom, o.refunds(nil), yuki)
	denied := n.delegate(tom, o.refunds(map[string]any{"tool": nil, "when": nil}))
	n.wantDelegation(n.voteDelegation(denied, yuki, "deny"), "denied")
	p.wants("approval_requested "+granted, "approval_decided "+granted, "approval_requested "+denied, "approval_decided "+denied)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, got := range p.got {
		data := got["data"].(map[string]any)
		asks := got["type"] == "dev.writ.approval_requested"
		if text := fmt.Sprint(got); strings.Contains(text, "outage") || strings.Contains(text, "context.input") || asks != (data["deadline"] != nil) ||
			!strings.HasSuffix(fmt.Sprint(data["url"]), "/console/delegations/"+got["subject"].(string)) {
			t.Errorf("people are told %s", text)
		}
	}
}

// TestADelegationThatNobodyDecidesExpires in the ledger, and those who were asked are told.
func TestADelegationThatNobodyDecidesExpires(t *testing.T) {
	t.Parallel()
	o, p := newOffice(t), newPager(t)
	n := start(t, o.paged(t.TempDir(), p))
	n.acmeTells(t, everything)
	yuki := o.signIn("yuki", nil)
	id, withdrawn := n.delegate(yuki, o.refunds(nil)), n.delegate(yuki, o.refunds(nil))
	n.wantDelegation(n.end(withdrawn, yuki, "not needed"), "ended")
	p.wants("approval_requested "+id, "approval_requested "+withdrawn)
	o.clock.Add(int64(21 * time.Minute))
	eventually(t, "the ledger says so", func() bool { return len(entries(n, n.admin, "prod", "delegation_expired")) == 1 })
	e := entries(n, n.admin, "prod", "delegation_expired")[0]
	if e["actor"].(map[string]any)["type"] != "system" || e["body"].(map[string]any)["delegation"] != id || n.delegation(id)["state"] != "expired" {
		t.Errorf("recorded is %v, and it is %v", e, n.delegation(id)["state"])
	}
	p.wants("approval_requested "+id, "approval_requested "+withdrawn, "approval_decided "+id)
	wantProblem(t, n.voteDelegation(id, o.signIn("tom", nil), "approve"), 409, "approval_closed")
	list := n.get("/v1/delegations?environment=prod&state=expired", n.admin).decode(t)["delegations"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["id"] != id {
		t.Errorf("expired are %v", list)
	}
}
