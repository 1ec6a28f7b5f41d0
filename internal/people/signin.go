package people

import (
	"context"
	"net/netip"
	"net/url"
	"strings"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/state"
)

// CallbackPath is where identity providers send people back to.
const CallbackPath = "/console/sign-in/callback"

// relyingParty reads the address under which people reach the server. Browsers give passkeys only to https, or to localhost by
// that name.
func relyingParty(address string) (host, origin string, err error) {
	u, err := url.Parse(strings.TrimSuffix(address, "/"))
	bad := func(detail string) (string, string, error) {
		return "", "", &gov.Error{Code: gov.CodeInvalidField, Path: "/url", Detail: "the server's address for people, " + address + ", " + detail}
	}
	switch {
	case err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return bad("is not of the form https://writ.example.com")
	case u.Scheme == "https":
	case u.Scheme == "http" && loopback(u.Hostname()):
	default:
		return bad("is not https (http is for localhost only)")
	}
	return u.Hostname(), u.Scheme + "://" + u.Host, nil
}

// CheckURL says whether people can reach a server under an address.
func CheckURL(address string) error {
	_, _, err := relyingParty(address)
	return err
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Begun is a sign-in at an identity provider that has begun: the browser goes to URL and keeps Sealed until it comes back.
type Begun struct {
	URL    string
	Sealed string
}

// BeginOIDC starts a sign-in at an identity provider.
func (s *Service) BeginOIDC(ctx context.Context, issuer, next string, fresh bool) (Begun, error) {
	to, flow, err := s.Identity.BeginSignIn(ctx, issuer, s.URL+CallbackPath, next, fresh, s.Rand)
	if err != nil {
		return Begun{}, err
	}
	sealed, err := s.seal("oidc flow", flow)
	return Begun{URL: to, Sealed: sealed}, err
}

// SignedIn is a new session with its token, which is nowhere else.
type SignedIn struct {
	Session Session
	Token   string
	Next    string // path to go on at
}

// FinishOIDC opens the session of a person whom their identity provider sent back. replaces is the session that the browser had.
func (s *Service) FinishOIDC(ctx context.Context, sealed string, answer url.Values, network, replaces string) (SignedIn, error) {
	var flow identity.Flow
	if err := s.unseal("oidc flow", sealed, &flow); err != nil {
		return SignedIn{}, err
	}
	in, err := s.Identity.FinishSignIn(ctx, flow, s.URL+CallbackPath, answer)
	if err != nil {
		return SignedIn{}, err
	}
	refresh, err := s.sealRefresh(in.Refresh)
	if err != nil {
		return SignedIn{}, err
	}
	out, err := s.open(ctx, opening{caller: in.Caller, profile: in.Profile, how: gov.SignInOIDC, network: network, replaces: replaces, refresh: refresh})
	out.Next = flow.Next
	return out, err
}

// open makes a token and the session of it.
func (s *Service) open(ctx context.Context, o opening) (SignedIn, error) {
	id, token, hash, err := identity.NewSecret(s.Rand, state.RolePerson)
	if err != nil {
		return SignedIn{}, err
	}
	o.key = identity.Key{ID: id, Role: state.RolePerson, Hash: hash}
	session, err := s.signIn(ctx, o)
	return SignedIn{Session: session, Token: token}, err
}
