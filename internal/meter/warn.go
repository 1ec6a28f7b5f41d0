package meter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/limit"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/outbox"
	"github.com/writ-dev/writ/internal/row"
)

// Service tells people of limits that are used as far as they want to hear of. Its fields are set once, before use.
type Service struct {
	Now  func() time.Time
	Rand io.Reader
}

// warnMax is how many counters are looked at in one step.
const warnMax = 100

// Warn records which limits of an environment were used so far, and owes people the notices.
func (s *Service) Warn(ctx context.Context, env *live.Environment) error {
	now := s.Now()
	docs, err := env.Ledger.Store().DocsDue(ctx, env.Ledger.Name(), DocKind, now, warnMax)
	if err != nil {
		return err
	}
	for _, doc := range docs {
		// Somebody else may have said it meanwhile.
		if err := s.warn(ctx, env, doc, now); err != nil && !errors.Is(err, ledger.ErrStale) {
			return err
		}
	}
	return nil
}

func (s *Service) warn(ctx context.Context, env *live.Environment, doc row.Doc, now time.Time) error {
	body, err := warningOf(doc, now)
	if err != nil {
		return err
	}
	record, err := env.Ledger.Draft(s.Rand, canon.KindLimitWarning, canon.Writ(), body, nil)
	if err != nil {
		return err
	}
	if engine := env.Control().Engine; engine != nil {
		record.Docs = outbox.Owe(engine.Bundle(), env.Ledger.Name(), nil, now, gov.EventLimitWarning)
	}
	record.Amends = []ledger.Amend{{Key: doc.DocKey, With: func(doc row.Doc, _ time.Time) (row.Doc, error) {
		if doc.Due.IsZero() {
			return doc, ledger.ErrStale
		}
		doc.Due = time.Time{}
		return doc, nil
	}}}
	_, err = env.Ledger.Append(ctx, record)
	return err
}

func warningOf(doc row.Doc, now time.Time) (canon.LimitWarning, error) {
	c, err := limit.Parse(doc.Data)
	if err != nil {
		return canon.LimitWarning{}, fmt.Errorf("counter %s: %w", doc.ID, err)
	}
	name, key, _ := strings.Cut(doc.ID, "/")
	id, of, _ := strings.Cut(name, "@")
	level, since := c.Warn()
	w := canon.LimitWarning{Limit: id, Of: of, Key: key, Since: since.Format(canon.TimeLayout), WindowSeconds: c.WindowSeconds()}
	if c.Money() {
		w.WarnMicroUSD, w.MicroUSD = level, c.Used(now)
	} else {
		w.WarnCalls, w.Calls = level, c.Used(now)
	}
	return w, nil
}
