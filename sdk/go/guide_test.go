package writ_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/notify"
	writ "github.com/writ-dev/writ/sdk/go"
)

// guided is a program around the snippet of docs/guide/go-sdk.md.
func guided(ctx context.Context, runID, toolCallID string, refund func(context.Context, string, int) (any, error), got *any) error {
	client, err := writ.FromEnv() // WRIT_URL, WRIT_API_KEY
	if err != nil {
		return err
	}
	result, err := client.Call(ctx, writ.Call{
		Agent:   "support-bot",
		Tool:    "stripe/refund",
		Input:   map[string]any{"charge": "ch_1", "amount": 120, "currency": "usd"},
		Session: runID,
		CallID:  toolCallID, // the framework's id of the call: asked again, the same decision comes back
	}, func(ctx context.Context) (any, error) {
		return refund(ctx, "ch_1", 120)
	})
	*got = result
	return err
}

// TestTheGuidesProgramRuns: it compiles, asks, runs what is allowed, and reports it.
func TestTheGuidesProgramRuns(t *testing.T) {
	f := &fake{t: t, decide: always(named(t, "allow"))}
	f.report = saved(t)
	server := httptest.NewServer(f)
	defer server.Close()
	t.Setenv(writ.EnvURL, server.URL)
	t.Setenv(writ.EnvAPIKey, key)
	ran := 0
	var got any
	err := guided(t.Context(), "run-1", "call-1", func(_ context.Context, charge string, amount int) (any, error) {
		ran++
		return map[string]any{charge: amount}, nil
	}, &got)
	decides, reports := f.asked()
	if err != nil || got == nil || ran != 1 || len(decides) != 1 || len(reports) != 1 {
		t.Fatalf("it gave %v, %v; the function ran %d times after %d requests, %d reports", got, err, ran, len(decides), len(reports))
	}
	if asked := decides[0].body; asked["session"] != "run-1" || asked["call_id"] != "call-1" {
		t.Errorf("it asked %v", asked)
	}
	t.Setenv(writ.EnvURL, "")
	if err := guided(t.Context(), "run-1", "call-1", nil, &got); err == nil {
		t.Error("without a server it says nothing")
	}
}

// readWebhook is that of docs/guide/notifications.md.
func readWebhook(r *http.Request, key []byte, now time.Time) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	id, at := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return nil, errors.New("too old: somebody may be playing it again")
	}
	mac := hmac.New(sha256.New, key) // what whsec_ is followed by, decoded
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, signature := range strings.Fields(r.Header.Get("webhook-signature")) {
		if hmac.Equal([]byte(signature), []byte(want)) {
			return body, nil
		}
	}
	return nil, errors.New("not signed by this key")
}

// TestTheGuidesReceiverTakesWhatTheServerSends, once, and nothing else.
func TestTheGuidesReceiverTakesWhatTheServerSends(t *testing.T) {
	t.Parallel()
	secret := []byte("0123456789abcdef0123456789abcdef")
	now := time.Now()
	var read []error
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		try := func(key, body []byte, now time.Time) {
			r.Body = io.NopCloser(bytes.NewReader(body))
			got, err := readWebhook(r, key, now)
			if err == nil && !bytes.Equal(got, body) {
				t.Errorf("it reads %s", got)
			}
			read = append(read, err)
		}
		try(secret, body, now)
		try(secret, body, now.Add(6*time.Minute))
		try(secret, append([]byte(" "), body...), now)
		try([]byte("another key of at least 24 bytes"), body, now)
	}))
	defer receiver.Close()
	sender := &notify.Client{Now: func() time.Time { return now }, Secret: func(string) (string, error) {
		return receiver.URL + "\nwhsec_" + base64.StdEncoding.EncodeToString(secret), nil
	}}
	if sent, err := sender.Send(t.Context(), bundle.Channel{Type: gov.ChannelWebhook, Secret: "HOOK"}, gov.Notice{ID: "dec_x", Event: gov.EventApprovalRequested}); err != nil || sent.Code != 200 {
		t.Fatalf("sent: %+v, %v", sent, err)
	}
	if len(read) != 4 || read[0] != nil || read[1] == nil || read[2] == nil || read[3] == nil {
		t.Errorf("it takes, or does not: %v", read)
	}
}

var (
	snippetRE = regexp.MustCompile("(?s)```go\n(.*?)```")
	namedRE   = regexp.MustCompile(`writ\.([A-Z]\w+)`)
	wordRE    = regexp.MustCompile("`([A-Z][a-z]+[A-Z]\\w+)`")
)

// TestTheGuidesShowWhatIsTested: every Go snippet stands in this file, and every name of the package exists.
func TestTheGuidesShowWhatIsTested(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("guide_test.go")
	if err != nil {
		t.Fatal(err)
	}
	code := withoutIndent(string(source))
	exported := exportedNames(t)
	snippets, names := 0, 0
	for _, path := range documents(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range snippetRE.FindAllStringSubmatch(string(text), -1) {
			snippets++
			if !strings.Contains(code, withoutIndent(m[1])) {
				t.Errorf("%s: no test has this snippet:\n%s", path, m[1])
			}
		}
		found := namedRE.FindAllStringSubmatch(string(text), -1)
		if filepath.Base(path) == "go-sdk.md" {
			found = append(found, wordRE.FindAllStringSubmatch(string(text), -1)...)
		}
		for _, m := range found {
			names++
			if !exported[m[1]] {
				t.Errorf("%s: the package has no %s", path, m[1])
			}
		}
	}
	if snippets == 0 || names < 10 {
		t.Errorf("%d snippets and %d names were found: the search does not work", snippets, names)
	}
}

func documents(t *testing.T) []string {
	t.Helper()
	guides, err := filepath.Glob("../../docs/guide/*.md")
	if err != nil || len(guides) == 0 {
		t.Fatalf("guides: %v, %v", guides, err)
	}
	return append(guides, "../../README.md")
}

func withoutIndent(code string) string {
	var out strings.Builder
	for line := range strings.Lines(code) {
		out.WriteString(strings.TrimLeft(line, "\t"))
	}
	return out.String()
}

// exportedNames are those of the package, with the methods and fields of its types.
func exportedNames(t *testing.T) map[string]bool {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				names[n.Name.Name] = true
				return false
			case *ast.TypeSpec:
				names[n.Name.Name] = true
			case *ast.ValueSpec:
				for _, name := range n.Names {
					names[name.Name] = true
				}
			case *ast.Field:
				for _, name := range n.Names {
					names[name.Name] = true
				}
			}
			return true
		})
	}
	return names
}
