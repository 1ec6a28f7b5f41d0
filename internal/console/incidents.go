package console

import (
	"cmp"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/gov"
)

// incidentsData is a list of incidents with how long they took.
type incidentsData struct {
	Page    any
	Stats   any // of the same days
	State   string
	States  []string
	Filters url.Values
	Query   template.URL // of the same filters, in any state
}

// incidentFilters are the fields of the search.
var incidentFilters = []string{"severity", "detector", "exercise", "from", "to"}

// incidentDays is what the figures are of when the address does not say.
const incidentDays = 30 * 24 * time.Hour

func (s *Server) incidents(v *visit) error {
	data := incidentsData{State: "open", States: []string{"open", "resolved", "closed", "dismissed", "merged", ""}, Filters: url.Values{}}
	if v.URL.Query().Has("state") {
		data.State = v.URL.Query().Get("state")
	}
	q, kept := s.incidentQuery(v)
	q.Set("limit", "50")
	for _, name := range incidentFilters {
		data.Filters.Set(name, kept.Get(name))
	}
	data.Query = template.URL(kept.Encode())
	window := url.Values{"environment": q["environment"]}
	for _, name := range []string{"from", "to"} {
		if q.Has(name) {
			window[name] = q[name]
		}
	}
	if to, err := time.Parse(time.RFC3339, q.Get("to")); err == nil && !q.Has("from") {
		window.Set("from", to.Add(-incidentDays).Format(time.RFC3339))
	}
	var err error
	if data.Stats, err = s.get(v, "/v1/incidents/stats?"+window.Encode()); err != nil {
		return err
	}
	if data.State != "" {
		q.Set("state", data.State)
	}
	if cursor := v.URL.Query().Get("cursor"); cursor != "" {
		q.Set("cursor", cursor)
	}
	if data.Page, err = s.get(v, "/v1/incidents?"+q.Encode()); err != nil {
		return err
	}
	s.render(v, http.StatusOK, "incidents", page{Title: "Incidents", Nav: "incidents", Data: data})
	return nil
}

// incidentQuery is the API's query for what the page's address asks for, in any state, and the same as the address has it. Days of a
// form are whole days of UTC.
func (s *Server) incidentQuery(v *visit) (q, kept url.Values) {
	q, kept = url.Values{"environment": {s.environment(v)}}, url.Values{"environment": {s.environment(v)}}
	for _, name := range incidentFilters {
		value := strings.TrimSpace(v.URL.Query().Get(name))
		if value == "" {
			continue
		}
		kept.Set(name, value)
		if day, err := time.Parse(time.DateOnly, value); err == nil && (name == "from" || name == "to") {
			if name == "to" {
				day = day.AddDate(0, 0, 1) // with that day
			}
			value = day.Format(time.RFC3339)
		}
		q.Set(name, value)
	}
	return q, kept
}

// incidentsExported is the query of an export: those of every state where the address names none.
func (s *Server) incidentsExported(v *visit) url.Values {
	q, _ := s.incidentQuery(v)
	if state := strings.TrimSpace(v.URL.Query().Get("state")); state != "" {
		q.Set("state", state)
	}
	return q
}

// incidentData is an incident with what the bundle says is to be done about it.
type incidentData struct {
	Incident any
	Runbooks any
}

func (s *Server) incident(v *visit) error {
	return s.showBeside(v, "incident", "Incident", "/runbooks", func(found, books any) any { return incidentData{found, books} })
}

// showBeside shows an incident with something that the API has beside it.
func (s *Server) showBeside(v *visit, name, title, beside string, data func(incident, beside any) any) error {
	target := "/v1/incidents/" + url.PathEscape(v.PathValue("id"))
	found, err := s.get(v, target)
	if err != nil {
		return err
	}
	more, err := s.get(v, target+beside)
	if err != nil {
		return err
	}
	return s.renderOf(v, name, page{Title: title, Nav: "incidents", Data: data(found, more)}, found)
}

func (s *Server) reportIncident(v *visit) error {
	body := map[string]any{"environment": v.PostFormValue("environment"), "title": strings.TrimSpace(v.PostFormValue("title")), "exercise": v.PostFormValue("exercise") != ""}
	severity, err := strconv.Atoi(v.PostFormValue("severity"))
	if err != nil {
		return &gov.Error{Code: gov.CodeInvalidField, Detail: "Say how bad it is."}
	}
	body["severity"] = severity
	for _, name := range []string{"text", "agent"} {
		if value := strings.TrimSpace(v.PostFormValue(name)); value != "" {
			body[name] = value
		}
	}
	if refs := strings.Fields(v.PostFormValue("decisions")); len(refs) > 0 {
		body["decisions"] = refs
	}
	if err := formTime(v, "effective_at", body); err != nil {
		return err
	}
	answer, err := s.ask(v, http.MethodPost, "/v1/incidents", body)
	if err != nil {
		return err
	}
	return s.toMade(v, "/incidents/", answer, "incident")
}

// formTime reads a time of a form, which is UTC, into a body.
func formTime(v *visit, name string, body map[string]any) error {
	value := strings.TrimSpace(v.PostFormValue(name))
	if value == "" {
		return nil
	}
	at, err := time.Parse("2006-01-02T15:04", value)
	if err != nil {
		return &gov.Error{Code: gov.CodeInvalidField, Path: "/" + name, Detail: "The time is not one: write it as 2026-11-30T09:00, in UTC."}
	}
	body[name] = at.UTC().Format(time.RFC3339)
	return nil
}

// stepIncident takes the step that a form is of.
func (s *Server) stepIncident(v *visit) error {
	event := v.PostFormValue("event")
	body := map[string]any{"event": event}
	for _, name := range []string{"text", "reason", "into"} {
		if value := strings.TrimSpace(v.PostFormValue(name)); value != "" {
			body[name] = strings.ReplaceAll(value, "\r\n", "\n")
		}
	}
	if owner := strings.TrimSpace(v.PostFormValue("owner")); owner != "" {
		body["owner"] = "user:" + strings.TrimPrefix(owner, "user:")
	}
	if refs := strings.Fields(v.PostFormValue("refs")); len(refs) > 0 {
		body["refs"] = refs
	}
	if severity, err := strconv.Atoi(v.PostFormValue("severity")); err == nil {
		body["severity"] = severity
	}
	for _, name := range []string{"effective_at", "due"} {
		if err := formTime(v, name, body); err != nil {
			return err
		}
	}
	if event == string(gov.StepAssessed) {
		answers := map[string]bool{}
		for _, name := range []string{"control_failed", "commitment_missed", "confidential_data", "personal_data", "tell_outside"} {
			if answer := v.PostFormValue(name); answer != "" {
				answers[name] = answer == "yes"
			}
		}
		body["assessment"] = answers
	}
	if kind := v.PostFormValue("kind"); event == string(gov.StepKillSwitch) && kind != "" {
		stop, err := scopeOfForm(kind, v.PostFormValue("value"))
		if err != nil {
			return err
		}
		stop["reason"] = strings.TrimSpace(v.PostFormValue("stop_reason"))
		body["switch"] = stop
	}
	id, back := url.PathEscape(v.PathValue("id")), ""
	if event == string(gov.StepDrafted) || event == string(gov.StepApproved) {
		back = "/report"
	}
	if _, err := s.ask(v, http.MethodPost, "/v1/incidents/"+id+"/events", body); err != nil {
		return err
	}
	s.redirect(v, Root+"/incidents/"+id+back+"?done=step")
	return nil
}

// incidentReportData is the report with the incident that it is of.
type incidentReportData struct {
	Incident any
	Report   any
}

func (s *Server) incidentReport(v *visit) error {
	beside := "/report"
	if v.URL.Query().Get("fresh") != "" {
		beside += "?fresh=true"
	}
	return s.showBeside(v, "incident-report", "Report", beside, func(found, report any) any { return incidentReportData{found, report} })
}

// severityOf is the badge of a severity.
func severityOf(v gov.Severity) badge {
	word := "SEV" + strconv.Itoa(int(v))
	switch v {
	case gov.SeverityCritical:
		return badge{"bad", "▲", word}
	case gov.SeverityHigh:
		return badge{"bad", "△", word}
	case gov.SeverityMedium:
		return badge{"wait", "!", word}
	case gov.SeverityLow:
	}
	return badge{"calm", "·", word}
}

// incidentStateOf is the badge of how far an incident is.
func incidentStateOf(v gov.IncidentState) badge {
	switch v {
	case gov.IncidentNew:
		return badge{"bad", "!", "new"}
	case gov.IncidentTriage:
		return badge{"wait", "?", "triage"}
	case gov.IncidentActive:
		return badge{"bad", "●", "active"}
	case gov.IncidentContained:
		return badge{"wait", "■", "contained"}
	case gov.IncidentResolved, gov.IncidentClosed:
		return badge{"good", "✓", string(v)}
	case gov.IncidentDismissed, gov.IncidentMerged:
	}
	return badge{"calm", "·", string(v)}
}

// stepWord is a step in the words of people.
func stepWord(event string) string {
	words := map[gov.IncidentStep]string{
		gov.StepAck: "acknowledged", gov.StepNote: "noted", gov.StepSeverity: "changed the severity", gov.StepOwner: "gave it to somebody else",
		gov.StepDeclared: "declared it an incident", gov.StepContaining: "began to contain it", gov.StepKillSwitch: "stopped calls",
		gov.StepRollback: "rolled the bundle back", gov.StepRevoked: "revoked a credential", gov.StepLimited: "changed a limit",
		gov.StepContained: "contained it otherwise", gov.StepEradicated: "removed its cause", gov.StepResolved: "resolved it", gov.StepDismissed: "dismissed it",
		gov.StepMerged: "merged", gov.StepReopened: "reopened it", gov.StepClosed: "closed it", gov.StepDecision: "linked decisions",
		gov.StepEvidence: "attached evidence", gov.StepToldInside: "told people inside", gov.StepToldOutside: "told people outside",
		gov.StepAssessed: "assessed what it touched", gov.StepDrafted: "wrote the report", gov.StepApproved: "approved the report",
		gov.StepAction: "asked for an action", gov.StepActionDone: "closed an action",
		gov.StepNotified: "told who is on call",
	}
	if event == "switch.engaged" {
		return "engaged a switch"
	}
	if word, ok := words[gov.IncidentStep(event)]; ok {
		return word
	}
	return strings.NewReplacer(".", " ", "_", " ").Replace(event)
}

// named is what ids with a prefix are of, and where its page is, if it has one.
type named struct {
	what string
	at   string
}

// namedBy finds out by its prefix what an id names.
func namedBy(id string) named {
	prefix, _, _ := strings.Cut(id, "_")
	kinds := map[string]named{
		"dec": {"decision", "/decisions/"}, "swi": {"switch", "/containment/"}, "chg": {"change", "/changes/"}, "inc": {"incident", "/incidents/"},
		"apr": {"request", "/approvals/"}, "del": {"delegation", "/delegations/"}, "exe": {"exercise", "/exercises/"}, "sig": {"signal", ""},
	}
	return kinds[prefix]
}

// refTo is the page of what an id names, or nothing.
func refTo(id string) string {
	if n := namedBy(id); n.at != "" {
		return Root + n.at + url.PathEscape(id)
	}
	return ""
}

// kindOf is the word for what an id names.
func kindOf(id string) string { return cmp.Or(namedBy(id).what, "entry") }
