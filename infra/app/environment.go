package app

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
	"openhands-gcp/release"
)

// environment is what the server reads: the names of two ConfigMaps (variables, launcher) and a Secret, and a checksum of all.
type environment struct {
	configMap, launcher, secret pulumi.StringInput
	checksum                    pulumi.StringInput
}

// newEnvironment writes the closed list of variables. What is not in it is unset on purpose: package release has the reasons.
func (c *Server) newEnvironment(ctx *pulumi.Context, name string, args *OpenHandsAppArgs, namespace pulumi.StringInput) (environment, error) {
	jwt, err := random.NewRandomPassword(ctx, name+"-jwt", &random.RandomPasswordArgs{
		Length: pulumi.Int(64), Special: pulumi.Bool(false),
	}, component.Child(c)...)
	if err != nil {
		return environment{}, fmt.Errorf("generate the key of the sessions: %w", err)
	}
	plain := args.variables()
	secret := pulumi.StringMap{
		"DB_PASS":    args.Database.Password,
		"JWT_SECRET": jwt.Result, // left out, the server writes one into the file store
	}
	if args.RemoteRuntime != nil {
		secret["SANDBOX_API_KEY"] = args.RemoteRuntime.APIKey
	}
	maps.Copy(secret, args.SecretEnv) // none of the above: validate has checked
	configMap, err := corev1.NewConfigMap(ctx, name+"-environment", &corev1.ConfigMapArgs{
		Metadata: &metav1.ObjectMetaArgs{Name: pulumi.String(name + "-environment"), Namespace: namespace},
		Data:     plain,
	}, component.Child(c)...)
	if err != nil {
		return environment{}, fmt.Errorf("create the ConfigMap: %w", err)
	}
	secrets, err := corev1.NewSecret(ctx, name+"-environment", &corev1.SecretArgs{
		Metadata:   &metav1.ObjectMetaArgs{Name: pulumi.String(name + "-environment"), Namespace: namespace},
		Type:       pulumi.String("Opaque"),
		StringData: secret,
	}, component.Child(c)...)
	if err != nil {
		return environment{}, fmt.Errorf("create the Secret: %w", err)
	}
	launcher, files, err := c.newLauncher(ctx, name, args, namespace)
	if err != nil {
		return environment{}, fmt.Errorf("launcher: %w", err)
	}
	return environment{
		configMap: configMap.Metadata.Name().Elem(),
		launcher:  launcher,
		secret:    secrets.Metadata.Name().Elem(),
		checksum:  checksum(plain, secret, files),
	}, nil
}

// variables are those that are no secret.
func (args *OpenHandsAppArgs) variables() pulumi.StringMap {
	v := pulumi.StringMap{
		"FILE_STORE":             pulumi.String(release.FileStore),
		"OH_PERSISTENCE_DIR":     pulumi.String(args.Release.StatePath),
		"DB_HOST":                args.Database.Host,
		"DB_PORT":                pulumi.String("5432"),
		"DB_NAME":                args.Database.Name,
		"DB_USER":                args.Database.User,
		"WEB_HOST":               pulumi.String(args.host()),
		"PERMITTED_CORS_ORIGINS": pulumi.String(args.origin()),
		"LOG_JSON":               pulumi.String("1"),
		"LOG_JSON_LEVEL_KEY":     pulumi.String("severity"),
		"WORKSPACE_BASE":         pulumi.String(""),
		"SANDBOX_USER_ID":        pulumi.String("0"),
		"SERVE_FRONTEND":         pulumi.String("true"),
	}
	if args.Gateway != nil {
		// Without it, the server sees the door's address for every user, and all share one limit. The door writes the header anew, with the address that the
		// load balancer saw.
		v["FORWARDED_ALLOW_IPS"] = pulumi.String("*")
	}
	for name, value := range args.Release.Environment {
		v[name] = pulumi.String(value)
	}
	for _, name := range args.Release.BucketVariables {
		v[name] = args.Bucket
	}
	if args.Sandboxes != nil {
		maps.Copy(v, args.Sandboxes.variables())
	}
	if r := args.RemoteRuntime; r != nil {
		maps.Copy(v, pulumi.StringMap{
			"RUNTIME":                        pulumi.String(release.Remote),
			"SANDBOX_REMOTE_RUNTIME_API_URL": pulumi.String(r.URL),
			"MAX_CONCURRENT_CONVERSATIONS":   pulumi.Sprintf("%d", r.Conversations),
		})
	}
	for name, value := range args.ExtraEnv { // none of the above: validate has checked
		v[name] = pulumi.String(value)
	}
	return v
}

// variables tell the Kubernetes runtime where sandboxes run, and how large they are.
func (s *SandboxesArgs) variables() pulumi.StringMap {
	return pulumi.StringMap{
		"RUNTIME":                            pulumi.String(release.Kubernetes),
		"SANDBOX_RUNTIME_CONTAINER_IMAGE":    s.Image,
		"MAX_CONCURRENT_CONVERSATIONS":       pulumi.Sprintf("%d", s.Max),
		"KUBERNETES_NAMESPACE":               pulumi.String(s.Namespace),
		"KUBERNETES_PVC_STORAGE_SIZE":        pulumi.Sprintf("%dGi", s.VolumeGiB),
		"KUBERNETES_PVC_STORAGE_CLASS":       pulumi.String(zonalStorageClass),
		"KUBERNETES_RESOURCE_CPU_REQUEST":    pulumi.String(milliCPU(s.CPURequest)),
		"KUBERNETES_RESOURCE_MEMORY_REQUEST": pulumi.String(mebibytes(s.MemoryGiB)),
		"KUBERNETES_RESOURCE_MEMORY_LIMIT":   pulumi.String(mebibytes(s.MemoryGiB)),
		"KUBERNETES_NODE_SELECTOR_KEY":       pulumi.String(s.Nodes.Label),
		"KUBERNETES_NODE_SELECTOR_VAL":       pulumi.String(s.Nodes.Value),
		"KUBERNETES_TOLERATIONS_YAML":        pulumi.String(s.Nodes.tolerationYAML()),
		"KUBERNETES_INGRESS_DOMAIN":          pulumi.String(unservedDomain),
	}
}

// unservedDomain names the Ingresses of the sandboxes' editors. Nothing serves them.
const unservedDomain = "sandboxes.invalid"

// tolerationYAML writes the toleration as the Kubernetes runtime reads it: a list in YAML.
func (n Nodes) tolerationYAML() string {
	if n.Taint == nil {
		return "[]"
	}
	return fmt.Sprintf("- key: %s\n  operator: Equal\n  value: %q\n  effect: %s\n", n.Taint.Key, n.Taint.Value, n.Taint.Effect)
}

// checksum changes with every variable. It is a secret as soon as one of them is.
func checksum(variables ...pulumi.StringMap) pulumi.StringOutput {
	var all []any
	var names []string
	for _, m := range variables {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			names = append(names, name)
			all = append(all, m[name])
		}
	}
	return pulumi.All(all...).ApplyT(func(values []any) string {
		hash := sha256.New()
		for i, name := range names {
			fmt.Fprintf(hash, "%s=%q\n", name, values[i])
		}
		return hex.EncodeToString(hash.Sum(nil))
	}).(pulumi.StringOutput)
}
