package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/trace"
	writ "github.com/writ-dev/writ/sdk/go"
)

type importCmd struct {
	Traces importTracesCmd `cmd:"" help:"Drive recorded runs through the decision API, as if they happened now, in observe mode."`
}

type importTracesCmd struct {
	Files   []string `arg:"" help:"Recorded runs, or directories of them: AgentDojo, AgentDyn, tau-bench, SWE-agent, ToolBench."`
	Data    string   `help:"Fresh data directory for a server of its own." default:"writ-import" type:"path"`
	URL     string   `help:"Use this running server instead (its environment prod must have no bundle yet)." env:"WRIT_URL"`
	Token   string   `name:"admin-token" help:"Administrator's token of that server." env:"WRIT_ADMIN_TOKEN"`
	Propose string   `help:"Write a proposed least-privilege bundle to this new directory." type:"path"`
	Workers int      `help:"Runs that are driven at the same time." default:"16"`
	JSON    bool     `name:"json" help:"Print the summary as JSON."`
}

// Help gives examples.
func (importTracesCmd) Help() string {
	return `Examples:
  writ import traces runs/                              into a fresh ./writ-import
  writ import traces runs/*.jsonl.gz --propose governance/
  writ verify --data writ-import && writ replay --data writ-import

Every agent and tool that is seen is registered in a generated bundle in observe mode: nothing is blocked, everything is
recorded. The proposed bundle allows what was used and nothing else.`
}

// tally counts what came of the calls.
type tally struct {
	mu      sync.Mutex
	calls   map[[3]string]int // category, outcome, would
	decided atomic.Int64
}

// Run imports.
func (c importTracesCmd) Run(ctx context.Context, s std) error {
	runs, files, err := c.read()
	if err != nil {
		return err
	}
	usage := trace.Collect(runs)
	server, token, stop, err := c.server(ctx)
	if err != nil {
		return err
	}
	counts := &tally{calls: map[[3]string]int{}}
	err = c.drive(ctx, s, remote{URL: server, AdminToken: token}, runs, usage, counts)
	if err = errors.Join(err, stop()); err != nil {
		return err
	}
	if err := c.report(s, runs, files, usage, counts); err != nil {
		return err
	}
	if c.Propose != "" {
		return c.propose(s, usage)
	}
	return nil
}

// read reads every run of every file.
func (c importTracesCmd) read() (runs []trace.Run, files int, err error) {
	for _, root := range c.Files {
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !recorded(path) {
				return err
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			found, err := trace.Read(path, f)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			// The same task is recorded for several models: the directory tells them apart.
			for i := range found {
				found[i].Name = strconv.Itoa(files) + "." + found[i].Name
			}
			runs, files = append(runs, found...), files+1
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	if len(runs) == 0 {
		return nil, 0, errors.New("no recorded runs there (files end in .json, .jsonl, .jsonl.gz or .traj)")
	}
	return runs, files, nil
}

func recorded(path string) bool {
	for _, end := range []string{".json", ".jsonl", ".jsonl.gz", ".traj"} {
		if strings.HasSuffix(path, end) {
			return true
		}
	}
	return false
}

// server gives the server to drive: the one that was named, or one of its own in a fresh directory.
func (c importTracesCmd) server(ctx context.Context) (serverURL, token string, stop func() error, err error) {
	if c.URL != "" {
		return c.URL, c.Token, func() error { return nil }, nil
	}
	if _, err := os.Stat(filepath.Join(c.Data, "writ.db")); err == nil {
		return "", "", nil, fmt.Errorf("%s has records already; name a fresh directory with --data", c.Data)
	}
	a, err := app.New(ctx, app.Config{Data: c.Data, Listen: "127.0.0.1:0", Version: version()})
	if err != nil {
		return "", "", nil, err
	}
	token, err = a.Start(ctx)
	if err != nil {
		return "", "", nil, closing(a, err)
	}
	return a.URL(), token, a.Stop, nil
}

// drive activates the generated bundle, gives every agent a key, and asks for the decision on every call.
func (c importTracesCmd) drive(ctx context.Context, s std, r remote, runs []trace.Run, usage trace.Usage, counts *tally) error {
	files, err := usage.Bundle(trace.Observe)
	if err != nil {
		return err
	}
	b, err := checkFiles(files)
	if err != nil {
		return err
	}
	query := url.Values{"environment": {trace.Environment}}
	if _, err := r.ask(ctx, r.AdminToken, http.MethodPost, "/v1/bundles", query, "application/x-tar", b.Tar(), nil); err != nil {
		return err
	}
	clients := map[string]*writ.Client{}
	for _, agent := range slices.Sorted(maps.Keys(usage.Agents)) {
		if clients[agent], err = principalClient(ctx, r, agent, "runs_as"); err != nil {
			return err
		}
	}
	total := int64(0)
	for _, run := range runs {
		total += int64(len(run.Calls))
	}
	bar := newProgress(s.err, "import", total)
	defer bar.end()
	return c.workers(ctx, runs, func(run trace.Run) error {
		err := driveRun(ctx, clients[run.Agent], run, usage, counts)
		counts.mu.Lock()
		defer counts.mu.Unlock()
		bar.at(counts.decided.Load())
		return err
	})
}

// principalClient issues a key for an agent, for a principal as writ key issue takes it, and gives the client that uses it.
func principalClient(ctx context.Context, r remote, agent, principal string, options ...writ.Option) (*writ.Client, error) {
	var issued credential
	if _, err := r.send(ctx, r.AdminToken, http.MethodPost, "/v1/credentials", map[string]any{"agent": agent, "environment": trace.Environment, "principal": principal, "note": "issued by writ"}, &issued); err != nil {
		return nil, err
	}
	return writ.New(r.URL, issued.Token, options...)
}

// workers drives the runs, several at a time, and stops at the first error.
func (c importTracesCmd) workers(ctx context.Context, runs []trace.Run, drive func(trace.Run) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan trace.Run)
	var group sync.WaitGroup
	for range max(c.Workers, 1) {
		group.Go(func() {
			for run := range work {
				if err := drive(run); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, run := range runs {
		select {
		case work <- run:
		case <-ctx.Done():
		}
	}
	close(work)
	group.Wait()
	return context.Cause(ctx)
}

// driveRun asks for every call of a run, in order, and reports what the record says came of it.
func driveRun(ctx context.Context, client *writ.Client, run trace.Run, usage trace.Usage, counts *tally) error {
	for i, call := range run.Calls {
		d, err := client.Decide(ctx, writ.Call{
			Agent: run.Agent, Tool: call.Tool, Input: call.Input, Session: opaque(run.Name), CallID: fmt.Sprintf("%s.%d", opaque(run.Name), i),
		})
		if err != nil {
			return fmt.Errorf("run %s, call %d (%s): %w", run.Name, i+1, call.Tool, err)
		}
		status := writ.Succeeded
		if call.Failed {
			status = writ.Failed
		}
		if err := client.Report(ctx, d.ID, writ.Result{Status: status, Output: call.Output}); err != nil {
			return fmt.Errorf("run %s, result %d (%s): %w", run.Name, i+1, call.Tool, err)
		}
		counts.decided.Add(1)
		counts.mu.Lock()
		counts.calls[[3]string{string(usage.Tools[call.Tool].Category), string(d.Outcome), string(d.Would)}]++
		counts.mu.Unlock()
	}
	return nil
}

// opaque makes a session id of a run's name.
func opaque(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._:-", r)) {
			return r
		}
		return '_'
	}, name)
	return clean[:min(len(clean), sessionBytesMax)]
}

const sessionBytesMax = 100

// checkFiles reads and compiles a generated bundle.
func checkFiles(files map[string][]byte) (*bundle.Bundle, error) {
	b, problems := bundle.ReadFiles(files)
	if len(problems) == 0 {
		_, problems = policy.Compile(b)
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("the generated bundle has a problem: %s:%d: %s", problems[0].File, problems[0].Line, problems[0].What)
	}
	return b, nil
}

// report prints what a team needs first.
func (c importTracesCmd) report(s std, runs []trace.Run, files int, usage trace.Usage, counts *tally) error {
	if c.JSON {
		return c.reportJSON(s, runs, files, usage, counts)
	}
	fmt.Fprintf(s.out, "%d files, %d runs, %d tool calls decided and recorded\n\n", files, len(runs), counts.decided.Load())
	rows := [][]string{{"AGENT", "RUNS", "TOOLS", "CALLS", "MODELS"}}
	for _, id := range slices.Sorted(maps.Keys(usage.Agents)) {
		a, calls := usage.Agents[id], 0
		for _, n := range a.Tools {
			calls += n
		}
		rows = append(rows, []string{id, strconv.Itoa(a.Runs), strconv.Itoa(len(a.Tools)), strconv.Itoa(calls), strconv.Itoa(len(a.Models))})
	}
	if err := table(s.out, rows); err != nil {
		return err
	}
	rows = [][]string{{"\nTOOL", "CATEGORY (a guess)", "CALLS"}}
	for _, name := range slices.Sorted(maps.Keys(usage.Tools)) {
		t := usage.Tools[name]
		rows = append(rows, []string{name, string(t.Category), strconv.Itoa(t.Calls)})
	}
	if err := table(s.out, rows); err != nil {
		return err
	}
	rows = [][]string{{"\nCATEGORY", "OUTCOME", "CALLS"}}
	for _, key := range slices.SortedFunc(maps.Keys(counts.calls), func(a, b [3]string) int { return slices.Compare(a[:], b[:]) }) {
		outcome := key[1]
		if key[2] != "" {
			outcome += " (would " + key[2] + ")"
		}
		rows = append(rows, []string{key[0], outcome, strconv.Itoa(counts.calls[key])})
	}
	if err := table(s.out, rows); err != nil {
		return err
	}
	if c.URL == "" {
		fmt.Fprintf(s.out, "\nThe records are in %s: writ verify --data %s && writ replay --data %s\n", c.Data, c.Data, c.Data)
	}
	return nil
}

func (c importTracesCmd) reportJSON(s std, runs []trace.Run, files int, usage trace.Usage, counts *tally) error {
	type line struct {
		Category string `json:"category"`
		Outcome  string `json:"outcome"`
		Would    string `json:"would,omitempty"`
		Calls    int    `json:"calls"`
	}
	lines := []line{}
	for key, n := range counts.calls {
		lines = append(lines, line{key[0], key[1], key[2], n})
	}
	slices.SortFunc(lines, func(a, b line) int {
		return slices.Compare([]string{a.Category, a.Outcome, a.Would}, []string{b.Category, b.Outcome, b.Would})
	})
	var buf bytes.Buffer
	if err := json.NewEncoder(&buf).Encode(map[string]any{
		"files": files, "runs": len(runs), "calls": counts.decided.Load(), "agents": len(usage.Agents), "tools": len(usage.Tools), "by_category": lines,
	}); err != nil {
		return err
	}
	return printJSON(s.out, buf.Bytes())
}

// propose writes the least-privilege bundle, after checking it.
func (c importTracesCmd) propose(s std, usage trace.Usage) error {
	files, err := usage.Bundle(trace.LeastPrivilege)
	if err != nil {
		return err
	}
	if _, err := checkFiles(files); err != nil {
		return err
	}
	if _, err := os.Stat(c.Propose); err == nil {
		return fmt.Errorf("%s is there already; name a new directory with --propose", c.Propose)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(c.Propose, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o600); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(s.out, "\nA least-privilege bundle is proposed in %s. Look at the categories, name the owners, then: writ bundle check %s\n", c.Propose, c.Propose)
	return err
}
