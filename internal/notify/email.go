package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/smtp"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
)

// mailServer is what the secret of an email channel says: smtp:// (STARTTLS) or smtps:// with user, password, host and port.
type mailServer struct {
	host, port, user, password string
	tls                        bool // from the first byte
}

func readMailServer(secret string) (mailServer, error) {
	u, err := url.Parse(strings.TrimSpace(secret))
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		return mailServer{}, errors.New("the secret is not smtp://user:password@host:port, or smtps://…")
	}
	s := mailServer{host: u.Hostname(), port: u.Port(), user: u.User.Username(), tls: u.Scheme == "smtps"}
	s.password, _ = u.User.Password()
	switch {
	case s.port != "":
	case s.tls:
		s.port = "465"
	default:
		s.port = "587"
	}
	return s, nil
}

// email sends one mail to every address of the channel. If the server refuses some of them, the others are told.
func (c *Client) email(ctx context.Context, secret string, to bundle.Channel, n gov.Notice) (gov.Sent, error) {
	server, err := readMailServer(secret)
	if err != nil {
		return badSecret(err)
	}
	conn, err := c.dial(ctx, server)
	if err != nil {
		return unreachable(err)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	client, err := smtp.NewClient(conn, server.host) // closes conn when it fails
	if err != nil {
		return mailError("greeting", err)
	}
	defer func() { _ = client.Close() }() // after Quit it is closed
	_, domain, _ := strings.Cut(to.From, "@")
	if err := client.Hello(domain); err != nil {
		return mailError("HELO", err)
	}
	if sent, err := c.secure(client, server); err != nil {
		return sent, err
	}
	return deliver(client, to, compose(to, domain, n))
}

func (c *Client) tlsConfig(s mailServer) *tls.Config {
	return &tls.Config{ServerName: s.host, RootCAs: c.Roots, MinVersion: tls.VersionTLS12}
}

// dial connects. What follows has the time that ctx has.
func (c *Client) dial(ctx context.Context, s mailServer) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(s.host, s.port))
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := raw.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, raw.Close())
		}
	}
	conn := net.Conn(&bounded{Conn: raw, left: answerBytesMax})
	if s.tls {
		conn = tls.Client(conn, c.tlsConfig(s))
	}
	return conn, nil
}

// bounded is a connection that gives only so many bytes.
type bounded struct {
	net.Conn
	left int
}

var errTooMuch = errors.New("the mail server talks too much")

// Read reads what is left at most.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooMuch
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// secure begins TLS, which only a server on this machine may go without, and authenticates.
func (c *Client) secure(client *smtp.Client, s mailServer) (gov.Sent, error) {
	offered, _ := client.Extension("STARTTLS")
	switch {
	case s.tls:
	case offered:
		if err := client.StartTLS(c.tlsConfig(s)); err != nil {
			return mailError("STARTTLS", err)
		}
	case !loopback(s.host):
		return refused(0, "the mail server does not offer STARTTLS")
	}
	if s.user == "" {
		return gov.Sent{}, nil
	}
	if err := client.Auth(smtp.PlainAuth("", s.user, s.password, s.host)); err != nil {
		return mailError("AUTH", err)
	}
	return gov.Sent{}, nil
}

// deliver hands the mail over. Once the server took it, it is delivered.
func deliver(client *smtp.Client, to bundle.Channel, letter []byte) (gov.Sent, error) {
	if err := client.Mail(to.From); err != nil {
		return mailError("MAIL", err)
	}
	var last error
	turnedAway := 0
	for _, address := range to.To {
		var answer *textproto.Error
		switch err := client.Rcpt(address); {
		case errors.As(err, &answer):
			last = err
			turnedAway++
		case err != nil:
			return mailError("RCPT", err)
		}
	}
	if turnedAway == len(to.To) {
		return mailError("RCPT", last)
	}
	w, err := client.Data()
	if err != nil {
		return mailError("DATA", err)
	}
	_, err = w.Write(letter)
	if err := errors.Join(err, w.Close()); err != nil {
		return mailError("DATA", err)
	}
	sent := gov.Sent{Code: codeTaken, Refused: turnedAway}
	_ = client.Quit() // it took the mail; how it parts does not matter
	return sent, nil
}

// codeTaken is how a mail server says that it took a mail.
const codeTaken = 250

// mailError is about a command. What the server says may name people, so only its code is repeated.
func mailError(command string, err error) (gov.Sent, error) {
	var answer *textproto.Error
	if errors.As(err, &answer) {
		return refused(answer.Code, fmt.Sprintf("the mail server answers %s with %d", command, answer.Code))
	}
	return unreachable(fmt.Errorf("%s: %w", command, err))
}

// compose is the mail as it is sent. Addresses come from a bundle, which takes none with a space or a line end; everything else is
// encoded.
func compose(to bundle.Channel, domain string, n gov.Notice) []byte {
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	header("From", "<"+to.From+">")
	header("To", "<"+strings.Join(to.To, ">,\r\n <")+">")
	header("Subject", mime.QEncoding.Encode("utf-8", oneLine(n.Title)))
	header("Date", n.At.UTC().Format(time.RFC1123Z))
	header("Message-ID", "<"+string(n.ID)+"@"+domain+">")
	header("Auto-Submitted", "auto-generated")
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	fmt.Fprintf(w, "%s.\r\n\r\n", oneLine(n.Title))
	for _, f := range facts(n) {
		fmt.Fprintf(w, "%s: %s\r\n", f.name, f.value)
	}
	fmt.Fprintf(w, "\r\n%s\r\n\r\n-- \r\nThe bundle of %s names your address: notify, %s.\r\n", n.URL, n.Environment, to.ID)
	if err := w.Close(); err != nil {
		panic("notify: a buffer cannot be written: " + err.Error())
	}
	return b.Bytes()
}
