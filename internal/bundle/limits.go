package bundle

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/gov"
)

// The bounds of limits and prices.
const (
	windowMax   = 366 * 24 * time.Hour
	microPerUSD = 1_000_000
	usdDigits   = 6
	usdMax      = 1_000_000_000
	callsMax    = 1_000_000_000_000
	limitsMax   = 100 // all of them may be of one call, whose entry names each
	pricesMax   = 1000

	// reserveDefault is what a call may cost until its result says what it did, where the limit does not say: ten cents.
	reserveDefault = 100_000
)

var usdRE = regexp.MustCompile(`^(0|[1-9][0-9]{0,9})(\.[0-9]{1,6})?$`)

// limits reads limits.yaml; agents and tools have been read.
func (r *reader) limits() {
	v, ok := r.docs[fileLimits]
	if !ok {
		return
	}
	members := v.fields(fileLimits, 1, "limits!")("limits").members("limits")
	if len(members) > limitsMax {
		r.wrong(fileLimits, members[limitsMax].line, "keep to the limits that somebody looks at; per: agent is one limit for each agent", "there are more than %d limits", limitsMax)
	}
	for _, m := range members {
		if !gov.ValidName(m.key) {
			r.wrong(m.file, m.line, nameRemedy, "%q cannot name a limit", m.key)
			continue
		}
		r.b.Limits = append(r.b.Limits, r.limit(m))
	}
}

func (r *reader) limit(m member) Limit {
	agents, tools := make([]gov.AgentID, len(r.b.Agents)), make([]gov.ToolName, len(r.b.Tools))
	for i := range r.b.Agents {
		agents[i] = r.b.Agents[i].ID
	}
	for i := range r.b.Tools {
		tools[i] = r.b.Tools[i].Name
	}
	get := m.fields("limit "+m.key, m.line, "agent", "tool", "category", "environment", "per", "calls", "usd", "window!", "fixed", "warn_at", "reserve", "amount")
	l := Limit{
		ID: m.key, Agent: oneOf(get("agent"), "agent", agents), Tool: oneOf(get("tool"), "tool", tools),
		Category:    oneOf(get("category"), "category", gov.Categories()),
		Environment: oneOf(get("environment"), "environment", environmentNames(r.b)),
		Per:         oneOf(get("per"), "per", []string{"agent", "principal", "tool", "session"}),
		Calls:       get("calls").count("calls"), MicroUSD: get("usd").usd("usd"), WindowSeconds: get("window").window(),
		Fixed: get("fixed").flag("fixed"), WarnAt: get("warn_at").count("warn_at"), Amount: get("amount").text("amount"),
		ReserveMicroUSD: get("reserve").usd("reserve"),
	}
	if get("calls").given() == get("usd").given() {
		r.wrong(m.file, m.line, "write calls: 100 for a rate, or usd: 50 for a budget", "limit %s needs calls or usd, and not both", m.key)
	}
	if l.Calls > callsMax {
		get("calls").wrong("leave the limit out", "calls is more than %d", int64(callsMax))
	}
	if l.WarnAt > 100 {
		get("warn_at").wrong("write a percentage from 1 to 100: 80", "warn_at is %d", l.WarnAt)
	}
	r.money(&l, get)
	return l
}

// money checks what only a budget has, and fills in what a call reserves.
func (r *reader) money(l *Limit, get func(string) value) {
	reserve, amount := get("reserve"), get("amount")
	switch {
	case !get("usd").given() && (reserve.given() || amount.given()):
		for _, v := range []value{reserve, amount} {
			if v.given() {
				v.wrong("remove it, or write usd in the place of calls", "the limit %s counts calls, not money", l.ID)
			}
		}
	case amount.given() && reserve.given():
		reserve.wrong("remove it: the amount itself is what is reserved", "the limit %s has an amount and a reserve", l.ID)
	case amount.given():
		r.amount(l, amount)
	case l.ReserveMicroUSD > l.MicroUSD:
		reserve.wrong("reserve what one call may cost, at most", "the limit %s reserves more for one call than it has", l.ID)
	case l.ReserveMicroUSD == 0:
		l.ReserveMicroUSD = min(reserveDefault, l.MicroUSD)
	}
}

// amount checks that the field can be there, and can be read.
func (r *reader) amount(l *Limit, v value) {
	i := slices.IndexFunc(r.b.Tools, func(t Tool) bool { return t.Name == l.Tool })
	if i < 0 {
		v.wrong("add tool: server/tool, whose input has the field", "the limit %s has an amount and no tool", l.ID)
		return
	}
	var schema struct {
		Properties map[string]any `json:"properties"`
	}
	if err := json.Unmarshal(r.b.Tools[i].InputSchema, &schema); err != nil {
		return // told of the tool
	}
	if _, ok := schema.Properties[l.Amount]; !ok {
		known := make([]string, 0, len(schema.Properties))
		for name := range schema.Properties {
			known = append(known, name)
		}
		v.unknown("amount", l.Amount, known)
	}
	if slices.Contains(r.b.Tools[i].Secret, "/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(l.Amount)) {
		v.wrong("count another field, or do not keep this one secret", "the amount %s is a secret field of %s", l.Amount, l.Tool)
	}
}

// prices reads prices.yaml.
func (r *reader) prices() {
	v, ok := r.docs[filePrices]
	if !ok {
		return
	}
	members := v.fields(filePrices, 1, "prices!")("prices").members("prices")
	if len(members) > pricesMax {
		r.wrong(filePrices, members[pricesMax].line, "leave out what costs what the vendor's list says", "there are more than %d prices", pricesMax)
	}
	for _, m := range members {
		if !gov.ValidOpaque(m.key) {
			r.wrong(m.file, m.line, "name the model as results do: claude-sonnet-4-5, or provider/model", "%q cannot name a model", m.key)
			continue
		}
		get := m.fields("the price of "+m.key, m.line, "input!", "output!")
		r.b.Prices = append(r.b.Prices, ModelPrice{m.key, get("input").usdFrom(0, "input"), get("output").usdFrom(0, "output")})
	}
}

// usd gives millionths of a dollar, exactly, of which there is at least one.
func (v value) usd(what string) int64 { return v.usdFrom(1, what) }

func (v value) usdFrom(least int64, what string) int64 {
	if !v.given() {
		return 0
	}
	text := v.node.Value
	whole, part, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole+part+strings.Repeat("0", usdDigits-min(len(part), usdDigits)), 10, 64)
	if !usdRE.MatchString(text) || err != nil || n < least || n > usdMax*microPerUSD {
		v.wrong("write dollars with up to six digits behind the point: 12.50", "%s is %q", what, text)
		return 0
	}
	return n
}

func (v value) window() int64 { return v.duration("window") }

// duration gives whole seconds. Beside Go's units it reads days, for budgets.
func (v value) duration(what string) int64 {
	text := v.text(what)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(min(n, 1000)) * 24 * time.Hour
	}
	if err != nil || d < time.Second || d > windowMax || d%time.Second != 0 {
		v.wrong("write a duration from 1s to 366d: 10m, 1h, 30d", "%s is %q", what, text)
		return 0
	}
	return int64(d / time.Second)
}
