package app

import (
	"context"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/incident"
)

// Take records signals of an environment, as the job that follows its ledger does.
func (a *App) Take(ctx context.Context, name gov.Environment, signals []incident.Emitted) error {
	return a.incident.Take(ctx, a.environments.Open(name), signals)
}

// Page does what the job does that tells who is on call.
func (a *App) Page(ctx context.Context, name gov.Environment) error {
	return a.incident.Page(ctx, a.environments.Open(name))
}

// Head is how many entries the ledger of an environment has.
func (a *App) Head(ctx context.Context, name gov.Environment) (int64, error) {
	head, err := a.environments.Open(name).Ledger.Head(ctx)
	return head.Size, err
}

// CookieFor is what the server would put into a browser for a session's token.
func (a *App) CookieFor(token string) string { return a.people.Cookie(token) }
