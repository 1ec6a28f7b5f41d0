package identity

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

const (
	fetchTimeout   = 5 * time.Second  // of one request to an issuer
	fetchBytesMax  = 512 << 10        // of one answer of an issuer
	keysMax        = 64               // of one issuer
	keysFreshFor   = 10 * time.Minute // then they are fetched again, so that a withdrawn key stops counting
	keysUsableFor  = time.Hour        // then an issuer that does not answer is not believed any more
	reloadInterval = 10 * time.Second // between fetches for keys nobody knows, which anybody can provoke
	retryFirst     = time.Second      // after a failed fetch, doubled with every further one
	retryMax       = time.Minute
	errorBytesMax  = 300 // of what an issuer's answer may put into the log
)

var (
	errUnknownKey  = errors.New("the issuer publishes no key with this id and algorithm")
	errUnavailable = errors.New("the issuer cannot be asked for its keys")
)

// source is one issuer's keys: fetched when first needed, fetched again when they are old or a token names an unknown one,
// kept for a while when the issuer is down. One request at a time asks the issuer; the others go on with the keys there are.
type source struct {
	url    string
	client *http.Client
	now    func() time.Time
	keys   atomic.Pointer[keySet] // nil until the issuer has answered once

	turn     chan struct{} // holds one; whoever has taken it may ask the issuer and touch what follows
	failures int           // since the last success
	retryAt  time.Time     // not before
	lastErr  error
}

// keySet is what an issuer published at a time. It is not changed once made.
type keySet struct {
	keys     []jose.JSONWebKey
	endpoint oauth2.Endpoint // to sign people in
	loaded   time.Time
}

func newSource(url string, now func() time.Time) *source {
	s := &source{url: url, now: now, turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	s.client = &http.Client{
		Timeout:   fetchTimeout,
		Transport: bounded{http.DefaultTransport},
		// An issuer that redirects would be another one.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

// find gives the keys that may have signed a token. Without a key id every key of the algorithm may.
func (k *keySet) find(id, algorithm string) []crypto.PublicKey {
	var found []crypto.PublicKey
	for _, key := range k.keys {
		if (id == "" || key.KeyID == id) && (key.Algorithm == "" || key.Algorithm == algorithm) {
			found = append(found, key.Key)
		}
	}
	return found
}

// find gives the keys that may have signed a token with this header, asking the issuer where that can help. Errors are
// errUnknownKey, errUnavailable or the context's.
func (s *source) find(ctx context.Context, id, algorithm string) ([]crypto.PublicKey, error) {
	set, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	if found := set.find(id, algorithm); len(found) > 0 {
		return found, nil
	}
	if s.now().Sub(set.loaded) < reloadInterval {
		return nil, errUnknownKey
	}
	if set, err = s.reload(ctx, set); err != nil {
		return nil, err
	}
	if found := set.find(id, algorithm); len(found) > 0 {
		return found, nil
	}
	return nil, errUnknownKey
}

// current gives the keys to go by now.
func (s *source) current(ctx context.Context) (*keySet, error) {
	set := s.keys.Load()
	if set == nil || s.now().Sub(set.loaded) >= keysUsableFor {
		return s.reload(ctx, set)
	}
	if s.now().Sub(set.loaded) < keysFreshFor {
		return set, nil
	}
	select {
	case <-s.turn:
		defer s.yield()
		if fresh, err := s.ask(ctx, set); err == nil {
			return fresh, nil
		}
	default: // somebody else asks already
	}
	return set, nil
}

// reload waits for the turn and gives keys newer than old.
func (s *source) reload(ctx context.Context, old *keySet) (*keySet, error) {
	select {
	case <-s.turn:
		defer s.yield()
		return s.ask(ctx, old)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *source) yield() { s.turn <- struct{}{} }

// ask fetches the keys, unless somebody did since old or the last failure is too recent. The caller has the turn. A caller
// that goes away does not stop the fetch: the others wait for it too.
func (s *source) ask(ctx context.Context, old *keySet) (*keySet, error) {
	if set := s.keys.Load(); set != old {
		return set, nil
	}
	now := s.now()
	if now.Before(s.retryAt) {
		return nil, fmt.Errorf("%w: not asked again until %s: %w", errUnavailable, s.retryAt.Format(time.RFC3339), s.lastErr)
	}
	set, err := s.fetch(context.WithoutCancel(ctx))
	if err != nil {
		s.lastErr = fmt.Errorf("%.*s", errorBytesMax, err.Error())
		s.retryAt = now.Add(min(retryFirst<<min(s.failures, 10), retryMax))
		s.failures++
		return nil, fmt.Errorf("%w: %w", errUnavailable, s.lastErr)
	}
	set.loaded = now
	s.failures, s.retryAt, s.lastErr = 0, time.Time{}, nil
	s.keys.Store(set)
	return set, nil
}

// fetch discovers the issuer (OpenID Connect Discovery 1.0; the document must name the same issuer) and gets its keys.
func (s *source) fetch(ctx context.Context) (*keySet, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, s.client), s.url)
	if err != nil {
		return nil, fmt.Errorf("discover %s: %w", s.url, err)
	}
	var document struct {
		KeysURL string `json:"jwks_uri"`
	}
	if err := provider.Claims(&document); err != nil {
		return nil, fmt.Errorf("discover %s: %w", s.url, err)
	}
	if err := checkURL(document.KeysURL); err != nil {
		return nil, fmt.Errorf("discover %s: jwks_uri: %w", s.url, err)
	}
	endpoint, err := endpointOf(provider.Endpoint())
	if err != nil {
		return nil, fmt.Errorf("discover %s: %w", s.url, err)
	}
	body, err := s.get(ctx, document.KeysURL)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(body)
	return &keySet{keys: keys, endpoint: endpoint}, err
}

func (s *source) get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("get keys: %w", err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("get keys: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get keys of %s: status %s", url, resp.Status)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("get keys of %s: %w", url, err)
	}
	return body, nil
}

// parseKeys reads a JWK Set (RFC 7517) and keeps the public signing keys. Keys of kinds it does not know are passed over, as
// the RFC asks; a symmetric key never counts, whoever publishes it.
func parseKeys(body []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if len(set.Keys) > keysMax {
		return nil, fmt.Errorf("read keys: %d of them, at most %d can be", len(set.Keys), keysMax)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if err := json.Unmarshal(raw, &key); err != nil || !key.IsPublic() || (key.Use != "" && key.Use != "sig") {
			continue
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("read keys: none that can check a signature")
	}
	return keys, nil
}

// bounded limits what an issuer can make us read.
type bounded struct{ next http.RoundTripper }

// RoundTrip passes on and limits the body of the answer.
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, fetchBytesMax)
	return resp, nil
}
