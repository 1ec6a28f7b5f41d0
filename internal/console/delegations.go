package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/policy"
)

func (s *Server) delegations(v *visit) error {
	return s.list(v, "delegations", "Delegations", "approvals", "/v1/delegations", "", "pending", "granted", "used_up", "over", "ended", "denied", "expired", "lapsed")
}

func (s *Server) delegation(v *visit) error {
	return s.show(v, "delegation", "Delegation", "approvals", "/v1/delegations/"+url.PathEscape(v.PathValue("id")))
}

// delegateData is what can be consented to beforehand.
type delegateData struct {
	Gates  []policy.GatePolicy
	Agents []bundle.Agent
	Tools  []gov.ToolName // of any agent
}

func (s *Server) delegate(v *visit) error {
	env := s.environment(v)
	b, err := s.active(v, env)
	if err != nil {
		return err
	}
	data := delegateData{Agents: b.Agents}
	for _, t := range b.Tools {
		data.Tools = append(data.Tools, t.Name)
	}
	found, ok := s.Environments.Environment(gov.Environment(env))
	if !ok {
		return s.noPage(v)
	}
	for _, g := range found.Control().Engine.Gates() {
		if !g.StepUp && !g.Observed {
			data.Gates = append(data.Gates, g)
		}
	}
	s.render(v, http.StatusOK, "delegate", page{Title: "Ask for a delegation", Nav: "approvals", Environment: env, Data: data})
	return nil
}

// askDelegation asks the API for what the form says. Minutes count from when the form is sent.
func (s *Server) askDelegation(v *visit) error {
	body := map[string]any{}
	for _, name := range []string{"environment", "policy", "agent", "tool", "when", "reason"} {
		if value := strings.TrimSpace(v.PostFormValue(name)); value != "" {
			body[name] = value
		}
	}
	minutes, err := strconv.Atoi(v.PostFormValue("minutes"))
	if err != nil || minutes < 1 {
		return &gov.Error{Code: gov.CodeInvalidField, Detail: "Say for how long: a number of minutes."}
	}
	body["until"] = s.Now().Add(time.Duration(minutes) * time.Minute).UTC().Format(time.RFC3339)
	if text := strings.TrimSpace(v.PostFormValue("principal")); text != "" {
		p, err := gov.ParsePrincipal(text)
		if err != nil {
			return &gov.Error{Code: gov.CodeInvalidField, Detail: err.Error()}
		}
		body["principal"] = p
	}
	if text := strings.TrimSpace(v.PostFormValue("uses_max")); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return &gov.Error{Code: gov.CodeInvalidField, Detail: "Say how many calls: a number, or nothing."}
		}
		body["uses_max"] = n
	}
	answer, err := s.ask(v, http.MethodPost, "/v1/delegations", body)
	if err != nil {
		return err
	}
	return s.toMade(v, "/delegations/", answer, "asked")
}

func (s *Server) voteDelegation(v *visit) error {
	ballot := map[string]any{"vote": v.PostFormValue("vote"), "shown": v.PostFormValue("shown")}
	if comment := strings.TrimSpace(v.PostFormValue("comment")); comment != "" {
		ballot["comment"] = comment
	}
	return s.delegationChanged(v, http.MethodPost, "/votes", ballot, "voted")
}

func (s *Server) endDelegation(v *visit) error {
	return s.delegationChanged(v, http.MethodDelete, "", map[string]string{"reason": strings.TrimSpace(v.PostFormValue("reason"))}, "delegation-ended")
}

func (s *Server) delegationChanged(v *visit, method, step string, body any, done string) error {
	id := url.PathEscape(v.PathValue("id"))
	if _, err := s.ask(v, method, "/v1/delegations/"+id+step, body); err != nil {
		return err
	}
	s.redirect(v, Root+"/delegations/"+id+"?done="+done)
	return nil
}

// madeFor is the principal, type:ref, of whom something is said, for the visitor of a page.
func (s *Server) madeFor(p page, principal string) string {
	kind, ref, _ := strings.Cut(principal, ":")
	if gov.PrincipalType(kind) == gov.PrincipalUser {
		return s.name(p, ref)
	}
	return ref
}

// voteStatsData is how people answered in the last days.
type voteStatsData struct {
	Stats  any
	Days   []int
	Chosen int
}

func (s *Server) voteStats(v *visit) error {
	data := voteStatsData{Days: []int{7, 30, 90, 365}, Chosen: 30}
	for _, days := range data.Days {
		if v.URL.Query().Get("days") == strconv.Itoa(days) {
			data.Chosen = days
		}
	}
	to := s.Now().UTC()
	from := to.Add(-time.Duration(data.Chosen) * 24 * time.Hour)
	q := url.Values{"environment": {s.environment(v)}, "from": {from.Format(time.RFC3339Nano)}, "to": {to.Format(time.RFC3339Nano)}}
	var err error
	if data.Stats, err = s.get(v, "/v1/approvals/stats?"+q.Encode()); err != nil {
		return err
	}
	s.render(v, http.StatusOK, "approval-stats", page{Title: "Approval statistics", Nav: "approvals", Data: data})
	return nil
}
