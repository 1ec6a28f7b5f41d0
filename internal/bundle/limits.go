package bundle

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/gov"
)

// The bounds of a limit.
const (
	windowMax   = 366 * 24 * time.Hour
	microPerUSD = 1_000_000
	usdDigits   = 6
	usdMax      = 1_000_000_000
)

var usdRE = regexp.MustCompile(`^(0|[1-9][0-9]{0,9})(\.[0-9]{1,6})?$`)

// limits reads limits.yaml; agents and tools have been read.
func (r *reader) limits() {
	v, ok := r.docs[fileLimits]
	if !ok {
		return
	}
	agents, tools := make([]gov.AgentID, len(r.b.Agents)), make([]gov.ToolName, len(r.b.Tools))
	for i := range r.b.Agents {
		agents[i] = r.b.Agents[i].ID
	}
	for i := range r.b.Tools {
		tools[i] = r.b.Tools[i].Name
	}
	for _, m := range v.fields(fileLimits, 1, "limits!")("limits").members("limits") {
		if !gov.ValidName(m.key) {
			r.wrong(m.file, m.line, nameRemedy, "%q cannot name a limit", m.key)
			continue
		}
		get := m.fields("limit "+m.key, m.line, "agent", "tool", "category", "environment", "per", "calls", "usd", "window!")
		r.b.Limits = append(r.b.Limits, Limit{
			ID: m.key, Agent: oneOf(get("agent"), "agent", agents), Tool: oneOf(get("tool"), "tool", tools),
			Category:    oneOf(get("category"), "category", gov.Categories()),
			Environment: oneOf(get("environment"), "environment", environmentNames(r.b)),
			Per:         oneOf(get("per"), "per", []string{"agent", "principal", "tool", "session"}),
			Calls:       get("calls").count("calls"), MicroUSD: get("usd").usd(), WindowSeconds: get("window").window(),
		})
		if get("calls").given() == get("usd").given() {
			r.wrong(m.file, m.line, "write calls: 100 for a rate, or usd: 50 for a budget", "limit %s needs calls or usd, and not both", m.key)
		}
	}
}

// usd gives millionths of a dollar, exactly.
func (v value) usd() int64 {
	if !v.given() {
		return 0
	}
	text := v.node.Value
	whole, part, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole+part+strings.Repeat("0", usdDigits-min(len(part), usdDigits)), 10, 64)
	if !usdRE.MatchString(text) || err != nil || n == 0 || n > usdMax*microPerUSD {
		v.wrong("write dollars with up to six digits behind the point: 12.50", "usd is %q", text)
		return 0
	}
	return n
}

// window gives whole seconds. Beside Go's units it reads days, for budgets.
func (v value) window() int64 {
	text := v.text("window")
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
		v.wrong("write a duration from 1s to 366d: 10m, 1h, 30d", "window is %q", text)
		return 0
	}
	return int64(d / time.Second)
}
