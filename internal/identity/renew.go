package identity

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/oauth2"

	"github.com/writ-dev/writ/internal/gov"
)

// ErrSignedOut: the provider no longer stands behind a sign-in. Whatever else goes wrong with Renew says nothing about the person.
var ErrSignedOut = errors.New("the identity provider no longer stands behind the sign-in")

// Renewed is what a provider says of somebody who is signed in.
type Renewed struct {
	Groups  []gov.GroupID // sorted; of no meaning unless Said
	Said    bool          // the provider said who the person is, and not only that they are still signed in
	Refresh string        // token for the next time
}

// Renew asks a provider, with the refresh token of a sign-in, whether it still stands behind the person, and what groups they are in
// (OpenID Connect Core 1.0, section 12).
func (s *Service) Renew(ctx context.Context, issuerURL string, who gov.Principal, refresh string) (Renewed, error) {
	issuer, err := s.peopleIssuer(issuerURL)
	if err != nil {
		return Renewed{}, err
	}
	config, err := s.oauth(ctx, issuer, "")
	if err != nil {
		return Renewed{}, err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.Issuers.sources[issuer.URL].client)
	tokens, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh}).Token()
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.ErrorCode == "invalid_grant" {
		return Renewed{}, ErrSignedOut
	}
	if err != nil {
		return Renewed{}, fmt.Errorf("ask %s: %w", issuer.URL, err)
	}
	out := Renewed{Refresh: tokens.RefreshToken}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return out, nil // which a provider may leave out
	}
	c, from, err := s.verify(ctx, raw, UsePeople)
	if err != nil {
		return Renewed{}, fmt.Errorf("ask %s: %w", issuer.URL, err)
	}
	principal, groups, err := principalOf(c, from)
	if err != nil || from.URL != issuer.URL || from.Audience != issuer.Audience || principal != who {
		return Renewed{}, ErrSignedOut // it is somebody else's, or nobody's
	}
	out.Groups, out.Said = groups, true
	return out, nil
}
