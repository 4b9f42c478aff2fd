package mtasts

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParsePolicy(t *testing.T) {
	const day = 24 * time.Hour
	for _, tc := range []struct {
		name, in string
		want     Policy // the zero Policy for a refusal
	}{
		{"RFC 8461 section 3.2", "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\nmax_age: 604800\n",
			Policy{Enforce, []string{"mail.example.com", "*.example.net", "backupmx.example.com"}, 7 * day}},
		{"CRLF, capitals, no blank, white space behind", "version:STSv1\r\nmode:testing \t\r\nmx:Mail.Example.COM.\r\nmax_age:86400", Policy{Testing, []string{"mail.example.com"}, day}},
		{"none needs no mx", "version: STSv1\nmode: none\nmax_age: 86400\n", Policy{None, nil, day}},
		{"none with mx", "version: STSv1\nmode: none\nmax_age: 86400\nmx: a.example\n", Policy{None, nil, day}},
		{"unknown fields", "version: STSv1\nmode: enforce\nx_y: z\nmx: a.example\nmax_age: 86400\n", Policy{Enforce, []string{"a.example"}, day}},
		{"the first of two counts", "version: STSv1\nmode: testing\nmode: enforce\nmx: a.example\nmax_age: 86400\nmax_age: 1\n", Policy{Testing, []string{"a.example"}, day}},
		{"max_age above a year", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 9999999999\n", Policy{Enforce, []string{"a.example"}, MaxAge}},
		{"max_age of nothing", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 0\n", Policy{Enforce, []string{"a.example"}, MinAge}},
		{"empty", "", Policy{}},
		{"no version", "mode: enforce\nmx: a.example\nmax_age: 86400\n", Policy{}},
		{"another version", "version: STSv2\nmode: enforce\nmx: a.example\nmax_age: 86400\n", Policy{}},
		{"another mode", "version: STSv1\nmode: Enforce\nmx: a.example\nmax_age: 86400\n", Policy{}},
		{"no mx", "version: STSv1\nmode: enforce\nmax_age: 86400\n", Policy{}},
		{"no max_age", "version: STSv1\nmode: enforce\nmx: a.example\n", Policy{}},
		{"max_age is negative", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: -1\n", Policy{}},
		{"max_age beyond all", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 99999999999\n", Policy{}},
		{"a page", "<!doctype html>\n<html></html>\n", Policy{}},
		{"mx that would be another setting of Postfix", "version: STSv1\nmode: enforce\nmx: a.example servername=evil\nmax_age: 86400\n", Policy{}},
		{"mx that would be two", "version: STSv1\nmode: enforce\nmx: a.example:b.example\nmax_age: 86400\n", Policy{}},
		{"mx that is everybody", "version: STSv1\nmode: enforce\nmx: *\nmax_age: 86400\n", Policy{}},
		{"mx that is a top level", "version: STSv1\nmode: enforce\nmx: *.com\nmax_age: 86400\n", Policy{}},
		{"mx within a label", "version: STSv1\nmode: enforce\nmx: a*.example.org\nmax_age: 86400\n", Policy{}},
		{"mx of the network", "version: STSv1\nmode: enforce\nmx: 192.0.2.1\nmax_age: 86400\n", Policy{}},
		{"NUL", "version: STSv1\nmode: enforce\nmx: a.example\x00b.example\nmax_age: 86400\n", Policy{}},
		{"too many mx", "version: STSv1\nmode: enforce\nmax_age: 86400\n" + strings.Repeat("mx: a.example\n", MaxMX+1), Policy{}},
		{"too long", "version: STSv1\nmode: enforce\nmax_age: 86400\nmx: a.example\n" + strings.Repeat("x: y\n", MaxPolicyBytes/5), Policy{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParsePolicy([]byte(tc.in))
			if got.Mode != tc.want.Mode || got.MaxAge != tc.want.MaxAge && tc.want.Mode != "" || !slices.Equal(got.MX, tc.want.MX) {
				t.Errorf("ParsePolicy() = %+v, %v, want %+v", got, err, tc.want)
			}
			if refused := tc.want.Mode == ""; refused != errors.Is(err, ErrPolicy) {
				t.Errorf("ParsePolicy() = %v", err)
			}
		})
	}
}

func TestParseRecord(t *testing.T) {
	for _, tc := range []struct {
		in   []string
		want string
		bad  bool
	}{
		{[]string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z", false},
		{[]string{"other", "v=STSv1 ;id=a", "v=spf1 -all"}, "a", false},
		{[]string{"v=STSv1; x=y; id=1"}, "1", false},
		{nil, "", false},
		{[]string{"v=STSv11; id=1"}, "", false},
		{[]string{" v=STSv1; id=1"}, "", false},
		{[]string{"v=STSv1"}, "", false},
		{[]string{"v=STSv1;"}, "", true},
		{[]string{"v=STSv1; id="}, "", true},
		{[]string{"v=STSv1; id=a-b"}, "", true},
		{[]string{"v=STSv1; id=" + strings.Repeat("1", 33)}, "", true},
		{[]string{"v=STSv1; id=1", "v=STSv1; id=1"}, "", true},
	} {
		got, err := ParseRecord(tc.in)
		if got != tc.want || (err != nil) != tc.bad {
			t.Errorf("ParseRecord(%q) = %q, %v, want %q", tc.in, got, err, tc.want)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	for _, s := range []string{"version: STSv1\nmode: enforce\nmx: *.example.net\nmax_age: 604800\n", "version: STSv1\r\nmode: none\r\nmax_age: 1\r\n",
		"mx:\nmx: *.\n:\n", "version: STSv1\nmode: enforce\nmx: a.example b\nmax_age: 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePolicy(b)
		if err != nil {
			return
		}
		if p.MaxAge < MinAge || p.MaxAge > MaxAge || len(p.MX) > MaxMX || (len(p.MX) == 0) != (p.Mode == None) {
			t.Errorf("ParsePolicy(%q) = %+v", b, p)
		}
		for _, m := range p.MX {
			if strings.Trim(m, "abcdefghijklmnopqrstuvwxyz0123456789-.*") != "" || strings.LastIndexByte(m, '*') > 0 {
				t.Errorf("ParsePolicy(%q) has mx %q", b, m)
			}
		}
		again := "version: STSv1\nmode: " + string(p.Mode) + "\nmax_age: " + "86400\n"
		for _, m := range p.MX {
			again += "mx: " + m + "\n"
		}
		if q, err := ParsePolicy([]byte(again)); len(again) <= MaxPolicyBytes && (err != nil || !slices.Equal(q.MX, p.MX)) {
			t.Errorf("ParsePolicy(%q) = %+v, %v", again, q, err)
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=STSv1; id=20160831085700Z;")
	f.Add("v=STSv1;;id")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseRecord([]string{s})
		if len(id) > maxID || err != nil && id != "" {
			t.Errorf("ParseRecord(%q) = %q, %v", s, id, err)
		}
	})
}
