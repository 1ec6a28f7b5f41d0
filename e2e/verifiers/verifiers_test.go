// Package verifiers checks a live ledger of Writ with software that nobody here wrote: tessera's fsck, torchwood's client and
// omniwitness. It is a module of its own, so that Writ does not carry their dependencies.
package verifiers

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/torchwood"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"github.com/transparency-dev/witness/config"
	"github.com/transparency-dev/witness/omniwitness"
	"github.com/transparency-dev/witness/persistence/inmemory"
	"golang.org/x/mod/sumdb/note"
)

const (
	startMax  = 30 * time.Second
	decisions = 700 // more than two full tiles
)

// binary is writ, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "writ-verifiers-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "writ")
	build := exec.Command("go", "build", "-o", binary, "./cmd/writ")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build writ: %v: %s\n", err, out)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		code = 1
	}
	os.Exit(code)
}

// server is a running writ.
type server struct {
	url  string
	data string
	log  *bytes.Buffer
	cmd  *exec.Cmd
}

func (s *server) stop(t *testing.T) {
	t.Helper()
	if s.cmd.ProcessState != nil {
		return
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Fatalf("writ ends: %v: %s", err, s.log)
	}
}

var adminRE = regexp.MustCompile(`writ_admin_\w+`)

// serve starts writ on a data directory.
func serve(t *testing.T, data string, args ...string) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s := &server{url: "http://" + address, data: data, log: new(bytes.Buffer)}
	s.cmd = exec.Command(binary, append([]string{"serve", "--data", data, "--listen", address}, args...)...)
	s.cmd.Stderr = s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop(t) })
	eventually(t, "writ answers", func() bool {
		resp, err := http.Get(s.url + "/readyz")
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
	return s
}

func eventually(t *testing.T, what string, fn func() bool) {
	t.Helper()
	for end := time.Now().Add(startMax); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if fn() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}

func (s *server) writ(t *testing.T, admin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "WRIT_URL="+s.url, "WRIT_ADMIN_TOKEN="+admin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("writ %v: %v: %s", args, err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// fill activates the example and asks for decisions.
func (s *server) fill(t *testing.T, n int) {
	t.Helper()
	admin := adminRE.FindString(s.log.String())
	s.writ(t, admin, "bundle", "activate", "../../examples/acme", "-e", "prod")
	key := s.writ(t, admin, "key", "issue", "support-bot", "-e", "prod")
	for i := range n {
		body := fmt.Sprintf(`{"agent":"support-bot","tool":"zendesk/read_ticket","input":{"ticket":"T-%d"},"call_id":"c-%d"}`, i, i)
		req, err := http.NewRequest(http.MethodPost, s.url+"/v1/decisions", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Outcome string `json:"outcome"`
		}
		if err := errors.Join(json.NewDecoder(resp.Body).Decode(&answer), resp.Body.Close()); err != nil || answer.Outcome != "allow" {
			t.Fatalf("decision %d: %q, %v", i, answer.Outcome, err)
		}
	}
}

func (s *server) get(t *testing.T, path string) string {
	t.Helper()
	resp, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(data)
}

const ledger = "/ledger/prod"

// signed waits for a checkpoint of at least so many entries.
func (s *server) signed(t *testing.T, size int64) string {
	t.Helper()
	checkpoint := ""
	eventually(t, "a checkpoint", func() bool {
		checkpoint = s.get(t, ledger+"/checkpoint")
		lines := strings.Split(checkpoint, "\n")
		var n int64
		if len(lines) > 2 {
			_, _ = fmt.Sscan(lines[1], &n)
		}
		return n >= size
	})
	return checkpoint
}

// check runs tessera's fsck and torchwood's client over a ledger.
func check(t *testing.T, base, vkey string) (fsckErr, torchwoodErr error) {
	t.Helper()
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	root, err := url.Parse(base + "/")
	if err != nil {
		t.Fatal(err)
	}
	fetcher, err := client.NewHTTPFetcher(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	fsckErr = fsck.New(v.Name(), v, fetcher, leafHashes, fsck.Opts{N: 2}).Check(t.Context())
	return fsckErr, readAll(t.Context(), base, v)
}

// leafHashes splits a C2SP entry bundle.
func leafHashes(data []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(data); err != nil {
		return nil, err
	}
	hashes := make([][]byte, len(b.Entries))
	for i, e := range b.Entries {
		hashes[i] = rfc6962.DefaultHasher.HashLeaf(e)
	}
	return hashes, nil
}

// readAll reads every entry with torchwood, which checks each against the signed tree.
func readAll(ctx context.Context, base string, v note.Verifier) error {
	tiles, err := torchwood.NewTileFetcher(base)
	if err != nil {
		return err
	}
	c, err := torchwood.NewClient(tiles, torchwood.WithTimeout(startMax))
	if err != nil {
		return err
	}
	signed, err := tiles.ReadEndpoint(ctx, "checkpoint")
	if err != nil {
		return err
	}
	opened, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return err
	}
	checkpoint, err := torchwood.ParseCheckpoint(opened.Text)
	if err != nil {
		return err
	}
	next := int64(0)
	for i, entry := range c.AllEntries(ctx, checkpoint.Tree, 0) {
		if i != next || !json.Valid(entry) {
			return fmt.Errorf("entry %d comes at %d", i, next)
		}
		next++
	}
	if err := c.Err(); err != nil {
		return err
	}
	if next != checkpoint.N {
		return fmt.Errorf("%d entries of %d were read", next, checkpoint.N)
	}
	_, proof, err := c.Entry(ctx, checkpoint.Tree, checkpoint.N/2)
	if err == nil && len(proof) == 0 {
		err = errors.New("a proof of nothing")
	}
	return err
}

// TestStrangersVerifyALiveLedger, and find a byte that was changed on the way.
func TestStrangersVerifyALiveLedger(t *testing.T) {
	s := serve(t, t.TempDir())
	s.fill(t, decisions)
	s.signed(t, decisions)
	vkey := strings.TrimSpace(s.get(t, ledger+"/key"))
	if f, w := check(t, s.url+ledger, vkey); f != nil || w != nil {
		t.Fatalf("fsck: %v; torchwood: %v", f, w)
	}
	for name, change := range map[string]func(path string, body []byte) []byte{
		"a byte of an entry": func(path string, body []byte) []byte {
			if strings.Contains(path, "/tile/entries/") {
				return bytes.Replace(body, []byte(`"outcome":"allow"`), []byte(`"outcome":"alloW"`), 1)
			}
			return body
		},
		"a byte of a tile": func(path string, body []byte) []byte {
			if strings.HasSuffix(path, "/tile/0/001") {
				body[40] ^= 1
			}
			return body
		},
		"swapped entries": func(path string, body []byte) []byte {
			if strings.HasSuffix(path, "/tile/entries/000") {
				first, second := entry(body, 0), entry(body, 1)
				copy(body, append(append([]byte{}, second...), first...))
			}
			return body
		},
		"another root": func(path string, body []byte) []byte {
			if strings.HasSuffix(path, "/checkpoint") {
				lines := bytes.SplitN(body, []byte("\n"), 4)
				lines[1] = []byte("100")
				return bytes.Join(lines, []byte("\n"))
			}
			return body
		},
	} {
		proxy := tampering(t, s.url, change)
		f, w := check(t, proxy+ledger, vkey)
		if f == nil || w == nil && name != "a byte of a tile" { // torchwood reads no level-0 tiles whose leaves it has
			t.Errorf("%s: fsck says %v, torchwood %v", name, f, w)
		}
	}
}

// entry is the n-th framed entry of a bundle.
func entry(bundle []byte, n int) []byte {
	for ; ; n-- {
		size := 2 + int(bundle[0])<<8 + int(bundle[1])
		if n == 0 {
			return bundle[:size]
		}
		bundle = bundle[size:]
	}
}

// tampering is a proxy that changes answers.
func tampering(t *testing.T, target string, change func(path string, body []byte) []byte) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.ModifyResponse = func(resp *http.Response) error {
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		body = change(resp.Request.URL.Path, body)
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		resp.Header.Set("Content-Length", fmt.Sprint(len(body)))
		return resp.Body.Close()
	}
	web := httptest.NewServer(proxy)
	t.Cleanup(web.Close)
	return web.URL
}

// witness runs omniwitness for one log and gives its URL and verifier key.
func witness(t *testing.T, logKey string) (base, vkey string) {
	t.Helper()
	skey, plain, err := note.GenerateKey(rand.Reader, "witness.example/w1")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := fnote.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err = fnote.VKeyToCosignatureV1(plain)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(logKey)
	if err != nil {
		t.Fatal(err)
	}
	p := inmemory.New()
	if err := p.AddLogs(t.Context(), []config.Log{{VKey: logKey, Verifier: v, Origin: v.Name()}}); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- omniwitness.Main(ctx, omniwitness.OperatorConfig{WitnessKeys: []note.Signer{signer}, WitnessVerifier: signer.Verifier(), Logs: p}, p, listener, http.DefaultClient)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return "http://" + listener.Addr().String(), vkey
}

// TestAWitnessCosignsAndRefusesARebuiltHistory: an insider who has the database and the log's key can rebuild a history that
// verifies; the witness remembers the other one.
func TestAWitnessCosignsAndRefusesARebuiltHistory(t *testing.T) {
	data := t.TempDir()
	first := serve(t, data)
	first.fill(t, 20)
	vkey := strings.TrimSpace(first.get(t, ledger+"/key"))
	first.stop(t)

	base, witnessKey := witness(t, vkey)
	flag := "url=" + base + ",key=" + witnessKey
	s := serve(t, data, "--witness", flag)
	eventually(t, "a cosignature", func() bool { return strings.Contains(s.get(t, ledger+"/checkpoint"), "witness.example/w1") })
	cosigned := s.get(t, ledger+"/checkpoint")
	v, err := torchwood.NewCosignatureVerifier(witnessKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open([]byte(cosigned), note.VerifierList(v)); err != nil {
		t.Fatalf("torchwood does not take omniwitness's cosignature: %v", err)
	}
	s.writ(t, "", "verify", s.url+ledger, "--key", vkey, "--witness", witnessKey)
	s.stop(t)

	rebuilt := t.TempDir()
	key, err := os.ReadFile(filepath.Join(data, "writ.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(rebuilt, "writ.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	forged := serve(t, rebuilt, "--witness", flag)
	forged.fill(t, 50)
	checkpoint := forged.signed(t, 50)
	if f, w := check(t, forged.url+ledger, vkey); f != nil || w != nil {
		t.Fatalf("the rebuilt history must verify by itself, or this shows nothing: %v, %v", f, w)
	}
	eventually(t, "the refusal in the log", func() bool {
		return strings.Contains(forged.log.String(), "refused") || strings.Contains(forged.log.String(), "witness")
	})
	if strings.Contains(checkpoint, "witness.example/w1") || strings.Contains(forged.get(t, ledger+"/checkpoint"), "witness.example/w1") {
		t.Error("the witness cosigned a rebuilt history")
	}
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.WriteFile(kept, []byte(cosigned), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, "verify", forged.url+ledger, "--key", vkey, "--checkpoint", kept).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "history was changed") {
		t.Errorf("writ verify with the old checkpoint in hand: %v: %s", err, out)
	}
}
