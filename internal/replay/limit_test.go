package replay

import (
	"testing"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/limit"
	"github.com/writ-dev/writ/internal/policy"
)

func TestADenialNamesTheLimitsThatWereUsedUp(t *testing.T) {
	t.Parallel()
	charge := func(id string) limit.Charge {
		return limit.NewRule(&bundle.Limit{ID: id, Calls: 1, WindowSeconds: 60}).Charge(gov.Call{}, "")
	}
	full := asRecorded(canon.Decision{Reasons: []gov.Reason{policy.UsedUp(charge("one")), {Code: gov.ReasonPolicyPermit}}})
	if !full(charge("one")) || full(charge("other")) {
		t.Error("what is taken as recorded is not what is recorded")
	}
}
