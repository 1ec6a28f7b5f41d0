//go:build linux

package e2e

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

const syncedDecisions = 100

var (
	syncRE    = regexp.MustCompile(`\b(fsync|fdatasync|sync_file_range)\(.*= 0$|<\.\.\. (fsync|fdatasync|sync_file_range) resumed>.*= 0$`)
	commitsRE = regexp.MustCompile(`(?m)^writ_ledger_commits_total\{[^}]*ledger="` + environment + `"[^}]*\} (\S+)$`)
)

func TestEveryCommitIsSynced(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: apt-get install -y strace (make tools does it)")
	}
	trace := filepath.Join(t.TempDir(), "trace")
	// With -D strace stands beside the server, which stays a child of the test and ends with it.
	s := newServer(t, place{data: t.TempDir()}, strace, "-D", "-f", "-qq", "-e", "trace=fsync,fdatasync,sync_file_range", "-o", trace)

	commits, syncs := s.commits(), countSyncs(t, trace)
	for n := range syncedDecisions {
		s.mustDecide(int64(n))
	}
	commits, syncs = s.commits()-commits, countSyncs(t, trace)-syncs
	if commits < syncedDecisions {
		t.Fatalf("%d decisions, asked one after the other, in %d commits", syncedDecisions, commits)
	}
	if syncs < commits {
		t.Fatalf("%d commits with %d calls that sync", commits, syncs)
	}
	t.Logf("%d decisions, %d commits, %d calls that sync", syncedDecisions, commits, syncs)
}

// commits is how often the server has committed to the environment's ledger.
func (s *server) commits() int {
	s.t.Helper()
	r, err := s.ask(s.t.Context(), http.MethodGet, "/metrics", "", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	m := commitsRE.FindSubmatch(r.body)
	if m == nil {
		s.t.Fatalf("no count of commits in %s", r.body)
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return int(n)
}

// countSyncs counts the calls that have succeeded so far.
func countSyncs(t *testing.T, trace string) int {
	t.Helper()
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	count := 0
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if syncRE.Match(lines.Bytes()) {
			count++
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return count
}
