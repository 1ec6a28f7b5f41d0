package app

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/writ-dev/writ/internal/gov"
)

// Keys are what a server keeps apart from its database: whoever has only the database can neither sign a ledger's head nor
// guess what a keyed digest stands for. Every node of a cluster has the same.
type Keys struct {
	Log    ed25519.PrivateKey // signs checkpoints
	Digest []byte             // 32 bytes, of the keyed digests
	Origin string             // of the checkpoints; each ledger's is Origin/NAME
}

// keyFile is the form of Keys on disk.
type keyFile struct {
	Origin string `json:"origin"`
	Log    string `json:"log_key"`    // base64 of the Ed25519 seed
	Digest string `json:"digest_key"` // hexadecimal
}

const digestKeySize = 32

// LoadKeys reads the key file, or makes it when it is not there. A file that others can read is refused.
func LoadKeys(path, origin string, rand io.Reader) (Keys, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return makeKeys(path, origin, rand)
	}
	if err != nil {
		return Keys{}, fmt.Errorf("key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Keys{}, fmt.Errorf("key file %s can be read by others; run: chmod 600 %s", path, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Keys{}, fmt.Errorf("key file: %w", err)
	}
	var f keyFile
	if err := json.Unmarshal(data, &f); err != nil {
		return Keys{}, fmt.Errorf("key file %s is damaged; restore it from a copy: %w", path, err)
	}
	return f.keys(path)
}

func (f keyFile) keys(path string) (Keys, error) {
	seed, err := base64.StdEncoding.DecodeString(f.Log)
	digest, err2 := hex.DecodeString(f.Digest)
	if err = errors.Join(err, err2); err != nil || len(seed) != ed25519.SeedSize || len(digest) != digestKeySize || f.Origin == "" {
		return Keys{}, fmt.Errorf("key file %s is damaged; restore it from a copy", path)
	}
	return Keys{Log: ed25519.NewKeyFromSeed(seed), Digest: digest, Origin: f.Origin}, nil
}

func makeKeys(path, origin string, rand io.Reader) (Keys, error) {
	seed, digest := make([]byte, ed25519.SeedSize), make([]byte, digestKeySize)
	if _, err := io.ReadFull(rand, seed); err != nil {
		return Keys{}, fmt.Errorf("read randomness: %w", err)
	}
	if _, err := io.ReadFull(rand, digest); err != nil {
		return Keys{}, fmt.Errorf("read randomness: %w", err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	if origin == "" {
		public, _ := key.Public().(ed25519.PublicKey)
		origin = "writ.invalid/" + hex.EncodeToString(public[:4])
	}
	f := keyFile{Origin: origin, Log: base64.StdEncoding.EncodeToString(seed), Digest: hex.EncodeToString(digest)}
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return Keys{}, err
	}
	if err := writeDurably(path, append(data, '\n')); err != nil {
		return Keys{}, fmt.Errorf("write key file: %w", err)
	}
	return f.keys(path)
}

// writeDurably makes a file that is whole or not there. A crash right here leaves a temporary file that nobody reads.
func writeDurably(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		// Not Rename: two servers that start at once must not replace each other's key.
		err = os.Link(temporary.Name(), path)
	}
	return errors.Join(err, os.Remove(temporary.Name()))
}

// LedgerOrigin is the origin of one ledger's checkpoints, and the name of its key.
func (k Keys) LedgerOrigin(ledger gov.Environment) string { return k.Origin + "/" + string(ledger) }

// VerifierKey is the C2SP verifier key of one ledger.
func (k Keys) VerifierKey(ledger gov.Environment) string {
	public, ok := k.Log.Public().(ed25519.PublicKey)
	if !ok {
		panic("app: the log key is not Ed25519")
	}
	vkey, err := note.NewEd25519VerifierKey(k.LedgerOrigin(ledger), public)
	if err != nil {
		panic("app: the origin cannot name a key: " + err.Error())
	}
	return vkey
}

// Verifier checks the checkpoints of one ledger.
func (k Keys) Verifier(ledger gov.Environment) note.Verifier {
	v, err := note.NewVerifier(k.VerifierKey(ledger))
	if err != nil {
		panic("app: the verifier key of the log does not parse: " + err.Error())
	}
	return v
}

// algEd25519 marks a key in the C2SP signed-note encoding.
const algEd25519 = 1

// Signer signs the checkpoints of one ledger.
func (k Keys) Signer(ledger gov.Environment) note.Signer {
	name := k.LedgerOrigin(ledger)
	rest, _ := strings.CutPrefix(k.VerifierKey(ledger), name+"+")
	hash, _, _ := strings.Cut(rest, "+")
	key := base64.StdEncoding.EncodeToString(append([]byte{algEd25519}, k.Log.Seed()...))
	s, err := note.NewSigner("PRIVATE+KEY+" + name + "+" + hash + "+" + key)
	if err != nil {
		panic("app: the key of the log does not parse: " + err.Error())
	}
	return s
}
