package bundle

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// roundTrip checks that a bundle is the same after its archive, byte for byte.
func roundTrip(t testing.TB, b *Bundle) {
	t.Helper()
	files, err := ReadTar(bytes.NewReader(b.Tar()))
	if err != nil {
		t.Fatal(err)
	}
	again, problems := Read(files)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if again.Digest != b.Digest || !bytes.Equal(again.Tar(), b.Tar()) {
		t.Fatalf("digest %s became %s", b.Digest, again.Digest)
	}
	if diff := cmp.Diff(b.Files, again.Files); diff != "" {
		t.Fatalf("files (-before +after):\n%s", diff)
	}
}

func TestABundleSurvivesItsTar(t *testing.T) {
	t.Parallel()
	roundTrip(t, read(t, base(t)))
}

func TestTheFilesOfATarAreAFileSystem(t *testing.T) {
	t.Parallel()
	b := read(t, base(t))
	files, err := ReadTar(bytes.NewReader(b.Tar()))
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(files, "writ.yaml", "policies/all.cedar", "tests/support.yaml"); err != nil {
		t.Error(err)
	}
}

// entry is one entry of an archive that somebody made by hand.
type entry struct {
	kind byte
	name string
	data string
}

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := &tar.Header{Typeflag: e.kind, Name: e.name, Size: int64(len(e.data)), Mode: 0o777}
		switch e.kind {
		case tar.TypeSymlink, tar.TypeLink:
			h.Linkname = "/etc/passwd"
		case tar.TypeXGlobalHeader:
			h = &tar.Header{Typeflag: e.kind, Name: e.name, PAXRecords: map[string]string{"comment": "a commit"}}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestAHostileTarIsRefused(t *testing.T) {
	t.Parallel()
	var many, heavy, dirs []entry
	for i := range filesMax + 1 {
		many = append(many, entry{tar.TypeReg, fmt.Sprint(i), ""})
	}
	for i := range totalBytesMax/fileBytesMax + 1 {
		heavy = append(heavy, entry{tar.TypeReg, fmt.Sprint(i), strings.Repeat("x", fileBytesMax)})
	}
	for i := range headersMax + 1 {
		dirs = append(dirs, entry{tar.TypeDir, fmt.Sprintf("%d/", i), ""})
	}
	for what, entries := range map[string][]entry{
		"absolute":             {{tar.TypeReg, "/writ.yaml", "x"}},
		"parent":               {{tar.TypeReg, "../writ.yaml", "x"}},
		"parent inside":        {{tar.TypeReg, "policies/../../writ.yaml", "x"}},
		"parent that returns":  {{tar.TypeReg, "policies/../writ.yaml", "x"}},
		"parent behind a dot":  {{tar.TypeReg, "./../writ.yaml", "x"}},
		"backslash":            {{tar.TypeReg, `..\writ.yaml`, "x"}},
		"empty part":           {{tar.TypeReg, "policies//a.cedar", "x"}},
		"absolute directory":   {{tar.TypeDir, "/", ""}},
		"parent directory":     {{tar.TypeDir, "../", ""}},
		"symbolic link":        {{tar.TypeSymlink, "writ.yaml", ""}},
		"hard link":            {{tar.TypeLink, "writ.yaml", ""}},
		"device":               {{tar.TypeChar, "writ.yaml", ""}},
		"fifo":                 {{tar.TypeFifo, "writ.yaml", ""}},
		"twice":                {{tar.TypeReg, "writ.yaml", "x"}, {tar.TypeReg, "writ.yaml", "y"}},
		"twice by another way": {{tar.TypeReg, "writ.yaml", "x"}, {tar.TypeReg, "./writ.yaml", "y"}},
		"file and directory":   {{tar.TypeReg, "a", "x"}, {tar.TypeReg, "a/b", "y"}},
		"large":                {{tar.TypeReg, "writ.yaml", strings.Repeat("x", fileBytesMax+1)}},
		"many files":           many,
		"heavy":                heavy,
		"many directories":     dirs,
	} {
		if _, err := ReadTar(bytes.NewReader(archive(t, entries...))); err == nil {
			t.Errorf("%s: was read", what)
		}
	}
}

func TestABrokenTarIsRefused(t *testing.T) {
	t.Parallel()
	whole := read(t, base(t)).Tar()
	for what, data := range map[string][]byte{
		"cut in a file":     whole[:600],
		"cut in a header":   whole[:1030],
		"cut behind a file": whole[:1024],
		"without its end":   whole[:len(whole)-1024],
		"empty":             nil,
		"text":              []byte(strings.Repeat("not an archive ", 100)),
	} {
		if _, err := ReadTar(bytes.NewReader(data)); err == nil {
			t.Errorf("%s: was read", what)
		}
	}
}

func TestWhatArchiversAddIsAccepted(t *testing.T) {
	t.Parallel()
	data := archive(t, entry{kind: tar.TypeXGlobalHeader, name: "pax_global_header"}, entry{tar.TypeDir, "./", ""}, entry{tar.TypeDir, "./policies/", ""},
		entry{tar.TypeReg, "./policies/a.cedar", "x"})
	files, err := ReadTar(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fs.ReadFile(files, "policies/a.cedar"); err != nil || string(got) != "x" {
		t.Errorf("%q %v", got, err)
	}
}

func FuzzReadTarNeverPanicsAndStaysInside(f *testing.F) {
	f.Add(read(f, base(f)).Tar())
	f.Add(archive(f, entry{tar.TypeReg, "a/b/c", "x"}, entry{tar.TypeDir, "d/", ""}))
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := ReadTar(bytes.NewReader(data))
		if err != nil {
			return
		}
		err = fs.WalkDir(files, ".", func(name string, _ fs.DirEntry, err error) error {
			if !fs.ValidPath(name) {
				t.Errorf("the name %q leaves the bundle", name)
			}
			return err
		})
		if err != nil {
			t.Errorf("walk: %v", err)
		}
	})
}
