// testapp is the workload of the test cluster: something that holds a pod open (pause), or a server that says who it is
// and who asked (serve). Standard library only, so that its image is one static file.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: testapp COMMAND [flags]
  pause   wait for SIGTERM
  serve   answer HTTP and UDP with the pod, the node and the client's address`

func main() {
	// Registered first: a process that is PID 1 of its namespace ignores signals without a handler.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	command := ""
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	switch command {
	case "pause":
		<-stop
	case "serve":
		if err := serve(os.Args[2:], stop); err != nil {
			fmt.Fprintln(os.Stderr, "testapp serve:", err)
			os.Exit(1)
		}
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
}
