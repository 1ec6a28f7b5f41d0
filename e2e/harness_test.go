//go:build linux

// Package e2e drives the binary from outside, as an operator and an agent would, and does to it what machines do: kills it
// under load, fills its disk, takes its database away. It knows the ledger only by what the binary answers and by what a
// reader of its records finds.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/store/storetest"
)

const (
	startMax  = 30 * time.Second
	demoMax   = 2 * time.Minute // until the demo was played
	answerMax = 20 * time.Second
	pollEvery = 5 * time.Millisecond
	logTail   = 2000 // bytes of a server's log in a failure
)

// environment and agent are of examples/acme.
const (
	environment = "prod"
	agent       = "support-bot"
)

var (
	listensRE = regexp.MustCompile(`writ listens on (http://\S+)`)
	demoRE    = regexp.MustCompile(`export WRIT_URL=(\S+) WRIT_ADMIN_TOKEN=(\S+)`)
	adminRE   = regexp.MustCompile(`writ_admin_[A-Za-z0-9]+_[A-Za-z0-9_-]+`)
	keyRE     = regexp.MustCompile(`writ_key_[A-Za-z0-9]+_[A-Za-z0-9_-]+`)
)

// binary is the program under test, which TestMain builds once.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "writ-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "writ")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "../cmd/writ")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// place is where a server keeps its records: a directory, and perhaps a database.
type place struct {
	data, database string
	cluster        *storetest.Cluster // of the database
}

func (p place) args() []string {
	args := []string{"--data", p.data}
	if p.database != "" {
		args = append(args, "--database", p.database)
	}
	return args
}

// onEach runs a test with the embedded store and with PostgreSQL, one after the other: each is to have the machine.
func onEach(t *testing.T, test func(t *testing.T, p place)) {
	t.Run("sqlite", func(t *testing.T) { test(t, place{data: t.TempDir()}) })
	t.Run("postgres", func(t *testing.T) { test(t, ownDatabase(t)) })
}

// ownDatabase is a place with a PostgreSQL of its own, which the test may kill.
func ownDatabase(t *testing.T) place {
	t.Helper()
	c, err := storetest.Start(t.Context())
	if err != nil {
		t.Fatalf("no PostgreSQL to test with: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	url, err := c.Create(t.Context(), "writ")
	if err != nil {
		t.Fatal(err)
	}
	return place{data: t.TempDir(), database: url, cluster: c}
}

// server is a process that runs writ serve. A server that is started again is a new process behind the same value.
type server struct {
	place
	t          *testing.T
	under      []string // a command that runs the server, such as strace
	url        string
	admin, key string
	cmd        *exec.Cmd
	log        string
	done       chan struct{} // closed when the process has ended
	client     *http.Client
}

// newServer starts a server over a fresh place, puts the bundle into force and issues the agent's key.
func newServer(t *testing.T, p place, under ...string) *server {
	t.Helper()
	s := bareServer(t, p, under...)
	s.command("bundle", "activate", "../examples/acme", "--environment", environment)
	if s.key = keyRE.FindString(s.command("key", "issue", agent, "--environment", environment)); s.key == "" {
		t.Fatal("writ key issue printed no key")
	}
	return s
}

// bareServer starts a server over a fresh place.
func bareServer(t *testing.T, p place, under ...string) *server {
	t.Helper()
	s := &server{place: p, t: t, under: under, client: &http.Client{
		Timeout: answerMax, Transport: &http.Transport{MaxIdleConnsPerHost: 64},
	}}
	t.Cleanup(func() { s.kill() })
	s.start()
	if s.admin = adminRE.FindString(s.output()); s.admin == "" {
		t.Fatalf("the first start printed no administrator's token:\n%s", s.output())
	}
	return s
}

// demoServer starts the demo as a visitor would who leaves the refund to the demo's own person, and waits until it was played: the
// server stays up, with the records of the play.
func demoServer(t *testing.T) *server {
	t.Helper()
	s := &server{place: place{data: filepath.Join(t.TempDir(), "demo")}, t: t, client: &http.Client{Timeout: answerMax}}
	t.Cleanup(func() { s.kill() })
	m := s.launch(exec.Command(binary, "demo", "--wait", "1s", "--data", s.data), demoRE, demoMax)
	s.url, s.admin = m[1], m[2]
	return s
}

// start runs the process and waits until it says where it listens.
func (s *server) start() {
	s.t.Helper()
	args := append(append(append([]string{}, s.under...), binary, "serve", "--listen", "127.0.0.1:0"), s.args()...)
	s.url = s.launch(exec.Command(args[0], args[1:]...), listensRE, startMax)[1]
}

// launch runs a process and waits until it prints what is wanted, whose groups it gives.
func (s *server) launch(cmd *exec.Cmd, wanted *regexp.Regexp, most time.Duration) []string {
	s.t.Helper()
	log, err := os.CreateTemp(s.t.TempDir(), "process-*.log")
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd, s.log, s.done = cmd, log.Name(), make(chan struct{})
	s.cmd.Stdout, s.cmd.Stderr = log, log
	// The server ends with the tests, whatever becomes of them.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // how it ended is in its log
		close(done)
	}(s.cmd, s.done)
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(pollEvery) {
		if m := wanted.FindStringSubmatch(s.output()); m != nil {
			return m
		}
		select {
		case <-s.done:
			s.t.Fatalf("the process ended:\n%s", s.output())
		default:
		}
	}
	s.t.Fatalf("nothing like %s was printed in %v:\n%s", wanted, most, s.output())
	return nil
}

// output is what the process has printed, or its end.
func (s *server) output() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-logTail):])
}

// kill ends the process as a crash would: nothing of it runs afterwards.
func (s *server) kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.done
}

// command runs the binary as the server's administrator, and fails the test unless it exits with 0.
func (s *server) command(args ...string) string {
	s.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "WRIT_URL="+s.url, "WRIT_ADMIN_TOKEN="+s.admin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("writ %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// sound fails the test unless the ledger verifies and every decision replays to the same.
func (s *server) sound() {
	s.t.Helper()
	s.command(append([]string{"verify"}, s.args()...)...)
	out := s.command(append([]string{"replay", "-l", environment, "--json"}, s.args()...)...)
	var reports []struct {
		Decisions int64 `json:"decisions"`
		Same      int64 `json:"same"`
		Different int64 `json:"different"`
	}
	begin := bytes.IndexByte([]byte(out), '[')
	if err := json.Unmarshal([]byte(out)[max(begin, 0):], &reports); err != nil {
		s.t.Fatalf("replay printed %q: %v", out, err)
	}
	if len(reports) != 1 || reports[0].Decisions == 0 || reports[0].Different != 0 || reports[0].Same != reports[0].Decisions {
		s.t.Fatalf("replay: %+v", reports)
	}
}

// reply is an answer of the API.
type reply struct {
	status int
	body   []byte
}

// ask sends one request with a credential.
func (s *server) ask(ctx context.Context, method, path, token string, body []byte) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	data, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, data}, errors.Join(err, resp.Body.Close())
}
