package ledger

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// TestAnEntryIsFoundByTheSameHoweverItIsRead: by scanning, which most decisions are, and by decoding, which those with an escape are.
func TestAnEntryIsFoundByTheSameHoweverItIsRead(t *testing.T) {
	t.Parallel()
	base := canon.Decision{
		Agent: "bot", Credential: "key_1", Principal: canon.PrincipalRef{Type: gov.PrincipalUser, Ref: "p_1", Assurance: gov.AssuranceVerified, Groups: []gov.GroupID{"a"}}, Tool: "s/t",
		Mode: gov.ModeEnforce, Outcome: gov.OutcomeDeny, Reasons: []gov.Reason{{Code: gov.ReasonPolicyForbid, Policy: "two", Message: "so"}}, Policies: []gov.PolicyID{},
		JudgedAt: "2026-11-24T06:00:00.000000Z",
	}
	want := []string{"k decision", "a bot", "p user:p_1", "t s/t", "o deny"}
	for name, c := range map[string]struct {
		with    func(*canon.Decision)
		want    []string
		scanned bool
	}{
		"plain": {func(*canon.Decision) {}, want, true},
		"more": {func(d *canon.Decision) {
			d.Session, d.Would, d.Policies = "x", gov.OutcomeAllow, []gov.PolicyID{"one", "two"}
		}, []string{"k decision", "a bot", "p user:p_1", "t s/t", "s x", "o deny", "w allow", "y one", "y two"}, true},
		"an escape": {func(d *canon.Decision) { d.Principal.Ref = `a"b` }, []string{"k decision", "a bot", `p user:a"b`, "t s/t", "o deny"}, false},
	} {
		d := base
		c.with(&d)
		draft, err := canon.NewDraft("prod", canon.KindDecision, canon.Nonce{}, canon.Actor{Type: canon.ActorAgent, ID: "bot"}, d)
		if err != nil {
			t.Fatal(err)
		}
		raw := canon.NewPlacer().Append(nil, draft, 7, time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC))
		var f, scanned, decoded finder
		all, err := f.terms(raw)
		if err != nil {
			t.Fatal(name, err)
		}
		if ok := scanned.scan(raw); ok != c.scanned || ok != !bytes.Contains(raw, []byte{'\\'}) {
			t.Errorf("%s: scanned %v, want %v", name, ok, c.scanned)
		}
		decoded.decision(d)
		if diff := cmp.Diff(c.want, words(all)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(c.want[1:], words(decoded.all)); diff != "" {
			t.Errorf("%s, decoded (-want +got):\n%s", name, diff)
		}
	}
}

func words(all []found) []string {
	var out []string
	for _, f := range all {
		out = append(out, fmt.Sprintf("%c %s", f.dim, f.value))
	}
	return out
}
