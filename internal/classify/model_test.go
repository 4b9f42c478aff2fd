package classify

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/rawmsg/hostile"
)

func spamNo(i int) *Features {
	return of(fmt.Sprintf("From: offers%d@shop.example\nSubject: Cheap pills %d\n\nBuy cheap pills now, price %d, click http://pills%d.example/\n", i, i, i%7, i))
}

func hamNo(i int) *Features {
	return of(fmt.Sprintf("From: colleague%d@office.example\nSubject: Re: minutes %d\nIn-Reply-To: <a%d@office.example>\n\nHere are the minutes of meeting %d, thanks.\n", i, i, i, i))
}

func taught(n int) *Model {
	m := New()
	for i := range n {
		m.Learn(spamNo(i), true, 1)
		m.Learn(hamNo(i), false, 1)
	}
	return m
}

func TestLearns(t *testing.T) {
	m := taught(10)
	for i := 100; i < 110; i++ {
		if s := m.Score(spamNo(i)); s.Logit < 2 {
			t.Errorf("logit of spam is %.2f", s.Logit)
		}
		if s := m.Score(hamNo(i)); s.Logit > -2 {
			t.Errorf("logit of ham is %.2f", s.Logit)
		}
	}
	if h, s := m.Counts(); h != 10 || s != 10 {
		t.Errorf("Counts = %d, %d, want 10, 10", h, s)
	}
}

// A message is accepted even when short.
func TestShort(t *testing.T) {
	m := taught(5)
	for _, raw := range []string{"", "\n", "\n\nok"} {
		f := of(raw)
		before := m.Score(f).Logit
		m.Learn(f, true, 1)
		if after := m.Score(f).Logit; !(after > before) {
			t.Errorf("%q: logit %.3f, then %.3f", raw, before, after)
		}
	}
}

func TestWeight(t *testing.T) {
	for _, tt := range []struct {
		ham, spam int
		low, high float64
	}{{0, 0, 0, 0}, {1, 2, 0, 0}, {0, 6, 0, 0}, {3, 3, 0.4, 0.5}, {9, 9, 0.9, 0.95}, {50, 50, 0.99, 1}, {0, 9, 0.1, 0.2}, {0, 30, 0.7, 0.9}} {
		m := New()
		m.hamMass, m.spamMass = float64(tt.ham), float64(tt.spam)
		if w := m.Score(&Features{}).Weight; w < tt.low || w > tt.high {
			t.Errorf("weight of %d ham and %d spam is %.3f, want %.2f to %.2f", tt.ham, tt.spam, w, tt.low, tt.high)
		}
	}
}

// Who has seen spam alone must not take everything for it.
func TestSpamAlone(t *testing.T) {
	m := New()
	for i := range 200 {
		m.Learn(spamNo(i), true, 1)
	}
	if s := m.Score(hamNo(1)); s.Logit > 3 {
		t.Errorf("ham never seen has logit %.2f", s.Logit)
	}
}

func TestShare(t *testing.T) {
	f := spamNo(1)
	full, half, none := New(), New(), New()
	full.Learn(f, true, 1)
	half.Learn(f, true, 0.5)
	none.Learn(f, true, math.NaN())
	sum := func(m *Model) float64 { return m.view(viewWords, f.sets[viewWords]) }
	if a, b := sum(half), sum(full); math.Abs(2*a-b) > 1e-5 || b <= 0 || sum(none) != 0 {
		t.Errorf("half moves by %v, full by %v, none by %v", a, b, sum(none))
	}
}

// Property: an undo gives back every score, whatever was learned in between.
func TestUndo(t *testing.T) {
	m := taught(20)
	probes := []*Features{spamNo(300), hamNo(300), spamNo(7), of(plain)}
	var before []Score
	for _, p := range probes {
		before = append(before, m.Score(p))
	}
	type learned struct {
		f *Features
		s Step
	}
	var steps []learned
	for i := range 10 {
		f := spamNo(i + 40)
		steps = append(steps, learned{f, m.Learn(f, i%3 == 0, float64(i)/9)})
	}
	for _, i := range []int{3, 0, 9, 1, 2, 8, 5, 4, 6, 7} { // in any order
		b, err := steps[i].s.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		var s Step
		if err := s.UnmarshalBinary(b); err != nil || s != steps[i].s {
			t.Fatalf("UnmarshalBinary = %+v, %v", s, err)
		}
		m.Undo(steps[i].f, s)
	}
	for i, p := range probes {
		if s := m.Score(p); math.Abs(s.Logit-before[i].Logit) > 1e-4 || math.Abs(s.Weight-before[i].Weight) > 1e-6 || s.Spam != before[i].Spam {
			t.Errorf("after the undo %+v, before %+v", s, before[i])
		}
	}
}

func TestDeterministic(t *testing.T) {
	var a, b bytes.Buffer
	if err := errors.Join(taught(15).write(&a), taught(15).write(&b)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("equal learns give unequal models")
	}
}

func TestSaveOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weights")
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if h, s := m.Counts(); h+s != 0 {
		t.Errorf("a new model has %d, %d", h, s)
	}
	m = taught(12)
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*Features{spamNo(50), hamNo(50)} {
		if a, b := m.Score(f), again.Score(f); a != b {
			t.Errorf("saved %+v, opened %+v", a, b)
		}
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	left, err := filepath.Glob(path + ".tmp-*")
	if err != nil || len(left) > 0 {
		t.Errorf("%v is left over, %v", left, err)
	}
}

func TestDamagedFile(t *testing.T) {
	var b bytes.Buffer
	if err := taught(2).write(&b); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	flip := func(at int) []byte {
		c := bytes.Clone(whole)
		c[at] ^= 0x40
		return c
	}
	for name, content := range map[string][]byte{
		"empty": nil, "half": whole[:len(whole)/2], "longer": append(bytes.Clone(whole), 0), "another file": []byte("root:x:0:0"),
		"magic": flip(0), "version": flip(len(magic)), "count": flip(len(magic) + 3), "weight": flip(len(whole) / 2), "sum": flip(len(whole) - 1),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "weights")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path)
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "learn again") || !strings.Contains(err.Error(), path) {
				t.Errorf("Open: %v", err)
			}
		})
	}
	if err := New().Save(filepath.Join(t.TempDir(), "no", "such")); err == nil {
		t.Error("Save into no directory says nothing")
	}
}

func TestScoreAllocatesNothing(t *testing.T) {
	m, f := taught(3), spamNo(1)
	if n := testing.AllocsPerRun(50, func() { m.Score(f) }); n != 0 {
		t.Errorf("Score allocates %.0f times", n)
	}
}

// Scores, learns and saves at once; the race detector looks on.
func TestConcurrent(t *testing.T) {
	m := taught(2)
	path := filepath.Join(t.TempDir(), "weights")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			f := spamNo(i)
			for range 20 {
				m.Score(f)
				s := m.Learn(f, true, 1)
				m.Undo(f, s)
			}
		})
	}
	wg.Go(func() {
		if err := m.Save(path); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
}

// FuzzRead reads the head of a file of weights, with tables of zeros behind and
// a sum that is right.
func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := New().write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes()[:headSize], []byte{1, 2, 3, 4})
	f.Add([]byte(magic), []byte{0, 0, 0xc0, 0x7f})
	f.Fuzz(func(t *testing.T, head, weights []byte) {
		file := make([]byte, fileSize-4)
		copy(file, head)
		copy(file[headSize:], weights)
		sum := crc32.Checksum(file, crc32.MakeTable(crc32.Castagnoli))
		m, err := read(bytes.NewReader(binary.LittleEndian.AppendUint32(file, sum)))
		if err != nil {
			return
		}
		if s := m.Score(&Features{}); math.IsNaN(s.Logit) || !(s.Weight >= 0 && s.Weight <= 1) {
			t.Fatalf("score %+v", s)
		}
	})
}

func FuzzStep(f *testing.F) {
	b, _ := taught(1).Learn(hamNo(3), true, 1).AppendBinary(nil)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var s, again Step
		if s.UnmarshalBinary(b) != nil {
			return
		}
		wire, _ := s.AppendBinary(nil)
		if err := again.UnmarshalBinary(wire); err != nil || again != s {
			t.Fatalf("round trip of %x: %v", b, err)
		}
	})
}

func BenchmarkScore(b *testing.B) {
	m := rawmsg.Scan(hostile.Sample(36<<10), rawmsg.Default())
	var f Features
	f.Extract(m, message.Decode(m))
	model := taught(5)
	b.ReportAllocs()
	for b.Loop() {
		model.Score(&f)
	}
}

func BenchmarkLearn(b *testing.B) {
	model, f, g := taught(5), spamNo(1), hamNo(1)
	b.ReportAllocs()
	for b.Loop() {
		model.Learn(f, true, 1)
		model.Learn(g, false, 1)
	}
}
