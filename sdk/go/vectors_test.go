package writ_test

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	writ "github.com/writ-dev/writ/sdk/go"
)

// The shapes of sdk/testdata, which its README.md explains.
type (
	answers struct {
		Call    writ.Call  `json:"call"`
		Vectors []scenario `json:"vectors"`
	}
	scenario struct {
		answer
		Name    string `json:"name"`
		Want    string `json:"want"`
		Repeat  bool   `json:"repeat"`
		Code    string `json:"code"`
		Path    string `json:"path"`
		Message string `json:"message"`
	}
	requests struct {
		Method        string `json:"method"`
		Path          string `json:"path"`
		CallIDPattern string `json:"call_id_pattern"`
		Vectors       []struct {
			Name      string         `json:"name"`
			Call      writ.Call      `json:"call"`
			Generated []string       `json:"generated"`
			Body      map[string]any `json:"body"`
		} `json:"vectors"`
	}
	results struct {
		Decision string     `json:"decision"`
		Path     string     `json:"path"`
		Runs     []run      `json:"runs"`
		Answers  []scenario `json:"answers"`
	}
	run struct {
		Name           string         `json:"name"`
		Returns        returns        `json:"returns"`
		Body           map[string]any `json:"body"`
		BodyErrorBytes int            `json:"body_error_bytes"`
	}
	returns struct {
		Value   any    `json:"value"`
		Error   string `json:"error"`
		ValueOf []any  `json:"value_of"`
		ErrorOf []any  `json:"error_of"`
	}
	retries struct {
		Tries           int64 `json:"tries"`
		TimeoutMS       int64 `json:"timeout_ms"`
		TryTimeoutMS    int64 `json:"try_timeout_ms"`
		WaitFirstMS     int64 `json:"wait_first_ms"`
		WaitMaxMS       int64 `json:"wait_max_ms"`
		RetryAfterMaxMS int64 `json:"retry_after_max_ms"`
		Vectors         []struct {
			Name   string   `json:"name"`
			Steps  []string `json:"steps"`
			Asked  int      `json:"asked"`
			Want   string   `json:"want"`
			WaitMS []int64  `json:"wait_ms"`
		} `json:"vectors"`
	}
)

// named gives one answer of answers.json.
func named(t *testing.T, name string) answer {
	t.Helper()
	for _, v := range load[answers](t, "answers.json").Vectors {
		if v.Name == name {
			return v.answer
		}
	}
	t.Fatalf("answers.json has no %q", name)
	return answer{}
}

// bubble runs a claim on a clock of its own, beside the others.
func bubble(t *testing.T, name string, claim func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, claim)
	})
}

// whatHappened puts the end of a call into the words of the vectors.
func whatHappened(ran bool, err error) string {
	var (
		denied      *writ.DeniedError
		approval    *writ.ApprovalRequiredError
		unavailable *writ.UnavailableError
		problem     *writ.ProblemError
	)
	switch {
	case ran && err == nil:
		return "run"
	case ran:
		return "run, and then " + err.Error()
	case errors.As(err, &denied):
		return "denied"
	case errors.As(err, &approval):
		return "approval_required"
	case errors.As(err, &unavailable):
		return "unavailable"
	case errors.Is(err, writ.ErrAlreadyExecuted):
		return "already_executed"
	case errors.As(err, &problem):
		return "problem"
	}
	return "something else"
}

// same checks the code, path and message that a vector wants.
func (s scenario) same(t *testing.T, err error) {
	t.Helper()
	var p *writ.ProblemError
	if s.Code != "" && (!errors.As(err, &p) || p.Code != s.Code || p.Path != s.Path || p.Status != s.Status) {
		t.Errorf("the problem is %#v, want %s at %q with status %d", p, s.Code, s.Path, s.Status)
	}
	if s.Message != "" && err.Error() != s.Message {
		t.Errorf("the message is %q, want %q", err, s.Message)
	}
}

func TestRequestsAreWhatTheServerReads(t *testing.T) {
	t.Parallel()
	vectors := load[requests](t, "requests.json")
	pattern := regexp.MustCompile(vectors.CallIDPattern)
	for _, v := range vectors.Vectors {
		bubble(t, v.Name, func(t *testing.T) {
			f := &fake{t: t, decide: always(named(t, "allow"))}
			if _, err := connect(t, f).Decide(t.Context(), v.Call); err != nil {
				t.Fatal(err)
			}
			decides, _ := f.asked()
			body := decides[0].body
			for _, name := range v.Generated {
				if text, _ := body[name].(string); !pattern.MatchString(text) {
					t.Errorf("%s is %v", name, body[name])
				}
				delete(body, name)
			}
			if diff := cmp.Diff(v.Body, body); diff != "" || decides[0].path != vectors.Path {
				t.Errorf("%s %s", decides[0].path, diff)
			}
		})
	}
}

func TestOnlyAWholeAllowRunsTheFunction(t *testing.T) {
	t.Parallel()
	vectors, triesWant := load[answers](t, "answers.json"), int(load[retries](t, "retries.json").Tries)
	for _, v := range vectors.Vectors {
		bubble(t, v.Name, func(t *testing.T) {
			f := &fake{t: t, decide: always(v.answer)}
			ran := false
			value, err := connect(t, f).Call(t.Context(), vectors.Call, func(context.Context) (any, error) { ran = true; return "done", nil })
			if got := whatHappened(ran, err); got != v.Want {
				t.Errorf("%s (%v), want %s", got, err, v.Want)
			}
			if ran != (v.Want == "run") || (value != nil) != ran {
				t.Errorf("ran %v, value %v", ran, value)
			}
			v.same(t, err)
			decides, reports := f.asked()
			if want := map[bool]int{true: triesWant, false: 1}[v.Repeat]; len(decides) != want {
				t.Errorf("asked %d times, want %d", len(decides), want)
			}
			if (len(reports) == 1) != ran {
				t.Errorf("%d reports", len(reports))
			}
		})
	}
}

func (r returns) give() (any, error) {
	value, text := r.Value, r.Error
	if r.ValueOf != nil {
		value = strings.Repeat(r.ValueOf[0].(string), int(r.ValueOf[1].(float64)))
	}
	if r.ErrorOf != nil {
		text = strings.Repeat(r.ErrorOf[0].(string), int(r.ErrorOf[1].(float64)))
	}
	if text != "" {
		return value, errors.New(text)
	}
	return value, nil
}

func TestWhatAFunctionReturnsIsReported(t *testing.T) {
	t.Parallel()
	vectors := load[results](t, "results.json")
	for _, v := range vectors.Runs {
		bubble(t, v.Name, func(t *testing.T) {
			f := &fake{t: t, decide: always(named(t, "allow"))}
			f.report = func(w http.ResponseWriter, _ int) {
				_, reports := f.asked()
				a := vectors.Answers[0].answer
				a.Body = strings.Replace(a.Body, "succeeded", reports[0].body["status"].(string), 1)
				a.write(w)
			}
			want, wantErr := v.Returns.give()
			value, err := connect(t, f).Call(t.Context(), writ.Call{Agent: "a", Tool: "s/t"}, func(context.Context) (any, error) {
				time.Sleep(1500 * time.Millisecond)
				return want, wantErr
			})
			if diff := cmp.Diff(want, value); diff != "" || (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
				t.Errorf("error %v, value %s", err, diff)
			}
			_, reports := f.asked()
			if len(reports) != 1 || reports[0].path != vectors.Path {
				t.Fatalf("reports: %v", reports)
			}
			body := reports[0].body
			if body["duration_ms"] != 1500.0 {
				t.Errorf("duration %v", body["duration_ms"])
			}
			delete(body, "duration_ms")
			if v.BodyErrorBytes > 0 {
				text, _ := body["error"].(string)
				if len(text) > v.BodyErrorBytes || len(text) < v.BodyErrorBytes-utf8.UTFMax || !strings.HasPrefix(wantErr.Error(), text) {
					t.Errorf("error of %d bytes", len(text))
				}
				delete(body, "error")
			}
			if diff := cmp.Diff(v.Body, body); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAReportIsDoneWhenTheAnswerSaysThatItIsRecorded(t *testing.T) {
	t.Parallel()
	vectors, triesWant := load[results](t, "results.json"), int(load[retries](t, "retries.json").Tries)
	for _, v := range vectors.Answers {
		bubble(t, v.Name, func(t *testing.T) {
			f := &fake{t: t, report: always(v.answer)}
			err := connect(t, f).Report(t.Context(), vectors.Decision, writ.Result{Status: writ.Succeeded})
			got := whatHappened(false, err)
			if err == nil {
				got = "recorded"
			}
			if got != v.Want {
				t.Errorf("%s (%v), want %s", got, err, v.Want)
			}
			v.same(t, err)
			_, reports := f.asked()
			if want := map[bool]int{true: triesWant, false: 1}[v.Repeat]; len(reports) != want {
				t.Errorf("reported %d times, want %d", len(reports), want)
			}
		})
	}
}

// step answers as retries.json says.
func step(t *testing.T, w http.ResponseWriter, release <-chan struct{}, word string) {
	problems := map[string]string{
		"403": "403 forbidden", "429": "429 with a problem", "500": "500 with a problem", "503": "503 with a problem",
		"already_executed": "409 already_executed", "allow": "allow", "garbled": "cut short",
	}
	if _, after, ok := strings.Cut(word, "503 after "); ok {
		a := named(t, problems["503"])
		a.RetryAfter = after
		if seconds, ok := strings.CutPrefix(after, "date "); ok {
			n, err := strconv.Atoi(seconds)
			if err != nil {
				t.Error(err)
			}
			a.RetryAfter = time.Now().Add(time.Duration(n) * time.Second).UTC().Format(http.TimeFormat)
		}
		a.write(w)
		return
	}
	switch word {
	case "silent":
		<-release
	case "hang_up":
		panic(http.ErrAbortHandler)
	case "half":
		a := named(t, "allow")
		w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
		a.Body = a.Body[:len(a.Body)/2]
		a.write(w)
		panic(http.ErrAbortHandler)
	default:
		named(t, problems[word]).write(w)
	}
}

func TestARequestIsRepeatedWithItsCallIDAndWithinBounds(t *testing.T) {
	t.Parallel()
	vectors := load[retries](t, "retries.json")
	for _, v := range vectors.Vectors {
		bubble(t, v.Name, func(t *testing.T) {
			release := make(chan struct{})
			f := &fake{t: t, decide: func(w http.ResponseWriter, n int) { step(t, w, release, v.Steps[min(n, len(v.Steps))-1]) }}
			client := connect(t, f)
			ran, began := false, time.Now()
			_, err := client.Call(t.Context(), writ.Call{Agent: "a", Tool: "s/t"}, func(context.Context) (any, error) { ran = true; return nil, nil })
			waited := time.Since(began).Milliseconds()
			close(release)
			if got := whatHappened(ran, err); got != v.Want {
				t.Errorf("%s (%v), want %s", got, err, v.Want)
			}
			if v.WaitMS != nil && (waited < v.WaitMS[0] || waited > v.WaitMS[1]) {
				t.Errorf("it took %d ms, want %v", waited, v.WaitMS)
			}
			decides, _ := f.asked()
			ids := map[any]bool{}
			for _, a := range decides {
				ids[a.body["call_id"]] = true
			}
			if len(decides) != v.Asked || len(ids) != 1 {
				t.Errorf("asked %d times with the call ids %v, want %d times", len(decides), ids, v.Asked)
			}
		})
	}
}

// The vectors have the numbers for clients in other languages; they are the ones of this client.
func TestTheNumbersOfTheVectorsAreOurs(t *testing.T) {
	t.Parallel()
	v := load[retries](t, "retries.json")
	got := []int64{
		writ.TriesDefault, writ.TimeoutDefault.Milliseconds(), writ.TryMax.Milliseconds(),
		writ.WaitFirst.Milliseconds(), writ.WaitMax.Milliseconds(), writ.RetryAfterMax.Milliseconds(),
	}
	if diff := cmp.Diff([]int64{v.Tries, v.TimeoutMS, v.TryTimeoutMS, v.WaitFirstMS, v.WaitMaxMS, v.RetryAfterMaxMS}, got); diff != "" {
		t.Error(diff)
	}
}
