package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// The bounds of a bundle.
const (
	filesMax      = 2000
	fileBytesMax  = 1 << 20
	totalBytesMax = 8 << 20

	headersMax  = 2 * filesMax                          // files, directories, and what archivers add
	tarBytesMax = totalBytesMax + headersMax*4*tarBlock // content, headers and padding
	tarBlock    = 512
	fileMode    = 0o644
)

// ReadTar reads a tar archive of a bundle into memory. It refuses whatever is not a plain file or directory, names that
// leave the bundle or come twice, and more than 2000 files, 1 MiB in a file or 8 MiB in all.
func ReadTar(r io.Reader) (fs.FS, error) {
	end := &tail{r: io.LimitReader(r, tarBytesMax)}
	tr := tar.NewReader(end)
	files, seen, total := map[string][]byte{}, map[string]bool{}, 0
	for range headersMax {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return fileSystem(files, end)
		}
		if err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
		name, err := entryName(h, seen)
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := readBounded(tr, name)
		if err != nil {
			return nil, err
		}
		files[name], total = data, total+len(data)
		if err := checkTotals(len(files), total); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("archive has more than %d entries", headersMax)
}

// fileSystem is what was read, if it was all: an archive that was cut between two files would otherwise be a bundle that
// lacks policies.
func fileSystem(files map[string][]byte, end *tail) (fs.FS, error) {
	if end.last != [2 * tarBlock]byte{} || end.n < int64(len(end.last)) {
		return nil, errors.New("read archive: it has no end marker, so it was cut or is too large")
	}
	m, err := newMemory(files)
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	return m, nil
}

// tail remembers the last two blocks that were read; those that end an archive are zero.
type tail struct {
	r    io.Reader
	n    int64
	last [2 * tarBlock]byte
}

func (t *tail) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.n += int64(n)
	fresh := p[max(0, n-len(t.last)):n]
	copy(t.last[:], t.last[len(fresh):])
	copy(t.last[len(t.last)-len(fresh):], fresh)
	return n, err
}

// entryName checks the kind and the name of an entry, and gives the name in the form that fs.FS uses.
func entryName(h *tar.Header, seen map[string]bool) (string, error) {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir:
	case tar.TypeXGlobalHeader: // git archive writes the commit there
		return "", nil
	default:
		return "", fmt.Errorf("archive entry %q is neither a file nor a directory", h.Name)
	}
	name := strings.TrimPrefix(h.Name, "./")
	if h.Typeflag == tar.TypeDir {
		if h.Name == "." || h.Name == "./" {
			return ".", nil
		}
		name = strings.TrimSuffix(name, "/")
	}
	if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\\x00") {
		return "", fmt.Errorf("archive entry %q has a name outside of the bundle", h.Name)
	}
	if seen[name] {
		return "", fmt.Errorf("archive entry %q comes twice", h.Name)
	}
	seen[name] = true
	return name, nil
}

func readBounded(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, fileBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > fileBytesMax {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, fileBytesMax)
	}
	return data, nil
}

func checkTotals(files, bytes int) error {
	if files > filesMax {
		return fmt.Errorf("a bundle has at most %d files", filesMax)
	}
	if bytes > totalBytesMax {
		return fmt.Errorf("a bundle has at most %d bytes", totalBytesMax)
	}
	return nil
}

// Tar is the bundle's canonical archive: the files sorted by path, with nothing that differs between machines.
func (b *Bundle) Tar() []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(b.Files)) {
		data := b.Files[name]
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path.Clean(name), Mode: fileMode, Size: int64(len(data))})
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			panic(fmt.Sprintf("bundle: a file of a checked bundle does not fit an archive: %s: %v", name, err))
		}
	}
	if err := w.Close(); err != nil {
		panic(fmt.Sprintf("bundle: close an archive in memory: %v", err))
	}
	return out.Bytes()
}
