package outbox

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
)

func TestAnAttemptWaitsTwiceAsLongEachTime(t *testing.T) {
	t.Parallel()
	var got []string
	for attempts := 1; attempts <= 10; attempts++ {
		got = append(got, backOff(attempts).String())
	}
	want := []string{"5s", "10s", "20s", "40s", "1m20s", "2m40s", "5m20s", "10m40s", "15m0s", "15m0s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	if backOff(1<<40) != backOffMax {
		t.Error("a wait overflows")
	}
}

func TestEachChannelIsOwedOneNoticeOfAnEntry(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 14, 3, 0, 5000, time.UTC)
	b := &bundle.Bundle{Digest: "sha256:aa", Channels: []bundle.Channel{
		{ID: "both", Events: []gov.Event{gov.EventChangeActivated, gov.EventReviewOwed}},
		{ID: "one", Events: []gov.Event{gov.EventChangeActivated}},
		{ID: "others", Events: []gov.Event{gov.EventApprovalRequested}},
		{ID: "elsewhere", Events: []gov.Event{gov.EventChangeActivated}, Environments: []gov.Environment{"staging"}},
		{ID: "desk", Events: []gov.Event{gov.EventChangeActivated}, Groups: []gov.GroupID{"desk"}},
	}}
	docs := Owe(b, "prod", []gov.GroupID{"leads"}, at, gov.EventReviewOwed, gov.EventChangeActivated)
	if len(docs) != 1 || docs[0].ID != "" || docs[0].State != stateOwed || !docs[0].Due.Equal(at) {
		t.Fatalf("owed: %+v", docs)
	}
	var o box
	if err := json.Unmarshal(docs[0].Data, &o); err != nil {
		t.Fatal(err)
	}
	next := "2026-11-23T14:03:00.000005Z"
	want := box{Bundle: "sha256:aa", Owed: []owed{{Channel: "both", Event: gov.EventReviewOwed, Next: next}, {Channel: "one", Event: gov.EventChangeActivated, Next: next}}}
	if diff := cmp.Diff(want, o); diff != "" {
		t.Errorf("owed (-want +got):\n%s", diff)
	}
	if docs := Owe(b, "prod", nil, at, gov.EventApprovalDecided); docs != nil {
		t.Errorf("nobody wants it, and owed is %+v", docs)
	}
	o.Owed[0].Next = "2026-11-23T14:08:00.000000Z"
	if d := o.document(docs[0]); !d.Due.Equal(at) {
		t.Errorf("due is %s, want what comes first", d.Due)
	}
	if d := (box{Owed: []owed{}}).document(docs[0]); d.State != stateDone || !d.Due.IsZero() {
		t.Errorf("nothing is owed: %+v", d)
	}
}
