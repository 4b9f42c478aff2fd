package table

import (
	"strings"
	"testing"

	"charm.land/lipgloss/v2"

	"github.com/gatepost/gatepost/internal/verdict"
)

func sample() Verdict {
	return Verdict{
		Lines: []verdict.Line{
			{Name: "SPF_PASS", Score: -0.2, Text: "The envelope sender's domain allows this client (SPF).", Options: []string{"esp.example"}},
			{Name: "DKIM_UNKNOWN", Text: "A signature could not be checked for now (DKIM)."},
			{Name: "DMARC_FAIL_REJECT", Score: 7, Text: "The domain in From does not vouch for the message, and asks to reject such mail (DMARC).", Options: []string{"bank.example", "p=reject"}},
			{Name: "A_RULE_WHOSE_NAME_IS_MUCH_LONGER_THAN_A_COLUMN", Score: 0.35, Text: "Odd.", Options: []string{strings.Repeat("x", 100), "a\x1b[31mb\u202ec\nd"}},
		},
		Score: 7.15, Verdict: verdict.Mark, Reject: 15, Mark: 6,
		ByRcpt: map[string]verdict.Verdict{"b@own.example": verdict.Accept, "a@own.example": verdict.Accept},
		Notes:  []string{"Only a part of the message was looked at."},
	}
}

func TestWrite(t *testing.T) {
	want := `
  POINTS  RULE                          WHY
    7.00  DMARC_FAIL_REJECT             The domain in From does not vouch for
                                        the message, and asks to reject such
                                        mail (DMARC). (bank.example, p=reject)
    0.35  A_RULE_WHOSE_NAME_IS_MUCH_    Odd.
          LONGER_THAN_A_COLUMN          (xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
                                        xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
                                        xxxxxxxxxxxxxxxxxxxxx,
                                        a\x1b[31mb\u202ec\nd)
   -0.20  SPF_PASS                      The envelope sender's domain allows this
                                        client (SPF). (esp.example)
          DKIM_UNKNOWN                  A signature could not be checked for now
                                        (DKIM).
--------
    7.15  of 15: mark (Junk from 6)
          for a@own.example: accept
          for b@own.example: accept
          Only a part of the message was looked at.
`
	var b strings.Builder
	if err := Write(&b, sample(), Options{}); err != nil {
		t.Fatal(err)
	}
	if got := "\n" + b.String(); got != want {
		t.Errorf("Write wrote:%s\nwant:%s", got, want)
	}
}

// TestPages: no line is wider than the page, nothing reaches the terminal that
// is not ours, and colour changes no text.
func TestPages(t *testing.T) {
	long := sample()
	long.Lines = append(long.Lines, verdict.Line{Name: "宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽", Score: -1e9, Text: strings.Repeat("宽", 90), Options: []string{"\x9b31m", "\xff"}})
	for _, o := range []Options{{}, {Width: 40}, {Width: 60, Indent: 4}, {Width: 100, Indent: 14}, {Width: 1}} {
		var plain, colour strings.Builder
		if err := Write(&plain, long, o); err != nil {
			t.Fatal(err)
		}
		c := o
		c.Colour = true
		if err := Write(&colour, long, c); err != nil {
			t.Fatal(err)
		}
		limit := max(40, o.Width, o.Indent+60)
		if o.Width == 0 {
			limit = 80
		}
		for l := range strings.Lines(plain.String()) {
			if w := lipgloss.Width(strings.TrimSuffix(l, "\n")); w > limit || !strings.HasPrefix(l, strings.Repeat(" ", o.Indent)) {
				t.Errorf("%+v: %d columns: %q", o, w, l)
			}
		}
		if strings.ContainsAny(plain.String(), "\x1b\u202e\u009b") || !strings.Contains(colour.String(), "\x1b[31m") {
			t.Errorf("%+v: colours: %q", o, plain.String())
		}
		if got := stripped(colour.String()); got != plain.String() {
			t.Errorf("%+v: in colour it says\n%s\nwithout\n%s", o, got, plain.String())
		}
	}
}

// stripped returns s without its colours, and without blanks before line ends.
func stripped(s string) string {
	var b strings.Builder
	for l := range strings.Lines(s) {
		for {
			before, after, ok := strings.Cut(l, "\x1b[")
			if !ok {
				break
			}
			_, after, _ = strings.Cut(after, "m")
			l = before + after
		}
		b.WriteString(strings.TrimRight(l, " \n") + "\n")
	}
	return b.String()
}

func TestEmpty(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, Verdict{Score: 1000000}, Options{}); err != nil || !strings.Contains(b.String(), "   1e+06  = accept\n") {
		t.Errorf("Write = %v, %q", err, b.String())
	}
}

func FuzzWrite(f *testing.F) {
	f.Add("NAME", "text", "option\u202e", 1.5, 80)
	f.Add("", "", "\x1b]0;x\a", -1e300, 0)
	f.Fuzz(func(t *testing.T, name, text, option string, score float64, width int) {
		var b strings.Builder
		v := Verdict{Lines: []verdict.Line{{Name: name, Text: text, Score: score, Options: []string{option}}}, Score: score, Notes: []string{text}}
		if err := Write(&b, v, Options{Width: width % 200}); err != nil {
			t.Fatal(err)
		}
		for _, r := range b.String() {
			if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e {
				t.Fatalf("%q", b.String())
			}
		}
	})
}
