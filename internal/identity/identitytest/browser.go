package identitytest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The provider's own login page: LoginPath asks with a form for the field "username", and takes every name.
const LoginPath = "/login"

const (
	tokenPath     = "/oauth/token"
	idTokenFor    = time.Hour
	sessionCookie = "idp_session"
)

// browsers is the provider's side of the sign-ins of people: what it knows of them, and what is under way.
type browsers struct {
	clients  map[string]browserClient
	people   map[string]map[string]any // claims by subject
	requests map[string]*authRequest   // by id
	codes    map[string]string         // request by code
	refresh  map[string]*authRequest   // by refresh token, which counts once
	sessions map[string]providerSession
	twist    func(claims map[string]any)
}

func newBrowsers() browsers {
	return browsers{
		clients: map[string]browserClient{}, people: map[string]map[string]any{}, requests: map[string]*authRequest{},
		codes: map[string]string{}, refresh: map[string]*authRequest{}, sessions: map[string]providerSession{},
	}
}

// providerSession is a browser that is signed in at the provider.
type providerSession struct {
	subject string
	since   time.Time
}

// Browser registers a public client of the authorization code flow with PKCE. A redirect address on localhost or a loopback
// address may have any port (RFC 8252, section 7.3).
func (p *Provider) Browser(id string, redirects ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.browsers.clients[id] = browserClient{id: id, redirects: redirects}
}

// Person says what ID tokens claim of a person: groups, name, email, amr and acr, say. amr is pwd for who was not registered.
func (p *Provider) Person(subject string, claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.browsers.people[subject] = maps.Clone(claims)
}

// Twist changes the claims of every ID token of a browser's sign-in before it is signed, as a provider gone wrong would. nil
// ends that.
func (p *Provider) Twist(change func(claims map[string]any)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.browsers.twist = change
}

// now is the provider's clock.
func (p *Provider) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

// authRequest is a sign-in under way.
type authRequest struct {
	*oidc.AuthRequest
	id       string
	subject  string
	authTime time.Time
	claims   map[string]any
}

func (r *authRequest) GetID() string                      { return r.id }
func (r *authRequest) GetACR() string                     { acr, _ := r.claims["acr"].(string); return acr }
func (r *authRequest) GetAudience() []string              { return []string{r.ClientID} }
func (r *authRequest) GetAuthTime() time.Time             { return r.authTime }
func (r *authRequest) GetClientID() string                { return r.ClientID }
func (r *authRequest) GetNonce() string                   { return r.Nonce }
func (r *authRequest) GetRedirectURI() string             { return r.RedirectURI }
func (r *authRequest) GetResponseType() oidc.ResponseType { return r.ResponseType }
func (r *authRequest) GetResponseMode() oidc.ResponseMode { return r.ResponseMode }
func (r *authRequest) GetScopes() []string                { return r.Scopes }
func (r *authRequest) GetState() string                   { return r.State }
func (r *authRequest) GetSubject() string                 { return r.subject }
func (r *authRequest) Done() bool                         { return r.subject != "" }

// GetAMR is how the person signed in.
func (r *authRequest) GetAMR() []string {
	if amr, ok := r.claims["amr"].([]string); ok {
		return amr
	}
	return []string{"pwd"}
}

// GetCodeChallenge is that of PKCE.
func (r *authRequest) GetCodeChallenge() *oidc.CodeChallenge {
	if r.CodeChallenge == "" {
		return nil
	}
	return &oidc.CodeChallenge{Challenge: r.CodeChallenge, Method: r.CodeChallengeMethod}
}

func randomID() string { return rand.Text() }

// CreateAuthRequest keeps a sign-in that a browser began.
func (s *store) CreateAuthRequest(_ context.Context, asked *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if slices.Contains(asked.Prompt, oidc.PromptNone) {
		return nil, oidc.ErrLoginRequired()
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	r := &authRequest{AuthRequest: asked, id: randomID()}
	s.p.browsers.requests[r.id] = r
	return r, nil
}

// AuthRequestByID finds a sign-in under way.
func (s *store) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	r, ok := s.p.browsers.requests[id]
	if !ok {
		return nil, errors.New("no such request")
	}
	return r, nil
}

// AuthRequestByCode finds it by its code, which counts once.
func (s *store) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	s.p.mu.Lock()
	id := s.p.browsers.codes[code]
	s.p.mu.Unlock()
	return s.AuthRequestByID(ctx, id)
}

// SaveAuthCode keeps the code of a sign-in.
func (s *store) SaveAuthCode(_ context.Context, id, code string) error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.browsers.codes[code] = id
	return nil
}

// DeleteAuthRequest forgets a sign-in once its tokens are made.
func (s *store) DeleteAuthRequest(_ context.Context, id string) error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	delete(s.p.browsers.requests, id)
	return nil
}

// GetClientByClientID finds a client of browsers.
func (s *store) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	c, ok := s.p.browsers.clients[id]
	if !ok {
		return nil, errors.New("no such client")
	}
	return c, nil
}

// AuthorizeClientIDSecret refuses: the clients of browsers are public.
func (s *store) AuthorizeClientIDSecret(context.Context, string, string) error {
	return errors.New("the client has no secret")
}

// SetUserinfoFromRequest gives the claims of the person to the ID token.
func (s *store) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, request op.IDTokenRequest, _ []string) error {
	info.Subject = request.GetSubject()
	r, ok := request.(*authRequest)
	if !ok {
		return nil
	}
	for name, value := range r.claims {
		if name != "amr" && name != "acr" {
			info.AppendClaims(name, value)
		}
	}
	return nil
}

// CreateAccessAndRefreshTokens gives a new refresh token in the place of the one before.
func (s *store) CreateAccessAndRefreshTokens(ctx context.Context, request op.TokenRequest, current string) (string, string, time.Time, error) {
	id, expires, err := s.CreateAccessToken(ctx, request)
	if err != nil {
		return "", "", expires, err
	}
	r, ok := request.(*authRequest)
	if !ok {
		return "", "", expires, errors.New("a refresh token is for a sign-in")
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	token := randomID()
	delete(s.p.browsers.refresh, current)
	s.p.browsers.refresh[token] = r
	return id, token, expires, nil
}

// TokenRequestByRefreshToken finds the sign-in of a refresh token, with what is known of the person by now.
func (s *store) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	r, ok := s.p.browsers.refresh[token]
	if !ok {
		return nil, op.ErrInvalidRefreshToken
	}
	now := *r
	now.claims = s.p.browsers.people[r.subject]
	return &now, nil
}

// SetCurrentScopes narrows what is asked for.
func (r *authRequest) SetCurrentScopes(scopes []string) { r.Scopes = scopes }

// SignOut has the provider stand behind nothing of a person any more. It tells nobody.
func (p *Provider) SignOut(subject string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.browsers.refresh, func(_ string, r *authRequest) bool { return r.subject == subject })
}

var loginPage = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in at the office</title></head><body><h1>Sign in at the office</h1>
<form method="post" action="/login"><input type="hidden" name="id" value="{{.}}"><label>User <input name="username" required autofocus></label> <button>Sign in</button></form>
</body></html>
`))

// login asks who signs in, unless the browser is signed in already and that is recent enough for who asks.
func (p *Provider) login(w http.ResponseWriter, r *http.Request) {
	id, name := r.FormValue("id"), r.PostFormValue("username")
	p.mu.Lock()
	request, ok := p.browsers.requests[id]
	if !ok {
		p.mu.Unlock()
		http.Error(w, "no such sign-in", http.StatusBadRequest)
		return
	}
	session, known := p.sessionOf(r)
	switch {
	case name != "":
		session, known = providerSession{name, p.now()}, true
		cookie := randomID()
		p.browsers.sessions[cookie] = session
		http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: cookie, Path: LoginPath, HttpOnly: true})
	case known && (slices.Contains(request.Prompt, oidc.PromptLogin) || tooOld(request, p.now().Sub(session.since))):
		known = false
	}
	if known {
		request.subject, request.authTime, request.claims = session.subject, session.since, p.browsers.people[session.subject]
	}
	p.mu.Unlock()
	if known {
		http.Redirect(w, r, "/authorize/callback?id="+id, http.StatusSeeOther)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := loginPage.Execute(w, id); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// sessionOf finds who is signed in in a browser. p is locked.
func (p *Provider) sessionOf(r *http.Request) (providerSession, bool) {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return providerSession{}, false
	}
	session, ok := p.browsers.sessions[c.Value]
	return session, ok
}

func tooOld(r *authRequest, age time.Duration) bool {
	return r.MaxAge != nil && age >= time.Duration(*r.MaxAge)*time.Second
}

// tokens signs the ID token that the library made again, by the provider's clock and with what Twist changes.
func (p *Provider) tokens(t testing.TB, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != tokenPath {
			next.ServeHTTP(w, r)
			return
		}
		made := httptest.NewRecorder()
		next.ServeHTTP(made, r)
		body := made.Body.Bytes()
		var answer map[string]any
		if err := json.Unmarshal(body, &answer); err == nil && made.Code == http.StatusOK {
			if raw, ok := answer["id_token"].(string); ok {
				answer["id_token"] = p.resign(t, raw)
				if body, err = json.Marshal(answer); err != nil {
					t.Errorf("token answer: %v", err)
				}
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(made.Code)
		if _, err := w.Write(bytes.TrimSpace(body)); err != nil {
			t.Logf("token answer: %v", err)
		}
	})
}

func (p *Provider) resign(t testing.TB, raw string) string {
	data, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1])
	if err != nil {
		t.Errorf("ID token: %v", err)
		return raw
	}
	claims := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&claims); err != nil {
		t.Errorf("ID token: %v", err)
		return raw
	}
	claims["iat"], claims["exp"] = p.now().Unix(), p.now().Add(idTokenFor).Unix()
	p.mu.Lock()
	if p.browsers.twist != nil {
		p.browsers.twist(claims)
	}
	p.mu.Unlock()
	return Sign(t, p.Current(), claims)
}

// browserClient is a public client of the authorization code flow.
type browserClient struct {
	id        string
	redirects []string
}

func (c browserClient) GetID() string                       { return c.id }
func (c browserClient) RedirectURIs() []string              { return c.redirects }
func (c browserClient) PostLogoutRedirectURIs() []string    { return nil }
func (c browserClient) ApplicationType() op.ApplicationType { return op.ApplicationTypeNative }
func (c browserClient) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodNone }
func (c browserClient) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c browserClient) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}
}
func (c browserClient) LoginURL(id string) string            { return LoginPath + "?id=" + id }
func (c browserClient) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeBearer }
func (c browserClient) IDTokenLifetime() time.Duration       { return idTokenFor }
func (c browserClient) DevMode() bool                        { return false }
func (c browserClient) IsScopeAllowed(string) bool           { return true }
func (c browserClient) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c browserClient) ClockSkew() time.Duration             { return 0 }
func (c browserClient) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}
func (c browserClient) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}
