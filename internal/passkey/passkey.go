// Package passkey checks a signature that a person's passkey made over a digest (a WebAuthn assertion whose challenge is the
// digest), from what an entry holds alone: no server, no session, no library of a browser. It promises that a signature it
// takes was made by the key, for the relying party, by an authenticator that had verified its user, over that very digest.
// It is pure.
package passkey

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/go-webauthn/webauthn/protocol/webauthncose"

	"github.com/writ-dev/writ/internal/canon"
)

// clientData is what the browser says that it signed (WebAuthn Level 3, 5.8.1).
type clientData struct {
	Type        string `json:"type"`
	Challenge   string `json:"challenge"` // base64url
	Origin      string `json:"origin"`
	CrossOrigin bool   `json:"crossOrigin"`
}

// Authenticator data (WebAuthn Level 3, 6.1): the hash of the relying party's id, flags, a counter.
const (
	rpHashBytes  = sha256.Size
	flagPresent  = 1 << 0
	flagVerified = 1 << 2
	authDataMin  = rpHashBytes + 1 + 4
)

// Verify says what is wrong with a signature over a digest, or nil.
func Verify(s canon.PasskeySignature, digest []byte) error {
	parts := map[string][]byte{"public_key": nil, "client_data": nil, "authenticator_data": nil, "signature": nil}
	for name, text := range map[string]string{
		"public_key": s.PublicKey, "client_data": s.ClientData, "authenticator_data": s.AuthenticatorData, "signature": s.Signature,
	} {
		data, err := base64.RawURLEncoding.Strict().DecodeString(text)
		if err != nil {
			return fmt.Errorf("%s is not base64url", name)
		}
		parts[name] = data
	}
	if err := checkClient(parts["client_data"], s.RelyingParty, digest); err != nil {
		return err
	}
	auth := parts["authenticator_data"]
	if err := checkAuthenticator(auth, s.RelyingParty); err != nil {
		return err
	}
	key, err := webauthncose.ParsePublicKey(parts["public_key"])
	if err != nil {
		return fmt.Errorf("the public key cannot be read: %w", err)
	}
	hash := sha256.Sum256(parts["client_data"])
	good, err := webauthncose.VerifySignature(key, append(bytes.Clone(auth), hash[:]...), parts["signature"])
	if err != nil || !good {
		return errors.New("the signature is not the key's")
	}
	return nil
}

func checkClient(data []byte, party string, digest []byte) error {
	var c clientData
	if err := json.Unmarshal(data, &c); err != nil {
		return errors.New("the client data cannot be read")
	}
	origin, err := url.Parse(c.Origin)
	switch {
	case c.Type != "webauthn.get":
		return fmt.Errorf("the client data are of a %q, not of a signature", c.Type)
	case c.Challenge != base64.RawURLEncoding.EncodeToString(digest):
		return errors.New("the signature is over another digest")
	case err != nil || origin.Hostname() != party:
		return fmt.Errorf("the signature was made on %q, not on %s", c.Origin, party)
	case c.CrossOrigin:
		return errors.New("the signature was made inside a page of somebody else")
	}
	return nil
}

func checkAuthenticator(data []byte, party string) error {
	want := sha256.Sum256([]byte(party))
	switch {
	case len(data) < authDataMin:
		return errors.New("the authenticator's data are cut off")
	case !bytes.Equal(data[:rpHashBytes], want[:]):
		return errors.New("the signature is for another relying party than " + party)
	case data[rpHashBytes]&flagPresent == 0:
		return errors.New("nobody was present at the authenticator")
	case data[rpHashBytes]&flagVerified == 0:
		return errors.New("the authenticator did not verify its user")
	}
	return nil
}
