//go:build linux

package main

import (
	"errors"
	"fmt"

	"github.com/writ-dev/writ/bench/load"
)

const denyEvery = 10 // one call in so many is denied

// inputText is the input of every call, of about 400 bytes, with places for the amount and the currency.
const inputText = `{"amount":%d,"currency":"%s","customer":{"id":"cus_8f3a12bc90de","country":"DE","tier":"standard"},` +
	`"reference":"inv-2026-004711","reason":"The customer reported a duplicate charge on the November invoice and asks for ` +
	`the difference to be returned to the original payment method within five working days.","items":["sku-1182","sku-9937","sku-4410"],` +
	`"channel":"email","notify":true,"attempt":1}`

// variant is one call of the load and the answer that it must get.
type variant struct {
	call
	outcome string
	fired   []string // the policies behind the outcome for user-000, sorted
}

// work is what every peer is asked to do.
type work struct {
	policies []policy
	variants []variant
}

// newWork makes the calls that go with n policies: the allowed ones in turn, and after each nine a denied one.
func newWork(n int) (work, error) {
	all, err := policies(n)
	if err != nil {
		return work{}, err
	}
	var allowed, denied []variant
	for tool := range toolCount(n) {
		for _, currency := range []string{"EUR", "XTS"} {
			v := variant{call: call{tool: tool, amount: 120, currency: currency}}
			switch v.outcome, v.fired = judge(all, v.call); v.outcome {
			case "allow":
				allowed = append(allowed, v)
			case "deny":
				denied = append(denied, v)
			}
		}
	}
	if len(allowed) == 0 || len(denied) == 0 {
		return work{}, errors.New("the policies allow nothing or deny nothing")
	}
	w := work{policies: all}
	for i := range len(allowed) {
		w.variants = append(w.variants, allowed[i])
		if i%(denyEvery-1) == 0 {
			w.variants = append(w.variants, denied[i/(denyEvery-1)%len(denied)])
		}
	}
	return w, nil
}

func (v variant) input() string { return fmt.Sprintf(inputText, v.amount, v.currency) }

// body is the call as Writ's contract has it.
func (v variant) body() string {
	return fmt.Sprintf(`{"agent":%q,"tool":%q,"principal":{"type":"user","id":"user-%s"},"session":"s-%s","call_id":"c-%s","input":%s}`,
		agentID, toolName(v.tool), load.UserMark, load.SessionMark, load.CallMark, v.input())
}

// templates makes the requests. wrap turns the body into what the peer expects; want gives a text that a right answer holds.
func (w work) templates(path, token string, wrap func(body string) string, want func(v variant) string) ([]load.Template, error) {
	header := map[string]string{}
	if token != "" {
		header["Authorization"] = "Bearer " + token
	}
	var all []load.Template
	for _, v := range w.variants {
		t, err := load.NewTemplate(path, header, []byte(wrap(v.body())), want(v))
		if err != nil {
			return nil, fmt.Errorf("request for %s: %w", toolName(v.tool), err)
		}
		all = append(all, t)
	}
	return all, nil
}

func asIs(body string) string { return body }
