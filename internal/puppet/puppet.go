// Package puppet is a person in a browser, without the browser: it follows an invitation with a passkey made of software, keeps the
// session's cookie, and sends the console's forms as its pages do. The demo plays its approver with it, and tests and benchmarks
// their people. It knows the console by its addresses alone.
package puppet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/descope/virtualwebauthn"
)

const (
	answerBytesMax = 16 << 20
	answerTimeMax  = time.Minute
)

// Person is somebody who is signed in.
type Person struct {
	Origin string // of the console: http://localhost:8420
	HTTP   *http.Client
}

// Enrol follows an invitation: it makes a passkey, enrols it and is signed in.
func Enrol(ctx context.Context, link string) (*Person, error) {
	at, err := url.Parse(link)
	if err != nil {
		return nil, fmt.Errorf("invitation: %w", err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	p := &Person{Origin: at.Scheme + "://" + at.Host, HTTP: &http.Client{Jar: jar, Timeout: answerTimeMax}}
	data, err := p.Post(ctx, "/console/enrol?"+at.RawQuery, "application/json", []byte("{}"))
	if err != nil {
		return nil, err
	}
	var begun struct {
		Options json.RawMessage `json:"options"`
		Sealed  string          `json:"sealed"`
	}
	if err := json.Unmarshal(data, &begun); err != nil {
		return nil, fmt.Errorf("invitation: %w", err)
	}
	options, err := virtualwebauthn.ParseAttestationOptions(string(begun.Options))
	if err != nil {
		return nil, fmt.Errorf("invitation: %w", err)
	}
	party := virtualwebauthn.RelyingParty{ID: at.Hostname(), Name: "Writ", Origin: p.Origin}
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	answer := virtualwebauthn.CreateAttestationResponse(party, virtualwebauthn.NewAuthenticator(), key, *options)
	body, err := json.Marshal(map[string]any{"sealed": begun.Sealed, "answer": json.RawMessage(answer)})
	if err != nil {
		return nil, err
	}
	_, err = p.Post(ctx, "/console/enrol/finish", "application/json", body)
	return p, err
}

// keyTriesMax makes it all but impossible (2 to the -400) that no key is found.
const keyTriesMax = 64

// NewKey makes a passkey. The library writes coordinates without the zeros in front, which is no COSE key, so a key that has one is
// passed over.
func NewKey() (virtualwebauthn.Credential, error) {
	for range keyTriesMax {
		key := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
		private, err := x509.ParsePKCS8PrivateKey(key.Key.Data)
		if err != nil {
			return key, fmt.Errorf("passkey: %w", err)
		}
		p256, ok := private.(*ecdsa.PrivateKey)
		if !ok {
			return key, errors.New("passkey: the key is not of P-256")
		}
		if raw, err := p256.PublicKey.Bytes(); err == nil && raw[1] != 0 && raw[33] != 0 { // 4, X, Y
			return key, nil
		}
	}
	return virtualwebauthn.Credential{}, errors.New("passkey: no key without a zero in front")
}

// Get reads a page. An answer other than 200, where redirects lead, is an error.
func (p *Person) Get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Origin+path, nil)
	if err != nil {
		return nil, err
	}
	return p.answer(req)
}

// Post sends what a page would.
func (p *Person) Post(ctx context.Context, path, kind string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Origin+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return p.answer(req)
}

// Form sends a form.
func (p *Person) Form(ctx context.Context, path string, form url.Values) ([]byte, error) {
	return p.Post(ctx, path, "application/x-www-form-urlencoded", []byte(form.Encode()))
}

// Approve votes for what the page of a request shows.
func (p *Person) Approve(ctx context.Context, request, comment string) error {
	page, err := p.Get(ctx, "/console/approvals/"+url.PathEscape(request))
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(page), `name="shown" value="`)
	shown, _, ok := strings.Cut(rest, `"`)
	if !ok {
		return fmt.Errorf("request %s waits for nobody", request)
	}
	_, err = p.Form(ctx, "/console/approvals/"+url.PathEscape(request)+"/vote", url.Values{"vote": {"approve"}, "shown": {shown}, "comment": {comment}})
	return err
}

func (p *Person) answer(req *http.Request) ([]byte, error) {
	resp, err := p.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the console answered %s to %s %s", resp.Status, req.Method, req.URL.Path)
	}
	return data, err
}
