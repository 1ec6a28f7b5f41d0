package console

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

const exportMax = 100_000 // rows of one export

// export is what a list of the API is as a file.
type export struct {
	name   string // of the file, and of the list in an answer
	path   string // of the API
	limit  int    // the most that a page has
	query  func(*visit) url.Values
	header []string
	row    func(json.RawMessage) ([]string, error)
	note   func(exportPage) string // what of the first page says how complete it is
}

// exports are the files that there are.
func (s *Server) exports() []export {
	return []export{
		{"decisions", "/v1/decisions", 1000, s.searchOf, decisionColumns, decisionRow, exportPage.indexed},
		{"incidents", "/v1/incidents", 200, s.incidentsExported, incidentColumns, incidentRow, exportPage.stated},
	}
}

var decisionColumns = []string{"at", "id", "outcome", "would", "mode", "agent", "principal_type", "principal_ref", "assurance", "tool", "session", "policies", "reasons", "bundle", "index", "leaf_hash"}

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

func decisionRow(raw json.RawMessage) ([]string, error) {
	var d exported
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, err
	}
	var reasons []string
	for _, r := range d.Reasons {
		reasons = append(reasons, r.Code)
	}
	return []string{
		d.At, d.ID, d.Outcome, d.Would, d.Mode, d.Agent, d.Principal.Type, d.Principal.Ref, d.Principal.Assurance, d.Tool, d.Session,
		strings.Join(d.Policies, " "), strings.Join(reasons, " "), d.Bundle, strconv.FormatInt(d.Receipt.Index, 10), d.Receipt.LeafHash,
	}, nil
}

var incidentColumns = []string{
	"opened_at", "id", "severity", "state", "exercise", "title", "detector", "reporter", "agent", "tool", "principal", "session", "owner", "signals", "flapping", "occurred_at",
	"acknowledged_at", "declared_at", "contained_at", "eradicated_at", "resolved_at", "closed_at", "ended_at", "last_signal_at", "reason", "into", "same_incident_in_the_past", "reopened",
	"contained_by", "report_authors", "report_approved_by", "report_approved_at", "control_failed", "commitment_missed", "confidential_data", "personal_data", "tell_outside",
	"actions", "actions_open", "index",
}

// incidentExported is what an incident has beside plain fields.
type incidentExported struct {
	ContainedBy []string `json:"contained_by"`
	Report      struct {
		Authors    []string `json:"authors"`
		ApprovedBy string   `json:"approved_by"`
		ApprovedAt string   `json:"approved_at"`
	} `json:"report"`
	Assessment map[string]any `json:"assessment"`
	Actions    []struct {
		ClosedAt string `json:"closed_at"`
	} `json:"actions"`
}

// incidentRow takes each column from the field of its name, but those that are made of more.
func incidentRow(raw json.RawMessage) ([]string, error) {
	var i incidentExported
	plain := map[string]any{}
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.UseNumber()
	if err := errors.Join(json.Unmarshal(raw, &i), decoder.Decode(&plain)); err != nil {
		return nil, err
	}
	open := 0
	for _, a := range i.Actions {
		if a.ClosedAt == "" {
			open++
		}
	}
	made := map[string]any{
		"contained_by": strings.Join(i.ContainedBy, " "), "report_authors": strings.Join(i.Report.Authors, " "), "report_approved_by": i.Report.ApprovedBy,
		"report_approved_at": i.Report.ApprovedAt, "actions": len(i.Actions), "actions_open": open,
	}
	row := make([]string, len(incidentColumns))
	for n, name := range incidentColumns {
		for _, from := range []map[string]any{made, i.Assessment, plain} {
			if value, ok := from[name]; ok {
				row[n] = fmt.Sprint(value)
				break
			}
		}
	}
	return row, nil
}

// exportPage is a page of any list of the API.
type exportPage struct {
	Decisions       []json.RawMessage `json:"decisions"`
	Incidents       []json.RawMessage `json:"incidents"`
	NextCursor      string            `json:"next_cursor"`
	CompleteThrough int64             `json:"complete_through"`
	Size            int64             `json:"size"`
	Total           int64             `json:"total"`
	Statement       string            `json:"statement"`
}

// indexed says how far a search got.
func (p exportPage) indexed() string {
	return fmt.Sprintf("complete through index %d of %d", p.CompleteThrough, p.Size)
}

// stated says how many there are in the time, whatever else is asked, and that there is none too.
func (p exportPage) stated() string { return "in any state: " + p.Statement }

// facts are what indexed or stated says, for programs.
func (p exportPage) facts() string {
	if p.Statement != "" {
		return fmt.Sprintf(`"statement":%s,"total":%d`, quoted(p.Statement), p.Total)
	}
	return fmt.Sprintf(`"complete_through":%d,"size":%d`, p.CompleteThrough, p.Size)
}

// export writes what a list of the API has, newest first, with the query that found it.
func (s *Server) export(v *visit) error {
	file := v.PathValue("file")
	name, kind, _ := strings.Cut(file, ".")
	for _, e := range s.exports() {
		if e.name == name && (kind == "csv" || kind == "json") {
			return s.exportAs(v, e, file)
		}
	}
	return s.noPage(v)
}

func (s *Server) exportAs(v *visit, e export, file string) error {
	q := e.query(v)
	q.Set("limit", strconv.Itoa(e.limit))
	first, err := as[exportPage](s.get(v, e.path+"?"+q.Encode()))
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Disposition", `attachment; filename="`+file+`"`)
	v.w.Header().Set("X-Writ-Query", q.Encode())
	if strings.HasSuffix(file, ".csv") {
		v.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		err = s.exportCSV(v, e, q, first)
	} else {
		v.w.Header().Set("Content-Type", "application/json")
		err = s.exportJSON(v, e, q, first)
	}
	if err != nil {
		s.Log.Error("export", "err", err)
		panic(http.ErrAbortHandler) // a file that ends early must not look whole
	}
	return nil
}

// pages calls fn for every row of a list.
func (s *Server) pages(v *visit, e export, q url.Values, at exportPage, fn func(json.RawMessage) error) (rows int, err error) {
	for {
		for _, raw := range append(at.Decisions, at.Incidents...) {
			if err := fn(raw); err != nil {
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
		if at, err = as[exportPage](s.get(v, e.path+"?"+q.Encode())); err != nil {
			return rows, err
		}
	}
}

func (s *Server) exportCSV(v *visit, e export, q url.Values, first exportPage) error {
	w := csv.NewWriter(v.w)
	note := []string{fmt.Sprintf("# query: %s ; at most %d rows", q.Encode(), exportMax), e.note(first)}
	if err := errors.Join(w.Write(note), w.Write(e.header)); err != nil {
		return err
	}
	_, err := s.pages(v, e, q, first, func(raw json.RawMessage) error {
		row, err := e.row(raw)
		if err != nil {
			return err
		}
		return w.Write(cells(row...))
	})
	w.Flush()
	return cmp.Or(err, w.Error())
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

func (s *Server) exportJSON(v *visit, e export, q url.Values, first exportPage) error {
	_, begun := fmt.Fprintf(v.w, `{"query":%s,%s,"rows_max":%d,"%s":[`, quoted(q.Encode()), first.facts(), exportMax, e.name)
	comma := ""
	rows, err := s.pages(v, e, q, first, func(raw json.RawMessage) error {
		_, err := fmt.Fprintf(v.w, "%s\n%s", comma, raw)
		comma = ","
		return err
	})
	if err := errors.Join(begun, err); err != nil {
		return err
	}
	_, err = fmt.Fprintf(v.w, "\n],\"rows\":%d}\n", rows)
	return err
}

func quoted(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic("console: a string is not JSON: " + err.Error())
	}
	return string(data)
}
