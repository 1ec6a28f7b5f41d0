package scan

import (
	"math/bits"
	"slices"
)

// RuleTooLong is the rule of a text that is longer than ContentBytesMax and was not scanned.
const RuleTooLong = "too-long"

// rule is a sequence of classes of words, each at most so many tokens after the one before: an automaton with one state for
// each step, which takes constant time for each token.
type rule struct {
	id     string
	alone  bool // it may be reported by itself, if it is rare in harmless texts
	steps  []step
	across bool // it may go on in the next sentence
}

// step accepts a token that has one of the classes, and is at the start of a sentence if that is asked.
type step struct {
	any   class
	gap   int // tokens that may stand in between, in the same sentence
	start bool
}

func (st *step) accepts(k *token) bool {
	return k.classes&st.any != 0 && (!st.start || k.flags&atStart != 0)
}

const stepsMax = 6

// rules are in the order in which the model knows them: add at the end.
func rules() []rule {
	return []rule{
		{"override-instructions", true, []step{{any: override}, {any: prior | all | yours | system, gap: 3}, {any: instruction, gap: 3}}, false},
		{"override-prior", true, []step{{any: override}, {any: all, gap: 1}, {any: prior, gap: 4}, {any: topic | you | must, gap: 4}}, false},
		{"new-instructions", false, []step{{any: fresh}, {any: instruction | task, gap: 2}, {any: act | send | read | reveal | say | must | please | you, gap: 4}}, true},
		{"reveal-prompt", true, []step{{any: reveal}, {any: system | prior | you, gap: 4}, {any: instruction, gap: 2}}, false},
		{"address-model", true, []step{{any: follower | urgent}, {any: forTo, gap: 2}, {any: model, gap: 4}}, false},
		{"if-model", false, []step{{any: condition}, {any: you, gap: 1}, {any: model, gap: 4}}, false},
		{"model-must", false, []step{{any: model}, {any: must | please, gap: 3}, {any: act | send | read | reveal | override | obey | say, gap: 3}}, false},
		{"conceal-from-person", true, []step{{any: negation | without}, {any: told, gap: 1}, {any: user, gap: 3}}, false},
		{"conceal-act", true, []step{{any: concealed}, {any: send | act | read, gap: 3}, {any: secret | address | money | access, gap: 8}}, false},
		{"first-this", false, []step{{any: before}, {any: act | respond | task | you, gap: 3}, {any: task, gap: 6}, {any: first | must | please, gap: 10}, {any: follow | first | act | send, gap: 4}}, true},
		{"persona-mode", true, []step{{any: persona | you | now}, {any: mode, gap: 6}}, false},
		{"no-limits", false, []step{{any: negation | without}, {any: unsafe, gap: 3}, {any: unsafe | all | mode | persona, gap: 8}}, false},
		{"send-secret", false, []step{{any: send}, {any: secret, gap: 8}, {any: address, gap: 12}}, false},
		{"read-and-send", false, []step{{any: read}, {any: secret, gap: 8}, {any: send, gap: 10}}, true},
		{"obey-following", false, []step{{any: must | please}, {any: obey, gap: 3}, {any: follow | possessive | fresh, gap: 3}, {any: instruction | task, gap: 4}}, false},
		{"done-then-new", false, []step{{any: task | instruction}, {any: done, gap: 3}, {any: now | fresh | first, gap: 8}, {any: act | send | read | must | please | you | task, gap: 6}}, true},
		{"before-tool", true, []step{{any: before}, {any: tool, gap: 4}, {any: read | send, gap: 8}, {any: secret, gap: 8}}, true},
		{"say-exactly", false, []step{{any: respond, start: true}, {any: only | instead | say, gap: 4}, {any: say | only, gap: 4}}, false},
		{"urgent-order", false, []step{{any: urgent, start: true}, {any: must | please | you, gap: 8}, {any: send | act | read | override, gap: 6}, {any: address | secret | money, gap: 12}}, false},
		{"overriding", false, []step{{any: overriding}, {any: prior | all | yours | system, gap: 3}, {any: instruction | task | topic, gap: 4}}, false},
		{"upkeep-mode", false, []step{{any: persona | you | now}, {any: upkeep, gap: 4}, {any: upkeep, gap: 1}}, false},
		{"override-topic", false, []step{{any: override}, {any: prior | all | yours | possessive | system, gap: 3}, {any: task | topic, gap: 4}}, false},
		{"reading-model", false, []step{{any: model}, {any: reading, gap: 3}, {any: possessive | yours | must, gap: 4}}, false},
		{"when-reading", false, []step{{any: condition | before}, {any: you | model, gap: 2}, {any: reading | respond, gap: 2}, {any: must | please | act | send | read, gap: 8}}, false},
		{"unseen-by-person", true, []step{{any: user}, {any: negation, gap: 2}, {any: noticing, gap: 3}}, false},
		{"person-unaware", false, []step{{any: negation | without}, {any: user | person, gap: 3}, {any: noticing | told, gap: 2}}, false},
		{"no-confirmation", false, []step{{any: negation | without}, {any: confirming, gap: 3}, {any: user | permitted | confirming, gap: 3}}, false},
		{"out-of-answer", false, []step{{any: negation | concealed | without | override | overriding}, {any: told | say | inform, gap: 2}, {any: answering, gap: 6}}, false},
		{"outranks", false, []step{{any: outranking}, {any: instruction | system | all | user | prior, gap: 4}, {any: instruction | all | task | topic, gap: 4}}, false},
		{"your-real-task", false, []step{{any: yours | user | possessive | model}, {any: fresh | only, gap: 1}, {any: task | instruction, gap: 2}}, false},
		{"or-else", false, []step{{any: condition | penalty}, {any: you | negation | penalty, gap: 2}, {any: penalty, gap: 8}, {any: act | send | respond | read, gap: 12}}, true},
		{"instructions-elsewhere", false, []step{{any: instruction}, {any: address, gap: 6}}, false},
		{"for-model", false, []step{{any: forTo | follower | urgent, start: true}, {any: model | machine, gap: 3}}, false},
		{"model-first", false, []step{{any: model, start: true}, {any: must | please | act | send | read | reveal | override | say, gap: 3}}, true},
		{"permitted-already", false, []step{{any: user | model | you}, {any: permitted, gap: 4}, {any: act | send | forTo, gap: 4}}, false},
		{"stop-task", false, []step{{any: override | overriding | negation, start: true}, {any: user | prior | task | reading | respond, gap: 3}, {any: task | topic, gap: 4}, {any: instead | now | fresh | first, gap: 8}}, true},
		{"you-are-now", false, []step{{any: you}, {any: now | negation, gap: 2}, {any: model | mode | persona | upkeep | without, gap: 6}}, false},
		{"grant-access", false, []step{{any: act | must}, {any: access, gap: 3}, {any: forTo, gap: 4}, {any: address | person, gap: 5}}, false},
	}
}

// Alone lists the rules that may be reported by themselves: the others only help the model.
func Alone() []string {
	var out []string
	for _, r := range rules() {
		if r.alone {
			out = append(out, r.id)
		}
	}
	return append(out, structures()...)
}

// Rules lists the ids of every rule: those over words and those of structure.
func Rules() []string {
	var out []string
	for _, r := range rules() {
		out = append(out, r.id)
	}
	return append(out, structures()...)
}

// hit is a place where a rule fired, as offsets in the folded text.
type hit struct {
	id         string
	number     int // of the rule; structures come after
	from, to   int
	token      int // the last token of it, or -1
	guarded    bool
	structural bool
}

const hitsMax = 4096 // of one layer; the model still sees the whole

// state is how far a rule has come: for each step the latest place where the steps up to it were met, and where they began.
type state [stepsMax]struct{ at, from int }

// match runs all rules over the tokens. For each step it keeps the latest place where the steps up to it were met: whatever may
// follow within a gap may follow that.
func (s *Scanner) match(m *scratch, hits []hit, tokens []token) []hit {
	m.states = slices.Grow(m.states[:0], len(s.rules))[:len(s.rules)]
	for i := range m.states {
		for k := range m.states[i] {
			m.states[i][k].at = -1 << 30
		}
	}
	begun, sentence := uint64(0), int32(-1) // the rules whose first step was met, in this sentence if they end with it
	for i := range tokens {
		classes := tokens[i].classes
		if classes == 0 {
			continue
		}
		if tokens[i].sentence != sentence {
			begun, sentence = begun&s.asking.across, tokens[i].sentence
		}
		var first, later uint64
		for ; classes != 0; classes &= classes - 1 {
			c := bits.TrailingZeros64(uint64(classes))
			first, later = first|s.asking.first[c], later|s.asking.later[c]
		}
		asked := first | later&begun
		begun |= first
		for ; asked != 0; asked &= asked - 1 {
			n := bits.TrailingZeros64(asked)
			if h, ok := s.rules[n].advance(&m.states[n], tokens, i); ok && len(hits) < hitsMax {
				h.number = n
				hits = append(hits, h)
			}
		}
	}
	return hits
}

// advance takes a token and returns a hit when it was the last that the rule waited for.
func (r *rule) advance(st *state, tokens []token, i int) (hit, bool) {
	t, found := &tokens[i], hit{}
	done := false
	for k := len(r.steps) - 1; k >= 0; k-- {
		if !r.steps[k].accepts(t) {
			continue
		}
		from := i
		if k > 0 {
			if at := st[k-1].at; i-at-1 > r.steps[k].gap || at >= i || tokens[at].sentence != t.sentence && !r.across {
				continue
			}
			from = st[k-1].from
		}
		if k < len(r.steps)-1 {
			st[k].at, st[k].from = i, from
			continue
		}
		first := &tokens[from]
		found = hit{id: r.id, from: int(first.start), to: int(t.end), token: i, guarded: first.flags&(inQuote|inCode|inExample) != 0 || t.flags&inCode != 0}
		done = true
	}
	return found, done
}

// asking says of each class which rules begin with it and which have it later, as bits; across are those that cross sentences.
type asking struct {
	first, later [64]uint64
	across       uint64
}

func askingOf(rules []rule) asking {
	if len(rules) > 64 {
		panic("more rules than bits")
	}
	var out asking
	for n, r := range rules {
		if r.across {
			out.across |= 1 << n
		}
		for k, st := range r.steps {
			for left := st.any; left != 0; left &= left - 1 {
				c := bits.TrailingZeros64(uint64(left))
				if k == 0 {
					out.first[c] |= 1 << n
				} else {
					out.later[c] |= 1 << n
				}
			}
		}
	}
	return out
}
