// Package console is HTML over HTTP: the pages in which people approve, change, search and check. It shows what the API gives,
// asked through Direct for the person who is signed in, and changes nothing but through it; so it needs no rule of its own about
// who may do what. It promises that no page runs a script that is not the server's own, that a form counts only when it was sent
// from these pages, and that everything works with the keyboard alone and without a script, but for passkeys, which need one.
package console

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/people"
)

//go:embed templates static
var files embed.FS

// API is what the console asks. api.Direct implements it.
type API interface {
	Ask(ctx context.Context, caller identity.Caller, method, target string, body []byte) (any, error)
	Status(code gov.Code) int // HTTP status of a kind of error
}

// Server is the console. Its fields are set once, before Handler.
type Server struct {
	API          API
	People       *people.Service
	Identity     *identity.Service
	Environments *live.Set
	NetworkRef   func(address string) string // opaque reference of a network address
	Now          func() time.Time
	Log          *slog.Logger

	Closing <-chan struct{} // closed when the server stops: pages that wait for news let go

	templates *templates
	attempts  attempts
	watching  atomic.Int64
}

// Root is where the console is.
const Root = "/console"

const (
	formBytesMax = 1 << 20

	// policyCSP lets pages use what this server serves, and nothing else; nothing inline.
	policyCSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

// visit is one request with who makes it.
type visit struct {
	*http.Request
	w      http.ResponseWriter
	caller identity.Caller // zero when nobody is signed in

	environments []string          // that the visitor may read, the organization's own ledger last
	names        map[string]string // of references that the page shows
}

// Handler serves everything below Root.
func (s *Server) Handler() (http.Handler, error) {
	s.templates = &templates{funcs: s.funcs(), parsed: map[string]*template.Template{}}
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for _, rt := range s.routes() {
		mux.HandleFunc(rt.pattern, s.serve(rt))
	}
	mux.Handle("GET "+Root+"/static/", http.StripPrefix(Root+"/static/", cached(static)))
	mux.HandleFunc(Root+"/", s.serve(route{"", open, s.noPage}))
	return secured(http.NewCrossOriginProtection().Handler(s.underName(mux))), nil
}

// underName sends a browser that came by the address of this machine to its name, which passkeys are bound to.
func (s *Server) underName(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		port, byAddress := strings.CutPrefix(r.Host, "127.0.0.1:")
		if byAddress && r.Method == http.MethodGet && s.People.URL == "http://localhost:"+port {
			http.Redirect(w, r, s.People.URL+r.URL.RequestURI(), http.StatusTemporaryRedirect)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// secured sets the headers that every answer has.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policyCSP)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// cached serves files, and no lists of them.
func cached(from fs.FS) http.Handler {
	serve := http.FileServerFS(from)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if info, err := fs.Stat(from, r.URL.Path); err != nil || info.IsDir() {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=3600")
		serve.ServeHTTP(w, r)
	})
}

func (s *Server) serve(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := &visit{Request: r, w: w}
		r.Body = http.MaxBytesReader(w, r.Body, formMax(rt))
		err := s.admit(rt, v)
		if gov.CodeOf(err) == gov.CodeUnauthenticated && v.Method == http.MethodGet && !byScript(v) {
			s.redirect(v, Root+"/sign-in?next="+escape(v.URL.RequestURI()))
			return
		}
		if err == nil {
			err = readForm(v)
		}
		if err == nil {
			err = rt.handle(v)
		}
		if err != nil {
			s.fail(v, err)
		}
	}
}

// byScript says whether a page asks by itself for what is new: nobody need be there.
func byScript(v *visit) bool {
	return v.Header.Get("HX-Request") != "" || v.URL.Path == Root+"/live" || strings.HasSuffix(v.URL.Path, "/backtest/events")
}

// readForm reads a form whole, or refuses it: half a form is another one.
func readForm(v *visit) error {
	if v.Method != http.MethodPost {
		return nil
	}
	err := v.ParseForm()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &gov.Error{Code: gov.CodeBodyTooLarge, Detail: fmt.Sprintf("The form is over %d bytes.", tooLarge.Limit)}
	case err != nil:
		return &gov.Error{Code: gov.CodeInvalidField, Detail: "The form did not arrive whole. Try again.", Err: err}
	}
	return nil
}

func formMax(rt route) int64 {
	if rt.pattern == "POST "+Root+"/changes/new" {
		return bundleBytesMax
	}
	return formBytesMax
}

// admit finds out who visits. Who is not signed in is asked to, and comes back to the page.
func (s *Server) admit(rt route, v *visit) error {
	err := s.signedIn(v)
	if rt.access == open {
		return nil
	}
	if err == nil && v.caller.Session == "" {
		err = &gov.Error{Code: gov.CodeUnauthenticated, Detail: "sign in first"}
	}
	return err
}

// signedIn reads the session's cookie, and keeps it fresh while somebody is there.
func (s *Server) signedIn(v *visit) error {
	c, _ := v.Cookie(s.cookieName()) // the only error is that there is none
	if c == nil {
		return nil
	}
	token, renew, ok := s.People.FromCookie(c.Value)
	if !ok {
		return nil
	}
	caller, err := s.People.Visitor(v.Context(), token)
	if err != nil {
		if gov.CodeOf(err) == gov.CodeUnauthenticated {
			return nil
		}
		return err
	}
	v.caller = caller
	if renew && !byScript(v) {
		s.setSession(v, token)
	}
	return s.readEnvironments(v)
}

// ask asks the API for the visitor.
func (s *Server) ask(v *visit, method, target string, body any) (any, error) {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	return s.API.Ask(v.Context(), v.caller, method, target, data)
}

func (s *Server) get(v *visit, target string) (any, error) {
	return s.ask(v, http.MethodGet, target, nil)
}

// as reads an answer of the API in a form of the console's own.
func as[T any](answer any, err error) (T, error) {
	var out T
	if err != nil {
		return out, err
	}
	data, err := json.Marshal(answer)
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(data, &out)
}

// fail shows what went wrong. What is not meant for people says nothing more.
func (s *Server) fail(v *visit, err error) {
	code := gov.CodeOf(err)
	p := problem{Status: s.API.Status(code), Code: code, Detail: detailOf(err)}
	if code == gov.CodeSignInStale {
		p.Again = Root + "/sign-in?again=1&next=" + escape(backOf(v))
	}
	p.Back = backOf(v)
	if p.Status >= http.StatusInternalServerError {
		s.Log.Error("console", "path", v.URL.Path, "err", err)
	}
	s.render(v, p.Status, "problem", page{Title: http.StatusText(p.Status), Data: p})
}

// detailOf is what an error says to people.
func detailOf(err error) string {
	var known *gov.Error
	if errors.As(err, &known) && known.Code != gov.CodeInternal {
		return known.Detail
	}
	return "Something went wrong on our side. The log of the server says what."
}

// backOf is the page that a form was on: the path without the last step.
func backOf(v *visit) string {
	if v.Method == http.MethodGet {
		return v.URL.RequestURI()
	}
	at := strings.LastIndexByte(v.URL.Path, '/')
	return v.URL.Path[:max(at, len(Root)+1)]
}

// problem is an error for people to read.
type problem struct {
	Status int
	Code   gov.Code
	Detail string
	Again  string // where a fresh sign-in is had
	Back   string
}

func (s *Server) noPage(*visit) error {
	return &gov.Error{Code: gov.CodeNotFound, Detail: "There is no such page."}
}

func (s *Server) redirect(v *visit, to string) {
	http.Redirect(v.w, v.Request, to, http.StatusSeeOther)
}

// toMade goes to the page of what the API made, which says that it was.
func (s *Server) toMade(v *visit, pages string, answer any, done string) error {
	made, err := as[struct {
		ID string `json:"id"`
	}](answer, nil)
	if err != nil {
		return err
	}
	s.redirect(v, Root+pages+url.PathEscape(made.ID)+"?done="+done)
	return nil
}

// page is what a template gets.
type page struct {
	Title        string
	Nav          string // which entry of the navigation it belongs to
	Caller       identity.Caller
	Name         string
	Admin        bool
	Environment  string
	Environments []string
	Path         string
	Query        string
	Notice       string
	Data         any

	visit *visit
}

// render writes a page. It is made whole first: a page that breaks in the middle looks like the whole.
func (s *Server) render(v *visit, status int, name string, p page) {
	s.fill(v, &p)
	var out bytes.Buffer
	if err := s.templates.get(name).ExecuteTemplate(&out, "base", p); err != nil {
		s.Log.Error("console", "template", name, "err", err)
		http.Error(v.w, "the page could not be made; the log of the server says why", http.StatusInternalServerError)
		return
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	if _, err := out.WriteTo(v.w); err != nil {
		s.Log.Debug("console", "err", err)
	}
}

// notices are what a page says after something was done. Addresses name them, and cannot make up others.
func notices() map[string]string {
	return map[string]string{
		"voted": "Your vote is recorded.", "asked": "The others are asked.", "delegation-ended": "The delegation has ended.",
		"stopped": "Stopped, on every node.", "moved": "The switch is moved.", "switch-proposed": "Recorded. It takes another person to say the same.",
		"incident": "The incident is open, and those who respond are told.", "step": "Recorded.",
		"exercise": "The exercise runs. What the detectors find of its agents is labelled until you file what came of it.", "filed": "Filed. The exercise is over.",
		"reviewed": "Your review is recorded.", "activated": "The bundle is in force.",
		"scheduled": "The bundle comes into force at that time.", "unscheduled": "The change waits again.",
		"rolled-back": "The bundle before is in force again. Somebody else reviews this within two working days.", "proposed": "The change is proposed. Somebody else reviews it.",
		"removed": "The person is removed, and their sessions are over.", "ended": "The session is over.", "revoked": "The credential is revoked.",
		"enrolled": "The passkey is enrolled.", "signed-out": "You are signed out.",
	}
}

func (s *Server) fill(v *visit, p *page) {
	p.visit = v
	p.Path, p.Query, p.Caller = v.URL.Path, v.URL.RawQuery, v.caller
	p.Notice = notices()[v.URL.Query().Get("done")]
	if v.caller.Session == "" {
		return
	}
	p.Name = v.caller.Principal.ID
	if person, err := s.People.Find(v.Context(), v.caller.Actor(s.People.Key).ID); err == nil && person.Profile.Name != "" {
		p.Name = person.Profile.Name
	}
	for _, r := range v.caller.Roles {
		p.Admin = p.Admin || r == gov.RoleAdmin
	}
	p.Environments = v.environments
	if p.Environment == "" {
		p.Environment = s.environment(v)
	}
}

// readEnvironments asks which environments the visitor may read.
func (s *Server) readEnvironments(v *visit) error {
	type list struct {
		Environments []struct {
			Name string `json:"name"`
		} `json:"environments"`
	}
	found, err := as[list](s.get(v, "/v1/environments"))
	if err != nil {
		return err
	}
	var last []string
	for _, e := range found.Environments {
		if e.Name == string(gov.OrgLedger) {
			last = append(last, e.Name)
		} else {
			v.environments = append(v.environments, e.Name)
		}
	}
	v.environments = append(v.environments, last...)
	return nil
}

// environment is the one that the page is about: as the address says, or the first.
func (s *Server) environment(v *visit) string {
	if asked := v.URL.Query().Get("environment"); asked != "" {
		return asked
	}
	if len(v.environments) > 0 {
		return v.environments[0]
	}
	return ""
}
