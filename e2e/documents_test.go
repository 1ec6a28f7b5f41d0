//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// documents are what an operator reads.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../docs/guide/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("guides: %v, %v", paths, err)
	}
	texts := map[string]string{}
	for _, path := range append(paths, "../README.md", "../SECURITY.md", "../CONTRIBUTING.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[strings.TrimPrefix(path, "../")] = string(text)
	}
	return texts
}

const traceMax = 64 << 10 // bytes of a recorded run: a few dozen short ones will do

// TestTheCommandsForImportingWork on some recorded runs of others.
func TestTheCommandsForImportingWork(t *testing.T) {
	traces := os.Getenv("WRIT_SHARED")
	if traces == "" {
		traces = "../../shared"
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "runs"), 0o700); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(traces, "data/traces/*/*.[tj][rs]*"))
	if err != nil || len(found) < 3 {
		t.Fatalf("the public traces are not at %s: %v; set WRIT_SHARED", traces, err)
	}
	for _, path := range found {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > traceMax {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, "runs", filepath.Base(path)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("bash", "-euxo", "pipefail", "-c", strings.Join(commands(t, "docs/guide/import.md"), "\n"))
	cmd.Dir, cmd.Env = dir, environ("PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"nothing is wrong", " 0 different", "agents", "tools"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the commands do not print %q:\n%s", want, out)
		}
	}
	if kept, err := filepath.Glob(filepath.Join(dir, "governance", "*.yaml")); err != nil || len(kept) < 3 {
		t.Errorf("the proposed bundle is %v, %v", kept, err)
	}
}

// environ is the environment without what would name another server, and with more.
func environ(more ...string) []string {
	plain := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WRIT_") })
	return append(plain, more...)
}

// TestTheServersOfTheGuideStart with the flags that the guide gives them, on places of this test.
func TestTheServersOfTheGuideStart(t *testing.T) {
	db := ownDatabase(t)
	started := 0
	for _, line := range append(commands(t, "docs/guide/operating.md"), commands(t, "docs/guide/notifications.md")...) {
		if !strings.HasPrefix(line, "writ serve") {
			continue
		}
		started++
		line, _, _ = strings.Cut(line, "#")
		dir := t.TempDir()
		for from, to := range map[string]string{
			"/var/lib/writ": dir, "127.0.0.1:8420": "127.0.0.1:0", "postgres://writ@db/writ": "'" + db.database + "'", "/etc/writ/writ.key": filepath.Join(dir, "writ.key"),
			"/etc/writ/secrets": dir,
		} {
			line = strings.ReplaceAll(line, from, to)
		}
		startOnce(t, dir, line)
	}
	if started < 3 {
		t.Errorf("%d servers in the guide: the search does not work", started)
	}
}

// startOnce starts a server from the shell, waits until it listens, and stops it as a service manager would.
func startOnce(t *testing.T, dir, line string) {
	t.Helper()
	s := &server{t: t, log: filepath.Join(dir, "serve.log")}
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("bash", "-c", "exec "+line)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = environ("PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"), "WRIT_LISTEN=127.0.0.1:0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(startMax); !listensRE.MatchString(s.output()) && time.Now().Before(end); {
		time.Sleep(pollEvery)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !listensRE.MatchString(s.output()) || !adminRE.MatchString(s.output()) {
		t.Errorf("%s: %v\n%s", line, err, s.output())
	}
}

var (
	commandRE  = regexp.MustCompile("writ ([a-z]+(?: [a-z]+)?)(?:[ `]|$)")
	codeRE     = regexp.MustCompile("(?m)`([^`\n]+)`|^    (.*)$")
	flagRE     = regexp.MustCompile(`(?:^|\s)(--[a-z][a-z-]+)`)
	variableRE = regexp.MustCompile(`\bWRIT_[A-Z_]+\b`)
	metricRE   = regexp.MustCompile("`(writ_[a-z_]+)`")
)

// TestTheDocumentsNameWhatThereIs: each command, flag, variable and metric in them is one of the binary's.
func TestTheDocumentsNameWhatThereIs(t *testing.T) {
	s := newServer(t, place{data: t.TempDir()})
	s.mustDecide(1)
	metrics, err := s.ask(t.Context(), "GET", "/metrics", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	texts := documents(t)
	helps := map[string]string{"": s.command("--help")}
	var all strings.Builder
	for _, text := range texts {
		for _, code := range codeRE.FindAllString(text, -1) {
			for _, m := range commandRE.FindAllStringSubmatch(code, -1) {
				helps[m[1]] = s.help(m[1])
			}
		}
	}
	for _, help := range helps {
		all.WriteString(help)
	}
	all.WriteString(" WRIT_TEST_POSTGRES WRIT_SHARED WRIT_SCREENSHOTS ") // of the tests
	found := 0
	missing := func(file, what, where string) {
		found++
		if !strings.Contains(where, what) {
			t.Errorf("%s: there is no %s", file, what)
		}
	}
	for file, text := range texts {
		for _, code := range codeRE.FindAllString(text, -1) {
			for _, m := range flagRE.FindAllStringSubmatch(strings.Trim(code, "`"), -1) {
				missing(file, m[1], all.String())
			}
		}
		for _, name := range variableRE.FindAllString(text, -1) {
			missing(file, name, all.String())
		}
		for _, m := range metricRE.FindAllStringSubmatch(text, -1) {
			missing(file, m[1], string(metrics.body))
		}
	}
	if found < 20 || len(helps) < 8 {
		t.Errorf("%d names and %d commands were found: the search does not work", found, len(helps))
	}
}

// help is that of a command, and fails the test when there is no such command.
func (s *server) help(command string) string {
	s.t.Helper()
	out := s.command(append(strings.Fields(command), "--help")...)
	if !strings.Contains(out, "Usage: writ "+command) {
		s.t.Errorf("there is no command writ %s: its help begins %.80q", command, out)
	}
	return out
}
