package app_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/app"
)

// renewing asks the provider again and again, for the scope with which it gives refresh tokens.
func (o *office) renewing(dir string) app.Config {
	c := o.config(dir)
	c.Renew, c.Issuers[0].Scopes = 200*time.Millisecond, []string{"offline_access"}
	return c
}

func (n *node) signedInHere(b *browser) bool { return b.get("/console/me").at.Path == "/console/me" }

// TestASignInEndsWithItsStandingAtTheProvider: whoever is taken out of a group there, or off-boarded, is out here, at once and with what
// they had allowed, though the provider tells nobody.
func TestASignInEndsWithItsStandingAtTheProvider(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		happens func(o *office)
		ends    bool
	}{
		"nothing happens":         {func(*office) {}, false},
		"in another group too":    {func(o *office) { o.Person("yuki", map[string]any{"groups": []string{"finance", "night", "new"}}) }, false},
		"the provider is down":    {func(o *office) { o.SetDown(true) }, false},
		"taken out of a group":    {func(o *office) { o.Person("yuki", map[string]any{"groups": []string{"night"}}) }, true},
		"off-boarded":             {func(o *office) { o.SignOut("yuki") }, true},
		"a token of another user": {func(o *office) { o.Twist(func(c map[string]any) { c["sub"] = "eve" }) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, dir := newOffice(t), t.TempDir()
			o.Person("yuki", map[string]any{"groups": []string{"finance", "night"}})
			n := start(t, o.renewing(dir))
			n.acme()
			admin := n.admin
			b := n.browser().signIn(o, "yuki")
			line := b.bearer()
			if err := n.Stop(); err != nil { // what the provider gave is kept
				t.Fatal(err)
			}
			n = start(t, o.renewing(dir))
			n.admin = admin
			b = &browser{n, t, b.client}
			c.happens(o)
			if !c.ends {
				time.Sleep(time.Second) // some questions long
				if !n.signedInHere(b) || n.get("/v1/me", line).status != http.StatusOK {
					t.Fatal("the session ended")
				}
				return
			}
			eventually(t, "the session ends", func() bool { return !n.signedInHere(b) })
			wantProblem(t, n.get("/v1/me", line), 401, "unauthenticated")
			ended := entries(n, n.admin, "org", "session_ended")
			if body := ended[0]["body"].(map[string]any); len(ended) != 1 || body["how"] != "signed_out_at_issuer" || len(body["ends"].([]any)) != 1 {
				t.Errorf("ended: %v", ended)
			}
		})
	}
}
