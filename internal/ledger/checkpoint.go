package ledger

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/writ-dev/writ/internal/merkle"
	"github.com/writ-dev/writ/internal/row"
)

// Witness cosigns checkpoints (C2SP tlog-witness). It keeps its own memory of the log, so it refuses a history that does
// not continue what it has seen.
type Witness interface {
	Name() string
	// Cosign sends a checkpoint with a consistency proof from old, the size the witness saw last, and gives the signature
	// lines. If old is not what the witness has, it gives the size it has and no lines.
	Cosign(ctx context.Context, old int64, proof []row.Hash, checkpoint []byte) (lines []string, has int64, err error)
	// Verifier checks its cosignatures.
	Verifier() note.Verifier
}

// Signer signs the heads of one ledger. One at a time per ledger, in the whole cluster.
type Signer struct {
	Ledger    *Ledger
	Origin    string
	Key       note.Signer
	Log       note.Verifier
	Witnesses []Witness

	standings map[string]*standing // of the witnesses, by name
}

// Sign signs the newest head if the ledger grew since the last checkpoint, after proving that the head continues what was
// signed before; it refuses otherwise. Cosignatures of witnesses that answer are kept with it.
func (s *Signer) Sign(ctx context.Context) (signed bool, err error) {
	head, err := s.Ledger.Head(ctx)
	if err != nil {
		return false, ignoreNotFound(err)
	}
	tree := merkle.Tree{Size: head.Size, Root: head.Root}
	last, ok, err := s.Ledger.store.Checkpoint(ctx, s.Ledger.name)
	same := ok && last.Size == head.Size
	if err != nil || same && s.nobodyToAsk(last.Note) {
		return false, err
	}
	if ok {
		if err := s.continues(ctx, tree, last.Note); err != nil {
			return false, err
		}
	}
	msg, err := merkle.SignCheckpoint(s.Origin, tree, s.Key)
	if err != nil {
		return false, err
	}
	kept := msg
	if same {
		kept = last.Note // with the cosignatures that it has
	}
	cosigned := s.cosign(ctx, tree, msg, kept)
	if same && bytes.Equal(cosigned, last.Note) {
		return false, nil
	}
	return true, s.Ledger.store.SaveCheckpoint(ctx, row.Checkpoint{Ledger: s.Ledger.name, Size: tree.Size, At: s.Ledger.now().UTC(), Note: cosigned})
}

func (s *Signer) continues(ctx context.Context, tree merkle.Tree, last []byte) error {
	older, err := merkle.OpenCheckpoint(last, s.Log)
	if err != nil {
		return fmt.Errorf("ledger %s: the last checkpoint: %w", s.Ledger.name, err)
	}
	if older.Size > tree.Size {
		return fmt.Errorf("ledger %s has %d entries, but a checkpoint of %d was signed: entries are gone", s.Ledger.name, tree.Size, older.Size)
	}
	proof, err := s.Ledger.ProveConsistency(ctx, tree, older.Size)
	if err == nil && older.Size > 0 && older.Size < tree.Size {
		err = merkle.CheckConsistency(tree, older.Tree, proof)
	}
	if err == nil && older.Size == tree.Size && older.Root != tree.Root {
		err = fmt.Errorf("two roots for %d entries", tree.Size)
	}
	if err != nil {
		return fmt.Errorf("ledger %s does not continue the checkpoint of %d entries signed before: %w", s.Ledger.name, older.Size, err)
	}
	return nil
}

// Checkpoint is the newest signed checkpoint.
func (l *Ledger) Checkpoint(ctx context.Context) (row.Checkpoint, error) {
	c, ok, err := l.store.Checkpoint(ctx, l.name)
	if err == nil && !ok {
		err = notFound("checkpoint of ledger " + string(l.name) + " yet")
	}
	return c, err
}
