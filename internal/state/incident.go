package state

import (
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// Bounds of an incident.
const (
	IncidentSignalsKept = 100                // of the newest signals, by id; all of them are in the ledger
	IncidentStepsMax    = 2000               // of its timeline, signals aside
	severityFourEyes    = gov.SeverityHigh   // from here on, the worst, one person does not end it alone
	severityAssessed    = gov.SeverityMedium // from here on it closes with an assessment of what it touched
	dismissalByOther    = "it takes somebody else than its owner to dismiss an incident of severity 1 or 2, or one whose severity they lowered from there: let them look at it"
	closeWithoutReport  = "an incident of severity 1 or 2, or one whose severity you lowered from there, closes with a report that somebody else approved"
	closeWithoutAnswers = "an incident of severity 1 to 3 closes when somebody has assessed what it touched and who has to be told"
)

// Incident is an incident as the entries about it add up to.
type Incident struct {
	ID       gov.IncidentID    `json:"id"`
	State    gov.IncidentState `json:"state"`
	Severity gov.Severity      `json:"severity"`
	Exercise bool              `json:"exercise,omitzero"`
	Title    string            `json:"title"`

	Detector  gov.DetectorID `json:"detector,omitempty"` // of the signal that opened it
	Reporter  string         `json:"reporter,omitempty"` // the person who reported it: opaque reference
	Keys      []string       `json:"keys,omitempty"`     // signals of these join it: its own, and those of what was merged into it
	Agent     gov.AgentID    `json:"agent,omitempty"`
	Tool      gov.ToolName   `json:"tool,omitempty"`
	Principal string         `json:"principal,omitempty"` // type:ref
	Session   gov.SessionID  `json:"session,omitempty"`

	Opened         int64  `json:"opened"`                // index of the entry that opened it
	OccurredAt     string `json:"occurred_at,omitempty"` // TimeLayout, as all times here; when what it is about began, if that is known
	OpenedAt       string `json:"opened_at"`             // of that entry
	AcknowledgedAt string `json:"acknowledged_at,omitempty"`
	DeclaredAt     string `json:"declared_at,omitempty"`
	ContainedAt    string `json:"contained_at,omitempty"`
	EradicatedAt   string `json:"eradicated_at,omitempty"`
	ResolvedAt     string `json:"resolved_at,omitempty"`
	ClosedAt       string `json:"closed_at,omitempty"`
	EndedAt        string `json:"ended_at,omitempty"` // by the ledger's clock: when it stopped to be open

	Count        int64         `json:"count"`             // signals
	Flapping     int64         `json:"flapping,omitzero"` // of these, how many came when it was not open any more
	Signals      []gov.EntryID `json:"signals,omitempty"` // the newest, oldest first
	LastSignalAt string        `json:"last_signal_at,omitempty"`
	Steps        []int64       `json:"steps,omitempty"` // indexes of the entries of its timeline, signals aside

	Owner     string            `json:"owner,omitempty"` // opaque reference
	Lowered   string            `json:"lowered,omitempty"`
	Assessed  *canon.Assessment `json:"assessed,omitempty"`
	Draft     *IncidentReport   `json:"draft,omitempty"`
	Approved  *IncidentApproval `json:"approved,omitempty"`
	Actions   []IncidentAction  `json:"actions,omitempty"`
	Contained []string          `json:"contained,omitempty"` // ids of the switches, changes and credentials that contained it
	Decisions []string          `json:"decisions,omitempty"` // that people linked
	Told      int               `json:"told,omitzero"`       // communications
	Reason    gov.Dismissal     `json:"reason,omitempty"`
	Into      gov.IncidentID    `json:"into,omitempty"`
	Merged    []gov.IncidentID  `json:"merged,omitempty"`  // into it
	Earlier   gov.IncidentID    `json:"earlier,omitempty"` // the one of the same key before it
	Reopened  int               `json:"reopened,omitzero"`
	Alerts    []IncidentAlert   `json:"alerts,omitempty"` // steps of on_call that were taken, in their order
}

// IncidentAlert is a step of on_call that was taken: each once.
type IncidentAlert struct {
	Severity     gov.Severity `json:"severity"` // whose on_call it is
	AfterSeconds int64        `json:"after_seconds"`
}

// IncidentReport is the newest draft of the report of an incident.
type IncidentReport struct {
	ID gov.EntryID `json:"id"` // of the entry that has its text
	By []string    `json:"by"` // everybody who wrote a draft; sorted
	At string      `json:"at"`
}

// IncidentApproval is who approved the newest draft.
type IncidentApproval struct {
	By string `json:"by"`
	At string `json:"at"`
}

// IncidentAction is something that is to be done so that it does not happen again.
type IncidentAction struct {
	ID       gov.EntryID `json:"id"` // of the entry that created it
	Owner    string      `json:"owner"`
	Due      string      `json:"due"`
	Changes  []string    `json:"changes,omitempty"` // ids of what it changes
	ClosedAt string      `json:"closed_at,omitempty"`
}

// OpenIncident is the incident that a signal opens.
func OpenIncident(at gov.Place, s canon.Signal) Incident {
	when := at.At.UTC().Format(canon.TimeLayout)
	return Incident{
		ID: gov.IncidentOf(at.ID), State: gov.IncidentNew, Severity: s.Severity, Exercise: s.Exercise, Title: s.Summary, Detector: s.Detector, Keys: []string{s.Key},
		Agent: s.Agent, Tool: s.Tool, Principal: s.Principal, Session: s.Session, Opened: at.Index, OpenedAt: when,
		Count: 1, Signals: []gov.EntryID{at.ID}, LastSignalAt: when,
	}
}

// ReportIncident is the incident that a person reports.
func ReportIncident(at gov.Place, r canon.IncidentReported) Incident {
	i := Incident{
		ID: gov.IncidentOf(at.ID), State: gov.IncidentNew, Severity: r.Severity, Exercise: r.Exercise, Title: r.Title, Reporter: r.Person, Agent: r.Agent,
		Opened: at.Index, OccurredAt: r.EffectiveAt, OpenedAt: at.At.UTC().Format(canon.TimeLayout), Steps: []int64{at.Index},
	}
	for _, id := range r.Entries {
		i.Decisions = append(i.Decisions, string(id))
	}
	return i
}

// Join is the incident with one more signal. One that is not open any more stays as it is, and counts it as flapping.
func (i Incident) Join(at gov.Place, s canon.Signal) (Incident, error) {
	switch {
	case i.State == gov.IncidentMerged:
		return i, conflict("%s was merged into %s: signals join that one", i.ID, i.Into)
	case i.Exercise != s.Exercise:
		return i, conflict("%s is %s, and the signal is not", i.ID, map[bool]string{true: "an exercise", false: "no exercise"}[i.Exercise])
	case !slices.Contains(i.Keys, s.Key):
		return i, conflict("%s is about something else than %q", i.ID, s.Key)
	}
	from := max(0, len(i.Signals)+1-IncidentSignalsKept)
	i.Signals = append(slices.Clone(i.Signals[from:]), at.ID)
	i.Count++
	i.LastSignalAt = at.At.UTC().Format(canon.TimeLayout)
	if !i.State.Open() {
		i.Flapping++
		return i, nil
	}
	i.Severity = min(i.Severity, s.Severity)
	return i, nil
}

// move is where a step may begin and where it leads; an empty to stays.
type move struct {
	from []gov.IncidentState
	to   gov.IncidentState
}

var (
	incidentOpen  = []gov.IncidentState{gov.IncidentNew, gov.IncidentTriage, gov.IncidentActive, gov.IncidentContained}
	incidentDone  = []gov.IncidentState{gov.IncidentResolved, gov.IncidentClosed, gov.IncidentDismissed}
	incidentAny   = slices.Concat(incidentOpen, incidentDone)
	incidentWorks = slices.Concat(incidentOpen, []gov.IncidentState{gov.IncidentResolved})
)

// moveOf is the state machine.
func moveOf(step gov.IncidentStep) (move, bool) {
	if step.Contains() {
		return move{incidentOpen, gov.IncidentContained}, true
	}
	switch step {
	case gov.StepAck:
		return move{incidentOpen[:1], gov.IncidentTriage}, true
	case gov.StepNotified:
		return move{incidentOpen[:1], ""}, true
	case gov.StepDeclared:
		return move{[]gov.IncidentState{gov.IncidentNew, gov.IncidentTriage, gov.IncidentContained}, gov.IncidentActive}, true
	case gov.StepResolved:
		return move{[]gov.IncidentState{gov.IncidentActive, gov.IncidentContained}, gov.IncidentResolved}, true
	case gov.StepDismissed:
		return move{[]gov.IncidentState{gov.IncidentNew, gov.IncidentTriage}, gov.IncidentDismissed}, true
	case gov.StepMerged:
		return move{incidentOpen, gov.IncidentMerged}, true
	case gov.StepReopened:
		return move{incidentDone, gov.IncidentActive}, true
	case gov.StepClosed:
		return move{incidentDone[:1], gov.IncidentClosed}, true
	case gov.StepContaining, gov.StepEradicated:
		return move{[]gov.IncidentState{gov.IncidentTriage, gov.IncidentActive, gov.IncidentContained}, ""}, true
	case gov.StepSeverity, gov.StepOwner, gov.StepDrafted, gov.StepApproved:
		return move{incidentWorks, ""}, true
	case gov.StepNote, gov.StepDecision, gov.StepEvidence, gov.StepToldInside, gov.StepToldOutside, gov.StepAssessed, gov.StepAction, gov.StepActionDone:
		return move{incidentAny, ""}, true
	default:
		return move{}, false
	}
}

// After is the state that a step leads to, if it may be taken.
func (i Incident) After(step gov.IncidentStep) (gov.IncidentState, error) {
	m, known := moveOf(step)
	switch {
	case !known:
		return i.State, &gov.Error{Code: gov.CodeInvalidField, Path: "/event", Detail: fmt.Sprintf("%q is no step of an incident", step)}
	case !slices.Contains(m.from, i.State):
		return i.State, conflict("%s is %s: %s cannot follow", i.ID, i.State, step)
	case len(i.Steps) >= IncidentStepsMax:
		return i.State, conflict("%s has %d steps, which is all that one incident has", i.ID, IncidentStepsMax)
	case step == gov.StepReopened && i.State == gov.IncidentDismissed:
		return gov.IncidentTriage, nil
	case m.to == "":
		return i.State, nil
	}
	return m.to, nil
}

// Check says why a step cannot follow, by whoever takes it; at is when. The error is a *gov.Error.
func (i Incident) Check(at time.Time, ev canon.IncidentEvent) error {
	if _, err := i.After(ev.Event); err != nil {
		return err
	}
	if err := i.checkTime(at, ev); err != nil {
		return err
	}
	if _, said := ev.Commitments[canon.GroupText]; !said && needsText(ev.Event) {
		return invalid("/text", "say why: %s takes a text", ev.Event)
	}
	if err := i.checkSystem(ev); err != nil {
		return err
	}
	switch ev.Event {
	case gov.StepSeverity:
		if !ev.Severity.Valid() || ev.Severity == i.Severity {
			return invalid("/severity", "must be another one, from 1, the worst, to 4")
		}
	case gov.StepOwner:
		if ev.Owner == "" || ev.Owner == i.Owner {
			return invalid("/owner", "must be somebody else, user:ID")
		}
	case gov.StepDismissed:
		return i.checkDismissal(ev)
	case gov.StepMerged:
		if ev.Into == "" || ev.Into == i.ID {
			return invalid("/into", "must be another incident")
		}
	case gov.StepClosed:
		return i.checkClose(ev.Person)
	case gov.StepApproved:
		return i.checkApproval(ev)
	case gov.StepAssessed:
		if ev.Assessment == nil {
			return invalid("/assessment", "is missing")
		}
	case gov.StepAction, gov.StepActionDone:
		return i.checkAction(ev)
	case gov.StepDecision, gov.StepKillSwitch, gov.StepRollback, gov.StepRevoked:
		if len(ev.Refs) == 0 {
			return invalid("/refs", "name what it is about, by id")
		}
	default:
	}
	return nil
}

// checkSystem keeps what Writ records itself apart from what people do.
func (i Incident) checkSystem(ev canon.IncidentEvent) error {
	switch {
	case ev.System() && ev.Person != "":
		return conflict("%s is by nobody who signed in, and names %s", ev.Event, ev.Person)
	case (ev.Alert != nil) != (ev.Event == gov.StepNotified):
		return invalid("/event", "%s is a step of on_call, which Writ takes itself", gov.StepNotified)
	case ev.Via != nil && ev.Event != gov.StepAck:
		return conflict("only an acknowledgement comes back through a channel, and this is %s", ev.Event)
	case ev.Alert != nil && i.Alerted(ev.Severity, ev.Alert.AfterSeconds):
		return conflict("%s was told after %d seconds of severity %d before", i.ID, ev.Alert.AfterSeconds, ev.Severity)
	}
	return nil
}

// Alerted says whether a step of on_call was taken.
func (i Incident) Alerted(severity gov.Severity, afterSeconds int64) bool {
	return slices.Contains(i.Alerts, IncidentAlert{severity, afterSeconds})
}

// needsText says whether a step takes a reason or a content.
func needsText(step gov.IncidentStep) bool {
	switch step {
	case gov.StepNote, gov.StepSeverity, gov.StepDismissed, gov.StepMerged, gov.StepReopened, gov.StepResolved, gov.StepContained, gov.StepEvidence,
		gov.StepToldInside, gov.StepToldOutside, gov.StepAssessed, gov.StepDrafted, gov.StepAction:
		return true
	default:
		return false
	}
}

func (i Incident) checkTime(at time.Time, ev canon.IncidentEvent) error {
	for path, value := range map[string]string{"/effective_at": ev.EffectiveAt, "/due": ev.Due} {
		if value == "" {
			continue
		}
		t, err := time.Parse(canon.TimeLayout, value)
		if err != nil {
			return invalid(path, "is no time")
		}
		if path == "/effective_at" && t.After(at) {
			return invalid(path, "is to come")
		}
	}
	return nil
}

// fourEyes says whether one person may not end the incident alone: it is bad, or it is they who say that it is not.
func (i Incident) fourEyes(person string) bool {
	return i.Severity <= severityFourEyes || i.Lowered != "" && i.Lowered == person
}

func (i Incident) checkDismissal(ev canon.IncidentEvent) error {
	switch {
	case !ev.Reason.Valid():
		return invalid("/reason", "must be false_positive, duplicate, benign or test")
	case i.fourEyes(ev.Person) && (i.Owner == "" || i.Owner == ev.Person):
		return &gov.Error{Code: gov.CodeNotEligible, Detail: dismissalByOther}
	}
	return nil
}

func (i Incident) checkClose(person string) error {
	switch {
	case i.fourEyes(person) && i.Approved == nil:
		return conflict(closeWithoutReport)
	case i.Severity <= severityAssessed && i.Assessed == nil:
		return conflict(closeWithoutAnswers)
	}
	return nil
}

func (i Incident) checkApproval(ev canon.IncidentEvent) error {
	switch {
	case ev.SignIn == nil:
		return conflict("it does not say how %s had signed in", ev.Person)
	case i.Draft == nil:
		return conflict("there is no report yet")
	case len(ev.Refs) != 1 || ev.Refs[0] != string(i.Draft.ID):
		return conflict("the report is another one by now: read %s", i.Draft.ID)
	case slices.Contains(i.Draft.By, ev.Person):
		return &gov.Error{Code: gov.CodeNotEligible, Detail: "you wrote in this report, and nobody approves their own"}
	case i.Owner == ev.Person:
		return &gov.Error{Code: gov.CodeNotEligible, Detail: "you own the incident: somebody else approves its report"}
	}
	return nil
}

func (i Incident) checkAction(ev canon.IncidentEvent) error {
	if ev.Event == gov.StepAction {
		switch {
		case ev.Owner == "":
			return invalid("/owner", "say who does it, user:ID")
		case ev.Due == "":
			return invalid("/due", "say until when")
		}
		return nil
	}
	for _, a := range i.Actions {
		if slices.Contains(ev.Refs, string(a.ID)) && a.ClosedAt == "" {
			return nil
		}
	}
	return invalid("/refs", "name an action of this incident that is open, by its id")
}

// Take is the incident after a step. The entry must say what the step leads to. The error is a *gov.Error.
func (i Incident) Take(at gov.Place, ev canon.IncidentEvent) (Incident, error) {
	if err := i.Check(at.At, ev); err != nil {
		return i, err
	}
	to, err := i.After(ev.Event)
	if err != nil {
		return i, err
	}
	if ev.State != to || ev.Event != gov.StepSeverity && ev.Severity != i.Severity {
		return i, conflict("%s comes out as %s of severity %d after %s", i.ID, to, i.Severity, ev.Event)
	}
	i.Steps = append(slices.Clone(i.Steps), at.Index)
	recorded := at.At.UTC().Format(canon.TimeLayout)
	i.note(at.ID, recorded, ev)
	i.stamp(recorded, to, ev)
	i.State = to
	return i, nil
}

// stamp sets the times of the states. What happened before it was recorded has the earlier time, but none before the incident.
func (i *Incident) stamp(recorded string, to gov.IncidentState, ev canon.IncidentEvent) {
	when := recorded
	if ev.EffectiveAt != "" {
		when = max(ev.EffectiveAt, i.OpenedAt)
	}
	first := func(t *string) {
		if *t == "" {
			*t = when
		}
	}
	if i.State == gov.IncidentNew && to != gov.IncidentNew && to != gov.IncidentMerged {
		first(&i.AcknowledgedAt) // whoever takes it further has seen it
		if i.Owner == "" && to != gov.IncidentDismissed {
			i.Owner = ev.Person
		}
	}
	if i.State.Open() && !to.Open() {
		i.EndedAt = recorded
	}
	switch {
	case ev.Event == gov.StepDeclared:
		first(&i.DeclaredAt)
		i.ContainedAt = ""
	case ev.Event.Contains():
		first(&i.DeclaredAt)
		first(&i.ContainedAt)
	case ev.Event == gov.StepEradicated:
		i.EradicatedAt = when
	case ev.Event == gov.StepResolved:
		i.ResolvedAt = when
	case ev.Event == gov.StepClosed:
		i.ClosedAt = when
	case ev.Event == gov.StepReopened:
		i.ResolvedAt, i.ClosedAt, i.EndedAt, i.Reason, i.Approved = "", "", "", "", nil
		i.Reopened++
	}
}

// note takes in what a step says beside the state.
func (i *Incident) note(id gov.EntryID, recorded string, ev canon.IncidentEvent) {
	switch ev.Event {
	case gov.StepAck:
		if ev.Via == nil { // whoever answered a pager is not known here: the incident is nobody's, or whose it was
			i.Owner = ev.Person
		}
	case gov.StepNotified:
		i.Alerts = append(slices.Clone(i.Alerts), IncidentAlert{ev.Severity, ev.Alert.AfterSeconds})
	case gov.StepOwner:
		i.Owner = ev.Owner
	case gov.StepSeverity:
		if i.Severity <= severityFourEyes && ev.Severity > severityFourEyes {
			i.Lowered = ev.Person
		}
		i.Severity = ev.Severity
	case gov.StepDismissed:
		i.Reason = ev.Reason
	case gov.StepMerged:
		i.Into = ev.Into
	case gov.StepDecision:
		i.Decisions = append(slices.Clone(i.Decisions), ev.Refs...)
	case gov.StepToldInside, gov.StepToldOutside:
		i.Told++
	case gov.StepAssessed:
		i.Assessed = ev.Assessment
	case gov.StepDrafted:
		by := []string{ev.Person}
		if i.Draft != nil {
			by = append(by, i.Draft.By...)
		}
		slices.Sort(by)
		i.Draft, i.Approved = &IncidentReport{ID: id, By: slices.Compact(by), At: recorded}, nil
	case gov.StepApproved:
		i.Approved = &IncidentApproval{By: ev.Person, At: recorded}
	case gov.StepAction:
		i.Actions = append(slices.Clone(i.Actions), IncidentAction{ID: id, Owner: ev.Owner, Due: ev.Due, Changes: ev.Refs})
	case gov.StepActionDone:
		i.closeActions(recorded, ev)
	default:
		if ev.Event.Contains() {
			i.Contained = append(slices.Clone(i.Contained), ev.Refs...)
		}
	}
}

// closeActions closes those that a step names. What else it names is what they changed.
func (i *Incident) closeActions(recorded string, ev canon.IncidentEvent) {
	i.Actions = slices.Clone(i.Actions)
	var changes []string
	for _, ref := range ev.Refs {
		if !slices.ContainsFunc(i.Actions, func(a IncidentAction) bool { return string(a.ID) == ref }) {
			changes = append(changes, ref)
		}
	}
	for n, a := range i.Actions {
		if slices.Contains(ev.Refs, string(a.ID)) && a.ClosedAt == "" {
			i.Actions[n].ClosedAt = recorded
			i.Actions[n].Changes = slices.Concat(a.Changes, changes)
		}
	}
}

// Absorb is the incident with another one merged into it by an entry. The error is a *gov.Error.
func (i Incident) Absorb(at gov.Place, other Incident) (Incident, error) {
	switch {
	case !i.State.Open():
		return i, conflict("%s is %s: nothing is merged into it", i.ID, i.State)
	case i.Exercise != other.Exercise:
		return i, conflict("one of %s and %s is an exercise", i.ID, other.ID)
	case len(i.Steps) >= IncidentStepsMax:
		return i, conflict("%s has %d steps, which is all that one incident has", i.ID, IncidentStepsMax)
	}
	i.Merged = append(slices.Clone(i.Merged), other.ID)
	i.Keys = slices.Concat(i.Keys, other.Keys)
	i.Steps = append(slices.Clone(i.Steps), at.Index)
	i.Severity = min(i.Severity, other.Severity)
	return i, nil
}

func conflict(format string, args ...any) error {
	return &gov.Error{Code: gov.CodeConflict, Detail: fmt.Sprintf(format, args...)}
}

func invalid(path, format string, args ...any) error {
	return &gov.Error{Code: gov.CodeInvalidField, Path: path, Detail: fmt.Sprintf(format, args...)}
}
