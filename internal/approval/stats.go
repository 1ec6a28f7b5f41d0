package approval

import (
	"cmp"
	"context"
	"maps"
	"math"
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
	votes, err := out.votes(ctx, env.Ledger, from, to)
	if err != nil {
		return out, err
	}
	for page := range slices.Chunk(votes, statsPage) {
		if err := out.take(ctx, env.Ledger, page); err != nil {
			return out, err
		}
	}
	for _, t := range slices.Concat(slices.Collect(maps.Values(out.People)), slices.Collect(maps.Values(out.Groups)), slices.Collect(maps.Values(out.Policies))) {
		t.sum()
	}
	return out, nil
}

// votes finds the newest votes of a time, on calls and on delegations, newest first.
func (s *Stats) votes(ctx context.Context, l *ledger.Ledger, from, to time.Time) ([]int64, error) {
	var all []int64
	s.Complete, s.Through = true, math.MaxInt64
	for _, kind := range []canon.Kind{canon.KindApprovalVote, canon.KindDelegationVote, canon.KindDelegationGranted} {
		found, through, complete, err := votesOf(ctx, l, kind, from, to)
		if err != nil {
			return nil, err
		}
		all, s.Through, s.Complete = append(all, found...), min(s.Through, through), s.Complete && complete
	}
	slices.SortFunc(all, func(a, b int64) int { return cmp.Compare(b, a) })
	if len(all) > statsVotesMax {
		all, s.Complete = all[:statsVotesMax], false
	}
	return all, nil
}

// votesOf finds the newest entries of a kind.
func votesOf(ctx context.Context, l *ledger.Ledger, kind canon.Kind, from, to time.Time) (found []int64, through int64, complete bool, err error) {
	q := ledger.Query{Filters: []ledger.Filter{{Dim: ledger.DimKind, Value: string(kind)}}, From: from, To: to, Limit: statsPage}
	for len(found) < statsVotesMax {
		page, err := l.Find(ctx, q)
		if err != nil {
			return nil, 0, false, err
		}
		if found = append(found, page.Indexes...); q.Before == 0 {
			through = page.Through
		}
		if !page.More {
			return found, through, true, nil
		}
		q.Before = page.Indexes[len(page.Indexes)-1]
	}
	return found, through, false, nil
}

// cast is a vote on a call or on a delegation.
type cast struct {
	on     int64 // index of the entry that asks
	person string
	groups []gov.GroupID
	vote   gov.Vote
}

func castOf(e canon.Entry) (cast, error) {
	on := func(id gov.EntryID, person string, groups []gov.GroupID, vote gov.Vote) cast {
		index, _, _ := canon.IndexOf(id)
		return cast{index, person, groups, vote}
	}
	switch e.Kind {
	case canon.KindDelegationVote:
		b, err := canon.Body[canon.DelegationVote](e)
		return on(b.Delegation, b.Person, b.Groups, b.Vote), err
	case canon.KindDelegationGranted:
		b, err := canon.Body[canon.DelegationGranted](e)
		return on(b.Delegation, b.Person, b.Groups, b.Vote), err
	default:
		b, err := canon.Body[canon.ApprovalVote](e)
		return on(b.Decision, b.Person, b.Groups, b.Vote), err
	}
}

// take counts votes.
func (s *Stats) take(ctx context.Context, l *ledger.Ledger, indexes []int64) error {
	votes, err := l.Several(ctx, indexes)
	if err != nil {
		return err
	}
	casts, wanted := make([]cast, len(votes)), make([]int64, len(votes))
	for i, v := range votes {
		if casts[i], err = castOf(v.Entry); err != nil {
			return err
		}
		wanted[i] = casts[i].on
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
		s.count(casts[i], asked[casts[i].on], at)
	}
	s.Votes += int64(len(votes))
	return nil
}

// asked is what people were asked for, and when.
type asked struct {
	at       time.Time
	policies []gov.PolicyID
}

// requests reads the decisions, and the requests for delegations, at indexes, by index.
func requests(ctx context.Context, l *ledger.Ledger, indexes []int64) (map[int64]asked, error) {
	wanted := slices.Clone(indexes)
	slices.SortFunc(wanted, func(a, b int64) int { return cmp.Compare(b, a) })
	items, err := l.Several(ctx, slices.Compact(wanted))
	if err != nil {
		return nil, err
	}
	out := make(map[int64]asked, len(items))
	for _, item := range items {
		if out[item.Index], err = askedOf(item); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func askedOf(item ledger.Item) (asked, error) {
	at, err := item.Time()
	if err != nil {
		return asked{}, err
	}
	if item.Kind == canon.KindDelegationRequested {
		b, err := canon.Body[canon.DelegationRequested](item.Entry)
		return asked{at, []gov.PolicyID{b.Scope.Policy}}, err
	}
	d, err := canon.Body[canon.Decision](item.Entry)
	if err != nil || d.Approval == nil {
		return asked{at: at}, err
	}
	return asked{at, d.Approval.Policies}, nil
}

func (s *Stats) count(v cast, a asked, at time.Time) {
	took := at.Sub(a.at)
	tallyOf(s.People, v.person).add(v.vote, took)
	for _, g := range v.groups {
		tallyOf(s.Groups, g).add(v.vote, took)
	}
	for _, p := range a.policies {
		tallyOf(s.Policies, p).add(v.vote, took)
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
