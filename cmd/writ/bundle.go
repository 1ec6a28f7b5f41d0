package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/policy"
)

type bundleCmd struct {
	Check    bundleCheckCmd    `cmd:"" help:"Check a bundle: every problem with file, line and remedy."`
	Test     bundleTestCmd     `cmd:"" help:"Run a bundle's tests."`
	Schema   bundleSchemaCmd   `cmd:"" help:"Print the generated Cedar schema."`
	Digest   bundleDigestCmd   `cmd:"" help:"Print a bundle's digest, which is its version."`
	Diff     bundleDiffCmd     `cmd:"" help:"Say what differs between two bundles."`
	History  bundleHistoryCmd  `cmd:"" help:"Which bundle was in force when, and who stands behind it."`
	Activate bundleActivateCmd `cmd:"" help:"Put the first bundle of an environment into force."`
}

// bundleDir is a bundle on disk: a directory, or a tar of one.
type bundleDir struct {
	Bundle string `arg:"" help:"The bundle: a directory, or a tar of one." type:"existingpath"`
}

// read reads the bundle; problems that need no Cedar come with it.
func (d bundleDir) read() (*bundle.Bundle, bundle.Problems, error) {
	info, err := os.Stat(d.Bundle)
	if err != nil {
		return nil, nil, err
	}
	if info.IsDir() {
		b, problems := bundle.Read(os.DirFS(d.Bundle))
		return b, problems, nil
	}
	f, err := os.Open(d.Bundle)
	if err != nil {
		return nil, nil, err
	}
	files, err := bundle.ReadTar(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", d.Bundle, err)
	}
	b, problems := bundle.Read(files)
	return b, problems, nil
}

// compile reads and compiles; every problem is printed.
func (d bundleDir) compile(s std, asJSON bool) (*policy.Engine, error) {
	b, problems, err := d.read()
	if err != nil {
		return nil, err
	}
	var engine *policy.Engine
	if len(problems) == 0 {
		engine, problems = policy.Compile(b)
	}
	if len(problems) == 0 {
		return engine, nil
	}
	if asJSON {
		out := json.NewEncoder(s.out)
		out.SetIndent("", "  ")
		if err := out.Encode(problems); err != nil {
			return nil, err
		}
		return nil, exitError(exitWrong)
	}
	for _, p := range problems {
		where := p.File
		if p.Line > 0 {
			where = fmt.Sprintf("%s:%d", p.File, p.Line)
		}
		fmt.Fprintf(s.out, "%s: %s\n    %s\n", where, p.What, p.Remedy)
	}
	fmt.Fprintf(s.err, "%d problems\n", len(problems))
	return nil, exitError(exitWrong)
}

type bundleCheckCmd struct {
	bundleDir
	JSON bool `name:"json" help:"Print JSON."`
}

// Help gives an example.
func (bundleCheckCmd) Help() string { return "Example:\n  writ bundle check governance/" }

// Run checks a bundle and its tests.
func (c bundleCheckCmd) Run(s std) error {
	engine, err := c.compile(s, c.JSON)
	if err != nil {
		return err
	}
	if c.JSON {
		_, err = fmt.Fprintln(s.out, "[]")
		return err
	}
	b := engine.Bundle()
	fmt.Fprintf(s.out, "%s\n%d environments, %d agents, %d tools, %d policy files, %d limits, %d prompts, %d tests: no problems\n",
		b.Digest, len(b.Environments), len(b.Agents), len(b.Tools), len(b.Policies), len(b.Limits), len(b.Prompts), len(b.Tests))
	return nil
}

type bundleTestCmd struct {
	bundleDir
	JSON bool `name:"json" help:"Print JSON."`
}

// Help gives an example.
func (bundleTestCmd) Help() string {
	return "Example:\n  writ bundle test governance/\n\nExit status 1 when a test does not get the outcome it wants."
}

// Run runs a bundle's tests.
func (c bundleTestCmd) Run(s std) error {
	engine, err := c.compile(s, c.JSON)
	if err != nil {
		return err
	}
	results := engine.RunTests()
	failed := 0
	for _, r := range results {
		if !r.Passed {
			failed++
		}
		if !r.Passed && !c.JSON {
			fmt.Fprintf(s.out, "FAIL %s:%d %s: %s\n", r.File, r.Line, r.Name, r.What)
		}
	}
	if c.JSON {
		out := json.NewEncoder(s.out)
		out.SetIndent("", "  ")
		err = out.Encode(results)
	} else {
		_, err = fmt.Fprintf(s.out, "%d passed, %d failed\n", len(results)-failed, failed)
	}
	if err == nil && failed > 0 {
		return exitError(exitWrong)
	}
	return err
}

type bundleSchemaCmd struct{ bundleDir }

// Help gives an example.
func (bundleSchemaCmd) Help() string {
	return "Example:\n  writ bundle schema governance/ > writ.cedarschema"
}

// Run prints the schema.
func (c bundleSchemaCmd) Run(s std) error {
	engine, err := c.compile(s, false)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(s.out, engine.Schema())
	return err
}

type bundleDigestCmd struct{ bundleDir }

// Help gives an example.
func (bundleDigestCmd) Help() string { return "Example:\n  writ bundle digest governance/" }

// Run prints the digest.
func (c bundleDigestCmd) Run(s std) error {
	engine, err := c.compile(s, false)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, engine.Bundle().Digest)
	return err
}

type bundleDiffCmd struct {
	Old string `arg:"" help:"The older bundle." type:"existingpath"`
	New string `arg:"" help:"The newer bundle." type:"existingpath"`
}

// Help gives an example.
func (bundleDiffCmd) Help() string { return "Example:\n  writ bundle diff deployed/ governance/" }

// Run prints what differs, as JSON.
func (c bundleDiffCmd) Run(s std) error {
	older, err := bundleDir{c.Old}.compile(s, false)
	if err != nil {
		return err
	}
	newer, err := bundleDir{c.New}.compile(s, false)
	if err != nil {
		return err
	}
	out := json.NewEncoder(s.out)
	out.SetIndent("", "  ")
	return out.Encode(bundle.Compare(older.Bundle(), newer.Bundle()))
}

type bundleActivateCmd struct {
	remote
	bundleDir
	Environment string `required:"" short:"e" help:"The environment."`
}

// Help gives an example.
func (bundleActivateCmd) Help() string {
	return `Example:
  writ bundle activate governance/ -e prod

Only the first bundle of an environment is put into force like this, by an administrator, and recorded as such. Replacing it
takes a reviewed change: writ changes propose.`
}

// Run sends the bundle.
func (c bundleActivateCmd) Run(ctx context.Context, s std) error {
	engine, err := c.compile(s, false)
	if err != nil {
		return err
	}
	query := url.Values{"environment": {c.Environment}}
	source(ctx, c.Bundle, query)
	var done struct {
		Bundle  string `json:"bundle"`
		Receipt struct {
			Ledger string `json:"ledger"`
			Index  int64  `json:"index"`
		} `json:"receipt"`
	}
	if _, err := c.ask(ctx, c.AdminToken, http.MethodPost, "/v1/bundles", query, "application/x-tar", engine.Bundle().Tar(), &done); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s is in force in %s from entry %d on\n", done.Bundle, done.Receipt.Ledger, done.Receipt.Index)
	return err
}

// git asks git about a directory; without git, or outside a repository, there is nothing to say.
func git(ctx context.Context, dir string, args ...string) string {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
