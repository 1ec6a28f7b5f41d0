package gov

import "time"

// SwitchScope says which calls a kill switch stops. Exactly one of the fields is set.
type SwitchScope struct {
	All       bool      `json:"all,omitzero"` // everything in the environment
	Agent     AgentID   `json:"agent,omitempty"`
	Tool      ToolName  `json:"tool,omitempty"`
	Category  Category  `json:"category,omitempty"`
	Principal string    `json:"principal,omitempty"` // type:ref as records name it: a user by the opaque reference
	Session   SessionID `json:"session,omitempty"`
}

// Valid reports whether exactly one field is set, and well formed.
func (s SwitchScope) Valid() bool {
	n := 0
	for _, set := range []bool{s.All, s.Agent != "", s.Tool != "", s.Category != "", s.Principal != "", s.Session != ""} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return false
	case s.Agent != "":
		return ValidName(string(s.Agent))
	case s.Tool != "":
		return ValidTool(string(s.Tool))
	case s.Principal != "":
		_, err := ParsePrincipal(s.Principal)
		return err == nil
	case s.Session != "":
		return ValidOpaque(string(s.Session))
	case s.Category != "":
		return s.Category.valid()
	}
	return true
}

func (c Category) valid() bool {
	for _, known := range Categories() {
		if c == known {
			return true
		}
	}
	return false
}

// String is how people are told of a scope: "everything", "agent support-bot".
func (s SwitchScope) String() string {
	switch {
	case s.Agent != "":
		return "agent " + string(s.Agent)
	case s.Tool != "":
		return "tool " + string(s.Tool)
	case s.Category != "":
		return "category " + string(s.Category)
	case s.Principal != "":
		return "principal " + s.Principal
	case s.Session != "":
		return "session " + string(s.Session)
	}
	return "everything"
}

// SwitchStage is how far a kill switch stops what it is for.
type SwitchStage string

// The stages, from the strictest on. Recovery goes through them in this order; it may leave some out.
const (
	SwitchStopped  SwitchStage = "stopped"  // every call is denied
	SwitchObserve  SwitchStage = "observe"  // every call is denied, and the record says what it would have been
	SwitchShare    SwitchStage = "share"    // a share of the sessions passes, the others are denied
	SwitchReleased SwitchStage = "released" // it stops nothing any more
)

// rank orders the stages.
func (s SwitchStage) rank() int {
	switch s {
	case SwitchObserve:
		return 1
	case SwitchShare:
		return 2
	case SwitchReleased:
		return 3
	case SwitchStopped:
	}
	return 0
}

// Step is where a switch is to go: a stage and, with share, how many of a hundred sessions pass.
type Step struct {
	Stage SwitchStage `json:"stage"`
	Share int         `json:"share,omitzero"` // 1 to 99
}

// Valid reports whether s is a stage with the share that it needs.
func (s Step) Valid() bool {
	switch s.Stage {
	case SwitchShare:
		return s.Share >= 1 && s.Share <= 99
	case SwitchStopped, SwitchObserve, SwitchReleased:
		return s.Share == 0
	}
	return false
}

// Looser reports whether s lets more calls pass than other: it is what may need a second person.
func (s Step) Looser(other Step) bool {
	passes := func(s Step) bool { return s.Stage.rank() >= SwitchShare.rank() }
	return passes(s) && (s.Stage.rank() > other.Stage.rank() || s.Stage == other.Stage && s.Share > other.Share)
}

// SwitchState is how far a switch has come, as lists ask for it.
type SwitchState string

// The states of a switch.
const (
	SwitchIsEngaged  SwitchState = "engaged"
	SwitchIsReleased SwitchState = "released"
	SwitchIsExpired  SwitchState = "expired" // its time was over
)

// Valid says whether s is one of the states.
func (s SwitchState) Valid() bool {
	return s == SwitchIsEngaged || s == SwitchIsReleased || s == SwitchIsExpired
}

// Switch is an engaged kill switch. It has the id of the entry that engaged it.
type Switch struct {
	ID EntryID
	SwitchScope
	Step
	Reason string
	Until  time.Time // zero: until somebody releases it
	People int       // how many people it takes to let calls pass again
}
