package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/gatepost/gatepost/internal/backup"
)

// textSetting is a text, or a list of texts, in a configuration.
type textSetting struct {
	key    string
	values []string
}

// textSettings lists all texts of a configuration by their keys, so that a setting
// of tomorrow is not forgotten here.
func textSettings(cfg Config) (all []textSetting) {
	var walk func(key string, v reflect.Value)
	walk = func(key string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			if !v.IsNil() {
				walk(key, v.Elem())
			}
		case reflect.String:
			if v.Len() > 0 {
				all = append(all, textSetting{key, []string{v.String()}})
			}
		case reflect.Slice:
			if v.Type().Elem().Kind() == reflect.String && v.Len() > 0 {
				s := textSetting{key: key}
				for i := range v.Len() {
					s.values = append(s.values, v.Index(i).String())
				}
				all = append(all, s)
				return
			}
			for i := range v.Len() {
				walk(key, v.Index(i))
			}
		case reflect.Map:
			for m := v.MapRange(); m.Next(); {
				walk(key, m.Value())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
				if name != "" && name != "-" && v.Type().Field(i).IsExported() {
					walk(strings.TrimPrefix(key+"."+name, "."), v.Field(i))
				}
			}
		}
	}
	walk("", reflect.ValueOf(cfg))
	return all
}

// What a backup does with the files that a setting names.
type treatment int

const (
	// noFile is another kind of setting, or a file of another program.
	noFile treatment = iota
	// aFile is copied, aScript is one in whose name %d may stand, and aDirectory
	// is copied whole.
	aFile
	aScript
	aDirectory
	// aCertificate is made anew by whoever issued it, and the fewer copies of its
	// key there are the better.
	aCertificate
)

// treat says what to do with the files of a setting.
func treat(key string) treatment {
	section, _, _ := strings.Cut(key, ".")
	name := strings.ToLower(key[strings.LastIndexByte(key, '.')+1:])
	switch {
	case section == "watch_logs": // the logs of other programs
		return noFile
	case strings.HasPrefix(name, "ssl_"), strings.HasPrefix(name, "tls_"):
		return aCertificate
	case key == "sieve.before", key == "sieve.after", key == "sieve.default":
		return aScript
	case key == "sieve.global_directory":
		return aDirectory
	case name == "file", strings.HasSuffix(name, "_file"), strings.HasSuffix(name, "_files"):
		return aFile
	}
	return noFile
}

// collector takes files into a backup.
type collector interface {
	AddFile(ctx context.Context, target string, isConfig bool) error
	LeaveOut(why string)
}

// addFiles takes the configuration and the files that it names. One that can not
// be read is told of: whoever reads it in an emergency must know.
func addFiles(ctx context.Context, b collector, configPath string, cfg Config) error {
	if err := b.AddFile(ctx, configPath, true); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	for _, s := range textSettings(cfg) {
		how := treat(s.key)
		for _, path := range s.values {
			if how == noFile || !filepath.IsAbs(path) {
				continue
			}
			path = filepath.Clean(path)
			if strings.HasPrefix(path, cfg.DataDirectory+"/") { // it is there
				continue
			}
			if how == aCertificate {
				b.LeaveOut(fmt.Sprintf("%s: %s: whoever issues certificates keeps them", s.key, path))
				continue
			}
			if err := addNamed(ctx, b, how, path); err != nil {
				b.LeaveOut(fmt.Sprintf("%s: %v", s.key, err))
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxScripts bounds the files that one setting names.
const maxScripts = 10_000

func addNamed(ctx context.Context, b collector, how treatment, path string) error {
	var all []string
	var err error
	switch how {
	case aScript:
		all, err = filepath.Glob(strings.ReplaceAll(path, "%d", "*"))
		if err == nil && len(all) == 0 && !strings.Contains(path, "%d") {
			_, err = os.Stat(path)
		}
	case aDirectory:
		err = filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() && len(all) < maxScripts {
				all = append(all, p)
			}
			return err
		})
	default:
		all = []string{path}
	}
	if err != nil {
		return err
	}
	for _, p := range all {
		if err := b.AddFile(ctx, p, false); err != nil {
			return err
		}
	}
	return nil
}

// elsewhere tells what other servers keep.
func elsewhere(cfg Config) (out []backup.Elsewhere) {
	for _, s := range textSettings(cfg) {
		switch s.key {
		case "mysql.hosts":
			out = append(out, backup.Elsewhere{What: "accounts, on MySQL or MariaDB (" + strings.Join(s.values, ", ") + ")",
				How: "mariadb-dump, or gatepost account export > accounts.jsonl"})
		case "redis.addresses":
			out = append(out, backup.Elsewhere{What: "limits, bans, greylist and the learn stream, on Redis (" + strings.Join(s.values, ", ") + ")",
				How: "Redis's own snapshot (redis-cli --rdb FILE); Gatepost goes on without it, but forgets who is banned"})
		}
	}
	return out
}
