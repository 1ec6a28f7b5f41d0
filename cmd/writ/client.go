package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"
)

// remote says which server to ask, and as whom.
type remote struct {
	URL        string `help:"The server." default:"http://127.0.0.1:8420" env:"WRIT_URL"`
	AdminToken string `help:"Administrator's token." env:"WRIT_ADMIN_TOKEN"`
}

const (
	answerBytesMax = 64 << 20
	askTimeMax     = time.Minute
)

// problemError is a problem document that the server answered with.
type problemError struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Path   string `json:"path"`
}

func (p *problemError) Error() string {
	where := ""
	if p.Path != "" {
		where = " at " + p.Path
	}
	return fmt.Sprintf("the server answered %d %s%s: %s", p.Status, p.Code, where, p.Detail)
}

// ask sends a request and decodes the answer into out; with a nil out the body comes back as it is.
func (r remote) ask(ctx context.Context, token, method, path string, query url.Values, contentType string, body []byte, out any) ([]byte, error) {
	if token == "" {
		token = keptSession(r.URL)
	}
	if token == "" {
		return nil, errors.New("no credential: run writ login, or set WRIT_ADMIN_TOKEN (the first writ serve printed it) or WRIT_API_KEY")
	}
	u := strings.TrimSuffix(r.URL, "/") + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeMax)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no answer from %s; is writ serve running there? (%w)", r.URL, err)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		p := &problemError{Status: resp.StatusCode, Code: "unknown", Detail: strings.TrimSpace(string(data[:min(len(data), 200)]))}
		_ = json.Unmarshal(data, p) // what is no problem document is shown as it is
		return nil, p
	}
	if out == nil {
		return data, nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return nil, fmt.Errorf("the server's answer is not what this version knows: %w", err)
	}
	return data, nil
}

// send asks with a body that becomes JSON; nil is none.
func (r remote) send(ctx context.Context, token, method, path string, body, out any) ([]byte, error) {
	if body == nil {
		return r.ask(ctx, token, method, path, nil, "application/json", nil, out)
	}
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return r.ask(ctx, token, method, path, nil, "application/json", data, out)
}

// get asks for JSON.
func (r remote) get(ctx context.Context, token, path string, query url.Values, out any) ([]byte, error) {
	return r.ask(ctx, token, http.MethodGet, path, query, "", nil, out)
}

// printJSON writes data indented.
func printJSON(w io.Writer, data []byte) error {
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", "  "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err := out.WriteTo(w)
	return err
}

// printPage prints a page of a list that the API answered with: as JSON, or as a table, whose first row is the heading; where there is
// nothing else it says none. next is where the list goes on, if it does.
func printPage(s std, asJSON bool, data []byte, rows [][]string, none, next string) error {
	if asJSON {
		return printJSON(s.out, data)
	}
	if len(rows) == 1 {
		fmt.Fprintln(s.out, none)
	} else if err := table(s.out, rows); err != nil {
		return err
	}
	if next != "" {
		fmt.Fprintln(s.out, "There are more: see --json and its next_cursor.")
	}
	return nil
}

// table writes rows in columns; the first row is the heading.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if _, err := fmt.Fprintln(t, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}
