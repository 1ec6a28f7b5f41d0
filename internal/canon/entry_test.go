package canon_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

var update = flag.Bool("update", false, "write the golden files anew; look at the difference before committing it")

// bodies are one full body of every kind.
func bodies() map[canon.Kind]any {
	n, cost := int64(12), int64(12300)
	commitments := map[canon.Group]canon.Commitment{canon.GroupPrincipal: canon.Commitment(strings.Repeat("ab", 32))}
	return map[canon.Kind]any{
		canon.KindLedgerOpened: canon.LedgerOpened{Origin: "example.com/prod", PublicKey: "example.com/prod+00000000+AAAA", Version: "v1"},
		canon.KindBundleActivated: canon.BundleActivated{
			Bundle: "sha256:aa", Previous: "sha256:bb", How: canon.HowEmergency, Change: "chg_x", Reason: "too strict", Commit: "c0ffee", Branch: "main",
			State: gov.ChangeReviewOwed, ReviewBy: "2026-11-25T14:00:00.000000Z",
			SignIn: &canon.SignIn{Groups: []gov.GroupID{"leads"}, Issuer: "https://idp.example.com", AuthTime: "2026-11-23T14:00:00.000000Z", Methods: []string{"pwd"}, Level: "2"},
		},
		canon.KindCredentialIssued: canon.CredentialIssued{
			Credential: "k1", Role: "agent", Agent: "bot", Principal: canon.PrincipalRule{Rule: "fixed", Type: gov.PrincipalUser, ID: "p_x"},
			SecretHash: strings.Repeat("00", 32), ExpiresAt: "2027-01-01T00:00:00.000000Z", Note: "for <canary> & co", Commitments: commitments,
		},
		canon.KindCredentialRevoked: canon.CredentialRevoked{Credential: "k1", Reason: "laptop lost"},
		canon.KindDecision:          decisionBody(),
		canon.KindResult: canon.Result{
			Decision: "dec_x", Credential: "k1", Status: gov.ResultFailed, DurationMS: &n,
			Usage: &canon.Usage{Model: "m", InputTokens: 1, OutputTokens: 2, CostMicroUSD: &cost}, OutputBytes: 7, Commitments: commitments,
		},
		canon.KindRefusals:    canon.Refusals{From: "2026-11-23T14:03:00.000000Z", Counts: []canon.Refusal{{Caller: "net_x", Code: gov.CodeUnauthenticated, Route: "POST /v1/decisions", Count: 3}}},
		canon.KindHeartbeat:   canon.Heartbeat{Node: "n1"},
		canon.KindRecorderGap: canon.RecorderGap{From: "2026-11-23T14:03:00.000000Z", To: "2026-11-23T15:03:00.000000Z"},
		canon.KindScrub:       canon.Scrub{Size: 5, Root: strings.Repeat("00", 32), Millis: 3, Wrong: "an entry was changed"},
		canon.KindErasure:     canon.Erasure{Entry: "dec_x", Groups: []canon.Group{canon.GroupInput}, Reason: "asked for"},
		canon.KindApprovalVote: canon.ApprovalVote{
			Decision: "dec_x", Vote: gov.VoteApprove, Person: "p_x", Groups: []gov.GroupID{"finance"}, Issuer: "https://idp.example.com",
			AuthTime: "2026-11-23T14:00:00.000000Z", Methods: []string{"pwd", "otp"}, Level: "2", Shown: strings.Repeat("cd", 32),
			State: gov.ApprovalApproved, ExecuteBy: "2026-11-23T14:13:00.000000Z", Commitments: commitments,
			Signed: &canon.PasskeySignature{Passkey: "AAEC", PublicKey: "pQEC", RelyingParty: "writ.example.com", ClientData: "e30", AuthenticatorData: "AA", Signature: "MEUC"},
		},
		canon.KindChangeProposed: canon.ChangeProposed{Bundle: "sha256:bb", Base: "sha256:aa", Description: "Refunds up to 600", Tests: 52, Commit: "c0ffee", Branch: "main", Issuer: "https://ci.example.com"},
		canon.KindChangeReviewed: canon.ChangeReviewed{
			Change: "chg_x", Review: gov.VoteApprove, Person: "p_x", Groups: []gov.GroupID{"leads"}, Issuer: "https://idp.example.com",
			AuthTime: "2026-11-23T14:00:00.000000Z", Methods: []string{"pwd", "otp"}, Level: "2", Shown: strings.Repeat("cd", 32), State: gov.ChangeApproved,
			Commitments: commitments,
		},
		canon.KindPersonInvited: canon.PersonInvited{Person: "p_x", Roles: []gov.Role{gov.RoleAdmin}, ExpiresAt: "2026-11-26T14:03:00.000000Z", Commitments: commitments},
		canon.KindPersonRemoved: canon.PersonRemoved{Person: "p_x", Reason: "left the company"},
		canon.KindPasskeyEnrolled: canon.PasskeyEnrolled{
			Person: "p_x", Passkey: "AAEC", PublicKey: "pQECAyYgASFYIA", RelyingParty: "writ.example.com", Attestation: "none", AAGUID: strings.Repeat("00", 16),
		},
		canon.KindSignedIn: canon.SignedIn{
			Session: "s1", Person: "p_x", How: "oidc", Issuer: "https://idp.example.com", AuthTime: "2026-11-23T14:00:00.000000Z",
			Methods: []string{"pwd", "otp"}, Level: "2", Groups: []gov.GroupID{"finance"}, Roles: []gov.Role{gov.RoleAuditor},
			ExpiresAt: "2026-11-24T02:00:00.000000Z", Network: "net_x", Passkey: "AAEC", AllowedBy: "s0", Replaces: "s2", Ends: []string{"s3"}, Commitments: commitments,
		},
		canon.KindSessionEnded: canon.SessionEnded{Session: "s1", Person: "p_x", How: "signed_out", Ends: []string{"s3"}},
		canon.KindNotification: canon.Notification{
			Entry: "dec_x", Event: gov.EventApprovalRequested, Channel: "finance-chat", Type: gov.ChannelSlack, Status: gov.DeliveryFailed,
			Attempt: 2, Code: 503, Refused: 1, Cause: gov.UnsentRefused,
		},
		canon.KindChangeScheduled: canon.ChangeScheduled{Change: "chg_x", State: gov.ChangeScheduled, At: "2026-11-24T06:00:00.000000Z", Reason: "another base"},
		canon.KindDelegationRequested: canon.DelegationRequested{
			Scope: delegationScope(), Groups: []gov.GroupID{"finance"}, Quorum: 1, ApproveBy: "2026-11-23T15:03:00.000000Z", Person: "p_y",
			Member: []gov.GroupID{"finance"}, Commitments: commitments,
		},
		canon.KindDelegationVote:    delegationVote(gov.VoteDeny, gov.DelegationDenied, commitments),
		canon.KindDelegationGranted: canon.DelegationGranted{DelegationVote: delegationVote(gov.VoteApprove, gov.DelegationGranted, commitments), Scope: delegationScope(), By: []string{"p_x"}},
		canon.KindSwitchEngaged: canon.SwitchEngaged{
			Scope: gov.SwitchScope{Category: gov.CategoryMoney}, Reason: "Refunds ran wild.", AskedAt: "2026-11-23T14:02:59.900000Z",
			ExpiresAt: "2026-11-24T14:03:00.000000Z", People: 2, Incident: "inc_x", Key: "injection/support-bot", Person: "p_x", Commitments: commitments,
		},
		canon.KindSwitchProposed: canon.SwitchProposed{Switch: "swi_x", Step: gov.Step{Stage: gov.SwitchReleased}, Reason: "fixed", Person: "p_y", Commitments: commitments},
		canon.KindSwitchEased: canon.SwitchEased{
			Switch: "swi_x", Step: gov.Step{Stage: gov.SwitchShare, Share: 25}, Reason: "fixed", Person: "p_x", By: []string{"p_x", "p_y"}, Commitments: commitments,
		},
		canon.KindSwitchReleased: canon.SwitchReleased{
			Switch: "swi_x", State: gov.SwitchIsReleased, Reason: "fixed", Person: "p_x", By: []string{"p_x", "p_y"}, Commitments: commitments,
		},
		canon.KindSignal: canon.Signal{
			Detector: "blocked_spike", Version: 1, Severity: gov.SeverityHigh, Key: "blocked_spike/support-bot", Agent: "support-bot", Tool: "stripe/refund",
			Principal: "user:p_x", Session: "s1", Summary: "20 calls of support-bot were denied in 10 minutes.", Observed: "20", Expected: "1.2", Window: 600,
			Probability: "3.1e-09", Through: 41, Entries: []gov.EntryID{"dec_x"}, Count: 20, Tags: []string{"AML.T0053", "ASI02"}, Exercise: true, Heartbeat: true, Noticed: []gov.DetectorID{"blocked_spike"},
			Incident: "inc_x",
		},
		canon.KindScanned: canon.Scanned{
			Credential: "k1", Channel: "prompt", Session: "s1", Bytes: 120, Scanner: "1-ab", LabelsAdded: []gov.Label{"injection_suspected"},
			Findings: []canon.Finding{{Version: "1-ab", Channel: "prompt", Band: "high", Rules: []string{"a"}, Start: 1, End: 90}},
		},
		canon.KindProbe:    canon.Probe{Node: "n1", Unanswered: 2, Since: "2026-11-23T13:33:00.000005Z"},
		canon.KindExercise: canon.Exercise{Scenario: "G1", Agents: []gov.AgentID{"support-bot"}, Until: "2026-11-23T14:03:00.000000Z", Person: "p_x", Commitments: commitments},
		canon.KindExerciseResult: canon.ExerciseResult{
			Exercise: "exe_x", Agents: []gov.AgentID{"support-bot"}, Detectors: []gov.DetectorID{"self_approval"}, Hypothesis: "A spike is noticed.", Injected: "20 calls that are denied.",
			Expected: []gov.DetectorID{"blocked_spike"}, Held: true, Observed: "It was.", Moments: []canon.Moment{{What: "injected", At: "2026-11-23T14:03:00.000000Z"}},
			DetectMillis: &n, ContainMillis: &n, Refs: []string{"dec_x"}, Person: "p_x", Commitments: commitments,
		},
		canon.KindIncidentReported: canon.IncidentReported{
			Severity: gov.SeverityCritical, Title: "Refunds without a ticket", Agent: "support-bot", Entries: []gov.EntryID{"dec_x"},
			EffectiveAt: "2026-11-23T13:00:00.000000Z", Exercise: true, Person: "p_x", Commitments: commitments,
		},
		canon.KindIncidentEvent: canon.IncidentEvent{
			Incident: "inc_x", Event: gov.StepDismissed, State: gov.IncidentDismissed, Severity: gov.SeverityLow, EffectiveAt: "2026-11-23T14:00:00.000000Z",
			Owner: "p_y", Reason: gov.DismissedBenign, Into: "inc_y", Refs: []string{"dec_x"}, Due: "2026-12-23T14:00:00.000000Z",
			SignIn:     &canon.SignIn{Groups: []gov.GroupID{}, Issuer: "https://idp.example.com", AuthTime: "2026-11-23T14:00:00.000000Z", Methods: []string{"pwd"}, Level: "2"},
			Assessment: &canon.Assessment{PersonalData: true}, Person: "p_x", Commitments: commitments,
			Alert: &canon.Alert{Bundle: "sha256:aa", AfterSeconds: 900, Channels: []gov.ChannelID{"pager"}},
			Via:   &canon.Via{Channel: "pager", Event: "01BZ", Kind: "incident.acknowledged", User: "PXPGF42"},
		},
		canon.KindDelegationEnded:   canon.DelegationEnded{Delegation: "del_x", Person: "p_x", Groups: []gov.GroupID{"finance"}, Commitments: commitments},
		canon.KindApprovalExpired:   canon.ApprovalExpired{Decision: "dec_x", State: gov.ApprovalUnused},
		canon.KindDelegationExpired: canon.DelegationExpired{Delegation: "del_x"},
		canon.KindLimitWarning: canon.LimitWarning{
			Limit: "support-budget", Of: "01234567", Key: "user:p_x", Since: "2026-11-23T14:03:00.000000Z", WarnCalls: 80, Calls: 81, WarnMicroUSD: 120_000_000,
			MicroUSD: 120_200_000, WindowSeconds: 86400,
		},
	}
}

func delegationScope() canon.DelegationScope {
	return canon.DelegationScope{
		Policy: "refunds-over-500", Gate: strings.Repeat("ef", 32), Agent: "support-bot", Tool: "stripe/refund", Principal: "service:support-desk",
		When: "context.input.amount < 1000", Until: "2026-11-23T16:03:00.000000Z", UsesMax: 20,
	}
}

func delegationVote(vote gov.Vote, state gov.DelegationState, commitments map[canon.Group]canon.Commitment) canon.DelegationVote {
	return canon.DelegationVote{
		Delegation: "del_x", Vote: vote, Person: "p_x", Groups: []gov.GroupID{"finance"}, Issuer: "https://idp.example.com",
		AuthTime: "2026-11-23T14:00:00.000000Z", Methods: []string{"pwd", "otp"}, Level: "2", Shown: strings.Repeat("cd", 32), State: state, Commitments: commitments,
	}
}

func place(t testing.TB, kind canon.Kind, body any) []byte {
	t.Helper()
	d, err := canon.NewDraft("prod", kind, canon.Nonce{1, 2, 3}, canon.Writ(), body)
	if err != nil {
		t.Fatal(err)
	}
	raw := canon.NewPlacer().Append(nil, d, 77, time.Date(2026, 11, 23, 14, 3, 0, 5000, time.UTC))
	if len(raw) != d.Size() {
		t.Errorf("%s: %d bytes, its draft says %d", kind, len(raw), d.Size())
	}
	return raw
}

// TestEveryKindHasItsGoldenFile: the bytes of an entry are hashed, so they never change.
func TestEveryKindHasItsGoldenFile(t *testing.T) {
	t.Parallel()
	all := bodies()
	for _, kind := range canon.Kinds() {
		body, ok := all[kind]
		if !ok {
			t.Errorf("%s has no body here", kind)
			continue
		}
		raw := place(t, kind, body)
		name := filepath.Join("testdata", string(kind)+".json")
		if *update {
			if err := os.WriteFile(name, raw, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Errorf("%s: %v; write it with -update", kind, err)
			continue
		}
		if diff := cmp.Diff(string(want), string(raw)); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
		e, err := canon.Decode(raw)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if index, _, ok := canon.IndexOf(e.ID); !ok || index != 77 || e.Kind != kind {
			t.Errorf("%s: decoded as %s at %d", kind, e.Kind, index)
		}
	}
}

func TestOnlyTheOneFormIsAnEntry(t *testing.T) {
	t.Parallel()
	good := string(place(t, canon.KindHeartbeat, canon.Heartbeat{Node: "n1"}))
	for name, text := range map[string]string{
		"white space":         strings.Replace(good, `,"kind"`, `, "kind"`, 1),
		"another order":       strings.Replace(good, `{"v":1,"ledger":"prod"`, `{"ledger":"prod","v":1`, 1),
		"an unknown field":    strings.Replace(good, `{"v":1`, `{"v":1,"w":1`, 1),
		"a field twice":       strings.Replace(good, `"ledger":"prod"`, `"ledger":"prod","ledger":"prod"`, 1),
		"another version":     strings.Replace(good, `"v":1`, `"v":2`, 1),
		"an unknown kind":     strings.Replace(good, "heartbeat", "heartbeet", 1),
		"another kind's body": strings.Replace(good, `{"node":"n1"}`, `{"reason":"x"}`, 1),
		"more in the body":    strings.Replace(good, `{"node":"n1"}`, `{"node":"n1","x":1}`, 1),
		"an escape":           strings.Replace(good, `"n1"`, `"\u006e1"`, 1),
		"an id of a decision": strings.Replace(good, `"ent_`, `"dec_`, 1),
		"a time in seconds":   strings.Replace(good, ".000005Z", "Z", 1),
		"a time with offset":  strings.Replace(good, ".000005Z", ".000005+00:00", 1),
		"a tail":              good + " ",
		"cut":                 good[:len(good)-1],
		"nothing":             "",
	} {
		if text == good {
			t.Fatalf("%s changes nothing", name)
		}
		if _, err := canon.Decode([]byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := canon.NewDraft("prod", canon.KindHeartbeat, canon.Nonce{}, canon.Actor{}, canon.Scrub{}); err == nil {
		t.Error("a heartbeat holds a scrub")
	}
	if _, err := canon.NewDraft("prod", canon.KindHeartbeat, canon.Nonce{}, canon.Actor{}, canon.Heartbeat{Node: strings.Repeat("x", canon.EntryBytesMax)}); err == nil {
		t.Error("an entry over the bound is drafted")
	}
}

func FuzzDecode(f *testing.F) {
	for kind, body := range bodies() {
		f.Add(place(f, kind, body))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := canon.Decode(data)
		if err != nil {
			return
		}
		if e.V != 1 || len(e.ID) == 0 {
			t.Fatal("decoded what says nothing")
		}
		again, err := canon.Decode(bytes.Clone(data))
		if err != nil || cmp.Diff(e, again) != "" {
			t.Fatal("decoding is not a function")
		}
	})
}

func TestIDsSortAsEntriesDo(t *testing.T) {
	t.Parallel()
	d, err := canon.NewDraft("prod", canon.KindHeartbeat, canon.Nonce{255, 1}, canon.Actor{Type: "system", ID: "writ"}, canon.Heartbeat{})
	if err != nil {
		t.Fatal(err)
	}
	p := canon.NewPlacer()
	before := gov.EntryID("")
	for _, index := range []int64{0, 1, 31, 32, 255, 256, 65535, 1 << 20, 1 << 40, 1<<48 - 1} {
		id := p.ID(d, index)
		if got, prefix, ok := canon.IndexOf(id); !ok || got != index || prefix != "ent_" {
			t.Errorf("%s: index %d, not %d", id, got, index)
		}
		if id <= before {
			t.Errorf("%s does not sort behind %s", id, before)
		}
		before = id
	}
	for _, id := range []gov.EntryID{"", "ent_", "ent_ZZZZZZZZZZZZZZZZZZZZZZZZZZ", gov.EntryID("ent_" + strings.Repeat("u", 26)), before + "0"} {
		if _, _, ok := canon.IndexOf(id); ok {
			t.Errorf("%q is taken for an id", id)
		}
	}
}

func TestPayloadsAreHeldToTheirCommitments(t *testing.T) {
	t.Parallel()
	value := canon.AppendValue(nil, map[string]any{"card": "4929"})
	sealed, commitment := canon.Seal(canon.Salt{9}, canon.GroupInput, value)
	p := canon.Payload{canon.GroupInput: sealed}
	commitments := map[canon.Group]canon.Commitment{canon.GroupInput: commitment}
	decoded, err := canon.DecodePayload(p.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, decoded); diff != "" {
		t.Error(diff)
	}
	for name, c := range map[string]struct {
		payload         canon.Payload
		changed, erased int
	}{
		"untouched":     {decoded, 0, 0},
		"another value": {canon.Payload{canon.GroupInput: {Salt: sealed.Salt, Value: []byte(`{"card":"4930"}`)}}, 1, 0},
		"another salt":  {canon.Payload{canon.GroupInput: {Salt: strings.Repeat("0", 32), Value: value}}, 1, 0},
		"no salt":       {canon.Payload{canon.GroupInput: {Value: value}}, 1, 0},
		"erased":        {canon.Payload{}, 0, 1},
		"one more":      {canon.Payload{canon.GroupInput: sealed, canon.GroupText: sealed}, 1, 0},
		"another group": {canon.Payload{canon.GroupText: sealed}, 1, 1},
	} {
		changed, erased := c.payload.Check(commitments)
		if len(changed) != c.changed || len(erased) != c.erased {
			t.Errorf("%s: changed %v, erased %v", name, changed, erased)
		}
	}
	if _, other := canon.Seal(canon.Salt{9}, canon.GroupOutput, value); other == commitment {
		t.Error("the group is not in the commitment")
	}
}

func TestFramesComeApartAsTheyWerePutTogether(t *testing.T) {
	t.Parallel()
	data := canon.AppendFramed(canon.AppendFramed(nil, []byte("one")), nil)
	first, rest, err := canon.SplitFramed(data)
	if err != nil || string(first) != "one" || len(rest) != 2 {
		t.Errorf("%q, %q, %v", first, rest, err)
	}
	for _, cut := range []int{1, 2, 4} {
		if _, _, err := canon.SplitFramed(data[:cut]); err == nil {
			t.Errorf("%d bytes of it are taken", cut)
		}
	}
	payloads := canon.AppendFramedPayload(nil, []byte("payload"))
	if part, rest, err := canon.SplitFramedPayload(payloads); err != nil || string(part) != "payload" || len(rest) != 0 {
		t.Errorf("%q, %q, %v", part, rest, err)
	}
	if _, _, err := canon.SplitFramedPayload(payloads[:6]); err == nil {
		t.Error("a cut payload is taken")
	}
}

// TestAnActsSessionIsInItsEntry: and one without a session has the bytes that it always had.
func TestAnActsSessionIsInItsEntry(t *testing.T) {
	t.Parallel()
	tom := canon.Actor{Type: canon.ActorPerson, ID: "p_tom"}
	for session, want := range map[string]string{
		"":   `"actor":{"type":"person","id":"p_tom"},"body":`,
		"s1": `"actor":{"type":"person","id":"p_tom","session":"s1"},"body":`,
	} {
		by := tom
		by.Session = session
		d, err := canon.NewDraft("prod", canon.KindHeartbeat, canon.Nonce{}, by, canon.Heartbeat{Node: "n1"})
		if err != nil {
			t.Fatal(err)
		}
		raw := canon.NewPlacer().Append(nil, d, 1, time.Date(2026, 11, 23, 14, 3, 0, 0, time.UTC))
		if !strings.Contains(string(raw), want) {
			t.Errorf("%s has no %s", raw, want)
		}
		if e, err := canon.Decode(raw); err != nil || e.Actor.Session != session || !e.Actor.Is(tom) || e.Actor.Who().Session != "" {
			t.Errorf("%s comes back as %+v, %v", raw, e.Actor, err)
		}
	}
	if tom.Is(canon.Actor{Type: canon.ActorPerson, ID: "p_omar"}) || tom.Is(canon.Actor{Type: canon.ActorAgent, ID: "p_tom"}) {
		t.Error("two actors are one")
	}
}
