package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/store"
)

// openRecords opens the records of a place for reading, beside a running server.
func openRecords(ctx context.Context, p place) (*store.Store, error) {
	if p.Database != "" {
		return store.OpenPostgresReadOnly(ctx, p.Database)
	}
	if _, err := os.Stat(p.Data); err != nil {
		return nil, fmt.Errorf("no records there: %w; name the directory with --data, or a database with --database", err)
	}
	return store.OpenSQLiteReadOnly(ctx, p.Data)
}

// ledgersOf gives the ledgers asked for, or all.
func ledgersOf(ctx context.Context, st *store.Store, asked []string) ([]*ledger.Ledger, error) {
	names, err := st.Ledgers(ctx)
	if err != nil {
		return nil, err
	}
	var out []*ledger.Ledger
	for _, name := range names {
		if wanted(asked, string(name)) {
			out = append(out, ledgerOf(st, name))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no ledger to read: there are %v, asked for were %v", names, asked)
	}
	return out, nil
}

func wanted(asked []string, name string) bool {
	for _, a := range asked {
		if a == name {
			return true
		}
	}
	return len(asked) == 0
}

// logVerifier finds the key that a ledger's checkpoints are to be signed with: given by hand, in the key file, or, failing
// these, as the ledger itself claims in its first entry, which proves nothing against whoever could write that.
func logVerifier(ctx context.Context, p place, given string, l *ledger.Ledger) (note.Verifier, string, error) {
	if given != "" {
		v, err := note.NewVerifier(given)
		return v, "given", err
	}
	path := p.KeyFile
	if path == "" {
		path = filepath.Join(p.Data, "writ.key")
	}
	if _, err := os.Stat(path); err == nil {
		keys, err := app.LoadKeys(path, "", nil)
		if err != nil {
			return nil, "", err
		}
		return keys.Verifier(l.Name()), path, nil
	}
	vkey, err := verifierKey(ctx, l, "")
	if err != nil {
		return nil, "", err
	}
	v, err := note.NewVerifier(vkey)
	return v, "claimed by the ledger itself; give --key to be sure", err
}

// verifierKey is the key given by hand, or the one that the ledger's first entry names.
func verifierKey(ctx context.Context, l *ledger.Ledger, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	first, err := l.At(ctx, 0)
	if err != nil {
		return "", err
	}
	opened, err := canon.Body[canon.LedgerOpened](first.Entry)
	if err != nil || opened.PublicKey == "" {
		return "", errors.Join(errors.New("no key to check signatures with: give one with --key"), err)
	}
	return opened.PublicKey, nil
}

// ledgerFlag chooses ledgers.
type ledgerFlag struct {
	Ledger []string `short:"l" help:"Only this ledger (an environment, or org). May be repeated."`
}

func names(ledgers []*ledger.Ledger) []gov.Environment {
	out := make([]gov.Environment, len(ledgers))
	for i, l := range ledgers {
		out[i] = l.Name()
	}
	return out
}

// ledgerOf reads one ledger of a store, quietly.
func ledgerOf(st *store.Store, name gov.Environment) *ledger.Ledger {
	return ledger.New(st, name, ledger.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
}
