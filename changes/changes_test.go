package changes

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// TestEveryTypeHasAMeaning: the rows that end the table say little, and a type of the plans needs one of its own.
func TestEveryTypeHasAMeaning(t *testing.T) {
	for typ := range goldenTypes(t) {
		for _, op := range []Op{Replace, Delete} {
			for meaning := range meanings(Change{URN: "urn:pulumi:prod::openhands::" + typ + "::openhands-x", Type: typ, Op: op}) {
				assert.NotEqual(t, "*", meaning.typ, "%s of %s means nothing: give it a row in table.go", op, typ)
			}
		}
	}
}

// goldenTypes are those of all resources of the plans.
func goldenTypes(t *testing.T) map[string]bool {
	t.Helper()
	plans, err := filepath.Glob(filepath.Join("..", "tests", "golden", "*.plan"))
	require.NoError(t, err)
	plans = append(plans, filepath.Join("..", "bootstrap", "testdata", "home.plan"))
	types := map[string]bool{}
	for _, plan := range plans {
		raw, err := os.ReadFile(plan)
		require.NoError(t, err)
		for _, match := range regexp.MustCompile(`(?m)^  type: ((?:gcp|kubernetes|random):\S+)$`).FindAllStringSubmatch(string(raw), -1) {
			types[match[1]] = true
		}
	}
	require.Greater(t, len(types), 40, "the plans have no types, or are written otherwise")
	return types
}

// TestEveryTypeIsGuardedOrNot: of a type that is in neither list nobody has asked what of it keeps something safe.
func TestEveryTypeIsGuardedOrNot(t *testing.T) {
	types := goldenTypes(t)
	for typ := range types {
		guarded := slices.ContainsFunc(guards, func(g guard) bool { return matches(g.typ, typ) })
		not := slices.ContainsFunc(guardless, func(row string) bool { return matches(row, typ) })
		assert.True(t, guarded != not, "%s: give it rows in guards, or a place in guardless (guards.go), and not both", typ)
	}
	types["pulumi:providers:gcp"] = true
	for _, row := range guardless {
		assert.True(t, anyMatches(row, types), "%s is in guardless, and in no plan", row)
	}
	for _, g := range guards {
		assert.True(t, anyMatches(g.typ, types), "%s is in guards, and in no plan", g.typ)
	}
}

func anyMatches(row string, types map[string]bool) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(types)), func(typ string) bool { return matches(row, typ) })
}

// change returns one of a resource, with the paths of the properties that change.
func change(typ, name string, op Op, paths ...string) Change {
	c := Change{URN: "urn:pulumi:prod::openhands::openhands:gcp:Component$" + typ + "::" + name, Type: typ, Op: op}
	for _, path := range paths {
		c.Properties = append(c.Properties, Property{Path: path, From: 1.0, To: 2.0})
	}
	return c
}

func protected(c Change) Change {
	c.Protected = true
	return c
}

func with(c Change, inputs map[string]any) Change {
	c.Old = inputs
	return c
}

func TestEffects(t *testing.T) {
	const none = ""
	for what, test := range map[string]struct {
		changes []Change
		// headline is what the headline says, and worst a part of the first effect.
		headline, worst string
		grade           Grade
		refused         []string
	}{
		"nothing": {
			[]Change{change(database, "openhands-postgres", Same)}, "nothing changes", none, Quiet, nil,
		},
		"another release": {
			[]Change{change("kubernetes:apps/v1:StatefulSet", "openhands-ann", Update, releaseLabel)},
			"no data is lost, and nothing is interrupted; another release", "take a backup before", Note, nil,
		},
		"another release on a machine": {
			[]Change{change(disk, "openhands-data", Update, "labels")}, "no data is lost, and nothing is interrupted; another release", "take a backup", Note, nil,
		},
		"another machine of the database": {
			[]Change{change(database, "openhands-postgres", Update, "settings.tier")},
			"no data is lost; the database restarts", "restarts on another machine", Away, nil,
		},
		"labels and the machine of the database": {
			[]Change{change(database, "openhands-postgres", Update, "settings.userLabels.team", "settings.tier")},
			"no data is lost; the database restarts", "restarts on another machine", Away, nil,
		},
		"a database in another region": {
			[]Change{change(database, "openhands-postgres", Replace, "region")},
			"DATA IS LOST: the database and its backups", "the database and its backups", Lost, nil,
		},
		"a protected database in another region": {
			[]Change{protected(change(database, "openhands-postgres", Replace, "region"))},
			"refused, as DATA WOULD BE LOST: the database", "the database and its backups",
			Lost, []string{"openhands-postgres"},
		},
		"a change of what is protected is not refused": {
			[]Change{protected(change(database, "openhands-postgres", Update, "settings.tier"))}, "no data is lost", "restarts", Away, nil,
		},
		"lost data comes before all else": {
			[]Change{change(deployment, "openhands", Update, "spec.template"), change(bucket, "openhands-files", Delete)},
			"DATA IS LOST: the files", "the files", Lost, nil,
		},
		"a new node pool is not a lost one": {
			[]Change{change(nodePool, "openhands-sandbox", Create)}, "nobody notices", "a new pool", Quiet, nil,
		},
		"more sandbox nodes": {
			[]Change{change(nodePool, "openhands-sandbox", Update, "autoscaling.totalMaxNodeCount")},
			"nobody notices", "sandboxes get more or fewer nodes", Quiet, nil,
		},
		"other app nodes": {
			[]Change{change(nodePool, "openhands-app", Update, "nodeConfig.machineType")},
			"no data is lost; GKE makes each of OpenHands' nodes anew", "OpenHands' nodes", Away, nil,
		},
		"another environment": {
			[]Change{change(deployment, "openhands", Update, "spec.template.metadata.annotations")},
			"OpenHands starts anew", "OpenHands starts anew", Away, nil,
		},
		"another door": {
			[]Change{change(deployment, "openhands-door", Update, "spec.template.metadata.annotations")}, "nobody notices", "the door's two pods", Quiet, nil,
		},
		"somebody may log in": {
			[]Change{change(login, "openhands-login-user:ann@example.com", Create)},
			"no data is lost; more is allowed than before, or less kept safe: somebody more may log in", "may log in", Open, nil,
		},
		"another data disk": {
			[]Change{change(machine, "openhands-machine", Replace), protected(change(disk, "openhands-data", Replace))},
			"refused, as DATA WOULD BE LOST: what the data disk has", "Snapshots stay", Lost, []string{"openhands-data"},
		},
		"a larger data disk": {
			[]Change{change(disk, "openhands-data", Update, "size")}, "the data disk grows", "the data disk grows", Note, nil,
		},
		"another machine": {
			[]Change{change(machine, "openhands-machine", Replace)}, "no data is lost; the machine is made anew", "the machine is made anew", Away, nil,
		},
		"a mirror of images": {
			[]Change{with(change(repository, "openhands-ghcr", Replace), map[string]any{"mode": "REMOTE_REPOSITORY"})},
			"nobody notices", "fills by itself", Quiet, nil,
		},
		"own images": {
			[]Change{change(repository, "openhands-images", Replace)}, "DATA IS LOST: your own images", "your own images", Lost, nil,
		},
		"another public address": {
			[]Change{with(change(address, "openhands-address", Replace), map[string]any{"addressType": "EXTERNAL"})}, "DNS records", "DNS records", Away, nil,
		},
		"what is in a cluster goes with it": {
			[]Change{change(deployment, "openhands", Replace), change(cluster, "openhands-cluster", Replace)},
			"DATA IS LOST: the workspaces", "the cluster is deleted", Lost, nil,
		},
		"a type that nobody knows": {
			[]Change{change("gcp:nobody/knows:Knows", "openhands-topic", Delete)}, "a type that this report does not know", "read it", Open, nil,
		},
		"a new owner, by a type that is not used here": {
			[]Change{change("gcp:projects/iAMBinding:IAMBinding", "openhands-owners", Create)}, "a type that this report does not know", "read it", Open, nil,
		},
		"another cluster role": {
			[]Change{change("kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding", "openhands-x", Update, "subjects")},
			"a type that this report does not know", "read it", Open, nil,
		},
	} {
		t.Run(what, func(t *testing.T) {
			effects := Effects(test.changes)
			assert.Contains(t, Headline(effects), test.headline)
			assert.Equal(t, test.refused, Refused(test.changes))
			if test.worst == none {
				assert.Empty(t, effects)
				return
			}
			require.NotEmpty(t, effects)
			assert.Contains(t, effects[0].Text, test.worst)
			assert.Equal(t, test.grade, effects[0].Grade)
			assert.Equal(t, len(test.refused) > 0, effects[0].Refused)
		})
	}
}

// TestAFirstDeploymentIsReadable: all is new then. Who gets what is said in a few lines, and nothing that there was is less safe.
func TestAFirstDeploymentIsReadable(t *testing.T) {
	plans, err := filepath.Glob(filepath.Join("..", "tests", "golden", "*.plan"))
	require.NoError(t, err)
	require.NotEmpty(t, plans)
	for _, plan := range plans {
		t.Run(filepath.Base(plan), func(t *testing.T) {
			raw, err := os.ReadFile(plan)
			require.NoError(t, err)
			// A reference to another resource is known when that is there.
			raw = regexp.MustCompile(`(?m)'\$\{[^}]*\}'$`).ReplaceAll(raw, []byte(unknown))
			var resources map[string]struct {
				Type   string
				Inputs map[string]any
			}
			require.NoError(t, yaml.Unmarshal(raw, &resources))
			var all []Change
			for place, r := range resources {
				if r.Type != "" && !strings.HasPrefix(r.Type, "openhands:") {
					c := change(r.Type, place[strings.LastIndex(place, " ")+1:], Create)
					c.New = r.Inputs
					all = append(all, c)
				}
			}
			var open []string
			for _, effect := range Effects(all) {
				if effect.Grade == Open {
					open = append(open, effect.Text)
				}
				assert.NotContains(t, effect.Text, "pods reach more")
				assert.NotContains(t, effect.Text, "does not know")
			}
			t.Log(strings.Join(open, "\n"))
			assert.LessOrEqual(t, len(open), 12, "%s", strings.Join(open, "\n"))
		})
	}
}

// TestLostTextsNameWhatIsLost: the headline takes what stands before the colon.
func TestLostTextsNameWhatIsLost(t *testing.T) {
	for _, row := range table {
		if row.grade == Lost {
			what, _, found := strings.Cut(row.text, ": ")
			assert.True(t, found && len(what) < 50, "%q: begin with what is lost, and a colon", row.text)
		}
	}
}

func TestTheValueAtAPath(t *testing.T) {
	inputs := map[string]any{
		"spec":   map[string]any{"containers": []any{map[string]any{"image": "a"}, map[string]any{"image": "b"}}, "nothing": nil},
		"labels": map[string]any{"a.b/c": "dotted", `say "x"`: "quoted", "0": "zero"},
		"later":  unknown,
	}
	outputs := map[string]any{"id": "known", "spec": map[string]any{"nothing": "of the outputs"}, "labels": "other"}
	for path, value := range map[string]any{
		"spec.containers[1].image":   "b",
		"spec.containers[2].image":   nil,
		"spec.containers.image":      nil,
		"spec.containers[0].image.x": nil,
		`labels["a.b/c"]`:            "dotted",
		`labels["say \"x\""]`:        "quoted",
		"labels[0]":                  nil,
		"labels.0":                   "zero",
		"later.a[0]":                 unknown,
		"id":                         "known",
		"spec.nothing":               "of the outputs",
		"missing":                    nil,
	} {
		assert.Equal(t, value, Value(inputs, outputs, path), path)
	}
}
