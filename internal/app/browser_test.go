package app_test

import (
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/identity/identitytest"
)

// browser is somebody's browser: cookies, and redirects that are followed.
type browser struct {
	n      *node
	t      testing.TB
	client *http.Client
}

// sheet is a page as a browser got it.
type sheet struct {
	status int
	header http.Header
	text   string
	at     *url.URL // after redirects
}

func (n *node) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		n.t.Fatal(err)
	}
	return &browser{n, n.t, &http.Client{Jar: jar, Transport: guarded{n}, Timeout: time.Minute}}
}

// guarded checks the headers of every answer of the console.
type guarded struct{ n *node }

// RoundTrip sends the request and checks the answer.
func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || !strings.HasPrefix(r.URL.Path, "/console/") {
		return resp, err
	}
	h := resp.Header
	file := strings.HasPrefix(r.URL.Path, "/console/static/") && resp.StatusCode == http.StatusOK
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store"} {
		if h.Get(name) != want && (name != "Cache-Control" || !file) {
			g.n.t.Errorf("%s %s answers %d with %s %q, want %q", r.Method, r.URL.Path, resp.StatusCode, name, h.Get(name), want)
		}
	}
	csp := h.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "script-src 'self';") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
		g.n.t.Errorf("%s %s answers %d with the policy %q", r.Method, r.URL.Path, resp.StatusCode, csp)
	}
	return resp, nil
}

// url is an address of the server as people reach it.
func (b *browser) url(path string) string {
	if strings.HasPrefix(path, "http") {
		return path
	}
	return b.n.PublicURL() + path
}

// do sends a request. headers are pairs.
func (b *browser) do(method, path, body string, headers ...string) sheet {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url(path), strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	data, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return sheet{resp.StatusCode, resp.Header, string(data), resp.Request.URL}
}

func (b *browser) get(path string, headers ...string) sheet {
	b.t.Helper()
	return b.do(http.MethodGet, path, "", headers...)
}

// submit posts a form as a page of the console itself would.
func (b *browser) submit(path string, form url.Values, headers ...string) sheet {
	b.t.Helper()
	return b.do(http.MethodPost, path, form.Encode(), append([]string{"Sec-Fetch-Site", "same-origin", "Origin", b.n.PublicURL()}, headers...)...)
}

// stay keeps the browser from following redirects.
func (b *browser) stay() *browser {
	client := *b.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{b.n, b.t, &client}
}

// cookies are those that the browser sends to a path of the server.
func (b *browser) cookies(path string) map[string]string {
	u, err := url.Parse(b.url(path))
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string]string{}
	for _, c := range b.client.Jar.Cookies(u) {
		out[c.Name] = c.Value
	}
	return out
}

// cookie is the session's cookie, or empty.
func (b *browser) cookie() string { return b.cookies("/console/")["writ"] }

// setCookie plants a cookie for a path.
func (b *browser) setCookie(name, value, path string) {
	u, err := url.Parse(b.n.PublicURL())
	if err != nil {
		b.t.Fatal(err)
	}
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: path}})
}

// token is the session's token, as the cookie has it.
func (b *browser) token() string {
	token, _, _ := strings.Cut(b.cookie(), ".")
	return token
}

// session is the id of the session, which its token names.
func (b *browser) session() string {
	b.t.Helper()
	parts := strings.Split(b.token(), "_")
	if len(parts) != 4 {
		b.t.Fatalf("nobody is signed in: %q", b.token())
	}
	return parts[2]
}

// bearer is the token of a session for the command line that the person in the browser allows.
func (b *browser) bearer() string {
	b.t.Helper()
	l := newLink(b.t)
	b.submit("/console/sign-in/device", l.form).want(b.t, http.StatusOK, "The command line may act for you")
	return l.token
}

// wantDead wants the token of a session that is over for both doors, however fresh its cookie.
func (n *node) wantDead(why, token string) {
	n.t.Helper()
	b := n.browser()
	b.setCookie("writ", n.CookieFor(token), "/")
	b.wantOut(why)
	if e := n.get("/v1/me", token); e.status != http.StatusUnauthorized {
		n.t.Errorf("%s: the token is good: %s", why, e.body)
	}
}

var hiddenID = regexp.MustCompile(`name="id" value="([^"]+)"`)

// login fills in the provider's form, which the browser is on.
func (b *browser) login(o *office, form sheet, person string) sheet {
	b.t.Helper()
	found := hiddenID.FindStringSubmatch(form.text)
	if found == nil || !strings.HasPrefix(form.at.String(), o.URL+identitytest.LoginPath) {
		b.t.Fatalf("not the provider's form, but %s: %d %s", form.at, form.status, form.text)
	}
	return b.do(http.MethodPost, form.at.String(), url.Values{"id": {html.UnescapeString(found[1])}, "username": {person}}.Encode())
}

// begin goes to the provider to sign in.
func (b *browser) begin(o *office, more ...string) sheet {
	b.t.Helper()
	q := url.Values{"issuer": {o.URL}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return b.get("/console/sign-in/oidc?" + q.Encode())
}

// signIn signs a person in.
func (b *browser) signIn(o *office, person string) *browser {
	b.t.Helper()
	if p := b.login(o, b.begin(o, "again", "1"), person); p.status != http.StatusOK || p.at.Path != "/console/" || b.cookie() == "" {
		b.t.Fatalf("%s does not sign in: %d at %s: %s", person, p.status, p.at, p.text)
	}
	return b
}

// answer is where the provider sends the browser back to, when a person signs in there.
func (b *browser) answer(o *office, person string) string {
	b.t.Helper()
	to := ""
	client := *b.client
	client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/console/sign-in/callback" {
			to = r.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	held := &browser{b.n, b.t, &client}
	held.login(o, held.begin(o, "again", "1"), person)
	if to == "" {
		b.t.Fatalf("the provider did not send %s back", person)
	}
	return to
}

// wantSheet wants a page with a status and words on it.
func (p sheet) want(t testing.TB, status int, words ...string) sheet {
	t.Helper()
	if p.status != status {
		t.Errorf("%s is %d, want %d: %.600s", p.at, p.status, status, p.text)
	}
	for _, w := range words {
		if !strings.Contains(html.UnescapeString(p.text), w) {
			t.Errorf("%s does not say %q: %.1500s", p.at, w, p.text)
		}
	}
	return p
}

// wantOut wants a browser without a session.
func (b *browser) wantOut(why string) {
	b.t.Helper()
	if p := b.get("/console/me"); p.at.Path != "/console/sign-in" {
		b.t.Errorf("%s: still signed in at %s", why, p.at)
	}
}

// wantIn wants a browser with a session of a person.
func (b *browser) wantIn(person string) {
	b.t.Helper()
	if p := b.get("/console/me"); p.at.Path != "/console/me" || !strings.Contains(p.text, "<code>user:"+person+"</code>") {
		b.t.Errorf("%s is not signed in: %d at %s: %.400s", person, p.status, p.at, p.text)
	}
}
