package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestAnExerciseIsBegunAndFiledInTheConsole: by who responds, with what the API says of it, and by nobody else.
func TestAnExerciseIsBegunAndFiledInTheConsole(t *testing.T) {
	t.Parallel()
	o, n := newConsole(t)
	omar, vera := n.browser().signIn(o, "omar"), n.browser().signIn(o, "vera")
	omar.get("/console/").want(t, http.StatusOK, `<a href="/console/exercises?environment=prod"`)
	omar.get("/console/exercises").want(t, http.StatusOK, "Nothing was exercised here.", "writ gameday --scenario all", `value="support-bot"`)

	form := url.Values{"environment": {"prod"}, "scenario": {"lost-laptop"}, "agents": {"support-bot", "finance-bot"}, "detectors": {"self_approval"}, "minutes": {"5"}}
	vera.submit("/console/exercises/new", form).want(t, http.StatusForbidden, "responder or admin")
	begun := omar.submit("/console/exercises/new", form).want(t, http.StatusOK, "The exercise runs.", "Exercise lost-laptop", "running", "File what came of it", "self_approval")
	at := begun.at.Path
	omar.submit("/console/exercises/new", form).want(t, http.StatusConflict, "file what came of it first")
	omar.get("/console/exercises").want(t, http.StatusOK, at, "Nobody has filed what came of it yet.")

	_, key := n.key("support-bot", "runs_as")
	d := n.ask(key, `{"agent":"support-bot","tool":"bank/transfer","input":{}}`, "deny")["id"].(string)
	eventually(t, "the drill's incident", func() bool { return len(n.incidents("&exercise=true")) == 1 })
	incident := n.incidents("&exercise=true")[0]["id"].(string)
	refs := strings.Join([]string{incident, d, "swi_x", "inc_nowhere", "sig_x", "cred_x"}, " ")
	result := url.Values{
		"hypothesis": {"It is noticed."}, "injected": {"A call off its list."}, "observed": {evil}, "expected": {"off_list"}, "refs": {refs}, "detect": {"0.012"}, "contain": {"75.5"},
		"moments": {"2026-11-24T06:00:00Z The call was made\r\n2026-11-24T06:00:00.012Z It was noticed\r\n"},
	}
	omar.submit(at+"/results", result).want(t, http.StatusBadRequest, "answer true or false")
	result.Set("held", "no")
	vera.submit(at+"/results", result).want(t, http.StatusForbidden, "responder or admin")
	done := omar.submit(at+"/results", result).want(t, http.StatusOK, "Filed. The exercise is over.", "did not hold", "12 ms", "1 min", "2026-11-24 06:00:00.012", "It was noticed",
		"/console/incidents/"+incident, "/console/decisions/"+d, "/console/containment/swi_x", "/console/signals?detector=off_list", "none asked for")
	wantPlain(t, map[string]sheet{at: done})
	if strings.Contains(done.text, "File what came of it") {
		t.Error("it can be filed again")
	}
	omar.submit(at+"/results", result).want(t, http.StatusConflict, "filed already")
	vera.get("/console/exercises").want(t, http.StatusOK, "did not hold", "12 ms", "It is noticed.")
	filed := n.get("/v1/exercises/"+strings.TrimPrefix(at, "/console/exercises/"), n.admin).decode(t)["result"].(map[string]any)
	if filed["detect_ms"] != 12.0 || filed["contain_ms"] != 75500.0 || filed["held"] != false || filed["observed"] != evil || len(filed["moments"].([]any)) != 2 {
		t.Errorf("filed is %v", filed)
	}
	n.browser().signIn(o, "nobody").get(at).want(t, http.StatusNotFound)

	second := omar.submit("/console/exercises/new", form).want(t, http.StatusOK, "running").at.Path
	o.clock.Add(int64(6 * time.Minute))
	omar.get(second).want(t, http.StatusOK, "expired", "its time was over at", "File what came of it")
	omar.get("/console/exercises").want(t, http.StatusOK, "Nobody has filed what came of it.")
}

// TestExercisesComeInPages: the oldest of many is reached, and each is shown once.
func TestExercisesComeInPages(t *testing.T) {
	t.Parallel()
	o, n := newConsole(t)
	const many = 53
	for range many {
		id := n.exercise(n.admin, 5, http.StatusOK)["id"]
		if e := n.post(fmt.Sprintf("/v1/exercises/%v/results", id), n.admin, filed); e.status != http.StatusOK {
			t.Fatalf("file: %d %s", e.status, e.body)
		}
	}
	pages := n.browser().signIn(o, "omar").crawl("/console/exercises?environment=prod")
	seen, lists := map[string]bool{}, 0
	for at, p := range pages {
		if strings.HasPrefix(at, "/console/exercises/exe_") {
			p.want(t, http.StatusOK, "Exercise G1", "It is noticed.")
			seen[at] = true
		}
		if strings.HasPrefix(at, "/console/exercises?") {
			lists++
		}
	}
	if len(seen) != many || lists != 2 {
		t.Errorf("%d exercises are reached on %d pages, want %d on 2", len(seen), lists, many)
	}
}
