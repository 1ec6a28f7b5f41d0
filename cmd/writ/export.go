package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/merkle"
	"github.com/writ-dev/writ/internal/mirror"
)

type exportCmd struct {
	place
	Ledger string `arg:"" help:"The ledger to export (an environment, or org)."`
	Out    string `short:"o" required:"" help:"File to write; it must not exist." type:"path"`
	Key    string `help:"C2SP verifier key of the log." env:"WRIT_LOG_KEY"`
}

// Help gives an example.
func (exportCmd) Help() string {
	return `Example:
  writ export prod -o prod.writ && writ verify prod.writ

The file holds every entry up to the newest signed checkpoint, as a tar of C2SP entry bundles. It holds no payloads: inputs,
outputs and names stay where they are.`
}

// Run exports.
func (c exportCmd) Run(ctx context.Context, s std) error {
	st, err := openRecords(ctx, c.place)
	if err != nil {
		return err
	}
	ledgers, err := ledgersOf(ctx, st, []string{c.Ledger})
	if err == nil {
		err = c.export(ctx, s, ledgers[0])
	}
	return errors.Join(err, st.Close())
}

func (c exportCmd) export(ctx context.Context, s std, l *ledger.Ledger) error {
	log, _, err := logVerifier(ctx, c.place, c.Key, l)
	if err != nil {
		return err
	}
	newest, err := l.Checkpoint(ctx)
	if err != nil {
		return err
	}
	checkpoint, err := merkle.OpenCheckpoint(newest.Note, log)
	if err != nil {
		return err
	}
	first, err := verifierKey(ctx, l, c.Key)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	bar := newProgress(s.err, "export "+c.Ledger, checkpoint.Size)
	err = mirror.Export(ctx, w, l, checkpoint, first, bar.at)
	bar.end()
	if err = errors.Join(err, w.Flush(), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(c.Out))
	}
	_, err = fmt.Fprintf(s.err, "%d entries of %s in %s\n", checkpoint.Size, checkpoint.Origin, c.Out)
	return err
}
