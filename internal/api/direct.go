package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
)

// direct is a request that comes from inside the server, with its answer.
type direct struct {
	caller   identity.Caller
	body     []byte
	answered bool
	answer   any
	err      error
}

type directKey struct{}

// Direct asks the API from inside the server, for a caller whose sign-in was checked already: the console shows what the API
// gives, and changes what the API lets the same caller change. The answer is the value that would have become JSON.
type Direct struct {
	s   *Server
	mux *http.ServeMux
}

// Direct makes the inner door.
func (s *Server) Direct() *Direct {
	d := &Direct{s: s, mux: http.NewServeMux()}
	for _, rt := range s.routes() {
		d.mux.HandleFunc(rt.pattern, func(_ http.ResponseWriter, hr *http.Request) { s.answerDirect(rt, hr) })
	}
	return d
}

func (s *Server) answerDirect(rt route, hr *http.Request) {
	d, ok := hr.Context().Value(directKey{}).(*direct)
	if !ok {
		return
	}
	d.answered = true
	r := &request{Request: hr, caller: d.caller, body: d.body}
	if d.err = permitted(rt, d.caller); d.err == nil {
		d.answer, d.err = rt.handle(hr.Context(), r)
	}
	if d.err != nil {
		s.Refusals.count(s.refusedCaller(r), s.ledgerOf(r), gov.CodeOf(d.err), rt.pattern, s.Now())
	}
}

// Ask asks one question: a method, a path with its query, and a body or nil. Errors are those of the API.
func (d *Direct) Ask(ctx context.Context, caller identity.Caller, method, target string, body []byte) (any, error) {
	if err := d.s.Environments.RefreshAll(ctx); err != nil {
		return nil, err
	}
	q := &direct{caller: caller, body: body}
	hr, err := http.NewRequestWithContext(context.WithValue(ctx, directKey{}, q), method, target, strings.NewReader(""))
	if err != nil {
		return nil, &gov.Error{Code: gov.CodeInvalidField, Detail: "is no address of this server", Err: err}
	}
	d.mux.ServeHTTP(nowhere{}, hr)
	if !q.answered { // no route, or a path that is not in its shortest form, which the mux would redirect
		return nil, &gov.Error{Code: gov.CodeNotFound, Detail: "there is no such route"}
	}
	return q.answer, q.err
}

// nowhere is where the mux writes what it says by itself.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}

// Status is the HTTP status of a kind of error.
func (d *Direct) Status(code gov.Code) int { return statusOf(code) }
