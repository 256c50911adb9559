//go:build bench

package stack_test

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"openhands-gcp/rehearsal/engine"
	"openhands-gcp/tests/cluster"
	"openhands-gcp/tests/cluster/stack"
)

var numbers = flag.String("instances", "10,30,100,300", "how many instances to put on the API server, one number after the other")

// TestHowManyInstances puts more and more instances on the real API server, and prints how long the engine takes to create them, and to find that there is
// nothing to do. It is a benchmark, which make bench-instances runs.
func TestHowManyInstances(t *testing.T) {
	c, apiServer, err := stack.Start(t.Context(), cluster.Options{Root: root})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	admin, err := kubernetes.NewForConfig(c.Admin())
	require.NoError(t, err)
	options, err := built()
	require.NoError(t, err)
	for _, text := range strings.Split(*numbers, ",") {
		number, err := strconv.Atoi(text)
		require.NoError(t, err)
		options.Stack, options.File, options.APIServer, options.Output = "many", filepath.Join(t.TempDir(), "Pulumi.many.yaml"), apiServer, io.Discard
		require.NoError(t, os.WriteFile(options.File, []byte(many(number)), 0o600))
		e, err := engine.New(t.Context(), options)
		require.NoError(t, err)
		started := time.Now()
		_, err = e.Run(t.Context(), "up", "--yes", "--skip-preview")
		require.NoError(t, err)
		up := time.Since(started)
		started = time.Now()
		_, err = e.Run(t.Context(), "preview", "--expect-no-changes")
		require.NoError(t, err)
		preview := time.Since(started)
		require.Eventually(t, func() bool {
			pods, err := admin.CoreV1().Pods(instanceNamespace).List(t.Context(), metav1.ListOptions{})
			return err == nil && len(pods.Items) == number
		}, 5*time.Minute, time.Second, "every instance has its pod")
		files, err := admin.CoreV1().ConfigMaps(appNamespace).Get(t.Context(), "openhands-door", metav1.GetOptions{})
		require.NoError(t, err)
		size := 0
		for _, content := range files.Data {
			size += len(content)
		}
		fmt.Printf("%d instances: up %.0f s, second preview %.1f s, what the door reads %d KiB of 1024\n", number, up.Seconds(), preview.Seconds(), size/1024)
		require.NoError(t, e.SetConfig(t.Context(), "openhands:teardown", "true"))
		for _, arguments := range [][]string{{"up", "--yes", "--skip-preview"}, {"destroy", "--yes", "--skip-preview"}} {
			_, err = e.Run(t.Context(), arguments...)
			require.NoError(t, err)
		}
		require.NoError(t, e.Close())
		require.Eventually(t, func() bool {
			left, err := admin.CoreV1().Pods(instanceNamespace).List(t.Context(), metav1.ListOptions{})
			return err == nil && len(left.Items) == 0
		}, 5*time.Minute, time.Second, "nothing is left")
	}
}

// many is a stack file with a number of instances.
func many(number int) string {
	var b strings.Builder
	b.WriteString("config:\n  gcp:project: my-openhands-many\n  gcp:region: us-central1\n  openhands:profile: prod\n  openhands:app:\n    line: canvas\n" +
		"  openhands:network:\n    podsCidr: 10.16.0.0/14\n" +
		"  openhands:exposure:\n    host: openhands.example.com\n  openhands:instances:\n")
	for i := range number {
		fmt.Fprintf(&b, "    - name: person-%d\n      members: [\"user:person-%[1]d@example.com\"]\n", i)
	}
	return b.String()
}
