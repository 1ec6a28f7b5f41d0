package console

import (
	"bytes"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
)

const bundleBytesMax = 8 << 20

func (s *Server) changes(v *visit) error {
	return s.list(v, "changes", "Changes", "changes", "/v1/changes", "", "proposed", "approved", "review_owed", "activated", "rejected")
}

func (s *Server) change(v *visit) error {
	answer, err := s.get(v, "/v1/changes/"+url.PathEscape(v.PathValue("id")))
	if err != nil {
		return err
	}
	of, err := as[struct {
		Environment string `json:"environment"`
	}](answer, nil)
	if err != nil {
		return err
	}
	s.render(v, http.StatusOK, "change", page{Title: "Change", Nav: "changes", Environment: of.Environment, Data: answer})
	return nil
}

func (s *Server) review(v *visit) error {
	said := map[string]any{"review": v.PostFormValue("review"), "shown": v.PostFormValue("shown")}
	if comment := strings.TrimSpace(v.PostFormValue("comment")); comment != "" {
		said["comment"] = comment
	}
	return s.changed(v, "reviews", said, "reviewed")
}

func (s *Server) activate(v *visit) error { return s.changed(v, "activate", nil, "activated") }

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
		return s.editor(v, statusOf(code), data)
	default:
		return err
	}
	made, err := as[struct {
		ID string `json:"id"`
	}](answer, nil)
	if err != nil {
		return err
	}
	s.redirect(v, Root+"/changes/"+url.PathEscape(made.ID)+"?done=proposed")
	return nil
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

// fileDiff is a file whose lines differ.
type fileDiff struct {
	Name  string
	Lines []lineDiff
}

type lineDiff struct {
	Class string
	Sign  string
	Text  string
}

const diffLinesMax = 2000 // of a page

// lineDiffs compares the files of two bundles line by line.
func (s *Server) lineDiffs(p page, base, after gov.BundleDigest) ([]fileDiff, error) {
	env, ok := s.Environments.Environment(gov.Environment(p.Environment))
	if !ok {
		return nil, nil
	}
	from, err := env.Engine(p.visit.Context(), base)
	if err != nil {
		return nil, err
	}
	to, err := env.Engine(p.visit.Context(), after)
	if err != nil {
		return nil, err
	}
	before, now := from.Bundle().Files, to.Bundle().Files
	names := slices.Collect(maps.Keys(before))
	for name := range now {
		if _, ok := before[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []fileDiff
	lines := 0
	for _, name := range names {
		if bytes.Equal(before[name], now[name]) || lines > diffLinesMax {
			continue
		}
		d := fileDiff{name, linesOf(diff.Diff(name, before[name], name, now[name]))}
		lines += len(d.Lines)
		out = append(out, d)
	}
	return out, nil
}

// linesOf reads a unified diff without its heading.
func linesOf(unified []byte) []lineDiff {
	var out []lineDiff
	for line := range strings.Lines(string(unified)) {
		line = strings.TrimSuffix(line, "\n")
		if len(line) == 0 || len(out) == diffLinesMax {
			break
		}
		if strings.HasPrefix(line, "diff ") || strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "+++ ") {
			continue
		}
		d := lineDiff{Sign: line[:1], Text: line[1:]}
		switch d.Sign {
		case "+":
			d.Class = "added"
		case "-":
			d.Class = "removed"
		case "@":
			d.Class, d.Sign, d.Text = "place", "", line
		}
		out = append(out, d)
	}
	return out
}
