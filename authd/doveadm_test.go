package authd

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/state"
)

// TestDoveadm lets Dovecot's own clients of the login, userdb and master
// protocols talk to us. It needs no running Dovecot and reads no configuration
// but its own.
func TestDoveadm(t *testing.T) {
	doveadm, err := exec.LookPath("doveadm")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("doveadm is missing (package dovecot-core)")
		}
		t.Skip("doveadm is missing (package dovecot-core)")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "dovecot.conf")
	if err := os.WriteFile(conf, []byte("base_dir = "+dir+"\nstate_dir = "+dir+"\nlog_path = "+dir+"/log\nssl = no\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sockets := serveUnix(t, dir)
	for _, tc := range []struct {
		name string
		args []string
		want []string
		ok   bool
	}{
		{"right password", []string{"auth", "test", "-a", sockets[Client], "-x", "service=imap", alice, "wonderland"}, []string{"auth succeeded", "user=" + alice}, true},
		{"wrong password", []string{"auth", "test", "-a", sockets[Client], "-x", "service=imap", alice, "x"}, []string{"auth failed"}, false},
		{"unknown user", []string{"auth", "test", "-a", sockets[Client], "-x", "service=imap", "nobody@example.org", "x"}, []string{"auth failed"}, false},
		{"user", []string{"user", "-a", sockets[Userdb], alice}, []string{"uid\t5000", "gid\t5000", "home\t/var/vmail/example.org/alice", "mail\tmaildir:~/Maildir"}, true},
		{"no such user", []string{"user", "-a", sockets[Userdb], "nobody@example.org"}, nil, false},
		{"users", []string{"user", "-a", sockets[Userdb], "*@example.org"}, []string{alice, "bob@example.org"}, true},
		{"login and take over", []string{"auth", "login", "-a", sockets[Login], "-m", sockets[Master], "-x", "service=imap", alice, "wonderland"}, []string{"auth succeeded", "user=" + alice, "uid=5000", "home=/var/vmail/example.org/alice", "auth_mech=PLAIN"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), doveadm, append([]string{"-c", conf}, tc.args...)...).CombinedOutput()
			if (err == nil) != tc.ok {
				t.Errorf("doveadm %q = %v, want ok = %v", tc.args, err, tc.ok)
			}
			for _, w := range tc.want {
				if !strings.Contains(string(out), w) {
					t.Errorf("doveadm %q says %q, want %q", tc.args, out, w)
				}
			}
		})
	}
}

// serveUnix serves all four kinds on Unix sockets in dir.
func serveUnix(t *testing.T, dir string) map[Kind]string {
	t.Helper()
	accounts := &fakeAccounts{users: map[mailaddr.Address]account.User{}}
	accounts.set(alice, "wonderland", nil)
	accounts.set("bob@example.org", "x", nil)
	j := &fakeJournal{}
	log := slog.New(slog.DiscardHandler)
	g, err := guard.New(t.Context(), guard.Default(), guard.Deps{State: &fakeState{rows: map[string]state.Entry{}}, Journal: j}, log)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	cfg.MasterUIDs = []int{os.Getuid()}
	cfg.FailureDelay = 0
	srv, err := New(cfg, Deps{Accounts: accounts, Guard: g, Journal: j, Meter: &fakeMeter{verdicts: map[string]int{}}}, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	t.Cleanup(func() { cancel(); served.Wait() })
	sockets := map[Kind]string{}
	for k := Client; k <= Userdb; k++ {
		sockets[k] = filepath.Join(dir, k.String())
		ln, err := net.Listen("unix", sockets[k])
		if err != nil {
			t.Fatal(err)
		}
		served.Go(func() {
			if err := srv.Serve(ctx, ln, k); err != nil {
				t.Errorf("Serve(%v) = %v", k, err)
			}
		})
	}
	return sockets
}
