package dkim

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// The bounds of the work, not of the time.
func TestHostile(t *testing.T) {
	rsa := testKey(t, "rsa")
	names := func(n int) string { return strings.Repeat("x:", n) + "from" }
	fields := strings.Repeat("X: y\r\n", 3000)
	eight := func(word string) string { return strings.TrimSpace(strings.Repeat(word+" ", 8)) }
	many := func(k signer, template string, n int) []byte {
		m := sign(t, k, template, testHeader, body0)
		head := bytes.Index(m, []byte("Received:"))
		return append(bytes.Repeat(m[:head], n), m[head:]...)
	}
	for _, tc := range []struct {
		name string
		msg  func() []byte
		want string // results, joined
	}{
		{"16,000 names in h=", func() []byte {
			return []byte(strings.Repeat("DKIM-Signature: "+strings.Replace(template, "h=From:To:Subject:Date", "h="+names(16000), 1)+"\r\n", 3) + testHeader + "\r\n" + body0)
		}, "permerror permerror permerror"},
		{"200 names on 3,000 fields", func() []byte {
			return sign(t, rsa, strings.Replace(template, "From:To:Subject:Date", names(199), 1), fields+testHeader, body0)
		}, "pass"},
		{"1,000 signatures, longer than any header we take", func() []byte { return many(rsa, template, 1000) }, eight("permerror")},
		{"600 signatures", func() []byte {
			return many(testKey(t, "ed25519"), "v=1; a=ed25519-sha256; d=example.org; s=ed25519; h=From; bh=BH; b=B64", 600)
		}, eight("pass")},
		{"8 MB of CRLF, 8 signatures", func() []byte {
			body := strings.Repeat("\r\n", 4<<20) + "x\r\n"
			m := sign(t, rsa, template, testHeader, body)
			head := bytes.Index(m, []byte("Received:"))
			other := sign(t, rsa, strings.ReplaceAll(template, "relaxed", "simple")+"; l=100", testHeader, body)
			one := slices.Concat(m[:head], other[:bytes.Index(other, []byte("Received:"))])
			return append(bytes.Repeat(one, 4), m[head:]...)
		}, "pass policy pass policy pass policy pass policy"},
		{"8 MB of LF", func() []byte { return sign(t, rsa, template, testHeader, strings.Repeat("\n", 8<<20)) }, "pass"},
		{"8 MB of blanks", func() []byte { return sign(t, rsa, template, testHeader, strings.Repeat(" \t", 4<<20)+"x") }, "pass"},
		{"8 MB of CR", func() []byte { return sign(t, rsa, template, testHeader, strings.Repeat("\r", 8<<20)) }, "pass"},
		{"8 MB of semicolons", func() []byte {
			return []byte("DKIM-Signature: v=1" + strings.Repeat(";", 8<<20) + "\r\n" + testHeader + "\r\n" + body0)
		}, "permerror"},
		{"long tag", func() []byte { return sign(t, rsa, template+"; z="+strings.Repeat("a", 60<<10), testHeader, body0) }, "pass"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			msg := tc.msg()
			z := &txtZone{txt: zone.txt}
			m := NewMessage(rawmsg.Scan(msg, rawmsg.Default()))
			keys := NewKeys(z)
			v := Start(context.Background(), m, keys, testTime)
			if err := m.ReadBody(context.Background(), &smallReader{bytes.NewReader(msg)}); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range v.Results() {
				got = append(got, string(r.Result))
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("results %s, want %s", s, tc.want)
			}
			// Two canonicalizations of the body, of two or three steps an octet;
			// each signature reads the header once at most.
			if max := int64(6*len(msg) + MaxSignatures*(256<<10)); m.Work > max {
				t.Errorf("%d steps for %d octets, more than %d", m.Work, len(msg), max)
			}
			if len(z.asked) > 1 {
				t.Errorf("asked %d times", len(z.asked))
			}
		})
	}
}

// TestManyKeyRecords: who publishes several records at each of many names
// does not make us try them all.
func TestManyKeyRecords(t *testing.T) {
	k := testKey(t, "rsa")
	z := &txtZone{txt: map[string][]string{}}
	keys := NewKeys(z)
	tries := 0
	const n = MaxKeys
	for i := range n {
		s := &Signature{Signer: Signer{Domain: "example.org", Selector: "s" + strconv.Itoa(i), Algorithm: "rsa-sha256"}}
		s.sig = make([]byte, 256)
		z.txt[s.KeyName()] = slices.Repeat([]string{k.record}, 8)
		keys.Fetch(t.Context(), s)
		v := keys.check(s, func() (sum [32]byte) { tries++; return sum })
		if v.result != authres.Fail {
			t.Errorf("name %d: %s %s", i, v.result, v.reason)
		}
	}
	if tries != n+maxSpare {
		t.Errorf("%d keys tried, want %d", tries, n+maxSpare)
	}
}

// TestManyKeys: beyond MaxKeys nothing is asked, and of the keys of a chain few
// are asked for at once, however slow they are; those of signatures do not wait
// behind them.
func TestManyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &slowZone{}
		keys := NewKeys(z)
		sigs := make([]*Signature, 100)
		for i := range sigs {
			s := &Signature{Kind: ARCSeal, Signer: Signer{Domain: "example.org", Selector: "s" + strconv.Itoa(i), Algorithm: "rsa-sha256"}}
			if i < 2 {
				s.Kind = DKIM
			}
			sigs[i] = s
		}
		for _, s := range slices.Backward(sigs[:10]) {
			keys.Fetch(t.Context(), s)
		}
		for _, s := range sigs {
			keys.Fetch(t.Context(), s)
		}
		begin := time.Now()
		if v := keys.check(sigs[0], nil); v.reason != "no key" || time.Since(begin) != time.Second {
			t.Errorf("first signature: %+v after %v, want no key after 1s", v, time.Since(begin))
		}
		if v := keys.check(sigs[99], nil); v.result != authres.PermError || v.reason != "too many keys in one message" {
			t.Errorf("last of all: %+v", v)
		}
		keys.Wait()
		if z.total != MaxKeys || z.most != chainAtOnce+2 {
			t.Errorf("%d questions, %d at once, want %d and %d", z.total, z.most, MaxKeys, chainAtOnce+2)
		}
	})
}

// slowZone has no keys, says so after a second, and counts.
type slowZone struct {
	mu               sync.Mutex
	now, most, total int
}

func (z *slowZone) LookupTXT(context.Context, string) ([]string, error) {
	z.mu.Lock()
	z.now++
	z.total++
	z.most = max(z.most, z.now)
	z.mu.Unlock()
	time.Sleep(time.Second)
	z.mu.Lock()
	z.now--
	z.mu.Unlock()
	return nil, nil
}

// smallReader gives odd pieces, as a network does.
type smallReader struct{ r io.Reader }

func (s *smallReader) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), 1021)]) }
