package cluster

import "syscall"

// endWithParent has the kernel kill the process when the test is killed, which then cannot close its cluster.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
