package listen

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := Unix(path, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v, want 0660", st.Mode(), err)
	}
	if _, err := Unix(path, 0o660); err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("second listener: %v", err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cred, err := PeerCred(s)
	if err != nil || cred.UID != os.Getuid() || cred.PID != os.Getpid() {
		t.Errorf("PeerCred = %+v, %v", cred, err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false) // as after kill -9
	ln.Close()
	again, err := Unix(path, 0o600)
	if err != nil {
		t.Fatalf("over a stale socket: %v", err)
	}
	again.Close()
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Unix(file, 0o600); err == nil {
		t.Error("a plain file was replaced by a socket")
	}
	if _, err := Unix("/"+strings.Repeat("x", 200), 0o600); err == nil {
		t.Error("a path of 201 bytes was taken")
	}
}

func TestLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	inner, err := Unix(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ln := Limit(inner, 1)
	for range 2 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan net.Conn)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			t.Error(err)
		}
		got <- c
	}()
	select {
	case <-got:
		t.Fatal("a second connection was accepted over the cap")
	default:
	}
	first.Close()
	first.Close() // a second Close frees nothing
	second := <-got
	if _, err := PeerCred(second); err != nil {
		t.Errorf("PeerCred through Limit: %v", err)
	}
	done := make(chan error)
	go func() { _, err := ln.Accept(); done <- err }()
	ln.Close()
	if err := <-done; err == nil {
		t.Error("Accept after Close: no error")
	}
	second.Close()
}
