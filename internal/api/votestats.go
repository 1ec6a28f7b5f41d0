package api

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/approval"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
)

// voteStatsWire is what people were asked in a time, and how they answered.
type voteStatsWire struct {
	Environment     gov.Environment  `json:"environment"`
	From            string           `json:"from"`
	To              string           `json:"to"`
	Requests        map[string]int64 `json:"requests"` // opened in it, by what has become of them
	Total           int64            `json:"total"`    // of these
	Approvers       []tallyWire      `json:"approvers"`
	Groups          []tallyWire      `json:"groups"`
	Policies        []tallyWire      `json:"policies"`
	VotesRead       int64            `json:"votes_read"`
	Complete        bool             `json:"complete"` // no vote of the time was left out
	CompleteThrough int64            `json:"complete_through"`
	Size            int64            `json:"size"`
}

// tallyWire is one approver's votes, a group's, or those on what a policy asked for. One of Person, Group and Policy is set.
type tallyWire struct {
	Person        string       `json:"person,omitempty"` // opaque reference
	Group         gov.GroupID  `json:"group,omitempty"`
	Policy        gov.PolicyID `json:"policy,omitempty"`
	Votes         int64        `json:"votes"`
	Approvals     int64        `json:"approvals"`
	ApprovalRate  float64      `json:"approval_rate"`
	MedianSeconds float64      `json:"median_seconds"` // from the request to the vote
	P90Seconds    float64      `json:"p90_seconds"`
	RubberStamp   bool         `json:"rubber_stamp,omitzero"` // of a person: too many, too fast or too agreeable to have been read
}

const (
	voteStatsFor = 30 * 24 * time.Hour
	voteStatsMax = 366 * 24 * time.Hour
)

func (s *Server) voteStats(ctx context.Context, r *request) (any, error) {
	params := r.URL.Query()
	from, to, err := s.window(params)
	if err != nil {
		return nil, err
	}
	env, err := s.environment(r, params.Get("environment"))
	if err != nil {
		return nil, err
	}
	found, err := s.Approval.Stats(ctx, env, from, to)
	if err != nil {
		return nil, err
	}
	head, err := env.Ledger.Head(ctx)
	if err != nil {
		return nil, err
	}
	out := voteStatsWire{
		Environment: env.Ledger.Name(), From: from.Format(canon.TimeLayout), To: to.Format(canon.TimeLayout), Requests: found.Requests,
		VotesRead: found.Votes, Complete: found.Complete, CompleteThrough: found.Through, Size: head.Size,
		Approvers: tallies(found.People, func(w *tallyWire, ref string) { w.Person = ref }),
		Groups:    tallies(found.Groups, func(w *tallyWire, g gov.GroupID) { w.Group = g }),
		Policies:  tallies(found.Policies, func(w *tallyWire, p gov.PolicyID) { w.Policy = p }),
	}
	for i, p := range out.Approvers {
		out.Approvers[i].RubberStamp = found.People[p.Person].RubberStamp
	}
	for _, n := range found.Requests {
		out.Total += n
	}
	return out, nil
}

// window is the time that is asked about: the last 30 days when nothing is said.
func (s *Server) window(params url.Values) (from, to time.Time, err error) {
	to = s.Now().UTC()
	from = to.Add(-voteStatsFor)
	for name := range params {
		switch value := params.Get(name); name {
		case "environment":
		case "from":
			from, err = readTime(name, value)
		case "to":
			to, err = readTime(name, value)
		default:
			err = &gov.Error{Code: gov.CodeUnknownField, Path: "/" + name, Detail: "is not a parameter; known are environment, from, to"}
		}
		if err != nil {
			return from, to, err
		}
	}
	if !from.Before(to) || to.Sub(from) > voteStatsMax {
		return from, to, &gov.Error{Code: gov.CodeInvalidField, Path: "/from", Detail: "must be before to, by 366 days at most"}
	}
	return from, to, nil
}

// tallies lists them, those with the most votes first.
func tallies[K cmp.Ordered](all map[K]*approval.Tally, name func(*tallyWire, K)) []tallyWire {
	out := []tallyWire{}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		t := all[key]
		w := tallyWire{Votes: t.Votes, Approvals: t.Approvals, ApprovalRate: t.Rate, MedianSeconds: t.Median.Seconds(), P90Seconds: t.P90.Seconds()}
		name(&w, key)
		out = append(out, w)
	}
	slices.SortStableFunc(out, func(a, b tallyWire) int { return cmp.Compare(b.Votes, a.Votes) })
	return out
}
