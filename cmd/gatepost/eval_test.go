package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// evalCorpus writes an index as TREC does, in full/index, with its messages in
// data, and the same messages as two folders.
func evalCorpus(t *testing.T) (dir, index string) {
	dir = t.TempDir()
	var lines strings.Builder
	for i := range 40 {
		label, text := "ham", fmt.Sprintf("From: a@office.example\nX-Spam: no\nSubject: minutes %d\n\nThe minutes of meeting %d.\n", i, i)
		if i%2 == 0 {
			label, text = "spam", fmt.Sprintf("From: b@shop.example\nX-Spam: yes\nSubject: cheap %d\n\nPills at http://p%d.example/\n", i, i)
		}
		fmt.Fprintf(&lines, "%s ../data/inmail.%d\n", label, i)
		for _, path := range []string{filepath.Join("data", fmt.Sprint("inmail.", i)), filepath.Join(label, "cur", fmt.Sprint(i))} {
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	index = filepath.Join(dir, "full", "index")
	if err := os.Mkdir(filepath.Dir(index), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(index, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mask"), []byte("X-Spam*\n# second pass\nSubject\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, index
}

func TestEval(t *testing.T) {
	dir, index := evalCorpus(t)
	astray := filepath.Join(dir, "astray")
	if err := os.WriteFile(astray, []byte("spam no/such/file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		args  []string
		wrong string // the error; "" for none
	}{
		{"index", []string{"--index", index}, ""},
		{"folders", []string{"--spam", dir + "/spam", "--ham", dir + "/ham"}, ""},
		{"mask", []string{"--index", index, "--mask", dir + "/mask"}, ""},
		{"both groups", []string{"--index", index, "--mask-all", dir + "/mask", "--feedback", "errors"}, ""},
		{"cold", []string{"--index", index, "--cold"}, ""},
		{"learned", []string{"--index", index, "--score", "learned", "--feedback", "delayed=3", "--weights", "shipped"}, ""},
		{"nothing", nil, "give either --index or both --spam and --ham"},
		{"one folder", []string{"--spam", dir + "/spam"}, "give either"},
		{"both", []string{"--index", index, "--spam", dir, "--ham", dir}, "give either"},
		{"feedback", []string{"--index", index, "--feedback", "some"}, `--feedback: "some" is neither full nor errors`},
		{"score", []string{"--index", index, "--score", "rules"}, `--score: "rules" is neither`},
		{"weights", []string{"--index", index, "--weights", "mine"}, `--weights: "mine" is no set of weights`},
		{"cold and learned", []string{"--index", index, "--cold", "--score", "learned"}, "--cold learns nothing"},
		{"no index", []string{"--index", dir + "/none"}, "no such file"},
		{"a folder as index", []string{"--index", dir + "/spam"}, "is a directory, and no index"},
		{"a path that leads nowhere", []string{"--index", astray}, "message 1 of 1: "},
		{"no messages", []string{"--spam", dir + "/full/none", "--ham", dir + "/ham"}, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := newEval()
			cmd.SilenceErrors, cmd.SilenceUsage = true, true
			var out bytes.Buffer
			cmd.SetOut(&out)
			cmd.SetArgs(append(tt.args, "--json"))
			err := cmd.ExecuteContext(t.Context())
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("eval: %v, want %s", err, tt.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got struct{ Messages, Ham, Spam int }
			if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Messages != 40 || got.Ham != 20 || got.Spam != 20 {
				t.Errorf("%+v, %v in %s", got, err, out.String())
			}
		})
	}
}
