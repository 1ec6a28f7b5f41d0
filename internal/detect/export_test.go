package detect

import (
	jsonv2 "github.com/go-json-experiment/json"

	"github.com/writ-dev/writ/internal/canon"
)

// Reading is a decision as one of the two ways to read it gives it.
type Reading struct {
	Entry canon.Entry // kind, id and time
	ruled
	Who string
}

// Reader reads in both ways. It is used again and again, as a state does.
type Reader struct{ plain plain }

// Plain reads an entry in the quick way, if that can.
func (r *Reader) Plain(raw []byte) (Reading, bool) {
	e, d, ok := r.plain.decision(raw, true)
	if !ok {
		return Reading{}, false
	}
	out := Reading{Entry: e, ruled: *d, Who: d.who()}
	out.decided.principal = ""
	return out, true
}

// AtLength reads an entry with the library.
func (r *Reader) AtLength(raw []byte) (Reading, error) {
	e, err := canon.Parse(raw)
	if err != nil {
		return Reading{}, err
	}
	out := Reading{Entry: canon.Entry{Kind: e.Kind, ID: e.ID, At: e.At}}
	err = jsonv2.Unmarshal(e.Body, &out.ruled)
	out.Who = out.who()
	return out, err
}
