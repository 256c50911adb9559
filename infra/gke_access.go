package infra

import (
	"encoding/json"
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/container"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/gkehub"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/projects"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

// connectGatewayRoles let a member pass the Connect gateway, and find the cluster there. What a member may do behind it is for Kubernetes to say: a role of
// container.* would be one for every cluster of the project. gatewayAdmin is the only role that lets streams through, which a port-forward is.
// https://cloud.google.com/kubernetes-engine/enterprise/multicluster-management/gateway/setup
var connectGatewayRoles = []string{"roles/gkehub.gatewayAdmin", "roles/gkehub.viewer"}

// newAccess sets the outputs by which people and the kubernetes provider reach the control plane. With both ways in place the Connect gateway is
// the one that is used: it works from any address.
func (c *GkeCluster) newAccess(ctx *pulumi.Context, name string, args *GkeClusterArgs, cluster *container.Cluster, project pulumi.StringInput) error {
	if args.ConnectGateway != nil {
		return c.newConnectGateway(ctx, name, args.ConnectGateway, cluster, project)
	}
	ca := cluster.MasterAuth.ClusterCaCertificate().Elem()
	c.Kubeconfig = kubeconfig(cluster.Name, pulumi.Sprintf("https://%s", cluster.Endpoint), ca)
	c.CredentialsCommand = pulumi.Sprintf("gcloud container clusters get-credentials %s --location=%s --project=%s",
		cluster.Name, cluster.Location, cluster.Project)
	return nil
}

func (c *GkeCluster) newConnectGateway(
	ctx *pulumi.Context, name string, gateway *ConnectGateway, cluster *container.Cluster, project pulumi.StringInput,
) error {
	membership, err := gkehub.NewMembership(ctx, name+"-membership", &gkehub.MembershipArgs{
		MembershipId: cluster.Name,
		Location:     pulumi.String("global"),
		Endpoint: &gkehub.MembershipEndpointArgs{
			GkeCluster: &gkehub.MembershipEndpointGkeClusterArgs{ResourceLink: pulumi.Sprintf("//container.googleapis.com/%s", cluster.ID())},
		},
		Authority: &gkehub.MembershipAuthorityArgs{Issuer: pulumi.Sprintf("https://container.googleapis.com/v1/%s", cluster.ID())},
	}, component.Child(c)...)
	if err != nil {
		return fmt.Errorf("register the cluster in the fleet: %w", err)
	}
	for _, member := range gateway.Members {
		for _, role := range connectGatewayRoles {
			grant, err := projects.NewIAMMember(ctx, fmt.Sprintf("%s-access-%s-%s", name, member, role), &projects.IAMMemberArgs{
				Project: project,
				Role:    pulumi.String(role),
				Member:  pulumi.String(member),
			}, component.Child(c)...)
			if err != nil {
				return fmt.Errorf("grant %s to %s: %w", role, member, err)
			}
			// Whoever deploys may be a member: the way to the objects in the cluster opens before they are created, and closes after they are deleted.
			c.Awaits(grant)
		}
	}

	server := pulumi.Sprintf("https://connectgateway.googleapis.com/v1/projects/%s/locations/%s/gkeMemberships/%s",
		gateway.ProjectNumber, membership.Location.Elem(), membership.MembershipId)
	c.Kubeconfig = kubeconfig(cluster.Name, server, pulumi.String(""))
	c.CredentialsCommand = pulumi.Sprintf("gcloud container fleet memberships get-credentials %s --location=%s --project=%s",
		membership.MembershipId, membership.Location.Elem(), membership.Project)
	return nil
}

// kubeconfig formats a kubeconfig that authenticates by the exec plugin. An empty ca means that the server has a publicly trusted certificate.
func kubeconfig(cluster, server, ca pulumi.StringInput) pulumi.StringOutput {
	formatted := pulumi.All(cluster, server, ca).ApplyT(func(values []any) (string, error) {
		return formatKubeconfig(values[0].(string), values[1].(string), values[2].(string))
	}).(pulumi.StringOutput)
	return pulumi.ToSecret(formatted).(pulumi.StringOutput)
}

// formatKubeconfig writes JSON, which is YAML too and needs no template that an odd character could break.
func formatKubeconfig(cluster, server, ca string) (string, error) {
	clusterEntry := map[string]any{"server": server}
	if ca != "" {
		clusterEntry["certificate-authority-data"] = ca
	}
	document, err := json.MarshalIndent(map[string]any{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": cluster,
		"clusters":        []any{map[string]any{"name": cluster, "cluster": clusterEntry}},
		"contexts":        []any{map[string]any{"name": cluster, "context": map[string]any{"cluster": cluster, "user": cluster}}},
		"users": []any{map[string]any{"name": cluster, "user": map[string]any{"exec": map[string]any{
			"apiVersion":         "client.authentication.k8s.io/v1beta1",
			"command":            "gke-gcloud-auth-plugin",
			"installHint":        "Install it with: gcloud components install gke-gcloud-auth-plugin",
			"provideClusterInfo": true,
			"interactiveMode":    "Never",
		}}}},
	}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("kubeconfig of cluster %s: %w", cluster, err)
	}
	return string(document), nil
}
