package quarantine

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// BenchmarkPut keeps messages of the average size, with all fsyncs.
func BenchmarkPut(b *testing.B) {
	s := openStore(b, filepath.Join(b.TempDir(), "q"), testConfig())
	body := strings.Repeat("0123456789abcdef0123456789abcdef01\r\n", 1024)
	e := entry(arrived)
	e.Size = int64(len(body))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Put(b.Context(), e, strings.NewReader(body)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFull puts an entry into the index of a quarantine that is full.
func BenchmarkFull(b *testing.B) {
	s := openStore(b, filepath.Join(b.TempDir(), "q"), testConfig())
	for i := range MaxEntries {
		n := name{id: arrived.Add(time.Duration(i)*time.Second).Format(idTime) + "-aaaaaa"}
		s.index.order = append(s.index.order, newItem(n, 4096))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.victims(testConfig(), 4096)
		s.index.add(newItem(name{id: arrived.Add(time.Duration(MaxEntries+i)*time.Second).Format(idTime) + "-aaaaaa"}, 4096))
	}
}
