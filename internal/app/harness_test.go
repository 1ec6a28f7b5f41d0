package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/store"
	"github.com/writ-dev/writ/internal/store/storetest"
)

var databases storetest.Databases

func TestMain(m *testing.M) { os.Exit(storetest.Main(m, &databases)) }

// contract checks exchanges against api/openapi.yaml.
type contract struct {
	router routers.Router
	line   *openapi3.Schema // of a backtest
}

var loadContract = sync.OnceValues(func() (*contract, error) {
	doc, err := openapi3.NewLoader().LoadFromFile("../../api/openapi.yaml")
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, err
	}
	doc.Servers = nil
	router, err := gorillamux.NewRouter(doc)
	return &contract{router, doc.Components.Schemas["BacktestLine"].Value}, err
})

// exchange is a request with its answer.
type exchange struct {
	status int
	kind   string
	body   []byte
}

func (e exchange) decode(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(e.body, &m); err != nil {
		t.Fatalf("status %d, body %q: %v", e.status, e.body, err)
	}
	return m
}

// node is a running server.
type node struct {
	*app.App
	admin string
	t     testing.TB

	tampered bool // somebody writes into its directory what does not come out the same again
}

// start starts a node that stops with the test. Then everything in its directory has to come out the same again.
func start(t testing.TB, c app.Config) *node {
	t.Helper()
	c.Listen = "127.0.0.1:0"
	if c.Log == nil {
		c.Log = slog.New(alarm{slog.DiscardHandler, t})
	}
	a, err := app.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	token, err := a.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := &node{App: a, admin: token, t: t}
	t.Cleanup(func() {
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		if t, ok := t.(*testing.T); ok && c.Database == "" && !n.tampered {
			replayedAll(t, c.Data)
		}
	})
	return n
}

// replayedAll replays every ledger of a stopped node.
func replayedAll(t *testing.T, dir string) {
	t.Helper()
	st, err := store.OpenSQLiteReadOnly(context.Background(), dir) // a test's own context is over when it is cleaned up
	if err != nil {
		t.Fatal(err)
	}
	names, err := st.Ledgers(context.Background())
	for _, name := range names {
		replayed(t, st, name)
	}
	if err := errors.Join(err, st.Close()); err != nil {
		t.Error(err)
	}
}

// alarm fails a test in which a request stops its handler.
type alarm struct {
	slog.Handler
	t testing.TB
}

// Enabled is for warnings and worse.
func (a alarm) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle looks for a panic.
func (a alarm) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "panic") {
		a.t.Error(r.Message)
	}
	return nil
}

// WithAttrs is the same alarm.
func (a alarm) WithAttrs([]slog.Attr) slog.Handler { return a }

// WithGroup is the same alarm.
func (a alarm) WithGroup(string) slog.Handler { return a }

// send sends a request and checks the exchange against the contract.
func (n *node) send(method, path, token, kind string, body []byte) exchange {
	n.t.Helper()
	e, err := n.try(method, path, token, kind, body)
	if err != nil {
		n.t.Fatalf("%s %s: %v", method, path, err)
	}
	return e
}

func (n *node) try(method, path, token, kind string, body []byte) (exchange, error) {
	req, err := http.NewRequest(method, n.URL()+path, bytes.NewReader(body))
	if err != nil {
		return exchange{}, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return exchange{}, err
	}
	data, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return exchange{}, err
	}
	e := exchange{resp.StatusCode, resp.Header.Get("Content-Type"), data}
	return e, checkContract(req, resp, body, e)
}

// checkContract checks an answer, and the request too when it was taken.
func checkContract(req *http.Request, resp *http.Response, body []byte, e exchange) error {
	c, err := loadContract()
	if err != nil {
		return err
	}
	plain := req.Clone(context.Background())
	plain.Body = io.NopCloser(bytes.NewReader(body))
	if ledger, tile, ok := strings.Cut(plain.URL.Path, "/tile/"); ok { // a parameter of the contract has no slash, a tile's path has
		plain.URL.Path, plain.URL.RawPath = ledger+"/tile/"+strings.ReplaceAll(tile, "/", "."), ""
	}
	route, params, err := c.router.FindRoute(plain)
	if err != nil {
		if e.status == http.StatusNotFound || e.status == http.StatusMethodNotAllowed {
			return nil
		}
		return fmt.Errorf("not in the contract: %w", err)
	}
	in := &openapi3filter.RequestValidationInput{
		Request: plain, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, ExcludeRequestBody: plain.Header.Get("Content-Type") == "application/x-tar"},
	}
	if e.status == http.StatusOK {
		if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
			return fmt.Errorf("taken against the contract: %w", err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: e.status, Header: resp.Header, Body: io.NopCloser(bytes.NewReader(e.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: !strings.Contains(e.kind, "json") || e.kind == linesType},
	}
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		return fmt.Errorf("answered against the contract: %w (body %s)", err, e.body)
	}
	if e.kind == linesType {
		return c.checkLines(e.body)
	}
	return nil
}

func (c *contract) checkLines(body []byte) error {
	for line := range bytes.Lines(body) {
		var value any
		if err := json.Unmarshal(line, &value); err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
		if err := c.line.VisitJSON(value); err != nil {
			return fmt.Errorf("line %s against the contract: %w", line, err)
		}
	}
	return nil
}

const (
	jsonType  = "application/json"
	linesType = "application/x-ndjson"
)

func (n *node) post(path, token, body string) exchange {
	n.t.Helper()
	return n.send(http.MethodPost, path, token, jsonType, []byte(body))
}

func (n *node) get(path, token string) exchange {
	n.t.Helper()
	return n.send(http.MethodGet, path, token, "", nil)
}

// acme puts examples/acme into force in prod, without its channels.
func (n *node) acme() {
	n.t.Helper()
	if e := n.send(http.MethodPost, "/v1/bundles?environment=prod", n.admin, "application/x-tar", acmeWith(n.t, "")); e.status != http.StatusOK {
		n.t.Fatalf("activate: %s", e.body)
	}
}

func (n *node) key(agent, principal string) (id, token string) {
	n.t.Helper()
	e := n.post("/v1/credentials", n.admin, fmt.Sprintf(`{"environment":"prod","agent":%q,"principal":%q}`, agent, principal))
	if e.status != http.StatusOK {
		n.t.Fatalf("key: %s", e.body)
	}
	m := e.decode(n.t)
	return m["id"].(string), m["token"].(string)
}

// cluster starts nodes over one PostgreSQL, with one key file. The first has the administrator's token.
func cluster(t *testing.T, nodes int, c app.Config) []*node {
	t.Helper()
	url, key := databases.Postgres(t), filepath.Join(t.TempDir(), "writ.key")
	out := make([]*node, nodes)
	for i := range out {
		c.Database, c.KeyFile, c.Node = url, key, fmt.Sprintf("n%d", i)
		out[i] = start(t, c)
		if i > 0 {
			out[i].admin = out[0].admin
		}
	}
	return out
}

// eventually waits for what follows behind.
func eventually(t *testing.T, what string, fn func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if fn() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}
