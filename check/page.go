package check

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"time"
)

// pageAt opens the application's page through a tunnel, under a name by which the door knows it.
func pageAt(ctx context.Context, namespace, address, host string) (string, error) {
	look := "`kubectl --namespace=" + namespace + " get pods`; docs/exposure.md, \"The door\""
	if namespace == "" {
		look = "docs/single.md"
	}
	return openPage(ctx, client, address+"/", host, "", look)
}

// pageThroughLogin opens the page as a service account that may log in.
func (w *walk) pageThroughLogin(ctx context.Context, address string) (string, error) {
	token, err := w.signIn(ctx, address)
	if err != nil {
		return "", err
	}
	return openPage(ctx, w.browser(), address+"/", "", token, "is "+w.LoginAs+" among the login.members? "+seeExposure)
}

// openPage follows the application's redirects to its page.
func openPage(ctx context.Context, client *http.Client, address, host, token, look string) (string, error) {
	for range 5 {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return "", err
		}
		if host != "" {
			request.Host = host + ":" + request.URL.Port()
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := client.Do(request)
		if err != nil {
			return "", fail(look, "the page does not open: %v", withoutAddress(err))
		}
		body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20)) // what came of it is judged
		if err := response.Body.Close(); err != nil {
			return "", err
		}
		if location, err := response.Location(); err == nil && response.StatusCode >= 300 && response.StatusCode < 400 {
			location.Scheme = request.URL.Scheme
			if location.Host == request.Host || location.Host == request.URL.Host {
				location.Host = request.URL.Host
				address = location.String()
				continue
			}
			return "", fail(look, "the page leads to %s", location.Host)
		}
		who := response.Header.Get("Server")
		switch {
		case response.StatusCode != http.StatusOK && who == "envoy":
			return "", fail(look, "the door answers %d, and not the application: %s", response.StatusCode, firstLine(body))
		case response.StatusCode != http.StatusOK:
			return "", fail(look, "the page answers %d", response.StatusCode)
		case !strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") || !strings.Contains(strings.ToLower(string(body)), "<html"):
			return "", fail(look, "what answers is no page: its type is %q", response.Header.Get("Content-Type"))
		}
		by := "through the door, by port-forward"
		if token != "" {
			by = "through Google's login"
		}
		return fmt.Sprintf("opens %s", by), nil
	}
	return "", fail(look, "the page leads in a circle")
}

func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return line[:min(len(line), 200)]
}

// signIn has Google sign a token of the service account for an address.
// https://cloud.google.com/iap/docs/authentication-howto#authenticating_with_a_self-signed_jwt
func (w *walk) signIn(ctx context.Context, address string) (string, error) {
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": w.LoginAs, "sub": w.LoginAs, "aud": address + "/*", "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	})
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, w.Gcloud, "iam", "service-accounts", "sign-jwt", "--iam-account="+w.LoginAs, "/dev/stdin", "-")
	cmd.Stdin = strings.NewReader(string(claims))
	errors := &tail{}
	cmd.Stderr = errors
	token, err := cmd.Output()
	if err != nil {
		return "", fail("whoever runs the check needs roles/iam.serviceAccountTokenCreator on "+w.LoginAs,
			"gcloud signs no token of %s: %s", w.LoginAs, errors.last(err))
	}
	return strings.TrimSpace(string(token)), nil
}
