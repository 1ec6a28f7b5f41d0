package people

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	"github.com/writ-dev/writ/internal/gov"
)

// seal encrypts what a browser keeps between two steps of a sign-in, for one use, so that any node can take the second step.
func (s *Service) seal(use string, v any) (string, error) {
	aead, err := s.aead(use)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := io.ReadFull(s.Rand, nonce); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, encode(v), []byte(use))), nil
}

func (s *Service) unseal(use, sealed string, into any) error {
	aead, err := s.aead(use)
	if err != nil {
		return err
	}
	bad := &gov.Error{Code: gov.CodeUnauthenticated, Detail: "this browser did not begin the sign-in, or too long ago; begin again"}
	data, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil || len(data) < aead.NonceSize() {
		return bad
	}
	plain, err := aead.Open(nil, data[:aead.NonceSize()], data[aead.NonceSize():], []byte(use))
	if err != nil || json.Unmarshal(plain, into) != nil {
		return bad
	}
	return nil
}

func (s *Service) aead(use string) (cipher.AEAD, error) {
	block, err := aes.NewCipher(s.subkey(use))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
