package state_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/state"
)

// noon is when the tests' consents are granted.
var noon = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

// acme is examples/acme with texts of a file replaced, old and new by turns.
func acme(t *testing.T, file string, replace ...string) *policy.Engine {
	t.Helper()
	b, problems := bundle.Read(os.DirFS("../../examples/acme"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	files := b.Files
	if file != "" {
		files[file] = []byte(strings.NewReplacer(replace...).Replace(string(files[file])))
	}
	if b, problems = bundle.ReadFiles(files); len(problems) > 0 {
		t.Fatal(problems)
	}
	e, problems := policy.Compile(b)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return e
}

// ledger is a control state with the entries that are put to it.
type ledger struct {
	*state.Control
	t       *testing.T
	bundles map[gov.BundleDigest]*policy.Engine
	at      time.Time
	entries int
}

func newLedger(t *testing.T, e *policy.Engine) *ledger {
	l := &ledger{Control: state.NewControl("prod"), t: t, bundles: map[gov.BundleDigest]*policy.Engine{}, at: noon}
	l.activate(e)
	return l
}

func (l *ledger) apply(kind canon.Kind, body any) {
	l.t.Helper()
	raw, err := jsonv2.Marshal(body)
	if err != nil {
		l.t.Fatal(err)
	}
	l.entries++
	e := canon.Entry{V: 1, Ledger: "prod", Kind: kind, ID: gov.EntryID(fmt.Sprint("ent_", l.entries)), At: l.at.Format(canon.TimeLayout), Body: raw}
	next, err := l.Apply(e, nil, func(d gov.BundleDigest) (*policy.Engine, error) { return l.bundles[d], nil })
	if err != nil {
		l.t.Fatal(err)
	}
	l.Control = next
}

func (l *ledger) activate(e *policy.Engine) {
	l.t.Helper()
	l.bundles[e.Bundle().Digest] = e
	l.apply(canon.KindBundleActivated, canon.BundleActivated{Bundle: e.Bundle().Digest, How: canon.HowReviewed})
}

// grant grants a consent to refunds that is like the usual one but for what change says.
func (l *ledger) grant(id gov.EntryID, change func(*canon.DelegationScope)) {
	l.t.Helper()
	gate, _ := l.Engine.GatePolicy("refunds-over-500")
	scope := canon.DelegationScope{
		Policy: gate.ID, Gate: gate.Digest, Agent: "support-bot", Tool: "stripe/refund", When: `context.input.amount < 1000 && context.input.currency == "usd"`, Until: l.at.Add(time.Hour).Format(canon.TimeLayout),
	}
	if change != nil {
		change(&scope)
	}
	l.apply(canon.KindDelegationGranted, canon.DelegationGranted{DelegationVote: canon.DelegationVote{Delegation: id}, Scope: scope, By: []string{"p_fay"}})
}

// counts says which consents count for a refund of an amount.
func (l *ledger) counts(amount int, change func(*state.Question)) string {
	principal := gov.Principal{Type: gov.PrincipalService, ID: "support-desk"}
	q := state.Question{
		Call: gov.Call{
			Agent: "support-bot", Principal: principal, Assurance: gov.AssuranceBound, Tool: "stripe/refund",
			Input: map[string]any{"charge": "ch_1", "amount": json.Number(fmt.Sprint(amount)), "currency": "usd"},
		},
		Credential: state.WorkloadPrefix + "x", At: l.at, Principal: principal,
	}
	if change != nil {
		change(&q)
	}
	v := l.Judge(q)
	if (v.Outcome == gov.OutcomeAllow) != (len(v.Delegations) > 0) {
		l.t.Errorf("%s, and %v counted", v.Outcome, v.Delegations)
	}
	return strings.Trim(fmt.Sprint(v.Delegations), "[]")
}

func TestAStandingConsentCountsForWhatItIs(t *testing.T) {
	t.Parallel()
	l := newLedger(t, acme(t, ""))
	l.grant("del_1", nil)
	user := func(ref string) func(*state.Question) {
		return func(q *state.Question) {
			q.Call.Principal = gov.Principal{Type: gov.PrincipalUser, ID: "somebody"}
			q.Principal = gov.Principal{Type: gov.PrincipalUser, ID: ref}
		}
	}
	for name, c := range map[string]struct {
		amount int
		change func(*state.Question)
		want   string
	}{
		"what it is":            {900, nil, "del_1"},
		"more":                  {1000, nil, ""},
		"for a user":            {900, user("p_tom"), "del_1"},
		"for who voted":         {900, user("p_fay"), ""},
		"for nobody knows whom": {900, func(q *state.Question) { q.Principal = gov.Principal{} }, ""},
		"used up":               {900, func(q *state.Question) { q.Spent = []gov.EntryID{"del_0", "del_1"} }, ""},
		"a moment before":       {900, func(q *state.Question) { q.At = noon.Add(time.Hour - time.Microsecond) }, "del_1"},
		"at its end":            {900, func(q *state.Question) { q.At = noon.Add(time.Hour) }, ""},
	} {
		if got := l.counts(c.amount, c.change); got != c.want {
			t.Errorf("%s: %q counts, want %q", name, got, c.want)
		}
	}

	for name, change := range map[string]func(*canon.DelegationScope){
		"another agent":     func(s *canon.DelegationScope) { s.Agent = "finance-bot" },
		"another tool":      func(s *canon.DelegationScope) { s.Tool, s.When = "email/send", "" },
		"another principal": func(s *canon.DelegationScope) { s.Principal = "service:other" },
		"another type":      func(s *canon.DelegationScope) { s.Principal = "organization:support-desk" },
		"another text":      func(s *canon.DelegationScope) { s.Gate = strings.Repeat("0", 64) },
		"another policy":    func(s *canon.DelegationScope) { s.Policy = "invoices-over-5000" },
		"no condition":      func(s *canon.DelegationScope) { s.When = "amount < 1000" },
	} {
		other := newLedger(t, acme(t, ""))
		other.grant("del_1", change)
		if got := other.counts(900, nil); got != "" {
			t.Errorf("%s counts", name)
		}
	}
	l.grant("del_0", func(s *canon.DelegationScope) { s.Tool, s.When, s.Principal = "", "", "service:support-desk" })
	if got := l.counts(5000, nil); got != "del_0" {
		t.Errorf("any tool, for one principal: %q counts", got)
	}
	if got := l.counts(900, nil); got != "del_0" {
		t.Errorf("of two %q counts, want the older one", got)
	}
	l.apply(canon.KindDelegationEnded, canon.DelegationEnded{Delegation: "del_0"})
	if got := l.counts(900, nil); got != "del_1" || l.Delegations(noon) != 1 {
		t.Errorf("of two, when one is ended, %q counts", got)
	}
}

func TestAStandingConsentEndsWithItsPolicy(t *testing.T) {
	t.Parallel()
	was := acme(t, "")
	for name, c := range map[string]struct {
		e    *policy.Engine
		want string
	}{
		"another policy changes": {acme(t, "policies/finance.cedar", "over 10,000 USD", "over ten thousand USD"), "del_1"},
		"the file around it":     {acme(t, "policies/support.cedar", "Support reads tickets", "Support looks at tickets"), "del_1"},
		"its words":              {acme(t, "policies/support.cedar", "need a finance approver", "wait for finance"), ""},
		"other people":           {acme(t, "policies/support.cedar", `@require_approval("finance")`, `@require_approval("leads")`), ""},
		"it is only observed":    {acme(t, "policies/support.cedar", `@id("refunds-over-500")`, `@id("refunds-over-500") @mode("observe")`), ""},
		"the tool's input":       {acme(t, "tools.yaml", "required: [charge, amount, currency]", "required: [charge, amount]"), ""},
	} {
		l := newLedger(t, was)
		l.grant("del_1", nil)
		if got := l.Under(c.e).Bundle(); got != c.e.Bundle().Digest || l.Bundle() != was.Bundle().Digest {
			t.Errorf("%s: under another bundle it is %s", name, got)
		}
		_, would := l.Under(c.e).Delegation("del_1")
		l.activate(c.e)
		if _, holds := l.Delegation("del_1"); holds != (c.want != "") || would != holds {
			t.Errorf("%s: in force %t, and it would be %t", name, holds, would)
		}
		l.activate(was)
		if got := l.counts(900, nil); got != c.want {
			t.Errorf("%s, and back: %q counts, want %q", name, got, c.want)
		}
	}
	l := newLedger(t, was)
	l.grant("del_1", nil)
	l.at = noon.Add(time.Hour)
	l.activate(was)
	if _, kept := l.Delegation("del_1"); kept {
		t.Error("what is over is kept for ever")
	}
	if _, ok := state.NewControl("prod").Under(was).Delegation("del_1"); ok {
		t.Error("there is one in an empty ledger")
	}
}
