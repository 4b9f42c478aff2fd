// Compare gives the corpora of development to other filters and to ours, in one
// run, and prints the table of docs/accuracy.md that sets them side by side
// (make eval-compare). Each program scores a message first and is told its label
// afterwards, all labels, in the order of arrival, under the first group of
// masks; nothing leaves the machine.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/gatepost/gatepost/internal/eval"
	"github.com/gatepost/gatepost/internal/eval/cmd/page"
)

var corpora = []string{"spamassassin", "csdmc2010", "modern-lists-dev"}

func main() {
	data := flag.String("data", "../shared/data", "directory that holds corpora and split")
	first := flag.Int("first", 2000, "give SpamAssassin the first N messages of each corpus only; 0 for all")
	update := flag.String("update", "", "page whose table is replaced; it is printed if absent")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *data, *first, *update); err != nil {
		fmt.Fprintf(os.Stderr, "compare: error: %v\n", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, data string, first int, update string) error {
	dir, err := os.MkdirTemp("", "gatepost-compare")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	mask, err := eval.ReadMask(filepath.Join(data, "split/mask-headers.txt"), false)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	versions, err := versions(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(&out, "\n%s; %s.\n\n", versions, time.Now().UTC().Format(time.DateOnly))
	fmt.Fprintln(&out, "| corpus | messages | program | (1−AUC) % | spam missed at 0.1 / 1 % lost ham | ms CPU a message |")
	fmt.Fprintln(&out, "|---|---|---|---|---|---|")
	for _, name := range corpora {
		c := corpus{name: name, index: filepath.Join(data, "corpora", name, "index.tsv"), mask: mask, dir: filepath.Join(dir, name)}
		if err := c.compare(ctx, &out, first); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return page.Publish(update, "make eval-compare", out.Bytes())
}

// corpus is a stream for all programs alike.
type corpus struct {
	name, index string
	mask        eval.Mask
	dir         string // of its own, made by compare
	spam        []bool
	paths       []string // of the masked messages
}

// compare writes a row for each program: of the first messages those of all,
// and of the whole stream, if it is longer, those of all but SpamAssassin, which
// would need half an hour for it.
func (c *corpus) compare(ctx context.Context, out *bytes.Buffer, first int) error {
	items, err := eval.ReadIndex(c.index)
	if err != nil {
		return err
	}
	if err := c.write(items); err != nil {
		return err
	}
	if first > 0 && first < len(items) {
		part := *c
		part.dir = filepath.Join(c.dir, "first")
		part.spam, part.paths = c.spam[:first], c.paths[:first]
		if err := os.Mkdir(part.dir, 0o700); err != nil {
			return err
		}
		if err := part.fast(ctx, out, items[:first]); err != nil {
			return err
		}
		if err := part.slow(ctx, out); err != nil {
			return err
		}
		return c.fast(ctx, out, items)
	}
	if err := c.fast(ctx, out, items); err != nil {
		return err
	}
	return c.slow(ctx, out)
}

// fast writes the rows of ours and of bogofilter.
func (c *corpus) fast(ctx context.Context, out *bytes.Buffer, items []eval.Item) error {
	for _, learned := range []bool{false, true} {
		if err := c.ours(ctx, out, items, learned); err != nil {
			return err
		}
	}
	scores, cpu, err := c.bogofilter(ctx)
	if err != nil {
		return fmt.Errorf("bogofilter: %w", err)
	}
	c.row(out, "bogofilter", eval.Rank(c.spam, scores), cpu)
	return nil
}

// slow writes the rows of SpamAssassin.
func (c *corpus) slow(ctx context.Context, out *bytes.Buffer) error {
	total, bayes, cpu, err := c.spamassassin(ctx)
	if err != nil {
		return fmt.Errorf("spamassassin: %w", err)
	}
	c.row(out, "SpamAssassin, total of all local tests", eval.Rank(c.spam, total), cpu)
	c.row(out, "SpamAssassin, Bayes alone", eval.Rank(c.spam, bayes), 0)
	return nil
}

// write puts the masked messages where the other programs find them.
func (c *corpus) write(items []eval.Item) error {
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		return err
	}
	for i, it := range items {
		raw, _, err := eval.Read(it)
		if err != nil {
			return err
		}
		path := filepath.Join(c.dir, fmt.Sprint(i))
		if err := os.WriteFile(path, c.mask.Apply(raw), 0o600); err != nil {
			return err
		}
		c.paths, c.spam = append(c.paths, path), append(c.spam, it.Spam)
	}
	return nil
}

// ours replays the stream with the weights that were fitted without the corpus.
func (c *corpus) ours(ctx context.Context, out *bytes.Buffer, items []eval.Item, learned bool) error {
	o := eval.Options{Mask: c.mask, Learned: learned}
	var err error
	if o.Scan, _, err = eval.Config(eval.WeightsFor(c.index)); err != nil {
		return err
	}
	r, err := eval.Replay(ctx, items, o)
	if err != nil {
		return err
	}
	name, cpu := "Gatepost, total", time.Duration(float64(len(items))/r.PerCPUSecond*float64(time.Second))
	if learned {
		name, cpu = "Gatepost, learned alone", 0
	}
	c.row(out, name, r, cpu)
	return nil
}

// row writes a line of the table; cpu is of all messages, 0 where a program's
// other row has it.
func (c *corpus) row(out *bytes.Buffer, program string, r *eval.Result, cpu time.Duration) {
	each := "–"
	if cpu > 0 {
		each = fmt.Sprintf("%.2f", cpu.Seconds()*1000/float64(r.Messages))
	}
	line := fmt.Sprintf("| %s | %d | %s | %.4f | %.2f / %.2f | %s |\n", c.name, r.Messages, program, r.OneMinusAUC, r.Missed[1], r.Missed[3], each)
	out.WriteString(line)
	fmt.Fprint(os.Stderr, line)
}
