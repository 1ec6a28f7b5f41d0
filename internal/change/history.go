package change

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
)

// InForce is a bundle for as long as it was in force, with who stands behind that.
type InForce struct {
	ID          gov.EntryID      `json:"id"`    // of the activation
	Index       int64            `json:"index"` // of the activation: decisions behind it are judged under the bundle
	Bundle      gov.BundleDigest `json:"bundle"`
	From        string           `json:"from"`            // TimeLayout
	Until       string           `json:"until,omitempty"` // TimeLayout; absent: it is in force
	How         canon.How        `json:"how"`
	Change      gov.EntryID      `json:"change,omitempty"` // that a review is of: the proposal, or the rollback itself
	Author      canon.Actor      `json:"author"`           // who proposed it, rolled back, or activated the first one
	Activator   canon.Actor      `json:"activator"`
	Reviews     []Review         `json:"reviews"`
	Description string           `json:"description,omitempty"` // of the proposal
	Reason      string           `json:"reason,omitempty"`      // with rollback and emergency
	Commit      string           `json:"commit,omitempty"`
	Branch      string           `json:"branch,omitempty"`
	Tests       int              `json:"tests"` // of the bundle's own, which passed
}

// History lists every activation of an environment, newest first: what was in force from when to when.
func (s *Service) History(ctx context.Context, env *live.Environment) ([]InForce, error) {
	_, items, err := env.Ledger.ChangesSince(ctx, 0)
	if err != nil {
		return nil, err
	}
	out := []InForce{}
	from := map[gov.BundleDigest]Source{}
	for _, item := range items {
		if item.Kind != canon.KindBundleActivated {
			continue
		}
		row, err := s.inForce(ctx, env, item)
		if err != nil {
			return nil, fmt.Errorf("activation at index %d: %w", item.Index, err)
		}
		if row.How == canon.HowRollback { // what came back is from where it was from before
			row.Commit, row.Branch = from[row.Bundle].Commit, from[row.Bundle].Branch
		}
		from[row.Bundle] = Source{Commit: row.Commit, Branch: row.Branch}
		if len(out) > 0 {
			out[len(out)-1].Until = row.From
		}
		out = append(out, row)
	}
	slices.Reverse(out)
	return out, nil
}

func (s *Service) inForce(ctx context.Context, env *live.Environment, item ledger.Item) (InForce, error) {
	body, err := canon.Body[canon.BundleActivated](item.Entry)
	if err != nil {
		return InForce{}, err
	}
	engine, err := env.Engine(ctx, body.Bundle)
	if err != nil {
		return InForce{}, err
	}
	row := InForce{
		ID: item.ID, Index: item.Index, Bundle: body.Bundle, From: item.At, How: body.How, Change: body.Change, Author: item.Actor.Who(), Activator: item.Actor.Who(),
		Reviews: []Review{}, Reason: body.Reason, Commit: body.Commit, Branch: body.Branch, Tests: len(engine.Bundle().Tests),
	}
	switch body.How {
	case canon.HowBootstrap:
		return row, nil
	case canon.HowRollback:
		row.Change = item.ID
	default:
	}
	p, err := s.Find(ctx, env, row.Change)
	if err != nil {
		return InForce{}, err
	}
	row.Author, row.Reviews = p.Author, p.Reviews
	if !p.Rollback {
		row.Description, row.Commit, row.Branch = p.Description, p.Commit, p.Branch
	}
	return row, nil
}

// At gives the one of a history that was in force at a time, or nothing. Both ends are the times of entries: from the first on,
// until before the next.
func At(history []InForce, at time.Time) []InForce {
	text := at.UTC().Format(canon.TimeLayout)
	for i, row := range history { // newest first
		if row.From <= text {
			return history[i : i+1]
		}
	}
	return []InForce{}
}
