package witness_test

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/writ-dev/writ/internal/merkle"
	"github.com/writ-dev/writ/internal/row"
)

// server is a witness of one log, as strict as C2SP tlog-witness lets it be: it takes nothing that the page does not
// describe, remembers the newest tree it has cosigned, and cosigns nothing that does not continue it.
type server struct {
	*httptest.Server
	t      *testing.T
	log    note.Verifier
	origin string
	signer *fnote.Signer

	mu    sync.Mutex
	tree  merkle.Tree
	asked int
	fault http.HandlerFunc // answers instead, when set
}

// newServer starts a witness with a key of its own.
func newServer(t *testing.T, name, origin string, log note.Verifier) (s *server, vkey string) {
	t.Helper()
	skey, plain, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := fnote.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err = fnote.VKeyToCosignatureV1(plain)
	if err != nil {
		t.Fatal(err)
	}
	s = &server{t: t, log: log, origin: origin, signer: signer}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s, vkey
}

// set makes the witness answer with something else; nil makes it a witness again.
func (s *server) set(fault http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// requests is how many requests came.
func (s *server) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.fault != nil {
		s.fault(w, r)
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/add-checkpoint" {
		s.t.Errorf("a witness was asked %s %s", r.Method, r.URL.Path)
		http.NotFound(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Errorf("body: %v", err)
		return
	}
	old, proof, checkpoint, err := parseRequest(string(body))
	if err != nil {
		s.t.Errorf("not the request of tlog-witness: %v in %q", err, body)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.judge(w, old, proof, checkpoint)
}

const proofLinesMax = 63

// parseRequest reads "old N", proof lines, an empty line, and the checkpoint.
func parseRequest(body string) (old int64, proof []row.Hash, checkpoint []byte, err error) {
	head, note, ok := strings.Cut(body, "\n\n")
	lines := strings.Split(head, "\n")
	size, is := strings.CutPrefix(lines[0], "old ")
	if !ok || !is {
		return 0, nil, nil, errors.New("no old size, or no empty line")
	}
	old, err = strconv.ParseInt(size, 10, 64)
	if err != nil || old < 0 || strconv.FormatInt(old, 10) != size {
		return 0, nil, nil, fmt.Errorf("old size %q", size)
	}
	if len(lines)-1 > proofLinesMax {
		return 0, nil, nil, fmt.Errorf("a proof of %d lines", len(lines)-1)
	}
	for _, line := range lines[1:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(hash) != len(row.Hash{}) {
			return 0, nil, nil, fmt.Errorf("proof line %q", line)
		}
		proof = append(proof, row.Hash(hash))
	}
	if old == 0 && len(proof) > 0 {
		return 0, nil, nil, errors.New("a proof from nothing")
	}
	return old, proof, []byte(note), nil
}

// judge answers as the page says, in its order.
func (s *server) judge(w http.ResponseWriter, old int64, proof []row.Hash, checkpoint []byte) {
	c, err := merkle.OpenCheckpoint(checkpoint, s.log)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	case c.Origin != s.origin:
		http.Error(w, "unknown origin", http.StatusNotFound)
		return
	case old > c.Size:
		http.Error(w, "old is larger than the checkpoint", http.StatusBadRequest)
		return
	case old != s.tree.Size, c.Size == s.tree.Size && s.tree.Size > 0 && c.Root != s.tree.Root:
		w.Header().Set("Content-Type", "text/x.tlog.size")
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintf(w, "%d\n", s.tree.Size)
		return
	case old > 0 && old < c.Size && merkle.CheckConsistency(c.Tree, s.tree, proof) != nil, old == c.Size && len(proof) > 0:
		http.Error(w, "the proof does not hold", http.StatusUnprocessableEntity)
		return
	}
	s.tree = c.Tree
	_, _ = io.WriteString(w, s.cosignature(checkpoint)) // a caller who hung up misses it
}

// cosignature is the line that this witness adds to a checkpoint.
func (s *server) cosignature(checkpoint []byte) string {
	opened, err := note.Open(checkpoint, note.VerifierList(s.log))
	if err != nil {
		s.t.Errorf("open: %v", err)
		return ""
	}
	signed, err := note.Sign(&note.Note{Text: opened.Text}, s.signer)
	if err != nil {
		s.t.Errorf("cosign: %v", err)
		return ""
	}
	_, line, _ := strings.Cut(string(signed), "\n\n")
	return line
}
