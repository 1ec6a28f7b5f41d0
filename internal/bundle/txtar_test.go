package bundle

import (
	"os"
	"strings"
	"testing"
)

// part is a file of a text archive: a line "-- name --", and its content up to the next such line.
type part struct {
	name string
	data []byte
}

func textArchive(t testing.TB, file string) (comment string, parts []part) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		name, marker := strings.CutPrefix(line, "-- ")
		if name, ends := strings.CutSuffix(name, " --\n"); marker && ends {
			parts = append(parts, part{name: name})
			continue
		}
		if len(parts) == 0 {
			comment += line
			continue
		}
		last := &parts[len(parts)-1]
		last.data = append(last.data, line...)
	}
	return comment, parts
}

func formatArchive(comment string, parts []part) []byte {
	out := []byte(comment)
	for _, p := range parts {
		out = append(out, "-- "+p.name+" --\n"...)
		out = append(out, p.data...)
	}
	return out
}
