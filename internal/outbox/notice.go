package outbox

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/limit"
	"github.com/writ-dev/writ/internal/live"
)

// What a notice holds at most; who wants to read it all follows the link.
const (
	whyMax      = 5
	whyRunesMax = 500
)

// notice is what to tell of an entry. b is the bundle under which it was written.
func (s *Service) notice(ctx context.Context, env *live.Environment, b *bundle.Bundle, id gov.EntryID, event gov.Event) (gov.Notice, error) {
	item, err := env.Ledger.ByID(ctx, id)
	if err != nil {
		return gov.Notice{}, err
	}
	n := gov.Notice{ID: id, Event: event, Environment: env.Ledger.Name(), Source: s.URL() + "/ledger/" + string(env.Ledger.Name())}
	if n.At, err = item.Time(); err != nil {
		return n, err
	}
	err = s.about(ctx, env, b, &n, item)
	return n, err
}

// about says what an entry is about.
func (s *Service) about(ctx context.Context, env *live.Environment, b *bundle.Bundle, n *gov.Notice, item ledger.Item) error {
	switch item.Kind {
	case canon.KindDecision:
		return s.asked(n, item, string(gov.ApprovalPending))
	case canon.KindApprovalVote:
		return with(item, func(v canon.ApprovalVote) error { return s.decided(ctx, env, n, v.Decision, v.State) })
	case canon.KindApprovalExpired:
		return with(item, func(x canon.ApprovalExpired) error { return s.decided(ctx, env, n, x.Decision, x.State) })
	case canon.KindDelegationRequested:
		return s.delegation(n, item, gov.DelegationPending)
	case canon.KindDelegationVote:
		return with(item, func(v canon.DelegationVote) error { return s.delegationDecided(ctx, env, n, v.Delegation, v.State) })
	case canon.KindDelegationGranted:
		return with(item, func(g canon.DelegationGranted) error { return s.delegationDecided(ctx, env, n, g.Delegation, g.State) })
	case canon.KindDelegationExpired:
		return with(item, func(x canon.DelegationExpired) error {
			return s.delegationDecided(ctx, env, n, x.Delegation, gov.DelegationExpired)
		})
	case canon.KindChangeProposed:
		return s.proposed(n, b, item)
	case canon.KindSignal:
		return s.signalled(ctx, env, n, b, item)
	case canon.KindIncidentReported:
		return s.reported(ctx, env, n, b, item)
	case canon.KindIncidentEvent:
		return s.stepped(ctx, env, n, b, item)
	case canon.KindBundleActivated:
		return s.activated(ctx, env, n, b, item)
	case canon.KindChangeScheduled:
		return s.notActivated(n, b, item)
	case canon.KindLimitWarning:
		return with(item, func(w canon.LimitWarning) error { s.limit(n, w); return nil })
	case canon.KindProbe:
		return with(item, func(p canon.Probe) error { s.silent(n, item.ID, p); return nil })
	default:
		return fmt.Errorf("nobody is told of a %s", item.Kind)
	}
}

// with reads the body of an entry.
func with[T any](item ledger.Item, tell func(T) error) error {
	body, err := canon.Body[T](item.Entry)
	if err != nil {
		return err
	}
	return tell(body)
}

// asked is about a request, which its decision opened.
func (s *Service) asked(n *gov.Notice, decision ledger.Item, state string) error {
	d, err := canon.Body[canon.Decision](decision.Entry)
	if err != nil {
		return err
	}
	if d.Approval == nil {
		return fmt.Errorf("decision %s asks nobody", decision.ID)
	}
	request := string(gov.ApprovalOf(decision.ID))
	n.Subject, n.State, n.URL = request, state, s.URL()+s.Pages+"/approvals/"+request
	n.Agent, n.Tool, n.Groups, n.Votes = d.Agent, d.Tool, d.Approval.Groups, d.Approval.Quorum
	for _, r := range d.Reasons {
		n.Why = append(n.Why, r.Message)
	}
	n.Why = short(n.Why)
	n.Title = fmt.Sprintf("%s asks to call %s in %s", d.Agent, d.Tool, n.Environment)
	if n.Event == gov.EventApprovalRequested {
		n.Deadline, err = time.Parse(canon.TimeLayout, d.Approval.ApproveBy)
	}
	return err
}

func (s *Service) decided(ctx context.Context, env *live.Environment, n *gov.Notice, decision gov.EntryID, state gov.ApprovalState) error {
	item, err := env.Ledger.ByID(ctx, decision)
	if err != nil {
		return err
	}
	err = s.asked(n, item, string(state))
	n.Title = fmt.Sprintf("%s: %s calling %s in %s", state, n.Agent, n.Tool, n.Environment)
	return err
}

// limit is about a limit that is used as far as its warn_at.
func (s *Service) limit(n *gov.Notice, w canon.LimitWarning) {
	used := fmt.Sprintf("%d calls", w.Calls)
	if w.WarnMicroUSD > 0 {
		used = limit.Dollars(w.MicroUSD) + " USD"
	}
	n.Subject, n.URL = w.Limit, s.URL()+s.Pages+"/limits?"+url.Values{"environment": {string(n.Environment)}, "id": {w.Limit}}.Encode()
	n.Title = fmt.Sprintf("The limit %s in %s has %s in its %s", w.Limit, n.Environment, used, limit.Span(w.WindowSeconds))
}

// silent is about detectors that nobody runs.
func (s *Service) silent(n *gov.Notice, id gov.EntryID, p canon.Probe) {
	n.Subject, n.URL = string(id), s.URL()+s.Pages+"/detectors?"+url.Values{"environment": {string(n.Environment)}}.Encode()
	n.Title = fmt.Sprintf("Nobody looks at what agents do in %s: the detectors have not answered since %s", n.Environment, p.Since)
}

// delegation is about a standing consent, which its request opened.
func (s *Service) delegation(n *gov.Notice, request ledger.Item, state gov.DelegationState) error {
	body, err := canon.Body[canon.DelegationRequested](request.Entry)
	if err != nil {
		return err
	}
	n.Subject, n.State, n.URL = string(request.ID), string(state), s.URL()+s.Pages+"/delegations/"+string(request.ID)
	n.Agent, n.Tool, n.Groups, n.Votes = body.Scope.Agent, body.Scope.Tool, body.Groups, body.Quorum
	n.Why = short([]string{fmt.Sprintf("A standing consent to what the policy %s asks for, until %s.", body.Scope.Policy, body.Scope.Until)})
	n.Title = fmt.Sprintf("A delegation for %s in %s waits for consent", body.Scope.Agent, n.Environment)
	if state == gov.DelegationPending {
		n.Deadline, err = time.Parse(canon.TimeLayout, body.ApproveBy)
	}
	return err
}

func (s *Service) delegationDecided(ctx context.Context, env *live.Environment, n *gov.Notice, id gov.EntryID, state gov.DelegationState) error {
	item, err := env.Ledger.ByID(ctx, id)
	if err != nil {
		return err
	}
	err = s.delegation(n, item, state)
	n.Title = fmt.Sprintf("%s: a delegation for %s in %s", state, n.Agent, n.Environment)
	return err
}

func (s *Service) proposed(n *gov.Notice, b *bundle.Bundle, item ledger.Item) error {
	body, err := canon.Body[canon.ChangeProposed](item.Entry)
	n.Why, n.State, n.Title = short([]string{body.Description}), string(gov.ChangeProposed), fmt.Sprintf("A change of the bundle of %s waits for review", n.Environment)
	s.change(n, b, item.ID)
	return err
}

func (s *Service) activated(ctx context.Context, env *live.Environment, n *gov.Notice, b *bundle.Bundle, item ledger.Item) error {
	body, err := canon.Body[canon.BundleActivated](item.Entry)
	if err != nil {
		return err
	}
	if body.Change == "" { // a rollback: it is a change itself
		n.Why, n.State, n.Title = short([]string{body.Reason}), string(gov.ChangeReviewOwed), fmt.Sprintf("The bundle of %s was rolled back, and somebody else has to review that", n.Environment)
		n.Deadline = gov.ReviewDue(n.At)
		s.change(n, b, item.ID)
		return nil
	}
	proposal, err := env.Ledger.ByID(ctx, body.Change)
	if err != nil {
		return err
	}
	err = s.proposed(n, b, proposal)
	n.State, n.Title = string(gov.ChangeActivated), fmt.Sprintf("Another bundle is in force in %s", n.Environment)
	if body.How == canon.HowEmergency {
		n.State, n.Why = string(body.State), short(append([]string{body.Reason}, n.Why...))
		n.Title += ", in an emergency"
	}
	if body.State == gov.ChangeReviewOwed {
		n.Title += ", and somebody else has to review that"
		n.Deadline = gov.ReviewDue(n.At)
	}
	return err
}

// notActivated is about a change whose time had come.
func (s *Service) notActivated(n *gov.Notice, b *bundle.Bundle, item ledger.Item) error {
	body, err := canon.Body[canon.ChangeScheduled](item.Entry)
	n.Why, n.State, n.Title = short([]string{body.Reason}), string(body.State), fmt.Sprintf("A scheduled change of the bundle of %s did not come into force", n.Environment)
	s.change(n, b, body.Change)
	return err
}

func (s *Service) change(n *gov.Notice, b *bundle.Bundle, id gov.EntryID) {
	n.Subject, n.URL, n.Groups = string(id), s.URL()+s.Pages+"/changes/"+string(id), b.Approvers
}

// short bounds what a notice repeats.
func short(lines []string) []string {
	lines = lines[:min(len(lines), whyMax)]
	for i, line := range lines {
		if runes := []rune(line); len(runes) > whyRunesMax {
			lines[i] = string(runes[:whyRunesMax]) + "…"
		}
	}
	return lines
}
