package console

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/writ-dev/writ/internal/gov"
)

const (
	liveEvery = time.Second
	liveFor   = 10 * time.Minute // then the browser connects again, and is let in again
	liveMax   = 256              // connections
)

// live tells a page that the ledger of its environment grew (server-sent events), so that it asks for what changed.
func (s *Server) live(v *visit) error {
	if s.watching.Add(1) > liveMax {
		s.watching.Add(-1)
		return &gov.Error{Code: gov.CodeOverloaded, Detail: "Too many pages are open to keep them all fresh."}
	}
	defer s.watching.Add(-1)
	if _, err := s.get(v, "/v1/ledgers/"+url.PathEscape(s.environment(v))); err != nil {
		return err
	}
	env, ok := s.Environments.Environment(gov.Environment(s.environment(v)))
	if !ok {
		return s.noPage(v)
	}
	v.w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(v.w)
	ticker := time.NewTicker(liveEvery)
	defer ticker.Stop()
	last := int64(-1)
	for began := s.Now(); s.Now().Sub(began) < liveFor; {
		head, err := env.Ledger.Head(v.Context())
		if err != nil {
			return nil // the browser connects again
		}
		if last >= 0 && head.Size != last {
			_, err = fmt.Fprintf(v.w, "event: grown\ndata: %d\n\n", head.Size)
		} else if last < 0 {
			_, err = io.WriteString(v.w, ": open\n\n")
		}
		last = head.Size
		if err != nil || control.SetWriteDeadline(s.Now().Add(liveFor)) != nil || control.Flush() != nil {
			return nil
		}
		select {
		case <-v.Context().Done():
			return nil
		case <-s.Closing:
			return nil
		case <-ticker.C:
		}
	}
	return nil
}

const exportMax = 100_000 // rows of one export

// exported is a decision as an export has it.
type exported struct {
	At        string `json:"at"`
	ID        string `json:"id"`
	Outcome   string `json:"outcome"`
	Would     string `json:"would"`
	Mode      string `json:"mode"`
	Agent     string `json:"agent"`
	Tool      string `json:"tool"`
	Session   string `json:"session"`
	Bundle    string `json:"bundle"`
	Principal struct {
		Type      string `json:"type"`
		Ref       string `json:"ref"`
		Assurance string `json:"assurance"`
	} `json:"principal"`
	Policies []string `json:"policies"`
	Reasons  []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"reasons"`
	Receipt struct {
		Index    int64  `json:"index"`
		LeafHash string `json:"leaf_hash"`
	} `json:"receipt"`
}

type exportPage struct {
	Decisions       []json.RawMessage `json:"decisions"`
	NextCursor      string            `json:"next_cursor"`
	CompleteThrough int64             `json:"complete_through"`
	Size            int64             `json:"size"`
}

// export writes what a search finds, newest first, with the query that found it.
func (s *Server) export(v *visit) error {
	file := v.PathValue("file")
	if file != "decisions.csv" && file != "decisions.json" {
		return s.noPage(v)
	}
	q := s.searchOf(v)
	q.Set("limit", "1000")
	first, err := as[exportPage](s.get(v, "/v1/decisions?"+q.Encode()))
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Disposition", `attachment; filename="`+file+`"`)
	v.w.Header().Set("X-Writ-Query", q.Encode())
	if strings.HasSuffix(file, ".csv") {
		v.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		return s.exportCSV(v, q, first)
	}
	v.w.Header().Set("Content-Type", "application/json")
	return s.exportJSON(v, q, first)
}

// pages calls fn for every decision of a search.
func (s *Server) pages(v *visit, q url.Values, at exportPage, fn func(json.RawMessage) error) (rows int, err error) {
	for {
		for _, d := range at.Decisions {
			if err := fn(d); err != nil {
				return rows, err
			}
			if rows++; rows == exportMax {
				return rows, nil
			}
		}
		if at.NextCursor == "" {
			return rows, nil
		}
		q.Set("cursor", at.NextCursor)
		if at, err = as[exportPage](s.get(v, "/v1/decisions?"+q.Encode())); err != nil {
			return rows, err
		}
	}
}

func (s *Server) exportCSV(v *visit, q url.Values, first exportPage) error {
	w := csv.NewWriter(v.w)
	head := []string{"at", "id", "outcome", "would", "mode", "agent", "principal_type", "principal_ref", "assurance", "tool", "session", "policies", "reasons", "bundle", "index", "leaf_hash"}
	note := []string{"# query: " + q.Encode() + fmt.Sprintf(" ; complete through index %d of %d ; at most %d rows", first.CompleteThrough, first.Size, exportMax)}
	if err := w.WriteAll([][]string{note, head}); err != nil {
		s.Log.Debug("export", "err", err)
		panic(http.ErrAbortHandler) // who asked is gone
	}
	_, err := s.pages(v, q, first, func(raw json.RawMessage) error {
		var d exported
		if err := json.Unmarshal(raw, &d); err != nil {
			return err
		}
		var reasons []string
		for _, r := range d.Reasons {
			reasons = append(reasons, r.Code)
		}
		return w.Write(cells(d.At, d.ID, d.Outcome, d.Would, d.Mode, d.Agent, d.Principal.Type, d.Principal.Ref, d.Principal.Assurance, d.Tool, d.Session,
			strings.Join(d.Policies, " "), strings.Join(reasons, " "), d.Bundle, fmt.Sprint(d.Receipt.Index), d.Receipt.LeafHash))
	})
	if err != nil {
		s.Log.Error("export", "err", err)
		panic(http.ErrAbortHandler) // a file that ends early must not look whole
	}
	w.Flush()
	return nil
}

// cells keeps a spreadsheet from taking what an agent wrote for a formula: some read the wide forms of the signs too.
func cells(values ...string) []string {
	for i, value := range values {
		first, _ := utf8.DecodeRuneInString(value)
		if value != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
			values[i] = "'" + value
		}
	}
	return values
}

func (s *Server) exportJSON(v *visit, q url.Values, first exportPage) error {
	fmt.Fprintf(v.w, `{"query":%s,"complete_through":%d,"size":%d,"rows_max":%d,"decisions":[`, quoted(q.Encode()), first.CompleteThrough, first.Size, exportMax)
	comma := ""
	rows, err := s.pages(v, q, first, func(raw json.RawMessage) error {
		_, err := fmt.Fprintf(v.w, "%s\n%s", comma, raw)
		comma = ","
		return err
	})
	if err != nil {
		s.Log.Error("export", "err", err)
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(v.w, "\n],\"rows\":%d}\n", rows)
	return nil
}

func quoted(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic("console: a string is not JSON: " + err.Error())
	}
	return string(data)
}
