// Package merkle is the tree over a ledger's entries (RFC 6962): hashes, growth, proofs, C2SP checkpoints and tiles, over
// golang.org/x/mod/sumdb. It promises that a proof it makes was checked against the root it is for, and that a tree grown
// step by step has the root of the tree derived at once. It is pure.
package merkle

import (
	"crypto/sha256"
	"fmt"
	"hash"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/writ-dev/writ/internal/row"
)

// TileHeight is the height of a tile: 256 hashes wide (C2SP tlog-tiles).
const TileHeight = 8

// TileWidth is how many hashes, or entries, a full tile has.
const TileWidth = 1 << TileHeight

// LeafHash is SHA-256 over a zero byte and the entry.
func LeafHash(entry []byte) row.Hash { return row.Hash(tlog.RecordHash(entry)) }

// Range is the compact range of a growing tree: the roots of the perfect subtrees of its size, largest first. It has a hash of its
// own, since it hashes more than anything else and tlog makes one each time.
type Range struct {
	size int64
	edge []row.Hash
	hash hash.Hash
	room []byte
}

// What RFC 6962 puts before a leaf and before two hashes.
const (
	leafPrefix = 0
	nodePrefix = 1
)

// NewRange continues a tree of which size and edge are known.
func NewRange(size int64, edge []row.Hash) (*Range, error) {
	if size < 0 || popcount(size) != len(edge) {
		return nil, fmt.Errorf("a tree of %d entries has %d perfect subtrees, not %d", size, popcount(size), len(edge))
	}
	return &Range{size: size, edge: append(make([]row.Hash, 0, 64), edge...), hash: sha256.New()}, nil
}

// LeafHash is the hash of a leaf, as the function of this name gives it.
func (r *Range) LeafHash(entry []byte) row.Hash {
	r.hash.Reset()
	r.room = append(r.room[:0], leafPrefix)
	r.hash.Write(r.room)
	r.hash.Write(entry)
	return r.sum()
}

func (r *Range) nodeHash(left, right row.Hash) row.Hash {
	r.hash.Reset()
	r.room = append(append(append(r.room[:0], nodePrefix), left[:]...), right[:]...)
	r.hash.Write(r.room)
	return r.sum()
}

func (r *Range) sum() row.Hash {
	r.room = r.hash.Sum(r.room[:0])
	return row.Hash(r.room)
}

func popcount(n int64) int {
	count := 0
	for ; n > 0; n &= n - 1 {
		count++
	}
	return count
}

// Append adds a leaf. nodes gains the hash of every subtree that the leaf completes at a level divisible by TileHeight.
func (r *Range) Append(leaf row.Hash, nodes []row.Node) []row.Node {
	h, level, index := leaf, 0, r.size
	for ; index&1 == 1; index >>= 1 {
		h = r.nodeHash(r.edge[len(r.edge)-1], h)
		r.edge = r.edge[:len(r.edge)-1]
		level++
		if level%TileHeight == 0 {
			nodes = append(nodes, row.Node{Level: level, Index: index >> 1, Hash: h})
		}
	}
	r.edge = append(r.edge, h)
	r.size++
	return nodes
}

// Size is the number of leaves.
func (r *Range) Size() int64 { return r.size }

// Edge is a copy of the compact range.
func (r *Range) Edge() []row.Hash { return append([]row.Hash(nil), r.edge...) }

// Root is the RFC 6962 root; of an empty tree the hash of nothing.
func (r *Range) Root() row.Hash {
	if r.size == 0 {
		return emptyRoot()
	}
	h := r.edge[len(r.edge)-1]
	for i := len(r.edge) - 2; i >= 0; i-- {
		h = r.nodeHash(r.edge[i], h)
	}
	return h
}

func emptyRoot() row.Hash {
	root, err := tlog.TreeHash(0, nil)
	if err != nil {
		panic("merkle: the empty tree has a root: " + err.Error())
	}
	return row.Hash(root)
}

// Tiles gives the hashes of a tile: width hashes at tile level and index. Level 0 is leaf hashes, level 1 the roots of
// 256 leaves, and so on. Implementations read them from where they are kept; every one is checked against the root.
type Tiles interface {
	TileHashes(level int, index int64, width int) ([]row.Hash, error)
}

// reader puts Tiles under tlog.TileHashReader.
type reader struct{ tiles Tiles }

func (r reader) Height() int { return TileHeight }

func (r reader) SaveTiles([]tlog.Tile, [][]byte) {}

func (r reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		hashes, err := r.tiles.TileHashes(t.L, t.N, t.W)
		if err != nil {
			return nil, fmt.Errorf("read tile %s: %w", t.Path(), err)
		}
		if len(hashes) != t.W {
			return nil, fmt.Errorf("tile %s has %d hashes, not %d", t.Path(), len(hashes), t.W)
		}
		for _, h := range hashes {
			out[i] = append(out[i], h[:]...)
		}
	}
	return out, nil
}

// Tree names a tree by its size and root.
type Tree struct {
	Size int64
	Root row.Hash
}

func (t Tree) tlog() tlog.Tree { return tlog.Tree{N: t.Size, Hash: tlog.Hash(t.Root)} }

// ProveInclusion proves that the leaf at index is in the tree. The hashes were checked against its root.
func ProveInclusion(t Tree, index int64, tiles Tiles) ([]row.Hash, error) {
	if index < 0 || index >= t.Size {
		return nil, fmt.Errorf("index %d is not in a tree of %d entries", index, t.Size)
	}
	proof, err := tlog.ProveRecord(t.Size, index, tlog.TileHashReader(t.tlog(), reader{tiles}))
	return fromTlog(proof), err
}

// CheckInclusion checks a proof of ProveInclusion.
func CheckInclusion(t Tree, index int64, leaf row.Hash, proof []row.Hash) error {
	return tlog.CheckRecord(toTlog(proof), t.Size, tlog.Hash(t.Root), index, tlog.Hash(leaf))
}

// ProveConsistency proves that the tree begins with the older tree of the given size (1 or more).
func ProveConsistency(t Tree, older int64, tiles Tiles) ([]row.Hash, error) {
	proof, err := tlog.ProveTree(t.Size, older, tlog.TileHashReader(t.tlog(), reader{tiles}))
	return fromTlog(proof), err
}

// CheckConsistency checks a proof of ProveConsistency.
func CheckConsistency(t, older Tree, proof []row.Hash) error {
	return tlog.CheckTree(toTlog(proof), t.Size, tlog.Hash(t.Root), older.Size, tlog.Hash(older.Root))
}

func fromTlog(hashes []tlog.Hash) []row.Hash {
	out := make([]row.Hash, len(hashes))
	for i, h := range hashes {
		out[i] = row.Hash(h)
	}
	return out
}

func toTlog(hashes []row.Hash) []tlog.Hash {
	out := make([]tlog.Hash, len(hashes))
	for i, h := range hashes {
		out[i] = tlog.Hash(h)
	}
	return out
}
