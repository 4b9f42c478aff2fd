package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/listen"
)

var quiet = slog.New(slog.DiscardHandler)

// postfix stands for Postfix's commands.
type postfix struct {
	mu    sync.Mutex
	ran   []string
	items map[string]string // id → queue
	fail  error
}

func (p *postfix) run(_ context.Context, name string, arg ...string) (io.Reader, string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ran = append(p.ran, strings.Join(append([]string{name}, arg...), " "))
	if p.fail != nil {
		return strings.NewReader(""), "postfix: fatal:\nno", p.fail
	}
	if name == postqueue {
		var b strings.Builder
		for id, q := range p.items {
			fmt.Fprintf(&b, `{"queue_name": %q, "queue_id": %q, "arrival_time": 1795178956, "message_size": 274, "forced_expire": false, "sender": "MAILER-DAEMON", "recipients": [{"address": "b@example.invalid"}]}`+"\n", q, id)
		}
		return strings.NewReader(b.String()), "", nil
	}
	id := arg[len(arg)-1]
	to := map[string]string{"-h": "hold", "-H": "deferred", "-d": ""}[arg[len(arg)-2]]
	said := map[string]string{"-h": "Placed on hold", "-H": "Released from hold", "-d": "Deleted"}[arg[len(arg)-2]]
	if p.items[id] == "" || p.items[id] == to {
		return strings.NewReader(""), "postsuper: " + said + ": 0 messages\n", nil
	}
	if p.items[id] = to; to == "" {
		delete(p.items, id)
	}
	return strings.NewReader(""), "postsuper: " + id + ": x\npostsuper: " + said + ": 1 message\n", nil
}

// helper serves on a socket until the test ends.
func helper(t *testing.T, uid int, p *postfix, idle time.Duration) (path string, ended <-chan error) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	ln, err := listen.Unix(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	h := NewHelper(uid, "/etc/postfix", quiet)
	h.run = p.run
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Serve(ctx, ln, idle) }()
	if idle == 0 {
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(cancel)
	return path, done
}

func TestHelper(t *testing.T) {
	p := &postfix{items: map[string]string{"4XyZ1b2c3d": "deferred", "9F3179CC2D2": "active"}}
	path, _ := helper(t, os.Getuid(), p, 0)
	c := &Client{Path: path}
	list, err := c.List(t.Context())
	if err != nil || len(list.Items) != 2 || list.More {
		t.Fatalf("List = %+v, %v", list, err)
	}
	if i := list.Items[0]; i.MailFrom != "" || i.Rcpts != 1 || i.Bytes != 274 || i.Arrived.Unix() != 1795178956 {
		t.Errorf("item %+v", i)
	}
	ids := []string{"4XyZ1b2c3d", "AABBCCDDEE", "9F3179CC2D2"}
	for _, verb := range []Verb{Hold, Release, Delete} {
		if done, err := c.Do(t.Context(), verb, ids); err != nil || !slices.Equal(done, []string{"4XyZ1b2c3d", "9F3179CC2D2"}) {
			t.Errorf("%s: %q, %v", verb, done, err)
		}
	}
	if !slices.Contains(p.ran, "/usr/sbin/postsuper -c /etc/postfix -h 4XyZ1b2c3d") || !slices.Contains(p.ran, "/usr/sbin/postqueue -c /etc/postfix -j") {
		t.Errorf("ran %q", p.ran)
	}
	if _, err := c.Do(t.Context(), Delete, []string{"ALL"}); !errors.Is(err, errInvalid) {
		t.Errorf("ALL: %v", err)
	}
	p.fail = errors.New("exit status 1")
	if _, err := c.List(t.Context()); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "postfix: fatal:") {
		t.Errorf("a failing postqueue: %v", err)
	}
}

// TestStrangers get no answer, and what is no request ends the connection.
func TestStrangers(t *testing.T) {
	p := &postfix{}
	path, _ := helper(t, os.Getuid()+1, p, 0)
	if _, err := (&Client{Path: path}).List(t.Context()); !errors.Is(err, ErrAway) {
		t.Errorf("another user: %v", err)
	}
	path, _ = helper(t, os.Getuid(), p, 0)
	for _, line := range []string{"hold ALL\n", "delete -d ALL\n", "hold 4XyZ1b2c3d;id\n", "list \n", "LIST\n", "\n", "hold ../../etc\n", strings.Repeat("a", 500) + "\n", "list\r\n"} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(line + "list\n")); err != nil {
			t.Error(err)
		}
		b, _ := io.ReadAll(conn)
		if s := string(b); s != "" && (!strings.HasPrefix(s, "no ") || strings.Count(s, "\n") != 1) {
			t.Errorf("%q: answer %q", line, s)
		}
		conn.Close()
	}
	if len(p.ran) > 0 {
		t.Errorf("ran %q", p.ran)
	}
	if _, err := (&Client{Path: path + "x"}).List(t.Context()); !errors.Is(err, ErrAway) {
		t.Errorf("no helper: %v", err)
	}
}

// TestIdle: the helper ends by itself, so that nothing runs as root for nothing.
func TestIdle(t *testing.T) {
	_, ended := helper(t, os.Getuid(), &postfix{}, 20*time.Millisecond)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestCommandIsBounded runs a real program.
func TestCommandIsBounded(t *testing.T) {
	_, talk, err := command(t.Context(), "/bin/ls", "/"+strings.Repeat("x", 3*maxTalk))
	if err == nil || len(talk) > maxTalk {
		t.Errorf("%d bytes, %v", len(talk), err)
	}
	out, _, err := command(t.Context(), "/usr/bin/env")
	b, _ := io.ReadAll(out)
	if err != nil || strings.Contains(string(b), "HOME=") {
		t.Errorf("%q, %v", b, err)
	}
}

func TestParsePostqueue(t *testing.T) {
	line := `{"queue_name": "hold", "queue_id": "9F3179CC2D2", "arrival_time": 1, "message_size": 2, "sender": "a\n@x", "recipients": [{"address": "b"}, {"address": "c"}]}` + "\n"
	list, err := parsePostqueue(strings.NewReader(line))
	if err != nil || !list.Items[0].Held() || list.Items[0].Rcpts != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	out, err := appendAnswer(nil, &list, nil)
	if err != nil || bytes.Count(out, []byte("\n")) != 1 {
		t.Errorf("%q, %v", out, err)
	}
	list, err = parsePostqueue(strings.NewReader(strings.Repeat(line, MaxItems+5)))
	if err != nil || !list.More || len(list.Items) != MaxItems {
		t.Errorf("%d items, %v, %v", len(list.Items), list.More, err)
	}
	for _, bad := range []string{"postqueue: fatal", strings.Replace(line, "9F3179CC2D2", "-d ALL", 1)} {
		if _, err := parsePostqueue(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{"list", "hold 4XyZ1b2c3d", "release 9F3179CC2D2", "delete ALL", "hold -h", "hold 123456\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parseRequest(line)
		if err != nil {
			return
		}
		if r.verb != List && !ValidID(r.id) {
			t.Fatalf("%+v", r)
		}
		wire, err := r.append(nil)
		if err != nil || string(wire) != line+"\n" {
			t.Errorf("append(%+v) = %q, %v", r, wire, err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("ok"), true)
	f.Add([]byte("no not in the queue"), false)
	f.Add([]byte(`ok {"items":[{"queue":"hold","id":"9F3179CC2D2","arrived":"2026-11-20T12:00:00Z","bytes":1,"mail_from":"a@x","rcpts":1}]}`), true)
	f.Fuzz(func(t *testing.T, line []byte, list bool) {
		verb := Hold
		if list {
			verb = List
		}
		l, err := parseAnswer(line, verb)
		if err != nil || !list {
			return
		}
		wire, err := appendAnswer(nil, &l, nil)
		if err != nil {
			return // a time that JSON cannot carry
		}
		again, err := parseAnswer(bytes.TrimSuffix(wire, []byte("\n")), List)
		if err != nil || !reflect.DeepEqual(l, again) {
			t.Errorf("%+v comes back as %+v, %v", l, again, err)
		}
	})
}
