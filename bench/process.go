//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startMax      = 60 * time.Second
	stopMax       = 15 * time.Second
	startPoll     = 20 * time.Millisecond
	ticksASecond  = 100 // USER_HZ, the unit of /proc/PID/stat on Linux
	processesMax  = 4096
	logTailBytes  = 600
	microsASecond = 1e6
)

// process is a server that the benchmark started.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// startProcess runs a command whose output goes to a file, and waits until something listens at address.
func startProcess(ctx context.Context, cmd *exec.Cmd, log, address string) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", cmd.Path, err)
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // nothing is left running when the benchmark is killed
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err)
	}
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(p.done)
	}()
	if err := p.await(ctx, address); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// await returns when address accepts connections.
func (p *process) await(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	tick := time.NewTicker(startPoll)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			return conn.Close()
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it listened:\n%s", filepath.Base(p.cmd.Path), tail(p.log))
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen at %s: %w\n%s", filepath.Base(p.cmd.Path), address, ctx.Err(), tail(p.log))
		case <-tick.C:
		}
	}
}

// stop asks the process to end, and ends it when it does not.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-p.done:
	case <-time.After(stopMax):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// tail is the end of a file, for an error message.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-logTailBytes):])
}

// freeAddress finds a port of the loopback interface that is free now.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// cpuTime is what a process, and the children that it has waited for, have used.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("cpu time: %w", err)
	}
	// The second field is a name in parentheses that may hold anything; utime is the 12th field after it (proc(5)).
	_, after, _ := bytes.Cut(text[bytes.LastIndexByte(text, ')'):], []byte(" "))
	fields := strings.Fields(string(after))
	if len(fields) < 15 {
		return 0, fmt.Errorf("cpu time of %d: %d fields", pid, len(fields))
	}
	var ticks int64
	for _, field := range fields[11:15] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("cpu time of %d: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksASecond, nil
}

// cpuOf is the sum over a process and its living children (PostgreSQL has one for each connection).
func cpuOf(pid int) (time.Duration, error) {
	total, err := cpuTime(pid)
	if err != nil {
		return 0, err
	}
	family, err := children(pid)
	if err != nil {
		return 0, err
	}
	for _, child := range family {
		used, err := cpuTime(child)
		if err == nil { // else it has just ended, and its parent has its time
			total += used
		}
	}
	return total, nil
}

// children are the processes whose parent is pid.
func children(pid int) ([]int, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(tasks) == 0 {
		return nil, errors.Join(err, fmt.Errorf("no tasks of process %d", pid))
	}
	var all []int
	for _, task := range tasks[:min(len(tasks), processesMax)] {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				return nil, fmt.Errorf("children of %d: %w", pid, err)
			}
			all = append(all, child)
		}
	}
	return all, nil
}

// ownCPU is what the benchmark itself has used: during a round that is the load generator.
func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("own cpu time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// residentKiB reads VmRSS of a process.
func residentKiB(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("memory of %d: %w", pid, err)
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("memory of %d: no VmRSS", pid)
}
