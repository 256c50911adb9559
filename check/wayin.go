package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

const seeExposure = "docs/exposure.md, \"When it does not work\""

// wayIn is how a browser comes in from the internet.
func (w *walk) wayIn(ctx context.Context, host string) {
	w.station(ctx, "name", func(ctx context.Context) (string, error) { return w.name(ctx, host) })
	w.station(ctx, "certificate", func(ctx context.Context) (string, error) { return w.certificate(ctx, host) })
	w.station(ctx, "login", func(ctx context.Context) (string, error) { return w.login(ctx, host) })
}

// name compares what the DNS says with the address that the stack has.
func (w *walk) name(ctx context.Context, host string) (string, error) {
	want, err := w.Outputs.address()
	if err != nil {
		return "", err
	}
	found, err := w.Network.Resolve(ctx, host)
	look := fmt.Sprintf("create the record A %s %s where the domain is served: `pulumi stack output dnsRecords`. %s", host, want, seeExposure)
	var unknown *net.DNSError
	switch {
	case errors.As(err, &unknown) && unknown.IsNotFound:
		return "", fail(look, "%s is not found in the DNS", host)
	case err != nil:
		return "", fail("does this machine reach a name server?", "%s cannot be asked for: %v", host, err)
	}
	for i, address := range found {
		found[i] = address.Unmap()
	}
	if !slices.Equal(found, []netip.Addr{want}) {
		return "", fail(look, "%s leads to %s, and the stack's address is %s", host, textOf(found), want)
	}
	return fmt.Sprintf("%s A %s", host, want), nil
}

func textOf(addresses []netip.Addr) string {
	var texts []string
	for _, a := range addresses {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}

// certificate opens a connection to the stack's own address, whatever the DNS says.
func (w *walk) certificate(ctx context.Context, host string) (string, error) {
	look := "Google issues it once the CNAME of `pulumi stack output dnsRecords` can be seen: `gcloud certificate-manager certificates list`. " + seeExposure
	raw, err := w.dialAddress(ctx, "tcp")
	if err != nil {
		return "", fail("`kubectl --namespace="+w.Outputs.AppNamespace+" describe gateway`. "+seeExposure, "the load balancer does not answer: %v", err)
	}
	defer raw.Close()
	connection := tls.Client(raw, &tls.Config{ServerName: host, RootCAs: w.Network.Authorities, MinVersion: tls.VersionTLS12})
	if err := connection.HandshakeContext(ctx); err != nil {
		return "", fail(look, "there is no valid certificate for %s: %v", host, err)
	}
	leaf := connection.ConnectionState().PeerCertificates[0]
	left := time.Until(leaf.NotAfter)
	if left < 7*24*time.Hour {
		return "", fail(look, "the certificate ends on %s, and Google should have renewed it a month before", leaf.NotAfter.Format(time.DateOnly))
	}
	return fmt.Sprintf("valid for %s until %s, by %s", host, leaf.NotAfter.Format(time.DateOnly), issuerOf(leaf.Issuer.Organization, leaf.Issuer.CommonName)), nil
}

func issuerOf(organization []string, name string) string {
	if len(organization) > 0 {
		return organization[0]
	}
	return name
}

// dialAddress opens a connection to the load balancer.
func (w *walk) dialAddress(ctx context.Context, network string) (net.Conn, error) {
	address, err := w.Outputs.address()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	return w.Network.Dial(ctx, network, netip.AddrPortFrom(address, 443).String())
}

// browser is a client that goes to the stack's address for every name, and follows nothing.
func (w *walk) browser() *http.Client {
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DialContext:       func(ctx context.Context, network, _ string) (net.Conn, error) { return w.dialAddress(ctx, network) },
			TLSClientConfig:   &tls.Config{RootCAs: w.Network.Authorities, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// login asks for the page and for an interface of the application as somebody who has not logged in. Neither may answer.
func (w *walk) login(ctx context.Context, host string) (string, error) {
	client := w.browser()
	for _, path := range []string{"/", "/api/conversations"} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+path, nil)
		if err != nil {
			return "", err
		}
		response, err := client.Do(request)
		if err != nil {
			return "", fail(seeExposure, "https://%s%s does not answer: %v", host, path, withoutAddress(err))
		}
		body, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10)) // what came of it is judged
		if err := response.Body.Close(); err != nil {
			return "", err
		}
		if err := w.judgeLogin(host+path, response, string(body)); err != nil {
			return "", err
		}
	}
	return "Google asks who it is, and the application does not answer", nil
}

// judgeLogin says whether it was Google's login that answered.
func (w *walk) judgeLogin(what string, response *http.Response, body string) error {
	policy := fmt.Sprintf("`kubectl --namespace=%s describe gcpbackendpolicy` says why. %s", w.Outputs.AppNamespace, seeExposure)
	location, _ := url.Parse(response.Header.Get("Location"))
	google := location != nil && location.Scheme == "https" && location.Host == "accounts.google.com"
	signed := response.Header.Get("X-Goog-Iap-Generated-Response") == "true"
	switch code := response.StatusCode; {
	case code >= 300 && code < 400 && google, signed && (code == http.StatusUnauthorized || code == http.StatusForbidden):
		return nil
	case code < 300:
		return fail("take it off the internet at once: openhands:exposure.mode: none, and `pulumi up`. "+policy,
			"%s answers %d WITHOUT A LOGIN: whoever finds it owns the installation", what, code)
	case code < 400:
		return fail(policy, "%s leads to %q, and not to Google's login", what, response.Header.Get("Location"))
	case code == http.StatusUnauthorized && strings.Contains(body, "Jwt"):
		return fail("wait five minutes after an `up`, then: "+policy,
			"Identity-Aware Proxy is not in force: the door has answered (%s). It lets nobody in, and nobody can log in", strings.TrimSpace(body))
	case code == http.StatusNotFound:
		return fail(seeExposure, "%s answers 404: the load balancer or the door does not know the name", what)
	case code == http.StatusForbidden:
		return fail(seeExposure, "%s answers 403 before the login: Cloud Armor does not let this machine in", what)
	case code == http.StatusTooManyRequests:
		return fail("openhands:exposure.armor.requestsPerMinute", "%s answers 429: this machine has made too many requests", what)
	case code >= 500:
		return fail(fmt.Sprintf("`kubectl --namespace=%s get pods`; after the first `up` give it five minutes. %s", w.Outputs.AppNamespace, seeExposure),
			"%s answers %d: the load balancer has no healthy door", what, code)
	default:
		return fail(seeExposure, "%s answers %d, and not Google's login", what, code)
	}
}

// withoutAddress takes the method and the address off an error of a client, which the message has already.
func withoutAddress(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}
