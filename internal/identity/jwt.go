package identity

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/state"
)

const (
	jwtBytesMax   = 16 << 10
	clockSkewMax  = time.Minute // by which an issuer's clock may be ahead of ours
	groupsMax     = 200
	groupBytesMax = 128
)

// algorithms are the signatures that count: asymmetric ones, so that who can check cannot sign.
func algorithms() []string { return []string{oidc.RS256, oidc.PS256, oidc.ES256, oidc.EdDSA} }

// claims are those of a checked token.
type claims map[string]json.RawMessage

// text is a claim that is a string, or empty.
func (c claims) text(name string) string {
	var s string
	if err := json.Unmarshal(c[name], &s); err != nil {
		return ""
	}
	return s
}

// list is a claim that is a string or a list of strings, or absent.
func (c claims) list(name string) ([]string, error) {
	raw, ok := c[name]
	if !ok || string(raw) == "null" {
		return nil, nil
	}
	var many []string
	if err := json.Unmarshal(raw, &many); err == nil {
		return many, nil
	}
	var one string
	if err := json.Unmarshal(raw, &one); err != nil {
		return nil, fmt.Errorf("claim %s is neither a string nor a list of strings", name)
	}
	return []string{one}, nil
}

// time is a claim that is a NumericDate (RFC 7519). ok is false when it is absent.
func (c claims) time(name string) (at time.Time, ok bool, err error) {
	raw, ok := c[name]
	if !ok {
		return time.Time{}, false, nil
	}
	var seconds float64
	if err := json.Unmarshal(raw, &seconds); err != nil || seconds < 0 || seconds > secondsMax {
		return time.Time{}, false, fmt.Errorf("claim %s is no time", name)
	}
	return time.Unix(int64(seconds), 0), true, nil
}

// secondsMax is the end of the year 9999.
const secondsMax = 253402300799

// token is a token as it stands, before anything of it is believed.
type token struct {
	raw       string
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	issuer    string
}

func readToken(raw string) (token, error) {
	t := token{raw: raw}
	if len(raw) > jwtBytesMax {
		return t, fmt.Errorf("%d bytes, at most %d can be", len(raw), jwtBytesMax)
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return t, fmt.Errorf("%d parts, not three", len(parts))
	}
	if err := decodePart(parts[0], &t); err != nil {
		return t, fmt.Errorf("header: %w", err)
	}
	var body struct {
		Issuer string `json:"iss"`
	}
	if err := decodePart(parts[1], &body); err != nil {
		return t, fmt.Errorf("claims: %w", err)
	}
	t.issuer = body.Issuer
	if _, err := base64.RawURLEncoding.Strict().DecodeString(parts[2]); err != nil {
		return t, errors.New("signature: not base64url")
	}
	return t, nil
}

// decodePart is strict, so that a token has one form only.
func decodePart(part string, into any) error {
	data, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return errors.New("not base64url")
	}
	if err := json.Unmarshal(data, into); err != nil {
		return errors.New("not a JSON object of the expected form")
	}
	return nil
}

// verify checks a token whole: form, algorithm, issuer, signature, audience, time and use. Nothing of it is believed before
// its signature is checked; what is read earlier only picks the keys to check it with.
func (s *Service) verify(ctx context.Context, raw string, use Use) (claims, Issuer, error) {
	t, err := readToken(raw)
	if err != nil {
		return nil, Issuer{}, refuseToken(CauseMalformed, "the token is not a signed token (JWT) with three parts; send it as its issuer gave it", err)
	}
	if !slices.Contains(algorithms(), t.Algorithm) {
		return nil, Issuer{}, refuseToken(CauseAlgorithm, "the token's algorithm is not taken; have the issuer sign with "+
			strings.Join(algorithms(), ", "), fmt.Errorf("alg %.40q", t.Algorithm))
	}
	c, err := s.verifySignature(ctx, t)
	if err != nil {
		return nil, Issuer{}, err
	}
	audience, err := c.list("aud")
	if err != nil {
		return nil, Issuer{}, refuseToken(CauseClaims, "the token's aud claim is malformed", err)
	}
	issuer, cause, err := s.Issuers.match(t.issuer, audience)
	if err != nil {
		return nil, Issuer{}, refuseToken(cause, "the token is not meant for this server, or for more than one use of it; ask the issuer "+
			"for one with the one audience that is configured here", err)
	}
	if err := s.checkTime(c); err != nil {
		return nil, Issuer{}, err
	}
	if use != useAny && issuer.For != use {
		return nil, Issuer{}, wrongUse(use)
	}
	return c, issuer, nil
}

func wrongUse(wanted Use) error {
	if wanted == UseAgents {
		return refuse(gov.CodeForbidden, CauseWrongUse,
			"this token is a principal's, not an agent's: authenticate as the agent and send this one as on_behalf_of_token")
	}
	return refuse(gov.CodeForbidden, CauseWrongUse, "this token is an agent's, not a principal's: send the token of the person the call is made for")
}

func (s *Service) verifySignature(ctx context.Context, t token) (claims, error) {
	var from *source
	if s.Issuers != nil {
		from = s.Issuers.sources[t.issuer]
	}
	if from == nil {
		return nil, refuseToken(CauseUnknownIssuer, "the token's issuer is not trusted here; use an API key, or have the operator "+
			"configure the issuer", fmt.Errorf("iss %.200q", t.issuer))
	}
	keys, err := from.find(ctx, t.KeyID, t.Algorithm)
	if errors.Is(err, errUnknownKey) {
		return nil, refuseToken(CauseBadSignature, detailSignature, err)
	}
	if err != nil {
		return nil, refuseToken(CauseIssuerUnavailable, "the issuer "+from.url+" cannot be asked for its keys at the moment, so its tokens "+
			"cannot be checked; try again in a minute, or use an API key", err)
	}
	signature := &signatureCheck{keys: oidc.StaticKeySet{PublicKeys: keys}}
	checked, err := from.verifier(signature).Verify(ctx, t.raw)
	if err != nil && !signature.good {
		return nil, refuseToken(CauseBadSignature, detailSignature, err)
	}
	var c claims
	if err == nil {
		err = checked.Claims(&c)
	}
	if err != nil {
		return nil, refuseToken(CauseClaims, "the token's claims are malformed; see that its issuer follows RFC 7519", err)
	}
	return c, nil
}

// signatureCheck remembers whether the signature was good, so that a refusal for what comes after it is not blamed on it.
type signatureCheck struct {
	keys oidc.StaticKeySet
	good bool
}

// VerifySignature gives the claims of a token that one of the keys signed.
func (k *signatureCheck) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	payload, err := k.keys.VerifySignature(ctx, raw)
	k.good = err == nil
	return payload, err
}

const detailSignature = "the token's signature is not one of its issuer's published keys; get a new token"

// verifier checks signature, algorithm and issuer. Audience and time are checked here, where the cause of a refusal is known.
func (s *source) verifier(keys oidc.KeySet) *oidc.IDTokenVerifier {
	return oidc.NewVerifier(s.url, keys, &oidc.Config{
		SupportedSigningAlgs: algorithms(), SkipClientIDCheck: true, SkipExpiryCheck: true, Now: s.now,
	})
}

func (s *Service) checkTime(c claims) error {
	now := s.Now()
	expires, ok, err := c.time("exp")
	if err != nil || !ok {
		return refuseToken(CauseClaims, "the token does not say when it expires; get one with an exp claim", err)
	}
	if !now.Before(expires) {
		return refuseToken(CauseExpired, "the token has expired; get a new one from its issuer", fmt.Errorf("exp %s", expires.UTC()))
	}
	from, ok, err := c.time("nbf")
	if err != nil {
		return refuseToken(CauseClaims, "the token's nbf claim is malformed", err)
	}
	if ok && now.Add(clockSkewMax).Before(from) {
		return refuseToken(CauseNotYetValid, "the token is not valid yet; check the clocks of this server and of the issuer", fmt.Errorf("nbf %s", from.UTC()))
	}
	return nil
}

// useAny lets the caller look at what the issuer is for.
const useAny Use = ""

// byToken authenticates an agent or a person by the token of a trusted issuer.
func (s *Service) byToken(ctx context.Context, raw string) (Caller, error) {
	c, issuer, err := s.verify(ctx, raw, useAny)
	if err != nil {
		return Caller{}, err
	}
	switch issuer.For {
	case UseAgents:
		return agentOf(c, issuer)
	case UsePeople:
		caller, err := personOf(c, issuer)
		if err == nil && s.Sessions != nil {
			caller, err = s.Sessions.Token(ctx, caller, keyOf(raw))
		}
		if err != nil {
			return Caller{}, err
		}
		return caller, nil
	case UseChanges:
		return proposerOf(c, issuer)
	default:
		return Caller{}, wrongUse(UseAgents)
	}
}

// PersonPrefix begins the credential id of people, who come with a token of their identity provider.
const PersonPrefix = "person:"

func personOf(c claims, issuer Issuer) (Caller, error) {
	if _, ok := c[claimEvents]; ok {
		return Caller{}, refuseToken(CauseWrongUse, "this token tells of an event and signs nobody in", nil)
	}
	p, groups, err := principalOf(c, issuer)
	if err != nil {
		return Caller{}, refuseToken(CauseClaims, "the token does not sign a person in: "+err.Error(), err)
	}
	expires, _, err := c.time("exp")
	if err != nil {
		return Caller{}, refuseToken(CauseClaims, "the token's exp claim is malformed", err)
	}
	since, _, err := c.time("auth_time")
	if err != nil {
		return Caller{}, refuseToken(CauseClaims, "the token's auth_time claim is malformed", err)
	}
	methods, err := c.list("amr")
	if err != nil {
		return Caller{}, refuseToken(CauseClaims, "the token's amr claim is malformed", err)
	}
	caller := Caller{
		Credential: gov.CredentialID(PersonPrefix + issuer.URL), Role: state.RolePerson, Environment: gov.OrgLedger, Principal: p,
		Assurance: gov.AssuranceVerified, Groups: groups, ExpiresAt: expires, Subject: c.text(claimSubject), Issuer: issuer.URL,
		AuthTime: since, Methods: methods, Level: c.text("acr"),
	}
	if issuer.AdminGroup != "" && slices.Contains(groups, issuer.AdminGroup) {
		caller.Roles = []gov.Role{gov.RoleAdmin}
	}
	return caller, nil
}

func agentOf(c claims, issuer Issuer) (Caller, error) {
	agent, ok := strings.CutPrefix(c.text(issuer.AgentClaim), issuer.AgentPrefix)
	if !ok || !gov.ValidName(agent) {
		return Caller{}, refuseToken(CauseClaims, fmt.Sprintf("the token's claim %s does not name an agent; it must be %q and the agent's id "+
			"(lower-case letters, digits, dot, dash, underscore)", issuer.AgentClaim, issuer.AgentPrefix), nil)
	}
	expires, _, err := c.time("exp")
	if err != nil {
		return Caller{}, refuseToken(CauseClaims, "the token's exp claim is malformed", err)
	}
	return Caller{
		Credential: gov.CredentialID(state.WorkloadPrefix + issuer.URL), Role: state.RoleAgent, Environment: issuer.Environment,
		Agent: gov.AgentID(agent), Rule: issuer.Rule, ExpiresAt: expires, Subject: c.text(claimSubject),
	}, nil
}

// principalOf reads the principal and the groups out of a checked token.
func principalOf(c claims, issuer Issuer) (gov.Principal, []gov.GroupID, error) {
	p := gov.Principal{Type: gov.PrincipalUser, ID: c.text(issuer.SubjectClaim)}
	if !p.Valid() {
		return gov.Principal{}, nil, fmt.Errorf("claim %s does not name a principal", issuer.SubjectClaim)
	}
	// A token that only says where the groups are to be had would look like one without groups, and lift every policy that
	// forbids something to a group (OpenID Connect Core 1.0, section 5.6.2).
	var elsewhere map[string]json.RawMessage
	if raw, ok := c["_claim_names"]; ok {
		if err := json.Unmarshal(raw, &elsewhere); err != nil {
			return gov.Principal{}, nil, errors.New("claim _claim_names is malformed")
		}
	}
	if _, ok := elsewhere[issuer.GroupsClaim]; ok {
		return gov.Principal{}, nil, fmt.Errorf("claim %s is left out of the token for its size; have the issuer put fewer groups into it", issuer.GroupsClaim)
	}
	names, err := c.list(issuer.GroupsClaim)
	if err != nil {
		return gov.Principal{}, nil, err
	}
	groups, err := groupsOf(names)
	return p, groups, err
}

// groupsOf sorts the groups. One that cannot be used is an error and not passed over: a policy may forbid something to it.
func groupsOf(names []string) ([]gov.GroupID, error) {
	if len(names) > groupsMax {
		return nil, fmt.Errorf("%d groups, at most %d can be", len(names), groupsMax)
	}
	var groups []gov.GroupID
	for _, name := range names {
		if name == "" || len(name) > groupBytesMax {
			return nil, fmt.Errorf("a group has %d bytes, not 1 to %d", len(name), groupBytesMax)
		}
		groups = append(groups, gov.GroupID(name))
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}
