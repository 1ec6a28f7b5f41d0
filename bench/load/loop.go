//go:build linux

package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
	"unsafe"
)

// connection is one keep-alive connection. It has at most one request under way.
type connection struct {
	number uint64 // from 0
	fd     int
	in     []byte // what has been read of the answer
	out    []byte // the request, patched in place
	last   []byte // the answer that was read last
	want   []byte
	sent   time.Time
	calls  uint64 // how many it has sent
	busy   bool
}

// loop is a run under way.
type loop struct {
	Config
	epoll    int
	conns    []*connection
	next     uint64
	busy     int // connections with a request under way
	deadline time.Time
	result   Result
}

// open connects; nothing has been sent yet.
func open(c Config) (*loop, error) {
	addr, err := netip.ParseAddrPort(c.Address)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	if !addr.Addr().Is4() || !addr.Addr().IsLoopback() {
		return nil, fmt.Errorf("address %s is not of the IPv4 loopback interface", c.Address)
	}
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	l := &loop{Config: c, epoll: epoll, next: c.First}
	for range c.Connections {
		conn, err := l.connect(addr)
		if err != nil {
			l.close()
			return nil, fmt.Errorf("connect to %s: %w", c.Address, err)
		}
		l.conns = append(l.conns, conn)
	}
	return l, nil
}

func (l *loop) connect(addr netip.AddrPort) (*connection, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(len(l.conns))}
	err = errors.Join(
		syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
		syscall.SetNonblock(fd, true),
		syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, fd, &event),
	)
	if err != nil {
		return nil, errors.Join(err, syscall.Close(fd))
	}
	return &connection{number: uint64(len(l.conns)), fd: fd, in: make([]byte, 0, responseBytesMax), out: make([]byte, 0, requestBytesMax)}, nil
}

func (l *loop) close() {
	for _, c := range l.conns {
		_ = syscall.Close(c.fd) // everything has been read
	}
	_ = syscall.Close(l.epoll)
}

// run sends the first request of each connection and then goes round until all answers are there.
func (l *loop) run(ctx context.Context) error {
	start := l.Now()
	l.deadline = start.Add(l.Duration)
	for _, c := range l.conns {
		if err := l.send(c, start); err != nil {
			return err
		}
	}
	events := make([]syscall.EpollEvent, len(l.conns))
	progress := start
	for l.busy > 0 {
		n, err := wait(l.epoll, events)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("epoll: %w", err)
		}
		if n <= 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if l.Now().Sub(progress) > stallMax {
				return fmt.Errorf("no answer for %s with %d requests under way", stallMax, l.busy)
			}
			continue
		}
		for _, event := range events[:n] {
			if progress, err = l.receive(l.conns[event.Fd]); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if l.result.Elapsed = l.Duration; progress.Before(l.deadline) {
		l.result.Elapsed = progress.Sub(start)
	}
	return nil
}

// send writes the connection's next request, unless the time or the number of requests is used up.
func (l *loop) send(c *connection, now time.Time) error {
	if !now.Before(l.deadline) || (l.Requests > 0 && l.result.Sent >= l.Requests) {
		return nil
	}
	t := &l.Templates[l.next%uint64(len(l.Templates))]
	// Connections never share a session; nor do runs, when their First are far apart.
	session := l.First + c.calls/callsPerSession*uint64(len(l.conns)) + c.number
	c.out, c.want = t.fill(c.out, l.next, session), t.want
	n, err := syscall.Write(c.fd, c.out)
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if n != len(c.out) {
		return fmt.Errorf("send: the server does not read (%d of %d bytes)", n, len(c.out))
	}
	c.sent, c.busy = now, true
	c.calls++
	l.next++
	l.busy++
	l.result.Sent++
	return nil
}

// receive reads what is there; when that completes an answer, it is counted and the next request sent.
func (l *loop) receive(c *connection) (now time.Time, err error) {
	n, err := syscall.Read(c.fd, c.in[len(c.in):cap(c.in)])
	now = l.Now()
	switch {
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR):
		return now, nil
	case err != nil:
		return now, fmt.Errorf("receive: %w", err)
	case n == 0:
		return now, errors.New("receive: the server closed a connection")
	case !c.busy:
		return now, errors.New("receive: an answer that nobody asked for")
	}
	c.in = c.in[:len(c.in)+n]
	a, ok, err := parse(c.in)
	if err != nil || !ok {
		return now, err
	}
	if a.end != len(c.in) {
		return now, errors.New("receive: more than one answer")
	}
	l.count(c, a, now)
	c.last, c.in, c.busy = c.in, c.in[:0], false
	l.busy--
	return now, l.send(c, now)
}

func (l *loop) count(c *connection, a answer, now time.Time) {
	r := &l.result
	if !now.After(l.deadline) {
		r.Requests++
	}
	r.Latency.Add(now.Sub(c.sent))
	right := false
	if a.status != 200 {
		r.NotOK++
	} else if right = bytes.Contains(c.in[a.body:a.end], c.want); !right {
		r.Wrong++
	}
	if !right && r.Sample == "" {
		r.Sample = fmt.Sprintf("%d %.300s", a.status, c.in[a.body:a.end])
	}
}

// wait is epoll_wait without telling Go's scheduler, which would hand the thread's processor to another thread at each wait and
// take it back: with a slow server that doubles the generator's cost. The price is that a collection of garbage may have to
// wait as long as this does, at most pollMax.
func wait(epoll int, events []syscall.EpollEvent) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(epoll),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(pollMax.Milliseconds()), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
