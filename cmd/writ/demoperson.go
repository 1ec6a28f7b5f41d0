package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/puppet"
	writ "github.com/writ-dev/writ/sdk/go"
)

const (
	visitorPerson  = "user:maria" // of finance and of the leads in examples/acme
	scriptedPerson = "user:yuki"  // of finance
	refundTool     = "stripe/refund"
	votePoll       = 300 * time.Millisecond
)

// approve lets a gated refund wait for a person: the visitor, or, when nobody votes in time, one that the demo plays. It gives
// whether the call ran then, and only then.
func (c demoCmd) approve(ctx context.Context, s std, r remote, public string) (held bool, err error) {
	fmt.Fprintln(s.out, "\nA person decides: the support agent wants to refund 700 USD")
	client, err := principalClient(ctx, r, "support-bot", "runs_as", writ.WithApprovals(c.Wait+time.Minute))
	if err != nil {
		return false, err
	}
	call := on("support-3", refundTool, in{"charge": "ch_9Kd", "amount": 700, "currency": "usd"})
	call.Agent, call.CallID = "support-bot", "refund-700"
	ran := make(chan error, 1)
	go func() {
		_, err := client.Call(ctx, call, func(context.Context) (any, error) { return "refunded", nil })
		ran <- err
	}()
	request, err := pendingRefund(ctx, r)
	if err != nil {
		return false, err
	}
	fmt.Fprintf(s.out, "  %-17s %-22s waits for the consent of one person of finance\n", "require_approval", refundTool)
	page := public + "/console/approvals/" + request
	if err := c.invite(ctx, s, r, public, request, page); err != nil {
		return false, err
	}
	if err := <-ran; err != nil {
		_, err = fmt.Fprintf(s.out, "  the refund did not run: %v\n", err)
		return !c.Exit, err // a visitor may deny; the demo's own person does not
	}
	return true, c.chain(ctx, s, r, request, page)
}

// invite gives the visitor a link and waits; then the demo's own person votes.
func (c demoCmd) invite(ctx context.Context, s std, r remote, public, request, page string) error {
	if c.Wait > 0 && !c.Exit {
		link, err := invitation(ctx, r, visitorPerson, "You, as Maria", "admin")
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "\n  Be that person. Open this, enrol a passkey, and approve or deny (you are Maria, of finance):\n\n    %s&next=%s\n\n", link, url.QueryEscape(strings.TrimPrefix(page, public)))
		fmt.Fprintf(s.out, "  Without you, Yuki, whom the demo plays, decides in %s.\n", c.Wait)
		voted, err := c.waited(ctx, r, request)
		if err != nil || voted {
			return err
		}
	}
	link, err := invitation(ctx, r, scriptedPerson, "Yuki, played by the demo")
	if err != nil {
		return err
	}
	yuki, err := puppet.Enrol(ctx, link)
	if err != nil {
		return err
	}
	return yuki.Approve(ctx, request, "The customer was charged twice")
}

// waited says whether somebody voted before the wait was over.
func (c demoCmd) waited(ctx context.Context, r remote, request string) (bool, error) {
	end := time.NewTimer(c.Wait)
	defer end.Stop()
	for {
		var now requestRow
		if _, err := r.get(ctx, r.AdminToken, "/v1/approvals/"+request, nil, &now); err != nil || now.State != "pending" {
			return true, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-end.C:
			return false, nil
		case <-time.After(votePoll):
		}
	}
}

// chain prints what the ledger says of the refund.
func (c demoCmd) chain(ctx context.Context, s std, r remote, request, page string) error {
	var done requestRow
	if _, err := r.get(ctx, r.AdminToken, "/v1/approvals/"+request, nil, &done); err != nil {
		return err
	}
	for _, v := range done.Votes {
		var who personRow
		if _, err := r.get(ctx, r.AdminToken, "/v1/people/"+v.Person, nil, &who); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "  %-17s by %s (%s), at %s\n", v.Vote, who.Principal, who.Name, v.At)
	}
	fmt.Fprintf(s.out, "  %-17s %-22s the same call again, judged afresh; the request is %s\n", "allow", refundTool, done.State)
	_, err := fmt.Fprintf(s.out, "  The whole chain on one page: %s\n", page)
	return err
}

// pendingRefund waits until the request of the 700 USD is there.
func pendingRefund(ctx context.Context, r remote) (string, error) {
	for {
		var page struct {
			Approvals []requestRow `json:"approvals"`
		}
		query := url.Values{"environment": {demoEnvironment}, "state": {"pending"}}
		if _, err := r.get(ctx, r.AdminToken, "/v1/approvals", query, &page); err != nil {
			return "", err
		}
		for _, a := range page.Approvals {
			if a.Session == "support-3" {
				return a.ID, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(votePoll):
		}
	}
}

func invitation(ctx context.Context, r remote, person, name string, roles ...string) (string, error) {
	var made struct {
		Link string `json:"link"`
	}
	_, err := r.send(ctx, r.AdminToken, http.MethodPost, "/v1/people", map[string]any{"person": person, "name": name, "roles": append([]string{}, roles...)}, &made)
	return made.Link, err
}
