package api

import (
	"bytes"
	"context"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/change"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/state"
)

// agentWire is one line of the inventory.
type agentWire struct {
	ID           gov.AgentID       `json:"id"`
	Owner        string            `json:"owner"`
	Purpose      string            `json:"purpose"`
	Environments []gov.Environment `json:"environments"`
	RunsAs       string            `json:"runs_as"`
	Model        string            `json:"model"`
	Reads        []string          `json:"reads"`
	Logs         string            `json:"logs"`
	RiskTier     string            `json:"risk_tier"`
	Suspended    bool              `json:"suspended"`
	Tools        []gov.ToolName    `json:"tools"`
}

// toolWire is one tool of the catalogue.
type toolWire struct {
	Name        gov.ToolName   `json:"name"`
	Description string         `json:"description"`
	Categories  []gov.Category `json:"categories"`
	Labels      []gov.Label    `json:"labels"`
	InputSchema jsontext.Value `json:"input_schema,omitzero"`
	Secret      []string       `json:"secret"`
}

// inventory is what the active bundle says of an environment.
type inventory struct {
	Environment gov.Environment  `json:"environment"`
	Bundle      gov.BundleDigest `json:"bundle,omitempty"`
	Agents      []agentWire      `json:"agents,omitempty"`
	Tools       []toolWire       `json:"tools,omitempty"`
}

// active gives the active bundle of the environment that is asked for; the bundle is nil when there is none yet.
func (s *Server) active(r *request) (inventory, *bundle.Bundle, error) {
	env, err := s.environment(r, r.URL.Query().Get("environment"))
	if err != nil {
		return inventory{}, nil, err
	}
	control := env.Control()
	out := inventory{Environment: env.Ledger.Name(), Bundle: control.Bundle()}
	if control.Engine == nil {
		return out, nil, nil
	}
	return out, control.Engine.Bundle(), nil
}

func (s *Server) listAgents(_ context.Context, r *request) (any, error) {
	out, b, err := s.active(r)
	if err != nil || b == nil {
		return out, err
	}
	for _, a := range b.Agents {
		if r.caller.Role == state.RoleAgent && a.ID != r.caller.Agent {
			continue
		}
		out.Agents = append(out.Agents, agentWire{
			ID: a.ID, Owner: a.Owner, Purpose: a.Purpose, Environments: a.Environments, RunsAs: a.RunsAs, Model: a.Model,
			Reads: a.Reads, Logs: a.Logs, RiskTier: a.RiskTier, Suspended: a.Suspended, Tools: a.Tools,
		})
	}
	return out, nil
}

func (s *Server) listTools(_ context.Context, r *request) (any, error) {
	out, b, err := s.active(r)
	if err != nil || b == nil {
		return out, err
	}
	for _, t := range b.Tools {
		out.Tools = append(out.Tools, toolWire{
			Name: t.Name, Description: t.Description, Categories: t.Categories, Labels: t.Labels,
			InputSchema: jsontext.Value(t.InputSchema), Secret: t.Secret,
		})
	}
	return out, nil
}

func (s *Server) showBundle(ctx context.Context, r *request) (any, error) {
	digest := r.PathValue("digest")
	for _, name := range s.Environments.Names() {
		env, ok := s.Environments.Environment(name)
		if !ok {
			continue
		}
		data, ok, err := env.Ledger.Store().Blob(ctx, digest)
		if err != nil {
			return nil, err
		}
		if ok {
			return raw{"application/x-tar", cacheForever, data}, nil
		}
	}
	return nil, &gov.Error{Code: gov.CodeNotFound, Detail: "there is no bundle " + digest}
}

// activationWire is the answer to an activation.
type activationWire struct {
	ID          gov.EntryID      `json:"id"`
	Environment gov.Environment  `json:"environment"`
	Bundle      gov.BundleDigest `json:"bundle"`
	Previous    gov.BundleDigest `json:"previous,omitempty"`
	How         canon.How        `json:"how"`
	Change      gov.EntryID      `json:"change,omitempty"`
	State       gov.ChangeState  `json:"state,omitempty"`     // of the change, with rollback and emergency
	ReviewBy    string           `json:"review_by,omitempty"` // with review_owed
	Receipt     gov.Receipt      `json:"receipt"`
	At          string           `json:"at"`
}

func (s *Server) activateBundle(ctx context.Context, r *request) (any, error) {
	params := r.URL.Query()
	name := params.Get("environment")
	if !gov.ValidName(name) || gov.Environment(name) == gov.OrgLedger {
		return nil, &gov.Error{Code: gov.CodeInvalidField, Path: "/environment", Detail: "say for which environment: ?environment=NAME"}
	}
	engine, err := readBundle(r.body)
	if err != nil {
		return nil, err
	}
	from := change.Source{Commit: clip(params.Get("commit")), Branch: clip(params.Get("branch"))}
	done, err := s.Change.Bootstrap(ctx, r.caller, gov.Environment(name), engine, from)
	if err != nil {
		return nil, err
	}
	return activationOf(gov.Environment(name), done), nil
}

func activationOf(name gov.Environment, done change.Activated) activationWire {
	return activationWire{
		ID: done.ID, Environment: name, Bundle: done.Bundle, Previous: done.Previous, How: done.How, Change: done.Change,
		State: done.State, ReviewBy: done.ReviewBy,
		Receipt: done.Receipt.Receipt, At: done.At.Format(canon.TimeLayout),
	}
}

const sourceBytesMax = 200

func clip(s string) string { return s[:min(len(s), sourceBytesMax)] }

// readBundle reads and compiles a bundle that was sent. Every problem is in the answer's detail.
func readBundle(body []byte) (*policy.Engine, error) {
	files, err := bundle.ReadTar(bytes.NewReader(body))
	if err != nil {
		return nil, &gov.Error{Code: gov.CodeBundleInvalid, Detail: err.Error()}
	}
	b, problems := bundle.Read(files)
	if len(problems) > 0 {
		return nil, invalidBundle(problems)
	}
	engine, problems := policy.Compile(b)
	if len(problems) > 0 {
		return nil, invalidBundle(problems)
	}
	return engine, nil
}

func invalidBundle(problems bundle.Problems) error {
	p := problems[0]
	detail := fmt.Sprintf("%s:%d: %s; %s", p.File, p.Line, p.What, p.Remedy)
	if more := len(problems) - 1; more > 0 {
		detail += fmt.Sprintf(" (and %d more: writ bundle check lists them)", more)
	}
	return &gov.Error{Code: gov.CodeBundleInvalid, Detail: detail}
}
