package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/puppet"
)

// device is an authenticator with one passkey.
type device struct {
	auth virtualwebauthn.Authenticator
	key  virtualwebauthn.Credential
}

func newDevice(t testing.TB) *device {
	t.Helper()
	key, err := puppet.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return &device{virtualwebauthn.NewAuthenticator(), key}
}

// invite makes a link for a person.
func (n *node) invite(person string, more string) string {
	n.t.Helper()
	e := n.post("/v1/people", n.admin, fmt.Sprintf(`{"person":%q%s}`, "user:"+person, more))
	if e.status != http.StatusOK {
		n.t.Fatalf("invite: %s", e.body)
	}
	link := e.decode(n.t)["link"].(string)
	if !strings.HasPrefix(link, n.PublicURL()+"/console/enrol?invitation=") {
		n.t.Fatalf("the link is %s", link)
	}
	return strings.TrimPrefix(link, n.PublicURL())
}

// ceremony is what the server gives to the browser's script.
type ceremony struct {
	Options json.RawMessage `json:"options"`
	Sealed  string          `json:"sealed"`
}

func (p sheet) ceremony(t testing.TB) ceremony {
	t.Helper()
	var c ceremony
	if err := json.Unmarshal([]byte(p.text), &c); err != nil || p.status != http.StatusOK {
		t.Fatalf("no ceremony: %d %s", p.status, p.text)
	}
	return c
}

// call posts JSON as the console's script does.
func (b *browser) call(path string, body any) sheet {
	b.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(http.MethodPost, path, string(data), "Content-Type", jsonType, "Sec-Fetch-Site", "same-origin", "Origin", b.n.PublicURL())
}

func (n *node) relyingParty() virtualwebauthn.RelyingParty {
	return virtualwebauthn.RelyingParty{ID: "localhost", Name: "Writ", Origin: n.PublicURL()}
}

func (c ceremony) finish(answer string) map[string]any {
	return map[string]any{"sealed": c.Sealed, "answer": json.RawMessage(answer)}
}

// made is the device's answer to an enrolment.
func (d *device) made(t testing.TB, rp virtualwebauthn.RelyingParty, c ceremony) string {
	t.Helper()
	options, err := virtualwebauthn.ParseAttestationOptions(string(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	d.auth.Options.UserHandle = []byte(options.UserID)
	return virtualwebauthn.CreateAttestationResponse(rp, d.auth, d.key, *options)
}

// signed is the device's answer to a sign-in.
func (d *device) signed(t testing.TB, rp virtualwebauthn.RelyingParty, c ceremony) string {
	t.Helper()
	options, err := virtualwebauthn.ParseAssertionOptions(string(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	if d.key.Counter > 0 {
		d.key.Counter++
	}
	return virtualwebauthn.CreateAssertionResponse(rp, d.auth, d.key, *options)
}

// enrol follows a link.
func (b *browser) enrol(d *device, link string) sheet {
	b.t.Helper()
	query := link[strings.IndexByte(link, '?'):]
	begun := b.call("/console/enrol"+query, struct{}{})
	if begun.status != http.StatusOK {
		return begun
	}
	c := begun.ceremony(b.t)
	return b.call("/console/enrol/finish", c.finish(d.made(b.t, b.n.relyingParty(), c)))
}

// passkey signs in with a device.
func (b *browser) passkey(d *device) sheet {
	b.t.Helper()
	c := b.call("/console/sign-in/passkey", struct{}{}).ceremony(b.t)
	return b.call("/console/sign-in/passkey/finish?next=/console/me", c.finish(d.signed(b.t, b.n.relyingParty(), c)))
}

// enrolled is a person with a passkey.
func (n *node) enrolled(person, more string) *device {
	n.t.Helper()
	d := newDevice(n.t)
	n.browser().enrol(d, n.invite(person, more)).want(n.t, http.StatusOK, `"next":"/console/"`)
	return d
}

func TestAnInvitedPersonEnrolsAPasskeyAndSignsIn(t *testing.T) {
	t.Parallel()
	n := start(t, app.Config{Data: t.TempDir()})
	n.acme()
	link := n.invite("vera", `,"name":"Vera Novak","roles":["auditor"]`)
	b, d := n.browser(), newDevice(t)
	b.get(link).want(t, http.StatusOK, "Vera Novak")
	b.enrol(d, link).want(t, http.StatusOK, `"next":"/console/"`)
	b.wantIn("vera")
	again := n.browser()
	again.passkey(d).want(t, http.StatusOK, `"next":"/console/me"`)
	again.wantIn("vera")
	again.get("/console/me").want(t, http.StatusOK, "auditor", "1 enrolled")

	kinds := map[string]map[string]any{}
	for _, kind := range []string{"person_invited", "passkey_enrolled", "signed_in"} {
		found := entries(n, n.admin, "org", kind)
		kinds[kind] = found[len(found)-1]
		if text := fmt.Sprint(found); strings.Contains(text, "vera") || strings.Contains(text, "Novak") {
			t.Errorf("%s has the name in clear: %s", kind, text)
		}
	}
	in := kinds["signed_in"]["body"].(map[string]any)
	if in["how"] != "passkey" || in["acr"] != "phr" || fmt.Sprint(in["amr"]) != "[pop user]" || in["issuer"] != n.PublicURL() || fmt.Sprint(in["roles"]) != "[auditor]" {
		t.Errorf("recorded is %v", in)
	}
	if key := kinds["passkey_enrolled"]["body"].(map[string]any); key["relying_party"] != "localhost" || key["person"] != in["person"] {
		t.Errorf("recorded is %v", key)
	}
	// Another passkey, for who is signed in already, and none for who is not.
	second := newDevice(t)
	b.enrol(second, "?").want(t, http.StatusOK, `"next":"/console/me?done=enrolled"`)
	n.browser().passkey(second).want(t, http.StatusOK)
	n.browser().enrol(newDevice(t), "?").want(t, http.StatusUnauthorized, "with an invitation")
	if !bytes.Equal(second.auth.Options.UserHandle, d.auth.Options.UserHandle) {
		t.Error("the two passkeys are of two people")
	}
}

func TestAPasskeyThatIsNotOneIsRefused(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	good, other := n.enrolled("vera", ""), n.enrolled("omar", "")
	rp := n.relyingParty()
	with := func(change func(*device), rp virtualwebauthn.RelyingParty) func(ceremony) map[string]any {
		return func(c ceremony) map[string]any {
			d := *good
			change(&d)
			return c.finish(d.signed(t, rp, c))
		}
	}
	same := func(*device) {}
	enrolment := func() ceremony {
		return n.browser().call("/console/enrol?"+strings.SplitN(n.invite("vera", ""), "?", 2)[1], struct{}{}).ceremony(t)
	}
	for name, forge := range map[string]func(ceremony) map[string]any{
		"a passkey that was not enrolled": with(func(d *device) { d.key = newDevice(t).key }, rp),
		"another key under the same id":   with(func(d *device) { k := newDevice(t).key; k.ID = d.key.ID; d.key = k }, rp),
		"another person's passkey":        with(func(d *device) { d.key = other.key }, rp),
		"for another person":              with(func(d *device) { d.auth.Options.UserHandle = other.auth.Options.UserHandle }, rp),
		"for nobody":                      with(func(d *device) { d.auth.Options.UserHandle = nil }, rp),
		"for somebody unknown":            with(func(d *device) { d.auth.Options.UserHandle = []byte("p_unknown") }, rp),
		"no user verification":            with(func(d *device) { d.auth.Options.UserNotVerified = true }, rp),
		"nobody present":                  with(func(d *device) { d.auth.Options.UserNotPresent = true }, rp),
		"a foreign origin":                with(same, virtualwebauthn.RelyingParty{ID: "localhost", Origin: "https://evil.example"}),
		"another port":                    with(same, virtualwebauthn.RelyingParty{ID: "localhost", Origin: "http://localhost:1"}),
		"the address":                     with(same, virtualwebauthn.RelyingParty{ID: "localhost", Origin: n.URL()}),
		"a foreign relying party":         with(same, virtualwebauthn.RelyingParty{ID: "evil.example", Origin: rp.Origin}),
		"another challenge": func(c ceremony) map[string]any {
			fresh := n.browser().call("/console/sign-in/passkey", struct{}{}).ceremony(t)
			return c.finish(good.signed(t, rp, fresh))
		},
		"the state of an enrolment": func(c ceremony) map[string]any {
			e := enrolment()
			return e.finish(good.signed(t, rp, e))
		},
		"a forged state": func(c ceremony) map[string]any {
			return ceremony{c.Options, strings.Repeat("A", 300)}.finish(good.signed(t, rp, c))
		},
		"a state that was changed": func(c ceremony) map[string]any {
			return ceremony{c.Options, tampered(c.Sealed)}.finish(good.signed(t, rp, c))
		},
		"no state": func(c ceremony) map[string]any {
			return map[string]any{"answer": json.RawMessage(good.signed(t, rp, c))}
		},
		"no answer":       func(c ceremony) map[string]any { return map[string]any{"sealed": c.Sealed} },
		"an enrolment":    func(c ceremony) map[string]any { return c.finish(newDevice(t).made(t, rp, enrolment())) },
		"a broken answer": func(c ceremony) map[string]any { return c.finish(`{"id":"x","type":"public-key","response":{}}`) },
	} {
		o.clock.Add(int64(time.Minute)) // so many sign-ins are too many for one
		b := n.browser()
		c := b.call("/console/sign-in/passkey", struct{}{}).ceremony(t)
		if p := b.call("/console/sign-in/passkey/finish", forge(c)); p.status != http.StatusUnauthorized || !strings.Contains(p.text, `role="alert"`) {
			t.Errorf("%s: %d %s", name, p.status, p.text)
		}
		b.wantOut(name)
	}
	n.browser().passkey(good).want(t, http.StatusOK)
}

func TestAnEnrolmentThatIsNotOneIsRefused(t *testing.T) {
	t.Parallel()
	n := start(t, app.Config{Data: t.TempDir()})
	rp := n.relyingParty()
	for name, forge := range map[string]func(d *device, c ceremony) map[string]any{
		"no user verification": func(d *device, c ceremony) map[string]any {
			d.auth.Options.UserNotVerified = true
			return c.finish(d.made(t, rp, c))
		},
		"a foreign origin": func(d *device, c ceremony) map[string]any {
			return c.finish(d.made(t, virtualwebauthn.RelyingParty{ID: "localhost", Origin: "https://evil.example"}, c))
		},
		"a foreign relying party": func(d *device, c ceremony) map[string]any {
			return c.finish(d.made(t, virtualwebauthn.RelyingParty{ID: "evil.example", Origin: rp.Origin}, c))
		},
		"the state of a sign-in": func(d *device, c ceremony) map[string]any {
			in := n.browser().call("/console/sign-in/passkey", struct{}{}).ceremony(t)
			return ceremony{c.Options, in.Sealed}.finish(d.made(t, rp, c))
		},
		"a state that was changed": func(d *device, c ceremony) map[string]any {
			return ceremony{c.Options, tampered(c.Sealed)}.finish(d.made(t, rp, c))
		},
		"another's challenge": func(d *device, c ceremony) map[string]any {
			other := n.browser().call("/console/enrol?"+strings.SplitN(n.invite("omar", ""), "?", 2)[1], struct{}{}).ceremony(t)
			return c.finish(d.made(t, rp, other))
		},
	} {
		b := n.browser()
		c := b.call("/console/enrol?"+strings.SplitN(n.invite("vera", ""), "?", 2)[1], struct{}{}).ceremony(t)
		if p := b.call("/console/enrol/finish", forge(newDevice(t), c)); p.status != http.StatusUnauthorized || !strings.Contains(p.text, `role="alert"`) {
			t.Errorf("%s: %d %s", name, p.status, p.text)
		}
		b.wantOut(name)
	}
	if list := entries(n, n.admin, "org", "passkey_enrolled"); len(list) != 0 {
		t.Errorf("enrolled are %v", list)
	}
}

func TestAnAssertionOpensOneSession(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	d := n.enrolled("vera", "")
	for name, b := range map[string]*browser{"the same browser": n.browser(), "another browser": nil} {
		thief := b
		if thief == nil {
			b, thief = n.browser(), n.browser()
		}
		before := len(entries(n, n.admin, "org", "signed_in"))
		c := b.call("/console/sign-in/passkey", struct{}{}).ceremony(t)
		answer := c.finish(d.signed(t, n.relyingParty(), c))
		b.call("/console/sign-in/passkey/finish", answer).want(t, http.StatusOK)
		token := b.token()
		if p := thief.call("/console/sign-in/passkey/finish", answer); p.status == http.StatusOK || b != thief && thief.cookie() != "" {
			t.Errorf("%s: the same answer opens a session again: %d %s", name, p.status, p.text)
		}
		if now := len(entries(n, n.admin, "org", "signed_in")); now != before+1 || b.token() != token {
			t.Errorf("%s: %d sign-ins are recorded, not one", name, now-before)
		}
		// Nor after the session that it opened is over.
		b.submit("/console/sign-out", nil).want(t, http.StatusOK, "You are signed out")
		thief.call("/console/sign-in/passkey/finish", answer)
		thief.wantOut(name + ", after signing out")
	}
	late := n.browser()
	c := late.call("/console/sign-in/passkey", struct{}{}).ceremony(t)
	o.clock.Add(int64(5 * time.Minute))
	late.call("/console/sign-in/passkey/finish", c.finish(d.signed(t, n.relyingParty(), c))).want(t, http.StatusUnauthorized, "took too long")
}

func TestACopiedPasskeyIsNoticed(t *testing.T) {
	t.Parallel()
	n := start(t, app.Config{Data: t.TempDir()})
	d := newDevice(t)
	d.key.Counter = 5
	n.browser().enrol(d, n.invite("vera", "")).want(t, http.StatusOK)
	copied := *d
	n.browser().passkey(d).want(t, http.StatusOK)
	n.browser().passkey(d).want(t, http.StatusOK)
	b := n.browser()
	b.passkey(&copied).want(t, http.StatusUnauthorized, "may have been copied")
	b.wantOut("a copied passkey")
	n.browser().passkey(d).want(t, http.StatusOK)
}

func TestAnInvitationCountsOnceInItsTimeAndOnlyTheNewest(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	bad := func(why, link string) {
		t.Helper()
		b := n.browser()
		b.get(link).want(t, http.StatusUnauthorized, "used, too old or replaced")
		if p := b.enrol(newDevice(t), link); p.status != http.StatusUnauthorized || !strings.Contains(p.text, "used, too old or replaced") {
			t.Errorf("%s: %d %s", why, p.status, p.text)
		}
		b.wantOut(why)
	}
	used := n.invite("vera", "")
	// Two browsers begin with one link: the first that finishes has it.
	one, two := n.browser(), n.browser()
	query := used[strings.IndexByte(used, '?'):]
	c1, c2 := one.call("/console/enrol"+query, nil).ceremony(t), two.call("/console/enrol"+query, nil).ceremony(t)
	d := newDevice(t)
	one.call("/console/enrol/finish", c1.finish(d.made(t, n.relyingParty(), c1))).want(t, http.StatusOK)
	two.call("/console/enrol/finish", c2.finish(newDevice(t).made(t, n.relyingParty(), c2))).want(t, http.StatusUnauthorized, "used, too old or replaced")
	two.wantOut("the second of two")
	bad("used", used)

	replaced := n.invite("omar", "")
	newest := n.invite("omar", "")
	bad("replaced", replaced)
	for _, forged := range []string{"/console/enrol?invitation=", "/console/enrol?invitation=x", "/console/enrol?invitation=p_x.AAAA", newest[:len(newest)-2], strings.Replace(newest, ".", ".A", 1), strings.SplitN(newest, ".", 2)[0] + ".", strings.SplitN(newest, ".", 2)[0] + "." + strings.Repeat("A", 43)} {
		if strings.HasSuffix(forged, "invitation=") {
			n.browser().enrol(newDevice(t), forged).want(t, http.StatusUnauthorized)
			continue
		}
		bad(forged, forged)
	}
	o.clock.Add(int64(72 * time.Hour))
	bad("expired", newest)
	o.clock.Add(-int64(2 * time.Hour))
	bad("expired, and the clock moved back", newest)
}

func TestAnEnrolmentIsOfWhoBeganIt(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	b := n.browser().signIn(o, "yuki")
	c := b.call("/console/enrol", nil).ceremony(t)
	d := newDevice(t)
	answer := c.finish(d.made(t, n.relyingParty(), c))
	n.browser().call("/console/enrol/finish", answer).want(t, http.StatusUnauthorized)
	n.browser().signIn(o, "tom").call("/console/enrol/finish", answer).want(t, http.StatusUnauthorized, "somebody else signed in meanwhile")
	b.call("/console/enrol/finish", answer).want(t, http.StatusOK)
	// Fresh: who finds a browser open does not make a key to come back with.
	o.clock.Add(int64(16 * time.Minute))
	b.call("/console/enrol", nil).want(t, http.StatusForbidden, "sign_in_stale")
	fresh := n.browser().signIn(o, "yuki")
	c = fresh.call("/console/enrol", nil).ceremony(t)
	o.clock.Add(int64(16 * time.Minute))
	fresh.call("/console/enrol/finish", c.finish(newDevice(t).made(t, n.relyingParty(), c))).want(t, http.StatusUnauthorized, "took too long")
	// The link for one person, followed in another's browser, signs the first one in there, and the other one out.
	tom := n.browser().signIn(o, "tom")
	before := tom.token()
	tom.enrol(newDevice(t), n.invite("vera", "")).want(t, http.StatusOK)
	tom.wantIn("vera")
	n.wantDead("replaced", before)
}

func TestARemovedPersonIsOut(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	d := newDevice(t)
	key, link := n.browser(), n.invite("yuki", `,"roles":["auditor"]`)
	key.enrol(d, link).want(t, http.StatusOK)
	oidc := n.browser().signIn(o, "yuki")
	begun := key.call("/console/sign-in/passkey", nil).ceremony(t)
	bearer, open := o.signIn("yuki", nil), n.invite("yuki", "")
	if e := n.get("/v1/decisions?environment=prod", bearer); e.status != http.StatusOK {
		t.Fatalf("before: %s", e.body)
	}
	linked := oidc.bearer()
	ref := n.get("/v1/me", linked).decode(t)["person"].(string)
	if e := n.send(http.MethodDelete, "/v1/people/"+ref, n.admin, jsonType, []byte(`{"reason":"left the company"}`)); e.status != http.StatusOK || e.decode(t)["state"] != "removed" {
		t.Fatalf("remove: %s", e.body)
	}
	out := func() {
		t.Helper()
		key.wantOut("removed")
		oidc.wantOut("removed")
		for _, token := range []string{oidc.token(), key.token(), linked} {
			n.wantDead("removed", token)
		}
	}
	out()
	wantProblem(t, n.get("/v1/decisions?environment=prod", bearer), 403, "forbidden")
	n.browser().passkey(d).want(t, http.StatusUnauthorized)
	n.browser().call("/console/sign-in/passkey/finish", begun.finish(d.signed(t, n.relyingParty(), begun))).want(t, http.StatusUnauthorized)
	n.browser().enrol(newDevice(t), open).want(t, http.StatusUnauthorized, "used, too old or replaced")
	b := n.browser()
	b.login(o, b.begin(o), "yuki").want(t, http.StatusForbidden, "was removed here")
	b.wantOut("removed")
	if list := n.get("/v1/sessions", n.admin).decode(t)["sessions"].([]any); len(list) != 0 {
		t.Errorf("sessions of a removed person are listed: %v", list)
	}
	// Invited again, they are in again with what they do now, and with nothing of before.
	back := n.invite("yuki", "")
	out()
	n.browser().enrol(newDevice(t), back).want(t, http.StatusOK)
	out()
	n.browser().passkey(d).want(t, http.StatusUnauthorized)
	wantProblem(t, n.get("/v1/decisions?environment=prod", bearer), 401, "unauthenticated") // a token of before
	if e := n.get("/v1/decisions?environment=prod", o.signIn("yuki", map[string]any{"acr": "3"})); e.status != http.StatusOK {
		t.Errorf("invited again: %s", e.body)
	}
}
