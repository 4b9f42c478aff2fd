package authd

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/secret"
)

func TestParseClient(t *testing.T) {
	imap := client{service: "imap", addr: netip.MustParseAddr("127.0.0.1"), port: 55836, session: "K2KMd69gHNp/AAAB"}
	for _, tc := range []struct {
		name, line string
		want       clientLine
	}{
		{"version", "VERSION\t1\t0", clientLine{verb: verbVersion, version: version{1, 0}}},
		{"version of 2.4", "VERSION\t1\t4", clientLine{verb: verbVersion, version: version{1, 4}}},
		{"CRLF", "CPID\t27697\r", clientLine{verb: verbCPID, pid: 27697}},
		{"Postfix", "AUTH\t1\tplain\tservice=smtp\tnologin\tlip=127.0.0.1\trip=127.0.0.1\tsecured\tresp=AGFsaWNlAHdvbmRlcmxhbmQ=",
			clientLine{verb: verbAuth, id: 1, auth: authRequest{mech: "PLAIN", hasResp: true, resp: secret.String("AGFsaWNlAHdvbmRlcmxhbmQ="),
				client: client{service: "smtp", addr: netip.MustParseAddr("127.0.0.1")}}}},
		{"Postfix without addresses", "AUTH\t4294967295\tLOGIN\tservice=smtp\tnologin\tlip=\trip=",
			clientLine{verb: verbAuth, id: 4294967295, auth: authRequest{mech: "LOGIN", client: client{service: "smtp"}}}},
		{"Dovecot 2.3", "AUTH\t1\tPLAIN\tservice=imap\tsecured=tls\tsession=K2KMd69gHNp/AAAB\tlip=127.0.0.1\trip=127.0.0.1\tlport=21143\trport=55836\tlocal_name=a\x01tb",
			clientLine{verb: verbAuth, id: 1, auth: authRequest{mech: "PLAIN", client: imap}}},
		{"Dovecot 2.4", "AUTH\t1\tPLAIN\tprotocol=imap\tfinal-resp-ok\tsecured=tls\tsession=K2KMd69gHNp/AAAB\tssl_ja3_hash=x\trip=127.0.0.1\trport=55836",
			clientLine{verb: verbAuth, id: 1, auth: authRequest{mech: "PLAIN", finalResp: true, client: imap}}},
		{"both names of the service", "AUTH\t1\tPLAIN\tprotocol=imap\tservice=imap", clientLine{verb: verbAuth, id: 1, auth: authRequest{mech: "PLAIN", client: client{service: "imap"}}}},
		{"trusted network", "AUTH\t1\tPLAIN\tservice=imap\tno-penalty", clientLine{verb: verbAuth, id: 1, auth: authRequest{mech: "PLAIN", client: client{service: "imap", noPenalty: true}}}},
		{"IPv6", "AUTH\t1\tPLAIN\tservice=imap\trip=2001:DB8::1", clientLine{verb: verbAuth, id: 1, auth: authRequest{mech: "PLAIN", client: client{service: "imap", addr: netip.MustParseAddr("2001:db8::1")}}}},
		{"empty resp", "AUTH\t1\tPLAIN\tservice=imap\tresp=", clientLine{verb: verbAuth, id: 1, auth: authRequest{mech: "PLAIN", hasResp: true, client: client{service: "imap"}}}},
		{"resp of one =", "AUTH\t1\tPLAIN\tservice=imap\tresp==", clientLine{verb: verbAuth, id: 1, auth: authRequest{mech: "PLAIN", hasResp: true, resp: secret.String("="), client: client{service: "imap"}}}},
		{"port out of range", "AUTH\t1\tPLAIN\tservice=imap\trport=65536", clientLine{verb: verbAuth, id: 1, auth: authRequest{mech: "PLAIN", client: client{service: "imap"}}}},
		{"absurd session", "AUTH\t1\tPLAIN\tservice=imap\tsession=" + strings.Repeat("x", 200), clientLine{verb: verbAuth, id: 1, auth: authRequest{mech: "PLAIN", client: client{service: "imap"}}}},
		{"CONT", "CONT\t3\tYQ==", clientLine{verb: verbCont, id: 3, data: secret.String("YQ==")}},
		{"empty CONT", "CONT\t3\t", clientLine{verb: verbCont, id: 3}},
		{"CANCEL", "CANCEL\t3", clientLine{verb: verbCancel, id: 3}},
	} {
		got, err := parseClient([]byte(tc.line))
		if err != nil || !got.equal(tc.want) {
			t.Errorf("%s: parseClient(%q) = %+v, %v, want %+v", tc.name, tc.line, got, err, tc.want)
		}
	}
	for _, line := range []string{
		"", "\t", "version\t1\t0", "VERSION", "VERSION\t1", "VERSION\t2\t0", "VERSION\t1\t0\tx", "VERSION\t1\t-1",
		"CPID", "CPID\t0", "CPID\t4294967296", "CPID\t1\tx", "CPID\t0x10", "CPID\t+1",
		"AUTH", "AUTH\t0\tPLAIN\tservice=x", "AUTH\t4294967296\tPLAIN\tservice=x", "AUTH\t1", "AUTH\t1\t\tservice=x",
		"AUTH\t1\tPLAIN", "AUTH\t1\tPLAIN\tservice=", "AUTH\t1\tPLAIN\tservice=a b", "AUTH\t1\tPLAIN\tservice=" + strings.Repeat("x", 65),
		"AUTH\t1\tPLAIN\tservice=a\tservice=b", "AUTH\t1\tPLAIN\tresp=YQ==\tservice=imap", "AUTH\t1\tPLAIN\tservice=imap\tresp=\tresp=",
		"AUTH\t1\tPLAIN\tservice=a\x01x", "AUTH\t1\tPLAIN\tservice=imap\tsession=a\x01",
		"AUTH\t1\tPLAIN\tservice=imap\x00", "AUTH\t1\tPLAIN\tservice=imap\rx",
		"CONT\t3", "CONT\t0\t", "CONT\t3\ta\tb", "CANCEL", "CANCEL\t3\tx", "OK\t1", "MECH\tPLAIN",
	} {
		if got, err := parseClient([]byte(line)); !errors.Is(err, errProtocol) {
			t.Errorf("parseClient(%q) = %+v, %v, want %v", line, got, err, errProtocol)
		}
	}
}

func TestParseMaster(t *testing.T) {
	for _, tc := range []struct {
		line string
		want masterLine
	}{
		{"VERSION\t1\t1", masterLine{verb: verbVersion, version: version{1, 1}}},
		{"REQUEST\t1262223361\t19551\t1\t19d148274eebabd7cd59bb2f8266f26d\tsession_pid=19557\trequest_auth_token",
			masterLine{verb: verbRequest, id: 1262223361, clientPID: 19551, clientID: 1, sessionPID: 19557,
				cookie: cookie{0x19, 0xd1, 0x48, 0x27, 0x4e, 0xeb, 0xab, 0xd7, 0xcd, 0x59, 0xbb, 0x2f, 0x82, 0x66, 0xf2, 0x6d}}},
		{"USER\t3\talice@example.test\tservice=lmtp\tlip=127.0.0.1\tlport=21024\trip=127.0.0.1\trport=47364",
			masterLine{verb: verbUser, id: 3, user: "alice@example.test", client: client{service: "lmtp", addr: netip.MustParseAddr("127.0.0.1"), port: 47364}}},
		{"USER\t3\ta\x01tb\tprotocol=lmtp", masterLine{verb: verbUser, id: 3, user: "a\tb", client: client{service: "lmtp"}}},
		{"PASS\t3\ta\tservice=doveadm\tdebug", masterLine{verb: verbPass, id: 3, user: "a", client: client{service: "doveadm"}}},
		{"LIST\t1\tuser=*\tservice=doveadm\tdebug", masterLine{verb: verbList, id: 1, user: "*", client: client{service: "doveadm"}}},
		{"LIST\t1", masterLine{verb: verbList, id: 1}},
		{"CACHE-FLUSH\t1\ta\tb", masterLine{verb: verbCacheFlush, id: 1}},
	} {
		got, err := parseMaster([]byte(tc.line))
		if err != nil || got != tc.want {
			t.Errorf("parseMaster(%q) = %+v, %v, want %+v", tc.line, got, err, tc.want)
		}
	}
	for _, line := range []string{
		"", "CPID\t1", "AUTH\t1\tPLAIN\tservice=imap", "USER\t0\ta\tservice=x", "USER\t1", "USER\t1\ta", "PASS\t1\ta\tlip=1",
		"USER\t1\ta\x01q\tservice=x", "REQUEST\t1\t2\t3", "REQUEST\t1\t0\t3\t19d148274eebabd7cd59bb2f8266f26d",
		"REQUEST\t1\t2\t0\t19d148274eebabd7cd59bb2f8266f26d", "REQUEST\t1\t2\t3\t19d148274eebabd7cd59bb2f8266f26",
		"REQUEST\t1\t2\t3\t19d148274eebabd7cd59bb2f8266f26g", "REQUEST\t1\t2\t3\t19d148274eebabd7cd59bb2f8266f26d\tsession_pid=-1",
		"DIE\t1", "LIST\t1\tuser=a\x01",
	} {
		if got, err := parseMaster([]byte(line)); !errors.Is(err, errProtocol) {
			t.Errorf("parseMaster(%q) = %+v, %v, want %v", line, got, err, errProtocol)
		}
	}
}

func TestReplies(t *testing.T) {
	for _, tc := range []struct {
		reply clientReply
		e     escaping
		want  string
	}{
		{clientReply{verb: verbOK, id: 1, params: []param{{key: "user", value: "alice@example.org"}}}, noEscapes, "OK\t1\tuser=alice@example.org\n"},
		{clientReply{verb: verbCont, id: 3}, noEscapes, "CONT\t3\t\n"},
		{clientReply{verb: verbCont, id: 3, data: promptUser}, noEscapes, "CONT\t3\tVXNlcm5hbWU6\n"},
		{clientReply{verb: verbFail, id: 4}, noEscapes, "FAIL\t4\n"},
		{clientReply{verb: verbFail, id: 4, params: []param{{key: "temp", flag: true}, {key: "reason", value: "a\tb\nc\rd\x00e\x01"}}}, dovecotEscapes,
			"FAIL\t4\ttemp\treason=a\x01tb\x01nc\x01rd\x010e\x011\n"},
		{clientReply{verb: verbFail, id: 4, params: []param{{key: "reason", value: "a\tb"}}}, noEscapes, ""},
		{clientReply{verb: verbFail, id: 4, params: []param{{key: "reason", value: "a\nOK\t4\tuser=root"}}}, noEscapes, ""},
		{clientReply{verb: verbFail, id: 4, params: []param{{key: "reason", value: "a\x01tb"}}}, noEscapes, ""},
		{clientReply{verb: verbFail, id: 4, params: []param{{key: "a=b"}}}, dovecotEscapes, ""},
		{clientReply{verb: verbFail, id: 4, params: []param{{key: ""}}}, dovecotEscapes, ""},
		{clientReply{verb: verbFail, id: 4, params: []param{{key: "reason", value: strings.Repeat("x", maxClientLine)}}}, noEscapes, ""},
	} {
		got, err := tc.reply.appendTo(nil, tc.e)
		if (err != nil) != (tc.want == "") || string(got) != tc.want {
			t.Errorf("appendTo(%+v, %v) = %q, %v, want %q", tc.reply, tc.e, got, err, tc.want)
		}
	}
	for _, tc := range []struct {
		reply masterReply
		want  string
	}{
		{masterReply{verb: verbUser, id: 1, user: "alice", params: []param{{key: "uid", value: "5000"}}}, "USER\t1\talice\tuid=5000\n"},
		{masterReply{verb: verbNotFound, id: 2}, "NOTFOUND\t2\n"},
		{masterReply{verb: verbList, id: 2, user: "a"}, "LIST\t2\ta\n"},
		{masterReply{verb: verbDone, id: 2}, "DONE\t2\t\n"},
		{masterReply{verb: verbDone, id: 2, user: "fail"}, "DONE\t2\tfail\n"},
		{masterReply{verb: verbPass, id: 2, params: []param{{key: "user", value: "a"}}}, "PASS\t2\tuser=a\n"},
		{masterReply{verb: verbUser, id: 2, user: strings.Repeat("x", maxMasterReply)}, ""},
	} {
		got, err := tc.reply.appendTo(nil)
		if (err != nil) != (tc.want == "") || string(got) != tc.want {
			t.Errorf("appendTo(%+v) = %q, %v, want %q", tc.reply, got, err, tc.want)
		}
	}
	got := string(appendHandshake(nil, []string{mechPlain, mechLogin}, 27346, 2, cookie{0x61, 0xbe}))
	want := "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t27346\nCUID\t2\nCOOKIE\t61be0000000000000000000000000000\nDONE\n"
	if got != want {
		t.Errorf("appendHandshake() = %q, want %q", got, want)
	}
}

func TestSASL(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want credentials
		ok   bool
	}{
		{"\x00alice\x00wonderland", credentials{"", "alice", secret.String("wonderland")}, true},
		{"bob\x00alice\x00wonderland", credentials{"bob", "alice", secret.String("wonderland")}, true},
		{"\x00alice\x00", credentials{"", "alice", secret.Value{}}, true},
		{"", credentials{}, false},
		{"alice", credentials{}, false},
		{"\x00alice", credentials{}, false},
		{"\x00\x00x", credentials{}, false},
		{"\x00alice\x00a\x00b", credentials{}, false},
	} {
		got, err := parsePlain([]byte(tc.in))
		if (err == nil) != tc.ok || got.authcid != tc.want.authcid || got.authzid != tc.want.authzid || !got.password.Equal(tc.want.password) {
			t.Errorf("parsePlain(%q) = %+v, %v", tc.in, got, err)
		}
	}
	if got := fmt.Sprintf("%+v %#v", clientLine{data: secret.String("c2VjcmV0")}, credentials{password: secret.String("c2VjcmV0")}); strings.Contains(got, "c2VjcmV0") {
		t.Errorf("a parsed line prints what was typed: %s", got)
	}
	for in, ok := range map[string]bool{"": true, "=": true, "YQ==": true, "YQ": false, "YQ=": false, "YR==": false, "Y Q=": false, "!!!!": false, "====": false} {
		if _, err := decodeBase64(nil, secret.String(in)); (err == nil) != ok {
			t.Errorf("decodeBase64(%q) = %v, want ok = %v", in, err, ok)
		}
	}
}

func FuzzClientLine(f *testing.F) {
	for _, s := range []string{
		"VERSION\t1\t2", "CPID\t27697", "CANCEL\t1", "CONT\t3\t", "CONT\t3\tYQ==", "CONT\t3\t#\tchannel_binding=YQ==",
		"AUTH\t1\tSCRAM-SHA-256\tprotocol=imap\tfinal-resp-ok\trip=203.0.113.9\treal_rip=10.0.0.7\tresp=biwsbj1hLHI9Yg==",
		"AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=127.0.0.1\trip=127.0.0.1\tsecured\tresp=AGFsaWNlAHdvbmRlcmxhbmQ=",
		"AUTH\t1\tLOGIN\tprotocol=imap\tsession=a\x01tb\trip=::ffff:1.2.3.4\trport=1\tno-penalty\tresp==",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseClient(b)
		if err != nil {
			return
		}
		wire, err := l.appendTo(nil)
		if err != nil {
			t.Fatalf("appendTo(%+v): %v", l, err)
		}
		if again, err := parseClient(bytes.TrimSuffix(wire, []byte("\n"))); err != nil || !again.equal(l) {
			t.Errorf("parseClient(%q) = %+v, %v, want %+v", wire, again, err, l)
		}
	})
}

func FuzzMasterLine(f *testing.F) {
	for _, s := range []string{
		"VERSION\t1\t1", "REQUEST\t1\t2\t3\t19d148274eebabd7cd59bb2f8266f26d\tsession_pid=19557",
		"USER\t3\talice@example.test\tservice=lmtp\trip=127.0.0.1", "PASS\t3\ta\x01tb\tprotocol=x", "LIST\t1\tuser=*", "CACHE-FLUSH\t1",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseMaster(b)
		if err != nil {
			return
		}
		wire, err := l.appendTo(nil)
		if err != nil {
			t.Fatalf("appendTo(%+v): %v", l, err)
		}
		if again, err := parseMaster(bytes.TrimSuffix(wire, []byte("\n"))); err != nil || again != l {
			t.Errorf("parseMaster(%q) = %+v, %v, want %+v", wire, again, err, l)
		}
	})
}

func FuzzReply(f *testing.F) {
	f.Add([]byte("OK\t1\tuser=alice\tresp="))
	f.Add([]byte("FAIL\t7\tuser=reason\treason=Too many\x01nlines\ttemp"))
	f.Add([]byte("CONT\t3\t"))
	f.Add([]byte("USER\t1\talice\tuid=5000"))
	f.Add([]byte("DONE\t1\t"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseClientReply(b); err == nil {
			wire, err := r.appendTo(nil, dovecotEscapes)
			if err != nil {
				return // too long or a name with "="
			}
			again, err := parseClientReply(bytes.TrimSuffix(wire, []byte("\n")))
			if err != nil || fmt.Sprint(again) != fmt.Sprint(r) {
				t.Errorf("parseClientReply(%q) = %+v, %v, want %+v", wire, again, err, r)
			}
			if wire, err := r.appendTo(nil, noEscapes); err == nil && bytes.ContainsAny(wire[:len(wire)-1], "\x00\x01\r\n") {
				t.Errorf("a reply for Postfix holds a byte that it would misread: %q", wire)
			}
		}
		if r, err := parseMasterReply(b); err == nil {
			wire, err := r.appendTo(nil)
			if err != nil {
				return
			}
			again, err := parseMasterReply(bytes.TrimSuffix(wire, []byte("\n")))
			if err != nil || fmt.Sprint(again) != fmt.Sprint(r) {
				t.Errorf("parseMasterReply(%q) = %+v, %v, want %+v", wire, again, err, r)
			}
		}
	})
}

func FuzzSASL(f *testing.F) {
	f.Add([]byte("AGFsaWNlAHdvbmRlcmxhbmQ="))
	f.Add([]byte("="))
	f.Add([]byte("YQ"))
	f.Fuzz(func(t *testing.T, b []byte) {
		msg, err := decodeBase64(nil, secret.New(b))
		if err != nil {
			return
		}
		if len(msg) > 0 && base64.StdEncoding.EncodeToString(msg) != string(bytes.Map(dropLineEnds, b)) {
			t.Errorf("decodeBase64(%q) = %q", b, msg)
		}
		c, err := parsePlain(msg)
		if err == nil && !bytes.Equal(c.appendPlain(nil), msg) {
			t.Errorf("parsePlain(%q) = %+v", msg, c)
		}
		name, err := parseLoginName(msg)
		if err == nil && (name == "" || strings.Contains(name, "\x00")) {
			t.Errorf("parseLoginName(%q) = %q", msg, name)
		}
		if pw, err := parseLoginPassword(msg); err == nil && !bytes.Equal(pw.Reveal(), msg) {
			t.Errorf("parseLoginPassword(%q) is not the same", msg)
		}
	})
}

// dropLineEnds: encoding/base64 skips CR and LF, which no line can hold.
func dropLineEnds(r rune) rune {
	if r == '\r' || r == '\n' {
		return -1
	}
	return r
}

// TestSpells: what was typed stands for a name only where it is the same text.
func TestSpells(t *testing.T) {
	for typed, want := range map[string]bool{
		"alice@example.org": true, "Alice@example.org": false, "alice@EXAMPLE.org": false, `"alice"@example.org`: false,
		`"al ice"@example.org`: false, "a.l+x@example.org": true,
	} {
		name := mustName(typed)
		if got := spells(typed, name); got != want || got && name.String() != typed {
			t.Errorf("spells(%q, %v) = %v, want %v", typed, name, got, want)
		}
	}
}
