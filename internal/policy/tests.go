package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// TestResult is what came of one of the bundle's tests.
type TestResult struct {
	Name   string      `json:"name"`
	File   string      `json:"file"`
	Line   int         `json:"line"`
	Passed bool        `json:"passed"`
	Got    gov.Outcome `json:"got"`
	What   string      `json:"what,omitempty"` // why it did not pass
}

// testTime is when the calls of tests are judged: a fixed working day, so that a test has one result.
func testTime() time.Time { return time.Date(2026, time.January, 14, 10, 0, 0, 0, time.UTC) }

// RunTests judges every test of the bundle.
func (e *Engine) RunTests() []TestResult {
	out := make([]TestResult, len(e.bundle.Tests))
	for i, t := range e.bundle.Tests {
		out[i] = e.runTest(t)
	}
	return out
}

func (e *Engine) runTest(t bundle.Test) TestResult {
	labels := slices.Clone(t.Labels)
	slices.Sort(labels)
	var taint []canon.Taint
	for _, path := range t.Taint {
		taint = append(taint, canon.Taint{Kind: "test", Path: path, Near: t.Near})
	}
	var findings []canon.Finding
	for _, band := range t.Findings {
		findings = append(findings, canon.Finding{Band: band})
	}
	v := Evaluate(State{
		Environment: t.Environment, Engine: e, Labels: labels, Taint: taint, Findings: findings, CredentialValid: true, CredentialAgent: t.Agent, Time: testTime(),
	}, gov.Call{Agent: t.Agent, Principal: t.Principal, Assurance: t.Assurance, Groups: t.Groups, Tool: t.Tool, Input: t.Input})
	got := v.Outcome
	if v.Would != "" {
		got = v.Would // a test says what a policy means, whatever the mode
	}
	r := TestResult{Name: t.Name, File: t.File, Line: t.Line, Got: got}
	switch {
	case got != t.Want:
		r.What = fmt.Sprintf("wanted %s, got %s: %s", t.Want, got, v.Reasons[0].Message)
	case t.WantPolicy != "" && !slices.Contains(v.Policies, t.WantPolicy):
		r.What = fmt.Sprintf("wanted the policy %s to fire, fired: %v", t.WantPolicy, v.Policies)
	case t.WantReason != "" && !slices.ContainsFunc(v.Reasons, func(reason gov.Reason) bool { return reason.Code == t.WantReason }):
		r.What = fmt.Sprintf("wanted the reason %s, got %s", t.WantReason, v.Reasons[0].Code)
	default:
		r.Passed = true
	}
	return r
}
