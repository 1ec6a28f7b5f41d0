package api

import (
	"context"
	"slices"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/decide"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/scan"
)

// scanWire is what the scanner found in a text. It holds nothing of the text.
type scanWire struct {
	ID       gov.EntryID     `json:"id"`
	Channel  string          `json:"channel"`
	Scanner  string          `json:"scanner"` // version
	Findings []canon.Finding `json:"findings"`
	Labels   []gov.Label     `json:"labels_added,omitempty"`
	Receipt  gov.Receipt     `json:"receipt"`
	At       string          `json:"at"`
}

// scan looks through a text on its way to a model.
func (s *Server) scan(ctx context.Context, r *request) (any, error) {
	f, err := readFields(r.body)
	if err != nil {
		return nil, err
	}
	known := func(v string) bool { return slices.Contains(scan.Channels(), scan.Channel(v)) }
	t := decide.Text{
		Channel: scan.Channel(f.required("channel", known, "tool_result, tool_input, tool_description or prompt")),
		Text:    f.text("text", bodyBytesMax), Session: gov.SessionID(f.checked("session", gov.ValidOpaque, opaqueWant)),
	}
	if err := f.done(); err != nil {
		return nil, err
	}
	found, err := s.Decide.Scan(ctx, r.caller, t)
	if err != nil {
		return nil, err
	}
	return scanWire{
		ID: found.ID, Channel: found.Channel, Scanner: found.Scanner, Findings: found.Findings, Labels: found.LabelsAdded, Receipt: found.Receipt.Receipt,
		At: found.At.Format(canon.TimeLayout),
	}, nil
}
