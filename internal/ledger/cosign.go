package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/writ-dev/writ/internal/merkle"
)

// standing is what the signer knows of one witness.
type standing struct {
	seen   int64         // the size that the witness has, as far as known
	wait   time.Duration // after the next failure
	notYet time.Time     // it is not asked before
}

const (
	witnessTriesMax = 2 // how often a witness that has another size than thought is asked at a time
	witnessWaitMin  = 2 * time.Second
	witnessWaitMax  = 5 * time.Minute
)

func (s *Signer) standing(w Witness) *standing {
	if s.standings == nil {
		s.standings = map[string]*standing{}
	}
	st, ok := s.standings[w.Name()]
	if !ok {
		st = &standing{wait: witnessWaitMin}
		s.standings[w.Name()] = st
	}
	return st
}

// due says whether a witness is to be asked now: it has not cosigned this note, and is not being left alone after a failure.
func (s *Signer) due(w Witness, note []byte) bool {
	return !s.cosigned(w, note) && !s.Ledger.now().Before(s.standing(w).notYet)
}

func (s *Signer) cosigned(w Witness, note []byte) bool {
	c, err := merkle.OpenCheckpoint(note, s.Log, w.Verifier())
	return err == nil && len(c.Cosigners) > 0
}

func (s *Signer) nobodyToAsk(note []byte) bool {
	for _, w := range s.Witnesses {
		if s.due(w, note) {
			return false
		}
	}
	return true
}

// cosign asks every witness that is due to cosign msg, and gives the kept note with the lines that check. One that fails is
// left out and asked again later: twice as much later each time, so that a witness that is down does not hold up the others.
func (s *Signer) cosign(ctx context.Context, tree merkle.Tree, msg, kept []byte) []byte {
	for _, w := range s.Witnesses {
		if !s.due(w, kept) {
			continue
		}
		lines, err := s.ask(ctx, w, tree, msg)
		if err == nil {
			kept, err = s.add(w, kept, lines)
		}
		st := s.standing(w)
		if err == nil {
			st.wait, st.notYet = witnessWaitMin, time.Time{}
			continue
		}
		st.notYet = s.Ledger.now().Add(st.wait)
		s.Ledger.log.Warn("witness", "witness", w.Name(), "err", err, "again_in", st.wait)
		st.wait = min(2*st.wait, witnessWaitMax)
	}
	return kept
}

// add gives the note with those of the lines that check.
func (s *Signer) add(w Witness, note []byte, lines []string) ([]byte, error) {
	for _, line := range lines {
		candidate := append(bytes.Clone(note), line...)
		if c, err := merkle.OpenCheckpoint(candidate, s.Log, w.Verifier()); err == nil && len(c.Cosigners) > 0 {
			return candidate, nil
		}
	}
	return note, errors.New("the witness gave no cosignature that checks")
}

// ask gives the signature lines of a witness. One that has another size than thought says so, and is asked again from there.
func (s *Signer) ask(ctx context.Context, w Witness, tree merkle.Tree, msg []byte) ([]string, error) {
	st := s.standing(w)
	for range witnessTriesMax {
		if st.seen > tree.Size {
			return nil, fmt.Errorf("the witness has seen %d entries, the ledger has %d: entries are gone", st.seen, tree.Size)
		}
		proof, err := s.Ledger.ProveConsistency(ctx, tree, st.seen)
		if err != nil {
			return nil, err
		}
		lines, has, err := w.Cosign(ctx, st.seen, proof, msg)
		if err != nil {
			return nil, err
		}
		if lines != nil {
			st.seen = tree.Size
			return lines, nil
		}
		st.seen = has
	}
	return nil, fmt.Errorf("the witness has %d entries and still did not cosign", st.seen)
}
