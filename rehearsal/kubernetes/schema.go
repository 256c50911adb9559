package kubernetes

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// Schema is what the provider of Kubernetes knows about the fields of its types.
type Schema struct{}

// Name refuses an object without a name: other objects, or people, refer to every object here, and a generated name is a new one each time.
func (Schema) Name(req plugin.CheckRequest, inputs resource.PropertyMap) error {
	if _, known := kinds[string(req.Type)]; !known {
		return unknownType(string(req.Type))
	}
	metadata := values.Plain(inputs["metadata"])
	if !metadata.IsObject() || !metadata.ObjectValue().HasValue("name") {
		return fmt.Errorf("%s %s: metadata.name is not set", req.Type, req.URN.Name())
	}
	return nil
}

// Check returns what the provider says about the inputs of an object before anything is created.
func (Schema) Check(typ string, inputs resource.PropertyMap) []plugin.CheckFailure {
	k, ok := kinds[typ]
	if !ok {
		return []plugin.CheckFailure{{Reason: unknownType(typ).Error()}}
	}
	var failures []plugin.CheckFailure
	for path, want := range map[resource.PropertyKey]string{"apiVersion": k.apiVersion, "kind": k.name} {
		if v, set := inputs[path]; set && values.Plain(v).StringValue() != want {
			failures = append(failures, plugin.CheckFailure{Property: path, Reason: "must be " + want})
		}
	}
	if inputs.ContainsUnknowns() {
		return failures // what is not known yet cannot be decoded; it is when the object is created
	}
	if _, err := decodeObject(typ, values.Of(inputs)); err != nil {
		failures = append(failures, plugin.CheckFailure{Reason: err.Error()})
	}
	return failures
}

// replacing are the paths, by type, whose change makes the provider replace the object, beside its name and namespace. They are the provider's own list, which
// leaves out some of those that the API server holds fixed.
// https://github.com/pulumi/pulumi-kubernetes/blob/v4.30.0/provider/pkg/provider/diff.go
var replacing = map[string][]string{
	types.Deployment:        {"spec.selector"},
	types.Secret:            {"type"},
	types.RoleBinding:       {"roleRef"},
	types.KubernetesService: {"spec.clusterIP"},
	types.ResourceQuota:     {"spec.scopes"},
}

// fixed are the paths, by type, that the API server does not let change, and for which the provider does not replace the object: it sends an update, which
// fails.
var fixed = map[string][]string{
	types.PriorityClass: {"value", "preemptionPolicy"},
	types.IngressClass:  {"spec.controller"},
}

// checkUpdate returns what the API server says about a change of an object.
func checkUpdate(r *cloud.Request) error {
	for _, path := range fixed[r.Type] {
		if before, after := r.Old.Inputs.At(path), r.Inputs.At(path); !reflect.DeepEqual(before, after) {
			return fmt.Errorf("%s: field is immutable (%v, and now %v), and the provider does not replace the object for it: give the object another name, "+
				"or ReplaceOnChanges", path, before, after)
		}
	}
	return nil
}

// Complete adds nothing: the API server's defaults do not show in the state.
func (Schema) Complete(_ string, inputs resource.PropertyMap) resource.PropertyMap {
	return inputs
}

// Diff compares what the program wants with what it wanted before, by paths.
func (Schema) Diff(req plugin.DiffRequest) map[string]plugin.PropertyDiff {
	found := map[string]plugin.PropertyDiff{}
	object := req.OldInputs.Diff(req.NewInputs)
	if object == nil {
		return found
	}
	for path, d := range plugin.NewDetailedDiffFromObjectDiff(object, true) {
		for _, replaced := range append([]string{"metadata.name", "metadata.namespace"}, replacing[string(req.Type)]...) {
			if path == replaced || strings.HasPrefix(path, replaced+".") || strings.HasPrefix(path, replaced+"[") {
				d = d.ToReplace()
			}
		}
		found[path] = d
	}
	maps.DeleteFunc(found, func(path string, _ plugin.PropertyDiff) bool { return slices.Contains(req.IgnoreChanges, path) })
	return found
}

// Planned is what the program sends.
func (Schema) Planned(_ string, inputs, _ resource.PropertyMap) resource.PropertyMap {
	return inputs
}

// State is what was sent. The values of a Secret are secret.
func (Schema) State(typ string, outputs values.Map) resource.PropertyMap {
	properties := resource.NewPropertyMapFromMap(outputs)
	if typ == types.Secret {
		for _, key := range []resource.PropertyKey{"data", "stringData"} {
			if value, ok := properties[key]; ok {
				properties[key] = resource.MakeSecret(value)
			}
		}
	}
	return properties
}

// CheckSettings returns what is wrong with the settings of the provider.
func CheckSettings(settings values.Map) []plugin.CheckFailure {
	var failures []plugin.CheckFailure
	if settings.Str("clusterIdentifier") == "" {
		failures = append(failures, plugin.CheckFailure{
			Property: "clusterIdentifier", Reason: "is not set: a changed kubeconfig would replace every object",
		})
	}
	if text := settings.Str("kubeconfig"); text != "" && !strings.Contains(text, "gke-gcloud-auth-plugin") {
		failures = append(failures, plugin.CheckFailure{Property: "kubeconfig", Reason: "does not authenticate by the exec plugin"})
	}
	return failures
}
