package app_test

import (
	"bytes"
	"crypto/rand"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/state"
)

// evil is text that becomes a script wherever it is not escaped.
const evil = `'"></textarea></pre><script>alert(1)</script><img src=x onerror=alert(2)>{{.}}`

var links = regexp.MustCompile(`(?:href|hx-get|sse-connect)="([^"]*)"`)

// crawl visits every page that pages lead to, and gives them by path.
func (b *browser) crawl(from ...string) map[string]sheet {
	b.t.Helper()
	seen, todo := map[string]sheet{}, from
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		if _, ok := seen[at]; ok || strings.HasPrefix(at, "/console/live") || strings.HasPrefix(at, "/console/static/") || strings.HasPrefix(at, "/console/sign-in/oidc") {
			continue
		}
		if len(seen) > 1000 {
			b.t.Fatalf("more than 1000 pages: %s", at)
		}
		p := b.get(at)
		seen[at] = p
		for _, found := range links.FindAllStringSubmatch(p.text, -1) {
			to, _, _ := strings.Cut(html.UnescapeString(found[1]), "#")
			if to == "" {
				continue
			}
			if !strings.HasPrefix(to, "/console/") {
				b.t.Errorf("%s leads to %q", at, to)
				continue
			}
			todo = append(todo, to)
		}
	}
	return seen
}

// wantPlain wants pages without a script or an element that somebody else wrote.
func wantPlain(t *testing.T, pages map[string]sheet) {
	t.Helper()
	for at, p := range pages {
		if !strings.HasPrefix(p.header.Get("Content-Type"), "text/html") {
			continue
		}
		rest := strings.NewReplacer(`<script src="/console/static/htmx.min.js" defer>`, "", `<script src="/console/static/htmx-sse.min.js" defer>`, "", `<script src="/console/static/console.js" defer>`, "").Replace(p.text)
		for _, bad := range []string{"<script", "<img", "javascript:", "onerror=alert(2)>", " style=", " onclick="} {
			if i := strings.Index(rest, bad); i >= 0 {
				t.Errorf("%s has %q: …%s…", at, bad, rest[max(0, i-100):min(len(rest), i+100)])
			}
		}
	}
}

// office of a console: acme, with people of every kind.
func newConsole(t *testing.T) (*office, *node) {
	t.Helper()
	o := newOffice(t)
	c := o.config(t.TempDir())
	c.Issuers[0].AdminGroup = "platform"
	o.Person("root", map[string]any{"groups": []string{"platform", "finance", "leads", "engineering"}, "name": "Root " + evil, "email": evil})
	n := start(t, c)
	n.acme()
	return o, n
}

func TestNothingThatIsStoredIsAScript(t *testing.T) {
	t.Parallel()
	o, n := newConsole(t)
	_, key := n.key("support-bot", "runs_as")
	_, asserted := n.key("finance-bot", "asserted")
	text := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	refund := `{"agent":"support-bot","tool":"stripe/refund","session":"s1","input":{"charge":"ch_1","amount":%d,"currency":"usd","reason":` + text(evil) + `}}`
	allowed := n.ask(key, fmt.Sprintf(refund, 10), "allow")["id"].(string)
	id := approvalOf(n.ask(key, fmt.Sprintf(refund, 900), "require_approval"))
	if e := n.post("/v1/decisions/"+allowed+"/result", key, `{"status":"failed","error":`+text(evil)+`,"output":`+text(map[string]string{evil: evil})+`}`); e.status != http.StatusOK {
		t.Fatalf("result: %s", e.body)
	}
	n.ask(asserted, `{"agent":"finance-bot","tool":"bank/transfer","principal":{"type":"user","id":`+text(evil)+`},"input":{"amount":20000,"supplier":{"id":"S-9","country":"DE"},"iban":`+text(evil)+`}}`, "deny")
	// Names of tools, sessions and agents cannot hold it.
	for _, body := range []string{
		`{"agent":"support-bot","tool":` + text("a/"+evil) + `,"input":{}}`, `{"agent":"support-bot","tool":"docs/search","session":` + text(evil) + `,"input":{"query":"x"}}`,
		`{"agent":` + text(evil) + `,"tool":"docs/search","input":{"query":"x"}}`, `{"agent":"support-bot","tool":"docs/search","call_id":` + text(evil) + `,"input":{"query":"x"}}`,
	} {
		if e := n.post("/v1/decisions", key, body); e.status == http.StatusOK {
			t.Errorf("taken: %s", body)
		}
	}
	root := n.browser().signIn(o, "root")
	root.submit("/console/approvals/"+id+"/vote", url.Values{"vote": {"approve"}, "shown": n.ballot(id, "")["shown"], "comment": {evil}}).want(t, http.StatusOK, "Your vote is recorded.")
	invited := root.submit("/console/people/invite", url.Values{"person": {"user:" + evil}, "name": {evil}, "email": {evil}, "roles": {"auditor"}}).want(t, http.StatusOK, "It is shown this once")
	issued := root.submit("/console/credentials/issue", url.Values{"environment": {"prod"}, "agent": {"support-bot"}, "principal": {"runs_as"}, "note": {evil}}).want(t, http.StatusOK)
	refused := root.submit("/console/people/invite", url.Values{"person": {evil + "\n"}, "name": {evil + "\x01"}, "roles": {evil}})
	ana := n.browser().signIn(o, "ana")
	form := url.Values{
		"environment": {"prod"}, "description": {evil},
		"file:" + refundsFile: {strings.Replace(acmeFile(t, refundsFile), oldReason, strings.ReplaceAll(evil, `"`, `\"`), 1)},
	}
	proposed := ana.submit("/console/changes/new", form)
	if !strings.HasPrefix(proposed.at.Path, "/console/changes/") || proposed.status != http.StatusOK {
		t.Fatalf("propose: %d %s", proposed.status, proposed.text)
	}
	form.Set("file:"+refundsFile, evil)
	broken := ana.submit("/console/changes/new", form).want(t, http.StatusUnprocessableEntity, `role="alert"`)
	change := strings.TrimPrefix(proposed.at.Path, "/console/changes/")
	shown := n.get("/v1/changes/"+change, n.admin).decode(t)["shown"].(string)
	root.submit("/console/changes/"+change+"/review", url.Values{"review": {"approve"}, "shown": {shown}, "comment": {evil}}).want(t, http.StatusOK, "Your review is recorded.")
	root.submit("/console/changes/"+change+"/activate", nil).want(t, http.StatusOK, "The bundle is in force.")
	n.ask(key, fmt.Sprintf(refund, 901), "require_approval") // its reason is the script now

	odd := root.submit("/console/incidents/new", url.Values{"environment": {"prod"}, "title": {evil}, "text": {evil}, "severity": {"1"}, "agent": {"support-bot"}}).want(t, http.StatusOK, "The incident is open")
	for _, step := range []url.Values{
		{"event": {"note"}, "text": {evil}}, {"event": {"ack"}}, {"event": {"report.drafted"}, "text": {evil}}, {"event": {"comms.external"}, "text": {evil}},
		{"event": {"action.created"}, "text": {evil}, "owner": {"user:" + evil}, "due": {"2030-01-01T09:00"}},
	} {
		root.submit(odd.at.Path+"/step", step).want(t, http.StatusOK, "Recorded.")
	}

	drill := root.submit("/console/exercises/new", url.Values{"environment": {"prod"}, "scenario": {"x"}, "agents": {"support-bot"}, "minutes": {"5"}}).want(t, http.StatusOK, "The exercise runs.")
	root.submit(drill.at.Path+"/results", url.Values{
		"hypothesis": {evil}, "injected": {evil}, "observed": {evil}, "held": {"no"}, "moments": {"2026-11-24T06:00:00Z " + evil}, "expected": {evil},
	}).want(t, http.StatusOK, "Filed.")

	pages := root.crawl("/console/", odd.at.Path+"/report?fresh=1", "/console/incidents?environment=prod&detector="+url.QueryEscape(evil), "/console/incidents?state="+url.QueryEscape(evil), "/console/decisions?environment=prod&agent="+url.QueryEscape(evil), "/console/decisions?environment="+url.QueryEscape(evil), "/console/approvals/"+url.PathEscape(evil),
		"/console/changes/new?environment=prod", "/console/?environment="+url.QueryEscape(evil), "/console/approvals?state="+url.QueryEscape(evil), "/console/decisions?done="+url.QueryEscape(evil),
		"/console/sign-in?again=1&next="+url.QueryEscape("/console/"+evil), "/console/sign-in/device?session="+url.QueryEscape(evil)+"&hash="+url.QueryEscape(evil), "/console/enrol", "/console/"+url.PathEscape(evil),
		"/console/decisions?cursor="+url.QueryEscape(evil), "/console/decisions?from="+url.QueryEscape(evil), "/console/approvals?environment=prod&state=", "/console/changes?environment=prod&state=")
	for name, p := range map[string]sheet{"invited": invited, "issued": issued, "refused": refused, "proposed": proposed, "broken": broken} {
		pages[name] = p
	}
	wantPlain(t, pages)
	all := ""
	for _, p := range pages {
		all += html.UnescapeString(p.text)
	}
	t.Logf("%d pages", len(pages))
	if found := strings.Count(all, "<script>alert(1)</script>"); found < 12 || len(pages) < 30 {
		t.Errorf("the pages show the text %d times on %d pages: they do not show what this test is about", found, len(pages))
	}
}

// acmeFile is a file of examples/acme.
func acmeFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile("../../examples/acme/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAFormOfAnotherSiteCountsNothing(t *testing.T) {
	t.Parallel()
	o, n := newConsole(t)
	_, key := n.key("support-bot", "runs_as")
	id := approvalOf(n.ask(key, fmt.Sprintf(refund, 900, ""), "require_approval"))
	change := wantState(t, n.propose(o.signIn("ana", nil), "Plainer words", acmeWith(t, refundsFile, oldReason, newReason)), "proposed")["id"].(string)
	shown := n.get("/v1/changes/"+change, n.admin).decode(t)["shown"].(string)
	b := n.browser().signIn(o, "root")
	me := n.get("/v1/me", b.bearer()).decode(t)
	size := func() int {
		return total(n, "org") + total(n, "prod")
	}
	before := size()
	for name, headers := range map[string][]string{
		"cross-site":     {"Sec-Fetch-Site", "cross-site"},
		"same-site":      {"Sec-Fetch-Site", "same-site"},
		"foreign origin": {"Origin", "https://evil.example"},
		"null origin":    {"Origin", "null"},
		"another port":   {"Origin", "http://localhost:1"},
		"a lookalike":    {"Origin", n.PublicURL() + ".evil.example"},
	} {
		for path, form := range map[string]url.Values{
			"/console/approvals/" + id + "/vote":                   {"vote": {"approve"}, "shown": n.ballot(id, "")["shown"]},
			"/console/approvals/" + id + "/challenge":              {},
			"/console/changes/" + change + "/review":               {"review": {"approve"}, "shown": {shown}},
			"/console/changes/" + change + "/activate":             {},
			"/console/changes/rollback":                            {"environment": {"prod"}, "reason": {"x"}},
			"/console/changes/new":                                 {"environment": {"prod"}, "description": {"x"}},
			"/console/people/invite":                               {"person": {"user:mallory"}, "roles": {"admin"}},
			"/console/people/" + me["person"].(string) + "/remove": {"reason": {"x"}},
			"/console/exercises/new":                               {"environment": {"prod"}, "scenario": {"x"}, "agents": {"support-bot"}, "minutes": {"5"}},
			"/console/credentials/issue":                           {"environment": {"prod"}, "agent": {"support-bot"}, "principal": {"runs_as"}},
			"/console/sessions/" + b.session() + "/end":            {},
			"/console/sign-out":                                    {},
			"/console/sign-in/device":                              newLink(t).form,
			"/console/enrol":                                       {},
			"/console/sign-in/passkey":                             {},
		} {
			if p := b.do(http.MethodPost, path, form.Encode(), headers...); p.status != http.StatusForbidden {
				t.Errorf("%s to %s: %d %.200s", name, path, p.status, p.text)
			}
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodPatch} { // a form is posted or nothing
		if p := b.do(method, "/console/approvals/"+id+"/vote?vote=approve&shown="+n.ballot(id, "")["shown"][0], ""); p.status != http.StatusNotFound {
			t.Errorf("%s: %d", method, p.status)
		}
		if p := b.do(method, "/console/sign-out", ""); p.status != http.StatusNotFound {
			t.Errorf("%s: %d", method, p.status)
		}
	}
	if after := size(); after != before {
		t.Errorf("%d entries were written", after-before)
	}
	b.wantIn("root")
}

// total counts what people did, in a ledger.
func total(n *node, ledger string) int {
	sum := 0
	for _, kind := range []string{"approval_vote", "change_reviewed", "change_proposed", "bundle_activated", "person_invited", "person_removed", "signed_in", "session_ended", "credential_issued", "passkey_enrolled", "exercise", "exercise_result"} {
		sum += len(entries(n, n.admin, ledger, kind))
	}
	return sum
}

func TestOnlyASessionOpensThePages(t *testing.T) {
	t.Parallel()
	o, n := newConsole(t)
	_, key := n.key("support-bot", "runs_as")
	id := approvalOf(n.ask(key, fmt.Sprintf(refund, 900, ""), "require_approval"))
	good := n.browser().signIn(o, "yuki")
	cookie := good.cookie()
	parts := strings.Split(cookie, ".")
	token := o.signIn("yuki", nil)
	forged := map[string]string{
		"an agent's key": key, "the administrator's token": n.admin, "the session's token alone": parts[0], "a token of the provider": token,
		"an agent's key, dressed up": key + "." + parts[1] + "." + parts[2], "another time": parts[0] + "." + parts[1] + "0." + parts[2], "no time": parts[0] + ".." + parts[2],
		"no seal": parts[0] + "." + parts[1] + ".", "another seal": parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])), "a fourth part": cookie + ".x",
		"another token": tampered(parts[0]) + "." + parts[1] + "." + parts[2], "nothing": "", "dots": "..", "script": "<script>", "much": strings.Repeat("a.", 4000),
		"sealed, and no session": n.CookieFor(key), "sealed, and the administrator": n.CookieFor(n.admin), "sealed, and of the provider": strings.Replace(n.CookieFor(token), ".", "_", 2),
	}
	_, guessed, _, err := identity.NewSecretFor(rand.Reader, state.RolePerson, gov.CredentialID(good.session()))
	if err != nil {
		t.Fatal(err)
	}
	wantProblem(t, n.get("/v1/me", guessed), 401, "unauthenticated")
	forged["another secret under the same id"] = n.CookieFor(guessed)
	for i := 0; i < len(cookie); i += 7 {
		forged[fmt.Sprintf("cut at %d", i)] = cookie[:i]
		changed := []byte(cookie)
		changed[i] ^= 1
		forged[fmt.Sprintf("changed at %d", i)] = string(changed)
	}
	for name, value := range forged {
		b := n.browser()
		b.setCookie("writ", value, "/")
		b.wantOut(name)
		b.submit("/console/approvals/"+id+"/vote", n.ballot(id, "approve")).want(t, http.StatusUnauthorized)
	}
	for name, bearer := range map[string]string{"an agent's key": key, "the administrator's token": n.admin, "the session's token": parts[0], "a token of the provider": token} {
		b := n.browser()
		if p := b.get("/console/me", "Authorization", "Bearer "+bearer); p.at.Path != "/console/sign-in" {
			t.Errorf("%s opens %s", name, p.at)
		}
		b.submit("/console/approvals/"+id+"/vote", n.ballot(id, "approve"), "Authorization", "Bearer "+bearer).want(t, http.StatusUnauthorized)
	}
	wantProblem(t, n.vote(id, key, "approve"), 403, "forbidden")
	if votes := entries(n, n.admin, "prod", "approval_vote"); len(votes) != 0 {
		t.Errorf("votes: %v", votes)
	}
	good.wantIn("yuki")
	for _, path := range []string{"/console/decisions", "/console/approvals/" + id, "/console/export/decisions.csv", "/console/people", "/console/changes/new"} {
		if p := n.browser().get(path); p.at.Path != "/console/sign-in" || p.at.Query().Get("next") != path {
			t.Errorf("%s without a session is at %s", path, p.at)
		}
	}
}

func TestPagesAreOfThoseWhoHaveARole(t *testing.T) {
	t.Parallel()
	o, n := newConsole(t)
	_, key := n.key("support-bot", "runs_as")
	decision := n.ask(key, fmt.Sprintf(readTicket, ""), "allow")["id"].(string)
	id := approvalOf(n.ask(key, fmt.Sprintf(refund, 900, ""), "require_approval"))
	change := wantState(t, n.propose(o.signIn("ana", nil), "Plainer words", acmeWith(t, refundsFile, oldReason, newReason)), "proposed")["id"].(string)
	staging := acmeWith(t, "writ.yaml", "user:chloe", "user:zoe")
	if e := n.send(http.MethodPost, "/v1/bundles?environment=staging", n.admin, "application/x-tar", staging); e.status != http.StatusOK {
		t.Fatalf("staging: %s", e.body)
	}
	pages := []string{"/console/?environment=%s", "/console/decisions?environment=%s", "/console/approvals?environment=%s", "/console/changes?environment=%s", "/console/changes/new?environment=%s", "/console/agents?environment=%s", "/console/tools?environment=%s", "/console/limits?environment=%s", "/console/exercises?environment=%s", "/console/detectors?environment=%s", "/console/signals?environment=%s", "/console/ledger?environment=%s", "/console/export/decisions.csv?environment=%s", "/console/export/decisions.json?environment=%s", "/console/export/incidents.csv?environment=%s", "/console/export/incidents.json?environment=%s", "/console/live?environment=%s"}
	chloe, nobody := n.browser().signIn(o, "chloe"), n.browser().signIn(o, "nobody")
	for _, page := range pages {
		for _, env := range []string{"staging", "org"} {
			chloe.get(fmt.Sprintf(page, env)).want(t, http.StatusForbidden, "forbidden")
		}
		nobody.get(fmt.Sprintf(page, "prod")).want(t, http.StatusForbidden, "forbidden")
		chloe.get(fmt.Sprintf(page, "nowhere")).want(t, http.StatusNotFound)
		if !strings.HasPrefix(page, "/console/live") {
			chloe.get(fmt.Sprintf(page, "prod")).want(t, http.StatusOK)
		}
	}
	for _, page := range []string{"/console/decisions/" + decision, "/console/approvals/" + id, "/console/changes/" + change, "/console/people", "/console/credentials"} {
		if p := nobody.get(page); p.status != http.StatusForbidden && p.status != http.StatusNotFound || strings.Contains(p.text, "zendesk") || strings.Contains(p.text, "stripe") {
			t.Errorf("nobody sees %s: %d %s", page, p.status, p.text)
		}
	}
	nobody.get("/console/").want(t, http.StatusOK, "Nothing to see yet")
	nobody.get("/console/me").want(t, http.StatusOK, "You have no role anywhere.")
	for page, p := range nobody.crawl("/console/") {
		if strings.Contains(p.text, "support-bot") || strings.Contains(p.text, decision) || strings.Contains(p.text, ">staging<") {
			t.Errorf("nobody sees on %s: %s", page, p.text)
		}
	}
	form := url.Values{"environment": {"staging"}, "description": {"x"}, "reason": {"x"}, "scenario": {"x"}, "agents": {"support-bot"}, "minutes": {"5"}}
	for _, path := range []string{"/console/changes/new", "/console/changes/rollback", "/console/exercises/new"} {
		chloe.submit(path, form).want(t, http.StatusForbidden)
	}
	for path, form := range map[string]url.Values{"/console/people/invite": {"person": {"user:mallory"}}, "/console/credentials/issue": {"environment": {"prod"}}, "/console/people/p_x/remove": {"reason": {"x"}}, "/console/credentials/x/revoke": nil} {
		chloe.submit(path, form).want(t, http.StatusForbidden)
	}
	if p := chloe.get("/console/"); strings.Contains(p.text, "/console/people") || strings.Contains(p.text, ">staging<") {
		t.Errorf("chloe is shown the way to what is not hers: %s", p.text)
	}
}

func TestAnExportIsNoFormula(t *testing.T) {
	t.Parallel()
	o, n := newConsole(t)
	_, key := n.key("support-bot", "runs_as")
	for _, session := range []string{"=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "=cmd|' /C calc'!A0"} {
		data, err := json.Marshal(session)
		if err != nil {
			t.Fatal(err)
		}
		if e := n.post("/v1/decisions", key, fmt.Sprintf(readTicket, `,"session":`+string(data))); e.status != http.StatusBadRequest {
			t.Errorf("a session %q is taken: %d", session, e.status)
		}
	}
	for _, session := range []string{"a=1+1", "x@SUM|1", "s-1"} {
		n.ask(key, fmt.Sprintf(readTicket, `,"session":"`+session+`"`), "allow")
	}
	b := n.browser().signIn(o, "yuki")
	eventually(t, "the index", func() bool {
		return strings.Count(b.get("/console/export/decisions.csv?environment=prod&tool=zendesk/read_ticket").text, "dec_") == 3
	})
	p := b.get("/console/export/decisions.csv?environment=prod&tool=zendesk/read_ticket&session=").want(t, http.StatusOK, "a=1+1")
	if p.header.Get("Content-Type") != "text/csv; charset=utf-8" || p.header.Get("Content-Disposition") != `attachment; filename="decisions.csv"` {
		t.Errorf("headers %v", p.header)
	}
	for _, query := range []string{"&tool=zendesk/read_ticket", "&agent=" + url.QueryEscape("=1+1"), "&session=" + url.QueryEscape("\n=1+1,=2"), "&policy=" + url.QueryEscape(`"`+"\r\n=1")} {
		p := b.get("/console/export/decisions.csv?environment=prod" + query)
		if p.status != http.StatusOK {
			continue // refused is as good
		}
		r := csv.NewReader(strings.NewReader(p.text))
		r.FieldsPerRecord = -1
		rows, err := r.ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", p.text, err)
		}
		for i, row := range rows {
			for _, cell := range row {
				if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
					t.Errorf("row %d has %q", i, cell)
				}
			}
		}
	}
	var found struct {
		Decisions []map[string]any `json:"decisions"`
		Rows      int              `json:"rows"`
	}
	p = b.get("/console/export/decisions.json?environment=prod&tool=zendesk/read_ticket")
	if err := json.Unmarshal([]byte(p.text), &found); err != nil || found.Rows != 3 || len(found.Decisions) != 3 {
		t.Errorf("%s: %v", p.text, err)
	}
}

func TestPathsLeadNowhereElse(t *testing.T) {
	t.Parallel()
	o, n := newConsole(t)
	b := n.browser().signIn(o, "root")
	for _, path := range []string{
		"/console/static/../templates/base.html", "/console/static/%2e%2e/templates/base.html", "/console/static/..%2ftemplates%2fbase.html", "/console/static/%2e%2e%2ftemplates/base.html", "/console/static/....//templates/base.html",
		"/console/static//etc/passwd", "/console/static/%2fetc%2fpasswd", "/console/static/..%5ctemplates%5cbase.html", "/console/static/", "/console/static/.", "/console/static/%2e", "/console/static/console.css/", "/console/static/nothing.js", "/console/static/console.css%00",
		"/console/export/..%2f..%2fwrit.key", "/console/export/%2e%2e%2fwrit.key", "/console/export/decisions.csv%00", "/console/export/decisions.csv%2f..%2fwrit.key", "/console/export/writ.key", "/console/export/..", "/console/export/",
		"/console/decisions/%2e%2e", "/console/decisions/%2e", "/console/approvals/%2e%2e", "/console/changes/%2e%2e", "/console/ledger?environment=..", "/console/ledger?environment=.", "/console/live?environment=..", "/console/ledger?environment=a%2f..%2fb",
		"/console/ledger?environment=prod%2fcheckpoint", "/console/decisions/%2f", "/console/decisions/a%2fb", "/console/nothing",
	} {
		p := b.get(path)
		elsewhere := p.status < 400 && p.at.Path != "/console/" && p.at.Path != "/console/templates/base.html"
		if elsewhere || p.status >= 500 || strings.Contains(p.text, "{{define") || strings.Contains(p.text, "PRIVATE") || strings.Contains(p.text, "root:") || strings.Contains(p.text, `<a href="console.css"`) {
			t.Errorf("%s: %d at %s: %.300s", path, p.status, p.at, p.text)
		}
	}
	for _, path := range []string{"/console/approvals/%2e%2e/vote", "/console/people/%2e%2e/remove", "/console/credentials/%2e%2e/revoke", "/console/sessions/%2e%2e/end", "/console/changes/%2e%2e/review", "/console/changes/%2e%2e/activate"} {
		if p := b.submit(path, url.Values{"reason": {"x"}, "vote": {"approve"}, "shown": {"x"}, "review": {"approve"}}); p.status != http.StatusNotFound {
			t.Errorf("%s: %d %.300s", path, p.status, p.text)
		}
	}
	for file, kind := range map[string]string{"console.css": "text/css", "console.js": "text/javascript", "htmx.min.js": "text/javascript", "icon.svg": "image/svg+xml"} {
		if p := b.get("/console/static/" + file); p.status != http.StatusOK || !strings.HasPrefix(p.header.Get("Content-Type"), kind) || !strings.Contains(p.header.Get("Cache-Control"), "max-age") {
			t.Errorf("%s: %d %v", file, p.status, p.header)
		}
	}
	// Into the console and nowhere else.
	for path, accept := range map[string]string{"/console": "", "/": "text/html"} {
		if p := b.stay().get(path, "Accept", accept); p.status != http.StatusSeeOther || p.header.Get("Location") != "/console/" {
			t.Errorf("%s: %d %v", path, p.status, p.header)
		}
	}
}

func TestAFormIsReadWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	o, n := newConsole(t)
	ana := n.browser().signIn(o, "ana")
	base := "environment=prod&description=much&new_name=prompts/big.md&new_text="
	for size, status := range map[int]int{8<<20 + 1: http.StatusRequestEntityTooLarge, 8<<20 + 4096: http.StatusRequestEntityTooLarge} {
		body := base + strings.Repeat("x", size-len(base))
		ana.do(http.MethodPost, "/console/changes/new", body).want(t, status, "8388608 bytes")
	}
	ana.do(http.MethodPost, "/console/changes/new", base+strings.Repeat("x", 7<<20)).want(t, http.StatusUnprocessableEntity, `role="alert"`) // over what a bundle may have
	for _, path := range []string{"/console/approvals/x/vote", "/console/sign-out", "/console/sign-in/device", "/console/changes/rollback"} {
		ana.do(http.MethodPost, path, "comment="+strings.Repeat("x", 1<<20)).want(t, http.StatusRequestEntityTooLarge)
	}
	ana.wantIn("ana")
	ana.do(http.MethodPost, "/console/changes/rollback", "environment=prod&reason=%zz").want(t, http.StatusBadRequest, "did not arrive whole")
	p := ana.do(http.MethodPost, "/console/sign-in/passkey/finish", `{"sealed":"`+strings.Repeat("x", 2<<20)+`"}`, "Content-Type", jsonType)
	p.want(t, http.StatusBadRequest, "did not arrive whole")
	if list := entries(n, n.admin, "prod", "change_proposed"); len(list) != 0 {
		t.Errorf("proposed: %v", list)
	}
}

// lines is a log that is written at once.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write adds to the log.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func TestNobodyWritesLinesIntoTheLog(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c, log := o.config(t.TempDir()), &lines{}
	c.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	n := start(t, c)
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	const forged = "x\ntime=2026-01-01T00:00:00Z level=INFO msg=\"all is well\"\r\n\u2028time=1"
	b := n.browser()
	for _, path := range []string{"/console/" + url.PathEscape(forged), "/console/static/" + url.PathEscape(forged), "/console/export/" + url.PathEscape(forged), "/console/sign-in/callback?code=" + url.QueryEscape(forged), "/v1/" + url.PathEscape(forged)} {
		b.get(path, "User-Agent", "x time=1", "X-Forwarded-For", "y")
	}
	to, err := url.Parse(b.answer(o, "yuki"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"error", "iss", "code"} {
		b.answer(o, "yuki")
		q := to.Query()
		q.Set(name, forged)
		b.get("/console/sign-in/callback?" + q.Encode())
	}
	o.Person(forged, map[string]any{"name": forged, "email": forged, "groups": []string{forged}})
	evilOne := n.browser()
	evilOne.login(o, evilOne.begin(o), forged)
	evilOne.get("/console/?environment=" + url.QueryEscape(forged))
	data, err := json.Marshal(forged)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{`{"agent":` + string(data) + `}`, `{` + string(data) + `:1}`, fmt.Sprintf(readTicket, `,"session":`+string(data))} {
		n.post("/v1/decisions", key, body)
	}
	d := newDevice(t)
	b.call("/console/sign-in/passkey/finish", map[string]any{"sealed": forged, "answer": forged})
	cer := b.call("/console/sign-in/passkey", nil).ceremony(t)
	rp := n.relyingParty()
	rp.Origin = forged
	b.call("/console/sign-in/passkey/finish", cer.finish(d.signed(t, rp, cer)))
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	count := 0
	for line := range strings.Lines(log.b.String()) {
		if count++; !strings.HasPrefix(line, "time=") || strings.HasPrefix(line, "time=2026-01-01T00:00:00Z") || strings.Contains(line, "\r") || strings.Contains(line, "\u2028") {
			t.Errorf("a line of the log is %q", line)
		}
	}
	if count < 10 {
		t.Errorf("the log has %d lines only", count)
	}
}

// TestTheClockMovedBackRevivesNothing: what was over for anybody stays over.
func TestTheClockMovedBackRevivesNothing(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("finance-bot", "user:tom")
	d := n.enrolled("yuki", "")
	b := n.browser().signIn(o, "yuki")
	id := n.asked(key, "t1")
	o.clock.Add(int64(9 * time.Hour))
	if got := n.request(id, n.admin, "")["state"]; got != "expired" {
		t.Fatalf("after nine hours the request is %v", got)
	}
	o.clock.Add(-int64(8*time.Hour + 30*time.Minute))
	if got := n.request(id, n.admin, "")["state"]; got != "expired" {
		t.Errorf("the clock moved back and the request is %v", got)
	}
	b.wantOut("nine hours, and the clock moved back")
	b.passkey(d).want(t, http.StatusOK)
	b.submit("/console/approvals/"+id+"/vote", n.ballot(id, "approve")).want(t, http.StatusConflict, "the request is expired already")
	if d := n.ask(key, fmt.Sprintf(transfer, `,"call_id":"t1"`), "deny"); d["reasons"].([]any)[0].(map[string]any)["code"] != "approval_expired" {
		t.Errorf("the call is refused with %v", d["reasons"])
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

func TestAStaleSignInStaysStale(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	_, key := n.key("finance-bot", "user:tom")
	id := n.asked(key, "t1")
	ahead := o.signIn("yuki", map[string]any{"auth_time": time.Now().Add(time.Hour).Unix()})
	wantProblem(t, n.vote(id, ahead, "approve"), 403, "sign_in_stale")
	b := n.browser().signIn(o, "yuki")
	token := b.bearer()
	o.clock.Add(int64(16 * time.Minute))
	wantProblem(t, n.vote(id, token, "approve"), 403, "sign_in_stale")
	o.clock.Add(-int64(10 * time.Minute))
	wantProblem(t, n.vote(id, token, "approve"), 403, "sign_in_stale")
	if votes := entries(n, n.admin, "prod", "approval_vote"); len(votes) != 0 {
		t.Errorf("votes: %v", votes)
	}
}

// TestAPageIsInItsEnvironment: whoever follows a link to something of staging is in staging, whichever comes first.
func TestAPageIsInItsEnvironment(t *testing.T) {
	t.Parallel()
	o, n := newConsole(t)
	if e := n.send(http.MethodPost, "/v1/bundles?environment=staging", n.admin, "application/x-tar", acmeWith(t, "")); e.status != http.StatusOK {
		t.Fatalf("activate: %s", e.body)
	}
	key := n.post("/v1/credentials", n.admin, `{"environment":"staging","agent":"support-bot"}`).decode(t)["token"].(string)
	id := n.post("/v1/decisions", key, `{"agent":"support-bot","tool":"zendesk/read_ticket","input":{"ticket":"T-1"}}`).decode(t)["id"].(string)
	vera := n.browser().signIn(o, "vera")
	for _, path := range []string{"/console/decisions/" + id, "/console/agents?environment=staging", "/console/versions?environment=staging"} {
		vera.get(path).want(t, http.StatusOK, `<a href="/console/?environment=staging" aria-current="true">staging</a>`)
	}
	vera.get("/console/agents").want(t, http.StatusOK, `<a href="/console/?environment=prod" aria-current="true">prod</a>`)
}
