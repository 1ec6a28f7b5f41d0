package writ_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/writ-dev/writ/"

// layers is the table of ARCHITECTURE.md: each package with its layer and, in its own layer, what it may import. Everything
// else that it imports of this module must be of a lower layer.
func layers() map[string]layer {
	return map[string]layer{
		"internal/gov":      {0, nil},
		"internal/row":      {1, nil},
		"internal/canon":    {1, nil},
		"internal/merkle":   {1, []string{"internal/row"}},
		"internal/price":    {1, nil},
		"internal/sigma":    {1, nil},
		"internal/bundle":   {1, []string{"internal/canon", "internal/price", "internal/sigma"}},
		"internal/limit":    {1, []string{"internal/bundle", "internal/canon"}},
		"internal/policy":   {1, []string{"internal/bundle", "internal/canon", "internal/limit"}},
		"internal/passkey":  {1, []string{"internal/canon"}},
		"internal/state":    {1, []string{"internal/policy", "internal/canon", "internal/limit"}},
		"internal/trace":    {1, []string{"internal/canon"}},
		"internal/detect":   {1, []string{"internal/bundle", "internal/canon", "internal/sigma"}},
		"internal/scan":     {1, nil},
		"internal/taint":    {1, nil},
		"internal/content":  {1, []string{"internal/canon", "internal/scan", "internal/taint"}},
		"internal/ledger":   {2, nil},
		"internal/live":     {2, []string{"internal/ledger"}},
		"internal/identity": {2, nil},
		"internal/outbox":   {2, []string{"internal/ledger", "internal/live"}},
		"internal/approval": {2, []string{"internal/ledger", "internal/live", "internal/identity", "internal/outbox"}},
		"internal/meter":    {2, []string{"internal/ledger", "internal/live", "internal/outbox"}},
		"internal/decide":   {2, []string{"internal/ledger", "internal/live", "internal/identity", "internal/approval", "internal/outbox", "internal/meter"}},
		"internal/change":   {2, []string{"internal/ledger", "internal/live", "internal/identity", "internal/outbox"}},
		"internal/contain":  {2, []string{"internal/ledger", "internal/live", "internal/identity", "internal/outbox"}},
		"internal/incident": {2, []string{"internal/ledger", "internal/live", "internal/identity", "internal/outbox", "internal/contain"}},
		"internal/exercise": {2, []string{"internal/ledger", "internal/live", "internal/identity"}},
		"internal/watch":    {2, []string{"internal/ledger", "internal/live", "internal/outbox", "internal/contain", "internal/incident"}},
		"internal/people":   {2, []string{"internal/ledger", "internal/live", "internal/identity"}},
		"internal/replay":   {2, []string{"internal/ledger"}},
		"internal/mirror":   {2, []string{"internal/ledger"}},
		"internal/store":    {3, nil},
		"internal/witness":  {3, nil},
		"internal/notify":   {3, nil},
		"internal/api":      {4, nil},
		"internal/console":  {4, nil},
		"internal/puppet":   {0, nil},
		"internal/app":      {5, nil},
		"examples":          {0, nil},
		"cmd/writ":          {6, nil},
		"sdk/go":            {0, nil},
	}
}

type layer struct {
	height int
	beside []string
}

// forbidden are imports that some package must not have, with the reason.
func forbidden() []rule {
	services := []string{"internal/ledger", "internal/live", "internal/identity", "internal/outbox", "internal/approval", "internal/meter", "internal/decide", "internal/change", "internal/contain", "internal/incident", "internal/exercise", "internal/watch", "internal/people", "internal/replay", "internal/mirror"}
	pure := []string{"internal/gov", "internal/row", "internal/canon", "internal/merkle", "internal/price", "internal/sigma", "internal/bundle", "internal/limit", "internal/policy", "internal/passkey", "internal/state", "internal/trace", "internal/detect", "internal/scan", "internal/taint", "internal/content"}
	return []rule{
		{[]string{"internal/store", "internal/witness", "internal/notify"}, services, "adapters meet services half-way, through interfaces that the services declare"},
		{[]string{"internal/api", "internal/console"}, []string{"internal/store"}, "a door never reads rows"},
		{pure, []string{"os", "net", "net/http", "database/sql", "math/rand", "math/rand/v2", "crypto/rand", "time/tzdata"}, "pure packages are deterministic: no clock, no network, no os"},
		{[]string{"internal/gov"}, []string{"github.com/"}, "the words depend on nothing"},
		{[]string{"sdk/go"}, []string{"github.com/"}, "the SDK is the standard library alone"},
	}
}

type rule struct {
	who  []string
	what []string // an import, or the beginning of one when it ends in a slash
	why  string
}

// source is the Go files of one package that are not tests.
type source struct {
	dir   string
	files []*ast.File
}

func packages(t *testing.T) []source {
	t.Helper()
	byDir := map[string]*source{}
	set := token.NewFileSet()
	for _, root := range []string{"internal", "cmd", "sdk", "examples"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
			if err != nil {
				return err
			}
			dir := filepath.ToSlash(filepath.Dir(path))
			if byDir[dir] == nil {
				byDir[dir] = &source{dir: dir}
			}
			byDir[dir].files = append(byDir[dir].files, file)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var out []source
	for _, s := range byDir {
		out = append(out, *s)
	}
	return out
}

func (s source) imports() []string {
	var out []string
	for _, f := range s.files {
		for _, i := range f.Imports {
			out = append(out, strings.Trim(i.Path.Value, `"`))
		}
	}
	return out
}

// forTests says whether a package only serves tests.
func forTests(dir string) bool { return strings.HasSuffix(filepath.Base(dir), "test") }

func TestImportsGoDownward(t *testing.T) {
	t.Parallel()
	table := layers()
	for _, s := range packages(t) {
		if forTests(s.dir) {
			continue
		}
		mine, ok := table[s.dir]
		if !ok {
			t.Errorf("%s has no layer: give it one here and in ARCHITECTURE.md", s.dir)
			continue
		}
		for _, path := range s.imports() {
			dir, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			other, ok := table[dir]
			if !ok || other.height > mine.height || other.height == mine.height && !slices.Contains(mine.beside, dir) {
				t.Errorf("%s (layer %d) imports %s (layer %d)", s.dir, mine.height, dir, other.height)
			}
		}
	}
}

func TestNoForbiddenImports(t *testing.T) {
	t.Parallel()
	for _, s := range packages(t) {
		for _, r := range forbidden() {
			if !slices.Contains(r.who, s.dir) {
				continue
			}
			for _, path := range s.imports() {
				for _, what := range r.what {
					if path == what || path == module+what || strings.HasSuffix(what, "/") && strings.HasPrefix(path, what) {
						t.Errorf("%s imports %s: %s", s.dir, path, r.why)
					}
				}
			}
		}
	}
}

// TestOnlyAppReadsTheClock: everywhere else time is an input.
func TestOnlyAppReadsTheClock(t *testing.T) {
	t.Parallel()
	for _, s := range packages(t) {
		if forTests(s.dir) || s.dir == "internal/app" || s.dir == "cmd/writ" || s.dir == "sdk/go" {
			continue
		}
		for _, f := range s.files {
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if pkg, ok := call.X.(*ast.Ident); ok && pkg.Name == "time" && call.Sel.Name == "Now" {
					t.Errorf("%s reads time.Now: take a clock", s.dir)
				}
				return true
			})
		}
	}
}

// TestGoroutinesStartInApp: whoever starts one must also end it, in Stop.
func TestGoroutinesStartInApp(t *testing.T) {
	t.Parallel()
	for _, s := range packages(t) {
		if forTests(s.dir) || s.dir == "internal/app" || s.dir == "cmd/writ" || s.dir == "sdk/go" {
			continue
		}
		for _, f := range s.files {
			ast.Inspect(f, func(n ast.Node) bool {
				if _, ok := n.(*ast.GoStmt); ok {
					t.Errorf("%s starts a goroutine", s.dir)
				}
				if call, ok := n.(*ast.FuncDecl); ok && call.Recv == nil && call.Name.Name == "init" {
					t.Errorf("%s has an init function", s.dir)
				}
				return true
			})
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	for _, s := range packages(t) {
		found := false
		for _, f := range s.files {
			found = found || f.Doc != nil && len(f.Doc.Text()) > 80
		}
		if !found {
			t.Errorf("%s has no package comment", s.dir)
		}
	}
}

// TestNoLinterIsSuppressed: where a rule is in the way, the rule is changed.
func TestNoLinterIsSuppressed(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), "//"+"nolint") {
			t.Errorf("%s suppresses a linter", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
