package canon

import (
	"encoding/base32"
	"encoding/binary"
	"strings"

	"github.com/writ-dev/writ/internal/gov"
)

// NonceSize is how many random bytes an id carries.
const NonceSize = 10

// Nonce makes the ids of two entries at the same index of two ledgers differ, and keeps ids from being guessed.
type Nonce [NonceSize]byte

const (
	idAlphabet   = "0123456789abcdefghjkmnpqrstvwxyz"
	idPrefixSize = 4  // "dec_"
	idTailSize   = 26 // base32 of 16 bytes
	idSize       = idPrefixSize + idTailSize
	indexBytes   = 16 - NonceSize
)

func idEncoding() *base32.Encoding {
	return base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding)
}

// appendID writes the id of the entry at index: the prefix of its kind, then the index (48 bits) and the nonce in base32.
// So ids sort as the entries do, and an entry is found by its id without an index of ids.
func appendID(dst []byte, enc *base32.Encoding, kind Kind, index int64, nonce Nonce) []byte {
	var raw [16]byte
	var wide [8]byte
	binary.BigEndian.PutUint64(wide[:], uint64(index))
	copy(raw[:indexBytes], wide[8-indexBytes:])
	copy(raw[indexBytes:], nonce[:])
	dst = append(dst, kind.idPrefix()...)
	return enc.AppendEncode(dst, raw[:])
}

// IndexOf is the index at which the entry with this id must stand, and the prefix of its kind. ok is false for what is no id.
func IndexOf(id gov.EntryID) (index int64, prefix string, ok bool) {
	s := string(id)
	if len(s) != idSize {
		return 0, "", false
	}
	prefix, tail := s[:idPrefixSize], s[idPrefixSize:]
	raw, err := idEncoding().DecodeString(tail)
	if err != nil || len(raw) != 16 || strings.ToLower(tail) != tail {
		return 0, "", false
	}
	var wide [8]byte
	copy(wide[8-indexBytes:], raw[:indexBytes])
	return int64(binary.BigEndian.Uint64(wide[:])), prefix, true
}

// IDAt is the id that an entry of a kind would have at an index, with a nonce of zeros: of what is no entry of a ledger.
func IDAt(kind Kind, index int64) gov.EntryID {
	return gov.EntryID(appendID(nil, idEncoding(), kind, index, Nonce{}))
}
