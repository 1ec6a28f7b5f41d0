package identity

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/state"
)

// Use is what the tokens of an issuer are taken for.
type Use string

// The uses: to authenticate an agent, to prove the principal of a call, to sign a person in, or to propose changes of the bundle.
const (
	UseAgents     Use = "agents"
	UsePrincipals Use = "principals"
	UsePeople     Use = "people"
	UseChanges    Use = "changes"
)

// Issuer is one trusted issuer of tokens and what its tokens mean here.
type Issuer struct {
	URL           string          // exactly as in the iss claim; the discovery document is below it
	Audience      string          // that a token must name
	For           Use             // agents, principals, people or changes
	Environment   gov.Environment // that the agents belong to; of principals and changes: the only one, or empty for all
	AgentClaim    string          // that has the agent's id; "sub" if empty
	AgentPrefix   string          // that the claim's value must begin with and that is not part of the id
	SubjectClaim  string          // that has the principal's id; "sub" if empty
	GroupsClaim   string          // that lists the principal's groups; "groups" if empty
	Rule          state.Rule      // for whom the agents may call; state.RuleRunsAs if empty
	SubjectPrefix string          // of changes: what the sub claim of a pipeline that may propose begins with
	AdminGroup    gov.GroupID     // of people: whose members are administrators
	SecretFile    string          // of people: has the secret of the client that Audience names; empty: a public client
	Scopes        []string        // of people: asked for besides openid, profile and email
}

const (
	claimSubject = "sub"
	claimGroups  = "groups"

	issuersMax   = 64
	urlBytesMax  = 512
	textBytesMax = 256
)

const issuerExample = "url=https://idp.example.com,audience=writ,for=agents,environment=prod"

// ParseIssuer reads an issuer as the command line gives it: key=value pairs with commas between them. The keys are url,
// audience, for, environment, agent_claim, agent_prefix, subject_claim, groups_claim, rule, subject_prefix, admin_group, client_secret_file and
// scopes (with spaces between them).
func ParseIssuer(s string) (Issuer, error) {
	var i Issuer
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(pair, "=")
		key = strings.TrimSpace(key)
		if !ok || value == "" {
			return Issuer{}, fmt.Errorf("issuer: %q is not key=value; write for instance %s", pair, issuerExample)
		}
		if seen[key] {
			return Issuer{}, fmt.Errorf("issuer: %s is given twice; write it once", key)
		}
		seen[key] = true
		if err := i.set(key, value); err != nil {
			return Issuer{}, err
		}
	}
	return i.complete()
}

func (i *Issuer) set(key, value string) error {
	switch key {
	case "url":
		i.URL = value
	case "audience":
		i.Audience = value
	case "for":
		i.For = Use(value)
	case "environment":
		i.Environment = gov.Environment(value)
	case "agent_claim":
		i.AgentClaim = value
	case "agent_prefix":
		i.AgentPrefix = value
	case "subject_claim":
		i.SubjectClaim = value
	case "groups_claim":
		i.GroupsClaim = value
	case "rule":
		i.Rule = state.Rule(value)
	case "subject_prefix":
		i.SubjectPrefix = value
	case "admin_group":
		i.AdminGroup = gov.GroupID(value)
	case "client_secret_file":
		i.SecretFile = value
	case "scopes":
		i.Scopes = strings.Fields(value)
	default:
		return fmt.Errorf("issuer: %q is not known; the keys are url, audience, for, environment, agent_claim, agent_prefix, "+
			"subject_claim, groups_claim, rule, subject_prefix, admin_group, client_secret_file and scopes", key)
	}
	return nil
}

// complete checks i and fills in what may be left out.
func (i Issuer) complete() (Issuer, error) {
	if err := checkURL(i.URL); err != nil {
		return Issuer{}, fmt.Errorf("issuer: url: %w", err)
	}
	if i.Audience == "" || len(i.Audience) > textBytesMax {
		return Issuer{}, fmt.Errorf("issuer %s: audience is missing; write audience= and what the issuer puts into the aud claim "+
			"of tokens for Writ, so that tokens for others do not count", i.URL)
	}
	if i.SubjectPrefix != "" && i.For != UseChanges {
		return Issuer{}, fmt.Errorf("issuer %s: subject_prefix is of for=changes; leave it out with for=%s", i.URL, i.For)
	}
	switch i.For {
	case UseAgents:
		return i.completeAgents()
	case UsePrincipals:
		return i.completePrincipals()
	case UsePeople:
		return i.completePeople()
	case UseChanges:
		return i.completeChanges()
	default:
		return Issuer{}, fmt.Errorf("issuer %s: for=%s is not known; write for=agents (its tokens authenticate agents), "+
			"for=principals (its tokens prove for whom a call is made), for=people (its tokens sign people in) or "+
			"for=changes (its tokens propose changes)", i.URL, i.For)
	}
}

func (i Issuer) completeAgents() (Issuer, error) {
	if !gov.ValidName(string(i.Environment)) || i.Environment == gov.OrgLedger {
		return Issuer{}, fmt.Errorf("issuer %s: environment=%s is missing or no name of an environment; write environment=prod, say: "+
			"an agent belongs to one environment", i.URL, i.Environment)
	}
	if i.SubjectClaim != "" || i.GroupsClaim != "" {
		return Issuer{}, fmt.Errorf("issuer %s: subject_claim and groups_claim are of principals; leave them out with for=agents", i.URL)
	}
	if i.Rule == "" {
		i.Rule = state.RuleRunsAs
	}
	switch i.Rule {
	case state.RuleAsserted, state.RuleVerified, state.RuleRunsAs:
	default:
		return Issuer{}, fmt.Errorf("issuer %s: rule=%s cannot be; write rule=runs_as (as the inventory says), rule=verified (each call "+
			"brings the principal's token) or rule=asserted (each call names one)", i.URL, i.Rule)
	}
	if i.AgentClaim == "" {
		i.AgentClaim = claimSubject
	}
	return i, nil
}

func (i Issuer) completePrincipals() (Issuer, error) {
	if i.Environment != "" && !gov.ValidName(string(i.Environment)) {
		return Issuer{}, fmt.Errorf("issuer %s: environment=%s is no name of an environment; write environment=prod, say, or leave it out "+
			"for all environments", i.URL, i.Environment)
	}
	if i.AgentClaim != "" || i.AgentPrefix != "" || i.Rule != "" {
		return Issuer{}, fmt.Errorf("issuer %s: agent_claim, agent_prefix and rule are of agents; leave them out with for=principals", i.URL)
	}
	if i.SubjectClaim == "" {
		i.SubjectClaim = claimSubject
	}
	if i.GroupsClaim == "" {
		i.GroupsClaim = claimGroups
	}
	return i, nil
}

// completePeople is for all environments: what a person may do in each is said by the bundle that is active there.
func (i Issuer) completePeople() (Issuer, error) {
	if i.Environment != "" {
		return Issuer{}, fmt.Errorf("issuer %s: leave environment out with for=people; the groups of each environment's bundle say who may do what there", i.URL)
	}
	return i.completePrincipals()
}

// checkURL wants https. Plain http is for a loopback address only: whoever can answer in an issuer's place can make tokens.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || len(s) > urlBytesMax {
		return fmt.Errorf("%.100q is no URL; write the issuer's own, as in its tokens' iss claim, https://idp.example.com say", s)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%s has more than a scheme, a host and a path; write it without user, query and fragment", u.Redacted())
	}
	if u.Scheme == "https" || (u.Scheme == "http" && isLoopback(u.Hostname())) {
		return nil
	}
	return fmt.Errorf("%s is not https; write https:// (http:// is for a loopback address only)", s)
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && addr.IsLoopback())
}

// Issuers are the trusted issuers of a server with what is known of their keys. It is safe for concurrent use.
type Issuers struct {
	list    []Issuer
	sources map[string]*source // by URL
}

// NewIssuers checks the issuers, each and together. It asks none of them for anything: an issuer that is down does not keep a
// server from starting.
func NewIssuers(list []Issuer, now func() time.Time) (*Issuers, error) {
	if len(list) > issuersMax {
		return nil, fmt.Errorf("issuers: %d are given, at most %d can be", len(list), issuersMax)
	}
	is := &Issuers{sources: map[string]*source{}}
	for _, i := range list {
		i, err := i.complete()
		if err != nil {
			return nil, err
		}
		if err := is.clash(i); err != nil {
			return nil, err
		}
		is.list = append(is.list, i)
		if _, ok := is.sources[i.URL]; !ok {
			is.sources[i.URL] = newSource(i.URL, now)
		}
	}
	return is, nil
}

// clash refuses an issuer beside which a token could mean two things, or a subject two people.
func (is *Issuers) clash(i Issuer) error {
	for _, other := range is.list {
		if other.URL == i.URL && other.Audience == i.Audience {
			return fmt.Errorf("issuer %s: audience=%s is given twice; let each use and environment have an audience of its own, so that a "+
				"token made for one cannot be used for another", i.URL, i.Audience)
		}
		overlap := other.Environment == i.Environment || other.Environment == "" || i.Environment == ""
		if (i.For == UsePrincipals || i.For == UsePeople) && other.For == i.For && other.URL != i.URL && overlap {
			return fmt.Errorf("issuers %s and %s both name principals or people of one environment, and the same subject could be two people; "+
				"give each an environment of its own", other.URL, i.URL)
		}
	}
	return nil
}

var errAmbiguous = errors.New("the token has the audiences of several configured issuers")

// match finds the one configured issuer that a token is for.
func (is *Issuers) match(url string, audience []string) (Issuer, Cause, error) {
	var found Issuer
	n := 0
	for _, i := range is.list {
		if i.URL == url && slices.Contains(audience, i.Audience) {
			found = i
			n++
		}
	}
	switch n {
	case 0:
		return Issuer{}, CauseAudience, fmt.Errorf("audience %.200q is not configured for %s", audience, url)
	case 1:
		return found, "", nil
	}
	return Issuer{}, CauseAudience, errAmbiguous
}
