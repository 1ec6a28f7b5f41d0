package identity_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/identity/identitytest"
	"github.com/writ-dev/writ/internal/state"
)

func TestATokenOfATrustedIssuerAuthenticatesItsAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got, err := w.Authenticate(t.Context(), w.idp.Token(t, "support-bot"))
	if err != nil {
		t.Fatal(err)
	}
	want := identity.Caller{
		Credential: gov.CredentialID("jwt:" + w.idp.URL), Role: state.RoleAgent, Environment: "prod", Agent: "support-bot",
		Rule: state.RuleRunsAs, Subject: "support-bot",
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(identity.Caller{}, "ExpiresAt")); diff != "" {
		t.Errorf("caller (-want +got):\n%s", diff)
	}
	if left := got.ExpiresAt.Sub(w.clock.now()); left <= 0 || left > 5*time.Minute {
		t.Errorf("the caller expires in %s, its token in five minutes", left)
	}
}

func TestTheAudienceSaysTheEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.idp.Register("staging-bot", "support-bot", audienceStaging, nil)
	got, err := w.Authenticate(t.Context(), w.idp.Token(t, "staging-bot"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Environment != "staging" || got.Rule != state.RuleVerified {
		t.Errorf("got environment %s and rule %s, want staging and verified", got.Environment, got.Rule)
	}
}

func TestEveryAsymmetricAlgorithmCounts(t *testing.T) {
	t.Parallel()
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA} {
		t.Run(string(alg), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.idp.Rotate(t, alg)
			if _, err := w.Authenticate(t.Context(), w.idp.Token(t, "support-bot")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestATokenWithWrongClaimsIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := w.clock.now()
	cases := []struct {
		name  string
		spoil map[string]any
		code  gov.Code
		cause identity.Cause
	}{
		{"expired", map[string]any{"exp": now.Add(-time.Second).Unix()}, gov.CodeUnauthenticated, identity.CauseExpired},
		{"expired long ago", map[string]any{"exp": 1}, gov.CodeUnauthenticated, identity.CauseExpired},
		{"never expires", map[string]any{"exp": nil}, gov.CodeUnauthenticated, identity.CauseClaims},
		{"expires at null", map[string]any{"exp": json.RawMessage("null")}, gov.CodeUnauthenticated, identity.CauseClaims},
		{"expires in words", map[string]any{"exp": "tomorrow"}, gov.CodeUnauthenticated, identity.CauseClaims},
		{"expires beyond time", map[string]any{"exp": 1e300}, gov.CodeUnauthenticated, identity.CauseClaims},
		{"not valid yet", map[string]any{"nbf": now.Add(2 * time.Minute).Unix()}, gov.CodeUnauthenticated, identity.CauseNotYetValid},
		{"for somebody else", map[string]any{"aud": "billing"}, gov.CodeUnauthenticated, identity.CauseAudience},
		{"for nobody", map[string]any{"aud": nil}, gov.CodeUnauthenticated, identity.CauseAudience},
		{"for nobody in a list", map[string]any{"aud": []string{}}, gov.CodeUnauthenticated, identity.CauseAudience},
		{"for two environments", map[string]any{"aud": []string{audienceAgents, audienceStaging}}, gov.CodeUnauthenticated, identity.CauseAudience},
		{"for two uses", map[string]any{"aud": []string{audienceAgents, audiencePrincipals}}, gov.CodeUnauthenticated, identity.CauseAudience},
		{"for a number", map[string]any{"aud": 7}, gov.CodeUnauthenticated, identity.CauseClaims},
		{"of another issuer", map[string]any{"iss": "https://idp.example.com"}, gov.CodeUnauthenticated, identity.CauseUnknownIssuer},
		{"of the issuer with a slash", map[string]any{"iss": w.idp.URL + "/"}, gov.CodeUnauthenticated, identity.CauseUnknownIssuer},
		{"of no issuer", map[string]any{"iss": nil}, gov.CodeUnauthenticated, identity.CauseUnknownIssuer},
		{"of a principal", map[string]any{"aud": audiencePrincipals}, gov.CodeForbidden, identity.CauseWrongUse},
		{"of no agent", map[string]any{"sub": nil}, gov.CodeUnauthenticated, identity.CauseClaims},
		{"of an agent in capitals", map[string]any{"sub": "Support Bot"}, gov.CodeUnauthenticated, identity.CauseClaims},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := w.Authenticate(t.Context(), identitytest.Sign(t, w.idp.Current(), w.claims(c.spoil)))
			wantRefusal(t, err, c.code, c.cause)
		})
	}
	t.Run("with good claims it is not", func(t *testing.T) {
		t.Parallel()
		for _, spoil := range []map[string]any{nil, {"aud": []string{"billing", audienceAgents}}, {"nbf": nil}, {"nbf": now.Add(30 * time.Second).Unix()}} {
			if _, err := w.Authenticate(t.Context(), identitytest.Sign(t, w.idp.Current(), w.claims(spoil))); err != nil {
				t.Errorf("%v: %v", spoil, err)
			}
		}
	})
}

func TestATokenExpiresAtItsSecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := w.idp.Token(t, "support-bot")
	caller, err := w.Authenticate(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	now := caller.ExpiresAt.Add(-time.Nanosecond)
	w.Service.Now = func() time.Time { return now }
	if _, err := w.Authenticate(t.Context(), raw); err != nil {
		t.Errorf("just before: %v", err)
	}
	now = caller.ExpiresAt
	_, err = w.Authenticate(t.Context(), raw)
	wantRefusal(t, err, gov.CodeUnauthenticated, identity.CauseExpired)
}

// publicPEM is a form of the public key that an attacker may use as a shared secret.
func publicPEM(t *testing.T, k identitytest.Key) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.Private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestAForgedTokenIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.idp.Current()
	good := identitytest.Sign(t, key, w.claims(nil))
	payload, err := json.Marshal(w.claims(map[string]any{"sub": "finance-bot"}))
	if err != nil {
		t.Fatal(err)
	}
	stranger := identitytest.New(t).Current()
	stranger.KeyID = key.KeyID
	misused := key
	misused.Alg = jose.PS256
	unsigned := part(`{"alg":"none","typ":"JWT"}`) + "." + part(string(payload)) + "."
	cases := []struct {
		name, token string
		cause       identity.Cause
	}{
		{"alg none", unsigned, identity.CauseAlgorithm},
		{"alg None", part(`{"alg":"None"}`) + "." + part(string(payload)) + ".", identity.CauseAlgorithm},
		{"alg none behind a good one", part(`{"alg":"none","ALG":"RS256"}`) + "." + part(string(payload)) + ".", identity.CauseBadSignature},
		{"no alg", part(`{"kid":"key-0"}`) + "." + part(string(payload)) + ".", identity.CauseAlgorithm},
		{"HS256 with the public key", identitytest.SignShared(t, key.KeyID, publicPEM(t, key), w.claims(nil)), identity.CauseAlgorithm},
		{"HS256 called RS256", splice(identitytest.SignShared(t, key.KeyID, publicPEM(t, key), w.claims(nil)), 0,
			part(`{"alg":"RS256","kid":"key-0"}`)), identity.CauseBadSignature},
		{"tampered payload", splice(good, 1, part(string(payload))), identity.CauseBadSignature},
		{"tampered header", splice(good, 0, part(`{"alg":"RS256","kid":"key-0","typ":"other"}`)), identity.CauseBadSignature},
		{"another algorithm of the same key", splice(good, 0, part(`{"alg":"PS256","kid":"key-0"}`)), identity.CauseBadSignature},
		{"an algorithm that the key is not published for", identitytest.Sign(t, misused, w.claims(nil)), identity.CauseBadSignature},
		{"no signature", splice(good, 2, ""), identity.CauseBadSignature},
		{"a stranger's key under the same id", identitytest.Sign(t, stranger, w.claims(nil)), identity.CauseBadSignature},
		{"a key in the header", splice(good, 0, part(`{"alg":"RS256","kid":"own","jwk":{"kty":"oct","k":"AAAA"}}`)), identity.CauseBadSignature},
		{"an unknown critical header", splice(good, 0, part(`{"alg":"RS256","kid":"key-0","crit":["exp"]}`)), identity.CauseBadSignature},
		{"no base64", "a b.c.d", identity.CauseMalformed},
		{"no JSON", part("x") + "." + part("y") + ".", identity.CauseMalformed},
		{"a list", part("[]") + "." + part("[]") + ".", identity.CauseMalformed},
		{"too long", good + strings.Repeat("A", 16<<10), identity.CauseMalformed},
		{"empty parts", "..", identity.CauseMalformed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := w.Authenticate(t.Context(), c.token)
			wantRefusal(t, err, gov.CodeUnauthenticated, c.cause)
		})
	}
}

func TestEveryChangedByteOfATokenIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.idp.Rotate(t, jose.EdDSA) // whose signature has no second form
	good := identitytest.Sign(t, w.idp.Current(), w.claims(nil))
	if _, err := w.Authenticate(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		spoilt := good[:i] + swap(good[i]) + good[i+1:]
		if spoilt == good {
			continue
		}
		if _, err := w.Authenticate(t.Context(), spoilt); err == nil {
			t.Fatalf("a token changed at %d is taken: %s", i, spoilt)
		}
	}
}

func TestAnAgentMayBeNamedByAnotherClaimAndAPrefix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issuer := identity.Issuer{
		URL: w.idp.URL, Audience: "kube", For: identity.UseAgents, Environment: "prod", AgentClaim: "workload", AgentPrefix: "spiffe://acme/agent/",
	}
	w.Service.Issuers = newIssuers(t, w.clock, issuer)
	w.idp.Register("kube", "system:serviceaccount:agents:support", "kube", map[string]any{"workload": "spiffe://acme/agent/support-bot"})
	w.idp.Register("foreign", "x", "kube", map[string]any{"workload": "spiffe://evil/agent/support-bot"})
	got, err := w.Authenticate(t.Context(), w.idp.Token(t, "kube"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Agent != "support-bot" || got.Subject != "system:serviceaccount:agents:support" {
		t.Errorf("got agent %s with subject %s", got.Agent, got.Subject)
	}
	_, err = w.Authenticate(t.Context(), w.idp.Token(t, "foreign"))
	wantRefusal(t, err, gov.CodeUnauthenticated, identity.CauseClaims)
}

func TestAnAudienceCountsWithItsOwnIssuerOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := identitytest.New(t)
	w.Service.Issuers = newIssuers(t, w.clock, append(w.issuers(), identity.Issuer{
		URL: other.URL, Audience: "elsewhere", For: identity.UseAgents, Environment: "elsewhere",
	})...)
	other.Register("support-bot", "support-bot", audienceAgents, nil)
	_, err := w.Authenticate(t.Context(), other.Token(t, "support-bot"))
	wantRefusal(t, err, gov.CodeUnauthenticated, identity.CauseAudience)
}

func TestWithoutIssuersNoTokenIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := w.idp.Token(t, "support-bot")
	s := &identity.Service{Credentials: credentials{}, Now: w.clock.now}
	_, err := s.Authenticate(t.Context(), raw)
	e := refusal(t, err, gov.CodeUnauthenticated, identity.CauseUnknownIssuer)
	if strings.Contains(e.Detail, w.idp.URL) {
		t.Errorf("the detail repeats what the token says: %s", e.Detail)
	}
}

func TestManyCallersAtOnceWhileKeysRotate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	creds := credentials{}
	w.Service.Credentials = creds
	key := newKey(t, creds, state.RoleAgent, func(c *state.Credential) { c.ExpiresAt = time.Time{} })
	const callers, rounds = 16, 8
	for round := range rounds {
		w.idp.Rotate(t, jose.ES256)
		w.clock.advance(11 * time.Second) // unknown keys are asked for again
		workload, principal := w.idp.Token(t, "support-bot"), w.idp.Token(t, "alice")
		var wg sync.WaitGroup
		errs := make(chan error, 3*callers)
		for range callers {
			wg.Go(func() {
				_, err := w.Authenticate(t.Context(), key)
				errs <- err
				caller, err := w.Authenticate(t.Context(), workload)
				errs <- err
				_, _, _, err = w.Resolve(t.Context(), caller, nil, principal, identity.RunsAsCaller)
				errs <- err
			})
		}
		wg.Wait()
		close(errs)
		for err := range errs {
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
	}
	if got := w.idp.Discoveries(); got > rounds+1 {
		t.Errorf("%d discoveries for %d rotations", got, rounds)
	}
}

func BenchmarkAuthenticateToken(b *testing.B) {
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA} {
		b.Run(fmt.Sprint(alg), func(b *testing.B) {
			w := newWorld(b)
			w.idp.Rotate(b, alg)
			raw := w.idp.Token(b, "support-bot")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Authenticate(b.Context(), raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
