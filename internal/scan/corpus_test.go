package scan

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/shared"
	"github.com/gatepost/gatepost/internal/verdict"
)

// TestCorpora runs the offline rules over labelled mail. With -v it prints how
// often each hits. No wanted message may be refused, and marks must stay rare:
// this is what tells a weight that is too high. The corpora hold next to no
// results of authentication and no session, so those rules are not in it.
func TestCorpora(t *testing.T) {
	for _, name := range []string{"spamassassin", "spamassassin-hard_ham_2", "csdmc2010", "modern-lists-dev"} {
		t.Run(name, func(t *testing.T) {
			dir := shared.Path(t, "data/corpora/"+name)
			var count corpusCount
			for _, c := range corpusIndex(t, dir) {
				raw, err := os.ReadFile(filepath.Join(dir, c.path))
				if err != nil {
					t.Fatal(err)
				}
				res := Scan(Default(), Message{Raw: rawmsg.Scan(raw, rawmsg.Default())}, c.arrived)
				count.add(c.spam, res)
				if !c.spam && res.Verdict == verdict.Reject {
					t.Errorf("%s is refused: %+v", c.path, res.Lines)
				}
			}
			// The second set of hard ham was chosen to look like spam.
			most := 5
			if name == "spamassassin-hard_ham_2" {
				most = 25
			}
			if m := count.marked[0]; m*1000 > most*count.all[0] {
				t.Errorf("%d of %d wanted messages are marked", m, count.all[0])
			}
			count.log(t)
		})
	}
}

// corpusCount counts by class: 0 wanted, 1 spam.
type corpusCount struct {
	all, marked, partly [2]int
	hits                map[string]*[2]int
}

func (c *corpusCount) add(spam bool, res Result) {
	class := 0
	if spam {
		class = 1
	}
	c.all[class]++
	if res.Verdict >= verdict.Mark {
		c.marked[class]++
	}
	if res.Partly {
		c.partly[class]++
	}
	if c.hits == nil {
		c.hits = map[string]*[2]int{}
	}
	for _, l := range res.Lines {
		if c.hits[l.Name] == nil {
			c.hits[l.Name] = new([2]int)
		}
		c.hits[l.Name][class]++
	}
}

func (c *corpusCount) log(t *testing.T) {
	t.Logf("wanted %d, of these marked %d, partly %d; spam %d, %d, %d",
		c.all[0], c.marked[0], c.partly[0], c.all[1], c.marked[1], c.partly[1])
	for _, r := range Rules() {
		if h := c.hits[r.Name]; h != nil {
			t.Logf("%-22s %5.1f  wanted %5.2f %%  spam %5.2f %%", r.Name, r.Score,
				100*float64(h[0])/float64(max(c.all[0], 1)), 100*float64(h[1])/float64(max(c.all[1], 1)))
		}
	}
}

type corpusMessage struct {
	spam    bool
	path    string
	arrived time.Time
}

func corpusIndex(t *testing.T, dir string) []corpusMessage {
	b, err := os.ReadFile(filepath.Join(dir, "index.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	var out []corpusMessage
	for line := range strings.Lines(string(b)) {
		c := strings.Split(line, "\t")
		if len(c) < 3 || c[0] != "ham" && c[0] != "spam" {
			continue
		}
		sec, err := strconv.ParseFloat(strings.TrimSpace(c[2]), 64)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, corpusMessage{spam: c[0] == "spam", path: c[1], arrived: time.Unix(int64(sec), 0)})
	}
	return out
}
