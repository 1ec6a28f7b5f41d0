package replay

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/merkle"
)

// account follows the changes of the bundle: what was proposed by whom, what others said to it, and what came into force. Each
// entry about them is held against the ones before it; what it does not follow from is a difference.
type account struct {
	changes        map[gov.EntryID]changed
	active, before gov.BundleDigest
	activations    int64
}

// changed is a change as the entries about it add up to.
type changed struct {
	bundle, base gov.BundleDigest
	author       canon.Actor
	hurried      canon.Actor // who put it into force before it was approved
	state        gov.ChangeState
	leaf         string // hash of the entry that a review names, hexadecimal

	approved  map[string]time.Time // who approved it, and when
	by        canon.Actor          // who scheduled it,
	scheduled time.Time            // when,
	at        time.Time            // and for when
}

func newAccount() *account { return &account{changes: map[gov.EntryID]changed{}} }

// take follows one entry under the groups that review changes at its index. It says what the entry does not follow from, or
// nothing.
func (a *account) take(e canon.Entry, raw ledger.Raw, approvers []gov.GroupID) (string, error) {
	switch e.Kind {
	case canon.KindChangeProposed:
		body, err := canon.Body[canon.ChangeProposed](e)
		a.changes[e.ID] = changed{bundle: body.Bundle, base: body.Base, author: e.Actor, state: gov.ChangeProposed, leaf: leafOf(raw)}
		return "", err
	case canon.KindChangeReviewed:
		body, err := canon.Body[canon.ChangeReviewed](e)
		if err != nil {
			return "", err
		}
		what := a.reviewed(e, body, approvers)
		if what == "" && body.Review == gov.VoteApprove {
			err = a.approvedBy(e, body)
		}
		return what, err
	case canon.KindChangeScheduled:
		body, err := canon.Body[canon.ChangeScheduled](e)
		if err != nil {
			return "", err
		}
		at, err := e.Time()
		return a.scheduled(e, body, at), err
	case canon.KindBundleActivated:
		body, err := canon.Body[canon.BundleActivated](e)
		if err != nil {
			return "", err
		}
		what := a.activated(e, body, raw, approvers)
		a.active, a.before = body.Bundle, a.active
		a.activations++
		return what, nil
	default:
		return "", nil
	}
}

func leafOf(raw ledger.Raw) string {
	hash := merkle.LeafHash(raw.Bytes)
	return hex.EncodeToString(hash[:])
}

// reviewed counts a review again. One that could not be given does not count.
func (a *account) reviewed(e canon.Entry, r canon.ChangeReviewed, approvers []gov.GroupID) string {
	c, known := a.changes[r.Change]
	after, open := c.state.Reviewed(r.Review)
	switch {
	case !known:
		return fmt.Sprintf("a review of %s, which is no change of this ledger", r.Change)
	case !e.Actor.Is(canon.Actor{Type: canon.ActorPerson, ID: r.Person}):
		return fmt.Sprintf("a review by %s, recorded by %s %s", r.Person, e.Actor.Type, e.Actor.ID)
	case e.Actor.Is(c.author):
		return fmt.Sprintf("%s was reviewed by its own author", r.Change)
	case e.Actor.Is(c.hurried):
		return fmt.Sprintf("%s was reviewed by who put it into force", r.Change)
	case !allOf(r.Groups, approvers):
		return fmt.Sprintf("%s was reviewed as one of %v, and changes were reviewed by %v", r.Change, r.Groups, approvers)
	case r.Shown != c.leaf:
		return fmt.Sprintf("the review of %s is of something else: it names the leaf hash %s", r.Change, r.Shown)
	case !open:
		return fmt.Sprintf("%s was reviewed when it was %s already", r.Change, c.state)
	}
	c.state = after
	a.changes[r.Change] = c
	if r.State != after {
		return fmt.Sprintf("%s was recorded as %s after this review and comes out as %s", r.Change, r.State, after)
	}
	return ""
}

// approvedBy keeps who approved a change, and when.
func (a *account) approvedBy(e canon.Entry, r canon.ChangeReviewed) error {
	at, err := e.Time()
	c := a.changes[r.Change]
	if c.approved == nil {
		c.approved = map[string]time.Time{}
	}
	c.approved[r.Person] = at
	a.changes[r.Change] = c
	return err
}

// due gives the change that comes into force with an entry because its time has come, for who scheduled it: nobody is there.
func (a *account) due(e canon.Entry, at time.Time) (changed, bool) {
	if e.Kind != canon.KindBundleActivated || e.Actor.Session != "" {
		return changed{}, false
	}
	body, err := canon.Body[canon.BundleActivated](e)
	if err != nil {
		return changed{}, false
	}
	c := a.changes[body.Change]
	return c, body.How == canon.HowReviewed && c.state == gov.ChangeScheduled && c.by.Is(e.Actor) && !at.Add(actSlack).Before(c.at)
}

// scheduled follows when an approved change is to come into force.
func (a *account) scheduled(e canon.Entry, s canon.ChangeScheduled, at time.Time) string {
	c := a.changes[s.Change]
	approved := c.state == gov.ChangeApproved || c.state == gov.ChangeScheduled
	if !approved || s.State != gov.ChangeApproved && s.State != gov.ChangeScheduled {
		return fmt.Sprintf("%s was recorded as %s, and it was %q", s.Change, s.State, c.state)
	}
	c.state, c.by, c.scheduled, c.at = s.State, e.Actor, at, readTime(s.At)
	a.changes[s.Change] = c
	return ""
}

// allOf says whether there are groups, and every one is of those that review.
func allOf(groups, approvers []gov.GroupID) bool {
	return len(groups) > 0 && !slices.ContainsFunc(groups, func(g gov.GroupID) bool { return !slices.Contains(approvers, g) })
}

// activated says why a bundle should not have come into force as its entry says.
func (a *account) activated(e canon.Entry, b canon.BundleActivated, raw ledger.Raw, approvers []gov.GroupID) string {
	if b.Previous != a.active {
		return fmt.Sprintf("bundle %s came into force in the place of %q, and %q was active", b.Bundle, b.Previous, a.active)
	}
	switch b.How {
	case canon.HowBootstrap:
		if a.activations > 0 || e.Actor.Type != canon.ActorAdmin {
			return fmt.Sprintf("bundle %s came into force without review, and not as the first one by an administrator", b.Bundle)
		}
		return ""
	case canon.HowReviewed:
		return a.activatedReviewed(b)
	case canon.HowRollback:
		a.changes[e.ID] = changed{bundle: b.Bundle, base: b.Previous, author: e.Actor, state: gov.ChangeReviewOwed, leaf: leafOf(raw)}
		if b.Bundle == "" || b.Bundle != a.before {
			return fmt.Sprintf("bundle %s came into force as the one before, which was %q", b.Bundle, a.before)
		}
		return ""
	case canon.HowEmergency:
		return a.activatedEarly(e, b, approvers)
	}
	return fmt.Sprintf("bundle %s came into force in a way that is not known: %q", b.Bundle, b.How)
}

// proposed says why an activation is not of the change that it names.
func (a *account) proposed(b canon.BundleActivated) string {
	c, known := a.changes[b.Change]
	switch {
	case !known:
		return fmt.Sprintf("bundle %s came into force by the change %q, which nobody proposed", b.Bundle, b.Change)
	case c.bundle != b.Bundle || c.base != b.Previous:
		return fmt.Sprintf("bundle %s came into force in the place of %s by %s, which was proposed for %s in the place of %s", b.Bundle, b.Previous, b.Change, c.bundle, c.base)
	}
	return ""
}

func (a *account) activatedReviewed(b canon.BundleActivated) string {
	if what := a.proposed(b); what != "" {
		return what
	}
	c := a.changes[b.Change]
	if c.state != gov.ChangeApproved && c.state != gov.ChangeScheduled {
		return fmt.Sprintf("bundle %s came into force by %s, which was %s and not approved by somebody else than its author", b.Bundle, b.Change, c.state)
	}
	c.state = gov.ChangeActivated
	a.changes[b.Change] = c
	return ""
}

// activatedEarly is of a change that was only proposed: by one who reviews changes, and owed a review unless another person had
// proposed it.
func (a *account) activatedEarly(e canon.Entry, b canon.BundleActivated, approvers []gov.GroupID) string {
	if what := a.proposed(b); what != "" {
		return what
	}
	c := a.changes[b.Change]
	if c.state != gov.ChangeProposed {
		return fmt.Sprintf("bundle %s came into force in an emergency by %s, which was %s already", b.Bundle, b.Change, c.state)
	}
	c.hurried, c.state = e.Actor, gov.Hurried(c.author.Type == canon.ActorPerson && !c.author.Is(e.Actor))
	a.changes[b.Change] = c
	switch {
	case e.Actor.Type != canon.ActorPerson || b.SignIn == nil || !allOf(b.SignIn.Groups, approvers):
		return fmt.Sprintf("bundle %s came into force in an emergency by %s %s, who is not known to have reviewed changes", b.Bundle, e.Actor.Type, e.Actor.ID)
	case b.State != c.state:
		return fmt.Sprintf("%s was recorded as %s after the emergency and comes out as %s", b.Change, b.State, c.state)
	}
	return ""
}
