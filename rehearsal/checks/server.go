package checks

import (
	"maps"

	appsv1 "k8s.io/api/apps/v1"

	"openhands-gcp/rehearsal/cloud"
	"openhands-gcp/rehearsal/kubernetes"
	"openhands-gcp/rehearsal/types"
)

// server is the Deployment of the application in what exists, with its environment.
type server struct {
	*cloud.Inventory
	*appsv1.Deployment
	env map[string]string
}

// servers are the Deployments of the application: those whose environment says where the files are.
func servers(inventory *cloud.Inventory) []server {
	var out []server
	for _, o := range inventory.All(types.Deployment) {
		s := server{Inventory: inventory, Deployment: kubernetes.DecodeAs[*appsv1.Deployment](o), env: map[string]string{}}
		s.readEnvironment()
		if s.env["FILE_STORE"] != "" {
			out = append(out, s)
		}
	}
	return out
}

// readEnvironment reads the ConfigMaps and Secrets that the containers take their environment from.
func (s *server) readEnvironment() {
	for _, container := range s.Spec.Template.Spec.Containers {
		for _, from := range container.EnvFrom {
			if from.ConfigMapRef != nil {
				if m := s.Find(types.ConfigMap, s.Namespace+"/"+from.ConfigMapRef.Name); m != nil {
					maps.Copy(s.env, m.Inputs.Labels("data"))
				}
			}
			if from.SecretRef != nil {
				if m := s.Find(types.Secret, s.Namespace+"/"+from.SecretRef.Name); m != nil {
					maps.Copy(s.env, m.Inputs.Labels("stringData"))
				}
			}
		}
	}
}
