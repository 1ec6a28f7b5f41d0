// Package examples has the example bundles inside the binary, so that the demo needs no checkout.
package examples

import (
	"embed"
	"io/fs"
)

//go:embed acme
var files embed.FS

// Acme is the complete bundle of a small company.
func Acme() (fs.FS, error) { return fs.Sub(files, "acme") }
