package writ_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	writ "github.com/writ-dev/writ/sdk/go"
)

const key = "writ_key_0123456789abcdef_secret"

// answer is what a fake says.
type answer struct {
	Status      int    `json:"status"`
	ContentType string `json:"content_type"`
	Body        string `json:"body"`
	Location    string `json:"location"`
	RetryAfter  string `json:"-"`
	Pad         int    `json:"pad"`
}

func (a answer) write(w http.ResponseWriter) {
	w.Header()["Content-Type"] = nil // or the server would guess one
	for name, value := range map[string]string{"Content-Type": a.ContentType, "Location": a.Location, "Retry-After": a.RetryAfter} {
		if value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(a.Status)
	_, _ = io.WriteString(w, a.Body+strings.Repeat(" ", a.Pad)) // the client may have hung up, which is its right
}

// asked is one request as the fake got it.
type asked struct {
	path string
	body map[string]any
}

// fake is a server that refuses, and fails the test on, any request that is not of the contract. What it answers is up to
// the two functions, which get the number of the request on their route, from 1.
type fake struct {
	t      *testing.T
	decide func(w http.ResponseWriter, n int)
	report func(w http.ResponseWriter, n int)

	mu      sync.Mutex
	decides []asked
	reports []asked
}

var (
	resultPathRE = regexp.MustCompile(`^/v1/decisions/dec_[0-9a-z]+/result$`)
	callIDRE     = regexp.MustCompile(`^[A-Za-z0-9._:/+=@|-]{1,128}$`)
)

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := f.check(r)
	if err != nil {
		f.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	f.mu.Lock()
	list, say := &f.reports, f.report
	if r.URL.Path == "/v1/decisions" {
		list, say = &f.decides, f.decide
	}
	*list = append(*list, asked{r.URL.Path, body})
	n := len(*list)
	f.mu.Unlock()
	say(w, n)
}

func (f *fake) check(r *http.Request) (map[string]any, error) {
	fields := []string{"agent", "tool", "input", "principal", "session", "call_id", "trace_id", "on_behalf_of_token"}
	if resultPathRE.MatchString(r.URL.Path) {
		fields = []string{"status", "duration_ms", "error", "output", "usage"}
	} else if r.URL.Path != "/v1/decisions" {
		return nil, errors.New("there is no such route")
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		return nil, err
	}
	for name := range body {
		if !slices.Contains(fields, name) {
			return nil, errors.New("unknown field " + name)
		}
	}
	id, _ := body["call_id"].(string)
	switch {
	case r.Method != http.MethodPost:
		return nil, errors.New("wrong method")
	case r.Header.Get("Authorization") != "Bearer "+key:
		return nil, errors.New("wrong credential")
	case r.Header.Get("Content-Type") != "application/json":
		return nil, errors.New("wrong content type")
	case !strings.HasPrefix(r.UserAgent(), "writ-go/"):
		return nil, errors.New("wrong user agent")
	case len(text) > 1<<20:
		return nil, errors.New("body too large")
	case r.URL.Path == "/v1/decisions" && !callIDRE.MatchString(id):
		return nil, errors.New("no call id")
	}
	return body, nil
}

func (f *fake) asked() (decides, reports []asked) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.decides), slices.Clone(f.reports)
}

// network is HTTP over pipes in memory, so that a bubble's clock moves while both ends wait.
type network struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error   { close(n.closed); return nil }
func (n *network) Addr() net.Addr { return &net.TCPAddr{} }

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case n.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// connect gives a client of a fake, in the bubble where it is called.
func connect(t *testing.T, f *fake, options ...writ.Option) *writ.Client {
	t.Helper()
	if f.report == nil {
		f.report = always(load[results](t, "results.json").Answers[0].answer)
	}
	n := &network{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: f}
	served := make(chan error, 1)
	go func() { served <- server.Serve(n) }()
	transport := &http.Transport{DialContext: n.dial}
	client, err := writ.New("http://writ.test", key, append([]writ.Option{writ.WithTransport(transport)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return client
}

func always(a answer) func(http.ResponseWriter, int) {
	return func(w http.ResponseWriter, _ int) { a.write(w) }
}

func load[T any](t *testing.T, name string) T {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	var out T
	if err := dec.Decode(&out); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

// echo gives every call a decision of its own and takes each result once.
func echo(t *testing.T) http.Handler {
	text := load[answers](t, "answers.json").Vectors[0].Body
	saved := load[results](t, "results.json")
	var n atomic.Int64
	var taken sync.Map
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/decisions", func(w http.ResponseWriter, _ *http.Request) {
		id := fmt.Sprintf("dec_%026d", n.Add(1))
		answer{Status: 200, ContentType: "application/json", Body: strings.Replace(text, saved.Decision, id, 1)}.write(w)
	})
	mux.HandleFunc("POST /v1/decisions/{id}/result", func(w http.ResponseWriter, r *http.Request) {
		if _, twice := taken.LoadOrStore(r.PathValue("id"), true); twice {
			t.Errorf("%s has two results", r.PathValue("id"))
		}
		a := saved.Answers[0].answer
		a.Body = strings.Replace(a.Body, saved.Decision, r.PathValue("id"), 1)
		a.write(w)
	})
	return mux
}

func countNew(n *atomic.Int64) func(net.Conn, http.ConnState) {
	return func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			n.Add(1)
		}
	}
}
