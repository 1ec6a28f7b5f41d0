package replay

import (
	"fmt"
	"slices"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/content"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/scan"
)

// scanned says whether what an entry says that the scanner found was found again.
type scanned int

const (
	scannedNothing  scanned = iota // the entry has no finding
	scannedAgain                   // and is the same, or among the differences
	scannedRecorded                // is taken as recorded: of another scanner, of an input with secrets, or of what was erased
)

// rescan finds again what the scanner found in a value. Secrets were scanned and are not recorded: what was found in an input that has
// some is taken as recorded.
func (p *player) rescan(channel scan.Channel, value any, was []canon.Finding, secrets bool) ([]canon.Finding, scanned) {
	switch {
	case len(was) == 0:
		return was, scannedNothing
	case p.scanner == nil || secrets || slices.ContainsFunc(was, func(f canon.Finding) bool { return f.Version != p.scanner.Version() }):
		return was, scannedRecorded
	}
	return content.Scan(p.scanner, channel, value), scannedAgain
}

// rescanInput finds again what was found in the input of a call.
func (p *player) rescanInput(t *step, input map[string]any) (now []canon.Finding, how scanned) {
	secrets := false
	if e := t.control.Engine; e != nil {
		tool, known := e.Bundle().Tool(t.decision.Tool)
		secrets = known && len(tool.Secret) > 0
	}
	return p.rescan(scan.ToolInput, input, t.decision.Findings, secrets)
}

// rescanResult finds again what was found in what a tool answered, and says what does not follow from it.
func (p *player) rescanResult(t *step) (what string, how scanned) {
	r := t.result
	if len(r.Findings) == 0 || t.raw.Index < p.within.From || p.instead != nil {
		return "", scannedNothing
	}
	value, erased, err := outputOf(t.raw, r.Commitments)
	switch {
	case err != nil:
		return err.Error(), scannedAgain
	case erased:
		return "", scannedRecorded
	}
	found, how := p.rescan(scan.ToolResult, value, r.Findings, false)
	var wrong faults
	if was, now := fmt.Sprint(r.Findings), fmt.Sprint(found); was != now {
		wrong.add("findings were recorded as %s and come out as %s", was, now)
	}
	if r.Session != "" && !slices.Equal(r.LabelsAdded, content.Suspected(found)) {
		wrong.add("labels_added were recorded as %v and come out as %v", r.LabelsAdded, content.Suspected(found))
	}
	return wrong.String(), how
}

// outputOf is what was scanned of a result: what the tool answered, and its error.
func outputOf(raw ledger.Raw, commitments map[canon.Group]canon.Commitment) (value map[string]any, erased bool, err error) {
	payload, err := canon.DecodePayload(raw.Payload)
	if err != nil {
		return nil, false, err
	}
	changed, gone := payload.Check(commitments)
	if len(changed) > 0 {
		return nil, false, fmt.Errorf("the payload of %v does not agree with the record", changed)
	}
	if len(gone) > 0 {
		return nil, true, nil
	}
	output, text := []byte("null"), []byte(`""`)
	if sealed, ok := payload[canon.GroupOutput]; ok {
		output = sealed.Value
	}
	if sealed, ok := payload[canon.GroupText]; ok {
		text = sealed.Value
	}
	value, err = canon.ParseObject(fmt.Appendf(nil, `{"output":%s,"error":%s}`, output, text))
	return value, false, err
}
