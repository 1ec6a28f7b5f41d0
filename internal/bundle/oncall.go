package bundle

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/gov"
)

// The bounds of on_call.
const (
	onCallStepsMax = 10 // of one severity
	onCallAfterMax = 7 * 24 * time.Hour
)

// OnCall says who is told, and when, of incidents of a severity that nobody has acknowledged.
type OnCall struct {
	Severity gov.Severity
	Steps    []OnCallStep // each later than the one before
}

// OnCallStep is one of them.
type OnCallStep struct {
	AfterSeconds int64 // since the incident was opened
	Channels     []gov.ChannelID
}

// String is the step on one line: 15m0s: leads-chat.
func (s OnCallStep) String() string {
	channels := make([]string, len(s.Channels))
	for i, c := range s.Channels {
		channels[i] = string(c)
	}
	return fmt.Sprintf("%s: %s", time.Duration(s.AfterSeconds)*time.Second, strings.Join(channels, " and "))
}

// Pages gives the steps for incidents of a severity in an environment, with the channels that are for it; one that has none there
// is left out.
func (b *Bundle) Pages(env gov.Environment, severity gov.Severity) []OnCallStep {
	i := slices.IndexFunc(b.OnCall, func(o OnCall) bool { return o.Severity == severity })
	if i < 0 {
		return nil
	}
	var out []OnCallStep
	for _, s := range b.OnCall[i].Steps {
		here := slices.DeleteFunc(slices.Clone(s.Channels), func(id gov.ChannelID) bool {
			c, ok := b.Channel(id)
			return !ok || !c.In(env)
		})
		if len(here) > 0 {
			out = append(out, OnCallStep{s.AfterSeconds, here})
		}
	}
	return out
}

// onCall reads the section on_call of writ.yaml; channels have been read.
func (r *reader) onCall(v value) {
	known := make([]gov.ChannelID, len(r.b.Channels))
	for i, c := range r.b.Channels {
		known[i] = c.ID
	}
	for _, m := range v.members("on_call") {
		n, err := strconv.Atoi(m.key)
		severity := gov.Severity(n)
		if err != nil || !severity.Valid() || strconv.Itoa(n) != m.key {
			r.wrong(m.file, m.line, "write a severity from 1, the worst, to 4", "on_call has %q", m.key)
			continue
		}
		o := OnCall{Severity: severity}
		steps := m.items("on_call." + m.key)
		switch {
		case len(steps) == 0 && m.isList():
			m.wrong("write a step: [{after: 0s, channels: [pager]}], or remove the severity", "on_call.%s is an empty list", m.key)
		case len(steps) > onCallStepsMax:
			m.wrong("keep to the people who would come", "on_call.%s has more than %d steps", m.key, onCallStepsMax)
			continue
		}
		for _, item := range steps {
			o.Steps = append(o.Steps, r.onCallStep(m.key, item, known, o.Steps))
		}
		r.b.OnCall = append(r.b.OnCall, o)
	}
}

func (r *reader) onCallStep(severity string, item value, known []gov.ChannelID, before []OnCallStep) OnCallStep {
	get := item.fields("a step of on_call."+severity, item.line(), "after!", "channels!")
	after, channels := get("after"), get("channels")
	seconds, ok := after.after()
	s := OnCallStep{AfterSeconds: seconds, Channels: listOf(channels, "channels", known)}
	if channels.isList() && len(channels.node.Content) == 0 {
		channels.wrong("name a channel of notify, or remove the step", "a step of on_call.%s tells nobody", severity)
	}
	if n := len(before); n > 0 && ok && s.AfterSeconds <= before[n-1].AfterSeconds {
		after.wrong("put the steps in their order, and join those of one time", "a step of on_call.%s is not later than the one before it", severity)
	}
	return s
}

// after gives whole seconds, of which there may be none.
func (v value) after() (seconds int64, ok bool) {
	text := v.text("after")
	if text == "" {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > onCallAfterMax || d%time.Second != 0 {
		v.wrong("write a duration from 0s to 168h: 0s, 15m, 1h", "after is %q", text)
		return 0, false
	}
	return int64(d / time.Second), true
}
