package app_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/outbox"
	"github.com/writ-dev/writ/internal/store"
)

const signingKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// pager is what a company's notices arrive at. It checks every signature.
type pager struct {
	*httptest.Server
	t     *testing.T
	down  atomic.Int64 // answer 503 (1), or hang up after reading (2)
	tried atomic.Int64
	mu    sync.Mutex
	got   []map[string]any
}

func newPager(t *testing.T) *pager {
	p := &pager{t: t}
	p.Server = httptest.NewServer(http.HandlerFunc(p.take))
	t.Cleanup(p.Close)
	return p
}

func (p *pager) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(signingKey, "whsec_"))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(r.Header.Get("webhook-id") + "." + r.Header.Get("webhook-timestamp") + "." + string(body)))
	if r.Header.Get("webhook-signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		p.t.Errorf("a notice is not signed: %v", r.Header)
	}
	var event map[string]any
	if err := json.Unmarshal(body, &event); err != nil || event["id"] != r.Header.Get("webhook-id") {
		p.t.Errorf("a notice is %s: %v", body, err)
	}
	if err != nil {
		p.t.Error(err)
	}
	p.tried.Add(1)
	switch p.down.Load() {
	case 1:
		w.WriteHeader(http.StatusServiceUnavailable)
	case 2:
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			p.t.Error(err)
			return
		}
		if err := conn.Close(); err != nil {
			p.t.Error(err)
		}
	default:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.got = append(p.got, event)
	}
}

// told gives the events that arrived, as "type subject".
func (p *pager) told() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, e := range p.got {
		out = append(out, strings.TrimPrefix(e["type"].(string), "dev.writ.")+" "+e["subject"].(string))
	}
	slices.Sort(out)
	return out
}

func (p *pager) wants(what ...string) {
	p.t.Helper()
	slices.Sort(what)
	eventually(p.t, fmt.Sprint(what, " are told"), func() bool { return slices.Equal(p.told(), what) })
}

// paged is a configuration whose secret HOOK is the pager.
func (o *office) paged(dir string, p *pager) app.Config {
	o.t.Helper()
	c := o.config(dir)
	c.Secrets, c.PublicURL = o.t.TempDir(), "https://writ.example.com"
	if err := os.WriteFile(filepath.Join(c.Secrets, "HOOK"), []byte(p.URL+"/hook\n"+signingKey+"\n"), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return c
}

const everything = "notify:\n  hook: {type: webhook, secret: HOOK, events: [approval_requested, approval_decided, change_proposed, change_activated, review_owed, change_not_activated]}\n"

// acmeTells puts examples/acme into force with channels.
func (n *node) acmeTells(t *testing.T, channels string) {
	t.Helper()
	tar := acmeWith(t, "writ.yaml", "retention:", channels+"retention:")
	if e := n.send(http.MethodPost, "/v1/bundles?environment=prod", n.admin, "application/x-tar", tar); e.status != http.StatusOK {
		t.Fatalf("activate: %s", e.body)
	}
}

// attempts gives what the ledger says about deliveries, as "status attempt code cause".
func attempts(n *node) []string {
	n.t.Helper()
	var out []string
	for _, e := range entries(n, n.admin, "prod", "notification") {
		b := e["body"].(map[string]any)
		out = append(out, fmt.Sprint(b["status"], " ", b["attempt"], " ", b["code"], " ", b["cause"]))
	}
	return out
}

// TestANoticeSurvivesAChannelThatIsDownAndARestart: the request is open at once, whatever the channel does, and people are told
// in the end.
func TestANoticeSurvivesAChannelThatIsDownAndARestart(t *testing.T) {
	t.Parallel()
	o, p, dir := newOffice(t), newPager(t), t.TempDir()
	p.down.Store(1)
	c := o.paged(dir, p)
	n := start(t, c)
	admin := n.admin
	n.acmeTells(t, everything)
	_, key := n.key("support-bot", "runs_as")
	n.ask(key, fmt.Sprintf(refund, 100, ""), "allow")
	asked := n.ask(key, fmt.Sprintf(refund, 900, ""), "require_approval")
	id := approvalOf(asked)
	if got := n.request(id, n.admin, "")["state"]; got != "pending" {
		t.Errorf("the request is %v", got)
	}
	eventually(t, "an attempt is recorded", func() bool { return len(attempts(n)) == 1 })
	o.clock.Add(int64(4 * time.Second)) // not yet
	p.down.Store(2)
	o.clock.Add(int64(time.Second))
	eventually(t, "a second attempt is recorded", func() bool { return len(attempts(n)) == 2 })
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	p.down.Store(0)
	o.clock.Add(int64(10 * time.Second))
	n = start(t, c)
	n.admin = admin
	p.wants("approval_requested " + id)
	eventually(t, "the third attempt is recorded", func() bool { return len(attempts(n)) == 3 })
	want := []string{"failed 1 503 refused", "failed 2 <nil> unreachable", "delivered 3 200 <nil>"}
	if got := attempts(n); !slices.Equal(got, want) {
		t.Errorf("the ledger says %v, want %v", got, want)
	}
	p.mu.Lock()
	event, data := p.got[0], p.got[0]["data"].(map[string]any)
	p.mu.Unlock()
	if event["id"] != asked["id"] || data["url"] != "https://writ.example.com/console/approvals/"+id || data["agent"] != "support-bot" || data["tool"] != "stripe/refund" ||
		data["deadline"] == nil || fmt.Sprint(data["groups"]) != "[finance]" || fmt.Sprint(data["why"]) != "[Refunds over 500 USD need a finance approver.]" {
		t.Errorf("people are told %v", event)
	}
	for _, private := range []string{"ch_1", "900", "support-desk"} { // the input and the principal of the call
		if strings.Contains(fmt.Sprint(event), private) {
			t.Errorf("the notice names %s: %v", private, event)
		}
	}
	n.wantPage(strings.TrimPrefix(data["url"].(string), c.PublicURL))
	n.wantVote(id, o.signIn("tom", nil), "approve", "approved")
	p.wants("approval_requested "+id, "approval_decided "+id)
	eventually(t, "the last attempt is recorded", func() bool { return len(attempts(n)) == 4 })
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
	owes(t, dir, 2, 0) // of the request and of the vote, nothing of the call that was allowed
}

// wantPage wants a path to be a page that asks who is there.
func (n *node) wantPage(path string) {
	n.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(n.URL() + path)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		n.t.Error(err)
	}
	if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || !strings.HasSuffix(to, "?next="+url.QueryEscape(path)) {
		n.t.Errorf("%s: %d %s, want a page behind the sign-in", path, resp.StatusCode, to)
	}
}

// owes wants so many documents of the outbox in a stopped node's directory, and so many that wait.
func owes(t *testing.T, dir string, all int, due int) {
	t.Helper()
	st, err := store.OpenSQLiteReadOnly(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	docs, err := st.Docs(t.Context(), "prod", outbox.DocKind, "", math.MaxInt64, 100)
	if err != nil || len(docs) != all {
		t.Errorf("%d notices are kept, want %d: %v", len(docs), all, err)
	}
	waiting, err := st.DocsDue(t.Context(), "prod", outbox.DocKind, time.Now().Add(1000*time.Hour), 100)
	if err != nil || len(waiting) != due {
		t.Errorf("%d notices wait, want %d: %v", len(waiting), due, err)
	}
	for _, d := range docs {
		for _, private := range []string{"http", "whsec_", "ch_", "tom"} {
			if strings.Contains(string(d.Data), private) {
				t.Errorf("the outbox names %s: %s", private, d.Data)
			}
		}
	}
}

func TestANoticeIsGivenUpAfterADay(t *testing.T) {
	t.Parallel()
	o, p, dir := newOffice(t), newPager(t), t.TempDir()
	p.down.Store(1)
	n := start(t, o.paged(dir, p))
	n.acmeTells(t, strings.Replace(everything, "secret: HOOK", "secret: OTHER", 1))
	_, key := n.key("support-bot", "runs_as")
	id := approvalOf(n.ask(key, fmt.Sprintf(refund, 900, ""), "require_approval"))
	eventually(t, "an attempt is recorded", func() bool { return len(attempts(n)) == 1 })
	o.clock.Add(int64(25 * time.Hour))
	eventually(t, "the request is over and the notices are given up", func() bool { return len(attempts(n)) >= 3 })
	got := attempts(n)
	if !slices.Contains(got, "given_up 2 <nil> secret") || n.request(id, n.admin, "")["state"] != "expired" || !slices.Contains(got, "failed 1 <nil> secret") || p.tried.Load() != 0 {
		t.Errorf("the ledger says %v", got)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	owes(t, dir, 2, 1) // that it expired is still tried
}

// TestAChangeCannotHideItself: it is told through the channels that it removes.
func TestAChangeCannotHideItself(t *testing.T) {
	t.Parallel()
	o, p := newOffice(t), newPager(t)
	n := start(t, o.paged(t.TempDir(), p))
	n.acmeTells(t, everything)
	ana, maria, omar := o.signIn("ana", nil), o.signIn("maria", nil), o.signIn("omar", nil)
	silent := wantState(t, n.propose(ana, "Nobody is told any more", acmeWith(t, "writ.yaml", "days: 455", "days: 500")), "proposed")["id"].(string)
	wantState(t, n.review(silent, maria, "approve"), "approved")
	if e := n.post("/v1/changes/"+silent+"/activate", ana, ""); e.status != http.StatusOK {
		t.Fatalf("activate: %s", e.body)
	}
	p.wants("change_proposed "+silent, "change_activated "+silent)
	unheard := wantState(t, n.propose(ana, "Longer", acmeWith(t, "writ.yaml", "days: 455", "days: 501")), "proposed")["id"].(string)
	wantState(t, n.review(unheard, maria, "deny"), "rejected")
	e := n.post("/v1/changes/rollback", omar, `{"environment":"prod","reason":"people have to be told"}`)
	if e.status != http.StatusOK {
		t.Fatalf("roll back: %d %s", e.status, e.body)
	}
	again := wantState(t, n.propose(ana, "Even longer", acmeWith(t, "writ.yaml", "retention: {days: 455}", everything+"retention: {days: 502}")), "proposed")["id"].(string)
	wantState(t, n.review(again, maria, "approve"), "approved")
	if e := n.post("/v1/changes/"+again+"/activate", ana, ""); e.status != http.StatusOK {
		t.Fatalf("activate: %s", e.body)
	}
	e = n.post("/v1/changes/rollback", omar, `{"environment":"prod","reason":"too long"}`)
	if e.status != http.StatusOK {
		t.Fatalf("roll back: %d %s", e.status, e.body)
	}
	back := e.decode(t)["id"].(string)
	p.wants("change_proposed "+silent, "change_activated "+silent, "change_proposed "+again, "change_activated "+again, "review_owed "+back)
	n.wantPage("/console/changes/" + back)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, got := range p.got {
		data := got["data"].(map[string]any)
		if got["type"] == "dev.writ.review_owed" && (fmt.Sprint(data["why"]) != "[too long]" || data["deadline"] == nil || data["url"] != "https://writ.example.com/console/changes/"+back || fmt.Sprint(data["groups"]) != "[leads security]") {
			t.Errorf("people are told %v", got)
		}
	}
}

func TestAnEmergencyIsTold(t *testing.T) {
	t.Parallel()
	o, p := newOffice(t), newPager(t)
	n := start(t, o.paged(t.TempDir(), p))
	n.acmeTells(t, everything)
	ana, maria, omar := o.signIn("ana", nil), o.signIn("maria", nil), o.signIn("omar", nil)
	longer := func(token, days string) string {
		t.Helper()
		tar := acmeWith(t, "writ.yaml", "retention: {days: 455}", everything+"retention: {days: "+days+"}")
		return wantState(t, n.propose(token, "Longer", tar), "proposed")["id"].(string)
	}
	both := longer(ana, "500")
	wantState(t, n.hurry(both, maria), "activated")
	alone := longer(omar, "501")
	wantState(t, n.hurry(alone, omar), "review_owed")
	p.wants("change_proposed "+both, "change_activated "+both, "change_proposed "+alone, "review_owed "+alone)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, got := range p.got {
		data := got["data"].(map[string]any)
		owed := got["type"] == "dev.writ.review_owed"
		if (owed || got["type"] == "dev.writ.change_activated") && (fmt.Sprint(data["why"]) != "[refunds go to the wrong account Longer]" || owed != (data["deadline"] != nil)) {
			t.Errorf("people are told %v", got)
		}
	}
}

// TestANoticeIsToldOnceByThreeNodes while none of them dies.
func TestANoticeIsToldOnceByThreeNodes(t *testing.T) {
	t.Parallel()
	o, p := newOffice(t), newPager(t)
	database, key := databases.Postgres(t), filepath.Join(t.TempDir(), "writ.key")
	nodes := make([]*node, 3)
	for i := range nodes {
		c := o.paged("", p)
		c.Database, c.KeyFile, c.Node = database, key, fmt.Sprintf("n%d", i)
		nodes[i] = start(t, c)
		nodes[i].admin = nodes[0].admin
	}
	nodes[0].acmeTells(t, everything)
	_, agent := nodes[0].key("support-bot", "runs_as")
	var want []string
	for i := range 9 {
		want = append(want, "approval_requested "+approvalOf(nodes[i%3].ask(agent, fmt.Sprintf(refund, 900+i, ""), "require_approval")))
	}
	p.wants(want...)
	eventually(t, "all are recorded", func() bool { return len(attempts(nodes[0])) == 9 })
	if p.tried.Load() != 9 {
		t.Errorf("%d were told of 9", p.tried.Load())
	}
}

// TestASecretIsAVariableOrAFile, which is read each time.
func TestASecretIsAVariableOrAFile(t *testing.T) {
	o, p, other := newOffice(t), newPager(t), newPager(t)
	c := o.paged(t.TempDir(), p)
	t.Setenv("WRIT_SECRET_HOOK", other.URL+"\n"+signingKey)
	if _, err := app.New(t.Context(), app.Config{Data: t.TempDir(), Secrets: filepath.Join(c.Secrets, "HOOK")}); err == nil || !strings.Contains(err.Error(), "--secrets") {
		t.Errorf("secrets that are no directory: %v", err)
	}
	n := start(t, c)
	n.acmeTells(t, everything)
	_, key := n.key("support-bot", "runs_as")
	file := approvalOf(n.ask(key, fmt.Sprintf(refund, 900, ""), "require_approval"))
	p.wants("approval_requested " + file)
	if err := os.Remove(filepath.Join(c.Secrets, "HOOK")); err != nil {
		t.Fatal(err)
	}
	variable := approvalOf(n.ask(key, fmt.Sprintf(refund, 901, ""), "require_approval"))
	other.wants("approval_requested " + variable)
}

// TestASilentChannelHoldsUpNothingElse: it takes connections and never answers; five notices would cost five times sendMax.
func TestASilentChannelHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	o, p := newOffice(t), newPager(t)
	c := o.paged(t.TempDir(), p)
	if err := os.WriteFile(filepath.Join(c.Secrets, "SILENT"), []byte("http://"+l.Addr().String()), 0o600); err != nil {
		t.Fatal(err)
	}
	n := start(t, c)
	n.acmeTells(t, "notify:\n  first: {type: slack, secret: SILENT, events: [approval_requested]}\n"+strings.TrimPrefix(everything, "notify:\n"))
	_, key := n.key("support-bot", "runs_as")
	var want []string
	for i := range 5 {
		want = append(want, "approval_requested "+approvalOf(n.ask(key, fmt.Sprintf(refund, 900+i, ""), "require_approval")))
	}
	p.wants(want...)
}
