package policy

import "github.com/cedar-policy/cedar-go/x/exp/ast"

// reads is what policies look at in a call's context, so that no more is made of an input than is asked of it.
type reads struct {
	everything bool            // the context as a value
	context    map[string]bool // its attributes
	all        bool            // the input as a whole
	fields     map[string]bool // of the input, at the top
}

func newReads() reads { return reads{context: map[string]bool{}, fields: map[string]bool{}} }

// look takes in what a rule's conditions read.
func (r *reads) look(rule *rule) {
	for _, c := range internalAST(rule.policy).Conditions {
		r.node(c.Body)
	}
}

// node looks at an expression from the outside in: what is known to read one part stops there.
func (r *reads) node(n ast.IsNode) {
	ast.Inspect(ast.NewNode(n), func(n ast.IsNode) bool {
		switch n := n.(type) {
		case ast.NodeTypeAccess:
			return !r.part(n.Arg, string(n.Value))
		case ast.NodeTypeHas:
			return !r.part(n.Arg, string(n.Value))
		case ast.NodeTypeVariable:
			if n.Name == "context" {
				r.everything, r.all = true, true
			}
		}
		return true
	})
}

// part takes in arg.name or arg has name, if arg is the context or its input.
func (r *reads) part(arg ast.IsNode, name string) bool {
	if v, ok := arg.(ast.NodeTypeVariable); ok && v.Name == "context" {
		r.context[name] = true
		r.all = r.all || name == "input" || name == "unrepresentable"
		return true
	}
	if path, ok := inputPath(arg); ok && len(path) == 0 {
		r.context["input"], r.fields[name] = true, true
		return true
	}
	return false
}

// of gives the part of an input that is read.
func (r *reads) of(input map[string]any) map[string]any {
	if r.all {
		return input
	}
	part := make(map[string]any, len(r.fields))
	for name := range r.fields {
		if v, ok := input[name]; ok {
			part[name] = v
		}
	}
	return part
}
