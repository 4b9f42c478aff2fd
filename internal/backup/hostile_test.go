package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rewrite changes the manifest of a set as somebody would who can compute its
// checksum.
func rewrite(t *testing.T, set string, change func(*Manifest)) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(set, manifestFile))
	if err != nil {
		t.Fatal(err)
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	change(&m)
	if text, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	if err := errors.Join(os.WriteFile(filepath.Join(set, manifestFile), text, 0o600),
		os.WriteFile(filepath.Join(set, sumFile), []byte(hex.EncodeToString(sum[:])+"  manifest.json\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestHostileSets: whatever is not what a backup wrote is refused, and nothing is
// touched.
func TestHostileSets(t *testing.T) {
	file := func(set, name string) string { return filepath.Join(set, filepath.FromSlash(name)) }
	for _, tc := range []struct {
		name   string
		change func(t *testing.T, set string)
		want   error
		text   string
	}{
		{"another byte", func(t *testing.T, set string) {
			f, err := os.OpenFile(file(set, "data/accounts.db"), os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt([]byte{0xff}, 5000)
			}
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, "data/accounts.db has another checksum than the manifest says"},
		{"a byte less", func(t *testing.T, set string) {
			if err := os.Truncate(file(set, "data/srs.keys"), 3); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, "data/srs.keys has 3 bytes, the manifest says 4"},
		{"a file less", func(t *testing.T, set string) {
			if err := os.Remove(file(set, "data/dkim/example.org/gp1.pem")); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, "no such file"},
		{"a symbolic link", func(t *testing.T, set string) {
			p := file(set, "data/srs.keys")
			if err := errors.Join(os.Rename(p, p+".x"), os.Symlink("srs.keys.x", p)); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, "it is a symbolic link"},
		{"a link to a directory", func(t *testing.T, set string) {
			p := file(set, "data/dkim/example.org")
			outside := t.TempDir()
			if err := errors.Join(os.Rename(p, filepath.Join(outside, "x")), os.Symlink(filepath.Join(outside, "x"), p)); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, "escapes"},
		{"a pipe", func(t *testing.T, set string) {
			p := file(set, "data/srs.keys")
			if err := errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o600)); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, "no regular file"},
		{"another manifest", func(t *testing.T, set string) {
			p := file(set, manifestFile)
			b, err := os.ReadFile(p)
			if err := errors.Join(err, os.WriteFile(p, bytes.Replace(b, []byte("mx.example.org"), []byte("mx.example.com"), 1), 0o600)); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, "manifest.json has another checksum than manifest.sha256 says"},
		{"no sum", func(t *testing.T, set string) {
			if err := os.Remove(file(set, sumFile)); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, "manifest.sha256"},
		{"a name outside", func(t *testing.T, set string) {
			rewrite(t, set, func(m *Manifest) { m.Files[0].Path = "data/../../../etc/cron.d/x" })
		}, ErrManifest, "bad name"},
		{"an absolute name", func(t *testing.T, set string) {
			rewrite(t, set, func(m *Manifest) { m.Files[0].Path = "/etc/cron.d/x" })
		}, ErrManifest, "bad name"},
		{"a place for data", func(t *testing.T, set string) {
			rewrite(t, set, func(m *Manifest) { m.Files[0].Target = "/etc/cron.d/x" })
		}, ErrManifest, "no place"},
		{"a setuid mode", func(t *testing.T, set string) {
			rewrite(t, set, func(m *Manifest) { m.Files[0].Mode = 0o4755 })
		}, ErrManifest, "bad mode"},
		{"a large size", func(t *testing.T, set string) {
			rewrite(t, set, func(m *Manifest) { m.Files[0].Size = 1 << 60 })
		}, ErrManifest, "bad size"},
		{"twice", func(t *testing.T, set string) {
			rewrite(t, set, func(m *Manifest) { m.Files = append(m.Files, m.Files[0]) })
		}, ErrManifest, "twice"},
		{"other rows", func(t *testing.T, set string) {
			rewrite(t, set, func(m *Manifest) {
				for _, f := range m.Files {
					if f.Path == "data/accounts.db" {
						f.Rows["t"]++
					}
				}
			})
		}, ErrDamaged, "data/accounts.db has other rows than the manifest says"},
		{"a format of tomorrow", func(t *testing.T, set string) {
			rewrite(t, set, func(m *Manifest) { m.Format = 2 })
		}, nil, "the backup has format 2, this gatepost reads up to 1: install the version that made it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			set, _ := w.backup(t)
			tc.change(t, set)
			to := t.TempDir()
			_, err := restore(t.Context(), set, Place{DataDirectory: to, UID: -1, Config: filepath.Join(to, "etc/c.yaml")}, now, nil)
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("restore = %v, want %v with %q", err, tc.want, tc.text)
			}
			if left, err := os.ReadDir(to); err != nil || len(left) != 0 {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
}

// TestTargetsStayInside: a set names where files lay, but puts none of them
// beside the directory of the configuration, through no link either.
func TestTargetsStayInside(t *testing.T) {
	w := newWorld(t)
	set, _ := w.backup(t)
	outside := t.TempDir()
	for _, tc := range []struct{ name, target, do string }{
		{"elsewhere", filepath.Join(outside, "cron"), Yours},
		{"through a link", filepath.Join(filepath.Dir(w.config), "link/cron"), ""},
	} {
		rewrite(t, set, func(m *Manifest) {
			for i := range m.Files {
				if strings.HasPrefix(m.Files[i].Path, filesDir+"/") {
					m.Files[i].Target = tc.target
				}
			}
		})
		to := t.TempDir()
		config := filepath.Join(to, "etc/gatepost.yaml")
		if err := errors.Join(os.Mkdir(filepath.Dir(config), 0o700), os.Mkdir(filepath.Join(to, "data"), 0o700), os.Symlink(outside, filepath.Join(to, "etc/link"))); err != nil {
			t.Fatal(err)
		}
		steps, err := restore(t.Context(), set, Place{DataDirectory: filepath.Join(to, "data"), UID: -1, Config: config}, now, nil)
		if (err == nil) != (tc.do != "") {
			t.Errorf("%s: restore = %v", tc.name, err)
		}
		for _, s := range steps {
			if strings.HasSuffix(s.To, "/cron") && s.Do != tc.do {
				t.Errorf("%s: %+v, want %s", tc.name, s, tc.do)
			}
		}
		if left, err := os.ReadDir(outside); err != nil || len(left) != 0 {
			t.Errorf("%s: outside is %v, %v", tc.name, left, err)
		}
		if tc.do == "" {
			if left, err := os.ReadDir(filepath.Join(to, "data")); err != nil || len(left) != 0 {
				t.Errorf("%s: left %v, %v", tc.name, left, err)
			}
		}
	}
}

// TestSharedDirectory: where the configuration lies in a directory that is not
// ours, such as /etc, only its own file is put there.
func TestSharedDirectory(t *testing.T) {
	r := &restorer{set: &Set{Manifest: Manifest{Config: "/etc/gatepost.yaml"}}, place: Place{Config: "/etc/gatepost.yaml"}}
	f := File{Path: "files/etc/cron.d/none-such", Target: "/etc/cron.d/none-such"}
	if do, err := r.other(t.Context(), f); do != Yours || err != nil {
		t.Errorf("other(%+v) = %s, %v", f, do, err)
	}
}

// TestHostileStream: a stream has files of the data directory and nothing else.
func TestHostileStream(t *testing.T) {
	for name, h := range map[string]tar.Header{
		"outside":  {Name: "data/../../x", Typeflag: tar.TypeReg},
		"absolute": {Name: "/etc/x", Typeflag: tar.TypeReg},
		"link":     {Name: "data/x", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		"hardlink": {Name: "data/x", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"},
		"config":   {Name: "config/gatepost.yaml", Typeflag: tar.TypeReg},
		"manifest": {Name: "manifest.json", Typeflag: tar.TypeReg},
		"dir":      {Name: "data/x/", Typeflag: tar.TypeDir},
	} {
		var b bytes.Buffer
		st := &stream{tar: tar.NewWriter(&b), now: now}
		err := st.note(beginEntry, begin{Format: Format})
		if err := errors.Join(err, st.tar.WriteHeader(&h), st.note(endEntry, end{}), st.tar.Close()); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		s, err := Create(dir, Manifest{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Receive(t.Context(), &b, nil); err == nil || !strings.Contains(err.Error(), "no file of ours") {
			t.Errorf("%s: Receive() = %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
}

// TestStreamLargerThanAnnounced: a hole of a tar takes no room on its way, and
// must not fill the disk that it comes to.
func TestStreamLargerThanAnnounced(t *testing.T) {
	var b bytes.Buffer
	st := &stream{tar: tar.NewWriter(&b), now: now}
	err := st.note(beginEntry, begin{Format: Format, Bytes: 1000, Files: 1})
	err = errors.Join(err, st.tar.WriteHeader(&tar.Header{Name: "data/x", Typeflag: tar.TypeReg, Size: 1 << 40, Mode: 0o600}), st.tar.Flush())
	if err == nil || b.Len() == 0 {
		t.Fatalf("Flush() = %v, want that the file is missing", err)
	}
	s, err := Create(t.TempDir(), Manifest{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Receive(t.Context(), &b, nil); err == nil || !strings.Contains(err.Error(), "far more") {
		t.Errorf("Receive() = %v", err)
	}
}

// sample is a manifest with everything in it.
func sample() Manifest {
	sum := strings.Repeat("0a", 32)
	return Manifest{Format: Format, Version: "0.9.0", Time: time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC), Host: "mx.example.org",
		DataDirectory: "/var/lib/gatepost", Config: "/etc/gatepost/gatepost.yaml",
		Elsewhere: []Elsewhere{{"accounts", "mariadb-dump"}}, LeftOut: []string{"x: no regular file"},
		Files: []File{
			{Path: "data/accounts.db", Size: 8192, SHA256: sum, Schema: 4, Rows: map[string]int64{"users": 3}},
			{Path: "data/dkim/example.org/gp1.pem", Size: 1700, SHA256: sum},
			{Path: "config/gatepost.yaml", Size: 9, SHA256: sum, Target: "/etc/gatepost/gatepost.yaml", Mode: 0o640, Owner: "root", Group: "vmail"},
		}}
}

func FuzzParse(f *testing.F) {
	text, err := sample().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":1,"files":[{"path":"data/../x"}]}`))
	f.Add([]byte(`{"format":2}`))
	f.Add([]byte(`{"format":1,"files":[{"path":"data/a","sha256":"` + strings.Repeat("00", 32) + `"},{"path":"data/a/b","sha256":"` + strings.Repeat("00", 32) + `"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			return
		}
		for _, file := range m.Files {
			if !filepath.IsLocal(file.Path) || strings.Contains(file.Path, "..") && !isName(file.Path) {
				t.Fatalf("parse takes the name %q", file.Path)
			}
		}
		text, err := m.encode()
		if err != nil {
			t.Fatalf("encode(%+v): %v", m, err)
		}
		again, err := parse(text)
		if err != nil || !again.Time.Equal(m.Time) {
			t.Fatalf("parse(encode(%+v)) = %+v, %v", m, again, err)
		}
		again.Time, m.Time = time.Time{}, time.Time{}
		if !reflect.DeepEqual(normal(again), normal(m)) {
			t.Fatalf("parse(encode(%+v)) = %+v", m, again)
		}
	})
}

// normal takes the difference between nothing and an empty list away.
func normal(m Manifest) Manifest {
	if len(m.Files) == 0 {
		m.Files = nil
	}
	if len(m.Elsewhere) == 0 {
		m.Elsewhere = nil
	}
	if len(m.LeftOut) == 0 {
		m.LeftOut = nil
	}
	for i := range m.Files {
		if len(m.Files[i].Rows) == 0 {
			m.Files[i].Rows = nil
		} else {
			m.Files[i].Rows = maps.Clone(m.Files[i].Rows)
		}
	}
	return m
}
