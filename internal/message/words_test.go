package message

import (
	"strings"
	"testing"
)

func TestCoin(t *testing.T) {
	for in, want := range map[string]bool{
		"1BoatSLRHtKNngkdXEeobR76b53LETtpyT": true, "1BoatSLRHtKNngkdXEeobR76b53LETtpyU": false,
		"3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy": true, "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLz": false,
		// BIP 173 and BIP 350, test vectors.
		"BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4":                     true,
		"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5":                     false,
		"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0": true,
		"bc1qW508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4":                     false, // mixed case
	} {
		d := decode("\nsend it to " + in + ", please")
		if got := d.Words.Coin == in; got != want {
			t.Errorf("%s: coin %q, want %v", in, d.Words.Coin, want)
		}
	}
}

func TestPhones(t *testing.T) {
	for in, want := range map[string]int{
		"call +1 (888) 555-0142 now": 1, "+49 30 1234567": 1, "888-555-0142": 1, "(888) 555 0142.": 1, "+442079460958": 1,
		"on 2026-01-15 at 11:00": 0, "version 1.2.3.4": 0, "1234567890123456": 0, "15 Jan 2026 11:00:00": 0, "4 5 6": 0, "$1,000,000.00": 0,
	} {
		if got := decode("\n" + in).Words.Phones; got != want {
			t.Errorf("%q: %d numbers, want %d", in, got, want)
		}
	}
}

func TestTopics(t *testing.T) {
	for _, tc := range []struct {
		in    string
		topic Topic
		want  int
	}{
		{"You have WON the Lottery: claim your prize!", Lottery, 4},
		{"Уou hаve wοn", Lottery, 1},             // Greek and Cyrillic letters
		{"y\u200bou have w\u200bon", Lottery, 1}, // nobody sees what is between
		{"Ｙｏｕ ｈａｖｅ ｗｏｎ", Lottery, 1},             // full width
		{"Sie haben\n gewonnen", Lottery, 1},     // over a line end
		{"Vous avez gagné", Lottery, 1},          // accents
		{"you. Have. Won, have you", Lottery, 1}, // punctuation is none of its words
		{"you would have won", Lottery, 0},       // another word between
		{"I can't talk", GiftCard, 1},            // apostrophe
		{"nächsten Angehörigen", AdvanceFee, 1},  // umlauts
	} {
		d := decode("Content-Type: text/plain; charset=utf-8\n\n" + tc.in)
		if got := d.Words.Topics[tc.topic]; got != tc.want {
			t.Errorf("%q: %d phrases %q, want %d", tc.in, got, d.Words.Said, tc.want)
		}
	}
}

// TestMixedWords: letters with marks are of their script (rspamd issues 720,
// 1480, 3156 and 6254 tell of names that were taken for fraud).
func TestMixedWords(t *testing.T) {
	for in, want := range map[string]int{
		"Vážený pane Dvořáku, příští úterý":          0,
		"Kedves Szabó Győző, árvíztűrő tükörfúrógép": 0,
		"Jörg Müller aus Köln, Straße":               0,
		"Sayın Çağlar Işık, İstanbul":                0,
		"αγαπητέ Γιώργο, Ωmega":                      1,
		"kính gửi Nguyễn Thị Hằng":                   0,
		"Дорогой Иван, 5-й":                          0,
		"東京Tower, 日本語 ABC":                           0,
		"µm, Ω, 10µF":                                0,
		"pаypаl":                                     2,
	} {
		d := decode("Content-Type: text/plain; charset=utf-8\n\n" + in)
		if got := d.Words.Mixed; got != want {
			t.Errorf("%q: %d mixed, want %d", in, got, want)
		}
	}
}

func TestDiffer(t *testing.T) {
	const a, b = "The old grey heron stood quietly beside the frozen river", "Cheapest tablets shipped worldwide overnight in discreet parcels today"
	mail := func(text, page string) string {
		return "Content-Type: multipart/alternative; boundary=b\n\n--b\n\n" + text + "\n--b\nContent-Type: text/html\n\n<p>" + page + "\n--b--\n"
	}
	for _, tc := range []struct {
		text, page string
		low, high  float64
	}{{a, a, 0, 0}, {a, b, 0.9, 1}, {a + " " + b, a, 0.4, 0.6}} {
		w := decode(mail(tc.text, tc.page)).Words
		if !w.Compared || w.Differ < tc.low || w.Differ > tc.high {
			t.Errorf("%q, %q: %+v", tc.text, tc.page, w)
		}
	}
	if w := decode(strings.Replace(mail(a, b), "alternative", "mixed", 1)).Words; w.Compared {
		t.Error("parts that are no forms of one thing are compared")
	}
}
