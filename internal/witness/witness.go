// Package witness asks witnesses for cosignatures (C2SP tlog-witness): others who remember what they have seen of a ledger
// and refuse a history that does not continue it. It promises to give only what a witness answered; whether a cosignature
// checks, the ledger's signer finds out.
package witness

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/writ-dev/writ/internal/merkle"
	"github.com/writ-dev/writ/internal/row"
)

// Client asks one witness.
type Client struct {
	url      string
	verifier note.Verifier
	http     *http.Client
}

const (
	answerBytesMax = 64 << 10
	answerTimeMax  = 10 * time.Second
	sizeType       = "text/x.tlog.size" // of the body that says which size the witness has
)

// Parse reads a witness as the command line gives it: url=URL,key=VKEY, where VKEY is its cosignature/v1 or ML-DSA-44
// verifier key.
func Parse(s string) (*Client, error) {
	base, vkey := "", ""
	for pair := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(pair, "=")
		switch {
		case ok && key == "url":
			base = value
		case ok && key == "key":
			vkey = value
		default:
			return nil, fmt.Errorf("witness: %q is not known; write url=https://witness.example.com,key=NAME+HASH+KEY", pair)
		}
	}
	return New(base, vkey)
}

// New makes the client of a witness at a URL.
func New(base, vkey string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("witness: %q is not the URL of a witness; write url=https://witness.example.com,key=NAME+HASH+KEY", base)
	}
	v, err := merkle.NewWitnessVerifier(vkey)
	if err != nil {
		return nil, err
	}
	asker := &http.Client{Timeout: answerTimeMax, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &Client{url: strings.TrimSuffix(base, "/") + "/add-checkpoint", verifier: v, http: asker}, nil
}

// Name is the name in the witness's key.
func (c *Client) Name() string { return c.verifier.Name() }

// Verifier checks the witness's cosignatures.
func (c *Client) Verifier() note.Verifier { return c.verifier }

// Cosign sends a checkpoint and gives the cosignature lines, each with its newline. If the witness has another size than
// old, it gives that size and no lines.
func (c *Client) Cosign(ctx context.Context, old int64, proof []row.Hash, checkpoint []byte) (lines []string, has int64, err error) {
	var body bytes.Buffer
	fmt.Fprintf(&body, "old %d\n", old)
	for _, h := range proof {
		body.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	body.WriteString("\n")
	body.Write(checkpoint)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, &body)
	if err != nil {
		return nil, 0, fmt.Errorf("ask witness: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("ask witness: %w", err)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax+1))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, 0, fmt.Errorf("read the witness's answer: %w", err)
	}
	if len(answer) > answerBytesMax {
		return nil, 0, fmt.Errorf("the witness's answer is over %d bytes", answerBytesMax)
	}
	return read(resp, string(answer))
}

func read(resp *http.Response, answer string) (lines []string, has int64, err error) {
	switch {
	case resp.StatusCode == http.StatusOK:
		for line := range strings.Lines(answer) {
			if !strings.HasPrefix(line, "— ") || !strings.HasSuffix(line, "\n") {
				return nil, 0, fmt.Errorf("the witness answered %q, which is not a signature line", line)
			}
			lines = append(lines, line)
		}
		if len(lines) == 0 {
			return nil, 0, errors.New("the witness answered without a cosignature")
		}
		return lines, 0, nil
	case resp.StatusCode == http.StatusConflict && resp.Header.Get("Content-Type") == sizeType:
		has, err := strconv.ParseInt(strings.TrimSpace(answer), 10, 64)
		if err != nil || has < 0 {
			return nil, 0, fmt.Errorf("the witness says it has %q entries", answer)
		}
		return nil, has, nil
	}
	return nil, 0, fmt.Errorf("the witness refused: %s: %s", resp.Status, strings.TrimSpace(answer))
}
