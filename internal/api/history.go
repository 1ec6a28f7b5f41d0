package api

import (
	"context"
	"math"
	"net/url"
	"time"

	"github.com/writ-dev/writ/internal/change"
	"github.com/writ-dev/writ/internal/gov"
)

// historyPage is what was in force in an environment, newest first.
type historyPage struct {
	Environment gov.Environment  `json:"environment"`
	Bundles     []change.InForce `json:"bundles"`
	NextCursor  string           `json:"next_cursor,omitempty"`
}

// historyQuery is what the history is asked by.
type historyQuery struct {
	environment string
	at          time.Time // zero: every activation
	below       int64
	limit       int
}

func (q *historyQuery) read(params url.Values, now time.Time) (err error) {
	for name, values := range params {
		if len(values) != 1 {
			return &gov.Error{Code: gov.CodeInvalidField, Path: "/" + name, Detail: "is given more than once"}
		}
		switch value := values[0]; name {
		case "environment":
			q.environment = value
		case "at":
			if q.at, err = time.Parse(time.RFC3339Nano, value); err != nil || q.at.After(now) {
				err = &gov.Error{Code: gov.CodeInvalidField, Path: "/at", Detail: "must be a time such as 2026-11-17T14:03:00Z, and not in the future"}
			}
		case "limit":
			q.limit, err = readLimit(value, docsMax)
		case "cursor":
			q.below, err = readCursor(value)
		default:
			err = &gov.Error{Code: gov.CodeUnknownField, Path: "/" + name, Detail: "is not a filter; known are environment, at, limit, cursor"}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) listBundles(ctx context.Context, r *request) (any, error) {
	q := historyQuery{below: math.MaxInt64, limit: limitDefault}
	if err := q.read(r.URL.Query(), s.Now()); err != nil {
		return nil, err
	}
	env, err := s.environment(r, q.environment)
	if err != nil {
		return nil, err
	}
	history, err := s.Change.History(ctx, env)
	if err != nil {
		return nil, err
	}
	if !q.at.IsZero() {
		return historyPage{Environment: env.Ledger.Name(), Bundles: change.At(history, q.at)}, nil
	}
	out := historyPage{Environment: env.Ledger.Name(), Bundles: []change.InForce{}}
	for _, row := range history {
		if row.Index >= q.below {
			continue
		}
		if len(out.Bundles) == q.limit {
			out.NextCursor = cursorOf(out.Bundles[q.limit-1].Index)
			break
		}
		out.Bundles = append(out.Bundles, row)
	}
	return out, nil
}
