package app_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/merkle"
)

// recorded is a node with so many decisions in prod, a second environment, and a checkpoint of all of it.
func recorded(t *testing.T, c app.Config, decisions int) (n *node, key string, head merkle.Checkpoint) {
	t.Helper()
	n = start(t, c)
	n.acme()
	_, key = n.key("support-bot", "runs_as")
	for range decisions {
		if e := n.post("/v1/decisions", key, fmt.Sprintf(readTicket, "")); e.status != http.StatusOK {
			t.Fatalf("decide: %d %s", e.status, e.body)
		}
	}
	vkey := string(n.get("/ledger/prod/key", n.admin).body)
	verifier, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		t.Fatalf("key %q: %v", vkey, err)
	}
	eventually(t, "a checkpoint of everything", func() bool {
		e := n.get("/ledger/prod/checkpoint", n.admin)
		if e.status != http.StatusOK {
			return false
		}
		if head, err = merkle.OpenCheckpoint(e.body, verifier); err != nil {
			t.Fatal(err)
		}
		return head.Size > int64(decisions)
	})
	return n, key, head
}

// TestTheTilesAreTheTree: what strangers read without a credential is the entries, and leads to the signed root.
func TestTheTilesAreTheTree(t *testing.T) {
	t.Parallel()
	n, _, head := recorded(t, app.Config{Data: t.TempDir()}, 300)
	full, rest := int64(merkle.TileWidth), head.Size-int64(merkle.TileWidth)
	partial := fmt.Sprintf(".p/%d", rest)
	bundles := string(n.get("/ledger/prod/tile/entries/000", "").body) + string(n.get("/ledger/prod/tile/entries/001"+partial, "").body)
	hashes := string(n.get("/ledger/prod/tile/0/000", "").body) + string(n.get("/ledger/prod/tile/0/001"+partial, "").body)
	tree, err := merkle.NewRange(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range head.Size {
		if len(bundles) < 2 || len(hashes) < sha256.Size {
			t.Fatalf("the tiles end at entry %d of %d", i, head.Size)
		}
		size := int(binary.BigEndian.Uint16([]byte(bundles)))
		leaf := merkle.LeafHash([]byte(bundles[2 : 2+size]))
		if string(leaf[:]) != hashes[:sha256.Size] {
			t.Fatalf("entry %d does not have the hash in its tile", i)
		}
		tree.Append(leaf, nil)
		bundles, hashes = bundles[2+size:], hashes[sha256.Size:]
	}
	if tree.Root() != head.Root || bundles != "" || hashes != "" {
		t.Errorf("the entries have the root %x, signed is %x; %d and %d bytes are left", tree.Root(), head.Root, len(bundles), len(hashes))
	}
	above := n.get("/ledger/prod/tile/1/000.p/1", "").body
	first, err := merkle.NewRange(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	tile := n.get("/ledger/prod/tile/0/000", "").body
	for i := range full {
		first.Append([sha256.Size]byte(tile[i*sha256.Size:]), nil)
	}
	if root := first.Root(); string(above) != string(root[:]) {
		t.Errorf("the tile above has %x, the first %d entries have %x", above, full, root)
	}
}

// TestWhatOfALedgerMayBeCached: only what never changes.
func TestWhatOfALedgerMayBeCached(t *testing.T) {
	t.Parallel()
	n, _, head := recorded(t, app.Config{Data: t.TempDir()}, 257)
	for path, want := range map[string][2]string{
		"checkpoint":           {"text/plain; charset=utf-8", "no-store"},
		"key":                  {"text/plain; charset=utf-8", "no-store"},
		"tile/0/000":           {"application/octet-stream", "public, max-age=31536000, immutable"},
		"tile/entries/000":     {"application/octet-stream", "public, max-age=31536000, immutable"},
		"tile/0/001.p/1":       {"application/octet-stream", "no-store"},
		"tile/entries/001.p/1": {"application/octet-stream", "no-store"},
	} {
		resp, err := http.Get(n.URL() + "/ledger/prod/" + path)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if got := [2]string{resp.Header.Get("Content-Type"), resp.Header.Get("Cache-Control")}; resp.StatusCode != http.StatusOK || got != want {
			t.Errorf("%s: %d %q, want %q", path, resp.StatusCode, got, want)
		}
	}
	for _, path := range []string{
		"prod/tile/0/001", "prod/tile/entries/001", fmt.Sprintf("prod/tile/0/001.p/%d", head.Size-255), "prod/tile/1/000", "prod/tile/9/000", "prod/tile/64/000", "prod/tile/-1/000",
		"prod/tile/0/000.p/0", "prod/tile/0/000.p/256", "prod/tile/0/0", "prod/tile/0/x000/000", "prod/tile/0", "prod/tile/entries", "prod/tile/", "prod/tile/0/999999999999999999999",
		"nowhere/checkpoint", "nowhere/tile/0/000", "nowhere/key", "prod%2f..%2forg/checkpoint",
	} {
		if e := n.get("/ledger/"+path, ""); e.status != http.StatusNotFound || !strings.HasPrefix(e.kind, "application/problem+json") {
			t.Errorf("%s: %d %s", path, e.status, e.kind)
		}
	}
}

func TestWhoReadsAPrivateLedger(t *testing.T) {
	t.Parallel()
	n, key, head := recorded(t, app.Config{Data: t.TempDir(), PrivateLedger: true}, 1)
	id, revoked := n.key("support-bot", "runs_as")
	if e := n.send(http.MethodDelete, "/v1/credentials/"+id, n.admin, jsonType, []byte(`{"reason":"test"}`)); e.status != http.StatusOK {
		t.Fatalf("revoke: %s", e.body)
	}
	eventually(t, "a checkpoint of org", func() bool { return n.get("/ledger/org/checkpoint", n.admin).status == http.StatusOK })
	for name, c := range map[string]struct {
		token     string
		prod, org int
	}{
		"an administrator":   {n.admin, 200, 200},
		"an agent of prod":   {key, 200, 403},
		"nobody":             {"", 401, 401},
		"a revoked key":      {revoked, 401, 401},
		"somebody else's":    {"writ_key_0000000000000000_" + strings.Repeat("0", 58), 401, 401},
		"what is no token":   {"x", 401, 401},
		"half of an agent's": {key[:len(key)-1], 401, 401},
	} {
		for _, path := range []string{"checkpoint", "key", fmt.Sprintf("tile/0/000.p/%d", head.Size), "tile/entries/000.p/1"} {
			if e := n.get("/ledger/prod/"+path, c.token); e.status != c.prod {
				t.Errorf("%s reads %s of prod: %d, want %d", name, path, e.status, c.prod)
			}
			if path = strings.Replace(path, fmt.Sprint(head.Size), "1", 1); n.get("/ledger/org/"+path, c.token).status != c.org {
				t.Errorf("%s reads %s of org: not %d", name, path, c.org)
			}
		}
	}
	if e := n.get("/ledger/nowhere/key", key); e.status != http.StatusForbidden {
		t.Errorf("an agent learns which environments there are: %d", e.status)
	}
}

// TestEntriesAreForAdministrators, whether the ledger is private or not: agents read decisions, which are their own.
func TestEntriesAreForAdministrators(t *testing.T) {
	t.Parallel()
	n, key, head := recorded(t, app.Config{Data: t.TempDir()}, 3)
	for token, want := range map[string]int{"": 401, key: 403, n.admin: 200} {
		for _, ledger := range []string{"prod", "org"} {
			if e := n.get("/v1/entries?ledger="+ledger, token); e.status != want {
				t.Errorf("%s: %d, want %d", ledger, e.status, want)
			}
		}
	}
	page := n.get("/v1/entries?ledger=prod&from=1&limit=2", n.admin).decode(t)
	if len(page["entries"].([]any)) != 2 || page["from"] != 1.0 || page["next"] != 3.0 || page["size"].(float64) < float64(head.Size) {
		t.Errorf("a page of two: %v", page)
	}
	if page := n.get("/v1/entries?ledger=prod&from=100000", n.admin).decode(t); len(page["entries"].([]any)) != 0 || page["next"] != 100000.0 {
		t.Errorf("a page behind the end: %v", page)
	}
	for query, want := range map[string]int{
		"": 400, "?ledger=nowhere": 404, "?ledger=prod&from=-1": 400, "?ledger=prod&from=x": 400, "?ledger=prod&limit=0": 400, "?ledger=prod&limit=1001": 400, "?ledger=prod&colour=1": 400,
	} {
		if e := n.get("/v1/entries"+query, n.admin); e.status != want {
			t.Errorf("entries%s: %d, want %d", query, e.status, want)
		}
	}
}

// TestANodeServesALedgerThatAnotherOpened to those who bring no credential that would make it look.
func TestANodeServesALedgerThatAnotherOpened(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 2, app.Config{})
	nodes[0].acme()
	eventually(t, "the key of prod on the other node", func() bool { return nodes[1].get("/ledger/prod/key", "").status == http.StatusOK })
}
