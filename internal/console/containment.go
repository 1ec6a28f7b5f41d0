package console

import (
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
)

func (s *Server) containment(v *visit) error {
	return s.list(v, "containment", "Containment", "containment", "/v1/switches", "engaged", "released", "expired", "")
}

func (s *Server) switchPage(v *visit) error {
	return s.show(v, "switch", "Kill switch", "containment", "/v1/switches/"+url.PathEscape(v.PathValue("id")))
}

// stopData is what can be stopped and, once something is chosen, what that would stop.
type stopData struct {
	Kind, Value string // of the scope, as the address says
	Impact      any    // nil before something is chosen
	Incident    string
	Agents      []bundle.Agent
	Tools       []gov.ToolName
	Categories  []gov.Category
}

// scopeKinds are the parameters of an address that name what to stop.
var scopeKinds = []string{"agent", "tool", "category", "session", "principal", "all"}

// stopPage says what a switch would stop, and asks for it with two keys.
func (s *Server) stopPage(v *visit) error {
	env, q := s.environment(v), v.URL.Query()
	data := stopData{Categories: gov.Categories(), Incident: q.Get("incident")}
	if b, err := s.active(v, env); err == nil {
		data.Agents = b.Agents
		for _, t := range b.Tools {
			data.Tools = append(data.Tools, t.Name)
		}
	}
	for _, kind := range scopeKinds {
		if value := strings.TrimSpace(q.Get(kind)); value != "" {
			data.Kind, data.Value = kind, value
		}
	}
	if kind, value := q.Get("kind"), strings.TrimSpace(q.Get("value")); kind != "" { // of the form
		data.Kind, data.Value = kind, value
		if kind == "all" {
			data.Value = "true"
		}
	}
	if data.Value != "" {
		var err error
		if data.Impact, err = s.get(v, "/v1/switches/impact?"+url.Values{"environment": {env}, data.Kind: {data.Value}}.Encode()); err != nil {
			return err
		}
	}
	s.render(v, http.StatusOK, "stop", page{Title: "Stop", Nav: "containment", Environment: env, Data: data})
	return nil
}

func (s *Server) stop(v *visit) error {
	kind, value := v.PostFormValue("kind"), v.PostFormValue("value")
	body := map[string]any{"environment": v.PostFormValue("environment"), "reason": strings.TrimSpace(v.PostFormValue("reason"))}
	scope, err := scopeOfForm(kind, value)
	if err != nil {
		return err
	}
	maps.Copy(body, scope)
	if v.PostFormValue("people") == "2" {
		body["people"] = 2
	}
	if minutes, err := strconv.Atoi(v.PostFormValue("minutes")); err == nil && minutes > 0 {
		body["expires_at"] = s.Now().Add(time.Duration(minutes) * time.Minute).UTC().Format(time.RFC3339)
	}
	if incident := v.PostFormValue("incident"); incident != "" {
		return s.stopFor(v, incident, body)
	}
	made, err := as[struct {
		Switches []struct {
			ID string `json:"id"`
		} `json:"switches"`
	}](s.ask(v, http.MethodPost, "/v1/switches", body))
	if err != nil {
		return err
	}
	s.redirect(v, Root+"/containment/"+url.PathEscape(made.Switches[0].ID)+"?done=stopped")
	return nil
}

// stopFor contains an incident: the step of it engages the switch.
func (s *Server) stopFor(v *visit, incident string, stop map[string]any) error {
	delete(stop, "environment")
	id := url.PathEscape(incident)
	if _, err := s.ask(v, http.MethodPost, "/v1/incidents/"+id+"/events", map[string]any{"event": gov.StepKillSwitch, "switch": stop}); err != nil {
		return err
	}
	s.redirect(v, Root+"/incidents/"+id+"?done=stopped")
	return nil
}

// scopeOfForm is the scope of a switch as the API reads it.
func scopeOfForm(kind, value string) (map[string]any, error) {
	switch kind {
	case "all":
		return map[string]any{"all": true}, nil
	case "principal":
		p, err := gov.ParsePrincipal(value)
		if err != nil {
			return nil, &gov.Error{Code: gov.CodeInvalidField, Detail: err.Error()}
		}
		return map[string]any{"principal": p}, nil
	case "agent", "tool", "category", "session":
		return map[string]any{kind: value}, nil
	}
	return nil, &gov.Error{Code: gov.CodeInvalidField, Detail: "Say what to stop."}
}

// moveSwitch takes a switch to another stage.
func (s *Server) moveSwitch(v *visit) error {
	id := url.PathEscape(v.PathValue("id"))
	body := map[string]any{"stage": v.PostFormValue("stage"), "reason": strings.TrimSpace(v.PostFormValue("reason"))}
	if v.PostFormValue("stage") == string(gov.SwitchShare) {
		share, err := strconv.Atoi(v.PostFormValue("share"))
		if err != nil {
			return &gov.Error{Code: gov.CodeInvalidField, Detail: "Say how many of a hundred sessions are to pass."}
		}
		body["share"] = share
	}
	moved, err := as[struct {
		Stage    string `json:"stage"`
		Proposed any    `json:"proposed"`
	}](s.ask(v, http.MethodPost, "/v1/switches/"+id+"/stage", body))
	if err != nil {
		return err
	}
	done := "moved"
	if moved.Proposed != nil {
		done = "switch-proposed"
	}
	s.redirect(v, Root+"/containment/"+id+"?done="+done)
	return nil
}
