// Package kubernetes is the simulated Kubernetes of a GKE cluster: it decodes objects as strictly as the API server, and checks what they refer to, in
// the cluster and in Google Cloud. The file kinds.go lists what it knows. It schedules by labels and taints, and runs nothing.
package kubernetes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	sigsjson "sigs.k8s.io/json"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/values"
)

// decodeObject reads an object with Kubernetes' own type. Unknown fields, wrong types and wrong spellings are errors.
func decodeObject(typ string, inputs values.Map) (any, error) {
	k, ok := kinds[typ]
	if !ok {
		return nil, unknownType(typ)
	}
	raw, err := json.Marshal(inputs)
	if err != nil {
		return nil, err
	}
	object := k.object()
	strict, err := sigsjson.UnmarshalStrict(bytes.TrimSpace(raw), object)
	if err != nil {
		return nil, err
	}
	return object, errors.Join(strict...)
}

func unknownType(typ string) error {
	return fmt.Errorf("the simulated Kubernetes does not know type %s: add it to rehearsal/kubernetes/kinds.go (docs/changing.md, How do I add a resource?)", typ)
}

// DecodeAs returns an object of the cloud as T, a pointer to Kubernetes' own type, such as *corev1.Secret. It returns nil for an object of another type.
func DecodeAs[T any](o *cloud.Object) T {
	decoded, err := decodeObject(o.Type, o.Inputs)
	typed, ok := decoded.(T)
	if err != nil || !ok { // err is nil here: what cannot be decoded is not created
		var zero T
		return zero
	}
	return typed
}
