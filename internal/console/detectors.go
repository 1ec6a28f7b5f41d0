package console

import (
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/limit"
	"github.com/writ-dev/writ/internal/watch"
)

// detectorsData is how the detectors are, with the runbooks of the bundle by file.
type detectorsData struct {
	Health   any
	Runbooks map[string]string
}

func (s *Server) detectors(v *visit) error {
	health, err := s.get(v, s.with(v, "/v1/detectors"))
	if err != nil {
		return err
	}
	data := detectorsData{Health: health, Runbooks: map[string]string{}}
	if b, err := s.active(v, s.environment(v)); err == nil {
		for name, text := range b.Files {
			if strings.HasPrefix(name, "runbooks/") {
				data.Runbooks[name] = string(text)
			}
		}
	}
	s.render(v, http.StatusOK, "detectors", page{Title: "Detectors", Nav: "incidents", Data: data})
	return nil
}

// signalsData is a page of what detectors found.
type signalsData struct {
	Page     any
	Detector string
	Query    template.URL // of the same detector, for the next page
}

func (s *Server) signals(v *visit) error {
	q := url.Values{"environment": {s.environment(v)}}
	detector := strings.TrimSpace(v.URL.Query().Get("detector"))
	if detector != "" {
		q.Set("detector", detector)
	}
	data := signalsData{Detector: detector, Query: template.URL(q.Encode())}
	if cursor := v.URL.Query().Get("cursor"); cursor != "" {
		q.Set("cursor", cursor)
	}
	q.Set("limit", "50")
	var err error
	if data.Page, err = s.get(v, "/v1/signals?"+q.Encode()); err != nil {
		return err
	}
	s.render(v, http.StatusOK, "signals", page{Title: "Signals", Nav: "incidents", Data: data})
	return nil
}

// healthOf is the badge of how a detector is.
func healthOf(v watch.Status) badge {
	switch v {
	case watch.StatusAnswers:
		return badge{"good", "✓", "answers"}
	case watch.StatusSilent:
		return badge{"bad", "!", "silent"}
	case watch.StatusWaiting:
		return badge{"wait", "?", "no probe yet"}
	case watch.StatusOff:
		return badge{"calm", "○", "off"}
	case watch.StatusUnprobed:
	}
	return badge{"calm", "·", "not probed"}
}

// thresholdOf is a threshold as detectors.yaml has it.
func thresholdOf(n int64, unit bundle.ParamUnit) string {
	switch unit {
	case bundle.UnitSeconds:
		return limit.Span(n)
	case bundle.UnitPercent:
		return strconv.FormatInt(n, 10) + " %"
	case bundle.UnitCount:
	}
	return count(n)
}
