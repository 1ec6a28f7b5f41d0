package identity

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/writ-dev/writ/internal/gov"
)

// Flow is a sign-in under way: what has to be the same when the person comes back from the identity provider. It is secret
// between the server and the person's browser.
type Flow struct {
	Issuer   string    `json:"issuer"`
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // of the code (PKCE, RFC 7636)
	Next     string    `json:"next"`     // path to go on at
	Expires  time.Time `json:"expires"`
}

// Profile is what an identity provider says of a person for people to read. It decides nothing.
type Profile struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

const (
	flowFor      = 10 * time.Minute
	signInMaxAge = 12 * time.Hour // how long ago the person may have signed in at the provider
	randomBytes  = 32
)

// PeopleIssuers lists the URLs of the issuers that sign people in.
func (s *Service) PeopleIssuers() []string {
	var out []string
	if s.Issuers == nil {
		return nil
	}
	for _, i := range s.Issuers.list {
		if i.For == UsePeople {
			out = append(out, i.URL)
		}
	}
	return out
}

func (s *Service) peopleIssuer(url string) (Issuer, error) {
	if s.Issuers != nil {
		for _, i := range s.Issuers.list {
			if i.For == UsePeople && i.URL == url {
				return i, nil
			}
		}
	}
	return Issuer{}, &gov.Error{Code: gov.CodeNotFound, Detail: "no such identity provider is configured for people"}
}

// BeginSignIn starts an authorization code flow with PKCE and gives the address to send the person to. fresh asks the
// provider to authenticate again, whoever is signed in there. redirect is this server's own callback.
func (s *Service) BeginSignIn(ctx context.Context, issuerURL, redirect, next string, fresh bool, random io.Reader) (string, Flow, error) {
	issuer, err := s.peopleIssuer(issuerURL)
	if err != nil {
		return "", Flow{}, err
	}
	config, err := s.oauth(ctx, issuer, redirect)
	if err != nil {
		return "", Flow{}, err
	}
	flow := Flow{Issuer: issuer.URL, Next: next, Expires: s.Now().Add(flowFor)}
	for _, field := range []*string{&flow.State, &flow.Nonce, &flow.Verifier} {
		if *field, err = randomText(random); err != nil {
			return "", Flow{}, err
		}
	}
	age := fmt.Sprint(int64(signInMaxAge / time.Second))
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(flow.Verifier), oauth2.SetAuthURLParam("nonce", flow.Nonce)}
	if fresh {
		age = "0"
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"))
	}
	options = append(options, oauth2.SetAuthURLParam("max_age", age)) // so that the token says when: auth_time
	return config.AuthCodeURL(flow.State, options...), flow, nil
}

// SignedIn is who a provider signed in.
type SignedIn struct {
	Caller
	Profile
	Refresh string // token to ask the provider with whether it still stands behind the person (see Renew); empty: it gave none
}

// FinishSignIn takes what the provider sent the person back with.
func (s *Service) FinishSignIn(ctx context.Context, flow Flow, redirect string, answer url.Values) (SignedIn, error) {
	issuer, err := s.peopleIssuer(flow.Issuer)
	if err != nil {
		return SignedIn{}, err
	}
	if err := s.checkAnswer(flow, answer); err != nil {
		return SignedIn{}, err
	}
	config, err := s.oauth(ctx, issuer, redirect)
	if err != nil {
		return SignedIn{}, err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.Issuers.sources[issuer.URL].client)
	tokens, err := config.Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(flow.Verifier))
	if err != nil {
		return SignedIn{}, &gov.Error{
			Code: gov.CodeUnauthenticated, Detail: "the identity provider did not give a token; sign in again", Err: err,
		}
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return SignedIn{}, refuseToken(CauseMalformed, "the identity provider gave no ID token; see that the client may use the scope openid", nil)
	}
	caller, profile, err := s.signedIn(ctx, raw, issuer, flow.Nonce)
	return SignedIn{Caller: caller, Profile: profile, Refresh: tokens.RefreshToken}, err
}

// checkAnswer checks that the answer is to this flow (OAuth 2.0 state; RFC 9207 iss, where the provider sends it).
func (s *Service) checkAnswer(flow Flow, answer url.Values) error {
	switch from := answer.Get("iss"); {
	case !s.Now().Before(flow.Expires):
		return refuseToken(CauseExpired, "the sign-in took too long; sign in again", nil)
	case flow.State == "" || subtle.ConstantTimeCompare([]byte(flow.State), []byte(answer.Get("state"))) != 1:
		return refuseToken(CauseMalformed, "this is not the answer to the sign-in that this browser began; sign in again", nil)
	case from != "" && from != flow.Issuer:
		return refuseToken(CauseUnknownIssuer, "the answer is of another identity provider than was asked; sign in again", fmt.Errorf("iss %.200q", from))
	case answer.Get("error") != "":
		return refuseToken(CauseClaims, "the identity provider did not sign you in: "+readable(answer.Get("error")), nil)
	}
	return nil
}

// readable cuts what somebody else wrote down to a short word.
func readable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, s[:min(len(s), 64)])
}

func (s *Service) signedIn(ctx context.Context, raw string, want Issuer, nonce string) (Caller, Profile, error) {
	c, issuer, err := s.verify(ctx, raw, UsePeople)
	if err != nil {
		return Caller{}, Profile{}, err
	}
	if issuer.URL != want.URL || issuer.Audience != want.Audience {
		return Caller{}, Profile{}, refuseToken(CauseUnknownIssuer, "the token is of another identity provider than was asked; sign in again", nil)
	}
	if subtle.ConstantTimeCompare([]byte(c.text("nonce")), []byte(nonce)) != 1 {
		return Caller{}, Profile{}, refuseToken(CauseClaims, "the token was not made for this sign-in; sign in again", nil)
	}
	caller, err := personOf(c, issuer)
	return caller, Profile{Name: c.line("name"), Email: c.line("email")}, err
}

// line is a claim for people to read: one line, bounded.
func (c claims) line(name string) string {
	s := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, c.text(name))
	return s[:min(len(s), textBytesMax)]
}

// oauth is the client of an issuer. Discovery says where its endpoints are.
func (s *Service) oauth(ctx context.Context, issuer Issuer, redirect string) (*oauth2.Config, error) {
	set, err := s.Issuers.sources[issuer.URL].current(ctx)
	if err != nil {
		return nil, refuseToken(CauseIssuerUnavailable, "the identity provider "+issuer.URL+" cannot be reached at the moment; try again in a minute", err)
	}
	secret, err := issuer.clientSecret()
	if err != nil {
		return nil, err
	}
	return &oauth2.Config{
		ClientID: issuer.Audience, ClientSecret: secret, Endpoint: set.endpoint, RedirectURL: redirect,
		Scopes: append([]string{"openid", "profile", "email"}, issuer.Scopes...),
	}, nil
}

// clientSecret reads the secret of a confidential client from its file. A public client has none: PKCE protects its codes.
func (i Issuer) clientSecret() (string, error) {
	if i.SecretFile == "" {
		return "", nil
	}
	data, err := os.ReadFile(i.SecretFile)
	if err != nil {
		return "", fmt.Errorf("issuer %s: client secret: %w", i.URL, err)
	}
	secret := strings.TrimSpace(string(data))
	if secret == "" {
		return "", errors.New("issuer " + i.URL + ": the file of the client secret is empty")
	}
	return secret, nil
}

func randomText(random io.Reader) (string, error) {
	var b [randomBytes]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// endpointOf is where a provider authorizes and gives tokens. Both must be as trustworthy as the issuer itself.
func endpointOf(e oauth2.Endpoint) (oauth2.Endpoint, error) {
	for _, u := range []string{e.AuthURL, e.TokenURL} {
		if u == "" {
			continue // an issuer of workloads' tokens needs none
		}
		if err := checkEndpoint(u); err != nil {
			return oauth2.Endpoint{}, err
		}
	}
	return e, nil
}

func checkEndpoint(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("%.100q is no URL", s)
	}
	u.RawQuery = ""
	return checkURL(u.String())
}
