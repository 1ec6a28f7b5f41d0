package gov

import "strings"

// DetectorID names a detector: one way to notice that something is wrong.
type DetectorID string

// Severity is how bad a signal or an incident is, from 1, the worst, to 4.
type Severity int

// The severities.
const (
	SeverityCritical Severity = 1 // harm is done or about to be
	SeverityHigh     Severity = 2 // somebody has to look now
	SeverityMedium   Severity = 3 // somebody has to look today
	SeverityLow      Severity = 4 // worth knowing
)

// Valid says whether s is one of the severities.
func (s Severity) Valid() bool { return s >= SeverityCritical && s <= SeverityLow }

// IncidentID names an incident: inc_ and the characters of the id of the entry that opened it.
type IncidentID string

const incidentPrefix = "inc_"

// IncidentOf is the incident that an entry opened: a signal, or a person who reported one.
func IncidentOf(id EntryID) IncidentID {
	_, rest, _ := strings.Cut(string(id), "_")
	return IncidentID(incidentPrefix + rest)
}

// Opener gives the ids that the entry which opened the incident may have: of a signal, or of what a person reported.
func (id IncidentID) Opener() (signal, reported EntryID, ok bool) {
	rest, ok := strings.CutPrefix(string(id), incidentPrefix)
	return EntryID("sig_" + rest), EntryID("rep_" + rest), ok && rest != ""
}

// IncidentState is how far an incident has come.
type IncidentState string

// The states. From new an incident goes to triage, active, contained, resolved and closed; it may be dismissed before it is active,
// merged while it is open, and reopened after it was resolved or dismissed. state.Incident has the table.
const (
	IncidentNew       IncidentState = "new"
	IncidentTriage    IncidentState = "triage" // somebody looks at it
	IncidentActive    IncidentState = "active" // it is one
	IncidentContained IncidentState = "contained"
	IncidentResolved  IncidentState = "resolved"
	IncidentClosed    IncidentState = "closed"
	IncidentDismissed IncidentState = "dismissed" // it is none, with a reason
	IncidentMerged    IncidentState = "merged"    // into another one
)

// IncidentStates lists every state.
func IncidentStates() []IncidentState {
	return []IncidentState{
		IncidentNew, IncidentTriage, IncidentActive, IncidentContained, IncidentResolved, IncidentClosed, IncidentDismissed, IncidentMerged,
	}
}

// Valid says whether s is one of the states.
func (s IncidentState) Valid() bool {
	for _, known := range IncidentStates() {
		if s == known {
			return true
		}
	}
	return false
}

// Open says whether signals of the same key join the incident.
func (s IncidentState) Open() bool {
	switch s {
	case IncidentNew, IncidentTriage, IncidentActive, IncidentContained:
		return true
	case IncidentResolved, IncidentClosed, IncidentDismissed, IncidentMerged:
	}
	return false
}

// IncidentStep is what happened in a step of an incident's timeline.
type IncidentStep string

// The steps.
const (
	StepAck         IncidentStep = "ack" // somebody looks at it and owns it
	StepNote        IncidentStep = "note"
	StepSeverity    IncidentStep = "severity.changed"
	StepOwner       IncidentStep = "owner.changed"
	StepDeclared    IncidentStep = "declared"            // it is one, or goes on being one: what contained it did not hold
	StepContaining  IncidentStep = "containment.started" // somebody works on it
	StepKillSwitch  IncidentStep = "containment.kill_switch"
	StepRollback    IncidentStep = "containment.policy_rollback"
	StepRevoked     IncidentStep = "containment.credential_revoked"
	StepLimited     IncidentStep = "containment.limit"
	StepContained   IncidentStep = "containment.other" // by means outside of Writ
	StepEradicated  IncidentStep = "eradicated"        // its cause is gone
	StepResolved    IncidentStep = "resolved"
	StepDismissed   IncidentStep = "dismissed"
	StepMerged      IncidentStep = "merged"
	StepReopened    IncidentStep = "reopened"
	StepClosed      IncidentStep = "closed"
	StepDecision    IncidentStep = "decision.linked"
	StepEvidence    IncidentStep = "evidence.attached"
	StepToldInside  IncidentStep = "comms.internal"
	StepToldOutside IncidentStep = "comms.external"
	StepAssessed    IncidentStep = "disclosure.assessed"
	StepDrafted     IncidentStep = "report.drafted"
	StepApproved    IncidentStep = "report.approved"
	StepAction      IncidentStep = "action.created"
	StepActionDone  IncidentStep = "action.closed"
	StepNotified    IncidentStep = "alert.notified" // nobody acknowledged it so far: a step of on_call, by Writ itself
)

// IncidentSteps lists every step.
func IncidentSteps() []IncidentStep {
	return []IncidentStep{
		StepAck, StepNote, StepSeverity, StepOwner, StepDeclared, StepContaining, StepKillSwitch, StepRollback, StepRevoked, StepLimited,
		StepContained, StepEradicated, StepResolved, StepDismissed, StepMerged, StepReopened, StepClosed, StepDecision, StepEvidence,
		StepToldInside, StepToldOutside, StepAssessed, StepDrafted, StepApproved, StepAction, StepActionDone, StepNotified,
	}
}

// Contains says whether the step is one that stops the harm.
func (s IncidentStep) Contains() bool {
	switch s {
	case StepKillSwitch, StepRollback, StepRevoked, StepLimited, StepContained:
		return true
	default:
		return false
	}
}

// Dismissal is why an incident is none, as a code that can be counted.
type Dismissal string

// The reasons of a dismissal.
const (
	DismissedFalsePositive Dismissal = "false_positive" // the detector is wrong
	DismissedDuplicate     Dismissal = "duplicate"
	DismissedBenign        Dismissal = "benign" // it happened, and is as it should be
	DismissedTest          Dismissal = "test"
)

// Valid says whether d is one of the reasons.
func (d Dismissal) Valid() bool {
	switch d {
	case DismissedFalsePositive, DismissedDuplicate, DismissedBenign, DismissedTest:
		return true
	}
	return false
}
