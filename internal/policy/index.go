package policy

import (
	"iter"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/writ-dev/writ/internal/gov"
)

func uid(kind, id string) types.EntityUID {
	return types.NewEntityUID(types.EntityType(kind), types.String(id))
}

// buildIndex finds, for each tool in each environment, the rules whose scope can match. The scopes of action and resource
// are settled here for good; the principal's is looked up at each call.
func (e *Engine) buildIndex() {
	for _, t := range e.tools {
		parents := make([]types.EntityUID, len(t.Categories))
		for i, c := range t.Categories {
			parents[i] = uid(typeAction, string(c))
		}
		t.action = types.Entity{UID: uid(typeAction, string(t.Name)), Parents: types.NewEntityUIDSet(parents...)}
		for _, env := range e.bundle.Environments {
			environment := types.Entity{UID: uid(typeEnvironment, string(env.Name))}
			p := &place{
				environment: environment,
				server:      types.Entity{UID: uid(typeServer, t.Name.Server()), Parents: types.NewEntityUIDSet(environment.UID)},
				rules:       index{named: map[types.EntityUID][]*rule{}},
				reads:       newReads(),
			}
			for _, r := range e.policies {
				if p.rules.add(r, t, p) {
					p.reads.look(r)
				}
			}
			for _, r := range e.limits {
				if r.At(env.Name, t.Name, t.Categories) {
					p.limits = append(p.limits, r)
				}
			}
			t.places[env.Name] = p
		}
	}
}

// add files a rule under what its scope names, unless it can never match.
func (x *index) add(r *rule, t *tool, p *place) bool {
	scope := internalAST(r.policy)
	if !within(scope.Action, t.action) || !within(scope.Resource, p.server) {
		return false
	}
	switch s := scope.Principal.(type) {
	case ast.ScopeTypeEq:
		x.named[s.Entity] = append(x.named[s.Entity], r)
	case ast.ScopeTypeIn:
		x.named[s.Entity] = append(x.named[s.Entity], r)
	case ast.ScopeTypeIsIn:
		x.named[s.Entity] = append(x.named[s.Entity], r)
	default:
		x.any = append(x.any, r)
	}
	return true
}

// within says whether a scope can match an entity, of which the parents have no parents of their own.
func within(scope any, e types.Entity) bool {
	reach := func(to types.EntityUID) bool { return e.UID == to || e.Parents.Contains(to) }
	switch s := scope.(type) {
	case ast.ScopeTypeEq:
		return e.UID == s.Entity
	case ast.ScopeTypeIn:
		return reach(s.Entity)
	case ast.ScopeTypeInSet:
		for _, to := range s.Entities {
			if reach(to) {
				return true
			}
		}
		return false
	case ast.ScopeTypeIs:
		return e.UID.Type == s.Type
	case ast.ScopeTypeIsIn:
		return e.UID.Type == s.Type && reach(s.Entity)
	}
	return true // what is not known here is left to Cedar
}

// candidates are the rules that can match a call, for cedar.Authorize.
type candidates []*rule

func (c candidates) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, r := range c {
			if !yield(cedar.PolicyID(r.id), r.policy) {
				return
			}
		}
	}
}

// lookup collects the candidates for a principal and its groups.
func (x *index) lookup(into candidates, principal types.EntityUID, groups []gov.GroupID) candidates {
	into = append(into, x.any...)
	if len(x.named) == 0 {
		return into
	}
	into = append(into, x.named[principal]...)
	for _, g := range groups {
		into = append(into, x.named[uid(typeGroup, string(g))]...)
	}
	return into
}
