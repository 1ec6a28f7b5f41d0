package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/incident"
)

// signals are so many of one key, as a detector computes them at an index.
func signals(through int64, first, many int, with func(*canon.Signal)) []incident.Emitted {
	out := make([]incident.Emitted, many)
	for n := range out {
		s := canon.Signal{
			Detector: "blocked_spike", Version: 1, Severity: gov.SeverityMedium, Key: "blocked_spike support-bot", Agent: "support-bot",
			Summary: "41 calls were denied in 5 minutes.", Observed: "41", Expected: "0.52", Window: 300, Probability: "3.1e-61", Through: through,
			Entries: []gov.EntryID{}, Count: 41,
		}
		if with != nil {
			with(&s)
		}
		out[n] = incident.Emitted{Signal: s, Ordinal: first + n}
	}
	return out
}

func (n *node) take(all []incident.Emitted) {
	n.t.Helper()
	if err := n.Take(n.t.Context(), "prod", all); err != nil {
		n.t.Fatal(err)
	}
}

// incidents lists them as the API does.
func (n *node) incidents(query string) []map[string]any {
	n.t.Helper()
	e := n.get("/v1/incidents?environment=prod"+query, n.admin)
	if e.status != http.StatusOK {
		n.t.Fatalf("incidents: %s", e.body)
	}
	var out []map[string]any
	for _, i := range e.decode(n.t)["incidents"].([]any) {
		out = append(out, i.(map[string]any))
	}
	return out
}

// only is the one incident that there is.
func (n *node) only(query string) map[string]any {
	n.t.Helper()
	all := n.incidents(query)
	if len(all) != 1 {
		n.t.Fatalf("%d incidents: %v", len(all), all)
	}
	return all[0]
}

func TestTenThousandSignalsAreOneIncident(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	d := n.ask(key, fmt.Sprintf(readTicket, ""), "allow")
	before, err := n.Head(t.Context(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	all := signals(5, 0, 10_000, func(s *canon.Signal) { s.Entries = []gov.EntryID{gov.EntryID(d["id"].(string))} })
	n.take(all)
	n.take(all) // a second time records nothing
	i := n.only("")
	if i["signals"].(float64) != 10_000 || i["state"] != "new" || i["severity"].(float64) != 3 {
		t.Errorf("%v", i)
	}
	size, err := n.Head(t.Context(), "prod")
	if err != nil || size-before < 10_000 || size-before > 10_010 {
		t.Errorf("%d entries for 10,000 signals, %v", size-before, err)
	}
	shown := n.get(fmt.Sprintf("/v1/incidents/%v", i["id"]), n.admin).decode(t)
	if lines := shown["timeline"].([]any); len(lines) != 101 || shown["signals_left_out"].(float64) != 9899 {
		t.Errorf("%d lines, %v left out", len(lines), shown["signals_left_out"])
	}
	if calls := shown["decisions"].([]any); len(calls) != 1 || calls[0].(map[string]any)["id"] != d["id"] {
		t.Errorf("it rests on %v", calls)
	}
	eventually(t, "every signal is found", func() bool {
		found, cursor := 0, ""
		for {
			page := n.get(fmt.Sprintf("/v1/signals?environment=prod&detector=blocked_spike&incident=%v&limit=1000%s", i["id"], cursor), n.admin).decode(t)
			found += len(page["signals"].([]any))
			if page["next_cursor"] == nil {
				return found == 10_000
			}
			cursor = "&cursor=" + page["next_cursor"].(string)
		}
	})
	eventually(t, "the decision says so", func() bool {
		return fmt.Sprint(n.get(fmt.Sprintf("/v1/decisions/%v", d["id"]), n.admin).decode(t)["incidents"]) == fmt.Sprintf("[%v]", i["id"])
	})
	if own := n.get(fmt.Sprintf("/v1/decisions/%v", d["id"]), key).decode(t); own["incidents"] != nil {
		t.Errorf("the agent is told of %v", own["incidents"])
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

// TestACrashInTheMiddleLosesNoSignalAndRepeatsNone: the server is stopped while it records, wherever that is.
func TestACrashInTheMiddleLosesNoSignalAndRepeatsNone(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	keys := func(all []incident.Emitted) []incident.Emitted {
		for n := range all {
			all[n].Key = fmt.Sprintf("key %d", n%37)
			all[n].Through = int64(n / 3)
			all[n].Ordinal = n % 3
		}
		return all
	}
	all := keys(signals(0, 0, 3000, nil))
	n := start(t, o.config(dir))
	n.acme()
	admin := n.admin
	for crash := range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		at, err := n.Head(t.Context(), "prod")
		if err != nil {
			t.Fatal(err)
		}
		go func() { done <- n.Take(ctx, "prod", all) }()
		eventually(t, "some are recorded, or all are", func() bool {
			size, err := n.Head(t.Context(), "prod")
			return err != nil || len(done) == 1 || size > at+int64(1+crash*37)
		})
		cancel()
		if err := n.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Logf("interrupted: %v", err)
		}
		n = start(t, o.config(dir))
		n.admin = admin
	}
	n.take(all)
	var got []string
	eventually(t, "all are found", func() bool {
		got = got[:0]
		cursor := ""
		for {
			page := n.get("/v1/signals?environment=prod&limit=1000"+cursor, n.admin).decode(t)
			for _, s := range page["signals"].([]any) {
				body := s.(map[string]any)["signal"].(map[string]any)
				got = append(got, fmt.Sprintf("%v %v", body["through"], body["key"]))
			}
			if page["next_cursor"] == nil {
				return len(got) >= len(all)
			}
			cursor = "&cursor=" + page["next_cursor"].(string)
		}
	})
	if len(got) != len(all) {
		t.Fatalf("%d signals are recorded, %d were computed", len(got), len(all))
	}
	for k, e := range all {
		if want := fmt.Sprintf("%d %s", e.Through, e.Key); got[len(got)-1-k] != want {
			t.Fatalf("signal %d is %s, want %s", k, got[len(got)-1-k], want)
		}
	}
	found := n.incidents("&limit=200")
	total := 0.0
	for _, i := range found {
		total += i["signals"].(float64)
	}
	if len(found) != 37 || total != 3000 {
		t.Errorf("%d incidents of %v signals", len(found), total)
	}
}

func TestSignalsAreRecordedOnceOnThreeNodes(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	nodes := cluster(t, 3, o.config(""))
	nodes[0].acme()
	all := signals(7, 0, 600, nil)
	for n := range all {
		all[n].Key = fmt.Sprintf("key %d", n%5)
	}
	var group sync.WaitGroup
	for _, n := range nodes {
		group.Go(func() {
			for tries := 0; ; tries++ {
				err := n.Take(t.Context(), "prod", all)
				if err == nil {
					return
				}
				var known *gov.Error
				if !errors.As(err, &known) || tries > 50 {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	total := 0.0
	found := nodes[1].incidents("")
	for _, i := range found {
		total += i["signals"].(float64)
	}
	if len(found) != 5 || total != 600 {
		t.Errorf("%d incidents of %v signals", len(found), total)
	}
	// Three people take it at once, while it goes on: it is one of theirs, and no signal is lost.
	tokens := []string{o.signIn("omar", nil), o.signIn("lena", nil), o.signIn("root", map[string]any{"groups": []string{"security"}})}
	var taken atomic.Int64
	for k, n := range nodes {
		group.Go(func() {
			e, err := n.try(http.MethodPost, fmt.Sprintf("/v1/incidents/%v/events", found[0]["id"]), tokens[k], jsonType, []byte(`{"event":"ack"}`))
			if err != nil || e.status != http.StatusOK && e.status != http.StatusConflict {
				t.Errorf("%s, %v", e.body, err)
			}
			if e.status == http.StatusOK {
				taken.Add(1)
			}
		})
	}
	nodes[0].take(signals(8, 0, 400, func(s *canon.Signal) { s.Key = "key 4" }))
	group.Wait()
	if i := nodes[2].get(fmt.Sprintf("/v1/incidents/%v", found[0]["id"]), nodes[0].admin).decode(t); taken.Load() != 1 || i["state"] != "triage" || i["signals"].(float64) != 520 {
		t.Errorf("%d took it: %v %v", taken.Load(), i["state"], i["signals"])
	}
}

func TestSignalsJoinWhatIsOpenAndNothingElse(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	n.ask(key, fmt.Sprintf(readTicket, ""), "allow")
	omar := o.signIn("omar", nil)
	n.take(signals(1, 0, 2, nil))
	n.take(signals(1, 2, 1, func(s *canon.Signal) { s.Severity = gov.SeverityHigh }))
	n.take(signals(1, 3, 1, func(s *canon.Signal) { s.Heartbeat = true }))
	n.take(signals(1, 4, 2, func(s *canon.Signal) { s.Exercise = true }))
	first := n.only("&exercise=false")
	if first["signals"].(float64) != 3 || first["severity"].(float64) != 2 {
		t.Errorf("%v", first)
	}
	drill := n.only("&exercise=true")
	if drill["signals"].(float64) != 2 || drill["id"] == first["id"] {
		t.Errorf("%v", drill)
	}
	lena := o.signIn("lena", nil)
	n.step(first["id"], omar, `{"event":"ack"}`, 200)
	n.step(first["id"], lena, `{"event":"dismissed","reason":"benign","text":"The load test of Monday."}`, 200)
	n.take(signals(2, 0, 2, nil))
	if i := n.only("&exercise=false"); i["state"] != "dismissed" || i["signals"].(float64) != 5 || i["flapping"].(float64) != 2 {
		t.Errorf("while it cools down: %v", i)
	}
	o.clock.Add(int64(incident.CoolDown))
	omar = o.signIn("omar", nil)
	n.take(signals(3, 0, 2, nil))
	all := n.incidents("&exercise=false")
	if len(all) != 2 || all[0]["same_incident_in_the_past"] != first["id"] || all[0]["signals"].(float64) != 2 {
		t.Errorf("after it cooled down: %v", all)
	}
	wantProblem(t, n.step(first["id"], omar, `{"event":"reopened","text":"Again."}`, 0), 409, "conflict") // the other one is open
	n.step(all[0]["id"], omar, `{"event":"merged","into":"`+fmt.Sprint(drill["id"])+`","text":"The same."}`, 409)
	reported := n.report(omar, `"severity":3,"title":"Something is odd"`)
	n.step(all[0]["id"], omar, `{"event":"merged","into":"`+fmt.Sprint(reported["id"])+`","text":"The same."}`, 200)
	n.take(signals(4, 0, 1, nil))
	if i := n.get(fmt.Sprintf("/v1/incidents/%v", reported["id"]), n.admin).decode(t); i["signals"].(float64) != 1 || fmt.Sprint(i["merged"]) != fmt.Sprintf("[%v]", all[0]["id"]) {
		t.Errorf("merged: %v", i)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

// report reports an incident.
func (n *node) report(token, fields string) map[string]any {
	n.t.Helper()
	e := n.post("/v1/incidents", token, `{"environment":"prod",`+fields+`}`)
	if e.status != http.StatusOK {
		n.t.Fatalf("report: %s", e.body)
	}
	return e.decode(n.t)
}

// step takes a step and wants a status; 0: any.
func (n *node) step(id any, token, body string, status int) exchange {
	n.t.Helper()
	e := n.post(fmt.Sprintf("/v1/incidents/%v/events", id), token, body)
	if status != 0 && e.status != status {
		n.t.Fatalf("%s: %d %s", body, e.status, e.body)
	}
	return e
}

const assessed = `{"event":"disclosure.assessed","text":"Nobody outside saw it.","assessment":{"control_failed":true,"commitment_missed":false,"confidential_data":false,"personal_data":true,"tell_outside":false}}`

func TestTheWholeLifeOfAnIncident(t *testing.T) {
	t.Parallel()
	o, dir := newOffice(t), t.TempDir()
	n := start(t, o.config(dir))
	n.acme()
	_, key := n.key("support-bot", "runs_as")
	omar, lena, ana, vera := o.signIn("omar", nil), o.signIn("lena", nil), o.signIn("ana", nil), o.signIn("vera", nil)
	d := n.ask(key, fmt.Sprintf(readTicket, `,"session":"s1"`), "allow")
	n.take(signals(3, 0, 3, func(s *canon.Signal) {
		s.Severity, s.Entries = gov.SeverityHigh, []gov.EntryID{gov.EntryID(d["id"].(string))}
	}))
	id := n.only("&state=open")["id"]
	at := fmt.Sprintf("/v1/incidents/%v", id)

	wantProblem(t, n.step(id, ana, `{"event":"ack"}`, 0), 403, "forbidden")
	wantProblem(t, n.step(id, vera, `{"event":"ack"}`, 0), 403, "forbidden")
	wantProblem(t, n.step(id, n.admin, `{"event":"ack"}`, 0), 403, "forbidden")
	wantProblem(t, n.step(id, key, `{"event":"ack"}`, 0), 403, "forbidden")
	wantProblem(t, n.get(at, key), 403, "forbidden")
	if e := n.get(at, vera); e.status != http.StatusOK {
		t.Errorf("the auditor reads %d", e.status)
	}
	wantProblem(t, n.step(id, omar, `{"event":"resolved","text":"So."}`, 0), 409, "conflict")
	wantProblem(t, n.step(id, omar, `{"event":"closed"}`, 0), 409, "conflict")
	wantProblem(t, n.step(id, omar, `{"event":"dismissed","reason":"benign","text":"So."}`, 0), 403, "not_eligible") // nobody has looked at it
	wantProblem(t, n.step(id, omar, `{"event":"unmade"}`, 0), 400, "invalid_field")
	wantProblem(t, n.step(id, omar, `{"event":"note"}`, 0), 400, "invalid_field")
	wantProblem(t, n.step(id, omar, `{"event":"note","text":"x","effective_at":"`+o.now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}`, 0), 400, "invalid_field")

	m := n.step(id, omar, `{"event":"ack"}`, 200).decode(t)
	owner := m["owner"]
	if m["state"] != "triage" || owner == nil || m["acknowledged_at"] == nil {
		t.Errorf("acknowledged: %v", m)
	}
	wantProblem(t, n.step(id, lena, `{"event":"ack"}`, 0), 409, "conflict")
	wantProblem(t, n.step(id, omar, `{"event":"dismissed","reason":"benign","text":"So."}`, 0), 403, "not_eligible")
	wantProblem(t, n.step(id, lena, `{"event":"dismissed","reason":"tired","text":"So."}`, 0), 400, "invalid_field")
	n.step(id, omar, `{"event":"severity.changed","severity":4,"text":"I think it is nothing."}`, 200)
	wantProblem(t, n.step(id, omar, `{"event":"severity.changed","severity":4,"text":"Still."}`, 0), 400, "invalid_field")
	n.step(id, lena, `{"event":"severity.changed","severity":1,"text":"It is not nothing."}`, 200)
	n.step(id, omar, `{"event":"declared"}`, 200)
	wantProblem(t, n.step(id, lena, `{"event":"dismissed","reason":"benign","text":"So."}`, 0), 409, "conflict")

	sw := n.step(id, omar, `{"event":"containment.kill_switch","switch":{"agent":"support-bot","reason":"Refunds without a ticket."}}`, 200).decode(t)
	if sw["state"] != "contained" || sw["contained_at"] == nil {
		t.Fatalf("contained: %v", sw)
	}
	n.ask(key, fmt.Sprintf(readTicket, `,"session":"s1"`), "deny")
	swi := sw["contained_by"].([]any)[0]
	if w := n.get(fmt.Sprintf("/v1/switches/%v", swi), omar).decode(t); w["incident"] != id {
		t.Errorf("the switch is of %v", w["incident"])
	}
	wantProblem(t, n.step(id, omar, `{"event":"containment.policy_rollback","refs":["`+fmt.Sprint(d["id"])+`"]}`, 0), 400, "invalid_field")
	wantProblem(t, n.step(id, omar, `{"event":"containment.credential_revoked","refs":["nokey"]}`, 0), 400, "invalid_field")
	wantProblem(t, n.step(id, omar, `{"event":"decision.linked","refs":["`+fmt.Sprint(swi)+`"]}`, 0), 400, "invalid_field")
	credential, _ := n.key("research-agent", "runs_as")
	wantProblem(t, n.step(id, omar, `{"event":"containment.credential_revoked","refs":["`+credential+`"]}`, 0), 400, "invalid_field") // it is not
	if e := n.send(http.MethodDelete, "/v1/credentials/"+credential, n.admin, "", nil); e.status != http.StatusOK {
		t.Fatalf("revoke: %s", e.body)
	}
	n.step(id, omar, `{"event":"containment.credential_revoked","refs":["`+credential+`"]}`, 200)
	n.step(id, omar, `{"event":"decision.linked","refs":["`+fmt.Sprint(d["id"])+`"]}`, 200)
	n.step(id, omar, `{"event":"owner.changed","owner":"user:lena","text":"My shift is over."}`, 200)
	n.step(id, lena, `{"event":"comms.internal","text":"Support knows."}`, 200)
	n.step(id, lena, `{"event":"eradicated","text":"The prompt is fixed."}`, 200)
	wantProblem(t, n.step(id, lena, `{"event":"resolved"}`, 0), 400, "invalid_field")
	n.step(id, lena, `{"event":"resolved","text":"The prompt is fixed.","effective_at":"`+o.now().UTC().Add(-time.Second).Format(time.RFC3339Nano)+`"}`, 200)

	wantProblem(t, n.step(id, lena, `{"event":"closed"}`, 0), 409, "conflict") // no report
	wantProblem(t, n.step(id, lena, `{"event":"report.approved","refs":["`+fmt.Sprint(swi)+`"]}`, 0), 400, "invalid_field")
	draft := n.get(at+"/report", vera).decode(t)
	text := draft["text"].(string)
	for _, want := range []string{"GET /v1/decisions?agent=support-bot", "stopped agent support-bot", "severity 1", "0 calls of that scope were allowed", "Refunds without a ticket", "blocked_spike"} {
		if draft["generated"] != true || !strings.Contains(text, want) {
			t.Errorf("the draft does not say %q:\n%s", want, text)
		}
	}
	body := func(text string) string {
		data, err := json.Marshal(map[string]string{"event": "report.drafted", "text": text})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	m = n.step(id, omar, body(strings.Replace(text, "_To be written._", "A prompt asked for refunds.", 1)), 200).decode(t)
	first := m["report"].(map[string]any)["id"]
	approve := func(draft any) string { return fmt.Sprintf(`{"event":"report.approved","refs":[%q]}`, draft) }
	wantProblem(t, n.step(id, omar, approve(first), 0), 403, "not_eligible") // its author
	wantProblem(t, n.step(id, lena, approve(first), 0), 403, "not_eligible") // the owner
	root := o.signIn("root", map[string]any{"groups": []string{"security"}})
	stale := o.signIn("root", map[string]any{"groups": []string{"security"}, "auth_time": o.now().Add(-time.Hour).Unix()})
	wantProblem(t, n.step(id, stale, approve(first), 0), 403, "sign_in_stale")
	m = n.step(id, omar, body("# Another one"), 200).decode(t)
	wantProblem(t, n.step(id, root, approve(first), 0), 409, "conflict") // of a text that is not the newest
	second := m["report"].(map[string]any)["id"]
	m = n.step(id, root, approve(second), 200).decode(t)
	if m["report"].(map[string]any)["approved_by"] == nil {
		t.Errorf("approved: %v", m["report"])
	}
	m = n.step(id, omar, body("# A third one"), 200).decode(t)
	if m["report"].(map[string]any)["approved_by"] != nil {
		t.Errorf("another text is approved: %v", m["report"])
	}
	n.step(id, root, approve(m["report"].(map[string]any)["id"]), 200)
	wantProblem(t, n.step(id, lena, `{"event":"closed"}`, 0), 409, "conflict") // nobody assessed what it touched
	n.step(id, lena, strings.Replace(assessed, `,"tell_outside":false`, "", 1), 400)
	n.step(id, lena, assessed, 200)
	m = n.step(id, lena, `{"event":"action.created","owner":"user:omar","due":"`+o.now().Add(24*time.Hour).UTC().Format(time.RFC3339)+`","text":"A policy for refunds without a ticket."}`, 200).decode(t)
	action := m["actions"].([]any)[0].(map[string]any)["id"]
	m = n.step(id, lena, `{"event":"closed"}`, 200).decode(t)
	if m["state"] != "closed" || m["closed_at"] == nil {
		t.Errorf("closed: %v", m)
	}
	wantProblem(t, n.step(id, lena, body("late"), 0), 409, "conflict")
	m = n.step(id, omar, `{"event":"action.closed","refs":["`+fmt.Sprint(action)+`"]}`, 200).decode(t)
	if m["actions"].([]any)[0].(map[string]any)["closed_at"] == nil {
		t.Errorf("actions: %v", m["actions"])
	}
	wantProblem(t, n.step(id, omar, `{"event":"action.closed","refs":["`+fmt.Sprint(action)+`"]}`, 0), 400, "invalid_field")
	stats := n.get("/v1/incidents/stats?environment=prod", vera).decode(t)
	if stats["opened"].(float64) != 1 || stats["exercises"].(float64) != 0 {
		t.Errorf("stats: %v", stats)
	}
	for _, metric := range stats["metrics"].([]any) {
		if v := metric.(map[string]any); v["n"].(float64) != 1 || v["formula"] == "" {
			t.Errorf("metric %v", v)
		}
	}
	m = n.step(id, omar, `{"event":"reopened","text":"It came back."}`, 200).decode(t)
	if m["state"] != "active" || m["report"].(map[string]any)["approved_by"] != nil {
		t.Errorf("reopened: %v", m)
	}
	var line map[string]any
	for _, l := range m["timeline"].([]any) {
		if l := l.(map[string]any); l["event"] == "owner.changed" {
			line = l
		}
	}
	if line["text"] != "My shift is over." || line["owner"] == owner {
		t.Errorf("line %v", line)
	}
	eventually(t, "the switch is in the timeline", func() bool {
		return strings.Contains(string(n.get(at, vera).body), `"switch.engaged"`)
	})
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	replays(t, dir)
}

func TestNoIncidentIsSaidToo(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	n := start(t, o.config(t.TempDir()))
	n.acme()
	page := n.get("/v1/incidents?environment=prod&from=2026-01-01T00:00:00Z", n.admin).decode(t)
	if !strings.HasPrefix(page["statement"].(string), "No incident was opened in prod from 2026-01-01T00:00:00Z") || page["total"].(float64) != 0 {
		t.Errorf("%v", page)
	}
	omar := o.signIn("omar", nil)
	for k := range 3 {
		n.report(omar, fmt.Sprintf(`"severity":%d,"title":"Odd %d","exercise":%t`, k+2, k, k == 2))
	}
	page = n.get("/v1/incidents?environment=prod&limit=1", n.admin).decode(t)
	if page["total"].(float64) != 3 || !strings.HasPrefix(page["statement"].(string), "3 incidents were") || page["next_cursor"] == nil {
		t.Errorf("%v", page)
	}
	next := n.incidents("&limit=1&cursor=" + page["next_cursor"].(string))
	if len(next) != 1 || next[0]["title"] != "Odd 1" {
		t.Errorf("the second page: %v", next)
	}
	if i := n.only("&severity=2&state=new"); i["title"] != "Odd 0" {
		t.Errorf("%v", i)
	}
	stats := n.get("/v1/incidents/stats?environment=prod", n.admin).decode(t)
	if stats["opened"].(float64) != 2 || stats["exercises"].(float64) != 1 || stats["unacknowledged"].(float64) != 2 {
		t.Errorf("%v", stats)
	}
	for _, bad := range []string{"&state=odd", "&severity=9", "&exercise=maybe", "&from=monday", "&colour=red"} {
		if e := n.get("/v1/incidents?environment=prod"+bad, n.admin); e.status != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, e.status)
		}
	}
	for _, bad := range []string{`"severity":9,"title":"x"`, `"severity":1,"title":"a\nb"`, `"severity":1,"title":"x","decisions":["dec_none"]`, `"severity":1,"title":"x","effective_at":"2099-01-01T00:00:00Z"`} {
		wantProblem(t, n.post("/v1/incidents", omar, `{"environment":"prod",`+bad+`}`), 400, "invalid_field")
	}
	wantProblem(t, n.post("/v1/incidents", n.admin, `{"environment":"prod","severity":1,"title":"x"}`), 403, "forbidden")
	wantProblem(t, n.post("/v1/incidents", o.signIn("vera", nil), `{"environment":"prod","severity":1,"title":"x"}`), 403, "forbidden")
}

// TestThoseWhoRespondAreTold: once of an incident, again when it is worse, and of the steps that change it; never of each signal.
func TestThoseWhoRespondAreTold(t *testing.T) {
	t.Parallel()
	o, p := newOffice(t), newPager(t)
	n := start(t, o.paged(t.TempDir(), p))
	n.acmeTells(t, "notify:\n  hook: {type: webhook, secret: HOOK, groups: [security], events: [incident_opened, incident_escalated, incident_changed]}\n")
	n.take(signals(1, 0, 300, nil))
	id := n.only("")["id"].(string)
	p.wants("incident_opened " + id)
	n.take(signals(2, 0, 2, func(s *canon.Signal) { s.Severity = gov.SeverityCritical }))
	p.wants("incident_opened "+id, "incident_escalated "+id)
	omar := o.signIn("omar", nil)
	n.step(id, omar, `{"event":"note","text":"A secret: hunter2."}`, 200)
	n.step(id, omar, `{"event":"ack"}`, 200)
	p.wants("incident_opened "+id, "incident_escalated "+id, "incident_changed "+id)
	p.mu.Lock()
	data, err := json.Marshal(p.got)
	p.mu.Unlock()
	if err != nil || strings.Contains(string(data), "hunter2") || !strings.Contains(string(data), "SEV1 in prod: triage: 41 calls were denied in 5 minutes.") ||
		!strings.Contains(string(data), "https://writ.example.com/console/incidents/"+id) {
		t.Errorf("told: %s, %v", data, err)
	}
	eventually(t, "the notices are in the timeline", func() bool {
		return strings.Count(string(n.get("/v1/incidents/"+id, n.admin).body), `"event":"alert.delivered"`) == 3
	})
}
