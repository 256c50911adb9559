package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"openhands-gcp/rehearsal/checks"
	"openhands-gcp/rehearsal/providers"
	"openhands-gcp/rehearsal/types"
)

// TestWhatWouldBreakAnInstance makes one mistake at a time in what an instance is made of, and looks for what the rehearsal says of it.
func TestWhatWouldBreakAnInstance(t *testing.T) {
	const container, policy = "spec.template.spec.containers[0].", "NetworkPolicy"
	for _, c := range []struct {
		mistake, resource, name string
		spoil                   func(resource.PropertyMap)
		says                    string
	}{
		{"no gVisor", "StatefulSet", "openhands-alice", removeInput("spec.template.spec.runtimeClassName"), "does not run in gVisor"},
		{
			"on nodes without it", "StatefulSet", "openhands-alice", setInput(`spec.template.spec.nodeSelector["openhands.dev/pool"]`, "app"),
			"does not run in gVisor",
		},
		{"a token", "StatefulSet", "openhands-alice", setInput("spec.template.spec.automountServiceAccountToken", true), "has a token of Kubernetes"},
		{"two pods", "StatefulSet", "openhands-alice", setInput("spec.replicas", 2), "which write to the same files"},
		{"killed early", "StatefulSet", "openhands-alice", setInput("spec.template.spec.terminationGracePeriodSeconds", 30), "is killed in less than 60 s"},
		{"no limit", "StatefulSet", "openhands-alice", removeInput(container + "resources.limits.memory"), "has no limit"},
		{"nobody asks whether it is well", "StatefulSet", "openhands-alice", removeInput(container + "livenessProbe"), "lacks a probe"},
		{"latest", "StatefulSet", "openhands-alice", setInput(container+"image", "ghcr.io/openhands/agent-canvas:latest"), "may be another one tomorrow"},
		{
			"home on the root file system", "StatefulSet", "openhands-alice", setInput(container+"volumeMounts[1].mountPath", "/elsewhere"),
			`cannot write to "/home/openhands"`,
		},
		{
			"a workspace that goes with the pod", "StatefulSet", "openhands-alice", setInput(container+"volumeMounts[3].name", "home"),
			"loses /home/openhands/workspace",
		},
		{"worktrees in /tmp", "StatefulSet", "openhands-alice", variable("OH_CONVERSATION_WORKTREE_ROOT", "/tmp/worktrees"), "loses the work in /tmp/worktrees"},
		{
			"a neighbour's volume", "PersistentVolumeClaimPatch", "openhands-platform", func(inputs resource.PropertyMap) {
				setInput("metadata.name", "alice")(inputs)
				setInput("spec.resources.requests.storage", "20Gi")(inputs)
			}, "have the same volume alice",
		},
		{
			"no key", "StatefulSet", "openhands-alice", removeInput(container + "envFrom"), "has secrets of [], and must have its own",
		},
		{"another secret", "Secret", "openhands-alice", secrets(map[string]any{"LOCAL_BACKEND_API_KEY": "x", "TOKEN": "y"}), "and its agent reads them"},
		{"another level", "Namespace", "openhands-openhands-instances", setInput(
			`metadata.labels["pod-security.kubernetes.io/enforce"]`, "baseline"), "does not enforce the level restricted"},
		{"open to everything", policy, "openhands-instances", removeInput("spec.ingress[0].from"), "everything may call instance"},
		{
			"open to neighbours", policy, "openhands-instances",
			setInput(`spec.ingress[0].from[0].podSelector.matchLabels["app.kubernetes.io/component"]`, "instance"), "others than the door may call",
		},
		{"open to a network", policy, "openhands-instances", setInput("spec.ingress[0].from[0]", map[string]any{
			"ipBlock": map[string]any{"cidr": "10.0.0.0/8"}}), "others than the door may call"},
		{"the editor's port", policy, "openhands-instances", setInput("spec.ingress[0].ports[0].port", 8001), "at other ports than 8000"},
		{"metadata", policy, "openhands-instances", removeInput("spec.egress[1].to[0].ipBlock.except"), "may call 169.254.169.254"},
		{"nothing denied", policy, "openhands-instance-deny-all", setInput("spec.egress", []any{map[string]any{}}), "no policy that denies everything"},
		{"the wrong instance behind a host", "ConfigMap", "openhands-door", doorFile(
			"public.json", `"cluster": "alice"`, `"cluster": "platform"`), "the door leads alice.openhands.example.com to instance platform"},
		{"a wrong address", "ConfigMap", "openhands-door", doorFile("clusters.json", "alice.openhands-instances", "platform.openhands-instances"),
			`the door finds instance alice at "platform.openhands-instances.svc.cluster.local"`},
		{"another's key at the door", "ConfigMap", "openhands-door", doorFile("public.json", "/keys/alice", "/keys/platform"),
			"the door has not the key of instance alice"},
		{"no key at the door", "Secret", "openhands-keys", secrets(map[string]any{"platform": "x"}), "the door has not the key of instance alice"},
		{"a Service to another", "Service", "openhands-alice", setInput(`spec.selector["openhands.dev/instance"]`, "platform"), "does not lead to instance alice"},
		{"a Service to all", "Service", "openhands-alice", removeInput(`spec.selector["openhands.dev/instance"]`), "leads to instance platform too"},
		{"a clean-up of another namespace", "CronJob", "openhands-cleanup", setInput(
			"spec.jobTemplate.spec.template.spec.containers[0].env[0].value", "default"), "the clean-up looks at namespace"},
		{"a clean-up that may do more", "Role", "openhands-cleanup", setInput("rules[1].verbs", []any{"delete", "get"}), "the clean-up may do"},

		// What the API server refuses.
		{"a class of volumes that is none", "PersistentVolumeClaimPatch", "openhands-alice", setInput("spec.storageClassName", "fast"), "there is no class"},
		{"a selector of others", "StatefulSet", "openhands-alice", setInput("spec.selector.matchLabels.app", "x"), "does not match the labels"},
		{"no such claim", "StatefulSet", "openhands-alice", setInput(
			"spec.template.spec.volumes[2].persistentVolumeClaim.claimName", "other"), "does not exist"},
	} {
		t.Run(c.mistake, func(t *testing.T) {
			mocks, err := spoiledIn(t, "team", stackFile(t, "team"), c.resource, c.name, c.spoil)
			said := strings.Join(checks.Application(mocks.Cloud.Inventory(), false), "\n")
			if err != nil {
				said = err.Error()
			}
			assert.Contains(t, said, c.says)
		})
	}
}

// secrets are what is in a Secret.
func secrets(values map[string]any) func(resource.PropertyMap) {
	return func(inputs resource.PropertyMap) { inputs["stringData"] = resource.NewPropertyValue(values) }
}

// variable gives a variable of the first container another value.
func variable(name, value string) func(resource.PropertyMap) {
	return func(inputs resource.PropertyMap) {
		at, err := resource.ParsePropertyPath("spec.template.spec.containers[0].env")
		if err != nil {
			panic(err)
		}
		list, _ := at.Get(resource.NewProperty(inputs))
		for _, v := range list.ArrayValue() {
			if v.ObjectValue()["name"].StringValue() == name {
				v.ObjectValue()["value"] = resource.NewProperty(value)
			}
		}
	}
}

// people is the configuration of some instances.
func people(names ...string) map[string]any {
	var instances []any
	for _, name := range names {
		instances = append(instances, map[string]any{"name": name, "members": []any{"user:" + name + "@example.com"}})
	}
	return map[string]any{"openhands:instances": instances}
}

// TestAnInstanceTouchesOnlyItsOwn adds instances, takes one away and renames one: of what others have, nothing changes but what the door knows.
func TestAnInstanceTouchesOnlyItsOwn(t *testing.T) {
	registered := func(names ...string) map[string]string {
		mocks, err := deployed(t, "team", nested(t, stackFile(t, "team"), people(names...)), nil)
		require.NoError(t, err)
		return byName(mocks)
	}
	door := []string{"ConfigMap openhands-door", "Secret openhands-keys"}
	own := func(instance string) []string {
		return []string{
			"PersistentVolumeClaimPatch openhands-" + instance, "RandomPassword openhands-" + instance + "-key", "Secret openhands-" + instance,
			"Service openhands-" + instance, "StatefulSet openhands-" + instance,
			fmt.Sprintf("WebIamMember openhands-login-%s.openhands.example.com-user:%[1]s@example.com", instance),
		}
	}
	before := registered("alice", "bob")
	for change, c := range map[string]struct {
		names []string
		own   []string
	}{
		"one more":      {[]string{"alice", "bob", "carol"}, own("carol")},
		"first":         {[]string{"aaron", "alice", "bob"}, own("aaron")},
		"one less":      {[]string{"bob"}, own("alice")},
		"another order": {[]string{"bob", "alice"}, nil},
		"renamed":       {[]string{"alice", "robert"}, append(own("bob"), own("robert")...)},
	} {
		t.Run(change, func(t *testing.T) {
			var touched []string
			after := registered(c.names...)
			for name := range maps.Keys(merged(before, after)) {
				if before[name] != after[name] {
					touched = append(touched, name)
				}
			}
			want := slices.Sorted(slices.Values(append(slices.Clone(door), c.own...)))
			if change == "another order" {
				want = nil
			}
			assert.Equal(t, want, slices.Sorted(slices.Values(touched)))
		})
	}
	for _, r := range before {
		assert.NotContains(t, r, "carol")
	}
}

// byName are the resources with their inputs, by the end of the type and the name. Where the pool's maximum follows from the instances, and what the stack
// says of quotas, is no resource of anybody's.
func byName(mocks *providers.Mocks) map[string]string {
	out := map[string]string{}
	for _, r := range mocks.Resources() {
		if r.Type == types.Secret { // the test's cloud generates other values each time
			secret := mocks.Cloud.Inventory().Find(types.Secret, r.ID)
			out["Secret "+r.Name()] = fmt.Sprint(slices.Sorted(maps.Keys(secret.Inputs.Labels("stringData"))))
			continue
		}
		if r.Custom {
			// Checksums are of such values.
			out[r.Type[strings.LastIndex(r.Type, ":")+1:]+" "+r.Name()] = regexp.MustCompile(`[0-9a-f]{64}`).ReplaceAllString(fmt.Sprint(r.Inputs), "sum")
		}
	}
	return out
}

func merged(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// TestManyInstances: thirty and three hundred have a plan, with one load balancer and one door.
func TestManyInstances(t *testing.T) {
	for _, number := range []int{30, 300} {
		var names []string
		for i := range number {
			names = append(names, fmt.Sprintf("person-%d", i))
		}
		mocks, err := deployed(t, "team", nested(t, stackFile(t, "team"), people(names...)), nil)
		require.NoError(t, err)
		count := map[string]int{}
		for _, r := range mocks.Resources() {
			if r.Custom {
				count[r.Type[strings.LastIndex(r.Type, ":")+1:]]++
			}
		}
		assert.Equal(t, number, count["StatefulSet"])
		assert.Equal(t, []int{1, 1, 2, 1}, []int{count["Gateway"], count["GCPBackendPolicy"], count["HTTPRoute"], count["Deployment"]})
		assert.Empty(t, checks.Application(mocks.Cloud.Inventory(), false))
	}
}

// TestAVolumeOutlivesItsInstance: whoever edits a list loses no work.
func TestAVolumeOutlivesItsInstance(t *testing.T) {
	mocks, err := deployed(t, "team", stackFile(t, "team"), nil)
	require.NoError(t, err)
	for _, instance := range []string{"alice", "platform"} {
		assert.True(t, find(t, mocks, "PersistentVolumeClaimPatch", "openhands-"+instance).RetainOnDelete)
		assert.Equal(t, []string{"spec.replicas"}, find(t, mocks, "StatefulSet", "openhands-"+instance).IgnoreChanges)
	}
}
