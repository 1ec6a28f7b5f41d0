package replay

import (
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/state"
)

// switches is who wants which switch to let calls pass again, as the entries add up.
type switches map[gov.EntryID]proposal

type proposal struct {
	step gov.Step
	by   []string // sorted
}

// take takes in an entry about a switch under the control state at its index, and says what it does not follow from, or nothing.
func (s switches) take(e canon.Entry, c *state.Control) (what string, err error) {
	switch e.Kind {
	case canon.KindSwitchProposed:
		body, err := canon.Body[canon.SwitchProposed](e)
		if err != nil {
			return "", err
		}
		p := s[body.Switch]
		if p.step != body.Step {
			p = proposal{step: body.Step}
		}
		p.by = append(slices.Clone(p.by), body.Person)
		slices.Sort(p.by)
		s[body.Switch] = p
		return actedBy(e, body.Person), nil
	case canon.KindSwitchEased:
		body, err := canon.Body[canon.SwitchEased](e)
		if err != nil {
			return "", err
		}
		if !body.Valid() || body.Stage == gov.SwitchReleased {
			return fmt.Sprintf("%s was eased to a stage that there is not", body.Switch), nil
		}
		return s.moved(e, c, body.Switch, body.Step, body.Person, body.By), nil
	case canon.KindSwitchReleased:
		body, err := canon.Body[canon.SwitchReleased](e)
		if err != nil {
			return "", err
		}
		if body.State == gov.SwitchIsExpired {
			return expired(e, c, body.Switch), nil
		}
		return s.moved(e, c, body.Switch, gov.Step{Stage: gov.SwitchReleased}, body.Person, body.By), nil
	default:
		return "", nil
	}
}

// moved says why a step does not follow from what people wanted.
func (s switches) moved(e canon.Entry, c *state.Control, id gov.EntryID, to gov.Step, person string, by []string) string {
	wanted := s[id]
	delete(s, id)
	sw, engaged := c.Switch(id)
	if !engaged {
		return fmt.Sprintf("%s was moved to %s, and no such switch was engaged", id, to.Stage)
	}
	if what := actedBy(e, person); what != "" {
		return what
	}
	if !state.Agreed(sw, to, by) {
		return fmt.Sprintf("%s takes %d people to let calls pass again, and %d wanted it", id, sw.People, len(by))
	}
	for _, p := range by {
		if p != person && (wanted.step != to || !slices.Contains(wanted.by, p)) {
			return fmt.Sprintf("%s was moved to %s in the name of %s, who had not said so", id, to.Stage, p)
		}
	}
	return ""
}

// actedBy says why an entry that names a person is not by them.
func actedBy(e canon.Entry, person string) string {
	if person != "" && !e.Actor.Is(canon.Actor{Type: canon.ActorPerson, ID: person}) {
		return fmt.Sprintf("an act of %s, recorded by %s %s", person, e.Actor.Type, e.Actor.ID)
	}
	return ""
}

func expired(e canon.Entry, c *state.Control, id gov.EntryID) string {
	sw, engaged := c.Switch(id)
	at, err := e.Time()
	if !engaged || sw.Until.IsZero() || err != nil || at.Before(sw.Until) {
		return fmt.Sprintf("%s was recorded as over at %s, and it holds until %s", id, e.At, sw.Until.Format(time.RFC3339))
	}
	return ""
}
