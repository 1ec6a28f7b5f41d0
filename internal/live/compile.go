package live

import (
	"bytes"
	"fmt"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/policy"
)

// Compile reads and compiles a bundle from its tar. Problems come back as one error that lists them.
func Compile(tar []byte) (*policy.Engine, error) {
	files, err := bundle.ReadTar(bytes.NewReader(tar))
	if err != nil {
		return nil, err
	}
	b, problems := bundle.Read(files)
	if len(problems) > 0 {
		return nil, fmt.Errorf("the bundle has %d problems, the first: %s", len(problems), problems[0].What)
	}
	engine, problems := policy.Compile(b)
	if len(problems) > 0 {
		return nil, fmt.Errorf("the bundle has %d problems, the first: %s", len(problems), problems[0].What)
	}
	return engine, nil
}
