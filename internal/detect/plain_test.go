package detect_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/detect"
	"github.com/writ-dev/writ/internal/gov"
)

// TestAPlainReadingIsTheReadingAtLength of every decision that has one; without an escape and without what is rare, it has one.
func TestAPlainReadingIsTheReadingAtLength(t *testing.T) {
	t.Parallel()
	reader := &detect.Reader{}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-zé/:_. -]{1,12}`)
		d, rare := anyDecision(t, word), false
		switch rapid.IntRange(0, 9).Draw(t, "rare") {
		case 0:
			d.Findings, rare = []canon.Finding{{Version: "1", Channel: "tool_input", Band: "high", Rules: []string{"a"}}}, true
		case 1:
			d.Taint, rare = []canon.Taint{{Kind: "mail", Path: "/to"}}, true
		case 2:
			d.Approval, rare = &canon.ApprovalAsked{Groups: []gov.GroupID{"g"}}, true
		case 3:
			d.Reasons, rare = append(d.Reasons, gov.Reason{Code: "x", Message: "a \"b\"\n"}), true
		}
		raw := placed(t, d)
		plain, ok := reader.Plain(raw)
		if ok == rare {
			t.Fatalf("read plainly: %v: %s", ok, raw)
		}
		if ok {
			same(t, reader, raw, plain)
		}
	})
}

// FuzzAPlainReading: what is read plainly is a decision, and the same one, or none that the library reads.
func FuzzAPlainReading(f *testing.F) {
	entry := `{"v":1,"ledger":"prod","kind":"decision","id":"dec_x","at":"2026-11-23T14:03:00.000000Z","actor":{"type":"agent","id":"a"},"body":BODY}`
	for _, body := range []string{
		`{"agent":"a","credential":"c","principal":{"type":"user","ref":"r","assurance":"asserted"},"tool":"t","mode":"enforce","outcome":"allow","reasons":[],"policies":[],"epoch":1,"judged_at":"x","commitments":{}}`,
		`{"agent":"a","credential":"c","principal":{"type":"user","ref":"r","assurance":"asserted","groups":["g","h"]},"tool":"t","session":"s","call_id":"i","trace_id":"r","mode":"observe","outcome":"allow","would":"deny","reasons":[{"code":"x","policy":"p","message":"m"}],"policies":["p"],"bundle":"b","epoch":10,"judged_at":"x","labels":["l"],"labels_added":["m"],"earlier":"e","approved":"a","delegations":["d"],"sends":["d_1"],"limits":[{"id":"l","of":"o","key":"k","calls":1},{"id":"m","of":"o"}],"commitments":{"input":"c"}}`,
	} {
		f.Add(strings.ReplaceAll(entry, "BODY", body))
	}
	f.Fuzz(func(t *testing.T, raw string) {
		reader := &detect.Reader{}
		if plain, ok := reader.Plain([]byte(raw)); ok {
			if _, err := reader.AtLength([]byte(raw)); err == nil {
				same(t, reader, []byte(raw), plain)
			}
		}
	})
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func same(t failer, reader *detect.Reader, raw []byte, plain detect.Reading) {
	t.Helper()
	want, err := reader.AtLength(raw)
	if err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	if diff := cmp.Diff(want, plain, cmpopts.EquateEmpty(), cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
		t.Fatalf("(-at length +plain):\n%s", diff)
	}
}

// placed is an entry as the ledger has it.
func placed(t failer, d canon.Decision) []byte {
	t.Helper()
	draft, err := canon.NewDraft("prod", canon.KindDecision, canon.Nonce{1}, canon.Actor{Type: canon.ActorAgent, ID: string(d.Agent)}, d)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return canon.NewPlacer().Append(nil, draft, 7, time.Date(2026, 11, 23, 14, 3, 0, 0, time.UTC))
}

// anyDecision has nothing rare.
func anyDecision(t *rapid.T, word *rapid.Generator[string]) canon.Decision {
	one := func(name string) string { return word.Draw(t, name) }
	maybe := func(name string) string { return rapid.OneOf(rapid.Just(""), word).Draw(t, name) }
	d := canon.Decision{
		Agent: gov.AgentID(one("agent")), Credential: gov.CredentialID(one("credential")), Tool: gov.ToolName(one("tool")), Session: gov.SessionID(maybe("session")),
		Principal: canon.PrincipalRef{Type: gov.PrincipalType(one("type")), Ref: one("ref"), Assurance: gov.Assurance(one("assurance")), Groups: some[gov.GroupID](t, word)},
		CallID:    gov.CallID(maybe("call")), TraceID: gov.TraceID(maybe("trace")), Mode: gov.Mode(one("mode")), Outcome: gov.Outcome(one("outcome")),
		Would: gov.Outcome(maybe("would")), Policies: some[gov.PolicyID](t, word), Bundle: gov.BundleDigest(maybe("bundle")), Epoch: rapid.Int64Range(0, 1<<40).Draw(t, "epoch"),
		JudgedAt: one("judged"), Labels: some[gov.Label](t, word), LabelsAdded: some[gov.Label](t, word), Earlier: gov.EntryID(maybe("earlier")),
		Approved: gov.EntryID(maybe("approved")), Delegations: some[gov.EntryID](t, word), Sends: some[string](t, word),
		Commitments: map[canon.Group]canon.Commitment{},
	}
	for _, code := range some[gov.ReasonCode](t, word) {
		d.Reasons = append(d.Reasons, gov.Reason{Code: code, Policy: gov.PolicyID(maybe("policy")), Message: one("message")})
	}
	for _, id := range some[string](t, word) {
		d.Limits = append(d.Limits, canon.LimitCharge{
			ID: id, Of: one("of"), Key: maybe("key"), Calls: rapid.Int64Range(0, 9).Draw(t, "calls"), Reserved: rapid.Int64Range(0, 1).Draw(t, "reserved"),
		})
	}
	for _, group := range some[canon.Group](t, word) {
		d.Commitments[group] = canon.Commitment(one("commitment"))
	}
	return d
}

func some[T ~string](t *rapid.T, word *rapid.Generator[string]) []T {
	var out []T
	for _, v := range rapid.SliceOfN(word, 0, 3).Draw(t, "list") {
		out = append(out, T(v))
	}
	return out
}

// BenchmarkADecision is what following the ledger costs for each call of an agent.
func BenchmarkADecision(b *testing.B) {
	d := canon.Decision{
		Agent: "support-bot", Credential: "cred_0123456789", Tool: "zendesk/read_ticket", Session: "s-00000000000000000001", CallID: "c-0000000001", Mode: gov.ModeEnforce,
		Principal: canon.PrincipalRef{Type: gov.PrincipalUser, Ref: "u_0123456789abcdef0123456789", Assurance: "asserted", Groups: []gov.GroupID{"staff", "support"}},
		Outcome:   gov.OutcomeAllow, Reasons: []gov.Reason{{Code: gov.ReasonPolicyPermit, Policy: "read-tickets", Message: "The policy read-tickets permits it: support reads tickets."}},
		Policies: []gov.PolicyID{"read-tickets"}, Bundle: gov.BundleDigest("sha256:" + strings.Repeat("0", 64)), Epoch: 7, JudgedAt: "2026-11-23T14:03:00.000000Z",
		Commitments: map[canon.Group]canon.Commitment{"input": canon.Commitment(strings.Repeat("0", 64)), "principal": canon.Commitment(strings.Repeat("0", 64))},
	}
	raw := placed(b, d)
	b.Run("plain", func(b *testing.B) {
		state := detect.New()
		b.ReportAllocs()
		for i := range b.N {
			if _, err := state.Read(int64(i), raw, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("at length", func(b *testing.B) {
		state := detect.New()
		b.ReportAllocs()
		for i := range b.N {
			e, err := canon.Parse(raw)
			if err == nil {
				_, err = state.Step(int64(i), e, nil)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestReadAndStepRememberTheSame, whichever way an entry is read.
func TestReadAndStepRememberTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"a", "b", "c", string(gov.OutcomeAllow), string(gov.OutcomeDeny), "private", "untrusted"})
		read, stepped := detect.New(), detect.New()
		for i := range rapid.IntRange(1, 30).Draw(t, "entries") {
			raw := placed(t, anyDecision(t, word))
			e, err := canon.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			got, err1 := read.Read(int64(i), raw, nil)
			want, err2 := stepped.Step(int64(i), e, nil)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("(-step +read):\n%s", diff)
			}
		}
		one, err1 := json.Marshal(read)
		two, err2 := json.Marshal(stepped)
		if err1 != nil || err2 != nil || string(one) != string(two) {
			t.Fatalf("%s\n%s", one, two)
		}
	})
}
