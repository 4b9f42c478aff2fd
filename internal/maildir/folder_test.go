package maildir

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFolderOnDisk(t *testing.T) {
	for _, tc := range []struct {
		in    string
		want  string // "" is refused
		plain string // with UTF8; "" is the same
	}{
		{"Junk", "Junk", ""},
		{"Archive.2026", "Archive.2026", ""},
		{"Entwürfe", "Entw&APw-rfe", "Entwürfe"},
		{"R&D", "R&-D", "R&D"},
		{"~peter", "", ""},
		{"mail.日本語.台北", "mail.&ZeVnLIqe-.&U,BTFw-", "mail.日本語.台北"}, // RFC 3501 §5.1.3
		{"😀", "&2D3eAA-", "😀"},
		{"a b", "a b", ""},
		{"a&b", "a&-b", "a&b"},
		{"ö&ö", "&APY-&-&APY-", "ö&ö"},
		{"Gö", "G&APY-", "Gö"},
		{"..", "", ""},
		{".Junk", "", ""},
		{"a/b", "", ""},
		{"a..b", "", ""},
		{"a.", "", ""},
		{"a\nb", "", ""},
		{"a\xff", "", ""},
		{"", "", ""},
		{strings.Repeat("a", 200), strings.Repeat("a", 200), ""},
		{strings.Repeat("ü", 100), "", ""}, // longer in UTF-7
	} {
		f, err := ParseFolder(tc.in)
		got, serr := f.Stored(false)
		if (err == nil) != (tc.want != "") || err == nil && (got != tc.want || serr != nil) || err != nil && !errors.Is(err, ErrUnsafe) {
			t.Errorf("ParseFolder(%q) = %q, %v, stored %q, %v, want %q", tc.in, f, err, got, serr, tc.want)
		}
		if tc.plain == "" {
			tc.plain = tc.want
		}
		if got, _ := f.Stored(true); err == nil && got != tc.plain {
			t.Errorf("Folder(%q).Stored(true) = %q, want %q", tc.in, got, tc.plain)
		}
	}
	if f, err := ParseFolder("inbox"); f != Inbox || err != nil {
		t.Errorf("ParseFolder(inbox) = %q, %v", f, err)
	}
}

func FuzzFolder(f *testing.F) {
	for _, s := range []string{"Junk", "a/b", "..", "&", "日本", "a\x00", "~x", "INBOX"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		folder, err := ParseFolder(s)
		if err != nil {
			return
		}
		for _, plain := range []bool{false, true} {
			name, err := folder.Stored(plain)
			if err != nil && !errors.Is(err, ErrUnsafe) || strings.ContainsAny(name, "/\x00\n") || strings.HasPrefix(name, ".") || len(name) > MaxComponent {
				t.Errorf("Folder(%q).Stored(%t) = %q, %v", s, plain, name, err)
			}
			if !plain && len(name) != utf8.RuneCountInString(name) {
				t.Errorf("Folder(%q) is stored as %q, which is no ASCII", s, name)
			}
		}
	})
}

func TestDeliverWithFlags(t *testing.T) {
	for _, tc := range []struct{ flags, want string }{
		{"", ""}, {"S", ":2,S"}, {"aSFaS", ":2,FSa"}, {"S:/,2 ", ":2,S"},
	} {
		if got := info(tc.flags); got != tc.want {
			t.Errorf("info(%q) = %q, want %q", tc.flags, got, tc.want)
		}
	}
}
