package storetest

import (
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/row"
)

func doc(kind, id string, version int64, state string, due time.Time) row.Doc {
	return row.Doc{DocKey: row.DocKey{Kind: kind, ID: id}, Version: version, State: state, Due: due, Data: []byte(`{"of":"` + id + `"}`)}
}

func docs(t *testing.T, d Database) {
	s := open(t, d)
	soon, later := start().Add(time.Minute), start().Add(time.Hour)
	a, b, c := doc("approval", "a", 1, "pending", later), doc("approval", "b", 2, "pending", soon), doc("change", "c", 3, "pending", soon)
	b.Opened, c.Opened = 1, 2
	commit(t, s, prod, 3, start(), func(m *row.Commit) { m.Docs = []row.Doc{a, b, c} })
	commit(t, s, staging, 1, start(), func(m *row.Commit) { m.Docs = []row.Doc{a} })
	ctx, most := t.Context(), int64(1000)
	same(t, "newest first", check(s.Docs(ctx, prod, "approval", "", most, 10))(t), []row.Doc{b, a})
	same(t, "below", check(s.Docs(ctx, prod, "approval", "pending", 1, 10))(t), []row.Doc{a})
	same(t, "at most", check(s.Docs(ctx, prod, "approval", "", most, 1))(t), []row.Doc{b})
	same(t, "due soon", check(s.DocsDue(ctx, prod, "approval", soon, 10))(t), []row.Doc{b})
	same(t, "due later", check(s.DocsDue(ctx, prod, "approval", later, 10))(t), []row.Doc{b, a})

	voted := a
	voted.Version, voted.State, voted.Due, voted.Data = 4, "approved", time.Time{}, []byte("{}")
	commit(t, s, prod, 1, start(), func(m *row.Commit) { m.Docs = []row.Doc{voted} })
	found, ok, err := s.Doc(ctx, prod, a.DocKey)
	same(t, "changed", check(found, err)(t), voted)
	same(t, "found", ok, true)
	same(t, "in its new state", check(s.Docs(ctx, prod, "approval", "approved", most, 10))(t), []row.Doc{voted})
	same(t, "not in the old one", check(s.Docs(ctx, prod, "approval", "pending", most, 10))(t), []row.Doc{b})
	same(t, "no longer due", check(s.DocsDue(ctx, prod, "approval", later, 10))(t), []row.Doc{b})
	same(t, "counted", check(s.CountDocs(ctx, prod, "approval"))(t), map[string]int64{"approved": 1, "pending": 1})
	same(t, "counted from the second on", check(s.CountDocsOpened(ctx, prod, "approval", 1, most))(t), map[string]int64{"pending": 1})
	same(t, "counted below the second", check(s.CountDocsOpened(ctx, prod, "approval", 0, 1))(t), map[string]int64{"approved": 1})
	other, _, err := s.Doc(ctx, staging, a.DocKey)
	same(t, "of the other ledger", check(other, err)(t), a)
	if _, ok, err := s.Doc(ctx, prod, row.DocKey{Kind: "approval", ID: "none"}); ok || err != nil {
		t.Errorf("one that is not there: %v, %v", ok, err)
	}
	err = s.Append(ctx, prod, row.Want{Docs: []row.DocKey{a.DocKey, {Kind: "change", ID: "none"}}}, func(f row.Found) (row.Commit, error) {
		same(t, "found under the lock", f.Docs, []row.Doc{voted})
		return row.Commit{}, nil
	})
	check(0, err)(t)
}

func docMoves(t *testing.T, d Database) {
	s := open(t, d)
	a := doc("approval", "a", 1, "pending", time.Time{})
	commit(t, s, prod, 1, start(), func(m *row.Commit) { m.Docs = []row.Doc{a} })
	before := readAll(t, s, prod)
	again := a
	again.State = "approved" // at the same version
	err := s.Append(t.Context(), prod, row.Want{}, func(found row.Found) (row.Commit, error) {
		c := next(found, 1, start())
		c.Docs = []row.Doc{again}
		return c, nil
	})
	if err == nil {
		t.Error("a document changed without a new version")
	}
	same(t, "ledger", readAll(t, s, prod), before)
	found, _, err := s.Doc(t.Context(), prod, a.DocKey)
	same(t, "document", check(found, err)(t), a)
}
