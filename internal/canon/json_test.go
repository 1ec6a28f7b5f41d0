package canon_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/gowebpki/jcs"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

func nested(depth int) string {
	return strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
}

func TestWhatIsNoInputIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		code gov.Code
		path string
	}{
		{``, gov.CodeMalformedJSON, ""},
		{`{`, gov.CodeMalformedJSON, ""},
		{`[1]`, gov.CodeInvalidField, ""},
		{`"x"`, gov.CodeInvalidField, ""},
		{`{"a":1,}`, gov.CodeMalformedJSON, ""},
		{`{"a" 1}`, gov.CodeMalformedJSON, "/a"},
		{`{"a":1}x`, gov.CodeMalformedJSON, ""},
		{`{"a":{"b":NaN}}`, gov.CodeMalformedJSON, "/a/b"},
		{`{"a":[1,{"b":1e400}]}`, gov.CodeInvalidField, "/a/1/b"},
		{`{"a/b":x}`, gov.CodeMalformedJSON, "/a~1b"},
		{`{"a":1,"a":2}`, gov.CodeMalformedJSON, "/a"},
		{`{"a":"\ud800"}`, gov.CodeMalformedJSON, "/a"},
		{"{\"a\":\"\xff\"}", gov.CodeMalformedJSON, "/a"},
		{"{\"a\":\"\x01\"}", gov.CodeMalformedJSON, "/a"},
		{`{"a":"x`, gov.CodeMalformedJSON, "/a"},
		{nested(33), gov.CodeInvalidField, strings.Repeat("/a", 32)},
	} {
		_, err := canon.ParseObject([]byte(c.text))
		var e *gov.Error
		if !errors.As(err, &e) || e.Code != c.code || e.Path != c.path {
			t.Errorf("%.40q: %v, want %s at %q", c.text, err, c.code, c.path)
		}
	}
	if _, err := canon.ParseObject([]byte(nested(32))); err != nil {
		t.Errorf("32 levels: %v", err)
	}
}

func TestTheCanonicalFormIsThatOfRFC8785(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{ "b" : 1 , "a" : [ true , null , "x" ] }`:                  `{"a":[true,null,"x"],"b":1}`,
		`{"n":-0,"m":1e21,"o":1E-7,"p":9007199254740993}`:            `{"m":1e+21,"n":0,"o":1e-7,"p":9007199254740992}`,
		`{"x":100.0,"y":1.50,"z":123456789012345678}`:                `{"x":100,"y":1.5,"z":123456789012345680}`,
		`{"\u20ac":1,"\r":2,"\u0080":3,"\ud83d\ude00":4,"\ufb33":5}`: "{\"\\r\":2,\"\u0080\":3,\"\u20ac\":1,\"\U0001f600\":4,\"\ufb33\":5}",
		`{"a":"\u0007\"\\\/\u007f"}`:                                 "{\"a\":\"\\u0007\\\"\\\\/\u007f\"}",
	} {
		m, err := canon.ParseObject([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := string(canon.AppendValue(nil, m)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// oracle says whether jsontext takes the text as one object without duplicate names.
func oracle(data []byte) bool {
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	v, err := dec.ReadValue()
	if err != nil || v.Kind() != '{' {
		return false
	}
	_, err = dec.ReadToken()
	return errors.Is(err, io.EOF)
}

func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `{"a":[1,2.5e3,"x\u00e9",null,true,{"b":{}}]}`, `{"":""}`, `{"a":1e400}`, `{"a":"\ud83d\ude00"}`, nested(33), `{"a":-}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := canon.ParseObject(data)
		if err != nil {
			if gov.CodeOf(err) == gov.CodeMalformedJSON && oracle(data) {
				t.Fatalf("refused what jsontext takes: %v", err)
			}
			return
		}
		if !oracle(data) {
			t.Fatal("took what jsontext refuses")
		}
		form := canon.AppendValue(nil, m)
		want, err := jcs.Transform(data)
		if err == nil && !bytes.Equal(form, want) {
			// jcs does not refuse what RFC 7493 does, but where both take it they must agree.
			var again jsontext.Value = bytes.Clone(data)
			if err := again.Canonicalize(); err != nil || !bytes.Equal(form, again) {
				t.Fatalf("canonical form %s, jcs says %s, jsontext %s", form, want, again)
			}
		}
		twice, err := canon.ParseObject(form)
		if err != nil {
			t.Fatalf("the canonical form does not parse: %v", err)
		}
		if !bytes.Equal(canon.AppendValue(nil, twice), form) {
			t.Fatal("the canonical form of the canonical form is another one")
		}
		var plain map[string]any
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		if err := dec.Decode(&plain); err != nil {
			t.Fatalf("encoding/json: %v", err)
		}
		if diff := cmp.Diff(plain, m); diff != "" {
			t.Fatal(diff)
		}
	})
}

const usual = `{"amount":120,"currency":"USD","customer":{"id":"cus_00000000000000000001","country":"DE","tier":"gold"},"reference":"ord-2026-000000000042","reason":"The parcel arrived damaged and the customer asked for the money back by the same way.","items":["sku-1","sku-2","sku-3"],"channel":"email","notify":true,"attempt":1}`

func BenchmarkParseObject(b *testing.B) {
	data := []byte(usual)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := canon.ParseObject(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendValue(b *testing.B) {
	m, err := canon.ParseObject([]byte(usual))
	if err != nil {
		b.Fatal(err)
	}
	var room []byte
	b.ReportAllocs()
	for b.Loop() {
		room = canon.AppendValue(room[:0], m)
	}
}

func decisionBody() canon.Decision {
	return canon.Decision{
		Agent: "bench-agent", Credential: "k1234567890abcdef", Tool: "stripe/refund", Session: "s-0123456789abcdef", CallID: "c-0123456789abcdef",
		Principal: canon.PrincipalRef{Type: gov.PrincipalUser, Ref: "p_abcdefghijklmnopqrstuvwxyz", Assurance: gov.AssuranceAsserted, Groups: []gov.GroupID{"a", "b"}},
		Mode:      gov.ModeEnforce, Outcome: gov.OutcomeAllow, Reasons: []gov.Reason{{Code: gov.ReasonPolicyPermit, Policy: "staff-may", Message: "Staff may <do> this & that."}},
		Policies: []gov.PolicyID{"staff-may"}, Bundle: "sha256:e9bdafc867f16f3dc9d8650a21d4e6dbc5bafda84c7685c25ed1443a46d0e518", Epoch: 3,
		JudgedAt: "2026-11-23T14:03:00.000000Z", Labels: []gov.Label{"x"}, LabelsAdded: []gov.Label{"y"}, Would: gov.OutcomeDeny, TraceID: "t", Earlier: "dec_x",
		Commitments: map[canon.Group]canon.Commitment{"principal": "00ff", "input": "aa11"},
	}
}

func BenchmarkNewDraft(b *testing.B) {
	d := decisionBody()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := canon.NewDraft("prod", canon.KindDecision, canon.Nonce{1}, canon.Actor{Type: canon.ActorAgent, ID: "bench-agent"}, d); err != nil {
			b.Fatal(err)
		}
	}
}

// TestDecisionsAreEncodedAsTheLibraryWould: the encoder of decisions is by hand, for speed.
func TestDecisionsAreEncodedAsTheLibraryWould(t *testing.T) {
	t.Parallel()
	full := decisionBody()
	odd := canon.Decision{Reasons: []gov.Reason{{Message: "ü \"quoted\" \\ \n\u2028"}}, Policies: []gov.PolicyID{}, Commitments: map[canon.Group]canon.Commitment{}}
	asking, lifted := full, full
	asking.Approval = &canon.ApprovalAsked{Policies: []gov.PolicyID{"p"}, Groups: []gov.GroupID{"finance"}, Quorum: 2, ApproveBy: "2026-11-23T18:03:00.000000Z", ExecuteSeconds: 600}
	signed := *asking.Approval
	signed.StepUp = true
	lifted.Approval, lifted.Approved, lifted.Delegations = &signed, "dec_y", []gov.EntryID{"del_x", "del_y"}
	tainted := full
	tainted.Findings = []canon.Finding{
		{Version: "1", Channel: "tool_input", Path: "/body", Band: "high", Rules: []string{"a", "b"}, Layer: "base64", Start: 3, End: 90}, {Version: "1", Channel: "prompt", Band: "low"},
	}
	tainted.Taint, tainted.Sends = []canon.Taint{{Kind: "email", Path: "/to", Near: true}, {Kind: "url", Path: "/body"}}, []string{"d_x", "d_y"}
	limited := full
	limited.Limits = []canon.LimitCharge{
		{ID: "rate", Of: "01234567", Key: "user:p_x", Calls: 1}, {ID: "budget", Of: "89abcdef", Reserved: 100_000}, {ID: "refunded", Of: "89abcdef", Amount: 1}, {ID: "nothing", Of: "0"},
	}
	for _, d := range []canon.Decision{full, odd, asking, lifted, tainted, limited, {}} {
		want, err := jsonv2.Marshal(d, jsonv2.Deterministic(true))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(canon.AppendDecision(nil, d)); got != string(want) {
			t.Errorf("by hand %s\nlibrary %s", got, want)
		}
	}
}
