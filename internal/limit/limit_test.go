package limit_test

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/limit"
)

var start = time.Date(2026, 11, 23, 14, 3, 0, 5000, time.UTC)

// allowed is a charge that a naive model remembers for ever.
type allowed struct {
	at          time.Time
	held, spent int64
}

// TestAWindowNeverHoldsMoreThanItsLimit holds the counter against a model that remembers every charge: what is let through is never
// more than the limit in any window, and nothing is refused that is not in the window or a sixtieth of it before.
func TestAWindowNeverHoldsMoreThanItsLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := bundle.Limit{ID: "l", WindowSeconds: rapid.SampledFrom([]int64{1, 7, 60, 3600, 86400, 7 * 86400}).Draw(t, "window"), Fixed: rapid.Bool().Draw(t, "fixed")}
		most := rapid.Int64Range(1, 20).Draw(t, "max")
		if l.Calls = most; rapid.Bool().Draw(t, "money") {
			l.Calls, l.MicroUSD, l.ReserveMicroUSD = 0, most, 1
		}
		rule := limit.NewRule(&l)
		c := limit.NewCounter(rule)
		window, at := time.Duration(l.WindowSeconds)*time.Second, start
		slack := (window + 59) / 60
		var past []allowed
		holds := func(from time.Time) int64 { // after from
			n := int64(0)
			for _, p := range past {
				if p.at.After(from) {
					n += p.held + p.spent
				}
			}
			return n
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			steps := []time.Duration{0, 0, time.Microsecond, window / time.Duration(most), slack, window - slack, window - time.Microsecond, window}
			at = at.Add(rapid.SampledFrom(steps).Draw(t, "after")).Truncate(time.Microsecond) // as entries have it
			if l.MicroUSD > 0 && len(past) > 0 && rapid.Bool().Draw(t, "settles") {
				i := rapid.IntRange(0, len(past)-1).Draw(t, "which")
				if p := &past[i]; p.held > 0 {
					cost := rapid.Int64Range(0, 3).Draw(t, "cost")
					c.Settle(p.at, at, p.held, cost, false)
					p.held, p.spent = 0, cost
				}
				continue
			}
			charge := rule.Charge(gov.Call{}, "")
			take := max(charge.Micro, 1)
			begins := at.Add(-window)
			if l.Fixed {
				begins = fixedFrom(at, window)
			}
			full := c.Full(at, charge)
			if now := holds(begins); !full && now+take > most {
				t.Fatalf("%d of %d in the window, and there is room", now, most)
			} else if before := holds(begins.Add(-slack)); full && (l.Fixed && now+take <= most || before+take <= most) {
				t.Fatalf("%d of %d in the window, %d with what was just before, and it is full", now, most, before)
			}
			if !full {
				c.Add(at, charge)
				past = append(past, allowed{at: at, held: take})
			}
			again, err := limit.Parse(c.Append(nil))
			if err != nil || again.Use(at) != c.Use(at) || !slices.Equal(again.Append(nil), c.Append(nil)) {
				t.Fatalf("%s is read as %s: %v", c.Append(nil), again.Append(nil), err)
			}
			c = again
		}
		if size := len(c.Append(nil)); size > 2500 {
			t.Fatalf("a counter of %d bytes", size)
		}
	})
}

// fixedFrom is the last moment before the window that a time is in.
func fixedFrom(at time.Time, window time.Duration) time.Time {
	monday := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	return monday.Add(at.Sub(monday).Truncate(window)).Add(-time.Nanosecond)
}

func TestFixedWindowsBeginAtMidnightAndOnMondays(t *testing.T) {
	t.Parallel()
	for window, ends := range map[int64]string{3600: "2026-11-23T15:00:00Z", 86400: "2026-11-24T00:00:00Z", 7 * 86400: "2026-11-30T00:00:00Z"} {
		rule := limit.NewRule(&bundle.Limit{ID: "l", Calls: 1, WindowSeconds: window, Fixed: true})
		c := limit.NewCounter(rule)
		charge := rule.Charge(gov.Call{}, "")
		c.Add(start, charge)
		if got := c.Next(start).Format(time.RFC3339); got != ends {
			t.Errorf("%d seconds end at %s, want %s", window, got, ends)
		}
		if end := c.Next(start); !c.Full(end.Add(-time.Microsecond), charge) || c.Full(end, charge) {
			t.Errorf("%d seconds: full until %s is not so", window, end)
		}
	}
}

func TestASlidingWindowSaysWhenItHoldsLess(t *testing.T) {
	t.Parallel()
	rule := limit.NewRule(&bundle.Limit{ID: "l", Calls: 1, WindowSeconds: 3600})
	c := limit.NewCounter(rule)
	charge := rule.Charge(gov.Call{}, "")
	if !c.Next(start).IsZero() {
		t.Error("an empty counter holds something")
	}
	c.Add(start, charge)
	next := c.Next(start)
	if held := next.Sub(start); held < time.Hour || held > time.Hour+time.Minute || !c.Full(next.Add(-time.Microsecond), charge) || c.Full(next, charge) {
		t.Errorf("it holds the call for %s", held)
	}
}

func TestMoneyNeverOverflows(t *testing.T) {
	t.Parallel()
	rule := limit.NewRule(&bundle.Limit{ID: "l", MicroUSD: 1_000_000_000_000_000, ReserveMicroUSD: 5, WindowSeconds: 3600})
	c := limit.NewCounter(rule)
	charge := rule.Charge(gov.Call{}, "")
	for range 3 {
		c.Add(start, charge)
		c.Settle(start, start, 5, math.MaxInt64, false)
	}
	if u := c.Use(start); u.Micro() != math.MaxInt64 || !c.Full(start, charge) {
		t.Errorf("used %d", u.Micro())
	}
	c.Settle(start, start, 5, 0, false) // nothing is reserved any more
	if u := c.Use(start); u.Reserved != 0 {
		t.Errorf("reserved %d", u.Reserved)
	}
}

func TestAnAmountIsReadExactlyOrIsNone(t *testing.T) {
	t.Parallel()
	rule := limit.NewRule(&bundle.Limit{ID: "l", MicroUSD: 10_000_000_000, Amount: "amount", WindowSeconds: 3600})
	for text, want := range map[string]int64{`0`: 0, `12`: 12_000_000, `12.5`: 12_500_000, `0.000001`: 1, `1000000000`: 1_000_000_000_000_000, `1.25e1`: 12_500_000, `12.50000000`: 12_500_000, `-0`: 0} {
		if c := rule.Charge(gov.Call{Input: map[string]any{"amount": json.Number(text)}}, ""); c.Wrong || c.Micro != want {
			t.Errorf("%s: %d, wrong %t", text, c.Micro, c.Wrong)
		}
	}
	for _, v := range []any{nil, "12", true, json.Number("-1"), json.Number("0.0000001"), json.Number("1e10"), json.Number("1e-7"), json.Number("1000000001"), json.Number("99999999999999999999"), []any{}} {
		c := rule.Charge(gov.Call{Input: map[string]any{"amount": v}}, "")
		empty := limit.NewCounter(rule)
		if !c.Wrong || !empty.Full(start, c) {
			t.Errorf("%v is the amount %d", v, c.Micro)
		}
	}
}

func TestPeopleAreToldOnceInAWindow(t *testing.T) {
	t.Parallel()
	for _, fixed := range []bool{false, true} {
		rule := limit.NewRule(&bundle.Limit{ID: "l", Calls: 5, WindowSeconds: 3600, WarnAt: 61, Fixed: fixed}) // 3.05 calls are 4
		c := limit.NewCounter(rule)
		charge := rule.Charge(gov.Call{}, "")
		told := []bool{}
		for range 6 {
			told = append(told, c.Add(start, charge))
		}
		for range 4 {
			told = append(told, c.Add(start.Add(2*time.Hour), charge))
		}
		if want := []bool{false, false, false, true, false, false, false, false, false, true}; !slices.Equal(told, want) {
			t.Errorf("fixed %t: told %v", fixed, told)
		}
	}
	rule := limit.NewRule(&bundle.Limit{ID: "l", MicroUSD: 1000, ReserveMicroUSD: 10, WindowSeconds: 3600, WarnAt: 80})
	c := limit.NewCounter(rule)
	if c.Add(start, rule.Charge(gov.Call{}, "")) || !c.Settle(start, start, 10, 800, false) {
		t.Error("a cost of four fifths is not worth telling, or ten of a thousand is")
	}
}

func TestWhatAResultSettles(t *testing.T) {
	t.Parallel()
	known, budget, amount := int64(7), canon.LimitCharge{Reserved: 5}, canon.LimitCharge{Amount: 9}
	cost, none := &canon.Cost{MicroUSD: &known, Priced: gov.PricedTable}, &canon.Cost{Priced: gov.PricedUnpriced}
	for _, c := range []struct {
		of       canon.LimitCharge
		status   gov.ResultStatus
		cost     *canon.Cost
		want     int64
		unpriced bool
	}{
		{budget, gov.ResultSucceeded, cost, 7, false},
		{budget, gov.ResultFailed, cost, 7, false},
		{budget, gov.ResultNotRun, cost, 7, false}, // a model was paid all the same
		{budget, gov.ResultSucceeded, none, 5, true},
		{budget, gov.ResultFailed, nil, 5, true},
		{budget, gov.ResultUnknown, nil, 5, true},
		{budget, gov.ResultNotRun, nil, 0, false},
		{amount, gov.ResultSucceeded, cost, 9, false},
		{amount, gov.ResultUnknown, nil, 9, false},
		{amount, gov.ResultFailed, nil, 0, false},
		{amount, gov.ResultNotRun, nil, 0, false},
	} {
		if got, unpriced := limit.Settled(c.of, c.status, c.cost); got != c.want || unpriced != c.unpriced {
			t.Errorf("%+v %s %v: %d, unpriced %t", c.of, c.status, c.cost, got, unpriced)
		}
	}
}

func TestOnlyItsOwnFormIsACounter(t *testing.T) {
	t.Parallel()
	long := []byte("[1,1000000,0,0,0")
	for range 5000 {
		long = append(long, ",1"...)
	}
	for _, text := range []string{"", "[]", "{}", "[1]", "[2,1000000,0,0,0]", "[1,0,0,0,0]", "[1,1000000,0,0,0,1]", "[1,1000000,0,0,x]", "[1,1000000,0,0,0,]", string(long) + "]"} {
		if _, err := limit.Parse([]byte(text)); err == nil {
			t.Errorf("%.40q is read as a counter", text)
		}
	}
}

// TestWhatIsAnotherCount: raising a limit goes on counting, counting something else begins anew.
func TestWhatIsAnotherCount(t *testing.T) {
	t.Parallel()
	of := func(change func(*bundle.Limit)) string {
		l := bundle.Limit{ID: "l", Agent: "bot", Per: "principal", MicroUSD: 5_000_000, ReserveMicroUSD: 100_000, WindowSeconds: 3600}
		change(&l)
		return limit.NewRule(&l).Of
	}
	same := of(func(*bundle.Limit) {})
	for name, change := range map[string]func(*bundle.Limit){
		"more": func(l *bundle.Limit) { l.MicroUSD *= 2 }, "warned earlier": func(l *bundle.Limit) { l.WarnAt = 50 }, "reserves more": func(l *bundle.Limit) { l.ReserveMicroUSD *= 2 },
	} {
		if of(change) != same {
			t.Errorf("%s: another count", name)
		}
	}
	for name, change := range map[string]func(*bundle.Limit){
		"agent": func(l *bundle.Limit) { l.Agent = "other" }, "tool": func(l *bundle.Limit) { l.Tool = "a/b" }, "category": func(l *bundle.Limit) { l.Category = "money" },
		"environment": func(l *bundle.Limit) { l.Environment = "prod" }, "per": func(l *bundle.Limit) { l.Per = "tool" }, "window": func(l *bundle.Limit) { l.WindowSeconds = 60 },
		"fixed": func(l *bundle.Limit) { l.Fixed = true }, "amount": func(l *bundle.Limit) { l.Amount = "amount" }, "calls": func(l *bundle.Limit) { l.Calls, l.MicroUSD = 5, 0 },
	} {
		if of(change) == same {
			t.Errorf("another %s: the same count", name)
		}
	}
}

func TestWordsOfALimit(t *testing.T) {
	t.Parallel()
	for want, l := range map[string]bundle.Limit{
		"20 calls in 1h": {Calls: 20, WindowSeconds: 3600}, "12.5 USD in 30d": {MicroUSD: 12_500_000, WindowSeconds: 30 * 86400},
		"0.000001 USD in 90s": {MicroUSD: 1, WindowSeconds: 90}, "150 USD in 10m": {MicroUSD: 150_000_000, WindowSeconds: 600},
	} {
		if got := limit.NewRule(&l).Words(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
