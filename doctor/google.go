package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
)

// readOnly lets reads through, and nothing else: whatever this program comes to ask, it changes nothing.
type readOnly struct {
	next http.RoundTripper
	// project is the one that the question counts for, and whose APIs must be on; none where empty. Of a person's credentials Google wants to know it.
	project string
}

func (t *readOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	// Google asks for a list of permissions by POST.
	reads := req.Method == http.MethodGet || req.Method == http.MethodHead ||
		(req.Method == http.MethodPost && req.URL.Host == "cloudresourcemanager.googleapis.com" && strings.HasSuffix(req.URL.Path, ":testIamPermissions"))
	if !reads {
		return nil, fmt.Errorf("the doctor only reads, and refuses %s %s", req.Method, req.URL.Host)
	}
	if t.project != "" {
		req = req.Clone(req.Context())
		req.Header.Set("X-Goog-User-Project", t.project)
	}
	return t.next.RoundTrip(req)
}

// reading is the client with what only reads around it.
func reading(client *http.Client, project string) *http.Client {
	copied := *client
	if copied.Transport == nil {
		copied.Transport = http.DefaultTransport
	}
	copied.Transport = &readOnly{copied.Transport, project}
	return &copied
}

// client is the option by which Google's libraries take the client.
func (e *exam) client() option.ClientOption { return option.WithHTTPClient(e.google) }

// credentials asks Google who it is that asks.
func (e *exam) credentials(ctx context.Context) []Finding {
	const login = "gcloud auth application-default login"
	if e.Google == nil {
		return []Finding{e.fails(login, nil, "there are no application-default credentials, which Pulumi's provider uses (those of `gcloud auth login` are "+
			"others): %v", e.NoCredentials)}
	}
	e.google = reading(e.Google, e.config.Project)
	ctx, cancel := e.patient(ctx)
	defer cancel()
	var person struct {
		Email string `json:"email"`
	}
	// Asked without a project: it belongs to none.
	err := get(ctx, reading(e.Google, ""), "https://openidconnect.googleapis.com/v1/userinfo", &person)
	var refused *oauth2.RetrieveError
	var answer *googleapi.Error
	switch {
	case errors.As(err, &refused):
		e.google = nil
		return []Finding{e.fails(login, nil, "Google does not take the application-default credentials any more")}
	case err != nil && !errors.As(err, &answer):
		return []Finding{unknown("", "application-default credentials are there, and Google cannot be asked whose: %s", e.explain(err))}
	case person.Email == "": // those of a program may not say it
		return []Finding{ok("application-default credentials, whose owner Google does not name")}
	}
	e.identity = person.Email
	return []Finding{ok("application-default credentials of %s", person.Email)}
}

// get reads JSON.
func get(ctx context.Context, client *http.Client, address string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := googleapi.CheckResponse(resp); err != nil {
		return err
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(into)
}

// member is whoever asks, as IAM writes it.
func (e *exam) member() string {
	switch {
	case e.identity == "":
		return "user:<you>"
	case strings.HasSuffix(e.identity, ".gserviceaccount.com"):
		return "serviceAccount:" + e.identity
	}
	return "user:" + e.identity
}

// unasked is the finding where a call had no answer. role is the one that lets one ask.
func (e *exam) unasked(what, role string, err error) Finding {
	if e.google == nil {
		return unknown("", "%s could not be asked: there are no credentials", what)
	}
	if service, off := disabled(err); off {
		return unknown(e.gcloud("services enable %s", service),
			"%s could not be asked: %s is off. Where `up` enables it, this is no mistake; enabled before, it can be asked", what, service)
	}
	var answer *googleapi.Error
	if errors.As(err, &answer) && answer.Code == http.StatusForbidden {
		return unknown(e.grant(role), "%s could not be asked: Google refuses it to %s", what, e.member())
	}
	return unknown("", "%s could not be asked: %s", what, e.explain(err))
}

// grant is the command that gives whoever asks a role in the project.
func (e *exam) grant(role string) string {
	return fmt.Sprintf("gcloud projects add-iam-policy-binding %s --member=%s --role=%s --condition=None", e.config.Project, e.member(), role)
}

// explain is an error in a few words, without addresses and bodies.
func (e *exam) explain(err error) string {
	var answer *googleapi.Error
	var at *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %s", e.Patience)
	case errors.As(err, &answer) && answer.Message != "":
		return fmt.Sprintf("%d, %s", answer.Code, answer.Message)
	case errors.As(err, &answer):
		return fmt.Sprintf("answer %d", answer.Code)
	case errors.As(err, &at):
		return at.Err.Error()
	}
	return err.Error()
}

// disabled returns the API that an answer says is off.
func disabled(err error) (service string, off bool) {
	var answer *googleapi.Error
	if !errors.As(err, &answer) {
		return "", false
	}
	for _, detail := range answer.Details {
		info, _ := detail.(map[string]any)
		metadata, _ := info["metadata"].(map[string]any)
		if service, _ := metadata["service"].(string); info["reason"] == "SERVICE_DISABLED" && service != "" {
			return service, true
		}
	}
	return "", false
}

// missing says whether the answer is that there is no such thing.
func missing(err error) bool {
	var answer *googleapi.Error
	return errors.As(err, &answer) && answer.Code == http.StatusNotFound
}
