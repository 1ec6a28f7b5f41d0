package merkle

import (
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// TileRef names a tile, or an entry bundle, of the C2SP tlog-tiles API.
type TileRef struct {
	Entries bool // an entry bundle; Level is 0
	Level   int
	Index   int64
	Width   int // 1 to TileWidth; less than TileWidth for a partial one
}

// levelMax is the highest tile level that C2SP tlog-tiles has.
const levelMax = 63

// ParseTilePath reads what follows the ledger's prefix: tile/L/N, tile/L/N.p/W, tile/entries/N, tile/entries/N.p/W, with N
// in groups of three digits (x001/234).
func ParseTilePath(path string) (TileRef, error) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok {
		return TileRef{}, fmt.Errorf("%q is not the path of a tile", path)
	}
	entries := false
	if data, ok := strings.CutPrefix(rest, "entries/"); ok {
		rest, entries = "0/"+data, true
	}
	t, err := tlog.ParseTilePath(fmt.Sprintf("tile/%d/%s", TileHeight, rest))
	if err != nil || t.L < 0 || t.L > levelMax {
		return TileRef{}, fmt.Errorf("%q is not the path of a tile", path)
	}
	return TileRef{Entries: entries, Level: t.L, Index: t.N, Width: t.W}, nil
}

// Path is what ParseTilePath reads.
func (t TileRef) Path() string {
	p := tlog.Tile{H: TileHeight, L: t.Level, N: t.Index, W: t.Width}.Path()
	p = strings.TrimPrefix(p, fmt.Sprintf("tile/%d/", TileHeight))
	if t.Entries {
		return "tile/entries/" + strings.TrimPrefix(p, "0/")
	}
	return "tile/" + p
}
