package bundle_test

import (
	"os"
	"testing"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/policy"
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
