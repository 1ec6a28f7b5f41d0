package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/state"
)

type loginCmd struct {
	remote
	Wait time.Duration `help:"How long to wait for you to allow it." default:"10m"`
}

// Help gives examples.
func (loginCmd) Help() string {
	return `Examples:
  writ login                                        prints a link; allow it in the browser in which you are signed in
  writ login --url https://writ.example.com

The session is yours for 12 hours at most, and is kept in your configuration directory. Commands use it where no token is given.`
}

const loginPoll = time.Second

// Run makes a session's token here, and waits until its person has allowed it in a browser. The server never sees the token
// before it is used.
func (c loginCmd) Run(ctx context.Context, s std) error {
	id, token, hash, err := identity.NewSecret(rand.Reader, state.RolePerson)
	if err != nil {
		return err
	}
	query := url.Values{"session": {string(id)}, "hash": {hex.EncodeToString(hash[:])}}
	page := strings.Replace(strings.TrimSuffix(c.URL, "/"), "//127.0.0.1:", "//localhost:", 1) + "/console/sign-in/device?" + query.Encode()
	code := strings.ToUpper(string(id[:4]) + "-" + string(id[4:8]))
	fmt.Fprintf(s.out, "Open this page in a browser, sign in, and allow the code %s:\n\n  %s\n\n", code, page)
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	for {
		var me meRow
		_, err := c.get(ctx, token, "/v1/me", nil, &me)
		var refused *problemError
		switch {
		case err == nil:
			if err := keepSession(c.URL, token); err != nil {
				return err
			}
			_, err := fmt.Fprintf(s.out, "Signed in as %s until %s.\n", me.Principal, me.ExpiresAt)
			return err
		case !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized:
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("nobody allowed it in time; run writ login again")
		case <-time.After(loginPoll):
		}
	}
}

// meRow is who a token says is asking.
type meRow struct {
	Principal string `json:"principal"`
	ExpiresAt string `json:"expires_at"`
	Session   string `json:"session"`
}

type logoutCmd struct{ remote }

// Run ends the kept session, here and on the server.
func (c logoutCmd) Run(ctx context.Context, s std) error {
	token := keptSession(c.URL)
	if token == "" {
		return fmt.Errorf("no session is kept for %s", c.URL)
	}
	var me meRow
	if _, err := c.get(ctx, token, "/v1/me", nil, &me); err == nil {
		if _, err := c.ask(ctx, token, http.MethodDelete, "/v1/sessions/"+url.PathEscape(me.Session), nil, "", nil, nil); err != nil {
			return err
		}
	}
	if err := keepSession(c.URL, ""); err != nil {
		return err
	}
	_, err := fmt.Fprintln(s.out, "Signed out.")
	return err
}

// sessionsFile keeps the tokens of writ login, by server.
func sessionsFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("where to keep the session: %w", err)
	}
	return filepath.Join(dir, "writ", "sessions.json"), nil
}

func readSessions() map[string]string {
	kept := map[string]string{}
	file, err := sessionsFile()
	if err != nil {
		return kept
	}
	data, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(data, &kept) != nil {
		return map[string]string{}
	}
	return kept
}

// keptSession is the token of the session with a server, or empty.
func keptSession(server string) string { return readSessions()[strings.TrimSuffix(server, "/")] }

// keepSession replaces the session with a server; an empty token forgets it.
func keepSession(server, token string) error {
	file, err := sessionsFile()
	if err != nil {
		return err
	}
	kept := readSessions()
	if kept[strings.TrimSuffix(server, "/")] = token; token == "" {
		delete(kept, strings.TrimSuffix(server, "/"))
	}
	data, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
