package identity

import (
	"fmt"
	"strings"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/state"
)

// ProposerPrefix begins the credential id of programs that propose changes, who come with a token of their CI's issuer.
const ProposerPrefix = "ci:"

// completeChanges wants to know whose tokens count: an issuer of CI gives tokens to everybody who runs something there, for
// whatever audience they ask for.
func (i Issuer) completeChanges() (Issuer, error) {
	if i.Environment != "" && (!gov.ValidName(string(i.Environment)) || i.Environment == gov.OrgLedger) {
		return Issuer{}, fmt.Errorf("issuer %s: environment=%s is no name of an environment; write environment=prod, say, or leave it out "+
			"for all environments", i.URL, i.Environment)
	}
	if i.SubjectPrefix == "" || len(i.SubjectPrefix) > textBytesMax {
		return Issuer{}, fmt.Errorf("issuer %s: subject_prefix is missing; write what the sub claim of your pipeline's tokens begins with, "+
			"subject_prefix=repo:acme/governance: say, so that other people's pipelines cannot propose", i.URL)
	}
	if i.AgentClaim != "" || i.AgentPrefix != "" || i.SubjectClaim != "" || i.GroupsClaim != "" || i.Rule != "" {
		return Issuer{}, fmt.Errorf("issuer %s: agent_claim, agent_prefix, subject_claim, groups_claim and rule are not of for=changes; leave them out", i.URL)
	}
	if i.AdminGroup != "" || i.SecretFile != "" || len(i.Scopes) > 0 {
		return Issuer{}, fmt.Errorf("issuer %s: admin_group, client_secret_file and scopes are of for=people; leave them out", i.URL)
	}
	return i, nil
}

// proposerOf is a program that proposes changes, and does nothing else.
func proposerOf(c claims, issuer Issuer) (Caller, error) {
	subject := c.text(claimSubject)
	named := gov.Principal{Type: gov.PrincipalService, ID: subject}
	if !named.Valid() || !strings.HasPrefix(subject, issuer.SubjectPrefix) {
		return Caller{}, refuseToken(CauseClaims, fmt.Sprintf("the token's sub claim does not begin with %q, so its pipeline is not one that proposes "+
			"changes here", issuer.SubjectPrefix), fmt.Errorf("sub %.200q", subject))
	}
	expires, _, err := c.time("exp")
	if err != nil {
		return Caller{}, refuseToken(CauseClaims, "the token's exp claim is malformed", err)
	}
	environment := issuer.Environment
	if environment == "" {
		environment = gov.OrgLedger
	}
	return Caller{
		Credential: gov.CredentialID(ProposerPrefix + issuer.URL), Role: state.RoleProposer, Environment: environment, Principal: named,
		Assurance: gov.AssuranceVerified, ExpiresAt: expires, Subject: subject, Issuer: issuer.URL,
	}, nil
}
