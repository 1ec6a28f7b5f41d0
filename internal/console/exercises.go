package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
)

// exercisesData is a list of exercises, with what one of one's own can be of.
type exercisesData struct {
	Page   any
	Agents []bundle.Agent
	Older  bool // the page is not the newest
}

func (s *Server) exercises(v *visit) error {
	answer, err := s.get(v, s.with(v, "/v1/exercises", "cursor"))
	if err != nil {
		return err
	}
	data := exercisesData{Page: answer, Older: v.URL.Query().Get("cursor") != ""}
	if b, err := s.active(v, s.environment(v)); err == nil {
		data.Agents = b.Agents
	}
	s.render(v, http.StatusOK, "exercises", page{Title: "Exercises", Nav: "exercises", Data: data})
	return nil
}

// exerciseData is an exercise with the incidents that it names: what people have to do about them is there.
type exerciseData struct {
	Exercise  any
	Incidents []any
}

// exerciseIncidents is how many incidents of an exercise its page looks up.
const exerciseIncidents = 20

func (s *Server) exercise(v *visit) error {
	answer, err := s.get(v, "/v1/exercises/"+url.PathEscape(v.PathValue("id")))
	if err != nil {
		return err
	}
	of, err := as[struct {
		Scenario string `json:"scenario"`
		Result   struct {
			Refs []string `json:"refs"`
		} `json:"result"`
	}](answer, nil)
	if err != nil {
		return err
	}
	data := exerciseData{Exercise: answer}
	for _, id := range of.Result.Refs {
		if !strings.HasPrefix(id, "inc_") || len(data.Incidents) == exerciseIncidents {
			continue
		}
		found, err := s.get(v, "/v1/incidents/"+url.PathEscape(id))
		switch {
		case gov.CodeOf(err) == gov.CodeNotFound && err != nil: // whoever filed it named none that there is
			continue
		case err != nil:
			return err
		}
		data.Incidents = append(data.Incidents, found)
	}
	return s.renderOf(v, "exercise", page{Title: "Exercise " + of.Scenario, Nav: "exercises", Data: data}, answer)
}

// beginExercise begins one by hand.
func (s *Server) beginExercise(v *visit) error {
	body := map[string]any{"environment": v.PostFormValue("environment"), "scenario": strings.TrimSpace(v.PostFormValue("scenario"))}
	if agents := v.PostForm["agents"]; len(agents) > 0 {
		body["agents"] = agents
	}
	if detectors := strings.Fields(v.PostFormValue("detectors")); len(detectors) > 0 {
		body["detectors"] = detectors
	}
	minutes, err := strconv.Atoi(v.PostFormValue("minutes"))
	if err != nil {
		return &gov.Error{Code: gov.CodeInvalidField, Path: "/minutes", Detail: "Say for how many minutes."}
	}
	body["minutes"] = minutes
	answer, err := s.ask(v, http.MethodPost, "/v1/exercises", body)
	if err != nil {
		return err
	}
	return s.toMade(v, "/exercises/", answer, "exercise")
}

// fileExercise files what came of one.
func (s *Server) fileExercise(v *visit) error {
	body := map[string]any{}
	for _, name := range []string{"hypothesis", "injected", "observed"} {
		body[name] = strings.ReplaceAll(strings.TrimSpace(v.PostFormValue(name)), "\r\n", "\n")
	}
	if held := v.PostFormValue("held"); held != "" {
		body["held"] = held == "yes"
	}
	for _, name := range []string{"expected", "refs"} {
		if ids := strings.Fields(v.PostFormValue(name)); len(ids) > 0 {
			body[name] = ids
		}
	}
	for _, name := range []string{"detect", "contain"} {
		value := strings.TrimSpace(v.PostFormValue(name))
		if value == "" {
			continue
		}
		seconds, err := strconv.ParseFloat(value, 64)
		if err != nil || seconds < 0 || seconds > 1e6 {
			return &gov.Error{Code: gov.CodeInvalidField, Path: "/" + name, Detail: "Write the time in seconds, 1.5 for instance."}
		}
		body[name+"_ms"] = int64(1000 * seconds)
	}
	if moments := momentsOf(v.PostFormValue("moments")); len(moments) > 0 {
		body["moments"] = moments
	}
	id := url.PathEscape(v.PathValue("id"))
	if _, err := s.ask(v, http.MethodPost, "/v1/exercises/"+id+"/results", body); err != nil {
		return err
	}
	s.redirect(v, Root+"/exercises/"+id+"?done=filed")
	return nil
}

// momentsOf reads one moment of each line: a time, and behind a space what happened. What is wrong with them the API says.
func momentsOf(text string) []map[string]string {
	var out []map[string]string
	for line := range strings.Lines(text) {
		at, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		if at != "" {
			out = append(out, map[string]string{"at": at, "what": strings.TrimSpace(what)})
		}
	}
	return out
}

// heldOf is the badge of whether a hypothesis held.
func heldOf(held bool) badge {
	if held {
		return badge{"good", "✓", "held"}
	}
	return badge{"bad", "✕", "did not hold"}
}
