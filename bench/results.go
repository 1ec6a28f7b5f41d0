//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const resultsHead = `# Results of the benchmark

Written by ` + "`make bench`" + `; the package comment of ` + "`bench`" + ` says what is measured and what is not. Each section is replaced
by the next run of its kind.
`

// writeSection replaces a section of the results, or adds it at the end.
func writeSection(path, title, text string) error {
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		old, err = []byte(resultsHead), nil
	}
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if err := os.WriteFile(path, []byte(replaceSection(string(old), title, text)), 0o644); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

// replaceSection puts text under the second-level heading of that title.
func replaceSection(document, title, text string) string {
	heading := "\n## " + title + "\n"
	section := heading + "\n" + strings.TrimSpace(text) + "\n"
	before, rest, found := strings.Cut(document, heading)
	if !found {
		return document + section
	}
	if next := strings.Index(rest, "\n## "); next >= 0 {
		return before + section + rest[next:]
	}
	return before + section
}

// machine says where, when and with what the run was made.
func (b *bench) machine(ctx context.Context) string {
	var t strings.Builder
	fmt.Fprintf(&t, "- when: %s\n", b.now().UTC().Format(time.RFC3339))
	fmt.Fprintf(&t, "- command: `go run ./bench %s`\n", strings.Join(os.Args[1:], " "))
	fmt.Fprintf(&t, "- machine: %s, %d cores, %s, %s\n", field("/proc/cpuinfo", "model name"), runtime.NumCPU(),
		field("/proc/meminfo", "MemTotal"), strings.TrimSpace(output(ctx, "uname", "-sr")))
	fmt.Fprintf(&t, "- file system of the data: %s\n", strings.TrimSpace(output(ctx, "stat", "-f", "-c", "%T", b.data)))
	fmt.Fprintf(&t, "- Go: %s; Writ: %s; OPA: %s\n", runtime.Version(), strings.TrimSpace(output(ctx, "git", "describe", "--always", "--dirty")),
		strings.TrimPrefix(firstLine(output(ctx, filepath.Join(b.out, "bin", "opa"), "version")), "Version: "))
	if b.database != nil {
		version, err := b.database.version(ctx)
		if err != nil {
			version = err.Error()
		}
		fmt.Fprintf(&t, "- %s, own data directory; settings other than the defaults: %s\n", version, strings.Join(postgresSettings(), ", "))
	}
	fmt.Fprintf(&t, "- each peer %d times for %s in turn; CPU is for each request\n", b.options.rounds, b.duration)
	return t.String()
}

// output of a command that describes the machine; what cannot be had is said, and is no reason to stop.
func output(ctx context.Context, name string, args ...string) string {
	text, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "unknown (" + err.Error() + ")"
	}
	return string(text)
}

// field reads the first value of a name in a file of "name : value" lines.
func field(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
