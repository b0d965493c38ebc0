// Command pause is a stand-in for registry.k8s.io/pause, which is no Go module: it holds a pod's
// namespaces open, reaps the orphans that a shared process namespace leaves to it, and ends at once
// on SIGINT or SIGTERM. With -v it says its version and ends: kubeadm's health check before an
// upgrade is a Job that runs it so.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

var version = "unknown" // set by the linker

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-v" {
		fmt.Println("pause (stand-in)", version)
		return
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		for {
			// One SIGCHLD may stand for several children; take all that have ended.
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}
