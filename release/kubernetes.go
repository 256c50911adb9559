package release

// What the Kubernetes runtime does, the same in every release that has it (openhands/runtime/impl/kubernetes/kubernetes_runtime.py).

// Rule is what somebody may do with a kind of object of the Kubernetes API.
type Rule struct {
	Group, Resource string
	Verbs           []string
}

// RuntimeRules are exactly the calls that the runtime makes in the namespace of its sandboxes.
var RuntimeRules = []Rule{
	{"", "pods", []string{"get", "create", "delete"}},
	{"", "services", []string{"create", "delete"}},
	{"", "persistentvolumeclaims", []string{"get", "create", "delete"}},
	{"networking.k8s.io", "ingresses", []string{"create", "delete"}},
}

// SandboxName is the label "app" of every sandbox, and begins the names of all its objects: <SandboxName>-<session>.
const SandboxName = "openhands-runtime"

// SandboxLabels select the pods of all conversations.
var SandboxLabels = map[string]string{"app": SandboxName}

// ActionServerPort is the TCP port on which the server reaches a sandbox. The action server there has no authentication.
const ActionServerPort = 8080
