package app_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/store"
)

// TestDetectorsThatNobodyRunsAreNoticed: another holder keeps the job from every node, as a node that hangs would. People are told once,
// at once, without any detector; when the job runs again, what was missed is looked at, and that nobody looked is an incident.
func TestDetectorsThatNobodyRunsAreNoticed(t *testing.T) {
	t.Parallel()
	o, p, url := newOffice(t), newPager(t), databases.Postgres(t)
	other, err := store.OpenPostgres(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
	release, ok, err := other.TryLock(t.Context(), "detect prod")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	c := o.paged("", p)
	c.Database, c.KeyFile, c.Probe = url, filepath.Join(t.TempDir(), "writ.key"), 500*time.Millisecond
	n := start(t, c)
	n.acmeTells(t, "notify:\n  hook: {type: webhook, secret: HOOK, events: [detectors_silent]}\n")
	_, key := n.key("support-bot", "runs_as")
	n.ask(key, `{"agent":"support-bot","tool":"bank/transfer","input":{}}`, "deny")
	eventually(t, "people are told", func() bool { return len(p.told()) > 0 })
	time.Sleep(3 * c.Probe) // more probes that nobody answers
	if told := p.told(); len(told) != 1 || !strings.HasPrefix(told[0], "detectors_silent ent_") {
		t.Errorf("told is %v", told)
	}
	if found := n.incidents(""); len(found) != 0 {
		t.Errorf("somebody looked: %v", found)
	}
	release()
	eventually(t, "what was missed is found", func() bool {
		found := fmt.Sprint(n.incidents(""))
		return strings.Contains(found, "off_list") && strings.Contains(found, "nobody looked until now")
	})
}
