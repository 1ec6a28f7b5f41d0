package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/identity/identitytest"
)

func TestAPersonSignsInWithTheProvider(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.Person("yuki", map[string]any{"name": "Yuki Tanaka", "email": "yuki@acme.example", "groups": []string{"finance", "night"}, "amr": []string{"pwd", "otp"}, "acr": "2"})
	n := start(t, o.config(t.TempDir()))
	n.acme()
	b := n.browser()
	first := b.get("/console/decisions?environment=prod&outcome=deny")
	if first.at.Path != "/console/sign-in" || first.at.Query().Get("next") != "/console/decisions?environment=prod&outcome=deny" {
		t.Fatalf("who is not signed in is at %s", first.at)
	}
	first.want(t, http.StatusOK, "Continue with "+o.URL, "Use a passkey")
	before := time.Now().Add(-time.Second)
	in := b.login(o, b.begin(o, "next", "/console/decisions?environment=prod&outcome=deny"), "yuki")
	if in.want(t, http.StatusOK, "No decision passes these filters", "Yuki Tanaka"); in.at.RequestURI() != "/console/decisions?environment=prod&outcome=deny" {
		t.Errorf("after the sign-in the browser is at %s", in.at)
	}
	b.get("/console/me").want(t, http.StatusOK, "Yuki Tanaka", "<code>user:yuki</code>", "finance, night", "approver")
	wantProblem(t, n.get("/v1/me", b.token()), 401, "unauthenticated") // which would not say when it was last used

	list := entries(n, n.admin, "org", "signed_in")
	if len(list) != 1 {
		t.Fatalf("%d sign-ins are recorded", len(list))
	}
	body := list[0]["body"].(map[string]any)
	at, err := time.Parse(time.RFC3339, body["auth_time"].(string))
	if err != nil || at.Before(before.Truncate(time.Second)) || at.After(time.Now()) {
		t.Errorf("signed in at %v, %v", body["auth_time"], err)
	}
	if body["issuer"] != o.URL || fmt.Sprint(body["amr"]) != "[pwd otp]" || body["acr"] != "2" || fmt.Sprint(body["groups"]) != "[finance night]" || body["how"] != "oidc" {
		t.Errorf("the sign-in is recorded as %v", body)
	}
	all := fmt.Sprint(list[0])
	for _, clear := range []string{"yuki", "Yuki", "Tanaka", "@acme.example", b.token()} {
		if strings.Contains(all, clear) {
			t.Errorf("the entry has %q in clear: %s", clear, all)
		}
	}
	people := n.get("/v1/people", n.admin).decode(t)["people"].([]any)
	if p := people[0].(map[string]any); len(people) != 1 || p["name"] != "Yuki Tanaka" || p["email"] != "yuki@acme.example" || p["state"] != "active" || p["ref"] != list[0]["actor"].(map[string]any)["id"] {
		t.Errorf("known is %v", people)
	}
}

func TestTheProviderIsAskedAgainWhenTheSignInMustBeFresh(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	_, key := n.key("finance-bot", "user:tom")
	b := n.browser().signIn(o, "yuki")
	o.clock.Add(int64(20 * time.Minute))
	if p := b.begin(o); p.at.Path != "/console/" {
		t.Errorf("the provider asks who is signed in there already: at %s", p.at)
	}
	id := approvalOf(n.ask(key, fmt.Sprintf(transfer, ""), "require_approval"))
	form := url.Values{"vote": {"approve"}, "shown": {n.request(id, n.admin, "")["shown"].(string)}}
	stale := b.submit("/console/approvals/"+id+"/vote", form)
	stale.want(t, http.StatusForbidden, "sign_in_stale", "Sign in again")
	again := b.get("/console/sign-in?again=1&next=/console/approvals/" + id)
	link := "/console/sign-in/oidc?" + url.Values{"issuer": {o.URL}, "again": {"1"}, "next": {"/console/approvals/" + id}}.Encode()
	if again.want(t, http.StatusOK, "Sign in again", link); again.at.Path != "/console/sign-in" {
		t.Errorf("at %s", again.at)
	}
	asked := b.get(link)
	if asked.at.Path != identitytest.LoginPath {
		t.Fatalf("the provider did not ask again: at %s", asked.at)
	}
	if p := b.login(o, asked, "yuki"); p.at.Path != "/console/approvals/"+id {
		t.Errorf("after the sign-in at %s", p.at)
	}
	b.submit("/console/approvals/"+id+"/vote", form).want(t, http.StatusOK, "Your vote is recorded.")
}

func TestASignInThatIsNotOneIsRefused(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	change := func(to string, name, value string) string {
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if q.Set(name, value); value == "" {
			q.Del(name)
		}
		u.RawQuery = q.Encode()
		return u.String()
	}
	claim := func(name string, value any) func(*browser) string {
		return func(b *browser) string {
			o.Twist(func(c map[string]any) {
				if c[name] = value; value == nil {
					delete(c, name)
				}
			})
			return b.answer(o, "yuki")
		}
	}
	for name, attack := range map[string]func(*browser) string{
		"another state":          func(b *browser) string { return change(b.answer(o, "yuki"), "state", strings.Repeat("A", 43)) },
		"no state":               func(b *browser) string { return change(b.answer(o, "yuki"), "state", "") },
		"another code":           func(b *browser) string { return change(b.answer(o, "yuki"), "code", "abc") },
		"no code":                func(b *browser) string { return change(b.answer(o, "yuki"), "code", "") },
		"another provider's iss": func(b *browser) string { return change(b.answer(o, "yuki"), "iss", "https://evil.example") },
		"the provider's refusal": func(b *browser) string { return change(b.answer(o, "yuki"), "error", "access_denied") },
		"no flow cookie": func(b *browser) string {
			to := b.answer(o, "yuki")
			b.setCookie("writ-flow", "", "/console/sign-in/")
			return to
		},
		"no flow at all": func(b *browser) string { return n.browser().answer(o, "yuki") },
		"another's flow": func(b *browser) string { b.answer(o, "tom"); return n.browser().answer(o, "yuki") },
		"a forged flow": func(b *browser) string {
			to := b.answer(o, "yuki")
			b.setCookie("writ-flow", strings.Repeat("A", 200), "/console/sign-in/")
			return to
		},
		"another's code": func(b *browser) string {
			other, _ := url.Parse(n.browser().answer(o, "tom"))
			return change(b.answer(o, "yuki"), "code", other.Query().Get("code"))
		},
		"a flow too old":      func(b *browser) string { to := b.answer(o, "yuki"); o.clock.Add(int64(11 * time.Minute)); return to },
		"another nonce":       claim("nonce", "of another sign-in"),
		"no nonce":            claim("nonce", nil),
		"another audience":    claim("aud", "somebody-else"),
		"another use":         claim("aud", "writ-principals"),
		"two audiences of us": claim("aud", []string{"writ-people", "writ-principals"}),
		"another issuer":      claim("iss", "https://evil.example"),
		"an expired token":    claim("exp", 1),
		"no subject":          claim("sub", nil),
		"groups of no form":   claim("groups", map[string]any{"a": 1}),
		"groups elsewhere":    claim("_claim_names", map[string]any{"groups": "src1"}),
	} {
		b := n.browser()
		to := attack(b)
		p := b.get(to)
		o.Twist(nil)
		refused := p.status == http.StatusUnauthorized || name == "another use" && p.status == http.StatusForbidden
		if !refused || !strings.Contains(p.text, `<p class="lead" role="alert">`) || p.at.Path != "/console/sign-in/callback" {
			t.Errorf("%s: %d at %s: %.500s", name, p.status, p.at, p.text)
		}
		if b.cookie() != "" {
			t.Errorf("%s: there is a session", name)
		}
	}
	if list := entries(n, n.admin, "org", "signed_in"); len(list) != 0 {
		t.Errorf("recorded are %v", list)
	}
}

func TestACallbackCountsOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	b := n.browser()
	to := b.answer(o, "yuki")
	flow := b.cookies("/console/sign-in/callback")["writ-flow"]
	b.get(to).want(t, http.StatusOK)
	b.wantIn("yuki")
	if b.cookies("/console/sign-in/callback")["writ-flow"] != "" {
		t.Error("the flow's cookie is still there")
	}
	thief := n.browser()
	thief.setCookie("writ-flow", flow, "/console/sign-in/")
	thief.get(to).want(t, http.StatusUnauthorized, "did not give a token")
	thief.wantOut("a callback that was used")
	b.get(to).want(t, http.StatusUnauthorized, "did not begin a sign-in")
}

func TestAProviderThatIsDownSignsNobodyIn(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	b := n.browser()
	b.get("/console/sign-in/oidc?issuer=https://evil.example").want(t, http.StatusNotFound, "no such identity provider")
	o.SetDown(true)
	b.begin(o).want(t, http.StatusUnauthorized, "cannot be reached at the moment")
	o.SetDown(false)
	o.clock.Add(int64(time.Minute))
	to := b.answer(o, "yuki")
	o.SetDown(true)
	p := b.get(to).want(t, http.StatusUnauthorized, "did not give a token")
	if strings.Contains(p.text, "dial tcp") || strings.Contains(p.text, "EOF") {
		t.Errorf("the page tells %s", p.text)
	}
	b.wantOut("the provider was down")
	o.SetDown(false)
	b.signIn(o, "yuki").wantIn("yuki")
}

func TestAGroupOfTheProviderAdministers(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c := o.config(t.TempDir())
	c.Issuers[0].AdminGroup = "platform"
	o.Person("ana", map[string]any{"groups": []string{"platform"}})
	o.Person("eve", map[string]any{"groups": []string{"platform-readers", "Platform", "admin"}, "roles": []string{"admin"}})
	n := start(t, c)
	n.acme()
	ana, eve := n.browser().signIn(o, "ana"), n.browser().signIn(o, "eve")
	ana.get("/console/people").want(t, http.StatusOK, "user:eve", "Invite")
	ana.get("/console/credentials").want(t, http.StatusOK)
	for _, page := range []string{"/console/people", "/console/credentials", "/console/ledger?environment=org"} {
		eve.get(page).want(t, http.StatusForbidden)
	}
	if e := n.get("/v1/people", ana.bearer()); e.status != http.StatusOK {
		t.Errorf("an administrator is refused: %s", e.body)
	}
	wantProblem(t, n.get("/v1/people", eve.bearer()), 403, "forbidden")
	roles := entries(n, n.admin, "org", "signed_in")[0]["body"].(map[string]any)["roles"]
	if fmt.Sprint(roles) != "[admin]" {
		t.Errorf("recorded roles: %v", roles)
	}
}

func TestASignInEndsOnAPageOfTheConsole(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	b := n.browser().signIn(o, "yuki")
	for _, next := range []string{
		"https://evil.example/console/", "https://evil.example/console/me", "//evil.example/console/me", "http:/console/me", "https://u:p@localhost/console/me", "//evil.example/console/", `/\evil.example`, `\\evil.example/console/`, "javascript:alert(1)", "/console/../evil", "/console/..", "/console/./../../evil",
		"/console/%2e%2e/evil", "/console/..%2fevil", "/console//evil.example", "/console/%2f%2fevil.example", "/console/%5c..%5cevil", "/console/.%2e//evil.example", "/consolation/", "console/", "",
		"http:/console/", "http:console/", "//evil.example\\@localhost/console/", "/%2f/evil.example", "/console/\t/evil", "data:text/html,<script>", "/console/sign-in/..//evil", "///console/", "@evil.example/console/",
	} {
		p := b.stay().get("/console/sign-in?next=" + url.QueryEscape(next))
		if to := p.header.Get("Location"); p.status != http.StatusSeeOther || to != "/console/" {
			t.Errorf("next=%q leads to %d %q", next, p.status, to)
		}
		page := b.get("/console/sign-in?again=1&next=" + url.QueryEscape(next))
		if strings.Contains(page.text, "evil") || !strings.Contains(page.text, `data-next="/console/"`) {
			t.Errorf("next=%q is on the page: %s", next, page.text)
		}
	}
	for _, next := range []string{"/console/", "/console/me", "/console/approvals/apr_1", "/console/decisions?environment=prod&tool=a/b", "/console/decisions?next=https://evil.example/"} {
		if to := b.stay().get("/console/sign-in?next=" + url.QueryEscape(next)).header.Get("Location"); to != next {
			t.Errorf("next=%q leads to %q", next, to)
		}
	}
	// The whole way through the provider too.
	if p := b.login(o, b.begin(o, "again", "1", "next", "//evil.example/console/"), "yuki"); p.at.String() != n.PublicURL()+"/console/" {
		t.Errorf("the sign-in ends at %s", p.at)
	}
}

func TestTooManySignInsFromOneAddress(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	b := n.browser()
	tries := func() []int {
		var got []int
		for range 31 {
			got = append(got, b.stay().get("/console/sign-in/oidc?"+url.Values{"issuer": {o.URL}}.Encode()).status)
		}
		return got
	}
	if got := tries(); slices.Contains(got[:30], http.StatusTooManyRequests) || got[30] != http.StatusTooManyRequests {
		t.Errorf("31 sign-ins: %v", got)
	}
	o.clock.Add(-int64(time.Hour))
	b.get("/console/enrol?invitation=p_x.y").want(t, http.StatusTooManyRequests, "Too many sign-ins from here")
	b.do(http.MethodPost, "/console/sign-in/passkey", "").want(t, http.StatusTooManyRequests)
	b.get("/console/sign-in").want(t, http.StatusOK)
	o.clock.Add(int64(time.Hour + time.Minute))
	if got := tries(); got[0] != http.StatusSeeOther || got[30] != http.StatusTooManyRequests {
		t.Errorf("a minute later: %v", got)
	}
}

func TestCookiesOfAServerOnHTTPSAreOfItsHostOnly(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.Browser("writ-people", "https://writ.example.com/console/sign-in/callback")
	c := o.config(t.TempDir())
	c.PublicURL = "https://writ.example.com"
	n := start(t, c)
	direct := &browser{n, t, &http.Client{Transport: guarded{n}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	p := direct.get(n.URL() + "/console/sign-in/oidc?" + url.Values{"issuer": {o.URL}}.Encode())
	cookie := p.header.Get("Set-Cookie")
	if !strings.HasPrefix(cookie, "__Host-") || !strings.Contains(cookie, "; Path=/;") || !strings.Contains(cookie, "; Secure") || !strings.Contains(cookie, "; HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") || strings.Contains(cookie, "Domain") {
		t.Errorf("the flow's cookie is %s", cookie)
	}
	if to, err := url.Parse(p.header.Get("Location")); err != nil || to.Query().Get("redirect_uri") != "https://writ.example.com/console/sign-in/callback" || to.Query().Get("code_challenge_method") != "S256" {
		t.Errorf("sent to %s, %v", to, err)
	}
}

// logout is what a provider's logout token claims about ana, with changes; nil leaves a claim out.
func (o *office) logout(more map[string]any) map[string]any {
	all := map[string]any{
		"iss": o.URL, "aud": "writ-people", "sub": "ana", "iat": o.now().Unix(), "exp": o.now().Add(time.Minute).Unix(), "jti": "1",
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	for name, v := range more {
		if all[name] = v; v == nil {
			delete(all, name)
		}
	}
	return all
}

// TestAProviderEndsSessions by a logout token, and by no other token; and a logout token signs nobody in.
func TestAProviderEndsSessions(t *testing.T) {
	t.Parallel()
	o, n := newConsole(t)
	ana, omar := n.browser().signIn(o, "ana"), n.browser().signIn(o, "omar")
	key, claims := o.Current(), o.logout
	send := func(token string) int {
		return n.browser().submit("/console/sign-in/backchannel-logout", url.Values{"logout_token": {token}}).status
	}
	for why, more := range map[string]map[string]any{
		"no event": {"events": nil}, "another event": {"events": map[string]any{"x": 1}}, "a nonce": {"nonce": "n"}, "nobody": {"sub": nil},
		"another audience": {"aud": "other"}, "over": {"exp": o.now().Add(-time.Minute).Unix()},
	} {
		if status := send(identitytest.Sign(t, key, claims(more))); status == http.StatusOK {
			t.Errorf("%s: taken", why)
		}
	}
	forged := identitytest.New(t)
	if status := send(identitytest.Sign(t, forged.Current(), claims(nil))); status == http.StatusOK {
		t.Error("signed by somebody else: taken")
	}
	good := identitytest.Sign(t, key, claims(nil))
	hers, his := ana.bearer(), omar.bearer()
	wantProblem(t, n.get("/v1/me", good), 401, "unauthenticated") // it signs nobody in
	if e := n.get("/v1/me", hers); e.status != http.StatusOK {
		t.Fatalf("before: %d %s", e.status, e.body)
	}
	if status := send(good); status != http.StatusOK {
		t.Fatalf("a logout token: %d", status)
	}
	ana.wantDead("signed out at the provider", ana.token())
	wantProblem(t, n.get("/v1/me", hers), 401, "unauthenticated")
	if e := n.get("/v1/me", his); e.status != http.StatusOK {
		t.Errorf("somebody else's session: %d %s", e.status, e.body)
	}
	ended := entries(n, n.admin, "org", "session_ended")
	if len(ended) != 1 || fmt.Sprint(ended[0]["body"].(map[string]any)["ends"]) != "["+strings.Split(hers, "_")[2]+"]" {
		t.Fatalf("ended are %v", ended)
	}
}

// TestEverySessionIsFound, also one behind more newer ones than a read takes: by the list, and by a provider's logout.
func TestEverySessionIsFound(t *testing.T) {
	t.Parallel()
	const others = 120
	o, n := newConsole(t)
	ana := n.browser().signIn(o, "ana")
	for range others {
		o.clock.Add(int64(3 * time.Second)) // no more than an address may begin in a minute
		n.browser().signIn(o, "omar")
	}
	list := n.get("/v1/sessions", n.admin).decode(t)["sessions"].([]any)
	if len(list) != others+1 {
		t.Errorf("%d sessions are listed, want %d", len(list), others+1)
	}
	form := url.Values{"logout_token": {identitytest.Sign(t, o.Current(), o.logout(nil))}}
	if e := n.browser().submit("/console/sign-in/backchannel-logout", form); e.status != http.StatusOK {
		t.Fatalf("a logout token: %d %s", e.status, e.text)
	}
	ana.wantDead("signed out at the provider", ana.token())
}
