package console

// access says who may see a page at all. What they see on it the API says.
type access int

const (
	open   access = iota // anybody
	person               // who is signed in
)

type route struct {
	pattern string
	access  access
	handle  func(*visit) error
}

// routes is the whole console.
func (s *Server) routes() []route {
	return append(s.signInRoutes(), []route{
		{"GET " + Root + "/{$}", person, s.overview},
		{"GET " + Root + "/live", person, s.live},
		{"GET " + Root + "/decisions", person, s.decisions},
		{"GET " + Root + "/decisions/{id}", person, s.decision},
		{"GET " + Root + "/decisions/{id}/replay", person, s.replay},
		{"GET " + Root + "/export/{file}", person, s.export},
		{"GET " + Root + "/approvals", person, s.approvals},
		{"GET " + Root + "/approvals/stats", person, s.voteStats},
		{"GET " + Root + "/approvals/{id}", person, s.approval},
		{"POST " + Root + "/approvals/{id}/vote", person, s.vote},
		{"POST " + Root + "/approvals/{id}/challenge", person, s.voteChallenge},
		{"GET " + Root + "/delegations", person, s.delegations},
		{"GET " + Root + "/delegations/new", person, s.delegate},
		{"POST " + Root + "/delegations/new", person, s.askDelegation},
		{"GET " + Root + "/delegations/{id}", person, s.delegation},
		{"POST " + Root + "/delegations/{id}/vote", person, s.voteDelegation},
		{"POST " + Root + "/delegations/{id}/end", person, s.endDelegation},
		{"GET " + Root + "/containment", person, s.containment},
		{"GET " + Root + "/containment/stop", person, s.stopPage},
		{"POST " + Root + "/containment/stop", person, s.stop},
		{"GET " + Root + "/containment/{id}", person, s.switchPage},
		{"POST " + Root + "/containment/{id}/stage", person, s.moveSwitch},
		{"GET " + Root + "/incidents", person, s.incidents},
		{"POST " + Root + "/incidents/new", person, s.reportIncident},
		{"GET " + Root + "/incidents/{id}", person, s.incident},
		{"POST " + Root + "/incidents/{id}/step", person, s.stepIncident},
		{"GET " + Root + "/incidents/{id}/report", person, s.incidentReport},
		{"GET " + Root + "/exercises", person, s.exercises},
		{"POST " + Root + "/exercises/new", person, s.beginExercise},
		{"GET " + Root + "/exercises/{id}", person, s.exercise},
		{"POST " + Root + "/exercises/{id}/results", person, s.fileExercise},
		{"GET " + Root + "/detectors", person, s.detectors},
		{"GET " + Root + "/signals", person, s.signals},
		{"GET " + Root + "/changes", person, s.changes},
		{"GET " + Root + "/changes/new", person, s.newChange},
		{"POST " + Root + "/changes/new", person, s.propose},
		{"POST " + Root + "/changes/rollback", person, s.rollback},
		{"GET " + Root + "/changes/{id}", person, s.change},
		{"POST " + Root + "/changes/{id}/review", person, s.review},
		{"POST " + Root + "/changes/{id}/activate", person, s.activate},
		{"POST " + Root + "/changes/{id}/unschedule", person, s.unschedule},
		{"GET " + Root + "/changes/{id}/backtest", person, s.backtest},
		{"GET " + Root + "/changes/{id}/backtest/events", person, s.backtestEvents},
		{"GET " + Root + "/versions", person, s.versions},
		{"GET " + Root + "/agents", person, s.agents},
		{"GET " + Root + "/tools", person, s.tools},
		{"GET " + Root + "/limits", person, s.limits},
		{"GET " + Root + "/ledger", person, s.ledger},
		{"GET " + Root + "/people", person, s.people},
		{"POST " + Root + "/people/invite", person, s.invite},
		{"POST " + Root + "/people/{ref}/remove", person, s.removePerson},
		{"POST " + Root + "/sessions/{id}/end", person, s.endSession},
		{"GET " + Root + "/credentials", person, s.credentials},
		{"POST " + Root + "/credentials/issue", person, s.issue},
		{"POST " + Root + "/credentials/{id}/revoke", person, s.revoke},
		{"GET " + Root + "/me", person, s.me},
	}...)
}

// signInRoutes are about who visits.
func (s *Server) signInRoutes() []route {
	return []route{
		{"GET " + Root + "/sign-in", open, s.signInPage},
		{"GET " + Root + "/sign-in/oidc", open, s.beginOIDC},
		{"GET " + Root + "/sign-in/callback", open, s.callback},
		{"POST " + Root + "/sign-in/backchannel-logout", open, s.backChannelLogout},
		{"POST " + Root + "/sign-in/passkey", open, s.beginPasskey},
		{"POST " + Root + "/sign-in/passkey/finish", open, s.finishPasskey},
		{"GET " + Root + "/sign-in/device", person, s.devicePage},
		{"POST " + Root + "/sign-in/device", person, s.allowDevice},
		{"POST " + Root + "/sign-out", person, s.signOut},
		{"GET " + Root + "/enrol", open, s.enrolPage},
		{"POST " + Root + "/enrol", open, s.beginEnrol},
		{"POST " + Root + "/enrol/finish", open, s.finishEnrol},
	}
}
