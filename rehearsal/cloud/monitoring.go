package cloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/types"
	"openhands-gcp/rehearsal/values"
)

// series are the metrics that exist on a cluster with managed Prometheus and its kube-state component, and for Cloud SQL. An alert on any other never
// fires.
// https://cloud.google.com/kubernetes-engine/docs/how-to/kube-state-metrics, https://cloud.google.com/monitoring/api/metrics_gcp
var series = []string{
	"kube_deployment_status_replicas_available", "kube_deployment_spec_replicas",
	"kube_statefulset_replicas", "kube_statefulset_status_replicas_ready",
	"kube_pod_status_phase", "kube_pod_status_unschedulable", "kube_pod_container_status_waiting_reason",
	"cloudsql_googleapis_com:database_cpu_utilization", "cloudsql_googleapis_com:database_memory_utilization",
	"cloudsql_googleapis_com:database_disk_utilization",
}

var metricName = regexp.MustCompile(`([a-z_]+:)?[a-z_]+\{`)

func checkChannel(r *Request) error {
	if r.Inputs.Str("type") == "email" && !strings.Contains(r.Inputs.Labels("labels")["email_address"], "@") {
		return errors.New("labels.email_address: is required for type email")
	}
	return nil
}

func checkAlert(r *Request) error {
	for _, condition := range r.Inputs.Maps("conditions") {
		if err := checkQuery(condition.Str("conditionPrometheusQueryLanguage.query")); err != nil {
			return fmt.Errorf("conditions: %w", err)
		}
	}
	return r.needAll(types.Channel, "notificationChannels")
}

// widgetLimit is how many widgets a dashboard may have. https://cloud.google.com/monitoring/quotas
const widgetLimit = 50

func checkDashboard(r *Request) error {
	dashboard, err := dashboardOf(r)
	if err != nil {
		return err
	}
	if dashboard.Str("displayName") == "" {
		return errors.New("dashboardJson: displayName is required")
	}
	if n := widgets(map[string]any(dashboard)); n > widgetLimit {
		return fmt.Errorf("dashboardJson: has %d widgets, at most %d are allowed", n, widgetLimit)
	}
	return nil
}

func dashboardOf(r *Request) (values.Map, error) {
	var dashboard map[string]any
	if err := json.Unmarshal([]byte(r.Inputs.Str("dashboardJson")), &dashboard); err != nil {
		return nil, fmt.Errorf("dashboardJson: %w", err)
	}
	return dashboard, nil
}

// widgets counts the widgets of a dashboard: those of tiles, and those in the lists of rows, columns and grids.
func widgets(part any) int {
	n := 0
	switch part := part.(type) {
	case map[string]any:
		for name, value := range part {
			list, isList := value.([]any)
			switch {
			case name == "widget":
				n++
			case name == "widgets" && isList:
				n += len(list)
			}
			n += widgets(value)
		}
	case []any:
		for _, item := range part {
			n += widgets(item)
		}
	}
	return n
}

// monitored creates an object whose id the API makes up, and calls its name.
func monitored(collection string) func(*Request) error {
	return func(r *Request) error {
		if r.ID == "" {
			r.cloud.numbered++
			r.ID = fmt.Sprintf("projects/%s/%s/%d", r.Project, collection, 1000+r.cloud.numbered)
		}
		r.Outputs["name"], r.Outputs["project"] = r.ID, r.Project
		return nil
	}
}

// createDashboard leaves out the name, which the provider does not show of a dashboard. The document is the API's: with a name and a version of its own, and
// without what is zero.
func createDashboard(r *Request) error {
	if err := monitored("dashboards")(r); err != nil {
		return err
	}
	delete(r.Outputs, "name")
	dashboard, err := dashboardOf(r)
	if err != nil {
		return err
	}
	dashboard = withoutZeros(dashboard, false)
	dashboard["name"], dashboard["etag"] = r.ID, etag
	document, err := json.Marshal(dashboard)
	r.Outputs["dashboardJson"] = string(document)
	return err
}

// checkQuery refuses a query on a metric that does not exist.
func checkQuery(query string) error {
	found := metricName.FindAllString(query, -1)
	if len(found) == 0 {
		return fmt.Errorf("query %q has no metric", query)
	}
	for _, name := range found {
		if name = strings.TrimSuffix(name, "{"); !slices.Contains(series, name) {
			return fmt.Errorf("query %q: there is no metric %s, and the alert would never fire", query, name)
		}
	}
	return nil
}
