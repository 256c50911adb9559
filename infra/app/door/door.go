// Package door writes the configuration of the door: Envoy, the only thing that the load balancer and port-forward reach. It lets a request through
// that names one of its hosts, comes from that host's own page, and, from the load balancer, carries what Identity-Aware Proxy signs for a person.
//
// What decides who gets in is in the first file, with which the pod starts. Which hosts there are, and where they lead, is in the others, which Envoy reads
// again whenever they change: one host more ends no connection. They are a ConfigMap's, and hold no secret: where the applications have keys, the files name
// the files that have them.
package door

import (
	_ "embed" // for the script
	"encoding/json"
	"fmt"
	"strings"

	"openhands-gcp/release"
)

// Version is Envoy's.
const Version = "1.40.0"

// Image is Envoy on Docker Hub, without a shell or anything else.
var Image = release.Image{Name: "envoyproxy/envoy", Tag: "distroless-v" + Version}

// Ports of the pod. The one for port-forward is the application's own: http://localhost:3000 is what a person opens.
const (
	PublicPort = 8080 // for the load balancer
	ProbePort  = 8081 // for the kubelet
)

// Config is what the door knows.
type Config struct {
	Applications []Application
	// LocalPort is where port-forward comes in. It listens on the pod's loopback address, which nothing else reaches.
	LocalPort int
	// HealthPath is where the load balancer asks whether the door is well, without a host.
	HealthPath string
	// Public is the way in from the load balancer; none where nil.
	Public *Public
	// KeyHeader takes an application's key, where the applications have keys; empty where they have none.
	KeyHeader string
}

// Application is where the requests for some hosts go.
type Application struct {
	Name, Address string // Address is a name of the cluster's DNS
	Port          int
	HealthPath    string // answers 200 while the application is well
	// IdleSeconds is how long the door keeps an idle connection to it: less than the application does.
	IdleSeconds int

	Host       string   // from the load balancer
	LocalHosts []string // by port-forward; none where others than the people of Host would come that way
	// Needed says that the door is of no use to anybody without it: the load balancer is told so.
	Needed bool
	// KeyFile has the key of its API, and nothing else. It is read for each request, so that it may come later than the host.
	KeyFile string
}

// Public is the way in from the load balancer.
type Public struct {
	// Audience begins the audience of what Identity-Aware Proxy signs, up to the id of the backend service, which GKE makes later. No login where it is
	// empty: then everyone gets in.
	Audience string
}

// Audience is that of the backend services of a project, by its number.
// https://cloud.google.com/iap/docs/signed-headers-howto
func Audience(projectNumber string) string {
	return "/projects/" + projectNumber + "/global/backendServices/"
}

// Names of the files. Envoy starts with the first, which names the others.
const (
	BootstrapFile = "envoy.json"
	clustersFile  = "clusters.json" // where hosts lead
	publicFile    = "public.json"   // the hosts, from the load balancer
	localFile     = "local.json"    // the same, by port-forward
)

// Command starts Envoy with the files in a directory.
func Command(directory string) []string {
	return []string{
		"/usr/local/bin/envoy", "--config-path", directory + "/" + BootstrapFile,
		"--concurrency", "2", // threads, however many CPUs the node has
		"--disable-hot-restart", // no file in shared memory, by which another Envoy would take over from this one
		"--log-level", "warning", "--log-format", `{"severity":"%l","name":"envoy","message":"%j"}`,
	}
}

// Names of the ways in.
const (
	publicListener = "public"
	localListener  = "local"
)

const (
	// What Identity-Aware Proxy signs, and the keys it signs with.
	assertionHeader = "x-goog-iap-jwt-assertion"
	issuer          = "https://cloud.google.com/iap"
	keysHost        = "www.gstatic.com"
	keysPath        = "/iap/verify/public_key-jwk"
	keysCluster     = "google_keys"                        // which no application is named
	authorities     = "/etc/ssl/certs/ca-certificates.crt" // in Envoy's image

	// loadBalancerHops is how many addresses the load balancer adds to X-Forwarded-For: the browser's, and its own.
	// https://cloud.google.com/load-balancing/docs/https#x-forwarded-for_header
	loadBalancerHops = 2

	// The load balancer keeps idle connections for 600 seconds. Whoever sends requests has to close a connection first: a request that meets the other's
	// closing fails.
	keepAliveFromLoadBalancer = "620s"

	noLimit = "0s"

	// So that a pod's memory suffices: how many connections it takes, and how much of a request or an answer it holds when the other side is slow.
	// The limits are the ways' own, and the pod's is above their sum: the kubelet finds room in a full door, and does not end all that is in it.
	publicConnections = 1000
	localConnections  = 100
	maxConnections    = publicConnections + localConnections + 100
	bufferBytes       = 32 << 10
)

// ownPage is the filter that lets a host's own page through, and key the one that adds an application's key.
var (
	//go:embed own_page.lua
	ownPage string
	//go:embed key.lua
	key string
)

// object is one of JSON.
type object = map[string]any

// Files returns the files by name.
func (c Config) Files(directory string) (map[string]string, error) {
	contents := map[string]any{BootstrapFile: c.bootstrap(directory), clustersFile: discovered(c.clusters()...), localFile: discovered(c.localRoutes())}
	if c.Public != nil {
		contents[publicFile] = discovered(c.publicRoutes())
	}
	files := map[string]string{}
	for name, content := range contents {
		var text strings.Builder
		encoder := json.NewEncoder(&text)
		encoder.SetIndent("", " ")
		encoder.SetEscapeHTML(false) // for people
		if err := encoder.Encode(content); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = text.String()
	}
	return files, nil
}

// discovered is a file that Envoy reads again when it changes.
func discovered(resources ...any) object { return object{"resources": resources} }

// watched points to such a file. Kubernetes changes a mounted ConfigMap by moving the link ..data in its directory.
func watched(directory, file string) object {
	return object{
		"path_config_source": object{"path": directory + "/" + file, "watched_directory": object{"path": directory}},
	}
}

func (c Config) bootstrap(directory string) object {
	listeners := []any{c.probeListener(), c.localListener(directory)}
	clusters := []any{}
	if c.Public != nil {
		listeners = append(listeners, c.publicListener(directory))
		if c.Public.Audience != "" {
			clusters = append(clusters, keys())
		}
	}
	return object{
		"node":              object{"id": "door", "cluster": "door"},
		"dynamic_resources": object{"cds_config": watched(directory, clustersFile)},
		"static_resources":  object{"listeners": listeners, "clusters": clusters},
		"overload_manager": object{"resource_monitors": []any{object{
			"name": "envoy.resource_monitors.global_downstream_max_connections",
			"typed_config": object{
				"@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3." +
					"DownstreamConnectionsConfig",
				"max_active_downstream_connections": maxConnections,
			},
		}}},
		// https://www.envoyproxy.io/docs/envoy/latest/configuration/listeners/runtime
		"layered_runtime": object{"layers": []any{object{"name": "limits", "static_layer": object{
			"envoy.resource_limits.listener." + publicListener + ".connection_limit": publicConnections,
			"envoy.resource_limits.listener." + localListener + ".connection_limit":  localConnections,
		}}}},
	}
}

// probeListener tells the kubelet that the door is up. It says nothing of the application: a door is not better for being started again.
func (c Config) probeListener() object {
	return listener("probe", "0.0.0.0", ProbePort, object{
		"route_config": object{"name": "probe", "virtual_hosts": []any{answer("ready", 200, "ready")}},
		"http_filters": []any{router()},
	})
}

// localListener is for port-forward. Whoever may open one may use the cluster, and needs no other login; but every page in their browser can call it.
func (c Config) localListener(directory string) object {
	return listener(localListener, "127.0.0.1", c.LocalPort, served(directory, localFile, "port-forward", object{
		"http_filters": c.toApplications(onlyOwnPage()),
	}))
}

// toApplications are the filters of a listener that leads to the applications.
func (c Config) toApplications(filters ...any) []any {
	if c.KeyHeader != "" {
		filters = append(filters, addKey())
	}
	return append(filters, router())
}

// publicListener is for the load balancer.
func (c Config) publicListener(directory string) object {
	filters := []any{c.healthCheck()}
	if c.Public.Audience != "" {
		filters = append(filters, signed(), audience(c.Public.Audience))
	}
	return listener(publicListener, "0.0.0.0", PublicPort, served(directory, publicFile, "load balancer", object{
		"http_filters":         c.toApplications(append(filters, onlyOwnPage())...),
		"xff_num_trusted_hops": loadBalancerHops,
	}))
}

func listener(name, address string, port int, manager object) object {
	manager["@type"] = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
	manager["stat_prefix"] = name
	return object{
		"name":                              name,
		"address":                           object{"socket_address": object{"address": address, "port_value": port}},
		"per_connection_buffer_limit_bytes": bufferBytes,
		"filter_chains": []any{object{"filters": []any{object{
			"name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
		}}}},
	}
}

// served is a listener that leads to hosts.
func served(directory, file, way string, manager object) object {
	manager["rds"] = object{"route_config_name": file, "config_source": watched(directory, file)}
	manager["use_remote_address"] = true
	manager["server_header_transformation"] = "APPEND_IF_ABSENT" // an answer of the door's own says envoy
	manager["upgrade_configs"] = []any{object{"upgrade_type": "websocket"}}
	manager["common_http_protocol_options"] = object{"idle_timeout": keepAliveFromLoadBalancer}
	manager["access_log"] = []any{accessLog(way)}
	return manager
}

// filter is an HTTP filter of Envoy's.
func filter(name, typ string, settings object) object {
	settings["@type"] = "type.googleapis.com/envoy.extensions.filters.http." + name + ".v3." + typ
	return object{"name": "envoy.filters.http." + name, "typed_config": settings}
}

func router() object { return filter("router", "Router", object{"suppress_envoy_headers": true}) }

func onlyOwnPage() object {
	return filter("lua", "Lua", object{"default_source_code": object{"inline_string": ownPage}})
}

// keyFilter is the name under which a route has the settings of addKey.
const keyFilter = "key"

func addKey() object {
	f := filter("lua", "Lua", object{"default_source_code": object{"inline_string": key}})
	f["name"] = keyFilter
	return f
}

// healthCheck answers the load balancer, which knows no host and has no login: 200 while the needed applications answer the door's own question, 503 when
// not.
func (c Config) healthCheck() object {
	needed := object{}
	for _, a := range c.Applications {
		if a.Needed {
			needed[a.Name] = object{"value": 100}
		}
	}
	return filter("health_check", "HealthCheck", object{
		"pass_through_mode":               false,
		"headers":                         []any{object{"name": ":path", "string_match": object{"exact": c.HealthPath}}},
		"cluster_min_healthy_percentages": needed,
	})
}

// signed lets a request through that carries what Identity-Aware Proxy signs for a person, by one of Google's keys, and takes it off. Without keys nobody
// gets in. Google shows a new key long before it signs with it.
func signed() object {
	return filter("jwt_authn", "JwtAuthentication", object{
		"providers": object{"iap": object{
			"issuer":              issuer,
			"from_headers":        []any{object{"name": assertionHeader}},
			"payload_in_metadata": "iap",
			"forward":             false,
			"require_expiration":  true,
			"remote_jwks": object{
				"http_uri":       object{"uri": "https://" + keysHost + keysPath, "cluster": keysCluster, "timeout": "5s"},
				"cache_duration": "300s",
				"async_fetch":    object{},
				"retry_policy":   object{"num_retries": 3},
			},
		}},
		"rules": []any{object{"match": object{"prefix": "/"}, "requires": object{"provider_name": "iap"}}},
	})
}

// audience lets a request through that was signed for a backend service of this project.
func audience(prefix string) object {
	return filter("rbac", "RBAC", object{"rules": object{
		"action": "ALLOW",
		"policies": object{"signed for this project": object{
			"permissions": []any{object{"any": true}},
			"principals": []any{object{"sourced_metadata": object{"metadata_matcher": object{
				"filter": "envoy.filters.http.jwt_authn",
				"path":   []any{object{"key": "iap"}, object{"key": "aud"}},
				"value":  object{"string_match": object{"prefix": prefix}},
			}}}},
		}},
	}})
}

// keys is where Google publishes the keys.
func keys() object {
	return object{
		"name": keysCluster, "type": "LOGICAL_DNS", "dns_lookup_family": "V4_ONLY", "connect_timeout": "5s",
		"load_assignment": endpoint(keysCluster, keysHost, 443),
		"transport_socket": object{"name": "envoy.transport_sockets.tls", "typed_config": object{
			"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
			"sni":   keysHost,
			"common_tls_context": object{"validation_context": object{
				"trusted_ca":                    object{"filename": authorities},
				"match_typed_subject_alt_names": []any{object{"san_type": "DNS", "matcher": object{"exact": keysHost}}},
			}},
		}},
	}
}

// clusters are the applications.
func (c Config) clusters() []any {
	var out []any
	for _, a := range c.Applications {
		out = append(out, a.cluster())
	}
	return out
}

// cluster is an application. The door asks it by itself whether it is well: for the load balancer's sake, and because whoever asks for one that is not gets
// an answer at once.
func (a Application) cluster() object {
	return object{
		"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
		"name":  a.Name, "type": "STRICT_DNS", "dns_lookup_family": "V4_ONLY", "connect_timeout": "5s",
		"per_connection_buffer_limit_bytes": bufferBytes,
		"load_assignment":                   endpoint(a.Name, a.Address, a.Port),
		"health_checks": []any{object{
			"timeout": "3s", "interval": "5s", "no_traffic_interval": "5s", "unhealthy_threshold": 3, "healthy_threshold": 1,
			"http_health_check": object{"path": a.HealthPath},
		}},
		"typed_extension_protocol_options": object{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
			"@type":                        "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			"explicit_http_config":         object{"http_protocol_options": object{}},
			"common_http_protocol_options": object{"idle_timeout": fmt.Sprintf("%ds", a.IdleSeconds)},
		}},
	}
}

func endpoint(cluster, address string, port int) object {
	return object{"cluster_name": cluster, "endpoints": []any{object{"lb_endpoints": []any{object{"endpoint": object{
		"address": object{"socket_address": object{"address": address, "port_value": port}},
	}}}}}}
}

// publicRoutes are the hosts that a browser asks for.
func (c Config) publicRoutes() object {
	return c.routes(publicFile, answer("no other host", 404, "no such host"), func(a Application) []string { return []string{a.Host} })
}

// localRoutes are what a port-forward is called. A stranger's name can be pointed at it.
func (c Config) localRoutes() object {
	return c.routes(localFile, answer("no other host", 403, c.localHint()), func(a Application) []string { return a.LocalHosts })
}

// localHint says by which names one comes in by port-forward.
func (c Config) localHint() string {
	for _, a := range c.Applications {
		switch {
		case len(a.LocalHosts) == 0:
			return "nobody comes in this way: open it at its host, and log in"
		case a.KeyFile != "":
			return "open an instance by its name, e.g. http://" + a.LocalHosts[0]
		}
	}
	return "open it by localhost or 127.0.0.1"
}

// routes lead the hosts of each application, on whatever port, to it, and all others to an answer.
func (c Config) routes(name string, others object, hosts func(Application) []string) object {
	var all []any
	for _, a := range c.Applications {
		if h := hosts(a); len(h) > 0 {
			all = append(all, object{"name": a.Name, "domains": h, "routes": []any{a.route(c.KeyHeader)}})
		}
	}
	return object{
		"@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
		"name":  name, "ignore_port_in_host_matching": true, "virtual_hosts": append(all, others),
	}
}

// route leads to an application. X-Forwarded-For is written anew: the application believes it.
func (a Application) route(keyHeader string) object {
	route := object{
		"match": object{"prefix": "/"},
		// Envoy's own limits, 15 seconds for an answer and five minutes without a word, cut conversations. The load balancer has limits of its own.
		"route": object{"cluster": a.Name, "timeout": noLimit, "idle_timeout": noLimit},
		"request_headers_to_add": []any{object{
			"header":        object{"key": "x-forwarded-for", "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"},
			"append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
		}},
	}
	if keyHeader != "" {
		route["metadata"] = object{"filter_metadata": object{keyFilter: object{"file": a.KeyFile, "header": keyHeader}}}
	}
	return route
}

// answer is a host of any name that gets an answer of the door's own.
func answer(name string, status int, text string) object {
	return object{"name": name, "domains": []any{"*"}, "routes": []any{object{
		"match": object{"prefix": "/"}, "direct_response": object{"status": status, "body": object{"inline_string": text + "\n"}},
	}}}
}

// accessLog writes a line of JSON for each request: who did what. What follows the question mark of a path is left out: it holds keys of sessions.
func accessLog(way string) object {
	return object{
		"name":   "envoy.access_loggers.stdout",
		"filter": object{"not_health_check_filter": object{}},
		"typed_config": object{
			"@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
			"log_format": object{"json_format": object{
				"severity":    "INFO",
				"name":        "door",
				"message":     "%REQ(:METHOD)% %PATH(NQ:PATH)% %RESPONSE_CODE%",
				"time":        "%START_TIME%",
				"way":         way,
				"person":      "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:iap:email)%",
				"address":     "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
				"method":      "%REQ(:METHOD)%",
				"host":        "%REQ(:AUTHORITY)%",
				"path":        "%PATH(NQ:PATH)%",
				"status":      "%RESPONSE_CODE%",
				"reason":      "%RESPONSE_CODE_DETAILS%",
				"received":    "%BYTES_RECEIVED%",
				"sent":        "%BYTES_SENT%",
				"duration_ms": "%DURATION%",
			}},
		},
	}
}
