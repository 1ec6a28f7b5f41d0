//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/writ-dev/writ/bench/load"
)

// peer is one server under measurement, ready to be asked.
type peer struct {
	name      string
	address   string
	server    *process
	database  *process // of its own, or nil
	records   bool     // it writes its decisions somewhere
	admin     string   // the administrator's token, of Writ
	key       string   // the agent's, of Writ
	binary    string   // of Writ
	dir, dsn  string   // of Writ: data directory, PostgreSQL or empty
	work      work
	templates []load.Template                    // one for each variant of work
	check     func(body []byte, v variant) error // decodes an answer and compares it with what is expected
}

// verify asks the peer every call of the load once and compares the answers. Nothing is measured that was not verified.
func (p *peer) verify(ctx context.Context, first uint64, now func() time.Time) error {
	for i, t := range p.templates {
		v := p.work.variants[i]
		number := (first/usersCount + 1 + uint64(i)) * usersCount // a multiple of the number of users is a call for user-000
		status, body, err := load.Exchange(ctx, p.address, t, number, now)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if status != 200 {
			return fmt.Errorf("%s: %s gets status %d: %.400s", p.name, toolName(v.tool), status, body)
		}
		if err := p.check(body, v); err != nil {
			return fmt.Errorf("%s: %s: %w in %.400s", p.name, toolName(v.tool), err, body)
		}
	}
	return nil
}

// cpu is the time used by the server and by its database.
func (p *peer) cpu() (server, database time.Duration, err error) {
	if server, err = cpuTime(p.server.pid()); err != nil {
		return 0, 0, err
	}
	if p.database != nil {
		database, err = cpuOf(p.database.pid())
	}
	return server, database, err
}

// goBuild builds a package in dir and returns the path of the binary.
func goBuild(ctx context.Context, dir, pkg, binary string) (string, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", pkg, err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, pkg)
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", pkg, err, strings.TrimSpace(string(output)))
	}
	return binary, nil
}
