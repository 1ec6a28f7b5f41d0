//go:build linux

// Package load drives an HTTP/1.1 server on the loopback interface with a fixed number of keep-alive connections and says how
// many requests it answered, how fast, and how many answers were not what was expected.
//
// It promises to cost little, so that on a small machine the server is what is measured: one thread, epoll, requests built
// beforehand and patched in place, one look at the clock for each answer. Every answer is checked for status 200 and for a
// text that a right answer holds. Nothing is unbounded: connections, size of requests and answers, time without progress.
//
// It is a closed loop: a connection sends its next request when the answer to the last one has come. So latencies are those
// of a server that is as busy as it can be with that many callers; they are not those of requests that arrive regardless.
// It does not speak TLS, chunked answers, pipelining or HTTP/2.
package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	connectionsMax   = 1024
	templatesMax     = 1024
	requestBytesMax  = 16 << 10
	responseBytesMax = 64 << 10
	stallMax         = 20 * time.Second       // no answer on any connection for so long: the server hangs
	pollMax          = 100 * time.Millisecond // how long one wait may take before the deadline is looked at again
	callsPerSession  = 20                     // how many calls of a connection share a session
	usersCount       = 1000                   // how many values UserMark takes
	usersStride      = 389                    // coprime to usersCount, so that all of them take turns; call 0 is of user 000
)

// Marks are replaced in every request by text of the same width: a number that no other request of the process has, the number
// of the connection's present session, and a number of three digits.
const (
	CallMark    = "#call###########"
	SessionMark = "#session########"
	UserMark    = "#u#"
)

// ErrAnswer is returned when a server's answer cannot be read: not HTTP/1.1, without Content-Length, or too long.
var ErrAnswer = errors.New("unreadable answer")

// Template is one request and what its answer must hold.
type Template struct {
	text                []byte
	want                []byte
	call, session, user int // offset of the mark in text, or -1
}

// NewTemplate builds a POST request of a JSON body. want is a text that occurs in the body of every right answer.
func NewTemplate(path string, header map[string]string, body []byte, want string) (Template, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n", path)
	for name, value := range header {
		fmt.Fprintf(&b, "%s: %s\r\n", name, value)
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(body))
	b.Write(body)
	if b.Len() > requestBytesMax {
		return Template{}, fmt.Errorf("request of %d bytes, at most %d", b.Len(), requestBytesMax)
	}
	text := b.Bytes()
	return Template{
		text: text, want: []byte(want),
		call:    bytes.Index(text, []byte(CallMark)),
		session: bytes.Index(text, []byte(SessionMark)),
		user:    bytes.Index(text, []byte(UserMark)),
	}, nil
}

// fill writes the request into buf, its marks replaced, and returns it.
func (t Template) fill(buf []byte, call, session uint64) []byte {
	buf = append(buf[:0], t.text...)
	if t.call >= 0 {
		putHex(buf[t.call:t.call+len(CallMark)], call)
	}
	if t.session >= 0 {
		putHex(buf[t.session:t.session+len(SessionMark)], session)
	}
	if t.user >= 0 {
		putDecimal(buf[t.user:t.user+len(UserMark)], call%usersCount*usersStride%usersCount)
	}
	return buf
}

func putHex(dst []byte, v uint64) {
	const digits = "0123456789abcdef"
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = digits[v&15]
		v >>= 4
	}
}

func putDecimal(dst []byte, v uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
}

// Config says what to send, where, and for how long.
type Config struct {
	Address     string     // an address of the loopback interface, host:port
	Templates   []Template // sent in turn
	Connections int
	Duration    time.Duration
	Requests    int64  // stop after so many, when that is sooner; 0: no such bound
	First       uint64 // the first call number; numbers rise by one with each request
	Now         func() time.Time
}

// Result is what was seen.
type Result struct {
	Requests int64         // answers within Elapsed
	Sent     int64         // requests sent; more than Requests by what was under way at the end
	NotOK    int64         // answers with another status than 200
	Wrong    int64         // answers with status 200 that do not hold what they must
	Sample   string        // the first answer that was not right, shortened
	Elapsed  time.Duration // from the first request to the deadline, or to the last answer when that is sooner
	Latency  Histogram     // of all answers
}

// PerSecond is the throughput.
func (r Result) PerSecond() float64 { return float64(r.Requests) / r.Elapsed.Seconds() }

// Run sends requests until the time is over and waits for the answers that are still under way. An error means that the
// measurement is void: a connection broke, an answer could not be read, the server hung.
func Run(ctx context.Context, c Config) (Result, error) {
	switch {
	case c.Connections < 1 || c.Connections > connectionsMax:
		return Result{}, fmt.Errorf("%d connections, from 1 to %d", c.Connections, connectionsMax)
	case len(c.Templates) == 0 || len(c.Templates) > templatesMax:
		return Result{}, fmt.Errorf("%d templates, from 1 to %d", len(c.Templates), templatesMax)
	case c.Duration <= 0:
		return Result{}, errors.New("duration must be positive")
	}
	l, err := open(c)
	if err != nil {
		return Result{}, err
	}
	defer l.close()
	if err := l.run(ctx); err != nil {
		return Result{}, fmt.Errorf("load %s: %w", c.Address, err)
	}
	return l.result, nil
}

// Exchange sends one request over a connection of its own and returns the status and the body of the answer.
func Exchange(ctx context.Context, address string, t Template, call uint64, now func() time.Time) (status int, body []byte, err error) {
	l, err := open(Config{Address: address, Templates: []Template{t}, Connections: 1, Duration: stallMax, Requests: 1, First: call, Now: now})
	if err != nil {
		return 0, nil, err
	}
	defer l.close()
	if err := l.run(ctx); err != nil {
		return 0, nil, fmt.Errorf("exchange with %s: %w", address, err)
	}
	a, ok, err := parse(l.conns[0].last)
	if err != nil || !ok {
		return 0, nil, fmt.Errorf("exchange with %s: %w", address, ErrAnswer)
	}
	return a.status, bytes.Clone(l.conns[0].last[a.body:a.end]), nil
}
