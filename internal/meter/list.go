package meter

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/limit"
	"github.com/writ-dev/writ/internal/row"
)

// Counted is what one counter holds now.
type Counted struct {
	Key string
	limit.Use
	Used int64     // of the limit: calls, or micro-USD
	Next time.Time // when it holds less, if nothing more is counted
}

// List gives what the counters of a limit hold at a time, the newest keys first: at most so many, of which those are left out that
// hold nothing. more says that there may be others. A limit that counts everything together has one, whatever it holds.
func List(ctx context.Context, l *ledger.Ledger, r *limit.Rule, at time.Time, most int) (out []Counted, more bool, err error) {
	docs, err := l.Store().Docs(ctx, l.Name(), DocKind, r.Name, math.MaxInt64, most)
	if err != nil {
		return nil, false, err
	}
	if r.Per == "" && len(docs) == 0 {
		docs = []row.Doc{{DocKey: keyOf(r.Name + "/")}}
	}
	for _, doc := range docs {
		c, err := counterOf(doc, r)
		if err != nil {
			return nil, false, err
		}
		if u := c.Use(at); r.Per == "" || u != (limit.Use{}) {
			out = append(out, Counted{Key: strings.TrimPrefix(doc.ID, r.Name+"/"), Use: u, Used: c.Used(at), Next: c.Next(at)})
		}
	}
	return out, len(docs) == most, nil
}
