package identity_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/identity/identitytest"
)

func TestKeysAreFetchedOnceAndKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := w.idp.Token(t, "support-bot")
	for range 5 {
		if _, err := w.Authenticate(t.Context(), raw); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.idp.Discoveries(); got != 1 {
		t.Errorf("%d discoveries, want one", got)
	}
}

func TestARotatedKeyIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	earlier := w.idp.Token(t, "support-bot")
	if _, err := w.Authenticate(t.Context(), earlier); err != nil {
		t.Fatal(err)
	}
	w.idp.Rotate(t, jose.ES256)
	w.clock.advance(11 * time.Second)
	if _, err := w.Authenticate(t.Context(), w.idp.Token(t, "support-bot")); err != nil {
		t.Errorf("signed with the new key: %v", err)
	}
	if _, err := w.Authenticate(t.Context(), earlier); err != nil {
		t.Errorf("signed with the earlier key, still published: %v", err)
	}
}

func TestAWithdrawnKeyStopsCounting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.idp.Current()
	if _, err := w.Authenticate(t.Context(), identitytest.Sign(t, old, w.claims(nil))); err != nil {
		t.Fatal(err)
	}
	w.idp.Rotate(t, jose.ES256)
	w.idp.Withdraw(old.KeyID)
	w.clock.advance(10 * time.Minute)
	_, err := w.Authenticate(t.Context(), identitytest.Sign(t, old, w.claims(nil)))
	wantRefusal(t, err, gov.CodeUnauthenticated, identity.CauseBadSignature)
}

func TestMadeUpKeysDoNotFloodTheIssuer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	forged := w.idp.Current()
	for i := range 50 {
		forged.KeyID = fmt.Sprintf("made-up-%d", i)
		_, err := w.Authenticate(t.Context(), identitytest.Sign(t, forged, w.claims(nil)))
		wantRefusal(t, err, gov.CodeUnauthenticated, identity.CauseBadSignature)
		w.clock.advance(time.Second)
	}
	if got := w.idp.Discoveries(); got > 6 {
		t.Errorf("%d discoveries in 50 seconds", got)
	}
}

func TestAnIssuerThatIsDownAtStartIsUsedOnceItIsUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := w.idp.Token(t, "support-bot")
	w.idp.SetDown(true)
	asked := func() int {
		before := w.idp.Discoveries()
		_, err := w.Authenticate(t.Context(), raw)
		e := refusal(t, err, gov.CodeUnauthenticated, identity.CauseIssuerUnavailable)
		if !strings.Contains(e.Detail, w.idp.URL) {
			t.Errorf("the detail does not name the issuer: %s", e.Detail)
		}
		return w.idp.Discoveries() - before
	}
	if n := asked(); n == 0 {
		t.Error("the issuer was not asked")
	}
	for _, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
		w.clock.advance(wait - 100*time.Millisecond)
		if n := asked(); n != 0 {
			t.Errorf("asked again before %s were over", wait)
		}
		w.clock.advance(200 * time.Millisecond)
		if n := asked(); n == 0 {
			t.Errorf("not asked again after %s", wait)
		}
	}
	w.idp.SetDown(false)
	w.clock.advance(20 * time.Second)
	if _, err := w.Authenticate(t.Context(), raw); err != nil {
		t.Errorf("once it is up: %v", err)
	}
}

func TestKnownKeysOutliveAnOutageForAnHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	use := func() error {
		_, err := w.Authenticate(t.Context(), identitytest.Sign(t, w.idp.Current(), w.claims(nil)))
		return err
	}
	if err := use(); err != nil {
		t.Fatal(err)
	}
	w.idp.SetDown(true)
	for range 5 {
		w.clock.advance(11 * time.Minute)
		if err := use(); err != nil {
			t.Fatalf("within the hour: %v", err)
		}
	}
	w.clock.advance(6 * time.Minute)
	wantRefusal(t, use(), gov.CodeUnauthenticated, identity.CauseIssuerUnavailable)
	w.idp.SetDown(false)
	w.clock.advance(time.Minute)
	if err := use(); err != nil {
		t.Errorf("once it is up again: %v", err)
	}
}

// answers is an issuer that answers discovery and keys as a test wants it to.
func answers(t *testing.T, discovery, keys func(w http.ResponseWriter, url string)) (identity.Issuer, *clock) {
	t.Helper()
	var url atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/keys" {
			keys(w, url.Load().(string))
			return
		}
		discovery(w, url.Load().(string))
	}))
	t.Cleanup(server.Close)
	url.Store(server.URL)
	return identity.Issuer{URL: server.URL, Audience: audienceAgents, For: identity.UseAgents, Environment: "prod"}, &clock{}
}

func goodDiscovery(w http.ResponseWriter, url string) {
	fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, url, url+"/keys")
}

func write(s string) func(http.ResponseWriter, string) {
	return func(w http.ResponseWriter, _ string) { fmt.Fprint(w, s) }
}

func TestAnIssuerThatAnswersNonsenseIsNotBelieved(t *testing.T) {
	t.Parallel()
	huge := `{"keys":[` + strings.Repeat(" ", 600<<10) + `]}`
	cases := []struct {
		name, why       string
		discovery, keys func(http.ResponseWriter, string)
	}{
		{"another issuer's document", "did not match", write(`{"issuer":"https://other.example.com","jwks_uri":"https://other.example.com/keys"}`), write(`{}`)},
		{"no document", "404", func(w http.ResponseWriter, _ string) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, strings.Repeat("not found ", 10_000))
		}, write(`{}`)},
		{"a redirect", "302", func(w http.ResponseWriter, _ string) {
			w.Header().Set("Location", "/keys")
			w.WriteHeader(http.StatusFound)
		}, write(`{}`)},
		{"keys over plain http elsewhere", "is not https", func(w http.ResponseWriter, url string) {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"http://192.0.2.1/keys"}`, url)
		}, write(`{}`)},
		{"no place for keys", "jwks_uri", func(w http.ResponseWriter, url string) { fmt.Fprintf(w, `{"issuer":%q}`, url) }, write(`{}`)},
		{"no keys", "none that can", goodDiscovery, write(`{"keys":[]}`)},
		{"keys that are none", "read keys", goodDiscovery, write(`<html>`)},
		{"symmetric keys only", "none that can", goodDiscovery, write(`{"keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0","kid":"key-0","alg":"HS256"}]}`)},
		{"an error", "500", goodDiscovery, func(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusInternalServerError) }},
		{"too much", "too large", goodDiscovery, write(huge)},
		{"too many keys", "at most 64", goodDiscovery, write(`{"keys":[` + strings.Repeat(`{},`, 64) + `{}]}`)},
	}
	key := identitytest.New(t).Current()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			issuer, clock := answers(t, c.discovery, c.keys)
			s := &identity.Service{Credentials: credentials{}, Issuers: newIssuers(t, clock, issuer), Now: clock.now}
			_, err := s.Authenticate(t.Context(), identitytest.Sign(t, key, map[string]any{"iss": issuer.URL, "aud": audienceAgents}))
			e := refusal(t, err, gov.CodeUnauthenticated, identity.CauseIssuerUnavailable)
			if !strings.Contains(e.Error(), c.why) {
				t.Errorf("got %v, want a cause with %q", e, c.why)
			}
			if len(e.Error()) > 1000 {
				t.Errorf("the issuer's answer puts %d bytes into the log", len(e.Error()))
			}
		})
	}
}

func TestUnknownKindsOfKeyArePassedOver(t *testing.T) {
	t.Parallel()
	key := identitytest.New(t).Current()
	public, err := (&jose.JSONWebKey{Key: key.Private.Public(), KeyID: key.KeyID, Use: "sig"}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	set := fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"secp256k1","alg":"ES256K","x":"AA","y":"AA"},{"kty":"new"},{"kty":"oct","k":"c2VjcmV0"},%s]}`, public)
	issuer, clock := answers(t, goodDiscovery, write(set))
	s := &identity.Service{Credentials: credentials{}, Issuers: newIssuers(t, clock, issuer), Now: clock.now}
	raw := identitytest.Sign(t, key, map[string]any{
		"iss": issuer.URL, "aud": audienceAgents, "sub": "support-bot", "exp": clock.now().Add(time.Minute).Unix(),
	})
	if _, err := s.Authenticate(t.Context(), raw); err != nil {
		t.Error(err)
	}
}

func TestACallerThatGivesUpDoesNotSpoilTheFetch(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	idp := identitytest.New(t)
	public, err := (&jose.JSONWebKey{Key: idp.Current().Private.Public(), KeyID: "key-0"}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	issuer, clock := answers(t, func(w http.ResponseWriter, url string) {
		if first.CompareAndSwap(false, true) {
			close(asked)
		}
		<-answer
		goodDiscovery(w, url)
	}, write(fmt.Sprintf(`{"keys":[%s]}`, public)))
	s := &identity.Service{Credentials: credentials{}, Issuers: newIssuers(t, clock, issuer), Now: clock.now}
	raw := identitytest.Sign(t, idp.Current(), map[string]any{
		"iss": issuer.URL, "aud": audienceAgents, "sub": "support-bot", "exp": clock.now().Add(time.Minute).Unix(),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := s.Authenticate(ctx, raw); done <- err }()
	<-asked
	cancel()
	waiting, stop := context.WithCancel(t.Context())
	stop()
	_, err = s.Authenticate(waiting, raw)
	wantRefusal(t, err, gov.CodeUnauthenticated, identity.CauseIssuerUnavailable)
	close(answer)
	if err := <-done; err != nil {
		t.Errorf("the one who asked: %v", err)
	}
	if _, err := s.Authenticate(t.Context(), raw); err != nil {
		t.Errorf("after it: %v", err)
	}
}
