package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/gatepost/gatepost/internal/disktest"
)

// TestFullDisk: without room nothing is left, of a backup and of a restore.
func TestFullDisk(t *testing.T) {
	for _, line := range disktest.Child(t, fullDisk+"="+t.TempDir()) {
		if line != "" {
			t.Error(line)
		}
	}
}

// onFullDisk prints what is wrong.
func onFullDisk(dir string) {
	ctx := context.Background()
	w := &world{dir: dir, data: filepath.Join(dir, "data"), config: filepath.Join(dir, "etc/c.yaml"), secret: filepath.Join(dir, "etc/s"), to: filepath.Join(dir, "small/backups")}
	if err := errors.Join(makeWorld(ctx, w.data), put(dir, "etc/c.yaml", "x"), put(dir, "etc/s", "y"), os.Mkdir(filepath.Join(dir, "small"), 0o700)); err != nil {
		fmt.Println(err)
		os.Exit(0)
	}
	disktest.Mount(filepath.Join(dir, "small"), "24m")
	large := filepath.Join(w.data, "large")
	if err := os.WriteFile(large, make([]byte, 12<<20), 0o600); err != nil {
		fmt.Println(err)
	}
	if _, _, err := makeSet(ctx, w); !errors.Is(err, syscall.ENOSPC) {
		fmt.Println("a backup that announces too much:", err)
	}
	var whole bytes.Buffer
	if err := errors.Join(os.Remove(large), (&Source{Dir: w.data}).Stream(ctx, &whole)); err != nil {
		fmt.Println(err)
	}
	fill := filepath.Join(dir, "small/fill")
	b, err := Create(w.to, Manifest{})
	if err != nil {
		fmt.Println(err)
		os.Exit(0)
	}
	// The disk fills up after the first look.
	err = b.Receive(ctx, writeFull{&whole, func() {
		_ = os.WriteFile(fill, make([]byte, 30<<20), 0o600)
	}, whole.Len() / 2}, nil)
	if !errors.Is(err, syscall.ENOSPC) {
		fmt.Println("a disk that fills up:", err)
	}
	if err := errors.Join(b.Close(), os.Remove(fill)); err != nil {
		fmt.Println(err)
	}
	if left, err := os.ReadDir(w.to); err != nil || len(left) > 0 {
		fmt.Println("left:", left, err)
	}
	w.to = filepath.Join(dir, "backups")
	set, _, err := makeSet(ctx, w)
	if err != nil {
		fmt.Println(err)
	}
	to := filepath.Join(dir, "small/data")
	if err := errors.Join(os.Mkdir(to, 0o700), os.WriteFile(fill, make([]byte, 10<<20), 0o600)); err != nil {
		fmt.Println(err)
	}
	if _, err := restore(ctx, set, Place{DataDirectory: to, UID: -1}, now, nil); !errors.Is(err, syscall.ENOSPC) {
		fmt.Println("a restore:", err)
	}
	if left, err := os.ReadDir(to); err != nil || len(left) > 0 {
		fmt.Println("left:", left, err)
	}
	os.Exit(0)
}

// writeFull calls full when a part was read.
type writeFull struct {
	r    *bytes.Buffer
	full func()
	left int
}

func (w writeFull) Read(p []byte) (int, error) {
	if w.r.Len() < w.left {
		w.full()
	}
	return w.r.Read(p[:min(len(p), 4096)])
}
