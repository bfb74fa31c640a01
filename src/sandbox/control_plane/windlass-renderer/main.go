// Command windlass-renderer is kustomize and helm. Called by one of these names
// (through a link) it is that program. Called by its own name it renders one job
// after the other until its standard input ends: what both need at their start,
// such as kustomize's schema of Kubernetes, is then read once.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	helm "helm.sh/helm/v4/pkg/cmd"
	"sigs.k8s.io/kustomize/kustomize/v5/commands"
)

func main() {
	switch filepath.Base(os.Args[0]) {
	case "kustomize":
		if commands.NewDefaultCommand().Execute() != nil {
			os.Exit(1)
		}
	case "helm":
		runHelm()
	default:
		if err := serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func runHelm() {
	root, err := helm.NewRootCmd(os.Stdout, os.Args[1:], helm.SetupLogging)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := root.Execute(); err != nil { // Execute has printed it
		if failed, ok := errors.AsType[helm.CommandError](err); ok {
			os.Exit(failed.ExitCode)
		}
		os.Exit(1)
	}
}
