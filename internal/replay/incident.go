package replay

import (
	"errors"
	"fmt"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/state"
)

// incidents are the incidents as the entries add up, and the newest one of each key.
type incidents struct {
	all  map[gov.IncidentID]state.Incident
	keys map[incidentKey]gov.IncidentID
}

type incidentKey struct {
	key      string
	exercise bool
}

func newIncidents() *incidents {
	return &incidents{map[gov.IncidentID]state.Incident{}, map[incidentKey]gov.IncidentID{}}
}

// take takes in an entry about an incident at an index, and says why it could not follow, or nothing.
func (s *incidents) take(e canon.Entry, index int64) (what string, err error) {
	switch e.Kind {
	case canon.KindSignal, canon.KindIncidentReported, canon.KindIncidentEvent:
	default:
		return "", nil
	}
	at := gov.Place{ID: e.ID, Index: index}
	if at.At, err = e.Time(); err != nil {
		return "", err
	}
	switch e.Kind {
	case canon.KindSignal:
		body, err := canon.Body[canon.Signal](e)
		if err != nil || body.Heartbeat {
			return "", err
		}
		return s.signal(e, at, body), nil
	case canon.KindIncidentReported:
		body, err := canon.Body[canon.IncidentReported](e)
		if err != nil {
			return "", err
		}
		i := state.ReportIncident(at, body)
		s.all[i.ID] = i
		return by(e, body.Person), nil
	default:
		body, err := canon.Body[canon.IncidentEvent](e)
		if err != nil {
			return "", err
		}
		return s.step(e, at, body), nil
	}
}

// by says why an entry is not by the person that it names.
func by(e canon.Entry, person string) string {
	if person == "" {
		return "a step of an incident by nobody"
	}
	return actedBy(e, person)
}

func (s *incidents) signal(e canon.Entry, at gov.Place, body canon.Signal) string {
	if e.Actor.Type != canon.ActorSystem {
		return fmt.Sprintf("a signal, recorded by %s %s", e.Actor.Type, e.Actor.ID)
	}
	key := incidentKey{body.Key, body.Exercise}
	last, known := s.all[s.keys[key]]
	if body.Incident == "" {
		i := state.OpenIncident(at, body)
		s.all[i.ID], s.keys[key] = i, i.ID
		if known && last.State.Open() {
			return fmt.Sprintf("a signal opened %s, and %s of the same key was open", i.ID, last.ID)
		}
		return ""
	}
	i, known := s.all[body.Incident]
	if !known {
		return fmt.Sprintf("a signal joined %s, which nothing had opened", body.Incident)
	}
	after, err := i.Join(at, body)
	if err != nil {
		return fmt.Sprintf("a signal joined %s: %s", i.ID, detail(err))
	}
	s.all[i.ID] = after
	return ""
}

func (s *incidents) step(e canon.Entry, at gov.Place, body canon.IncidentEvent) string {
	i, known := s.all[body.Incident]
	if !known {
		return fmt.Sprintf("%s of %s, which nothing had opened", body.Event, body.Incident)
	}
	if body.System() {
		if e.Actor.Type != canon.ActorSystem {
			return fmt.Sprintf("%s of %s, which Writ itself does, recorded by %s %s", body.Event, i.ID, e.Actor.Type, e.Actor.ID)
		}
	} else if what := by(e, body.Person); what != "" {
		return what
	}
	after, err := i.Take(at, body)
	if err != nil {
		return fmt.Sprintf("%s of %s: %s", body.Event, i.ID, detail(err))
	}
	switch body.Event {
	case gov.StepMerged:
		into, known := s.all[body.Into]
		if !known {
			return fmt.Sprintf("%s was merged into %s, which nothing had opened", i.ID, body.Into)
		}
		if into, err = into.Absorb(at, i); err != nil {
			return fmt.Sprintf("%s was merged into %s: %s", i.ID, body.Into, detail(err))
		}
		s.all[into.ID] = into
		s.lead(i, into.ID)
	case gov.StepReopened:
		for _, key := range i.Keys {
			if last := s.all[s.keys[incidentKey{key, i.Exercise}]]; last.ID != i.ID && last.State.Open() {
				return fmt.Sprintf("%s was reopened, and %s of the same key was open", i.ID, last.ID)
			}
		}
		s.lead(i, i.ID)
	default:
	}
	s.all[i.ID] = after
	return ""
}

// lead leads the keys of an incident to another one.
func (s *incidents) lead(i state.Incident, to gov.IncidentID) {
	for _, key := range i.Keys {
		s.keys[incidentKey{key, i.Exercise}] = to
	}
}

// detail is what is wrong, without the code of the error.
func detail(err error) string {
	var known *gov.Error
	if errors.As(err, &known) {
		return known.Detail
	}
	return err.Error()
}
