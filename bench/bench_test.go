//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/google/go-cmp/cmp"
)

func TestEachSizeHasItsPoliciesAndBothOutcomes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{policiesFew, policiesMany} {
		w, err := newWork(n)
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		for _, p := range w.policies {
			ids[p.id] = true
		}
		if len(w.policies) != n || len(ids) != n {
			t.Errorf("%d policies with %d ids, want %d", len(w.policies), len(ids), n)
		}
		outcomes := map[string]int{}
		for _, v := range w.variants {
			outcomes[v.outcome]++
			if size := len(v.input()); size < 380 || size > 450 {
				t.Errorf("input of %d bytes, want about 400", size)
			}
		}
		if share := float64(outcomes["deny"]) / float64(len(w.variants)); share < 0.08 || share > 0.2 {
			t.Errorf("%d policies: %v, want about one in ten denied", n, outcomes)
		}
	}
}

// The table is read by Cedar's own engine here; OPA's reading of it is compared at the start of every run.
func TestCedarDecidesAsTheTableDoes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{policiesFew, policiesMany} {
		w, err := newWork(n)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for _, p := range w.policies {
			text.WriteString(p.cedar())
		}
		set, err := cedar.NewPolicySetFromBytes("bench.cedar", []byte(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []call{{tool: 0, amount: 120, currency: "EUR"}, {tool: 0, amount: 120, currency: "XTS"}, {tool: 2, amount: 120, currency: "USD"}, {tool: 6, amount: 1, currency: "EUR"}, {user: 3, tool: 1, amount: 9_000, currency: "EUR"}} {
			outcome, fired := judge(w.policies, c)
			decision, diagnostic := cedar.Authorize(set, entities(n, c), request(c))
			var got []string
			for _, reason := range diagnostic.Reasons {
				got = append(got, string(set.Get(reason.PolicyID).Annotations()["id"]))
			}
			slices.Sort(got)
			if len(diagnostic.Errors) > 0 {
				t.Errorf("%+v: %v", c, diagnostic.Errors)
			}
			if (decision == types.Allow) != (outcome == "allow") {
				t.Errorf("%d policies, %+v: cedar says %v, the table %s", n, c, decision, outcome)
			}
			if diff := cmp.Diff(fired, got); diff != "" {
				t.Errorf("%d policies, %+v: determining policies (-table +cedar):\n%s", n, c, diff)
			}
		}
	}
}

func TestMedianAndRatioAreTakenByRound(t *testing.T) {
	t.Parallel()
	fast := []sample{{perSecond: 100}, {perSecond: 10}, {perSecond: 50}}
	slow := []sample{{perSecond: 50}, {perSecond: 5}, {perSecond: 10}}
	if got := ratio(fast, slow); got != 2 {
		t.Errorf("ratio %v, want 2: the median of 2, 2 and 5", got)
	}
	if got := median(fast[:2], throughput); got != 55 {
		t.Errorf("median %v, want 55", got)
	}
}

func TestASectionReplacesOnlyItself(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "RESULTS.md")
	for _, section := range [][2]string{{"a", "one"}, {"b", "two"}, {"a", "three\n\n### deeper"}} {
		if err := writeSection(path, section[0], section[1]); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := resultsHead + "\n## a\n\nthree\n\n### deeper\n\n## b\n\ntwo\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheProcessTableIsRead(t *testing.T) {
	t.Parallel()
	if _, err := cpuOf(os.Getpid()); err != nil {
		t.Error(err)
	}
	resident, err := residentKiB(os.Getpid())
	if err != nil || resident < 1024 {
		t.Errorf("resident %d KiB, %v", resident, err)
	}
	if _, err := cpuTime(-1); err == nil {
		t.Error("no error for a process that does not exist")
	}
}

func TestAPeerThatEndsAtOnceIsReportedWithItsLog(t *testing.T) {
	t.Parallel()
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "echo no such flag >&2; exit 3")
	begin := time.Now()
	_, err = startProcess(t.Context(), cmd, filepath.Join(t.TempDir(), "log"), address)
	if err == nil || !strings.Contains(err.Error(), "no such flag") || time.Since(begin) > startMax/2 {
		t.Errorf("got %v", err)
	}
}

func request(c call) cedar.Request {
	customer := types.NewRecord(types.RecordMap{"country": types.String("DE")})
	return cedar.Request{
		Principal: types.NewEntityUID("User", types.String(userID(c.user))),
		Action:    types.NewEntityUID("Action", types.String(toolName(c.tool))),
		Resource:  types.NewEntityUID("Server", "bench"),
		Context: types.NewRecord(types.RecordMap{
			"agent":     types.NewEntityUID("Agent", agentID),
			"assurance": types.String("asserted"),
			"session":   types.NewRecord(types.RecordMap{"labels": types.NewSet()}),
			"input": types.NewRecord(types.RecordMap{
				"amount": types.Long(c.amount), "currency": types.String(c.currency), "customer": customer,
			}),
		}),
	}
}

func entities(n int, c call) types.EntityMap {
	user := types.NewEntityUID("User", types.String(userID(c.user)))
	action := types.NewEntityUID("Action", types.String(toolName(c.tool)))
	server := types.NewEntityUID("Server", "bench")
	member := func(uid types.EntityUID, parents ...types.EntityUID) types.Entity {
		return types.Entity{UID: uid, Parents: types.NewEntityUIDSet(parents...)}
	}
	return types.EntityMap{
		user: member(user, types.NewEntityUID("Group", staffGroup),
			types.NewEntityUID("Group", types.String(teamID(c.user%toolCount(n))))),
		action: member(action, types.NewEntityUID("Action", types.String(toolCategory(c.tool)))),
		server: member(server, types.NewEntityUID("Environment", environment)),
	}
}

func TestPostgreSQLStartsAndMakesADatabase(t *testing.T) {
	t.Parallel()
	if _, err := postgresBin(); err != nil {
		t.Skip(err)
	}
	p, err := startPostgres(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dsn, err := p.create(t.Context(), "writ_1")
	if err != nil || !strings.HasPrefix(dsn, "postgres://writ@127.0.0.1:") {
		t.Errorf("dsn %q, %v", dsn, err)
	}
	family, err := children(p.server.pid())
	if err != nil || len(family) == 0 {
		t.Errorf("children %v, %v; want the server's background processes", family, err)
	}
	p.close()
	if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
		t.Errorf("the data directory is left behind: %v", err)
	}
}
