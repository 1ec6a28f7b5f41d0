package identity_test

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/state"
)

func agentKey(change func(*identity.KeyRequest)) identity.KeyRequest {
	r := identity.KeyRequest{Role: state.RoleAgent, Environment: "prod", Agent: "support-bot", Rule: state.RuleRunsAs}
	if change != nil {
		change(&r)
	}
	return r
}

func TestAnIssuedKeyIsWhatTheEntrySays(t *testing.T) {
	t.Parallel()
	refKey := []byte("key")
	cases := []struct {
		name   string
		req    identity.KeyRequest
		ledger gov.Environment
		body   canon.CredentialIssued
		user   *gov.Principal
	}{
		{"for 90 days", agentKey(nil), "prod", canon.CredentialIssued{
			Role: "agent", Agent: "support-bot", Principal: canon.PrincipalRule{Rule: "runs_as"}, ExpiresAt: "1970-04-01T00:16:40.000000Z",
		}, nil},
		{"fixed to a service", agentKey(func(r *identity.KeyRequest) {
			r.Rule, r.Principal, r.Lifetime, r.Note = state.RuleFixed, billing(), time.Hour, "nightly"
		}), "prod", canon.CredentialIssued{
			Role: "agent", Agent: "support-bot", Principal: canon.PrincipalRule{Rule: "fixed", Type: gov.PrincipalService, ID: "billing"},
			ExpiresAt: "1970-01-01T01:16:40.000000Z", Note: "nightly",
		}, nil},
		{"fixed to a user, by reference", agentKey(func(r *identity.KeyRequest) {
			r.Rule, r.Principal, r.Lifetime = state.RuleFixed, alice(), identity.LifetimeMax
		}),
			"prod", canon.CredentialIssued{
				Role: "agent", Agent: "support-bot", ExpiresAt: "1971-01-02T00:16:40.000000Z",
				Principal: canon.PrincipalRule{Rule: "fixed", Type: gov.PrincipalUser, ID: identity.PrincipalRef(refKey, alice())},
			}, new(alice())},
		{"of an administrator", identity.KeyRequest{Role: state.RoleAdmin}, gov.OrgLedger,
			canon.CredentialIssued{Role: "admin", ExpiresAt: "1970-04-01T00:16:40.000000Z"}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := c.req.Issue(rand.Reader, refKey, at1000())
			if err != nil {
				t.Fatal(err)
			}
			key, err := identity.ParseToken(got.Token)
			if err != nil {
				t.Fatal(err)
			}
			c.body.Credential, c.body.SecretHash = key.ID, hex.EncodeToString(key.Hash[:])
			if diff := cmp.Diff(identity.Issued{Token: got.Token, Ledger: c.ledger, Body: c.body, User: c.user}, got); diff != "" {
				t.Errorf("issued (-want +got):\n%s", diff)
			}
			if _, err := canon.NewDraft(got.Ledger, canon.KindCredentialIssued, canon.Nonce{}, canon.Actor{}, got.Body); err != nil {
				t.Errorf("the body makes no entry: %v", err)
			}
		})
	}
}

func TestAKeyThatCannotBeIsNotIssued(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		req  identity.KeyRequest
		path string
	}{
		"of no role":          {identity.KeyRequest{}, "/role"},
		"of another role":     {agentKey(func(r *identity.KeyRequest) { r.Role = "auditor" }), "/role"},
		"of no agent":         {agentKey(func(r *identity.KeyRequest) { r.Agent = "" }), "/agent"},
		"of no environment":   {agentKey(func(r *identity.KeyRequest) { r.Environment = "" }), "/environment"},
		"of the organization": {agentKey(func(r *identity.KeyRequest) { r.Environment = gov.OrgLedger }), "/environment"},
		"of no rule":          {agentKey(func(r *identity.KeyRequest) { r.Rule = "" }), "/rule"},
		"of another rule":     {agentKey(func(r *identity.KeyRequest) { r.Rule = "any" }), "/rule"},
		"fixed to nobody":     {agentKey(func(r *identity.KeyRequest) { r.Rule = state.RuleFixed }), "/principal"},
		"asserted and fixed":  {agentKey(func(r *identity.KeyRequest) { r.Rule, r.Principal = state.RuleAsserted, bob() }), "/principal"},
		"for 367 days":        {agentKey(func(r *identity.KeyRequest) { r.Lifetime = 367 * 24 * time.Hour }), "/expires_in"},
		"for a second":        {agentKey(func(r *identity.KeyRequest) { r.Lifetime = time.Second }), "/expires_in"},
		"expired":             {agentKey(func(r *identity.KeyRequest) { r.Lifetime = -time.Hour }), "/expires_in"},
		"with a long note":    {agentKey(func(r *identity.KeyRequest) { r.Note = strings.Repeat("x", 257) }), "/note"},
		"with lines":          {agentKey(func(r *identity.KeyRequest) { r.Note = "a\nb" }), "/note"},
		"admin of prod":       {identity.KeyRequest{Role: state.RoleAdmin, Environment: "prod"}, "/role"},
		"admin of an agent":   {identity.KeyRequest{Role: state.RoleAdmin, Agent: "support-bot"}, "/role"},
		"admin for a year":    {identity.KeyRequest{Role: state.RoleAdmin, Lifetime: 367 * 24 * time.Hour}, "/expires_in"},
	}
	for name, c := range cases {
		got, err := c.req.Issue(rand.Reader, nil, at1000())
		e, ok := errors.AsType[*gov.Error](err)
		if !ok || e.Code != gov.CodeInvalidField || e.Path != c.path || e.Detail == "" {
			t.Errorf("%s: got %v, want invalid_field at %s", name, err, c.path)
		}
		if got.Token != "" {
			t.Errorf("%s: a token was made", name)
		}
	}
}
