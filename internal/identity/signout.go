package identity

import (
	"context"
	"encoding/json"

	"github.com/writ-dev/writ/internal/gov"
)

// eventLogout marks a logout token (OpenID Connect Back-Channel Logout 1.0, section 2.4). No other token has events.
const (
	claimEvents = "events"
	eventLogout = "http://schemas.openid.net/event/backchannel-logout"
)

// SignedOut reads a logout token of an identity provider: whose sessions, begun with that provider, are over. A token that names a
// session of the provider only is refused: those are not known here.
func (s *Service) SignedOut(ctx context.Context, raw string) (gov.Principal, string, error) {
	c, issuer, err := s.verify(ctx, raw, UsePeople)
	if err != nil {
		return gov.Principal{}, "", err
	}
	var events map[string]json.RawMessage
	if err := json.Unmarshal(c[claimEvents], &events); err != nil {
		return gov.Principal{}, "", refuseToken(CauseClaims, "the token is no logout token: it has no events", err)
	}
	if _, ok := events[eventLogout]; !ok {
		return gov.Principal{}, "", refuseToken(CauseClaims, "the token's event is another one than a logout", nil)
	}
	if _, ok := c["nonce"]; ok {
		return gov.Principal{}, "", refuseToken(CauseClaims, "a logout token has no nonce; this is a token of a sign-in", nil)
	}
	p := gov.Principal{Type: gov.PrincipalUser, ID: c.text(issuer.SubjectClaim)}
	if !p.Valid() {
		return gov.Principal{}, "", refuseToken(CauseClaims, "the logout token does not say whose sessions are over: have the provider send "+issuer.SubjectClaim, nil)
	}
	return p, issuer.URL, nil
}
