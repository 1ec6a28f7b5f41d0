package api

import (
	"context"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
)

// usageWire compares what agents may call with what they called.
type usageWire struct {
	Environment     gov.Environment  `json:"environment"`
	Since           string           `json:"since"`
	From            int64            `json:"from"` // entries from this index on were counted
	CompleteThrough int64            `json:"complete_through"`
	Agents          []agentUsageWire `json:"agents"`
}

// agentUsageWire is one agent's: every tool that it may call, and every one that it tried.
type agentUsageWire struct {
	Agent gov.AgentID     `json:"agent"`
	Tools []toolUsageWire `json:"tools"`
}

type toolUsageWire struct {
	Tool    gov.ToolName `json:"tool"`
	Granted bool         `json:"granted"`
	Calls   int64        `json:"calls"` // attempted, whatever came of them
}

const usageFor = 90 * 24 * time.Hour

// usage shows which grants nobody uses: what least privilege would take away.
func (s *Server) usage(ctx context.Context, r *request) (any, error) {
	params := r.URL.Query()
	since := s.Now().UTC().Add(-usageFor)
	for name := range params {
		var err error
		switch name {
		case "environment":
		case "since":
			since, err = readTime(name, params.Get(name))
		default:
			err = &gov.Error{Code: gov.CodeUnknownField, Path: "/" + name, Detail: "is not a parameter; known are environment, since"}
		}
		if err != nil {
			return nil, err
		}
	}
	env, err := s.environment(r, params.Get("environment"))
	if err != nil {
		return nil, err
	}
	out := usageWire{Environment: env.Ledger.Name(), Since: since.Format(canon.TimeLayout), Agents: []agentUsageWire{}}
	engine := env.Control().Engine
	if engine == nil {
		return out, nil
	}
	var agents, tools []string
	for _, a := range engine.Bundle().Agents {
		agents = append(agents, string(a.ID))
	}
	for _, t := range engine.Bundle().Tools {
		tools = append(tools, string(t.Name))
	}
	pairs, err := env.Ledger.CountPairs(ctx, ledger.DimAgent, agents, ledger.DimTool, tools, since)
	if err != nil {
		return nil, err
	}
	out.From, out.CompleteThrough = pairs.From, pairs.Through
	for _, a := range engine.Bundle().Agents {
		w := agentUsageWire{Agent: a.ID, Tools: []toolUsageWire{}}
		for _, t := range tools {
			granted, calls := slices.Contains(a.Tools, gov.ToolName(t)), pairs.Counts[string(a.ID)][t]
			if granted || calls > 0 {
				w.Tools = append(w.Tools, toolUsageWire{gov.ToolName(t), granted, calls})
			}
		}
		out.Agents = append(out.Agents, w)
	}
	return out, nil
}
