package state

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/policy"
)

// Bounds of standing consents.
const (
	DelegationFor  = 24 * time.Hour // the longest, from when it is asked for
	DelegationUses = 1000           // of those that are counted
	DelegationsMax = 100            // in force in one environment
)

// Delegation is a standing consent that was granted, and neither ended nor found to be over. How often it was used is counted in
// its document, and by whoever replays.
type Delegation struct {
	ID gov.EntryID // of the request
	canon.DelegationScope
	By []string // who voted for it; opaque references

	until     time.Time
	condition *policy.Condition // nil without When
}

// Delegation looks up a standing consent that is in force but for its time and its uses.
func (c *Control) Delegation(id gov.EntryID) (Delegation, bool) {
	i := slices.IndexFunc(c.delegations, func(d Delegation) bool { return d.ID == id })
	if i < 0 {
		return Delegation{}, false
	}
	return c.delegations[i], true
}

// Standing lists the standing consents that are in force but for their time and their uses, oldest first.
func (c *Control) Standing() []Delegation { return slices.Clone(c.delegations) }

// Delegations says how many standing consents are in force at a time.
func (c *Control) Delegations(at time.Time) int {
	n := 0
	for _, d := range c.delegations {
		if at.Before(d.until) {
			n++
		}
	}
	return n
}

// under is the standing consent under a bundle, or false where that has another policy, or another tool, than people consented
// to.
func (d Delegation) under(e *policy.Engine) (Delegation, bool) {
	if e == nil {
		return d, false
	}
	gate, ok := e.GatePolicy(d.Policy)
	if !ok || gate.Digest != d.Gate || gate.StepUp || gate.Observed {
		return d, false
	}
	d.condition = nil
	if d.When != "" {
		var err error
		if d.condition, err = e.Condition(d.Tool, d.When); err != nil {
			return d, false
		}
	}
	return d, true
}

// covers says whether people consented beforehand to a call.
func (d Delegation) covers(q Question) bool {
	switch {
	case d.Agent != q.Call.Agent, d.Tool != "" && d.Tool != q.Call.Tool, d.Principal != "" && d.Principal != q.Principal.String():
		return false
	case q.Principal.Type == gov.PrincipalUser && slices.Contains(d.By, q.Principal.ID): // nobody approves what is done for themselves
		return false
	case !q.At.Before(d.until), slices.Contains(q.Spent, d.ID):
		return false
	}
	return d.condition == nil || d.condition.Holds(q.Call.Input)
}

// standing are the consents that cover a call, oldest first. A caller who does not say whom it is made for has none.
func (c *Control) standing(q Question) []policy.Standing {
	if q.Principal.ID == "" {
		return nil
	}
	var out []policy.Standing
	for _, d := range c.delegations {
		if d.covers(q) {
			out = append(out, policy.Standing{ID: d.ID, Policy: d.Policy})
		}
	}
	return out
}

// Under is what would hold if another bundle were in force, for judging again what was judged under this one.
func (c *Control) Under(e *policy.Engine) *Control {
	next := *c
	next.Engine = e
	next.delegations = fitting(c.delegations, e)
	return &next
}

// fitting are those that mean under a bundle what people consented to.
func fitting(all []Delegation, e *policy.Engine) []Delegation {
	var out []Delegation
	for _, d := range all {
		if d, ok := d.under(e); ok {
			out = append(out, d)
		}
	}
	return out
}

func (c *Control) grant(e canon.Entry) error {
	body, err := canon.Body[canon.DelegationGranted](e)
	if err != nil {
		return err
	}
	d := Delegation{ID: body.Delegation, DelegationScope: body.Scope, By: body.By}
	if d.until, err = time.Parse(canon.TimeLayout, body.Scope.Until); err != nil {
		return fmt.Errorf("entry %s: until: %w", e.ID, err)
	}
	d, ok := d.under(c.Engine)
	if !ok {
		return nil // the service does not grant it; whoever wrote it all the same gets nothing
	}
	c.delegations = append(c.delegations, d)
	slices.SortFunc(c.delegations, func(a, b Delegation) int { return cmp.Compare(a.ID, b.ID) })
	return nil
}

func (c *Control) end(e canon.Entry) error {
	body, err := canon.Body[canon.DelegationEnded](e)
	if err != nil {
		return err
	}
	c.delegations = slices.DeleteFunc(c.delegations, func(d Delegation) bool { return d.ID == body.Delegation })
	return nil
}

// still are those whose time is not over: what is over is forgotten with the next change.
func still(all []Delegation, at time.Time) []Delegation {
	return slices.DeleteFunc(slices.Clone(all), func(d Delegation) bool { return !at.Before(d.until) })
}

// OpenDelegation is a request for a standing consent that nobody has answered.
func OpenDelegation(body canon.DelegationRequested) Approval {
	return OpenApproval(canon.ApprovalAsked{
		Policies: []gov.PolicyID{body.Scope.Policy}, Groups: body.Groups, Quorum: body.Quorum, ApproveBy: body.ApproveBy,
	})
}

// DelegationAfter is how far a request for a standing consent has come by the votes on it.
func DelegationAfter(votes Approval) gov.DelegationState {
	switch votes.State {
	case gov.ApprovalApproved:
		return gov.DelegationGranted
	case gov.ApprovalDenied:
		return gov.DelegationDenied
	default:
		return gov.DelegationPending
	}
}
