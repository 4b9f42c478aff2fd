//go:build linux && e2e

package pair

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/e2e/lab"
	"github.com/gatepost/gatepost/internal/mariadbtest"
	"github.com/gatepost/gatepost/internal/redistest"
)

// The tables of the guides, with which gatepost may do nothing but SELECT.
const guideTables = `
CREATE TABLE domains (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50) NOT NULL UNIQUE) ENGINE=InnoDB;
CREATE TABLE users (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, domain_id INT NOT NULL,
	password VARCHAR(106) NOT NULL, email VARCHAR(120) NOT NULL UNIQUE,
	FOREIGN KEY (domain_id) REFERENCES domains (id) ON DELETE CASCADE) ENGINE=InnoDB;
CREATE TABLE aliases (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, domain_id INT NOT NULL,
	source VARCHAR(100) NOT NULL, destinations TEXT NOT NULL,
	FOREIGN KEY (domain_id) REFERENCES domains (id) ON DELETE CASCADE) ENGINE=InnoDB;
INSERT INTO domains (name) VALUES ('example.org');
`

// cluster is two hosts that share accounts and state.
type cluster struct {
	second *lab.Host
	maria  *mariadbtest.Server
	db     string
	redis  *redistest.Lab
	// far is the second host's way to Redis.
	far *wire
}

// newCluster starts all of it. users are local parts at example.org.
func newCluster(t *testing.T, more string, users ...string) *cluster {
	t.Helper()
	c := &cluster{maria: mariadbtest.Start(t, mariadbtest.TCP()), redis: redistest.Single(t, redistest.Persist())}
	c.db = c.maria.CreateDatabase(t)
	own := c.maria.CreateDatabase(t)
	c.maria.ExecIn(t, c.db, guideTables)
	for _, u := range users {
		c.maria.ExecIn(t, c.db, fmt.Sprintf("INSERT INTO users (domain_id, password, email) VALUES (1, '{PLAIN}%s', '%s@%s')", password, u, lab.Domain))
	}
	c.maria.ExecIn(t, c.db, fmt.Sprintf("INSERT INTO aliases (domain_id, source, destinations) VALUES (1, 'team@%[1]s', '%[2]s@%[1]s')", lab.Domain, users[0]))
	u := c.maria.CreateUser(t, "SELECT ON `"+c.db+"`.*", "ALL ON `"+own+"`.*")
	secret := filepath.Join(the.Dir, "mysql.password")
	if err := os.WriteFile(secret, []byte(u.Password+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.far = newWire(t, c.redis.Addresses[0])
	config := func(redis string) string {
		return fmt.Sprintf("mysql: { hosts: [ %q ], user: %s, password_file: %s, dbname: %s, own_dbname: %s, schema: guide }\nredis: { addresses: [ %q ] }\n%s",
			"inet:"+c.maria.Addr, u.Name, secret, c.db, own, redis, more)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("\n" + the.Tails(25))
		}
	})
	restart(t, config(c.redis.Addresses[0]))
	c.second = second(t, config(c.far.addr))
	return c
}

// restart starts the first host's gatepost with another configuration, and with
// its own again after the test.
func restart(t *testing.T, config string) {
	t.Helper()
	put := func(text string) {
		if err := the.StopGatepost(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(the.ConfigPath(), []byte("hostname: "+lab.Hostname+"\n"+text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := the.StartGatepost(); err != nil {
			t.Fatal(err)
		}
	}
	put(config)
	t.Cleanup(func() { put("policyd: { greylist: { mode: off } }\n") })
}

// hosts are where mail can be sent to.
func (c *cluster) hosts() []string { return []string{lab.ServerIP, lab.SecondIP} }

// submit sends mail of a user through port 587 of a host.
func submit(ip, from, user, to, id string) (lab.Outcome, error) {
	msg := lab.Message{From: user, To: to, Subject: "Hello", ID: id, Body: "Hello.\n"}
	return the.Send(lab.Mail{From: from, To: ip + ":587", Helo: "laptop.invalid", User: user, Password: password,
		MailFrom: user, RcptTo: []string{to}, Data: msg.Bytes()})
}

func taken(o lab.Outcome, err error) bool {
	return err == nil && o.At == "message" && o.Reply.Code == 250 && len(o.Refused) == 0
}

// login asks a host's submission service for a login, and returns the answer.
func login(t *testing.T, ip, from, user, password string) lab.Reply {
	t.Helper()
	c, err := the.Dial(from, ip+":465")
	if err != nil {
		return lab.Reply{Text: err.Error()}
	}
	defer c.Close()
	if err := c.Hello("laptop.invalid"); err != nil {
		t.Fatal(err)
	}
	r, err := c.Auth(user, password)
	if err != nil { // authd closes the connection, and smtpd with it
		return lab.Reply{Text: err.Error()}
	}
	return r
}

// TestClusterIsOne: a limit counts over both hosts, a ban and its end hold on the
// other within a second, and so does what the filter learned.
func TestClusterIsOne(t *testing.T) {
	c := newCluster(t, `policyd: { greylist: { mode: off }, limits: [ { name: few, by: user, rate: 4/hour, mode: enforce } ] }
`, "alice", "bob")
	const alice = "alice@" + lab.Domain

	for i := range 4 { // two on each host
		if o, err := submit(c.hosts()[i%2], lab.UserIP, alice, "dave@example.net", fmt.Sprintf("<limit.%d@example.org>", i)); !taken(o, err) {
			t.Fatalf("message %d: %+v, %v", i, o, err)
		}
	}
	for i, ip := range c.hosts() {
		o, err := submit(ip, lab.UserIP, alice, "dave@example.net", fmt.Sprintf("<limit.over.%d@example.org>", i))
		if err != nil || taken(o, err) {
			t.Errorf("the fifth message, through %s: %+v, %v, want it refused", ip, o, err)
		}
	}

	cli(t, the, "", "ban", "add", lab.OtherUserIP, "--for", "1h")
	refused := func(what string, want bool) {
		began, last := time.Now(), time.Now()
		err := the.Until(what, func() error {
			last = time.Now() // what follows may be held up by the guard
			r := login(t, lab.SecondIP, lab.OtherUserIP, "bob@"+lab.Domain, password)
			if (r.Code != 235) != want {
				return fmt.Errorf("login through the second host: %v", r)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		took := last.Sub(began)
		t.Logf("%s took %v", what, took.Round(time.Millisecond))
		if took > time.Second {
			t.Errorf("%s took %v, want a second at most", what, took)
		}
	}
	refused("a ban on the first host to hold on the second", true)
	cli(t, the, "", "ban", "remove", lab.OtherUserIP)
	refused("its end to hold there", false)

	spam := lab.Message{From: "Sales <sales@example.net>", To: alice, Subject: "Cheap watches, act now", ID: "<spam.1@example.net>",
		Body: "Buy cheap watches today, limited offer, click now.\n"}
	before := scoreOn(t, c.second, spam)
	cli(t, the, string(spam.Bytes()), "learn", "spam", "-")
	began := time.Now()
	err := the.Until("what one host learned to count on the other", func() error {
		if after := scoreOn(t, c.second, spam); after == before {
			return fmt.Errorf("the filter there still says %s", after)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	t.Logf("a learn on the first host changed the second's filter within %v", time.Since(began).Round(time.Millisecond))
}

// scoreOn returns what a host's filter says of a message.
func scoreOn(t *testing.T, h hop, m lab.Message) string {
	t.Helper()
	var st struct {
		Ham  int `json:"ham"`
		Spam int `json:"spam"`
	}
	if err := json.Unmarshal([]byte(cli(t, h, "", "learn", "status", "--json")), &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d ham, %d spam", st.Ham, st.Spam)
}

// TestClusterServesTheGuidesTables: an alias with a comma list reaches its mailbox through
// either host, and an unknown user is refused by both.
func TestClusterServesTheGuidesTables(t *testing.T) {
	c := newCluster(t, "policyd: { greylist: { mode: off } }\n", "alice")
	for i, ip := range c.hosts() {
		root, id := "/var/vmail", fmt.Sprintf("<alias.%d@example.com>", i)
		if ip == lab.SecondIP {
			root = c.second.MailRoot
		}
		if o, err := inbound(ip, "team@"+lab.Domain, id); !taken(o, err) {
			t.Fatalf("through %s: %+v, %v", ip, o, err)
		}
		err := the.Until("the message", func() error {
			if n := copies(t, root, "alice@"+lab.Domain, id); n != 1 {
				return fmt.Errorf("%d copies", n)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if o, err := inbound(ip, "nobody@"+lab.Domain, "<x@example.com>"); err != nil || len(o.Refused) != 1 && o.Reply.Code != 550 {
			t.Errorf("an unknown user through %s: %+v, %v", ip, o, err)
		}
	}
	out, err := the.CLI(password+"\n", "user", "add", "carol@"+lab.Domain)
	if err == nil || !strings.Contains(err.Error(), "accounts are kept") && !strings.Contains(err.Error(), "read") {
		t.Errorf("user add into a schema that is only read: %s, %v", out, err)
	}
}

// inbound sends honest mail from outside to port 25 of a host.
func inbound(ip, to, id string) (lab.Outcome, error) {
	msg := lab.Message{From: "Carol <carol@example.com>", To: to, Subject: "Hello", ID: id, Body: "Hello.\n"}
	return the.Send(lab.Mail{From: lab.StrangerIP, To: ip + ":25", MailFrom: "carol@example.com", RcptTo: []string{to}, Data: msg.Bytes()})
}
