package gov_test

import (
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/gov"
)

func TestAReviewIsDueInTwoWorkingDays(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]string{
		"2026-11-16T09:30:00Z":      "2026-11-18T09:30:00Z", // Monday: Wednesday
		"2026-11-18T23:59:59Z":      "2026-11-20T23:59:59Z", // Wednesday: Friday
		"2026-11-19T09:30:00Z":      "2026-11-23T09:30:00Z", // Thursday: Monday
		"2026-11-20T17:00:00Z":      "2026-11-24T17:00:00Z", // Friday: Tuesday
		"2026-11-21T00:00:00Z":      "2026-11-25T00:00:00Z", // Saturday counts from Monday 0:00
		"2026-11-22T23:59:59Z":      "2026-11-25T00:00:00Z", // and so does Sunday
		"2026-11-23T00:00:00Z":      "2026-11-25T00:00:00Z",
		"2026-11-20T23:30:00-02:00": "2026-11-25T00:00:00Z", // Friday there, Saturday in UTC
		"2026-12-31T12:00:00Z":      "2027-01-04T12:00:00Z",
	} {
		from, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := gov.ReviewDue(from).Format(time.RFC3339); got != want {
			t.Errorf("done on %s, %s: due %s, want %s", from.UTC().Weekday(), at, got, want)
		}
	}
}
