package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/merkle"
	"github.com/writ-dev/writ/internal/mirror"
)

type verifyCmd struct {
	place
	ledgerFlag
	Source     string   `arg:"" optional:"" help:"A data directory, postgres://…, the URL of a ledger (http://HOST/ledger/NAME), or an exported file. Default: the data directory."`
	Key        string   `help:"C2SP verifier key of the log, from somebody you trust." env:"WRIT_LOG_KEY"`
	Witness    []string `help:"C2SP verifier key of a witness; its cosignature is then required. May be repeated."`
	Checkpoint []string `help:"File with a checkpoint that you kept; the ledger must continue it. May be repeated." type:"existingfile"`
	Token      string   `help:"Credential for a private ledger." env:"WRIT_API_KEY"`
	JSON       bool     `name:"json" help:"Print JSON."`
}

// Help gives examples.
func (verifyCmd) Help() string {
	return `Examples:
  writ verify                                          every ledger in ./writ-data
  writ verify /var/lib/writ -l prod --checkpoint kept.txt
  writ verify postgres://writ@db/writ --key-file writ.key
  writ verify http://127.0.0.1:8420/ledger/prod --key 'writ.invalid/…+…'
  writ verify prod.writ

Exit status: 0 nothing is wrong, 1 something is (and is named), 2 it could not be checked.`
}

// verified is a report with what it was checked against.
type verified struct {
	ledger.Report
	Key string `json:"key_from"`
}

// Run verifies and says what it found.
func (c verifyCmd) Run(ctx context.Context, s std) error {
	reports, err := c.verify(ctx, s)
	if err != nil {
		return err
	}
	wrong := false
	for _, r := range reports {
		wrong = wrong || len(r.Findings) > 0
	}
	if c.JSON {
		out := json.NewEncoder(s.out)
		out.SetIndent("", "  ")
		err = out.Encode(reports)
	} else {
		err = printReports(s, reports)
	}
	if err == nil && wrong {
		return exitError(exitWrong)
	}
	return err
}

func (c verifyCmd) verify(ctx context.Context, s std) ([]verified, error) {
	switch {
	case strings.HasPrefix(c.Source, "http://") || strings.HasPrefix(c.Source, "https://"):
		r, err := c.mirror(ctx, s, mirror.NewServer(c.Source, c.Token))
		return []verified{r}, err
	case strings.HasPrefix(c.Source, "postgres://") || strings.HasPrefix(c.Source, "postgresql://"):
		c.Database = c.Source
	case c.Source != "":
		info, err := os.Stat(c.Source)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return c.file(ctx, s)
		}
		c.Data = c.Source
	}
	return c.stored(ctx, s)
}

func (c verifyCmd) file(ctx context.Context, s std) ([]verified, error) {
	f, err := mirror.OpenFile(c.Source)
	if err != nil {
		return nil, err
	}
	r, err := c.mirror(ctx, s, f)
	return []verified{r}, errors.Join(err, f.Close())
}

// kept reads the checkpoints that the caller kept, which the log's key must have signed.
func (c verifyCmd) kept(log note.Verifier) ([]merkle.Checkpoint, error) {
	var out []merkle.Checkpoint
	for _, name := range c.Checkpoint {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		opened, err := merkle.OpenCheckpoint(data, log)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, opened)
	}
	return out, nil
}

// stored verifies the ledgers of a database.
func (c verifyCmd) stored(ctx context.Context, s std) ([]verified, error) {
	st, err := openRecords(ctx, c.place)
	if err != nil {
		return nil, err
	}
	reports, err := func() ([]verified, error) {
		ledgers, err := ledgersOf(ctx, st, c.Ledger)
		if err != nil {
			return nil, err
		}
		if len(c.Checkpoint) > 0 && len(ledgers) > 1 {
			return nil, fmt.Errorf("a kept checkpoint is of one ledger: say which with -l, of %v", names(ledgers))
		}
		enrolled, err := ledger.Enrolments(ctx, ledgerOf(st, gov.OrgLedger))
		if err != nil {
			return nil, err
		}
		var out []verified
		for _, l := range ledgers {
			r, err := c.one(ctx, s, l, enrolled)
			if err != nil {
				return nil, fmt.Errorf("ledger %s: %w", l.Name(), err)
			}
			out = append(out, r)
		}
		return out, nil
	}()
	return reports, errors.Join(err, st.Close())
}

func (c verifyCmd) one(ctx context.Context, s std, l *ledger.Ledger, enrolled map[ledger.Enrolment]bool) (verified, error) {
	log, from, err := logVerifier(ctx, c.place, c.Key, l)
	if err != nil {
		return verified{}, err
	}
	kept, err := c.kept(log)
	if err != nil {
		return verified{}, err
	}
	head, err := l.Head(ctx)
	if err != nil {
		return verified{}, err
	}
	bar := newProgress(s.err, "verify "+string(l.Name()), head.Size)
	report, err := l.VerifyStored(ctx, log, ledger.Claims{Heads: kept, Enrolled: enrolled}, bar.at)
	bar.end()
	return verified{report, from}, err
}

// mirror verifies what a server or a file shows to strangers.
func (c verifyCmd) mirror(ctx context.Context, s std, from mirror.Fetcher) (verified, error) {
	log, keyFrom, err := c.mirrorKey(ctx, from)
	if err != nil {
		return verified{}, err
	}
	msg, err := from.Fetch(ctx, mirror.FileCheckpoint)
	if err != nil {
		return verified{}, err
	}
	witnesses := make([]note.Verifier, 0, len(c.Witness))
	for _, vkey := range c.Witness {
		w, err := merkle.NewWitnessVerifier(vkey)
		if err != nil {
			return verified{}, err
		}
		witnesses = append(witnesses, w)
	}
	head, err := merkle.OpenCheckpoint(msg, log, witnesses...)
	if err != nil {
		return verified{}, err
	}
	kept, err := c.kept(log)
	if err != nil {
		return verified{}, err
	}
	bar := newProgress(s.err, "verify "+head.Origin, head.Size)
	name := gov.Environment(path.Base(head.Origin))
	report, err := ledger.Verify(ctx, name, mirror.Source{From: from, Tree: head.Tree}, ledger.Claims{Heads: append(kept, head)}, bar.at)
	bar.end()
	report.Origin, report.Cosigners = head.Origin, head.Cosigners
	for _, w := range witnesses {
		if !wanted(head.Cosigners, w.Name()) || len(head.Cosigners) == 0 {
			report.Findings = append(report.Findings, ledger.Finding{Index: -1, What: "the checkpoint has no cosignature of the witness " + w.Name()})
		}
	}
	return verified{report, keyFrom}, err
}

func (c verifyCmd) mirrorKey(ctx context.Context, from mirror.Fetcher) (note.Verifier, string, error) {
	if c.Key != "" {
		v, err := note.NewVerifier(c.Key)
		return v, "given", err
	}
	data, err := from.Fetch(ctx, mirror.FileKey)
	if err != nil {
		return nil, "", fmt.Errorf("no key to check signatures with: give one with --key (%w)", err)
	}
	v, err := note.NewVerifier(strings.TrimSpace(string(data)))
	return v, "claimed by the source itself; give --key to be sure", err
}

func printReports(s std, reports []verified) error {
	for _, r := range reports {
		fmt.Fprintf(s.out, "ledger %s: %d entries, root %s\n", r.Ledger, r.Entries, r.Root)
		fmt.Fprintf(s.out, "  every entry is in its one form, at the place its id names, in order of time\n")
		fmt.Fprintf(s.out, "  compared with %d signed checkpoints (key: %s)\n", r.Checkpoints, r.Key)
		if len(r.Cosigners) > 0 {
			fmt.Fprintf(s.out, "  cosigned by %s\n", strings.Join(r.Cosigners, ", "))
		}
		if r.Payloads+r.Erased > 0 {
			fmt.Fprintf(s.out, "  %d payloads agree with their commitments, %d groups were erased\n", r.Payloads, r.Erased)
		}
		if r.Signed > 0 {
			fmt.Fprintf(s.out, "  %d approvals are signed by passkeys, %d of them by ones that their persons enrolled (ledger org)\n", r.Signed, r.Enrolled)
		}
		if len(r.Findings) == 0 {
			fmt.Fprintln(s.out, "  nothing is wrong")
			continue
		}
		fmt.Fprintf(s.out, "  WRONG, %d findings (the lines above hold only where nothing is found):\n", len(r.Findings))
		for _, f := range r.Findings {
			where := "the ledger"
			if f.Index >= 0 {
				where = fmt.Sprintf("entry %d", f.Index)
			}
			fmt.Fprintf(s.out, "    %s: %s\n", where, f.What)
		}
	}
	return nil
}
