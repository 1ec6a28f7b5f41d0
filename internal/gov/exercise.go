package gov

// ExerciseState is how far an exercise has come.
type ExerciseState string

// The states.
const (
	ExerciseRunning ExerciseState = "running"
	ExerciseDone    ExerciseState = "done"    // what came of it is filed
	ExerciseExpired ExerciseState = "expired" // its time was over before that; filing is still possible
)
