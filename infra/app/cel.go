package app

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// expr is an expression in CEL, the language of admission policies.
type expr string

// shape is a map in CEL, written as a value: nested shapes and lists (of type []any), strings, numbers, booleans, and expressions. A key that begins with a
// question mark has an optional value, an expression, and is there when that has one.
type shape map[string]any

// is holds where a part of an object equals a value, which closes it: every field that the value does not name makes them differ.
func is(part expr, value any) expr { return expr(fmt.Sprintf("dyn(%s) == %s", part, literal(value))) }

// literal writes a value in CEL. A map or a list there has values of one type only, and dyn makes them so; an optional value whose type is not known crashes
// the library that compiles them (cel-go 0.26), and optMap makes it known.
func literal(value any) string {
	switch v := value.(type) {
	case expr:
		return string(v)
	case string:
		return strconv.Quote(v)
	case shape:
		var fields []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if name, optional := strings.CutPrefix(key, "?"); optional {
				fields = append(fields, "?"+strconv.Quote(name)+": "+literal(v[key])+".optMap(v, dyn(v))")
			} else {
				fields = append(fields, strconv.Quote(name)+": dyn("+literal(v[key])+")")
			}
		}
		return "{" + strings.Join(fields, ", ") + "}"
	case []any:
		var items []string
		for _, item := range v {
			items = append(items, "dyn("+literal(item)+")")
		}
		return "[" + strings.Join(items, ", ") + "]"
	default: // a number or a boolean
		return fmt.Sprint(v)
	}
}

// all joins conditions, each of which must hold.
func all(conditions ...expr) expr { return join(" && ", conditions) }

// either joins conditions, one of which must hold.
func either(conditions ...expr) expr { return join(" || ", conditions) }

func join(operator string, conditions []expr) expr {
	var parts []string
	for _, c := range conditions {
		parts = append(parts, "("+string(c)+")")
	}
	return expr(strings.Join(parts, operator))
}

// list writes strings as a list in CEL.
func list(items ...string) string {
	var quoted []string
	for _, item := range items {
		quoted = append(quoted, strconv.Quote(item))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
