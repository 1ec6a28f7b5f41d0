//go:build linux

package load

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func template(t *testing.T, body, want string) Template {
	t.Helper()
	made, err := NewTemplate("/v1/decisions", map[string]string{"Authorization": "Bearer x"}, []byte(body), want)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// serve starts a server and returns its address.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestEveryRequestIsCountedOnceAndHasItsOwnNumber(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{}
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		seen[string(body)]++
		_, _ = io.WriteString(w, `{"outcome":"allow"}`)
	})
	result, err := Run(t.Context(), Config{
		Address: address, Templates: []Template{template(t, CallMark, "allow")},
		Connections: 7, Duration: time.Minute, Requests: 1000, First: 1 << 40, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.Requests != 1000 || result.Sent != 1000 || result.Latency.Count() != 1000 || len(seen) != 1000 {
		t.Errorf("requests %d, sent %d, latencies %d, distinct bodies %d; want 1000 of each",
			result.Requests, result.Sent, result.Latency.Count(), len(seen))
	}
	if result.NotOK != 0 || result.Wrong != 0 {
		t.Errorf("not ok %d, wrong %d; want none", result.NotOK, result.Wrong)
	}
	if seen["0000010000000000"] != 1 {
		t.Error("the first call number was not sent as 16 hexadecimal digits")
	}
}

func TestWrongAnswersAndOtherStatusesAreCountedApart(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch body, _ := io.ReadAll(r.Body); string(body) {
		case "refuse":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "wrong":
			_, _ = io.WriteString(w, "deny")
		default:
			_, _ = io.WriteString(w, "allow")
		}
	})
	result, err := Run(t.Context(), Config{
		Address: address, Connections: 3, Duration: time.Minute, Requests: 30, Now: time.Now,
		Templates: []Template{template(t, "refuse", "allow"), template(t, "wrong", "allow"), template(t, "right", "allow")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.NotOK != 10 || result.Wrong != 10 || result.Requests != 30 {
		t.Errorf("not ok %d, wrong %d, requests %d; want 10, 10, 30", result.NotOK, result.Wrong, result.Requests)
	}
}

func TestARunEndsWithItsTime(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "allow") })
	result, err := Run(t.Context(), Config{
		Address: address, Templates: []Template{template(t, CallMark, "allow")},
		Connections: 2, Duration: 50 * time.Millisecond, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.Elapsed != 50*time.Millisecond || result.Requests == 0 || result.Sent-result.Requests > 2 {
		t.Errorf("elapsed %s, requests %d, sent %d", result.Elapsed, result.Requests, result.Sent)
	}
}

func TestAServerThatCannotBeMeasuredIsAnError(t *testing.T) {
	t.Parallel()
	cases := map[string]http.HandlerFunc{
		"chunked": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "a")
			_ = http.NewResponseController(w).Flush()
		},
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, responseBytesMax+1))
		},
		"closes": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, handler := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Run(t.Context(), Config{
				Address: serve(t, handler), Templates: []Template{template(t, "x", "a")},
				Connections: 1, Duration: time.Minute, Requests: 1, Now: time.Now,
			})
			if err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestOnlyTheLoopbackInterfaceIsLoaded(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"192.0.2.1:80", "example.org:80", "0.0.0.0:80", "[::1]:80"} {
		_, err := Run(t.Context(), Config{
			Address: address, Templates: []Template{template(t, "x", "a")}, Connections: 1, Duration: time.Second, Now: time.Now,
		})
		if err == nil {
			t.Errorf("%s: no error", address)
		}
	}
}

func TestACancelledRunStops(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel and never answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Run(ctx, Config{
		Address: listener.Addr().String(), Templates: []Template{template(t, "x", "a")},
		Connections: 1, Duration: time.Minute, Now: time.Now,
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestExchangeReturnsTheWholeAnswer(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, r.Header.Get("Authorization")+" "+string(body))
	})
	status, body, err := Exchange(t.Context(), address, template(t, "call "+CallMark, ""), 255, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if want := "Bearer x call 00000000000000ff"; status != http.StatusConflict || string(body) != want {
		t.Errorf("got %d %q, want 409 %q", status, body, want)
	}
}

func TestAnAnswerIsReadWhereverItIsCut(t *testing.T) {
	t.Parallel()
	const whole = "HTTP/1.1 200 OK\r\nDate: x\r\ncontent-LENGTH: 5\r\nX: y\r\n\r\nhello"
	for cut := range len(whole) {
		if _, ok, err := parse([]byte(whole[:cut])); ok || err != nil {
			t.Errorf("cut at %d: ok %v, err %v; want neither", cut, ok, err)
		}
	}
	a, ok, err := parse([]byte(whole))
	if err != nil || !ok || a.status != 200 || whole[a.body:a.end] != "hello" {
		t.Errorf("got %+v %v %v", a, ok, err)
	}
}

func FuzzParseNeverLeavesItsBuffer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"))
	f.Add([]byte("HTTP/1.1 \r\n\r\n"))
	f.Fuzz(func(t *testing.T, buf []byte) {
		a, ok, _ := parse(buf)
		if ok && (a.body > a.end || a.end > len(buf)) {
			t.Errorf("%+v in %d bytes", a, len(buf))
		}
	})
}

func TestQuantilesAreWithinABucketOfTheExactOnes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	var h Histogram
	for range 20_000 {
		d := time.Duration(random.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		h.Add(d)
	}
	slices.SortFunc(all, cmp.Compare[time.Duration])
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := all[min(int(q*float64(len(all))), len(all)-1)]
		got := h.Quantile(q)
		if got < exact || float64(got) > float64(exact)*(1+1.0/64)+1 {
			t.Errorf("quantile %v: got %s, exactly %s", q, got, exact)
		}
	}
}
