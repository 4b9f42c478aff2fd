package lmtp

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serve answers one connection with the lines of script, one for each line that
// the client sends but those of the message; "" hangs up.
func serve(t *testing.T, script ...string) (Client, *strings.Builder) {
	t.Helper()
	dir, err := os.MkdirTemp("", "gp") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	said, done := &strings.Builder{}, make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in, data := bufio.NewReader(c), false
		for _, answer := range script {
			if answer == "" {
				return
			}
			_, _ = c.Write([]byte(answer + "\r\n"))
			data = strings.HasPrefix(answer, "354")
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				said.WriteString(line)
				if !data || line == ".\r\n" {
					break
				}
			}
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
		_ = os.RemoveAll(dir)
	})
	return Client{Path: filepath.Join(dir, "s"), Hostname: "mx.example.org", Timeout: 10 * time.Second}, said
}

func TestDeliver(t *testing.T) {
	hello := []string{"220 x", "250-x\r\n250-SIZE 1000000\r\n250-SMTPUTF8\r\n250 8BITMIME"}
	for _, tc := range []struct {
		name, want string
		away       bool
		script     []string
	}{
		{"saved", "250 OK saved", false, []string{"250 2.1.0 ok", "250 2.1.5 ok", "354 go", "250 OK saved", "221 bye"}},
		{"sender refused", "501 5.1.7 no", false, []string{"501 5.1.7 no"}},
		{"recipient refused", "550 5.1.1 no such mailbox here", false, []string{"250 ok", "550 5.1.1 no such mailbox here"}},
		{"disk full", "452 4.3.1 full", false, []string{"250 ok", "250 ok", "354 go", "452 4.3.1 full"}},
		{"lost behind the dot", "", true, []string{"250 ok", "250 ok", "354 go", ""}},
		{"lost before", "", true, []string{""}},
	} {
		c, said := serve(t, append(hello, tc.script...)...)
		got, err := c.Deliver(t.Context(), "", "älice@example.org", 100, strings.NewReader("A: b\r\n\r\n.x\r\n"))
		if tc.away != errors.Is(err, ErrAway) || !tc.away && !strings.Contains(got+text(err), tc.want) {
			t.Errorf("%s: Deliver = %q, %v", tc.name, got, err)
		}
		if tc.name == "saved" && !strings.Contains(said.String(), "LHLO mx.example.org\r\nMAIL FROM:<> BODY=8BITMIME SIZE=100 SMTPUTF8\r\nRCPT TO:<älice@example.org>\r\nDATA\r\nA: b\r\n\r\n..x\r\n.\r\n") {
			t.Errorf("said %q", said.String())
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDeliverNobodyThere(t *testing.T) {
	c := Client{Path: filepath.Join(t.TempDir(), "none"), Hostname: "x", Timeout: time.Second}
	if _, err := c.Deliver(t.Context(), "", "a@b", 1, strings.NewReader("")); !errors.Is(err, ErrAway) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Deliver = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	silent, _ := serve(t)
	if _, err := silent.Deliver(ctx, "", "a@b", 1, strings.NewReader("")); !errors.Is(err, ErrAway) || !errors.Is(err, context.Canceled) {
		t.Errorf("Deliver = %v", err)
	}
}
