package journal

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

func TestPage(t *testing.T) {
	j := openJournal(t, filepath.Join(t.TempDir(), "journal.db"))
	const each = maxRead + 200
	for i := range each {
		for _, daemon := range []string{"policyd", "milter"} {
			j.Record(Record{Daemon: daemon, Event: "rcpt", Session: fmt.Sprint(i), Time: noon.Add(time.Duration(i) * time.Second)})
		}
	}
	first, err := j.Page(t.Context(), "policyd", noon.Add(100*time.Second), 0)
	if err != nil || len(first.Records) != maxRead || first.Before == 0 || first.Records[0].Session != fmt.Sprint(each-1) {
		t.Fatalf("Page() = %d records, before %d, %v", len(first.Records), first.Before, err)
	}
	second, err := j.Page(t.Context(), "policyd", noon.Add(100*time.Second), first.Before)
	if err != nil || len(second.Records) != 100 || second.Before != 0 || second.Records[99].Session != "100" {
		t.Errorf("the second Page() = %d records, before %d, %v", len(second.Records), second.Before, err)
	}
	for _, r := range append(first.Records, second.Records...) {
		if r.Daemon != "policyd" {
			t.Fatalf("Page() has a record of %s", r.Daemon)
		}
	}
}
