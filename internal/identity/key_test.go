package identity_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/state"
)

// newKey issues a key and spoils the credential.
func newKey(t testing.TB, into credentials, role state.Role, spoil func(*state.Credential)) string {
	t.Helper()
	id, token, hash, err := identity.NewSecret(rand.Reader, role)
	if err != nil {
		t.Fatal(err)
	}
	c := state.Credential{
		ID: id, Role: role, Environment: "prod", Agent: "support-bot", Rule: state.RuleFixed,
		Principal: gov.Principal{Type: gov.PrincipalService, ID: "helpdesk"}, SecretHash: hash, ExpiresAt: time.Unix(2000, 0),
	}
	if spoil != nil {
		spoil(&c)
	}
	into[id] = c
	return token
}

func at1000() time.Time { return time.Unix(1000, 0) }

func TestAKeyAuthenticatesItsAgent(t *testing.T) {
	t.Parallel()
	creds := credentials{}
	token := newKey(t, creds, state.RoleAgent, nil)
	s := &identity.Service{Credentials: creds, Now: at1000}
	got, err := s.Authenticate(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	want := identity.Caller{
		Credential: got.Credential, Role: state.RoleAgent, Environment: "prod", Agent: "support-bot", Rule: state.RuleFixed,
		Principal: gov.Principal{Type: gov.PrincipalService, ID: "helpdesk"}, Assurance: gov.AssuranceBound, ExpiresAt: time.Unix(2000, 0),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("caller (-want +got):\n%s", diff)
	}
	if _, ok := creds[got.Credential]; !ok {
		t.Errorf("the caller's credential is %s, which was not issued", got.Credential)
	}
}

func TestAKeyThatDoesNotHoldIsRefused(t *testing.T) {
	t.Parallel()
	creds := credentials{}
	good := newKey(t, creds, state.RoleAgent, nil)
	revoked := newKey(t, creds, state.RoleAgent, func(c *state.Credential) { c.Revoked = true })
	expired := newKey(t, creds, state.RoleAgent, func(c *state.Credential) { c.ExpiresAt = at1000() })
	elsewhere := newKey(t, credentials{}, state.RoleAgent, nil)
	wrong := newKey(t, creds, state.RoleAgent, func(c *state.Credential) { c.SecretHash[0] ^= 1 })
	role := newKey(t, creds, state.RoleAdmin, func(c *state.Credential) { c.Role = state.RoleAgent })
	zero := newKey(t, creds, state.RoleAgent, func(c *state.Credential) { c.SecretHash = [32]byte{} })
	cases := []struct {
		name, token string
		cause       identity.Cause
	}{
		{"none", "", identity.CauseMissing},
		{"no key at all", "Basic dXNlcjpwYXNz", identity.CauseMalformed},
		{"cut off", good[:len(good)-1], identity.CauseMalformed},
		{"mistyped", good[:30] + swap(good[30]) + good[31:], identity.CauseMistyped},
		{"never issued", elsewhere, identity.CauseUnknownKey},
		{"another secret", wrong, identity.CauseWrongSecret},
		{"no secret kept", zero, identity.CauseWrongSecret},
		{"another role", role, identity.CauseWrongSecret},
		{"revoked", revoked, identity.CauseRevoked},
		{"expired this very moment", expired, identity.CauseExpired},
	}
	s := &identity.Service{Credentials: creds, Now: at1000}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			caller, err := s.Authenticate(t.Context(), c.token)
			wantRefusal(t, err, gov.CodeUnauthenticated, c.cause)
			if diff := cmp.Diff(identity.Caller{}, caller); diff != "" {
				t.Errorf("a refused caller is known as\n%s", diff)
			}
		})
	}
}

func swap(c byte) string {
	if c == '0' {
		return "1"
	}
	return "0"
}

func TestARefusalDoesNotTellWhetherAKeyExists(t *testing.T) {
	t.Parallel()
	creds := credentials{}
	elsewhere := newKey(t, credentials{}, state.RoleAgent, nil)
	s := &identity.Service{Credentials: creds, Now: at1000}
	_, err := s.Authenticate(t.Context(), elsewhere)
	want := refusal(t, err, gov.CodeUnauthenticated, identity.CauseUnknownKey)
	spoils := map[string]func(*state.Credential){
		"valid":   func(c *state.Credential) { c.SecretHash[0] ^= 1 },
		"revoked": func(c *state.Credential) { c.SecretHash[0] ^= 1; c.Revoked = true },
		"expired": func(c *state.Credential) { c.SecretHash[0] ^= 1; c.ExpiresAt = at1000() },
	}
	for name, spoil := range spoils {
		_, err := s.Authenticate(t.Context(), newKey(t, creds, state.RoleAgent, spoil))
		if got := refusal(t, err, gov.CodeUnauthenticated, identity.CauseWrongSecret); got.Detail != want.Detail || got.Code != want.Code {
			t.Errorf("a wrong secret of a key that is %s: %q, of an unknown one: %q", name, got.Detail, want.Detail)
		}
	}
}

func TestTheKeyPathDoesNotAllocate(t *testing.T) { // not parallel: it counts allocations
	creds := credentials{}
	token := newKey(t, creds, state.RoleAgent, nil)
	s := &identity.Service{Credentials: creds, Now: at1000}
	ctx := t.Context()
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := s.Authenticate(ctx, token); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkAuthenticateKey(b *testing.B) {
	creds := credentials{}
	token := newKey(b, creds, state.RoleAgent, nil)
	s := &identity.Service{Credentials: creds, Now: at1000}
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Authenticate(ctx, token); err != nil {
			b.Fatal(err)
		}
	}
}
