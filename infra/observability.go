package infra

import (
	"encoding/json"
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/monitoring"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/internal/component"
)

const observabilityType = "openhands:gcp:Observability"

// ObservabilityArgs are the arguments of NewObservability.
type ObservabilityArgs struct {
	Title  string   // begins the names of alerts and dashboard, e.g. OpenHands prod
	Emails []string // get the alerts; where there are none, alerts show in the console only

	// DatabaseSettings says, where there is a database, where its tier and its disk's limit are set, for the advice in alerts: e.g. `openhands:database` in the
	// stack file.
	DatabaseSettings string
	Labels           pulumi.StringMapInput

	Cluster, Namespace pulumi.StringInput
	Door               pulumi.StringInput // Deployment of what stands before the application

	Deployment pulumi.StringInput // of the application; none where nil
	Database   pulumi.StringInput // as Cloud Monitoring names it: CloudSqlPostgres.MonitoringID; none where nil
	Instances  pulumi.StringInput // namespace of StatefulSets with one pod each; none where nil
}

// Observability tells people when the application or its database is in trouble, by signals that exist: the application itself has none.
type Observability struct {
	pulumi.ResourceState

	Dashboard pulumi.StringOutput `pulumi:"dashboard"` // id
}

// signal is a PromQL expression that is shown, and its limit that is alerted on.
type signal struct {
	role, title string
	query       pulumi.StringOutput // yields one value
	alert       string              // what makes it bad, e.g. "> 0.9"
	lasting     string              // for how long, e.g. 300s
	advice      pulumi.StringInput  // what to do about it, in Markdown
}

func (args *ObservabilityArgs) signals() []signal {
	database := func(metric string) pulumi.StringOutput {
		return pulumi.Sprintf(`max(cloudsql_googleapis_com:%s{monitored_resource="cloudsql_database",database_id="%s"})`, metric, args.Database)
	}
	// No series at all is as bad as no replica.
	available := func(deployment pulumi.StringInput) pulumi.StringOutput {
		return pulumi.Sprintf(`(max(kube_deployment_status_replicas_available{cluster="%s",namespace="%s",deployment="%s"}) or vector(0))`,
			args.Cluster, args.Namespace, deployment)
	}
	var signals []signal
	if args.Deployment != nil {
		signals = append(signals, signal{
			role: "availability", title: "application available", query: available(args.Deployment),
			alert: "< 1", lasting: "300s",
			advice: pulumi.Sprintf("No pod of the application is ready. `kubectl --namespace=%[1]s get pods`, then `kubectl --namespace=%[1]s "+
				"describe pod` and `kubectl --namespace=%[1]s logs deployment/%[2]s --previous`. A database that cannot be reached "+
				"keeps the server from starting.",
				args.Namespace, args.Deployment),
		})
	}
	signals = append(signals, signal{
		role: "door", title: "door available", query: available(args.Door), alert: "< 1", lasting: "300s",
		advice: pulumi.Sprintf("No pod of the door is ready, and nobody reaches the application. `kubectl --namespace=%[1]s get pods`, then "+
			"`kubectl --namespace=%[1]s describe pod` and `kubectl --namespace=%[1]s logs deployment/%[2]s`.", args.Namespace, args.Door),
	})
	if args.Instances != nil {
		signals = append(signals, signal{
			role: "instances", title: "instances that are away",
			// Each has one pod; one that sleeps is to have none.
			query: pulumi.Sprintf(`(sum(kube_statefulset_replicas{cluster="%[1]s",namespace="%[2]s"}) - `+
				`sum(kube_statefulset_status_replicas_ready{cluster="%[1]s",namespace="%[2]s"}))`, args.Cluster, args.Instances),
			alert: "> 0", lasting: "900s",
			advice: pulumi.Sprintf("Somebody's instance has not been ready for 15 minutes. `kubectl --namespace=%[1]s get pods` shows which; then "+
				"`kubectl --namespace=%[1]s describe pod <name>-0` and `kubectl --namespace=%[1]s logs <name>-0 --previous`. Deleting the pod starts it "+
				"anew, with its files.", args.Instances),
		})
	}
	if args.Database != nil {
		signals = append(signals, signal{
			role: "database-cpu", title: "database CPU", query: database("database_cpu_utilization"), alert: "> 0.9", lasting: "900s",
			advice: pulumi.String("The database's CPU has been above 90 % for 15 minutes. Look at Query Insights in the console. A larger tier (" +
				args.DatabaseSettings + ") restarts the database."),
		}, signal{
			role: "database-disk", title: "database disk", query: database("database_disk_utilization"), alert: "> 0.85", lasting: "900s",
			advice: pulumi.String("The database's disk is over 85 % full. It grows by itself up to its limit: if it has reached that, raise it (" +
				args.DatabaseSettings + ")."),
		})
	}
	return signals
}

func (args *ObservabilityArgs) validate(check *component.Check) {
	check.Strings(map[string]string{"title": args.Title})
	check.Inputs(map[string]pulumi.StringInput{"cluster": args.Cluster, "namespace": args.Namespace, "door": args.Door})
	check.Require((args.Database == nil) == (args.DatabaseSettings == ""), "database and databaseSettings belong together")
}

// NewObservability creates a notification channel for each address, an alert for each signal, and a dashboard that shows all of them.
func NewObservability(ctx *pulumi.Context, name string, args *ObservabilityArgs, opts ...pulumi.ResourceOption) (_ *Observability, err error) {
	defer component.Explain(&err, observabilityType, name)
	c := &Observability{}
	if err := component.Register(ctx, observabilityType, name, c, args, (*ObservabilityArgs).validate, opts...); err != nil {
		return nil, err
	}
	var channels pulumi.StringArray
	for _, email := range args.Emails {
		channel, err := monitoring.NewNotificationChannel(ctx, name+"-"+email, &monitoring.NotificationChannelArgs{
			DisplayName: pulumi.String(args.Title + ": " + email),
			Type:        pulumi.String("email"),
			Labels:      pulumi.StringMap{"email_address": pulumi.String(email)},
			UserLabels:  args.Labels,
		}, component.Child(c)...)
		if err != nil {
			return nil, fmt.Errorf("channel to %s: %w", email, err)
		}
		channels = append(channels, channel.Name)
	}
	signals := args.signals()
	for _, s := range signals {
		if err := c.newAlert(ctx, name, args, s, channels); err != nil {
			return nil, fmt.Errorf("alert %s: %w", s.role, err)
		}
	}
	dashboard, err := monitoring.NewDashboard(ctx, name+"-dashboard", &monitoring.DashboardArgs{
		DashboardJson: dashboardJSON(args.Title, signals),
	}, component.Child(c)...)
	if err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	c.Dashboard = dashboard.ID().ToStringOutput()
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"dashboard": c.Dashboard})
}

func (c *Observability) newAlert(ctx *pulumi.Context, name string, args *ObservabilityArgs, s signal, channels pulumi.StringArray) error {
	_, err := monitoring.NewAlertPolicy(ctx, name+"-"+s.role, &monitoring.AlertPolicyArgs{
		DisplayName: pulumi.String(args.Title + ": " + s.title),
		Combiner:    pulumi.String("OR"),
		Conditions: monitoring.AlertPolicyConditionArray{&monitoring.AlertPolicyConditionArgs{
			DisplayName: pulumi.String(s.title),
			ConditionPrometheusQueryLanguage: &monitoring.AlertPolicyConditionConditionPrometheusQueryLanguageArgs{
				Query:              pulumi.Sprintf("%s %s", s.query, s.alert),
				Duration:           pulumi.String(s.lasting),
				EvaluationInterval: pulumi.String("60s"),
			},
		}},
		NotificationChannels: channels,
		AlertStrategy:        &monitoring.AlertPolicyAlertStrategyArgs{AutoClose: pulumi.String("1800s")},
		Documentation:        &monitoring.AlertPolicyDocumentationArgs{Content: s.advice, MimeType: pulumi.String("text/markdown")},
		UserLabels:           args.Labels,
	}, component.Child(c)...)
	return err
}

// tile is a chart at its place. The API does not answer with zeros, and the provider compares texts: a zero that the program writes is a difference at every
// preview, which no `up` takes away.
type tile struct {
	XPos   int            `json:"xPos,omitempty"`
	YPos   int            `json:"yPos,omitempty"`
	Width  int            `json:"width"`
	Height int            `json:"height"`
	Widget map[string]any `json:"widget"`
}

// dashboardJSON writes a dashboard with one chart for each signal, two in a row.
// https://cloud.google.com/monitoring/api/ref_v3/rest/v1/projects.dashboards
func dashboardJSON(title string, signals []signal) pulumi.StringOutput {
	queries := make([]any, len(signals))
	for i, s := range signals {
		queries[i] = s.query
	}
	return pulumi.All(queries...).ApplyT(func(values []any) (string, error) {
		const columns, width, height = 48, 24, 16
		var tiles []tile
		for i, s := range signals {
			tiles = append(tiles, tile{
				XPos: i % (columns / width) * width, YPos: i / (columns / width) * height, Width: width, Height: height,
				Widget: map[string]any{"title": s.title, "xyChart": map[string]any{
					"dataSets": []any{map[string]any{"plotType": "LINE", "timeSeriesQuery": map[string]any{"prometheusQuery": values[i]}}},
				}},
			})
		}
		document, err := json.Marshal(map[string]any{"displayName": title, "mosaicLayout": map[string]any{"columns": columns, "tiles": tiles}})
		if err != nil {
			return "", fmt.Errorf("dashboard %s: %w", title, err)
		}
		return string(document), nil
	}).(pulumi.StringOutput)
}
