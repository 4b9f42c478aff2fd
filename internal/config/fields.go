package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
)

// fieldsOf returns the settings of a struct type by their yaml name. A field
// without a tag is no setting.
func fieldsOf(t reflect.Type) map[string]int {
	out := map[string]int{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			out[name] = i
		}
	}
	return out
}

// Keys returns every key that a file for v, a struct, may hold, sorted; list
// entries as "key[]", map entries as "key.*". The manual and the sample file
// are tested against it.
func Keys(v any) []string {
	var out []string
	keysOf("", reflect.TypeOf(v), &out)
	sort.Strings(out)
	return out
}

func keysOf(key string, t reflect.Type, out *[]string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	text := reflect.TypeFor[encoding.TextUnmarshaler]()
	switch {
	case reflect.PointerTo(t).Implements(text):
		*out = append(*out, key)
	case t.Kind() == reflect.Struct:
		for name, i := range fieldsOf(t) {
			keysOf(joinKey(key, name), t.Field(i).Type, out)
		}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct && !reflect.PointerTo(t.Elem()).Implements(text):
		keysOf(key+"[]", t.Elem(), out)
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		keysOf(key+".*", t.Elem(), out)
	default:
		*out = append(*out, key)
	}
}

// maxNested bounds the places of a name that are worth telling.
const maxNested = 2

// nestedIn returns the settings of the structs in a struct type by their name
// alone, with their keys. A name that is in many of them is left out.
func nestedIn(t reflect.Type) map[string][]string {
	out := map[string][]string{}
	for outer, i := range fieldsOf(t) {
		if in := t.Field(i).Type; in.Kind() == reflect.Struct {
			for name := range fieldsOf(in) {
				out[name] = append(out[name], outer+"."+name)
			}
		}
	}
	for name, at := range out {
		if len(at) > maxNested {
			delete(out, name)
		}
		slices.Sort(at)
	}
	return out
}

// suggest returns `, did you mean "x"?` for the known name nearest to name, or
// "" if none is near.
func suggest(name string, known map[string]int) string {
	best, bestAt := "", 1+len(name)/3
	for k := range known {
		if n := distance(name, k, bestAt); n < bestAt || n == bestAt && best != "" && k < best {
			best, bestAt = k, n
		} else if n == bestAt && best == "" {
			best = k
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// Suggest returns `, did you mean "x"?` for the name in known that is nearest
// to name, or "" if none is near.
func Suggest(name string, known []string) string {
	m := make(map[string]int, len(known))
	for i, k := range known {
		m[k] = i
	}
	return suggest(name, m)
}

// distance is the edit distance of a and b (insert, delete, change, swap of
// neighbours), or limit+1 if it is larger. Names longer than 64 bytes are far.
func distance(a, b string, limit int) int {
	if len(a) > 64 || len(b) > 64 {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit+1)
}
