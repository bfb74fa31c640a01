package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/cli"
	"helm.sh/helm/v4/pkg/cli/values"
	"helm.sh/helm/v4/pkg/getter"
	release "helm.sh/helm/v4/pkg/release/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// What `kustomize build FOLDER` does.
func kustomize(arguments []string, out io.Writer) error {
	if len(arguments) != 2 || arguments[0] != "build" {
		return fmt.Errorf("kustomize: unknown arguments %q", arguments)
	}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified // as without --reorder
	objects, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), arguments[1])
	if err != nil {
		return err
	}
	text, err := objects.AsYaml()
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}

// What `helm template RELEASE FOLDER` does, with the options that windlass uses.
func template(arguments []string, out io.Writer) error {
	settings := cli.New()
	client := action.NewInstall(action.NewConfiguration())
	client.DryRunStrategy, client.Replace = action.DryRunClient, true
	given := &values.Options{}
	var kubernetes string
	var skipTests bool

	flags := pflag.NewFlagSet("template", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	namespace := flags.StringP("namespace", "n", "", "")
	apis := flags.StringSliceP("api-versions", "a", nil, "")
	flags.StringSliceVarP(&given.ValueFiles, "values", "f", nil, "")
	flags.StringArrayVar(&given.JSONValues, "set-json", nil, "")
	flags.StringVar(&kubernetes, "kube-version", "", "")
	flags.BoolVar(&client.IncludeCRDs, "include-crds", false, "")
	flags.BoolVar(&client.DisableHooks, "no-hooks", false, "")
	flags.BoolVar(&skipTests, "skip-tests", false, "")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	words := flags.Args()
	if len(words) != 3 || words[0] != "template" {
		return fmt.Errorf("helm: unknown arguments %q", words)
	}
	if kubernetes != "" {
		version, err := common.ParseKubeVersion(kubernetes)
		if err != nil {
			return fmt.Errorf("invalid kube version '%s': %w", kubernetes, err)
		}
		client.KubeVersion = version
	}
	client.APIVersions = common.VersionSet(*apis)
	client.ReleaseName = words[1]
	if *namespace != "" {
		settings.SetNamespace(*namespace)
	}
	client.Namespace = settings.Namespace()

	installed, err := install(client, settings, words[2], given)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, strings.TrimSpace(installed.Manifest))
	if client.DisableHooks {
		return nil
	}
	for _, hook := range installed.Hooks {
		if skipTests && slices.Contains(hook.Events, release.HookTest) {
			continue
		}
		fmt.Fprintf(out, "---\n# Source: %s\n%s\n", hook.Path, hook.Manifest)
	}
	return nil
}

func install(client *action.Install, settings *cli.EnvSettings, place string, given *values.Options) (*release.Release, error) {
	path, err := client.LocateChart(place, settings)
	if err != nil {
		return nil, err
	}
	merged, err := given.MergeValues(getter.All(settings))
	if err != nil {
		return nil, err
	}
	loaded, err := loader.Load(path)
	if err != nil {
		return nil, err
	}
	about, err := chart.NewAccessor(loaded)
	if err != nil {
		return nil, err
	}
	if kind, _ := about.MetadataAsMap()["Type"].(string); kind != "" && kind != "application" {
		return nil, fmt.Errorf("%s charts are not installable", kind)
	}
	if needed := about.MetaDependencies(); len(needed) > 0 {
		if err := action.CheckDependencies(loaded, needed); err != nil {
			return nil, fmt.Errorf("an error occurred while checking for chart dependencies. You may need to run 'helm dependency build' to fetch missing dependencies: %w", err)
		}
	}
	installed, err := client.RunWithContext(context.Background(), loaded, merged)
	if err != nil {
		return nil, err
	}
	made, ok := installed.(*release.Release)
	if !ok {
		return nil, errors.New("helm made a release of another kind")
	}
	return made, nil
}
