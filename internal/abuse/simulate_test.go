package abuse

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// person is a sender with a habit.
type person struct {
	user                    string
	perHour, rcptsEach      float64
	refused, mismatch, spam float64 // shares
	nulls                   float64
	clients                 int
	from, to                int // hours of the day
	everyDays               int
}

func poisson(r *rand.Rand, mean float64) int {
	if mean > 50 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*r.NormFloat64())))
	}
	n, p, l := 0, 1.0, math.Exp(-mean)
	for p *= r.Float64(); p > l; p *= r.Float64() {
		n++
	}
	return n
}

// hour lets p send for an hour of the bubble's time.
func (p person) hour(t *testing.T, r *rand.Rand, w *Watcher) {
	now := time.Now()
	if h := now.Hour(); h >= p.from && h < p.to && now.YearDay()%p.everyDays == 0 {
		n := poisson(r, p.perHour)
		for range n {
			time.Sleep(time.Hour / time.Duration(n+1))
			s := mail(p.user)
			s.RcptTo = rcpts(r, 1+poisson(r, p.rcptsEach-1))
			s.Client = netip.AddrFrom4([4]byte{203, 0, byte(r.IntN(p.clients)), 9})
			for range s.RcptTo {
				if r.Float64() < p.refused {
					w.do(t, event{refused: &Refused{At: time.Now(), User: p.user, Client: s.Client}})
				}
			}
			if r.Float64() < p.mismatch {
				s.From = addr("newsletter@example.org")
			}
			if r.Float64() < p.nulls {
				s.MailFrom = mailaddr.Address{}
			}
			s.Marked = r.Float64() < p.spam
			w.do(t, event{login: &Login{At: time.Now(), User: p.user, Client: s.Client}})
			w.do(t, event{sent: s})
		}
	}
	time.Sleep(time.Until(now.Add(time.Hour)))
}

// TestSteadySenderIsNeverHeld: whoever sends as ever is not held by that,
// however much it is.
func TestSteadySenderIsNeverHeld(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 5))
				p := person{
					user: "steady@example.org", perHour: math.Exp(r.Float64()*4) - 0.5, rcptsEach: 1 + math.Exp(r.Float64()*3),
					refused: r.Float64() * 0.08, mismatch: float64(r.IntN(2)) * r.Float64(), spam: float64(r.IntN(2)) * 0.3 * r.Float64(), nulls: r.Float64() * 0.1,
					clients: 1 + r.IntN(4), from: r.IntN(9), to: 12 + r.IntN(12), everyDays: 1 + r.IntN(2),
				}
				a := &acts{}
				w := watcher(t, &memory{}, a, func(c *Config) { c.Settle = unit.Duration(3 * 24 * time.Hour) })
				for range 12 * 24 {
					p.hour(t, r, w)
				}
				if a.worst() == Hold {
					t.Errorf("%+v was held: %v", p, a.cases[len(a.cases)-1].Verdict.Evidence())
				}
			})
		})
	}
}

// TestStolenAccountIsHeld: a quiet account that a botnet uses is held within so
// many messages, and its owner's own mail did nothing.
func TestStolenAccountIsHeld(t *testing.T) {
	const most = 60
	for name, bot := range map[string]func(r *rand.Rand, s *Sent){
		"botnet": func(r *rand.Rand, s *Sent) {
			s.Client = netip.AddrFrom4([4]byte{byte(5 + r.IntN(80)), byte(r.IntN(250)), byte(r.IntN(250)), 9})
		},
		"one host, other From, spam": func(r *rand.Rand, s *Sent) {
			s.Client, s.From = netip.MustParseAddr("198.51.100.66"), addr("ceo@bank.example")
			s.Marked = r.Float64() < 0.5
		},
		"one host, refused": func(r *rand.Rand, s *Sent) { s.Client = netip.MustParseAddr("198.51.100.66") },
	} {
		for seed := range uint64(8) {
			t.Run(fmt.Sprint(name, " ", seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := rand.New(rand.NewPCG(seed, 6))
					p := person{user: "alice@example.org", perHour: 2, rcptsEach: 1.5, refused: 0.01, clients: 2, from: 8, to: 18, everyDays: 1}
					a := &acts{}
					w := watcher(t, &memory{}, a, func(c *Config) { c.Settle = unit.Duration(3 * 24 * time.Hour) })
					for range 6 * 24 {
						p.hour(t, r, w)
					}
					if len(a.cases) > 0 {
						t.Fatalf("the owner: %v", a.cases[0].Verdict.Evidence())
					}
					n := 0
					for a.worst() != Hold && n < most {
						n++
						time.Sleep(5 * time.Second)
						s := mail(p.user)
						bot(r, s)
						s.RcptTo = rcpts(r, 5)
						for range s.RcptTo {
							if r.Float64() < 0.2 {
								w.do(t, event{refused: &Refused{At: time.Now(), User: p.user, Client: s.Client}})
							}
						}
						w.do(t, event{login: &Login{At: time.Now(), User: p.user, Client: s.Client}})
						w.do(t, event{sent: s})
					}
					if a.worst() != Hold {
						t.Fatalf("not held after %d messages", n)
					}
					t.Logf("held after %d messages: %s", n, strings.Join(a.cases[len(a.cases)-1].Verdict.Evidence(), "; "))
				})
			})
		}
	}
}
