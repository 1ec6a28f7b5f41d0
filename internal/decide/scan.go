package decide

import (
	"context"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/content"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/scan"
	"github.com/writ-dev/writ/internal/taint"
)

// Text is something on its way to a model.
type Text struct {
	Channel scan.Channel
	Text    string
	Session gov.SessionID // that it is for, or empty
}

// Scanned is a recorded scan.
type Scanned struct {
	canon.Scanned
	ledger.Receipt
}

// Scan looks through a text and records what was found. What a person asks for in a session (the channel prompt) is what its
// identifiers are not tainted by; a finding labels the session.
func (s *Service) Scan(ctx context.Context, caller identity.Caller, t Text) (Scanned, error) {
	env, ok := s.Environments.Environment(caller.Environment)
	if !ok {
		return Scanned{}, &gov.Error{Code: gov.CodeForbidden, Detail: "the credential is of an environment that has no ledger"}
	}
	found := content.Look(s.Scanner, t.Channel, t.Text)
	body := canon.Scanned{
		Credential: caller.Credential, Channel: string(t.Channel), Session: t.Session, Bytes: int64(len(t.Text)), Scanner: s.Scanner.Version(),
		Findings: found.Findings,
	}
	if body.Findings == nil {
		body.Findings = []canon.Finding{}
	}
	if t.Session != "" {
		body.LabelsAdded = content.Suspected(found.Findings)
	}
	record, err := env.Ledger.Draft(s.Rand, canon.KindScanned, canon.Actor{Type: canon.ActorAgent, ID: string(caller.Agent)}, body, nil)
	if err != nil {
		return Scanned{}, err
	}
	if t.Session != "" {
		marks := s.read(t.Session, t.Channel == scan.Prompt && len(body.LabelsAdded) == 0, found)
		record.Session, record.SessionSeen, record.LabelsAdded = t.Session, ledger.AnySession, body.LabelsAdded
		record.Marks = func(had []byte) []byte { return taint.Learn(had, marks) }
	}
	receipt, err := env.Ledger.Append(ctx, record)
	if err != nil {
		return Scanned{}, err
	}
	return Scanned{Scanned: body, Receipt: receipt}, nil
}
