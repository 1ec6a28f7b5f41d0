package writ

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	leaf    = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	allowed = `{"id":"dec_1","outcome":"allow","mode":"enforce","reasons":[{"code":"policy_permit","policy":"p","message":"ok"}],"policies":["p"],"receipt":{"ledger":"prod","index":3,"leaf_hash":"` + leaf + `"},"at":"2026-11-23T14:03:00.000000Z"}`
	saved   = `{"id":"res_1","decision":"dec_1","status":"succeeded","receipt":{"ledger":"prod","index":4,"leaf_hash":"` + leaf + `"}}`
)

// server is a strict fake: it answers decisions as told, takes results, and refuses everything else.
type server struct {
	decide  func(w http.ResponseWriter, n int, body map[string]any)
	report  func(w http.ResponseWriter, n int, body map[string]any)
	asked   atomic.Int64
	reports atomic.Int64
}

func answer(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, text)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"status":400,"code":"`+code+`","detail":"because","path":"/x"}`)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	if r.Header.Get("Authorization") != "Bearer key" || r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&body) != nil {
		refuse(w, http.StatusUnauthorized, "unauthenticated")
		return
	}
	switch r.URL.Path {
	case "/v1/decisions":
		s.decide(w, int(s.asked.Add(1)), body)
	case "/v1/decisions/dec_1/result":
		n := int(s.reports.Add(1))
		if s.report != nil {
			s.report(w, n, body)
			return
		}
		answer(w, saved)
	default:
		refuse(w, http.StatusNotFound, "not_found")
	}
}

// client gives a client of a fake. It never really sleeps.
func client(t *testing.T, s *server, options ...Option) *Client {
	t.Helper()
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	c, err := New(web.URL, "key", options...)
	if err != nil {
		t.Fatal(err)
	}
	c.sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return c
}

var call = Call{Agent: "bot", Tool: "s/t", Input: map[string]any{"a": 1}}

func TestOnlyAWholeAllowRunsTheFunction(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"deny":            strings.Replace(allowed, `"allow"`, `"deny"`, 1),
		"approval":        strings.Replace(allowed, `"allow"`, `"require_approval"`, 1),
		"unknown outcome": strings.Replace(allowed, `"allow"`, `"ALLOW"`, 1),
		"no outcome":      strings.Replace(allowed, `"outcome":"allow",`, ``, 1),
		"no receipt":      strings.Replace(allowed, `"receipt"`, `"ticket"`, 1),
		"short leaf":      strings.Replace(allowed, leaf, "00", 1),
		"another id":      strings.Replace(allowed, "dec_1", "res_1", 1),
		"no reasons":      strings.Replace(allowed, `"reasons"`, `"causes"`, 1),
		"cut":             allowed[:60],
		"empty":           "",
		"a list":          "[]",
		"text":            "allow",
		"more than one":   allowed + allowed,
	} {
		s := &server{decide: func(w http.ResponseWriter, _ int, _ map[string]any) { answer(w, text) }}
		ran := false
		value, err := client(t, s).Call(t.Context(), call, func(context.Context) (any, error) { ran = true; return 1, nil })
		if ran || err == nil || value != nil {
			t.Errorf("%s: ran %v, value %v, error %v", name, ran, value, err)
		}
		if s.reports.Load() != 0 {
			t.Errorf("%s: a result was reported", name)
		}
	}
}

func TestOtherWaysToAnswerDoNotRunItEither(t *testing.T) {
	t.Parallel()
	for name, decide := range map[string]func(http.ResponseWriter, int, map[string]any){
		"html": func(w http.ResponseWriter, _ int, _ map[string]any) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, allowed)
		},
		"redirect": func(w http.ResponseWriter, _ int, _ map[string]any) {
			w.Header().Set("Location", "/v1/decisions")
			w.WriteHeader(http.StatusTemporaryRedirect)
		},
		"500 with an allow": func(w http.ResponseWriter, _ int, _ map[string]any) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, allowed)
		},
		"201": func(w http.ResponseWriter, _ int, _ map[string]any) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, allowed)
		},
		"hang-up": func(w http.ResponseWriter, _ int, _ map[string]any) { panic(http.ErrAbortHandler) },
		"already executed": func(w http.ResponseWriter, _ int, _ map[string]any) {
			refuse(w, http.StatusConflict, "already_executed")
		},
		"too large": func(w http.ResponseWriter, _ int, _ map[string]any) {
			answer(w, `{"pad":"`+strings.Repeat("x", answerBytesMax)+`"}`)
		},
	} {
		s := &server{decide: decide}
		_, err := client(t, s).Call(t.Context(), call, func(context.Context) (any, error) {
			t.Errorf("%s: it ran", name)
			return nil, nil
		})
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestWhatIsAllowedRunsAndIsReported(t *testing.T) {
	t.Parallel()
	var reported map[string]any
	s := &server{
		decide: func(w http.ResponseWriter, _ int, _ map[string]any) { answer(w, allowed) },
		report: func(w http.ResponseWriter, _ int, body map[string]any) { reported = body; answer(w, saved) },
	}
	value, err := client(t, s).Call(t.Context(), call, func(context.Context) (any, error) { return "done", nil })
	if err != nil || value != "done" || reported["status"] != "succeeded" || reported["output"] != "done" {
		t.Errorf("value %v, error %v, reported %v", value, err, reported)
	}
	boom := errors.New("boom")
	value, err = client(t, s).Call(t.Context(), call, func(context.Context) (any, error) { return nil, boom })
	if !errors.Is(err, boom) || value != nil || reported["status"] != "failed" || reported["error"] != "boom" {
		t.Errorf("value %v, error %v, reported %v", value, err, reported)
	}
}

func TestRetriesKeepTheCallID(t *testing.T) {
	t.Parallel()
	ids := map[string]int{}
	s := &server{decide: func(w http.ResponseWriter, n int, body map[string]any) {
		ids[body["call_id"].(string)]++
		switch n {
		case 1:
			refuse(w, http.StatusServiceUnavailable, "ledger_unavailable")
		case 2:
			panic(http.ErrAbortHandler)
		case 3:
			refuse(w, http.StatusTooManyRequests, "overloaded")
		default:
			answer(w, allowed)
		}
	}}
	d, err := client(t, s).Decide(t.Context(), call)
	if err != nil || d.Outcome != Allow || len(ids) != 1 || s.asked.Load() != 4 {
		t.Errorf("decision %v, error %v, ids %v", d, err, ids)
	}
}

func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	s := &server{decide: func(w http.ResponseWriter, _ int, _ map[string]any) {
		refuse(w, http.StatusServiceUnavailable, "ledger_unavailable")
	}}
	_, err := client(t, s, WithTries(3)).Decide(t.Context(), call)
	var p *ProblemError
	if !errors.As(err, &p) || p.Status != http.StatusServiceUnavailable || s.asked.Load() != 3 {
		t.Errorf("error %v after %d tries", err, s.asked.Load())
	}
}

func TestRefusalsAreNotRepeated(t *testing.T) {
	t.Parallel()
	s := &server{decide: func(w http.ResponseWriter, _ int, _ map[string]any) {
		refuse(w, http.StatusForbidden, "agent_mismatch")
	}}
	_, err := client(t, s).Decide(t.Context(), call)
	var p *ProblemError
	if !errors.As(err, &p) || p.Code != "agent_mismatch" || p.Path != "/x" || s.asked.Load() != 1 {
		t.Errorf("error %v after %d tries", err, s.asked.Load())
	}
}

func TestAServerThatHangsIsNo(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := &server{decide: func(http.ResponseWriter, int, map[string]any) { <-release }}
	c := client(t, s, WithTimeout(30*time.Millisecond))
	_, err := c.Call(t.Context(), call, func(context.Context) (any, error) {
		t.Error("it ran")
		return nil, nil
	})
	close(release)
	var u *UnavailableError
	if !errors.As(err, &u) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestAReportThatFailsDoesNotHideTheValue(t *testing.T) {
	t.Parallel()
	s := &server{
		decide: func(w http.ResponseWriter, _ int, _ map[string]any) { answer(w, allowed) },
		report: func(w http.ResponseWriter, _ int, _ map[string]any) {
			refuse(w, http.StatusServiceUnavailable, "ledger_unavailable")
		},
	}
	value, err := client(t, s).Call(t.Context(), call, func(context.Context) (any, error) { return 7, nil })
	if value != 7 || err == nil || s.reports.Load() != TriesDefault {
		t.Errorf("value %v, error %v, %d reports", value, err, s.reports.Load())
	}
}

func TestAPanicIsReportedAndGoesOn(t *testing.T) {
	t.Parallel()
	var status any
	s := &server{
		decide: func(w http.ResponseWriter, _ int, _ map[string]any) { answer(w, allowed) },
		report: func(w http.ResponseWriter, _ int, body map[string]any) { status = body["status"]; answer(w, saved) },
	}
	defer func() {
		if recover() != "boom" || status != "failed" {
			t.Errorf("reported %v", status)
		}
	}()
	_, _ = client(t, s).Call(t.Context(), call, func(context.Context) (any, error) { panic("boom") })
}

func TestAResultIsReportedAfterTheContextEnded(t *testing.T) {
	t.Parallel()
	s := &server{decide: func(w http.ResponseWriter, _ int, _ map[string]any) { answer(w, allowed) }}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := client(t, s).Call(ctx, call, func(context.Context) (any, error) { cancel(); return nil, ctx.Err() })
	if !errors.Is(err, context.Canceled) || s.reports.Load() != 1 {
		t.Errorf("error %v, %d reports", err, s.reports.Load())
	}
}

func TestClientsNeedAServerAndAKey(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{"", "key"}, {"ftp://x", "key"}, {"http://x", ""}, {"x:y:z", "key"}} {
		if _, err := New(c[0], c[1]); err == nil {
			t.Errorf("New(%q, %q) works", c[0], c[1])
		}
	}
}
