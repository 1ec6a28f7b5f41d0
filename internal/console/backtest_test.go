package console

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/writ-dev/writ/internal/gov"
)

// busy is a backtest that has to wait for another one so many times.
type busy struct {
	times int
	then  error
	asked int
}

// Stream answers, once it is its turn.
func (b *busy) Stream(w http.ResponseWriter) (bool, error) {
	if b.asked++; b.asked <= b.times {
		return false, &gov.Error{Code: gov.CodeOverloaded, Detail: "another backtest runs here"}
	}
	if b.then != nil {
		return false, b.then
	}
	if _, err := io.WriteString(w, `{"done":0,"of":9}`+"\n"); err != nil {
		return true, err
	}
	_, err := io.WriteString(w, `{"report":{"decisions":7}}`+"\n")
	return true, err
}

func TestABacktestWaitsForTheOneBeforeIt(t *testing.T) {
	t.Parallel()
	v := &visit{Request: httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), w: httptest.NewRecorder()}
	far := 0
	run := func(b *busy) (*backtestReport, error) {
		data := backtestData{}
		err := data.run(v, b, func(backtestLine) error { far++; return nil })
		return data.Report, err
	}
	if report, err := run(&busy{times: 2}); err != nil || report == nil || report.Decisions != 7 || far != 1 {
		t.Errorf("behind two others: %v, %v, told %d times", report, err, far)
	}
	forever := &busy{times: backtestTries + 1}
	if _, err := run(forever); gov.CodeOf(err) != gov.CodeOverloaded || forever.asked != backtestTries {
		t.Errorf("behind one that does not end: %v after %d tries", err, forever.asked)
	}
	broken := &busy{then: io.ErrUnexpectedEOF}
	if _, err := run(broken); !errors.Is(err, io.ErrUnexpectedEOF) || broken.asked != 1 {
		t.Errorf("what is broken stays so: %v after %d tries", err, broken.asked)
	}
}

func TestAnEventIsOneEvent(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		"<p>a</p>":                       "event: x\ndata: <p>a</p>\n\n",
		"a\nb\r\nc\rd":                   "event: x\ndata: a\ndata: b\ndata: c\ndata: d\n\n",
		"a\n\nevent: over\r\rdata: gone": "event: x\ndata: a\ndata: \ndata: event: over\ndata: \ndata: data: gone\n\n",
	} {
		if got := string(eventOf("x", data)); got != want {
			t.Errorf("%q is the event %q, want %q", data, got, want)
		}
	}
}
