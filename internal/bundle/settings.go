package bundle

import (
	"slices"
	"strings"

	"github.com/writ-dev/writ/internal/gov"
)

// Retention in days. Financial and AI regulation asks for records of at least half a year to a year; a bundle cannot go
// below a year, and says nothing to get fifteen months.
const (
	retentionDaysMin     = 365
	retentionDaysDefault = 455
	retentionDaysMax     = 36_500
)

// settings reads writ.yaml.
func (r *reader) settings() {
	v, ok := r.docs[fileSettings]
	if !ok {
		r.wrong(fileSettings, 0, "write one: environments: {prod: {mode: enforce}}", "the bundle has no writ.yaml")
		return
	}
	get := v.fields(fileSettings, 1, "environments!", "retention", "change_approvers!", "groups!", "roles", "notify", "on_call")
	r.environments(get("environments"))
	r.groups(get("groups"))
	r.roles(get("roles"))
	r.retention(get("retention"))
	r.b.Approvers = listOf(get("change_approvers"), "change_approvers", groupIDs(r.b))
	r.channels(get("notify"))
	r.onCall(get("on_call"))
	if v := get("change_approvers"); v.given() && len(v.node.Content) == 0 {
		v.wrong("name a group of people who review changes", "change_approvers is empty, so nobody could ever change this bundle")
	}
	if listed := r.b.Reviewers(); len(listed) == 1 {
		get("change_approvers").wrong("list a second person in these groups, or nobody where the identity provider says who is in them",
			"%s alone is listed to review changes, and nobody reviews their own", listed[0])
	}
}

// Reviewers are the users that the groups of change_approvers list, sorted. An identity provider may know of more.
func (b *Bundle) Reviewers() []gov.Principal {
	var out []gov.Principal
	for _, g := range b.Groups {
		if !slices.Contains(b.Approvers, g.ID) {
			continue
		}
		for _, p := range g.Members {
			if p.Type == gov.PrincipalUser {
				out = append(out, p)
			}
		}
	}
	slices.SortFunc(out, func(a, b gov.Principal) int { return strings.Compare(a.ID, b.ID) })
	return slices.Compact(out)
}

// roles reads which groups have which role. Who approves is said by change_approvers and by policies.
func (r *reader) roles(v value) {
	for _, m := range v.members("roles") {
		role := gov.Role(m.key)
		if !slices.Contains(grantable, role) {
			r.wrong(m.file, m.line, "write author, responder, auditor or admin; approvers are named by change_approvers and by @require_approval", "%q is no role that a group can have", m.key)
			continue
		}
		for _, g := range listOf(m.value, "roles."+m.key, groupIDs(r.b)) {
			r.b.Roles[g] = append(r.b.Roles[g], role)
		}
	}
}

// grantable are the roles that a bundle gives to groups.
var grantable = []gov.Role{gov.RoleAdmin, gov.RoleAuthor, gov.RoleResponder, gov.RoleAuditor}

func (r *reader) environments(v value) {
	for _, m := range v.members("environments") {
		if !gov.ValidName(m.key) || gov.Environment(m.key) == gov.OrgLedger {
			r.wrong(m.file, m.line, nameRemedy+", and not org", "%q cannot name an environment", m.key)
			continue
		}
		get := m.fields("environment "+m.key, m.line, "mode!")
		mode := oneOf(get("mode"), "mode", []gov.Mode{gov.ModeEnforce, gov.ModeObserve})
		r.b.Environments = append(r.b.Environments, Environment{Name: gov.Environment(m.key), Mode: mode})
	}
	if v.given() && len(r.b.Environments) == 0 {
		v.wrong("write at least one: prod: {mode: enforce}", "there is no environment")
	}
}

// nameRemedy says what gov.ValidName accepts.
const nameRemedy = "use lower-case letters, digits, dot, dash and underscore, 128 at most"

func (r *reader) groups(v value) {
	for _, m := range v.members("groups") {
		if !gov.ValidName(m.key) {
			r.wrong(m.file, m.line, nameRemedy, "%q cannot name a group", m.key)
			continue
		}
		get := m.fields("group "+m.key, m.line, "description!", "members")
		g := Group{ID: gov.GroupID(m.key), Description: get("description").text("description")}
		for _, item := range get("members").items("members") {
			if p, ok := item.principal("a member"); ok {
				g.Members = append(g.Members, p)
			}
		}
		r.b.Groups = append(r.b.Groups, g)
	}
}

func (v value) principal(what string) (gov.Principal, bool) {
	text := v.text(what)
	if text == "" {
		return gov.Principal{}, false
	}
	p, err := gov.ParsePrincipal(text)
	if err != nil {
		v.wrong("write user:ID, service:ID or organization:ID", "%s is %q", what, text)
	}
	return p, err == nil
}

func (r *reader) retention(v value) {
	if !v.given() {
		return
	}
	days := v.fields("retention", v.line(), "days!")("days")
	n := days.count("retention.days")
	if n == 0 {
		return
	}
	if n < retentionDaysMin || n > retentionDaysMax {
		days.wrong("write 365 or more, up to 36500", "records would be kept for %d days", n)
		return
	}
	r.b.Retention.Days = int(n)
}

func groupIDs(b *Bundle) []gov.GroupID {
	out := make([]gov.GroupID, len(b.Groups))
	for i, g := range b.Groups {
		out[i] = g.ID
	}
	return out
}

func environmentNames(b *Bundle) []gov.Environment {
	out := make([]gov.Environment, len(b.Environments))
	for i, e := range b.Environments {
		out[i] = e.Name
	}
	return out
}
