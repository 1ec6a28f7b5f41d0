package console

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

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
