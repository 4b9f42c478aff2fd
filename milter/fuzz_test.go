package milter

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

// sessionSeed is a short session as Postfix has it, for a seed.
var sessionSeed = pack('O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff") +
	pack('D', "C", z("j", "mx", "{client_name}", "unknown")) + pack('C', "h\x004\x00\x19192.0.2.7\x00") +
	pack('D', "H") + pack('H', "x\x00") + pack('U', "FOO\x00") +
	pack('D', "M", z("{auth_authen}", "alice")) + pack('M', "<a@b.example>\x00SIZE=9\x00") +
	pack('R', "<c@d.example>\x00NOTIFY=NEVER\x00") + pack('D', "T", z("i", "4ABC")) + pack('T') +
	pack('L', "From\x00 a@b.example\x00") + pack('L', "X-Spam\x00 No\x00") + pack('L', "X\x00 a\n\tb\x00c\x00") + pack('N') +
	pack('B', "body\r\n") + pack('E') + pack('M', "<>\x00") + pack('L', "a\x00b\x00") + pack('E', "rest") +
	pack('A') + pack('A') + pack('K') + pack('C', "h\x00L\x00\x00/x\x00") + pack('Q')

// seeds adds the short session and, where they are, the captures.
func seeds(f *testing.F) {
	f.Add([]byte(sessionSeed))
	for _, bad := range []string{"\x00\x00\x00\x00", "\xff\xff\xff\xff", pack('C'), pack('D'), pack('O', "\x00")} {
		f.Add([]byte(bad))
		f.Add([]byte(sessionSeed[:17] + bad))
	}
	if os.Getenv("GATEPOST_SHARED") == "" && os.Getenv("CI") == "" {
		if _, err := os.Stat(filepath.FromSlash("../../shared/protocols/transcripts")); err != nil {
			return
		}
	}
	for _, b := range captures(f) {
		if len(b) < 100<<10 {
			f.Add(b)
		}
	}
}

// FuzzFrames: whatever arrives, packets are refused or come back the same, and
// each decoder takes what its encoder wrote.
func FuzzFrames(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		var buf []byte
		var again []byte
		for {
			var fr frame
			var err error
			fr, buf, err = readFrame(r, buf)
			if cap(buf) > 2*len(b)+128<<10 {
				t.Fatalf("a buffer of %d bytes for %d received", cap(buf), len(b))
			}
			if err != nil {
				break
			}
			again = appendFrame(again, byte(fr.Cmd), fr.Data)
			if !bytes.HasPrefix(b, again) {
				t.Fatalf("packet %c is not what was read", fr.Cmd)
			}
			decode(t, fr)
		}
	})
}

func decode(t *testing.T, fr frame) {
	t.Helper()
	if ss, err := parseStrings(fr.Data); err == nil && z(ss...) != string(fr.Data) {
		t.Fatalf("parseStrings(%q) = %q", fr.Data, ss)
	}
	if n, v, err := parseHeader(fr.Data); err == nil {
		n2, v2, err := parseHeader([]byte(z(string(n), string(v))))
		if err != nil || !bytes.Equal(n, n2) || !bytes.Equal(v, v2) || bytes.IndexByte(v, 0) >= 0 {
			t.Fatalf("parseHeader(%q) = %q, %q", fr.Data, n, v)
		}
	}
	if c, err := parseConnect(fr.Data); err == nil && (c.Family == '4' || c.Family == '6') != c.Addr.IsValid() {
		t.Fatalf("parseConnect(%q) = %+v", fr.Data, c)
	}
	if err := checkMacros(fr.Data); err == nil {
		var m macros
		m.put(fr.Data)
		m.begin(command(fr.Data[0]))
		_ = m.value("i")
	}
}

// FuzzNegotiate: nothing is asked for that was not offered, and an answer is
// understood as it was meant.
func FuzzNegotiate(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff"))
	f.Add([]byte("\x00\x00\x00\x02\x00\x00\x00\x3f\x00\x00\x00\x7f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		offer, err := parseOptions(b)
		if err != nil {
			return
		}
		if !bytes.Equal(offer.append(nil), b) {
			t.Fatalf("offer %x reads as %+v", b, offer)
		}
		o := negotiate(offer)
		if o.Actions&^offer.Actions != 0 || o.Protocol&^offer.Protocol != 0 || o.Version > offer.Version {
			t.Fatalf("offer %+v answered with %+v", offer, o)
		}
		wire := o.append(nil)
		again, err := parseOptions(wire[:12])
		again.Macros = o.Macros
		if err != nil || !reflect.DeepEqual(again, o) {
			t.Fatalf("answer %+v reads as %+v, %v", o, again, err)
		}
	})
}

// FuzzSession plays bytes as an MTA through the whole daemon. It must end, and
// answer with nothing but whole packets that the MTA agreed to.
func FuzzSession(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			s := seen{give: scan.Result{Verdict: verdict.Verdict(len(b) % 5), Lines: []verdict.Line{{Name: "X", Options: []string{string(b)}}}}}
			cfg := testConfig()
			cfg.SpoolMemory, cfg.SpoolDirectory, cfg.MaxHeaderBytes = 1<<10, os.TempDir(), 64<<10
			ln := serve(t, cfg, Deps{Scan: s.scan, Journal: &records{}}, quiet(), scan.Direction(len(b)%4))
			client, server := net.Pipe()
			ln.conns <- server
			go func() { _, _ = client.Write(b) }() // then silence, which ends it
			var got []packet
			for {
				p, err := readPacket(client)
				if err != nil {
					break
				}
				got = append(got, p)
			}
			_ = client.Close()
			for i, p := range got {
				if (p.Code == 'O') != (i == 0) || strings.IndexByte("Ocayhim", p.Code) < 0 || strings.Contains(p.Data, "\r") {
					t.Fatalf("answer %d is %v", i, p)
				}
			}
		})
	})
}
