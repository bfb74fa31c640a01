// The two Argo CD components that apply applications, in one program that is
// each of them by its file's name.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	application "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	repository "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	"github.com/spf13/cobra"
)

func main() {
	components := map[string]func() *cobra.Command{
		"argocd-application-controller": application.NewCommand,
		"argocd-repo-server":            repository.NewCommand,
	}
	name := filepath.Base(os.Args[0])
	component, known := components[name]
	if !known {
		fmt.Fprintf(os.Stderr, "%s is no component of Argo CD: start it by a link of that name\n", name)
		os.Exit(2)
	}
	if component().Execute() != nil {
		os.Exit(1)
	}
}
