package providers

import (
	"fmt"
	"strings"
	"sync"

	"openhands-gcp/rehearsal/state"
	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// generator is the backend of the random provider. It makes values that are easy to find in a state: see state.Marker.
type generator struct {
	mu      sync.Mutex            // protects made
	made    map[string]values.Map // by the URN of the resource: every password has the id "none"
	counter int
}

// suffix is the length up to which a generated string is not taken for a secret.
const suffix = 8

func (g *generator) Create(typ, urn string, inputs values.Map) (string, values.Map, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counter++
	length := int(inputs.Num("length"))
	result := fmt.Sprintf("%s%d-", state.Marker, g.counter)
	if typ == types.RandomString && length <= suffix {
		result = fmt.Sprintf("%0*d", length, g.counter) // the end of a name, and no secret
	} else if length < len(result) {
		return "", nil, fmt.Errorf("length: %d is too short for a rehearsal, at least %d are needed", length, len(result))
	}
	result += strings.Repeat("x", length-len(result))
	outputs := inputs.Clone()
	outputs["result"] = result
	id := "none"
	if typ == types.RandomString {
		id = result // the id is the value, in clear, so a program must not use this type for secrets
	} else {
		outputs["bcryptHash"] = state.Marker + "hash"
	}
	g.keep(urn, outputs)
	return id, outputs.Clone(), nil
}

// Put implements Backend.
func (g *generator) Put(_, urn, _ string, _, outputs values.Map) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keep(urn, outputs)
}

// keep notes what was made. The lock is held.
func (g *generator) keep(urn string, outputs values.Map) {
	if g.made == nil {
		g.made = map[string]values.Map{}
	}
	g.made[urn] = outputs
}

func (g *generator) Read(_, urn, _ string) (inputs, outputs values.Map) {
	g.mu.Lock()
	defer g.mu.Unlock()
	made, ok := g.made[urn]
	if !ok {
		return nil, nil
	}
	return made.Clone(), made.Clone()
}

func (g *generator) Update(typ, urn, id string, inputs values.Map) (values.Map, error) {
	_, outputs := g.Read(typ, urn, id)
	for name, value := range inputs {
		outputs[name] = value
	}
	return outputs, nil
}

func (g *generator) Delete(_, urn, _ string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.made, urn)
	return nil
}

func (g *generator) Invoke(token string, _ values.Map) (values.Map, error) {
	return nil, fmt.Errorf("the simulated provider random has no function %s", token)
}
