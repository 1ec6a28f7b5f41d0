// Package change is how control state changes: a bundle comes into force, a credential is issued or revoked. It promises that
// every change is an entry of the ledger it concerns, with its actor, and begins an epoch there.
//
// The first bundle of an environment is put into force by an administrator. It is replaced by a proposal that somebody else
// reviewed under the rule that held before. In an emergency one person who reviews changes replaces it at once, by a proposal or by
// the bundle before it, and somebody else reviews that after.
package change

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/state"
)

// Service makes changes. Its fields are set once, before use.
type Service struct {
	Environments *live.Set
	Key          []byte // of the opaque references of users
	Provider     bool   // people sign in at an identity provider, which may know who is in a group
	People       Removals
	Now          func() time.Time
	Rand         io.Reader
}

// Removals says whether a person, named by the opaque reference, was removed after a time. internal/people implements it.
type Removals interface {
	RemovedSince(ctx context.Context, person string, since time.Time) (bool, error)
}

// Source says where a bundle comes from, as evidence.
type Source struct {
	Commit string
	Branch string
}

// Activated is a recorded activation.
type Activated struct {
	canon.BundleActivated
	ledger.Receipt
}

// Bootstrap activates the first bundle of an environment. The bundle must define the environment and pass its own tests.
func (s *Service) Bootstrap(ctx context.Context, caller identity.Caller, name gov.Environment, engine *policy.Engine, from Source) (Activated, error) {
	if caller.Role != state.RoleAdmin {
		return Activated{}, &gov.Error{Code: gov.CodeForbidden, Detail: "only the bootstrap administrator activates a first bundle"}
	}
	if err := s.fit(engine, name); err != nil {
		return Activated{}, err
	}
	env := s.Environments.Open(name)
	if err := env.Refresh(ctx); err != nil {
		return Activated{}, err
	}
	control := env.Control()
	b := engine.Bundle()
	if active := control.Bundle(); active != "" {
		return Activated{}, &gov.Error{Code: gov.CodeConflict, Detail: fmt.Sprintf(
			"environment %s has the active bundle %s; replacing it takes a reviewed change: writ changes propose", name, active)}
	}
	body := canon.BundleActivated{Bundle: b.Digest, How: canon.HowBootstrap, Commit: from.Commit, Branch: from.Branch}
	record, err := env.Ledger.Draft(s.Rand, canon.KindBundleActivated, caller.Actor(s.Key), body, nil)
	if err != nil {
		return Activated{}, err
	}
	record.Blobs = []row.Blob{{Digest: string(b.Digest), Data: b.Tar()}}
	record.Epoch = control.Epoch // two administrators at once: the second one is refused as stale
	receipt, err := env.Ledger.Append(ctx, record)
	if err != nil {
		return Activated{}, err
	}
	return Activated{BundleActivated: body, Receipt: receipt}, env.Refresh(ctx)
}

func (s *Service) fit(engine *policy.Engine, name gov.Environment) error {
	if len(engine.Bundle().Reviewers()) == 0 && !s.Provider {
		return &gov.Error{Code: gov.CodeBundleInvalid, Detail: "the groups of change_approvers list nobody, and no identity provider is configured that could know them: " +
			"nobody could ever review a change (writ.yaml, groups, members: at least two)"}
	}
	if _, ok := engine.Bundle().Environment(name); !ok {
		return &gov.Error{Code: gov.CodeBundleInvalid, Detail: fmt.Sprintf("the bundle does not define the environment %s (writ.yaml, environments)", name)}
	}
	for _, r := range engine.RunTests() {
		if !r.Passed {
			return &gov.Error{Code: gov.CodeBundleInvalid, Detail: fmt.Sprintf("the bundle's own test %q does not pass; see writ bundle test", r.Name)}
		}
	}
	return nil
}
