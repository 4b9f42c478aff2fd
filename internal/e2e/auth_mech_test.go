//go:build linux && e2e

package e2e

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// saslClient answers the server's challenges. The first one is empty where the
// client speaks first.
type saslClient func(challenge string) (string, error)

// saslClients are the mechanisms that the tests speak.
var saslClients = map[string]func(user, password string) (saslClient, error){
	"PLAIN": func(user, password string) (saslClient, error) {
		return func(string) (string, error) { return "\x00" + user + "\x00" + password, nil }, nil
	},
	"LOGIN": func(user, password string) (saslClient, error) {
		return func(challenge string) (string, error) {
			switch challenge {
			case "Username:":
				return user, nil
			case "Password:":
				return password, nil
			}
			return "", fmt.Errorf("a prompt of another kind: %q", challenge)
		}, nil
	},
	"SCRAM-SHA-256": func(user, password string) (saslClient, error) { return scramClient(scram.SHA256, user, password) },
	"SCRAM-SHA-1":   func(user, password string) (saslClient, error) { return scramClient(scram.SHA1, user, password) },
}

// scramClient checks what the server says of itself, too.
func scramClient(hash scram.HashGeneratorFcn, user, password string) (saslClient, error) {
	c, err := hash.NewClient(user, password, "")
	if err != nil {
		return nil, err
	}
	conv := c.NewConversation()
	return func(challenge string) (string, error) {
		if conv.Done() {
			return "", errors.New("one challenge too many")
		}
		return conv.Step(challenge)
	}, nil
}

// step answers one challenge in base64.
func step(c saslClient, challenge string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(challenge))
	if err != nil {
		return "", err
	}
	answer, err := c(string(b))
	return base64.StdEncoding.EncodeToString([]byte(answer)), err
}

// smtpMech logs in at port 587 with one mechanism.
func smtpMech(t *testing.T, mech string, client saslClient) lab.Reply {
	t.Helper()
	c := submissionSession(t, lab.UserIP)
	defer c.Close()
	r, err := c.Command("AUTH " + mech)
	for err == nil && r.Code == 334 {
		var answer string
		if answer, err = step(client, r.Text); err != nil {
			break
		}
		r, err = c.Command(answer)
	}
	if err != nil {
		t.Fatalf("AUTH %s: %v\n%s", mech, err, strings.Join(c.Dialogue, "\n"))
	}
	return r
}

// submissionSession opens a session at port 587, up to the second EHLO.
func submissionSession(t *testing.T, from string) *lab.SMTP {
	t.Helper()
	c, err := openSubmission(from)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func openSubmission(from string) (*lab.SMTP, error) {
	c, err := the.Dial(from, lab.ServerIP+":587")
	if err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		func() error { return c.Hello("laptop") }, c.StartTLS, func() error { return c.Hello("laptop") },
	} {
		if err := step(); err != nil {
			c.Close()
			return nil, fmt.Errorf("submission: %w", err)
		}
	}
	return c, nil
}

// imapMech logs in at port 993 with one mechanism, and returns the tagged answer.
func imapMech(t *testing.T, mech string, client saslClient) string {
	t.Helper()
	conn, c := text(t, lab.UserIP, "993", true)
	defer conn.Close()
	say(t, c, "")
	line := say(t, c, "a AUTHENTICATE "+mech)
	for {
		switch {
		case strings.HasPrefix(line, "+"):
			answer, err := step(client, strings.TrimPrefix(line, "+"))
			if err != nil {
				t.Fatalf("AUTHENTICATE %s: %v", mech, err)
			}
			// An answer may be empty, and is a line all the same.
			if err := c.PrintfLine("%s", answer); err != nil {
				t.Fatal(err)
			}
			line = say(t, c, "")
		case strings.HasPrefix(line, "a "):
			return strings.TrimPrefix(line, "a ")
		default:
			line = say(t, c, "")
		}
	}
}

// offered returns the mechanisms that Postfix and Dovecot announce.
func offered(t *testing.T) (smtp, imap []string) {
	t.Helper()
	c := submissionSession(t, lab.UserIP)
	defer c.Close()
	for line := range strings.Lines(c.Extended.Text) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(line), "AUTH "); ok {
			smtp = strings.Fields(list)
		}
	}
	conn, ic := text(t, lab.UserIP, "993", true)
	defer conn.Close()
	say(t, ic, "")
	for _, m := range regexp.MustCompile(`AUTH=(\S+)`).FindAllStringSubmatch(say(t, ic, "a CAPABILITY"), -1) {
		imap = append(imap, m[1])
	}
	slices.Sort(smtp)
	slices.Sort(imap)
	return smtp, imap
}

// TestEveryMechanism: Postfix and Dovecot log in with each mechanism that they
// announce, with the right password and not with a wrong one.
func TestEveryMechanism(t *testing.T) {
	first := user(t, "mech")
	gatepostWith(t, "guard: {mode: observe}\nauthd: {failure_delay: 0s, mechanisms: [PLAIN, LOGIN, SCRAM-SHA-256, SCRAM-SHA-1]}\n")
	// Processes that are connected keep the list that they were told.
	if err := errors.Join(the.StopDovecot(), the.StartDovecot()); err != nil {
		t.Fatal(err)
	}
	if _, err := the.Postfix("postfix", "reload"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := the.Postfix("postfix", "reload"); err != nil {
			t.Error(err)
		}
	})
	boxes := map[string]lab.Mailbox{"PLAIN": first, "LOGIN": first}
	for _, mech := range []string{"SCRAM-SHA-256", "SCRAM-SHA-1"} {
		// SCRAM needs keys of its own hash.
		box := lab.Mailbox{User: strings.ToLower(mech) + "@" + lab.Domain, Password: password}
		cli(t, password+"\n", "user", "add", box.User, "--scheme", mech)
		boxes[mech] = box
	}
	smtp, imap := offered(t)
	want := []string{"LOGIN", "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"}
	if !slices.Equal(smtp, want) || !slices.Equal(imap, want) {
		t.Errorf("Postfix announces %v, Dovecot %v, want %v", smtp, imap, want)
	}
	for _, mech := range want {
		t.Run(mech, func(t *testing.T) {
			box := boxes[mech]
			client := func(password string) saslClient {
				c, err := saslClients[mech](box.User, password)
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			if r := smtpMech(t, mech, client(box.Password)); r.Code != 235 {
				t.Errorf("Postfix: %v", r)
			}
			if r := smtpMech(t, mech, client(box.Password+"!")); r.Code != 535 {
				t.Errorf("Postfix, a wrong password: %v", r)
			}
			if said := imapMech(t, mech, client(box.Password)); !strings.HasPrefix(said, "OK") {
				t.Errorf("Dovecot: %s", said)
			}
			if said := imapMech(t, mech, client(box.Password+"!")); !strings.HasPrefix(said, "NO [AUTHENTICATIONFAILED]") {
				t.Errorf("Dovecot, a wrong password: %s", said)
			}
		})
	}
}

// TestOtherClients: programs that are not ours log in.
func TestOtherClients(t *testing.T) {
	box := user(t, "otherclient")
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + box.User + "\x00" + box.Password))
	for _, tc := range []struct {
		name, stdin string
		args        []string
		want        string
	}{
		{"openssl, submission", "EHLO laptop\nAUTH PLAIN " + plain + "\nQUIT\n", []string{"openssl", "s_client", "-quiet", "-ign_eof", "-crlf", "-starttls", "smtp", "-connect", lab.ServerIP + ":587"}, "235 2.7.0"},
		{"openssl, imap", "a AUTHENTICATE PLAIN\n" + plain + "\nb LOGOUT\n", []string{"openssl", "s_client", "-quiet", "-ign_eof", "-crlf", "-connect", lab.ServerIP + ":993"}, "a OK"},
		{"swaks, PLAIN", "", []string{"swaks", "--server", lab.ServerIP, "--port", "587", "--tls", "--auth", "PLAIN", "--auth-user", box.User, "--auth-password", box.Password, "--quit-after", "AUTH"}, "235 2.7.0"},
		{"swaks, LOGIN", "", []string{"swaks", "--server", lab.ServerIP, "--port", "587", "--tls", "--auth", "LOGIN", "--auth-user", box.User, "--auth-password", box.Password, "--quit-after", "AUTH"}, "235 2.7.0"},
		{"swaks, wrong", "", []string{"swaks", "--server", lab.ServerIP, "--port", "587", "--tls", "--auth", "PLAIN", "--auth-user", box.User, "--auth-password", "wrong", "--quit-after", "AUTH"}, "535 5.7.8"},
		{"doveadm, Postfix's socket", "", []string{"doveadm", "auth", "test", "-a", "/var/spool/postfix/gatepost/auth", "-x", "service=smtp", box.User, box.Password}, "auth succeeded"},
		{"doveadm, login", "", []string{"doveadm", "auth", "login", "-a", "/run/gatepost/login", "-m", "/run/gatepost/master", "-x", "service=imap", box.User, box.Password}, "uid=5000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), tc.args[0], tc.args[1:]...)
			cmd.Stdin = strings.NewReader(tc.stdin)
			out, err := cmd.CombinedOutput()
			if !bytes.Contains(out, []byte(tc.want)) {
				t.Errorf("%v\n%s\nwant %q in it", err, out, tc.want)
			}
		})
	}
}
