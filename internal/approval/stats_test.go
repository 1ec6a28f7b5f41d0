package approval_test

import (
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/approval"
)

// each is n votes that took so long each.
func each(n int, took time.Duration) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = took
	}
	return out
}

func TestWhatLooksLikeARubberStamp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		took    []time.Duration
		denials int
		want    bool
	}{
		"too few to say":         {each(49, time.Second), 0, false},
		"fast":                   {each(50, 4999*time.Millisecond), 10, true},
		"no longer fast":         {each(50, 5*time.Second), 10, false},
		"half of them fast":      {append(each(25, time.Second), each(25, time.Hour)...), 10, true},
		"less than half":         {append(each(24, time.Second), each(26, time.Hour)...), 10, false},
		"agreeable":              {each(51, time.Hour), 1, true},  // 98.04 %
		"just not too agreeable": {each(50, time.Hour), 1, false}, // 98 %
		"always agreeable":       {each(50, time.Hour), 0, true},
		"never agreeable":        {each(50, time.Hour), 50, false},
		"nothing":                {nil, 0, false},
	} {
		if got := approval.Sum(c.took, c.denials); got.RubberStamp != c.want {
			t.Errorf("%s: %t (%+v)", name, got.RubberStamp, got)
		}
	}
	ten := []time.Duration{9, 1, 8, 2, 7, 3, 6, 4, 5, 100}
	if got := approval.Sum(ten, 2); got.Median != 5 || got.P90 != 9 || got.Votes != 10 || got.Approvals != 8 || got.Rate != 0.8 {
		t.Errorf("ten votes: %+v", got)
	}
	if got := approval.Sum([]time.Duration{3}, 0); got.Median != 3 || got.P90 != 3 {
		t.Errorf("one vote: %+v", got)
	}
}
