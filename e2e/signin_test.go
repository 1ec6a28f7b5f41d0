//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/descope/virtualwebauthn"
)

var (
	linkRE   = regexp.MustCompile(`http://localhost:\d+/console/enrol\?\S+`)
	loginRE  = regexp.MustCompile(`http://localhost:\d+/console/sign-in/device\?\S+`)
	personRE = regexp.MustCompile(`p_[0-9a-z]{26}`)
)

// person is a browser in which somebody is signed in by a passkey.
type person struct {
	t      *testing.T
	origin string
	http   *http.Client
}

func (p *person) post(path, kind string, body []byte) []byte {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.origin+path, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %s %s, %v", path, resp.Status, data, err)
	}
	return data
}

// enrols follows an invitation.
func enrols(t *testing.T, link string) *person {
	t.Helper()
	at, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, origin: "http://" + at.Host, http: &http.Client{Jar: jar, Timeout: answerMax}}
	var begun struct {
		Options json.RawMessage
		Sealed  string
	}
	if err := json.Unmarshal(p.post("/console/enrol?"+at.RawQuery, "application/json", []byte("{}")), &begun); err != nil {
		t.Fatal(err)
	}
	options, err := virtualwebauthn.ParseAttestationOptions(string(begun.Options))
	if err != nil {
		t.Fatal(err)
	}
	party := virtualwebauthn.RelyingParty{ID: at.Hostname(), Name: "Writ", Origin: p.origin}
	key := virtualwebauthn.CreateAttestationResponse(party, virtualwebauthn.NewAuthenticator(), virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2), *options)
	body, err := json.Marshal(map[string]any{"sealed": begun.Sealed, "answer": json.RawMessage(key)})
	if err != nil {
		t.Fatal(err)
	}
	p.post("/console/enrol/finish", "application/json", body)
	return p
}

// TestTheCommandsForSigningInWork: invited, enrolled, signed in for the command line by a link, signed out, removed.
func TestTheCommandsForSigningInWork(t *testing.T) {
	s := newServer(t, place{data: t.TempDir()})
	home := t.TempDir()
	environ := []string{"HOME=" + home, "XDG_CONFIG_HOME=" + home}
	admin := append(environ, "WRIT_ADMIN_TOKEN="+s.admin)
	var invite, mine []string
	remove := ""
	for _, line := range commands(t, "docs/guide/signing-in.md", "writ serve") {
		switch {
		case strings.HasPrefix(line, "writ people remove"):
			remove = line
		case strings.HasPrefix(line, "writ people"):
			invite = append(invite, line)
		default:
			mine = append(mine, line)
		}
	}
	if len(invite) != 3 || len(mine) != 3 || mine[0] != "writ login" || mine[2] != "writ logout" || remove == "" {
		t.Fatalf("the guide has other commands than this test: %q %q %q", invite, mine, remove)
	}
	out := s.sh(invite, "", admin...)
	maria := enrols(t, linkRE.FindString(out))

	login := exec.CommandContext(t.Context(), binary, "login")
	login.Env = append(append(os.Environ(), environ...), "WRIT_URL="+s.url)
	said, err := login.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := login.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if link := loginRE.FindString(lines.Text()); link != "" {
			at, err := url.Parse(link)
			if err != nil {
				t.Fatal(err)
			}
			maria.post("/console/sign-in/device", "application/x-www-form-urlencoded", []byte(at.RawQuery))
			break
		}
	}
	rest, err := io.ReadAll(said)
	if err := login.Wait(); err != nil {
		t.Fatalf("writ login: %v\n%s", err, rest)
	}
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.Stat(filepath.Join(home, "writ", "sessions.json"))
	if err != nil || kept.Mode().Perm() != 0o600 {
		t.Fatalf("the session is kept: %v, %v", kept, err)
	}
	s.sh(mine[1:], "", environ...)
	if out, err := s.run(environ, "approvals"); err == nil {
		t.Errorf("after writ logout: %s", out)
	}

	ref := personRE.FindString(s.sh([]string{"writ people list | grep user:maria"}, "", admin...))
	s.sh([]string{strings.Replace(remove, "p_…", ref, 1)}, "", admin...)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, maria.origin+"/console/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := maria.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if !strings.HasPrefix(resp.Request.URL.Path, "/console/sign-in") {
		t.Errorf("a person who was removed sees %s", resp.Request.URL.Path)
	}
	s.command(append([]string{"verify"}, s.args()...)...)
}

// run runs the binary and gives what it printed.
func (s *server) run(environ []string, args ...string) (string, error) {
	cmd := exec.Command(binary, args...)
	cmd.Env = append(append(os.Environ(), environ...), "WRIT_URL="+s.url)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
