package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/row"
	"github.com/writ-dev/writ/internal/state"
)

// signalled is about a signal that opened an incident, or made one worse.
func (s *Service) signalled(ctx context.Context, env *live.Environment, n *gov.Notice, b *bundle.Bundle, item ledger.Item) error {
	body, err := canon.Body[canon.Signal](item.Entry)
	if err != nil {
		return err
	}
	id := body.Incident
	if id == "" {
		id = gov.IncidentOf(item.ID)
	}
	if err := s.incident(ctx, env, n, b, id); err != nil {
		return err
	}
	n.Severity, n.State, n.Why = body.Severity, string(gov.IncidentNew), short([]string{body.Summary})
	if n.Event == gov.EventIncidentOpened {
		n.Title = headline(n, "Incident: "+n.Title)
		return nil
	}
	n.State, n.Title = "", headline(n, "Incident is worse: "+n.Title)
	return nil
}

// reported is about an incident that a person reported.
func (s *Service) reported(ctx context.Context, env *live.Environment, n *gov.Notice, b *bundle.Bundle, item ledger.Item) error {
	if err := s.incident(ctx, env, n, b, gov.IncidentOf(item.ID)); err != nil {
		return err
	}
	n.State, n.Title = string(gov.IncidentNew), headline(n, "Incident: "+n.Title)
	return nil
}

// stepped is about a step that people took.
func (s *Service) stepped(ctx context.Context, env *live.Environment, n *gov.Notice, b *bundle.Bundle, item ledger.Item) error {
	body, err := canon.Body[canon.IncidentEvent](item.Entry)
	if err != nil {
		return err
	}
	if err := s.incident(ctx, env, n, b, body.Incident); err != nil {
		return err
	}
	n.Severity, n.State = body.Severity, string(body.State)
	n.Standing.Step, n.Why = body.Event, []string{string(body.Event)}
	if body.Alert != nil {
		n.Why = []string{unanswered(time.Duration(body.Alert.AfterSeconds) * time.Second)}
		n.Title = headline(n, "Nobody acknowledged: "+n.Title)
		return nil
	}
	n.Title = headline(n, fmt.Sprintf("%s: %s", body.State, n.Title))
	return nil
}

// unanswered says why people are told by on_call.
func unanswered(after time.Duration) string {
	if after == 0 {
		return "You are on call, and nobody has acknowledged it yet."
	}
	return fmt.Sprintf("Nobody has acknowledged it within %s.", after)
}

// headline is the title with how bad it is.
func headline(n *gov.Notice, title string) string {
	title = fmt.Sprintf("SEV%d in %s: %s", n.Severity, n.Environment, title)
	if n.Exercise {
		title = "Exercise. " + title
	}
	return title
}

// standing reads how the incident of a notice stands by now.
func standing(ctx context.Context, env *live.Environment, n *gov.Notice, id gov.IncidentID) error {
	doc, ok, err := env.Ledger.Store().Doc(ctx, env.Ledger.Name(), row.DocKey{Kind: incidentKind, ID: string(id)})
	if err != nil {
		return err
	}
	var i state.Incident
	if !ok {
		return fmt.Errorf("there is no incident %s", id)
	}
	if err := json.Unmarshal(doc.Data, &i); err != nil {
		return fmt.Errorf("incident %s: %w", id, err)
	}
	n.Standing = &gov.Standing{State: i.State, Severity: i.Severity, Detector: i.Detector}
	if n.Standing.Opened, err = time.Parse(canon.TimeLayout, i.OpenedAt); err != nil || i.EndedAt == "" {
		return err
	}
	n.Standing.Ended, err = time.Parse(canon.TimeLayout, i.EndedAt)
	return err
}

// incidentKind is the kind of the documents of incidents, which internal/incident writes.
const incidentKind = "incident"

// incident says which incident a notice is about, from the entry that opened it. Its title has to be completed.
func (s *Service) incident(ctx context.Context, env *live.Environment, n *gov.Notice, b *bundle.Bundle, id gov.IncidentID) error {
	n.Subject, n.URL = string(id), s.URL()+s.Pages+"/incidents/"+string(id)
	for g, roles := range b.Roles {
		if slices.Contains(roles, gov.RoleResponder) || slices.Contains(roles, gov.RoleAdmin) {
			n.Groups = append(n.Groups, g)
		}
	}
	slices.Sort(n.Groups)
	if err := standing(ctx, env, n, id); err != nil {
		return err
	}
	signal, report, ok := id.Opener()
	if !ok {
		return fmt.Errorf("%q is no id of an incident", id)
	}
	item, err := env.Ledger.ByID(ctx, signal)
	if err == nil {
		body, err := canon.Body[canon.Signal](item.Entry)
		n.Title, n.Agent, n.Tool, n.Severity, n.Exercise = body.Summary, body.Agent, body.Tool, body.Severity, body.Exercise
		return err
	}
	if gov.CodeOf(err) != gov.CodeNotFound {
		return err
	}
	if item, err = env.Ledger.ByID(ctx, report); err != nil {
		return err
	}
	body, err := canon.Body[canon.IncidentReported](item.Entry)
	n.Title, n.Agent, n.Severity, n.Exercise = body.Title, body.Agent, body.Severity, body.Exercise
	return err
}
