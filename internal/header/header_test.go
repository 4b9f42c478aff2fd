package header

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestFold(t *testing.T) {
	long := strings.Repeat("word ", 30)
	for _, tc := range []struct {
		name, field, value string
		more               []string
		want               string
		err                error
	}{
		{"short", "X-A", "b", nil, "b", nil},
		{"empty", "X-A", "", nil, "", nil},
		{"at 78", "X-A", strings.Repeat("word ", 20), nil,
			strings.Repeat("word ", 13) + "word\n" + strings.Repeat(" word", 6) + " ", nil},
		{"lines of their own", "X-Spamd-Result", "default: False [4.50 / 15.00];", []string{"A(1.00)[];", "B(3.50)[x y];"},
			"default: False [4.50 / 15.00];\n\tA(1.00)[];\n\tB(3.50)[x y];", nil},
		{"long word", "X-A", strings.Repeat("x", 900), nil, strings.Repeat("x", 900), nil},
		{"UTF-8", "X-A", "grüße", nil, "grüße", nil},
		{"tab", "X-A", "a\tb", nil, "a\tb", nil},
		{"too long a word", "X-A", "a " + strings.Repeat("x", 998), nil, "", ErrTooLong},
		{"too long a value", "X-A", strings.Repeat(long, 400), nil, "", ErrTooLong},
		{"LF", "X-A", "a\nBcc: b", nil, "", ErrValue},
		{"LF and blank", "X-A", "a\n b", nil, "", ErrValue},
		{"CR", "X-A", "a\rb", nil, "", ErrValue},
		{"NUL", "X-A", "a\x00b", nil, "", ErrValue},
		{"DEL", "X-A", "a\x7fb", nil, "", ErrValue},
		{"C1 control", "X-A", "a\u0085b", nil, "", ErrValue},
		{"not UTF-8", "X-A", "a\xe4b", nil, "", ErrValue},
		{"LF in a line", "X-A", "a", []string{"b\nc"}, "", ErrValue},
		{"empty line", "X-A", "a", []string{" \t"}, "", ErrValue},
		{"name with a colon", "X:A", "a", nil, "", ErrName},
		{"name with a blank", "X A", "a", nil, "", ErrName},
		{"name with LF", "X\nA", "a", nil, "", ErrName},
		{"name of 8 bit", "Xä", "a", nil, "", ErrName},
		{"no name", "", "a", nil, "", ErrName},
		{"long name", strings.Repeat("x", 78), "a", nil, "", ErrName},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Fold(tc.field, tc.value, tc.more...)
			if got != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("Fold(%q, %q, %q) = %q, %v, want %q, %v", tc.field, tc.value, tc.more, got, err, tc.want, tc.err)
			}
		})
	}
	f, err := New("X-A", "b")
	if err != nil || f.String() != "X-A: b" {
		t.Errorf("New = %v, %v", f, err)
	}
}

func FuzzFold(f *testing.F) {
	f.Add("X-A", strings.Repeat("a b\t", 60), "c")
	f.Add("X-A", "a\nb: c", " ")
	f.Add("a:b", strings.Repeat(" ", 200)+"x", "\r")
	f.Fuzz(func(t *testing.T, name, value, more string) {
		got, err := Fold(name, value, more)
		if err != nil {
			return
		}
		lines := strings.Split(name+": "+got, "\n")
		for i, l := range lines {
			if len(l) > MaxLine || strings.ContainsAny(l, "\r\x00") || i > 0 && (l[0] != ' ' && l[0] != '\t' || strings.Trim(l, " \t") == "") {
				t.Fatalf("Fold(%q, %q, %q): line %d is %q", name, value, more, i, l)
			}
		}
		if u, want := Unfold([]byte(got)), strings.Trim(value+"\t"+more, " \t"); u != want {
			t.Fatalf("Unfold(Fold(%q, %q, %q)) = %q, want %q", name, value, more, u, want)
		}
	})
}

func TestUnfold(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{" a", "a"}, {"a\r\n b", "a b"}, {"a\n\tb \r\n", "a\tb"}, {"", ""}, {" \t", ""}, {"a\rb", "a\rb"}, {"a\r\r\n b", "a\r b"},
	} {
		if got := Unfold([]byte(tc.in)); got != tc.want {
			t.Errorf("Unfold(%q) = %q, want %q", tc.in, got, tc.want)
		}
	}
}

func TestDecodeText(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"plain", "a b", "a b"},
		{"RFC 2047 §8, 1", "=?ISO-8859-1?Q?a?=", "a"},
		{"RFC 2047 §8, 2", "=?ISO-8859-1?Q?a?= b", "a b"},
		{"RFC 2047 §8, 3", "=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"},
		{"RFC 2047 §8, 5", "=?ISO-8859-1?Q?a?=\n    =?ISO-8859-1?Q?b?=", "ab"},
		{"RFC 2047 §8, 6", "=?ISO-8859-1?Q?a_b?=", "a b"},
		{"RFC 2047 §8, 7", "=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"},
		{"base64", "=?utf-8?b?w6Q=?= x", "ä x"},
		{"base64 without padding", "=?utf-8?B?w6Q?=", "ä"},
		{"character cut in two", "=?utf-8?B?ww==?= =?utf-8?B?pA==?=", "ä"},
		{"language", "=?utf-8*de?q?=C3=A4?=", "ä"},
		{"next to text", "a=?utf-8?q?b?=c", "abc"},
		{"blank in a word", "=?utf-8?q?a b?=", "a b"},
		{"unknown character set", "=?x-none?q?a?= b", "=?x-none?q?a?= b"},
		{"unknown encoding", "=?utf-8?x?a?=", "=?utf-8?x?a?="},
		{"broken hex", "=?utf-8?q?=4?=", "=?utf-8?q?=4?="},
		{"broken base64", "=?utf-8?b?a?=", "=?utf-8?b?a?="},
		{"no end", "=?utf-8?q?abc", "=?utf-8?q?abc"},
		{"raw windows-1252", "gr\xfc\xdfe \x80", "grüße €"},
		{"wrong bytes in a word", "=?utf-8?q?=E4?=", "ä"},
		{"controls", "=?utf-8?q?a=0D=0ABcc:_b=00?=\x01", "a  Bcc: b  "},
		{"not decoded twice", "=?utf-8?q?=3D=3Futf-8=3Fq=3Fa=3F=3D?=", "=?utf-8?q?a?="},
		{"Japanese", "=?ISO-2022-JP?B?GyRCJDMkcyRLJEEkTxsoQg==?=", "こんにちは"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := DecodeText(tc.in); got != tc.want {
				t.Errorf("DecodeText(%q) = %q, want %q", tc.in, got, tc.want)
			}
		})
	}
}

func FuzzDecodeText(f *testing.F) {
	for _, s := range []string{"=?utf-8?q?a?= =?utf-8?b?w6Q=?=", "=?=?=?", "\xff=?a?q??=", "=?gbk?b?/w==?=", "=?utf-16?b?2AA=?="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := DecodeText(s)
		if strings.ContainsAny(got, "\r\n\x00") || strings.ToValidUTF8(got, "") != got {
			t.Fatalf("DecodeText(%q) = %q", s, got)
		}
		if len(got) > 3*len(s) {
			t.Fatalf("DecodeText(%q) has %d bytes", s, len(got))
		}
	})
}

func TestParseDate(t *testing.T) {
	utc := func(y int, mo time.Month, d, h, mi, s int) time.Time {
		return time.Date(y, mo, d, h, mi, s, 0, time.UTC)
	}
	for _, tc := range []struct {
		in   string
		want time.Time
	}{
		{"Fri, 21 Nov 1997 09:55:06 -0600", utc(1997, 11, 21, 15, 55, 6)},
		{"21 Nov 1997 09:55 +0000", utc(1997, 11, 21, 9, 55, 0)},
		{"Thu,\t13 Feb 1969 23:32:54 -0330 (Newfoundland Time)", utc(1969, 2, 14, 3, 2, 54)},
		{"21 Nov 97 09:55:06 GMT", utc(1997, 11, 21, 9, 55, 6)},
		{"Fri, 1 Nov 2024 09:55:06 EST", utc(2024, 11, 1, 14, 55, 6)},
		{"Fri, 1 Nov 2024 09:55:06 MEZ", utc(2024, 11, 1, 9, 55, 6)},
	} {
		if got, err := ParseDate(tc.in); err != nil || !got.Equal(tc.want) {
			t.Errorf("ParseDate(%q) = %v, %v, want %v", tc.in, got, err, tc.want)
		}
	}
	for _, in := range []string{"", "yesterday", "Fri, 32 Nov 1997 09:55:06 -0600", "Fri, 21 Nov 1997 09:55:06", "2024-11-01 10:00:00 +0000", strings.Repeat(" ", 300)} {
		if got, err := ParseDate(in); err == nil {
			t.Errorf("ParseDate(%q) = %v, want an error", in, got)
		}
	}
}
