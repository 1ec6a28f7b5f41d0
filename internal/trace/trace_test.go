package trace_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/trace"
)

// shared is where public data stands, beside the project.
func shared(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("WRIT_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "traces")); err != nil {
		t.Fatalf("the public traces are not at %s: %v; set WRIT_SHARED", dir, err)
	}
	return filepath.Join(dir, "data", "traces")
}

func TestEveryRecordedRunIsRead(t *testing.T) {
	t.Parallel()
	type count struct{ runs, calls int }
	got := map[string]count{}
	root := shared(t)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".txt") || strings.HasSuffix(path, ".md") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		runs, err := trace.Read(path, f)
		if err != nil {
			t.Errorf("%v", err)
		}
		rel, _ := filepath.Rel(root, path)
		family, _, _ := strings.Cut(rel, string(filepath.Separator))
		if strings.HasSuffix(path, ".gz") {
			family += " compact"
		}
		c := got[family]
		for _, r := range runs {
			c.runs++
			c.calls += len(r.Calls)
			if !gov.ValidName(r.Agent) {
				t.Errorf("%s: agent %q", path, r.Agent)
			}
			for _, call := range r.Calls {
				if !gov.ValidTool(call.Tool) {
					t.Errorf("%s: tool %q", path, call.Tool)
				}
			}
		}
		got[family] = c
		return f.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	for family, c := range got {
		t.Logf("%s: %d runs, %d calls", family, c.runs, c.calls)
	}
	// The numbers of the folder's own README.
	if c := got["agentdyn compact"]; c.runs != 2270 || c.calls != 14815 {
		t.Errorf("agentdyn compact: %+v, want 2270 runs with 14815 calls", c)
	}
	for family, runs := range map[string]int{"agentdyn": 200, "tau-bench": 200, "swe-agent": 22, "toolbench": 15} {
		if c := got[family]; c.runs != runs || c.calls < runs {
			t.Errorf("%s: %+v, want %d runs", family, c, runs)
		}
	}
}

func TestWhatIsNoRunIsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty.json": "", "other.json": `{"a":1}`, "broken.jsonl": "{", "list.json": "[1]"} {
		if runs, err := trace.Read(name, strings.NewReader(text)); err == nil {
			t.Errorf("%s was read as %v", name, runs)
		}
	}
}
