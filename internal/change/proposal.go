package change

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/outbox"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/state"
)

// DocKind is the kind of document that a change is kept in.
const DocKind = "change"

const (
	descriptionBytesMax = 2 << 10
	reviewTriesMax      = 16
)

// Proposal is a change of the bundle as the entries about it add up to.
type Proposal struct {
	Bundle      gov.BundleDigest `json:"bundle"`
	Base        gov.BundleDigest `json:"base"`
	Description string           `json:"description"`
	Author      canon.Actor      `json:"author"`
	Tests       int              `json:"tests"`
	State       gov.ChangeState  `json:"state"`
	Reviews     []Review         `json:"reviews"`
	Rollback    bool             `json:"rollback,omitempty"`
	Emergency   *Emergency       `json:"emergency,omitempty"`
	Schedule    *Schedule        `json:"schedule,omitempty"` // with scheduled
	Commit      string           `json:"commit,omitempty"`
	Branch      string           `json:"branch,omitempty"`
	Issuer      string           `json:"issuer,omitempty"` // of the token that a program of CI proposed with

	doc row.Doc
}

// Review is what one person said.
type Review struct {
	Person string   `json:"person"` // opaque reference
	Review gov.Vote `json:"review"`
	At     string   `json:"at"` // TimeLayout
}

// ID is the entry that proposed the change, or that rolled back.
func (p Proposal) ID() gov.EntryID { return gov.EntryID(p.doc.ID) }

// Opened is the index of that entry.
func (p Proposal) Opened() int64 { return p.doc.Opened }

// ReviewBy is when a review that is owed is due, or zero.
func (p Proposal) ReviewBy() time.Time {
	if p.State != gov.ChangeReviewOwed {
		return time.Time{}
	}
	return p.doc.Due
}

// Denied says whether the review of what one person had put into force was a denial.
func (p Proposal) Denied() bool {
	return p.State == gov.ChangeRejected && (p.Rollback || p.Emergency != nil)
}

func (p Proposal) document() row.Doc {
	data, err := json.Marshal(p)
	if err != nil {
		panic("change: a proposal is not JSON: " + err.Error())
	}
	d := p.doc
	d.Kind, d.State, d.Data = DocKind, string(p.State), data
	if p.State != gov.ChangeReviewOwed && p.State != gov.ChangeScheduled {
		d.Due = time.Time{}
	}
	return d
}

func proposalOf(d row.Doc) (Proposal, error) {
	p := Proposal{doc: d}
	if err := json.Unmarshal(d.Data, &p); err != nil {
		return p, fmt.Errorf("change %s: %w", d.ID, err)
	}
	return p, nil
}

// Find reads a change.
func (s *Service) Find(ctx context.Context, env *live.Environment, id gov.EntryID) (Proposal, error) {
	return ledger.FindDoc(ctx, env.Ledger, row.DocKey{Kind: DocKind, ID: string(id)}, "change "+string(id), proposalOf)
}

// List gives changes, newest first: those in a state (empty: any) opened below an index.
func (s *Service) List(ctx context.Context, env *live.Environment, in gov.ChangeState, below int64, limit int) ([]Proposal, error) {
	out, _, err := ledger.ListDocs(ctx, env.Ledger, DocKind, string(in), below, limit, proposalOf)
	return out, err
}

// Propose asks for a bundle to replace the active one. It must define the environment and pass its own tests.
func (s *Service) Propose(ctx context.Context, caller identity.Caller, env *live.Environment, engine *policy.Engine, description string, from Source) (Proposal, error) {
	description = strings.TrimSpace(description)
	if description == "" || len(description) > descriptionBytesMax {
		return Proposal{}, &gov.Error{Code: gov.CodeInvalidField, Path: "/description", Detail: fmt.Sprintf("say what changes and why, in 1 to %d bytes", descriptionBytesMax)}
	}
	if err := s.fit(engine, env.Ledger.Name()); err != nil {
		return Proposal{}, err
	}
	if err := env.Refresh(ctx); err != nil {
		return Proposal{}, err
	}
	if err := mayPropose(caller, env); err != nil {
		return Proposal{}, err
	}
	b, base := engine.Bundle(), env.Control().Bundle()
	switch base {
	case "":
		return Proposal{}, &gov.Error{Code: gov.CodeConflict, Detail: "the environment has no active bundle; an administrator activates the first one"}
	case b.Digest:
		return Proposal{}, &gov.Error{Code: gov.CodeConflict, Detail: "this bundle is the active one"}
	}
	p := Proposal{Bundle: b.Digest, Base: base, Description: description, Author: caller.Actor(s.Key).Who(), Tests: len(b.Tests), State: gov.ChangeProposed, Reviews: []Review{}, Commit: from.Commit, Branch: from.Branch}
	body := canon.ChangeProposed{Bundle: p.Bundle, Base: p.Base, Description: description, Tests: p.Tests, Commit: from.Commit, Branch: from.Branch}
	if caller.Role == state.RoleProposer {
		p.Issuer, body.Issuer = caller.Issuer, caller.Issuer
	}
	active := env.Control().Engine.Bundle()
	receipt, err := s.place(ctx, env, canon.KindChangeProposed, caller.Actor(s.Key), body, nil, func(r *ledger.Record) {
		r.Docs = append(outbox.Owe(active, env.Ledger.Name(), active.Approvers, s.Now(), gov.EventChangeProposed), p.document())
		r.Blobs = []row.Blob{{Digest: string(b.Digest), Data: b.Tar()}}
	})
	if err != nil {
		return Proposal{}, err
	}
	return s.Find(ctx, env, receipt.ID)
}

// mayPropose refuses a person who is neither author nor reviewer of changes nor administrator.
func mayPropose(caller identity.Caller, env *live.Environment) error {
	if caller.Role != state.RolePerson {
		return nil
	}
	roles := caller.RolesIn(env.Control().Engine)
	if slices.Contains(roles, gov.RoleAuthor) || slices.Contains(roles, gov.RoleAdmin) {
		return nil
	}
	if _, err := approver(caller, env); err == nil {
		return nil
	}
	return &gov.Error{Code: gov.CodeForbidden, Detail: "changes are proposed by authors (writ.yaml, roles) and by those who review them"}
}

// place appends an entry whose documents say under which conditions.
func (s *Service) place(ctx context.Context, env *live.Environment, kind canon.Kind, actor canon.Actor, body any, payload canon.Payload, with func(*ledger.Record)) (ledger.Receipt, error) {
	record, err := env.Ledger.Draft(s.Rand, kind, actor, body, payload)
	if err != nil {
		return ledger.Receipt{}, err
	}
	with(&record)
	return env.Ledger.Append(ctx, record)
}

// Said is a review as a person gives it.
type Said struct {
	Review  gov.Vote
	Shown   string // leaf hash of the proposal that the person read, hexadecimal
	Comment string
}

// Review records what a person says to a change, under the rule of the bundle that is active: a change that weakens its own
// review is reviewed by the old rule.
func (s *Service) Review(ctx context.Context, person identity.Caller, env *live.Environment, id gov.EntryID, said Said) (Proposal, error) {
	if !said.Review.Valid() {
		return Proposal{}, &gov.Error{Code: gov.CodeInvalidField, Path: "/review", Detail: "must be approve or deny"}
	}
	for range reviewTriesMax {
		if err := env.Refresh(ctx); err != nil {
			return Proposal{}, err
		}
		p, err := s.Find(ctx, env, id)
		if err != nil {
			return Proposal{}, err
		}
		err = s.review(ctx, person, env, p, said)
		if errors.Is(err, ledger.ErrStale) {
			continue
		}
		if err != nil {
			return Proposal{}, err
		}
		return s.Find(ctx, env, id)
	}
	return Proposal{}, &gov.Error{Code: gov.CodeOverloaded, Detail: "other reviews kept coming first; try again"}
}

func (s *Service) review(ctx context.Context, person identity.Caller, env *live.Environment, p Proposal, said Said) error {
	now := s.Now().UTC()
	groups, err := s.reviewer(person, env, p, now)
	if err != nil {
		return err
	}
	item, err := env.Ledger.ByID(ctx, p.ID())
	if err != nil {
		return err
	}
	if said.Shown != item.Receipt().LeafHash {
		return &gov.Error{Code: gov.CodeInvalidField, Path: "/shown", Detail: "is not the leaf hash of the proposal; read the change again and review what it shows"}
	}
	after, open := p.State.Reviewed(said.Review)
	if !open {
		return &gov.Error{Code: gov.CodeApprovalClosed, Detail: "the change is " + string(p.State) + " already"}
	}
	ref := identity.PrincipalRef(s.Key, person.Principal)
	p.Reviews = append(p.Reviews, Review{Person: ref, Review: said.Review, At: now.Format(canon.TimeLayout)})
	p.State = after
	body := canon.ChangeReviewed{
		Change: p.ID(), Review: said.Review, Person: ref, Groups: groups, Issuer: person.Issuer, AuthTime: person.AuthTime.UTC().Format(canon.TimeLayout),
		Methods: person.Methods, Level: person.Level, Shown: said.Shown, State: p.State, Commitments: map[canon.Group]canon.Commitment{},
	}
	payload, err := s.sealed(body.Commitments, person, said.Comment)
	if err != nil {
		return err
	}
	_, err = s.place(ctx, env, canon.KindChangeReviewed, person.Actor(s.Key), body, payload, func(r *ledger.Record) {
		r.Docs, r.Epoch = []row.Doc{p.document()}, env.Control().Epoch // the rule it was reviewed by still holds
	})
	return err
}

// sealed is the payload of what a person said.
func (s *Service) sealed(commitments map[canon.Group]canon.Commitment, person identity.Caller, comment string) (canon.Payload, error) {
	payload := canon.Payload{}
	if err := payload.Seal(s.Rand, commitments, canon.GroupPrincipal, canon.AppendValue(nil, state.PrincipalValue(person.Principal))); err != nil {
		return nil, err
	}
	if comment != "" {
		if err := payload.Seal(s.Rand, commitments, canon.GroupText, canon.AppendValue(nil, comment)); err != nil {
			return nil, err
		}
	}
	return payload, nil
}

// reviewer gives the groups that let a person review a change, or says why not.
func (s *Service) reviewer(person identity.Caller, env *live.Environment, p Proposal, now time.Time) ([]gov.GroupID, error) {
	groups, err := approver(person, env)
	if err != nil {
		return nil, err
	}
	if p.mine(person.Actor(s.Key)) {
		return nil, &gov.Error{Code: gov.CodeNotEligible, Detail: "the change is yours, and nobody reviews their own"}
	}
	return groups, person.Fresh(now)
}

// approver gives the groups that make a person one who reviews changes of the active bundle.
func approver(person identity.Caller, env *live.Environment) ([]gov.GroupID, error) {
	if person.Role != state.RolePerson {
		return nil, &gov.Error{Code: gov.CodeForbidden, Detail: "only a person reviews: sign in with the organization's identity provider"}
	}
	control := env.Control()
	if control.Engine == nil {
		return nil, &gov.Error{Code: gov.CodeNotEligible, Detail: "the environment has no active bundle, so nobody reviews changes of it"}
	}
	b := control.Engine.Bundle()
	groups := person.MemberOf(b.Approvers, b.GroupsOf(person.Principal))
	if len(groups) == 0 {
		return nil, &gov.Error{Code: gov.CodeNotEligible, Detail: fmt.Sprintf("changes of the bundle are reviewed by members of %v", b.Approvers)}
	}
	return groups, nil
}

// Activate puts an approved change into force: an administrator, its author or one who reviews changes. The bundle that it was
// compared with must still be the active one.
func (s *Service) Activate(ctx context.Context, caller identity.Caller, env *live.Environment, id gov.EntryID) (Activated, error) {
	if err := env.Refresh(ctx); err != nil {
		return Activated{}, err
	}
	p, err := s.Find(ctx, env, id)
	if err != nil {
		return Activated{}, err
	}
	if err := s.mayActivate(caller, env, p); err != nil {
		return Activated{}, err
	}
	return s.activateApproved(ctx, env, caller.Actor(s.Key), p)
}

func (s *Service) mayActivate(caller identity.Caller, env *live.Environment, p Proposal) error {
	if caller.Role == state.RoleProposer {
		return &gov.Error{Code: gov.CodeForbidden, Detail: "a program proposes changes; people and administrators activate them"}
	}
	if caller.Role == state.RoleAdmin || p.Author.Is(caller.Actor(s.Key)) {
		return nil
	}
	_, err := approver(caller, env)
	return err
}

// activatable says why a change cannot come into force as approved.
func (p Proposal) activatable(active gov.BundleDigest) error {
	switch {
	case p.State != gov.ChangeApproved && p.State != gov.ChangeScheduled:
		return &gov.Error{Code: gov.CodeConflict, Detail: "the change is " + string(p.State) + "; only an approved one is activated, once"}
	case p.Base != active:
		return errOtherBase()
	}
	return nil
}

func (s *Service) activateApproved(ctx context.Context, env *live.Environment, actor canon.Actor, p Proposal) (Activated, error) {
	control := env.Control()
	if err := p.activatable(control.Bundle()); err != nil {
		return Activated{}, err
	}
	p.State, p.Schedule = gov.ChangeActivated, nil
	body := canon.BundleActivated{Bundle: p.Bundle, Previous: p.Base, How: canon.HowReviewed, Change: p.ID()}
	return s.activate(ctx, env, actor, body, control, p, gov.EventChangeActivated)
}

// activate puts a bundle into force where control still holds. People are told through the channels of the bundle before: a change
// cannot hide itself.
func (s *Service) activate(ctx context.Context, env *live.Environment, actor canon.Actor, body canon.BundleActivated, control *state.Control, p Proposal, events ...gov.Event) (Activated, error) {
	before := control.Engine.Bundle()
	receipt, err := s.place(ctx, env, canon.KindBundleActivated, actor, body, nil, func(r *ledger.Record) {
		r.Docs = append(outbox.Owe(before, env.Ledger.Name(), before.Approvers, s.Now(), events...), p.document())
		r.Epoch = control.Epoch
	})
	if errors.Is(err, ledger.ErrStale) {
		return Activated{}, errStale()
	}
	if err != nil {
		return Activated{}, err
	}
	return Activated{BundleActivated: body, Receipt: receipt}, env.Refresh(ctx)
}

// previous is the bundle before the active one.
func (s *Service) previous(ctx context.Context, env *live.Environment) (gov.BundleDigest, error) {
	_, items, err := env.Ledger.ChangesSince(ctx, 0)
	if err != nil {
		return "", err
	}
	previous := gov.BundleDigest("")
	for _, item := range items {
		if item.Kind != canon.KindBundleActivated {
			continue
		}
		body, err := canon.Body[canon.BundleActivated](item.Entry)
		if err != nil {
			return "", err
		}
		previous = body.Previous
	}
	if previous == "" {
		return "", &gov.Error{Code: gov.CodeConflict, Detail: "the active bundle is the first one: there is none to go back to"}
	}
	return previous, nil
}
