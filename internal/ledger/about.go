package ledger

import (
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// aboutMax is how many of the entries that a signal or a report rests on lead to it.
const aboutMax = 16

// about finds what an entry that is no decision is about.
func (f *finder) about(kind canon.Kind, raw []byte) error {
	var e struct {
		ID   gov.EntryID `json:"id"`
		Body struct {
			Incident gov.IncidentID `json:"incident"`
			Into     gov.IncidentID `json:"into"`
			Switch   string         `json:"switch"`
			Key      string         `json:"key"`
			Entry    string         `json:"entry"`
			Detector string         `json:"detector"`
			Entries  []string       `json:"entries"`
			Refs     []string       `json:"refs"`
		} `json:"body"`
	}
	switch kind {
	case canon.KindSignal, canon.KindIncidentReported, canon.KindIncidentEvent, canon.KindNotification,
		canon.KindSwitchEngaged, canon.KindSwitchProposed, canon.KindSwitchEased, canon.KindSwitchReleased:
	default:
		return nil
	}
	if err := jsonv2.Unmarshal(raw, &e); err != nil {
		return fmt.Errorf("read %s for the index: %w", kind, err)
	}
	b := e.Body
	f.some(DimDetector, b.Detector)
	if kind == canon.KindIncidentReported || kind == canon.KindSignal && b.Incident == "" {
		b.Incident = gov.IncidentOf(e.ID) // that it opened
	}
	about := append([]string{string(b.Incident), string(b.Into), b.Switch, b.Entry}, b.Entries[:min(len(b.Entries), aboutMax)]...)
	if kind == canon.KindSwitchEngaged {
		about = append(about, b.Key)
	}
	for _, id := range append(about, b.Refs...) {
		f.some(DimAbout, id)
	}
	return nil
}
