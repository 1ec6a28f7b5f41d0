package console

import (
	"bytes"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
)

const bundleBytesMax = 8 << 20

func (s *Server) changes(v *visit) error {
	return s.list(v, "changes", "Changes", "changes", "/v1/changes", "", "proposed", "approved", "scheduled", "review_owed", "activated", "rejected")
}

func (s *Server) change(v *visit) error {
	return s.show(v, "change", "Change", "changes", "/v1/changes/"+url.PathEscape(v.PathValue("id")))
}

func (s *Server) review(v *visit) error {
	said := map[string]any{"review": v.PostFormValue("review"), "shown": v.PostFormValue("shown")}
	if comment := strings.TrimSpace(v.PostFormValue("comment")); comment != "" {
		said["comment"] = comment
	}
	return s.changed(v, "reviews", said, "reviewed")
}

// activate puts a change into force: at once, at a time, or as an emergency.
func (s *Server) activate(v *visit) error {
	if v.PostFormValue("emergency") != "" {
		return s.changed(v, "activate", map[string]any{"emergency": true, "reason": strings.TrimSpace(v.PostFormValue("reason"))}, "activated")
	}
	at := strings.TrimSpace(v.PostFormValue("at"))
	if at == "" {
		return s.changed(v, "activate", nil, "activated")
	}
	when, err := time.Parse("2006-01-02T15:04", at)
	if err != nil {
		return &gov.Error{Code: gov.CodeInvalidField, Path: "/at", Detail: "The time is not one: write it as 2026-11-30T09:00, in UTC."}
	}
	return s.changed(v, "activate", map[string]any{"at": when.UTC().Format(time.RFC3339)}, "scheduled")
}

func (s *Server) unschedule(v *visit) error {
	id := url.PathEscape(v.PathValue("id"))
	if _, err := s.ask(v, http.MethodDelete, "/v1/changes/"+id+"/activate", nil); err != nil {
		return err
	}
	s.redirect(v, Root+"/changes/"+id+"?done=unscheduled")
	return nil
}

// versions is what was in force when.
func (s *Server) versions(v *visit) error {
	q := url.Values{"environment": {s.environment(v)}}
	at := strings.TrimSpace(v.URL.Query().Get("at"))
	if at != "" {
		if when, err := time.Parse("2006-01-02T15:04", at); err == nil {
			q.Set("at", when.UTC().Format(time.RFC3339))
		} else {
			q.Set("at", at)
		}
	}
	if cursor := v.URL.Query().Get("cursor"); cursor != "" {
		q.Set("cursor", cursor)
	}
	answer, err := s.get(v, "/v1/bundles?"+q.Encode())
	if err != nil {
		return err
	}
	s.render(v, http.StatusOK, "versions", page{Title: "Versions", Nav: "changes", Data: versionsData{answer, at}})
	return nil
}

type versionsData struct {
	Page any
	At   string
}

// changed asks the API for a step of a change and goes back to its page.
func (s *Server) changed(v *visit, step string, body any, done string) error {
	id := url.PathEscape(v.PathValue("id"))
	if _, err := s.ask(v, http.MethodPost, "/v1/changes/"+id+"/"+step, body); err != nil {
		return err
	}
	s.redirect(v, Root+"/changes/"+id+"?done="+done)
	return nil
}

func (s *Server) rollback(v *visit) error {
	env := v.PostFormValue("environment")
	body := map[string]string{"environment": env, "reason": strings.TrimSpace(v.PostFormValue("reason"))}
	if _, err := s.ask(v, http.MethodPost, "/v1/changes/rollback", body); err != nil {
		return err
	}
	s.redirect(v, Root+"/changes?environment="+escape(env)+"&done=rolled-back")
	return nil
}

// editorData is the active bundle to be edited, or what somebody made of it.
type editorData struct {
	Environment string
	Base        gov.BundleDigest
	Description string
	Files       []fileData
	Problem     string
}

type fileData struct {
	Name    string
	Text    string
	Changed bool
}

// active gives the active bundle of the environment, to who may see its changes.
func (s *Server) active(v *visit, env string) (*bundle.Bundle, error) {
	if _, err := s.get(v, "/v1/changes?limit=1&environment="+escape(env)); err != nil {
		return nil, err
	}
	found, ok := s.Environments.Environment(gov.Environment(env))
	if !ok || found.Control().Engine == nil {
		return nil, &gov.Error{Code: gov.CodeConflict, Detail: "The environment has no active bundle; an administrator activates the first one (writ bundle activate)."}
	}
	return found.Control().Engine.Bundle(), nil
}

func (s *Server) newChange(v *visit) error {
	env := s.environment(v)
	b, err := s.active(v, env)
	if err != nil {
		return err
	}
	return s.editor(v, http.StatusOK, editorData{Environment: env, Base: b.Digest, Files: filesOf(b, b.Files)})
}

func filesOf(b *bundle.Bundle, files map[string][]byte) []fileData {
	var out []fileData
	for _, name := range slices.Sorted(maps.Keys(files)) {
		out = append(out, fileData{Name: name, Text: string(files[name]), Changed: !bytes.Equal(files[name], b.Files[name])})
	}
	return out
}

func (s *Server) editor(v *visit, status int, data editorData) error {
	s.render(v, status, "editor", page{Title: "Propose a change", Nav: "changes", Environment: data.Environment, Data: data})
	return nil
}

// propose makes a bundle of the edited files and proposes it. What is wrong with it is shown beside what was written.
func (s *Server) propose(v *visit) error {
	env := v.PostFormValue("environment")
	b, err := s.active(v, env)
	if err != nil {
		return err
	}
	files := edited(b, v.PostForm)
	data := editorData{Environment: env, Base: b.Digest, Description: v.PostFormValue("description"), Files: filesOf(b, files)}
	q := url.Values{"environment": {env}, "description": {data.Description}}
	answer, err := s.API.Ask(v.Context(), v.caller, http.MethodPost, "/v1/changes?"+q.Encode(), (&bundle.Bundle{Files: files}).Tar())
	switch code := gov.CodeOf(err); {
	case err == nil:
	case code == gov.CodeBundleInvalid || code == gov.CodeInvalidField || code == gov.CodeConflict:
		data.Problem = detailOf(err)
		return s.editor(v, s.API.Status(code), data)
	default:
		return err
	}
	return s.toMade(v, "/changes/", answer, "proposed")
}

// edited is the bundle's files with those of the form in their place. Forms end lines with CR LF, and add a file when one is named.
func edited(b *bundle.Bundle, form url.Values) map[string][]byte {
	files := maps.Clone(b.Files)
	set := func(name, text string) {
		if text = strings.ReplaceAll(text, "\r\n", "\n"); strings.TrimSpace(text) == "" {
			delete(files, name)
			return
		}
		files[name] = []byte(text)
	}
	for name := range b.Files {
		if form.Has("file:" + name) {
			set(name, form.Get("file:"+name))
		}
	}
	if name := strings.TrimSpace(form.Get("new_name")); name != "" {
		set(name, form.Get("new_text"))
	}
	return files
}

// lineDiff is a line of a unified diff.
type lineDiff struct {
	Class string
	Text  string
}

// linesOf tells added from removed lines.
func linesOf(unified []string) []lineDiff {
	out := make([]lineDiff, len(unified))
	for i, line := range unified {
		out[i].Text = line
		switch {
		case strings.HasPrefix(line, "+"):
			out[i].Class = "added"
		case strings.HasPrefix(line, "-"):
			out[i].Class = "removed"
		case strings.HasPrefix(line, "@"):
			out[i].Class = "place"
		}
	}
	return out
}
