// Package api is JSON over HTTP: the contract of api/openapi.yaml. It reads requests strictly, finds out who asks, calls the
// services and writes answers; it decides nothing itself. Every error that it writes is a problem document (RFC 9457) with a
// stable code; what it does not know it calls internal and says nothing more.
package api

import "net/http"

// scope says who may use a route.
type scope int

const (
	scopeOpen   scope = iota // anybody
	scopeLedger              // anybody, or with a private ledger an agent of its environment or an administrator
	scopeAgent               // an agent's credential
	scopeRead                // an agent's credential, which sees what is its own, or a person or administrator, who sees their environments
	scopeReview              // as scopeRead, but for agents
	scopeAdmin               // an administrator's credential, or a person who is an administrator everywhere
	scopePerson              // a person who signed in
)

// route is one line of the API.
type route struct {
	pattern string
	scope   scope
	handle  handler
}

// routes is the whole API.
func (s *Server) routes() []route { return append(s.known(), s.strangers()...) }

// known are the routes of callers who say who they are.
func (s *Server) known() []route {
	return []route{
		{"POST /v1/decisions", scopeAgent, s.decide},
		{"GET /v1/decisions", scopeRead, s.listDecisions},
		{"GET /v1/decisions/{id}", scopeRead, s.showDecision},
		{"GET /v1/decisions/{id}/replay", scopeReview, s.judgeAgain},
		{"POST /v1/decisions/{id}/result", scopeAgent, s.report},
		{"POST /v1/scan", scopeAgent, s.scan},
		{"GET /v1/approvals", scopeRead, s.listApprovals},
		{"GET /v1/approvals/stats", scopeReview, s.voteStats},
		{"GET /v1/approvals/{id}", scopeRead, s.showApproval},
		{"POST /v1/approvals/{id}/votes", scopePerson, s.vote},
		{"POST /v1/approvals/{id}/challenge", scopePerson, s.voteChallenge},
		{"GET /v1/delegations", scopeReview, s.listDelegations},
		{"POST /v1/delegations", scopePerson, s.askDelegation},
		{"GET /v1/delegations/{id}", scopeReview, s.showDelegation},
		{"POST /v1/delegations/{id}/votes", scopePerson, s.voteDelegation},
		{"DELETE /v1/delegations/{id}", scopePerson, s.endDelegation},
		{"GET /v1/switches", scopeReview, s.listSwitches},
		{"POST /v1/switches", scopeReview, s.engage},
		{"GET /v1/switches/impact", scopeReview, s.impact},
		{"GET /v1/switches/{id}", scopeReview, s.showSwitch},
		{"POST /v1/switches/{id}/stage", scopeReview, s.moveSwitch},
		{"DELETE /v1/switches/{id}", scopeReview, s.releaseSwitch},
		{"GET /v1/incidents", scopeReview, s.listIncidents},
		{"POST /v1/incidents", scopePerson, s.reportIncident},
		{"GET /v1/incidents/stats", scopeReview, s.incidentStats},
		{"GET /v1/incidents/{id}", scopeReview, s.showIncident},
		{"POST /v1/incidents/{id}/events", scopePerson, s.stepIncident},
		{"GET /v1/incidents/{id}/report", scopeReview, s.incidentReport},
		{"GET /v1/incidents/{id}/runbooks", scopeReview, s.incidentRunbooks},
		{"GET /v1/signals", scopeReview, s.listSignals},
		{"GET /v1/detectors", scopeReview, s.listDetectors},
		{"GET /v1/exercises", scopeReview, s.listExercises},
		{"POST /v1/exercises", scopeReview, s.beginExercise},
		{"GET /v1/exercises/{id}", scopeReview, s.showExercise},
		{"POST /v1/exercises/{id}/results", scopeReview, s.fileExercise},
		{"GET /v1/changes", scopeReview, s.listChanges},
		{"POST /v1/changes", scopeReview, s.propose},
		{"GET /v1/changes/{id}", scopeReview, s.showChange},
		{"GET /v1/changes/{id}/backtest", scopeReview, s.backtest},
		{"POST /v1/changes/{id}/reviews", scopePerson, s.review},
		{"POST /v1/changes/{id}/activate", scopeReview, s.activateChange},
		{"DELETE /v1/changes/{id}/activate", scopeReview, s.unschedule},
		{"POST /v1/changes/rollback", scopePerson, s.rollback},
		{"GET /v1/entries", scopeReview, s.listEntries},
		{"GET /v1/agents", scopeRead, s.listAgents},
		{"GET /v1/tools", scopeRead, s.listTools},
		{"GET /v1/bundles", scopeReview, s.listBundles},
		{"GET /v1/bundles/{digest}", scopeRead, s.showBundle},
		{"POST /v1/bundles", scopeAdmin, s.activateBundle},
		{"GET /v1/credentials", scopeAdmin, s.listCredentials},
		{"POST /v1/credentials", scopeAdmin, s.issueCredential},
		{"DELETE /v1/credentials/{id}", scopeAdmin, s.revokeCredential},
		{"GET /v1/people", scopeAdmin, s.listPeople},
		{"POST /v1/people", scopeAdmin, s.invite},
		{"GET /v1/people/{ref}", scopeReview, s.showPerson},
		{"DELETE /v1/people/{ref}", scopeAdmin, s.removePerson},
		{"GET /v1/sessions", scopeReview, s.listSessions},
		{"DELETE /v1/sessions/{id}", scopeReview, s.endSession},
		{"GET /v1/stats", scopeRead, s.stats},
		{"GET /v1/usage", scopeReview, s.usage},
		{"GET /v1/limits", scopeReview, s.listLimits},
		{"GET /v1/ledgers/{env}", scopeRead, s.showLedger},
		{"GET /v1/environments", scopeRead, s.listEnvironments},
		{"GET /v1/me", scopeRead, s.me},
	}
}

// strangers are the routes of those whom nobody knows: who checks the ledger, who looks whether the server is well, and pagers.
func (s *Server) strangers() []route {
	return []route{
		{"POST /v1/hooks/pagerduty/{channel}", scopeOpen, s.pagerDutyHook},
		{"GET /ledger/{env}/checkpoint", scopeLedger, s.checkpoint},
		{"GET /ledger/{env}/key", scopeLedger, s.ledgerKey},
		{"GET /ledger/{env}/tile/{path...}", scopeLedger, s.tile},
		{"GET /healthz", scopeOpen, s.healthy},
		{"GET /readyz", scopeOpen, s.ready},
	}
}

// Handler serves the API and, at /metrics, the counters.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern, s.serve(r))
	}
	mux.Handle("GET /metrics", s.Metrics.handler())
	mux.Handle("/", s.serve(route{"/", scopeOpen, s.noRoute}))
	return mux
}

// Patterns lists the routes, for the check against the contract.
func (s *Server) Patterns() []string {
	patterns := []string{"GET /metrics"}
	for _, r := range s.routes() {
		patterns = append(patterns, r.pattern)
	}
	return patterns
}
