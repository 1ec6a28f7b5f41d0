package app_test

import (
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

func TestReplayAccountsForEverySwitch(t *testing.T) {
	t.Parallel()
	base := left(t)
	engaged := func(f *forger, people int, until time.Duration) gov.EntryID {
		body := canon.SwitchEngaged{
			Scope: gov.SwitchScope{Agent: "support-bot"}, Reason: "x", AskedAt: time.Now().UTC().Format(canon.TimeLayout), People: people, Person: "p_omar",
		}
		if until != 0 {
			body.ExpiresAt = time.Now().Add(until).UTC().Format(canon.TimeLayout)
		}
		return f.append(canon.KindSwitchEngaged, aPerson("p_omar"), body)
	}
	released := gov.Step{Stage: gov.SwitchReleased}
	propose := func(f *forger, id gov.EntryID, person, actor string, to gov.Step) {
		f.append(canon.KindSwitchProposed, aPerson(actor), canon.SwitchProposed{Switch: id, Step: to, Person: person, Commitments: map[canon.Group]canon.Commitment{}})
	}
	release := func(f *forger, id gov.EntryID, person string, by ...string) {
		f.append(canon.KindSwitchReleased, aPerson(person), canon.SwitchReleased{Switch: id, State: gov.SwitchIsReleased, Person: person, By: by})
	}
	for name, c := range map[string]struct {
		build func(f *forger)
		want  []string
	}{
		"released by one": {func(f *forger) { release(f, engaged(f, 1, 0), "p_omar", "p_omar") }, nil},
		"released by two": {func(f *forger) {
			id := engaged(f, 2, 0)
			propose(f, id, "p_omar", "p_omar", released)
			release(f, id, "p_lena", "p_lena", "p_omar")
		}, nil},
		"released by one of two":        {func(f *forger) { release(f, engaged(f, 2, 0), "p_omar", "p_omar") }, []string{"takes 2 people"}},
		"released by one under 2 names": {func(f *forger) { release(f, engaged(f, 2, 0), "p_omar", "p_lena", "p_omar") }, []string{"who had not said so"}},
		"in the name of another":        {func(f *forger) { propose(f, engaged(f, 2, 0), "p_lena", "p_omar", released) }, []string{"recorded by person p_omar"}},
		"who had said something else": {func(f *forger) {
			id := engaged(f, 2, 0)
			propose(f, id, "p_lena", "p_lena", gov.Step{Stage: gov.SwitchShare, Share: 5})
			release(f, id, "p_omar", "p_lena", "p_omar")
		}, []string{"who had not said so"}},
		"twice": {func(f *forger) {
			id := engaged(f, 1, 0)
			release(f, id, "p_omar", "p_omar")
			release(f, id, "p_omar", "p_omar")
		}, []string{"no such switch was engaged"}},
		"eased to nowhere": {func(f *forger) {
			f.append(canon.KindSwitchEased, aPerson("p_omar"), canon.SwitchEased{Switch: engaged(f, 1, 0), Step: gov.Step{Stage: "half"}, Person: "p_omar", By: []string{"p_omar"}})
		}, []string{"a stage that there is not"}},
		"over before its time": {func(f *forger) {
			f.append(canon.KindSwitchReleased, aSystem(), canon.SwitchReleased{Switch: engaged(f, 1, time.Hour), State: gov.SwitchIsExpired})
		}, []string{"recorded as over"}},
		"over in its time": {func(f *forger) {
			f.append(canon.KindSwitchReleased, aSystem(), canon.SwitchReleased{Switch: engaged(f, 1, -time.Second), State: gov.SwitchIsExpired})
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, _, _ := base.forged(t)
			c.build(f)
			f.wants(c.want...)
		})
	}
}

func aSystem() canon.Actor { return canon.Writ() }
