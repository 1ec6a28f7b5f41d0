package canon

import (
	"fmt"
	"reflect"

	"github.com/writ-dev/writ/internal/gov"
)

// Kind is what an entry records. The set is closed; each kind has a body, a prefix of ids and a golden file.
type Kind string

// The kinds of entry.
const (
	KindLedgerOpened      Kind = "ledger_opened"
	KindBundleActivated   Kind = "bundle_activated"
	KindCredentialIssued  Kind = "credential_issued"
	KindCredentialRevoked Kind = "credential_revoked"
	KindDecision          Kind = "decision"
	KindResult            Kind = "result"
	KindRefusals          Kind = "refusals"
	KindHeartbeat         Kind = "heartbeat"
	KindRecorderGap       Kind = "recorder_gap"
	KindScrub             Kind = "scrub"
	KindErasure           Kind = "erasure"
	KindApprovalVote      Kind = "approval_vote"
	KindApprovalExpired   Kind = "approval_expired"
	KindChangeProposed    Kind = "change_proposed"
	KindChangeReviewed    Kind = "change_reviewed"
	KindChangeScheduled   Kind = "change_scheduled"
	KindPersonInvited     Kind = "person_invited"
	KindPersonRemoved     Kind = "person_removed"
	KindPasskeyEnrolled   Kind = "passkey_enrolled"
	KindSignedIn          Kind = "signed_in"
	KindSessionEnded      Kind = "session_ended"
	KindNotification      Kind = "notification"

	KindDelegationRequested Kind = "delegation_requested"
	KindDelegationVote      Kind = "delegation_vote"
	KindDelegationGranted   Kind = "delegation_granted"
	KindDelegationEnded     Kind = "delegation_ended"
	KindDelegationExpired   Kind = "delegation_expired"

	KindSwitchEngaged  Kind = "switch_engaged"
	KindSwitchProposed Kind = "switch_proposed"
	KindSwitchEased    Kind = "switch_eased"
	KindSwitchReleased Kind = "switch_released"

	KindSignal           Kind = "signal"
	KindIncidentReported Kind = "incident_reported"
	KindIncidentEvent    Kind = "incident_event"
	KindProbe            Kind = "probe"
	KindExercise         Kind = "exercise"
	KindExerciseResult   Kind = "exercise_result"
	KindScanned          Kind = "scanned"
	KindLimitWarning     Kind = "limit_warning"
)

// Kinds lists every kind.
func Kinds() []Kind {
	return []Kind{
		KindLedgerOpened, KindBundleActivated, KindCredentialIssued, KindCredentialRevoked, KindDecision, KindResult,
		KindRefusals, KindHeartbeat, KindRecorderGap, KindScrub, KindErasure, KindApprovalVote, KindApprovalExpired,
		KindChangeProposed, KindChangeReviewed, KindChangeScheduled, KindPersonInvited, KindPersonRemoved, KindPasskeyEnrolled,
		KindSignedIn, KindSessionEnded, KindNotification, KindDelegationRequested, KindDelegationVote, KindDelegationGranted, KindDelegationEnded,
		KindDelegationExpired, KindSwitchEngaged, KindSwitchProposed, KindSwitchEased, KindSwitchReleased,
		KindSignal, KindIncidentReported, KindIncidentEvent, KindProbe, KindExercise, KindExerciseResult, KindScanned, KindLimitWarning,
	}
}

// ChangesControl says whether an entry of this kind changes control state, and so begins an epoch.
func (k Kind) ChangesControl() bool {
	switch k {
	case KindBundleActivated, KindCredentialIssued, KindCredentialRevoked, KindDelegationGranted, KindDelegationEnded,
		KindSwitchEngaged, KindSwitchEased, KindSwitchReleased:
		return true
	default:
		return false
	}
}

func (k Kind) idPrefix() string {
	switch k {
	case KindDecision:
		return "dec_"
	case KindResult:
		return "res_"
	case KindCredentialIssued, KindCredentialRevoked:
		return "cre_"
	case KindBundleActivated:
		return "act_"
	case KindChangeProposed:
		return "chg_"
	case KindDelegationRequested:
		return "del_"
	case KindSwitchEngaged:
		return "swi_"
	case KindSignal:
		return "sig_"
	case KindIncidentReported:
		return "rep_"
	case KindExercise:
		return "exe_"
	default:
		return "ent_"
	}
}

// newBody is a pointer to an empty body of the kind.
func (k Kind) newBody() (any, error) {
	switch k {
	case KindLedgerOpened:
		return new(LedgerOpened), nil
	case KindBundleActivated:
		return new(BundleActivated), nil
	case KindCredentialIssued:
		return new(CredentialIssued), nil
	case KindCredentialRevoked:
		return new(CredentialRevoked), nil
	case KindDecision:
		return new(Decision), nil
	case KindResult:
		return new(Result), nil
	case KindRefusals:
		return new(Refusals), nil
	case KindHeartbeat:
		return new(Heartbeat), nil
	case KindRecorderGap:
		return new(RecorderGap), nil
	case KindScrub:
		return new(Scrub), nil
	case KindErasure:
		return new(Erasure), nil
	case KindApprovalVote:
		return new(ApprovalVote), nil
	case KindApprovalExpired:
		return new(ApprovalExpired), nil
	case KindChangeProposed:
		return new(ChangeProposed), nil
	case KindChangeReviewed:
		return new(ChangeReviewed), nil
	case KindChangeScheduled:
		return new(ChangeScheduled), nil
	case KindPersonInvited:
		return new(PersonInvited), nil
	case KindPersonRemoved:
		return new(PersonRemoved), nil
	case KindPasskeyEnrolled:
		return new(PasskeyEnrolled), nil
	case KindSignedIn:
		return new(SignedIn), nil
	case KindSessionEnded:
		return new(SessionEnded), nil
	case KindNotification:
		return new(Notification), nil
	case KindDelegationRequested:
		return new(DelegationRequested), nil
	case KindDelegationVote:
		return new(DelegationVote), nil
	case KindDelegationGranted:
		return new(DelegationGranted), nil
	case KindDelegationEnded:
		return new(DelegationEnded), nil
	case KindSwitchEngaged:
		return new(SwitchEngaged), nil
	case KindSwitchProposed:
		return new(SwitchProposed), nil
	case KindSwitchEased:
		return new(SwitchEased), nil
	case KindSwitchReleased:
		return new(SwitchReleased), nil
	case KindSignal:
		return new(Signal), nil
	case KindIncidentReported:
		return new(IncidentReported), nil
	case KindIncidentEvent:
		return new(IncidentEvent), nil
	case KindProbe:
		return new(Probe), nil
	case KindExercise:
		return new(Exercise), nil
	case KindExerciseResult:
		return new(ExerciseResult), nil
	case KindScanned:
		return new(Scanned), nil
	case KindDelegationExpired:
		return new(DelegationExpired), nil
	case KindLimitWarning:
		return new(LimitWarning), nil
	}
	return nil, fmt.Errorf("kind %q is not known", string(k))
}

func (k Kind) fits(body any) error {
	want, err := k.newBody()
	if err != nil {
		return err
	}
	if got := reflect.TypeOf(body); got != reflect.TypeOf(want).Elem() && got != reflect.TypeOf(want) {
		return fmt.Errorf("a %s entry holds a %T, not a %T", k, want, body)
	}
	return nil
}

// LedgerOpened is the first entry of every ledger.
type LedgerOpened struct {
	Origin    string `json:"origin"`     // of the ledger's checkpoints
	PublicKey string `json:"public_key"` // C2SP verifier key of the log
	Version   string `json:"version"`    // of Writ
}

// How a bundle came into force.
type How string

// The ways.
const (
	HowBootstrap How = "bootstrap" // the first one, by an administrator, without review
	HowReviewed  How = "reviewed"  // somebody else than its author had reviewed it
	HowRollback  How = "rollback"  // the one before it, by one person; review follows
	HowEmergency How = "emergency" // proposed, and put into force by one who reviews changes; by its own author: review follows
)

// BundleActivated says which bundle holds from the next index on.
type BundleActivated struct {
	Bundle   gov.BundleDigest `json:"bundle"`
	Previous gov.BundleDigest `json:"previous,omitempty"`
	How      How              `json:"how"`
	Change   gov.EntryID      `json:"change,omitempty"` // with reviewed and emergency: the proposal
	Reason   string           `json:"reason,omitempty"` // with rollback and emergency
	Commit   string           `json:"commit,omitempty"`
	Branch   string           `json:"branch,omitempty"`
	State    gov.ChangeState  `json:"state,omitempty"`     // with rollback and emergency: review_owed, or activated
	ReviewBy string           `json:"review_by,omitempty"` // TimeLayout; with review_owed
	SignIn   *SignIn          `json:"sign_in,omitempty"`   // with rollback and emergency: of the person who did it
}

// SignIn is how a person was known to be one who reviews changes.
type SignIn struct {
	Groups   []gov.GroupID `json:"groups"`    // of those that review changes, the ones the person is in; sorted
	Issuer   string        `json:"issuer"`    // who authenticated the person
	AuthTime string        `json:"auth_time"` // TimeLayout; when
	Methods  []string      `json:"amr,omitempty"`
	Level    string        `json:"acr,omitempty"`
}

// CredentialIssued says who may present which secret, of which the entry has the SHA-256 (secrets are 256 random bits).
type CredentialIssued struct {
	Credential gov.CredentialID `json:"credential"`
	Role       string           `json:"role"` // agent or admin
	Agent      gov.AgentID      `json:"agent,omitempty"`
	Principal  PrincipalRule    `json:"principal,omitzero"`
	SecretHash string           `json:"secret_hash"`
	ExpiresAt  string           `json:"expires_at,omitempty"`
	Note       string           `json:"note,omitempty"`

	Commitments map[Group]Commitment `json:"commitments,omitempty"` // to the principal, when it is a user
}

// PrincipalRule says for whom the holder of a credential may call. Rule is "fixed" (to Type and ID: bound), "asserted"
// (each call names one), "verified" (each call brings the principal's own token) or "runs_as" (as the inventory says).
type PrincipalRule struct {
	Rule string            `json:"rule"`
	Type gov.PrincipalType `json:"type,omitempty"`
	ID   string            `json:"id,omitempty"` // of a user: the opaque reference
}

// CredentialRevoked ends a credential at this index.
type CredentialRevoked struct {
	Credential gov.CredentialID `json:"credential"`
	Reason     string           `json:"reason"`
}

// PrincipalRef is a principal as an entry names it: a user by an opaque reference, whose name is in the payload.
type PrincipalRef struct {
	Type      gov.PrincipalType `json:"type"`
	Ref       string            `json:"ref"`
	Assurance gov.Assurance     `json:"assurance"`
	Groups    []gov.GroupID     `json:"groups,omitempty"`
}

// Decision is the answer to one call and what it was judged on.
type Decision struct {
	Agent       gov.AgentID          `json:"agent"`
	Credential  gov.CredentialID     `json:"credential"`
	Principal   PrincipalRef         `json:"principal"`
	Tool        gov.ToolName         `json:"tool"`
	Session     gov.SessionID        `json:"session,omitempty"`
	CallID      gov.CallID           `json:"call_id,omitempty"`
	TraceID     gov.TraceID          `json:"trace_id,omitempty"`
	Mode        gov.Mode             `json:"mode"`
	Outcome     gov.Outcome          `json:"outcome"`
	Would       gov.Outcome          `json:"would,omitempty"`
	Reasons     []gov.Reason         `json:"reasons"`
	Policies    []gov.PolicyID       `json:"policies"`
	Bundle      gov.BundleDigest     `json:"bundle,omitempty"`
	Epoch       int64                `json:"epoch"`
	JudgedAt    string               `json:"judged_at"`              // TimeLayout; context.time
	Labels      []gov.Label          `json:"labels,omitempty"`       // of the session before the call
	LabelsAdded []gov.Label          `json:"labels_added,omitempty"` // that the session gains by it
	Earlier     gov.EntryID          `json:"earlier,omitempty"`      // the decision of the same call that this one follows
	Approval    *ApprovalAsked       `json:"approval,omitempty"`     // with require_approval: the request that this entry opens
	Approved    gov.EntryID          `json:"approved,omitempty"`     // the decision whose request people answered, and that counted here
	Delegations []gov.EntryID        `json:"delegations,omitempty"`  // the standing consents that counted here, one for each gate; sorted
	Findings    []Finding            `json:"findings,omitempty"`     // of the scanner, in the input
	Taint       []Taint              `json:"taint,omitempty"`        // what of the input the session knows from untrusted results alone
	Sends       []string             `json:"sends,omitempty"`        // opaque references of the domains and addresses that a call which sends names; sorted
	Limits      []LimitCharge        `json:"limits,omitempty"`       // with allow: what the call takes of each limit, in the order of the bundle
	Commitments map[Group]Commitment `json:"commitments"`
}

// Finding is what the scanner says of a text: never the text. Spans are in bytes.
type Finding struct {
	Version string   `json:"version"`         // of the scanner
	Channel string   `json:"channel"`         // what kind of text: tool_result, tool_input, tool_description, prompt
	Path    string   `json:"path,omitempty"`  // JSON pointer of the text within an input or an output
	Band    string   `json:"band"`            // low, medium or high
	Rules   []string `json:"rules,omitempty"` // sorted
	Layer   string   `json:"layer,omitempty"` // how the text was hidden: base64, html…
	Start   int      `json:"start"`
	End     int      `json:"end"`
}

// Taint is a thing in the input of a call (an address, a URL, an account number, a path) that the session knows from untrusted results
// alone.
type Taint struct {
	Kind string `json:"kind"`
	Path string `json:"path"`                  // JSON pointer into the input
	Near bool   `json:"near_finding,omitzero"` // a finding was near where it came from
}

// LimitCharge is what a call that was allowed takes of one limit, at the time of its entry.
type LimitCharge struct {
	ID       string `json:"id"`                          // of the limit
	Of       string `json:"of"`                          // what it counts and in which windows: the first 8 hexadecimal digits of a digest
	Key      string `json:"key,omitempty"`               // what is counted apart: an agent, a tool, a session, a principal by its opaque reference
	Calls    int64  `json:"calls,omitzero"`              // of a rate limit
	Reserved int64  `json:"reserved_micro_usd,omitzero"` // of a budget: until the result says the cost
	Amount   int64  `json:"amount_micro_usd,omitzero"`   // of a budget of amounts: what the input says
}

// LimitWarning says that as much of a limit was used as people want to hear of (warn_at), once in each of its windows.
type LimitWarning struct {
	Limit         string `json:"limit"`
	Of            string `json:"of"`            // as a LimitCharge has it
	Key           string `json:"key,omitempty"` // as a LimitCharge has it
	Since         string `json:"since"`         // TimeLayout; when that was so
	WarnCalls     int64  `json:"warn_calls,omitzero"`
	Calls         int64  `json:"calls,omitzero"` // used when this was written
	WarnMicroUSD  int64  `json:"warn_micro_usd,omitzero"`
	MicroUSD      int64  `json:"micro_usd,omitzero"` // used when this was written, reserved or spent
	WindowSeconds int64  `json:"window_seconds"`
}

// ApprovalAsked is what a decision asks people for. What they are shown is this entry and its payload, so its leaf hash is
// the digest of what they consent to.
type ApprovalAsked struct {
	Policies       []gov.PolicyID `json:"policies"` // that ask; sorted
	Groups         []gov.GroupID  `json:"groups"`   // any of them; sorted
	Quorum         int            `json:"quorum"`   // votes of different people
	StepUp         bool           `json:"step_up,omitzero"`
	ApproveBy      string         `json:"approve_by"`             // TimeLayout
	ExecuteSeconds int64          `json:"execute_within_seconds"` // after the deciding vote
}

// ApprovalVote is what one authenticated person said to a request, and how far the request came by it.
type ApprovalVote struct {
	Decision  gov.EntryID       `json:"decision"` // that asked
	Vote      gov.Vote          `json:"vote"`
	Person    string            `json:"person"`               // opaque reference; the name is in the payload
	Groups    []gov.GroupID     `json:"groups"`               // of those that were asked, the ones the person is in; sorted
	Issuer    string            `json:"issuer"`               // who authenticated the person
	AuthTime  string            `json:"auth_time"`            // TimeLayout; when
	Methods   []string          `json:"amr,omitempty"`        // how (RFC 8176)
	Level     string            `json:"acr,omitempty"`        // OpenID Connect Core 1.0
	Shown     string            `json:"shown"`                // leaf hash of the decision that the person was shown
	State     gov.ApprovalState `json:"state"`                // of the request after this vote
	ExecuteBy string            `json:"execute_by,omitempty"` // TimeLayout; with approved
	Signed    *PasskeySignature `json:"signed,omitempty"`     // where the policy says step_up: by the person's own device, over Shown

	Commitments map[Group]Commitment `json:"commitments"` // to the person's name, and to the comment
}

// PasskeySignature is a WebAuthn assertion whose challenge is the digest that was signed, whole, so that anybody can check it.
// All but RelyingParty is base64url without padding.
type PasskeySignature struct {
	Passkey           string `json:"passkey"`    // credential id
	PublicKey         string `json:"public_key"` // COSE_Key, as the passkey_enrolled entry has it
	RelyingParty      string `json:"relying_party"`
	ClientData        string `json:"client_data"`
	AuthenticatorData string `json:"authenticator_data"`
	Signature         string `json:"signature"`
}

// ApprovalExpired says that a request's time is over: nobody decided it, or its call did not come.
type ApprovalExpired struct {
	Decision gov.EntryID       `json:"decision"`
	State    gov.ApprovalState `json:"state"` // expired or unused
}

// DelegationScope says which calls a standing consent is for.
type DelegationScope struct {
	Policy    gov.PolicyID `json:"policy"` // the gate that it lifts
	Gate      string       `json:"gate"`   // SHA-256 of that policy's text, hexadecimal: of another text it lifts nothing
	Agent     gov.AgentID  `json:"agent"`
	Tool      gov.ToolName `json:"tool,omitempty"`      // empty: any
	Principal string       `json:"principal,omitempty"` // type:ref, of a user by the opaque reference; empty: any
	When      string       `json:"when,omitempty"`      // a Cedar condition over context.input; with a tool
	Until     string       `json:"until"`               // TimeLayout; of the judgement
	UsesMax   int64        `json:"uses_max,omitzero"`   // decisions that it may count for; 0: any number
}

// DelegationRequested says that a person asks for a standing consent. What voters are shown is this entry and its payload.
type DelegationRequested struct {
	Scope     DelegationScope `json:"scope"`
	Groups    []gov.GroupID   `json:"groups"` // whose members are asked, any of them; sorted
	Quorum    int             `json:"quorum"` // votes of different people
	ApproveBy string          `json:"approve_by"`
	Person    string          `json:"person"` // who asks: opaque reference; the name is in the payload
	Member    []gov.GroupID   `json:"member"` // of those groups, the ones the person is in; sorted

	Commitments map[Group]Commitment `json:"commitments"` // to the person's name, and to the reason and the principal's name
}

// DelegationVote is what one authenticated person said to such a request, without granting it.
type DelegationVote struct {
	Delegation gov.EntryID         `json:"delegation"` // the request
	Vote       gov.Vote            `json:"vote"`
	Person     string              `json:"person"`        // opaque reference; the name is in the payload
	Groups     []gov.GroupID       `json:"groups"`        // of those that were asked, the ones the person is in; sorted
	Issuer     string              `json:"issuer"`        // who authenticated the person
	AuthTime   string              `json:"auth_time"`     // TimeLayout; when
	Methods    []string            `json:"amr,omitempty"` // how (RFC 8176)
	Level      string              `json:"acr,omitempty"` // OpenID Connect Core 1.0
	Shown      string              `json:"shown"`         // leaf hash of the request that the person was shown
	State      gov.DelegationState `json:"state"`         // after this vote

	Commitments map[Group]Commitment `json:"commitments"` // to the person's name, and to the comment
}

// DelegationGranted is the vote that decided for the request. The consent holds from the next index on.
type DelegationGranted struct {
	DelegationVote
	Scope DelegationScope `json:"scope"` // as it was asked for
	By    []string        `json:"by"`    // who voted for it: a call made for one of them is not lifted; sorted
}

// DelegationEnded says that a person ended a standing consent before its time, or withdrew the request for it.
type DelegationEnded struct {
	Delegation gov.EntryID   `json:"delegation"`
	Person     string        `json:"person"`           // opaque reference; the name is in the payload
	Groups     []gov.GroupID `json:"groups,omitempty"` // of those that were asked, the ones the person is in; sorted

	Commitments map[Group]Commitment `json:"commitments"` // to the person's name, and to the reason
}

// SwitchEngaged says that calls are stopped from the next index on. The actor is who stopped them, or Writ itself by a rule.
type SwitchEngaged struct {
	Scope     gov.SwitchScope `json:"scope"`
	Reason    string          `json:"reason"`               // a sentence; agents are told
	AskedAt   string          `json:"asked_at"`             // TimeLayout; when the server was asked to: how long it took is until the entry's time
	ExpiresAt string          `json:"expires_at,omitempty"` // TimeLayout; empty: until somebody releases it
	People    int             `json:"people"`               // how many it takes to let calls pass again: 1 or 2
	Incident  gov.IncidentID  `json:"incident,omitempty"`   // that it contains
	Key       string          `json:"key,omitempty"`        // by a rule: of the signals that asked for it, and so of the incident that they open or join
	Person    string          `json:"person,omitempty"`     // opaque reference, of a person; the name is in the payload

	Commitments map[Group]Commitment `json:"commitments,omitempty"`
}

// SwitchProposed says that one of the people that it takes wants calls to pass again. It lets none pass.
type SwitchProposed struct {
	Switch gov.EntryID `json:"switch"`
	gov.Step
	Reason string `json:"reason"`
	Person string `json:"person"` // opaque reference; the name is in the payload

	Commitments map[Group]Commitment `json:"commitments"`
}

// SwitchEased says how far a switch stops calls from the next index on, less far than before or again as far.
type SwitchEased struct {
	Switch gov.EntryID `json:"switch"`
	gov.Step
	Reason string   `json:"reason"`
	Person string   `json:"person,omitempty"` // opaque reference, of a person; the name is in the payload
	By     []string `json:"by,omitempty"`     // the people who wanted it; sorted

	Commitments map[Group]Commitment `json:"commitments,omitempty"`
}

// SwitchReleased says that a switch stops nothing from the next index on.
type SwitchReleased struct {
	Switch gov.EntryID     `json:"switch"`
	State  gov.SwitchState `json:"state"` // released or expired
	Reason string          `json:"reason,omitempty"`
	Person string          `json:"person,omitempty"` // opaque reference, of a person; the name is in the payload
	By     []string        `json:"by,omitempty"`     // the people who wanted it; sorted

	Commitments map[Group]Commitment `json:"commitments,omitempty"`
}

// Signal is one detected event, with what it rests on. It is computed from the entries before it alone: whoever has them computes
// the same. Figures are decimal numbers of at most four significant digits.
type Signal struct {
	Detector    gov.DetectorID   `json:"detector"`
	Version     int              `json:"version"` // of the detector
	Severity    gov.Severity     `json:"severity"`
	Key         string           `json:"key"` // signals of one key are one incident
	Agent       gov.AgentID      `json:"agent,omitempty"`
	Tool        gov.ToolName     `json:"tool,omitempty"`
	Principal   string           `json:"principal,omitempty"` // type:ref
	Session     gov.SessionID    `json:"session,omitempty"`
	Summary     string           `json:"summary"` // a sentence
	Observed    string           `json:"observed,omitempty"`
	Expected    string           `json:"expected,omitempty"`
	Window      int64            `json:"window_seconds,omitzero"`
	Probability string           `json:"probability,omitempty"` // of at least as much, were nothing wrong
	Through     int64            `json:"through"`               // index of the entry that it was computed at
	Entries     []gov.EntryID    `json:"entries"`               // that it rests on, the newest of them
	Count       int64            `json:"count"`                 // how many those are in all
	Tags        []string         `json:"tags,omitempty"`        // MITRE ATLAS techniques and OWASP ids; sorted
	Exercise    bool             `json:"exercise,omitzero"`     // of a game day
	Heartbeat   bool             `json:"heartbeat,omitzero"`    // the answer to a probe: it is no incident
	Noticed     []gov.DetectorID `json:"noticed,omitempty"`     // of a heartbeat: the detectors that noticed what they have to; sorted
	Incident    gov.IncidentID   `json:"incident,omitempty"`    // that it joins; empty: it opens its own, or is a heartbeat
}

// IncidentReported says that a person reports an incident that no detector saw.
type IncidentReported struct {
	Severity    gov.Severity  `json:"severity"`
	Title       string        `json:"title"`
	Agent       gov.AgentID   `json:"agent,omitempty"`
	Entries     []gov.EntryID `json:"entries"`                // that it is about
	EffectiveAt string        `json:"effective_at,omitempty"` // TimeLayout; when it began, if that is known
	Exercise    bool          `json:"exercise,omitzero"`
	Person      string        `json:"person"` // opaque reference; the name is in the payload

	Commitments map[Group]Commitment `json:"commitments"` // to the person's name, and to what they say
}

// IncidentEvent is one step of an incident's timeline.
type IncidentEvent struct {
	Incident    gov.IncidentID    `json:"incident"`
	Event       gov.IncidentStep  `json:"event"`
	State       gov.IncidentState `json:"state"`                  // after it
	Severity    gov.Severity      `json:"severity"`               // after it
	EffectiveAt string            `json:"effective_at,omitempty"` // TimeLayout; when it happened, if not when it was recorded
	Owner       string            `json:"owner,omitempty"`        // whom the incident, or the action, is given to: opaque reference
	Reason      gov.Dismissal     `json:"reason,omitempty"`       // of a dismissal
	Into        gov.IncidentID    `json:"into,omitempty"`         // of a merger
	Refs        []string          `json:"refs,omitempty"`         // ids of decisions, switches, changes, credentials, the report, the action; sorted
	Due         string            `json:"due,omitempty"`          // TimeLayout; of an action
	Assessment  *Assessment       `json:"assessment,omitempty"`   // with disclosure.assessed
	SignIn      *SignIn           `json:"sign_in,omitempty"`      // with report.approved: of the person who did it
	Person      string            `json:"person,omitempty"`       // opaque reference; the name is in the payload
	Alert       *Alert            `json:"alert,omitempty"`        // with alert.notified
	Via         *Via              `json:"via,omitempty"`          // of an ack that came back through a channel; nobody is in person then

	Commitments map[Group]Commitment `json:"commitments,omitempty"` // to the person's name, and to the text
}

// System says whether the step is one that Writ records itself: nobody signed in for it.
func (e IncidentEvent) System() bool { return e.Alert != nil || e.Via != nil }

// Alert is a step of on_call that was due. Its notices are owed from the commit of the entry on.
type Alert struct {
	Bundle       gov.BundleDigest `json:"bundle"`        // whose on_call it is
	AfterSeconds int64            `json:"after_seconds"` // since the incident was opened, as on_call says
	Channels     []gov.ChannelID  `json:"channels"`
}

// Via is how an acknowledgement came back from outside of Writ.
type Via struct {
	Channel gov.ChannelID `json:"channel"`
	Event   string        `json:"event"` // id of the other side's event
	Kind    string        `json:"kind"`  // of that event: incident.acknowledged or incident.resolved
	User    string        `json:"user"`  // the other side's reference of the person, never a name
}

// Assessment is what people answered about an incident: what auditors ask of it (the SOC 2 description criterion DC 4), whose data
// it touched (CC7.3), and who has to be told.
type Assessment struct {
	ControlFailed    bool `json:"control_failed"`    // a control was not suitably designed, or did not operate
	CommitmentMissed bool `json:"commitment_missed"` // what customers were promised was significantly missed
	ConfidentialData bool `json:"confidential_data"` // it touched confidential data
	PersonalData     bool `json:"personal_data"`     // it touched personal data
	TellOutside      bool `json:"tell_outside"`      // customers, authorities or others outside have to be told
}

// DelegationExpired says that nobody decided a request for a standing consent in time.
type DelegationExpired struct {
	Delegation gov.EntryID `json:"delegation"`
}

// ChangeProposed says that somebody wants a bundle to replace the active one. The actor is the author.
type ChangeProposed struct {
	Bundle      gov.BundleDigest `json:"bundle"`
	Base        gov.BundleDigest `json:"base"` // the active one that it was compared with
	Description string           `json:"description"`
	Tests       int              `json:"tests"` // of the bundle's own, all of which pass
	Commit      string           `json:"commit,omitempty"`
	Branch      string           `json:"branch,omitempty"`
	Issuer      string           `json:"issuer,omitempty"` // of the token that a program of CI proposed with
}

// ChangeReviewed is what a person who may review changes said to one, and how far the change came by it.
type ChangeReviewed struct {
	Change   gov.EntryID     `json:"change"` // the proposal, or the rollback that is reviewed after
	Review   gov.Vote        `json:"review"`
	Person   string          `json:"person"` // opaque reference; the name is in the payload
	Groups   []gov.GroupID   `json:"groups"` // of those that review changes, the ones the person is in; sorted
	Issuer   string          `json:"issuer"`
	AuthTime string          `json:"auth_time"` // TimeLayout
	Methods  []string        `json:"amr,omitempty"`
	Level    string          `json:"acr,omitempty"`
	Shown    string          `json:"shown"` // leaf hash of the proposal, which names the bundle by digest
	State    gov.ChangeState `json:"state"` // after this review

	Commitments map[Group]Commitment `json:"commitments"`
}

// PersonInvited says that somebody may enrol a passkey with a link, until a time.
type PersonInvited struct {
	Person    string     `json:"person"` // opaque reference; the name is in the payload
	Roles     []gov.Role `json:"roles"`  // everywhere; sorted
	ExpiresAt string     `json:"expires_at"`

	Commitments map[Group]Commitment `json:"commitments"`
}

// PersonRemoved says that somebody does not sign in any more. Their sessions end with this entry.
type PersonRemoved struct {
	Person string `json:"person"`
	Reason string `json:"reason"`
}

// PasskeyEnrolled says which key a person signs with. It is what anybody checks their signed votes by.
type PasskeyEnrolled struct {
	Person       string `json:"person"`
	Passkey      string `json:"passkey"`    // credential id, base64url
	PublicKey    string `json:"public_key"` // COSE_Key (RFC 9052), base64url
	RelyingParty string `json:"relying_party"`
	Attestation  string `json:"attestation"` // format of the attestation statement; none: the authenticator says nothing of itself
	AAGUID       string `json:"aaguid"`      // model of the authenticator, hexadecimal
}

// SignedIn says that a person was authenticated, how, and with which standing their session acts.
type SignedIn struct {
	Session   string        `json:"session"`
	Person    string        `json:"person"` // opaque reference; the name is in the payload
	How       string        `json:"how"`    // oidc, passkey, token of an identity provider, or link: a session of the same person allowed one for the command line
	Issuer    string        `json:"issuer"`
	AuthTime  string        `json:"auth_time"` // TimeLayout
	Methods   []string      `json:"amr,omitempty"`
	Level     string        `json:"acr,omitempty"`
	Groups    []gov.GroupID `json:"groups,omitempty"` // as the issuer says; sorted
	Roles     []gov.Role    `json:"roles,omitempty"`  // everywhere; sorted
	ExpiresAt string        `json:"expires_at"`
	Network   string        `json:"network,omitempty"`    // opaque reference of the address
	Passkey   string        `json:"passkey,omitempty"`    // with passkey: its credential id, as passkey_enrolled has it
	AllowedBy string        `json:"allowed_by,omitempty"` // with link: the session that allowed it
	Replaces  string        `json:"replaces,omitempty"`   // the session that the browser had before, which is over with this entry
	Ends      []string      `json:"ends,omitempty"`       // with replaces, of another person: the sessions that it had allowed, which are over too; sorted

	Commitments map[Group]Commitment `json:"commitments"`
}

// SessionEnded says that a session is over before its time.
type SessionEnded struct {
	Session string   `json:"session"`
	Person  string   `json:"person"`
	How     string   `json:"how"`            // signed_out, signed_out_at_issuer, or revoked by somebody else; before signed_in said so itself, replaced
	Ends    []string `json:"ends,omitempty"` // the sessions that it had allowed, which are over too; sorted
}

// Notification is one attempt to tell people of an entry through a channel of the bundle. It has no secret and no address in
// it: ledgers are read by many.
type Notification struct {
	Entry   gov.EntryID       `json:"entry"` // that it tells of
	Event   gov.Event         `json:"event"`
	Channel gov.ChannelID     `json:"channel"`
	Type    gov.ChannelType   `json:"type"`
	Status  gov.DeliveryState `json:"status"`
	Attempt int               `json:"attempt"`          // from 1
	Code    int               `json:"code,omitzero"`    // of HTTP or SMTP, if somebody answered
	Refused int               `json:"refused,omitzero"` // how many addresses of the channel the mail server did not take
	Cause   gov.UnsentKind    `json:"cause,omitempty"`  // of a failure
}

// ChangeScheduled says when an approved change is to come into force, or that it no longer is to. The actor is who wants that, or
// Writ itself when the time had come and the change could not come into force.
type ChangeScheduled struct {
	Change gov.EntryID     `json:"change"`
	State  gov.ChangeState `json:"state"`            // scheduled, or approved again
	At     string          `json:"at,omitempty"`     // TimeLayout; with scheduled
	Reason string          `json:"reason,omitempty"` // why it did not come into force
}

// Usage is what a model consumed for a call.
type Usage struct {
	Model        string `json:"model"`
	InputTokens  int64  `json:"input_tokens"`
	OutputTokens int64  `json:"output_tokens"`
	CostMicroUSD *int64 `json:"cost_micro_usd,omitempty"` // millionths of a US dollar, as reported
}

// Cost is what a call cost, and how that is known.
type Cost struct {
	MicroUSD *int64     `json:"micro_usd,omitempty"` // absent when nobody knows
	Priced   gov.Priced `json:"priced"`
	Table    string     `json:"table,omitempty"` // date of the table of list prices, with table
}

// Result is what happened when a decided call ran, as its agent reports it.
type Result struct {
	Decision    gov.EntryID          `json:"decision"`
	Credential  gov.CredentialID     `json:"credential"`
	Status      gov.ResultStatus     `json:"status"`
	DurationMS  *int64               `json:"duration_ms,omitempty"`
	Usage       *Usage               `json:"usage,omitempty"`
	Cost        *Cost                `json:"cost,omitempty"` // of a call with a usage, or for which money was reserved
	OutputBytes int64                `json:"output_bytes"`
	Findings    []Finding            `json:"findings,omitempty"`     // of the scanner, in the output
	Session     gov.SessionID        `json:"session,omitempty"`      // with LabelsAdded
	LabelsAdded []gov.Label          `json:"labels_added,omitempty"` // that the session gains by it
	Commitments map[Group]Commitment `json:"commitments,omitempty"`
}

// Scanned says that a text on its way to a model was looked through. The text is not kept.
type Scanned struct {
	Credential  gov.CredentialID `json:"credential"`
	Channel     string           `json:"channel"`
	Session     gov.SessionID    `json:"session,omitempty"`
	Bytes       int64            `json:"bytes"`
	Scanner     string           `json:"scanner"` // version
	Findings    []Finding        `json:"findings"`
	LabelsAdded []gov.Label      `json:"labels_added,omitempty"` // that the session gains by it
}

// Refusals counts requests that were refused before they could be decided, of one caller and kind, in one minute.
type Refusals struct {
	From   string    `json:"from"` // TimeLayout; start of the minute
	Counts []Refusal `json:"counts"`
}

// Refusal is one line of Refusals.
type Refusal struct {
	Caller string   `json:"caller"` // a credential's id, or an opaque reference of a person or of a network address
	Code   gov.Code `json:"code"`
	Route  string   `json:"route"`
	Count  int64    `json:"count"`
}

// Heartbeat says that the recorder was alive while nothing was recorded.
type Heartbeat struct {
	Node string `json:"node"`
}

// RecorderGap says that no recorder was alive between two times, which a later heartbeat found out.
type RecorderGap struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Probe asks every detector to notice the synthetic events made for it. The answer is a signal that is a heartbeat.
type Probe struct {
	Node       string `json:"node"`
	Unanswered int    `json:"unanswered,omitzero"` // probes just before this one, in a row, that nobody answered: nobody looked
	Since      string `json:"since,omitempty"`     // TimeLayout; when the first of them was recorded
}

// Exercise says that a game day begins: what the detectors find of its agents until its end is labelled an exercise.
type Exercise struct {
	Scenario  string           `json:"scenario"`
	Agents    []gov.AgentID    `json:"agents"`
	Detectors []gov.DetectorID `json:"detectors,omitempty"` // what these find is labelled too where it is about no agent; sorted
	Until     string           `json:"until"`               // TimeLayout; another entry of the same agents moves it
	Person    string           `json:"person,omitempty"`    // opaque reference, of a person; the name is in the payload

	Commitments map[Group]Commitment `json:"commitments,omitempty"`
}

// ExerciseResult says what came of an exercise, which ends with it: nothing behind it is labelled any more. Its texts are about the
// exercise and name no person.
type ExerciseResult struct {
	Exercise      gov.EntryID      `json:"exercise"`
	Agents        []gov.AgentID    `json:"agents"`              // of the exercise
	Detectors     []gov.DetectorID `json:"detectors,omitempty"` // of the exercise
	Hypothesis    string           `json:"hypothesis"`
	Injected      string           `json:"injected"`
	Expected      []gov.DetectorID `json:"expected"` // that had to notice; sorted
	Held          bool             `json:"held"`
	Observed      string           `json:"observed"`
	Moments       []Moment         `json:"moments"`              // in the order in which they were
	DetectMillis  *int64           `json:"detect_ms,omitempty"`  // from the injection to the first signal that was expected
	ContainMillis *int64           `json:"contain_ms,omitempty"` // from the injection until it was stopped
	Refs          []string         `json:"refs"`                 // ids of the decisions, signals, incidents and switches of it; sorted
	Person        string           `json:"person,omitempty"`     // opaque reference, of a person; the name is in the payload

	Commitments map[Group]Commitment `json:"commitments,omitempty"`
}

// Moment is when something happened in an exercise.
type Moment struct {
	What string `json:"what"`
	At   string `json:"at"` // TimeLayout
}

// Scrub says that the whole log was derived again from its entries and agreed, or what was wrong.
type Scrub struct {
	Size   int64  `json:"size"`
	Root   string `json:"root"`
	Millis int64  `json:"millis"`
	Wrong  string `json:"wrong,omitempty"` // the first thing that did not agree
}

// Erasure says that groups of an entry's payload were removed.
type Erasure struct {
	Entry  gov.EntryID `json:"entry"`
	Groups []Group     `json:"groups"`
	Reason string      `json:"reason"`
}
