package merkle

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/writ-dev/writ/internal/row"
)

// Checkpoint is a signed tree head (C2SP tlog-checkpoint) that was opened: its signature by the log was checked.
type Checkpoint struct {
	Origin string
	Tree
	Note       []byte   // the whole note, with every signature
	Cosigners  []string // names of the witnesses whose cosignature was checked
	Extensions []string
}

// checkpointLinesMin is origin, size and root.
const checkpointLinesMin = 3

// checkpointBytesMax bounds what is read as a checkpoint.
const checkpointBytesMax = 64 << 10

// SignCheckpoint makes the note of a tree head.
func SignCheckpoint(origin string, t Tree, signer note.Signer) ([]byte, error) {
	text := origin + "\n" + strconv.FormatInt(t.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(t.Root[:]) + "\n"
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return signed, nil
}

// OpenCheckpoint reads a checkpoint and insists on the log's signature. Cosignatures of the witnesses given are checked
// and named; signatures by others are passed over.
func OpenCheckpoint(msg []byte, log note.Verifier, witnesses ...note.Verifier) (Checkpoint, error) {
	if len(msg) > checkpointBytesMax {
		return Checkpoint{}, fmt.Errorf("checkpoint of %d bytes: over %d", len(msg), checkpointBytesMax)
	}
	opened, err := note.Open(msg, note.VerifierList(append(witnesses, log)...))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("open checkpoint: %w", err)
	}
	c, err := parseCheckpoint(opened.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	c.Note = msg
	signed := false
	for _, s := range opened.Sigs {
		if s.Name == log.Name() && s.Hash == log.KeyHash() {
			signed = true
			continue
		}
		c.Cosigners = append(c.Cosigners, s.Name)
	}
	if !signed {
		return Checkpoint{}, fmt.Errorf("checkpoint of %s is not signed by the log's key %s", c.Origin, log.Name())
	}
	return c, nil
}

func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < checkpointLinesMin {
		return Checkpoint{}, errors.New("checkpoint has fewer than three lines")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("checkpoint size %q is not a number of entries", lines[1])
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != len(row.Hash{}) {
		return Checkpoint{}, fmt.Errorf("checkpoint root %q is not a hash", lines[2])
	}
	return Checkpoint{Origin: lines[0], Tree: Tree{Size: size, Root: row.Hash(root)}, Extensions: lines[3:]}, nil
}

// NewWitnessVerifier reads a witness's verifier key: cosignature/v1 with Ed25519, or ML-DSA-44 (C2SP tlog-cosignature).
func NewWitnessVerifier(vkey string) (note.Verifier, error) {
	v, err := fnote.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		return nil, fmt.Errorf("witness key %q: %w", vkey, err)
	}
	return v, nil
}
