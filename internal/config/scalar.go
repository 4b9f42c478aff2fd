package config

import (
	"encoding"
	"reflect"
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

// scalar decodes a single value into v: a TextUnmarshaler, string, bool,
// integer or float.
func (d *decoder) scalar(key string, n ast.Node, v reflect.Value) {
	text, quoted, ok := scalarText(n)
	if !ok {
		d.fault(key, n, "a single value is expected here")
		return
	}
	if u, is := v.Addr().Interface().(encoding.TextUnmarshaler); is {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			d.fault(key, n, "%v", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil || quoted || text != "true" && text != "false" {
			d.fault(key, n, "%q is not true or false", text)
			return
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64, reflect.Int32:
		i, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil || quoted {
			d.fault(key, n, "%q is not a whole number", text)
			return
		}
		v.SetInt(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || quoted || f != f || f > 1e12 || f < -1e12 {
			d.fault(key, n, "%q is not a number", text)
			return
		}
		v.SetFloat(f)
	default:
		panic("config: no decoder for " + v.Type().String()) // a setting of a new kind
	}
}

// scalarText returns the text of a scalar as it was typed, and whether it was
// in quotes.
func scalarText(n ast.Node) (text string, quoted, ok bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, s.Token.Indicator != 0 && s.Token.Value != s.Token.Origin, true
	case *ast.LiteralNode:
		return s.Value.Value, true, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, false, true
	}
	return "", false, false
}
