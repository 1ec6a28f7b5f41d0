package console

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/people"
)

// secure says whether people reach the server by https.
func (s *Server) secure() bool { return strings.HasPrefix(s.People.URL, "https://") }

// cookieName has the prefix that browsers hold to its word: this host only, by https only.
func (s *Server) cookieName() string {
	if s.secure() {
		return "__Host-writ"
	}
	return "writ"
}

// flowCookie is the cookie of a sign-in under way, with its path: no other host, and no other server of this host, can plant one.
func (s *Server) flowCookie() (name, path string) {
	if s.secure() {
		return "__Host-writ-flow", "/"
	}
	return "writ-flow", Root + "/sign-in/"
}

func (s *Server) setSession(v *visit, token string) {
	http.SetCookie(v.w, &http.Cookie{
		Name: s.cookieName(), Value: s.People.Cookie(token), Path: "/", HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteLaxMode,
		MaxAge: int(gov.SessionFor / time.Second),
	})
}

func (s *Server) dropCookie(v *visit, name, path string) {
	http.SetCookie(v.w, &http.Cookie{Name: name, Path: path, MaxAge: -1, HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteLaxMode})
}

func escape(s string) string { return url.QueryEscape(s) }

// ownPath gives a path of this console, whatever an address asks for: a sign-in never ends somewhere else.
func ownPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || strings.Contains(u.Path, "\\") {
		return Root + "/"
	}
	// Browsers take "..", "%2e%2e" and "//" out of a path as they like: only one that has none of them is where it says.
	if clean := path.Clean(u.Path); !strings.HasPrefix(u.Path, Root+"/") || clean != strings.TrimSuffix(u.Path, "/") {
		return Root + "/"
	}
	return u.RequestURI()
}

// signInData is what the page of the sign-in shows.
type signInData struct {
	Issuers []string
	Next    string
	Again   bool
}

func (s *Server) signInPage(v *visit) error {
	q := v.URL.Query()
	again := q.Get("again") != ""
	if v.caller.Session != "" && !again {
		s.redirect(v, ownPath(q.Get("next")))
		return nil
	}
	data := signInData{Issuers: s.Identity.PeopleIssuers(), Next: ownPath(q.Get("next")), Again: again}
	s.render(v, http.StatusOK, "sign-in", page{Title: "Sign in", Data: data})
	return nil
}

func (s *Server) beginOIDC(v *visit) error {
	if err := s.attempt(v); err != nil {
		return err
	}
	q := v.URL.Query()
	begun, err := s.People.BeginOIDC(v.Context(), q.Get("issuer"), ownPath(q.Get("next")), q.Get("again") != "")
	if err != nil {
		return err
	}
	name, at := s.flowCookie()
	http.SetCookie(v.w, &http.Cookie{
		Name: name, Value: begun.Sealed, Path: at, HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteLaxMode, MaxAge: 600,
	})
	s.redirect(v, begun.URL)
	return nil
}

func (s *Server) callback(v *visit) error {
	name, at := s.flowCookie()
	c, err := v.Cookie(name)
	if err != nil {
		return &gov.Error{Code: gov.CodeUnauthenticated, Detail: "This browser did not begin a sign-in, or too long ago. Begin again."}
	}
	s.dropCookie(v, name, at)
	done, err := s.People.FinishOIDC(v.Context(), c.Value, v.URL.Query(), s.NetworkRef(v.RemoteAddr), v.caller.Session)
	if err != nil {
		return err
	}
	s.setSession(v, done.Token)
	s.redirect(v, ownPath(done.Next))
	return nil
}

// answerJSON answers a script of the console's own.
func answerJSON(v *visit, value any) error {
	v.w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(v.w).Encode(value)
}

// signed is what the console's script sends after it has asked the authenticator.
type signed struct {
	Sealed string          `json:"sealed"`
	Answer json.RawMessage `json:"answer"`
}

func readSigned(v *visit) (signed, error) {
	var in signed
	data, err := io.ReadAll(v.Body)
	if err != nil || json.Unmarshal(data, &in) != nil {
		return in, &gov.Error{Code: gov.CodeMalformedJSON, Detail: "The answer of the authenticator did not arrive whole. Try again."}
	}
	return in, nil
}

func (s *Server) beginPasskey(v *visit) error {
	if err := s.attempt(v); err != nil {
		return err
	}
	challenge, err := s.People.BeginPasskey()
	if err != nil {
		return err
	}
	return answerJSON(v, challenge)
}

func (s *Server) finishPasskey(v *visit) error {
	if err := s.attempt(v); err != nil {
		return err
	}
	in, err := readSigned(v)
	if err != nil {
		return err
	}
	done, err := s.People.FinishPasskey(v.Context(), in.Sealed, in.Answer, s.NetworkRef(v.RemoteAddr), v.caller.Session)
	if err != nil {
		return err
	}
	s.setSession(v, done.Token)
	return answerJSON(v, map[string]string{"next": ownPath(v.URL.Query().Get("next"))})
}

func (s *Server) signOut(v *visit) error {
	if err := s.People.SignOut(v.Context(), v.caller); err != nil {
		return err
	}
	s.dropCookie(v, s.cookieName(), "/")
	s.redirect(v, Root+"/sign-in?done=signed-out")
	return nil
}

// backChannelLogout takes the word of an identity provider that somebody signed out, or may not sign in any more (OpenID Connect
// Back-Channel Logout 1.0). The token says who sends it.
func (s *Server) backChannelLogout(v *visit) error {
	if err := s.People.SignedOutAt(v.Context(), v.PostFormValue("logout_token")); err != nil {
		return err
	}
	v.w.WriteHeader(http.StatusOK)
	return nil
}

// enrolData is what the page of an enrolment shows.
type enrolData struct {
	Invitation string
	For        string
	Next       string
}

func (s *Server) enrolPage(v *visit) error {
	invitation := v.URL.Query().Get("invitation")
	data := enrolData{Invitation: invitation, For: v.caller.Principal.ID, Next: ownPath(v.URL.Query().Get("next"))}
	if invitation != "" {
		if err := s.attempt(v); err != nil {
			return err
		}
		p, err := s.People.Invited(v.Context(), invitation)
		if err != nil {
			return err
		}
		data.For = p.WebAuthnDisplayName()
	} else if v.caller.Session == "" {
		return &gov.Error{Code: gov.CodeUnauthenticated, Detail: "A passkey is enrolled with an invitation, or by who is signed in."}
	}
	s.render(v, http.StatusOK, "enrol", page{Title: "Enrol a passkey", Data: data})
	return nil
}

func (s *Server) beginEnrol(v *visit) error {
	challenge, err := s.People.BeginEnrol(v.Context(), v.URL.Query().Get("invitation"), v.caller)
	if err != nil {
		return err
	}
	return answerJSON(v, challenge)
}

func (s *Server) finishEnrol(v *visit) error {
	in, err := readSigned(v)
	if err != nil {
		return err
	}
	done, err := s.People.FinishEnrol(v.Context(), in.Sealed, in.Answer, v.caller, s.NetworkRef(v.RemoteAddr))
	if err != nil {
		return err
	}
	if done.Token != "" {
		s.setSession(v, done.Token)
		return answerJSON(v, map[string]string{"next": ownPath(v.URL.Query().Get("next"))})
	}
	return answerJSON(v, map[string]string{"next": Root + "/me?done=enrolled"})
}

// deviceData is what a person is asked before the command line acts for them.
type deviceData struct {
	Session string
	Hash    string
	Code    string
	Done    bool
}

// codeOf is what the command line shows beside its link, to be compared.
func codeOf(session string) string {
	if len(session) < 8 {
		return session
	}
	return strings.ToUpper(session[:4] + "-" + session[4:8])
}

func (s *Server) devicePage(v *visit) error {
	if err := s.People.MayAllow(v.Context(), v.caller); err != nil {
		return err
	}
	q := v.URL.Query()
	data := deviceData{Session: q.Get("session"), Hash: q.Get("hash"), Code: codeOf(q.Get("session"))}
	s.render(v, http.StatusOK, "device", page{Title: "Allow the command line", Data: data})
	return nil
}

func (s *Server) allowDevice(v *visit) error {
	link := people.Link{ID: v.PostFormValue("session"), Hash: v.PostFormValue("hash")}
	if _, err := s.People.Allow(v.Context(), v.caller, link, s.NetworkRef(v.RemoteAddr)); err != nil {
		return err
	}
	s.render(v, http.StatusOK, "device", page{Title: "Allowed", Data: deviceData{Code: codeOf(link.ID), Done: true}})
	return nil
}

// attempts counts sign-ins of an address, so that nobody tries without end.
type attempts struct {
	mu    sync.Mutex
	since time.Time
	count map[string]int
}

const (
	attemptsFor = time.Minute
	attemptsMax = 30    // of one address
	addressMax  = 10000 // then everybody waits for the next minute
)

func (s *Server) attempt(v *visit) error {
	a := &s.attempts
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := s.Now(); now.Sub(a.since) >= attemptsFor || a.count == nil {
		a.since, a.count = now, map[string]int{}
	}
	from := s.NetworkRef(v.RemoteAddr)
	if a.count[from] >= attemptsMax || len(a.count) >= addressMax {
		return &gov.Error{Code: gov.CodeOverloaded, Detail: "Too many sign-ins from here. Wait a minute and try again."}
	}
	a.count[from]++
	return nil
}
