//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	postgresUser = "writ"
	// postgresGlob is where Debian keeps the server's programs, which are not on the path.
	postgresGlob = "/usr/lib/postgresql/*/bin"
)

// postgres is a server with a data directory of its own. It keeps the defaults that matter for durability (fsync,
// full_page_writes, synchronous_commit are on).
type postgres struct {
	server  *process
	bin     string
	dir     string
	address string
	run     *syscall.SysProcAttr
}

// postgresSettings differ from the defaults: room for the working set, and no checkpoint within a round.
func postgresSettings() []string {
	return []string{"shared_buffers=512MB", "max_wal_size=8GB", "max_connections=300"}
}

// startPostgres makes a data directory and starts a server on a free port.
func startPostgres(ctx context.Context, out string) (*postgres, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "writ-bench-postgres-")
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	p := &postgres{bin: bin, dir: dir, run: &syscall.SysProcAttr{}}
	if p.address, err = freeAddress(); err == nil {
		err = p.dropRoot()
	}
	if err == nil {
		_, err = p.command(ctx, "initdb", "-D", filepath.Join(dir, "data"), "-A", "trust", "-U", postgresUser, "-E", "UTF8", "--no-locale")
	}
	if err == nil {
		err = p.serve(ctx, filepath.Join(out, "postgres.log"))
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

// postgresBin finds the directory of the server's programs: where Debian puts them, or where the path's initdb really is.
func postgresBin() (string, error) {
	if found, err := filepath.Glob(postgresGlob); err == nil && len(found) > 0 {
		return found[len(found)-1], nil
	}
	path, err := exec.LookPath("initdb")
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", fmt.Errorf("no initdb in %s or on the path: %w", postgresGlob, err)
	}
	return filepath.Dir(path), nil
}

// dropRoot has PostgreSQL, which refuses to run as root, run as the user postgres.
func (p *postgres) dropRoot() error {
	if os.Geteuid() != 0 {
		return nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("a user to run postgresql as: %w", err)
	}
	uid, err1 := strconv.Atoi(account.Uid)
	gid, err2 := strconv.Atoi(account.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("user postgres: %w", err)
	}
	p.run.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(p.dir, uid, gid)
}

func (p *postgres) serve(ctx context.Context, log string) error {
	host, port, err := net.SplitHostPort(p.address)
	if err != nil {
		return fmt.Errorf("address: %w", err)
	}
	args := []string{"-D", filepath.Join(p.dir, "data"), "-h", host, "-p", port, "-k", p.dir}
	for _, setting := range postgresSettings() {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command(filepath.Join(p.bin, "postgres"), args...)
	cmd.SysProcAttr, cmd.Dir = p.run, p.dir
	if p.server, err = startProcess(ctx, cmd, log, p.address); err != nil {
		return err
	}
	return p.ready(ctx, host, port)
}

// ready waits until the server takes more than connections.
func (p *postgres) ready(ctx context.Context, host, port string) error {
	for end := time.Now().Add(startMax); ; time.Sleep(startPoll) {
		_, err := p.command(ctx, "pg_isready", "-h", host, "-p", port, "-U", postgresUser)
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// create makes a database and returns how to reach it.
func (p *postgres) create(ctx context.Context, name string) (dsn string, err error) {
	host, port, err := net.SplitHostPort(p.address)
	if err != nil {
		return "", fmt.Errorf("address: %w", err)
	}
	if _, err := p.command(ctx, "createdb", "-h", host, "-p", port, "-U", postgresUser, name); err != nil {
		return "", err
	}
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", postgresUser, p.address, name), nil
}

// version is what the server calls itself.
func (p *postgres) version(ctx context.Context) (string, error) {
	return p.command(ctx, "postgres", "--version")
}

func (p *postgres) command(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, name), args...)
	cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Credential: p.run.Credential}, p.dir
	output, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, output)
	}
	return strings.TrimSpace(string(output)), nil
}

func (p *postgres) close() {
	p.server.stop()
	_ = os.RemoveAll(p.dir) // a leftover of the temporary directory
}
