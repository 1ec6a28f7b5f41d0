package state_test

import (
	"strings"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/state"
)

// TestWhatMayFollowInAnIncident is the whole state machine: what is not listed is refused.
func TestWhatMayFollowInAnIncident(t *testing.T) {
	t.Parallel()
	const open = "new triage active contained"
	stay := func(in string) string {
		var out []string
		for from := range strings.FieldsSeq(in) {
			out = append(out, from+">"+from)
		}
		return strings.Join(out, " ")
	}
	to := func(in, state string) string { return strings.ReplaceAll(in+" ", " ", ">"+state+" ") }
	always, until := stay(open+" resolved closed dismissed"), stay(open+" resolved")
	table := map[gov.IncidentStep]string{
		gov.StepAck: "new>triage", gov.StepDeclared: "new>active triage>active contained>active", gov.StepResolved: "active>resolved contained>resolved",
		gov.StepDismissed: "new>dismissed triage>dismissed", gov.StepMerged: to(open, "merged"),
		gov.StepReopened: "resolved>active closed>active dismissed>triage", gov.StepClosed: "resolved>closed",
		gov.StepKillSwitch: to(open, "contained"), gov.StepRollback: to(open, "contained"), gov.StepRevoked: to(open, "contained"),
		gov.StepLimited: to(open, "contained"), gov.StepContained: to(open, "contained"),
		gov.StepContaining: stay("triage active contained"), gov.StepEradicated: stay("triage active contained"),
		gov.StepSeverity: until, gov.StepOwner: until, gov.StepDrafted: until, gov.StepApproved: until,
		gov.StepNote: always, gov.StepDecision: always, gov.StepEvidence: always, gov.StepToldInside: always, gov.StepToldOutside: always,
		gov.StepAssessed: always, gov.StepAction: always, gov.StepActionDone: always, gov.StepNotified: stay("new"),
	}
	for _, step := range gov.IncidentSteps() {
		want, listed := table[step]
		if !listed {
			t.Errorf("%s is not in the table", step)
		}
		moves := map[gov.IncidentState]gov.IncidentState{}
		for move := range strings.FieldsSeq(want) {
			from, to, _ := strings.Cut(move, ">")
			moves[gov.IncidentState(from)] = gov.IncidentState(to)
		}
		for _, from := range gov.IncidentStates() {
			got, err := state.Incident{ID: "inc_x", State: from, Severity: gov.SeverityLow}.After(step)
			if to, may := moves[from]; may != (err == nil) || may && got != to {
				t.Errorf("%s when %s: %s, %v; want %q", step, from, got, err, to)
			}
		}
	}
	if _, err := (state.Incident{State: gov.IncidentNew}).After("unmade"); gov.CodeOf(err) != gov.CodeInvalidField {
		t.Errorf("a step that there is not: %v", err)
	}
	if _, err := (state.Incident{State: gov.IncidentNew, Steps: make([]int64, state.IncidentStepsMax)}).After(gov.StepNote); gov.CodeOf(err) != gov.CodeConflict {
		t.Errorf("a timeline without end: %v", err)
	}
}

// TestTheTimesOfAnIncident: by the ledger's clock, or earlier where a person says so, but never before the incident.
func TestTheTimesOfAnIncident(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	at := func(minutes int) gov.Place {
		return gov.Place{ID: "ent_x", Index: int64(minutes), At: began.Add(time.Duration(minutes) * time.Minute)}
	}
	text := func(minutes int) string { return at(minutes).At.Format(canon.TimeLayout) }
	i := state.OpenIncident(gov.Place{ID: "sig_x", At: began}, canon.Signal{Severity: gov.SeverityMedium, Key: "k", Summary: "x"})
	step := func(minutes int, event gov.IncidentStep, effective string) {
		t.Helper()
		to, err := i.After(event)
		if err != nil {
			t.Fatal(err)
		}
		i, err = i.Take(at(minutes), canon.IncidentEvent{
			Event: event, State: to, Severity: i.Severity, EffectiveAt: effective, Person: "p_x", Refs: []string{"swi_x"}, Commitments: map[canon.Group]canon.Commitment{canon.GroupText: "00"},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	step(1, gov.StepKillSwitch, "") // whoever contains it has seen it, and owns it
	if i.AcknowledgedAt != text(1) || i.DeclaredAt != text(1) || i.ContainedAt != text(1) || i.Owner != "p_x" || i.EndedAt != "" {
		t.Errorf("contained at once: %+v", i)
	}
	step(2, gov.StepDeclared, "") // it did not hold
	if i.ContainedAt != "" || i.State != gov.IncidentActive {
		t.Errorf("not contained after all: %+v", i)
	}
	step(9, gov.StepContained, text(5))
	step(20, gov.StepResolved, text(-60))
	if i.ContainedAt != text(5) || i.ResolvedAt != text(0) || i.EndedAt != text(20) {
		t.Errorf("said to be earlier: contained %s, resolved %s, ended %s", i.ContainedAt, i.ResolvedAt, i.EndedAt)
	}
	step(30, gov.StepReopened, "")
	if i.ResolvedAt != "" || i.EndedAt != "" || i.Reopened != 1 || i.AcknowledgedAt != text(1) {
		t.Errorf("reopened: %+v", i)
	}
	late := canon.IncidentEvent{Event: gov.StepNote, State: i.State, Severity: i.Severity, EffectiveAt: text(99), Commitments: map[canon.Group]canon.Commitment{canon.GroupText: "00"}}
	if _, err := i.Take(at(31), late); gov.CodeOf(err) != gov.CodeInvalidField {
		t.Errorf("what is to come: %v", err)
	}
}

func TestAnIncidentKeepsTheNewestSignals(t *testing.T) {
	t.Parallel()
	signal := canon.Signal{Severity: gov.SeverityLow, Key: "k", Summary: "x"}
	i := state.OpenIncident(gov.Place{ID: "sig_0"}, signal)
	first := i
	for n := range 250 {
		var err error
		if i, err = i.Join(gov.Place{ID: gov.EntryID("sig_" + strings.Repeat("1", n+1))}, signal); err != nil {
			t.Fatal(err)
		}
	}
	if len(i.Signals) != state.IncidentSignalsKept || i.Count != 251 || len(i.Signals[99]) != len("sig_")+250 || len(first.Signals) != 1 {
		t.Errorf("%d signals of %d are kept, the last %s; of the first incident %v", len(i.Signals), i.Count, i.Signals[99], first.Signals)
	}
	signal.Severity = gov.SeverityCritical
	if worse, err := i.Join(gov.Place{ID: "sig_w"}, signal); err != nil || worse.Severity != gov.SeverityCritical {
		t.Errorf("%d, %v", worse.Severity, err)
	}
	i.State = gov.IncidentResolved
	if over, err := i.Join(gov.Place{ID: "sig_w"}, signal); err != nil || over.Severity != gov.SeverityLow || over.Flapping != 1 || over.State != gov.IncidentResolved {
		t.Errorf("%+v, %v", over, err)
	}
}
