package api

import (
	"context"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/approval"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/change"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/merkle"
)

// statsWire counts the decisions of an environment over time, and what waits for people.
type statsWire struct {
	Environment     gov.Environment  `json:"environment"`
	From            string           `json:"from"`
	To              string           `json:"to"`
	Buckets         []bucketWire     `json:"buckets"`
	Total           bucketWire       `json:"total"`
	Approvals       map[string]int64 `json:"approvals"` // by state
	Changes         map[string]int64 `json:"changes"`   // by state
	CompleteThrough int64            `json:"complete_through"`
	Size            int64            `json:"size"`
}

// bucketWire counts the decisions from a time on, until the next one's.
type bucketWire struct {
	From            string `json:"from"`
	Allow           int64  `json:"allow"`
	Deny            int64  `json:"deny"`
	RequireApproval int64  `json:"require_approval"`
}

const (
	bucketsDefault = 48
	bucketsMax     = 400
	statsFor       = 24 * time.Hour
)

func (s *Server) stats(ctx context.Context, r *request) (any, error) {
	params := r.URL.Query()
	env, err := s.environment(r, params.Get("environment"))
	if err != nil {
		return nil, err
	}
	bounds, err := s.bounds(params)
	if err != nil {
		return nil, err
	}
	outcomes := []string{string(gov.OutcomeAllow), string(gov.OutcomeDeny), string(gov.OutcomeRequireApproval)}
	counts, err := env.Ledger.Count(ctx, ledger.DimOutcome, outcomes, bounds)
	if err != nil {
		return nil, err
	}
	head, err := env.Ledger.Head(ctx)
	if err != nil {
		return nil, err
	}
	out := statsWire{
		Environment: env.Ledger.Name(), From: bounds[0].Format(canon.TimeLayout), To: bounds[len(bounds)-1].Format(canon.TimeLayout),
		CompleteThrough: counts.Through, Size: head.Size, Buckets: make([]bucketWire, len(bounds)-1),
	}
	out.Total.From = out.From
	for i := range out.Buckets {
		b := bucketWire{bounds[i].Format(canon.TimeLayout), counts.Values[outcomes[0]][i], counts.Values[outcomes[1]][i], counts.Values[outcomes[2]][i]}
		out.Buckets[i] = b
		out.Total.Allow, out.Total.Deny, out.Total.RequireApproval = out.Total.Allow+b.Allow, out.Total.Deny+b.Deny, out.Total.RequireApproval+b.RequireApproval
	}
	if out.Approvals, err = env.Ledger.Store().CountDocs(ctx, env.Ledger.Name(), approval.DocKind); err != nil {
		return nil, err
	}
	out.Changes, err = env.Ledger.Store().CountDocs(ctx, env.Ledger.Name(), change.DocKind)
	return out, err
}

// bounds are the edges of the buckets that are asked for: the last day in half hours when nothing else is said.
func (s *Server) bounds(params url.Values) ([]time.Time, error) {
	to, n := s.Now().UTC(), bucketsDefault
	from := to.Add(-statsFor)
	for name := range params {
		var err error
		switch value := params.Get(name); name {
		case "environment":
		case "from":
			from, err = readTime(name, value)
		case "to":
			to, err = readTime(name, value)
		case "buckets":
			n, err = strconv.Atoi(value)
			if err != nil || n < 1 || n > bucketsMax {
				err = &gov.Error{Code: gov.CodeInvalidField, Path: "/buckets", Detail: "must be a number from 1 to " + strconv.Itoa(bucketsMax)}
			}
		default:
			err = &gov.Error{Code: gov.CodeUnknownField, Path: "/" + name, Detail: "is not a parameter; known are environment, from, to, buckets"}
		}
		if err != nil {
			return nil, err
		}
	}
	if !from.Before(to) {
		return nil, &gov.Error{Code: gov.CodeInvalidField, Path: "/from", Detail: "must be before to"}
	}
	bounds := make([]time.Time, n+1)
	for i := range bounds {
		bounds[i] = from.Add(to.Sub(from) / time.Duration(n) * time.Duration(i))
	}
	bounds[n] = to
	return bounds, nil
}

// ledgerWire is how a ledger stands.
type ledgerWire struct {
	Ledger      gov.Environment     `json:"ledger"`
	Key         string              `json:"key"` // C2SP verifier key
	Size        int64               `json:"size"`
	Root        string              `json:"root"`
	Epoch       int64               `json:"epoch"`
	At          string              `json:"at,omitempty"` // of the newest entry
	Checkpoints []checkpointWire    `json:"checkpoints"`  // newest first; one is kept for each hour
	Scrub       *scrubWire          `json:"scrub,omitempty"`
	Gaps        []canon.RecorderGap `json:"gaps"` // the newest times when nothing was recorded because no recorder was alive
}

// checkpointWire is a signed head.
type checkpointWire struct {
	Size   int64    `json:"size"`
	Root   string   `json:"root"`
	At     string   `json:"at"`
	Signed []string `json:"signed"` // names of the keys: the log's own, then those of witnesses
}

// scrubWire is the newest time that the whole log was derived again and agreed.
type scrubWire struct {
	canon.Scrub
	At string `json:"at"`
}

const checkpointsShown = 24

func (s *Server) showLedger(ctx context.Context, r *request) (any, error) {
	env, err := s.environment(r, r.PathValue("env"))
	if err != nil {
		return nil, err
	}
	l := env.Ledger
	head, err := l.Head(ctx)
	if err != nil {
		return nil, err
	}
	out := ledgerWire{
		Ledger: l.Name(), Key: s.LogKey(l.Name()), Size: head.Size, Root: hex.EncodeToString(head.Root[:]), Epoch: head.Epoch,
		At: head.At.Format(canon.TimeLayout), Checkpoints: []checkpointWire{}, Gaps: []canon.RecorderGap{},
	}
	kept, err := l.Store().Checkpoints(ctx, l.Name(), checkpointsShown)
	if err != nil {
		return nil, err
	}
	for _, c := range kept {
		w := checkpointWire{Size: c.Size, At: c.At.Format(canon.TimeLayout), Signed: signers(c.Note)}
		if tree, err := merkle.OpenCheckpoint(c.Note, s.Verifier(l.Name())); err == nil {
			w.Root = hex.EncodeToString(tree.Root[:])
		}
		out.Checkpoints = append(out.Checkpoints, w)
	}
	return out, s.health(ctx, env, &out)
}

// signers names the keys that signed a note.
func signers(note []byte) []string {
	var out []string
	for line := range strings.SplitSeq(string(note), "\n") {
		if rest, ok := strings.CutPrefix(line, "— "); ok {
			name, _, _ := strings.Cut(rest, " ")
			out = append(out, name)
		}
	}
	return out
}

const gapsShown = 20

// health reads the newest scrub and the newest gaps.
func (s *Server) health(ctx context.Context, env *live.Environment, out *ledgerWire) error {
	scrubs, err := newest(ctx, env.Ledger, canon.KindScrub, 1)
	if err != nil {
		return err
	}
	for _, item := range scrubs {
		body, err := canon.Body[canon.Scrub](item.Entry)
		if err != nil {
			return err
		}
		out.Scrub = &scrubWire{body, item.At}
	}
	gaps, err := newest(ctx, env.Ledger, canon.KindRecorderGap, gapsShown)
	if err != nil {
		return err
	}
	for _, item := range gaps {
		body, err := canon.Body[canon.RecorderGap](item.Entry)
		if err != nil {
			return err
		}
		out.Gaps = append(out.Gaps, body)
	}
	return nil
}

// newest reads the newest entries of a kind.
func newest(ctx context.Context, l *ledger.Ledger, kind canon.Kind, limit int) ([]ledger.Item, error) {
	page, err := l.Find(ctx, ledger.Query{Filters: []ledger.Filter{{Dim: ledger.DimKind, Value: string(kind)}}, Limit: limit})
	if err != nil {
		return nil, err
	}
	return l.Several(ctx, page.Indexes)
}
