package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/limit"
)

// State is the control state that a call is judged under.
type State struct {
	Environment     gov.Environment
	Engine          *Engine         // nil: no bundle is active
	Switches        []gov.Switch    // that are engaged
	Labels          []gov.Label     // of the session so far, sorted
	Taint           []canon.Taint   // what of the input the session knows from untrusted results alone
	Findings        []canon.Finding // of the scanner, in the input
	CredentialValid bool
	CredentialAgent gov.AgentID // that the credential is bound to
	Full            Full        // whether limits are used up; nil: none is
	Consent         *Consent    // what people said to this very call before, if they were asked
	Standing        []Standing  // what people consented to beforehand, of which this call is one; the first of a policy counts
	Time            time.Time   // of the judgement, UTC
	PrincipalRef    string      // the principal as records name it, type:ref
}

// Full says that a limit has less left than a call takes.
type Full func(limit.Charge) bool

// Verdict is the outcome of a judgement and what it rests on.
type Verdict struct {
	Outcome     gov.Outcome // what the agent is told
	Mode        gov.Mode
	Would       gov.Outcome    // what it would have been: of what observe mode let pass, or of what a switch that is being released denied
	Reasons     []gov.Reason   // sorted, never empty
	Policies    []gov.PolicyID // that determined it; sorted, never nil
	LabelsAdded []gov.Label    // that the session gains, with an allow; sorted
	Gate        *Gate          // with require_approval
	Consented   bool           // State.Consent counted, for or against the call
	Delegations []gov.EntryID  // of State.Standing, those that counted; sorted
	Limited     bool           // limits were looked at: it holds while those are used up that State.Full said are
	Charges     []limit.Charge // of the limits that were looked at, or that the call takes of because it is allowed
	InputPath   string         // with the reason input_schema: the JSON pointer of what does not fit
}

// Evaluate judges a call.
func Evaluate(s State, c gov.Call) Verdict {
	j := &judgement{state: s, call: c, mode: gov.ModeEnforce}
	v := j.judge()
	v.Mode = j.mode
	slices.SortFunc(v.Reasons, compareReasons)
	slices.Sort(v.Policies)
	v.Policies = slices.Compact(v.Policies)
	if v.Policies == nil {
		v.Policies = []gov.PolicyID{}
	}
	if v.Outcome == gov.OutcomeAllow && j.tool != nil {
		v.LabelsAdded = missing(s.Labels, j.tool.Labels)
	}
	if v.Limited = j.limited; j.limited || v.Outcome == gov.OutcomeAllow {
		v.Charges = j.charges()
	}
	return v
}

func compareReasons(a, b gov.Reason) int {
	return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Message, b.Message))
}

func missing(have, want []gov.Label) []gov.Label {
	var out []gov.Label
	for _, l := range want {
		if !slices.Contains(have, l) {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// judgement is one call being judged.
type judgement struct {
	state State
	call  gov.Call
	mode  gov.Mode
	tool  *tool

	limited bool // limits were looked at
	charged []limit.Charge
	known   bool // charged is what there is
}

// charges is what the call takes of the limits that it is of.
func (j *judgement) charges() []limit.Charge {
	if !j.known {
		j.known, j.charged = true, j.state.Engine.Charges(j.state.Environment, j.call, j.state.PrincipalRef)
	}
	return j.charged
}

// full are the limits that have less left than the call takes.
func (j *judgement) full() (out []limit.Charge) {
	j.limited = true
	for _, c := range j.charges() {
		if c.Wrong || j.state.Full != nil && j.state.Full(c) {
			out = append(out, c)
		}
	}
	return out
}

// usedUp is the verdict where limits have too little left.
func usedUp(full []limit.Charge) Verdict {
	v := Verdict{Outcome: gov.OutcomeDeny}
	for _, c := range full {
		v.Reasons = append(v.Reasons, UsedUp(c))
	}
	return v
}

// UsedUp is the reason to deny a call that takes more of a limit than is left.
func UsedUp(c limit.Charge) gov.Reason {
	message := fmt.Sprintf("The limit %s is used up: %s. Try again later.", c.ID, c.Words())
	switch {
	case c.Wrong:
		message = fmt.Sprintf("The limit %s counts the dollars in the field %s of the input, which has no such amount. Give a number from 0 with up to six decimals.", c.ID, c.Amount)
	case c.Amount != "":
		message = fmt.Sprintf("The limit %s has less left than this call takes: %s. Take less, or try again later.", c.ID, c.Words())
	}
	return gov.Reason{Code: gov.ReasonLimit, Message: message}
}

func deny(code gov.ReasonCode, message string) Verdict {
	return Verdict{Outcome: gov.OutcomeDeny, Reasons: []gov.Reason{{Code: code, Message: message}}}
}

// judge goes through the order of judgement: the first that applies.
func (j *judgement) judge() Verdict {
	e := j.state.Engine
	if e == nil {
		return deny(gov.ReasonNoBundle, "No bundle is active in this environment, so nothing is allowed. An administrator activates one.")
	}
	if env, ok := e.bundle.Environment(j.state.Environment); ok && env.Mode == gov.ModeObserve {
		j.mode = gov.ModeObserve
	}
	j.tool = e.tools[j.call.Tool]
	v, stopped, observed := j.always()
	if stopped && !observed {
		return v
	}
	would := j.enforced()
	if j.mode == gov.ModeObserve && would.Outcome != gov.OutcomeAllow {
		would.Would, would.Outcome, would.Gate = would.Outcome, gov.OutcomeAllow, nil
	}
	if stopped {
		v.Would = would.Outcome
		return v
	}
	return would
}

// always is what is enforced in every mode: credentials, suspended agents and switches. observed says that of the switches which
// stop the call none but such as are being released do, which want to know what it would have been.
func (j *judgement) always() (v Verdict, stopped, observed bool) {
	if !j.state.CredentialValid || j.state.CredentialAgent != j.call.Agent {
		return deny(gov.ReasonCredential, "The credential was revoked, has expired, or is of another agent. Use a valid key of this agent."), true, false
	}
	if agent, ok := j.state.Engine.bundle.Agent(j.call.Agent); ok && agent.Suspended {
		return deny(gov.ReasonAgentSuspended, fmt.Sprintf("The agent %s is suspended.", j.call.Agent)), true, false
	}
	observed = true
	for _, s := range j.state.Switches {
		if !j.hit(s) {
			continue
		}
		stopped, observed = true, observed && s.Stage == gov.SwitchObserve
		v.Outcome = gov.OutcomeDeny
		if len(v.Reasons) < switchesNamed {
			v.Reasons = append(v.Reasons, gov.Reason{Code: gov.ReasonSwitch, Message: fmt.Sprintf("%s is stopped by the switch %s: %s", capital(s.SwitchScope.String()), s.ID, s.Reason)})
		}
	}
	return v, stopped, observed
}

// switchesNamed bounds how many of the switches that stop a call its decision names: the oldest.
const switchesNamed = 8

// capital begins a sentence.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// hit says whether a switch stops the call.
func (j *judgement) hit(s gov.Switch) bool {
	if !s.Until.IsZero() && !j.state.Time.Before(s.Until) {
		return false
	}
	return j.within(s) && !j.passes(s)
}

// within says whether the call is one that the switch is for.
func (j *judgement) within(s gov.Switch) bool {
	switch {
	case s.All:
		return true
	case s.Agent != "":
		return s.Agent == j.call.Agent
	case s.Tool != "":
		return s.Tool == j.call.Tool
	case s.Category != "":
		// A tool that nobody categorized may be of this one.
		return j.tool == nil || slices.Contains(j.tool.Categories, s.Category)
	case s.Principal != "":
		// Whom a call is made for is not known where the caller did not say: it may be this one.
		return j.state.PrincipalRef == "" || s.Principal == j.state.PrincipalRef
	case s.Session != "":
		return s.Session == j.call.Session
	}
	return true // a switch that says nothing stops everything
}

// passes says whether the call is of the share that a switch lets pass: of sessions, so that one works or does not, and of calls
// where there is no session. It follows from what is recorded.
func (j *judgement) passes(s gov.Switch) bool {
	if s.Stage != gov.SwitchShare {
		return s.Stage == gov.SwitchReleased
	}
	of := string(j.call.Session)
	if of == "" {
		of = j.state.Time.Format(time.RFC3339Nano)
	}
	h := sha256.Sum256([]byte(string(s.ID) + "\x00" + string(j.call.Agent) + "\x00" + of))
	return int(binary.BigEndian.Uint64(h[:])%shareOf) < s.Share
}

// shareOf is what a share is counted in.
const shareOf = 100

// enforced is what observe mode only records.
func (j *judgement) enforced() Verdict {
	agent, ok := j.state.Engine.bundle.Agent(j.call.Agent)
	if !ok {
		return deny(gov.ReasonAgentUnknown, fmt.Sprintf("The agent %s is not in the inventory (agents.yaml).", j.call.Agent))
	}
	if !slices.Contains(agent.Environments, j.state.Environment) {
		return deny(gov.ReasonAgentEnvironment, fmt.Sprintf("The agent %s is not registered for the environment %s.", j.call.Agent, j.state.Environment))
	}
	if j.tool == nil || len(j.tool.Environments) > 0 && !slices.Contains(j.tool.Environments, j.state.Environment) {
		return deny(gov.ReasonToolUnknown, fmt.Sprintf("The tool %s is not in the catalogue (tools.yaml) for the environment %s.", j.call.Tool, j.state.Environment))
	}
	if !j.tool.agents[j.call.Agent] {
		return deny(gov.ReasonToolNotAllowed, fmt.Sprintf("The tool %s is not on the allowlist of the agent %s.", j.call.Tool, j.call.Agent))
	}
	if v, wrong := j.checkInput(); wrong {
		return v
	}
	return j.byPolicies()
}

// checkInput validates the input against the tool's JSON Schema.
func (j *judgement) checkInput() (Verdict, bool) {
	if j.tool.fit != nil && j.tool.fit.fits(j.call.Input) {
		return Verdict{}, false
	}
	err := j.tool.input.Validate(j.call.Input)
	if err == nil {
		return Verdict{}, false
	}
	at, what := "", err.Error()
	var invalid *jsonschema.ValidationError
	if errors.As(err, &invalid) {
		at, what = deepest(invalid)
	}
	v := deny(gov.ReasonInputSchema, fmt.Sprintf("The input does not fit the schema of %s: at %s: %s.", j.call.Tool, cmp.Or(at, "the top"), what))
	v.InputPath = at
	return v, true
}

// deepest is the first of the innermost causes, by place.
func deepest(e *jsonschema.ValidationError) (at, what string) {
	for len(e.Causes) > 0 {
		first := e.Causes[0]
		for _, c := range e.Causes[1:] {
			if slices.Compare(c.InstanceLocation, first.InstanceLocation) < 0 {
				first = c
			}
		}
		e = first
	}
	for _, part := range e.InstanceLocation {
		at += "/" + strings.ReplaceAll(strings.ReplaceAll(part, "~", "~0"), "/", "~1")
	}
	text := (&jsonschema.ValidationError{SchemaURL: e.SchemaURL, InstanceLocation: e.InstanceLocation, ErrorKind: e.ErrorKind}).Error()
	if i := strings.LastIndex(text, "': "); i >= 0 {
		text = text[i+len("': "):]
	}
	return at, text
}

// fired is what Cedar said of the candidates, apart by what it means.
type fired struct {
	permits, hard, gates []*rule
	errs                 []*rule
}

// byPolicies asks Cedar, once, and judges with and without the policies that are only observed.
func (j *judgement) byPolicies() Verdict {
	all := j.ask()
	v := j.verdict(all.enforced())
	if would := j.verdict(all); would.Outcome != v.Outcome {
		v.Would = would.Outcome
		v.Reasons = append(v.Reasons, would.Reasons...)
		v.Policies = append(v.Policies, would.Policies...)
	}
	return v
}

// enforced leaves out the policies in observe mode.
func (f fired) enforced() fired {
	drop := func(rules []*rule) []*rule {
		return slices.DeleteFunc(slices.Clone(rules), func(r *rule) bool { return r.observe })
	}
	return fired{permits: drop(f.permits), hard: drop(f.hard), gates: drop(f.gates), errs: drop(f.errs)}
}

func (j *judgement) verdict(f fired) Verdict {
	switch {
	case len(f.errs) > 0:
		return because(gov.OutcomeDeny, gov.ReasonPolicyError, "The policy could not be evaluated for this call, so the call is denied.", f.errs)
	case len(f.hard) > 0:
		v := because(gov.OutcomeDeny, gov.ReasonPolicyForbid, "The policy forbids this call.", f.hard)
		v.Policies = append(v.Policies, ids(f.gates)...)
		return v
	case len(f.permits) == 0:
		return deny(gov.ReasonNoPermit, fmt.Sprintf("No policy permits %s to call %s for %s.", j.call.Agent, j.call.Tool, j.call.Principal.Type))
	}
	if full := j.full(); len(full) > 0 {
		return usedUp(full)
	}
	if len(f.gates) > 0 {
		return j.gated(f)
	}
	return because(gov.OutcomeAllow, gov.ReasonPolicyPermit, "The policy permits this call.", f.permits)
}

// Consent is what people said when they were asked through a gate.
type Consent struct {
	Gate  Gate
	State gov.ApprovalState
}

// covers says whether people were asked for at least what a gate asks for now, by the same policies.
func (c Consent) covers(now Gate) bool {
	return slices.Equal(c.Gate.Policies, now.Policies) && slices.Equal(c.Gate.Groups, now.Groups) &&
		c.Gate.Quorum >= now.Quorum && (c.Gate.StepUp || !now.StepUp)
}

// gated is the verdict where only people's consent is missing.
func (j *judgement) gated(f fired) Verdict {
	gate := merge(f.gates)
	if c := j.state.Consent; c != nil && c.covers(*gate) {
		switch c.State {
		case gov.ApprovalApproved:
			v, consent := because(gov.OutcomeAllow, gov.ReasonPolicyPermit, "The policy permits this call.", f.permits), consented(gov.ReasonApproved, "People who may approve this call did.", f.gates)
			v.Reasons, v.Policies, v.Consented = append(v.Reasons, consent...), append(v.Policies, ids(f.gates)...), true
			return v
		case gov.ApprovalDenied:
			return refused(gov.ReasonApprovalDenied, "A person who was asked to approve this call denied it.", f.gates)
		case gov.ApprovalExpired, gov.ApprovalUnused:
			return refused(gov.ReasonApprovalExpired, "The time to approve this call, or to make it after the approval, is over. Ask again as a new call.", f.gates)
		case gov.ApprovalPending, gov.ApprovalConsumed:
		}
	}
	if v, ok := j.delegated(f); ok {
		return v
	}
	v := because(gov.OutcomeRequireApproval, gov.ReasonApproval, "A person has to approve this call first.", f.gates)
	v.Gate = gate
	return v
}

// Standing is a consent that people gave beforehand to calls that a gate asks for.
type Standing struct {
	ID     gov.EntryID // of the entry that asked for it
	Policy gov.PolicyID
}

// delegated is the verdict where people consented beforehand. Where several gates ask, each needs a consent of its own.
func (j *judgement) delegated(f fired) (Verdict, bool) {
	v := because(gov.OutcomeAllow, gov.ReasonPolicyPermit, "The policy permits this call.", f.permits)
	for _, r := range f.gates {
		i := slices.IndexFunc(j.state.Standing, func(s Standing) bool { return s.Policy == r.id })
		if i < 0 {
			return Verdict{}, false
		}
		id := j.state.Standing[i].ID
		v.Delegations = append(v.Delegations, id)
		v.Reasons = append(v.Reasons, gov.Reason{
			Code: gov.ReasonDelegated, Policy: r.id, Message: fmt.Sprintf("People who may approve this call did so beforehand, by the delegation %s.", id),
		})
	}
	v.Policies = append(v.Policies, ids(f.gates)...)
	slices.Sort(v.Delegations)
	return v, true
}

func consented(code gov.ReasonCode, message string, gates []*rule) []gov.Reason {
	reasons := make([]gov.Reason, len(gates))
	for i, r := range gates {
		reasons[i] = gov.Reason{Code: code, Policy: r.id, Message: message}
	}
	return reasons
}

func refused(code gov.ReasonCode, message string, gates []*rule) Verdict {
	return Verdict{Outcome: gov.OutcomeDeny, Policies: ids(gates), Reasons: consented(code, message, gates), Consented: true}
}

func because(outcome gov.Outcome, code gov.ReasonCode, otherwise string, rules []*rule) Verdict {
	v := Verdict{Outcome: outcome, Policies: ids(rules), Reasons: make([]gov.Reason, len(rules))}
	for i, r := range rules {
		message := otherwise
		if r.reason != "" && code != gov.ReasonPolicyError {
			message = r.reason
		}
		v.Reasons[i] = gov.Reason{Code: code, Policy: r.id, Message: message}
	}
	return v
}

func ids(rules []*rule) []gov.PolicyID {
	out := make([]gov.PolicyID, len(rules))
	for i, r := range rules {
		out[i] = r.id
	}
	return out
}

// merge asks for what every gate asks: any of all their groups, the highest quorum, the shortest times.
func merge(rules []*rule) *Gate {
	g := *rules[0].gate
	g.Groups, g.Policies = slices.Clone(g.Groups), slices.Clone(g.Policies)
	for _, r := range rules[1:] {
		g.Groups = append(g.Groups, r.gate.Groups...)
		g.Policies = append(g.Policies, r.gate.Policies...)
		g.Quorum = max(g.Quorum, r.gate.Quorum)
		g.ApproveWithin = min(g.ApproveWithin, r.gate.ApproveWithin)
		g.ExecuteWithin = min(g.ExecuteWithin, r.gate.ExecuteWithin)
		g.StepUp = g.StepUp || r.gate.StepUp
	}
	slices.Sort(g.Groups)
	g.Groups = slices.Compact(g.Groups)
	slices.Sort(g.Policies)
	return &g
}

// entities are those of one request. Groups, categories and environments have no attributes and no parents.
type entities struct {
	principal, action, server, environment types.Entity
}

// Get finds an entity by its id.
func (e *entities) Get(id types.EntityUID) (types.Entity, bool) {
	switch id {
	case e.principal.UID:
		return e.principal, true
	case e.action.UID:
		return e.action, true
	case e.server.UID:
		return e.server, true
	case e.environment.UID:
		return e.environment, true
	}
	return types.Entity{}, false
}

// candidatesRoom is how many candidates need no memory of their own.
const candidatesRoom = 32

// ask evaluates every rule that can match. Nothing is cut short: every rule that errs is known.
func (j *judgement) ask() fired {
	place := j.tool.places[j.state.Environment]
	principal := principalUID(j.call.Principal)
	member := j.membership()
	var room [candidatesRoom]*rule
	rules := place.rules.lookup(room[:0], principal, member.groups)
	got := &entities{
		principal: types.Entity{UID: principal, Parents: member.parents},
		action:    j.tool.action, server: place.server, environment: place.environment,
	}
	request := cedar.Request{Principal: principal, Action: j.tool.action.UID, Resource: place.server.UID, Context: j.context(&place.reads)}
	_, diagnostic := cedar.Authorize(rules, got, request)
	f := sortOut(rules, diagnostic)
	if len(f.hard)+len(f.gates) > 0 {
		// Cedar names only the forbids when there are any: ask for the permits apart.
		rules = slices.DeleteFunc(slices.Clone(rules), func(r *rule) bool { return r.forbid })
		_, diagnostic = cedar.Authorize(rules, got, request)
		f.permits = sortOut(rules, diagnostic).permits
	}
	return f
}

// sortOut finds the rules that Cedar names.
func sortOut(rules candidates, d cedar.Diagnostic) fired {
	var f fired
	byID := func(id cedar.PolicyID) *rule {
		for _, r := range rules {
			if cedar.PolicyID(r.id) == id {
				return r
			}
		}
		panic("policy: Cedar names a policy that it was not given")
	}
	for _, e := range d.Errors {
		f.errs = append(f.errs, byID(e.PolicyID))
	}
	for _, reason := range d.Reasons {
		switch r := byID(reason.PolicyID); {
		case !r.forbid:
			f.permits = append(f.permits, r)
		case r.gate != nil:
			f.gates = append(f.gates, r)
		default:
			f.hard = append(f.hard, r)
		}
	}
	return f
}

func principalUID(p gov.Principal) types.EntityUID {
	switch p.Type {
	case gov.PrincipalUser:
		return uid(typeUser, p.ID)
	case gov.PrincipalService:
		return uid(typeService, p.ID)
	case gov.PrincipalOrganization:
		return uid(typeOrganization, p.ID)
	}
	return uid(typeOrganization, "")
}

// membership is of the groups that the principal's token names and those that the bundle lists it in.
func (j *judgement) membership() *membership {
	listed := j.state.Engine.members[j.call.Principal]
	switch {
	case listed == nil:
		return membershipOf(slices.Clone(j.call.Groups))
	case len(j.call.Groups) == 0:
		return listed
	}
	return membershipOf(slices.Concat(j.call.Groups, listed.groups))
}

// context is what policies read as context: of all that they may read, what some rule for this tool does read. The others
// cannot tell the difference, and a Cedar record is dear to make.
func (j *judgement) context(r *reads) types.Record {
	m := make(types.RecordMap, len(r.context))
	reads := func(name string) bool { return r.everything || r.context[name] }
	if reads("agent") {
		m["agent"] = uid(typeAgent, string(j.call.Agent))
	}
	if reads("session") {
		m["session"] = types.NewRecord(types.RecordMap{"labels": strs(j.state.Labels)})
	}
	if reads("taint") {
		m["taint"] = taintRecord(j.state.Taint)
	}
	if reads("findings") {
		bands := make([]string, len(j.state.Findings))
		for i, f := range j.state.Findings {
			bands[i] = f.Band
		}
		m["findings"] = strs(bands)
	}
	if reads("assurance") {
		m["assurance"] = types.String(j.call.Assurance)
	}
	if reads("time") {
		m["time"] = types.NewDatetime(j.state.Time)
	}
	if reads("input") || reads("unrepresentable") {
		var c converter
		m["input"] = c.record(j.tool.shape, r.of(j.call.Input), "")
		m["unrepresentable"] = strs(c.left)
	}
	return types.NewRecord(m)
}

// taintRecord is what policies read as context.taint.
func taintRecord(taint []canon.Taint) types.Record {
	fields, kinds, near := make([]string, len(taint)), make([]string, len(taint)), false
	for i, t := range taint {
		fields[i], kinds[i], near = t.Path, t.Kind, near || t.Near
	}
	return types.NewRecord(types.RecordMap{"fields": strs(fields), "kinds": strs(kinds), "near_finding": types.Boolean(near)})
}

func strs[T ~string](list []T) types.Set {
	if len(list) == 0 {
		return types.Set{}
	}
	values := make([]types.Value, len(list))
	for i, s := range list {
		values[i] = types.String(s)
	}
	return types.NewSet(values...)
}
