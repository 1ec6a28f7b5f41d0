package taint

import (
	"bytes"
	"slices"
)

// Digest stands for an identifier in a session's marks: half of a keyed hash, so that marks tell nobody what was seen.
type Digest [digestSize]byte

// Flag is what a session knows of an identifier.
type Flag byte

// What a session knows of an identifier.
const (
	Trusted Flag = 1 + iota // a person, the agent itself or a trusted tool named it
	Tainted                 // untrusted results alone did
	Near                    // as Tainted, and a finding of the scanner was near it
)

const (
	digestSize = 8
	markSize   = digestSize + 1
	marksMax   = 128 // of one session; the oldest are forgotten
)

// Mark is what a session learns of one identifier.
type Mark struct {
	Digest Digest
	Flag   Flag
}

// Lookup gives what marks know of an identifier. Marks are of 9 bytes each, the oldest first.
func Lookup(marks []byte, d Digest) (Flag, bool) {
	for at := 0; at+markSize <= len(marks); at += markSize {
		if bytes.Equal(marks[at:at+digestSize], d[:]) {
			return Flag(marks[at+digestSize]), true
		}
	}
	return 0, false
}

// Learn gives marks with what was learnt. What was trusted once stays trusted, and what is trusted now is tainted no more; what is
// tainted and found near a finding stays near.
func Learn(had []byte, learnt []Mark) []byte {
	out := slices.Clone(had)
	for _, m := range learnt {
		at := 0
		for at+markSize <= len(out) && !bytes.Equal(out[at:at+digestSize], m.Digest[:]) {
			at += markSize
		}
		if at+markSize <= len(out) {
			if known := Flag(out[at+digestSize]); known != Trusted && (m.Flag == Trusted || m.Flag > known) {
				out[at+digestSize] = byte(m.Flag)
			}
			continue
		}
		out = append(append(out, m.Digest[:]...), byte(m.Flag))
	}
	return out[max(0, len(out)-marksMax*markSize):]
}
