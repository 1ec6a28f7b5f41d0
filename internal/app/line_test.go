package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/identity/identitytest"
)

// TestWhatABrowserAllowedEndsWithIt: by signing out, by an administrator, by somebody else who signs in there; and a fresh sign-in of
// the same person is no end.
func TestWhatABrowserAllowedEndsWithIt(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	b, other := n.browser().signIn(o, "yuki"), n.browser().signIn(o, "yuki")
	elsewhere := other.bearer()
	good := func(why, token string) {
		t.Helper()
		if e := n.get("/v1/me", token); e.status != http.StatusOK {
			t.Errorf("%s: %s", why, e.body)
		}
	}
	last := func(kind string) map[string]any {
		list := entries(n, n.admin, "org", kind)
		return list[len(list)-1]["body"].(map[string]any)
	}
	idOf := func(token string) string { return strings.Split(token, "_")[2] }

	first, began := b.bearer(), b.session()
	if in := last("signed_in"); in["allowed_by"] != began || in["session"] != idOf(first) {
		t.Errorf("recorded is %v", in)
	}
	for _, x := range n.get("/v1/sessions", n.admin).decode(t)["sessions"].([]any) {
		if x := x.(map[string]any); x["id"] == idOf(first) && x["allowed_by"] != began {
			t.Errorf("listed is %v", x)
		}
	}
	b.signIn(o, "yuki")
	second := b.bearer()
	good("a fresh sign-in", first)
	b.submit("/console/sign-out", nil).want(t, http.StatusOK, "You are signed out.")
	n.wantDead("signed out", first)
	n.wantDead("signed out", second)
	if ends := fmt.Sprint(last("session_ended")["ends"]); len(last("session_ended")["ends"].([]any)) != 2 || !strings.Contains(ends, idOf(first)) || !strings.Contains(ends, idOf(second)) {
		t.Errorf("ended are %s", ends)
	}
	good("another browser's", elsewhere)

	third := b.signIn(o, "yuki").bearer()
	if e := n.send(http.MethodDelete, "/v1/sessions/"+b.session(), n.admin, "", nil); e.status != http.StatusOK {
		t.Fatalf("revoke: %s", e.body)
	}
	n.wantDead("revoked", third)
	fourth := b.signIn(o, "yuki").bearer()
	b.signIn(o, "tom")
	n.wantDead("tom signed in there", fourth)
	if in := last("signed_in"); fmt.Sprint(in["ends"]) != "["+idOf(fourth)+"]" {
		t.Errorf("recorded is %v", in)
	}

	o.clock.Add(int64(5 * time.Minute))
	late := n.browser().signIn(o, "yuki")
	o.clock.Add(int64(10 * time.Minute))
	fifth := late.bearer()
	o.clock.Add(int64(11*time.Hour + 49*time.Minute))
	good("for as long as the browser's", fifth)
	o.clock.Add(int64(time.Minute))
	n.wantDead("twelve hours after the sign-in, not after it was allowed", fifth)
}

// TestATokenOfTheProviderIsASession: it is recorded once, acts name it, and it ends as any other.
func TestATokenOfTheProviderIsASession(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	_, key := n.key("finance-bot", "user:tom")
	id := n.asked(key, "t1")
	token := o.signIn("yuki", nil)
	n.wantVote(id, token, "approve", "pending")
	me := n.get("/v1/me", token).decode(t)
	in := entries(n, n.admin, "org", "signed_in")
	if len(in) != 1 {
		t.Fatalf("%d sign-ins are recorded", len(in))
	}
	body, vote := in[0]["body"].(map[string]any), entries(n, n.admin, "prod", "approval_vote")[0]
	if body["how"] != "token" || body["session"] != me["session"] || vote["actor"].(map[string]any)["session"] != me["session"] || vote["body"].(map[string]any)["auth_time"] != body["auth_time"] {
		t.Errorf("recorded are %v, %v; asking is %v", body, vote, me)
	}
	wantProblem(t, n.send(http.MethodDelete, "/v1/sessions/"+me["session"].(string), o.signIn("tom", nil), "", nil), 404, "not_found")
	if e := n.send(http.MethodDelete, "/v1/sessions/"+me["session"].(string), n.admin, "", nil); e.status != http.StatusOK {
		t.Fatalf("revoke: %s", e.body)
	}
	wantProblem(t, n.get("/v1/me", token), 401, "unauthenticated")

	hers := o.signIn("ana", nil)
	if e := n.get("/v1/me", hers); e.status != http.StatusOK {
		t.Fatalf("ana: %s", e.body)
	}
	form := url.Values{"logout_token": {identitytest.Sign(t, o.Current(), o.logout(nil))}}
	if p := n.browser().submit("/console/sign-in/backchannel-logout", form); p.status != http.StatusOK {
		t.Fatalf("a logout token: %d %s", p.status, p.text)
	}
	wantProblem(t, n.get("/v1/me", hers), 401, "unauthenticated")
}

// TestOneTokenAtOnceIsOneSession, however many requests come with it first.
func TestOneTokenAtOnceIsOneSession(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	token := o.signIn("yuki", nil)
	done := make(chan int)
	for range 8 {
		go func() {
			e, err := n.try(http.MethodGet, "/v1/me", token, "", nil)
			if err != nil {
				t.Error(err)
			}
			done <- e.status
		}()
	}
	for range 8 {
		if status := <-done; status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
	if in := entries(n, n.admin, "org", "signed_in"); len(in) != 1 {
		t.Errorf("%d sign-ins are recorded", len(in))
	}
}
