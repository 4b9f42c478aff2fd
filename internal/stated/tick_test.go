package stated

import (
	"encoding/json"
	"os"
	"runtime"
	"testing"
	"time"
)

// tick lets others run for some milliseconds. It blocks on a pipe nobody writes
// to, with a deadline.
func tick() {
	r, w, err := os.Pipe()
	if err != nil {
		runtime.Gosched()
		return
	}
	defer r.Close()
	defer w.Close()
	_ = r.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	_, _ = r.Read(make([]byte, 1))
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
