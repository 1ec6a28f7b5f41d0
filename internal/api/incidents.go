package api

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/contain"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/incident"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/state"
)

// incidentWire is an incident as lists show it. Times are by the ledger's clock, or earlier where a person said so.
type incidentWire struct {
	ID             gov.IncidentID         `json:"id"`
	Environment    gov.Environment        `json:"environment"`
	State          gov.IncidentState      `json:"state"`
	Severity       gov.Severity           `json:"severity"`
	Exercise       bool                   `json:"exercise"`
	Title          string                 `json:"title"`
	Detector       gov.DetectorID         `json:"detector,omitempty"`
	Reporter       string                 `json:"reporter,omitempty"`
	Agent          gov.AgentID            `json:"agent,omitempty"`
	Tool           gov.ToolName           `json:"tool,omitempty"`
	Principal      string                 `json:"principal,omitempty"`
	Session        gov.SessionID          `json:"session,omitempty"`
	Owner          string                 `json:"owner,omitempty"`
	Signals        int64                  `json:"signals"`
	Flapping       int64                  `json:"flapping,omitzero"`
	Index          int64                  `json:"index"`
	OccurredAt     string                 `json:"occurred_at,omitempty"`
	OpenedAt       string                 `json:"opened_at"`
	AcknowledgedAt string                 `json:"acknowledged_at,omitempty"`
	DeclaredAt     string                 `json:"declared_at,omitempty"`
	ContainedAt    string                 `json:"contained_at,omitempty"`
	EradicatedAt   string                 `json:"eradicated_at,omitempty"`
	ResolvedAt     string                 `json:"resolved_at,omitempty"`
	ClosedAt       string                 `json:"closed_at,omitempty"`
	EndedAt        string                 `json:"ended_at,omitempty"`
	LastSignalAt   string                 `json:"last_signal_at,omitempty"`
	Reason         gov.Dismissal          `json:"reason,omitempty"`
	Into           gov.IncidentID         `json:"into,omitempty"`
	Merged         []gov.IncidentID       `json:"merged,omitempty"`
	Earlier        gov.IncidentID         `json:"same_incident_in_the_past,omitempty"`
	Reopened       int                    `json:"reopened,omitzero"`
	Contained      []string               `json:"contained_by,omitempty"`
	Assessment     *canon.Assessment      `json:"assessment,omitempty"`
	Report         *incidentReportStatus  `json:"report,omitempty"`
	Actions        []state.IncidentAction `json:"actions,omitempty"`
}

// incidentReportStatus is how far the report is.
type incidentReportStatus struct {
	ID         gov.EntryID `json:"id"` // of the entry that has its text: who approves names it
	Authors    []string    `json:"authors"`
	DraftedAt  string      `json:"drafted_at"`
	ApprovedBy string      `json:"approved_by,omitempty"`
	ApprovedAt string      `json:"approved_at,omitempty"`
}

func reportStatus(i incident.Incident) *incidentReportStatus {
	if i.Draft == nil {
		return nil
	}
	out := &incidentReportStatus{ID: i.Draft.ID, Authors: i.Draft.By, DraftedAt: i.Draft.At}
	if i.Approved != nil {
		out.ApprovedBy, out.ApprovedAt = i.Approved.By, i.Approved.At
	}
	return out
}

func incidentOf(env *live.Environment, i incident.Incident) incidentWire {
	return incidentWire{
		ID: i.ID, Environment: env.Ledger.Name(), State: i.State, Severity: i.Severity, Exercise: i.Exercise, Title: i.Title, Detector: i.Detector,
		Reporter: i.Reporter, Agent: i.Agent, Tool: i.Tool, Principal: i.Principal, Session: i.Session, Owner: i.Owner, Signals: i.Count, Flapping: i.Flapping,
		Index: i.Opened, OccurredAt: i.OccurredAt, OpenedAt: i.OpenedAt, AcknowledgedAt: i.AcknowledgedAt, DeclaredAt: i.DeclaredAt, ContainedAt: i.ContainedAt,
		EradicatedAt: i.EradicatedAt, ResolvedAt: i.ResolvedAt, ClosedAt: i.ClosedAt, EndedAt: i.EndedAt, LastSignalAt: i.LastSignalAt, Reason: i.Reason,
		Into: i.Into, Merged: i.Merged, Earlier: i.Earlier, Reopened: i.Reopened, Contained: i.Incident.Contained, Assessment: i.Assessed,
		Report: reportStatus(i), Actions: i.Actions,
	}
}

type incidentPage struct {
	Environment gov.Environment             `json:"environment"`
	Counts      map[gov.IncidentState]int64 `json:"counts"` // of all that were opened in the time, by state
	Total       int64                       `json:"total"`
	Statement   string                      `json:"statement"` // what an auditor is told: of none, too
	Incidents   []incidentWire              `json:"incidents"`
	NextCursor  string                      `json:"next_cursor,omitempty"`
}

func (s *Server) listIncidents(ctx context.Context, r *request) (any, error) {
	q := incidentQuery{below: math.MaxInt64, limit: limitDefault}
	if err := q.read(r.URL.Query()); err != nil {
		return nil, err
	}
	env, err := s.environment(r, q.environment)
	if err != nil {
		return nil, err
	}
	found, err := s.Incident.List(ctx, env, q.filter, q.below, q.limit)
	if err != nil {
		return nil, err
	}
	out := incidentPage{Environment: env.Ledger.Name(), Counts: found.Counts, Incidents: []incidentWire{}}
	for _, i := range found.Incidents {
		out.Incidents = append(out.Incidents, incidentOf(env, i))
	}
	for _, n := range found.Counts {
		out.Total += n
	}
	out.Statement = q.statement(env.Ledger.Name(), out.Total, s.Now())
	if found.Next > 0 {
		out.NextCursor = cursorOf(found.Next)
	}
	return out, nil
}

// incidentQuery is what a list of incidents is asked.
type incidentQuery struct {
	environment string
	filter      incident.Filter
	below       int64
	limit       int
}

// statement says how many there are, which of none has to be said too.
func (q incidentQuery) statement(env gov.Environment, total int64, now time.Time) string {
	from, to := "the beginning", now.UTC()
	if !q.filter.From.IsZero() {
		from = q.filter.From.UTC().Format(time.RFC3339)
	}
	if !q.filter.To.IsZero() {
		to = q.filter.To
	}
	many := fmt.Sprintf("%d incidents were", total)
	switch total {
	case 0:
		many = "No incident was"
	case 1:
		many = "1 incident was"
	}
	return fmt.Sprintf("%s opened in %s from %s to %s, exercises included.", many, env, from, to.UTC().Format(time.RFC3339))
}

func (q *incidentQuery) read(params url.Values) (err error) {
	wrong := func(name, detail string) error {
		return &gov.Error{Code: gov.CodeInvalidField, Path: "/" + name, Detail: detail}
	}
	for name := range params {
		switch value := params.Get(name); name {
		case "environment":
			q.environment = value
		case "state":
			if q.filter.Open = value == "open"; q.filter.Open {
				continue
			}
			if q.filter.State = gov.IncidentState(value); !q.filter.State.Valid() {
				return wrong(name, "must be open, or one of new, triage, active, contained, resolved, closed, dismissed and merged")
			}
		case "severity":
			n, err := strconv.Atoi(value)
			if q.filter.Severity = gov.Severity(n); err != nil || !q.filter.Severity.Valid() {
				return wrong(name, "must be from 1, the worst, to 4")
			}
		case "detector":
			q.filter.Detector = gov.DetectorID(value)
		case "exercise":
			exercise, err := strconv.ParseBool(value)
			if err != nil {
				return wrong(name, "must be true or false")
			}
			q.filter.Exercise = &exercise
		case "from":
			q.filter.From, err = readTime(name, value)
		case "to":
			q.filter.To, err = readTime(name, value)
		case "limit":
			q.limit, err = readLimit(value, docsMax)
		case "cursor":
			q.below, err = readCursor(value)
		default:
			return &gov.Error{Code: gov.CodeUnknownField, Path: "/" + name, Detail: "is not a filter; known are environment, state, severity, detector, exercise, from, to, limit, cursor"}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) reportIncident(ctx context.Context, r *request) (any, error) {
	f, err := readFields(r.body)
	if err != nil {
		return nil, err
	}
	name := f.required("environment", gov.ValidName, "the name of an environment")
	in := incident.Report{
		Title: f.required("title", func(v string) bool { return v != "" }, "a line"), Text: f.text("text", textBytesMax),
		Agent: gov.AgentID(f.checked("agent", gov.ValidName, "the id of an agent")), EffectiveAt: f.time("effective_at"), Exercise: f.flag("exercise"),
	}
	if n := f.integer("severity"); n != nil {
		in.Severity = gov.Severity(min(*n, 9))
	}
	for _, id := range f.texts("decisions") {
		in.Entries = append(in.Entries, gov.EntryID(id))
	}
	if err := f.done(); err != nil {
		return nil, err
	}
	env, err := s.environment(r, name)
	if err != nil {
		return nil, err
	}
	i, err := s.Incident.Report(ctx, r.caller, env, in)
	if err != nil {
		return nil, err
	}
	return s.incidentChain(ctx, env, i)
}

// incidentByID finds an incident in any environment that the caller may read.
func (s *Server) incidentByID(ctx context.Context, r *request) (*live.Environment, incident.Incident, error) {
	if err := s.Discover(ctx); err != nil {
		return nil, incident.Incident{}, err
	}
	id := gov.IncidentID(r.PathValue("id"))
	for _, name := range s.readable(r.caller) {
		env, ok := s.Environments.Environment(name)
		if !ok {
			continue
		}
		i, err := incident.Find(ctx, env.Ledger, id)
		if gov.CodeOf(err) == gov.CodeNotFound {
			continue
		}
		return env, i, err
	}
	return nil, incident.Incident{}, &gov.Error{Code: gov.CodeNotFound, Detail: "there is no incident " + string(id)}
}

func (s *Server) showIncident(ctx context.Context, r *request) (any, error) {
	env, i, err := s.incidentByID(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.incidentChain(ctx, env, i)
}

// incidentChainWire is everything about an incident.
type incidentChainWire struct {
	incidentWire
	Timeline []lineWire     `json:"timeline"`
	LeftOut  int64          `json:"signals_left_out,omitzero"` // between the first and the newest: GET /v1/signals?incident=
	Through  int64          `json:"complete_through"`          // notices and switches below this index are in the timeline
	Calls    []decisionWire `json:"decisions"`                 // that it rests on, newest first, at most 50

	Undelivered []gov.ChannelID `json:"undelivered,omitempty"` // channels through which the newest attempt to tell of something failed
}

// lineWire is one entry of a timeline.
type lineWire struct {
	Index       int64             `json:"index"`
	ID          gov.EntryID       `json:"id"`
	At          string            `json:"at"`
	Event       string            `json:"event"` // signal, reported, a step, switch.engaged…, alert.delivered or alert.delivery_failed
	Actor       canon.Actor       `json:"actor"`
	Says        string            `json:"says"` // the line in a sentence
	State       gov.IncidentState `json:"state,omitempty"`
	Severity    gov.Severity      `json:"severity,omitzero"`
	EffectiveAt string            `json:"effective_at,omitempty"`
	Owner       string            `json:"owner,omitempty"`
	Text        string            `json:"text,omitempty"`
	Erased      bool              `json:"erased,omitzero"`
	Refs        []string          `json:"refs,omitempty"`
	Due         string            `json:"due,omitempty"`
	Signal      *canon.Signal     `json:"signal,omitempty"`

	Delivery *canon.Notification `json:"delivery,omitempty"` // of an attempt to tell people
}

func lineOf(l incident.Line) lineWire {
	w := lineWire{Index: l.Index, ID: l.ID, At: l.At, Actor: l.Actor.Who(), Says: l.Says(), Text: l.Text, Erased: l.Erased}
	switch {
	case l.Signal != nil:
		w.Event, w.Severity, w.Signal = "signal", l.Signal.Severity, l.Signal
		for _, id := range l.Signal.Entries {
			w.Refs = append(w.Refs, string(id))
		}
	case l.Reported != nil:
		w.Event, w.Severity, w.EffectiveAt, w.State = "reported", l.Reported.Severity, l.Reported.EffectiveAt, gov.IncidentNew
		for _, id := range l.Reported.Entries {
			w.Refs = append(w.Refs, string(id))
		}
	case l.Event != nil:
		w.Event, w.State, w.Severity, w.EffectiveAt = string(l.Event.Event), l.Event.State, l.Event.Severity, l.Event.EffectiveAt
		w.Owner, w.Refs, w.Due = l.Event.Owner, l.Event.Refs, l.Event.Due
		if l.Event.Event == gov.StepDrafted {
			w.Text = ""
		}
	case l.Engaged != nil:
		w.Event, w.Refs, w.Text = "switch.engaged", []string{string(l.ID)}, l.Engaged.Reason
	case l.Moved != "":
		w.Event = "switch." + l.Moved
	case l.Notice != nil:
		w.Event, w.Delivery = l.Told(), l.Notice
	}
	return w
}

const incidentCalls = 50

func (s *Server) incidentChain(ctx context.Context, env *live.Environment, i incident.Incident) (any, error) {
	timeline, err := s.Incident.Timeline(ctx, env, i)
	if err != nil {
		return nil, err
	}
	out := incidentChainWire{incidentWire: incidentOf(env, i), Timeline: []lineWire{}, LeftOut: timeline.LeftOut, Through: timeline.Through, Calls: []decisionWire{}, Undelivered: timeline.Undelivered}
	for _, l := range timeline.Lines {
		out.Timeline = append(out.Timeline, lineOf(l))
	}
	items, err := s.Incident.Calls(ctx, env, i, timeline, incidentCalls)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		w, _, err := decisionOf(item)
		if err != nil {
			return nil, err
		}
		out.Calls = append(out.Calls, w)
	}
	return out, nil
}

func (s *Server) stepIncident(ctx context.Context, r *request) (any, error) {
	step, err := s.readStep(r.body)
	if err != nil {
		return nil, err
	}
	env, i, err := s.incidentByID(ctx, r)
	if err != nil {
		return nil, err
	}
	if step.Stop != nil {
		step.Stop.AskedAt = s.Now()
	}
	if i, err = s.Incident.Act(ctx, r.caller, env, i.ID, step); err != nil {
		return nil, err
	}
	return s.incidentChain(ctx, env, i)
}

const reportBytesMax = 256 << 10

func (s *Server) readStep(body []byte) (incident.Step, error) {
	f, err := readFields(body)
	if err != nil {
		return incident.Step{}, err
	}
	step := incident.Step{
		Event: gov.IncidentStep(f.required("event", func(v string) bool { return v != "" }, "a step, ack for instance")), Text: f.text("text", reportBytesMax),
		EffectiveAt: f.time("effective_at"), Reason: gov.Dismissal(f.text("reason", textBytesMax)), Refs: f.texts("refs"), Due: f.time("due"),
		Into: gov.IncidentID(f.checked("into", gov.ValidOpaque, "the id of an incident")),
	}
	if n := f.integer("severity"); n != nil {
		step.Severity = gov.Severity(min(*n, 9))
	}
	if owner := f.text("owner", textBytesMax); owner != "" {
		p, err := gov.ParsePrincipal(owner)
		if err != nil {
			f.fail("owner", err.Error())
		}
		step.Owner = &p
	}
	if a, ok := f.object("assessment"); ok {
		step.Assessment = &canon.Assessment{
			ControlFailed: answer(a, "control_failed"), CommitmentMissed: answer(a, "commitment_missed"), ConfidentialData: answer(a, "confidential_data"),
			PersonalData: answer(a, "personal_data"), TellOutside: answer(a, "tell_outside"),
		}
		f.inner(a)
	}
	if sw, ok := f.object("switch"); ok {
		step.Stop = &contain.Stop{Scope: s.readScope(sw), Reason: sw.text("reason", textBytesMax), Expires: sw.time("expires_at"), People: 1}
		if n := sw.integer("people"); n != nil {
			step.Stop.People = int(min(*n, 3))
		}
		f.inner(sw)
	}
	return step, f.done()
}

// answer reads a question that has to be answered: what is not said is no no.
func answer(f *fields, name string) bool {
	if _, ok := f.m[name]; !ok {
		f.fail(name, "is missing: answer true or false")
	}
	return f.flag(name)
}

// inner takes over what is wrong with an object that was read.
func (f *fields) inner(o *fields) {
	if err := o.done(); err != nil && f.err == nil {
		f.err = err
	}
}

// incidentReportWire is the report of an incident.
type incidentReportWire struct {
	Incident  gov.IncidentID        `json:"incident"`
	Generated bool                  `json:"generated"` // nobody has written one: this is what the ledger says
	Text      string                `json:"text"`      // Markdown
	Status    *incidentReportStatus `json:"status,omitempty"`
}

// incidentReport gives the report as somebody wrote it, or else, and with fresh=true, as the ledger has it.
func (s *Server) incidentReport(ctx context.Context, r *request) (any, error) {
	fresh := false
	for name := range r.URL.Query() {
		if name != "fresh" {
			return nil, &gov.Error{Code: gov.CodeUnknownField, Path: "/" + name, Detail: "is not a parameter; known is fresh"}
		}
		fresh = r.URL.Query().Get(name) == "true"
	}
	env, i, err := s.incidentByID(ctx, r)
	if err != nil {
		return nil, err
	}
	out := incidentReportWire{Incident: i.ID, Generated: fresh || i.Draft == nil, Status: reportStatus(i)}
	if out.Generated {
		out.Text, err = s.Incident.Generate(ctx, env, i)
	} else {
		out.Text, err = s.Incident.Text(ctx, env, i)
	}
	return out, err
}

// incidentStatsWire is what became of the incidents of a time.
type incidentStatsWire struct {
	Environment  gov.Environment           `json:"environment"`
	From         string                    `json:"from"`
	To           string                    `json:"to"`
	Opened       int                       `json:"opened"` // exercises aside, here and below
	Exercises    int                       `json:"exercises"`
	States       map[gov.IncidentState]int `json:"states"`
	Severities   map[string]int            `json:"severities"`
	Metrics      []metricWire              `json:"metrics"`
	OwnedInTime  int                       `json:"acknowledged_within_15_minutes"`
	Unowned      int                       `json:"unacknowledged"`
	ActionsOpen  int                       `json:"actions_open"`
	ActionsLate  int                       `json:"actions_overdue"`
	CompleteList bool                      `json:"complete"`
}

type metricWire struct {
	Name    string  `json:"name"`
	Formula string  `json:"formula"`
	N       int     `json:"n"` // incidents that came so far
	P50     float64 `json:"p50_seconds"`
	P90     float64 `json:"p90_seconds"`
}

func (s *Server) incidentStats(ctx context.Context, r *request) (any, error) {
	params := r.URL.Query()
	from, to, err := s.window(params)
	if err != nil {
		return nil, err
	}
	env, err := s.environment(r, params.Get("environment"))
	if err != nil {
		return nil, err
	}
	found, err := s.Incident.Stats(ctx, env, from, to)
	if err != nil {
		return nil, err
	}
	out := incidentStatsWire{
		Environment: env.Ledger.Name(), From: from.Format(canon.TimeLayout), To: to.Format(canon.TimeLayout), Opened: found.Opened, Exercises: found.Exercises,
		States: found.States, Severities: map[string]int{}, OwnedInTime: found.OwnedInTime, Unowned: found.Unowned, ActionsOpen: found.ActionsOpen,
		ActionsLate: found.ActionsLate, CompleteList: found.Complete, Metrics: []metricWire{},
	}
	for severity, n := range found.Severities {
		out.Severities[strconv.Itoa(int(severity))] = n
	}
	for _, m := range found.Metrics {
		out.Metrics = append(out.Metrics, metricWire{m.Name, m.Formula, m.N, m.P50.Seconds(), m.P90.Seconds()})
	}
	return out, nil
}

// signalWire is one signal.
type signalWire struct {
	ID       gov.EntryID    `json:"id"`
	Index    int64          `json:"index"`
	At       string         `json:"at"`
	Incident gov.IncidentID `json:"incident,omitempty"` // that it opened or joined; empty: a heartbeat
	Opened   bool           `json:"opened"`
	Signal   canon.Signal   `json:"signal"`
}

type signalPage struct {
	Environment     gov.Environment `json:"environment"`
	Signals         []signalWire    `json:"signals"`
	NextCursor      string          `json:"next_cursor,omitempty"`
	CompleteThrough int64           `json:"complete_through"`
	Size            int64           `json:"size"`
}

func (s *Server) listSignals(ctx context.Context, r *request) (any, error) {
	q, name, err := readSignalQuery(r.URL.Query())
	if err != nil {
		return nil, err
	}
	env, err := s.environment(r, name)
	if err != nil {
		return nil, err
	}
	page, err := env.Ledger.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	head, err := env.Ledger.Head(ctx)
	if err != nil {
		return nil, err
	}
	items, err := env.Ledger.Several(ctx, page.Indexes)
	if err != nil {
		return nil, err
	}
	out := signalPage{Environment: env.Ledger.Name(), Signals: []signalWire{}, CompleteThrough: page.Through, Size: head.Size}
	for _, item := range items {
		body, err := canon.Body[canon.Signal](item.Entry)
		if err != nil {
			return nil, err
		}
		w := signalWire{ID: item.ID, Index: item.Index, At: item.At, Incident: body.Incident, Signal: body}
		if w.Opened = body.Incident == "" && !body.Heartbeat; w.Opened {
			w.Incident = gov.IncidentOf(item.ID)
		}
		out.Signals = append(out.Signals, w)
	}
	if page.More {
		out.NextCursor = cursorOf(page.Indexes[len(page.Indexes)-1])
	}
	return out, nil
}

func readSignalQuery(params url.Values) (q ledger.Query, environment string, err error) {
	q = ledger.Query{Filters: []ledger.Filter{{Dim: ledger.DimKind, Value: string(canon.KindSignal)}}, Limit: limitDefault}
	for name := range params {
		switch value := params.Get(name); name {
		case "environment":
			environment = value
		case "detector":
			q.Filters = append(q.Filters, ledger.Filter{Dim: ledger.DimDetector, Value: value})
		case "incident":
			q.Filters = append(q.Filters, ledger.Filter{Dim: ledger.DimAbout, Value: value})
		case "from":
			q.From, err = readTime(name, value)
		case "to":
			q.To, err = readTime(name, value)
		case "limit":
			q.Limit, err = readLimit(value, ledger.QueryLimitMax)
		case "cursor":
			q.Before, err = readCursor(value)
		default:
			err = &gov.Error{Code: gov.CodeUnknownField, Path: "/" + name, Detail: "is not a filter; known are environment, detector, incident, from, to, limit, cursor"}
		}
		if err != nil {
			return q, "", err
		}
	}
	return q, environment, nil
}

const incidentsOfDecision = 20

// incidentsOf are those that a decision is part of, by what signals rest on and what people linked. The index may lag a moment.
func incidentsOf(ctx context.Context, l *ledger.Ledger, id gov.EntryID) ([]gov.IncidentID, error) {
	page, err := l.Find(ctx, ledger.Query{Filters: []ledger.Filter{{Dim: ledger.DimAbout, Value: string(id)}}, Limit: 4 * incidentsOfDecision})
	if err != nil {
		return nil, err
	}
	items, err := l.Several(ctx, page.Indexes)
	if err != nil {
		return nil, err
	}
	return incident.Of(items, incidentsOfDecision)
}
