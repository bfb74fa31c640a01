//! Variables that Flux fills in from Secrets: their values are in the cluster and in no preview.

use serde_json::json;

use super::discovered::world_of_flux;
use super::external::{define, kubectl};
use crate::support::lab::{has, has_not};

/// Two containers' worth of texts: an item with a name, and one without.
fn workload(metadata: &str, env: &str, args: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: lab{metadata}}}\nspec:\n  replicas: 2\n  selector: {{matchLabels: {{app: lab}}}}\n  template:\n    metadata: {{labels: {{app: lab}}}}\n    spec:\n      containers:\n        - name: lab\n          image: lab:1\n          args: [{args}]\n          env: [{env}]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_flux_fills_in_from_a_secret_is_never_shown() {
    let (world, namespace, flux) = world_of_flux().await;
    let labels = format!(
        ", namespace: {namespace}, labels: {{kustomize.toolkit.fluxcd.io/name: web, kustomize.toolkit.fluxcd.io/namespace: {flux}}}"
    );
    let live = workload(
        &labels,
        "{name: ENV, value: production}, {name: ENDPOINT, value: s3cret}",
        "--token=t0ken",
    );
    let as_flux = [
        "apply",
        "--server-side",
        "--field-manager=kustomize-controller",
    ];
    kubectl(&world, &as_flux, &live);
    let own = |more: &str| {
        format!(
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: web, namespace: {flux}}}\nspec:\n  path: apps/web\n  prune: true\n  interval: 1h\n  targetNamespace: {namespace}\n  sourceRef: {{kind: GitRepository, name: flux-system}}\n  postBuild: {{substitute: {{STAGE: production}}, substituteFrom: [{{kind: Secret, name: cluster}}]}}\n{more}"
        )
    };
    let git = |env: &str, args: &str| workload("", env, args);
    let usual = "{name: ENV, value: '${STAGE}'}, {name: ENDPOINT, value: '${token}'}";
    let first = world.commit(
        "Flux's repository",
        &[
            ("windlass.yaml", Some("version: 1\ndiscover: flux\n")),
            ("clusters/home/web.yaml", Some(&own(""))),
            ("apps/web/all.yaml", Some(&git(usual, "'--token=${token}'"))),
        ],
    );
    let at = format!("main@sha1:{first}");
    let status = json!({"observedGeneration": 1_000, "lastAppliedRevision": at, "lastAttemptedRevision": at,
        "conditions": [{"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded"}]});
    kubectl(&world, &["apply"], &own(&format!("status: {status}\n")));
    world.start();
    world.sync_status(&first, "success").await;
    let previewed = async |branch: &str, text: &str| {
        let number = world.propose("bob", branch, &[("apps/web/all.yaml", Some(text))]);
        world.previewed(number).await;
        let said = world.conversation(number);
        has_not(&said, &["s3cret", "t0ken"]);
        said
    };
    // A variable where another one's value stands now, by its place or by its name.
    let before = format!("{{name: MODE, value: '${{mode}}'}}, {usual}");
    let said = previewed(
        "before",
        &git(&before, "'--mode=${mode}', '--token=${token}'"),
    )
    .await;
    let unknown = "Flux fills in ${mode}, ${token} from sources that windlass does not read";
    has(&said, &["value: ${mode}", "--mode=${mode}", unknown]);
    // One that nothing defines, as after a typing error, is seen.
    let typo = usual.replace("${STAGE}", "${STAGEE}");
    let said = previewed("typo", &git(&typo, "'--token=${token}'")).await;
    has(
        &said,
        &[
            "-          value: production",
            "+          value: ${STAGEE}",
        ],
    );
    // What changes beside it is all that is shown as a change.
    let image = git(usual, "'--token=${token}'").replace("lab:1", "lab:2");
    let said = previewed("image", &image).await;
    has(&said, &["1 changed", "+1 −1", "value: ${token}"]);
}

/// Before anybody resumes it, nothing of a suspended Kustomization is applied; nor what its source
/// does not follow.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_kustomization_and_one_on_a_tag_are_said_to_wait() {
    let (world, namespace, flux) = world_of_flux().await;
    let own = format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: web, namespace: {flux}}}\nspec:\n  path: apps/web\n  prune: true\n  suspend: true\n  interval: 1h\n  targetNamespace: {namespace}\n  sourceRef: {{kind: GitRepository, name: flux-system}}\n"
    );
    kubectl(&world, &["apply"], &own);
    define(
        &world,
        "source.toolkit.fluxcd.io",
        "v1",
        "GitRepository",
        "gitrepositories",
    );
    let source = format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: flux-system, namespace: {flux}}}\nspec: {{url: '{}/acme/config.git', ref: {{tag: v1.0.0}}}}\n",
        world.forge.url()
    );
    kubectl(&world, &["apply"], &source);
    let config = |value: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web}}\ndata: {{a: {value}}}\n")
    };
    world.commit(
        "Flux's repository",
        &[
            ("windlass.yaml", Some("version: 1\ndiscover: flux\n")),
            ("clusters/home/web.yaml", Some(&own)),
            ("apps/web/all.yaml", Some(&config("x"))),
        ],
    );
    world.start();
    let number = world.propose("bob", "y", &[("apps/web/all.yaml", Some(&config("y")))]);
    world.previewed(number).await;
    has(
        &world.conversation(number),
        &[
            "Its Kustomization is suspended: Flux applies nothing of this before somebody resumes it",
        ],
    );
}
