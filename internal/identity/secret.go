package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/state"
)

// A key is writ_key_<id>_<secret><checksum>, an administrator's token writ_admin_<id>_<secret><checksum>, that of a person's
// session writ_session_<id>_<secret><checksum>, all of it lower-case base32. The id is public; the secret is 256 random bits, so its SHA-256 can be kept, and published, without a salt or a slow
// hash. The hash covers everything before the checksum, and the checksum is its first 30 bits: a typing error anywhere is
// told apart from a wrong key without looking the key up, and costs no second hash.
const (
	tokenPrefix      = "writ_"
	keyTokenPrefix   = tokenPrefix + "key_"
	adminTokenPrefix = tokenPrefix + "admin_"
	sessionPrefix    = tokenPrefix + "session_"

	idBytes     = 10
	idChars     = 16
	secretBytes = 32
	secretChars = 52
	checkBytes  = 4
	checkChars  = 6

	tokenBytesMax = len(sessionPrefix) + idChars + 1 + secretChars + checkChars
)

// base32Alphabet has no i, l, o and u: nothing in an id can be read as something else.
const base32Alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

var (
	errForm     = errors.New("not of the form writ_key_<id>_<secret>")
	errMistyped = errors.New("the checksum does not fit")
)

// Key is what a key says of itself: nothing in it is secret, and nothing is checked against what was issued.
type Key struct {
	ID   gov.CredentialID
	Role state.Role
	Hash [sha256.Size]byte // to be compared with state.Credential.SecretHash
}

// NewSecret makes a key for a role: its id, the token to show once, and the hash to keep.
func NewSecret(rand io.Reader, role state.Role) (gov.CredentialID, string, [32]byte, error) {
	var random [idBytes]byte
	if _, err := io.ReadFull(rand, random[:]); err != nil {
		return "", "", [32]byte{}, fmt.Errorf("read randomness: %w", err)
	}
	return NewSecretFor(rand, role, gov.CredentialID(appendBase32(nil, random[:])))
}

// ValidKeyID says whether s is of the form of a key's id.
func ValidKeyID(s string) bool { return len(s) == idChars && isBase32(s) }

// NewSecretFor makes a key with an id that was chosen before.
func NewSecretFor(rand io.Reader, role state.Role, id gov.CredentialID) (gov.CredentialID, string, [32]byte, error) {
	prefix, err := prefixOf(role)
	if err != nil {
		return "", "", [32]byte{}, err
	}
	var random [secretBytes]byte
	if _, err := io.ReadFull(rand, random[:]); err != nil {
		return "", "", [32]byte{}, fmt.Errorf("read randomness: %w", err)
	}
	text := append(make([]byte, 0, tokenBytesMax), prefix...)
	text = append(append(text, id...), '_')
	text = appendBase32(text, random[:])
	hash := sha256.Sum256(text)
	text = append(text, appendBase32(nil, hash[:checkBytes])[:checkChars]...)
	return id, string(text), hash, nil
}

// ParseToken reads a key. It needs no secret and no state: an error says that no server can have issued it.
func ParseToken(token string) (Key, error) {
	role, prefix := state.RoleAgent, keyTokenPrefix
	if strings.HasPrefix(token, adminTokenPrefix) {
		role, prefix = state.RoleAdmin, adminTokenPrefix
	} else if strings.HasPrefix(token, sessionPrefix) {
		role, prefix = state.RolePerson, sessionPrefix
	}
	rest, ok := strings.CutPrefix(token, prefix)
	if !ok || len(rest) != idChars+1+secretChars+checkChars || rest[idChars] != '_' {
		return Key{}, errForm
	}
	if !isBase32(rest[:idChars]) || !isBase32(rest[idChars+1:]) {
		return Key{}, errForm
	}
	var room [tokenBytesMax]byte
	hash := sha256.Sum256(append(room[:0], token[:len(token)-checkChars]...))
	var check [checkBytes * 2]byte
	if string(appendBase32(check[:0], hash[:checkBytes])[:checkChars]) != rest[len(rest)-checkChars:] {
		return Key{}, errMistyped
	}
	return Key{ID: gov.CredentialID(rest[:idChars]), Role: role, Hash: hash}, nil
}

// keyOf is the session's key of a signed token: the same token is the same session. It is of what is signed, since who holds a token
// may write its signature in another way.
func keyOf(token string) Key {
	hash := sha256.Sum256([]byte(token[:strings.LastIndexByte(token, '.')]))
	return Key{ID: gov.CredentialID(appendBase32(nil, hash[:idBytes])), Role: state.RolePerson, Hash: hash}
}

func prefixOf(role state.Role) (string, error) {
	switch role {
	case state.RoleAgent:
		return keyTokenPrefix, nil
	case state.RoleAdmin:
		return adminTokenPrefix, nil
	case state.RolePerson:
		return sessionPrefix, nil
	default:
		return "", fmt.Errorf("role %q has no keys", string(role))
	}
}

// appendBase32 writes src five bits at a time; the last character is filled up with zero bits.
func appendBase32(dst, src []byte) []byte {
	var bits, have uint
	for _, b := range src {
		bits = bits<<8 | uint(b)
		for have += 8; have >= 5; have -= 5 {
			dst = append(dst, base32Alphabet[bits>>(have-5)&31])
		}
	}
	if have > 0 {
		dst = append(dst, base32Alphabet[bits<<(5-have)&31])
	}
	return dst
}

func isBase32(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c >= '0' && c <= '9' {
			continue
		}
		if c < 'a' || c > 'z' || c == 'i' || c == 'l' || c == 'o' || c == 'u' {
			return false
		}
	}
	return true
}

const (
	refPrefix = "p_"
	refChars  = 26 // 130 bits
	refRoom   = 64 // bytes that the name of a principal is made for
)

// PrincipalRef is how an entry names a principal. A user is named by a keyed digest: the same user is always the same
// reference, and who it is cannot be guessed without the key. Services and organizations are no persons and keep their id.
func PrincipalRef(key []byte, p gov.Principal) string {
	return PrincipalRefBy(hmac.New(sha256.New, key), p)
}

// PrincipalRefBy is PrincipalRef with a keyed hash, HMAC-SHA-256 and reset.
func PrincipalRefBy(mac hash.Hash, p gov.Principal) string {
	if p.Type == gov.PrincipalService || p.Type == gov.PrincipalOrganization {
		return p.ID
	}
	room := append(append(append(make([]byte, 0, refRoom), p.Type...), 0), p.ID...)
	mac.Write(room)
	var text [len(refPrefix) + 52]byte
	return string(appendBase32(append(text[:0], refPrefix...), mac.Sum(room[:0]))[:len(refPrefix)+refChars])
}
