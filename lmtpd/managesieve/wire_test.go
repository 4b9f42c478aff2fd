package managesieve

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/secret"
)

func decode(text string, most int64) (command, error) {
	d := decoder{in: bufio.NewReader(strings.NewReader(text))}
	return d.read(most)
}

func TestDecoder(t *testing.T) {
	str := func(s string) arg { return arg{text: []byte(s), kind: 's'} }
	for _, tc := range []struct {
		text string
		want command
		err  string
	}{
		{"NOOP\r\n", command{name: "NOOP"}, ""},
		{"noop \"a\"\r\n", command{name: "NOOP", args: []arg{str("a")}}, ""},
		{"X \"a\\\"\\\\\" 12\r\n", command{name: "X", args: []arg{str(`a"\`), {number: 12, kind: 'n'}}}, ""},
		{"X {3+}\r\na\r\n {2}\r\nbc\r\n", command{name: "X", args: []arg{str("a\r\n"), str("bc")}}, ""},
		{"X {0+}\r\n\r\n", command{name: "X", args: []arg{{kind: 's'}}}, ""},
		{"X 4294967295\r\n", command{name: "X", args: []arg{{number: 1<<32 - 1, kind: 'n'}}}, ""},
		{"X 4294967296\r\n", command{}, errBroken.Error()},
		{"\r\n", command{}, "a command is a word"},
		{"1\r\n", command{}, "a command is a word"},
		{strings.Repeat("x", 33) + "\r\n", command{}, "a command is a word"},
		{"X\n", command{}, errBroken.Error()},
		{"X\rY\r\n", command{}, errBroken.Error()},
		{"X  1\r\n", command{}, "an argument is a string or a number"},
		{"X \"a\"\"b\"\r\n", command{}, "a blank belongs before each argument"},
		{"X \"a\\b\"\r\n", command{}, "only a quote and a backslash may stand behind a backslash"},
		{"X \"a\r\nNOOP\"\r\n", command{}, "a quoted string ends on its line"},
		{"X \"a\x00\"\r\n", command{}, "a quoted string ends on its line"},
		{"X 1 2 3 4\r\n", command{}, "too many arguments"},
		// Nobody knows whether the next line is a literal.
		{"X abc {5+}\r\nabcde\r\n", command{}, errBroken.Error()},
		{"X {5-}\r\n", command{}, errBroken.Error()},
		{"X {}\r\n", command{}, errBroken.Error()},
		{"X {1+}\nx\r\n", command{}, errBroken.Error()},
		{"X {5+}\r\nab", command{}, io.ErrUnexpectedEOF.Error()},
		{"X {500+}\r\n", command{}, "literal of 500 bytes is too large"},
		{"X \"" + strings.Repeat("x", 200), command{}, errTooLong.Error()},
		{"", command{}, io.EOF.Error()},
	} {
		got, err := decode(tc.text, 100)
		if tc.err == "" && (err != nil || !same(got, tc.want)) || tc.err != "" && (err == nil || err.Error() != tc.err) {
			t.Errorf("read(%.60q) = %+v, %v, want %+v, %s", tc.text, got, err, tc.want, tc.err)
		}
	}
}

func same(a, b command) bool {
	if a.name != b.name || len(a.args) != len(b.args) {
		return false
	}
	for i := range a.args {
		if x, y := a.args[i], b.args[i]; x.kind != y.kind || x.number != y.number || !bytes.Equal(x.text, y.text) {
			return false
		}
	}
	return true
}

// After a line that was no command the next one is read as it is.
func TestDecoderGoesOn(t *testing.T) {
	d := decoder{in: bufio.NewReader(strings.NewReader("X \"a\" b \"c\r\nX {8+}\r\n01234567\r\nNOOP\r\n"))}
	var syntax *syntaxError
	if _, err := d.read(100); !errors.As(err, &syntax) {
		t.Fatalf("first: %v", err)
	}
	var large *tooLarge
	if _, err := d.read(10); !errors.As(err, &large) || large.size != 8 {
		t.Fatalf("second: %v", err)
	}
	if err := d.discard(large.size); err != nil {
		t.Fatal(err)
	}
	if c, err := d.read(100); err != nil || c.name != cmdNoop {
		t.Errorf("third: %+v, %v", c, err)
	}
}

// What is announced costs nothing before it comes.
func TestLiteralMemory(t *testing.T) {
	got := testing.AllocsPerRun(10, func() {
		_, _ = decode("PUTSCRIPT \"a\" {1000000+}\r\nab", 2<<20)
	})
	b := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = decode("PUTSCRIPT \"a\" {1000000+}\r\nab", 2<<20)
		}
	})
	if b.AllocedBytesPerOp() > 64<<10 {
		t.Errorf("two bytes of a literal of 1000000 take %d bytes, %v allocations", b.AllocedBytesPerOp(), got)
	}
}

func FuzzCommand(f *testing.F) {
	for _, s := range []string{
		"NOOP\r\n", "PUTSCRIPT \"a\" {5+}\r\nkeep;\r\n", "HAVESPACE \"a\\\"\" 12\r\n", "authenticate \"PLAIN\" \"AA==\"\r\n",
		"X {3}\r\nabc\r\n", "X \"\\x\"\r\n", "{5+}\r\n", "X {99999999999+}\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decode(string(b), 4096)
		if err != nil {
			return // refused is fine, a panic is not
		}
		wire := c.appendTo(nil)
		again, err := decode(string(wire), 8192)
		if err != nil || !same(again, c) {
			t.Errorf("read(appendTo(%+v)) = %+v, %v", c, again, err)
		}
		_ = c.check()
	})
}

func FuzzResponse(f *testing.F) {
	for _, s := range []string{"\"AA==\"\r\n", "\"*\"\r\n", "{2+}\r\nab\r\n", "12\r\n", "\"a\" \"b\"\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := decoder{in: bufio.NewReader(bytes.NewReader(b))}
		got, err := d.readString(4096)
		if err == nil && len(got) > 4096 {
			t.Errorf("readString returned %d bytes", len(got))
		}
	})
}

func TestReplies(t *testing.T) {
	for _, tc := range []struct {
		r    reply
		want string
	}{
		{ok("done"), "OK \"done\"\r\n"},
		{reply{status: statusOK}, "OK\r\n"},
		{no(codeMaxSize, `a "b" \`), "NO (QUOTA/MAXSIZE) \"a \\\"b\\\" \\\\\"\r\n"},
		{ok("x").with(codeTag, "1\r\n2"), "OK (TAG {4}\r\n1\r\n2) \"x\"\r\n"},
		{bye(codeTryLater, "two\r\nlines"), "BYE (TRYLATER) {10}\r\ntwo\r\nlines\r\n"},
		{no("", strings.Repeat("x", 1025)), "NO {1025}\r\n" + strings.Repeat("x", 1025) + "\r\n"},
	} {
		if got := string(tc.r.appendTo(nil)); got != tc.want {
			t.Errorf("%+v = %q, want %q", tc.r, got, tc.want)
		}
	}
}

func TestAuthRequest(t *testing.T) {
	r := authRequest{id: 1, mech: "PLAIN", session: "ABC", client: netip.MustParseAddrPort("[::ffff:192.0.2.1]:999"), server: netip.MustParseAddrPort("[2001:db8::1%eth0]:4190"), hasResp: true, resp: secret.String("AGE=")}
	got, err := r.appendTo(nil)
	want := "AUTH\t1\tPLAIN\tservice=sieve\tnologin\tsecured=tls\tfinal-resp-ok\tsession=ABC\tlip=2001:db8::1\tlport=4190\trip=192.0.2.1\trport=999\tresp=AGE=\n"
	if err != nil || string(got) != want {
		t.Errorf("appendTo = %q, %v, want %q", got, err, want)
	}
	for _, bad := range []authRequest{
		{mech: "PLAIN\tnologin", session: "A"}, {mech: "", session: "A"}, {mech: "plain", session: "A"},
		{mech: "PLAIN", session: "A", hasResp: true, resp: secret.String("A\tuser=root")},
		{mech: "PLAIN", session: "A", hasResp: true, resp: secret.String("A\n")},
		{mech: "PLAIN", session: "A", hasResp: true, resp: secret.String(strings.Repeat("A", maxResponse+1))},
		{mech: "PLAIN", session: "A\tB"},
	} {
		if got, err := bad.appendTo(nil); err == nil {
			t.Errorf("appendTo(%+v) = %q, want an error", bad, got)
		}
	}
	if got, err := appendCont(nil, 1, secret.String("A\nB")); err == nil {
		t.Errorf("appendCont = %q", got)
	}
}

func TestParseAuthLine(t *testing.T) {
	for _, tc := range []struct {
		line string
		want authLine
		bad  bool
	}{
		{line: "VERSION\t1\t2", want: authLine{verb: authVersion}},
		{line: "VERSION\t2\t0", bad: true},
		{line: "MECH\tPLAIN\tplaintext", want: authLine{verb: authMech, mech: "PLAIN"}},
		{line: "MECH\tSCRAM-SHA-256-PLUS\tmutual-auth\tchannel-binding", want: authLine{verb: authMech}},
		{line: "MECH\tANONYMOUS\tanonymous", want: authLine{verb: authMech}},
		{line: "MECH\tPLAIN\tprivate", want: authLine{verb: authMech}},
		{line: "MECH\tPL\"AIN", want: authLine{verb: authMech}},
		{line: "SPID\t12", want: authLine{verb: "SPID"}},
		{line: "OK\t1\tuser=a\x01tb\tresp=QQ==\tnologin", want: authLine{verb: authOK, id: 1, user: "a\tb", resp: "QQ==", nologin: true}},
		{line: "FAIL\t1\ttemp\tcode=temp_fail\treason=x", want: authLine{verb: authFail, id: 1, temp: true, code: "temp_fail", reason: "x"}},
		{line: "CONT\t1\t", want: authLine{verb: authCont, id: 1}},
		{line: "CONT\t1", bad: true},
		{line: "CONT\t1\ta\"b", bad: true},
		{line: "OK", bad: true},
		{line: "OK\t0", bad: true},
		{line: "OK\t1\tuser=\x01x", bad: true},
		{line: "OK\t1\tuser=\x01", bad: true},
		{line: "OK\t1\tresp=a b", bad: true},
	} {
		got, err := parseAuthLine([]byte(tc.line))
		if (err != nil) != tc.bad || err == nil && !reflect.DeepEqual(got, tc.want) {
			t.Errorf("parseAuthLine(%q) = %+v, %v, want %+v", tc.line, got, err, tc.want)
		}
	}
}

func FuzzAuthLine(f *testing.F) {
	for _, s := range []string{"OK\t1\tuser=a", "FAIL\t1\treason=\x01n", "CONT\t1\tQQ==", "MECH\tPLAIN\tplaintext", "VERSION\t1\t2"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseAuthLine(b)
		if err != nil {
			return
		}
		// Whatever the auth server says, the client hears one reply.
		if l.verb == authOK || l.verb == authFail {
			user, r := decideLogin(l)
			if (r.status == statusOK) == user.IsNull() || strings.Count(r.String(), "\r\n") > 0 {
				t.Errorf("decideLogin(%+v) = %v, %q", l, user, r.String())
			}
		}
	})
}
