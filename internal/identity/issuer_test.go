package identity_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/state"
)

func TestParseIssuer(t *testing.T) {
	t.Parallel()
	cases := map[string]identity.Issuer{
		"url=https://idp.example.com,audience=writ,for=agents,environment=prod": {
			URL: "https://idp.example.com", Audience: "writ", For: identity.UseAgents, Environment: "prod", AgentClaim: "sub", Rule: state.RuleRunsAs,
		},
		"for=agents, environment=prod, url=https://k8s/x,audience=writ,agent_claim=workload,agent_prefix=spiffe://acme/,rule=verified": {
			URL: "https://k8s/x", Audience: "writ", For: identity.UseAgents, Environment: "prod", AgentClaim: "workload",
			AgentPrefix: "spiffe://acme/", Rule: state.RuleVerified,
		},
		"url=https://idp.example.com,audience=people,for=principals": {
			URL: "https://idp.example.com", Audience: "people", For: identity.UsePrincipals, SubjectClaim: "sub", GroupsClaim: "groups",
		},
		"url=http://[::1]:8080,audience=a=b,for=principals,subject_claim=email,groups_claim=roles,environment=staging": {
			URL: "http://[::1]:8080", Audience: "a=b", For: identity.UsePrincipals, SubjectClaim: "email", GroupsClaim: "roles", Environment: "staging",
		},
	}
	for text, want := range cases {
		got, err := identity.ParseIssuer(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestAnIssuerThatCannotBeSaysWhatToWrite(t *testing.T) {
	t.Parallel()
	const base = "url=https://idp.example.com,audience=writ"
	cases := map[string]string{
		"": "url=https://", "https://idp.example.com": "key=value", "url=": "key=value", base + ",for=machines": "for=principals",
		base: "for=agents", base + ",for=agents": "environment=prod", base + ",for=agents,environment=org": "environment=prod",
		base + ",for=agents,environment=Prod":                                        "environment=prod",
		base + ",for=agents,environment=prod,rule=fixed":                             "rule=runs_as",
		base + ",for=agents,environment=prod,groups_claim=g":                         "leave them out",
		base + ",for=principals,rule=verified":                                       "leave them out",
		base + ",for=principals,environment=../x":                                    "environment=prod",
		base + ",audience=other":                                                     "write it once",
		base + ",issuer=x":                                                           "the keys are url",
		"url=https://idp.example.com,for=principals":                                 "audience=",
		"url=http://idp.example.com,audience=writ,for=principals":                    "https://",
		"url=http://127.0.0.1.example.com,audience=writ,for=principals":              "https://",
		"url=idp.example.com,audience=writ,for=principals":                           "https://idp",
		"url=https://user:secret@idp.example.com,audience=writ,for=principals":       "without user",
		"url=https://idp.example.com?tenant=1,audience=writ,for=principals":          "without user",
		"url=https://x/" + strings.Repeat("y", 600) + ",audience=w,for=principals":   "no URL",
		base + strings.Repeat("y", 300) + ",for=principals":                          "audience=",
		"audience=writ,for=agents,environment=prod,url=ftp://idp.example.com/secret": "https://",
	}
	for text, want := range cases {
		_, err := identity.ParseIssuer(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.120s: got %v, want a message with %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "user:secret") {
			t.Errorf("the message repeats a password: %v", err)
		}
	}
}

func TestIssuersThatCouldBeConfusedAreRefusedTogether(t *testing.T) {
	t.Parallel()
	agents := identity.Issuer{URL: "https://a.example.com", Audience: "agents", For: identity.UseAgents, Environment: "prod"}
	people := identity.Issuer{URL: "https://a.example.com", Audience: "people", For: identity.UsePrincipals}
	with := func(i identity.Issuer, change func(*identity.Issuer)) identity.Issuer { change(&i); return i }
	far := func(i *identity.Issuer) { i.URL = "https://b.example.com" }
	cases := []struct {
		name string
		list []identity.Issuer
		ok   bool
	}{
		{"one of each", []identity.Issuer{agents, people}, true},
		{"two audiences of one", []identity.Issuer{agents, with(agents, func(i *identity.Issuer) { i.Audience = "b"; i.Environment = "staging" })}, true},
		{"one audience for two uses", []identity.Issuer{agents, with(people, func(i *identity.Issuer) { i.Audience = "agents" })}, false},
		{"one audience for two environments", []identity.Issuer{agents, with(agents, func(i *identity.Issuer) { i.Environment = "staging" })}, false},
		{"agents of two", []identity.Issuer{agents, with(agents, far)}, true},
		{"people of two", []identity.Issuer{people, with(people, far)}, false},
		{"people of two, one of them everywhere", []identity.Issuer{with(people, func(i *identity.Issuer) { i.Environment = "prod" }), with(people, far)}, false},
		{"people of two environments", []identity.Issuer{
			with(people, func(i *identity.Issuer) { i.Environment = "prod" }),
			with(people, func(i *identity.Issuer) { far(i); i.Environment = "staging" }),
		}, true},
		{"one that cannot be", []identity.Issuer{{}}, false},
	}
	var many []identity.Issuer
	for i := range 65 {
		many = append(many, with(agents, func(a *identity.Issuer) { a.Audience = fmt.Sprint(i) }))
	}
	cases = append(cases, struct {
		name string
		list []identity.Issuer
		ok   bool
	}{"too many", many, false})
	for _, c := range cases {
		if _, err := identity.NewIssuers(c.list, at1000); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
