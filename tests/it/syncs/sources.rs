//! An Argo CD Application and where it takes its files from: several sources, and what becomes of it
//! if its object goes, or names another place.

use super::external::world_of_argo_cd;
use crate::support::lab::{CONFIG, has, has_not};

#[tokio::test(flavor = "multi_thread")]
async fn several_sources_of_an_application_are_rendered_as_one() {
    let (world, namespace, argo) = world_of_argo_cd().await;
    let other = world.namespace("lab-production");
    world.kubectl(&["create", "namespace", &other]);
    let declared = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: web, namespace: {argo}, finalizers: [resources-finalizer.argocd.argoproj.io]}}\nspec:\n  project: default\n  destination: {{server: 'https://kubernetes.default.svc', namespace: {namespace}}}\n  sources:\n    - {{repoURL: https://github.com/acme/config, ref: values}}\n    - {{repoURL: https://github.com/acme/config, path: charts/web, helm: {{valueFiles: ['$values/environments/prod.yaml']}}}}\n    - {{repoURL: https://github.com/acme/config.git, path: extras}}\n    - {{repoURL: https://github.com/acme/config, path: overlay, kustomize: {{namePrefix: live-}}}}\n"
    );
    let config = |name: &str, value: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: {value}}}\n"
        )
    };
    let (template, extra, kept) = (
        config("{{ .Release.Name }}-chart", "{{ .Values.color }}"),
        config("extra", "x1"),
        config("web-chart", "from-extras"),
    );
    let built = config("built", "b1");
    world.commit(
        "Argo CD's repository",
        &[
            ("windlass.yaml", Some("version: 1\ndiscover: argocd\n")),
            ("argocd/web.yaml", Some(&declared)),
            (
                "charts/web/Chart.yaml",
                Some("apiVersion: v2\nname: web\nversion: 0.1.0\n"),
            ),
            ("charts/web/templates/config.yaml", Some(&template)),
            ("environments/prod.yaml", Some("color: red\n")),
            ("extras/extra.yaml", Some(&extra)),
            (
                "overlay/kustomization.yaml",
                Some("resources: [built.yaml]\n"),
            ),
            ("overlay/built.yaml", Some(&built)),
        ],
    );
    world.start();
    let number = world.propose(
        "bob",
        "all",
        &[
            ("environments/prod.yaml", Some("color: blue\n")),
            ("extras/extra.yaml", Some(&extra.replace("x1", "x2"))),
            ("overlay/built.yaml", Some(&built.replace("b1", "b2"))),
        ],
    );
    world.previewed(number).await;
    has(
        &world.conversation(number),
        &[
            "1 of 1 application changes",
            "**argocd-web/live**",
            "ConfigMap lab-staging/web-chart",
            "a: blue",
            "ConfigMap lab-staging/extra",
            "a: x2",
            "ConfigMap lab-staging/live-built",
            "a: b2",
        ],
    );
    // Of an object that two sources have, the later one counts.
    let number = world.propose("bob", "twice", &[("extras/web.yaml", Some(&kept))]);
    world.previewed(number).await;
    let said = world.conversation(number);
    has(
        &said,
        &["ConfigMap lab-staging/web-chart", "a: from-extras"],
    );
    has_not(&said, &["defined twice", "extra.yaml"]);
    // With the Application go its objects.
    let number = world.propose("bob", "gone", &[("argocd/web.yaml", None)]);
    world.previewed(number).await;
    let said = world.conversation(number);
    has(&said, &["1 of 1 application changes", "3 deleted"]);
    has_not(&said, &["stays as it is", "/confirm-prune"]);
    // Another destination: what Argo CD does there, and in the former one.
    let moved = declared.replace(&namespace, &other);
    let number = world.propose("bob", "moved", &[("argocd/web.yaml", Some(&moved))]);
    world.previewed(number).await;
    let said = world.conversation(number);
    has(
        &said,
        &[
            "1 of 1 application changes",
            "3 created",
            "The destination changes from `local/lab-staging` to `local/lab-production` (cluster/namespace). In the former place **are deleted**: ",
            "ConfigMap lab-staging/live-built",
        ],
    );
    has_not(&said, &["/adopt"]);
    // Its files are no longer those of this branch.
    let tagged = declared.replace("path: extras", "path: extras, targetRevision: v1");
    let number = world.propose("bob", "tagged", &[("argocd/web.yaml", Some(&tagged))]);
    world.previewed(number).await;
    let said = world.conversation(number);
    has(
        &said,
        &["it is built from another branch, a tag or another repository"],
    );
    has_not(&said, &["deleted", "leaves Git"]);
    // What only windlass forgets stays.
    let other = "version: 1\ndiscover: flux\n";
    let number = world.propose("bob", "unlisted", &[("windlass.yaml", Some(other))]);
    world.previewed(number).await;
    let said = world.conversation(number);
    has(&said, &["`windlass.yaml` no longer has this application"]);
    has_not(&said, &["deleted", "leaves Git"]);
}

/// The stage of an application is a label of its object.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_whose_object_names_another_stage_is_said_to_be_another_one() {
    let (world, namespace, argo) = world_of_argo_cd().await;
    let declared = |labels: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: web, namespace: {argo}, labels: {{{labels}}}}}\nspec:\n  project: default\n  destination: {{server: 'https://kubernetes.default.svc', namespace: {namespace}}}\n  source: {{repoURL: https://github.com/acme/config, path: web}}\n"
        )
    };
    let catalog = "version: 1\nstages: {staging: {cluster: local}, production: {cluster: local}}\ndiscover: [{by: argocd, label: env}]\n";
    world.commit(
        "Argo CD's repository",
        &[
            ("windlass.yaml", Some(catalog)),
            ("argocd/web.yaml", Some(&declared("env: staging"))),
            ("web/config.yaml", Some(CONFIG)),
        ],
    );
    world.start();
    let text = declared("env: production");
    let number = world.propose("bob", "other", &[("argocd/web.yaml", Some(&text))]);
    world.previewed(number).await;
    let said = world.conversation(number);
    has(
        &said,
        &[
            "The object that declares the application is `argocd-web/production` for windlass from now on.",
        ],
    );
    has_not(&said, &["deleted", "leaves Git", "another branch"]);
    // Without its label it is none that `discover` finds.
    let number = world.propose("bob", "none", &[("argocd/web.yaml", Some(&declared("")))]);
    world.previewed(number).await;
    let said = world.conversation(number);
    has(&said, &["or `discover` in `windlass.yaml` passes it over"]);
    has_not(&said, &["deleted", "leaves Git"]);
}
