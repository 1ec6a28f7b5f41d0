//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

const (
	diskSize     = "size=64m"
	ballastBytes = 24 << 20 // more than the log grows to before it is started anew
	fileBytesMax = 12 << 20
	fillMax      = 20_000 // decisions until nothing more can be written
	refusals     = 200    // seen while it is so
	askedAfter   = 100
	noRoom       = "the ledger's disk is full or fails" // what the agent is told meanwhile
)

// shortage is a place that has no room after some decisions, and the way to give it room.
type shortage struct {
	place
	begin func(s *server)
	end   func(s *server)
}

// smallDisk is a file system of its own, with a file that can go.
func smallDisk(t *testing.T) shortage {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, diskSize); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	return shortage{
		place: place{data: filepath.Join(dir, "data")},
		begin: func(*server) {
			if err := os.WriteFile(ballast, make([]byte, ballastBytes), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		end: func(*server) {
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// smallFiles is a server whose files may not grow, which needs no rights.
func smallFiles(t *testing.T) shortage {
	t.Helper()
	return shortage{
		place: place{data: t.TempDir()},
		begin: func(s *server) { s.limitFiles(fileBytesMax) },
		end:   func(s *server) { s.limitFiles(unlimited) },
	}
}

const unlimited = ^uint64(0)

// limitFiles changes the size that the running server's files may have (RLIMIT_FSIZE, the soft limit).
func (s *server) limitFiles(bytes uint64) {
	s.t.Helper()
	limit := syscall.Rlimit{Cur: bytes, Max: unlimited}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(s.cmd.Process.Pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	if errno != 0 {
		s.t.Fatalf("limit the server's files: %v", errno)
	}
}

func TestADiskThatIsFullAllowsNothing(t *testing.T) {
	for name, short := range map[string]func(*testing.T) shortage{"small disk": smallDisk, "small files": smallFiles} {
		t.Run(name, func(t *testing.T) { allowsNothingWhile(t, short(t)) })
	}
}

func allowsNothingWhile(t *testing.T, short shortage) {
	s, a := newServer(t, short.place), &answers{}
	short.begin(s)
	for range refusals {
		s.saysNoRoom(*s.untilProblem(a))
	}
	answered := len(a.all)
	a.kept(t, s.place, 0) // what was decided meanwhile, where a place was found for it, is recorded

	short.end(s)
	for range askedAfter {
		a.add(s.mustDecide(a.next.Add(1)))
	}
	a.kept(t, s.place, 0)
	a.shown(s, askedAfter)
	s.sound()
	t.Logf("no room after %d decisions; %d refused", answered, refusals)
}

// saysNoRoom fails the test unless a problem says what is wrong.
func (s *server) saysNoRoom(p problem) {
	s.t.Helper()
	if p.Code != "ledger_unavailable" || p.Detail != noRoom {
		s.t.Fatalf("no room, and the answer is %+v\n%s", p, s.output())
	}
}

// untilProblem asks for decisions until there is none.
func (s *server) untilProblem(a *answers) *problem {
	s.t.Helper()
	for range fillMax {
		d, p, err := s.decide(s.t.Context(), a.next.Add(1))
		if err != nil {
			s.t.Fatal(err)
		}
		if p != nil {
			return p
		}
		a.add(d)
	}
	s.t.Fatalf("%d decisions find room", fillMax)
	return nil
}
