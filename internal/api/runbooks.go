package api

import (
	"context"
	"slices"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/incident"
	"github.com/writ-dev/writ/internal/live"
)

// runbookWire is what a bundle says is to be done when its detectors fire.
type runbookWire struct {
	Detectors []gov.DetectorID `json:"detectors"`
	File      string           `json:"file"`
	Bundle    gov.BundleDigest `json:"bundle"` // that was in force when the incident of the detectors opened
	Text      string           `json:"text"`
}

type runbookPage struct {
	Incident gov.IncidentID `json:"incident"`
	Runbooks []runbookWire  `json:"runbooks"`
}

// runbooksMerged is how many incidents that were merged into one are looked at.
const runbooksMerged = 20

// incidentRunbooks gives the runbooks of the detectors that opened an incident and those merged into it, as they were then.
func (s *Server) incidentRunbooks(ctx context.Context, r *request) (any, error) {
	env, i, err := s.incidentByID(ctx, r)
	if err != nil {
		return nil, err
	}
	opened := []incident.Incident{i}
	for _, id := range i.Merged[:min(len(i.Merged), runbooksMerged)] {
		m, err := incident.Find(ctx, env.Ledger, id)
		if err != nil {
			return nil, err
		}
		opened = append(opened, m)
	}
	out := runbookPage{Incident: i.ID, Runbooks: []runbookWire{}}
	for _, i := range opened {
		b, err := bundleBefore(ctx, env, i.Opened)
		if err != nil {
			return nil, err
		}
		if b != nil {
			out.add(b, i.Detector)
		}
	}
	return out, nil
}

// changesAtOnce is how many changes of control state are read at once while the newest activation is looked for.
const changesAtOnce = 64

// bundleBefore is the bundle that was in force when an entry was written, or nil.
func bundleBefore(ctx context.Context, env *live.Environment, index int64) (*bundle.Bundle, error) {
	changes, err := env.Ledger.Store().Changes(ctx, env.Ledger.Name(), 0)
	if err != nil {
		return nil, err
	}
	var indexes []int64
	for _, c := range changes {
		if c.Index < index {
			indexes = append(indexes, c.Index)
		}
	}
	for end := len(indexes); end > 0; end = max(end-changesAtOnce, 0) {
		items, err := env.Ledger.Several(ctx, indexes[max(end-changesAtOnce, 0):end])
		if err != nil {
			return nil, err
		}
		for _, item := range slices.Backward(items) {
			if item.Kind != canon.KindBundleActivated {
				continue
			}
			body, err := canon.Body[canon.BundleActivated](item.Entry)
			if err != nil {
				return nil, err
			}
			engine, err := env.Engine(ctx, body.Bundle)
			if err != nil {
				return nil, err
			}
			return engine.Bundle(), nil
		}
	}
	return nil, nil
}

// add adds the runbook of a detector, if it has one that is not there yet.
func (p *runbookPage) add(b *bundle.Bundle, id gov.DetectorID) {
	specs := b.Specs()
	at := slices.IndexFunc(specs, func(s bundle.DetectorSpec) bool { return s.ID == id })
	if at < 0 {
		return // a person reported it
	}
	file := b.Detector(specs[at]).Runbook
	if file == "" {
		return
	}
	i := slices.IndexFunc(p.Runbooks, func(w runbookWire) bool { return w.File == file && w.Bundle == b.Digest })
	switch {
	case i < 0:
		p.Runbooks = append(p.Runbooks, runbookWire{Detectors: []gov.DetectorID{id}, File: file, Bundle: b.Digest, Text: string(b.Files[file])})
	case !slices.Contains(p.Runbooks[i].Detectors, id):
		p.Runbooks[i].Detectors = append(p.Runbooks[i].Detectors, id)
	}
}
