package replay

import (
	"context"
	"fmt"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/state"
)

// Flip is a recorded decision that would have been another one.
type Flip struct {
	Index   int64        `json:"index"`
	ID      gov.EntryID  `json:"id"`
	Agent   gov.AgentID  `json:"agent"`
	Tool    gov.ToolName `json:"tool"`
	Was     gov.Outcome  `json:"was"`
	Now     gov.Outcome  `json:"now"`
	Reasons []gov.Reason `json:"reasons"` // for what it would be
}

// Backtested says what recorded decisions would have been under another bundle.
type Backtested struct {
	Ledger    gov.Environment  `json:"ledger"`
	From      int64            `json:"from"`
	To        int64            `json:"to"`
	Bundle    gov.BundleDigest `json:"bundle"`
	Decisions int64            `json:"decisions"`
	Same      int64            `json:"same"`
	Erased    int64            `json:"erased"`  // cannot be judged again
	Failed    int64            `json:"failed"`  // their record does not agree with itself; see writ verify
	Flipped   map[string]int64 `json:"flipped"` // by "was to now"
	Examples  []Flip           `json:"examples"`
	Limits    int              `json:"limits"` // of the bundle, each counted from From on: what was allowed then, and had enough left
}

const examplesMax = 20

// Backtest judges the recorded decisions of a range under another bundle, with the sessions, credentials and consents that were
// there. A session's labels are those that were recorded: a call that would now be denied still left its labels. Limits are those of
// the other bundle, counted from the beginning of the range: what was allowed then counts, where they have enough left for it.
func Backtest(ctx context.Context, l *ledger.Ledger, compile state.Compile, r Range, engine *policy.Engine, each Each, progress func(done int64)) (Backtested, error) {
	out := Backtested{Ledger: l.Name(), From: r.From, To: r.To, Bundle: engine.Bundle().Digest, Flipped: map[string]int64{}, Examples: []Flip{}, Limits: len(engine.Limits())}
	p := newPlayer(l, compile, r, each)
	p.instead, p.took, p.differs = engine, out.took, func(int64, gov.EntryID, string) {}
	err := p.play(ctx, progress)
	return out, err
}

func (b *Backtested) took(t judged) {
	b.Decisions++
	switch {
	case t.err != nil:
		b.Failed++
	case !t.ok:
		b.Erased++
	case t.was.Outcome == t.now.Outcome:
		b.Same++
	default:
		b.Flipped[fmt.Sprintf("%s to %s", t.was.Outcome, t.now.Outcome)]++
		if len(b.Examples) < examplesMax {
			b.Examples = append(b.Examples, Flip{t.index, t.id, t.was.Agent, t.was.Tool, t.was.Outcome, t.now.Outcome, t.now.Reasons})
		}
	}
}
