package milter

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/reply"
)

func TestReadFrame(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     frame
		err      error
	}{
		{"empty", "", frame{}, io.EOF},
		{"ABORT", pack('A'), frame{cmdAbort, nil}, nil},
		{"HELO", pack('H', "x\x00"), frame{cmdHelo, []byte("x\x00")}, nil},
		{"empty body", pack('B'), frame{cmdBody, nil}, nil},
		{"length 0", "\x00\x00\x00\x00", frame{}, errLength},
		{"length 0xFFFFFFFF", "\xff\xff\xff\xff", frame{}, errLength},
		{"one more than a megabyte", "\x00\x10\x00\x02B", frame{}, errLength},
		{"HELO of more than 64 KB", "\x00\x01\x00\x02H", frame{}, errLength},
		{"ABORT with data", pack('A', "x"), frame{}, errLength},
		{"unknown command", pack('X'), frame{}, errCommand},
		{"ends in the length", "\x00\x00", frame{}, io.ErrUnexpectedEOF},
		{"ends behind the length", "\x00\x00\x00\x02", frame{}, io.ErrUnexpectedEOF},
		{"ends in the data", "\x00\x00\x00\x09Hx", frame{}, io.ErrUnexpectedEOF},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, _, err := readFrame(strings.NewReader(tc.in), nil)
			if !errors.Is(err, tc.err) || got.Cmd != tc.want.Cmd || !bytes.Equal(got.Data, tc.want.Data) {
				t.Errorf("readFrame(%q) = %v, %v, want %v, %v", tc.in, got, err, tc.want, tc.err)
			}
		})
	}
}

// A peer that announces a megabyte and sends ten bytes costs no megabyte.
func TestReadFrameGrowsWithBytesReceived(t *testing.T) {
	_, buf, err := readFrame(strings.NewReader("\x00\x10\x00\x01B0123456789"), nil)
	if !errors.Is(err, io.ErrUnexpectedEOF) || cap(buf) > 128<<10 {
		t.Errorf("readFrame = %v with a buffer of %d bytes", err, cap(buf))
	}
}

func TestNegotiate(t *testing.T) {
	full := leadingSpace | noReplyHeader | noReplyConnect | noReplyHelo | noReplyMail | noReplyRcpt | noReplyEOH | noReplyBody
	for _, tc := range []struct {
		name      string
		offer     options
		want      options
		macroList bool
	}{
		{"Postfix 3.7", options{6, 0x1ff, 0x1fffff, nil}, options{6, 0x151, full, nil}, true},
		{"no macro list", options{6, 0xff, 0x1fffff, nil}, options{6, 0x51, full, nil}, false},
		{"milter_protocol = 2", options{2, 0x3f, 0x7f, nil}, options{2, 0x11, 0, nil}, false},
		{"version 4", options{4, 0x1ff, 0x3ff, nil}, options{4, 0x151, noReplyHeader, nil}, true},
		{"a later version", options{7, 0xffffffff, 0xffffffff, nil}, options{6, 0x151, full, nil}, true},
		{"nothing", options{6, 0, 0, nil}, options{6, 0, 0, nil}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := negotiate(tc.offer)
			if (got.Macros != nil) != tc.macroList {
				t.Errorf("macro list %v", got.Macros)
			}
			got.Macros = nil
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("negotiate(%+v) = %+v, want %+v", tc.offer, got, tc.want)
			}
			if got.Actions&^tc.offer.Actions != 0 || got.Protocol&^tc.offer.Protocol != 0 {
				t.Error("a bit was asked for that was not offered")
			}
		})
	}
	for _, bad := range []string{"", "\x00", strings.Repeat("\x00", 12), strings.Repeat("\x00", 13), "\x00\x00\x00\x01........"} {
		if o, err := parseOptions([]byte(bad)); !errors.Is(err, errShape) {
			t.Errorf("parseOptions(%q) = %+v, %v", bad, o, err)
		}
	}
}

func TestParseConnect(t *testing.T) {
	a4, a6 := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::1")
	for _, tc := range []struct {
		name, in string
		want     connectInfo
		ok       bool
	}{
		{"IPv4", "mail.example.net\x004\xc9P192.0.2.7\x00", connectInfo{"mail.example.net", '4', 51536, a4, ""}, true},
		{"IPv6 from Postfix", "h\x006\x00\x192001:db8::1\x00", connectInfo{"h", '6', 25, a6, ""}, true},
		{"IPv6 from Sendmail", "h\x006\x00\x19IPv6:2001:db8::1\x00", connectInfo{"h", '6', 25, a6, ""}, true},
		{"unknown", "unknown\x00U", connectInfo{"unknown", 'U', 0, netip.Addr{}, ""}, true},
		{"Unix socket", "localhost\x00L\x00\x00/run/x\x00", connectInfo{"localhost", 'L', 0, netip.Addr{}, "/run/x"}, true},
		{"empty", "", connectInfo{}, false},
		{"without NUL", "host", connectInfo{}, false},
		{"host only", "host\x00", connectInfo{}, false},
		{"no port", "h\x004", connectInfo{}, false},
		{"no address", "h\x004\x00\x19", connectInfo{}, false},
		{"address without end", "h\x004\x00\x19192.0.2.7", connectInfo{}, false},
		{"not an address", "h\x004\x00\x19unknown\x00", connectInfo{}, false},
		{"bytes behind it", "h\x004\x00\x19192.0.2.7\x00x\x00", connectInfo{}, false},
		{"unknown family", "h\x00X\x00\x19192.0.2.7\x00", connectInfo{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parseConnect([]byte(tc.in))
			if (err == nil) != tc.ok || got != tc.want {
				t.Errorf("parseConnect(%q) = %+v, %v, want %+v", tc.in, got, err, tc.want)
			}
		})
	}
}

func TestParseHeader(t *testing.T) {
	for _, tc := range []struct {
		name, in, field, value string
		ok                     bool
	}{
		{"usual", "Subject\x00 hello\x00", "Subject", " hello", true},
		{"empty value", "Subject\x00\x00", "Subject", "", true},
		{"folded", "X\x00 a\n\tb\x00", "X", " a\n\tb", true},
		{"NUL in the value ends it", "X\x00 a\x00b\x00", "X", " a", true},
		{"many NULs", "X\x00\x00\x00\x00\x00", "X", "", true},
		{"no name", "\x00v\x00", "", "", false},
		{"no NUL", "Subject", "", "", false},
		{"value without end", "Subject\x00v", "", "", false},
		{"no value", "Subject\x00", "", "", false},
		{"empty", "", "", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			name, value, err := parseHeader([]byte(tc.in))
			if (err == nil) != tc.ok || string(name) != tc.field || string(value) != tc.value {
				t.Errorf("parseHeader(%q) = %q, %q, %v, want %q, %q", tc.in, name, value, err, tc.field, tc.value)
			}
		})
	}
}

func TestCheckMacros(t *testing.T) {
	for in, ok := range map[string]bool{
		"":                           false,
		"C":                          true,
		"Ci\x00x\x00":                true,
		"Ci\x00\x00":                 true,
		"Ci\x00":                     false,
		"Ci\x00x":                    false,
		"Ci\x00x\x00j\x00y\x00":      true,
		"Ci\x00x\x00j\x00y\x00k":     false,
		"C\x00\x00":                  true,
		"Ci\x00x\x00{only name}\x00": false,
	} {
		if err := checkMacros([]byte(in)); (err == nil) != ok {
			t.Errorf("checkMacros(%q) = %v", in, err)
		}
	}
}

func TestMacros(t *testing.T) {
	var m macros
	put := func(c command, pairs ...string) { m.put([]byte(string(byte(c)) + z(pairs...))); m.begin(c) }
	check := func(when, name, want string) {
		t.Helper()
		if got := m.value(name); got != want {
			t.Errorf("%s: %s = %q, want %q", when, name, got, want)
		}
	}
	put(cmdConnect, "j", "mx", "{client_name}", "h")
	put(cmdHelo, "{tls_version}", "TLSv1.3")
	put(cmdMail, "{auth_authen}", "alice", "{mail_addr}", "a@b")
	put(cmdRcpt, "{rcpt_addr}", "one")
	put(cmdRcpt, "{rcpt_addr}", "two", "i", "Q1")
	check("at the second RCPT", "{rcpt_addr}", "two")
	m.begin(cmdData)
	put(cmdEOM, "i", "Q1")
	check("at the end", "{auth_authen}", "alice")
	check("at the end", "i", "Q1")
	check("at the end", "{tls_version}", "TLSv1.3")
	check("at the end", "j", "mx")
	check("at the end", "{none}", "")
	put(cmdMail, "{mail_addr}", "c@d")
	check("at the next MAIL", "{auth_authen}", "")
	check("at the next MAIL", "i", "")
	check("at the next MAIL", "{rcpt_addr}", "")
	check("at the next MAIL", "{client_name}", "h")
	m.begin(cmdMail)
	check("at a MAIL without macros", "{mail_addr}", "")
	put(cmdHelo)
	check("after HELO without TLS", "{tls_version}", "")
	put(cmdUnknown, "i", "x")
	check("after UNKNOWN", "i", "")
	put(cmdData, "i", "caf\xe9")
	check("not UTF-8", "i", "caf?")
}

func TestReplyText(t *testing.T) {
	if got := replyText(reply.Must(554, "7.1", "100% no")); got != "554 5.7.1 100%% no" {
		t.Errorf("replyText = %q", got)
	}
	for _, r := range []reply.Reply{replySpam, replyLater, replyBigHeader, replyForged, reply.Broken, reply.DiskFull} {
		if c := r.Code() / 100; c != 4 && c != 5 || c != r.EnhancedCode()[0] {
			t.Errorf("reply %q", r)
		}
	}
}
