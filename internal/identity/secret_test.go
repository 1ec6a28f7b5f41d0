package identity_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/state"
)

func TestNewSecretReadsBack(t *testing.T) {
	t.Parallel()
	for _, role := range []state.Role{state.RoleAgent, state.RoleAdmin} {
		id, token, hash, err := identity.NewSecret(rand.Reader, role)
		if err != nil {
			t.Fatal(err)
		}
		key, err := identity.ParseToken(token)
		if err != nil {
			t.Fatalf("%s: %v", token, err)
		}
		if want := (identity.Key{ID: id, Role: role, Hash: hash}); key != want {
			t.Errorf("%s reads as %v, want %v", token, key, want)
		}
	}
}

func TestTheFormOfAKeyIsFixed(t *testing.T) {
	t.Parallel()
	ones := bytes.NewReader(bytes.Repeat([]byte{0xff}, 42))
	id, token, hash, err := identity.NewSecret(ones, state.RoleAgent)
	if err != nil {
		t.Fatal(err)
	}
	body := "writ_key_zzzzzzzzzzzzzzzz_" + strings.Repeat("z", 51) + "g"
	if id != "zzzzzzzzzzzzzzzz" || !strings.HasPrefix(token, body) || len(token) != len(body)+6 {
		t.Errorf("got id %s and token %s, want a token that begins with %s", id, token, body)
	}
	if hash != sha256.Sum256([]byte(body)) {
		t.Errorf("the hash %x is not the SHA-256 of the token before its checksum", hash)
	}
}

func TestNoSecretWithoutRandomness(t *testing.T) {
	t.Parallel()
	if _, token, _, err := identity.NewSecret(iotest.ErrReader(iotest.ErrTimeout), state.RoleAgent); err == nil {
		t.Errorf("got the token %s from a source without randomness", token)
	}
	if _, token, _, err := identity.NewSecret(rand.Reader, "auditor"); err == nil {
		t.Errorf("got the token %s for a role without keys", token)
	}
}

func TestEveryTypoIsFound(t *testing.T) {
	t.Parallel()
	_, token, _, err := identity.NewSecret(rand.Reader, state.RoleAdmin)
	if err != nil {
		t.Fatal(err)
	}
	for i := range token {
		for _, c := range []byte("0z7_A ") {
			typo := []byte(token)
			if typo[i] == c {
				continue
			}
			typo[i] = c
			if key, err := identity.ParseToken(string(typo)); err == nil {
				t.Fatalf("%s with %q at %d reads as %v", token, c, i, key)
			}
		}
		if _, err := identity.ParseToken(token[:i] + token[i+1:]); err == nil {
			t.Fatalf("%s without its character %d reads", token, i)
		}
	}
}

func TestAnIDOfOtherCharactersIsNoKey(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"AAAAAAAAAAAAAAAA", "iiiiiiiiiiiiiiii", "../../../../../.", "0000000\n00000000"} {
		body := "writ_key_" + id + "_" + strings.Repeat("0", 52)
		hash := sha256.Sum256([]byte(body))
		if key, err := identity.ParseToken(body + encode(hash[:])[:6]); err == nil {
			t.Errorf("%q with a fitting checksum reads as %v", id, key)
		}
	}
}

// encode is base32 as the standard library writes it.
func encode(b []byte) string {
	return base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding).EncodeToString(b)
}

func FuzzParseToken(f *testing.F) {
	_, key, _, err := identity.NewSecret(bytes.NewReader(make([]byte, 42)), state.RoleAgent)
	if err != nil {
		f.Fatal(err)
	}
	_, admin, _, err := identity.NewSecret(bytes.NewReader(bytes.Repeat([]byte{7}, 42)), state.RoleAdmin)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{key, admin, "", "writ_", "writ_key_", "writ_admin__", key + "x", strings.ToUpper(key), key[:30]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		got, err := identity.ParseToken(token)
		if err != nil {
			if got != (identity.Key{}) {
				t.Fatalf("%q is refused and yet reads as %v", token, got)
			}
			return
		}
		rest := strings.TrimPrefix(strings.TrimPrefix(token, "writ_key_"), "writ_admin_")
		if gov.CredentialID(rest[:16]) != got.ID || got.Hash != sha256.Sum256([]byte(token[:len(token)-6])) {
			t.Fatalf("%q reads as %v", token, got)
		}
	})
}

func TestPrincipalRefHidesUsersOnly(t *testing.T) {
	t.Parallel()
	key, other := []byte("key"), []byte("other key")
	alice := gov.Principal{Type: gov.PrincipalUser, ID: "alice@example.com"}
	ref := identity.PrincipalRef(key, alice)
	if len(ref) != 28 || !strings.HasPrefix(ref, "p_") || strings.Contains(ref, "alice") {
		t.Errorf("alice is named %s", ref)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("user\x00alice@example.com"))
	if want := "p_" + encode(mac.Sum(nil))[:26]; ref != want {
		t.Errorf("alice is named %s, want %s", ref, want)
	}
	if again := identity.PrincipalRef(key, alice); again != ref {
		t.Errorf("alice is named %s and %s", ref, again)
	}
	if under := identity.PrincipalRef(other, alice); under == ref {
		t.Errorf("alice is named %s under two keys", ref)
	}
	if bob := identity.PrincipalRef(key, gov.Principal{Type: gov.PrincipalUser, ID: "bob@example.com"}); bob == ref {
		t.Errorf("alice and bob are both named %s", ref)
	}
	for _, p := range []gov.Principal{{Type: gov.PrincipalService, ID: "billing"}, {Type: gov.PrincipalOrganization, ID: "acme"}} {
		if got := identity.PrincipalRef(key, p); got != p.ID {
			t.Errorf("%s is named %s", p, got)
		}
	}
	long := gov.Principal{Type: gov.PrincipalUser, ID: strings.Repeat("x", 256)}
	if got := identity.PrincipalRef(key, long); len(got) != 28 {
		t.Errorf("a user with a long id is named %s", got)
	}
}
