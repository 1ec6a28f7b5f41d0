package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/writ-dev/writ/internal/api"
	"github.com/writ-dev/writ/internal/app"
)

const readTicket = `{"agent":"support-bot","tool":"zendesk/read_ticket","input":{"ticket":"T-1"}%s}`

func TestEveryRouteIsInTheContractAndTheReverse(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromFile("../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			want[method+" "+path] = true
		}
	}
	for _, pattern := range (&api.Server{}).Patterns() {
		pattern = strings.ReplaceAll(pattern, "{path...}", "{path}")
		if !want[pattern] {
			t.Errorf("%s is not in api/openapi.yaml", pattern)
		}
		delete(want, pattern)
	}
	for pattern := range want {
		t.Errorf("%s is in api/openapi.yaml and has no route", pattern)
	}
}

func TestBadInputIsRefusedCountedAndRecorded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := start(t, app.Config{Data: dir})
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	id, revoked := n.key("support-bot", "runs_as")
	if e := n.send(http.MethodDelete, "/v1/credentials/"+id, n.admin, jsonType, []byte(`{"reason":"test"}`)); e.status != http.StatusOK {
		t.Fatalf("revoke: %s", e.body)
	}
	big := `{"agent":"support-bot","tool":"zendesk/read_ticket","input":{"ticket":"` + strings.Repeat("x", 2<<20) + `"}}`
	for name, c := range map[string]struct {
		token, body string
		status      int
		code, path  string
	}{
		"no credential":     {"", fmt.Sprintf(readTicket, ""), 401, "unauthenticated", ""},
		"revoked":           {revoked, fmt.Sprintf(readTicket, ""), 401, "unauthenticated", ""},
		"foreign key":       {"writ_key_0000000000000000_" + strings.Repeat("0", 58), fmt.Sprintf(readTicket, ""), 401, "unauthenticated", ""},
		"admin's token":     {n.admin, fmt.Sprintf(readTicket, ""), 403, "forbidden", ""},
		"another agent":     {key, strings.Replace(fmt.Sprintf(readTicket, ""), "support-bot", "finance-bot", 1), 403, "agent_mismatch", "/agent"},
		"no such agent":     {key, strings.Replace(fmt.Sprintf(readTicket, ""), "support-bot", "nobody", 1), 403, "agent_mismatch", "/agent"},
		"malformed":         {key, `{"agent":`, 400, "malformed_json", "/agent"},
		"empty":             {key, ``, 400, "malformed_json", ""},
		"a list":            {key, `[]`, 400, "invalid_field", ""},
		"2 MB":              {key, big, 413, "body_too_large", ""},
		"deep":              {key, fmt.Sprintf(`{"agent":"support-bot","tool":"a/b","input":%s1%s}`, strings.Repeat(`{"a":`, 40), strings.Repeat("}", 40)), 400, "invalid_field", "/input" + strings.Repeat("/a", 31)},
		"NaN":               {key, `{"agent":"support-bot","tool":"a/b","input":{"x":NaN}}`, 400, "malformed_json", "/input/x"},
		"huge number":       {key, `{"agent":"support-bot","tool":"a/b","input":{"x":1e999}}`, 400, "invalid_field", "/input/x"},
		"unknown field":     {key, fmt.Sprintf(readTicket, `,"colour":1`), 400, "unknown_field", "/colour"},
		"twice":             {key, fmt.Sprintf(readTicket, `,"tool":"x/y"`), 400, "malformed_json", "/tool"},
		"wrong type":        {key, `{"agent":"support-bot","tool":7,"input":{}}`, 400, "invalid_field", "/tool"},
		"no input":          {key, `{"agent":"support-bot","tool":"a/b"}`, 400, "invalid_field", "/input"},
		"bad session":       {key, fmt.Sprintf(readTicket, `,"session":"a\nb"`), 400, "invalid_field", "/session"},
		"long session":      {key, fmt.Sprintf(readTicket, `,"session":"`+strings.Repeat("a", 200)+`"`), 400, "invalid_field", "/session"},
		"schema":            {key, `{"agent":"support-bot","tool":"stripe/refund","input":{"charge":"c","amount":"x","currency":"usd"}}`, 422, "input_schema", "/input/amount"},
		"another principal": {key, fmt.Sprintf(readTicket, `,"principal":{"type":"user","id":"eve"}`), 403, "forbidden", "/principal"},
	} {
		e := n.post("/v1/decisions", c.token, c.body)
		if e.status != c.status || !strings.HasPrefix(e.kind, "application/problem+json") {
			t.Errorf("%s: status %d, %s: %.200s", name, e.status, e.kind, e.body)
			continue
		}
		m := e.decode(t)
		path, _ := m["path"].(string)
		if m["code"] != c.code || path != c.path || m["detail"] == "" {
			t.Errorf("%s: %v at %q, want %s at %q", name, m["code"], path, c.code, c.path)
		}
	}
	for _, path := range []string{"/v1/decisions?colour=1", "/v1/decisions?environment=prod&limit=0", "/v1/decisions?environment=prod&from=yesterday", "/v1/decisions?environment=prod&cursor=zz", "/v1/decisions?environment=prod&outcome=maybe"} {
		if e := n.get(path, n.admin); e.status != 400 && e.status != 404 {
			t.Errorf("%s: %d", path, e.status)
		}
	}
	// Everything that was refused is recorded when the server stops, at the latest.
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, app.Config{Data: dir})
	found := refusals(again, n.admin, "prod")
	for k, v := range refusals(again, n.admin, "org") {
		found[k] += v
	}
	for code, least := range map[string]float64{"unauthenticated": 3, "agent_mismatch": 2, "malformed_json": 4, "input_schema": 1, "body_too_large": 1} {
		if found[code] < least {
			t.Errorf("%s was refused %v times by the record, at least %v by us", code, found[code], least)
		}
	}
}

// refusals counts what a ledger has recorded as refused, by code.
func refusals(n *node, admin, ledger string) map[string]float64 {
	n.t.Helper()
	out := map[string]float64{}
	for _, entry := range entries(n, admin, ledger, "refusals") {
		for _, line := range entry["body"].(map[string]any)["counts"].([]any) {
			l := line.(map[string]any)
			out[l["code"].(string)] += l["count"].(float64)
		}
	}
	return out
}

// entries reads the entries of a kind.
func entries(n *node, admin, ledger, kind string) []map[string]any {
	n.t.Helper()
	var out []map[string]any
	for from := int64(0); ; {
		e := n.get(fmt.Sprintf("/v1/entries?ledger=%s&from=%d&limit=1000", ledger, from), admin)
		var page struct {
			Entries []map[string]any `json:"entries"`
			Next    int64            `json:"next"`
			Size    int64            `json:"size"`
		}
		if err := json.Unmarshal(e.body, &page); err != nil || e.status != http.StatusOK {
			n.t.Fatalf("entries: %d %s", e.status, e.body)
		}
		for i, entry := range page.Entries {
			if entry["kind"] == kind {
				entry["index"] = from + int64(i)
				out = append(out, entry)
			}
		}
		if from = page.Next; from >= page.Size {
			return out
		}
	}
}

func TestAskingTwice(t *testing.T) {
	t.Parallel()
	n := start(t, app.Config{Data: t.TempDir()})
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	first := n.post("/v1/decisions", key, fmt.Sprintf(readTicket, `,"session":"s1","call_id":"c1"`)).decode(t)
	again := n.post("/v1/decisions", key, fmt.Sprintf(readTicket, `,"session":"s1","call_id":"c1"`)).decode(t)
	if first["id"] != again["id"] || fmt.Sprint(first["receipt"]) != fmt.Sprint(again["receipt"]) {
		t.Errorf("asked again: %v, first %v", again, first)
	}
	other := n.post("/v1/decisions", key, strings.Replace(fmt.Sprintf(readTicket, `,"session":"s1","call_id":"c1"`), "T-1", "T-2", 1))
	if other.status != http.StatusConflict || other.decode(t)["code"] != "call_mismatch" {
		t.Errorf("another input: %d %s", other.status, other.body)
	}
	elsewhere := n.post("/v1/decisions", key, fmt.Sprintf(readTicket, `,"session":"s2","call_id":"c1"`)).decode(t)
	if elsewhere["id"] == first["id"] {
		t.Error("the same call id in another session is the same call")
	}
	// A change of control state: judged afresh, with a reference to the earlier one.
	n.key("finance-bot", "runs_as")
	fresh := n.post("/v1/decisions", key, fmt.Sprintf(readTicket, `,"session":"s1","call_id":"c1"`)).decode(t)
	if fresh["id"] == first["id"] {
		t.Error("the epoch moved and the old decision came back")
	}
	chain := n.get("/v1/decisions/"+fresh["id"].(string), key).decode(t)
	if earlier := chain["decision"].(map[string]any)["earlier"]; earlier != first["id"] {
		t.Errorf("the new decision names %v as earlier, not %v", earlier, first["id"])
	}
	id := fresh["id"].(string)
	result := `{"status":"succeeded","duration_ms":12,"output":{"ok":true},"usage":{"model":"m","input_tokens":3,"output_tokens":4,"cost_usd":0.0123}}`
	reported := n.post("/v1/decisions/"+id+"/result", key, result)
	if reported.status != http.StatusOK {
		t.Fatalf("result: %s", reported.body)
	}
	if twice := n.post("/v1/decisions/"+id+"/result", key, result); string(twice.body) != string(reported.body) {
		t.Errorf("reported again: %s, first %s", twice.body, reported.body)
	}
	if e := n.post("/v1/decisions/"+id+"/result", key, `{"status":"failed"}`); e.status != http.StatusConflict {
		t.Errorf("another result: %d %s", e.status, e.body)
	}
	if e := n.post("/v1/decisions", key, fmt.Sprintf(readTicket, `,"session":"s1","call_id":"c1"`)); e.status != http.StatusConflict || e.decode(t)["code"] != "already_executed" {
		t.Errorf("asked after its result: %d %s", e.status, e.body)
	}
	chain = n.get("/v1/decisions/"+id, key).decode(t)
	if chain["result"].(map[string]any)["status"] != "succeeded" || chain["call"].(map[string]any)["input"].(map[string]any)["ticket"] != "T-1" {
		t.Errorf("chain: %v", chain)
	}
}

func TestABundleIsReplacedByNobodyYet(t *testing.T) {
	t.Parallel()
	n := start(t, app.Config{Data: t.TempDir()})
	n.acme()
	if e := n.send(http.MethodPost, "/v1/bundles?environment=prod", n.admin, "application/x-tar", nil); e.status != http.StatusUnprocessableEntity {
		t.Errorf("no bundle at all: %d %s", e.status, e.body)
	}
	tar, err := os.ReadFile("app_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if e := n.send(http.MethodPost, "/v1/bundles?environment=staging", n.admin, "application/x-tar", tar); e.status != http.StatusUnprocessableEntity {
		t.Errorf("what is no bundle: %d %s", e.status, e.body)
	}
	listed := n.get("/v1/environments", n.admin).decode(t)
	digest := ""
	for _, e := range listed["environments"].([]any) {
		if m := e.(map[string]any); m["name"] == "prod" {
			digest = m["bundle"].(string)
		}
	}
	e := n.get("/v1/bundles/"+digest, n.admin)
	if e.status != http.StatusOK {
		t.Fatalf("the active bundle: %d %s", e.status, e.body)
	}
	if e := n.send(http.MethodPost, "/v1/bundles?environment=prod", n.admin, "application/x-tar", e.body); e.status != http.StatusConflict {
		t.Errorf("a second activation: %d %s", e.status, e.body)
	}
	for _, path := range []string{"/v1/agents?environment=prod", "/v1/tools?environment=prod", "/v1/me", "/v1/credentials", "/healthz", "/readyz"} {
		if e := n.get(path, n.admin); e.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, e.status, e.body)
		}
	}
}

// TestRevocationIsExactOnThreeNodes: after the commit of an entry that changes control state, no allow that ignores it has a
// larger index, whichever node decides.
func TestRevocationIsExactOnThreeNodes(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3, app.Config{})
	nodes[0].acme()
	for range 4 {
		id, key := nodes[0].key("support-bot", "runs_as")
		var last, denied atomic.Int64
		var stop atomic.Bool
		var group sync.WaitGroup
		for w := range 12 {
			group.Go(func() {
				for i := 0; !stop.Load(); i++ {
					e, err := nodes[w%3].try(http.MethodPost, "/v1/decisions", key, jsonType, fmt.Appendf(nil, readTicket, fmt.Sprintf(`,"session":"w%d"`, w)))
					if err != nil {
						t.Error(err)
						return
					}
					var a struct {
						Outcome string `json:"outcome"`
						Receipt struct {
							Index int64 `json:"index"`
						} `json:"receipt"`
					}
					if err := json.Unmarshal(e.body, &a); err == nil && a.Outcome == "allow" {
						for old := last.Load(); a.Receipt.Index > old && !last.CompareAndSwap(old, a.Receipt.Index); old = last.Load() {
						}
						continue
					}
					denied.Add(1)
					if denied.Load() > 30 {
						return
					}
				}
			})
		}
		eventually(t, "some load", func() bool { return last.Load() > 200 })
		if e := nodes[1].send(http.MethodDelete, "/v1/credentials/"+id, nodes[0].admin, jsonType, []byte(`{}`)); e.status != http.StatusOK {
			t.Fatalf("revoke: %s", e.body)
		}
		eventually(t, "refusals", func() bool { return denied.Load() > 30 })
		stop.Store(true)
		group.Wait()
		revoked := int64(-1)
		for _, e := range entries(nodes[2], nodes[0].admin, "prod", "credential_revoked") {
			if e["body"].(map[string]any)["credential"] == id {
				revoked = e["index"].(int64)
			}
		}
		if revoked < 0 || last.Load() > revoked {
			t.Errorf("revoked at index %d, the last allow has %d", revoked, last.Load())
		}
	}
}

// TestARetryOnAnotherNodeIsTheSameDecision adds no entry.
func TestARetryOnAnotherNodeIsTheSameDecision(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3, app.Config{})
	nodes[0].acme()
	_, key := nodes[0].key("support-bot", "runs_as")
	const calls = 60
	var group sync.WaitGroup
	var ids [calls][3]string
	for c := range calls {
		for i, n := range nodes {
			group.Go(func() {
				e, err := n.try(http.MethodPost, "/v1/decisions", key, jsonType, fmt.Appendf(nil, readTicket, fmt.Sprintf(`,"session":"s%d","call_id":"c%d"`, c, c)))
				if err != nil || e.status != http.StatusOK {
					t.Errorf("call %d on node %d: %d %s %v", c, i, e.status, e.body, err)
					return
				}
				var a struct {
					ID string `json:"id"`
				}
				if err := json.Unmarshal(e.body, &a); err != nil {
					t.Error(err)
				}
				ids[c][i] = a.ID
			})
		}
	}
	group.Wait()
	for c := range ids {
		if ids[c][0] != ids[c][1] || ids[c][1] != ids[c][2] || ids[c][0] == "" {
			t.Errorf("call %d: %v", c, ids[c])
		}
	}
	if found := len(entries(nodes[1], nodes[0].admin, "prod", "decision")); found != calls {
		t.Errorf("%d decisions were recorded for %d calls", found, calls)
	}
}

func TestAListSaysHowFarItIsComplete(t *testing.T) {
	t.Parallel()
	n := start(t, app.Config{Data: t.TempDir()})
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	for i := range 30 {
		n.post("/v1/decisions", key, fmt.Sprintf(readTicket, fmt.Sprintf(`,"session":"s%d"`, i%3)))
	}
	var page map[string]any
	eventually(t, "the index", func() bool {
		page = n.get("/v1/decisions?environment=prod&session=s1&tool=zendesk/read_ticket&outcome=allow&policy=support-reads&principal=service:support-desk&limit=4", n.admin).decode(t)
		return page["complete_through"] == page["size"]
	})
	seen := map[string]bool{}
	for pages := 0; ; pages++ {
		for _, d := range page["decisions"].([]any) {
			seen[d.(map[string]any)["id"].(string)] = true
		}
		next, ok := page["next_cursor"].(string)
		if !ok {
			break
		}
		path := "/v1/decisions?environment=prod&session=s1&limit=4&cursor=" + next
		page = n.get(path, n.admin).decode(t)
		if twice := n.get(path, n.admin).decode(t); fmt.Sprint(twice) != fmt.Sprint(page) || pages > 10 {
			t.Fatalf("a page read twice is another page: %v, %v", page, twice)
		}
	}
	if len(seen) != 10 {
		t.Errorf("%d decisions of the session, not 10", len(seen))
	}
	if e := n.get("/v1/decisions?agent=finance-bot", key).decode(t); len(e["decisions"].([]any)) != 0 {
		t.Errorf("an agent sees another's decisions: %v", e)
	}
}

func TestThePublicURLBeginsALink(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"writ.example.com", "ftp://writ.example.com", "https://", "https://writ.example.com/inside", "http://writ.example.com", "https://u@writ.example.com", "https://writ.example.com?a=b", "https://writ.example.com#a"} {
		a, err := app.New(t.Context(), app.Config{Data: t.TempDir(), PublicURL: bad})
		if err == nil {
			t.Errorf("%q is taken", bad)
			if err := a.Stop(); err != nil {
				t.Error(err)
			}
			continue
		}
		if !strings.Contains(err.Error(), "--url") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if n := start(t, app.Config{Data: t.TempDir(), PublicURL: "https://writ.example.com/"}); n.PublicURL() != "https://writ.example.com" {
		t.Errorf("the public URL is %s", n.PublicURL())
	}
	n := start(t, app.Config{Data: t.TempDir()})
	if want := strings.Replace(n.URL(), "127.0.0.1", "localhost", 1); n.PublicURL() != want {
		t.Errorf("the public URL is %s, want %s", n.PublicURL(), want)
	}
}
