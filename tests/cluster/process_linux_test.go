package cluster

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const helperDir = "CLUSTER_TEST_HELPER_DIR"

func TestProcessSaysWhyItEnded(t *testing.T) {
	p, err := startProcess(t.TempDir(), "failing", "/bin/sh", "-c", "echo first words; echo last words; exit 3")
	require.NoError(t, err)
	<-p.done
	err = p.stop()
	assert.ErrorContains(t, err, "failing ended (exit status 3)")
	assert.ErrorContains(t, err, "last words")
	assert.NoError(t, p.stop(), "said once")
}

func TestTakenPortIsToldApart(t *testing.T) {
	p, err := startProcess(t.TempDir(), "server", "/bin/sh", "-c", "echo listen: address already in use; exit 1")
	require.NoError(t, err)
	<-p.done
	assert.ErrorIs(t, p.failure(), errAddressInUse)
}

func TestProcessEndsWithItsParent(t *testing.T) {
	if dir := os.Getenv(helperDir); dir != "" {
		p, err := startProcess(dir, "child", "/bin/sleep", "600")
		require.NoError(t, err)
		fmt.Println(p.cmd.Process.Pid)
		<-p.done
		return
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestProcessEndsWithItsParent$")
	parent.Env = append(os.Environ(), helperDir+"="+t.TempDir())
	output, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	child, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	stat := "/proc/" + strings.TrimSpace(child) + "/stat"
	require.FileExists(t, stat)
	require.NoError(t, parent.Process.Kill())
	require.Error(t, parent.Wait())
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		// It may stay a zombie where nothing reaps orphans.
		state, err := os.ReadFile(stat)
		if !os.IsNotExist(err) {
			assert.Contains(t, string(state), ") Z ")
		}
	}, 5*time.Second, 20*time.Millisecond)
}
