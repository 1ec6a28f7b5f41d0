package api

import (
	"context"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/state"
)

// credentialWire is a credential without its secret, but for Token, which is shown once.
type credentialWire struct {
	ID          gov.CredentialID `json:"id"`
	Role        state.Role       `json:"role"`
	Environment gov.Environment  `json:"environment"`
	Agent       gov.AgentID      `json:"agent,omitempty"`
	Principal   string           `json:"principal,omitempty"` // asserted, verified, runs_as, or type:id
	IssuedAt    string           `json:"issued_at,omitempty"`
	ExpiresAt   string           `json:"expires_at,omitempty"`
	Revoked     bool             `json:"revoked"`
	Note        string           `json:"note,omitempty"`
	Token       string           `json:"token,omitempty"`
}

func credentialOf(c state.Credential) credentialWire {
	w := credentialWire{ID: c.ID, Role: c.Role, Environment: c.Environment, Agent: c.Agent, Revoked: c.Revoked, Note: c.Note, Principal: string(c.Rule)}
	if c.Rule == state.RuleFixed {
		w.Principal = c.Principal.String()
	}
	if !c.IssuedAt.IsZero() {
		w.IssuedAt = c.IssuedAt.Format(canon.TimeLayout)
	}
	if !c.ExpiresAt.IsZero() {
		w.ExpiresAt = c.ExpiresAt.Format(canon.TimeLayout)
	}
	return w
}

type credentialList struct {
	Credentials []credentialWire `json:"credentials"`
}

func (s *Server) listCredentials(context.Context, *request) (any, error) {
	out := credentialList{Credentials: []credentialWire{}}
	for _, name := range s.Environments.Names() {
		if env, ok := s.Environments.Environment(name); ok {
			for _, c := range env.Control().Credentials() {
				out.Credentials = append(out.Credentials, credentialOf(c))
			}
		}
	}
	return out, nil
}

const noteBytesMax = 200

func (s *Server) issueCredential(ctx context.Context, r *request) (any, error) {
	f, err := readFields(r.body)
	if err != nil {
		return nil, err
	}
	req := identity.KeyRequest{
		Role:        state.RoleAgent,
		Environment: gov.Environment(f.required("environment", gov.ValidName, "the name of an environment")),
		Agent:       gov.AgentID(f.required("agent", gov.ValidName, "the id of an agent")),
		Rule:        state.RuleRunsAs,
		Note:        f.text("note", noteBytesMax),
	}
	switch p := f.text("principal", textBytesMax); p {
	case "", string(state.RuleRunsAs):
	case string(state.RuleAsserted), string(state.RuleVerified):
		req.Rule = state.Rule(p)
	default:
		principal, err := gov.ParsePrincipal(p)
		if err != nil {
			f.fail("principal", "must be runs_as, asserted, verified or type:id")
		}
		req.Rule, req.Principal = state.RuleFixed, principal
	}
	if days := f.integer("expires_in_days"); days != nil {
		req.Lifetime = time.Duration(min(*days, daysMax)) * 24 * time.Hour
	}
	if err := f.done(); err != nil {
		return nil, err
	}
	issued, err := s.Change.Issue(ctx, r.caller.Actor(s.Change.Key), req)
	if err != nil {
		return nil, err
	}
	w := credentialOf(issued.Credential)
	w.Token = issued.Token
	return w, nil
}

// daysMax keeps a lifetime within time.Duration; the service refuses what is over its own, lower bound.
const daysMax = 10_000

func (s *Server) revokeCredential(ctx context.Context, r *request) (any, error) {
	reason, err := readReason(r.body, "revoked by an administrator")
	if err != nil {
		return nil, err
	}
	revoked, err := s.Change.Revoke(ctx, r.caller.Actor(s.Change.Key), gov.CredentialID(r.PathValue("id")), reason)
	if err != nil {
		return nil, err
	}
	return credentialOf(revoked), nil
}

type environmentWire struct {
	Name   gov.Environment  `json:"name"`
	Mode   gov.Mode         `json:"mode,omitempty"`
	Bundle gov.BundleDigest `json:"bundle,omitempty"`
	Size   int64            `json:"size"`
	Epoch  int64            `json:"epoch"`
}

type environmentList struct {
	Environments []environmentWire `json:"environments"`
}

func (s *Server) listEnvironments(ctx context.Context, r *request) (any, error) {
	out := environmentList{Environments: []environmentWire{}}
	for _, name := range s.readable(r.caller) {
		env, ok := s.Environments.Environment(name)
		if !ok {
			continue
		}
		head, err := env.Ledger.Head(ctx)
		if err != nil && gov.CodeOf(err) != gov.CodeNotFound {
			return nil, err
		}
		control := env.Control()
		w := environmentWire{Name: name, Bundle: control.Bundle(), Size: head.Size, Epoch: head.Epoch}
		if control.Engine != nil {
			if e, ok := control.Engine.Bundle().Environment(name); ok {
				w.Mode = e.Mode
			}
		}
		out.Environments = append(out.Environments, w)
	}
	return out, nil
}

type meWire struct {
	Credential  gov.CredentialID `json:"credential"`
	Role        state.Role       `json:"role"`
	Environment gov.Environment  `json:"environment"`
	Agent       gov.AgentID      `json:"agent,omitempty"`
	Principal   string           `json:"principal,omitempty"`
	Groups      []gov.GroupID    `json:"groups,omitempty"` // of a person, as the identity provider says
	ExpiresAt   string           `json:"expires_at,omitempty"`
	Person      string           `json:"person,omitempty"`  // how entries name the person
	Session     string           `json:"session,omitempty"` // that the person signed in with here
	SignedInAt  string           `json:"signed_in_at,omitempty"`
	Roles       []grantWire      `json:"roles,omitempty"` // of a person, by environment
}

// grantWire is what a person is in one environment.
type grantWire struct {
	Environment gov.Environment `json:"environment"`
	Roles       []gov.Role      `json:"roles"`
}

func (s *Server) me(_ context.Context, r *request) (any, error) {
	w := meWire{Credential: r.caller.Credential, Role: r.caller.Role, Environment: r.caller.Environment, Agent: r.caller.Agent}
	if r.caller.Role == state.RolePerson {
		w.Principal, w.Groups, w.ExpiresAt = r.caller.Principal.String(), r.caller.Groups, r.caller.ExpiresAt.UTC().Format(canon.TimeLayout)
		w.Person, w.Session, w.SignedInAt = r.caller.Actor(s.Change.Key).ID, r.caller.Session, r.caller.AuthTime.UTC().Format(canon.TimeLayout)
		for _, name := range s.readable(r.caller) {
			if env, ok := s.Environments.Environment(name); ok {
				w.Roles = append(w.Roles, grantWire{name, r.caller.RolesIn(env.Control().Engine)})
			}
		}
	}
	if c, ok := s.Environments.Credential(r.caller.Credential); ok {
		shown := credentialOf(c)
		w.Principal, w.ExpiresAt = shown.Principal, shown.ExpiresAt
	}
	return w, nil
}
