package policy

// Fits says whether the fast check takes a value for a schema.
func Fits(schema []byte, v any) bool {
	f := fitOf(schema)
	return f != nil && f.fits(v)
}

// WithoutIndex gives an engine that offers every policy to Cedar for every call.
func WithoutIndex(e *Engine) *Engine {
	for _, t := range e.tools {
		for _, p := range t.places {
			p.rules = index{any: e.policies}
			p.reads = newReads()
			for _, r := range e.policies {
				p.reads.look(r)
			}
		}
	}
	return e
}
