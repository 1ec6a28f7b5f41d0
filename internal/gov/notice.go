package gov

import "time"

// ChannelID names a channel of the bundle through which people are told.
type ChannelID string

// ChannelType is how a channel tells.
type ChannelType string

// The types of channel.
const (
	ChannelSlack   ChannelType = "slack"   // an incoming webhook of Slack
	ChannelEmail   ChannelType = "email"   // SMTP
	ChannelWebhook ChannelType = "webhook" // a CloudEvent, signed

	ChannelPagerDuty    ChannelType = "pagerduty"    // Events API v2: incidents only
	ChannelAlertmanager ChannelType = "alertmanager" // its API v2, which others speak too: incidents only
)

// ChannelTypes lists every type of channel.
func ChannelTypes() []ChannelType {
	return []ChannelType{ChannelSlack, ChannelEmail, ChannelWebhook, ChannelPagerDuty, ChannelAlertmanager}
}

// Pages says whether channels of the type follow one incident to its end, rather than tell of events.
func (t ChannelType) Pages() bool { return t == ChannelPagerDuty || t == ChannelAlertmanager }

// Event is something that people are told of.
type Event string

// The events.
const (
	EventApprovalRequested Event = "approval_requested"
	EventApprovalDecided   Event = "approval_decided" // approved, denied, or expired since nobody did either
	EventChangeProposed    Event = "change_proposed"
	EventChangeActivated   Event = "change_activated"
	EventReviewOwed        Event = "review_owed" // a rollback is in force and somebody else has to look at it

	EventChangeNotActivated Event = "change_not_activated" // a scheduled change did not come into force when its time had come
	EventLimitWarning       Event = "limit_warning"        // a limit is used as far as its warn_at
	EventDetectorsSilent    Event = "detectors_silent"     // nobody answered a probe: nobody looks at what agents do
	EventIncidentOpened     Event = "incident_opened"
	EventIncidentEscalated  Event = "incident_escalated" // it is worse than it was
	EventIncidentChanged    Event = "incident_changed"   // people took it a step further

	// EventIncidentPaged is a step of on_call: nobody has acknowledged the incident so far. The step says which channels are told.
	EventIncidentPaged Event = "incident_paged"
)

// OfIncident says whether the event is about an incident.
func (e Event) OfIncident() bool {
	switch e {
	case EventIncidentOpened, EventIncidentEscalated, EventIncidentChanged, EventIncidentPaged:
		return true
	default:
		return false
	}
}

// Events lists every event that a channel may want.
func Events() []Event {
	return []Event{EventApprovalRequested, EventApprovalDecided, EventChangeProposed, EventChangeActivated, EventReviewOwed, EventChangeNotActivated, EventLimitWarning, EventDetectorsSilent, EventIncidentOpened, EventIncidentEscalated, EventIncidentChanged}
}

// Notice is what a channel tells of one event. It holds names and reasons, never the input of a call and no name of a person
// for whom it is made.
type Notice struct {
	ID          EntryID // of the entry that it tells of: the same on every attempt, so that receivers see a repetition
	Event       Event
	Environment Environment
	Source      string    // address of the ledger that has the entry
	Subject     string    // id of the request, the change or the incident
	At          time.Time // of the entry
	Title       string    // a sentence without its full stop, one line
	Agent       AgentID   // of a request
	Tool        ToolName  // of a request
	Why         []string  // messages of the policies that ask, or what the author of a change says
	Groups      []GroupID // who is asked
	Votes       int       // how many people have to agree; of a request
	Deadline    time.Time // until when they are asked, or zero
	State       string    // of the request, the change or the incident after the entry
	URL         string    // where to read on and answer
	Severity    Severity  // of an incident
	Exercise    bool      // of an incident: it is one of a game day
	Standing    *Standing // of an incident
}

// Standing is an incident as it is when people are told of an entry about it. That may be later than the entry: a pager that was
// down must not ring for what is over.
type Standing struct {
	Step     IncidentStep // that the entry is; empty: a signal, or a person's report
	State    IncidentState
	Severity Severity
	Detector DetectorID // empty: a person reported it
	Opened   time.Time
	Ended    time.Time // zero while it is open
}

// Sent is what became of one attempt to tell.
type Sent struct {
	Code    int        // of HTTP or SMTP, or 0 when nobody answered
	Refused int        // how many of a channel's addresses the mail server did not take; the others were told
	Cause   UnsentKind // empty: told
}

// UnsentKind says why an attempt failed, in one word that gives away no secret.
type UnsentKind string

// Why an attempt failed.
const (
	UnsentSecret      UnsentKind = "secret"      // the channel's secret is not there, or is not what such a channel needs
	UnsentUnreachable UnsentKind = "unreachable" // nobody answered in time
	UnsentRefused     UnsentKind = "refused"     // with the code
)

// DeliveryState is what the ledger says about an attempt.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryFailed    DeliveryState = "failed"   // it is tried again
	DeliveryGivenUp   DeliveryState = "given_up" // it is not
)
