//! What Flux's HelmReleases install, previewed with them (`discover: flux`).

use super::discovered::{KIND, web, with_flux};
use super::external::{define, kubectl};
use crate::support::World;
use crate::support::charts::Charts;
use crate::support::lab::{has, has_not};

const SOURCE: &str = "apiVersion: source.toolkit.fluxcd.io/v1";

/// A source that all applications of a cluster use, in Flux's namespace.
fn shared(charts: &Charts, flux: &str) -> String {
    format!(
        "{SOURCE}\nkind: HelmRepository\nmetadata: {{name: charts, namespace: {flux}}}\nspec: {{url: 'http://{}/charts'}}\n",
        charts.address
    )
}

/// HelmReleases of a chart in a repository, of one in a registry, and of one in the config repository.
fn releases(charts: &Charts, flux: &str, color: &str, version: &str) -> String {
    let address = &charts.address;
    let release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease";
    format!(
        "{SOURCE}
kind: OCIRepository
metadata: {{name: cache}}
spec: {{url: 'oci://{address}/acme/cache', ref: {{tag: 3.0.0}}}}
---
{release}
metadata: {{name: shop}}
spec:
  chart: {{spec: {{chart: paint, version: '{version}', sourceRef: {{kind: HelmRepository, name: charts, namespace: {flux}}}}}}}
  valuesFrom: [{{kind: ConfigMap, name: shop-values}}]
  values: {{color: {color}, region: '${{REGION}}'}}
---
{release}
metadata: {{name: cache}}
spec:
  chartRef: {{kind: OCIRepository, name: cache}}
  values: {{color: {color}}}
---
{release}
metadata: {{name: local}}
spec:
  chart:
    spec:
      chart: ./charts/local
      sourceRef: {{kind: GitRepository, name: flux-system, namespace: {flux}}}
      valuesFiles: [charts/local/values.yaml, charts/home.yaml]
  values: {{color: {color}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: shop-values}}
data: {{values.yaml: 'size: 3'}}
"
    )
}

const PAINT: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-paint'}\ndata: {color: {{ .Values.color | quote }}, size: {{ .Values.size | quote }}, region: {{ .Values.region | quote }}, shell: '${HOME}'}\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_helm_releases_install_is_previewed_with_them() {
    let charts = Charts::start().await;
    charts.publish("paint", "1.0.0", PAINT);
    charts.publish("cache", "3.0.0", PAINT);
    let mut world = World::asleep(with_flux()).await;
    let (namespace, flux) = (world.namespace("lab-staging"), world.namespace("flux"));
    define(&world, KIND.0, KIND.1, "Kustomization", "kustomizations");
    define(
        &world,
        "helm.toolkit.fluxcd.io",
        "v2",
        "HelmRelease",
        "helmreleases",
    );
    for kind in ["HelmRepository", "OCIRepository"] {
        let plural = kind.to_lowercase().replace('y', "ies");
        define(&world, "source.toolkit.fluxcd.io", "v1", kind, &plural);
    }
    for name in [&namespace, &flux] {
        world.kubectl(&["create", "namespace", name]);
    }
    world.kubectl(&[
        "-n",
        &flux,
        "create",
        "configmap",
        "settings",
        "--from-literal=REGION=eu-1",
    ]);
    charts.allow(&mut world);
    let web = web(&flux, &namespace, "red", "1");
    kubectl(&world, &["apply"], &web);
    let red = releases(&charts, &flux, "red", "1.0.0");
    world.commit(
        "Flux's repository",
        &[
            ("windlass.yaml", Some("version: 1\ndiscover: flux\n")),
            ("clusters/home/web.yaml", Some(&web)),
            ("clusters/home/sources.yaml", Some(&shared(&charts, &flux))),
            (
                "charts/local/Chart.yaml",
                Some("apiVersion: v2\nname: local\nversion: 0.1.0\n"),
            ),
            ("charts/local/values.yaml", Some("size: 1\nregion: none\n")),
            ("charts/local/templates/paint.yaml", Some(PAINT)),
            ("charts/home.yaml", Some("region: home\n")),
            ("apps/web/releases.yaml", Some(&red)),
        ],
    );
    // As helm has installed it: an object that it updates.
    let marks = format!(
        "labels: {{app.kubernetes.io/managed-by: Helm, helm.toolkit.fluxcd.io/name: shop, helm.toolkit.fluxcd.io/namespace: {namespace}}}, annotations: {{meta.helm.sh/release-name: shop, meta.helm.sh/release-namespace: {namespace}}}"
    );
    let live = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: shop-paint, namespace: {namespace}, {marks}}}\ndata: {{color: red, size: '3', region: eu-1, shell: '${{HOME}}'}}\n"
    );
    kubectl(
        &world,
        &["create", "--field-manager=helm-controller"],
        &live,
    );
    world.start();
    let blue = releases(&charts, &flux, "blue", "1.0.0");
    let number = world.propose("bob", "blue", &[("apps/web/releases.yaml", Some(&blue))]);
    world.previewed(number).await;
    let said = world.conversation(number);
    has(
        &said,
        &[
            "ConfigMap lab-staging/shop-paint",
            "-  color: red\n+  color: blue",
            "region: eu-1",
            "size: '3'",
            "shell: ${HOME}",
            "ConfigMap lab-staging/cache-paint",
            "ConfigMap lab-staging/local-paint",
        ],
    );
    has_not(
        &said,
        &[
            "${REGION",
            "is managed by",
            "is not shown",
            "cannot be",
            "reverts",
        ],
    );

    // A chart of the repository is packed again once it has another version.
    let abroad = ("charts/home.yaml", Some("region: abroad\n"));
    let number = world.propose("bob", "abroad", &[abroad]);
    world.previewed(number).await;
    let said = world.conversation(number);
    has(
        &said,
        &["charts/local` changes, and its `version` does not"],
    );
    has_not(&said, &["region: abroad"]);
    let version = "apiVersion: v2\nname: local\nversion: 0.2.0\n";
    let chart = ("charts/local/Chart.yaml", Some(version));
    let number = world.propose("bob", "farther", &[abroad, chart]);
    world.previewed(number).await;
    let paint = "ConfigMap lab-staging/local-paint";
    has(
        &world.conversation(number),
        &[paint, "region: abroad", "size: '1'"],
    );

    // A range says nothing about which version runs: it is said, and nothing seems to go.
    let range = releases(&charts, &flux, "red", "1.x");
    let number = world.propose("bob", "range", &[("apps/web/releases.yaml", Some(&range))]);
    world.previewed(number).await;
    let said = world.conversation(number);
    has(
        &said,
        &["what its chart makes is not shown: 1.x is no exact version of the chart paint"],
    );
    has_not(
        &said,
        &["prune", "shop-paint", "chart-is-not-rendered", "null"],
    );
}
