//go:build linux

package e2e

import (
	"bufio"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/writ-dev/writ/internal/puppet"
)

var (
	linkRE   = regexp.MustCompile(`http://localhost:\d+/console/enrol\?\S+`)
	loginRE  = regexp.MustCompile(`http://localhost:\d+/console/sign-in/device\?\S+`)
	personRE = regexp.MustCompile(`p_[0-9a-z]{26}`)
)

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
	if len(invite) != 3 || len(mine) != 4 || mine[0] != "writ login" || mine[2] != "writ logout" || mine[3] != "writ replay" || remove == "" {
		t.Fatalf("the guide has other commands than this test: %q %q %q", invite, mine, remove)
	}
	out := s.sh(invite, "", admin...)
	maria, err := puppet.Enrol(t.Context(), linkRE.FindString(out))
	if err != nil {
		t.Fatal(err)
	}

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
			if _, err := maria.Form(t.Context(), "/console/sign-in/device", at.Query()); err != nil {
				t.Fatal(err)
			}
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
	s.sh(mine[1:3], "", environ...)
	if out, err := s.run(environ, "approvals"); err == nil {
		t.Errorf("after writ logout: %s", out)
	}

	ref := personRE.FindString(s.sh([]string{"writ people list | grep user:maria"}, "", admin...))
	s.sh([]string{strings.Replace(remove, "p_…", ref, 1)}, "", admin...)
	if page, err := maria.Get(t.Context(), "/console/me"); err != nil || !strings.Contains(string(page), "<h1>Sign in</h1>") {
		t.Errorf("a person who was removed sees %s, %v", page, err)
	}
	s.command(append([]string{"verify"}, s.args()...)...)
	if out := s.command(append([]string{"replay"}, s.args()...)...); !strings.Contains(out, "held against sign-ins and credentials") || strings.Contains(out, "not held") {
		t.Errorf("replay says: %s", out)
	}
}

// run runs the binary and gives what it printed.
func (s *server) run(environ []string, args ...string) (string, error) {
	cmd := exec.Command(binary, args...)
	cmd.Env = append(append(os.Environ(), environ...), "WRIT_URL="+s.url)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
