package main

import (
	"fmt"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/gatepost/gatepost/internal/eval"
	"github.com/gatepost/gatepost/internal/fit"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/scan"
)

// corpus is a corpus with what its messages hit.
type corpus struct {
	name, group string
	messages    []fit.Example
}

// read looks at every message of all corpora.
func read(dir, maskFile string) ([]corpus, error) {
	mask, err := eval.ReadMask(maskFile, false)
	if err != nil {
		return nil, err
	}
	number := map[string]int{}
	for i, r := range scan.Rules() {
		number[r.Name] = i
	}
	var out []corpus
	for _, g := range groups {
		for _, name := range g.corpora {
			items, err := eval.ReadIndex(filepath.Join(dir, name, "index.tsv"))
			if err != nil {
				return nil, err
			}
			c := corpus{name: name, group: g.name, messages: make([]fit.Example, len(items))}
			if err := c.look(items, mask, number); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// look fills in what items hit, on all processors.
func (c *corpus) look(items []eval.Item, mask eval.Mask, number map[string]int) error {
	var wg sync.WaitGroup
	n := runtime.GOMAXPROCS(0)
	errs := make([]error, n)
	for w := range n {
		wg.Go(func() {
			for i := w; i < len(items) && errs[w] == nil; i += n {
				c.messages[i], errs[w] = hits(items[i], mask, number)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func hits(it eval.Item, mask eval.Mask, number map[string]int) (fit.Example, error) {
	raw, arrived, err := eval.Read(it)
	if err != nil {
		return fit.Example{}, err
	}
	m := scan.Message{Raw: rawmsg.Scan(mask.Apply(raw), rawmsg.Default())}
	e := fit.Example{Spam: it.Spam}
	for _, h := range scan.Hits(m, arrived) {
		e.Hits = append(e.Hits, fit.Hit{Rule: number[h.Rule], Share: h.Share})
	}
	return e, nil
}
