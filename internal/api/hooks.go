package api

import (
	"context"
	"errors"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/incident"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/notify"
)

// HookReader reads what comes back through a channel, if that is signed.
type HookReader interface {
	PagerDutyHook(from bundle.Channel, signature string, body []byte) (notify.Hook, error)
}

// hookWire is what became of an event. Another side tries again what is not answered with 200, so what is not for us is answered
// so too, with a code.
type hookWire struct {
	Status string          `json:"status"` // recorded or ignored
	Code   incident.Answer `json:"code"`
}

// answerNone is about an event that says nothing about who looks at an incident.
const answerNone incident.Answer = "nothing_to_do"

// pagerDutyHook takes a webhook of PagerDuty. It is for every environment whose active bundle has the channel with a secret that
// the webhook is signed with, and for no other one.
func (s *Server) pagerDutyHook(ctx context.Context, r *request) (any, error) {
	if err := s.Environments.RefreshAll(ctx); err != nil {
		return nil, err
	}
	id := gov.ChannelID(r.PathValue("channel"))
	signature := r.Header.Get("X-Pagerduty-Signature")
	var refused error = &gov.Error{Code: gov.CodeUnauthenticated, Detail: "no signature is by a secret of this channel"}
	out := hookWire{"ignored", incident.AnswerUnknown}
	for _, name := range s.Environments.Names() {
		env, ok := s.Environments.Environment(name)
		if !ok {
			continue
		}
		channel, ok := channelOf(env, id)
		if !ok {
			continue
		}
		hook, err := s.Hooks.PagerDutyHook(channel, signature, r.body)
		if err != nil {
			refused = worse(refused, err)
			continue
		}
		if out.Code, err = s.takeHook(ctx, env, channel, hook); err != nil {
			return nil, err
		}
		refused = nil
		if out.Code == incident.AnswerAcknowledged {
			out.Status = "recorded"
		}
		if out.Code != incident.AnswerUnknown {
			break
		}
	}
	if refused != nil {
		return nil, refused
	}
	return out, nil
}

// worse keeps what says more than that nobody is known.
func worse(before, now error) error {
	var known *gov.Error
	if errors.As(now, &known) && known.Code != gov.CodeUnauthenticated {
		return now
	}
	return before
}

// channelOf is a pager of the active bundle of an environment.
func channelOf(env *live.Environment, id gov.ChannelID) (bundle.Channel, bool) {
	engine := env.Control().Engine
	if engine == nil {
		return bundle.Channel{}, false
	}
	c, ok := engine.Bundle().Channel(id)
	return c, ok && c.Type == gov.ChannelPagerDuty && c.In(env.Ledger.Name())
}

func (s *Server) takeHook(ctx context.Context, env *live.Environment, from bundle.Channel, h notify.Hook) (incident.Answer, error) {
	if !h.Acknowledges() {
		return answerNone, nil
	}
	return s.Incident.Acknowledge(ctx, env, h.Incident, canon.Via{Channel: from.ID, Event: h.Event, Kind: h.Kind, User: h.User}, h.At)
}
