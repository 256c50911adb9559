package app

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/app/cleanup"
	"openhands-gcp/release"
)

// The shapes are those of openhands/runtime/impl/kubernetes/kubernetes_runtime.py of release 0.62.0, with what Kubernetes and GKE add to a new object. Each is
// written as a whole: what it does not name is refused, and so is a default that a later version of Kubernetes adds. A value that varies is taken from the
// object itself; another condition says what it may be.

// condition is an expression in CEL that an object must meet, and what to say where it does not.
type condition struct {
	expression pulumi.StringInput
	message    string
}

// must is a condition whose expression is known from the beginning.
func must(expression expr, message string) condition {
	return condition{pulumi.String(expression), message}
}

const (
	spec    expr = "object.spec"
	changed expr = `request.operation == "UPDATE"` // by others than the server, which may only create
)

// field is a part of the object that need not be there.
func field(of expr, name string) expr { return expr(fmt.Sprintf("dyn(%s).?%s", of, name)) }

// metadataHas closes the metadata of a new object: beside what every object has, it has these fields.
func metadataHas(fields ...string) expr {
	fields = append([]string{"name", "namespace", "uid", "creationTimestamp", "generation", "managedFields"}, fields...)
	return expr(fmt.Sprintf("dyn(object.metadata).all(k, k in %s)", list(fields...)))
}

// session is what stands between the beginning of all names and a suffix, in the name of the object.
func session(suffix string) expr {
	return expr(fmt.Sprintf(`object.metadata.name.replace("%s-", "").replace(%q, "")`, release.SandboxName, suffix))
}

// nameOfSession holds for an object with the name that the runtime gives it for a session.
func nameOfSession(session expr, suffix string) expr {
	return expr(fmt.Sprintf(`object.metadata.name == "%s-" + %s + %q`, release.SandboxName, session, suffix))
}

// Suffixes of the names of what a conversation has beside its pod.
const (
	claimSuffix         = "-pvc"
	serviceSuffix       = "-svc"
	editorServiceSuffix = "-svc-code"
	editorIngressSuffix = "-ingress-code"
)

// editorPort is the TCP port of the editor in a sandbox.
const editorPort = 8081

// gvisorKey is the label and the taint of GKE's nodes for gVisor. The RuntimeClass adds the node selector and the toleration.
const gvisorKey = "sandbox.gke.io/runtime"

// podRules let in the pod that the runtime makes, after the mutation. A server that was taken over may create pods, and could otherwise give them the volume
// of another conversation, a name that the clean-up never sees, a finalizer with which they never go, or the room of sixty sandboxes.
func podRules(s *SandboxesArgs, name string) []condition {
	placeholder := s.placeholderMaker()
	const (
		session expr = `object.metadata.?labels["session"].orValue("")`
		volumes expr = `object.spec.?volumes.orValue([])`
	)
	return []condition{
		must(expr(fmt.Sprintf(`has(object.spec.runtimeClassName) && object.spec.runtimeClassName == "%s"`, gvisorClass)),
			"a sandbox runs in gVisor: runtimeClassName must be "+gvisorClass),
		must(`!has(object.spec.serviceAccountName) || object.spec.serviceAccountName == "default"`,
			"a sandbox has the service account default, which may do nothing"),
		must(`has(object.spec.automountServiceAccountToken) && !object.spec.automountServiceAccountToken`,
			"a sandbox has no token: automountServiceAccountToken must be false"),
		// Any other is another conversation's, another way to a token, or a way to another machine.
		must(
			expr(fmt.Sprintf("(%s) ? %s : (%s)", placeholder, is(volumes, []any{}), is(volumes, []any{shape{
				"name": "workspace-volume", "persistentVolumeClaim": shape{"claimName": expr(fmt.Sprintf("object.metadata.name + %q", claimSuffix))},
			}}))),
			"a sandbox has the volume of its conversation, and no other",
		),
		{s.prefixes().ApplyT(imageExpression).(pulumi.StringOutput), "a sandbox runs images from the registry of this installation only"},
		must(either(changed, `!has(object.spec.nodeName)`), "the scheduler chooses the node of a sandbox"),
		must(either(
			`!has(object.spec.priorityClassName)`, all(placeholder, expr(fmt.Sprintf(`object.spec.priorityClassName == "%s"`, placeholderClass(name)))),
		),
			"a sandbox has no priority over others"),
		// Annotations steer gVisor too. LimitRanger notes what it adds.
		must(either(placeholder, changed, all(
			nameOfSession(session, ""),
			is(`object.metadata.?labels.orValue({})`, shape{"app": release.SandboxName, "session": session}),
			`object.metadata.?annotations.orValue({}).all(k, k == "kubernetes.io/limit-ranger")`,
			metadataHas("labels", "annotations"),
		)), "a sandbox has the name and the labels of its conversation, no annotations, and nothing that keeps it from going"),
		must(expr(fmt.Sprintf("object.spec.containers.all(c, %s)", all(
			quantities("c.resources.?requests.orValue({})", s.requests()), quantities("c.resources.?limits.orValue({})", s.limits()),
		))),
			"a sandbox has the CPU, the memory and the disk that the configuration gives it"),
		must(s.nodesRule(), "a sandbox runs on its own nodes, and tolerates their taint only"),
		must(either(placeholder, is(spec, sandboxSpec())), "a sandbox is the one container that the runtime makes, and nothing beside it"),
	}
}

// sandboxSpec is the specification of a sandbox. Its commands and variables vary: with both it does what an agent may do in it anyway.
func sandboxSpec() shape {
	const container expr = "object.spec.containers[0]"
	return shape{
		"containers": []any{shape{
			"name": "runtime", "image": container + ".image", "imagePullPolicy": "IfNotPresent",
			"command": container + ".command", "workingDir": "/openhands/code/",
			"env":       container + `.env.map(e, {"name": dyn(e.name), ?"value": dyn(e).?value.optMap(v, dyn(v))})`,
			"resources": shape{"requests": container + ".resources.requests", "limits": container + ".resources.limits"},
			"ports": []any{
				shape{"name": "http", "containerPort": release.ActionServerPort, "protocol": "TCP"},
				shape{"name": "vscode", "containerPort": editorPort, "protocol": "TCP"},
				shape{"containerPort": 30082, "protocol": "TCP"},
				shape{"containerPort": 30083, "protocol": "TCP"},
			},
			"volumeMounts": []any{shape{"name": "workspace-volume", "mountPath": container + ".volumeMounts[0].mountPath"}},
			"readinessProbe": shape{
				"httpGet":             shape{"path": "/alive", "port": release.ActionServerPort, "scheme": "HTTP"},
				"initialDelaySeconds": 5, "periodSeconds": 10, "timeoutSeconds": 5, "successThreshold": 1, "failureThreshold": 3,
			},
			"securityContext":        shape{"privileged": false},
			"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
		}},
		"dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always", "schedulerName": "default-scheduler",
		"securityContext":               shape{"seccompProfile": shape{"type": "RuntimeDefault"}},
		"terminationGracePeriodSeconds": 30,

		// Said by other conditions.
		"nodeSelector": spec + ".nodeSelector", "tolerations": spec + ".tolerations", "volumes": spec + ".volumes",
		"?automountServiceAccountToken": field(spec, "automountServiceAccountToken"), "?nodeName": field(spec, "nodeName"),
		"?priorityClassName": field(spec, "priorityClassName"), "?runtimeClassName": field(spec, "runtimeClassName"),
		"?serviceAccount": field(spec, "serviceAccount"), "?serviceAccountName": field(spec, "serviceAccountName"),
		// Said by the API server, which refuses others than those of the priority class and of the RuntimeClass.
		"?overhead": field(spec, "overhead"), "?preemptionPolicy": field(spec, "preemptionPolicy"), "?priority": field(spec, "priority"),
		// GKE adds it to a pod that finds its Services there, after a crash.
		// https://cloud.google.com/kubernetes-engine/docs/concepts/container-native-load-balancing#pod_readiness
		"?readinessGates": expr(fmt.Sprintf("%s.optMap(g, %s)", field(spec, "readinessGates"),
			literal([]any{shape{"conditionType": "cloud.google.com/load-balancer-neg-ready"}}))),
	}
}

// nodesRule holds for a pod that runs on the nodes of the sandboxes. Kubernetes adds two tolerations, the RuntimeClass one.
func (s *SandboxesArgs) nodesRule() expr {
	var tolerations []any
	if t := s.Nodes.Taint; t != nil {
		tolerations = append(tolerations, shape{"key": t.Key, "operator": "Equal", "value": t.Value, "effect": t.Effect})
	}
	for _, key := range []string{"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"} {
		tolerations = append(tolerations, shape{"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
	}
	wanted := literal(tolerations)
	return all(
		is("object.spec.?nodeSelector.orValue({})", shape{
			s.Nodes.Label: s.Nodes.Value, "?" + gvisorKey: expr(fmt.Sprintf("dyn(object.spec.nodeSelector)[?%q]", gvisorKey)),
		}),
		expr(fmt.Sprintf("%s.all(t, t in dyn(object.spec.tolerations))", wanted)),
		expr(fmt.Sprintf(`dyn(object.spec.tolerations).all(t, t in %s || t.?key.orValue("") == %q)`, wanted, gvisorKey)),
	)
}

// quantities holds for a map of resources with these, and no others.
func quantities(part expr, want map[string]string) expr {
	conditions := []expr{expr(fmt.Sprintf("%s.size() == %d", part, len(want)))}
	for _, resource := range slices.Sorted(maps.Keys(want)) {
		conditions = append(conditions, expr(fmt.Sprintf(`quantity(%s[?%q].orValue("0")).compareTo(quantity(%q)) == 0`, part, resource, want[resource])))
	}
	return all(conditions...)
}

// placeholderMaker is an expression that holds for requests of the controller that makes the pods of newWarmNodes. Nobody else may make such a pod, and
// without warm nodes not even that controller.
func (s *SandboxesArgs) placeholderMaker() expr {
	if s.Warm == 0 {
		return "false"
	}
	// The first where controllers have accounts of their own, as on GKE; the second where they have not.
	return `request.userInfo.username in ["system:serviceaccount:kube-system:replicaset-controller", "system:kube-controller-manager"]`
}

// prefixes begin the references of all images that a sandbox may run: those of the arguments, and the repository of the sandboxes' own image, with whatever
// tag or digest.
func (s *SandboxesArgs) prefixes() pulumi.StringArrayOutput {
	repository := func(separator string) pulumi.StringOutput {
		return s.Image.ToStringOutput().ApplyT(func(image string) string { return release.Repository(image) + separator }).(pulumi.StringOutput)
	}
	return slices.Concat(s.ImagePrefixes, pulumi.StringArray{repository(":"), repository("@")}).ToStringArrayOutput()
}

// imageExpression holds for a pod all of whose containers, of whatever kind, have images that begin with one of the prefixes.
func imageExpression(prefixes []string) string {
	var allowed []string
	for _, p := range prefixes {
		allowed = append(allowed, "image.startsWith("+strconv.Quote(p)+")")
	}
	var kinds []string
	for _, kind := range []string{"containers", "initContainers", "ephemeralContainers"} {
		images := fmt.Sprintf("object.spec.%s.map(c, c.image)", kind)
		if kind != "containers" {
			images = fmt.Sprintf("(has(object.spec.%s) ? %s : [])", kind, images)
		}
		kinds = append(kinds, images)
	}
	return fmt.Sprintf("(%s).all(image, %s)", strings.Join(kinds, " + "), strings.Join(allowed, " || "))
}

// ingressRules let in the Ingress of a sandbox's editor, with the class that nothing serves: any other would put a sandbox on the internet without a login.
func ingressRules(name string) []condition {
	session := session(editorIngressSuffix)
	host := session + expr(fmt.Sprintf(` + ".%s"`, unservedDomain))
	return []condition{
		must(expr(fmt.Sprintf(`object.spec.?ingressClassName.orValue("") == "%s"`, unservedClass(name))),
			"a sandbox is not served to the internet: the class of its Ingress must be "+unservedClass(name)),
		must(is(spec, shape{
			"?ingressClassName": field(spec, "ingressClassName"),
			"rules": []any{shape{"host": host, "http": shape{"paths": []any{shape{
				"path": "/", "pathType": "Prefix", "backend": shape{"service": shape{
					"name": expr(fmt.Sprintf(`"%s-" + %s + %q`, release.SandboxName, session, editorServiceSuffix)), "port": shape{"number": editorPort},
				}},
			}}}}},
		}), "an Ingress of a sandbox leads to its editor alone"),
		must(either(changed, all(
			nameOfSession(session, editorIngressSuffix),
			is(`object.metadata.?annotations.orValue({})`, shape{"external-dns.alpha.kubernetes.io/hostname": host}),
			metadataHas("annotations"),
		)), "an Ingress of a sandbox has the name and the annotation of its conversation, and nothing that keeps it from going"),
	}
}

// serviceRules let in the two Services that the runtime makes for a conversation. Others would take the traffic of another sandbox (selector), of another
// machine (externalIPs), or of a name elsewhere (ExternalName), or be served by a load balancer.
func serviceRules() []condition {
	const session expr = `object.spec.?selector["session"].orValue("")`
	port := func(name string, number int, target string) string {
		return literal([]any{shape{"name": name, "port": number, "protocol": "TCP", "targetPort": target}})
	}
	return []condition{
		must(all(
			is(`object.spec.?selector.orValue({})`, shape{"app": release.SandboxName, "session": session}),
			either(nameOfSession(session, serviceSuffix), nameOfSession(session, editorServiceSuffix)),
		), "a Service of a sandbox has its name, and selects that sandbox alone"),
		must(is(spec, shape{
			"type": "ClusterIP", "internalTrafficPolicy": "Cluster", "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
			"ports": expr(fmt.Sprintf(`object.metadata.name.endsWith(%q) ? %s : %s`, editorServiceSuffix,
				port("code", editorPort, "vscode"), port("execution-server", release.ActionServerPort, "http"))),
			"?selector": field(spec, "selector"), // said above
			// Chosen by the API server.
			"?ipFamilies": field(spec, "ipFamilies"), "?clusterIP": field(spec, "clusterIP"), "?clusterIPs": field(spec, "clusterIPs"),
		}), "a Service of a sandbox is reached inside of the cluster, on one port"),
		// GKE adds the one that is allowed to Services of a VPC-native cluster by itself, with or without a blank; another value makes network endpoint groups.
		// https://cloud.google.com/kubernetes-engine/docs/how-to/container-native-load-balancing
		must(either(changed, all(
			`object.metadata.?annotations.orValue({}).all(k, `+
				`k == "cloud.google.com/neg" && object.metadata.annotations[k].replace(" ", "") == '{"ingress":true}')`,
			metadataHas("annotations"),
		)), "a Service of a sandbox has no annotations, no labels, and nothing that keeps it from going"),
	}
}

// zonalStorageClass is the class of the sandboxes' volumes: persistent disks in one zone, which GKE brings.
const zonalStorageClass = "standard-rwo"

// volumeRules keep the workspaces at their size, on the disks that they are meant for, and empty at the beginning.
func volumeRules(s *SandboxesArgs) []condition {
	return []condition{
		must(all(
			nameOfSession(session(claimSuffix), claimSuffix),
			`object.metadata.?finalizers.orValue([]).all(f, f == "kubernetes.io/pvc-protection")`, // which Kubernetes adds
			metadataHas("finalizers"),
		), "a volume of a sandbox has the name that the runtime gives it, neither labels nor annotations, and nothing that keeps it from going"),
		must(is(spec, shape{
			"accessModes": []any{"ReadWriteOnce"}, "volumeMode": "Filesystem",
			"resources":         shape{"requests": shape{"storage": spec + ".resources.requests.storage"}},
			"?storageClassName": field(spec, "storageClassName"),
		}), "a sandbox has a new volume of its own: no copy, no volume that exists, no raw device"),
		must(expr(fmt.Sprintf(`quantity(object.spec.resources.requests["storage"]).compareTo(quantity("%dGi")) == 0`, s.VolumeGiB)),
			fmt.Sprintf("a sandbox has a volume of %d GiB", s.VolumeGiB)),
		must(
			expr(fmt.Sprintf(`object.spec.?storageClassName.orValue("") == "%s"`, zonalStorageClass)),
			"a sandbox has a volume of the class "+zonalStorageClass,
		),
	}
}

// noteRules let the clean-up write its notes, and nothing else: it may patch objects, and a patch can change everything.
func noteRules() []condition {
	// same holds where two maps have the same keys and values, but for some keys.
	same := func(now, before expr, but ...string) expr {
		return expr(fmt.Sprintf(`dyn(%[1]s).all(k, k in %[3]s || k in dyn(%[2]s) && dyn(%[1]s)[k] == dyn(%[2]s)[k]) && `+
			`dyn(%[2]s).all(k, k in %[3]s || k in dyn(%[1]s))`, now, before, list(but...)))
	}
	return []condition{must(all(
		`object.spec == oldObject.spec`,
		same("object.metadata", "oldObject.metadata", "annotations", "managedFields"),
		same("object.metadata.?annotations.orValue({})", "oldObject.metadata.?annotations.orValue({})", cleanup.Notes...),
	), "the clean-up writes its notes, and changes nothing else")}
}
