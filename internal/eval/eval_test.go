package eval

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/shared"
)

func TestIndex(t *testing.T) {
	at := time.Unix(1561980425, 0).UTC()
	for _, tt := range []struct {
		name, in string
		want     []Item
		wrong    string // part of the error
	}{
		{"table", "label\tpath\tepoch\tepoch_source\nspam\tspam/a.eml\t1561980425\tx\nham\tham/b.eml\t1561980425.5\tx\n",
			[]Item{{true, "d/spam/a.eml", at}, {false, "d/ham/b.eml", at}}, ""},
		{"other columns", "label\tid\tpath\nham\t7\tb\n", []Item{{false, "d/b", time.Time{}}}, ""},
		{"table without a head", "spam\ta\tmore\n", []Item{{true, "d/a", time.Time{}}}, ""},
		{"trec", "spam ../data/inmail.1\nham ../data/inmail.2\n", []Item{{true, "data/inmail.1", time.Time{}}, {false, "data/inmail.2", time.Time{}}}, ""},
		{"trec of 2005", "HAM 000/001\r\n\r\nSPAM 000/002\r\n", []Item{{false, "d/000/001", time.Time{}}, {true, "d/000/002", time.Time{}}}, ""},
		{"empty", "", nil, ""},
		{"a label that is none", "spam a\neggs b\n", nil, `line 2: "eggs" is neither spam nor ham`},
		{"no path", "spam\n", nil, "line 1: no path"},
		{"absolute", "spam /etc/passwd\n", nil, `line 1: "/etc/passwd" is no path relative to the index`},
		{"no time", "label\tpath\tepoch\nspam\ta\tnoon\n", nil, `line 2: "noon" is no time`},
		{"long line", "spam " + strings.Repeat("a", maxLine), nil, "a line of more than 65536 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseIndex(strings.NewReader(tt.in), "d")
			switch {
			case tt.wrong != "":
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("parseIndex: %v, want %s", err, tt.wrong)
				}
			case err != nil || !reflect.DeepEqual(got, tt.want):
				t.Errorf("parseIndex = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func FuzzIndex(f *testing.F) {
	f.Add("label\tpath\tepoch\nspam\ta\t1\n")
	f.Add("spam ../data/inmail.1\nham x\n")
	f.Add("label\tepoch\tpath\nham\t1e9\t\n")
	f.Fuzz(func(t *testing.T, in string) {
		items, err := parseIndex(strings.NewReader(in), "d")
		if err != nil {
			return
		}
		for _, it := range items {
			if filepath.IsAbs(it.Path) {
				t.Fatalf("parseIndex(%q) leads to %q", in, it.Path)
			}
		}
	})
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A pipe in an index must not make us wait, a device not read for ever.
func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		pipe: "no regular file", dir: "no regular file", "/dev/zero": "no regular file", filepath.Join(dir, "none"): "no such file",
	} {
		if _, _, err := Read(Item{Path: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Read(%s): %v, want %s", path, err, want)
		}
	}
}

func TestReadCuts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large")
	write(t, path, strings.Repeat("a", maxMessage+5))
	raw, _, err := Read(Item{Path: path})
	if err != nil || len(raw) != maxMessage {
		t.Errorf("Read = %d bytes, %v", len(raw), err)
	}
}

func TestArrival(t *testing.T) {
	mod := time.Unix(1000, 0).UTC()
	for _, tt := range []struct {
		name, raw string
		want      int64
	}{
		{"received", "From x\nReceived: by a; Thu, 1 Jan 1970 01:00:00 +0000\nDate: Thu, 1 Jan 1970 02:00:00 +0000\n\n", 3600},
		{"received that cannot be read", "Received: by a\nDate: Thu, 1 Jan 1970 02:00:00 +0000\n\n", 7200},
		{"date", "Date: Thu, 1 Jan 1970 02:00:00 +0000\n\n", 7200},
		{"file", "Subject: x\n\nDate: Thu, 1 Jan 1970 02:00:00 +0000\n", 1000},
		{"empty", "", 1000},
	} {
		if got := arrival([]byte(tt.raw), mod); got.Unix() != tt.want {
			t.Errorf("%s: %v, want %d", tt.name, got, tt.want)
		}
	}
}

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	at := func(sec int) string { return "Date: " + time.Unix(int64(sec), 0).UTC().Format(time.RFC1123Z) + "\n\n" }
	write(t, dir+"/spam/cur/2:2,S", at(20))
	write(t, dir+"/spam/new/1", at(10))
	write(t, dir+"/spam/tmp/9", at(5))
	write(t, dir+"/spam/cur/.hidden", at(5))
	write(t, dir+"/ham/1.eml", at(15))
	write(t, dir+"/ham/dovecot.index", "x")
	items, err := ReadFolders(dir+"/spam", dir+"/ham")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, it := range items {
		got = append(got, fmt.Sprint(it.Spam, " ", filepath.Base(it.Path)))
	}
	if want := []string{"true 1", "false 1.eml", "true 2:2,S"}; !reflect.DeepEqual(got, want) {
		t.Errorf("ReadFolders = %q, want %q", got, want)
	}
	if _, err := ReadFolders(dir+"/none", dir+"/ham"); err == nil {
		t.Error("a folder that is not there is no error")
	}
}

func TestMask(t *testing.T) {
	const file = "# comment\nX-Spam*\nx-bogosity\n# second pass (\"no plumbing\")\nList-*\n"
	first, err := parseMask(file, false)
	if err != nil {
		t.Fatal(err)
	}
	all, err := parseMask(file, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, in, first, all string
	}{
		{"both groups", "A: 1\nX-Spam-Flag: YES\n folded\nList-Id: x\nB: 2\n\nX-Spam: body\n", "A: 1\nList-Id: x\nB: 2\n\nX-Spam: body\n", "A: 1\nB: 2\n\nX-Spam: body\n"},
		{"crlf", "x-SPAM: 1\r\n\tmore\r\nA: 1\r\n\r\nb", "A: 1\r\n\r\nb", "A: 1\r\n\r\nb"},
		{"mbox line", "From x y\nX-Bogosity: Spam\nA: 1\n\nb", "From x y\nA: 1\n\nb", "From x y\nA: 1\n\nb"},
		{"no blank line", "X-Spam: 1\nA: 1", "A: 1", "A: 1"},
		{"header that ends with a body line", "A: 1\nno field\nX-Spam: 1\n", "A: 1\nno field\nX-Spam: 1\n", "A: 1\nno field\nX-Spam: 1\n"},
		{"space before the colon", "X-Spam : 1\nA: 1\n\n", "A: 1\n\n", "A: 1\n\n"},
		{"longer name", "X-Bogosity-Not: 1\n\n", "X-Bogosity-Not: 1\n\n", "X-Bogosity-Not: 1\n\n"},
		{"empty", "", "", ""},
		{"body alone", "\nX-Spam: 1\n", "\nX-Spam: 1\n", "\nX-Spam: 1\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(first.Apply([]byte(tt.in))); got != tt.first {
				t.Errorf("first group: %q, want %q", got, tt.first)
			}
			if got := string(all.Apply([]byte(tt.in))); got != tt.all {
				t.Errorf("both groups: %q, want %q", got, tt.all)
			}
		})
	}
	for _, bad := range []string{"X-[", "X Spam", "X-Spam:"} {
		if _, err := parseMask("A\n"+bad, false); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("parseMask(%q): %v", bad, err)
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add("A: 1\nX-Spam: 2\n\nb")
	f.Add("From x\r\nX-Spam:\r\n \r\n\r\n")
	m, err := parseMask("X-Spam*\n", false)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out := string(m.Apply([]byte(in)))
		if len(out) > len(in) || string(m.Apply([]byte(out))) != out && !strings.Contains(out, "\n") {
			t.Fatalf("Apply(%q) = %q", in, out)
		}
	})
}

func TestAUC(t *testing.T) {
	s := func(spam string, scores ...float64) (out []scored) {
		for i, v := range scores {
			out = append(out, scored{spam[i] == 's', v})
		}
		return out
	}
	for _, tt := range []struct {
		name string
		in   []scored
		want float64
	}{
		{"perfect", s("hhss", 1, 2, 3, 4), 0},
		{"all wrong", s("sshh", 1, 2, 3, 4), 100},
		{"one pair of four", s("hshs", 1, 2, 3, 4), 25},
		{"a tie is half", s("hs", 1, 1), 50},
		{"ties", s("hshs", 1, 1, 1, 2), 25},
		{"no ham", s("ss", 1, 2), 0},
		{"nothing", nil, 0},
	} {
		if got := lossesAUC(tt.in); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestMissed(t *testing.T) {
	var all []scored
	for i := range 1000 { // ham from 0 to 999, spam at 989.5 to 999.5
		all = append(all, scored{false, float64(i)})
	}
	for i := range 10 {
		all = append(all, scored{true, 990.5 + float64(i)})
	}
	for lost, want := range map[float64]float64{0.05: 90, 0.1: 80, 0.5: 40, 1: 0} {
		if got := missed(all, lost); got != want {
			t.Errorf("missed at %v %% = %v, want %v", lost, got, want)
		}
	}
	if got := missed([]scored{{true, 1}, {true, 2}}, 0.1); got != 0 {
		t.Errorf("without ham %v", got)
	}
}

func TestFeedback(t *testing.T) {
	for in, want := range map[string]Feedback{"full": {}, "errors": {Errors: true}, "delayed=50": {Delay: 50}} {
		got, err := ParseFeedback(in)
		if err != nil || got != want || got.String() != in {
			t.Errorf("ParseFeedback(%s) = %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "none", "delayed=", "delayed=0", "delayed=-1", "delayed=9999999", "delayed=1x"} {
		if _, err := ParseFeedback(in); err == nil {
			t.Errorf("ParseFeedback(%q) is no error", in)
		}
	}
}

func TestWeightsFor(t *testing.T) {
	for path, want := range map[string]string{
		"/x/corpora/spamassassin/index.tsv":            scan.WithoutOld,
		"/x/corpora/spamassassin-hard_ham_2/index.tsv": scan.WithoutOld,
		"/x/csdmc2010/index.tsv":                       scan.WithoutOld,
		"/x/modern-lists-dev/index.tsv":                scan.WithoutModern,
		"/x/trec07p/full/index":                        scan.Shipped,
		"/x/spamassassin.tsv":                          scan.Shipped,
	} {
		if got := WeightsFor(path); got != want {
			t.Errorf("WeightsFor(%s) = %s, want %s", path, got, want)
		}
	}
	for _, set := range []string{scan.Shipped, scan.WithoutOld, scan.WithoutModern} {
		cfg, used, err := Config(set)
		if err != nil || cfg.Validate() != nil || used != set && used != scan.Shipped {
			t.Errorf("Config(%s): %s, %v, %v", set, used, err, cfg.Validate())
		}
	}
	if _, _, err := Config("other"); err == nil {
		t.Error("Config(other) is no error")
	}
}

// corpus writes messages that can be told apart, in turn.
func corpus(t *testing.T, n int) []Item {
	dir := t.TempDir()
	var items []Item
	for i := range n {
		it := Item{Spam: i%2 == 0, Path: filepath.Join(dir, fmt.Sprint(i)), Arrived: time.Unix(int64(i), 0)}
		text := fmt.Sprintf("From: a%d@office.example\nSubject: minutes %d\n\nThe minutes of meeting %d.\n", i, i, i)
		if it.Spam {
			text = fmt.Sprintf("From: b%d@shop.example\nSubject: cheap %d\n\nCheap pills at http://p%d.example/\n", i, i, i)
		}
		write(t, it.Path, text)
		items = append(items, it)
	}
	return items
}

func TestReplay(t *testing.T) {
	items := corpus(t, 80)
	for _, tt := range []struct {
		name string
		o    Options
		most float64 // (1-AUC) %
	}{
		{"full", Options{}, 10}, {"learned", Options{Learned: true}, 10}, {"delayed", Options{Feedback: Feedback{Delay: 10}}, 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Scan = scan.Default()
			done := 0
			tt.o.Progress = func(n int) { done = n }
			a, err := Replay(context.Background(), items, tt.o)
			if err != nil {
				t.Fatal(err)
			}
			b, err := Replay(context.Background(), items, tt.o)
			if err != nil {
				t.Fatal(err)
			}
			if a.OneMinusAUC > tt.most || a.Messages != 80 || a.Ham != 40 || a.Spam != 40 || done != 80 {
				t.Errorf("%d messages, %d ham, %d spam, %v %%, progress %d", a.Messages, a.Ham, a.Spam, a.OneMinusAUC, done)
			}
			a.PerCPUSecond, b.PerCPUSecond = 0, 0
			if !reflect.DeepEqual(a, b) {
				t.Error("two equal runs differ")
			}
		})
	}
}

// Cold learns nothing: no line of the learned filter, and the order does not
// matter to a message.
func TestCold(t *testing.T) {
	res, err := Replay(context.Background(), corpus(t, 40), Options{Cold: true, Scan: scan.Default()})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range res.Hits {
		if strings.HasPrefix(h.Name, "LEARNED_") {
			t.Errorf("%+v", h)
		}
	}
}

func TestJSON(t *testing.T) {
	res, err := Replay(context.Background(), corpus(t, 10), Options{Scan: scan.Default()})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Messages *int                `json:"messages"`
		Ham      *int                `json:"ham"`
		Spam     *int                `json:"spam"`
		AUC      *float64            `json:"one_minus_auc_pct"`
		Missed   map[string]*float64 `json:"missed_spam_pct"`
		Rate     *float64            `json:"msgs_per_cpu_s"`
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Messages == nil || got.Ham == nil || got.Spam == nil || got.AUC == nil || got.Rate == nil {
		t.Errorf("a key is missing: %s", b)
	}
	for _, k := range []string{"0.05", "0.1", "0.5", "1"} {
		if got.Missed[k] == nil {
			t.Errorf("missed_spam_pct lacks %s: %s", k, b)
		}
	}
}

func TestFormat(t *testing.T) {
	res, err := Replay(context.Background(), corpus(t, 60), Options{Scan: scan.Default()})
	if err != nil {
		t.Fatal(err)
	}
	res.Feedback, res.Score, res.Weights = "full", "total", "shipped"
	var b strings.Builder
	if err := res.Format(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"messages   60: 30 ham, 30 spam\n", "feedback full, score total, weights shipped\n", "(1-AUC)", " 0.05 % of ham lost:", "         1-50", "        51-60", "LEARNED_SPAM"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// TestCorpora replays the first messages of each corpus of development.
func TestCorpora(t *testing.T) {
	mask, err := ReadMask(shared.Path(t, "data/split/mask-headers.txt"), false)
	if err != nil {
		t.Fatal(err)
	}
	for name, most := range map[string]float64{"spamassassin": 5, "csdmc2010": 3, "modern-lists-dev": 0.2} {
		t.Run(name, func(t *testing.T) {
			index := shared.Path(t, "data/corpora/"+name+"/index.tsv")
			items, err := ReadIndex(index)
			if err != nil {
				t.Fatal(err)
			}
			cfg, _, err := Config(WeightsFor(index))
			if err != nil {
				t.Fatal(err)
			}
			res, err := Replay(context.Background(), items[:700], Options{Mask: mask, Scan: cfg})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("(1-AUC) %.4f %%", res.OneMinusAUC)
			if res.OneMinusAUC > most {
				t.Errorf("(1-AUC) of the first 700 messages is %.3f %%, want %.2f at most", res.OneMinusAUC, most)
			}
		})
	}
}
