package policy

import (
	"fmt"
	"math/big"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// unbounded says which arithmetic of a policy an agent could make overflow by choosing its input, or nothing. An overflow is
// an error, and an error denies; but a policy that an agent can break at will is not one to put into force.
func (e *Engine) unbounded(r *rule) string {
	what := ""
	scope := internalAST(r.policy)
	for _, t := range e.tools {
		parents := make([]types.EntityUID, len(t.Categories))
		for i, c := range t.Categories {
			parents[i] = uid(typeAction, string(c))
		}
		action := types.Entity{UID: uid(typeAction, string(t.Name)), Parents: types.NewEntityUIDSet(parents...)}
		if !within(scope.Action, action) {
			continue
		}
		for _, c := range scope.Conditions {
			ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
				if isArithmetic(n) && readsInput(n) {
					if _, ok := intervalOf(n, t.shape); !ok && (what == "" || string(t.Name) < what) {
						what = string(t.Name)
					}
					return false
				}
				return true
			})
		}
	}
	if what == "" {
		return ""
	}
	return fmt.Sprintf("arithmetic on context.input can overflow for %s", what)
}

func isArithmetic(n ast.IsNode) bool {
	switch n.(type) {
	case ast.NodeTypeAdd, ast.NodeTypeSub, ast.NodeTypeMult, ast.NodeTypeNegate:
		return true
	}
	return false
}

func readsInput(n ast.IsNode) bool {
	found := false
	ast.Inspect(ast.NewNode(n), func(n ast.IsNode) bool {
		if _, ok := inputPath(n); ok {
			found = true
		}
		return !found
	})
	return found
}

// inputPath reads context.input.a.b as a, b.
func inputPath(n ast.IsNode) ([]string, bool) {
	access, ok := n.(ast.NodeTypeAccess)
	if !ok {
		return nil, false
	}
	if v, ok := access.Arg.(ast.NodeTypeVariable); ok {
		return nil, v.Name == "context" && access.Value == "input"
	}
	path, ok := inputPath(access.Arg)
	return append(path, string(access.Value)), ok
}

// interval has the least and the greatest value of an expression.
type interval struct{ lo, hi *big.Int }

// intervalOf bounds an expression over Longs. ok is false where it cannot be bounded within a Long.
func intervalOf(n ast.IsNode, s shape) (interval, bool) {
	switch n := n.(type) {
	case ast.NodeValue:
		long, ok := n.Value.(types.Long)
		return point(int64(long)), ok
	case ast.NodeTypeAccess:
		return fieldInterval(n, s)
	case ast.NodeTypeNegate:
		x, ok := intervalOf(n.Arg, s)
		if !ok {
			return x, false
		}
		return fits(interval{new(big.Int).Neg(x.hi), new(big.Int).Neg(x.lo)})
	case ast.NodeTypeAdd:
		return combine(n.BinaryNode, s, func(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) })
	case ast.NodeTypeSub:
		return combine(n.BinaryNode, s, func(a, b *big.Int) *big.Int { return new(big.Int).Sub(a, b) })
	case ast.NodeTypeMult:
		return combine(n.BinaryNode, s, func(a, b *big.Int) *big.Int { return new(big.Int).Mul(a, b) })
	}
	return interval{}, false
}

func point(n int64) interval { return interval{big.NewInt(n), big.NewInt(n)} }

// combine takes the extremes over the corners, which is right for sums, differences and products.
func combine(n ast.BinaryNode, s shape, op func(a, b *big.Int) *big.Int) (interval, bool) {
	left, ok := intervalOf(n.Left, s)
	right, ok2 := intervalOf(n.Right, s)
	if !ok || !ok2 {
		return interval{}, false
	}
	out := interval{}
	for _, a := range []*big.Int{left.lo, left.hi} {
		for _, b := range []*big.Int{right.lo, right.hi} {
			v := op(a, b)
			if out.lo == nil || v.Cmp(out.lo) < 0 {
				out.lo = v
			}
			if out.hi == nil || v.Cmp(out.hi) > 0 {
				out.hi = v
			}
		}
	}
	return fits(out)
}

func fits(x interval) (interval, bool) { return x, x.lo.IsInt64() && x.hi.IsInt64() }

// fieldInterval bounds a field by its schema. A tool that has no such field never gets that far: reading it is an error
// that the type check found, or is behind a has.
func fieldInterval(n ast.NodeTypeAccess, s shape) (interval, bool) {
	path, ok := inputPath(n)
	if !ok {
		return interval{}, false
	}
	for _, name := range path {
		f, ok := s.fields[name]
		if !ok {
			return point(0), true
		}
		s = f.shape
	}
	if s.kind != kindLong || s.min == nil || s.max == nil {
		return interval{}, false
	}
	return interval{big.NewInt(*s.min), big.NewInt(*s.max)}, true
}
