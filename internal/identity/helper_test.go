package identity_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/identity/identitytest"
	"github.com/writ-dev/writ/internal/state"
)

// clock is a clock that a test moves.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time           { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(by time.Duration) { c.ahead.Add(int64(by)) }

// credentials are those of a test, by id.
type credentials map[gov.CredentialID]state.Credential

func (c credentials) Credential(id gov.CredentialID) (state.Credential, bool) {
	cred, ok := c[id]
	return cred, ok
}

// world is a service that trusts one provider: for agents of prod and staging, and for principals.
type world struct {
	*identity.Service
	idp   *identitytest.Provider
	clock *clock
}

const (
	audienceAgents     = "writ-prod"
	audienceStaging    = "writ-staging"
	audiencePrincipals = "writ-people"
)

func newWorld(t testing.TB) world {
	t.Helper()
	w := world{idp: identitytest.New(t), clock: &clock{}}
	w.Service = &identity.Service{Credentials: credentials{}, Issuers: newIssuers(t, w.clock, w.issuers()...), Now: w.clock.now}
	w.idp.Register("support-bot", "support-bot", audienceAgents, nil)
	w.idp.Register("alice", "alice", audiencePrincipals, map[string]any{"groups": []string{"support", "finance", "support"}})
	return w
}

func (w world) issuers() []identity.Issuer {
	return []identity.Issuer{
		{URL: w.idp.URL, Audience: audienceAgents, For: identity.UseAgents, Environment: "prod"},
		{URL: w.idp.URL, Audience: audienceStaging, For: identity.UseAgents, Environment: "staging", Rule: state.RuleVerified},
		{URL: w.idp.URL, Audience: audiencePrincipals, For: identity.UsePrincipals},
	}
}

func newIssuers(t testing.TB, c *clock, list ...identity.Issuer) *identity.Issuers {
	t.Helper()
	is, err := identity.NewIssuers(list, c.now)
	if err != nil {
		t.Fatalf("issuers: %v", err)
	}
	return is
}

// claims are good ones of the agent; a test spoils them.
func (w world) claims(spoil map[string]any) map[string]any {
	now := w.clock.now()
	c := map[string]any{
		"iss": w.idp.URL, "sub": "support-bot", "aud": audienceAgents, "exp": now.Add(time.Minute).Unix(), "nbf": now.Unix(), "iat": now.Unix(),
	}
	for name, value := range spoil {
		c[name] = value
		if value == nil {
			delete(c, name)
		}
	}
	return c
}

// wantRefusal wants an error with a code and a cause, whose detail a caller can act on.
func wantRefusal(t *testing.T, err error, code gov.Code, cause identity.Cause) {
	t.Helper()
	_ = refusal(t, err, code, cause) // it fails the test itself
}

// refusal is the error that [wantRefusal] wants.
func refusal(t *testing.T, err error, code gov.Code, cause identity.Cause) *gov.Error {
	t.Helper()
	e, ok := errors.AsType[*gov.Error](err)
	if !ok {
		t.Fatalf("got %v, want a gov.Error with code %s", err, code)
	}
	if e.Code != code || identity.CauseOf(err) != cause {
		t.Fatalf("got code %s and cause %s, want %s and %s: %v", e.Code, identity.CauseOf(err), code, cause, err)
	}
	if e.Detail == "" {
		t.Fatalf("%v has no detail", err)
	}
	return e
}

// part encodes a part of a token.
func part(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// splice replaces a part of a token.
func splice(token string, i int, with string) string {
	parts := strings.Split(token, ".")
	parts[i] = with
	return strings.Join(parts, ".")
}
