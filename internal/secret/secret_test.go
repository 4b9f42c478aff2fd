package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestValueNeverPrints(t *testing.T) {
	type outer struct {
		Pub  Value
		priv Value
		Ptr  *Value
	}
	v := String("wonderland")
	o := outer{Pub: v, priv: v, Ptr: &v}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", v)
		fmt.Fprintf(&out, verb+"\n", o)
		fmt.Fprintf(&out, verb+"\n", &o)
	}
	var buf bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&buf, nil))
	log.Info("x", "v", v, "o", o)
	slog.New(slog.NewTextHandler(&buf, nil)).Info("x", "v", v, "o", o)
	j, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	all := out.String() + buf.String() + string(j)
	for _, leak := range []string{"wonderland", fmt.Sprintf("%x", "wonderland"), "119 111"} {
		if strings.Contains(all, leak) {
			t.Errorf("printed output holds %q:\n%s", leak, all)
		}
	}
	if !v.Equal(String("wonderland")) || v.Equal(String("Wonderland")) || v.Equal(Value{}) {
		t.Error("Equal is wrong")
	}
}
