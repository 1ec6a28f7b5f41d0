package app_test

import (
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

func TestReplayAccountsForEveryIncident(t *testing.T) {
	t.Parallel()
	base := left(t)
	said := map[canon.Group]canon.Commitment{canon.GroupText: "00"}
	signal := func(f *forger, key string, with func(*canon.Signal)) gov.IncidentID {
		s := canon.Signal{Detector: "d", Version: 1, Severity: gov.SeverityHigh, Key: key, Summary: "x", Entries: []gov.EntryID{}}
		if with != nil {
			with(&s)
		}
		return gov.IncidentOf(f.append(canon.KindSignal, aSystem(), s))
	}
	step := func(f *forger, id gov.IncidentID, person string, event gov.IncidentStep, to gov.IncidentState, with func(*canon.IncidentEvent)) gov.EntryID {
		body := canon.IncidentEvent{Incident: id, Event: event, State: to, Severity: gov.SeverityHigh, Person: person, Commitments: said}
		actor := aPerson(person)
		if with != nil {
			with(&body)
		}
		return f.append(canon.KindIncidentEvent, actor, body)
	}
	told := func(f *forger, id gov.IncidentID, by canon.Actor, after int64, with func(*canon.IncidentEvent)) {
		body := canon.IncidentEvent{Incident: id, Event: gov.StepNotified, State: gov.IncidentNew, Severity: gov.SeverityHigh, Alert: &canon.Alert{AfterSeconds: after, Channels: []gov.ChannelID{"pager"}}}
		if with != nil {
			with(&body)
		}
		f.append(canon.KindIncidentEvent, by, body)
	}
	resolved := func(f *forger) gov.IncidentID {
		id := signal(f, "k", nil)
		step(f, id, "p_omar", gov.StepAck, gov.IncidentTriage, nil)
		step(f, id, "p_omar", gov.StepDeclared, gov.IncidentActive, nil)
		step(f, id, "p_omar", gov.StepResolved, gov.IncidentResolved, nil)
		step(f, id, "p_omar", gov.StepAssessed, gov.IncidentResolved, func(e *canon.IncidentEvent) { e.Assessment = &canon.Assessment{} })
		return id
	}
	approvedAt := func(f *forger, by string, signed time.Time) gov.IncidentID {
		id := resolved(f)
		draft := step(f, id, "p_lena", gov.StepDrafted, gov.IncidentResolved, nil)
		step(f, id, by, gov.StepApproved, gov.IncidentResolved, func(e *canon.IncidentEvent) {
			e.Refs, e.SignIn = []string{string(draft)}, &canon.SignIn{Groups: []gov.GroupID{}, AuthTime: signed.UTC().Format(canon.TimeLayout)}
		})
		return id
	}
	approved := func(f *forger, by string) gov.IncidentID { return approvedAt(f, by, time.Now()) }
	for name, c := range map[string]struct {
		build func(f *forger)
		want  []string
	}{
		"worked to its end": {func(f *forger) { step(f, approved(f, "p_root"), "p_omar", gov.StepClosed, gov.IncidentClosed, nil) }, nil},
		"closed without a report": {func(f *forger) { step(f, resolved(f), "p_omar", gov.StepClosed, gov.IncidentClosed, nil) },
			[]string{"closes with a report"}},
		"a report approved by its author":      {func(f *forger) { approved(f, "p_lena") }, []string{"nobody approves their own"}},
		"a report approved by the owner":       {func(f *forger) { approved(f, "p_omar") }, []string{"you own the incident"}},
		"a report approved by a stale sign-in": {func(f *forger) { approvedAt(f, "p_root", time.Now().Add(-24*time.Hour)) }, []string{"rests on a sign-in of"}},
		"resolved before anybody looked": {func(f *forger) { step(f, signal(f, "k", nil), "p_omar", gov.StepResolved, gov.IncidentResolved, nil) },
			[]string{"is new: resolved cannot follow"}},
		"dismissed by its owner": {func(f *forger) {
			id := signal(f, "k", nil)
			step(f, id, "p_omar", gov.StepAck, gov.IncidentTriage, nil)
			step(f, id, "p_omar", gov.StepDismissed, gov.IncidentDismissed, func(e *canon.IncidentEvent) { e.Reason = gov.DismissedBenign })
		}, []string{"somebody else than its owner"}},
		"lowered and dismissed by the same": {func(f *forger) {
			id := signal(f, "k", nil)
			step(f, id, "p_omar", gov.StepAck, gov.IncidentTriage, nil)
			step(f, id, "p_omar", gov.StepSeverity, gov.IncidentTriage, func(e *canon.IncidentEvent) { e.Severity = gov.SeverityLow })
			step(f, id, "p_omar", gov.StepDismissed, gov.IncidentDismissed, func(e *canon.IncidentEvent) { e.Reason, e.Severity = gov.DismissedBenign, gov.SeverityLow })
		}, []string{"somebody else than its owner"}},
		"in somebody's name": {func(f *forger) {
			step(f, signal(f, "k", nil), "p_omar", gov.StepAck, gov.IncidentTriage, func(e *canon.IncidentEvent) { e.Person = "p_lena" })
		}, []string{"an act of p_lena, recorded by person p_omar"}},
		"told by on_call, and acknowledged in a pager": {func(f *forger) {
			id := signal(f, "k", nil)
			told(f, id, aSystem(), 0, nil)
			told(f, id, aSystem(), 900, nil)
			step(f, id, "", gov.StepAck, gov.IncidentTriage, func(e *canon.IncidentEvent) { e.Via, e.Commitments = &canon.Via{Channel: "pager", User: "P1"}, nil })
		}, []string{"which Writ itself does, recorded by person"}},
		"told twice": {func(f *forger) {
			id := signal(f, "k", nil)
			told(f, id, aSystem(), 900, nil)
			told(f, id, aSystem(), 900, nil)
		}, []string{"was told after 900 seconds"}},
		"told of what somebody has": {func(f *forger) {
			id := signal(f, "k", nil)
			step(f, id, "p_omar", gov.StepAck, gov.IncidentTriage, nil)
			told(f, id, aSystem(), 0, func(e *canon.IncidentEvent) { e.State = gov.IncidentTriage })
		}, []string{"is triage: alert.notified cannot follow"}},
		"told by a person": {func(f *forger) { told(f, signal(f, "k", nil), aPerson("p_omar"), 0, nil) }, []string{"which Writ itself does"}},
		"told in somebody's name": {func(f *forger) {
			told(f, signal(f, "k", nil), aSystem(), 0, func(e *canon.IncidentEvent) { e.Person = "p_omar" })
		}, []string{"by nobody who signed in, and names p_omar"}},
		"resolved in a pager": {func(f *forger) {
			told(f, resolved(f), aSystem(), 0, func(e *canon.IncidentEvent) {
				e.Event, e.State, e.Alert, e.Via = gov.StepClosed, gov.IncidentClosed, nil, &canon.Via{Channel: "pager", User: "P1"}
			})
		}, []string{"only an acknowledgement comes back through a channel"}},
		"by nobody": {func(f *forger) {
			step(f, signal(f, "k", nil), "", gov.StepAck, gov.IncidentTriage, nil)
		}, []string{"by nobody"}},
		"said to lead elsewhere": {func(f *forger) { step(f, signal(f, "k", nil), "p_omar", gov.StepAck, gov.IncidentActive, nil) },
			[]string{"comes out as triage"}},
		"of an incident that there is not": {func(f *forger) { step(f, "inc_x", "p_omar", gov.StepAck, gov.IncidentTriage, nil) },
			[]string{"which nothing had opened"}},
		"opened twice":               {func(f *forger) { signal(f, "k", nil); signal(f, "k", nil) }, []string{"of the same key was open"}},
		"a drill and the real thing": {func(f *forger) { signal(f, "k", nil); signal(f, "k", func(s *canon.Signal) { s.Exercise = true }) }, nil},
		"joined a drill": {func(f *forger) {
			id := signal(f, "k", func(s *canon.Signal) { s.Exercise = true })
			signal(f, "k", func(s *canon.Signal) { s.Incident = id })
		}, []string{"is an exercise"}},
		"joined another key's": {func(f *forger) {
			id := signal(f, "k", nil)
			signal(f, "l", func(s *canon.Signal) { s.Incident = id })
		}, []string{"about something else"}},
		"a signal by a person": {func(f *forger) {
			f.append(canon.KindSignal, aPerson("p_omar"), canon.Signal{Detector: "d", Severity: 1, Key: "k", Entries: []gov.EntryID{}})
		}, []string{"a signal, recorded by person"}},
		"merged into itself": {func(f *forger) {
			id := signal(f, "k", nil)
			step(f, id, "p_omar", gov.StepMerged, gov.IncidentMerged, func(e *canon.IncidentEvent) { e.Into = id })
		}, []string{"must be another incident"}},
		"merged, and signals follow": {func(f *forger) {
			a, b := signal(f, "k", nil), signal(f, "l", nil)
			step(f, a, "p_omar", gov.StepMerged, gov.IncidentMerged, func(e *canon.IncidentEvent) { e.Into = b })
			signal(f, "k", func(s *canon.Signal) { s.Incident = b })
		}, nil},
		"merged, and a signal does not": {func(f *forger) {
			a, b := signal(f, "k", nil), signal(f, "l", nil)
			step(f, a, "p_omar", gov.StepMerged, gov.IncidentMerged, func(e *canon.IncidentEvent) { e.Into = b })
			signal(f, "k", func(s *canon.Signal) { s.Incident = a })
		}, []string{"was merged into"}},
		"reopened beside another": {func(f *forger) {
			id := resolved(f)
			signal(f, "k", nil)
			step(f, id, "p_omar", gov.StepReopened, gov.IncidentActive, nil)
		}, []string{"was reopened, and"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, _, _ := base.forged(t)
			c.build(f)
			f.wants(c.want...)
		})
	}
}
