package stack_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
)

// schema is a part of what the API server says of its objects, in OpenAPI.
type schema struct {
	Ref        string             `json:"$ref"`
	AllOf      []*schema          `json:"allOf"`
	OneOf      []*schema          `json:"oneOf"`
	Type       string             `json:"type"`
	Format     string             `json:"format"`
	Enum       []any              `json:"enum"`
	Required   []string           `json:"required"`
	Properties map[string]*schema `json:"properties"`
	Items      *schema            `json:"items"`
	Values     *schema            `json:"additionalProperties"`
}

// generator changes objects, one field at a time: every field that the API server knows.
type generator struct{ schemas map[string]*schema }

func newGenerator(t *testing.T, admin kubernetes.Interface, path string) *generator {
	t.Helper()
	raw, err := admin.Discovery().RESTClient().Get().AbsPath("/openapi/v3/" + path).Do(t.Context()).Raw()
	require.NoError(t, err)
	var document struct {
		Components struct{ Schemas map[string]*schema }
	}
	require.NoError(t, json.Unmarshal(raw, &document))
	require.NotEmpty(t, document.Components.Schemas)
	return &generator{document.Components.Schemas}
}

// changedObject is an object that differs from another in one field.
type changedObject struct {
	field  string // as in spec.containers[0].tty
	change string // set, changed, left out, added
	object map[string]any
}

// change returns an object in all ways that differ from it in one field of its metadata or its specification. The status is the API server's.
func (g *generator) change(object map[string]any, name string) []changedObject {
	var out []changedObject
	for _, part := range []string{"metadata", "spec"} {
		for _, v := range g.changes(part, g.resolve(g.schemas[name]).Properties[part], object[part]) {
			whole := maps.Clone(object)
			whole[part] = v.value
			out = append(out, changedObject{v.field, v.change, runtime.DeepCopyJSON(whole)})
		}
	}
	return out
}

// changedValue is the value of the part that was changed, whose one field differs.
type changedValue struct {
	field, change string
	value         any
}

// changes are the ways in which a value that is there may differ.
func (g *generator) changes(field string, s *schema, value any) (out []changedValue) {
	s = g.resolve(s)
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			child := s.Properties[key]
			if child == nil {
				child = s.Values
			}
			less := maps.Clone(value)
			delete(less, key)
			out = append(out, changedValue{field + "." + key, "left out", less})
			for _, v := range g.changes(field+"."+key, child, value[key]) {
				out = append(out, changedValue{v.field, v.change, with(value, key, v.value)})
			}
		}
		for _, key := range slices.Sorted(maps.Keys(s.Properties)) {
			if _, there := value[key]; there {
				continue
			}
			for _, v := range g.samples(key, s.Properties[key], depth) {
				out = append(out, changedValue{field + "." + key, "set to " + written(v), with(value, key, v)})
			}
		}
		if s.Values != nil {
			for _, v := range g.samples("", s.Values, depth) {
				out = append(out, changedValue{field + "." + foreign, "set to " + written(v), with(value, foreign, v)})
			}
		}
	case []any:
		for i, item := range value {
			at := fmt.Sprintf("%s[%d]", field, i)
			out = append(out, changedValue{at, "left out", slices.Delete(slices.Clone(value), i, i+1)})
			for _, v := range g.changes(at, s.Items, item) {
				items := slices.Clone(value)
				items[i] = v.value
				out = append(out, changedValue{v.field, v.change, items})
			}
		}
		for _, v := range g.samples(last(field), s.Items, depth) {
			out = append(out, changedValue{field + "[]", "added " + written(v), append(slices.Clone(value), v)})
		}
	default:
		for _, v := range g.others(last(field), s, value) {
			out = append(out, changedValue{field, "changed to " + written(v), v})
		}
	}
	return out
}

// others are values in place of one that is no list and no map.
func (g *generator) others(name string, s *schema, value any) []any {
	out := g.samples(name, s, depth)
	switch value := value.(type) {
	case string:
		if len(s.Enum) == 0 {
			out = append(out, value+"x", value+"-2")
		}
		if s.isQuantity() {
			out = append(out, "3", "1Ti")
		}
	case int64:
		out = append(out, value+1)
	case bool:
		out = append(out, !value)
	}
	return slices.DeleteFunc(out, func(other any) bool { return reflect.DeepEqual(other, value) })
}

const (
	// depth is how far below a field that is not set other fields are tried one by one. Further down are those only that must be there.
	depth = 3
	// foreign is a name that nothing gives a meaning to, of a label or a finalizer too.
	foreign = "example.org/x"
)

// plausible are values of fields by their name, where the type alone says too little to be let in.
var plausible = map[string]any{
	"clusterIP": "34.118.239.250", "clusterIPs": "34.118.239.250", "externalIPs": "10.64.0.3", "ip": "10.64.0.3", "podIP": "10.64.0.3",
	"loadBalancerIP": "10.64.0.3", "loadBalancerSourceRanges": "10.0.0.0/8", "nameservers": "10.64.0.3", "ipFamilies": "IPv6", "finalizers": foreign,
	"apiVersion": "v1", "kind": "PersistentVolumeClaim", "apiGroup": "example.org", "conditionType": foreign, "topologyKey": "kubernetes.io/hostname",
	"path": "/x", "mountPath": "/x", "devicePath": "/x", "accessModes": "ReadWriteMany", "operator": "Exists", "schedulerName": "x",
	"trafficDistribution": "PreferClose", "ingressClassName": "gce", "storageClassName": "premium-rwo", "loadBalancerClass": foreign, "nodePort": int64(30123),
	"maxSkew": int64(1), "whenUnsatisfiable": "ScheduleAnyway", "weight": int64(1), "procMount": "Unmasked", "timeoutSeconds": int64(60),
	"host":  "x.example.org",
	"hosts": "x.example.org", "stopSignal": "SIGUSR1", "resourceVersion": "1",
}

// samples are values of a field that is not set: the first has what must be there, and each of the others one field more. Deeper than the depth there is one.
func (g *generator) samples(name string, s *schema, depth int) []any {
	s = g.resolve(s)
	if value, known := plausible[name]; known && s.Type != "array" && s.Type != "object" {
		return []any{value}
	}
	switch {
	case len(s.Enum) > 0:
		return s.Enum
	case s.Format == "int-or-string":
		return []any{int64(1)}
	case s.isQuantity():
		return []any{"1"}
	case s.Format == "date-time":
		return []any{"2020-01-01T00:00:00Z"}
	case s.Type == "string":
		return []any{"x"}
	case s.Type == "integer", s.Type == "number":
		return []any{int64(1)}
	case s.Type == "boolean":
		return []any{true, false}
	case s.Type == "array":
		var out []any
		for _, item := range g.samples(name, s.Items, depth) {
			out = append(out, []any{item})
		}
		return out
	case s.Values != nil:
		var out []any
		for _, value := range g.samples("", s.Values, depth) {
			out = append(out, map[string]any{foreign: value})
		}
		return out
	default:
		least := map[string]any{}
		for _, key := range s.Required {
			least[key] = g.samples(key, s.Properties[key], 0)[0]
		}
		out := []any{least}
		if depth == 0 {
			return out
		}
		for _, key := range slices.Sorted(maps.Keys(s.Properties)) {
			for _, value := range g.samples(key, s.Properties[key], depth-1) {
				if !reflect.DeepEqual(least[key], value) {
					out = append(out, with(least, key, value))
				}
			}
		}
		return out
	}
}

// resolve follows references.
func (g *generator) resolve(s *schema) *schema {
	for {
		switch {
		case s.Ref != "":
			s = g.schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
		case len(s.AllOf) > 0:
			s = s.AllOf[0]
		default:
			return s
		}
	}
}

// isQuantity reports whether a schema is that of a quantity, a string or a number.
func (s *schema) isQuantity() bool { return s.Format == "" && len(s.OneOf) > 1 }

func with(object map[string]any, key string, value any) map[string]any {
	out := maps.Clone(object)
	out[key] = value
	return out
}

// last is the name of a field, of a list too.
func last(field string) string {
	field = field[strings.LastIndex(field, ".")+1:]
	name, _, _ := strings.Cut(field, "[")
	return name
}

func written(value any) string {
	raw, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}
