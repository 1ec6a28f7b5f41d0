package bundle

import (
	"slices"
	"strings"

	"github.com/writ-dev/writ/internal/gov"
)

// DetectorSpec describes a detector of internal/detect: what a bundle may say about it, and what holds where it says nothing.
type DetectorSpec struct {
	ID       gov.DetectorID
	Title    string // what it notices
	Severity gov.Severity
	Tags     []string // MITRE ATLAS techniques and OWASP ids (ASI of the agentic top ten of 2026, LLM of that of 2025); sorted
	Params   []DetectorParam
}

// DetectorParam is a threshold of a detector.
type DetectorParam struct {
	Name    string
	Unit    ParamUnit
	Default int64
	Meaning string
}

// ParamUnit is what a threshold is counted in.
type ParamUnit string

// The units. A time is written as in limits.yaml (10m, 1h, 30d) and kept in seconds.
const (
	UnitCount   ParamUnit = "count"
	UnitSeconds ParamUnit = "seconds"
	UnitPercent ParamUnit = "percent"
)

// Detector is a detector as a bundle wants it.
type Detector struct {
	ID       gov.DetectorID
	Off      bool
	Owner    string // who looks at what it finds: user:ID or group:ID
	Severity gov.Severity
	Contain  string           // agent, tool, session or principal: what to stop at once when it fires; empty: nothing
	Runbook  string           // a file of runbooks/
	Params   map[string]int64 // every threshold of its spec
}

const (
	minute = 60
	hour   = 60 * minute
	day    = 24 * hour
)

// DetectorSpecs lists every detector, in the order in which they are shown.
func DetectorSpecs() []DetectorSpec {
	count := func(name string, n int64, meaning string) DetectorParam {
		return DetectorParam{name, UnitCount, n, meaning}
	}
	seconds := func(name string, n int64, meaning string) DetectorParam {
		return DetectorParam{name, UnitSeconds, n, meaning}
	}
	percent := func(name string, n int64, meaning string) DetectorParam {
		return DetectorParam{name, UnitPercent, n, meaning}
	}
	rare := func(n int64) DetectorParam {
		return count("one_in", n, "how unlikely so many have to be, were nothing wrong: once in so many times 144 windows")
	}
	learn := count("learn", 100, "calls of an agent before anything is new to it")
	return []DetectorSpec{
		{"blocked_spike", "An agent is denied more often than it ever is", gov.SeverityHigh, []string{"AML.T0053", "ASI02", "LLM06"}, []DetectorParam{
			seconds("window", 10*minute, "the window that is counted in; six, 36 and 144 of them are looked at together too"), rare(200), count("min", 5, "fewer denials are none"),
		}},
		{"blocked_call", "A policy forbade a call of a risky category", gov.SeverityHigh, []string{"AML.T0053", "ASI02", "LLM06"}, nil},
		{"unusual_rate", "An agent calls more often than it ever does", gov.SeverityMedium, []string{"AML.T0029", "ASI08", "LLM10"}, []DetectorParam{
			seconds("window", 10*minute, "the window that is counted in; six, 36 and 144 of them are looked at together too"), rare(500), count("min", 10, "fewer calls are none"),
			count("learn", 144, "windows of an agent before any is unusual"),
		}},
		{"unusual_cost", "A call cost far more than those before it", gov.SeverityMedium, []string{"AML.T0034", "ASI08", "LLM10"}, []DetectorParam{
			count("deviations", 8, "how far off the median of logarithms, in median absolute deviations"), count("learn", 50, "results before any is unusual"),
		}},
		{"unusual_size", "A tool answered with far more than it ever does", gov.SeverityLow, []string{"AML.T0057", "ASI02", "LLM02"}, []DetectorParam{
			count("deviations", 8, "how far off the median of logarithms, in median absolute deviations"), count("learn", 50, "results before any is unusual"),
		}},
		{"unusual_duration", "A call took far longer than those before it", gov.SeverityLow, []string{"AML.T0029", "ASI08", "LLM10"}, []DetectorParam{
			count("deviations", 10, "how far off the median of logarithms, in median absolute deviations"), count("learn", 50, "results before any is unusual"),
		}},
		{"new_tool", "An agent uses a tool that it never used", gov.SeverityLow, []string{"AML.T0053", "ASI02", "LLM06"}, []DetectorParam{learn}},
		{"new_principal", "An agent acts for somebody it never acted for", gov.SeverityLow, []string{"AML.T0012", "ASI03", "LLM06"}, []DetectorParam{learn}},
		{"new_destination", "An agent sends to a domain or a recipient that it never sent to", gov.SeverityLow, []string{"AML.T0086", "ASI02", "LLM02"}, []DetectorParam{learn}},
		{"off_list", "An agent tries a tool that is not on its list, or not in the catalogue", gov.SeverityMedium, []string{"AML.T0053", "ASI02", "LLM06"}, nil},
		{"injection", "Text that an agent read, or sends, looks like an injection", gov.SeverityMedium, []string{"AML.T0051", "ASI01", "LLM01"}, nil},
		{"tainted_sink", "What came from an untrusted source alone is in a call that has effects", gov.SeverityHigh, []string{"AML.T0051", "AML.T0086", "ASI01", "LLM01"}, nil},
		{"private_then_out", "A session that read what is private and what is untrusted sends out", gov.SeverityMedium, []string{"AML.T0057", "AML.T0086", "ASI01", "LLM02"}, nil},
		{"budget_threshold", "A limit is nearly used up", gov.SeverityLow, []string{"AML.T0034", "ASI08", "LLM10"}, nil},
		{"budget_breach", "A limit is used up, and calls are denied for it", gov.SeverityMedium, []string{"AML.T0034", "ASI08", "LLM10"}, nil},
		{"rubber_stamp", "A person approves faster, or more often, than anybody who reads does", gov.SeverityMedium, []string{"ASI09"}, []DetectorParam{
			count("votes", 50, "votes of a person that are looked at, the newest"), percent("approved", 98, "share of approvals from which on nobody seems to read"),
			seconds("median", 5, "median time to decide below which nobody seems to read"),
		}},
		{"self_approval", "Somebody tries to approve what they are not asked, or what they asked for", gov.SeverityMedium, []string{"ASI03", "ASI09"}, nil},
		{"credential_misuse", "Credentials that are not valid, or not theirs, are tried", gov.SeverityMedium, []string{"AML.T0012", "ASI03"}, []DetectorParam{
			count("min", 20, "refusals of one caller that are none yet"), seconds("window", 10*minute, "the window that is counted in; six, 36 and 144 of them are looked at together too"),
		}},
		{"unregistered_agent", "A program that is not in the inventory asks", gov.SeverityMedium, []string{"AML.T0012", "ASI10"}, nil},
		{"change_outside", "A bundle came into force without its review before", gov.SeverityHigh, []string{"AML.T0081", "ASI04"}, nil},
		{"recorder_gap", "No recorder was alive for a while", gov.SeverityHigh, []string{"ASI08"}, []DetectorParam{seconds("min", 5*minute, "shorter gaps are none")}},
		{"verification_failed", "The ledger does not verify", gov.SeverityCritical, []string{"AML.T0081"}, nil},
		{"missing_result", "Allowed calls have no result", gov.SeverityLow, []string{"ASI08"}, []DetectorParam{
			seconds("within", hour, "how long a result may take"), count("min", 20, "calls without one, in a day, that are none yet"),
			percent("usual", 50, "share of its calls for which an agent has to report, to be one that does"),
		}},
		{"detector_silent", "A detector did not notice the synthetic event that it has to", gov.SeverityHigh, []string{"ASI08"}, nil},
	}
}

// SigmaPrefix begins the id of a detector that is a rule of sigma/.
const SigmaPrefix = "sigma:"

// Specs lists the detectors of the bundle: those that there always are, and the rules of sigma/ that do not only feed others.
func (b *Bundle) Specs() []DetectorSpec {
	out := DetectorSpecs()
	for _, r := range b.Rules {
		if !r.Feeds {
			out = append(out, DetectorSpec{ID: SigmaPrefix + gov.DetectorID(r.ID), Title: r.Title, Severity: r.Severity, Tags: r.Tags})
		}
	}
	return out
}

// Detector gives a detector as the bundle wants it: with its own settings, or as its spec says.
func (b *Bundle) Detector(spec DetectorSpec) Detector {
	if i := slices.IndexFunc(b.Detectors, func(d Detector) bool { return d.ID == spec.ID }); i >= 0 {
		return b.Detectors[i]
	}
	return spec.plain()
}

// plain is the detector of a bundle that says nothing of it.
func (s DetectorSpec) plain() Detector {
	d := Detector{ID: s.ID, Severity: s.Severity, Params: map[string]int64{}}
	for _, p := range s.Params {
		d.Params[p.Name] = p.Default
	}
	return d
}

// detectors reads detectors.yaml; groups have been read.
func (r *reader) detectors() {
	v, ok := r.docs[fileDetectors]
	if !ok {
		return
	}
	specs := r.b.Specs()
	for _, m := range v.fields(fileDetectors, 1, "detectors!")("detectors").members("detectors") {
		i := slices.IndexFunc(specs, func(s DetectorSpec) bool { return string(s.ID) == m.key })
		if i < 0 {
			names := make([]string, len(specs))
			for i, s := range specs {
				names[i] = string(s.ID)
			}
			r.wrong(m.file, m.line, suggest(m.key, names), "there is no detector %q", m.key)
			continue
		}
		d := specs[i].plain()
		r.detector(&d, specs[i], m)
		r.b.Detectors = append(r.b.Detectors, d)
	}
}

func (r *reader) detector(d *Detector, spec DetectorSpec, m member) {
	keys := []string{"off", "owner", "severity", "contain", "runbook"}
	for _, p := range spec.Params {
		keys = append(keys, p.Name)
	}
	get := m.fields("detector "+m.key, m.line, keys...)
	d.Off = get("off").flag("off")
	d.Contain = oneOf(get("contain"), "contain", []string{"agent", "tool", "session", "principal"})
	if owner := get("owner"); owner.given() {
		d.Owner = r.owner(owner)
	}
	if s := get("severity"); s.given() {
		if n := gov.Severity(s.count("severity")); n.Valid() {
			d.Severity = n
		} else {
			s.wrong("write 1 (critical), 2 (high), 3 (medium) or 4 (low)", "severity is %q", s.node.Value)
		}
	}
	if f := get("runbook"); f.given() {
		d.Runbook = f.text("runbook")
		if _, ok := r.b.Files[d.Runbook]; d.Runbook != "" && (!ok || !strings.HasPrefix(d.Runbook, runbooks)) {
			f.wrong("name a file of "+runbooks+" and add it to the bundle", "there is no runbook %s", d.Runbook)
		}
	}
	for _, p := range spec.Params {
		if v := get(p.Name); v.given() {
			d.Params[p.Name] = v.threshold(p)
		}
	}
}

// runbooks is the directory of what to do when a detector fires.
const runbooks = "runbooks/"

// owner is who looks at what a detector finds.
func (r *reader) owner(v value) string {
	text := v.text("owner")
	if group, ok := strings.CutPrefix(text, "group:"); ok && slices.Contains(groupIDs(r.b), gov.GroupID(group)) {
		return text
	}
	if p, err := gov.ParsePrincipal(text); err == nil && p.Type == gov.PrincipalUser {
		return text
	}
	v.wrong("write user:ID, or group:ID with a group of writ.yaml", "the owner is %q", text)
	return ""
}

func (v value) threshold(p DetectorParam) int64 {
	switch p.Unit {
	case UnitSeconds:
		return v.window()
	case UnitPercent:
		n := v.count(p.Name)
		if n > 100 {
			v.wrong("write a percentage from 1 to 100", "%s is %d", p.Name, n)
		}
		return n
	case UnitCount:
	}
	return v.count(p.Name)
}
