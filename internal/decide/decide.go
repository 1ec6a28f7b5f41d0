// Package decide answers calls: evaluate, ask, record, answer. It promises that there is no answer without a record (an
// Answer embeds the receipt of its entry), that the state a decision was judged under is the state of the ledger before it,
// and that the same call asked again gets the same answer while nothing changed. What cannot be recorded is not answered.
package decide

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/writ-dev/writ/internal/approval"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/content"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/meter"
	"github.com/writ-dev/writ/internal/outbox"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/scan"
	"github.com/writ-dev/writ/internal/state"
	"github.com/writ-dev/writ/internal/taint"

	"github.com/writ-dev/writ/internal/policy"
)

// Service decides. Its fields are set once, before use.
type Service struct {
	Environments *live.Set
	Identity     *identity.Service
	Key          []byte // of the keyed digests: call keys, input digests, references of users, secret fields
	Scanner      *scan.Scanner
	Now          func() time.Time
	Rand         io.Reader

	macs sync.Pool
}

// Request is a call as an agent attempts it.
type Request struct {
	Agent           gov.AgentID
	Tool            gov.ToolName
	Input           map[string]any // as canon.ParseObject gives it
	Principal       *gov.Principal // that the agent names, if it does
	Session         gov.SessionID
	CallID          gov.CallID
	TraceID         gov.TraceID
	OnBehalfOfToken string
	Approval        gov.ApprovalID // the request that people answered, for a call without an id
}

// Answer is a recorded decision. There is none without the receipt of its entry.
type Answer struct {
	canon.Decision
	ledger.Receipt
}

// rejudgeMax is how often one call is judged again because control state or its session moved on meanwhile.
const rejudgeMax = 16

// Decide judges a call, records the decision and answers. Errors are *gov.Error: the call must not run.
func (s *Service) Decide(ctx context.Context, caller identity.Caller, req Request) (Answer, error) {
	env, ok := s.Environments.Environment(caller.Environment)
	if !ok {
		return Answer{}, &gov.Error{Code: gov.CodeForbidden, Detail: "the credential is of an environment that has no ledger"}
	}
	if req.Agent != caller.Agent {
		return Answer{}, &gov.Error{Code: gov.CodeAgentMismatch, Path: "/agent", Detail: "the credential is of another agent"}
	}
	q := &question{s: s, env: env, caller: caller, req: req, supersedes: -1}
	if req.Approval != "" {
		q.asked, ok = req.Approval.Decision()
		if !ok {
			return Answer{}, &gov.Error{Code: gov.CodeInvalidField, Path: "/approval", Detail: "must be the id of a request: apr_ and 26 characters"}
		}
	}
	for range rejudgeMax {
		answer, err := q.judge(ctx)
		var taken *ledger.CallTakenError
		switch full := meter.FullOf(err); {
		case err == nil:
			return answer, nil
		case errors.Is(err, ledger.ErrStale):
			q.full = nil
			if err := env.Refresh(ctx); err != nil {
				return Answer{}, err
			}
		case len(full) > 0:
			q.full = append(q.full, full...)
		case errors.As(err, &taken):
			if answer, done, err := q.again(ctx, taken.Call); done || err != nil {
				return answer, err
			}
		default:
			return Answer{}, err
		}
	}
	return Answer{}, &gov.Error{Code: gov.CodeOverloaded, Detail: "control state kept changing while the call was judged; try again"}
}

// question is one call on its way to an answer.
type question struct {
	s          *Service
	env        *live.Environment
	caller     identity.Caller
	req        Request
	supersedes int64
	earlier    gov.EntryID
	asked      gov.EntryID // the decision whose request people may have answered
	ref        string      // of the principal, as records name it

	call       gov.Call
	input      []byte          // of the call, in canonical form
	content    content.Content // of the input
	hides      bool            // the input has secret fields, which input has not
	taint      []canon.Taint
	digest     [16]byte // of what was asked
	engine     *policy.Engine
	request    *approval.Request // of asked, as it was read for this judgement
	identified bool              // content has the identifiers too
	full       []string          // counters of limits that have too little left
	decided    canon.Decision
}

// judge resolves, evaluates and appends, once.
func (q *question) judge(ctx context.Context) (Answer, error) {
	control := q.env.Control()
	if err := q.resolve(ctx, control); err != nil {
		return Answer{}, err
	}
	session, err := q.env.Ledger.SessionNow(ctx, q.req.Session)
	if err != nil {
		return Answer{}, err
	}
	q.identify(session.Marks)
	q.taint = q.s.tainted(q.req.Session, session.Marks, q.content)
	at := q.s.Now().UTC().Truncate(time.Microsecond)
	consent, err := q.consult(ctx, at)
	if err != nil {
		return Answer{}, err
	}
	verdict, err := q.verdict(ctx, control, state.Question{
		Call: q.call, Credential: q.caller.Credential, Labels: session.Labels, Taint: q.taint, Findings: q.content.Findings, At: at, Consent: consent, Principal: q.who(), Full: meter.Full(q.full),
	})
	if err != nil {
		return Answer{}, err
	}
	if err := refusal(verdict); err != nil {
		return Answer{}, err
	}
	record, err := q.record(control, session, verdict, at)
	if err != nil {
		return Answer{}, err
	}
	receipt, err := q.env.Ledger.Append(ctx, record)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Decision: q.decided, Receipt: receipt}, nil
}

// who is the principal as records name it.
func (q *question) who() gov.Principal { return gov.Principal{Type: q.call.Principal.Type, ID: q.ref} }

// verdict judges, and judges again without the standing consents that are used up.
func (q *question) verdict(ctx context.Context, control *state.Control, asked state.Question) (policy.Verdict, error) {
	for range state.DelegationsMax + 1 {
		v := control.Judge(asked)
		spent, err := approval.Spent(ctx, q.env.Ledger, control, v.Delegations)
		if err != nil || len(spent) == 0 {
			return v, err
		}
		asked.Spent = append(asked.Spent, spent...)
	}
	panic("decide: more standing consents are used up than one environment holds")
}

// consult reads what people said to this very call, if they were asked.
func (q *question) consult(ctx context.Context, at time.Time) (*policy.Consent, error) {
	if q.asked == "" {
		return nil, nil
	}
	r, err := approval.Find(ctx, q.env.Ledger, q.asked)
	if err != nil {
		return nil, err
	}
	if r.Agent != q.call.Agent || r.Call != hex.EncodeToString(q.digest[:]) {
		return nil, &gov.Error{Code: gov.CodeApprovalMismatch, Path: "/approval", Detail: "the approval is for another call: agent, principal, tool and input have to be the same; ask again without it"}
	}
	if r.State == gov.ApprovalConsumed && q.req.Approval != "" {
		return nil, &gov.Error{Code: gov.CodeApprovalUsed, Path: "/approval", Detail: "the approval was used by an earlier call; ask again without it"}
	}
	q.request = &r
	return r.Consent(at), nil
}

// refusal is the error for an input that does not fit its schema where that blocks: the caller has to mend the call.
func refusal(v policy.Verdict) error {
	if v.Outcome != gov.OutcomeDeny || len(v.Reasons) == 0 || v.Reasons[0].Code != gov.ReasonInputSchema {
		return nil
	}
	return &gov.Error{Code: gov.CodeInputSchema, Path: "/input" + v.InputPath, Detail: v.Reasons[0].Message}
}

// resolve finds the principal and prepares the input. It is done again when another bundle became active.
func (q *question) resolve(ctx context.Context, control *state.Control) error {
	if q.call.Agent != "" && q.engine == control.Engine {
		return nil
	}
	runsAs, input := "", q.req.Input
	q.hides = false
	if control.Engine != nil {
		b := control.Engine.Bundle()
		if agent, ok := b.Agent(q.req.Agent); ok {
			runsAs = agent.RunsAs
		}
		if tool, ok := b.Tool(q.req.Tool); ok && len(tool.Secret) > 0 {
			q.hides, input = true, tool.Redact(input, q.s.hideSecret)
		}
	}
	principal, assurance, groups, err := q.s.Identity.Resolve(ctx, q.caller, q.req.Principal, q.req.OnBehalfOfToken, runsAs)
	if err != nil {
		return err
	}
	q.engine = control.Engine
	q.call = gov.Call{
		Agent: q.req.Agent, Principal: principal, Assurance: assurance, Groups: groups, Tool: q.req.Tool, Input: input,
		Session: q.req.Session, CallID: q.req.CallID, TraceID: q.req.TraceID,
	}
	q.ref, q.input = q.s.refOf(principal), canon.AppendValue(make([]byte, 0, inputUsual), input)
	q.look()
	if q.req.CallID != "" || q.asked != "" {
		q.digest = q.s.askedDigest(q.call, q.input)
	}
	return nil
}

// inputUsual and principalUsual are how many bytes the canonical form of an input, and of a principal, is made for.
const (
	inputUsual     = 512
	principalUsual = 64
)

// record encodes the decision with its payload and conditions.
func (q *question) record(control *state.Control, session row.Session, v policy.Verdict, at time.Time) (ledger.Record, error) {
	var random [canon.NonceSize + 2*canon.SaltSize]byte
	if _, err := io.ReadFull(q.s.Rand, random[:]); err != nil {
		return ledger.Record{}, fmt.Errorf("read randomness: %w", err)
	}
	nonce, salts := canon.Nonce(random[:canon.NonceSize]), random[canon.NonceSize:]
	commitments := map[canon.Group]canon.Commitment{}
	seal := func(salt []byte, group canon.Group, value []byte) canon.Part {
		sealed, commitment := canon.Seal(canon.Salt(salt), group, value)
		commitments[group] = commitment
		return canon.Part{Group: group, Sealed: sealed}
	}
	parts := append(make([]canon.Part, 0, len(salts)/canon.SaltSize), seal(salts[:canon.SaltSize], canon.GroupInput, q.input))
	if q.call.Principal.Type == gov.PrincipalUser {
		value := canon.AppendValue(make([]byte, 0, principalUsual), state.PrincipalValue(q.call.Principal))
		parts = append(parts, seal(salts[canon.SaltSize:], canon.GroupPrincipal, value))
	}
	q.decided = canon.Decision{
		Agent: q.call.Agent, Credential: q.caller.Credential, Tool: q.call.Tool, Session: q.call.Session, CallID: q.call.CallID,
		Principal: canon.PrincipalRef{
			Type: q.call.Principal.Type, Ref: q.ref, Assurance: q.call.Assurance, Groups: q.call.Groups,
		},
		TraceID: q.call.TraceID, Mode: v.Mode, Outcome: v.Outcome, Would: v.Would, Reasons: v.Reasons, Policies: v.Policies,
		Bundle: control.Bundle(), Epoch: control.Epoch, JudgedAt: at.Format(canon.TimeLayout), Labels: session.Labels,
		LabelsAdded: v.LabelsAdded, Earlier: q.earlier, Delegations: v.Delegations, Limits: meter.Records(v), Commitments: commitments,
		Findings: q.content.Findings, Taint: q.taint,
	}
	if q.reaches() {
		q.decided.Sends = q.s.sends(q.content)
	}
	docs := q.ask(v, at)
	draft, err := canon.NewDraft(q.env.Ledger.Name(), canon.KindDecision, nonce, canon.Actor{Type: canon.ActorAgent, ID: string(q.call.Agent)}, q.decided)
	if err != nil {
		return ledger.Record{}, &gov.Error{Code: gov.CodeInvalidField, Detail: "the decision would not fit an entry", Err: err}
	}
	r := ledger.NewRecord(canon.KindDecision, draft, canon.EncodeParts(parts...))
	r.Epoch, r.Session, r.SessionSeen, r.LabelsAdded = control.Epoch, q.call.Session, session.Version, v.LabelsAdded
	r.Docs = docs
	if marks := q.s.named(q.call.Session, session.Marks, q.content); v.Outcome == gov.OutcomeAllow && q.call.Session != "" && len(marks) > 0 {
		r.Marks = func(had []byte) []byte { return taint.Learn(had, marks) }
	}
	for _, id := range v.Delegations {
		r.Amends = append(r.Amends, approval.Use(id))
	}
	r.Amends = append(r.Amends, meter.Take(v, q.full)...)
	if q.call.CallID != "" {
		r.Call = &row.Call{Key: q.s.callKey(q.call), Input: q.digest}
		r.Supersedes = q.supersedes
	}
	return r, nil
}

// carries says whether the call takes text to where somebody, or another agent, reads or runs it: of others the input is not scanned.
func (q *question) carries() bool {
	if q.engine == nil {
		return true
	}
	tool, ok := q.engine.Bundle().Tool(q.req.Tool)
	return !ok || slices.ContainsFunc(tool.Categories, func(c gov.Category) bool {
		return c == gov.CategoryExternalCommunication || c == gov.CategoryCodeExecution || c == gov.CategoryDataWrite
	})
}

// reaches says whether the call takes something to somebody: a message, or money.
func (q *question) reaches() bool {
	if q.engine == nil {
		return false
	}
	tool, ok := q.engine.Bundle().Tool(q.call.Tool)
	return ok && (slices.Contains(tool.Categories, gov.CategoryExternalCommunication) || slices.Contains(tool.Categories, gov.CategoryMoney))
}

// ask opens a request where the verdict is to ask, and consumes the one that let the call pass. It gives the documents to
// write with the decision.
func (q *question) ask(v policy.Verdict, at time.Time) []row.Doc {
	if v.Consented {
		q.decided.Approved = q.asked
	}
	switch {
	case v.Gate != nil:
		if q.digest == ([16]byte{}) {
			q.digest = q.s.askedDigest(q.call, q.input)
		}
		r := approval.Open(q.decided, *v.Gate, q.digest, at)
		q.decided.Approval = &r.Asked
		told := outbox.Owe(q.engine.Bundle(), q.env.Ledger.Name(), r.Asked.Groups, at, gov.EventApprovalRequested)
		return append(told, r.Doc())
	case v.Consented && v.Outcome == gov.OutcomeAllow:
		return []row.Doc{q.request.Consumed().Doc()}
	}
	return nil
}

// again handles a call that was decided before: the same answer while nothing changed, judged afresh when something did,
// refused when it ran or when it is another call under the same id.
func (q *question) again(ctx context.Context, call row.Call) (answer Answer, done bool, err error) {
	if call.Input != q.digest {
		return Answer{}, false, &gov.Error{Code: gov.CodeCallMismatch, Path: "/call_id", Detail: "this call_id was used for another call; a new call needs a new one"}
	}
	store := q.env.Ledger.Store()
	if _, ran, err := store.Result(ctx, q.env.Ledger.Name(), call.Index); err != nil {
		return Answer{}, false, err
	} else if ran {
		return Answer{}, false, &gov.Error{Code: gov.CodeAlreadyExecuted, Path: "/call_id", Detail: "the result of this call was reported already, so it does not run again"}
	}
	item, err := q.env.Ledger.At(ctx, call.Index)
	if err != nil {
		return Answer{}, false, err
	}
	earlier, err := canon.Body[canon.Decision](item.Entry)
	if err != nil {
		return Answer{}, false, err
	}
	unchanged, err := q.unchanged(ctx, earlier, call.Index)
	if err == nil && unchanged && limited(earlier) {
		unchanged, err = meter.AnyFull(ctx, q.env.Ledger, q.engine.Charges(q.env.Ledger.Name(), q.call, q.who().String()), q.s.Now())
	}
	if err != nil {
		return Answer{}, false, err
	}
	opened, err := q.opened(ctx, item.ID, earlier)
	if err != nil {
		return Answer{}, false, err
	}
	if opened != "" {
		q.asked = opened
	}
	if earlier.Approval != nil {
		r, err := approval.Find(ctx, q.env.Ledger, item.ID)
		if err != nil {
			return Answer{}, false, err
		}
		unchanged = unchanged && r.At(q.s.Now()) == gov.ApprovalPending
	}
	if unchanged {
		return Answer{Decision: earlier, Receipt: item.Receipt()}, true, nil
	}
	q.supersedes, q.earlier = call.Index, item.ID
	return Answer{}, false, q.askedBefore(ctx, earlier)
}

// limited says that a decision was denied for a limit.
func limited(d canon.Decision) bool {
	return slices.ContainsFunc(d.Reasons, func(r gov.Reason) bool { return r.Code == gov.ReasonLimit })
}

// askedBefore finds the request that people may have answered before the call was denied for a limit: what they said still counts.
func (q *question) askedBefore(ctx context.Context, d canon.Decision) error {
	for range rejudgeMax {
		if q.asked != "" || !limited(d) || d.Earlier == "" {
			return nil
		}
		item, err := q.env.Ledger.ByID(ctx, d.Earlier)
		if err != nil {
			return err
		}
		if d, err = canon.Body[canon.Decision](item.Entry); err != nil {
			return err
		}
		if d.Approval != nil {
			q.asked = item.ID
		}
	}
	return nil // people are asked again
}

// chainMax bounds how many decisions of one call are gone back through.
const chainMax = 64

// opened is the decision of the call that asked people, or none: it may have been judged since, and denied by a switch for
// instance, which does not take back what people said.
func (q *question) opened(ctx context.Context, id gov.EntryID, d canon.Decision) (gov.EntryID, error) {
	for range chainMax {
		if d.Approval != nil {
			return id, nil
		}
		if d.Earlier == "" {
			break
		}
		id = d.Earlier
		item, err := q.env.Ledger.ByID(ctx, id)
		if err != nil {
			return "", err
		}
		if d, err = canon.Body[canon.Decision](item.Entry); err != nil {
			return "", err
		}
	}
	return "", nil
}

// unchanged says whether control state, the session (but for what the earlier decision itself added) and the credential are
// as they were.
func (q *question) unchanged(ctx context.Context, earlier canon.Decision, index int64) (bool, error) {
	if err := q.env.Refresh(ctx); err != nil {
		return false, err
	}
	session, err := q.env.Ledger.SessionNow(ctx, q.req.Session)
	if err != nil {
		return false, err
	}
	control := q.env.Control()
	credential, known := control.Credential(earlier.Credential)
	expired := known && !credential.Valid(q.s.Now())
	return earlier.Epoch == control.Epoch && session.Version <= index+1 && !expired, nil
}

// mac is a keyed hash that is used again, with room for what it takes and gives.
type mac struct {
	hash.Hash
	room []byte
}

// mac gives a keyed hash, reset.
func (s *Service) mac() *mac {
	if h, ok := s.macs.Get().(*mac); ok {
		h.Reset()
		return h
	}
	return &mac{hmac.New(sha256.New, s.Key), make([]byte, 0, inputUsual)}
}

// text takes a part behind its length.
func (m *mac) text(p string) {
	m.room = append(binary.BigEndian.AppendUint32(m.room[:0], uint32(len(p))), p...)
	m.Write(m.room)
}

// bytes takes a part behind its length.
func (m *mac) bytes(p []byte) {
	m.room = binary.BigEndian.AppendUint32(m.room[:0], uint32(len(p)))
	m.Write(m.room)
	m.Write(p)
}

// half is the first half of the digest.
func (m *mac) half() [16]byte {
	m.room = m.Sum(m.room[:0])
	return [16]byte(m.room[:16])
}

// digest16 is the first half of the keyed digest of parts, each behind its length.
func (s *Service) digest16(parts ...string) [16]byte {
	h := s.mac()
	defer s.macs.Put(h)
	for _, p := range parts {
		h.text(p)
	}
	return h.half()
}

func (s *Service) callKey(c gov.Call) row.CallKey {
	where := s.digest16("session", string(c.Agent), string(c.Session))
	which := s.digest16("call", string(c.Agent), string(c.Session), string(c.CallID))
	return row.CallKey(append(where[:8:8], which[:8]...))
}

// askedDigest covers what must be the same for two calls to be the same call.
func (s *Service) askedDigest(c gov.Call, input []byte) [16]byte {
	h := s.mac()
	defer s.macs.Put(h)
	h.text("asked")
	h.text(string(c.Tool))
	h.text(c.Principal.String())
	h.bytes(input)
	return h.half()
}

// refOf is the principal as records name it.
func (s *Service) refOf(p gov.Principal) string {
	h := s.mac()
	defer s.macs.Put(h)
	return identity.PrincipalRefBy(h, p)
}

// hideSecret replaces the value of a secret field: equal values stay equal, and nobody without the key can guess.
func (s *Service) hideSecret(value []byte) string {
	h := s.mac()
	defer s.macs.Put(h)
	h.text("secret")
	h.bytes(value)
	d := h.half()
	return fmt.Sprintf("secret:%x", d)
}
