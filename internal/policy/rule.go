package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
)

// Gate says whose consent lifts a forbid.
type Gate struct {
	Groups        []gov.GroupID  // any of them; sorted
	Quorum        int            // votes that are needed
	ApproveWithin time.Duration  // after which the request has expired
	ExecuteWithin time.Duration  // after the approval, within which the call is to be made
	StepUp        bool           // the vote is a signature
	Policies      []gov.PolicyID // that ask; sorted
}

// What a gate asks for when its policy does not say.
const (
	quorumDefault        = 1
	quorumMax            = 10
	approveWithinDefault = 4 * time.Hour
	executeWithinDefault = 10 * time.Minute
	withinMax            = 30 * 24 * time.Hour
)

// The annotations that a policy may carry.
const (
	annID            = "id"
	annReason        = "reason"
	annMode          = "mode"
	annApproval      = "require_approval"
	annQuorum        = "quorum"
	annApproveWithin = "approve_within"
	annExecuteWithin = "execute_within"
	annStepUp        = "step_up"
)

func internalAST(p *cedar.Policy) *ast.Policy { return (*ast.Policy)(p.AST()) }

// readRule reads a policy's annotations.
func readRule(b *bundle.Bundle, file string, p *cedar.Policy) (*rule, bundle.Problems) {
	r := &rule{policy: p, forbid: p.Effect() == cedar.Forbid, file: file, line: p.Position().Line}
	var problems bundle.Problems
	wrong := func(what, remedy string) {
		problems = append(problems, bundle.Problem{File: file, Line: r.line, What: what, Remedy: remedy})
	}
	notes := p.Annotations()
	r.id, r.reason = gov.PolicyID(notes[annID]), string(notes[annReason])
	if !gov.ValidName(string(r.id)) {
		wrong(fmt.Sprintf("a policy has the id %q", r.id), `write @id("refunds-over-500") before it: lower-case letters, digits, dot, dash, underscore`)
	}
	switch mode := notes[annMode]; mode {
	case "":
	case "observe":
		r.observe = true
	default:
		wrong(fmt.Sprintf("@mode(%q)", mode), `the one mode of a policy is @mode("observe")`)
	}
	r.gate, problems = readGate(b, r, notes, problems)
	for name := range notes {
		switch name {
		case annID, annReason, annMode, annApproval, annQuorum, annApproveWithin, annExecuteWithin, annStepUp:
		default:
			wrong(fmt.Sprintf("the annotation @%s is not known", name), "known are @id, @reason, @mode, @require_approval, @quorum, @approve_within, @execute_within, @step_up")
		}
	}
	return r, problems
}

func readGate(b *bundle.Bundle, r *rule, notes cedar.Annotations, problems bundle.Problems) (*Gate, bundle.Problems) {
	wrong := func(what, remedy string) {
		problems = append(problems, bundle.Problem{File: r.file, Line: r.line, What: fmt.Sprintf("policy %s: %s", r.id, what), Remedy: remedy})
	}
	groups, gated := notes[annApproval]
	_, stepUp := notes[annStepUp]
	if !gated {
		for _, name := range []types.AnnotationKey{annQuorum, annApproveWithin, annExecuteWithin, annStepUp} {
			if _, ok := notes[name]; ok {
				wrong(fmt.Sprintf("@%s without @require_approval", name), `add @require_approval("GROUP"), or remove it`)
			}
		}
		return nil, problems
	}
	if !r.forbid {
		wrong("@require_approval on a permit", "it belongs on a forbid, which a person then lifts")
	}
	g := &Gate{Quorum: quorumDefault, ApproveWithin: approveWithinDefault, ExecuteWithin: executeWithinDefault, StepUp: stepUp, Policies: []gov.PolicyID{r.id}}
	for name := range strings.SplitSeq(string(groups), ",") {
		id := gov.GroupID(strings.TrimSpace(name))
		if !hasGroup(b, id) {
			wrong(fmt.Sprintf("@require_approval names the group %q", id), "name a group that writ.yaml defines under groups")
		}
		g.Groups = append(g.Groups, id)
	}
	if text, ok := notes[annQuorum]; ok {
		n, err := strconv.Atoi(string(text))
		if err != nil || n < 1 || n > quorumMax {
			wrong(fmt.Sprintf("@quorum(%q)", text), `write a number of votes from 1 to 10: @quorum("2")`)
		}
		g.Quorum = n
	}
	for name, into := range map[types.AnnotationKey]*time.Duration{annApproveWithin: &g.ApproveWithin, annExecuteWithin: &g.ExecuteWithin} {
		text, ok := notes[name]
		if !ok {
			continue
		}
		d, err := time.ParseDuration(string(text))
		if err != nil || d < time.Second || d > withinMax {
			wrong(fmt.Sprintf("@%s(%q)", name, text), `write a duration up to 720h: @approve_within("4h")`)
		}
		*into = d
	}
	return g, problems
}

func hasGroup(b *bundle.Bundle, id gov.GroupID) bool {
	for _, g := range b.Groups {
		if g.ID == id {
			return true
		}
	}
	return false
}
