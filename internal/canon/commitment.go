package canon

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Group is an erasure group: what is committed to, disclosed and erased together.
type Group string

// The erasure groups of an entry.
const (
	GroupPrincipal Group = "principal"
	GroupInput     Group = "input"
	GroupOutput    Group = "output"
	GroupText      Group = "text" // free text, such as an error message
)

// SaltSize is 128 bits: without the salt, kept with the payload, a commitment to a guessable value says nothing.
const SaltSize = 16

// Salt is random, of one entry and group.
type Salt [SaltSize]byte

// Commitment is the hexadecimal SHA-256 over salt, group, a zero byte and the canonical form of a value.
type Commitment string

// Sealed is a value with the salt of its commitment.
type Sealed struct {
	Salt  string         `json:"salt"` // hexadecimal
	Value jsontext.Value `json:"value"`
}

// Payload is what may be erased of an entry, by group. The entry holds a Commitment for each.
type Payload map[Group]Sealed

// Seal makes the sealed form of a canonical value and the commitment to it.
func Seal(salt Salt, group Group, canonical []byte) (Sealed, Commitment) {
	return Sealed{Salt: hex.EncodeToString(salt[:]), Value: canonical}, commit(salt[:], group, canonical)
}

// Seal adds the value of a group to p, with a salt read from random, and the commitment to it to commitments.
func (p Payload) Seal(random io.Reader, commitments map[Group]Commitment, group Group, canonical []byte) error {
	var salt Salt
	if _, err := io.ReadFull(random, salt[:]); err != nil {
		return fmt.Errorf("read randomness: %w", err)
	}
	p[group], commitments[group] = Seal(salt, group, canonical)
	return nil
}

// Commitment recomputes the commitment to s.
func (s Sealed) Commitment(group Group) (Commitment, error) {
	salt, err := hex.DecodeString(s.Salt)
	if err != nil || len(salt) != SaltSize {
		return "", fmt.Errorf("salt of group %s is not %d hexadecimal bytes", group, SaltSize)
	}
	return commit(salt, group, s.Value), nil
}

func commit(salt []byte, group Group, canonical []byte) Commitment {
	h := sha256.New()
	h.Write(append(append(append(make([]byte, 0, len(salt)+len(group)+1), salt...), group...), 0))
	h.Write(canonical)
	return Commitment(hex.EncodeToString(h.Sum(nil)))
}

// Encode writes p with its groups in order. An empty payload is no bytes.
func (p Payload) Encode() []byte {
	if len(p) == 0 {
		return nil
	}
	parts := make([]Part, 0, len(p))
	for g, s := range p {
		parts = append(parts, Part{g, s})
	}
	slices.SortFunc(parts, func(a, b Part) int { return cmp.Compare(a.Group, b.Group) })
	return EncodeParts(parts...)
}

// Part is one group of a payload.
type Part struct {
	Group Group
	Sealed
}

// EncodeParts writes the payload that has these parts, one at least and in the order of their groups.
func EncodeParts(parts ...Part) []byte {
	const around = len(`,"":{"salt":"","value":}`)
	size := 1
	for _, p := range parts {
		size += len(p.Group) + len(p.Salt) + len(p.Value) + around
	}
	dst := make([]byte, 0, size)
	for i, p := range parts {
		mark := byte(',')
		if i == 0 {
			mark = '{'
		}
		dst = append(append(append(dst, mark, '"'), p.Group...), `":{"salt":"`...)
		dst = append(append(dst, p.Salt...), `","value":`...)
		dst = append(append(dst, p.Value...), '}')
	}
	return append(dst, '}')
}

// DecodePayload reads what Encode wrote.
func DecodePayload(data []byte) (Payload, error) {
	if len(data) == 0 {
		return Payload{}, nil
	}
	var p Payload
	if err := jsonv2.Unmarshal(data, &p, jsonv2.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("decode payload: %w", err)
	}
	return p, nil
}

// Check compares the payload with the commitments of its entry. It names the groups whose value or salt was changed, and
// those that are committed to but not there (erased).
func (p Payload) Check(commitments map[Group]Commitment) (changed, erased []Group) {
	for g, want := range commitments {
		s, ok := p[g]
		if !ok {
			erased = append(erased, g)
			continue
		}
		if got, err := s.Commitment(g); err != nil || got != want {
			changed = append(changed, g)
		}
	}
	for g := range p {
		if _, ok := commitments[g]; !ok {
			changed = append(changed, g)
		}
	}
	slices.Sort(changed)
	slices.Sort(erased)
	return changed, erased
}

// Value reads the sealed value of a group as ParseObject reads objects.
func (p Payload) Value(g Group) (map[string]any, error) { return ParseObject(p[g].Value) }

var _ json.Marshaler = Payload(nil)

// MarshalJSON is Encode, so that a payload is the same bytes wherever it is written.
func (p Payload) MarshalJSON() ([]byte, error) {
	if len(p) == 0 {
		return []byte("{}"), nil
	}
	return p.Encode(), nil
}
