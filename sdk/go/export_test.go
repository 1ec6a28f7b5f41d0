package writ

// The bounds that tests compare with the vectors.
const (
	TryMax        = tryMax
	WaitFirst     = waitFirst
	WaitMax       = waitMax
	RetryAfterMax = retryAfterMax
	AnswersMax    = answersMax
)
