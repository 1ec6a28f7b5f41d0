package gov

// DelegationState is how far a standing consent has come. It has the id of the entry that asked for it.
type DelegationState string

// The states. Only granted lifts a gate.
const (
	DelegationPending DelegationState = "pending"
	DelegationGranted DelegationState = "granted"
	DelegationDenied  DelegationState = "denied"
	DelegationExpired DelegationState = "expired" // nobody decided in time
	DelegationEnded   DelegationState = "ended"   // by a person, before its time
	DelegationUsedUp  DelegationState = "used_up" // as often as it allows
	DelegationOver    DelegationState = "over"    // until its time
	DelegationLapsed  DelegationState = "lapsed"  // its policy, or the tool it names, is another one by now
)

// Valid says whether s is one of the states.
func (s DelegationState) Valid() bool {
	switch s {
	case DelegationPending, DelegationGranted, DelegationDenied, DelegationExpired, DelegationEnded, DelegationUsedUp, DelegationOver, DelegationLapsed:
		return true
	}
	return false
}
