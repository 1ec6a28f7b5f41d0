package bundle

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// memory is a file system of files that are held in memory; it cannot change.
type memory struct {
	files map[string][]byte
	dirs  map[string][]fs.DirEntry // sorted by name
}

// newMemory refuses a file that is at the same time a directory.
func newMemory(files map[string][]byte) (*memory, error) {
	m := &memory{files: files, dirs: map[string][]fs.DirEntry{".": nil}}
	for name, data := range files {
		m.add(name, node{name: path.Base(name), size: int64(len(data))})
	}
	for name, entries := range m.dirs {
		if _, ok := files[name]; ok {
			return nil, fmt.Errorf("%s is a file and a directory", name)
		}
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return m, nil
}

// add enters a node into its directory, and the directory into its own. A path has at most as many levels as bytes.
func (m *memory) add(name string, n node) {
	dir := path.Dir(name)
	_, known := m.dirs[dir]
	m.dirs[dir] = append(m.dirs[dir], n)
	if !known {
		m.add(dir, node{name: path.Base(dir), dir: true})
	}
}

// Open implements fs.FS.
func (m *memory) Open(name string) (fs.File, error) {
	if data, ok := m.files[name]; ok && fs.ValidPath(name) {
		return &openFile{node{name: path.Base(name), size: int64(len(data))}, bytes.NewReader(data)}, nil
	}
	if entries, ok := m.dirs[name]; ok {
		return &openDir{node{name: path.Base(name), dir: true}, entries}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// node is a file or a directory: its own fs.DirEntry and fs.FileInfo.
type node struct {
	name string
	size int64
	dir  bool
}

func (n node) Name() string               { return n.name }
func (n node) IsDir() bool                { return n.dir }
func (n node) Type() fs.FileMode          { return n.Mode().Type() }
func (n node) Info() (fs.FileInfo, error) { return n, nil }
func (n node) Size() int64                { return n.size }
func (n node) ModTime() time.Time         { return time.Time{} }
func (n node) Sys() any                   { return nil }
func (n node) Mode() fs.FileMode {
	if n.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

type openFile struct {
	node
	*bytes.Reader
}

func (f *openFile) Size() int64                { return f.size }
func (f *openFile) Stat() (fs.FileInfo, error) { return f.node, nil }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	node
	rest []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.node, nil }
func (d *openDir) Close() error               { return nil }
func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: fs.ErrInvalid}
}

// ReadDir implements fs.ReadDirFile.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.rest) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.rest) {
		n = len(d.rest)
	}
	out := slices.Clone(d.rest[:n])
	d.rest = d.rest[n:]
	return out, nil
}
