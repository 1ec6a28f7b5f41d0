// Package canon is the one byte form of things: of an entry of the ledger, of a call's input (RFC 8785), of the commitment
// that stands in an entry for what may be erased, and of an id.
//
// It promises that what it encodes it decodes to the same value, that one value has one encoding, and that the encoding of a
// kind never changes while its version is 1: a golden file holds each. It is pure: no clock, no randomness, no I/O.
package canon
