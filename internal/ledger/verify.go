package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/merkle"
	"github.com/writ-dev/writ/internal/row"
)

// Finding is something wrong with a ledger: where, and what.
type Finding struct {
	Index int64  `json:"index"` // of the first entry concerned; -1 when the ledger as a whole is
	What  string `json:"what"`
}

// Report says what a verification checked and what it found.
type Report struct {
	Ledger      gov.Environment `json:"ledger"`
	Origin      string          `json:"origin,omitempty"`
	Entries     int64           `json:"entries"`
	Root        string          `json:"root"`
	Checkpoints int             `json:"checkpoints"` // signed heads that the entries were compared with
	Cosigners   []string        `json:"cosigners,omitempty"`
	Payloads    int64           `json:"payloads"`           // that agree with their commitments
	Erased      int64           `json:"erased"`             // groups committed to whose payload is gone
	Signed      int64           `json:"signed_approvals"`   // votes whose passkey's signature holds
	Enrolled    int64           `json:"enrolled_approvals"` // of these, by a passkey that the organization's ledger says is the person's
	Findings    []Finding       `json:"findings"`
}

// Source is a ledger as a verifier reads it: a database, a server's tiles, an exported file.
type Source interface {
	// Scan calls fn for every entry in order, from 0.
	Scan(ctx context.Context, fn func(Raw) error) error
	// Size is how many entries the source says it has; only for progress.
	Size() int64
	// Payloads says whether Scan gives payloads.
	Payloads() bool
}

// Claims are the signed heads, and the kept hashes, that the entries must agree with.
type Claims struct {
	Heads []merkle.Checkpoint // in any order
	Nodes func(ctx context.Context, level int, index int64) (row.Hash, bool, error)
	Head  *row.Head // the database's own newest head

	Enrolled map[Enrolment]bool // what the organization's ledger says of passkeys; nil: it is not at hand
}

// findingsMax bounds a report: a ledger that is wrong everywhere need not be listed everywhere.
const findingsMax = 100

// verifier derives a ledger again.
type verifier struct {
	ledger  gov.Environment
	claims  Claims
	tree    *merkle.Range
	last    time.Time
	nodes   []row.Node
	heads   map[int64][]merkle.Checkpoint
	report  *Report
	payload bool
	shown   map[gov.EntryID]row.Hash // leaf hashes of the decisions that asked people
}

// Verify derives the tree from the entries and compares it with everything that is claimed of it: every entry has its one
// form, stands where its id says and is not older than the one before; payloads agree with their commitments; kept hashes,
// the head and every signed checkpoint agree with the entries. progress is called now and then with the entries done.
func Verify(ctx context.Context, name gov.Environment, src Source, claims Claims, progress func(done int64)) (Report, error) {
	tree, err := merkle.NewRange(0, nil)
	if err != nil {
		return Report{}, err
	}
	v := &verifier{
		ledger: name, claims: claims, tree: tree, heads: map[int64][]merkle.Checkpoint{}, shown: map[gov.EntryID]row.Hash{}, payload: src.Payloads(),
		report: &Report{Ledger: name, Findings: []Finding{}},
	}
	for _, h := range claims.Heads {
		v.heads[h.Size] = append(v.heads[h.Size], h)
	}
	v.compareHeads()
	err = src.Scan(ctx, func(r Raw) error {
		if r.Index%progressEvery == 0 {
			progress(r.Index)
		}
		return v.entry(ctx, r)
	})
	if err != nil && !errors.Is(err, errEnough) {
		if ctx.Err() != nil {
			return Report{}, err
		}
		v.find(tree.Size(), "the entries cannot be read further: "+err.Error())
	}
	v.finish()
	progress(tree.Size())
	return *v.report, nil
}

const progressEvery = 1 << 12

var errEnough = errors.New("enough findings")

func (v *verifier) find(index int64, what string) {
	if len(v.report.Findings) < findingsMax {
		v.report.Findings = append(v.report.Findings, Finding{Index: index, What: what})
	}
}

func (v *verifier) entry(ctx context.Context, r Raw) error {
	index := v.tree.Size()
	if r.Index != index {
		v.find(index, fmt.Sprintf("entries %d to %d are missing", index, r.Index-1))
		return errEnough
	}
	v.form(r)
	v.nodes = v.tree.Append(v.tree.LeafHash(r.Bytes), v.nodes[:0])
	for _, n := range v.nodes {
		if err := v.node(ctx, n); err != nil {
			return err
		}
	}
	v.compareHeads()
	if len(v.report.Findings) >= findingsMax {
		return errEnough
	}
	return nil
}

// form checks an entry by itself, and its payload.
func (v *verifier) form(r Raw) {
	e, err := canon.Decode(r.Bytes)
	if err != nil {
		v.find(r.Index, err.Error())
		return
	}
	if place, _, _ := canon.IndexOf(e.ID); place != r.Index {
		v.find(r.Index, fmt.Sprintf("entry %s belongs at index %d: entries were moved", e.ID, place))
	}
	if e.Ledger != v.ledger {
		v.find(r.Index, fmt.Sprintf("the entry is of ledger %s", e.Ledger))
	}
	at, err := e.Time()
	if err == nil && at.Before(v.last) {
		v.find(r.Index, "the entry is older than the one before it")
	}
	v.last = at
	v.votes(e, r)
	if v.payload {
		v.checkPayload(e, r)
	}
}

func (v *verifier) checkPayload(e canon.Entry, r Raw) {
	p, err := canon.DecodePayload(r.Payload)
	if err != nil {
		v.find(r.Index, err.Error())
		return
	}
	commitments, err := CommitmentsOf(e)
	if err != nil {
		v.find(r.Index, err.Error())
		return
	}
	changed, erased := p.Check(commitments)
	for _, g := range changed {
		v.find(r.Index, fmt.Sprintf("the payload of group %s does not agree with the entry's commitment", g))
	}
	v.report.Erased += int64(len(erased))
	if len(commitments) > 0 && len(changed) == 0 {
		v.report.Payloads++
	}
}

// CommitmentsOf are the commitments that an entry makes to its payload, whatever its kind.
func CommitmentsOf(e canon.Entry) (map[canon.Group]canon.Commitment, error) {
	var body struct {
		Commitments map[canon.Group]canon.Commitment `json:"commitments"`
	}
	if err := jsonv2.Unmarshal(e.Body, &body); err != nil {
		return nil, fmt.Errorf("commitments of %s: %w", e.ID, err)
	}
	return body.Commitments, nil
}

func (v *verifier) node(ctx context.Context, n row.Node) error {
	if v.claims.Nodes == nil {
		return nil
	}
	kept, ok, err := v.claims.Nodes(ctx, n.Level, n.Index)
	if err != nil {
		return err
	}
	first := n.Index << n.Level
	switch {
	case !ok:
		v.find(first, fmt.Sprintf("the kept hash over entries %d to %d is gone", first, first+1<<n.Level-1))
	case kept != n.Hash:
		v.find(first, fmt.Sprintf("entries %d to %d do not have the hash kept when they were written: at least one was changed", first, first+1<<n.Level-1))
	}
	return nil
}

// compareHeads compares the tree, at its present size, with the checkpoints signed at that size.
func (v *verifier) compareHeads() {
	for _, h := range v.heads[v.tree.Size()] {
		v.report.Checkpoints++
		if h.Root != v.tree.Root() {
			v.find(-1, fmt.Sprintf("the first %d entries do not have the root that was signed for them: history was changed", h.Size))
		}
	}
	delete(v.heads, v.tree.Size())
}

// finish compares the ends.
func (v *verifier) finish() {
	size, root := v.tree.Size(), v.tree.Root()
	v.report.Entries, v.report.Root = size, fmt.Sprintf("%x", root)
	for _, left := range v.heads {
		for _, h := range left {
			v.find(-1, fmt.Sprintf("a checkpoint of %d entries was signed, but there are %d: the tail was cut", h.Size, size))
		}
	}
	if h := v.claims.Head; h != nil && len(v.report.Findings) == 0 {
		switch {
		case h.Size > size:
			v.find(-1, fmt.Sprintf("the head says %d entries, but there are %d: the tail was cut", h.Size, size))
		case h.Size < size:
			v.find(h.Size, fmt.Sprintf("the head says %d entries, but there are %d", h.Size, size))
		case h.Root != root:
			v.find(-1, "the head's root is not the root of the entries: at least one was changed")
		}
	}
}

// scan is the source of a verification from this ledger's own store, up to a size.
type scan struct {
	l    *Ledger
	size int64
}

func (s scan) Scan(ctx context.Context, fn func(Raw) error) error {
	return s.l.Scan(ctx, 0, s.size, true, fn)
}
func (s scan) Size() int64    { return s.size }
func (s scan) Payloads() bool { return true }

// VerifyStored derives this ledger again from its store, up to its newest head, against the kept hashes, every signed
// checkpoint that is kept, and the checkpoints given.
func (l *Ledger) VerifyStored(ctx context.Context, log note.Verifier, claims Claims, progress func(int64)) (Report, error) {
	head, err := l.store.Head(ctx, l.name)
	if err != nil {
		return Report{}, err
	}
	claims.Head, claims.Nodes = &head, l.keptNode
	kept, err := l.store.Checkpoints(ctx, l.name, checkpointsMax)
	if err != nil {
		return Report{}, err
	}
	var bad []Finding
	for _, c := range kept {
		opened, err := merkle.OpenCheckpoint(c.Note, log)
		if err != nil {
			bad = append(bad, Finding{Index: -1, What: fmt.Sprintf("the kept checkpoint of %d entries: %v", c.Size, err)})
			continue
		}
		claims.Heads = append(claims.Heads, opened)
	}
	// The checkpoints may be newer than the head that was read first.
	size := head.Size
	for _, c := range claims.Heads {
		if c.Size > size {
			newest, err := l.store.Head(ctx, l.name)
			if err != nil {
				return Report{}, err
			}
			head, size = newest, newest.Size
			break
		}
	}
	report, err := Verify(ctx, l.name, scan{l, size}, claims, progress)
	report.Findings = append(bad, report.Findings...)
	return report, err
}

// checkpointsMax is how many kept checkpoints a verification compares: 100 days of one an hour, the newest.
const checkpointsMax = 2400

func (l *Ledger) keptNode(ctx context.Context, level int, index int64) (row.Hash, bool, error) {
	nodes, err := l.store.Nodes(ctx, l.name, level, index, index+1)
	if err != nil || len(nodes) == 0 {
		return row.Hash{}, false, err
	}
	return nodes[0].Hash, true, nil
}
