package app_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/state"
)

// ballot is the form of a vote as the page of the request has it.
func (n *node) ballot(id, vote string) url.Values {
	n.t.Helper()
	return url.Values{"vote": {vote}, "shown": {n.request(id, n.admin, "")["shown"].(string)}, "comment": {"seen"}}
}

// asked opens a request that finance is asked.
func (n *node) asked(key, call string) string {
	n.t.Helper()
	return approvalOf(n.ask(key, fmt.Sprintf(transfer, `,"call_id":"`+call+`"`), "require_approval"))
}

// link is a session for the command line that waits to be allowed, with its token.
type link struct {
	form  url.Values
	id    string
	token string
}

func newLink(t testing.TB) link {
	t.Helper()
	id, token, hash, err := identity.NewSecret(rand.Reader, state.RolePerson)
	if err != nil {
		t.Fatal(err)
	}
	return link{url.Values{"session": {string(id)}, "hash": {hex.EncodeToString(hash[:])}}, string(id), token}
}

func TestAPersonVotesWithTheSessionInBothWays(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	o.Person("omar", map[string]any{"groups": []string{"finance"}})
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("finance-bot", "user:tom")
	yuki, omar := n.browser().signIn(o, "yuki"), n.browser().signIn(o, "omar")
	id := n.asked(key, "t1")
	n.wantVote(id, yuki.bearer(), "approve", "pending")
	omar.get("/console/approvals/"+id).want(t, http.StatusOK, "bank/transfer", "Approve", "INV-31")
	omar.submit("/console/approvals/"+id+"/vote", n.ballot(id, "approve")).want(t, http.StatusOK, "Your vote is recorded.", "approved", "omar", "yuki")
	n.ask(key, fmt.Sprintf(transfer, `,"call_id":"t1"`), "allow")
	for i, vote := range entries(n, n.admin, "prod", "approval_vote") {
		if body := vote["body"].(map[string]any); body["issuer"] != o.URL || fmt.Sprint(body["amr"]) != "[pwd]" || body["auth_time"] == "" {
			t.Errorf("vote %d is recorded as %v", i, body)
		}
	}
	// The console refuses what the API refuses, and says why.
	tom := n.browser().signIn(o, "tom")
	id = n.asked(key, "t2")
	tom.submit("/console/approvals/"+id+"/vote", n.ballot(id, "approve")).want(t, http.StatusForbidden, "nobody approves their own request")
	yuki.submit("/console/approvals/"+id+"/vote", url.Values{"vote": {"approve"}, "shown": {strings.Repeat("0", 64)}}).want(t, http.StatusBadRequest, "read the request again")
	yuki.submit("/console/approvals/"+id+"/vote", n.ballot(id, "maybe")).want(t, http.StatusBadRequest, "must be approve or deny")
	yuki.submit("/console/approvals/"+id+"/vote", n.ballot(id, "deny")).want(t, http.StatusOK, "denied")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

// wantDead wants a session that is over for both doors.
func (b *browser) wantDead(why, token string) {
	b.t.Helper()
	b.wantOut(why)
	b.n.wantDead(why, token)
}

func TestHowASessionEnds(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	ended := func(id, how string) {
		t.Helper()
		list := entries(n, n.admin, "org", "session_ended")
		if last := list[len(list)-1]["body"].(map[string]any); last["session"] != id || last["how"] != how {
			t.Errorf("recorded is %v, want %s of %s", last, how, id)
		}
	}

	b := n.browser().signIn(o, "yuki")
	token, id, cookie := b.token(), b.session(), b.cookie()
	b.submit("/console/sign-out", nil).want(t, http.StatusOK, "You are signed out.")
	b.wantDead("signed out", token)
	ended(id, "signed_out")
	b.setCookie("writ", cookie, "/")
	b.wantOut("signed out, with the cookie of before")

	b.signIn(o, "yuki")
	token, id = b.token(), b.session()
	tom := n.browser().signIn(o, "tom")
	wantProblem(t, n.send(http.MethodDelete, "/v1/sessions/"+id, tom.bearer(), "", nil), 404, "not_found")
	tom.submit("/console/sessions/"+id+"/end", nil).want(t, http.StatusNotFound)
	b.wantIn("yuki")
	if e := n.send(http.MethodDelete, "/v1/sessions/"+id, n.admin, "", nil); e.status != http.StatusOK {
		t.Fatalf("revoke: %s", e.body)
	}
	b.wantDead("revoked", token)
	ended(id, "revoked")
	if e := n.send(http.MethodDelete, "/v1/sessions/"+id, n.admin, "", nil); e.status != http.StatusOK || len(entries(n, n.admin, "org", "session_ended")) != 2 {
		t.Errorf("revoked again: %s", e.body)
	}

	b.signIn(o, "yuki")
	other := n.browser().signIn(o, "yuki")
	token, id = other.token(), other.session()
	b.get("/console/me").want(t, http.StatusOK, `action="/console/sessions/`+id+`/end"`)
	b.submit("/console/sessions/"+id+"/end", nil).want(t, http.StatusOK, "The session is over.")
	other.wantDead("ended elsewhere by its person", token)
	b.wantIn("yuki")
	tom.wantIn("tom")
}

func TestASessionIsOverInTime(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	busy := n.browser().signIn(o, "tom")
	token := busy.token()
	for range 13 { // 11 h 55 min
		o.clock.Add(int64(55 * time.Minute))
		busy.wantIn("tom")
	}
	o.clock.Add(int64(4 * time.Minute))
	busy.wantIn("tom")
	o.clock.Add(int64(time.Minute))
	busy.wantDead("twelve hours", token)
	o.clock.Add(-int64(6 * time.Hour))
	busy.wantDead("twelve hours, and the clock moved back", token)
	if list := n.get("/v1/sessions", n.admin).decode(t)["sessions"].([]any); len(list) != 0 {
		t.Errorf("listed are %v", list)
	}
}

func TestASessionThatIsIdleIsOver(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	b := n.browser().signIn(o, "yuki")
	for range 2 {
		o.clock.Add(int64(59 * time.Minute))
		b.wantIn("yuki")
	}
	cookie := b.cookie()
	o.clock.Add(int64(time.Hour))
	b.wantOut("an hour")
	o.clock.Add(-int64(30 * time.Minute))
	b.wantOut("an hour, and the clock moved back")
	other := n.browser()
	other.setCookie("writ", cookie, "/")
	other.wantOut("the cookie of before in another browser")
	b.signIn(o, "yuki").wantIn("yuki")
}

// TestAnOpenPageDoesNotKeepASession: what a page asks for by itself is no sign of a person.
func TestAnOpenPageDoesNotKeepASession(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	b := n.browser().signIn(o, "yuki")
	for range 5 {
		o.clock.Add(int64(11 * time.Minute))
		b.get("/console/decisions?environment=prod", "HX-Request", "true").want(t, http.StatusOK)
	}
	o.clock.Add(int64(6 * time.Minute))
	b.get("/console/decisions?environment=prod", "HX-Request", "true").want(t, http.StatusUnauthorized)
	b.get("/console/live?environment=prod").want(t, http.StatusUnauthorized)
	b.wantOut("nobody was there for an hour")
}

func TestASignInReplacesTheSessionBefore(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	d := n.enrolled("vera", "")
	// A cookie that somebody planted is not the one of the session that follows.
	mallory, b := n.browser().signIn(o, "mallory"), n.browser()
	planted := mallory.cookie()
	b.setCookie("writ", planted, "/")
	b.wantIn("mallory")
	b.signIn(o, "yuki")
	if b.cookie() == planted || b.token() == mallory.token() {
		t.Error("the session has the token that was there before the sign-in")
	}
	b.wantIn("yuki")
	mallory.wantDead("replaced", strings.SplitN(planted, ".", 2)[0])
	list := entries(n, n.admin, "org", "signed_in")
	if last := list[len(list)-1]["body"].(map[string]any); last["replaces"] != strings.Split(planted, "_")[2] || len(entries(n, n.admin, "org", "session_ended")) != 0 {
		t.Errorf("recorded is %v", last)
	}
	first := b.token()
	b.signIn(o, "yuki")
	second := b.token()
	b.passkey(d).want(t, http.StatusOK)
	for _, token := range []string{first, second} {
		n.wantDead("replaced", token)
	}
	b.wantIn("vera")
	// A sign-in that fails leaves the session as it is.
	third := b.token()
	b.stay().begin(o)
	b.get("/console/sign-in/callback?code=x&state=y").want(t, http.StatusUnauthorized)
	b.wantIn("vera")
	if b.token() != third {
		t.Error("the session is another one")
	}
}

func TestAPersonAllowsTheCommandLine(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	_, key := n.key("finance-bot", "user:tom")
	b := n.browser()
	l := newLink(t)
	page := "/console/sign-in/device?" + l.form.Encode()
	if p := b.get(page); p.at.Path != "/console/sign-in" || p.at.Query().Get("next") != page {
		t.Errorf("who is not signed in is at %s", p.at)
	}
	b.submit("/console/sign-in/device", l.form).want(t, http.StatusUnauthorized)
	wantProblem(t, n.get("/v1/me", l.token), 401, "unauthenticated")
	b.signIn(o, "yuki")
	b.get(page).want(t, http.StatusOK, "Allow the command line?", strings.ToUpper(l.id[:4]+"-"+l.id[4:8]), "yuki")
	wantProblem(t, n.get("/v1/me", l.token), 401, "unauthenticated") // looking is not allowing

	for name, headers := range map[string][]string{
		"another site":   {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
		"another port":   {"Sec-Fetch-Site", "same-site", "Origin", "http://localhost:1"},
		"another origin": {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
		"no origin":      {"Sec-Fetch-Site", "", "Origin", "null"},
	} {
		b.submit("/console/sign-in/device", l.form, headers...).want(t, http.StatusForbidden)
		if e := n.get("/v1/me", l.token); e.status != http.StatusUnauthorized {
			t.Errorf("%s allowed it", name)
		}
	}
	for name, form := range map[string]url.Values{
		"nothing": {}, "no hash": {"session": {l.id}}, "half a hash": {"session": {l.id}, "hash": {l.form.Get("hash")[:32]}},
		"a long hash": {"session": {l.id}, "hash": {l.form.Get("hash") + "00"}}, "no id": {"session": {"<script>"}, "hash": l.form["hash"]},
	} {
		if p := b.submit("/console/sign-in/device", form); p.status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, p.status)
		}
	}
	b.submit("/console/sign-in/device", l.form).want(t, http.StatusOK, "The command line may act for you")
	me := n.get("/v1/me", l.token).decode(t)
	if me["principal"] != "user:yuki" || me["session"] != l.id {
		t.Errorf("the command line is %v", me)
	}
	id := n.asked(key, "t1")
	n.wantVote(id, l.token, "approve", "pending")
	in := entries(n, n.admin, "org", "signed_in")
	if last := in[len(in)-1]["body"].(map[string]any); last["how"] != "link" || last["session"] != l.id || last["issuer"] != o.URL {
		t.Errorf("recorded is %v", last)
	}
	b.submit("/console/sign-in/device", l.form).want(t, http.StatusConflict) // once
	thief := l.form
	thief.Set("hash", hex.EncodeToString(make([]byte, sha256.Size)))
	n.browser().signIn(o, "tom").submit("/console/sign-in/device", thief).want(t, http.StatusConflict)
	if e := n.get("/v1/me", l.token).decode(t); e["principal"] != "user:yuki" {
		t.Errorf("somebody else took the session over: %v", e)
	}
	b.submit("/console/sessions/"+l.id+"/end", nil).want(t, http.StatusOK)
	wantProblem(t, n.get("/v1/me", l.token), 401, "unauthenticated")

	o.clock.Add(int64(16 * time.Minute))
	late := newLink(t)
	b.get("/console/sign-in/device?"+late.form.Encode()).want(t, http.StatusForbidden, "sign_in_stale", "Sign in again")
	b.submit("/console/sign-in/device", late.form).want(t, http.StatusForbidden, "sign_in_stale")
	wantProblem(t, n.get("/v1/me", late.token), 401, "unauthenticated")
}

// TestALinkSessionAllowsNoOther: no door of the server lets it ask, and the service refuses it besides.
func TestALinkSessionAllowsNoOther(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	b := n.browser().signIn(o, "yuki")
	l, next := newLink(t), newLink(t)
	b.submit("/console/sign-in/device", l.form).want(t, http.StatusOK)
	attack := n.browser()
	attack.submit("/console/sign-in/device", next.form, "Authorization", "Bearer "+l.token).want(t, http.StatusUnauthorized)
	parts := strings.Split(b.cookie(), ".")
	for _, cookie := range []string{l.token, l.token + "." + parts[1] + "." + parts[2], l.token + ".0.", l.token + ".." + parts[2]} {
		attack.setCookie("writ", cookie, "/")
		attack.submit("/console/sign-in/device", next.form).want(t, http.StatusUnauthorized)
	}
	attack.setCookie("writ", n.CookieFor(l.token), "/") // as if it could be had
	attack.wantIn("yuki")
	attack.submit("/console/sign-in/device", next.form).want(t, http.StatusForbidden, "only who is signed in in a browser")
	wantProblem(t, n.get("/v1/me", next.token), 401, "unauthenticated")
}
