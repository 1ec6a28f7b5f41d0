package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/puppet"
	writ "github.com/writ-dev/writ/sdk/go"
)

// injection is G1: an agent reads a stranger's text and does what it says.
func injection() scenario {
	return scenario{
		id: "G1", title: "indirect prompt injection",
		hypothesis: "An agent that reads an injected instruction and follows it is not allowed what it is told to do, is noticed, and its session is stopped.",
		injected:   "A result with an instruction for the agent; then a call off its list, and a call that sends to the address in the text.",
		agents:     func(p gamedayPlan) []string { return []string{p.Injection.Reads.Agent} },
		expected:   []string{"injection", "off_list", "tainted_sink"},
		run:        runInjection,
	}
}

func runInjection(ctx context.Context, d *drill) error {
	p := d.plan.Injection
	client, err := d.agent(ctx, p.Reads.Agent, p.Reads.Principal)
	if err != nil {
		return err
	}
	read, err := d.call(ctx, client, p.Reads)
	if err != nil {
		return err
	}
	d.want(read.Outcome == writ.Allow, "The agent was not allowed to read with %s.", p.Reads.Tool)
	d.injectedAt(read.At)
	d.moment(read.At, "the agent reads the text with %s (%s)", p.Reads.Tool, read.ID)
	d.ref(read.ID)
	if err := client.Report(ctx, read.ID, writ.Result{Status: writ.Succeeded, Output: map[string]any{"text": p.Text}}); err != nil {
		return err
	}
	for _, c := range []planCall{p.OffList, p.Sink} {
		tried, err := d.call(ctx, client, c)
		if err != nil {
			return err
		}
		d.moment(tried.At, "it tries %s and is answered with %s (%s)", c.Tool, tried.Outcome, tried.ID)
		d.ref(tried.ID)
		d.want(tried.Outcome != writ.Allow, "%s was allowed.", c.Tool)
	}
	last := signalRow{}
	for _, detector := range d.scenario.expected {
		if last, err = d.notice(ctx, detector); err != nil {
			return err
		}
	}
	if _, err := d.stop(ctx, last.Incident); err != nil {
		return err
	}
	if err := d.stopped(ctx, client, p.Reads); err != nil {
		return err
	}
	d.saw("Neither call was allowed; the session was stopped and nothing passes in it.")
	return nil
}

// spike is G2: an agent is denied again and again.
func spike() scenario {
	return scenario{
		id: "G2", title: "spike of denied calls",
		hypothesis: "An agent that is denied far more often than it ever is, is noticed within the window, and can be stopped.",
		injected:   "Calls that a policy denies, one after the other, until they are noticed.",
		agents: func(p gamedayPlan) (out []string) {
			for _, s := range p.Spikes {
				out = append(out, s.Denied.Agent)
			}
			return out
		},
		expected: []string{"blocked_spike"},
		run:      runSpike,
	}
}

const (
	spikeBatch = 20  // calls between two looks
	spikeMost  = 400 // calls
	spikeAfter = 10 * time.Minute
)

func runSpike(ctx context.Context, d *drill) error {
	use, err := d.quietSpike(ctx)
	if err != nil {
		return err
	}
	client, err := d.agent(ctx, use.Denied.Agent, use.Denied.Principal)
	if err != nil {
		return err
	}
	allowed, err := d.agent(ctx, use.Allowed.Agent, use.Allowed.Principal)
	if err != nil {
		return err
	}
	asked := 0
	for noticed := false; !noticed && asked < spikeMost; {
		for range spikeBatch {
			denied, err := d.call(ctx, client, use.Denied)
			if err != nil {
				return err
			}
			if asked++; asked == 1 {
				d.injectedAt(denied.At)
				d.moment(denied.At, "%s is denied %s for the first time (%s)", use.Denied.Agent, use.Denied.Tool, denied.ID)
				d.ref(denied.ID)
			}
			d.want(denied.Outcome == writ.Deny, "%s was answered with %s.", use.Denied.Tool, denied.Outcome)
		}
		if err := sleepFor(ctx, drillPoll); err != nil {
			return err
		}
		if _, noticed, err = d.signal(ctx, d.remote, d.Exercise.Index, "blocked_spike", []string{use.Denied.Agent}); err != nil {
			return err
		}
	}
	found, err := d.notice(ctx, "blocked_spike")
	if err != nil {
		return err
	}
	before, err := d.call(ctx, allowed, use.Allowed)
	if err != nil {
		return err
	}
	d.want(before.Outcome == writ.Allow, "What proves the switch, %s, was not allowed before it.", use.Allowed.Tool)
	if _, err := d.stop(ctx, found.Incident); err != nil {
		return err
	}
	if err := d.stopped(ctx, allowed, use.Allowed); err != nil {
		return err
	}
	d.saw("Noticed after %d denied calls of %s.", asked, use.Denied.Agent)
	return nil
}

func sleepFor(ctx context.Context, span time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(span):
		return nil
	}
}

// quietSpike gives the first agent of the plan of which no spike was noticed a short while ago: a window is noticed once.
func (d *drill) quietSpike(ctx context.Context) (planSpike, error) {
	var page struct {
		Signals []signalRow `json:"signals"`
	}
	query := d.environmentQuery("detector", "blocked_spike", "limit", "200", "from", time.Now().Add(-spikeAfter).UTC().Format(time.RFC3339))
	if _, err := d.get(ctx, d.AdminToken, "/v1/signals", query, &page); err != nil {
		return planSpike{}, err
	}
	for _, s := range d.plan.Spikes {
		if !slices.ContainsFunc(page.Signals, func(w signalRow) bool { return w.Signal.Agent == s.Denied.Agent }) {
			return s, nil
		}
	}
	return planSpike{}, fmt.Errorf("a spike of every agent of the plan was noticed in the last %s, and a window is noticed once: try again later", spikeAfter)
}

// runaway is G3: an agent spends without an end.
func runaway() scenario {
	return scenario{
		id: "G3", title: "cost runaway",
		hypothesis: "An agent that makes the same costly call again and again is stopped by its limit, exactly where the limit is, and that is noticed.",
		injected:   "The same call, again and again, in one session.",
		agents:     func(p gamedayPlan) []string { return []string{p.Runaway.Call.Agent} },
		of:         []string{"budget_threshold"},
		expected:   []string{"budget_breach"},
		run:        runRunaway,
	}
}

func runRunaway(ctx context.Context, d *drill) error {
	p := d.plan.Runaway
	client, err := d.agent(ctx, p.Call.Agent, p.Call.Principal)
	if err != nil {
		return err
	}
	allowed, denied := 0, (*writ.Decision)(nil)
	for n := 0; n < p.Most && denied == nil; n++ {
		answer, err := d.call(ctx, client, p.Call)
		if err != nil {
			return err
		}
		d.injectedAt(answer.At)
		if n == 0 {
			d.moment(answer.At, "the first %s is answered with %s (%s)", p.Call.Tool, answer.Outcome, answer.ID)
			d.ref(answer.ID)
		}
		if answer.Outcome == writ.Allow {
			allowed++
			continue
		}
		denied = answer
	}
	if denied == nil {
		d.missed("%d calls were allowed, and no limit held.", allowed)
		return nil
	}
	d.want(hasReason(denied, "limit"), "The call was not denied for a limit: %s", denied.Reasons[0].Message)
	d.moment(denied.At, "the limit holds behind %d calls (%s)", allowed, denied.ID)
	d.contained(denied.At)
	d.ref(denied.ID)
	if _, err := d.notice(ctx, "budget_breach"); err != nil {
		return err
	}
	again, err := d.call(ctx, client, p.Call)
	if err != nil {
		return err
	}
	d.want(again.Outcome == writ.Deny, "After the limit held another call was answered with %s.", again.Outcome)
	d.ref(again.ID)
	d.saw("%d calls were allowed; every one behind them was denied.", allowed)
	return nil
}

// misusedAccount is G4: an account tries to approve the call that is made for it.
func misusedAccount() scenario {
	return scenario{
		id: "G4", title: "approver account misused",
		hypothesis: "An account that is not asked, and for which the call is made, cannot consent to it; the attempt is noticed, and the account is closed at once.",
		injected:   "A call that needs consent, for an account made for this; the account signs in with its passkey and votes for it.",
		agents:     func(p gamedayPlan) []string { return []string{p.Gated.Agent} },
		of:         []string{"self_approval"},
		expected:   []string{"self_approval"},
		run:        runMisusedAccount,
	}
}

func runMisusedAccount(ctx context.Context, d *drill) error {
	person := "user:gameday-" + d.run
	client, err := d.agent(ctx, d.plan.Gated.Agent, person)
	if err != nil {
		return err
	}
	asked, err := d.call(ctx, client, d.plan.Gated)
	if err != nil {
		return err
	}
	if asked.Outcome != writ.RequireApproval || asked.Approval == nil {
		d.missed("%s was answered with %s: there is nothing to consent to.", d.plan.Gated.Tool, asked.Outcome)
		return nil
	}
	d.moment(asked.At, "%s waits for consent (%s)", d.plan.Gated.Tool, asked.ID)
	d.ref(asked.ID)
	request := asked.Approval.ID
	account, remove, err := d.account(ctx, person)
	if err != nil {
		return err
	}
	d.injectedAt(time.Now())
	d.moment(d.began, "the account votes for its own call")
	path := "/console/approvals/" + url.PathEscape(request) + "/vote"
	ballot := url.Values{"vote": {"approve"}, "shown": {asked.Receipt.LeafHash}, "comment": {"Exercise " + d.Exercise.ID}}
	_, voted := account.Form(ctx, path, ballot)
	d.want(voted != nil, "The vote was taken.")
	if err := d.stillPending(ctx, request); err != nil {
		return err
	}
	if _, err := d.notice(ctx, "self_approval"); err != nil {
		return err
	}
	if err := remove(ctx); err != nil {
		return err
	}
	now := time.Now()
	d.moment(now, "the account is removed, and its sessions with it")
	d.contained(now)
	page, err := account.Get(ctx, "/console/me")
	d.want(err != nil || !strings.Contains(string(page), "/console/sign-out"), "The account's session lives on.")
	d.saw("The vote was refused; the request stays pending and ends by itself.")
	return d.stillPending(ctx, request)
}

func (d *drill) stillPending(ctx context.Context, id string) error {
	var now requestRow
	if _, err := d.get(ctx, d.AdminToken, "/v1/approvals/"+url.PathEscape(id), nil, &now); err != nil {
		return err
	}
	d.want(now.State == "pending" && len(now.Votes) == 0, "The request is %s, with %d votes.", now.State, len(now.Votes))
	return nil
}

// account makes a person with a passkey who may read, and is removed at the latest when the drill is over.
func (d *drill) account(ctx context.Context, person string) (*puppet.Person, func(context.Context) error, error) {
	var made struct {
		Link   string    `json:"link"`
		Person personRow `json:"person"`
	}
	ask := map[string]any{"person": person, "name": "Exercise " + d.Exercise.ID, "roles": []string{"auditor"}}
	if _, err := d.send(ctx, d.AdminToken, http.MethodPost, "/v1/people", ask, &made); err != nil {
		return nil, nil, err
	}
	gone := false
	remove := func(ctx context.Context) error {
		if gone {
			return nil
		}
		_, err := d.send(ctx, d.AdminToken, http.MethodDelete, "/v1/people/"+url.PathEscape(made.Person.Ref), map[string]string{"reason": "the exercise is over"}, nil)
		gone = err == nil
		return err
	}
	d.later("remove the account "+person, remove)
	account, err := puppet.Enrol(ctx, made.Link)
	return account, remove, err
}

// weakened is G5: somebody puts a weaker bundle into force without the workflow.
func weakened() scenario {
	return scenario{
		id: "G5", title: "policy weakened outside the workflow",
		hypothesis: "A weaker bundle does not come into force directly; where one person puts it into force in an emergency, that is noticed, a review is owed, and it is rolled back.",
		injected:   "The administrator's token activates a weaker bundle here, and a reviewer puts one into force in an emergency on a throwaway server.",
		agents:     func(p gamedayPlan) []string { return []string{p.Gated.Agent} },
		of:         []string{"change_outside"},
		expected:   []string{"change_outside"},
		run: func(ctx context.Context, d *drill) error {
			if err := d.direct(ctx); err != nil {
				return err
			}
			return d.emergency(ctx)
		},
	}
}

// inForce is the digest of the active bundle.
func (d *drill) inForce(ctx context.Context, r remote) (string, error) {
	var page struct {
		Bundles []struct {
			Bundle string `json:"bundle"`
		} `json:"bundles"`
	}
	if _, err := r.get(ctx, r.AdminToken, "/v1/bundles", d.environmentQuery("limit", "1"), &page); err != nil {
		return "", err
	}
	if len(page.Bundles) == 0 {
		return "", errors.New("no bundle is in force")
	}
	return page.Bundles[0].Bundle, nil
}

// direct tries to activate a weaker bundle without the workflow.
func (d *drill) direct(ctx context.Context) error {
	before, err := d.inForce(ctx, d.remote)
	if err != nil {
		return err // an environment without a bundle would take it
	}
	weak, err := weakBundle(d.plan.Weakens)
	if err != nil {
		return err
	}
	_, refused := d.ask(ctx, d.AdminToken, http.MethodPost, "/v1/bundles", d.environmentQuery(), "application/x-tar", weak, nil)
	var problem *problemError
	if !errors.As(refused, &problem) && refused != nil {
		return refused
	}
	after, err := d.inForce(ctx, d.remote)
	if err != nil {
		return err
	}
	d.moment(time.Now(), "a direct activation is answered with: %v", refused)
	d.want(refused != nil && before == after, "The bundle in force was replaced without a review: it was %s and is %s.", before, after)
	d.saw("The direct activation was refused.")
	return nil
}
