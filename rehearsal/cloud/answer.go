package cloud

import (
	"slices"
	"strings"

	"openhands-gcp/rehearsal/values"
)

// protoJSON are the APIs that speak the JSON of protocol buffers, without .googleapis.com. Their answers leave out what is zero, and the provider sends no
// block in which nothing is set: a program that writes one finds it missing at every preview. What compute, container, sqladmin and storage answer is their
// own.
// https://protobuf.dev/programming-guides/json/
var protoJSON = []string{"artifactregistry", "certificatemanager", "gkehub", "monitoring"}

// answered returns the outputs as an API answers with them.
func answered(api string, outputs values.Map) values.Map {
	if !slices.Contains(protoJSON, api) {
		return outputs
	}
	return withoutZeros(outputs, true)
}

// withoutZeros returns a copy without zero values and empty lists. Objects with nothing in them go only where the provider never sent them.
func withoutZeros(object map[string]any, emptyObjects bool) map[string]any {
	out := map[string]any{}
	for name, value := range object {
		switch v := value.(type) {
		case map[string]any:
			inner := withoutZeros(v, emptyObjects)
			if len(inner) == 0 && emptyObjects {
				continue
			}
			value = inner
		case []any:
			if len(v) == 0 {
				continue
			}
			items := make([]any, len(v)) // an item stays, whatever is in it
			for i, item := range v {
				items[i] = item
				if inner, ok := item.(map[string]any); ok {
					items[i] = withoutZeros(inner, emptyObjects)
				}
			}
			value = items
		case string:
			if v == "" || firstOfEnum(v) {
				continue
			}
		default:
			if v == nil || v == false || v == 0.0 {
				continue
			}
		}
		out[name] = value
	}
	return out
}

// firstOfEnum reports whether a text is the value 0 of an enumeration, which is its default.
func firstOfEnum(text string) bool {
	return text == "REDUCE_NONE" || text == "ALIGN_NONE" || strings.HasSuffix(text, "_UNSPECIFIED")
}
