package mysql

import (
	"context"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/mariadbtest"
)

func BenchmarkLookUpFromCache(b *testing.B) {
	server := mariadbtest.Start(b)
	s := openStore(b, ownConfig(b, server))
	accounttest.Fill(b, s, "example.org", "alice@example.org")
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.User(b.Context(), alice); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "look-ups/s")
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.User(context.Background(), alice); err != nil {
					b.Error(err)
					return
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "look-ups/s")
	})
}

// BenchmarkLookUpFromMariaDB compares look-ups of a user with the driver's own
// point select of the password in the same row, by turns: "x-select" is how many
// times as long a look-up takes.
func BenchmarkLookUpFromMariaDB(b *testing.B) {
	server := mariadbtest.Start(b)
	own := openStore(b, ownConfig(b, server))
	accounttest.Fill(b, own, "example.org", "alice@example.org")
	b.Run("own schema", func(b *testing.B) {
		query := own.tables.sql("SELECT password FROM {users} WHERE domain = ? AND local = ?")
		besideSelect(b, own, own, query, alice.Domain, alice.LocalPart)
	})
	theirs, ours := server.CreateDatabase(b), server.CreateDatabase(b)
	server.ExecIn(b, theirs, guideTables)
	cfg := configAs(b, server, theirs, server.CreateUser(b, "SELECT ON `"+theirs+"`.*", "ALL ON `"+ours+"`.*"))
	cfg.OwnDBName, cfg.Schema = ours, "guide"
	foreign := openStore(b, cfg)
	b.Run("guide", func(b *testing.B) {
		besideSelect(b, foreign, foreign.Fresh(), "SELECT password FROM users WHERE email = ?", alice.String())
	})
}

func besideSelect(b *testing.B, s *Store, view account.Reader, query string, args ...any) {
	var bare, look time.Duration
	for b.Loop() {
		began := time.Now()
		var password []byte
		if err := s.hosts.write.db.QueryRowContext(b.Context(), query, args...).Scan(&password); err != nil {
			b.Fatal(err)
		}
		between := time.Now()
		if s.own {
			s.clock.doubt() // what is remembered is void
		}
		if _, err := view.User(b.Context(), alice); err != nil {
			b.Fatal(err)
		}
		bare += between.Sub(began)
		look += time.Since(between)
	}
	b.ReportMetric(float64(look)/float64(bare), "x-select")
	b.ReportMetric(float64(b.N)/look.Seconds(), "look-ups/s")
	b.ReportMetric(float64(b.N)/bare.Seconds(), "selects/s")
}
