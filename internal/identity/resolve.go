package identity

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/state"
)

// RunsAsCaller in the inventory says that each call names its principal.
const RunsAsCaller = "caller"

const (
	pathPrincipal = "/principal"
	pathToken     = "/on_behalf_of_token"
)

// Resolve finds the principal of a call, how it is known, and its groups, sorted. claimed is the principal that the call
// names, or nil; onBehalfOfToken the principal's own token, or empty; runsAs what the inventory says of the agent, or empty
// when it does not know the agent.
//
// A token verifies the principal. Without one, a fixed principal (of the credential, or of the inventory with
// state.RuleRunsAs) is bound, and a claimed one is asserted, where the rule lets the call name it. Whatever is claimed or
// proved besides a fixed principal has to be that one. Errors are *gov.Error with the path of what to mend.
func (s *Service) Resolve(ctx context.Context, caller Caller, claimed *gov.Principal, onBehalfOfToken, runsAs string) (
	gov.Principal, gov.Assurance, []gov.GroupID, error,
) {
	q := resolution{caller: caller, claimed: claimed}
	if err := q.check(); err != nil {
		return gov.Principal{}, "", nil, err
	}
	if err := q.fix(runsAs); err != nil {
		return gov.Principal{}, "", nil, err
	}
	if onBehalfOfToken != "" {
		if err := q.prove(ctx, s, onBehalfOfToken); err != nil {
			return gov.Principal{}, "", nil, err
		}
	}
	p, assurance, err := q.settle()
	if err != nil {
		return gov.Principal{}, "", nil, err
	}
	return p, assurance, q.groups, nil
}

// resolution is what is known of the principal of one call.
type resolution struct {
	caller  Caller
	claimed *gov.Principal // the call says
	fixed   *gov.Principal // the credential or the inventory says
	proved  *gov.Principal // the principal's token says
	groups  []gov.GroupID  // of proved
}

func (q *resolution) check() error {
	if q.caller.Role != state.RoleAgent {
		return refuse(gov.CodeForbidden, CauseRule, "only an agent's credential makes calls; use an API key of the agent (writ key issue)")
	}
	if q.claimed != nil && !q.claimed.Valid() {
		return refuseAt(gov.CodeInvalidField, pathPrincipal, CauseClaims,
			"the principal needs the type user, service or organization and an id of 1 to 256 printable bytes")
	}
	return nil
}

// fix finds the principal that the call cannot choose, if there is one.
func (q *resolution) fix(runsAs string) error {
	switch {
	case q.caller.Rule == state.RuleFixed:
		q.fixed = &q.caller.Principal
	case q.caller.Rule == state.RuleRunsAs && runsAs != "" && runsAs != RunsAsCaller:
		p, err := gov.ParsePrincipal(runsAs)
		if err != nil {
			return fmt.Errorf("runs_as of the active bundle: %w", err)
		}
		q.fixed = &p
	}
	return nil
}

// prove checks the principal's own token.
func (q *resolution) prove(ctx context.Context, s *Service, token string) error {
	c, issuer, err := s.verify(ctx, token, UsePrincipals)
	if err != nil {
		return at(pathToken, err)
	}
	if issuer.Environment != "" && issuer.Environment != q.caller.Environment {
		return refuseAt(gov.CodeForbidden, pathToken, CauseForeignEnvironment,
			fmt.Sprintf("the issuer of this token does not name principals of the environment %s", q.caller.Environment))
	}
	p, groups, err := principalOf(c, issuer)
	if err != nil {
		return &gov.Error{
			Code: gov.CodeForbidden, Path: pathToken, Detail: "the token cannot be used for its principal: " + err.Error(),
			Err: &Refusal{Cause: CauseClaims, Err: err},
		}
	}
	q.proved, q.groups = &p, groups
	return nil
}

// settle weighs what is known, the strongest first.
func (q *resolution) settle() (gov.Principal, gov.Assurance, error) {
	if q.proved != nil && q.fixed != nil && *q.proved != *q.fixed {
		return gov.Principal{}, "", refuseAt(gov.CodeForbidden, pathToken, CausePrincipalMismatch,
			"this agent calls for one principal only, and the token is another one's; leave on_behalf_of_token out, or use a credential "+
				"that may call for others")
	}
	if q.proved != nil {
		return q.agreed(*q.proved, gov.AssuranceVerified, "the call names another principal than the token proves; leave principal out")
	}
	if q.fixed != nil {
		return q.agreed(*q.fixed, gov.AssuranceBound, "this agent calls for one principal only, and the call names another one; leave principal "+
			"out, or use a credential that may call for others")
	}
	switch q.caller.Rule {
	case state.RuleAsserted, state.RuleRunsAs:
		if q.claimed == nil {
			return gov.Principal{}, "", refuseAt(gov.CodeForbidden, pathPrincipal, CausePrincipalMissing,
				"the call must name the principal it is made for: send principal with type and id, or the principal's own token as on_behalf_of_token")
		}
		return *q.claimed, gov.AssuranceAsserted, nil
	case state.RuleVerified:
		return gov.Principal{}, "", refuseAt(gov.CodeForbidden, pathToken, CausePrincipalMissing,
			"the call must prove the principal it is made for: send the principal's own token as on_behalf_of_token")
	default:
		return gov.Principal{}, "", refuse(gov.CodeForbidden, CauseRule, "the credential does not say for whom it may call; issue a new one (writ key issue)")
	}
}

// agreed gives p unless the call claims another.
func (q *resolution) agreed(p gov.Principal, assurance gov.Assurance, otherwise string) (gov.Principal, gov.Assurance, error) {
	if q.claimed != nil && *q.claimed != p {
		return gov.Principal{}, "", refuseAt(gov.CodeForbidden, pathPrincipal, CausePrincipalMismatch, otherwise)
	}
	return p, assurance, nil
}

// at says where in the request the refused token stands.
func at(path string, err error) error {
	if e, ok := errors.AsType[*gov.Error](err); ok {
		e.Path = path
	}
	return err
}
