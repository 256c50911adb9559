package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// browser is Chromium without a window. Close it.
type browser struct {
	tab  context.Context
	ends []context.CancelFunc

	mu      sync.Mutex // protects what follows
	hosts   map[string]bool
	sockets []string // addresses of WebSockets, without their queries
	refused []string // calls that were answered with an error
}

// browserTimeout is how long anything in a page may take, on a machine that is busy.
const browserTimeout = 2 * time.Minute

// startBrowser starts a browser for which a domain and its hosts are at an address, and nothing else is anywhere. It takes any certificate.
func startBrowser(domain, address string) (*browser, error) {
	b := &browser{hosts: map[string]bool{}}
	options := append(
		chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.IgnoreCertErrors, chromedp.WindowSize(1280, 800),
		chromedp.Flag("host-resolver-rules", fmt.Sprintf("MAP *.%s %s, MAP * ~NOTFOUND", domain, address)),
	)
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	tab, close := chromedp.NewContext(allocator)
	b.tab, b.ends = tab, []context.CancelFunc{close, end}
	if err := chromedp.Listen(tab, b.note); err != nil {
		b.close()
		return nil, fmt.Errorf("start Chromium, which has to be installed: %w", err)
	}
	return b, nil
}

func (b *browser) close() {
	for _, end := range b.ends {
		end()
	}
}

// note takes down what the page calls.
func (b *browser) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if address, err := url.Parse(e.Request.URL); err == nil && address.Host != "" {
			b.hosts[address.Host] = true
		}
	case *network.EventWebSocketCreated:
		address, _, _ := strings.Cut(e.URL, "?")
		b.sockets = append(b.sockets, address)
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			address, _, _ := strings.Cut(e.Response.URL, "?")
			b.refused = append(b.refused, fmt.Sprintf("%d %s", int(e.Response.Status), address))
		}
	}
}

// open opens a page.
func (b *browser) open(address string) error {
	return b.until("open "+address, "true", chromedp.Navigate(address))
}

// find is a function of JavaScript that finds an element by a selector of CSS, or an XPath.
const find = `(selector) => selector.startsWith("//") ?
	document.evaluate(selector, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE).singleNodeValue : document.querySelector(selector)`

// click clicks on an element, when nothing covers it, it does not move, and it can be used.
func (b *browser) click(selector string) error {
	ready := fmt.Sprintf(`(async () => {
		const element = (%s)(%q)
		if (!element || element.disabled) return false
		element.scrollIntoView({block: "nearest"})
		const place = () => { const r = element.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] }
		const before = place()
		await new Promise((done) => setTimeout(done, 100))
		const [x, y] = place(), top = document.elementFromPoint(x, y)
		return before[0] === x && before[1] === y && top !== null && (element.contains(top) || top.contains(element))
	})()`, find, selector)
	return b.until("click on "+selector, ready, chromedp.Click(selector))
}

// enter writes into a field, in place of what is there.
func (b *browser) enter(field, text string) error {
	ready := fmt.Sprintf(`(() => { const field = (%s)(%q); field?.focus(); field?.select?.(); return document.activeElement === field })()`, find, field)
	return b.until("write into "+field, ready, chromedp.SendKeys(field, text))
}

// await returns when the page says something.
func (b *browser) await(text string) error {
	return b.until("read "+text, fmt.Sprintf(`document.body.innerText.includes(%q)`, text))
}

// until waits until an expression of JavaScript is true, and then takes steps.
func (b *browser) until(what, expression string, steps ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(b.tab, browserTimeout)
	defer cancel()
	for {
		ready, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression, chromedp.EvalAwaitPromise))
		if err == nil && ready {
			err = chromedp.Do(ctx, steps...)
			if err == nil {
				return nil
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w; the page says:\n%s", what, err, b.text())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// text is what the page says, with what is folded.
func (b *browser) text() string {
	ctx, cancel := context.WithTimeout(b.tab, browserTimeout)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		return err.Error()
	}
	return text
}

// address is where the browser is.
func (b *browser) address() (string, error) { return chromedp.Run(b.tab, chromedp.Location()) }

// picture is the page as one sees it, as PNG.
func (b *browser) picture() ([]byte, error) {
	ctx, cancel := context.WithTimeout(b.tab, browserTimeout)
	defer cancel()
	return chromedp.Run(ctx, chromedp.CaptureScreenshot())
}

// balancer is Google's load balancer for a domain: it ends TLS, logs everybody in as somebody, and hands on by a way. Close it.
type balancer struct{ server *http.Server }

// browserAddress is where the load balancer is for browsers.
const browserAddress = "10.99.0.3"

func startLoadBalancer(domain string, by way, token func() (string, error)) (*balancer, error) {
	certificate, _, err := certify("*." + domain)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	listener, err := tls.Listen("tcp", net.JoinHostPort(browserAddress, "443"), config)
	if err != nil {
		return nil, fmt.Errorf("load balancer: %w", err)
	}
	proxy := &httputil.ReverseProxy{
		Transport: by.client().Transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", r.In.Host, r.In.Host
			r.SetXForwarded()
			if signed, err := token(); err == nil { // without it the door refuses
				r.Out.Header.Set(assertion, signed)
			}
		},
	}
	s := &balancer{&http.Server{Handler: proxy, ReadHeaderTimeout: time.Minute}}
	go s.server.Serve(listener) //nolint:errcheck // it ends with close
	return s, nil
}

func (s *balancer) close() error { return s.server.Close() }
