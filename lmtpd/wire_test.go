package lmtpd

import (
	"bufio"
	"bytes"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/shared"
)

const host = "mx.example.test"

// Every message that a real Postfix handed over in the captures has a field
// that is understood.
func TestParseReceivedOfCaptures(t *testing.T) {
	line := regexp.MustCompile(`(?m)^[0-9.]+ [0-9]+ C ("Received: .*")$`)
	n := 0
	for _, name := range []string{"lmtp-postfix-client-error-handling.txt", "lmtp-postfix-to-dovecot.txt"} {
		for _, m := range line.FindAllSubmatch(shared.Read(t, "protocols/transcripts/"+name), -1) {
			text, err := strconv.Unquote(string(m[1]))
			if err != nil {
				t.Fatal(err)
			}
			f, err := gather(t.Context(), fakeVerdicts{}, host, []byte(text))
			if err != nil || f.QueueID == "" || f.MessageID != "" && !strings.Contains(f.MessageID, f.QueueID) {
				t.Errorf("gather(%.200q) = %+v, %v", text, f, err)
			}
			n++
		}
	}
	if n < 30 {
		t.Errorf("%d messages in the captures", n)
	}
}

func TestParseAddress(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"alice@example.test", "<alice@example.test>"},
		{"Alice@Example.TEST.", "<Alice@example.test>"},
		{"a b@example.test", `<"a b"@example.test>`},
		{`a"b\c@example.test`, `<"a\"b\\c"@example.test>`},
		{"a@b@example.test", `<"a@b"@example.test>`},
		{strings.Repeat("v", 100) + "@example.test", "<" + strings.Repeat("v", 100) + "@example.test>"},
		{"дмитрий@почта.рф", "<дмитрий@почта.рф>"},
		{"", "<>"},
		{"alice", ""},
		{"@example.test", ""},
		{"alice@", ""},
		{"a\rb@example.test", ""},
		{strings.Repeat("v", 1000) + "@example.test", ""},
	} {
		a, err := parseAddress(tc.in)
		if (err != nil) != (tc.want == "") || err == nil && a.Path() != tc.want {
			t.Errorf("parseAddress(%q) = %s, %v, want %s", tc.in, a.Path(), err, tc.want)
		}
	}
}

func TestCommand(t *testing.T) {
	for _, tc := range []struct {
		in string
		ok bool
	}{
		{"MAIL FROM:<a@b>\r\n", true},
		{"RCPT TO:<дмитрий@почта.рф>\r\n", true},
		{"NOOP\n", false},
		{"NOOP\rRSET\r\n", false},
		{"NOOP\x00\r\n", false},
		{"RCPT TO:<a\tb@c>\r\n", false},
		{"BDAT 10 LAST\r\n", false},
		{"bdat 10\r\n", false},
		{"\r\n", true},
	} {
		if got := command([]byte(tc.in)); (string(got) == tc.in) != tc.ok || !tc.ok && string(got) != "\r\n" {
			t.Errorf("command(%q) = %q", tc.in, got)
		}
	}
}

func TestCopyData(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	for _, tc := range []struct {
		name, in, want, rest string
	}{
		{"empty", ".\r\n", "", ""},
		{"plain, QUIT behind", "a\r\nb\r\n.\r\nQUIT\r\n", "a\r\nb\r\n", "QUIT\r\n"},
		{"dots", "..\r\n.x\r\n...\r\n.\r\n", ".\r\nx\r\n..\r\n", ""},
		{"CR CR LF before the end", "foo\r\r\n.\r\n", "foo\r\r\n", ""},
		{"LF dot LF", "a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", ""},
		{"LF dot CRLF", "a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", ""},
		{"CR dot CR", "a\r.\rb\r\n.\r\n", "a\r.\rb\r\n", ""},
		{"CRLF dot LF", "a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", ""},
		{"CRLF dot CR x", "a\r\n.\rx\r\n.\r\n", "a\r\n\rx\r\n", ""},
		{"NUL", "\x00\r\n.\r\n", "\x00\r\n", ""},
		{"long line", long + "\r\n.\r\n", long + "\r\n", ""},
		{"long line with a dot", "." + long + "\r\n.\r\n", long + "\r\n", ""},
		{"CRLF over the end of the buffer", long[:32<<10-1] + "\r\n.\r\n", long[:32<<10-1] + "\r\n", ""},
		{"LF at the start of a buffer", long[:32<<10] + "\n.\r\n\r\n.\r\n", long[:32<<10] + "\n.\r\n\r\n", ""},
		{"no line end at all", long, "", ""},
		{"gone before the dot", "a\r\n", "", ""},
		{"gone behind the dot", "a\r\n.", "", ""},
		{"gone behind the CR", "a\r\n.\r", "", ""},
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader,
		} {
			t.Run(tc.name+"/"+name, func(t *testing.T) {
				var b bytes.Buffer
				r := bufio.NewReaderSize(wrap(strings.NewReader(tc.in)), 32<<10)
				n, readErr, writeErr := copyData(&b, r, 1<<20)
				gone := tc.want == "" && tc.name != "empty"
				if gone != (readErr == io.ErrUnexpectedEOF) || writeErr != nil {
					t.Fatalf("copyData = %d, %v, %v", n, readErr, writeErr)
				}
				if rest, _ := io.ReadAll(r); !gone && (b.String() != tc.want || n != int64(len(tc.want)) || string(rest) != tc.rest) {
					t.Errorf("copyData gave %.80q, left %q, want %.80q, %q", b.String(), rest, tc.want, tc.rest)
				}
			})
		}
	}
}

func TestCopyDataReadsToTheEnd(t *testing.T) {
	for _, tc := range []struct {
		name  string
		w     io.Writer
		limit int64
		err   error
	}{
		{"exactly the limit", io.Discard, 12, nil},
		{"one above", io.Discard, 11, errTooLarge},
		{"a writer that fails", failingWriter{}, 100, io.ErrClosedPipe},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := bufio.NewReader(strings.NewReader("0123456789\r\n.\r\nMAIL"))
			_, readErr, writeErr := copyData(tc.w, r, tc.limit)
			if rest, _ := io.ReadAll(r); readErr != nil || writeErr != tc.err || string(rest) != "MAIL" {
				t.Errorf("copyData = %v, %v, left %q", readErr, writeErr, rest)
			}
		})
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func FuzzCopyData(f *testing.F) {
	for _, s := range []string{"a\r\n", ".\r\n", "\r\r\n", "\n.\n", "a\r\n.\r", "..\r\n.", "\r\n.\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// What a client sends for b: a dot before each line that begins with
		// one, CRLF at the end.
		msg := string(b)
		if !strings.HasSuffix(msg, "\r\n") && msg != "" {
			msg += "\r\n"
		}
		stuffed := strings.ReplaceAll("\r\n"+msg, "\r\n.", "\r\n..")[2:]
		var got bytes.Buffer
		r := bufio.NewReaderSize(iotest.HalfReader(strings.NewReader(stuffed+".\r\nQUIT\r\n")), 16)
		_, readErr, writeErr := copyData(&got, r, 1<<20)
		rest, _ := io.ReadAll(r)
		if readErr != nil || writeErr != nil || got.String() != msg || string(rest) != "QUIT\r\n" {
			t.Errorf("copyData(%q) gave %q, left %q, %v, %v", stuffed, got.String(), rest, readErr, writeErr)
		}
	})
}

func TestTraceFields(t *testing.T) {
	rcpt := mailaddr.Address{LocalPart: "a b", Domain: "example.test"}
	from := mailaddr.Address{LocalPart: "s", Domain: "y.test"}
	tr := trace{With: Default().Headers, MailFrom: from, ReturnPath: from, RcptTo: &rcpt, Helo: "mx.example.test", Hostname: host,
		ID: "ABC.1", Date: time.Date(2026, 11, 6, 7, 0, 18, 0, time.UTC)}
	for _, tc := range []struct {
		name string
		edit func(*trace)
		want string
		err  bool
	}{
		{"one recipient", func(*trace) {}, "Return-Path: <s@y.test>\nDelivered-To: \"a b\"@example.test\nReceived: from mx.example.test\n\tby mx.example.test with LMTP\n\tid ABC.1\n\t(envelope-from <s@y.test>)\n\tfor <\"a b\"@example.test>; Fri, 06 Nov 2026 07:00:18 +0000\n", false},
		{"several", func(t *trace) { t.RcptTo = nil }, "Return-Path: <s@y.test>\nReceived: from mx.example.test\n\tby mx.example.test with LMTP\n\tid ABC.1\n\t(envelope-from <s@y.test>); Fri, 06 Nov 2026 07:00:18 +0000\n", false},
		{"null sender, odd LHLO", func(t *trace) {
			t.RcptTo, t.MailFrom, t.ReturnPath, t.Helo = nil, mailaddr.Address{}, mailaddr.Address{}, "a (b"
		}, "Return-Path: <>\nReceived: from unknown\n\tby mx.example.test with LMTP\n\tid ABC.1\n\t(envelope-from <>); Fri, 06 Nov 2026 07:00:18 +0000\n", false},
		{"sender is not UTF-8", func(t *trace) { t.RcptTo, t.MailFrom.LocalPart, t.ReturnPath.LocalPart = nil, "\xff", "\xff" }, "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := tr
			tc.edit(&tr)
			got, err := tr.fields()
			if string(got) != tc.want || (err != nil) != tc.err {
				t.Errorf("fields() = %q, %v, want %q", got, err, tc.want)
			}
			if v, ok := strings.CutPrefix(string(got), "Return-Path: "); ok && header.Unfold([]byte(v)) == "" {
				t.Error("empty")
			}
		})
	}
}

// FuzzEnvelope is the path of an address from the wire to the fields that a
// copy gets: nothing can be injected, and no directory outside is named.
func FuzzEnvelope(f *testing.F) {
	for _, s := range []string{"alice@example.test", "a\"b@c", "../x@y", "a\nb@c", "a@b>\r\nX: y", "\xff@y"} {
		f.Add(s, "mx")
	}
	f.Fuzz(func(t *testing.T, addr, helo string) {
		a, err := parseAddress(addr)
		if err != nil {
			return
		}
		b, _ := trace{With: Default().Headers, MailFrom: a, ReturnPath: a, RcptTo: &a, Helo: helo, Hostname: host, ID: "X.1", Date: time.Unix(0, 0)}.fields()
		for line := range strings.Lines(string(b)) {
			name, _, _ := strings.Cut(line, ":")
			if line[0] != ' ' && line[0] != '\t' && name != "Return-Path" && name != "Delivered-To" && name != "Received" ||
				!strings.HasSuffix(line, "\n") || strings.ContainsAny(line, "\r\x00") {
				t.Fatalf("fields for %q, %q: %q", addr, helo, b)
			}
		}
	})
}
