package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/identity/identitytest"
)

// commands are the lines of a document that an operator would type, but for those that begin with one of skip.
func commands(t *testing.T, file string, skip ...string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", file))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		line, code := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		if !code || !strings.HasPrefix(line, "writ ") && !strings.HasPrefix(line, "export ") {
			continue
		}
		if !begins(line, skip) {
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s has no commands", file)
	}
	return out
}

func begins(line string, with []string) bool {
	for _, w := range with {
		if strings.HasPrefix(line, w) {
			return true
		}
	}
	return false
}

// sh runs lines as an operator would type them, in a directory with the examples, and fails the test at the first that fails.
func (s *server) sh(lines []string, in string, env ...string) string {
	s.t.Helper()
	dir := s.t.TempDir()
	examples, err := filepath.Abs("../examples")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.Symlink(examples, filepath.Join(dir, "examples")); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command("bash", "-euxo", "pipefail", "-c", strings.Join(lines, "\n"))
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(in)
	cmd.Env = append(os.Environ(), append(env, "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"), "WRIT_URL="+s.url, "WRIT_DATA="+s.data)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func TestTheReadmesCommandsWork(t *testing.T) {
	s := bareServer(t, place{data: t.TempDir()})
	out := s.sh(commands(t, "README.md", "writ serve", "export WRIT_ADMIN_TOKEN"), "", "WRIT_ADMIN_TOKEN="+s.admin)
	for _, want := range []string{"allow  dec_", "0 different"} {
		if !strings.Contains(out, want) {
			t.Errorf("the README's commands do not print %q:\n%s", want, out)
		}
	}
}

func TestTheCommandsForChangesWork(t *testing.T) {
	idp := identitytest.New(t)
	t.Setenv("WRIT_ISSUER", "url="+idp.URL+",audience=writ-people,for=people")
	s := newServer(t, place{data: t.TempDir()})
	token := func(person string) string {
		idp.Register(person, person, "writ-people", map[string]any{"auth_time": time.Now().Unix()})
		return "WRIT_PERSON_TOKEN=" + idp.Token(t, person)
	}
	governance := filepath.Join(t.TempDir(), "governance")
	if err := os.CopyFS(governance, os.DirFS("../examples/acme")); err != nil {
		t.Fatal(err)
	}
	policy := filepath.Join(governance, "policies", "support.cedar")
	text, err := os.ReadFile(policy)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(policy, bytes.Replace(text, []byte("need a finance approver"), []byte("wait for finance"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := s.ask(t.Context(), "POST", "/v1/decisions", s.key, []byte(`{"agent":"support-bot","tool":"stripe/refund","input":{"charge":"ch_1","amount":900,"currency":"usd"}}`)); err != nil || r.status != 200 {
		t.Fatalf("decide: %d %s, %v", r.status, r.body, err)
	}
	lines := commands(t, "docs/guide/changes.md", "export WRIT_PERSON_TOKEN")
	out := s.sh([]string{strings.Replace(lines[0], "governance/", governance, 1)}, "", token("ana"))
	id := regexp.MustCompile(`chg_[0-9a-z]+`).FindString(out)
	if id == "" || !strings.Contains(out, "changed policies/support.cedar") {
		t.Fatalf("proposed:\n%s", out)
	}
	for i := range lines {
		lines[i] = strings.NewReplacer("chg_…", id, "governance/", governance).Replace(lines[i])
	}
	out = s.sh(lines[1:], "y\n", token("maria"))
	if !strings.Contains(out, "1 decisions of prod judged again") || !strings.Contains(out, "review_owed") || strings.Count(out, "is in force in prod from entry") != 2 {
		t.Errorf("the guide's commands print:\n%s", out)
	}
	s.command("verify", "--data", s.data)
}

func TestTheCommandsForLimitsWork(t *testing.T) {
	s := newServer(t, place{data: t.TempDir()})
	if r, err := s.ask(t.Context(), "POST", "/v1/decisions", s.key, []byte(`{"agent":"support-bot","tool":"stripe/refund","input":{"charge":"ch_1","amount":90,"currency":"usd"}}`)); err != nil || r.status != 200 {
		t.Fatalf("decide: %d %s, %v", r.status, r.body, err)
	}
	out := s.sh(commands(t, "docs/guide/limits.md"), "", "WRIT_ADMIN_TOKEN="+s.admin)
	for _, want := range []string{"claude-sonnet-4-5", "refunded-per-day", "100000 USD in 1d", "0.2", `"reserved_micro_usd": 200000`} {
		if !strings.Contains(out, want) {
			t.Errorf("the guide's commands do not print %q:\n%s", want, out)
		}
	}
}

func TestTheCommandsForApprovalsWork(t *testing.T) {
	idp := identitytest.New(t)
	t.Setenv("WRIT_ISSUER", "url="+idp.URL+",audience=writ-people,for=people")
	s := newServer(t, place{data: t.TempDir()})
	idp.Register("tom", "tom", "writ-people", map[string]any{"auth_time": time.Now().Unix()})
	ask := func(call string) (outcome, id string) {
		body := `{"agent":"support-bot","tool":"stripe/refund","input":{"charge":"` + call + `","amount":900,"currency":"usd"},"call_id":"` + call + `"}`
		r, err := s.ask(t.Context(), "POST", "/v1/decisions", s.key, []byte(body))
		if err != nil || r.status != 200 {
			t.Fatalf("decide: %d %s, %v", r.status, r.body, err)
		}
		var d struct {
			Outcome  string
			Approval struct{ ID string }
		}
		if err := json.Unmarshal(r.body, &d); err != nil {
			t.Fatal(err)
		}
		return d.Outcome, d.Approval.ID
	}
	_, yes := ask("ch_yes")
	_, no := ask("ch_no")
	all := commands(t, "docs/guide/approvals.md")
	at := slices.IndexFunc(all, func(line string) bool { return strings.HasPrefix(line, "writ approvals delegate ") })
	if at < 0 {
		t.Fatal("the guide asks for no delegation")
	}
	lines, beforehand := all[:at], all[at:]
	for i, line := range lines {
		id := yes
		if strings.Contains(line, " deny ") {
			id = no
		}
		lines[i] = strings.Replace(line, "apr_…", id, 1)
	}
	out := s.sh(lines, "y\ny\n", "WRIT_PERSON_TOKEN="+idp.Token(t, "tom"))
	if !strings.Contains(out, "Refunds over 500 USD need a finance approver.") {
		t.Errorf("a person does not see why:\n%s", out)
	}
	if outcome, _ := ask("ch_yes"); outcome != "allow" {
		t.Errorf("approved, and it is %s\n%s", outcome, out)
	}
	if outcome, _ := ask("ch_no"); outcome != "deny" {
		t.Errorf("denied, and it is %s\n%s", outcome, out)
	}
	s.delegates(beforehand, ask, func(person string) string {
		idp.Register(person, person, "writ-people", map[string]any{"auth_time": time.Now().Unix()})
		return "WRIT_PERSON_TOKEN=" + idp.Token(t, person)
	})
	s.sound()
}

// delegates types the commands for a delegation: one person asks, another one votes, and ends it after a call.
func (s *server) delegates(lines []string, ask func(call string) (outcome, id string), token func(person string) string) {
	s.t.Helper()
	id := regexp.MustCompile(`del_[0-9a-z]+`).FindString(s.sh(lines[:1], "", token("tom")))
	out := ""
	for _, line := range lines[1:] {
		if strings.HasPrefix(line, "writ approvals end ") {
			if outcome, _ := ask("ch_beforehand"); outcome != "allow" {
				s.t.Errorf("consented to beforehand, and it is %s\n%s", outcome, out)
			}
		}
		out = s.sh([]string{strings.Replace(line, "del_…", id, 1)}, "y\n", token("yuki"))
	}
	if !strings.Contains(out, "ended") || !strings.Contains(out, "1 of 20") {
		s.t.Errorf("the guide's last command prints:\n%s", out)
	}
	if outcome, _ := ask("ch_after"); outcome != "require_approval" {
		s.t.Errorf("after its end it is %s", outcome)
	}
}

func TestTheCommandsForIncidentsWork(t *testing.T) {
	idp := identitytest.New(t)
	t.Setenv("WRIT_ISSUER", "url="+idp.URL+",audience=writ-people,for=people")
	s := newServer(t, place{data: t.TempDir()})
	token := func(person string) string {
		idp.Register(person, person, "writ-people", map[string]any{"auth_time": time.Now().Unix()})
		return "WRIT_PERSON_TOKEN=" + idp.Token(t, person)
	}
	r, err := s.ask(t.Context(), "POST", "/v1/decisions", s.key, []byte(`{"agent":"support-bot","tool":"zendesk/read_ticket","input":{"ticket":"T-7"}}`))
	if err != nil || r.status != 200 {
		t.Fatalf("decide: %d %s, %v", r.status, r.body, err)
	}
	decision := regexp.MustCompile(`dec_[0-9a-z]+`).FindString(string(r.body))
	all := commands(t, "docs/guide/incidents.md")
	isNew := func(line string) bool { return strings.HasPrefix(line, "writ incidents new ") }
	at := slices.IndexFunc(all, isNew)
	if at < 0 {
		t.Fatal("the guide reports no incident")
	}
	incident := regexp.MustCompile(`inc_[0-9a-z]+`)
	id := incident.FindString(s.sh(all[at:at+1], "", token("omar")))
	lines := slices.DeleteFunc(all, isNew)
	for n, line := range lines {
		lines[n] = strings.NewReplacer("inc_…", id, "dec_…", decision).Replace(line)
	}
	out := s.sh(lines, "", token("omar"))
	for _, want := range []string{"Refunds without a ticket.", "resolved", "closed", "mttr", "0 calls of that scope were allowed"} {
		if !strings.Contains(out, want) && !strings.Contains(s.command("incidents", "report", id, "--fresh"), want) {
			t.Errorf("the guide's commands do not print %q:\n%s", want, out)
		}
	}
	s.sound()
}

// TestAGameDayHolds plays every scenario as the guide says on the server that the demo leaves running, with the demo's own calls,
// incidents and people in its records, and looks at the packet and at what is left behind.
func TestAGameDayHolds(t *testing.T) {
	s := demoServer(t)
	left := []string{"/v1/incidents?environment=prod&exercise=false", "/v1/switches?environment=prod&state=engaged", "/v1/people"}
	before := s.bodies(left)
	if !strings.Contains(before[0], `"id":"inc_`) {
		t.Errorf("the demo had no incident: %s", before[0])
	}
	packet := filepath.Join(t.TempDir(), "packet")
	lines := commands(t, "docs/guide/gameday.md")
	for i := range lines {
		lines[i] = strings.Replace(lines[i], "gameday-packet", packet, 1)
	}
	out := s.sh(lines, "", "WRIT_ADMIN_TOKEN="+s.admin)
	if strings.Contains(out, "DID NOT HOLD") {
		t.Errorf("the game day:\n%s", out)
	}
	for _, id := range []string{"G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8"} {
		page, err := os.ReadFile(filepath.Join(packet, id+".md"))
		if err != nil || !strings.Contains(string(page), "**held**") {
			t.Errorf("%s: %v\n%s", id, err, page)
		}
		evidence, err := os.ReadFile(filepath.Join(packet, id+"-evidence.json"))
		if err != nil || strings.Contains(string(evidence), `"missing"`) {
			t.Errorf("%s: %v\n%s", id, err, evidence)
		}
	}
	spike := regexp.MustCompile(`inc_[0-9a-z]+`).FindString(s.bodies([]string{"/v1/incidents?environment=prod&detector=blocked_spike"})[0])
	if shown := s.command("incidents", "show", spike); !strings.Contains(shown, "runbooks/blocked-spike.md") {
		t.Errorf("what is to be done is not shown:\n%s", shown)
	}
	ids := regexp.MustCompile(`"id":"(inc|swi)_[0-9a-z]+"|"state":"active"`)
	for i, after := range s.bodies(left) {
		if was, is := ids.FindAllString(before[i], -1), ids.FindAllString(after, -1); !slices.Equal(was, is) {
			t.Errorf("%s had %v and has %v: what an exercise finds is no real incident, and what it makes it removes", left[i], was, is)
		}
	}
	s.command("verify", "--data", s.data)
	s.sound()
}

// bodies are the answers to what the administrator asks for.
func (s *server) bodies(paths []string) []string {
	s.t.Helper()
	var out []string
	for _, path := range paths {
		r, err := s.ask(s.t.Context(), "GET", path, s.admin, nil)
		if err != nil || r.status != 200 {
			s.t.Fatalf("%s: %d %s, %v", path, r.status, r.body, err)
		}
		out = append(out, string(r.body))
	}
	return out
}
