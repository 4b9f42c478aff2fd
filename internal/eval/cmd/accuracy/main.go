// Accuracy replays the corpora of development and prints the tables of
// docs/accuracy.md (make eval).
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"

	"github.com/gatepost/gatepost/internal/eval"
	"github.com/gatepost/gatepost/internal/eval/cmd/page"
)

func main() {
	data := flag.String("data", "../shared/data", "directory that holds corpora and split")
	update := flag.String("update", "", "page whose tables are replaced; they are printed if absent")
	flag.Parse()
	if err := run(*data, *update); err != nil {
		fmt.Fprintf(os.Stderr, "accuracy: error: %v\n", err)
		os.Exit(1)
	}
}

func run(data, update string) error {
	var out bytes.Buffer
	if err := tables(&out, data); err != nil {
		return err
	}
	return page.Publish(update, "make eval", out.Bytes())
}

// corpora are rows of the tables: the indexes that make one.
var corpora = [][]string{
	{"spamassassin"}, {"spamassassin", "spamassassin-hard_ham_2"}, {"csdmc2010"}, {"modern-lists-dev"},
}

// modes are the feedback modes; "cold" is none.
var modes = []string{"errors", "full", "delayed=100", "delayed=500", "cold"}

// tables writes a table for each group of masks.
func tables(w io.Writer, data string) error {
	for _, all := range []bool{false, true} {
		mask, err := eval.ReadMask(filepath.Join(data, "split/mask-headers.txt"), all)
		if err != nil {
			return err
		}
		title := "First group of masks"
		if all {
			title = "Both groups of masks (list plumbing deleted too)"
		}
		fmt.Fprintf(w, "\n### %s\n\n", title)
		fmt.Fprintln(w, "| feedback | corpus | weights | (1−AUC) % total | learned alone | spam missed at 0.05 / 0.1 / 0.5 / 1 % lost ham | spam marked % | ham marked | ham rejected | ms CPU |")
		fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|")
		for _, mode := range modes {
			for _, names := range corpora {
				if err := row(w, data, mode, names, mask); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func row(w io.Writer, data, mode string, names []string, mask eval.Mask) error {
	var items []eval.Item
	label := ""
	for _, name := range names {
		more, err := eval.ReadIndex(filepath.Join(data, "corpora", name, "index.tsv"))
		if err != nil {
			return err
		}
		items = append(items, more...)
		label += " + " + name
	}
	sort.SliceStable(items, func(i, j int) bool { return items[i].Arrived.Before(items[j].Arrived) })
	o := eval.Options{Mask: mask, Cold: mode == "cold"}
	var err error
	if !o.Cold {
		if o.Feedback, err = eval.ParseFeedback(mode); err != nil {
			return err
		}
	}
	var weights string
	if o.Scan, weights, err = eval.Config(eval.WeightsFor(filepath.Join(names[0], "index.tsv"))); err != nil {
		return err
	}
	r, err := eval.Replay(context.Background(), items, o)
	if err != nil {
		return err
	}
	learned := "–"
	if !o.Cold {
		o.Learned = true
		l, err := eval.Replay(context.Background(), items, o)
		if err != nil {
			return err
		}
		learned = fmt.Sprintf("%.4f", l.OneMinusAUC)
	}
	m := r.Missed
	_, err = fmt.Fprintf(w, "| %s | %s | %s | %.4f | %s | %.2f / %.2f / %.2f / %.2f | %.1f | %d of %d | %d | %.2f |\n",
		mode, label[3:], weights, r.OneMinusAUC, learned, m[0], m[1], m[2], m[3],
		100*float64(r.SpamMarked)/float64(max(r.Spam, 1)), r.HamMarked, r.Ham, r.HamRejected, 1000/max(r.PerCPUSecond, 1e-9))
	return err
}
