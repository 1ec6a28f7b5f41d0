// Package identitytest is an OpenID provider on loopback for tests: zitadel/oidc with real discovery, keys and token
// endpoint, and a login page, so that programs and browsers can sign people in; its keys can be rotated and withdrawn, and it
// can go away or go wrong. It is for tests only.
package identitytest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// Provider is a running OpenID provider.
type Provider struct {
	URL string           // the issuer
	Now func() time.Time // its clock; nil: the real one. Set before use

	mu       sync.Mutex
	keys     []Key // the last one signs
	down     bool
	clients  map[string]client
	asked    map[string]int // requests by path
	browsers browsers
}

// client may ask for tokens with its id and a secret that is its id too.
type client struct {
	subject  string
	audience []string
	claims   map[string]any
}

// Key is a signing key of the provider.
type Key struct {
	KeyID     string
	Alg       jose.SignatureAlgorithm
	Private   crypto.Signer
	published bool
}

// New starts a provider that signs with RS256, and stops it with the test.
func New(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{clients: map[string]client{}, asked: map[string]int{}, browsers: newBrowsers()}
	server := httptest.NewUnstartedServer(nil)
	p.URL = "http://" + server.Listener.Addr().String()
	p.Rotate(t, jose.RS256)
	inner, err := op.NewProvider(&op.Config{CryptoKey: [32]byte{1}, CryptoKeyId: "test", GrantTypeRefreshToken: true},
		&store{Storage: storage.NewStorage(storage.NewUserStore(p.URL)), p: p}, op.StaticIssuer(p.URL), op.WithAllowInsecure())
	if err != nil {
		t.Fatalf("start provider: %v", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc(LoginPath, p.login)
	mux.Handle("/", p.tokens(t, inner))
	server.Config.Handler = p.handler(mux)
	server.Start()
	t.Cleanup(server.Close)
	return p
}

// handler counts requests, and cuts the connection while the provider is down.
func (p *Provider) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked[r.URL.Path]++
		down := p.down
		p.mu.Unlock()
		if down {
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	})
}

// SetDown makes the provider unreachable, or reachable again.
func (p *Provider) SetDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// Discoveries counts the requests for the discovery document.
func (p *Provider) Discoveries() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[oidc.DiscoveryEndpoint]
}

// Rotate makes a new key, published beside the earlier ones, and signs with it from now on.
func (p *Provider) Rotate(t testing.TB, alg jose.SignatureAlgorithm) Key {
	t.Helper()
	private, err := newKey(alg)
	if err != nil {
		t.Fatalf("make a key for %s: %v", alg, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	k := Key{KeyID: fmt.Sprintf("key-%d", len(p.keys)), Alg: alg, Private: private, published: true}
	p.keys = append(p.keys, k)
	return k
}

// Withdraw takes a key off the published ones.
func (p *Provider) Withdraw(keyID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.keys {
		if p.keys[i].KeyID == keyID {
			p.keys[i].published = false
		}
	}
}

// Current is the key that signs.
func (p *Provider) Current() Key {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[len(p.keys)-1]
}

func newKey(alg jose.SignatureAlgorithm) (crypto.Signer, error) {
	switch alg {
	case jose.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	default:
		return rsa.GenerateKey(rand.Reader, 2048)
	}
}

// Register lets a client ask for tokens about subject, for an audience and with further claims.
func (p *Provider) Register(id, subject, audience string, claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients[id] = client{subject: subject, audience: []string{audience}, claims: claims}
}

// Token asks the token endpoint for a token of a registered client, as the client itself would.
func (p *Provider) Token(t testing.TB, id string) string {
	t.Helper()
	form := url.Values{"grant_type": {string(oidc.GrantTypeClientCredentials)}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+"/oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatalf("ask for a token: %v", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(id, id)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("ask for a token: %v", err)
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
		Error string `json:"error_description"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Token == "" {
		t.Fatalf("ask for a token: status %s, %s, %v", resp.Status, answer.Error, err)
	}
	return answer.Token
}

// Sign signs any claims with a key, as the provider's own tokens never would be.
func Sign(t testing.TB, k Key, claims map[string]any) string {
	t.Helper()
	return signWith(t, jose.SigningKey{Algorithm: k.Alg, Key: jose.JSONWebKey{Key: k.Private, KeyID: k.KeyID}}, claims)
}

// SignShared signs claims with HS256 and a secret, under the id of another key.
func SignShared(t testing.TB, keyID string, secret []byte, claims map[string]any) string {
	t.Helper()
	return signWith(t, jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: secret, KeyID: keyID}}, claims)
}

func signWith(t testing.TB, key jose.SigningKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	return token
}

// store answers what is asked about keys and clients; the rest is the example storage of zitadel/oidc.
type store struct {
	*storage.Storage
	p *Provider
}

// SigningKey is the current key.
func (s *store) SigningKey(context.Context) (op.SigningKey, error) {
	return signingKey{s.p.Current()}, nil
}

// SignatureAlgorithms are those of the keys.
func (s *store) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{s.p.Current().Alg}, nil
}

// KeySet is what is published.
func (s *store) KeySet(context.Context) ([]op.Key, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	var keys []op.Key
	for _, k := range s.p.keys {
		if k.published {
			keys = append(keys, publicKey{k})
		}
	}
	return keys, nil
}

// ClientCredentials checks a client's secret.
func (s *store) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	s.p.mu.Lock()
	_, ok := s.p.clients[id]
	s.p.mu.Unlock()
	if !ok || id != secret {
		return nil, errors.New("no such client")
	}
	base, err := s.Storage.ClientCredentials(ctx, "sid1", "verysecret")
	return jwtClient{Client: base, id: id}, err
}

// ClientCredentialsTokenRequest says whom the client's token is about and for.
func (s *store) ClientCredentialsTokenRequest(_ context.Context, id string, scopes []string) (op.TokenRequest, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	c := s.p.clients[id]
	return &oidc.JWTTokenRequest{Subject: c.subject, Audience: slices.Clone(c.audience), Scopes: scopes}, nil
}

// CreateAccessToken gives every token five minutes.
func (s *store) CreateAccessToken(_ context.Context, request op.TokenRequest) (string, time.Time, error) {
	return "token-of-" + request.GetSubject(), s.p.now().Add(5 * time.Minute), nil
}

// GetPrivateClaimsFromScopes adds the claims that the client was registered with.
func (s *store) GetPrivateClaimsFromScopes(_ context.Context, _, id string, _ []string) (map[string]any, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return s.p.clients[id].claims, nil
}

type jwtClient struct {
	op.Client
	id string
}

// GetID is the client's id.
func (c jwtClient) GetID() string { return c.id }

// AccessTokenType asks for signed tokens.
func (c jwtClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

type signingKey struct{ k Key }

// ID is the key id.
func (s signingKey) ID() string { return s.k.KeyID }

// SignatureAlgorithm is the algorithm.
func (s signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return s.k.Alg }

// Key is the private key.
func (s signingKey) Key() any { return s.k.Private }

type publicKey struct{ k Key }

// ID is the key id.
func (p publicKey) ID() string { return p.k.KeyID }

// Algorithm is the algorithm.
func (p publicKey) Algorithm() jose.SignatureAlgorithm { return p.k.Alg }

// Use is signing.
func (p publicKey) Use() string { return "sig" }

// Key is the public key.
func (p publicKey) Key() any { return p.k.Private.Public() }
