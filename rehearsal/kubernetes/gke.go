package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/invopop/jsonschema"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The kinds that GKE's own controllers bring, as far as the program uses them: written from Google's reference, not copied from its definitions.
// https://cloud.google.com/kubernetes-engine/docs/how-to/configure-gateway-resources
// https://cloud.google.com/kubernetes-engine/docs/how-to/fqdn-network-policies

// TargetRef is what a policy is attached to.
type TargetRef struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
	Name  string `json:"name"`
}

// GCPBackendPolicy says how the load balancer treats a Service.
type GCPBackendPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Default struct {
			TimeoutSec         *int `json:"timeoutSec,omitempty" jsonschema:"minimum=1,maximum=2147483647"`
			ConnectionDraining *struct {
				DrainingTimeoutSec int `json:"drainingTimeoutSec" jsonschema:"minimum=0,maximum=3600"`
			} `json:"connectionDraining,omitempty"`
			Logging *struct {
				Enabled    bool `json:"enabled"`
				SampleRate *int `json:"sampleRate,omitempty" jsonschema:"minimum=0,maximum=1000000"`
			} `json:"logging,omitempty"`
			SecurityPolicy string `json:"securityPolicy,omitempty"`
			IAP            *struct {
				Enabled            bool   `json:"enabled"`
				ClientID           string `json:"clientID,omitempty"`
				OAuth2ClientSecret *struct {
					Name string `json:"name"`
				} `json:"oauth2ClientSecret,omitempty"`
			} `json:"iap,omitempty"`
		} `json:"default"`
		TargetRef TargetRef `json:"targetRef"`
	} `json:"spec"`
}

// GCPGatewayPolicy says how the load balancer speaks TLS.
type GCPGatewayPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Default struct {
			SSLPolicy string `json:"sslPolicy,omitempty"`
		} `json:"default"`
		TargetRef TargetRef `json:"targetRef"`
	} `json:"spec"`
}

// HealthCheckPolicy says how the load balancer asks whether a pod is well.
type HealthCheckPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Default struct {
			CheckIntervalSec   *int `json:"checkIntervalSec,omitempty" jsonschema:"minimum=1,maximum=300"`
			TimeoutSec         *int `json:"timeoutSec,omitempty" jsonschema:"minimum=1,maximum=300"`
			HealthyThreshold   *int `json:"healthyThreshold,omitempty" jsonschema:"minimum=1,maximum=10"`
			UnhealthyThreshold *int `json:"unhealthyThreshold,omitempty" jsonschema:"minimum=1,maximum=10"`
			LogConfig          *struct {
				Enabled bool `json:"enabled"`
			} `json:"logConfig,omitempty"`
			Config struct {
				Type            string `json:"type" jsonschema:"enum=TCP,enum=HTTP,enum=HTTPS,enum=HTTP2,enum=GRPC"`
				HTTPHealthCheck *struct {
					PortSpecification string `json:"portSpecification,omitempty" jsonschema:"enum=USE_FIXED_PORT,enum=USE_NAMED_PORT,enum=USE_SERVING_PORT"`
					Port              *int   `json:"port,omitempty" jsonschema:"minimum=1,maximum=65535"`
					RequestPath       string `json:"requestPath,omitempty"`
				} `json:"httpHealthCheck,omitempty"`
			} `json:"config"`
		} `json:"default"`
		TargetRef TargetRef `json:"targetRef"`
	} `json:"spec"`
}

// FQDNNetworkPolicy allows egress by name, in addition to NetworkPolicies.
type FQDNNetworkPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		PodSelector struct {
			MatchLabels map[string]string `json:"matchLabels,omitempty"`
		} `json:"podSelector"`
		Egress []struct {
			Matches []struct {
				Name    string `json:"name,omitempty"`
				Pattern string `json:"pattern,omitempty"`
			} `json:"matches"`
			Ports []struct {
				Protocol string `json:"protocol,omitempty"`
				Port     *int   `json:"port,omitempty"`
			} `json:"ports,omitempty"`
		} `json:"egress"`
	} `json:"spec"`
}

// CustomResourceDefinitions are minimal definitions of the kinds above, for a real API server: their fields, types and limits, derived from the Go types.
// They are not Google's own, which have more.
func CustomResourceDefinitions() ([]map[string]any, error) {
	var out []map[string]any
	for _, kind := range []struct {
		version, name, plural string
		object                any
	}{
		{"v1", "GCPBackendPolicy", "gcpbackendpolicies", &GCPBackendPolicy{}},
		{"v1", "GCPGatewayPolicy", "gcpgatewaypolicies", &GCPGatewayPolicy{}},
		{"v1", "HealthCheckPolicy", "healthcheckpolicies", &HealthCheckPolicy{}},
		{"v1alpha1", "FQDNNetworkPolicy", "fqdnnetworkpolicies", &FQDNNetworkPolicy{}},
	} {
		schema, err := structural(kind.object)
		if err != nil {
			return nil, fmt.Errorf("definition of %s: %w", kind.name, err)
		}
		out = append(out, map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
			"metadata": map[string]any{"name": kind.plural + ".networking.gke.io"},
			"spec": map[string]any{
				"group": "networking.gke.io", "scope": "Namespaced",
				"names": map[string]any{"kind": kind.name, "plural": kind.plural, "singular": strings.ToLower(kind.name)},
				"versions": []any{map[string]any{
					"name": kind.version, "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": schema},
					"subresources": map[string]any{"status": map[string]any{}},
				}},
			},
		})
	}
	return out, nil
}

// structural returns the schema of an object's spec in the form that a definition has. Its status is its controller's.
func structural(object any) (map[string]any, error) {
	reflector := jsonschema.Reflector{DoNotReference: true, Anonymous: true, AllowAdditionalProperties: true}
	spec, ok := reflector.Reflect(object).Properties.Get("spec")
	if !ok {
		return nil, errors.New("it has no spec")
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var schema map[string]any
	if err := json.Unmarshal(raw, &schema); err != nil {
		return nil, err
	}
	status := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	return map[string]any{"type": "object", "properties": map[string]any{"spec": schema, "status": status}, "required": []any{"spec"}}, nil
}
