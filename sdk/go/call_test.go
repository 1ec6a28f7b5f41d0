package writ_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	writ "github.com/writ-dev/writ/sdk/go"
)

func support() writ.Call {
	return writ.Call{Agent: "support-bot", Tool: "zendesk/read_ticket", Input: map[string]any{"ticket": "T-1042"}}
}

// saved answers a report, whatever its status is.
func saved(t *testing.T) func(http.ResponseWriter, int) {
	a := load[results](t, "results.json").Answers[1].answer // without the field status
	return always(a)
}

func TestAPanicIsReportedAndGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, decide: always(named(t, "allow"))}
		f.report = saved(t)
		client := connect(t, f)
		defer func() {
			_, reports := f.asked()
			if p := recover(); p != "boom" || len(reports) != 1 || reports[0].body["status"] != "failed" {
				t.Errorf("panic %v, reports %v", p, reports)
			}
		}()
		_, err := client.Call(t.Context(), support(), func(context.Context) (any, error) { panic("boom") })
		t.Errorf("it returned: %v", err)
	})
}

func TestAGoroutineThatExitsIsReportedAsFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, decide: always(named(t, "allow"))}
		f.report = saved(t)
		client := connect(t, f)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, err := client.Call(t.Context(), support(), func(context.Context) (any, error) { runtime.Goexit(); return nil, nil })
			t.Errorf("it returned: %v", err)
		}()
		<-done
		if _, reports := f.asked(); len(reports) != 1 || reports[0].body["status"] != "failed" {
			t.Errorf("reports %v", reports)
		}
	})
}

func TestAResultIsReportedAfterTheContextEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, decide: always(named(t, "allow"))}
		f.report = saved(t)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := connect(t, f).Call(ctx, support(), func(ctx context.Context) (any, error) { cancel(); return nil, ctx.Err() })
		_, reports := f.asked()
		var failed *writ.ReportError
		if !errors.Is(err, context.Canceled) || errors.As(err, &failed) || len(reports) != 1 || reports[0].body["status"] != "failed" {
			t.Errorf("error %v, reports %v", err, reports)
		}
	})
}

func TestTheReportAfterTheContextEndedIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := &fake{t: t, decide: always(named(t, "allow")), report: func(http.ResponseWriter, int) { <-release }}
		client := connect(t, f)
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		value, err := client.Call(ctx, support(), func(context.Context) (any, error) { cancel(); return 7, nil })
		close(release)
		var failed *writ.ReportError
		if value != 7 || !errors.As(err, &failed) || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 10*time.Second {
			t.Errorf("value %v, error %v after %v", value, err, time.Since(began))
		}
	})
}

func TestNothingRunsWhenTheContextEndedWithTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		// The answer is read, and only then is the context at its end.
		ending := &lateCancel{cancel: cancel}
		client, err := writ.New("http://writ.test", key, writ.WithTransport(ending))
		if err != nil {
			t.Fatal(err)
		}
		ending.text = named(t, "allow").Body
		_, err = client.Call(ctx, support(), func(context.Context) (any, error) { t.Error("it ran"); return nil, nil })
		if !errors.Is(err, context.Canceled) || ending.trips != 1 {
			t.Errorf("error %v after %d requests", err, ending.trips)
		}
	})
}

// lateCancel is a transport whose answer ends the context when it is closed.
type lateCancel struct {
	io.Reader
	cancel context.CancelFunc
	text   string
	trips  int
}

func (l *lateCancel) RoundTrip(*http.Request) (*http.Response, error) {
	l.trips++
	l.Reader = strings.NewReader(l.text)
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: l}, nil
}

func (l *lateCancel) Close() error { l.cancel(); return nil }

func TestAReportThatFailsHidesNeitherValueNorError(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, want := range map[string]error{"it succeeded": nil, "it failed": boom} {
		bubble(t, name, func(t *testing.T) {
			f := &fake{t: t, decide: always(named(t, "allow")), report: always(named(t, "503 with a problem"))}
			value, err := connect(t, f).Call(t.Context(), support(), func(context.Context) (any, error) { return 7, want })
			var failed *writ.ReportError
			if value != 7 || !errors.As(err, &failed) || errors.Is(err, boom) != (want != nil) {
				t.Fatalf("value %v, error %v", value, err)
			}
			status := map[bool]writ.Status{true: writ.Succeeded, false: writ.Failed}[want == nil]
			if failed.DecisionID != load[results](t, "results.json").Decision || failed.Result.Status != status || failed.Result.Output != 7 {
				t.Errorf("the report %+v cannot be sent again", failed)
			}
			if _, reports := f.asked(); len(reports) != writ.TriesDefault {
				t.Errorf("reported %d times", len(reports))
			}
		})
	}
}

type panicky struct{}

func (panicky) MarshalJSON() ([]byte, error) { panic("no") }

func TestAnOutputThatCannotBeSentDoesNotLoseTheResult(t *testing.T) {
	t.Parallel()
	for name, output := range map[string]any{"a channel": make(chan int), "not a number": math.NaN(), "a panic": panicky{}} {
		bubble(t, name, func(t *testing.T) {
			f := &fake{t: t, decide: always(named(t, "allow"))}
			_, err := connect(t, f).Call(t.Context(), support(), func(context.Context) (any, error) { return output, nil })
			_, reports := f.asked()
			if err != nil || len(reports) != 1 {
				t.Fatalf("error %v, reports %v", err, reports)
			}
			if diff := cmp.Diff(map[string]any{"omitted": "not_json"}, reports[0].body["output"]); diff != "" || reports[0].body["status"] != "succeeded" {
				t.Errorf("%v %s", reports[0].body, diff)
			}
		})
	}
}

func TestAnOutputThatTheServerRefusesIsLeftOut(t *testing.T) {
	t.Parallel()
	refused := answer{Status: 400, ContentType: "application/problem+json", Body: `{"code":"invalid_field","path":"/output/a/a","detail":"nested deeper than 32 levels"}`}
	for name, first := range map[string]answer{"by its path": refused, "by its size": named(t, "413 body_too_large")} {
		bubble(t, name, func(t *testing.T) {
			f := &fake{t: t, decide: always(named(t, "allow"))}
			f.report = func(w http.ResponseWriter, n int) {
				if n == 1 {
					first.write(w)
					return
				}
				saved(t)(w, n)
			}
			_, err := connect(t, f).Call(t.Context(), support(), func(context.Context) (any, error) { return "deep", nil })
			_, reports := f.asked()
			if err != nil || len(reports) != 2 {
				t.Fatalf("error %v, reports %v", err, reports)
			}
			if diff := cmp.Diff(map[string]any{"omitted": "refused"}, reports[1].body["output"]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheDecisionOfOneCallDoesNotRunAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, decide: always(named(t, "allow"))}
		client := connect(t, f)
		one, two := support(), support()
		one.CallID, two.CallID = "call-1", "call-2"
		for range 2 { // asking again about the same call is fine
			if _, err := client.Decide(t.Context(), one); err != nil {
				t.Fatal(err)
			}
		}
		var none *writ.UnavailableError
		_, err := client.Call(t.Context(), two, func(context.Context) (any, error) { t.Error("it ran"); return nil, nil })
		if !errors.As(err, &none) {
			t.Errorf("error %v", err)
		}
	})
}

func TestTheMemoryOfDecisionsIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var id atomic.Int64
		text := named(t, "allow")
		f := &fake{t: t, decide: func(w http.ResponseWriter, _ int) {
			a := text
			a.Body = strings.Replace(a.Body, "dec_", fmt.Sprintf("dec_%d", id.Load()), 1)
			a.write(w)
		}}
		client := connect(t, f)
		for range writ.AnswersMax + 1 {
			id.Add(1)
			if _, err := client.Decide(t.Context(), support()); err != nil {
				t.Fatal(err)
			}
		}
		id.Store(2)
		if _, err := client.Decide(t.Context(), support()); err == nil {
			t.Error("a decision within the memory is taken for another call")
		}
		id.Store(1)
		if _, err := client.Decide(t.Context(), support()); err != nil {
			t.Errorf("the oldest decision is still remembered: %v", err)
		}
	})
}

func TestTheCallersDeadlineAndCancelAreKept(t *testing.T) {
	t.Parallel()
	bubble(t, "deadline", func(t *testing.T) {
		release := make(chan struct{})
		f := &fake{t: t, decide: func(http.ResponseWriter, int) { <-release }}
		client := connect(t, f)
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := client.Decide(ctx, support())
		close(release)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 700*time.Millisecond {
			t.Errorf("error %v after %v", err, time.Since(began))
		}
	})
	bubble(t, "cancelled while it waits to ask again", func(t *testing.T) {
		busy := named(t, "503 with a problem")
		busy.RetryAfter = "5"
		f := &fake{t: t, decide: always(busy)}
		client := connect(t, f)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		_, err := client.Decide(ctx, support())
		decides, _ := f.asked()
		var p *writ.ProblemError
		if !errors.As(err, &p) || time.Since(began) != time.Second || len(decides) != 1 {
			t.Errorf("error %v after %v and %d tries", err, time.Since(began), len(decides))
		}
	})
	bubble(t, "options", func(t *testing.T) {
		f := &fake{t: t, decide: always(named(t, "503 with a problem"))}
		client := connect(t, f, writ.WithTries(2), writ.WithTimeout(time.Minute))
		_, err := client.Decide(t.Context(), support())
		if decides, _ := f.asked(); err == nil || len(decides) != 2 {
			t.Errorf("error %v after %d tries", err, len(decides))
		}
	})
}

// The waits are drawn from the whole of a doubling span, so that clients refused together come back apart.
func TestWaitsAreJitteredAndDouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var last time.Time
		var waits [writ.TriesDefault][]time.Duration
		f := &fake{t: t}
		busy := named(t, "503 with a problem")
		f.decide = func(w http.ResponseWriter, n int) {
			try := (n - 1) % writ.TriesDefault
			waits[try] = append(waits[try], time.Since(last))
			last = time.Now()
			busy.write(w)
		}
		client := connect(t, f)
		for range 200 {
			if _, err := client.Decide(t.Context(), support()); err == nil {
				t.Fatal("it was answered")
			}
		}
		for try, bound := 1, writ.WaitFirst; try < writ.TriesDefault; try, bound = try+1, 2*bound {
			if low, high := slices.Min(waits[try]), slices.Max(waits[try]); low > bound/4 || high < bound*3/4 || high > bound {
				t.Errorf("before try %d it waited %v to %v, want 0 to %v", try+1, low, high, bound)
			}
		}
	})
}

func TestWhatIsNotARequestIsNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, decide: always(named(t, "allow"))}
		client := connect(t, f)
		for name, input := range map[string]map[string]any{"not JSON": {"x": math.Inf(1)}, "too large": {"x": strings.Repeat("x", 1<<20)}} {
			call := support()
			call.Input = input
			var p *writ.ProblemError
			_, err := client.Call(t.Context(), call, func(context.Context) (any, error) { t.Errorf("%s: it ran", name); return nil, nil })
			if !errors.As(err, &p) {
				t.Errorf("%s: error %v", name, err)
			}
		}
		for _, id := range []string{"", "..", "dec_1/../../x", "res_1"} {
			if err := client.Report(t.Context(), id, writ.Result{Status: writ.Succeeded}); err == nil {
				t.Errorf("the id %q is taken", id)
			}
		}
		if decides, reports := f.asked(); len(decides)+len(reports) != 0 {
			t.Errorf("sent %v, %v", decides, reports)
		}
	})
}

func TestCostsAreSentAsTheServerReadsThem(t *testing.T) {
	t.Parallel()
	for cost, want := range map[writ.USD]string{1: "1", 0.1: "0.1", 0.0000004: "0", 0.1234567: "0.123457", 12.5: "12.5", 100: "100", 1e6: "1000000"} {
		if got, err := cost.MarshalJSON(); err != nil || string(got) != want {
			t.Errorf("%v is %s (%v), want %s", float64(cost), got, err, want)
		}
	}
	for _, cost := range []float64{-1, math.NaN(), math.Inf(1), 1e7} {
		if got, err := writ.USD(cost).MarshalJSON(); err == nil {
			t.Errorf("%v is %s", cost, got)
		}
	}
}

func TestClientsNeedAServerAndAKey(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"", key}, {"ftp://x", key}, {"http://", key}, {"x:y:z", key}, {"http://user@x", key}, {"http://x?a=b", key}, {"http://x#a", key},
		{"http://x", ""}, {"http://x", key + "\n"}, {"http://x", "a b"}, {"http://x", "é"},
	} {
		_, err := writ.New(c[0], c[1])
		if err == nil {
			t.Errorf("New(%q, %q) works", c[0], c[1])
		} else if strings.Contains(err.Error(), key) {
			t.Errorf("New(%q, …) gives the key away: %v", c[0], err)
		}
	}
}

func TestTheEnvironmentNamesServerAndKey(t *testing.T) {
	f := &fake{t: t, decide: always(named(t, "allow"))}
	server := httptest.NewServer(http.StripPrefix("/under/a/path", f))
	defer server.Close()
	for _, c := range []struct {
		url, key string
		works    bool
	}{{server.URL + "/under/a/path/", key, true}, {server.URL, "", false}, {"", key, false}} {
		t.Setenv(writ.EnvURL, c.url)
		t.Setenv(writ.EnvAPIKey, c.key)
		client, err := writ.FromEnv()
		if (err == nil) != c.works {
			t.Errorf("%q: %v", c.url, err)
			continue
		}
		if c.works {
			_, err = client.Decide(t.Context(), support())
			client.Close()
		}
		if c.works && err != nil {
			t.Error(err)
		}
	}
}

// Over the real transport: a redirect is not followed, so the key goes nowhere else.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer thief.Close()
	f := &fake{t: t, decide: always(answer{Status: 307, Location: thief.URL + "/v1/decisions"})}
	server := httptest.NewServer(f)
	defer server.Close()
	client, err := writ.New(server.URL, key)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var none *writ.UnavailableError
	if _, err := client.Decide(t.Context(), support()); !errors.As(err, &none) || elsewhere.Load() != 0 {
		t.Errorf("error %v, %d requests elsewhere", err, elsewhere.Load())
	}
}

func TestAnUnknownCertificateIsNo(t *testing.T) {
	t.Parallel()
	f := &fake{t: t, decide: always(named(t, "allow"))}
	server := httptest.NewUnstartedServer(f)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of the handshake
	server.StartTLS()
	defer server.Close()
	client, err := writ.New(server.URL, key, writ.WithTries(1))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var none *writ.UnavailableError
	_, err = client.Decide(t.Context(), support())
	if !errors.As(err, &none) || strings.Contains(err.Error(), "/v1/decisions") {
		t.Errorf("error %v", err)
	}
	if decides, _ := f.asked(); len(decides) != 0 {
		t.Error("the key was sent")
	}
}

// Every goroutine gets its own decision, reports to that one, and the connections are kept.
func TestManyCallsAtOnceOverFewConnections(t *testing.T) {
	t.Parallel()
	const goroutines, calls = 32, 20
	var conns atomic.Int64
	server := httptest.NewUnstartedServer(echo(t))
	server.Config.ConnState = countNew(&conns)
	server.Start()
	defer server.Close()
	client, err := writ.New(server.URL, key)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var ran atomic.Int64
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for range calls {
				value, err := client.Call(t.Context(), support(), func(context.Context) (any, error) { return ran.Add(1), nil })
				if err != nil || value == nil {
					t.Errorf("value %v, error %v", value, err)
				}
			}
		})
	}
	group.Wait()
	if ran.Load() != goroutines*calls || conns.Load() > 2*goroutines {
		t.Errorf("%d calls over %d connections", ran.Load(), conns.Load())
	}
}
