package writ_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

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
