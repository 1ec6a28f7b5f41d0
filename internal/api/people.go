package api

import (
	"context"
	"math"
	"slices"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/people"
)

// personWire is a person as administrators see them.
type personWire struct {
	Ref        string          `json:"ref"` // how entries name the person
	Principal  string          `json:"principal"`
	Name       string          `json:"name,omitempty"`
	Email      string          `json:"email,omitempty"`
	State      gov.PersonState `json:"state"`
	Roles      []gov.Role      `json:"roles"`  // everywhere, by invitation
	Groups     []gov.GroupID   `json:"groups"` // as the identity provider said last
	Passkeys   int             `json:"passkeys"`
	SignedInAt string          `json:"signed_in_at,omitempty"`
}

func personOf(p people.Person) personWire {
	return personWire{
		Ref: p.Ref(), Principal: p.Principal.String(), Name: p.Profile.Name, Email: p.Profile.Email, State: p.State,
		Roles: append([]gov.Role{}, p.Roles...), Groups: append([]gov.GroupID{}, p.Groups...), Passkeys: len(p.Passkeys), SignedInAt: p.SeenAt,
	}
}

type personPage struct {
	People     []personWire `json:"people"`
	NextCursor string       `json:"next_cursor,omitempty"`
}

func (s *Server) listPeople(ctx context.Context, r *request) (any, error) {
	q := pageQuery{below: math.MaxInt64, limit: limitDefault}
	valid := func(in string) bool { return slices.Contains([]string{"invited", "active", "removed"}, in) }
	if err := q.read(r.URL.Query(), valid, "invited, active or removed"); err != nil {
		return nil, err
	}
	found, err := s.People.List(ctx, gov.PersonState(q.in), q.below, q.limit)
	if err != nil {
		return nil, err
	}
	out := personPage{People: []personWire{}}
	for _, p := range found {
		out.People = append(out.People, personOf(p))
	}
	if len(found) == q.limit {
		out.NextCursor = cursorOf(found[len(found)-1].Opened())
	}
	return out, nil
}

// nameWire is who a reference in an entry stands for.
type nameWire struct {
	Ref       string `json:"ref"`
	Principal string `json:"principal"`
	Name      string `json:"name,omitempty"`
}

// showPerson says who a reference is, to people who have a role somewhere.
func (s *Server) showPerson(ctx context.Context, r *request) (any, error) {
	if len(s.readable(r.caller)) == 0 {
		return nil, &gov.Error{Code: gov.CodeForbidden, Detail: "you have no role in any environment"}
	}
	p, err := s.People.Find(ctx, r.PathValue("ref"))
	if err != nil {
		return nil, err
	}
	return nameWire{Ref: p.Ref(), Principal: p.Principal.String(), Name: p.Profile.Name}, nil
}

// invitationWire is the answer to an invitation. Link is shown once.
type invitationWire struct {
	Person    personWire `json:"person"`
	Link      string     `json:"link"`
	ExpiresAt string     `json:"expires_at"`
}

func (s *Server) invite(ctx context.Context, r *request) (any, error) {
	f, err := readFields(r.body)
	if err != nil {
		return nil, err
	}
	principal, err := gov.ParsePrincipal(f.required("person", func(v string) bool { return v != "" }, "the user, as bundles name them: user:tom"))
	if err != nil {
		f.fail("person", "must be of the form user:tom")
	}
	profile := identity.Profile{Name: f.text("name", noteBytesMax), Email: f.text("email", noteBytesMax)}
	var roles []gov.Role
	for _, name := range f.texts("roles") {
		roles = append(roles, gov.Role(name))
	}
	if err := f.done(); err != nil {
		return nil, err
	}
	invited, err := s.People.Invite(ctx, r.caller.Actor(s.Change.Key), principal, profile, roles)
	if err != nil {
		return nil, err
	}
	return invitationWire{Person: personOf(invited.Person), Link: invited.Link, ExpiresAt: invited.ExpiresAt.Format(canon.TimeLayout)}, nil
}

func (s *Server) removePerson(ctx context.Context, r *request) (any, error) {
	reason, err := readReason(r.body, "removed by an administrator")
	if err != nil {
		return nil, err
	}
	p, err := s.People.Remove(ctx, r.caller.Actor(s.Change.Key), r.PathValue("ref"), reason)
	if err != nil {
		return nil, err
	}
	return personOf(p), nil
}

// readReason reads a body that may have a reason and nothing else.
func readReason(body []byte, otherwise string) (string, error) {
	if len(body) == 0 {
		return otherwise, nil
	}
	f, err := readFields(body)
	if err != nil {
		return "", err
	}
	if given := f.text("reason", noteBytesMax); given != "" {
		otherwise = given
	}
	return otherwise, f.done()
}

// sessionWire is a session that is good.
type sessionWire struct {
	ID        string     `json:"id"`
	Person    string     `json:"person"`
	Principal string     `json:"principal"`
	How       string     `json:"how"`                  // oidc, passkey, token of the identity provider, or link: for the command line
	AllowedBy string     `json:"allowed_by,omitempty"` // with link: the browser's session that allowed it
	Issuer    string     `json:"issuer"`
	Roles     []gov.Role `json:"roles"` // everywhere
	StartedAt string     `json:"started_at"`
	ExpiresAt string     `json:"expires_at"`
}

type sessionList struct {
	Sessions []sessionWire `json:"sessions"`
}

// listSessions gives everybody's to an administrator, and their own to a person.
func (s *Server) listSessions(ctx context.Context, r *request) (any, error) {
	found, err := s.People.Sessions(ctx, s.ownUnlessAdministrator(r))
	if err != nil {
		return nil, err
	}
	out := sessionList{Sessions: []sessionWire{}}
	for _, x := range found {
		out.Sessions = append(out.Sessions, sessionWire{
			ID: x.ID(), Person: x.Person, Principal: x.Principal.String(), How: x.How, AllowedBy: x.AllowedBy, Issuer: x.Issuer, Roles: append([]gov.Role{}, x.Roles...),
			StartedAt: x.StartedAt.Format(canon.TimeLayout), ExpiresAt: x.ExpiresAt.Format(canon.TimeLayout),
		})
	}
	return out, nil
}

func (s *Server) ownUnlessAdministrator(r *request) string {
	if administrator(r.caller) {
		return ""
	}
	return r.caller.Actor(s.Change.Key).ID
}

func (s *Server) endSession(ctx context.Context, r *request) (any, error) {
	id := r.PathValue("id")
	if own := s.ownUnlessAdministrator(r); own != "" {
		found, err := s.People.Sessions(ctx, own)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(found, func(x people.Session) bool { return x.ID() == id }) {
			return nil, &gov.Error{Code: gov.CodeNotFound, Detail: "you have no session " + id}
		}
	}
	if err := s.People.Revoke(ctx, r.caller.Actor(s.Change.Key), id); err != nil {
		return nil, err
	}
	return map[string]string{"id": id, "state": "ended"}, nil
}
