// kc is a whole Kubernetes in one binary: each subcommand is one upstream component, unchanged, linked from its Go
// module. It exists because a control plane can then be had wherever a Go toolchain is, without a container engine and
// without downloading binaries; all components share their text pages, so a cluster of three nodes stays small.
//
// Each component is one file that registers itself; this file only picks one.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	_ "time/tzdata"

	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

// commands maps a component's name to its entry point. Each entry reads os.Args, which main has rewritten so that the
// component sees itself as the program.
var commands = map[string]func(args []string) int{}

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	run, ok := commands[name]
	if !ok && len(args) > 0 {
		name, args = args[0], args[1:]
		run, ok = commands[name]
	}
	if !ok {
		names := make([]string, 0, len(commands))
		for c := range commands {
			names = append(names, c)
		}
		slices.Sort(names)
		fmt.Fprintln(os.Stderr, "usage: kc COMPONENT [flags]; components:", names)
		os.Exit(2)
	}
	os.Args = append([]string{name}, args...)
	os.Exit(run(args))
}
