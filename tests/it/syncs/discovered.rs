//! Applications that objects of Flux declare (`discover: flux`): rendered as Flux renders them,
//! previewed, and not applied.

use serde_json::json;
use windlass::sandbox::example::PROJECTS;

use super::external::{define, kubectl, world_of_argo_cd};
use crate::support::lab::{deployment, has, has_not};
use crate::support::{Setup, World};

pub const KIND: (&str, &str) = ("kustomize.toolkit.fluxcd.io", "v1");

/// With Flux's namespace, whose ConfigMaps the repository may see.
pub fn with_flux() -> Setup {
    let grant = "    otherNamespaces: ['*-flux']\n    kinds:";
    Setup {
        projects: Some(PROJECTS.replace("    kinds:", grant)),
        ..Setup::default()
    }
}

/// A world that knows Flux's Kustomizations; the namespaces of an application and of Flux.
pub async fn world_of_flux() -> (World, String, String) {
    let world = World::asleep(with_flux()).await;
    let (namespace, flux) = (world.namespace("lab-staging"), world.namespace("flux"));
    define(&world, KIND.0, KIND.1, "Kustomization", "kustomizations");
    for name in [&namespace, &flux] {
        world.kubectl(&["create", "namespace", name]);
    }
    (world, namespace, flux)
}

/// A Kustomization in Flux's namespace.
fn kustomization(flux: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: {}/{}\nkind: Kustomization\nmetadata:\n  name: {name}\n  namespace: {flux}\nspec:\n  path: ./apps/{name}\n  prune: true\n  sourceRef: {{kind: GitRepository, name: flux-system}}\n{spec}",
        KIND.0, KIND.1
    )
}

pub fn web(flux: &str, namespace: &str, color: &str, tag: &str) -> String {
    let spec = format!(
        "  targetNamespace: {namespace}
  images: [{{name: lab, newTag: '{tag}'}}]
  commonMetadata: {{labels: {{team: shop}}}}
  patches:
    - target: {{kind: Deployment}}
      patch: |
        - {{op: replace, path: /spec/replicas, value: 3}}
  postBuild:
    substitute: {{APP: web, COLOR: {color}}}
    substituteFrom: [{{kind: ConfigMap, name: settings}}]
"
    );
    kustomization(flux, "web", &spec)
}

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '${APP}-config'}\ndata: {color: '${COLOR}', region: '${REGION:=nowhere}', shell: '$${HOME}'}\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_flux_objects_declare_is_previewed_as_flux_builds_it() {
    let (world, namespace, flux) = world_of_flux().await;
    world.kubectl(&[
        "-n",
        &flux,
        "create",
        "configmap",
        "settings",
        "--from-literal=REGION=eu-1",
    ]);
    let red = web(&flux, &namespace, "red", "1");
    let labels = format!(
        "team: shop, kustomize.toolkit.fluxcd.io/name: web, kustomize.toolkit.fluxcd.io/namespace: {flux}"
    );
    let live = deployment("", "")
        .replace("replicas: 2", "replicas: 3")
        .replace(
            "name: lab}",
            &format!("name: lab, namespace: {namespace}, labels: {{{labels}}}}}"),
        );
    let config = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web-config, namespace: {namespace}, labels: {{{labels}}}}}\ndata: {{color: red, region: eu-1, shell: '${{HOME}}'}}\n"
    );
    let as_flux = [
        "apply",
        "--server-side",
        "--field-manager=kustomize-controller",
    ];
    for text in [&live, &config] {
        kubectl(&world, &as_flux, text);
    }
    let apps = deployment("", "");
    let first = world.commit(
        "Flux's repository",
        &[
            ("windlass.yaml", Some("version: 1\ndiscover: flux\n")),
            ("clusters/home/web.yaml", Some(&red)),
            ("apps/web/deployment.yaml", Some(&apps)),
            ("apps/web/config.yaml", Some(CONFIG)),
        ],
    );
    let status = |commit: &str| {
        let at = format!("main@sha1:{commit}");
        let status = json!({"observedGeneration": 1_000, "lastAppliedRevision": at, "lastAttemptedRevision": at,
            "conditions": [{"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded"}]});
        format!("{red}status: {status}\n")
    };
    kubectl(&world, &["apply"], &status(&first));
    world.start();
    let said = world.sync_status(&first, "success").await;
    assert!(said.contains("synced and healthy"), "{said}");

    // Only the Kustomization changes: what comes of it is shown.
    let blue = web(&flux, &namespace, "blue", "2");
    let number = world.propose("bob", "blue", &[("clusters/home/web.yaml", Some(&blue))]);
    world.previewed(number).await;
    let shown = world.conversation(number);
    has(
        &shown,
        &[
            "flux-web/live",
            "2 changed",
            "verified by the cluster",
            "-  color: red\n+  color: blue",
            "-      - image: lab:1\n+      - image: lab:2",
            "region: eu-1",
        ],
    );
    has_not(
        &shown,
        &[
            "${REGION",
            "sync reverts",
            "replicas: 2",
            "windlass.dev/owner",
        ],
    );

    // An object that a pull request adds is an application of it.
    let other = kustomization(&flux, "more", &format!("  targetNamespace: {namespace}\n"));
    let more = CONFIG.replace("${APP}", "more");
    let number = world.propose(
        "bob",
        "more",
        &[
            ("clusters/home/more.yaml", Some(&other)),
            ("apps/more/config.yaml", Some(&more)),
        ],
    );
    world.previewed(number).await;
    has(
        &world.conversation(number),
        &[
            "flux-more/live",
            "1 created",
            "ConfigMap lab-staging/more-config",
        ],
    );

    // Each side has its own variables, and nobody's own text hides an object.
    let green = web(&flux, &namespace, "red", "1").replace("COLOR: red", "COLOR: red, SIZE: large");
    let sized = format!(
        "{}---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hidden\n  labels: {{helm.toolkit.fluxcd.io/name: hidden, helm.toolkit.fluxcd.io/namespace: {namespace}}}\n  annotations: {{windlass.dev/chart-is-not-rendered: x, windlass.dev/installed-by: {namespace}/hidden}}\n",
        CONFIG.replace("color:", "size: '${SIZE:=small}', color:")
    );
    let only_sized = sized.split("---").next().unwrap().to_string();
    world.commit("Sizes", &[("apps/web/config.yaml", Some(&only_sized))]);
    let number = world.propose(
        "bob",
        "green",
        &[
            ("clusters/home/web.yaml", Some(&green)),
            ("apps/web/config.yaml", Some(&sized)),
        ],
    );
    world.previewed(number).await;
    has(
        &world.conversation(number),
        &[
            "-  size: small\n+  size: large",
            "ConfigMap lab-staging/hidden",
        ],
    );

    // The object goes, and Flux deletes with it what it applied.
    let number = world.propose("bob", "gone", &[("clusters/home/web.yaml", None)]);
    world.previewed(number).await;
    has(
        &world.conversation(number),
        &["its objects (2) are deleted with it", "web-config"],
    );

    // Its directory is gone, and Flux would stop: that is an error of the pull request.
    let number = world.propose(
        "bob",
        "lost",
        &[
            ("apps/web/deployment.yaml", None),
            ("apps/web/config.yaml", None),
        ],
    );
    world.previewed(number).await;
    has(
        &world.conversation(number),
        &[
            "clusters/home/web.yaml: Kustomization web: its path `apps/web` is not in this repository",
        ],
    );
}

fn application(argo: &str, namespace: &str, name: &str, source: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}, namespace: {argo}}}\nspec:\n  project: default\n  destination: {{server: 'https://kubernetes.default.svc', namespace: {namespace}}}\n  source:\n    repoURL: https://github.com/acme/config\n    targetRevision: HEAD\n{source}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_argo_cd_applications_declare_is_previewed_as_argo_cd_renders_it() {
    let (world, namespace, argo) = world_of_argo_cd().await;
    let chart = |color: &str| {
        let values = format!("{{color: {color}}}");
        let source = format!(
            "    path: charts/web\n    helm:\n      releaseName: shop\n      valueFiles: [values-prod.yaml]\n      valuesObject: {values}\n      parameters: [{{name: size, value: '3'}}]\n"
        );
        application(&argo, &namespace, "web", &source)
    };
    let plain = application(
        &argo,
        &namespace,
        "plain",
        "    path: plain\n    directory: {exclude: 'skipped.yaml'}\n",
    );
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-config'}\ndata: {color: {{ .Values.color }}, size: {{ .Values.size | quote }}, prod: {{ .Values.prod | quote }}}\n";
    let config = |name: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: '1'}}\n")
    };
    let (shown, other) = (config("shown"), config("other"));
    let red = chart("red");
    world.commit(
        "Argo CD's repository",
        &[
            ("windlass.yaml", Some("version: 1\ndiscover: argocd\n")),
            ("argocd/web.yaml", Some(&red)),
            ("argocd/plain.yaml", Some(&plain)),
            (
                "charts/web/Chart.yaml",
                Some("apiVersion: v2\nname: web\nversion: 0.1.0\n"),
            ),
            (
                "charts/web/values.yaml",
                Some("color: none\nsize: 1\nprod: false\n"),
            ),
            (
                "charts/web/values-prod.yaml",
                Some("prod: true\ncolor: file\n"),
            ),
            ("charts/web/templates/config.yaml", Some(template)),
            ("plain/shown.yaml", Some(&shown)),
            ("plain/skipped.yaml", Some("not: a manifest\n")),
            ("plain/below/other.yaml", Some(&other)),
        ],
    );
    world.start();
    let number = world.propose(
        "bob",
        "blue",
        &[
            ("argocd/web.yaml", Some(&chart("blue"))),
            ("plain/shown.yaml", Some(&shown.replace("'1'", "'2'"))),
            ("plain/below/other.yaml", Some(&other.replace("'1'", "'2'"))),
        ],
    );
    world.previewed(number).await;
    let said = world.conversation(number);
    has(
        &said,
        &[
            "2 of 2 applications change",
            "**argocd-web/live**",
            "ConfigMap lab-staging/shop-config",
            "color: blue",
            "size: '3'",
            "prod: 'true'",
            "merged before and waiting to be synced: 1",
            "**argocd-plain/live**",
            "ConfigMap lab-staging/shown",
        ],
    );
    has_not(&said, &["other\n", "skipped", "color: file", "by others"]);

    let number = world.propose("bob", "jsonnet", &[("plain/more.jsonnet", Some("{}\n"))]);
    world.previewed(number).await;
    has(
        &world.conversation(number),
        &["plain/more.jsonnet: Argo CD evaluates jsonnet, which windlass does not"],
    );
}
