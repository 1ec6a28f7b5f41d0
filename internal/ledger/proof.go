package ledger

import (
	"context"
	"fmt"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/merkle"
	"github.com/writ-dev/writ/internal/row"
)

// Proof shows that an entry is in the tree of a size.
type Proof struct {
	Index int64
	Leaf  row.Hash
	Tree  merkle.Tree
	Path  []row.Hash // RFC 6962 audit path
}

// Prove makes an inclusion proof of the entry at index against the newest tree. Every hash in it was checked against the root.
func (l *Ledger) Prove(ctx context.Context, index int64) (Proof, error) {
	head, err := l.store.Head(ctx, l.name)
	if err != nil {
		return Proof{}, err
	}
	batch, n, err := l.batchOf(ctx, index)
	if err != nil {
		return Proof{}, err
	}
	raw, err := nth(batch, n)
	if err != nil {
		return Proof{}, err
	}
	p := Proof{Index: index, Leaf: merkle.LeafHash(raw), Tree: merkle.Tree{Size: head.Size, Root: head.Root}}
	p.Path, err = merkle.ProveInclusion(p.Tree, index, l.tiles(ctx))
	return p, err
}

// ProveConsistency shows that the tree begins with an older one of the given size.
func (l *Ledger) ProveConsistency(ctx context.Context, t merkle.Tree, older int64) ([]row.Hash, error) {
	if older == 0 || older == t.Size {
		return nil, nil
	}
	return merkle.ProveConsistency(t, older, l.tiles(ctx))
}

func (l *Ledger) tiles(ctx context.Context) merkle.Tiles { return tileSource{ctx, l} }

// tileSource reads tiles from the rows: leaves are hashed on the fly, higher levels are nodes.
type tileSource struct {
	ctx context.Context
	l   *Ledger
}

// TileHashes reads one tile.
func (t tileSource) TileHashes(level int, index int64, width int) ([]row.Hash, error) {
	from := index * merkle.TileWidth
	hashes := make([]row.Hash, 0, width)
	if level == 0 {
		err := t.l.Scan(t.ctx, from, from+int64(width), false, func(r Raw) error {
			hashes = append(hashes, merkle.LeafHash(r.Bytes))
			return nil
		})
		return hashes, err
	}
	nodes, err := t.l.store.Nodes(t.ctx, t.l.name, level*merkle.TileHeight, from, from+int64(width))
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		hashes = append(hashes, n.Hash)
	}
	return hashes, nil
}

// Tile reads what the tlog-tiles API serves at a path: hashes end to end, or framed entries. ok is false when the ledger
// does not have the tile at that width yet.
func (l *Ledger) Tile(ctx context.Context, ref merkle.TileRef) (data []byte, ok bool, err error) {
	head, err := l.store.Head(ctx, l.name)
	if err != nil {
		return nil, false, err
	}
	shift := ref.Level * merkle.TileHeight
	if shift > 62 || ref.Index*merkle.TileWidth+int64(ref.Width) > head.Size>>shift {
		return nil, false, nil
	}
	if ref.Entries {
		data, err = l.entryBundle(ctx, ref)
		return data, err == nil, err
	}
	hashes, err := l.tiles(ctx).TileHashes(ref.Level, ref.Index, ref.Width)
	if err != nil {
		return nil, false, err
	}
	if len(hashes) != ref.Width {
		return nil, false, fmt.Errorf("ledger %s: %s has %d hashes, not %d", l.name, ref.Path(), len(hashes), ref.Width)
	}
	for _, h := range hashes {
		data = append(data, h[:]...)
	}
	return data, true, nil
}

func (l *Ledger) entryBundle(ctx context.Context, ref merkle.TileRef) ([]byte, error) {
	var data []byte
	from := ref.Index * merkle.TileWidth
	err := l.Scan(ctx, from, from+int64(ref.Width), false, func(r Raw) error {
		data = canon.AppendFramed(data, r.Bytes)
		return nil
	})
	return data, err
}
