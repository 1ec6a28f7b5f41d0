package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/gov"
)

// streamer is an answer of the API that comes in lines. It does its work when it is asked for the lines.
type streamer interface {
	Stream(w http.ResponseWriter) (began bool, err error)
}

// backtestData is what the decisions of some days would have been.
type backtestData struct {
	ID     string
	Days   string
	Report *backtestReport // nil: it is still to be run
}

// backtestReport is what the API reports.
type backtestReport struct {
	Decisions int64            `json:"decisions"`
	Same      int64            `json:"same"`
	Erased    int64            `json:"erased"`
	Failed    int64            `json:"failed"`
	Limits    int              `json:"limits"`
	Flipped   map[string]int64 `json:"flipped"`
	Examples  []struct {
		ID      string `json:"id"`
		Tool    string `json:"tool"`
		Was     string `json:"was"`
		Now     string `json:"now"`
		Reasons []struct {
			Message string `json:"message"`
		} `json:"reasons"`
	} `json:"examples"`
}

// backtestLine is one line of the API's answer.
type backtestLine struct {
	Done   int64           `json:"done"`
	Of     int64           `json:"of"`
	Report *backtestReport `json:"report"`
}

// backtestOf asks for the backtest that an address names, which runs as soon as it is streamed.
func (s *Server) backtestOf(v *visit) (streamer, backtestData, error) {
	data := backtestData{ID: v.PathValue("id"), Days: v.URL.Query().Get("days")}
	answer, err := s.get(v, "/v1/changes/"+url.PathEscape(data.ID)+"/backtest?days="+escape(data.Days))
	if err != nil {
		return nil, data, err
	}
	stream, ok := answer.(streamer)
	if !ok {
		return nil, data, errors.New("the API gave no backtest")
	}
	return stream, data, nil
}

// backtest is the page of a change's backtest. With a script it runs it in backtestEvents and shows how far it is; with wait, which a
// page without a script asks for, it comes when the backtest is done.
func (s *Server) backtest(v *visit) error {
	stream, data, err := s.backtestOf(v)
	if err != nil {
		return err
	}
	if v.URL.Query().Get("wait") != "" {
		if err := data.run(v, stream, func(backtestLine) error { return nil }); err != nil {
			return err
		}
	}
	s.render(v, http.StatusOK, "backtest", page{Title: "Backtest", Nav: "changes", Data: data})
	return nil
}

// backtestEvents runs the backtest of a change and tells the page how far it is, then what came of it (server-sent events). It ends
// with the request: whoever leaves the page stops it.
func (s *Server) backtestEvents(v *visit) error {
	v.w.Header().Set("Content-Type", "text/event-stream")
	data, err := s.backtestTold(v)
	if err == nil {
		err = s.tell(v, "report", "backtest-report", data)
	} else {
		if s.API.Status(gov.CodeOf(err)) >= http.StatusInternalServerError {
			s.Log.Error("console", "path", v.URL.Path, "err", err)
		}
		err = s.tell(v, "report", "backtest-problem", detailOf(err))
	}
	for _, event := range []string{"progress", "over"} { // nothing is left of how far it was, and the browser lets go
		if err == nil {
			err = s.tell(v, event, "backtest-over", nil)
		}
	}
	if err != nil {
		s.Log.Debug("console", "err", err) // nobody is there any more
	}
	return nil
}

// backtestTold runs the backtest of a change and tells the page how far it is.
func (s *Server) backtestTold(v *visit) (backtestData, error) {
	stream, data, err := s.backtestOf(v)
	if err != nil {
		return data, err
	}
	err = data.run(v, stream, func(line backtestLine) error { return s.tell(v, "progress", "backtest-progress", line) })
	return data, err
}

// One backtest runs at a time. Whoever asks for another span of days leaves the one before, which ends a moment later.
const (
	backtestTries    = 20
	backtestTryEvery = 100 * time.Millisecond
)

// run runs a backtest to its report, and gives every line about how far it is.
func (d *backtestData) run(v *visit, stream streamer, far func(backtestLine) error) error {
	lines := &lineReader{header: http.Header{}, under: v.w}
	lines.each = func(line backtestLine) error {
		if line.Report != nil {
			d.Report = line.Report
		}
		if line.Of == 0 {
			return nil
		}
		return far(line)
	}
	for try := 1; ; try++ {
		began, err := stream.Stream(lines)
		switch {
		case err == nil && d.Report == nil:
			return errors.New("the backtest has no report")
		case began || gov.CodeOf(err) != gov.CodeOverloaded || try == backtestTries:
			return err
		}
		select {
		case <-v.Context().Done():
			return v.Context().Err()
		case <-time.After(backtestTryEvery):
		}
	}
}

// tell sends a part of the page as an event.
func (s *Server) tell(v *visit, event, part string, data any) error {
	var out bytes.Buffer
	if err := s.templates.get("backtest").ExecuteTemplate(&out, part, data); err != nil {
		return err
	}
	if err := http.NewResponseController(v.w).SetWriteDeadline(s.Now().Add(tellTimeMax)); err != nil {
		return err
	}
	if _, err := v.w.Write(eventOf(event, out.String())); err != nil {
		return err
	}
	return http.NewResponseController(v.w).Flush()
}

// tellTimeMax is how long a browser may take to take an event.
const tellTimeMax = time.Minute

// eventOf is a server-sent event. Whatever ends a line in the data begins another one of it, so that data cannot begin an event.
func eventOf(name, data string) []byte {
	data = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data)
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, strings.ReplaceAll(data, "\n", "\ndata: "))
}

// lineReader gives every line that is written to it to each, and lets the connection below wait for it.
type lineReader struct {
	header http.Header
	under  http.ResponseWriter
	each   func(backtestLine) error
}

// Header is nobody's.
func (l *lineReader) Header() http.Header { return l.header }

// WriteHeader is for nobody.
func (l *lineReader) WriteHeader(int) {}

// Write reads a line: the API writes each at once.
func (l *lineReader) Write(p []byte) (int, error) {
	var line backtestLine
	if err := json.Unmarshal(p, &line); err != nil {
		return 0, fmt.Errorf("a line of a backtest: %w", err)
	}
	return len(p), l.each(line)
}

// SetWriteDeadline gives the page more time.
func (l *lineReader) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(l.under).SetWriteDeadline(t)
}

// Flush does nothing: what is told is flushed where it is told.
func (l *lineReader) Flush() {}
