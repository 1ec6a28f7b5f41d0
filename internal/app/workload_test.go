package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/identity/identitytest"
	"github.com/writ-dev/writ/internal/state"
)

func TestAnAgentComesWithATokenAndForAPersonWithTheirs(t *testing.T) {
	t.Parallel()
	idp := identitytest.New(t)
	n := start(t, app.Config{Data: t.TempDir(), Issuers: []identity.Issuer{
		{URL: idp.URL, Audience: "writ-agents", For: identity.UseAgents, Environment: "prod", Rule: state.RuleVerified},
		{URL: idp.URL, Audience: "writ-principals", For: identity.UsePrincipals},
	}})
	n.acme()
	idp.Register("workload", "finance-bot", "writ-agents", nil)
	idp.Register("yuki", "yuki", "writ-principals", nil)
	idp.Register("elsewhere", "finance-bot", "another-service", nil)
	agent, yuki := idp.Token(t, "workload"), idp.Token(t, "yuki")
	const call = `{"agent":"finance-bot","tool":"erp/approve_invoice","input":{"invoice":"INV-31","amount":100}%s}`
	onBehalf := fmt.Sprintf(call, `,"on_behalf_of_token":"`+yuki+`"`)

	d := n.ask(agent, onBehalf, "allow")
	shown := n.get("/v1/decisions/"+d["id"].(string), n.admin).decode(t)
	if p := shown["decision"].(map[string]any)["principal"].(map[string]any); p["assurance"] != "verified" || shown["call"].(map[string]any)["principal"].(map[string]any)["id"] != "yuki" {
		t.Errorf("the record says %v for %v", p, shown["call"])
	}
	for name, c := range map[string]struct {
		token, body string
		status      int
		code        string
	}{
		"for nobody":                     {agent, fmt.Sprintf(call, ""), 403, "forbidden"},
		"for who is only named":          {agent, fmt.Sprintf(call, `,"principal":{"type":"user","id":"yuki"}`), 403, "forbidden"},
		"for an agent":                   {agent, fmt.Sprintf(call, `,"on_behalf_of_token":"`+agent+`"`), 403, "forbidden"},
		"as a person":                    {yuki, onBehalf, 403, "forbidden"},
		"as another agent":               {agent, strings.Replace(onBehalf, "finance-bot", "support-bot", 1), 403, "agent_mismatch"},
		"with a token for another place": {idp.Token(t, "elsewhere"), onBehalf, 401, "unauthenticated"},
		"with a forged token":            {tampered(agent), onBehalf, 401, "unauthenticated"},
		"for a forged person":            {agent, strings.Replace(onBehalf, yuki, tampered(yuki), 1), 401, "unauthenticated"},
	} {
		if e := n.post("/v1/decisions", c.token, c.body); e.status != c.status || e.decode(t)["code"] != c.code {
			t.Errorf("%s: %d %s, want %d %s", name, e.status, e.body, c.status, c.code)
		}
	}
	idp.SetDown(true)
	n.ask(agent, onBehalf, "allow") // the keys are known
	lost := start(t, app.Config{Data: t.TempDir(), Issuers: []identity.Issuer{{URL: idp.URL, Audience: "writ-agents", For: identity.UseAgents, Environment: "prod"}}})
	lost.acme()
	if e := lost.post("/v1/decisions", agent, fmt.Sprintf(call, "")); e.status != http.StatusUnauthorized {
		t.Errorf("an issuer that was never reached: %d %s", e.status, e.body)
	}
}
