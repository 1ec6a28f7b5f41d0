package state

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// Switches lists the engaged kill switches, oldest first. Some may be over: their time is compared at every judgement.
func (c *Control) Switches() []gov.Switch { return slices.Clone(c.switches) }

// Switch looks up an engaged kill switch.
func (c *Control) Switch(id gov.EntryID) (gov.Switch, bool) {
	if i := c.switchAt(id); i >= 0 {
		return c.switches[i], true
	}
	return gov.Switch{}, false
}

// Target is what a switch may stop: a call, or what waits for people to consent to one.
type Target struct {
	Agent     gov.AgentID
	Tool      gov.ToolName
	Principal string // type:ref
	Session   gov.SessionID
}

// Stopping gives the oldest switch that stops calls like a target at a time, all of them or but a share: what waits for people is
// frozen while there is one.
func (c *Control) Stopping(t Target, at time.Time) (gov.Switch, bool) {
	for _, s := range c.switches {
		if (s.Until.IsZero() || at.Before(s.Until)) && c.Covers(s.SwitchScope, t) {
			return s, true
		}
	}
	return gov.Switch{}, false
}

// Covers says whether a target is within a scope. A tool that nobody categorized may be of any category.
func (c *Control) Covers(s gov.SwitchScope, t Target) bool {
	switch {
	case s.Agent != "":
		return s.Agent == t.Agent
	case s.Tool != "":
		return s.Tool == t.Tool
	case s.Category != "":
		if c.Engine == nil {
			return true
		}
		tool, known := c.Engine.Bundle().Tool(t.Tool)
		return !known || slices.Contains(tool.Categories, s.Category)
	case s.Principal != "":
		return s.Principal == t.Principal
	case s.Session != "":
		return s.Session == t.Session
	}
	return true
}

func (c *Control) switchAt(id gov.EntryID) int {
	return slices.IndexFunc(c.switches, func(s gov.Switch) bool { return s.ID == id })
}

func (c *Control) engage(e canon.Entry) error {
	body, err := canon.Body[canon.SwitchEngaged](e)
	if err != nil {
		return err
	}
	s := gov.Switch{ID: e.ID, SwitchScope: body.Scope, Step: gov.Step{Stage: gov.SwitchStopped}, Reason: body.Reason, People: body.People}
	if body.ExpiresAt != "" {
		if s.Until, err = time.Parse(canon.TimeLayout, body.ExpiresAt); err != nil {
			return fmt.Errorf("entry %s: expires_at: %w", e.ID, err)
		}
	}
	c.switches = append(slices.Clone(c.switches), s)
	slices.SortFunc(c.switches, func(a, b gov.Switch) int { return cmp.Compare(a.ID, b.ID) })
	return nil
}

// Agreed says whether enough different people want a switch where a step leads.
func Agreed(s gov.Switch, to gov.Step, by []string) bool {
	different := slices.Clone(by)
	slices.Sort(different)
	return !to.Looser(s.Step) || s.People <= 1 || len(slices.Compact(different)) >= s.People
}

func (c *Control) ease(e canon.Entry) error {
	body, err := canon.Body[canon.SwitchEased](e)
	if err != nil {
		return err
	}
	i := c.switchAt(body.Switch)
	if i < 0 || !body.Valid() || body.Stage == gov.SwitchReleased || !Agreed(c.switches[i], body.Step, body.By) {
		return nil // the service does not write it; whoever wrote it all the same eased nothing
	}
	c.switches = slices.Clone(c.switches)
	c.switches[i].Step = body.Step
	return nil
}

func (c *Control) release(e canon.Entry) error {
	body, err := canon.Body[canon.SwitchReleased](e)
	if err != nil {
		return err
	}
	i := c.switchAt(body.Switch)
	if i < 0 {
		return nil
	}
	at, err := e.Time()
	if err != nil {
		return err
	}
	s := c.switches[i]
	expired := body.State == gov.SwitchIsExpired && !s.Until.IsZero() && !at.Before(s.Until)
	agreed := body.State == gov.SwitchIsReleased && Agreed(s, gov.Step{Stage: gov.SwitchReleased}, body.By)
	if !expired && !agreed {
		return nil // as in ease
	}
	c.switches = slices.Delete(slices.Clone(c.switches), i, i+1)
	return nil
}
