package bundle

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/writ-dev/writ/internal/gov"
)

// problemsMax is how many problems are told at once; whoever has more than that has one problem.
const problemsMax = 200

// The files of a bundle.
const (
	fileSettings  = "writ.yaml"
	fileAgents    = "agents.yaml"
	fileTools     = "tools.yaml"
	fileLimits    = "limits.yaml"
	filePrices    = "prices.yaml"
	fileDetectors = "detectors.yaml"
)

// baseRE is what a file of a bundle may be called, so that it means the same on every system.
var baseRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// ReadFiles reads a bundle from its files by path.
func ReadFiles(files map[string][]byte) (*Bundle, Problems) {
	m, err := newMemory(files)
	if err != nil {
		return nil, Problems{{What: err.Error(), Remedy: "give each file a path of its own"}}
	}
	return Read(m)
}

// Read reads and checks a bundle. Without problems the bundle is consistent in itself; with problems there is no bundle.
func Read(fsys fs.FS) (*Bundle, Problems) {
	r := &reader{b: &Bundle{Files: map[string][]byte{}, Roles: map[gov.GroupID][]gov.Role{}, Retention: Retention{Days: retentionDaysDefault}}, docs: map[string]value{}}
	r.collect(fsys)
	if len(r.problems) > 0 {
		return nil, r.told()
	}
	for _, name := range slices.Sorted(maps.Keys(r.b.Files)) {
		r.plain(name)
		if path.Ext(name) == ".yaml" || strings.HasPrefix(name, sigmaDir) && path.Ext(name) == ".yml" {
			r.parse(name)
		}
	}
	if len(r.problems) > 0 { // what lacks a whole file would be told once for each name in it
		return nil, r.told()
	}
	r.settings()
	r.tools()
	r.agents()
	r.limits()
	r.rules()
	r.detectors()
	r.prices()
	r.b.buildIndex()
	r.ruleCases()
	r.tests()
	if len(r.problems) > 0 {
		return nil, r.told()
	}
	r.b.Digest = digest(r.b.Files)
	return r.b, nil
}

// reader reads one bundle and gathers what is wrong with it.
type reader struct {
	b        *Bundle
	problems Problems
	docs     map[string]value // the YAML files
	nodes    int              // of YAML, over all files
}

func (r *reader) wrong(file string, line int, remedy, format string, args ...any) {
	r.problems = append(r.problems, Problem{File: file, Line: line, What: fmt.Sprintf(format, args...), Remedy: remedy})
}

// told gives the problems in the order in which a person mends them: by file and line.
func (r *reader) told() Problems {
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	if more := len(r.problems) - problemsMax; more > 0 {
		last := Problem{File: r.problems[problemsMax].File, What: fmt.Sprintf("and %d more problems", more), Remedy: "mend those above and check again"}
		return append(r.problems[:problemsMax:problemsMax], last)
	}
	return r.problems
}

// collect takes the content of every file. It stops at the first bound that is reached.
func (r *reader) collect(fsys fs.FS) {
	total := 0
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if d.IsDir() {
			return r.enter(name)
		}
		if !d.Type().IsRegular() {
			r.wrong(name, 0, "put the file itself there", "%s is not a regular file", name)
			return nil
		}
		if !baseRE.MatchString(path.Base(name)) && name != ".gitignore" {
			r.wrong(name, 0, "use letters, digits, dot, dash and underscore", "%q cannot name a file of a bundle", name)
			return nil
		}
		data, err := readFile(fsys, name)
		if err != nil {
			return err
		}
		r.b.Files[name], total = data, total+len(data)
		return checkTotals(len(r.b.Files), total)
	})
	if err != nil {
		r.wrong("", 0, "keep a bundle to its own files, and small", "%v", err)
	}
}

// enter decides whether a directory belongs to the bundle; version control's own does not.
func (r *reader) enter(name string) error {
	switch name {
	case ".", "policies", "prompts", "tests", "sigma", "runbooks":
		return nil
	case ".git":
		return fs.SkipDir
	}
	r.wrong(name, 0, suggest(name, []string{"policies", "prompts", "tests", "sigma", "runbooks"}), "the directory %s is not part of a bundle", name)
	return fs.SkipDir
}

func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	data, err := readBounded(f, name)
	return data, errors.Join(err, f.Close())
}

// plain takes the files that are kept as text, and refuses those that mean nothing to anyone.
func (r *reader) plain(name string) {
	dir, base := path.Split(name)
	ext := path.Ext(base)
	switch {
	case dir == "policies/" && ext == ".cedar":
		r.b.Policies = append(r.b.Policies, PolicyFile{Name: name, Text: r.b.Files[name]})
	case dir == "prompts/" && ext == ".md":
		r.b.Prompts = append(r.b.Prompts, Prompt{Name: name, Text: r.b.Files[name]})
	case dir == runbooks && ext == ".md", dir == "tests/" && ext == ".yaml", dir == sigmaDir && ext == ".yml", base == "README.md":
	case dir != "":
		r.wrong(name, 0, "policies/*.cedar, prompts/*.md, tests/*.yaml, runbooks/*.md and sigma/*.yml are read", "the file %s is not part of a bundle", name)
	default:
		r.top(name)
	}
}

func (r *reader) top(name string) {
	known := []string{fileSettings, fileAgents, fileTools, fileLimits, filePrices, fileDetectors}
	if !slices.Contains(known, name) && name != ".gitignore" && name != "LICENSE" {
		r.wrong(name, 0, suggest(name, known), "the file %s is not part of a bundle", name)
	}
}

// digest is SHA-256 over each file in the order of the paths: length of the path, path, length of the content, content, the
// lengths as 8 bytes big-endian.
func digest(files map[string][]byte) gov.BundleDigest {
	h := sha256.New()
	part := func(data []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(data))))
		h.Write(data)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		part([]byte(name))
		part(files[name])
	}
	return gov.BundleDigest("sha256:" + hex.EncodeToString(h.Sum(nil)))
}
