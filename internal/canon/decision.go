package canon

import (
	"slices"
	"strconv"

	"github.com/writ-dev/writ/internal/gov"
)

// AppendDecision appends the encoding of a decision: what the library makes of the struct, by hand, because every call pays
// for it. A test holds the two together.
func AppendDecision(dst []byte, d Decision) []byte {
	dst = member(dst, `{"agent":`, string(d.Agent))
	dst = member(dst, `,"credential":`, string(d.Credential))
	dst = appendPrincipal(append(dst, `,"principal":`...), d.Principal)
	dst = member(dst, `,"tool":`, string(d.Tool))
	dst = optional(dst, `,"session":`, string(d.Session))
	dst = optional(dst, `,"call_id":`, string(d.CallID))
	dst = optional(dst, `,"trace_id":`, string(d.TraceID))
	dst = member(dst, `,"mode":`, string(d.Mode))
	dst = member(dst, `,"outcome":`, string(d.Outcome))
	dst = optional(dst, `,"would":`, string(d.Would))
	dst = appendReasons(append(dst, `,"reasons":`...), d.Reasons)
	dst = appendStrings(append(dst, `,"policies":`...), d.Policies)
	dst = optional(dst, `,"bundle":`, string(d.Bundle))
	dst = strconv.AppendInt(append(dst, `,"epoch":`...), d.Epoch, 10)
	dst = member(dst, `,"judged_at":`, d.JudgedAt)
	if len(d.Labels) > 0 {
		dst = appendStrings(append(dst, `,"labels":`...), d.Labels)
	}
	if len(d.LabelsAdded) > 0 {
		dst = appendStrings(append(dst, `,"labels_added":`...), d.LabelsAdded)
	}
	dst = optional(dst, `,"earlier":`, string(d.Earlier))
	if d.Approval != nil {
		dst = appendAsked(append(dst, `,"approval":`...), *d.Approval)
	}
	dst = optional(dst, `,"approved":`, string(d.Approved))
	if len(d.Delegations) > 0 {
		dst = appendStrings(append(dst, `,"delegations":`...), d.Delegations)
	}
	dst = appendFindings(dst, d.Findings)
	dst = appendTaint(dst, d.Taint)
	if len(d.Sends) > 0 {
		dst = appendStrings(append(dst, `,"sends":`...), d.Sends)
	}
	if len(d.Limits) > 0 {
		dst = appendCharges(append(dst, `,"limits":`...), d.Limits)
	}
	return append(appendCommitments(append(dst, `,"commitments":`...), d.Commitments), '}')
}

func appendFindings(dst []byte, findings []Finding) []byte {
	for i, f := range findings {
		if i == 0 {
			dst = append(dst, `,"findings":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = member(dst, `{"version":`, f.Version)
		dst = member(dst, `,"channel":`, f.Channel)
		dst = optional(dst, `,"path":`, f.Path)
		dst = member(dst, `,"band":`, f.Band)
		if len(f.Rules) > 0 {
			dst = appendStrings(append(dst, `,"rules":`...), f.Rules)
		}
		dst = optional(dst, `,"layer":`, f.Layer)
		dst = strconv.AppendInt(append(dst, `,"start":`...), int64(f.Start), 10)
		dst = append(strconv.AppendInt(append(dst, `,"end":`...), int64(f.End), 10), '}')
	}
	if len(findings) > 0 {
		dst = append(dst, ']')
	}
	return dst
}

func appendTaint(dst []byte, taint []Taint) []byte {
	for i, t := range taint {
		if i == 0 {
			dst = append(dst, `,"taint":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = member(dst, `{"kind":`, t.Kind)
		dst = member(dst, `,"path":`, t.Path)
		if t.Near {
			dst = append(dst, `,"near_finding":true`...)
		}
		dst = append(dst, '}')
	}
	if len(taint) > 0 {
		dst = append(dst, ']')
	}
	return dst
}

func appendCharges(dst []byte, charges []LimitCharge) []byte {
	dst = append(dst, '[')
	for i, c := range charges {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = member(dst, `{"id":`, c.ID)
		dst = member(dst, `,"of":`, c.Of)
		dst = optional(dst, `,"key":`, c.Key)
		dst = number(dst, `,"calls":`, c.Calls)
		dst = number(dst, `,"reserved_micro_usd":`, c.Reserved)
		dst = append(number(dst, `,"amount_micro_usd":`, c.Amount), '}')
	}
	return append(dst, ']')
}

// number appends a number that is not there when it is zero.
func number(dst []byte, name string, value int64) []byte {
	if value == 0 {
		return dst
	}
	return strconv.AppendInt(append(dst, name...), value, 10)
}

func member(dst []byte, name, value string) []byte { return appendString(append(dst, name...), value) }

func optional(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return member(dst, name, value)
}

func appendPrincipal(dst []byte, p PrincipalRef) []byte {
	dst = member(dst, `{"type":`, string(p.Type))
	dst = member(dst, `,"ref":`, p.Ref)
	dst = member(dst, `,"assurance":`, string(p.Assurance))
	if len(p.Groups) > 0 {
		dst = appendStrings(append(dst, `,"groups":`...), p.Groups)
	}
	return append(dst, '}')
}

func appendAsked(dst []byte, a ApprovalAsked) []byte {
	dst = appendStrings(append(dst, `{"policies":`...), a.Policies)
	dst = appendStrings(append(dst, `,"groups":`...), a.Groups)
	dst = strconv.AppendInt(append(dst, `,"quorum":`...), int64(a.Quorum), 10)
	if a.StepUp {
		dst = append(dst, `,"step_up":true`...)
	}
	dst = member(dst, `,"approve_by":`, a.ApproveBy)
	return append(strconv.AppendInt(append(dst, `,"execute_within_seconds":`...), a.ExecuteSeconds, 10), '}')
}

func appendReasons(dst []byte, reasons []gov.Reason) []byte {
	dst = append(dst, '[')
	for i, r := range reasons {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = member(dst, `{"code":`, string(r.Code))
		dst = optional(dst, `,"policy":`, string(r.Policy))
		dst = append(member(dst, `,"message":`, r.Message), '}')
	}
	return append(dst, ']')
}

func appendStrings[T ~string](dst []byte, list []T) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, string(s))
	}
	return append(dst, ']')
}

func appendCommitments(dst []byte, m map[Group]Commitment) []byte {
	var room [4]Group
	groups := room[:0]
	for g := range m {
		groups = append(groups, g)
	}
	slices.Sort(groups)
	dst = append(dst, '{')
	for i, g := range groups {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, string(g)), ':')
		dst = appendString(dst, string(m[g]))
	}
	return append(dst, '}')
}
