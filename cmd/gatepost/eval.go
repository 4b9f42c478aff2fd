package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gatepost/gatepost/internal/eval"
)

// evalFlags are the options of eval.
type evalFlags struct {
	index, spam, ham         string
	mask, maskAll            string
	cold                     bool
	feedback, score, weights string
}

func newEval() *cobra.Command {
	var f evalFlags
	cmd := &cobra.Command{
		Use: "eval --index FILE | --spam DIR --ham DIR", Short: "How well the filter tells spam from ham, measured on labelled mail",
		Long: `How well the filter tells spam from ham, measured on labelled mail.

The messages are replayed in the order of the index: each is scored with what
was learned from those before it, then its label is told. Neither the
configuration nor what this server has learned takes part, and no network is
asked. Folders are replayed in the order in which their messages arrived.

An index has "label<TAB>path" lines below a head line that names the columns
(with a column epoch, the time of arrival), or "spam|ham path" lines as TREC
writes them. Paths are relative to the index.`,
		Example: "  gatepost eval --index corpus/index.tsv --mask mask-headers.txt\n" +
			"  gatepost eval --spam ~/Maildir/.Junk --ham ~/Maildir/.Archive --feedback errors\n" +
			"  gatepost eval --index trec07p/full/index --cold --json",
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&f.index, "index", "", "file that labels the messages")
	cmd.Flags().StringVar(&f.spam, "spam", "", "Maildir folder of spam")
	cmd.Flags().StringVar(&f.ham, "ham", "", "Maildir folder of ham")
	cmd.Flags().StringVar(&f.mask, "mask", "", "file of header fields to delete, down to its line \"# second pass\"")
	cmd.Flags().StringVar(&f.maskAll, "mask-all", "", "file of header fields to delete, all of it")
	cmd.Flags().BoolVar(&f.cold, "cold", false, "learn nothing: the rules alone")
	cmd.Flags().StringVar(&f.feedback, "feedback", "full", "which labels are told: full, errors (of wrong verdicts only) or delayed=N")
	cmd.Flags().StringVar(&f.score, "score", "total", "what the messages are ranked by: total or learned")
	cmd.Flags().StringVar(&f.weights, "weights", "", "rule weights: shipped, without-old or without-modern; by the name of the corpus if absent")
	cmd.MarkFlagsMutuallyExclusive("mask", "mask-all")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		items, o, err := f.read()
		if err != nil {
			return err
		}
		res, err := replay(cmd.Context(), items, o)
		if errors.Is(err, fs.ErrNotExist) && f.index != "" {
			return hint(err, "paths in %s are relative to its directory", f.index)
		}
		if err != nil {
			return err
		}
		res.Feedback, res.Score, res.Cold = o.Feedback.String(), f.score, f.cold
		res.Weights = f.weights
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), res)
		}
		return res.Format(cmd.OutOrStdout())
	}
	return cmd
}

// read reads what the options name. Afterwards f.weights is the set that is
// used.
func (f *evalFlags) read() ([]eval.Item, eval.Options, error) {
	o := eval.Options{Cold: f.cold, Learned: f.score == "learned"}
	var err error
	if o.Feedback, err = eval.ParseFeedback(f.feedback); err != nil {
		return nil, o, &misuse{fmt.Errorf("--feedback: %w", err)}
	}
	switch {
	case f.score != "total" && f.score != "learned":
		return nil, o, &misuse{fmt.Errorf("--score: %q is neither total nor learned", f.score)}
	case f.cold && o.Learned:
		return nil, o, &misuse{errors.New("--cold learns nothing: there is no --score learned with it")}
	case (f.index != "") == (f.spam != "" || f.ham != "") || (f.spam == "") != (f.ham == ""):
		return nil, o, &misuse{errors.New("give either --index or both --spam and --ham")}
	}
	corpus := f.index
	if corpus == "" {
		corpus = f.spam
	}
	if f.weights == "" {
		f.weights = eval.WeightsFor(corpus)
	}
	if o.Scan, f.weights, err = eval.Config(f.weights); err != nil {
		return nil, o, &misuse{fmt.Errorf("--weights: %w", err)}
	}
	if f.mask != "" || f.maskAll != "" {
		if o.Mask, err = eval.ReadMask(f.mask+f.maskAll, f.maskAll != ""); err != nil {
			return nil, o, err
		}
	}
	items, err := f.items()
	return items, o, err
}

func (f *evalFlags) items() ([]eval.Item, error) {
	items, err := eval.ReadIndex(f.index)
	if f.index == "" {
		items, err = eval.ReadFolders(f.spam, f.ham)
	}
	if errors.Is(err, syscall.EISDIR) {
		return nil, hint(fmt.Errorf("%s is a directory, and no index", filepath.Clean(f.index)), "gatepost eval --spam DIR --ham DIR measures folders")
	}
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("%s has no messages", filepath.Clean(f.index+f.spam))
	}
	return items, nil
}

// replay runs o with a progress bar, where somebody watches.
func replay(ctx context.Context, items []eval.Item, o eval.Options) (*eval.Result, error) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return eval.Replay(ctx, items, o)
	}
	bar := progressbar.NewOptions(len(items), progressbar.OptionSetWriter(os.Stderr), progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionShowCount())
	o.Progress = func(done int) { _ = bar.Set(done) } // a bar that cannot be drawn is no reason to stop
	return eval.Replay(ctx, items, o)
}
