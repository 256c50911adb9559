package rehearsal

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The types of monitoring.
const (
	alertType     = "gcp:monitoring/alertPolicy:AlertPolicy"
	channelType   = "gcp:monitoring/notificationChannel:NotificationChannel"
	dashboardType = "gcp:monitoring/dashboard:Dashboard"
)

// series are the metrics that exist on a cluster with managed Prometheus and its kube-state component, and for Cloud SQL. An alert on any other never
// fires.
// https://cloud.google.com/kubernetes-engine/docs/how-to/kube-state-metrics, https://cloud.google.com/monitoring/api/metrics_gcp
var series = []string{
	"kube_deployment_status_replicas_available", "kube_deployment_spec_replicas", "kube_pod_status_phase", "kube_pod_status_unschedulable", "kube_pod_container_status_waiting_reason",
	"cloudsql_googleapis_com:database_cpu_utilization", "cloudsql_googleapis_com:database_memory_utilization", "cloudsql_googleapis_com:database_disk_utilization",
}

var metricName = regexp.MustCompile(`([a-z_]+:)?[a-z_]+\{`)

func init() {
	kinds[channelType] = &kind{api: "monitoring", check: func(r *request) error {
		if r.inputs.str("type") == "email" && !strings.Contains(labelsOf(r.inputs, "labels")["email_address"], "@") {
			return errors.New("labels.email_address: is required for type email")
		}
		return nil
	}, create: monitored("notificationChannels")}
	kinds[alertType] = &kind{api: "monitoring", check: func(r *request) error {
		for _, item := range r.inputs.list("conditions") {
			m, _ := item.(map[string]any)
			if err := checkQuery(values(m).str("conditionPrometheusQueryLanguage.query")); err != nil {
				return fmt.Errorf("conditions: %w", err)
			}
		}
		for _, channel := range r.inputs.strs("notificationChannels") {
			if _, err := r.need(channelType, "notificationChannels", channel); err != nil {
				return err
			}
		}
		return nil
	}, create: monitored("alertPolicies")}
	kinds[dashboardType] = &kind{api: "monitoring", check: func(r *request) error {
		var dashboard map[string]any
		if err := json.Unmarshal([]byte(r.inputs.str("dashboardJson")), &dashboard); err != nil {
			return fmt.Errorf("dashboardJson: %w", err)
		}
		if values(dashboard).str("displayName") == "" {
			return errors.New("dashboardJson: displayName is required")
		}
		return nil
	}, create: monitored("dashboards")}
}

// monitored gives an object its id, which the API makes up.
func monitored(collection string) func(*request) error {
	return func(r *request) error {
		if r.id == "" {
			r.id = fmt.Sprintf("projects/%s/%s/%d", r.cloud.project, collection, 1000+len(r.cloud.objects))
		}
		r.outputs["name"], r.outputs["project"] = r.id, r.cloud.project
		if r.typ == dashboardType {
			delete(r.outputs, "name")
		}
		return nil
	}
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
