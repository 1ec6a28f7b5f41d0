package incident

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/contain"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
)

// countMax is up to how many calls are counted one by one.
const countMax = 1000

// reportLines bounds the timeline in a report.
const reportLines = 400

// Impact is how many calls there were of one outcome, with the query that counts them again.
type Impact struct {
	Outcome gov.Outcome
	Calls   int
	More    bool   // there are more than that
	Query   string // of the API
}

// Proof says whether a switch held: how many calls of its scope were allowed behind it, while it stopped everything.
type Proof struct {
	Switch  contain.Switch
	Through int64 // below this index nothing was overlooked
	Allowed int
}

// impact counts the calls of the incident's session, or else its agent, from when it began until it was contained.
func (s *Service) impact(ctx context.Context, env *live.Environment, i Incident) ([]Impact, error) {
	begin, end := firstTime(i.OccurredAt, i.OpenedAt), firstTime(i.ContainedAt, i.ResolvedAt, i.EndedAt)
	if end.IsZero() {
		end = s.Now().UTC()
	}
	values := url.Values{"environment": {string(env.Ledger.Name())}, "from": {begin.Format(time.RFC3339Nano)}, "to": {end.Format(time.RFC3339Nano)}}
	var scope []ledger.Filter
	switch {
	case i.Session != "":
		values.Set("session", string(i.Session))
		scope = append(scope, ledger.Filter{Dim: ledger.DimSession, Value: string(i.Session)})
	case i.Agent != "":
		values.Set("agent", string(i.Agent))
		scope = append(scope, ledger.Filter{Dim: ledger.DimAgent, Value: string(i.Agent)})
	default:
		return nil, nil
	}
	var out []Impact
	for _, outcome := range []gov.Outcome{gov.OutcomeAllow, gov.OutcomeDeny, gov.OutcomeRequireApproval} {
		filters := append(slices.Clone(scope), ledger.Filter{Dim: ledger.DimOutcome, Value: string(outcome)})
		page, err := env.Ledger.Find(ctx, ledger.Query{Filters: filters, From: begin, To: end, Limit: countMax})
		if err != nil {
			return nil, err
		}
		values.Set("outcome", string(outcome))
		out = append(out, Impact{Outcome: outcome, Calls: len(page.Indexes), More: page.More, Query: "/v1/decisions?" + values.Encode()})
	}
	return out, nil
}

// firstTime is the first of the times that came, or zero.
func firstTime(times ...string) time.Time {
	for _, text := range times {
		if t, err := time.Parse(canon.TimeLayout, text); err == nil {
			return t
		}
	}
	return time.Time{}
}

// proofs are of the switches that contained an incident.
func (s *Service) proofs(ctx context.Context, env *live.Environment, i Incident) ([]Proof, error) {
	var out []Proof
	for _, id := range i.Contained {
		sw, err := contain.Find(ctx, env.Ledger, gov.EntryID(id))
		if gov.CodeOf(err) == gov.CodeNotFound && err != nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		p, err := prove(ctx, env, sw)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// prove counts the calls that were allowed behind a switch until it was moved for the first time.
func prove(ctx context.Context, env *live.Environment, sw contain.Switch) (Proof, error) {
	engaged, err := env.Ledger.At(ctx, sw.Opened())
	if err != nil {
		return Proof{}, err
	}
	at, err := engaged.Time()
	if err != nil {
		return Proof{}, err
	}
	p := Proof{Switch: sw}
	for _, kind := range []canon.Kind{canon.KindSwitchEased, canon.KindSwitchReleased} {
		page, err := env.Ledger.Find(ctx, ledger.Query{
			Filters: []ledger.Filter{{Dim: ledger.DimAbout, Value: string(sw.ID())}, {Dim: ledger.DimKind, Value: string(kind)}}, Limit: countMax,
		})
		if err != nil {
			return p, err
		}
		if n := len(page.Indexes); n > 0 && (p.Through == 0 || page.Indexes[n-1] < p.Through) {
			p.Through = page.Indexes[n-1]
		}
	}
	for _, filters := range scoped(env, sw.Scope) {
		page, err := env.Ledger.Find(ctx, ledger.Query{Filters: filters, From: at, Before: p.Through, Limit: countMax})
		if err != nil {
			return p, err
		}
		if p.Through == 0 {
			p.Through = page.Through
		}
		for _, index := range page.Indexes {
			if index > sw.Opened() {
				p.Allowed++
			}
		}
	}
	return p, nil
}

// scoped are the filters, any of which finds what was allowed of a switch's scope.
func scoped(env *live.Environment, scope gov.SwitchScope) [][]ledger.Filter {
	allowed := ledger.Filter{Dim: ledger.DimOutcome, Value: string(gov.OutcomeAllow)}
	one := func(dim ledger.Dim, value string) [][]ledger.Filter {
		return [][]ledger.Filter{{{Dim: dim, Value: value}, allowed}}
	}
	switch {
	case scope.Agent != "":
		return one(ledger.DimAgent, string(scope.Agent))
	case scope.Tool != "":
		return one(ledger.DimTool, string(scope.Tool))
	case scope.Principal != "":
		return one(ledger.DimPrincipal, scope.Principal)
	case scope.Session != "":
		return one(ledger.DimSession, string(scope.Session))
	case scope.Category != "":
		var out [][]ledger.Filter
		if engine := env.Control().Engine; engine != nil {
			for _, t := range engine.Bundle().Tools {
				if slices.Contains(t.Categories, scope.Category) {
					out = append(out, one(ledger.DimTool, string(t.Name))...)
				}
			}
		}
		return out
	}
	return [][]ledger.Filter{{allowed}}
}

// Text is the text of a draft of the report, and who wrote it. What was erased is empty.
func (s *Service) Text(ctx context.Context, env *live.Environment, i Incident) (string, error) {
	if i.Draft == nil {
		return "", nil
	}
	item, err := env.Ledger.ByID(ctx, i.Draft.ID)
	if err != nil {
		return "", err
	}
	line, err := lineOf(ctx, env.Ledger, item)
	return line.Text, err
}

// Generate writes the draft of a report from what the ledger says: people fill in what only they know. It is Markdown.
func (s *Service) Generate(ctx context.Context, env *live.Environment, i Incident) (string, error) {
	timeline, err := s.Timeline(ctx, env, i)
	if err != nil {
		return "", err
	}
	impact, err := s.impact(ctx, env, i)
	if err != nil {
		return "", err
	}
	proofs, err := s.proofs(ctx, env, i)
	if err != nil {
		return "", err
	}
	w := &writer{}
	w.overview(env, i)
	w.impact(impact)
	w.detection(i, timeline)
	w.containment(proofs, i)
	w.assessment(i)
	w.line("## Timeline (UTC)\n\nGenerated from the ledger; each line is an entry.\n")
	w.timeline(timeline)
	w.ending(i)
	return w.String(), nil
}

const fill = "_To be written._"

// writer writes Markdown.
type writer struct{ strings.Builder }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

func (w *writer) overview(env *live.Environment, i Incident) {
	if i.Exercise {
		w.line("**This was an exercise.**\n")
	}
	w.line("# %s\n", i.Title)
	w.line("- Incident: `%s` in %s, severity %d, %s", i.ID, env.Ledger.Name(), i.Severity, i.State)
	w.line("- Owner: %s", orFill(i.Owner))
	for _, t := range []struct{ what, at string }{
		{"Began", i.OccurredAt}, {"Opened", i.OpenedAt}, {"Acknowledged", i.AcknowledgedAt}, {"Declared", i.DeclaredAt},
		{"Contained", i.ContainedAt}, {"Eradicated", i.EradicatedAt}, {"Resolved", i.ResolvedAt},
	} {
		if t.at != "" {
			w.line("- %s: %s", t.what, t.at)
		}
	}
	if i.Earlier != "" {
		w.line("- It happened before: `%s`", i.Earlier)
	}
	w.line("\n## What happened\n\n%s\n\n## Root cause and what contributed\n\n%s\n\n## Resolution\n\n%s\n", fill, fill, fill)
}

func orFill(s string) string {
	if s == "" {
		return "nobody"
	}
	return "`" + s + "`"
}

func (w *writer) impact(all []Impact) {
	w.line("## Impact\n")
	for _, m := range all {
		more := ""
		if m.More {
			more = " or more"
		}
		w.line("- %d%s calls came out as `%s` from its beginning until it was contained: `GET %s`", m.Calls, more, m.Outcome, m.Query)
	}
	w.line("- Records, customers and money that were touched: %s\n", fill)
}

func (w *writer) detection(i Incident, t Timeline) {
	w.line("## Detection\n")
	switch {
	case i.Reporter != "":
		w.line("A person reported it; no detector had seen it.")
	default:
		w.line("The detector `%s` opened it. %d signals in all, %d of them when it was over.", i.Detector, i.Count, i.Flapping)
	}
	if d, ok := between(i.OccurredAt, i.OpenedAt); ok {
		w.line("From its beginning until it was opened: %s.", d.Round(time.Millisecond))
	}
	for _, l := range t.Lines {
		if l.Signal != nil && l.Index == i.Opened {
			w.line("The first signal: observed %s, expected %s, in %d seconds; probability %s. It rests on %s.", orFill(l.Signal.Observed), orFill(l.Signal.Expected),
				l.Signal.Window, orFill(l.Signal.Probability), ids(l.Signal.Entries))
		}
	}
	w.line("\nWhy not earlier: %s\n", fill)
}

func ids(list []gov.EntryID) string {
	out := make([]string, len(list))
	for n, id := range list {
		out[n] = "`" + string(id) + "`"
	}
	return strings.Join(out, ", ")
}

func (w *writer) containment(proofs []Proof, i Incident) {
	w.line("## Containment\n")
	for _, p := range proofs {
		w.line("- The switch `%s` stopped %s at index %d. Behind it, and below index %d, %d calls of that scope were allowed.", p.Switch.ID(), p.Switch.Scope, p.Switch.Opened(), p.Through, p.Allowed)
	}
	for _, id := range i.Contained {
		if !slices.ContainsFunc(proofs, func(p Proof) bool { return string(p.Switch.ID()) == id }) {
			w.line("- `%s`", id)
		}
	}
	if len(i.Contained) == 0 {
		w.line("%s", fill)
	}
	w.line("")
}

func (w *writer) assessment(i Incident) {
	w.line("## What it touched, and who has to be told\n")
	if i.Assessed == nil {
		w.line("Not assessed yet.\n")
		return
	}
	a := i.Assessed
	for _, q := range []struct {
		what string
		yes  bool
	}{
		{"A control was not suitably designed, or did not operate", a.ControlFailed},
		{"What customers were promised was significantly missed", a.CommitmentMissed},
		{"It touched confidential data", a.ConfidentialData},
		{"It touched personal data", a.PersonalData},
		{"Customers, authorities or others outside have to be told", a.TellOutside},
	} {
		w.line("- %s: %s", q.what, map[bool]string{true: "yes", false: "no"}[q.yes])
	}
	w.line("")
}

func (w *writer) timeline(t Timeline) {
	w.line("| time | what | entry |\n|---|---|---|")
	lines := t.Lines
	if len(lines) > reportLines {
		w.line("| | %d earlier entries are left out here | |", len(lines)-reportLines)
		lines = lines[len(lines)-reportLines:]
	}
	for _, l := range lines {
		w.line("| %s | %s | `%s` |", l.At, cell(l.Says()), l.ID)
	}
	if t.LeftOut > 0 {
		w.line("\n%d more signals of the same kind are in the ledger.", t.LeftOut)
	}
	w.line("")
}

// cell keeps what people wrote within its cell.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "\r", "").Replace(s)
}

// lineTextMax is how much of what a person said a line repeats, in runes.
const lineTextMax = 300

// Says is a line in one sentence.
func (l Line) Says() string {
	text := l.Text
	if l.Event != nil && l.Event.Event == gov.StepDrafted {
		text = ""
	}
	if runes := []rune(text); len(runes) > lineTextMax {
		text = string(runes[:lineTextMax]) + "…"
	}
	if text != "" {
		text = ": " + text
	}
	switch {
	case l.Signal != nil:
		return fmt.Sprintf("Signal of %s, severity %d: %s", l.Signal.Detector, l.Signal.Severity, l.Signal.Summary)
	case l.Reported != nil:
		return fmt.Sprintf("Reported by %s, severity %d: %s%s", l.Reported.Person, l.Reported.Severity, l.Reported.Title, text)
	case l.Event != nil && l.Event.Alert != nil:
		a := l.Event.Alert
		return fmt.Sprintf("On call, %s after it was opened and nobody had acknowledged it: %v, severity %d", time.Duration(a.AfterSeconds)*time.Second, a.Channels, l.Event.Severity)
	case l.Event != nil && l.Event.Via != nil:
		v := l.Event.Via
		return fmt.Sprintf("%s by %s through %s (%s), now %s, severity %d", l.Event.Event, v.User, v.Channel, v.Kind, l.Event.State, l.Event.Severity)
	case l.Event != nil:
		said := fmt.Sprintf("%s by %s, now %s, severity %d", l.Event.Event, l.Event.Person, l.Event.State, l.Event.Severity)
		if l.Event.EffectiveAt != "" {
			said += ", which happened at " + l.Event.EffectiveAt
		}
		if len(l.Event.Refs) > 0 {
			said += " (" + strings.Join(l.Event.Refs, ", ") + ")"
		}
		return said + text
	case l.Engaged != nil:
		return fmt.Sprintf("A switch stopped %s: %s", l.Engaged.Scope, l.Engaged.Reason)
	case l.Moved != "":
		return "The switch was " + l.Moved
	case l.Notice != nil:
		return delivery(*l.Notice)
	}
	return string(l.Kind)
}

// delivery is an attempt to tell people in one sentence.
func delivery(n canon.Notification) string {
	said := fmt.Sprintf("%s was told through %s (%s)", n.Event, n.Channel, n.Type)
	if n.Status == gov.DeliveryDelivered {
		if n.Refused > 0 {
			said += fmt.Sprintf("; %d addresses were not taken", n.Refused)
		}
		return said
	}
	said = fmt.Sprintf("%s could not be delivered through %s (%s), attempt %d: %s", n.Event, n.Channel, n.Type, n.Attempt, failure(n))
	if n.Status == gov.DeliveryGivenUp {
		return said + "; it was given up"
	}
	return said + "; it is tried again"
}

// failure is why an attempt failed, in words.
func failure(n canon.Notification) string {
	switch n.Cause {
	case gov.UnsentSecret:
		return "the server has no secret for it, or not one that fits"
	case gov.UnsentUnreachable:
		return "nobody answered in time"
	case gov.UnsentRefused:
		return fmt.Sprintf("it was refused with %d", n.Code)
	}
	return string(n.Cause)
}

func (w *writer) ending(i Incident) {
	w.line("## What went well, what did not\n\n%s\n\n## Controls that failed\n\n%s\n\n## Actions\n", fill, fill)
	for _, a := range i.Actions {
		done := "open"
		if a.ClosedAt != "" {
			done = "closed at " + a.ClosedAt
		}
		w.line("- `%s`: owner `%s`, due %s, %s %s", a.ID, a.Owner, a.Due, done, strings.Join(a.Changes, ", "))
	}
	if len(i.Actions) == 0 {
		w.line("%s", fill)
	}
	w.line("\n## Communications\n\n%d recorded; see the timeline.\n", i.Told)
	w.line("## Sign-off\n\nApproved by somebody else than its authors and the owner, in the ledger.")
}
