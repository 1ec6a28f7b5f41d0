package people

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/row"
)

const (
	renewer    = "renew sign-ins"
	refreshUse = "refresh token"
)

// renewals is what is remembered of sessions whose provider is asked, beside the ledger: by session.
type renewals map[string]renewal

type renewal struct {
	Refresh string    `json:"refresh"` // sealed
	At      time.Time `json:"at"`      // when the provider last stood behind the sign-in
}

func (s *Service) sealRefresh(token string) (string, error) {
	if token == "" {
		return "", nil
	}
	return s.seal(refreshUse, token)
}

// Renew asks the identity providers about the sessions of which they gave a refresh token, each at an interval, and ends those that they
// no longer stand behind: the person was signed out or off-boarded there, or is no longer in a group that the session has them in. A
// provider that does not answer ends nothing: sessions end by themselves, and a vote wants a sign-in of the last minutes. One node at a
// time does this. A crash between an answer and the end of Renew may lose the next token, and then the session ends.
func (s *Service) Renew(ctx context.Context, interval time.Duration) error {
	had, err := s.renewals(ctx)
	if err != nil {
		return err
	}
	live, err := s.Sessions(ctx, "")
	if err != nil {
		return err
	}
	keep, asked, silent := renewals{}, false, map[string]bool{}
	var wrong []error
	for _, x := range live {
		r, known := had[x.ID()]
		if !known {
			r = renewal{Refresh: x.Refresh, At: x.StartedAt}
		}
		if r.Refresh == "" {
			continue
		}
		if keep[x.ID()] = r; s.Now().Sub(r.At) < interval || silent[x.Issuer] {
			continue
		}
		asked = true
		if r, err = s.renew(ctx, x, r); err != nil {
			silent[x.Issuer] = true // the others wait: each question may take as long as the provider is waited for
			wrong = append(wrong, fmt.Errorf("session %s: %w", x.ID(), err))
			continue
		}
		if keep[x.ID()] = r; r.Refresh == "" {
			delete(keep, x.ID())
		}
	}
	if asked || len(keep) != len(had) {
		wrong = append(wrong, s.saveRenewals(ctx, keep))
	}
	return errors.Join(wrong...)
}

// renew asks about one session. One that ends gives no renewal.
func (s *Service) renew(ctx context.Context, x Session, r renewal) (renewal, error) {
	var token string
	if err := s.unseal(refreshUse, r.Refresh, &token); err != nil {
		return renewal{}, s.disowned(ctx, x) // by another key: nobody can ask any more
	}
	now := s.Now()
	said, err := s.Identity.Renew(ctx, x.Issuer, x.Principal, token)
	lost := said.Said && slices.ContainsFunc(x.Groups, func(g gov.GroupID) bool { return !slices.Contains(said.Groups, g) })
	if errors.Is(err, identity.ErrSignedOut) || err == nil && lost {
		return renewal{}, s.disowned(ctx, x)
	}
	if err != nil {
		return r, err
	}
	refresh, err := s.sealRefresh(said.Refresh)
	return renewal{Refresh: refresh, At: now}, err
}

// disowned ends a session that its provider no longer stands behind.
func (s *Service) disowned(ctx context.Context, x Session) error {
	return s.end(ctx, canon.Writ(), x.ID(), gov.SessionSignedOutAtIssuer)
}

func (s *Service) renewals(ctx context.Context) (renewals, error) {
	f, err := s.org().Ledger.Follower(ctx, renewer)
	if err != nil || len(f.State) == 0 {
		return renewals{}, err
	}
	had := renewals{}
	if err := json.Unmarshal(f.State, &had); err != nil {
		return nil, fmt.Errorf("%s: %w", renewer, err)
	}
	return had, nil
}

func (s *Service) saveRenewals(ctx context.Context, keep renewals) error {
	return s.org().Ledger.SaveFollower(context.WithoutCancel(ctx), renewer, row.Follower{State: encode(keep)})
}
