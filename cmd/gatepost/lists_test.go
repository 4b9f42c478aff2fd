package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/dnstest"
	"github.com/gatepost/gatepost/internal/lists"
	"github.com/gatepost/gatepost/internal/lists/maps"
)

// TestListsCommand asks without a Gatepost that runs.
func TestListsCommand(t *testing.T) {
	zone := dnstest.NewZone()
	zone.MustAdd("2.0.0.127.zen.spamhaus.org. A 127.0.0.2\n8.8.8.8.zen.spamhaus.org. A 127.0.0.4\n2.0.0.127.bl.spamcop.net. A 127.255.255.254")
	srv, err := dnstest.Start("127.0.0.1:0", zone)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "gatepost.yaml")
	text := "runtime_directory: " + dir + "\ndata_directory: " + dir + "/data\nresolver:\n  servers: [\"" + srv.Addr() + "\"]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := func(Config) (lists.Config, maps.Config) {
		c := lists.Default()
		c.Lists = []lists.List{{Preset: "spamhaus-zen"}, {Preset: "spamcop"}}
		return c, maps.Config{{Name: "m", Kind: maps.Domain, File: filepath.Join(dir, "none")}}
	}
	for _, tc := range []struct {
		args string
		want []string
		err  bool
	}{
		{"", []string{"SPAMHAUS_ZEN  0      0       0       enforce  on\n", "SPAMCOP", "off, it does not serve us", "free for small and non-commercial use",
			"none  read map:"}, false},
		{"--json", []string{`"state": "on"`, `"state": "off"`, `"entries": 0`}, false},
		{"check 8.8.8.8", []string{"SPAMHAUS_ZEN: listed, 127.0.0.4 (8.8.8.8.zen.spamhaus.org)", "5.00 SPAMHAUS_ZEN_XBL: ", "SPAMCOP: not listed"}, false},
		{"check 9.9.9.9", []string{"SPAMHAUS_ZEN: not listed"}, true},
		{"check example.net", nil, true},
		{"presets", []string{"spamhaus-zen", "msbl-ebl", "key_file"}, false},
	} {
		a := &app{configPath: file}
		cmd := newLists(a, settings)
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(strings.Fields(tc.args))
		err := cmd.ExecuteContext(t.Context())
		if (err != nil) != tc.err {
			t.Errorf("lists %s: %v", tc.args, err)
		}
		for _, w := range tc.want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("lists %s prints\n%s\nwithout %q", tc.args, &out, w)
			}
		}
	}
}
