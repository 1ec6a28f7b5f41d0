package bundle

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-dev/writ/internal/gov"
)

const onCallSettings = `notify:
  pager: {type: pagerduty, secret: PAGER, url: "https://events.eu.pagerduty.com/v2/enqueue", events: [incident_opened, incident_changed], environments: [prod]}
  chat: {type: slack, secret: CHAT, events: [incident_changed]}
on_call:
  1: [{after: 0s, channels: [pager]}, {after: 15m, channels: [chat, pager]}]
`

// onCallOf is a good bundle that tells people, with other channels than its own.
func onCallOf(t *testing.T, settings string) *Bundle {
	t.Helper()
	files := base(t)
	head, _, ok := strings.Cut(string(files["writ.yaml"]), "notify:")
	if !ok {
		t.Fatal("the bundle has no channels to replace")
	}
	files["writ.yaml"] = []byte(head + settings)
	return read(t, files)
}

func TestWhoIsOnCallIsRead(t *testing.T) {
	t.Parallel()
	b := onCallOf(t, onCallSettings)
	if c, ok := b.Channel("pager"); !ok || c.URL != "https://events.eu.pagerduty.com/v2/enqueue" || c.Secret != "PAGER" {
		t.Errorf("the pager is %+v", c)
	}
	want := []OnCallStep{{0, []gov.ChannelID{"pager"}}, {900, []gov.ChannelID{"chat", "pager"}}}
	if diff := cmp.Diff(want, b.Pages("prod", 1)); diff != "" {
		t.Errorf("in prod (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]OnCallStep{{900, []gov.ChannelID{"chat"}}}, b.Pages("staging", 1)); diff != "" {
		t.Errorf("in staging, which the pager is not for (-want +got):\n%s", diff)
	}
	if got := b.Pages("prod", 2); got != nil {
		t.Errorf("nobody is on call for severity 2, and told are %v", got)
	}
}

func TestAChangeOfWhoIsOnCallIsSaid(t *testing.T) {
	t.Parallel()
	d := Compare(onCallOf(t, onCallSettings), onCallOf(t, strings.Replace(onCallSettings, "15m", "30m", 1)))
	want := []Change{{Name: "on_call.1", Kind: ChangeChanged, Fields: []string{"steps"}, Moves: []Move{{"steps", "0s: pager, 15m0s: chat and pager", "0s: pager, 30m0s: chat and pager"}}}}
	if diff := cmp.Diff(want, d.Settings); diff != "" {
		t.Errorf("the change (-want +got):\n%s", diff)
	}
}
