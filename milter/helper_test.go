package milter

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"sync"
	"testing"

	"github.com/gatepost/gatepost/internal/journal"
)

// records is a journal in memory.
type records struct {
	mu  sync.Mutex
	all []record
}

type record struct{ journal.Record }

func (r record) fact(key string) string {
	for _, f := range r.Facts {
		if f.Key == key {
			return f.Value
		}
	}
	return ""
}

func (r *records) Record(rec journal.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, record{rec})
}

func (r *records) last(t *testing.T) record {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) == 0 {
		t.Fatal("nothing was journaled")
	}
	return r.all[len(r.all)-1]
}

// TestMain fails the run when the library printed a line of its own: whatever a
// peer does, it must see nothing but whole packets and io.EOF.
func TestMain(m *testing.M) {
	if arg := os.Getenv(clientVar); arg != "" {
		if err := runClient(arg); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	var printed syncBuffer
	log.SetOutput(&printed)
	code := m.Run()
	if s := printed.String(); s != "" {
		fmt.Fprintf(os.Stderr, "the library printed:\n%s", s)
		code = 1
	}
	os.Exit(code)
}

// syncBuffer is a buffer that several goroutines may write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
