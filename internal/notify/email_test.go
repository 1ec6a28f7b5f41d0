package notify

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
)

// letter is a mail as a server took it.
type letter struct {
	from   string
	to     []string
	data   string
	user   string
	secure bool
}

// office is a mail server that asks for a password, except for post, and knows nobody named gone.
type office struct {
	taken chan letter
	open  bool // takes mail from anybody
}

// visit is one connection to it.
type visit struct {
	o    *office
	conn *smtp.Conn
	l    letter
}

func (o *office) NewSession(c *smtp.Conn) (smtp.Session, error) { return &visit{o: o, conn: c}, nil }

func (v *visit) AuthMechanisms() []string { return []string{sasl.Plain} }

func (v *visit) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "writ@example.com" || password != "p@ss:word/1" {
			return errors.New("no")
		}
		v.l.user = user
		return nil
	}), nil
}

func (v *visit) Mail(from string, _ *smtp.MailOptions) error {
	if v.l.user == "" && !v.o.open {
		return smtp.ErrAuthRequired
	}
	v.l.from = from
	return nil
}

func (v *visit) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "gone") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no gone@example.com here"}
	}
	v.l.to = append(v.l.to, to)
	return nil
}

func (v *visit) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	_, v.l.secure = v.conn.TLSConnectionState()
	v.l.data = string(data)
	v.o.taken <- v.l
	return err
}

func (v *visit) Reset() {}

func (v *visit) Logout() error { return nil }

// mailServerOf starts one on a free port of this machine; implicit begins with TLS, and without a configuration it has none.
func mailServerOf(t *testing.T, o *office, config *tls.Config, implicit bool) string {
	t.Helper()
	o.taken = make(chan letter, 8)
	s := smtp.NewServer(o)
	s.Domain, s.TLSConfig, s.AllowInsecureAuth, s.ErrorLog = "mail.example.com", config, true, log.New(io.Discard, "", 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if implicit {
		l = tls.NewListener(l, config)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			t.Log(err)
		}
	}()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Log(err)
		}
		<-done
	})
	return port
}

// certified is a certificate for 127.0.0.1 and what trusts it.
func certified(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, roots
}

func byMail(to ...string) bundle.Channel {
	return bundle.Channel{ID: "finance-mail", Type: gov.ChannelEmail, Secret: "S", From: "writ@example.com", To: to}
}

const login = "writ%40example.com:p%40ss%3Aword%2F1@"

func TestAMailIsTakenOverTLS(t *testing.T) {
	t.Parallel()
	config, roots := certified(t)
	for _, implicit := range []bool{false, true} {
		o := &office{}
		port := mailServerOf(t, o, config, implicit)
		c := client(map[bool]string{false: "smtp://", true: "smtps://"}[implicit] + login + "127.0.0.1:" + port)
		to := byMail("ana@example.com", "gone@example.com", "tom@example.com")
		if sent, err := c.Send(t.Context(), to, notice()); sent.Cause != gov.UnsentUnreachable || err == nil {
			t.Errorf("a certificate that nobody trusts: %+v, %v", sent, err)
		}
		c.Roots = roots
		sent, err := c.Send(t.Context(), to, notice())
		if err != nil || sent != (gov.Sent{Code: 250, Refused: 1}) {
			t.Fatalf("sent: %+v, %v", sent, err)
		}
		l := <-o.taken
		if !l.secure || l.user != "writ@example.com" || l.from != "writ@example.com" || !slices.Equal(l.to, []string{"ana@example.com", "tom@example.com"}) {
			t.Errorf("taken: %+v", l)
		}
	}
}

func TestAMailCannotBeForgedByWhatItTells(t *testing.T) {
	t.Parallel()
	o := &office{open: true}
	port := mailServerOf(t, o, nil, false)
	n := notice()
	n.Title = "Refund\r\nBcc: eve@example.com\r\n\r\né" + strings.Repeat("x", 120)
	n.Why = []string{"first\r\n.\r\nMAIL FROM:<eve@example.com>\nAgent: other-bot", "\u202ehidden\u0007"}
	c := client("smtp://127.0.0.1:" + port)
	if sent, err := c.Send(t.Context(), byMail("ana@example.com", "tom@example.com"), n); err != nil || sent != (gov.Sent{Code: 250}) {
		t.Fatalf("sent: %+v, %v", sent, err)
	}
	m, err := mail.ReadMessage(strings.NewReader((<-o.taken).data))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for name := range m.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}; !slices.Equal(names, want) {
		t.Errorf("the headers are %v, want %v", names, want)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != "Refund Bcc: eve@example.com é"+strings.Repeat("x", 120) {
		t.Errorf("the subject is %q, %v", subject, err)
	}
	date, err := m.Header.Date()
	if err != nil || !date.Equal(at.Truncate(time.Second)) || m.Header.Get("Message-Id") != "<dec_0001@example.com>" {
		t.Errorf("date %s (%v), id %s", date, err, m.Header.Get("Message-Id"))
	}
	if to, err := m.Header.AddressList("To"); err != nil || len(to) != 2 || to[1].Address != "tom@example.com" {
		t.Errorf("to %v, %v", to, err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	want := "Refund Bcc: eve@example.com é" + strings.Repeat("x", 120) + `.

Environment: prod
Agent: support-bot
Tool: stripe/refund
Why: first . MAIL FROM:<eve@example.com> Agent: other-bot
Why: hidden
Asked: finance, leads
Votes needed: 2
Until: 2026-11-23 18:03 UTC
State: pending

https://writ.example.com/console/approvals/apr_0001

-- 
The bundle of prod names your address: notify, finance-mail.
`
	if got := strings.ReplaceAll(string(body), "\r\n", "\n"); got != want {
		t.Errorf("the mail says\n%s\nwant\n%s", got, want)
	}
}

func TestWhatAMailServerRefusesIsSaid(t *testing.T) {
	t.Parallel()
	config, roots := certified(t)
	secure := mailServerOf(t, &office{}, config, false)
	plain := &office{open: true}
	bare := mailServerOf(t, plain, nil, false)
	for _, test := range []struct {
		secret string
		to     string
		want   gov.Sent
		says   string
	}{
		{"smtp://writ%40example.com:private@127.0.0.1:" + secure, "ana@example.com", gov.Sent{Cause: gov.UnsentRefused, Code: 454}, "AUTH"},
		{"smtp://127.0.0.1:" + secure, "ana@example.com", gov.Sent{Cause: gov.UnsentRefused, Code: 502}, "MAIL"},
		{"smtp://" + login + "127.0.0.1:" + secure, "gone@example.com", gov.Sent{Cause: gov.UnsentRefused, Code: 550}, "RCPT"},
		{"smtp://0.0.0.0:" + bare, "ana@example.com", gov.Sent{Cause: gov.UnsentRefused}, "STARTTLS"}, // reaches this machine, and is not known to
		{"smtps://127.0.0.1:" + bare, "ana@example.com", gov.Sent{Cause: gov.UnsentUnreachable}, "nobody answers"},
	} {
		c := client(test.secret)
		c.Roots = roots
		sent, err := c.Send(t.Context(), byMail(test.to), notice())
		if sent != test.want || err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %+v %v, want %+v and %q", test.secret, sent, err, test.want, test.says)
		}
		if err != nil && (strings.Contains(err.Error(), "private") || strings.Contains(err.Error(), "gone@")) {
			t.Errorf("the error tells too much: %v", err)
		}
	}
	if len(plain.taken) > 0 {
		t.Error("a mail went over the wire in the clear")
	}
}
