package writ

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"time"
)

var (
	decisionIDRE = regexp.MustCompile(`^dec_[0-9a-z]{1,64}$`)
	resultIDRE   = regexp.MustCompile(`^res_[0-9a-z]{1,64}$`)
	leafHashRE   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// readDecision reads the answer to a call and insists that it is whole. Fields that it does not know are ignored, so that an
// older client understands a newer server; those that it needs must be there under exactly their names.
func readDecision(data []byte, call Call) (*Decision, error) {
	var d struct {
		Decision
		// A server may say which call it answers. If it does, it must be this one.
		CallID *string `json:"call_id"`
		Agent  *string `json:"agent"`
		Tool   *string `json:"tool"`
	}
	if err := readWhole(data, &d, "id", "outcome", "mode", "reasons", "policies", "receipt", "at"); err != nil {
		return nil, err
	}
	if other(d.CallID, call.CallID) || other(d.Agent, call.Agent) || other(d.Tool, call.Tool) {
		return nil, garbled("the answer is for another call")
	}
	switch {
	case !decisionIDRE.MatchString(d.ID):
		return nil, garbled("the answer names no decision")
	case !d.Outcome.known():
		return nil, garbled("the answer has the outcome %q", d.Outcome)
	case d.Mode != Enforce && d.Mode != Observe:
		return nil, garbled("the answer has the mode %q", d.Mode)
	case d.Would != "" && !d.Would.known():
		return nil, garbled("the answer would have had the outcome %q", d.Would)
	case len(d.Reasons) == 0:
		return nil, garbled("the answer gives no reason")
	}
	return &d.Decision, d.Receipt.check()
}

func other(said *string, want string) bool { return said != nil && *said != want }

// recorded is the answer to a report.
type recorded struct {
	ID       string    `json:"id"`
	Decision string    `json:"decision"`
	Status   Status    `json:"status"`
	Receipt  Receipt   `json:"receipt"`
	At       time.Time `json:"at"`
}

func readRecorded(data []byte, decisionID string, status Status) error {
	var r recorded
	if err := readWhole(data, &r, "id", "decision", "receipt", "at"); err != nil {
		return err
	}
	if !resultIDRE.MatchString(r.ID) || r.Decision != decisionID || r.Status != "" && r.Status != status {
		return garbled("the answer is for another result")
	}
	return r.Receipt.check()
}

func (r Receipt) check() error {
	if r.Ledger == "" || r.Index < 0 || !leafHashRE.MatchString(r.LeafHash) {
		return garbled("the answer has no whole receipt, so nothing says that it was recorded")
	}
	return nil
}

// readWhole reads an answer that must have the named fields and a receipt with all of its own.
func readWhole(data []byte, out any, names ...string) error {
	if err := oneMeaning(data, 1); err != nil {
		return err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return garbled("the answer is not what it should be: %v", err)
	}
	fields, err := present(data, names...)
	if err != nil {
		return err
	}
	_, err = present(fields["receipt"], "ledger", "index", "leaf_hash")
	return err
}

// present insists that an object has the names, spelt exactly so, and not as null. encoding/json takes any case.
func present(data []byte, names ...string) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, garbled("the answer is not what it should be: %v", err)
	}
	for _, name := range names {
		if value, ok := fields[name]; !ok || string(value) == "null" {
			return nil, garbled("the answer has no %s", name)
		}
	}
	return fields, nil
}

const depthMax = 32

// oneMeaning refuses JSON that two readers may understand differently: an object with a name twice, in whatever case. One of
// them could read deny where the other reads allow.
func oneMeaning(data []byte, depth int) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	open, err := dec.Token()
	if err != nil {
		return garbled("the answer is not JSON: %v", err)
	}
	object := open == json.Delim('{')
	if !object && open != json.Delim('[') {
		return nil
	}
	if depth > depthMax {
		return garbled("the answer is nested deeper than %d levels", depthMax)
	}
	seen := map[string]bool{}
	for dec.More() {
		if object {
			if err := newName(dec, seen); err != nil {
				return err
			}
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return garbled("the answer is not JSON: %v", err)
		}
		if err := oneMeaning(value, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func newName(dec *json.Decoder, seen map[string]bool) error {
	token, err := dec.Token()
	if err != nil {
		return garbled("the answer is not JSON: %v", err)
	}
	name, _ := token.(string)
	folded := strings.ToUpper(strings.ToLower(name)) // both, which also joins the other letters that encoding/json takes for k and s
	if seen[folded] {
		return garbled("the answer has the name %q twice", name)
	}
	seen[folded] = true
	return nil
}

// answersMax is how many decisions a client remembers.
const answersMax = 1024

// answers remembers for which call a decision was given. A cache or a broken proxy that gives the answer of one call to
// another would let that one run without a record; the contract has a decision for each call, so this finds it out.
type answers struct {
	mu    sync.Mutex
	calls map[string]string // by decision
	order [answersMax]string
	next  int
}

// taken says whether the decision was given for another call, and remembers that it is for this one.
func (a *answers) taken(decision, call string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls == nil {
		a.calls = make(map[string]string, answersMax)
	}
	if earlier, ok := a.calls[decision]; ok {
		return earlier != call
	}
	delete(a.calls, a.order[a.next])
	a.calls[decision], a.order[a.next] = call, decision
	a.next = (a.next + 1) % answersMax
	return false
}
