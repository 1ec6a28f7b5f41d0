package approval

import (
	"time"

	"github.com/writ-dev/writ/internal/gov"
)

// Sum is the tally of votes that took so long each, of which the last ones are denials.
func Sum(took []time.Duration, denials int) Tally {
	var t Tally
	for i, d := range took {
		vote := gov.VoteApprove
		if i >= len(took)-denials {
			vote = gov.VoteDeny
		}
		t.add(vote, d)
	}
	t.sum()
	return t
}
