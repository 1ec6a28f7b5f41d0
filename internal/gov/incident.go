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

// The states. From new an incident goes to triage, active, contained, resolved and closed; it may be dismissed or merged before it
// is active, and reopened after it was resolved.
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
