package merkle_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/writ-dev/writ/internal/merkle"
	"github.com/writ-dev/writ/internal/row"
)

// forest is a tree with everything that a store would keep of it, and tlog's own hashes beside it.
type forest struct {
	leaves []row.Hash
	nodes  map[[2]int64]row.Hash // level and index
	stored []tlog.Hash
	lie    bool
}

func leaf(i int64) row.Hash { return merkle.LeafHash(binary.BigEndian.AppendUint64(nil, uint64(i))) }

func grow(t testing.TB, size int64) (*merkle.Range, *forest) {
	t.Helper()
	r, err := merkle.NewRange(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &forest{nodes: map[[2]int64]row.Hash{}}
	for i := range size {
		var nodes []row.Node
		if entry := binary.BigEndian.AppendUint64(nil, uint64(i)); r.LeafHash(entry) != leaf(i) {
			t.Fatalf("leaf %d has two hashes", i)
		}
		nodes = r.Append(leaf(i), nodes)
		f.leaves = append(f.leaves, leaf(i))
		for _, n := range nodes {
			f.nodes[[2]int64{int64(n.Level), n.Index}] = n.Hash
		}
		hashes, err := tlog.StoredHashesForRecordHash(i, tlog.Hash(leaf(i)), f)
		if err != nil {
			t.Fatal(err)
		}
		f.stored = append(f.stored, hashes...)
	}
	return r, f
}

// ReadHashes serves tlog, the oracle.
func (f *forest) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		out[i] = f.stored[index]
	}
	return out, nil
}

// TileHashes serves the package under test from leaves and kept nodes, as a store does.
func (f *forest) TileHashes(level int, index int64, width int) ([]row.Hash, error) {
	out := make([]row.Hash, 0, width)
	for i := index * merkle.TileWidth; len(out) < width; i++ {
		h, ok := f.nodes[[2]int64{int64(level) * merkle.TileHeight, i}]
		if level == 0 {
			h, ok = f.leaves[i], true
		}
		if !ok {
			return nil, errors.New("no such node")
		}
		out = append(out, h)
	}
	if f.lie {
		out[0][0] ^= 1
	}
	return out, nil
}

func tree(r *merkle.Range) merkle.Tree { return merkle.Tree{Size: r.Size(), Root: r.Root()} }

func TestAGrownTreeHasTheRootOfTheTreeDerivedAtOnce(t *testing.T) {
	t.Parallel()
	r, f := grow(t, 70_000)
	for _, size := range []int64{0, 1, 2, 3, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 70_000} {
		want, err := tlog.TreeHash(size, f)
		if err != nil {
			t.Fatal(err)
		}
		part, err := merkle.NewRange(0, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range size {
			part.Append(leaf(i), nil)
		}
		if part.Root() != row.Hash(want) {
			t.Errorf("%d leaves: another root", size)
		}
		again, err := merkle.NewRange(size, part.Edge())
		if err != nil || again.Root() != part.Root() {
			t.Errorf("%d leaves, continued: another root, %v", size, err)
		}
	}
	for key, h := range f.nodes {
		if want := f.stored[tlog.StoredHashIndex(int(key[0]), key[1])]; h != row.Hash(want) {
			t.Errorf("node %v is another one", key)
		}
	}
	if want := int(r.Size()/256 + r.Size()/65_536); len(f.nodes) != want {
		t.Errorf("%d nodes were kept, not %d", len(f.nodes), want)
	}
	if _, err := merkle.NewRange(5, make([]row.Hash, 3)); err == nil {
		t.Error("an edge that does not fit its size is taken")
	}
}

func TestProofsHoldAndBreakWithAnyBit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.Int64Range(1, 1500).Draw(rt, "size")
		r, f := grow(t, size)
		at := tree(r)
		index := rapid.Int64Range(0, size-1).Draw(rt, "index")
		proof, err := merkle.ProveInclusion(at, index, f)
		if err != nil {
			rt.Fatal(err)
		}
		if err := merkle.CheckInclusion(at, index, leaf(index), proof); err != nil {
			rt.Fatal(err)
		}
		if merkle.CheckInclusion(at, index, leaf(index+1), proof) == nil {
			rt.Fatal("another leaf is proved")
		}
		if len(proof) > 0 {
			broken := slices.Clone(proof)
			broken[rapid.IntRange(0, len(proof)-1).Draw(rt, "hash")][rapid.IntRange(0, 31).Draw(rt, "byte")] ^= 1
			if merkle.CheckInclusion(at, index, leaf(index), broken) == nil {
				rt.Fatal("a broken proof holds")
			}
		}
		older := rapid.Int64Range(1, size).Draw(rt, "older")
		before, _ := grow(t, older)
		consistency, err := merkle.ProveConsistency(at, older, f)
		if err != nil {
			rt.Fatal(err)
		}
		if err := merkle.CheckConsistency(at, tree(before), consistency); err != nil {
			rt.Fatal(err)
		}
		forged := tree(before)
		forged.Root[3] ^= 1
		if merkle.CheckConsistency(at, forged, consistency) == nil {
			rt.Fatal("a rewritten past is consistent")
		}
	})
}

func TestTilesThatLieAreFoundOut(t *testing.T) {
	t.Parallel()
	r, f := grow(t, 700)
	f.lie = true
	if _, err := merkle.ProveInclusion(tree(r), 300, f); err == nil {
		t.Error("a proof was made of changed tiles")
	}
	if _, err := merkle.ProveInclusion(tree(r), 700, f); err == nil {
		t.Error("a proof of what is not there")
	}
}

func keys(t *testing.T, name string) (note.Signer, note.Verifier, string, string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return s, v, skey, vkey
}

func TestCheckpointsAreSignedByTheLog(t *testing.T) {
	t.Parallel()
	signer, log, _, _ := keys(t, "example.com/prod")
	stranger, other, _, _ := keys(t, "example.org/prod")
	r, _ := grow(t, 300)
	msg, err := merkle.SignCheckpoint("example.com/prod", tree(r), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := merkle.OpenCheckpoint(msg, log)
	if err != nil || c.Tree != tree(r) || c.Origin != "example.com/prod" || len(c.Cosigners) != 0 {
		t.Fatalf("%+v, %v", c, err)
	}
	foreign, err := merkle.SignCheckpoint("example.com/prod", tree(r), stranger)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"another size":   strings.Replace(string(msg), "\n300\n", "\n301\n", 1),
		"a size with 0":  strings.Replace(string(msg), "\n300\n", "\n0300\n", 1),
		"another origin": strings.Replace(string(msg), "example.com/prod\n", "example.com/prud\n", 1),
		"foreign key":    string(foreign),
		"cut":            string(msg[:len(msg)-10]),
		"nothing":        "",
		"too long":       strings.Repeat("x", 1<<17),
	} {
		if _, err := merkle.OpenCheckpoint([]byte(text), log); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	// A signature by somebody else beside the log's does not disturb, and does not count.
	both := append(slices.Clone(msg), foreign[bytes.Index(foreign, []byte("\n\n"))+2:]...)
	if c, err := merkle.OpenCheckpoint(both, log); err != nil || len(c.Cosigners) != 0 {
		t.Errorf("with a stranger's signature: %+v, %v", c, err)
	}
	if _, err := merkle.OpenCheckpoint(foreign, log, other); err == nil {
		t.Error("a witness's signature alone makes a checkpoint")
	}
}

func TestWitnessesAreNamedWhenTheirCosignatureChecks(t *testing.T) {
	t.Parallel()
	signer, log, _, _ := keys(t, "example.com/prod")
	r, _ := grow(t, 3)
	msg, err := merkle.SignCheckpoint("example.com/prod", tree(r), signer)
	if err != nil {
		t.Fatal(err)
	}
	_, _, ed25519Key, ed25519Plain := keys(t, "witness.example/ed")
	edSigner, err := fnote.NewSignerForCosignatureV1(ed25519Key)
	if err != nil {
		t.Fatal(err)
	}
	edKey, err := fnote.VKeyToCosignatureV1(ed25519Plain)
	if err != nil {
		t.Fatal(err)
	}
	mldsaSecret, mldsaKey, err := fnote.GenerateMLDSAKey("witness.example/ml")
	if err != nil {
		t.Fatal(err)
	}
	mldsaSigner, err := fnote.NewMLDSASigner(mldsaSecret)
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]struct {
		signer note.Signer
		vkey   string
	}{"witness.example/ed": {edSigner, edKey}, "witness.example/ml": {mldsaSigner, mldsaKey}} {
		verifier, err := merkle.NewWitnessVerifier(w.vkey)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		opened, err := note.Open(msg, note.VerifierList(log))
		if err != nil {
			t.Fatal(err)
		}
		cosigned, err := note.Sign(opened, w.signer)
		if err != nil {
			t.Fatal(err)
		}
		c, err := merkle.OpenCheckpoint(cosigned, log, verifier)
		if err != nil || !slices.Equal(c.Cosigners, []string{name}) {
			t.Errorf("%s: %v, %v", name, c.Cosigners, err)
		}
	}
	if _, err := merkle.NewWitnessVerifier("garbage"); err == nil {
		t.Error("garbage is a key")
	}
}

func TestTilePathsReadBack(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]merkle.TileRef{
		"tile/0/000":                 {Width: 256},
		"tile/0/x001/234":            {Index: 1234, Width: 256},
		"tile/2/000.p/7":             {Level: 2, Width: 7},
		"tile/entries/x001/x002/003": {Entries: true, Index: 1002003, Width: 256},
		"tile/entries/005.p/255":     {Entries: true, Index: 5, Width: 255},
	} {
		got, err := merkle.ParseTilePath(path)
		if err != nil || got != want || got.Path() != path {
			t.Errorf("%s: %+v (%s), %v", path, got, got.Path(), err)
		}
	}
	for _, path := range []string{"", "tile", "tile/", "tile/0", "tile/0/1", "tile/0/000.p/256", "tile/0/000.p/0", "tile/-1/000", "tile/data/000", "tile/entries/", "tile/entries/0/000", "tile/0/../000", "checkpoint", "tile/64/000"} {
		if got, err := merkle.ParseTilePath(path); err == nil {
			t.Errorf("%q is read as %+v", path, got)
		}
	}
}

func FuzzOpenCheckpoint(f *testing.F) {
	skey, vkey, err := note.GenerateKey(rand.Reader, "example.com/prod")
	if err != nil {
		f.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		f.Fatal(err)
	}
	log, err := note.NewVerifier(vkey)
	if err != nil {
		f.Fatal(err)
	}
	msg, err := merkle.SignCheckpoint("example.com/prod", merkle.Tree{Size: 3}, signer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(msg)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := merkle.OpenCheckpoint(data, log)
		if err == nil && (c.Size != 3 || c.Origin != "example.com/prod") {
			t.Fatalf("%+v was never signed", c)
		}
	})
}
