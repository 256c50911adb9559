package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/distribution/reference"
	"google.golang.org/api/container/v1"

	"openhands-gcp/infra"
	"openhands-gcp/rehearsal/types"
)

// version asks GKE what the release channel has in the cluster's place.
func (e *exam) version(ctx context.Context) []Finding {
	if e.config.Single() {
		return nil
	}
	cluster, location := e.config.Cluster, e.config.ClusterLocation()
	latest, err := e.channels(ctx, location)
	if err != nil {
		return []Finding{e.unasked("GKE's versions", "roles/container.clusterViewer", err)}
	}
	if err := infra.CheckVersion(cluster.MinVersion, cluster.ReleaseChannel, location, latest); err != nil {
		return []Finding{e.fails("pulumi config set --path openhands:cluster.releaseChannel <channel>", []string{types.Cluster}, "%v", err)}
	}
	return []Finding{ok("Kubernetes %s or newer: %s has %s in %s", cluster.MinVersion, cluster.ReleaseChannel, latest[cluster.ReleaseChannel], location)}
}

// channels returns the newest version of each release channel.
func (e *exam) channels(ctx context.Context, location string) (map[string]string, error) {
	if e.google == nil {
		return nil, errNoCredentials
	}
	ctx, cancel := e.patient(ctx)
	defer cancel()
	service, err := container.NewService(ctx, e.client())
	if err != nil {
		return nil, err
	}
	answer, err := service.Projects.Locations.GetServerConfig("projects/" + e.config.Project + "/locations/" + location).Context(ctx).Do()
	if err != nil {
		return nil, err
	}
	latest := map[string]string{}
	for _, channel := range answer.Channels {
		if len(channel.ValidVersions) > 0 {
			latest[channel.Channel] = channel.ValidVersions[0]
		}
	}
	return latest, nil
}

// images asks the registries behind the mirrors for what the stack runs.
func (e *exam) images(ctx context.Context) []Finding {
	var found []Finding
	var there []string
	for _, image := range e.config.Images() {
		err := e.manifest(ctx, image.Reference)
		var answer notFound
		switch {
		case err == nil:
			there = append(there, image.Reference)
		case errors.As(err, &answer):
			found = append(found, e.fails("pulumi config set --path "+image.Key+" <an image that there is>",
				[]string{types.Deployment, types.StatefulSet, types.Instance},
				"%s: %s does not have it", image.Reference, string(answer)))
		default:
			found = append(found, unknown("", "%s could not be asked for: %s", image.Reference, e.explain(err)))
		}
	}
	if len(found) == 0 {
		return []Finding{ok("%s", strings.Join(there, ", "))}
	}
	return found
}

// notFound is the registry that does not have an image, or shows it to nobody.
type notFound string

func (n notFound) Error() string { return string(n) + " does not have it" }

// manifests are the formats of what a tag names.
const manifests = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, " +
	"application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"

// manifest asks a registry whether it has an image, by the digest where there is one. Docker Hub counts no HEAD against its limit.
// https://distribution.github.io/distribution/spec/api/
func (e *exam) manifest(ctx context.Context, image string) error {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return err
	}
	wanted := "latest"
	if tagged, is := named.(reference.Tagged); is {
		wanted = tagged.Tag()
	}
	if digested, is := named.(reference.Digested); is {
		wanted = digested.Digest().String()
	}
	registry := reference.Domain(named)
	host := registry
	if host == "docker.io" {
		host = "registry-1.docker.io"
	}
	client := reading(e.Public, "")
	if strings.HasSuffix(host, "-docker.pkg.dev") { // an own repository: whoever deploys may read it
		if e.google == nil {
			return errNoCredentials
		}
		client = reading(e.Google, "")
	}
	ctx, cancel := e.patient(ctx)
	defer cancel()
	address := fmt.Sprintf("https://%s/v2/%s/manifests/%s", host, reference.Path(named), wanted)
	resp, err := head(ctx, client, address, "")
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusUnauthorized {
		token, err := pullToken(ctx, reading(e.Public, ""), resp.Header.Get("Www-Authenticate"))
		if err != nil {
			return err
		}
		if resp, err = head(ctx, client, address, token); err != nil {
			return err
		}
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusNotFound, http.StatusUnauthorized, http.StatusForbidden:
		return notFound(registry)
	}
	return fmt.Errorf("%s answers %d", registry, resp.StatusCode)
}

func head(ctx context.Context, client *http.Client, address, token string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", manifests)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	return resp, resp.Body.Close()
}

// parameter is one of a challenge's.
var parameter = regexp.MustCompile(`([a-z]+)="([^"]*)"`)

// pullToken gets what a registry gives everybody who asks to pull a public image.
// https://distribution.github.io/distribution/spec/auth/token/
func pullToken(ctx context.Context, client *http.Client, challenge string) (string, error) {
	if !strings.HasPrefix(challenge, "Bearer ") {
		return "", errors.New("the registry asks for a login")
	}
	query := url.Values{}
	realm := ""
	for _, match := range parameter.FindAllStringSubmatch(challenge, -1) {
		if match[1] == "realm" {
			realm = match[2]
			continue
		}
		query.Set(match[1], match[2])
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, realm+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %d", req.URL.Host, resp.StatusCode)
	}
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); err != nil {
		return "", fmt.Errorf("%s answers with something else than a token", req.URL.Host)
	}
	return answer.Token, nil
}
