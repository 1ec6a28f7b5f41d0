package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/replay"
)

// stream answers with lines as they come. An error before it began becomes a problem document; after that it is for the log.
type stream func(w http.ResponseWriter) (began bool, err error)

// Stream writes the answer.
func (s stream) Stream(w http.ResponseWriter) (began bool, err error) { return s(w) }

// backtestLine is one line of a backtest: how far it is, or at the end its report or what went wrong.
type backtestLine struct {
	Done    *int64             `json:"done,omitempty"` // entries
	Of      *int64             `json:"of,omitempty"`
	Report  *replay.Backtested `json:"report,omitempty"`
	Problem *problem           `json:"problem,omitempty"`
}

const (
	backtestDays    = 30
	backtestDaysMax = 400
	backtestLines   = 100 // of progress, at most
	lineTimeMax     = time.Minute
)

// backtest says what the decisions of the last days would have been under the bundle of a change. One runs at a time.
func (s *Server) backtest(ctx context.Context, r *request) (any, error) {
	days, err := readDays(r.URL.Query())
	if err != nil {
		return nil, err
	}
	env, p, err := s.changeByID(ctx, r)
	if err != nil {
		return nil, err
	}
	engine, err := env.Engine(ctx, p.Bundle)
	if err != nil {
		return nil, err
	}
	head, err := env.Ledger.Head(ctx)
	if err != nil {
		return nil, err
	}
	from, err := env.Ledger.Store().IndexAt(ctx, env.Ledger.Name(), s.Now().AddDate(0, 0, -days))
	if err != nil {
		return nil, err
	}
	within := replay.Range{From: min(from, head.Size), To: head.Size}
	return stream(func(w http.ResponseWriter) (bool, error) { return s.streamBacktest(ctx, w, env, engine, within) }), nil
}

func readDays(params url.Values) (int, error) {
	days := backtestDays
	for name, values := range params {
		if name != "days" {
			return 0, &gov.Error{Code: gov.CodeUnknownField, Path: "/" + name, Detail: "is not a parameter; known is days"}
		}
		n, err := strconv.Atoi(values[0])
		if err != nil || len(values) > 1 || n < 1 || n > backtestDaysMax {
			return 0, &gov.Error{Code: gov.CodeInvalidField, Path: "/days", Detail: "must be a whole number from 1 to " + strconv.Itoa(backtestDaysMax)}
		}
		days = n
	}
	return days, nil
}

func (s *Server) streamBacktest(ctx context.Context, w http.ResponseWriter, env *live.Environment, engine *policy.Engine, within replay.Range) (began bool, err error) {
	if !s.backtesting.CompareAndSwap(false, true) {
		return false, &gov.Error{Code: gov.CodeOverloaded, Detail: "another backtest runs here; try again when it is done"}
	}
	defer s.backtesting.Store(false)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := &lineWriter{w: w, now: s.Now}
	said := int64(-1)
	progress := func(done int64) {
		select {
		case <-s.Closing:
			cancel()
		default:
		}
		if part := done * backtestLines / max(within.To, 1); part > said {
			said = part
			lines.write(backtestLine{Done: &done, Of: &within.To})
		}
		if lines.err != nil {
			cancel() // nobody listens any more
		}
	}
	compile := func(digest gov.BundleDigest) (*policy.Engine, error) { return env.Engine(ctx, digest) }
	report, err := replay.Backtest(ctx, env.Ledger, compile, within, engine, s.Each, progress)
	if err == nil {
		lines.write(backtestLine{Report: &report})
		return true, lines.err
	}
	p := problemOf(err)
	lines.write(backtestLine{Problem: &p})
	return true, err
}

// lineWriter writes JSON values, one a line, each at once. After an error it writes no more.
type lineWriter struct {
	w   http.ResponseWriter
	now func() time.Time
	err error
}

func (l *lineWriter) write(value any) {
	if l.err != nil {
		return
	}
	data, err := jsonv2.Marshal(value, jsonv2.Deterministic(true))
	if err != nil {
		l.err = err
		return
	}
	control := http.NewResponseController(l.w)
	if l.err = control.SetWriteDeadline(l.now().Add(lineTimeMax)); l.err != nil {
		return
	}
	if _, l.err = l.w.Write(append(data, '\n')); l.err == nil {
		l.err = control.Flush()
	}
}
