package bundle_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/sigma"
)

const acmeDir = "../../examples/acme"

// The example is what the documentation shows and the demo runs, so it has to pass everything that a bundle has to pass.
func TestAcmeHasNoProblemsAndPassesItsOwnTests(t *testing.T) {
	t.Parallel()
	b, problems := bundle.Read(os.DirFS(acmeDir))
	for _, p := range problems {
		t.Error(p)
	}
	if b == nil {
		t.FailNow()
	}
	engine, problems := policy.Compile(b)
	for _, p := range problems {
		t.Error(p)
	}
	if engine == nil {
		t.FailNow()
	}
	results := engine.RunTests()
	outcomes := map[gov.Outcome]int{}
	for _, r := range results {
		outcomes[r.Got]++
		if !r.Passed {
			t.Errorf("%s:%d %s: %s", r.File, r.Line, r.Name, r.What)
		}
	}
	if len(results) < 25 || len(outcomes) != 3 {
		t.Errorf("%d tests with the outcomes %v: the example shows at least 25 and all three outcomes", len(results), outcomes)
	}
}

// TestTheGuidesChannelsAreRead with the example around them.
func TestTheGuidesChannelsAreRead(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/guide/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(guide), "```yaml\n")
	channels, _, ok := strings.Cut(rest, "```")
	settings, err := os.ReadFile(acmeDir + "/writ.yaml")
	if err != nil || !ok {
		t.Fatalf("the guide shows none: %v", err)
	}
	files := acmeFiles(t)
	settings, _, _ = bytes.Cut(settings, []byte("\nnotify:"))
	files["writ.yaml"] = append(append(settings, '\n'), channels...)
	b, problems := bundle.ReadFiles(files)
	for _, p := range problems {
		t.Error(p)
	}
	if b == nil || len(b.Channels) != 5 || len(b.Pages("prod", 1)) != 3 {
		t.Errorf("the channels are %+v", b)
	}
}

// TestTheGuidesRulesAreRead with the example around them, do what their cases want, and the guide names every field.
func TestTheGuidesRulesAreRead(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/guide/detectors.md")
	if err != nil {
		t.Fatal(err)
	}
	files, n := acmeFiles(t), 0
	for i, part := range strings.Split(string(guide), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(part, "```")
		if i > 0 { // the first is of detectors.yaml
			files[fmt.Sprintf("sigma/guide-%d.yml", i)], n = []byte(text), n+1
		}
	}
	b, problems := bundle.ReadFiles(files)
	for _, p := range problems {
		t.Error(p)
	}
	if n != 2 || b == nil || len(b.Rules) != 7 {
		t.Errorf("%d rules of the guide are read", n)
	}
	for _, c := range sigma.Categories() {
		for _, f := range sigma.Fields(c) {
			if !strings.Contains(string(guide), "`"+f.Name+"`") {
				t.Errorf("the guide does not name the field %s of %s", f.Name, c)
			}
		}
	}
}

func acmeFiles(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(acmeDir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[path], err = os.ReadFile(acmeDir + "/" + path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
