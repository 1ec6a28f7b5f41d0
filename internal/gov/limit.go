package gov

// Priced is how the cost of a call is known.
type Priced string

// The ways, in the order in which they are asked.
const (
	PricedReported Priced = "reported" // the agent says what was billed
	PricedBundle   Priced = "bundle"   // the bundle has a price for the model (prices.yaml)
	PricedTable    Priced = "table"    // list prices
	PricedUnpriced Priced = "unpriced" // nobody knows: what was reserved is kept
)
