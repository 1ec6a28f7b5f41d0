package identity_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/identity/identitytest"
	"github.com/writ-dev/writ/internal/state"
)

func alice() gov.Principal   { return gov.Principal{Type: gov.PrincipalUser, ID: "alice"} }
func bob() gov.Principal     { return gov.Principal{Type: gov.PrincipalUser, ID: "bob"} }
func billing() gov.Principal { return gov.Principal{Type: gov.PrincipalService, ID: "billing"} }

// agentWith is a caller under a rule; a fixed one is fixed to alice.
func agentWith(rule state.Rule) identity.Caller {
	c := identity.Caller{Credential: "c", Role: state.RoleAgent, Environment: "prod", Agent: "support-bot", Rule: rule}
	if rule == state.RuleFixed {
		c.Principal, c.Assurance = alice(), gov.AssuranceBound
	}
	return c
}

func TestThePrincipalOfACall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.idp.Token(t, "alice")
	groups := []gov.GroupID{"finance", "support"}
	type want struct {
		p      gov.Principal
		how    gov.Assurance
		groups []gov.GroupID
		path   string // of the refusal; then p is nobody
		cause  identity.Cause
	}
	missing, mismatch := identity.CausePrincipalMissing, identity.CausePrincipalMismatch
	cases := []struct {
		rule    state.Rule
		claimed *gov.Principal
		token   string
		runsAs  string
		want    want
	}{
		{state.RuleFixed, nil, "", "", want{p: alice(), how: gov.AssuranceBound}},
		{state.RuleFixed, new(alice()), "", "", want{p: alice(), how: gov.AssuranceBound}},
		{state.RuleFixed, new(bob()), "", "", want{path: "/principal", cause: mismatch}},
		{state.RuleFixed, new(bob()), token, "", want{path: "/principal", cause: mismatch}},
		{state.RuleFixed, nil, token, "", want{p: alice(), how: gov.AssuranceVerified, groups: groups}},
		{state.RuleFixed, nil, "", "service:billing", want{p: alice(), how: gov.AssuranceBound}},

		{state.RuleAsserted, nil, "", "", want{path: "/principal", cause: missing}},
		{state.RuleAsserted, nil, "", "service:billing", want{path: "/principal", cause: missing}},
		{state.RuleAsserted, new(bob()), "", "", want{p: bob(), how: gov.AssuranceAsserted}},
		{state.RuleAsserted, nil, token, "", want{p: alice(), how: gov.AssuranceVerified, groups: groups}},
		{state.RuleAsserted, new(alice()), token, "", want{p: alice(), how: gov.AssuranceVerified, groups: groups}},
		{state.RuleAsserted, new(bob()), token, "", want{path: "/principal", cause: mismatch}},

		{state.RuleVerified, nil, "", "", want{path: "/on_behalf_of_token", cause: missing}},
		{state.RuleVerified, new(alice()), "", "", want{path: "/on_behalf_of_token", cause: missing}},
		{state.RuleVerified, nil, token, "", want{p: alice(), how: gov.AssuranceVerified, groups: groups}},
		{state.RuleVerified, new(bob()), token, "", want{path: "/principal", cause: mismatch}},

		{state.RuleRunsAs, nil, "", "service:billing", want{p: billing(), how: gov.AssuranceBound}},
		{state.RuleRunsAs, new(billing()), "", "service:billing", want{p: billing(), how: gov.AssuranceBound}},
		{state.RuleRunsAs, new(bob()), "", "service:billing", want{path: "/principal", cause: mismatch}},
		{state.RuleRunsAs, nil, token, "service:billing", want{path: "/on_behalf_of_token", cause: mismatch}},
		{state.RuleRunsAs, nil, token, "user:alice", want{p: alice(), how: gov.AssuranceVerified, groups: groups}},
		{state.RuleRunsAs, nil, "", "caller", want{path: "/principal", cause: missing}},
		{state.RuleRunsAs, new(bob()), "", "caller", want{p: bob(), how: gov.AssuranceAsserted}},
		{state.RuleRunsAs, nil, token, "caller", want{p: alice(), how: gov.AssuranceVerified, groups: groups}},
		{state.RuleRunsAs, nil, "", "", want{path: "/principal", cause: missing}},
		{state.RuleRunsAs, new(bob()), "", "", want{p: bob(), how: gov.AssuranceAsserted}},

		{"", new(bob()), "", "", want{cause: identity.CauseRule}},
	}
	for _, c := range cases {
		name := fmt.Sprintf("%s claimed=%v token=%t runs_as=%s", c.rule, c.claimed, c.token != "", c.runsAs)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, how, got, err := w.Resolve(t.Context(), agentWith(c.rule), c.claimed, c.token, c.runsAs)
			if c.want.cause != "" {
				if e := refusal(t, err, gov.CodeForbidden, c.want.cause); e.Path != c.want.path {
					t.Errorf("refused at %q, want %q", e.Path, c.want.path)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if p != c.want.p || how != c.want.how {
				t.Errorf("got %s, %s, want %s, %s", p, how, c.want.p, c.want.how)
			}
			if diff := cmp.Diff(c.want.groups, got); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPrincipalsTokenIsCheckedAsStrictlyAsAnAgents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	person := func(spoil map[string]any) string {
		c := w.claims(map[string]any{"sub": "alice", "aud": audiencePrincipals})
		for name, value := range spoil {
			c[name] = value
		}
		return identitytest.Sign(t, w.idp.Current(), c)
	}
	many := make([]string, 201)
	for i := range many {
		many[i] = fmt.Sprint("g", i)
	}
	cases := []struct {
		name, token string
		code        gov.Code
		cause       identity.Cause
	}{
		{"an agent's token", w.idp.Token(t, "support-bot"), gov.CodeForbidden, identity.CauseWrongUse},
		{"an API key", newKey(t, credentials{}, state.RoleAgent, nil), gov.CodeUnauthenticated, identity.CauseMalformed},
		{"expired", person(map[string]any{"exp": 1}), gov.CodeUnauthenticated, identity.CauseExpired},
		{"for somebody else", person(map[string]any{"aud": "mail"}), gov.CodeUnauthenticated, identity.CauseAudience},
		{"tampered", splice(person(nil), 1, part(`{"iss":"`+w.idp.URL+`","sub":"bob"}`)), gov.CodeUnauthenticated, identity.CauseBadSignature},
		{"without a subject", person(map[string]any{"sub": ""}), gov.CodeForbidden, identity.CauseClaims},
		{"with a subject of 300 bytes", person(map[string]any{"sub": strings.Repeat("x", 300)}), gov.CodeForbidden, identity.CauseClaims},
		{"with groups that are none", person(map[string]any{"groups": map[string]any{"a": 1}}), gov.CodeForbidden, identity.CauseClaims},
		{"with a nameless group", person(map[string]any{"groups": []string{""}}), gov.CodeForbidden, identity.CauseClaims},
		{"with 201 groups", person(map[string]any{"groups": many}), gov.CodeForbidden, identity.CauseClaims},
		{"with groups kept elsewhere", person(map[string]any{
			"_claim_names":   map[string]string{"groups": "src1"},
			"_claim_sources": map[string]any{"src1": map[string]string{"endpoint": "https://graph.example.com/groups"}},
		}), gov.CodeForbidden, identity.CauseClaims},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _, _, err := w.Resolve(t.Context(), agentWith(state.RuleVerified), nil, c.token, "")
			if e := refusal(t, err, c.code, c.cause); e.Path != "/on_behalf_of_token" {
				t.Errorf("refused at %q, want /on_behalf_of_token", e.Path)
			}
		})
	}
	t.Run("and a good one is taken", func(t *testing.T) {
		t.Parallel()
		for _, groups := range []any{nil, "support", []string{"support"}, many[:200]} {
			p, how, _, err := w.Resolve(t.Context(), agentWith(state.RuleVerified), nil, person(map[string]any{"groups": groups}), "")
			if err != nil || p != alice() || how != gov.AssuranceVerified {
				t.Errorf("with groups %v: %s, %s, %v", groups, p, how, err)
			}
		}
	})
}

func TestAPrincipalsIssuerOfOneEnvironmentCountsThereOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Service.Issuers = newIssuers(t, w.clock, identity.Issuer{
		URL: w.idp.URL, Audience: audiencePrincipals, For: identity.UsePrincipals, Environment: "staging",
	})
	_, _, _, err := w.Resolve(t.Context(), agentWith(state.RuleVerified), nil, w.idp.Token(t, "alice"), "")
	wantRefusal(t, err, gov.CodeForbidden, identity.CauseForeignEnvironment)
	caller := agentWith(state.RuleVerified)
	caller.Environment = "staging"
	if _, _, _, err := w.Resolve(t.Context(), caller, nil, w.idp.Token(t, "alice"), ""); err != nil {
		t.Errorf("in its own environment: %v", err)
	}
}

func TestThePrincipalsClaimsCanHaveOtherNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Service.Issuers = newIssuers(t, w.clock, identity.Issuer{
		URL: w.idp.URL, Audience: audiencePrincipals, For: identity.UsePrincipals, SubjectClaim: "email", GroupsClaim: "roles",
	})
	w.idp.Register("carol", "4711", audiencePrincipals, map[string]any{"email": "carol@example.com", "roles": "Finance Team", "groups": []string{"x"}})
	p, _, groups, err := w.Resolve(t.Context(), agentWith(state.RuleVerified), nil, w.idp.Token(t, "carol"), "")
	if err != nil {
		t.Fatal(err)
	}
	if want := (gov.Principal{Type: gov.PrincipalUser, ID: "carol@example.com"}); p != want {
		t.Errorf("got %s, want %s", p, want)
	}
	if diff := cmp.Diff([]gov.GroupID{"Finance Team"}, groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

func TestOnlyAgentsCallAndOnlyForPrincipalsThatCanBe(t *testing.T) {
	t.Parallel()
	s := &identity.Service{Credentials: credentials{}, Now: at1000}
	_, _, _, err := s.Resolve(t.Context(), identity.Caller{Role: state.RoleAdmin, Rule: state.RuleAsserted}, new(bob()), "", "")
	wantRefusal(t, err, gov.CodeForbidden, identity.CauseRule)
	for _, p := range []gov.Principal{{}, {Type: "model", ID: "gpt"}, {Type: gov.PrincipalUser}, {Type: gov.PrincipalUser, ID: "a\nb"}} {
		_, _, _, err := s.Resolve(t.Context(), agentWith(state.RuleAsserted), &p, "", "")
		if e := refusal(t, err, gov.CodeInvalidField, identity.CauseClaims); e.Path != "/principal" {
			t.Errorf("refused at %q, want /principal", e.Path)
		}
	}
	if p, _, _, err := s.Resolve(t.Context(), agentWith(state.RuleRunsAs), nil, "", "nobody"); err == nil {
		t.Errorf("a malformed runs_as gives %s", p)
	}
}
