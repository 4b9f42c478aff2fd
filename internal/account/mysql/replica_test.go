package mysql

import (
	"errors"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/mariadbtest"
	"github.com/gatepost/gatepost/internal/secret"
)

// A store that begins while the primary is away does not know how far behind the
// replica is: no old password is right, and nobody who is missing there is
// unknown.
func TestBeginWithReplicaThatIsBehind(t *testing.T) {
	primary := mariadbtest.Start(t, mariadbtest.Primary(), writesThrough())
	replica := mariadbtest.StartReplica(t, primary)
	cfg := ownConfig(t, primary)
	cfg.Hosts, cfg.WriteHost = []string{"unix:" + replica.Socket}, "unix:"+primary.Socket
	before := openStore(t, cfg)
	ctx := t.Context()
	accounttest.Fill(t, before, "example.org", "alice@example.org")
	mariadbtest.WaitReplica(t, primary, replica)
	replica.Exec(t, "STOP SLAVE SQL_THREAD")
	accounttest.Fill(t, before, "new.example", "bob@example.org")
	if err := before.SetPassword(ctx, alice, secret.String("{PLAIN}new")); err != nil {
		t.Fatal(err)
	}
	primary.Kill(t)
	s := openStore(t, cfg)
	if u, err := s.User(ctx, alice); err != nil || u.Addr != alice {
		t.Errorf("User(alice) = %+v, %v, want her by the replica", u, err)
	}
	_, err := s.Fresh().User(ctx, alice)
	isTransient(t, "Fresh().User(alice)", err)
	_, err = s.User(ctx, accounttest.Addr(t, "bob@example.org"))
	isTransient(t, "User(bob)", err)
	_, err = s.Domain(ctx, "new.example")
	isTransient(t, "Domain(new.example)", err)
	primary.Restart(t)
	accounttest.Eventually(t, "logins do not work again", func() bool {
		u, err := s.Fresh().User(ctx, alice)
		return err == nil && string(u.Password.Reveal()) == "{PLAIN}new"
	})
}

// A mailbox that another program made just now is there, whatever a replica says.
func TestForeignReplicaIsBehind(t *testing.T) {
	primary := mariadbtest.Start(t, mariadbtest.Primary(), writesThrough())
	replica := mariadbtest.StartReplica(t, primary)
	s, theirs := guideStore(t, primary, func(c *Config) {
		mariadbtest.WaitReplica(t, primary, replica)
		c.Hosts, c.WriteHost = []string{"unix:" + replica.Socket}, "unix:"+primary.Socket
	})
	mariadbtest.WaitReplica(t, primary, replica)
	ctx := t.Context()
	replica.Exec(t, "STOP SLAVE SQL_THREAD")
	primary.ExecIn(t, theirs, `INSERT INTO users (domain_id, password, email) VALUES (1, 'x', 'bob@example.org');
		INSERT INTO aliases (domain_id, source, destinations) VALUES (1, 'new@example.org', 'bob@example.org');
		INSERT INTO domains (name) VALUES ('new.example')`)
	_, err1 := s.User(ctx, accounttest.Addr(t, "bob@example.org"))
	_, err2 := s.Alias(ctx, accounttest.Addr(t, "new@example.org"))
	_, err3 := s.Domain(ctx, "new.example")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Errorf("what was just made is not there: %v", err)
	}
	if _, err := s.User(ctx, accounttest.Addr(t, "nobody@example.org")); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("User(nobody) = %v, want ErrNotFound", err)
	}
	primary.Kill(t)
	if _, err := s.User(ctx, alice); err != nil {
		t.Errorf("User(alice) by the replica = %v", err)
	}
	_, err := s.User(ctx, accounttest.Addr(t, "carol@example.org"))
	isTransient(t, "User(carol)", err)
}
