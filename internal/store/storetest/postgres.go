// Package storetest opens real databases for tests: SQLite in a directory of its own, and PostgreSQL in a private cluster
// that is started once per test process and ends with it.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// EnvPostgres names a server to use instead of a private one: postgres://user@host/postgres, whose user may create databases.
const EnvPostgres = "WRIT_TEST_POSTGRES"

const startMax = 30 * time.Second

// Cluster is a private PostgreSQL.
type Cluster struct {
	URL  string // of the database postgres, as a user who may create databases
	Dir  string
	bin  string
	port int
	cmd  *exec.Cmd
	own  *syscall.Credential
}

// shared is the cluster of this test process.
type shared struct {
	once    sync.Once
	cluster *Cluster
	err     error
	made    atomic.Int64
}

// Main runs the tests of a package that uses Postgres, and stops the cluster behind them. Call it from TestMain.
func Main(m *testing.M, use *Databases) int {
	code := m.Run()
	if err := use.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop postgres:", err)
		return max(code, 1)
	}
	return code
}

// Databases gives databases to the tests of one process.
type Databases struct{ shared }

func (d *Databases) stop() error {
	if d.cluster == nil {
		return nil
	}
	return d.cluster.Stop()
}

// Postgres gives the URL of a fresh, empty database, owned by a role that is no superuser.
func (d *Databases) Postgres(t testing.TB) string {
	t.Helper()
	owner, _ := d.PostgresWithSuper(t)
	return owner
}

// PostgresWithSuper gives the URLs of a fresh, empty database for its owner, who is no superuser, and for a superuser.
func (d *Databases) PostgresWithSuper(t testing.TB) (owner, super string) {
	t.Helper()
	d.once.Do(func() {
		if named := os.Getenv(EnvPostgres); named != "" {
			d.cluster = &Cluster{URL: named}
			return
		}
		d.cluster, d.err = Start(context.Background())
	})
	if d.err != nil {
		t.Fatalf("no PostgreSQL to test with: %v\ninstall it (apt-get install -y postgresql) or name one in %s", d.err, EnvPostgres)
	}
	name := fmt.Sprintf("writ_%d_%d", os.Getpid(), d.made.Add(1))
	owner, err := d.cluster.Create(context.Background(), name)
	if err != nil {
		t.Fatalf("create database: %v", err)
	}
	at, err := url.Parse(d.cluster.URL)
	if err != nil {
		t.Fatal(err)
	}
	at.Path = "/" + name
	return owner, at.String()
}

// Create makes a database with an owner of its own name and gives its URL as that owner.
func (c *Cluster) Create(ctx context.Context, name string) (string, error) {
	conn, err := pgx.Connect(ctx, c.URL)
	if err != nil {
		return "", err
	}
	for _, text := range []string{"CREATE ROLE " + name + " LOGIN PASSWORD 'writ'", "CREATE DATABASE " + name + " OWNER " + name} {
		if _, err := conn.Exec(ctx, text); err != nil {
			return "", errors.Join(err, conn.Close(ctx))
		}
	}
	config := conn.Config()
	return fmt.Sprintf("postgres://%s:writ@%s/%s", name, net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))), name), conn.Close(ctx)
}

// findBin finds the directory of the server's programs.
func findBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		slices.Sort(found)
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("initdb is neither in /usr/lib/postgresql nor on the PATH")
	}
	return filepath.Dir(path), nil
}

// runAs is whom the server runs as: it refuses root.
func runAs() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres")
}

// Start makes and starts a private cluster with fsync on.
func Start(ctx context.Context) (*Cluster, error) {
	bin, err := findBin()
	if err != nil {
		return nil, err
	}
	own, err := runAs()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "writ-postgres-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: dir, bin: bin, own: own}
	if own != nil {
		if err := os.Chown(dir, int(own.Uid), int(own.Gid)); err != nil {
			return nil, err
		}
	}
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", c.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
	initdb.Dir, initdb.SysProcAttr = dir, &syscall.SysProcAttr{Credential: own}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c.port = listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return nil, err
	}
	c.URL = fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres", c.port)
	return c, c.Run(ctx)
}

func (c *Cluster) data() string { return filepath.Join(c.Dir, "data") }

// Run starts the server again after Kill.
func (c *Cluster) Run(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(c.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	c.cmd = exec.Command(filepath.Join(c.bin, "postgres"), "-D", c.data(), "-p", strconv.Itoa(c.port), "-k", "",
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=on", "-c", "max_connections=200", "-c", "shared_buffers=128MB")
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = c.Dir, log, log
	// The server ends with the tests, whatever becomes of them.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.own, Pdeathsig: syscall.SIGQUIT}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.URL)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(filepath.Join(c.Dir, "log"))
			return fmt.Errorf("postgres does not start: %w: %s", err, strings.TrimSpace(string(text)))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Kill ends the server at once, as a crash would. Its children end with it.
func (c *Cluster) Kill() error {
	err := c.cmd.Process.Signal(syscall.SIGQUIT) // immediate shutdown: no checkpoint, recovery at the next start
	_, waited := c.cmd.Process.Wait()
	return errors.Join(err, waited)
}

// Stop ends the server and removes its directory.
func (c *Cluster) Stop() error {
	if c.cmd == nil {
		return nil
	}
	return errors.Join(c.Kill(), os.RemoveAll(c.Dir))
}
