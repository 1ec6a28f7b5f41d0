package console

import (
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/gov"
)

// with adds the environment to an API path, and what else the page's address asks for.
func (s *Server) with(v *visit, path string, keep ...string) string {
	q := url.Values{"environment": {s.environment(v)}}
	for _, name := range keep {
		if value := strings.TrimSpace(v.URL.Query().Get(name)); value != "" {
			q.Set(name, value)
		}
	}
	return path + "?" + q.Encode()
}

// show asks the API one question and shows the answer. What is of an environment says of which.
func (s *Server) show(v *visit, name, title, nav, target string) error {
	answer, err := s.get(v, target)
	if err != nil {
		return err
	}
	return s.renderOf(v, name, page{Title: title, Nav: nav, Data: answer}, answer)
}

// renderOf writes a page in the environment that an answer of the API is of.
func (s *Server) renderOf(v *visit, name string, p page, answer any) error {
	of, err := as[struct {
		Environment string `json:"environment"`
	}](answer, nil)
	if err != nil {
		return err
	}
	p.Environment = of.Environment
	s.render(v, http.StatusOK, name, p)
	return nil
}

// overviewData is what ran, what was stopped, what waits, and whether the ledger is whole.
type overviewData struct {
	Stats   any
	Ledger  any
	Stopped any
	Waiting any
	Engaged any

	Incidents any // open ones
}

func (s *Server) overview(v *visit) error {
	env := s.environment(v)
	if env == "" {
		s.render(v, http.StatusOK, "nothing", page{Title: "Nothing to see yet", Nav: "overview"})
		return nil
	}
	var data overviewData
	for _, part := range []struct {
		into   *any
		target string
	}{
		{&data.Stats, "/v1/stats?environment=" + escape(env)},
		{&data.Ledger, "/v1/ledgers/" + url.PathEscape(env)},
		{&data.Stopped, "/v1/decisions?environment=" + escape(env) + "&outcome=deny&limit=8"},
		{&data.Engaged, "/v1/switches?environment=" + escape(env) + "&state=engaged&limit=8"},
		{&data.Incidents, "/v1/incidents?environment=" + escape(env) + "&state=open&limit=8"},
		{&data.Waiting, "/v1/approvals?environment=" + escape(env) + "&state=pending&limit=8"},
	} {
		answer, err := s.get(v, part.target)
		if err != nil {
			return err
		}
		*part.into = answer
	}
	s.render(v, http.StatusOK, "overview", page{Title: "Overview", Nav: "overview", Data: data})
	return nil
}

// decisionFilters are the fields of the search.
var decisionFilters = []string{"agent", "tool", "outcome", "policy", "principal", "session", "from", "to"}

// decisionsData is a page of a search.
type decisionsData struct {
	Page    any
	Filters url.Values
	Query   template.URL // of the same search, for exports and the next page
	Older   bool         // the page is not the newest
}

func (s *Server) decisions(v *visit) error {
	q := s.searchOf(v)
	answer, err := s.get(v, "/v1/decisions?"+q.Encode())
	if err != nil {
		return err
	}
	plain := url.Values{}
	for name, values := range q {
		if name != "cursor" && name != "limit" {
			plain[name] = values
		}
	}
	data := decisionsData{Page: answer, Filters: shown(v), Query: template.URL(plain.Encode()), Older: q.Get("cursor") != ""}
	s.render(v, http.StatusOK, "decisions", page{Title: "Decisions", Nav: "decisions", Data: data})
	return nil
}

func shown(v *visit) url.Values {
	out := url.Values{}
	for _, name := range decisionFilters {
		out.Set(name, strings.TrimSpace(v.URL.Query().Get(name)))
	}
	return out
}

// searchOf is the API's query for what the page's address asks for. Times of a form have no zone: they are UTC.
func (s *Server) searchOf(v *visit) url.Values {
	q := url.Values{"environment": {s.environment(v)}, "limit": {"50"}}
	for _, name := range append([]string{"cursor"}, decisionFilters...) {
		value := strings.TrimSpace(v.URL.Query().Get(name))
		if value == "" {
			continue
		}
		if name == "from" || name == "to" {
			if t, err := time.Parse("2006-01-02T15:04", value); err == nil {
				value = t.UTC().Format(time.RFC3339)
			}
		}
		if name == "principal" && strings.HasPrefix(value, "user:p_") {
			name = "principal_ref"
		}
		q.Set(name, value)
	}
	return q
}

func (s *Server) decision(v *visit) error {
	return s.show(v, "decision", "Decision", "decisions", "/v1/decisions/"+url.PathEscape(v.PathValue("id")))
}

func (s *Server) replay(v *visit) error {
	return s.show(v, "replay", "Judged again", "decisions", "/v1/decisions/"+url.PathEscape(v.PathValue("id"))+"/replay")
}

// listData is a list by state.
type listData struct {
	Page   any
	State  string
	States []string
	Query  string
}

func (s *Server) list(v *visit, name, title, nav, path string, states ...string) error {
	state := v.URL.Query().Get("state")
	if !v.URL.Query().Has("state") {
		state = states[0]
	}
	q := url.Values{"environment": {s.environment(v)}, "limit": {"50"}}
	if state != "" {
		q.Set("state", state)
	}
	if cursor := v.URL.Query().Get("cursor"); cursor != "" {
		q.Set("cursor", cursor)
	}
	answer, err := s.get(v, path+"?"+q.Encode())
	if err != nil {
		return err
	}
	s.render(v, http.StatusOK, name, page{Title: title, Nav: nav, Data: listData{Page: answer, State: state, States: states, Query: v.URL.RawQuery}})
	return nil
}

func (s *Server) approvals(v *visit) error {
	return s.list(v, "approvals", "Approvals", "approvals", "/v1/approvals", "pending", "approved", "denied", "expired", "unused", "consumed")
}

func (s *Server) approval(v *visit) error {
	return s.show(v, "approval", "Request for approval", "approvals", "/v1/approvals/"+url.PathEscape(v.PathValue("id")))
}

func (s *Server) vote(v *visit) error {
	ballot := map[string]any{"vote": v.PostFormValue("vote"), "shown": v.PostFormValue("shown")}
	if comment := strings.TrimSpace(v.PostFormValue("comment")); comment != "" {
		ballot["comment"] = comment
	}
	if assertion := json.RawMessage(v.PostFormValue("assertion")); json.Valid(assertion) {
		ballot["assertion"] = assertion
	}
	id := v.PathValue("id")
	if _, err := s.ask(v, http.MethodPost, "/v1/approvals/"+url.PathEscape(id)+"/votes", ballot); err != nil {
		return err
	}
	s.redirect(v, Root+"/approvals/"+url.PathEscape(id)+"?done=voted")
	return nil
}

func (s *Server) voteChallenge(v *visit) error {
	options, err := s.ask(v, http.MethodPost, "/v1/approvals/"+url.PathEscape(v.PathValue("id"))+"/challenge", nil)
	if err != nil {
		return err
	}
	return answerJSON(v, options)
}

// agentsData is the inventory with what was used of it.
type agentsData struct {
	Inventory any
	Used      map[string]agentUsage
}

// agentUsage is what an agent may call, and how often it did in the last 90 days.
type agentUsage struct {
	Agent string      `json:"agent"`
	Tools []toolUsage `json:"tools"`
}

type toolUsage struct {
	Tool    string `json:"tool"`
	Granted bool   `json:"granted"`
	Calls   int64  `json:"calls"`
}

// Unused counts the grants that were not used.
func (a agentUsage) Unused() (n int) {
	for _, t := range a.Tools {
		if t.Granted && t.Calls == 0 {
			n++
		}
	}
	return n
}

func (s *Server) agents(v *visit) error {
	found, err := s.get(v, s.with(v, "/v1/agents"))
	if err != nil {
		return err
	}
	used, err := as[struct {
		Agents []agentUsage `json:"agents"`
	}](s.get(v, s.with(v, "/v1/usage")))
	if err != nil {
		return err
	}
	byAgent := map[string]agentUsage{}
	for _, a := range used.Agents {
		byAgent[a.Agent] = a
	}
	s.render(v, http.StatusOK, "agents", page{Title: "Agents", Nav: "agents", Data: agentsData{found, byAgent}})
	return nil
}

func (s *Server) tools(v *visit) error {
	return s.show(v, "tools", "Tools", "tools", s.with(v, "/v1/tools"))
}

func (s *Server) limits(v *visit) error {
	return s.show(v, "limits", "Limits", "limits", s.with(v, "/v1/limits", "agent", "id"))
}

func (s *Server) ledger(v *visit) error {
	return s.show(v, "ledger", "Ledger", "ledger", "/v1/ledgers/"+url.PathEscape(s.environment(v)))
}

// peopleData is who there is, and who is signed in.
type peopleData struct {
	People     any
	Sessions   any
	Invitation any // just made
}

func (s *Server) peopleWith(v *visit, invitation any) error {
	found, err := s.get(v, "/v1/people?limit=200")
	if err != nil {
		return err
	}
	sessions, err := s.get(v, "/v1/sessions")
	if err != nil {
		return err
	}
	s.render(v, http.StatusOK, "people", page{Title: "People", Nav: "people", Data: peopleData{found, sessions, invitation}})
	return nil
}

func (s *Server) people(v *visit) error { return s.peopleWith(v, nil) }

func (s *Server) invite(v *visit) error {
	body := map[string]any{"person": "user:" + strings.TrimPrefix(strings.TrimSpace(v.PostFormValue("person")), "user:")}
	for _, name := range []string{"name", "email"} {
		if value := strings.TrimSpace(v.PostFormValue(name)); value != "" {
			body[name] = value
		}
	}
	if roles := v.PostForm["roles"]; len(roles) > 0 {
		body["roles"] = roles
	}
	invitation, err := s.ask(v, http.MethodPost, "/v1/people", body)
	if err != nil {
		return err
	}
	return s.peopleWith(v, invitation)
}

func (s *Server) removePerson(v *visit) error {
	body := map[string]string{"reason": strings.TrimSpace(v.PostFormValue("reason"))}
	if _, err := s.ask(v, http.MethodDelete, "/v1/people/"+url.PathEscape(v.PathValue("ref")), body); err != nil {
		return err
	}
	s.redirect(v, Root+"/people?done=removed")
	return nil
}

func (s *Server) endSession(v *visit) error {
	if _, err := s.ask(v, http.MethodDelete, "/v1/sessions/"+url.PathEscape(v.PathValue("id")), nil); err != nil {
		return err
	}
	to := Root + "/me?done=ended"
	if v.PostFormValue("from") == "people" {
		to = Root + "/people?done=ended"
	}
	s.redirect(v, to)
	return nil
}

// credentialsData is what may ask for decisions.
type credentialsData struct {
	List   any
	Issued any // just made
}

func (s *Server) credentialsWith(v *visit, issued any) error {
	list, err := s.get(v, "/v1/credentials")
	if err != nil {
		return err
	}
	s.render(v, http.StatusOK, "credentials", page{Title: "Credentials", Nav: "credentials", Data: credentialsData{list, issued}})
	return nil
}

func (s *Server) credentials(v *visit) error { return s.credentialsWith(v, nil) }

func (s *Server) issue(v *visit) error {
	body := map[string]any{}
	for _, name := range []string{"environment", "agent", "principal", "note"} {
		if value := strings.TrimSpace(v.PostFormValue(name)); value != "" {
			body[name] = value
		}
	}
	issued, err := s.ask(v, http.MethodPost, "/v1/credentials", body)
	if err != nil {
		return err
	}
	return s.credentialsWith(v, issued)
}

func (s *Server) revoke(v *visit) error {
	if _, err := s.ask(v, http.MethodDelete, "/v1/credentials/"+url.PathEscape(v.PathValue("id")), nil); err != nil {
		return err
	}
	s.redirect(v, Root+"/credentials?done=revoked")
	return nil
}

// meData is who is signed in, and where else.
type meData struct {
	Me       any
	Sessions any
	Passkeys int
}

func (s *Server) me(v *visit) error {
	me, err := s.get(v, "/v1/me")
	if err != nil {
		return err
	}
	ref := v.caller.Actor(s.People.Key).ID
	sessions, err := s.People.Sessions(v.Context(), ref)
	if err != nil {
		return err
	}
	p, err := s.People.Find(v.Context(), ref)
	if err != nil && gov.CodeOf(err) != gov.CodeNotFound {
		return err
	}
	s.render(v, http.StatusOK, "me", page{Title: "You", Nav: "me", Data: meData{me, sessions, len(p.Passkeys)}})
	return nil
}
