// Package mirror is a ledger as a stranger has it: over the read API of a server (C2SP tlog-tiles), or in a file that was
// exported. It reads entries and signed heads and writes exports; it checks nothing itself, ledger.Verify does.
package mirror

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/merkle"
)

// Files of a mirror, beside the tiles.
const (
	FileCheckpoint = "checkpoint"
	FileKey        = "key" // the C2SP verifier key of the log, as the mirror claims it
)

const (
	fileBytesMax  = 32 << 20 // the largest tile: 256 entries of 60 KiB
	answerTimeMax = time.Minute
)

// Fetcher gives a file of a mirror by its path.
type Fetcher interface {
	Fetch(ctx context.Context, path string) ([]byte, error)
}

// Server fetches from the read API: base is …/ledger/NAME.
type Server struct {
	Base   string
	Token  string // for a private ledger
	Client *http.Client
}

// NewServer fetches from the read API at a base URL.
func NewServer(base, token string) *Server {
	return &Server{Base: strings.TrimSuffix(base, "/"), Token: token, Client: &http.Client{Timeout: answerTimeMax}}
}

// Fetch gets one file.
func (s *Server) Fetch(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Base+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	if s.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.Token)
	}
	resp, err := s.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", path, err)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, fileBytesMax))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("fetch %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch %s: the server answered %s", path, resp.Status)
	}
	return data, nil
}

// File is an export that was opened: where each of its files begins.
type File struct {
	file  *os.File
	where map[string]span
}

type span struct{ offset, size int64 }

// OpenFile opens an export, which is a tar of the mirror's files.
func OpenFile(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	e := &File{file: f, where: map[string]span{}}
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s is not an export of writ: %w", path, err), f.Close())
		}
		offset, err := f.Seek(0, io.SeekCurrent)
		if err != nil || h.Size > fileBytesMax {
			return nil, errors.Join(fmt.Errorf("%s: the file %s in it is not readable", path, h.Name), err, f.Close())
		}
		e.where[h.Name] = span{offset, h.Size}
	}
	if _, ok := e.where[FileCheckpoint]; !ok {
		return nil, errors.Join(fmt.Errorf("%s is not an export of writ: it has no checkpoint", path), f.Close())
	}
	return e, nil
}

// Fetch reads one file of the export.
func (e *File) Fetch(_ context.Context, path string) ([]byte, error) {
	at, ok := e.where[path]
	if !ok {
		return nil, fmt.Errorf("the export has no file %s", path)
	}
	data := make([]byte, at.size)
	_, err := e.file.ReadAt(data, at.offset)
	return data, err
}

// Close closes the file.
func (e *File) Close() error { return e.file.Close() }

// Source reads the entries of a mirror for ledger.Verify, up to the size of its checkpoint.
type Source struct {
	From Fetcher
	Tree merkle.Tree
}

// Size is the size of the checkpoint.
func (s Source) Size() int64 { return s.Tree.Size }

// Payloads says that strangers have none.
func (s Source) Payloads() bool { return false }

// Scan fetches the entry bundles in order.
func (s Source) Scan(ctx context.Context, fn func(ledger.Raw) error) error {
	for first := int64(0); first < s.Tree.Size; first += merkle.TileWidth {
		ref := merkle.TileRef{Entries: true, Index: first / merkle.TileWidth, Width: int(min(merkle.TileWidth, s.Tree.Size-first))}
		data, err := s.From.Fetch(ctx, ref.Path())
		if err != nil {
			return err
		}
		if err := split(data, first, ref, fn); err != nil {
			return err
		}
	}
	return nil
}

func split(data []byte, first int64, ref merkle.TileRef, fn func(ledger.Raw) error) error {
	for n := range ref.Width {
		raw, rest, err := canon.SplitFramed(data)
		if err != nil {
			return fmt.Errorf("%s: %w", ref.Path(), err)
		}
		data = rest
		if err := fn(ledger.Raw{Index: first + int64(n), Bytes: raw}); err != nil {
			return err
		}
	}
	if len(data) != 0 {
		return fmt.Errorf("%s goes on after its last entry", ref.Path())
	}
	return nil
}

// Export writes a ledger up to a checkpoint as a tar: the checkpoint, the log's key, and every entry bundle.
func Export(ctx context.Context, w io.Writer, l *ledger.Ledger, checkpoint merkle.Checkpoint, vkey string, progress func(int64)) error {
	out := tar.NewWriter(w)
	if err := writeFile(out, FileCheckpoint, checkpoint.Note); err != nil {
		return err
	}
	if err := writeFile(out, FileKey, []byte(vkey+"\n")); err != nil {
		return err
	}
	var bundle bytes.Buffer
	done := int64(0)
	flush := func() error {
		ref := merkle.TileRef{Entries: true, Index: (done - 1) / merkle.TileWidth, Width: int((done-1)%merkle.TileWidth) + 1}
		defer bundle.Reset()
		progress(done)
		return writeFile(out, ref.Path(), bundle.Bytes())
	}
	err := l.Scan(ctx, 0, checkpoint.Size, false, func(r ledger.Raw) error {
		bundle.Write(canon.AppendFramed(nil, r.Bytes))
		done++
		if done%merkle.TileWidth == 0 {
			return flush()
		}
		return nil
	})
	if err == nil && bundle.Len() > 0 {
		err = flush()
	}
	if err != nil {
		return err
	}
	if done != checkpoint.Size {
		return fmt.Errorf("the ledger has %d entries, the checkpoint %d", done, checkpoint.Size)
	}
	return out.Close()
}

func writeFile(out *tar.Writer, name string, data []byte) error {
	if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Format: tar.FormatPAX}); err != nil {
		return fmt.Errorf("export %s: %w", name, err)
	}
	if _, err := out.Write(data); err != nil {
		return fmt.Errorf("export %s: %w", name, err)
	}
	return nil
}
