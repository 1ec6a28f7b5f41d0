package console

import (
	"bytes"
	"errors"
	"html/template"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// proseHeading is the level of the first heading in a text: what is above it belongs to the page.
const proseHeading = 3

// proseBytesMax is the longest text that is read as Markdown. A longer one is shown as it was written: some texts take time that is
// not linear in their length.
const proseBytesMax = 32 << 10

// newMarkdown reads the Markdown (CommonMark) that runbooks are written in. Whatever was written stays text: HTML is shown as it was
// written, links lead to addresses only, and pictures are links.
func newMarkdown() goldmark.Markdown {
	return goldmark.New(
		goldmark.WithParserOptions(parser.WithASTTransformers(util.Prioritized(proseShape{}, 100))),
		goldmark.WithRendererOptions(renderer.WithNodeRenderers(util.Prioritized(shownHTML{}, 100))),
	)
}

// prose makes HTML of a text.
func prose(markdown goldmark.Markdown, source string) (template.HTML, error) {
	if len(source) > proseBytesMax {
		return template.HTML("<pre>" + template.HTMLEscapeString(source) + "</pre>"), nil
	}
	var out bytes.Buffer
	err := markdown.Convert([]byte(source), &out)
	return template.HTML(out.String()), err
}

// proseShape fits the headings of a text into the page, without a step left out, and makes links of pictures: the page loads none.
type proseShape struct{}

// Transform changes the text before it is rendered.
func (proseShape) Transform(doc *ast.Document, _ text.Reader, _ parser.Context) {
	last := proseHeading - 1
	var pictures []*ast.Image
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // which errs only where this does
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			last = min(n.Level+proseHeading-1, last+1, 6)
			n.Level = last
		case *ast.Image:
			pictures = append(pictures, n)
		}
		return ast.WalkContinue, nil
	})
	for _, p := range pictures {
		link := ast.NewLink()
		link.Destination, link.Title = p.Destination, p.Title
		for child := p.FirstChild(); child != nil; child = p.FirstChild() {
			link.AppendChild(link, child)
		}
		p.Parent().ReplaceChild(p.Parent(), p, link)
	}
}

// shownHTML shows HTML as it was written: <agent> in a runbook is a word to put something else for.
type shownHTML struct{}

// RegisterFuncs takes the place of what leaves HTML out.
func (shownHTML) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindRawHTML, func(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkSkipChildren, nil
		}
		return ast.WalkSkipChildren, escaped(w, n.(*ast.RawHTML).Segments, source)
	})
	r.Register(ast.KindHTMLBlock, func(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
		block := n.(*ast.HTMLBlock)
		if entering {
			_, err := w.WriteString("<p>")
			return ast.WalkContinue, errors.Join(err, escaped(w, block.Lines(), source))
		}
		lines := text.NewSegments()
		if block.HasClosure() {
			lines.Append(block.ClosureLine)
		}
		err := escaped(w, lines, source)
		_, ended := w.WriteString("</p>\n")
		return ast.WalkContinue, errors.Join(err, ended)
	})
}

func escaped(w util.BufWriter, lines *text.Segments, source []byte) error {
	for i := range lines.Len() {
		line := lines.At(i)
		if _, err := w.Write(util.EscapeHTML(line.Value(source))); err != nil {
			return err
		}
	}
	return nil
}
