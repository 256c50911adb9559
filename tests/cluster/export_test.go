package cluster

import "os"

// Processes are those that run the cluster.
func (c *Cluster) Processes() []*os.Process {
	var processes []*os.Process
	for _, p := range c.processes {
		processes = append(processes, p.cmd.Process)
	}
	return processes
}
