package identity

import (
	"strings"
	"testing"
	"time"
)

func TestAnIssuerOfPipelinesSaysWhose(t *testing.T) {
	t.Parallel()
	const good = "url=https://ci.example.com,audience=writ,for=changes,subject_prefix=repo:acme/governance:"
	if i, err := ParseIssuer(good + ",environment=prod"); err != nil || i.SubjectPrefix != "repo:acme/governance:" || i.Environment != "prod" {
		t.Errorf("%+v, %v", i, err)
	}
	for bad, want := range map[string]string{
		"url=https://ci.example.com,audience=writ,for=changes":               "subject_prefix is missing",
		good + ",environment=org":                                            "no name of an environment",
		good + ",agent_prefix=x":                                             "not of for=changes",
		good + ",rule=verified":                                              "not of for=changes",
		good + ",admin_group=x":                                              "are of for=people",
		"url=https://idp.example.com,audience=w,for=people,subject_prefix=x": "is of for=changes",
	} {
		if _, err := ParseIssuer(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", bad, err, want)
		}
	}
	// Two issuers may both have pipelines: a subject is told apart by its issuer.
	one, err := ParseIssuer(good)
	if err != nil {
		t.Fatal(err)
	}
	two := one
	two.URL = "https://gitlab.example.com"
	if _, err := NewIssuers([]Issuer{one, two}, time.Now); err != nil {
		t.Error(err)
	}
}
