package approval

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
)

// When votes look like a rubber stamp: from so many on, when half of them come sooner than a person reads, or nearly all of them
// say yes.
const (
	stampVotesMin  = 50
	stampMedianMin = 5 * time.Second
	stampRateMax   = 0.98
)

const (
	statsVotesMax = 20_000 // votes that one answer rests on
	statsPage     = 1000
)

// Tally is how somebody, or something, was voted on.
type Tally struct {
	Votes       int64
	Approvals   int64
	Rate        float64       // of approvals, 0 to 1
	Median      time.Duration // from the request to the vote
	P90         time.Duration
	RubberStamp bool // so many of them so fast, or so agreeable, that they look unread

	took []time.Duration
}

func (t *Tally) add(vote gov.Vote, took time.Duration) {
	t.Votes++
	if vote == gov.VoteApprove {
		t.Approvals++
	}
	t.took = append(t.took, took)
}

// sum works out what the votes add up to.
func (t *Tally) sum() {
	if t.Votes == 0 {
		return
	}
	slices.Sort(t.took)
	t.Rate = float64(t.Approvals) / float64(t.Votes)
	t.Median, t.P90 = rank(t.took, 50), rank(t.took, 90)
	t.RubberStamp = t.Votes >= stampVotesMin && (t.Median < stampMedianMin || t.Rate > stampRateMax)
}

// rank is the least value that a share of all does not exceed (the nearest rank).
func rank(sorted []time.Duration, percent int) time.Duration {
	return sorted[(len(sorted)*percent+99)/100-1]
}

// Stats is what people were asked in a time, and how they answered.
type Stats struct {
	Requests map[string]int64 // that were opened in it, by what has become of them
	People   map[string]*Tally
	Groups   map[gov.GroupID]*Tally
	Policies map[gov.PolicyID]*Tally
	Votes    int64 // that were read: those cast in it, newest first
	Complete bool  // these are all, as far as the query index goes
	Through  int64 // entries below this index were searched
}

// Stats counts the requests that were opened, and the votes that were cast, from a time on and before another one.
func (s *Service) Stats(ctx context.Context, env *live.Environment, from, to time.Time) (Stats, error) {
	out := Stats{People: map[string]*Tally{}, Groups: map[gov.GroupID]*Tally{}, Policies: map[gov.PolicyID]*Tally{}}
	store, name := env.Ledger.Store(), env.Ledger.Name()
	first, err := store.IndexAt(ctx, name, from)
	if err != nil {
		return out, err
	}
	end, err := store.IndexAt(ctx, name, to)
	if err != nil {
		return out, err
	}
	if out.Requests, err = store.CountDocsOpened(ctx, name, DocKind, first, end); err != nil {
		return out, err
	}
	q := ledger.Query{Filters: []ledger.Filter{{Dim: ledger.DimKind, Value: string(canon.KindApprovalVote)}}, From: from, To: to, Limit: statsPage}
	for out.Votes < statsVotesMax {
		page, err := env.Ledger.Find(ctx, q)
		if err != nil {
			return out, err
		}
		if err := out.take(ctx, env.Ledger, page.Indexes); err != nil {
			return out, err
		}
		if q.Before == 0 {
			out.Through = page.Through
		}
		if out.Complete = !page.More; out.Complete {
			break
		}
		q.Before = page.Indexes[len(page.Indexes)-1]
	}
	for _, t := range slices.Concat(slices.Collect(maps.Values(out.People)), slices.Collect(maps.Values(out.Groups)), slices.Collect(maps.Values(out.Policies))) {
		t.sum()
	}
	return out, nil
}

// take counts a page of votes.
func (s *Stats) take(ctx context.Context, l *ledger.Ledger, indexes []int64) error {
	votes, err := l.Several(ctx, indexes)
	if err != nil {
		return err
	}
	bodies, wanted := make([]canon.ApprovalVote, len(votes)), make([]int64, len(votes))
	for i, v := range votes {
		if bodies[i], err = canon.Body[canon.ApprovalVote](v.Entry); err != nil {
			return err
		}
		wanted[i], _, _ = canon.IndexOf(bodies[i].Decision)
	}
	asked, err := requests(ctx, l, wanted)
	if err != nil {
		return err
	}
	for i, v := range votes {
		at, err := v.Time()
		if err != nil {
			return err
		}
		s.count(bodies[i], asked[wanted[i]], at)
	}
	s.Votes += int64(len(votes))
	return nil
}

// asked is what a decision asked people for, and when.
type asked struct {
	at       time.Time
	policies []gov.PolicyID
}

// requests reads the decisions at indexes, by index.
func requests(ctx context.Context, l *ledger.Ledger, indexes []int64) (map[int64]asked, error) {
	wanted := slices.Clone(indexes)
	slices.SortFunc(wanted, func(a, b int64) int { return cmp.Compare(b, a) })
	items, err := l.Several(ctx, slices.Compact(wanted))
	if err != nil {
		return nil, err
	}
	out := make(map[int64]asked, len(items))
	for _, item := range items {
		d, err := canon.Body[canon.Decision](item.Entry)
		if err != nil {
			return nil, err
		}
		at, err := item.Time()
		if err != nil {
			return nil, err
		}
		a := asked{at: at}
		if d.Approval != nil {
			a.policies = d.Approval.Policies
		}
		out[item.Index] = a
	}
	return out, nil
}

func (s *Stats) count(v canon.ApprovalVote, a asked, at time.Time) {
	took := at.Sub(a.at)
	tallyOf(s.People, v.Person).add(v.Vote, took)
	for _, g := range v.Groups {
		tallyOf(s.Groups, g).add(v.Vote, took)
	}
	for _, p := range a.policies {
		tallyOf(s.Policies, p).add(v.Vote, took)
	}
}

func tallyOf[K comparable](m map[K]*Tally, key K) *Tally {
	t := m[key]
	if t == nil {
		t = &Tally{}
		m[key] = t
	}
	return t
}
