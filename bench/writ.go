//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Where Writ keeps its ledger.
const (
	storeSQLite   = "sqlite"
	storePostgres = "postgres"
)

const leafHashBytes = 32

var (
	adminTokenRE = regexp.MustCompile(`writ_admin_[A-Za-z0-9]+_[A-Za-z0-9_-]+`)
	agentKeyRE   = regexp.MustCompile(`writ_key_[A-Za-z0-9]+_[A-Za-z0-9_-]+`)
)

// writOptions are the ways in which Writ is measured.
type writOptions struct {
	name string
	dsn  string // of PostgreSQL; empty: SQLite in the data directory
}

// startWrit starts Writ as an operator would: serve, activate a bundle, issue a key for the agent.
func startWrit(ctx context.Context, binary, out string, w work, o writOptions) (*peer, error) {
	dir := filepath.Join(out, strings.ReplaceAll(o.name, " ", "-"))
	governance := filepath.Join(dir, "governance")
	if err := writeBundle(governance, w); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--data", filepath.Join(dir, "data"), "--listen", address}
	if o.dsn != "" {
		args = append(args, "--database", o.dsn)
	}
	log := filepath.Join(dir, "serve.log")
	server, err := startProcess(ctx, exec.Command(binary, args...), log, address)
	if err != nil {
		return nil, err
	}
	p := &peer{name: o.name, address: address, server: server, work: w, check: checkWrit, records: true}
	p.binary, p.dir, p.dsn = binary, filepath.Join(dir, "data"), o.dsn
	key, err := p.prepareWrit(ctx, binary, governance, log)
	p.key = key
	if err != nil {
		return p, err
	}
	p.templates, err = w.templates("/v1/decisions", key, asIs, func(v variant) string { return fmt.Sprintf(`"outcome":%q`, v.outcome) })
	return p, err
}

// serveArgs let another node serve the same database.
func (p *peer) serveArgs() []string {
	return []string{"--data", p.dir + "-node", "--database", p.dsn, "--key-file", filepath.Join(p.dir, "writ.key")}
}

// prepareWrit does what an operator does once, and returns the agent's key.
func (p *peer) prepareWrit(ctx context.Context, binary, governance, log string) (key string, err error) {
	if p.admin, err = firstToken(ctx, log); err != nil {
		return "", err
	}
	if _, err := p.writ(ctx, binary, "bundle", "activate", governance, "--environment", environment); err != nil {
		return "", err
	}
	issued, err := p.writ(ctx, binary, "key", "issue", agentID, "--environment", environment, "--principal", "asserted")
	if err != nil {
		return "", err
	}
	if key = agentKeyRE.FindString(issued); key == "" {
		return "", errors.New("writ key issue printed no key")
	}
	return key, nil
}

// firstToken waits for the administrator's token that the first start of a server prints.
func firstToken(ctx context.Context, log string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	tick := time.NewTicker(startPoll)
	defer tick.Stop()
	for {
		output, err := os.ReadFile(log)
		if err != nil {
			return "", fmt.Errorf("first admin token: %w", err)
		}
		if token := adminTokenRE.Find(output); token != nil {
			return string(token), nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no admin token in %s: %w", log, ctx.Err())
		case <-tick.C:
		}
	}
}

// writ runs a command of Writ against the server, as its administrator.
func (p *peer) writ(ctx context.Context, binary string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "WRIT_URL=http://"+p.address, "WRIT_ADMIN_TOKEN="+p.admin)
	output, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("writ %s: %w: %s", strings.Join(args[:2], " "), err, bytes.TrimSpace(output))
	}
	return string(output), nil
}

// writAnswer is the answer of POST /v1/decisions.
type writAnswer struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
	Mode    string `json:"mode"`
	Reasons []struct {
		Code    string `json:"code"`
		Policy  string `json:"policy"`
		Message string `json:"message"`
	} `json:"reasons"`
	Policies []string `json:"policies"`
	Bundle   string   `json:"bundle"`
	Receipt  struct {
		Ledger   string `json:"ledger"`
		Index    int64  `json:"index"`
		LeafHash string `json:"leaf_hash"`
	} `json:"receipt"`
	At string `json:"at"`
}

func checkWrit(body []byte, v variant) error {
	var a writAnswer
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&a); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	leaf, err := hex.DecodeString(a.Receipt.LeafHash)
	switch {
	case err != nil || len(leaf) != leafHashBytes || a.Receipt.Ledger != environment:
		return fmt.Errorf("receipt %+v", a.Receipt)
	case !strings.HasPrefix(a.ID, "dec_") || !strings.HasPrefix(a.Bundle, "sha256:") || a.At == "":
		return errors.New("no id, bundle or time")
	case a.Mode != "enforce" || len(a.Reasons) == 0:
		return fmt.Errorf("mode %q with %d reasons", a.Mode, len(a.Reasons))
	}
	slices.Sort(a.Policies)
	return compare(v, a.Outcome, a.Policies)
}
